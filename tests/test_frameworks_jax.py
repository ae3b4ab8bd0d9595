"""Arrays of JAX: NumPy's numbers to the bit, views of its memory; one sentence for what cannot be."""

import os
import subprocess
import sys

import numpy as np
import pytest
from arrays import BF16, by_eight_callers, same_bits
from framework_cases import CALLS, FLAT, GRAD, IDS, MASK, OFFSETS, POSITIONS, PURE, TABLE, D, V, X, check

import fastemb
from fastemb import Ragged, _frameworks, _memory

jax = pytest.importorskip("jax", reason="the package jax is not installed")
jnp = jax.numpy

LARGE = np.random.default_rng(3).standard_normal((6000, 64), np.float32)  # results of 1.5 MiB


# JAX's ids have 32 bits unless it is told otherwise: numbers are the same, dtypes of ids are not.
@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("kind", ["f4", "f2", BF16])
def test_numpys_numbers_in_arrays_of_jax(name, kind):
    expected = CALLS[name](lambda array: array.astype(kind), np.asarray)
    for ids in (jnp.asarray, np.asarray):
        found = CALLS[name](lambda array: jnp.asarray(array.astype(kind)), ids)
        check(found, expected, jax.Array, np.asarray, ids_kept=False)


@pytest.mark.parametrize("name", PURE)
def test_float64_and_64_bit_ids_where_they_are_enabled(name):
    with jax.enable_x64(True):
        found = CALLS[name](lambda array: jnp.asarray(array.astype("f8")), jnp.asarray)
        expected = CALLS[name](lambda array: array.astype("f8"), np.asarray)
        check(found, expected, jax.Array, np.asarray)


@pytest.mark.parametrize("name", PURE)
def test_the_general_road(name, general_road):
    found = CALLS[name](jnp.asarray, jnp.asarray)
    check(found, CALLS[name](np.asarray, np.asarray), jax.Array, np.asarray, ids_kept=False)


@pytest.mark.parametrize("name", CALLS)
def test_numpys_tables_take_ids_of_jax(name):
    found = CALLS[name](np.asarray, jnp.asarray)
    check(found, CALLS[name](np.asarray, np.asarray), np.ndarray, np.asarray, ids_kept=False)


@pytest.mark.parametrize("name", ["bool", "int8", "uint8", "int4", "uint4", "complex64", "float8_e4m3fn"])
def test_gather_moves_any_dtype(name):
    table = jnp.asarray(np.abs(TABLE)).astype(name)
    found = fastemb.gather(table, IDS)
    assert same_bits(np.asarray(found), np.asarray(table)[IDS])


def test_shapes_without_numbers():
    assert fastemb.gather(jnp.zeros((3, 0)), [1]).shape == (1, 0)
    assert fastemb.gather(jnp.zeros((0, 4)), jnp.zeros(0, int)).shape == (0, 4)
    assert fastemb.gather(jnp.arange(4.0), 2).shape == ()
    assert fastemb.pool(jnp.zeros((2, 0, 3))).tolist() == [[0, 0, 0]] * 2


def test_views_are_no_copies_and_take_the_small_path(monkeypatch):
    """JAX's arrays are read-only, and read-only arrays have no small path: so views are not marked as such."""
    seen = []
    room = fastemb.lookup._devices.HERE["lookup"]
    way = room.small_gather
    monkeypatch.setattr(room, "small_gather", lambda *given: seen.append(given) or way(*given))
    monkeypatch.setattr(room, "gather", None)
    table, ids = jnp.asarray(TABLE), jnp.asarray(IDS)
    fastemb.gather(table, ids)
    assert [array.ctypes.data for array in seen[0]] == [table.unsafe_buffer_pointer(), ids.unsafe_buffer_pointer()]
    assert same_bits(np.asarray(table), TABLE)


def test_large_results_share_the_pools_memory(monkeypatch):
    pool = _memory.Pool(64 << 20)
    monkeypatch.setattr(_memory, "_pool", pool)
    for table in (jnp.asarray(LARGE), jnp.asarray(np.concatenate([LARGE, LARGE], 1)).astype(jnp.bfloat16)):
        made = []
        way = _frameworks.of(table).result
        note = lambda array, way=way, made=made: made.append(array) or way(array)  # noqa: E731
        monkeypatch.setattr(_frameworks.of(table), "result", note)
        first = fastemb.gather(table, np.arange(6000))
        at = first.unsafe_buffer_pointer()
        assert at == made.pop().ctypes.data
        second = fastemb.gather(table, np.arange(6000))
        assert second.unsafe_buffer_pointer() != at
        assert same_bits(np.asarray(first), np.asarray(table))
        del second
        made.clear()
        later = first.T + 1  # jax's own work on our memory
        del first
        assert same_bits(np.asarray(later), np.asarray(table.T + 1))
        monkeypatch.undo()
        monkeypatch.setattr(_memory, "_pool", pool)
    assert pool.held()


def test_ids_in_rows_of_different_lengths():
    ragged = Ragged.from_lists([[3, 1, 4], [1], [], [5, 9]])
    found = fastemb.embedding_bag(jnp.asarray(TABLE), ragged)
    assert same_bits(np.asarray(found), fastemb.embedding_bag(TABLE, ragged))


def test_eight_callers():
    jobs = [(jnp.asarray(LARGE), np.random.default_rng(k).integers(0, 6000, 3000)) for k in range(16)]
    for (table, ids), found in zip(jobs, by_eight_callers(fastemb.gather, jobs), strict=True):
        assert same_bits(np.asarray(found), np.asarray(table)[ids])


