"""The functions of fastemb.jax: NumPy's bits, in programs of JAX and outside of them, on both roads."""

import jax_cases as cases
import numpy as np
import pytest
from arrays import BF16, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb import Ragged, _threads

jax = pytest.importorskip("jax", reason="the package jax is not installed")
jnp = jax.numpy

import fastemb.jax as fj  # noqa: E402
from fastemb.jax import _general  # noqa: E402


def by_jit(name, floats, others):
    """Return what a program gives of which all arrays are arguments."""
    arrays = {key: array for key, array in others.items() if isinstance(array, np.ndarray)}
    options = {key: option for key, option in others.items() if key not in arrays}
    program = jax.jit(lambda floats, arrays: cases.call(fj, name, floats, {**arrays, **options}))
    return program(*jax.tree.map(jnp.asarray, (floats, arrays)))


@pytest.fixture
def roads(monkeypatch):
    """The names of the functions that the general road was taken for."""
    taken = []
    for name, function in _general._FUNCTIONS.items():

        def run(*given, name=name, function=function):
            taken.append(name)
            function(*given)

        monkeypatch.setitem(_general._FUNCTIONS, name, run)
    return taken


@pytest.mark.parametrize("case", cases.CASES)
@pytest.mark.parametrize("dtype", ["f4", BF16])
def test_numpys_bits(case, dtype):
    name, floats, others = cases.CASES[case]
    floats = cases.of_dtype(floats, dtype)
    expected = cases.call(fastemb, name, floats, others)
    assert same_bits(np.asarray(by_jit(name, floats, others)), expected)
    if dtype == "f4":
        assert same_bits(np.asarray(cases.call(fj, name, floats, others)), expected)


@pytest.mark.parametrize("case", ["gather", "embed all", "masked bags mean", "weighted pool mean", "rope places"])
def test_float64_and_64_bit_ids_where_they_are_enabled(case):
    name, floats, others = cases.CASES[case]
    with jax.enable_x64(True):
        found = by_jit(name, floats, others)
        assert same_bits(np.asarray(found), cases.call(fastemb, name, floats, others))


SMALL = (
    "gather", "embed", "embed positions norm", "bags max", "bags mean", "ragged bags mean_sqrt_len",
    "bags of some mean", "pool sum", "masked pool max",
)  # fmt: skip


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("case", SMALL)
def test_small_calls_need_no_python(case, x64, roads):
    name, floats, others = cases.CASES[case]
    floats = cases.of_dtype(floats, "f4")
    with jax.enable_x64(x64):
        found = by_jit(name, floats, others).block_until_ready()
    assert not roads
    assert same_bits(np.asarray(found), cases.call(fastemb, name, floats, others))


@pytest.mark.parametrize("case", SMALL)
def test_large_calls_take_the_general_road_and_its_threads(case, roads, monkeypatch):
    name, floats, others = cases.CASES[case]
    floats = cases.of_dtype(floats, "f4")
    many = {"x": lambda x: np.tile(x, (300, 1, 1))}
    floats = {key: many.get(key, np.asarray)(array) for key, array in floats.items()}
    if "offsets" in others:
        others = {**others, "ids": np.tile(others["ids"], 300), "offsets": np.arange(0, 9001, 30)}
    elif "ids" in others:
        others = {**others, "ids": np.tile(others["ids"], (300, 1))}
    if "mask" in others:
        others = {**others, "mask": np.tile(others["mask"], (300, 1))}
    cuts, run = [], _threads.run

    def counted(function, ranges):
        cuts.append(len(ranges) - 1)
        run(function, ranges)

    monkeypatch.setattr(_threads, "run", counted)
    monkeypatch.setattr(_threads, "_GRAIN", 1 << 16)
    results = []
    before = fastemb.get_num_threads()
    for threads in (1, 3):
        fastemb.set_num_threads(threads)
        results.append(np.asarray(by_jit(name, floats, others)))
    fastemb.set_num_threads(before)
    assert roads == [name, name]
    assert max(cuts) == 3
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], cases.call(fastemb, name, floats, others))


@st.composite
def bags(draw):
    N, S = draw(st.integers(0, 12)), draw(st.integers(0, 4))
    offsets = sorted(draw(st.lists(st.integers(0, N), min_size=S, max_size=S)))
    ids = draw(st.lists(st.integers(0, cases.V - 1), min_size=N, max_size=N))
    inner = [0, *offsets, N]
    return np.array(ids, np.int32), np.array(inner, draw(st.sampled_from(["i4", "u1"])))


@settings(max_examples=25, deadline=None)
@given(bags(), st.sampled_from(cases.MODES), st.sampled_from(cases.FLOATS), st.integers(0, 20), st.booleans())
def test_any_bags(given, mode, dtype, width, normalize):
    (ids, offsets), table = given, cases.TABLE[:, :width].astype(dtype)
    options = {"mode": mode, "normalize": normalize}
    expected = fastemb.embedding_bag(table, ids, offsets, **options)
    assert same_bits(np.asarray(fj.embedding_bag(jnp.asarray(table), ids, offsets, **options)), expected)
    expected = fastemb.pool(table[ids], offsets=offsets, **options)
    assert same_bits(np.asarray(fj.pool(jnp.asarray(table[ids]), offsets=offsets, **options)), expected)


