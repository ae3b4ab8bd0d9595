"""What is of one library alone: tensors of torch that are no plain memory, arrays of JAX that are waited for."""

import numpy as np
import pytest
from arrays import same_bits
from fakes import JaxArray, numbers, torch_on_gpus, view
from framework_cases import FLAT, GRAD, IDS, MASK, TABLE, D, X

import fastemb

pytestmark = pytest.mark.usefixtures("libraries")


# torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_tensors_that_are_no_plain_memory(room, torch, monkeypatch):
    """What `Tensor.numpy` refuses on the CPU, by the same words, as an address is given of all of these."""
    make = torch_on_gpus(torch, monkeypatch)
    table, ids = make(TABLE), make(IDS)
    leaf = make(TABLE.copy()).requires_grad_()
    with pytest.raises(TypeError, match=r"^table is a tensor that requires grad.*table\.detach\(\).*no_grad"):
        fastemb.gather(leaf, ids)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert not fastemb.gather(leaf, ids).requires_grad
    z = torch.complex(table, table + 1)
    assert same_bits(numbers(view(fastemb.gather(z.conj().imag, ids))), -(TABLE + 1)[IDS])
    assert same_bits(numbers(view(fastemb.gather(z.conj(), ids))), (TABLE - 1j * (TABLE + 1)).astype("c8")[IDS])
    with pytest.raises(ValueError, match=r"^out is a torch tensor whose sign is not the one in memory"):
        fastemb.gather(table, ids, out=torch.complex(make(X), make(X)).conj().imag)
    for wrong, words in (
        (table.to(torch.complex32), "of complex32 that no kernel reads"),
        (torch._efficientzerotensor((3, 2)).as_subclass(type(table)), "that has no memory of its own"),
    ):
        with pytest.raises(TypeError, match=f"^table is a torch tensor {words}"):
            fastemb.gather(wrong, ids)
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "layout", torch.sparse_coo, raising=False)  # a sparse tensor is of no subclass
        with pytest.raises(TypeError, match=r"^table is a torch tensor of layout sparse_coo; give table\.to_dense\(\)"):
            fastemb.gather(table, ids)
    with pytest.raises(TypeError, match=r"^x is a torch tensor inside a transform of torch\.func"):
        torch.func.vmap(lambda x: fastemb.normalize(x.as_subclass(type(table))))(table)
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.empty(2)
        with pytest.raises(
            TypeError, match=r"^torch gave no memory for a result: call outside of fake modes.* \(Multiple"
        ):
            fastemb.gather(table, ids)
    monkeypatch.setattr(type(table), "new_empty", lambda self, shape, dtype: fake)
    with pytest.raises(TypeError, match=r"^torch gave no memory for a result: .* \(a FakeTensor\)$"):
        fastemb.gather(table, ids)


def test_ids_in_nested_tensors(room, torch, monkeypatch):
    make = torch_on_gpus(torch, monkeypatch)
    nested = torch.nested.nested_tensor([torch.tensor([1]), torch.tensor([2, 3])], layout=torch.jagged)
    flat = make(FLAT)
    monkeypatch.setattr(type(nested), "values", lambda self: flat)
    with pytest.raises(
        TypeError, match=r"^ids are a nested tensor on cuda:0.*give ids\.values\(\) and ids\.offsets\(\)"
    ):
        fastemb.embedding_bag(make(TABLE), nested)


def test_autograd_knows_of_what_was_written(room, torch, monkeypatch):
    make = torch_on_gpus(torch, monkeypatch)
    target, out = make(TABLE.copy()), make(GRAD.copy())
    before = target._version, out._version
    fastemb.scatter_add(target, make(FLAT), make(X.reshape(15, D)))
    fastemb.pool(make(X), out=out)
    assert target._version > before[0]
    assert out._version > before[1]


def test_no_error_is_made_on_the_way_of_tensors_on_a_gpu(room, torch, monkeypatch):
    """`Tensor.numpy` would make one, of 8 µs: `fakes` raises where it is asked."""
    make, asked = torch_on_gpus(torch, monkeypatch), []
    monkeypatch.setattr(type(make(TABLE)), "numpy", lambda self: asked.append(self))
    fastemb.gather(make(TABLE), make(IDS))
    fastemb.row_grad(make(IDS), make(X))
    fastemb.embedding_bag(make(TABLE), make(IDS), mask=make(MASK))
    assert not asked


# JAX --------------------------------------------------------------------------------------------------------------


def test_arrays_of_jax_are_waited_for_and_lie_on_one_gpu(room):
    table, ids = JaxArray(TABLE), JaxArray(IDS)
    assert same_bits(fastemb.gather(table, ids).numbers, TABLE[IDS])
    assert table.ready
    assert ids.ready
    turned = JaxArray(np.asfortranarray(TABLE))
    assert view(turned).strides == (4, 4 * len(TABLE))
    assert same_bits(fastemb.gather(turned, ids).numbers, TABLE[IDS])
    table.tiling = ((2, 2),)
    with pytest.raises(TypeError, match=r"^table is a JAX array in tiles"):
        fastemb.gather(table, ids)
    with pytest.raises(TypeError, match=r"^table is a JAX array on 2 devices, whose parts have no one address"):
        fastemb.gather(JaxArray(TABLE, (0, 1)), ids)
    with pytest.raises(TypeError, match=r"^table is a JAX array on .*; arrays are read on the CPU"):
        fastemb.gather(JaxArray(TABLE, platform="tpu"), ids)


def test_ids_that_32_bits_do_not_hold(room, libraries):
    ids = JaxArray(np.array([1, 1 << 40]))
    with pytest.raises(ValueError, match=r"^the result has the id 1099511627776, which JAX cuts to 32 bits"):
        fastemb.row_grad(ids, JaxArray(TABLE[:2].copy()))
    libraries.jax.config.jax_enable_x64 = True
    assert fastemb.row_grad(ids, JaxArray(TABLE[:2].copy())).ids.numbers.tolist() == [1, 1 << 40]