SEVERAL = """
import fastemb, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

table, (first, second) = np.arange(24, dtype="f4").reshape(6, 4), jax.devices()
for device in (first, second):
    mine = jax.device_put(table, device)
    for default in (first, second):
        with jax.default_device(default):
            for found in (fastemb.gather(mine, [5, 0]), *fastemb.row_grad([5, 0], mine[:2])):
                assert found.devices() == {device}
    assert fastemb.quantize(mine).shape == (6, 4)
mesh = Mesh(np.array([first, second]), "a")
for parts in (PartitionSpec("a"), PartitionSpec()):  # cut, and on both
    shared = jax.device_put(table, NamedSharding(mesh, parts))
    assert np.array_equal(fastemb.gather(shared, [5, 0]), table[[5, 0]])
"""


def test_several_devices_on_the_cpu():
    """Results lie where the array that decides does, whichever device JAX makes arrays on."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", SEVERAL], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_offsets_are_integers_or_refused(monkeypatch):
    """Those of 32 bits are widened for the small path, and nothing else is made integers."""
    table, ids = jnp.asarray(TABLE), jnp.asarray(FLAT)
    for call in (
        lambda offsets: fastemb.embedding_bag(table, ids, offsets),
        lambda offsets: fastemb.pool(table, offsets=offsets),
        lambda offsets: Ragged(FLAT, offsets),
    ):
        for offsets in (jnp.asarray([0.5, 15.0]), jnp.asarray([False, True]), jnp.asarray([0, 15j])):
            with pytest.raises(TypeError, match=f"offsets must have an integer dtype, got dtype {offsets.dtype}"):
                call(offsets)
    monkeypatch.setattr(fastemb.pooling._devices.HERE["pooling"], "reduce", None)
    assert fastemb.embedding_bag(table, ids, jnp.asarray(OFFSETS)).shape == (3, D)


# What cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: jax.jit(lambda x: fastemb.pool(x))(X),
        lambda: jax.vmap(lambda x: fastemb.normalize(x))(X),
        lambda: jax.grad(lambda x: fastemb.normalize(x).sum())(X),
        lambda: jax.jit(lambda ids: fastemb.gather(jnp.asarray(TABLE), ids))(FLAT),
        lambda: jax.jit(lambda ids: fastemb.gather(TABLE, ids))(FLAT),
        lambda: jax.jit(lambda mask: fastemb.pool(X, mask))(MASK),
        lambda: jax.jit(lambda table: fastemb.embed(TABLE, FLAT, positions=table))(POSITIONS),
    ],
)
def test_tracers(call):
    with pytest.raises(TypeError, match=r"is a JAX tracer.*call outside of jit.*fastemb\.jax"):
        call()


def test_arrays_of_jax_are_not_written_to():
    table, out = jnp.asarray(TABLE), jnp.zeros((15, D))
    for words, call in (
        ("out is a JAX array, which cannot be written to", lambda: fastemb.gather(table, FLAT, out=out)),
        (r"target is a JAX array.*table\.at\[ids\]\.add\(rows\)",
         lambda: fastemb.scatter_add(out, FLAT % 15, jnp.asarray(X.reshape(15, D)))),
        ("out is an array of NumPy and table one of JAX", lambda: fastemb.gather(table, FLAT, out=np.array(out))),
        ("out must be a numpy.ndarray, as the table or x is, got jax", lambda: fastemb.gather(TABLE, FLAT, out=out)),
        ("grad is an array of NumPy and x one of JAX", lambda: fastemb.pool_backward(GRAD, jnp.asarray(X))),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call()
    assert not np.asarray(out).any()
    assert same_bits(np.asarray(table), TABLE)


def test_ids_that_32_bits_do_not_hold():
    """JAX would make 0 of 2**40, without a word."""
    with pytest.raises(ValueError, match=r"the result has the id 1099511627776, which JAX cuts to 32 bits.*enable_x64"):
        fastemb.row_grad(np.array([1, 1 << 40]), jnp.ones((2, 3)))
    with jax.enable_x64(True):
        assert fastemb.row_grad(np.array([1, 1 << 40]), jnp.ones((2, 3))).ids.tolist() == [1, 1 << 40]


def test_floats_of_two_frameworks():
    torch = pytest.importorskip("torch", reason="the package torch is not installed")
    table, theirs = jnp.asarray(TABLE), torch.from_numpy(POSITIONS)
    with pytest.raises(TypeError, match="positions is an array of torch and table one of JAX"):
        fastemb.embed(table, IDS, positions=theirs)
    with pytest.raises(TypeError, match="positions is an array of JAX and table one of torch"):
        fastemb.embed(torch.from_numpy(TABLE), IDS, positions=jnp.asarray(POSITIONS))
    assert same_bits(np.asarray(fastemb.gather(table, torch.from_numpy(IDS))), TABLE[IDS])


def test_other_things_of_jax():
    with pytest.raises(TypeError, match="table is a PRNGKeyArray of JAX, which has no numbers"):
        fastemb.gather(jax.random.split(jax.random.key(0), V), IDS)
    with pytest.raises(IndexError, match="id 50 at position 1 is out of range for a table of 50 rows"):
        fastemb.gather(jnp.asarray(TABLE), jnp.asarray([1, V]))
    assert _frameworks.of(jnp.float32) is None
    gone = jnp.asarray(TABLE) + 1
    gone.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        fastemb.gather(gone, IDS)
