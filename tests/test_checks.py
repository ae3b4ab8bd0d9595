"""What callers may not give: which of several faults is said first, and the predicates on memory."""

import numpy as np
import pytest
from arrays import lay
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import _checks
from fastemb.gradient import row_grad, scatter_add
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag, embedding_bag_backward, normalize, pool, pool_backward
from fastemb.quantized import quantize
from fastemb.ragged import Ragged

TABLE, X, OUT = np.ones((5, 4), "f4"), np.ones((2, 3, 4), "f4"), np.full((1, 4), 7, "f4")
READ_ONLY = lay(OUT, "read-only")
BAD_ID, BAD_IDS, RAGGED = np.array([9]), np.array([[9, -1]]), Ragged([9], [0, 1])

# Of each call the faults stand in the order in which they must be said: each row takes away the first one.
ORDERS = {
    "gather": [
        (lambda: gather(TABLE.tolist(), [0.5], mode="up", out=[]), TypeError, "table must be a numpy.ndarray"),
        (lambda: gather(TABLE, [0.5], mode="up", out=[]), TypeError, "ids must have an integer dtype"),
        (lambda: gather(TABLE, BAD_ID, mode="up", out=[]), TypeError, "out must be a numpy.ndarray"),
        (lambda: gather(TABLE, BAD_ID, mode="up", out=TABLE.astype("f8")), TypeError, "out must have the table"),
        (lambda: gather(TABLE, BAD_ID, mode="up", out=TABLE), ValueError, "mode must be one of"),
        (lambda: gather(TABLE, BAD_ID, out=TABLE), ValueError, r"out must have shape \(1, 4\), got \(5, 4\)"),
        (lambda: gather(TABLE, BAD_ID, out=TABLE[:1]), ValueError, "out overlaps table in memory"),
        (lambda: gather(TABLE, BAD_ID, out=READ_ONLY), ValueError, "out is read-only"),
        (lambda: gather(TABLE, BAD_ID, out=OUT), IndexError, "id 9 at position 0"),
        (lambda: gather(TABLE, BAD_ID, mode=[]), ValueError, r"mode must be one of .*, got \[\]"),
        (lambda: gather(quantize(TABLE), [0.5], mode="up"), TypeError, "ids must have an integer dtype"),
        (lambda: gather(quantize(TABLE), [9], mode="up", out=OUT.astype("f8")), TypeError, "out must have dtype"),
        (lambda: gather(quantize(TABLE), [9], mode="up", out=TABLE), ValueError, "mode must be one of"),
        (lambda: gather(np.array(1.0), [0.5]), TypeError, "ids must have an integer dtype"),
    ],
    "pool": [
        (lambda: pool(X.astype(int), X[..., 0], mode="up", out=[]), TypeError, "x must have dtype"),
        (lambda: pool(X, X[..., 0], mode="up", out=[]), TypeError, "mask must have dtype bool or an integer dtype"),
        (lambda: pool(X, lengths=[0.5], mode="up", out=[]), TypeError, "lengths must have an integer dtype"),
        (lambda: pool(X[0], offsets=[0.5], mode="up", out=[]), TypeError, "offsets must have an integer dtype"),
        (lambda: pool(X, weights=[1j], mode="up", out=[]), TypeError, "weights must be real numbers"),
        (lambda: pool(X, weights=[1], mode="up", out=OUT.astype(int)), TypeError, "out must have dtype"),
        (lambda: pool(X, [1], lengths=[9], mode="up", out=OUT), ValueError, "mode must be one of"),
        (lambda: pool(X, weights=[1], mode="max", out=OUT), ValueError, "weights go with mode"),
        (lambda: pool(X, [1], lengths=[9], out=OUT), ValueError, "at most one of mask, lengths and offsets"),
        (lambda: pool(X, lengths=[9], out=OUT), ValueError, r"lengths must have shape \(2,\), got \(1,\)"),
        (lambda: pool(X, [[1]], weights=[1], out=OUT), ValueError, r"mask must have shape \(2, 3\), got \(1, 1\)"),
        (lambda: pool(X, lengths=[9, 9], out=OUT), ValueError, r"out must have shape \(2, 4\), got \(1, 4\)"),
        (lambda: pool(X, lengths=[9, 9], out=X[:, 0]), ValueError, "out overlaps x in memory"),
        (lambda: pool(X, lengths=[9, 9]), ValueError, r"lengths must lie from 0 to 3, got lengths\[0\] = 9"),
        (lambda: pool(X[0], offsets=[1, 9], out=TABLE), ValueError, r"out must have shape \(1, 4\), got \(5, 4\)"),
        (lambda: pool(X[0], offsets=[1, 9], out=OUT), ValueError, r"offsets must start at 0, got offsets\[0\] = 1"),
    ],
    "embedding_bag": [
        (lambda: embedding_bag(TABLE.astype(int), [0.5], mode="up", out=[]), TypeError, "table must have dtype"),
        (lambda: embedding_bag(TABLE, [0.5], [0.5], mode="up", out=[]), TypeError, "ids must have an integer dtype"),
        (lambda: embedding_bag(TABLE, BAD_ID, [0.5], mode="up", out=[]), TypeError, "offsets must have an integer"),
        (lambda: embedding_bag(TABLE, BAD_IDS, mask=[0.5], mode="up", out=[]), TypeError, "mask must have dtype bool"),
        (lambda: embedding_bag(TABLE, BAD_IDS, weights=[1j], mode="up", out=[]), TypeError, "weights must be real"),
        (lambda: embedding_bag(TABLE, BAD_ID, padding_idx=0.5, mode="up", out=[]), TypeError, "padding_idx must be an"),
        (lambda: embedding_bag(TABLE, BAD_ID, mode="up", out=[]), TypeError, "out must be a numpy.ndarray"),
        (lambda: embedding_bag(TABLE[0], BAD_ID, mode="up", out=TABLE), ValueError, "mode must be one of"),
        (lambda: embedding_bag(TABLE[0], BAD_ID, weights=[1], mode="max"), ValueError, "weights go with mode"),
        (lambda: embedding_bag(TABLE[0], RAGGED, [0.5], mode="up"), TypeError, "offsets must have an integer dtype"),
        (lambda: embedding_bag(TABLE[0], RAGGED, mask=[1], mode="up"), ValueError, "mode must be one of"),
        (lambda: embedding_bag(TABLE[0], RAGGED, [0, 1], mask=[1]), ValueError, "a Ragged brings its own offsets"),
        (lambda: embedding_bag(TABLE[0], BAD_ID), ValueError, r"table must have shape \(V, D\), got \(4,\)"),
        (lambda: embedding_bag(TABLE, BAD_ID, out=TABLE), ValueError, "1-D ids need offsets"),
        (lambda: embedding_bag(TABLE, BAD_ID, [1, 1], out=TABLE), ValueError, r"out must have shape \(1, 4\)"),
        (lambda: embedding_bag(TABLE, BAD_ID, [1, 1], out=TABLE[:1]), ValueError, "out overlaps table in memory"),
        (lambda: embedding_bag(TABLE, BAD_ID, [1, 1], out=OUT), ValueError, "offsets must start at 0"),
        (lambda: embedding_bag(TABLE, BAD_ID, np.array([1, 1])), ValueError, "offsets must start at 0"),
        (lambda: embedding_bag(TABLE, BAD_ID, [0, 1], out=OUT), IndexError, "id 9 at position 0"),
        (lambda: embedding_bag(TABLE, BAD_IDS, mode="up"), ValueError, "mode must be one of"),
    ],
    "normalize": [
        (lambda: normalize(np.array(1), out=[]), TypeError, "x must have dtype"),
        (lambda: normalize(np.array(1.0), out=[]), TypeError, "out must be a numpy.ndarray"),
        (lambda: normalize(np.array(1.0), out=OUT.astype(int)), TypeError, "out must have dtype"),
        (lambda: normalize(np.array(1.0), out=OUT), ValueError, "x must have at least one axis"),
        (lambda: normalize(TABLE, out=TABLE[:2]), ValueError, r"out must have shape \(5, 4\), got \(2, 4\)"),
        (lambda: normalize(TABLE, out=TABLE[::-1]), ValueError, "out overlaps x in memory"),
    ],
    "row_grad": [
        (lambda: row_grad([0.5], [], padding_idx=0.5), TypeError, "ids must have an integer dtype"),
        (lambda: row_grad([-1], TABLE.tolist(), padding_idx=0.5), TypeError, "grad must be a numpy.ndarray"),
        (lambda: row_grad([-1], TABLE.astype(int), padding_idx=0.5), TypeError, "grad must have dtype"),
        (lambda: row_grad([-1], TABLE, padding_idx=0.5), TypeError, "padding_idx must be an integer or None"),
        (lambda: row_grad([-1], TABLE, padding_idx=-1), ValueError, r"grad must have shape \(1, D\) .* got \(5, 4\)"),
        (lambda: row_grad([-1], TABLE[:1], padding_idx=-2), IndexError, "id -1 at position 0 is negative"),
    ],
    "scatter_add": [
        (lambda: scatter_add(quantize(TABLE), [0.5], [], alpha="", mode=""), TypeError, "target is a quantised table"),
        (lambda: scatter_add(TABLE.astype(int), [0.5], [], alpha="", mode=""), TypeError, "target must have dtype"),
        (lambda: scatter_add(READ_ONLY, [0.5], [], alpha="", mode=""), TypeError, "ids must have an integer dtype"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, [], alpha="", mode=""), TypeError, "rows must be a numpy.ndarray"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, BAD_IDS, alpha="", mode=""), TypeError, "rows must have dtype"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, TABLE, alpha="", mode=""), TypeError, "alpha must be a real number"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, TABLE, mode=""), ValueError, "mode must be one of"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, OUT, mode=[]), ValueError, "mode must be one of"),
        (lambda: scatter_add(TABLE, BAD_ID, TABLE), ValueError, r"rows must have shape \(1, 4\) .* got \(5, 4\)"),
        (lambda: scatter_add(READ_ONLY, BAD_ID, READ_ONLY), ValueError, "target is read-only"),
        (lambda: scatter_add(TABLE, BAD_ID, TABLE[:1]), ValueError, "target overlaps rows in memory"),
        (lambda: scatter_add(TABLE, BAD_ID, OUT), IndexError, "id 9 at position 0"),
    ],
    "pool_backward": [
        (lambda: pool_backward([], X, X[..., 0], mode="up"), TypeError, "mask must have dtype bool"),
        (lambda: pool_backward([], X, lengths=[9], mode="up"), TypeError, "grad must be a numpy.ndarray"),
        (lambda: pool_backward(OUT.astype(int), X, lengths=[9], mode="up"), TypeError, "grad must have dtype"),
        (lambda: pool_backward(OUT, X, lengths=[9], mode="up"), ValueError, "mode must be one of"),
        (lambda: pool_backward(OUT, X, lengths=[9]), ValueError, r"lengths must have shape \(2,\)"),
        (lambda: pool_backward(OUT, X, lengths=[9, 9]), ValueError, "grad must have the shape of the result"),
        (lambda: pool_backward(X[:, 0], X, lengths=[9, 9]), ValueError, "lengths must lie from 0 to 3"),
    ],
    "embedding_bag_backward": [
        (lambda: embedding_bag_backward([], TABLE, [0.5], mode="up"), TypeError, "ids must have an integer dtype"),
        (lambda: embedding_bag_backward([], TABLE, BAD_ID, mode="up"), TypeError, "grad must be a numpy.ndarray"),
        (lambda: embedding_bag_backward(BAD_IDS, TABLE, BAD_ID, mode="up"), TypeError, "grad must have dtype"),
        (lambda: embedding_bag_backward(TABLE, TABLE, BAD_ID, mode="up"), ValueError, "mode must be one of"),
        (lambda: embedding_bag_backward(TABLE, TABLE, BAD_ID), ValueError, "1-D ids need offsets"),
        (lambda: embedding_bag_backward(TABLE, TABLE, BAD_ID, [1, 1]), ValueError, "grad must have the shape of the"),
        (lambda: embedding_bag_backward(OUT, TABLE, BAD_ID, [1, 1]), ValueError, "offsets must start at 0"),
        (lambda: embedding_bag_backward(OUT, TABLE, BAD_ID, [0, 1]), IndexError, "id 9 at position 0"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [pytest.param(*row, id=f"{name}-{k}") for name, rows in ORDERS.items() for k, row in enumerate(rows)],
)
def test_types_then_mode_then_shapes_then_overlap_then_values(call, error, words):
    with pytest.raises(error, match=f"^{words}"):
        call()
    assert (TABLE == 1).all()
    assert (X == 1).all()
    assert (OUT == 7).all()
    assert (READ_ONLY == 7).all()


# Memory -----------------------------------------------------------------------------------------------------------


def places(array):
    """Return the address of every byte of every element."""
    begins = sum(np.ogrid[tuple(slice(n) for n in array.shape)][k] * array.strides[k] for k in range(array.ndim))
    return (np.reshape(begins, (-1, 1)) + np.arange(array.itemsize)).ravel()


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-16, 16)), min_size=1, max_size=3))
def test_what_overlaps_itself_is_found(axes):
    array = np.ndarray([n for n, _ in axes], "i2", np.zeros(400, np.uint8), 200, [step for _, step in axes])
    found = places(array)
    assert _checks.overlaps_itself(array) or len(np.unique(found)) == len(found)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("key", [np.s_[:], np.s_[::2], np.s_[::-1], np.s_[:, 1:3], np.s_[1:2, ::-2], np.s_[:0]])