#: All of JAX's dtypes whose elements are whole bytes; float32 and its like are seen elsewhere.
BYTES = "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "complex64", *(
    f"float8_{kind}" for kind in ("e3m4", "e4m3", "e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")
)  # fmt: skip


@pytest.mark.parametrize("road", ["small", "general"])
@pytest.mark.parametrize("name", BYTES)
def test_gather_moves_any_dtype(name, road, monkeypatch):
    table = jnp.asarray(np.abs(cases.TABLE)).astype(name)
    if road == "general":  # which ids of 8 bits take
        monkeypatch.setattr(cases, "IDS", cases.IDS.astype(np.int8))
    assert same_bits(np.asarray(fj.gather(table, cases.IDS)), np.asarray(table)[cases.IDS])
    assert same_bits(np.asarray(fj.gather(table, cases.IDS - 3, mode="wrap")), np.asarray(table)[cases.IDS - 3])


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4"])
def test_any_integers_are_offsets(dtype):
    """None of fewer bits are read as if they were of 64, which here are other offsets that ascend, too."""
    table, n = cases.TABLE.astype("f4"), 8 // np.dtype(dtype).itemsize
    room = np.zeros(40, "i8")
    at = -room.ctypes.data % 64 // 8  # from where XLA takes memory as it lies
    room[at + 1 : at + n + 1] = 8
    offsets = room[at:].view(dtype)[: n + 1]
    assert offsets.tolist() == [0] * n + [8]
    found = fj.embedding_bag(jnp.asarray(table), cases.FLAT[:8], jnp.from_dlpack(offsets))
    assert same_bits(np.asarray(found), fastemb.embedding_bag(table, cases.FLAT[:8], offsets))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4"])
def test_any_integers_are_ids(dtype):
    ids, table = cases.IDS.astype(dtype), jnp.asarray(cases.TABLE, "f4")
    assert same_bits(np.asarray(fj.gather(table, ids)), np.asarray(table)[cases.IDS])
    assert same_bits(np.asarray(fj.embed(table, ids)), np.asarray(table)[cases.IDS])
    expected = fastemb.embedding_bag(np.asarray(table), cases.IDS)
    assert same_bits(np.asarray(fj.embedding_bag(table, ids)), expected)


def test_shapes_without_numbers():
    assert fj.gather(jnp.zeros((3, 0)), [1]).shape == (1, 0)
    assert fj.gather(jnp.zeros((0, 4)), jnp.zeros(0, int)).shape == (0, 4)
    assert fj.embedding_bag(jnp.zeros((0, 4)), jnp.zeros((2, 0), int)).shape == (2, 4)
    assert fj.embedding_bag(jnp.zeros((3, 4)), jnp.zeros(0, int), [0]).shape == (0, 4)
    assert not fj.pool(jnp.ones((2, 0, 4)), mode="max").any()
    assert fj.embed(jnp.zeros((3, 4)), jnp.zeros((0, 2), int)).shape == (0, 2, 4)
    assert fj.rope(jnp.zeros((0, 4))).shape == (0, 4)


def test_rows_of_different_lengths():
    ragged, table = Ragged.from_lists([[1, 2, 3], [], [4]]), cases.TABLE.astype("f4")
    assert same_bits(np.asarray(fj.embedding_bag(table, ragged)), fastemb.embedding_bag(table, ragged))
    expected = fastemb.embed(table, ragged, positions=table[:3])
    assert same_bits(np.asarray(fj.embed(table, ragged, positions=table[:3])), expected)


def test_tables_in_another_order_and_tables_given_away():
    table = jnp.asarray(cases.TABLE, "f4")
    turned = jax.jit(lambda table: fj.embedding_bag(table.T, cases.IDS))(table.T)
    assert same_bits(np.asarray(turned), fastemb.embedding_bag(np.asarray(table), cases.IDS))

    def step(table, ids):
        return table.at[0].set(fj.embedding_bag(table, ids)[0])

    expected = np.asarray(jax.jit(step)(table, cases.IDS))
    assert same_bits(np.asarray(jax.jit(step, donate_argnums=0)(table, cases.IDS)), expected)
    assert table.is_deleted()


@pytest.mark.parametrize("dtype", ["f2", BF16])
def test_16_bits_are_as_near_to_float64_as_they_can_be(dtype):
    table = cases.TABLE.astype(dtype)
    exact = table.astype("f8")[cases.IDS]
    mean = np.asarray(jax.jit(fj.embedding_bag)(table, cases.IDS)).astype("f8")
    half = np.finfo("f2").eps / 2 if dtype == "f2" else 2.0**-8  # of the last place
    assert (np.abs(mean - exact.mean(1)) <= 1.01 * half * np.abs(exact.mean(1)) + 1e-6).all()