def test_views_that_numpy_makes_do_not_overlap_themselves(order, key):
    assert not _checks.overlaps_itself(np.zeros((4, 6, 3), order=order)[key])
    assert not _checks.overlaps_itself(np.zeros((4, 6, 3), order=order)[key].swapaxes(0, 1))


def test_windows_and_broadcast_arrays_overlap_themselves():
    assert _checks.overlaps_itself(np.broadcast_to(np.zeros(3), (2, 3)))
    assert _checks.overlaps_itself(np.lib.stride_tricks.sliding_window_view(np.zeros(9), 3))
    assert not _checks.overlaps_itself(np.broadcast_to(np.zeros(3), (1, 3)))


def test_the_same_memory_whatever_the_class(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 3))
    for other in (x, np.asarray(x), x[:], x.view(np.ndarray)):
        assert _checks.same_memory(np.asarray(x), other)
        assert _checks.same_memory(x, other)
    for other in (x[:2], x[::-1], x.T, x.view("i4"), x.copy(), x.reshape(3, 4)):
        assert not _checks.same_memory(x, other)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        pytest.param(lambda out: gather(TABLE, [0, 1], out=out), 1, id="gather"),
        pytest.param(lambda out: embedding_bag(TABLE, [[0], [1]], out=out), 1, id="embedding_bag"),
        pytest.param(lambda out: pool(X, out=out), 1, id="pool"),
        pytest.param(lambda out: normalize(X[:, 0], out=out), 0.5, id="normalize"),
        pytest.param(lambda out: scatter_add(out, [0, 1], TABLE[:2]), 1, id="scatter_add"),
    ],
)
def test_out_comes_back_as_it_was_given(call, value, tmp_path):
    """A memory map is filled, and it is what is returned, not a view of it."""
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(2, 4))
    assert call(out) is out
    assert (out == value).all()
