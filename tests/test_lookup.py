"""gather against its oracle, over dtypes, layouts, ids and modes."""

import subprocess
import sys

import numpy as np
import pytest
from arrays import BF16, by_eight_callers, lay, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _memory, _threads
from fastemb._cpu import lookup
from fastemb.lookup import gather
from fastemb.quantized import QuantizedTable
from fastemb.ragged import Ragged

DTYPES = [
    "f8",
    "f4",
    "f2",
    ">f4",
    "i1",
    "u2",
    "i8",
    "c16",
    "?",
    "S3",
    "U5",
    "M8[s]",
    [("a", "f4"), ("b", "i1")],
    BF16,
]
LAYOUTS = ["plain", "read-only", "rows apart", "reversed", "strided", "fortran", "misaligned"]


def make_table(shape, dtype, layout="plain", seed=0):
    """Return a table of random bytes (so NaN and subnormals too) laid out as asked."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape)) * dtype.itemsize
    low = 0x41 if dtype.kind == "U" else 0
    data = np.random.default_rng(seed).integers(low, 256, count, dtype=np.uint8)
    if dtype.kind == "U":
        data = data.reshape(-1, 4) * np.array([1, 0, 0, 0], np.uint8)
    if dtype.kind == "b":
        data &= 1
    table = np.frombuffer(data.tobytes(), dtype).reshape(shape) if count else np.zeros(shape, dtype)
    return lay(table.copy(), layout)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(LAYOUTS),
    st.lists(st.integers(0, 70), max_size=2),
    st.integers(1, 40),
    st.sampled_from(["i1", "u1", "i2", "u4", "i4", "i8", "u8", ">i4", ">i8"]),
    st.sampled_from([(), (0,), (1,), (7,), (3, 4), (2, 0, 3)]),
    st.randoms(use_true_random=False),
)
def test_equals_reference(dtype, layout, tail, V, id_dtype, id_shape, random):
    table = make_table((V, *tail), dtype, layout)
    ids = np.array([random.randrange(V) for _ in range(int(np.prod(id_shape)))], id_dtype).reshape(id_shape)
    expected = np.asarray(reference.gather(table, ids), table.dtype)
    assert same_bits(gather(table, ids), expected)
    assert same_bits(gather(table, ids.astype("i8"), mode="clip"), expected)
    out = np.empty(ids.shape + table.shape[1:], table.dtype)
    assert gather(table, ids, mode="wrap", out=out) is out
    assert same_bits(out, expected)


@pytest.mark.parametrize("road", ["small", "plain", "streamed"])
@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 191, 255, 256, 257, 319, 1023, 1024, 1025, 1500, 4096])
def test_every_row_size_between_sentinels(size, road, monkeypatch):
    monkeypatch.setattr(lookup, "_SMALL_BYTES", 1 << 60 if road == "small" else 0)
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0 if road == "streamed" else 1 << 60)
    table = make_table((50, size), "u1")
    ids = np.random.default_rng(1).integers(0, 50, 33)
    for shift in (0, 1, 16, 47, 63):
        fenced = np.full(33 * size + 256, 0xA5, np.uint8)
        out = fenced[64 + shift : 64 + shift + 33 * size].reshape(33, size)
        gather(table, ids, out=out)
        assert (out == table[ids]).all()
        assert (fenced[: 64 + shift] == 0xA5).all()
        assert (fenced[64 + shift + 33 * size :] == 0xA5).all()


@pytest.mark.parametrize("mode", ["clip", "wrap"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
def test_modes_are_those_of_take(mode, layout, id_dtype):
    table = make_table((10, 5), "f4", layout)
    low, high = np.iinfo(id_dtype).min, np.iinfo(id_dtype).max
    ids = np.array([low, -11, -10, -1, 0, 9, 10, 11, 25, high], id_dtype)
    near = ids[1:-1]  # numpy.take wraps by subtracting V again and again, which never ends for ids far off
    assert same_bits(gather(table, near, mode=mode), np.take(table, near, axis=0, mode=mode))
    assert same_bits(gather(table, ids, mode=mode), reference.gather(table, ids, mode))


def test_modes_with_ids_beyond_int64():
    table, ids = make_table((10, 5), "f4"), np.array([3, 2**64 - 1, 2**63], np.uint64)
    assert same_bits(gather(table, ids, mode="clip"), table[[3, 9, 9]])
    assert same_bits(gather(table, ids, mode="wrap"), table[[3, (2**64 - 1) % 10, 2**63 % 10]])
    with pytest.raises(IndexError, match="id 18446744073709551615 at position 1 is out of range"):
        gather(table, ids)


def test_shapes():
    table = make_table((4, 3), "f4")
    assert gather(table, 2).shape == (3,)
    assert gather(table, np.int16(2)).shape == (3,)
    assert gather(table, np.array(2)).shape == (3,)
    assert gather(table, []).shape == (0, 3)
    assert gather(table, [[], []]).shape == (2, 0, 3)
    assert gather(table, ((0, 1), (2, 3))).shape == (2, 2, 3)
    assert gather(table[:, 0].copy(), [1, 2]).shape == (2,)
    assert gather(np.zeros((4, 0), "f4"), [1, 2]).shape == (2, 0)
    assert gather(np.zeros((0, 3), "f4"), []).shape == (0, 3)
    assert gather(np.zeros((0, 3), "f4"), [], mode="clip").shape == (0, 3)


def test_ids_are_read_with_strides():
    table, ids = make_table((50, 3), "f4"), np.arange(40).reshape(8, 5)
    assert same_bits(gather(table, ids.T), table[ids.T])
    assert same_bits(gather(table, ids[::-2, ::2]), table[ids[::-2, ::2]])
    ids.flags.writeable = False
    assert same_bits(gather(table, ids), table[ids])


@pytest.mark.parametrize("layout", ["rows apart", "strided", "fortran", "misaligned"])
@pytest.mark.parametrize("id_shape", [(6,), (2, 3), ()])
def test_out_of_every_layout(layout, id_shape):
    table = make_table((9, 4), "f4")
    ids = np.arange(int(np.prod(id_shape))).reshape(id_shape)
    out = make_table((*id_shape, 4), "f4", layout if id_shape else "plain")
    assert gather(table, ids, out=out) is out
    assert same_bits(out.copy(), table[ids])


def test_columns_between_the_rows_of_out_are_kept():
    table, wide = make_table((9, 4), "f4"), np.full((6, 10), 7, "f4")
    gather(table, np.arange(6), out=wide[:, 3:7])
    assert same_bits(wide[:, 3:7].copy(), table[:6])
    assert (wide[:, :3] == 7).all()
    assert (wide[:, 7:] == 7).all()


def spy(monkeypatch, name, argument):
    """Return a list that gets one argument of each call to a kernel."""
    from fastemb._cpu.kernels import lookup as kernels
    from fastemb._cpu.kernels import quantized as quantized_kernels

    seen, module = [], kernels if hasattr(kernels, name) else quantized_kernels
    kernel = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: seen.append(given[argument]) or kernel(*given))
    return seen


def test_large_results_are_streamed_into_touched_memory(monkeypatch):
    """Into `out` and memory of earlier results from the size on; the bytes are the same, with threads too."""
    monkeypatch.setattr(_memory, "_pool", None)
    seen = spy(monkeypatch, "gather_rows", 9)
    table = make_table((100, 96), "f4")
    ids = np.random.default_rng(2).integers(0, 100, (8 << 20) // 384 + 1)
    for threads in (1, 3):
        with _threads.num_threads(threads):
            monkeypatch.setattr(_memory, "_pool", None)
            out = np.empty((ids.size, 96), np.float32)
            assert same_bits(gather(table, ids, out=out), table[ids])
            assert any(seen)
            seen.clear()
            first = gather(table, ids)
            gather(table, ids[:-2], out=out[:-2])
            gather(table[:, :15].copy(), np.tile(ids, 7), out=np.empty((7 * ids.size, 15), np.float32))
            assert seen
            assert not any(seen)
            del first
            assert same_bits(gather(table, ids), table[ids])
            assert seen[-1]
            seen.clear()


@pytest.mark.parametrize("dtype", ["f4", ">f4", "i1", BF16, "S3", "M8[s]", [("a", ">f4"), ("b", "i1")]])
def test_large_results_come_from_the_pool(dtype, monkeypatch):
    pool = _memory.Pool(64 << 20)
    monkeypatch.setattr(_memory, "_pool", pool)
    table = make_table((100, 80), dtype)
    ids = np.random.default_rng(2).integers(0, 100, (20_000, 1))
    for _ in range(2):
        result = gather(table, ids)
        assert same_bits(result, table[ids])
        assert result.__array_interface__["data"][0] % 64 == 0
        assert pool.held() == 0
        del result
        assert pool.held() > 1 << 20


def test_threads_give_the_same_bits(small_grain, general_road):
    table = make_table((1000, 33), "f4")
    ids = np.random.default_rng(2).integers(-3000, 3000, 777)
    expected = reference.gather(table, ids, "wrap")
    for result in on_threads(lambda: gather(table, ids, mode="wrap", out=np.full((777, 33), np.nan, "f4"))):
        assert same_bits(result, expected)


def test_eight_callers_at_once(small_grain, general_road):
    table = make_table((1000, 64), "f4")
    jobs = [np.random.default_rng(k).integers(0, 1000, 501) for k in range(64)]
    results = by_eight_callers(lambda ids: gather(table, ids), [(ids,) for ids in jobs])
    assert all(same_bits(result, table[ids]) for result, ids in zip(results, jobs, strict=True))


def test_a_table_beyond_2_31_elements(tmp_path):
    V, D = 2**22 + 5, 1024
    table = np.memmap(tmp_path / "table", np.float16, "w+", shape=(V, D))
    for row in (0, 2**21 + 1, V - 1):
        table[row] = np.arange(D) + row % 7
    ids = np.array([V - 1, 0, 2**21 + 1], np.int32)
    assert same_bits(gather(table, ids), np.asarray(table[ids]))
    assert gather(table, ids)[0, 3] == 3 + (V - 1) % 7
    readonly = np.memmap(tmp_path / "table", np.float16, "r", shape=(V, D))
    assert same_bits(gather(readonly, ids), np.asarray(table[ids]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["plain", "fortran"])
def test_bad_ids_leave_out_alone(threads, layout, small_grain, general_road):
    table, out = make_table((3, 4), "f4", layout), np.full((5000, 4), 7, "f4")
    ids = np.zeros(5000, np.int64)
    for position, bad in ((4999, 3), (4096, -1), (17, 70000)):
        ids[position] = bad
        with (
            _threads.num_threads(threads),
            pytest.raises(IndexError, match=f"^id {bad} at position {position} is out of range for a table of 3 r"),
        ):
            gather(table, ids, out=out)
        assert (out == 7).all()


def test_positions_of_bad_ids():
    table = make_table((3, 4), "f4")
    with pytest.raises(IndexError, match=r"^id 3 at position \(1, 0\) is out of range for a table of 3 rows$"):
        gather(table, [[0, 1], [3, -1]])
    with pytest.raises(IndexError, match=r"^id -1 is out of range for a table of 3 rows$"):
        gather(table, -1)
    for mode in ("raise", "clip", "wrap"):
        with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
            gather(table[:0], [0], mode=mode)
        with pytest.raises(IndexError, match="out of range for a table of 0 rows"):
            gather(table[:0], np.array([2**63], np.uint64), mode=mode)


class Foreign:
    """An array of another framework, as far as attributes go."""

    def __dlpack__(self):
        raise AssertionError("looked into")

    def __array__(self, *args, **kwargs):
        raise AssertionError("converted")


@pytest.mark.parametrize(
    ("table", "ids", "options", "error", "words"),
    [
        ([[1.0]], [0], {}, TypeError, "only NumPy arrays are taken so far.*, got list"),
        (Foreign(), [0], {}, TypeError, "only NumPy arrays are taken so far.*Foreign"),
        (np.ma.zeros((2, 2)), [0], {}, TypeError, "table is a masked array"),
        (np.array([["a", None]], object), [0], {}, TypeError, "without Python objects, got object"),
        (np.float32(1), [0], {}, TypeError, "got numpy.float32"),
        (np.ones((2, 2), "f4"), np.array([0, 5]), {}, IndexError, "id 5 at position 1 is out of range.* 2 rows"),
        (np.ones((2, 2), "f4"), np.array([[0, 1], [-1, 5]]), {}, IndexError, r"id -1 at position \(1, 0\) is out"),
        (np.ones((2, 2), "f4"), np.array(2), {}, IndexError, "id 2 is out of range"),
        (np.ones((0, 2), "f4"), np.array([0]), {}, IndexError, "id 0 at position 0 is out of range.* 0 rows"),
        (np.ones((2, 2), "f4"), np.array([0]), {"mode": "skip"}, ValueError, "'raise', 'clip', 'wrap', got 'skip'"),
        (np.array(1.0), [0], {}, ValueError, r"at least one axis, got shape \(\)"),
        (np.ones((2, 2)), Foreign(), {}, TypeError, "ids must be a NumPy array or a list so far, got .*Foreign"),
        (np.ones((2, 2)), [True], {}, TypeError, "integer dtype, got dtype bool"),
        (np.ones((2, 2)), [0.0], {}, TypeError, "integer dtype, got dtype float64"),
        (np.ones((2, 2)), np.empty(0), {}, TypeError, "integer dtype, got dtype float64"),
        (np.ones((2, 2)), None, {}, TypeError, "integer dtype, got NoneType"),
        (np.ones((2, 2)), "0", {}, TypeError, "integer dtype, got dtype <U1"),
        (np.ones((2, 2)), np.ma.array([0]), {}, TypeError, "ids is a masked array"),
        (np.ones((2, 2)), [[0], [0, 1]], {}, ValueError, "rows of different lengths go into a Ragged"),
        (np.ones((2, 2)), Ragged([0], [0, 1]), {}, TypeError, r"ragged\.ids"),
        (np.ones((2, 2)), [0], {"mode": "skip"}, ValueError, "'raise', 'clip', 'wrap', got 'skip'"),
        (np.ones((2, 2)), [0], {"out": [[0, 0]]}, TypeError, "out must be a numpy.ndarray.*got list"),
        (np.ones((2, 2)), [0], {"out": np.ma.ones((1, 2))}, TypeError, "out is a masked array"),
        (np.ones((2, 2)), [0], {"out": np.ones((1, 2), "f4")}, TypeError, "dtype, float64, got float32"),
        (np.ones((2, 2)), [0], {"out": np.ones((1, 2), ">f8")}, TypeError, "dtype, float64, got >f8"),
        (np.ones((2, 2)), [0], {"out": np.ones((2, 2))}, ValueError, r"shape \(1, 2\), got \(2, 2\)"),
    ],
)
def test_refusals(table, ids, options, error, words):
    with pytest.raises(error, match=words):
        gather(table, ids, **options)


def test_refusals_of_out_memory():
    table, ids = np.arange(20.0).reshape(5, 4), np.array([0, 1])
    before = table.copy()
    with pytest.raises(ValueError, match="out overlaps table in memory"):
        gather(table, ids, out=table[2:4])
    with pytest.raises(ValueError, match="out overlaps ids in memory"):
        gather(np.zeros((2, 1), np.int64), ids, out=ids[:, None])
    frozen = np.zeros((2, 4))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        gather(table, ids, out=frozen)
    assert (table == before).all()


def test_a_subclass_gives_a_plain_array(tmp_path):
    table = np.memmap(tmp_path / "t", np.float32, "w+", shape=(3, 2))
    assert type(gather(table, [0])) is np.ndarray


def test_importing_does_not_import_numba():
    code = "import sys, fastemb.lookup, fastemb.pooling, fastemb.ragged; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Small calls, which have a kernel of their own ----------------------------------------------------------------------


@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
@pytest.mark.parametrize("dtype", ["f4", "f2", BF16, "f8", "U5"])
def test_small_calls(dtype, id_dtype, monkeypatch):
    general = spy(monkeypatch, "gather_rows", 0)
    for D in (*range(36), 63, 64, 65, 300):
        table = make_table((9, D), dtype)
        for id_shape in ((), (0,), (1,), (4,), (2, 3), (2, 0), (1, 2, 3)):
            ids = np.random.default_rng(3).integers(0, 9, id_shape).astype(id_dtype)
            result = gather(table, ids)
            assert same_bits(result, np.asarray(table[ids], dtype))
            assert type(result) is np.ndarray
            assert result.flags.writeable
            assert not np.shares_memory(result, table)
            if D and ids.size:
                out = make_table(result.shape, dtype, seed=7)
                assert same_bits(gather(table, ids, out=out), result)
                assert not general
            general.clear()


@pytest.mark.parametrize("mode", [[], {}, None, b"raise", "skip"])
def test_what_is_no_mode(mode):
    for ids in (np.array([0]), [0], np.array([9])):
        with pytest.raises(ValueError, match=r"^mode must be one of 'raise', 'clip', 'wrap', got ") as caught:
            gather(make_table((3, 4), "f4"), ids, mode=mode)
        assert str(caught.value).endswith(f"got {mode!r}")


@pytest.mark.parametrize("bad", [np.array([0, 3]), np.array([[0], [-1]], "i4"), np.array(2**40)])
def test_small_calls_say_the_words_of_the_general_road(bad, monkeypatch):
    words = []
    for most in (lookup._SMALL_BYTES, -4):
        monkeypatch.setattr(lookup, "_SMALL_BYTES", most)
        for ids in (bad, bad.tolist()):
            with pytest.raises(IndexError) as caught:
                gather(make_table((3, 4), "f4"), ids)
            words.append(str(caught.value))
    assert len(set(words)) == 1
    assert words[0].endswith("is out of range for a table of 3 rows")


def test_small_calls_that_take_the_general_road():
    """What the small kernel is not compiled for gives the same result."""
    table, ids = make_table((9, 5), "f4"), np.array([3, 0, 8, 3])
    right = table[ids]
    for layout in LAYOUTS:
        for wanted in (ids, np.repeat(ids, 2)[::2], ids.astype(">i8"), ids.astype("u1"), ids.tolist()):
            assert same_bits(gather(make_table((9, 5), "f4", layout), wanted), right)
    frozen = ids.copy()
    frozen.flags.writeable = False
    shifted = np.zeros(33, np.uint8)[1:].view("i8")
    shifted[...] = ids
    assert same_bits(gather(table, frozen), right)
    assert same_bits(gather(table, shifted), right)
    assert same_bits(gather(table, ids.view(np.recarray)), right)
    assert same_bits(gather(table, ids, mode="wrap"), right)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_the_size_at_which_calls_are_no_longer_small(dtype, monkeypatch):
    general = spy(monkeypatch, "gather_rows", 0)
    table = make_table((100, 64), dtype)
    most = lookup._SMALL_BYTES // table.strides[0]
    for N in (most, most + 1):
        ids = np.random.default_rng(4).integers(0, 100, N)
        assert same_bits(gather(table, ids), table[ids])
        assert bool(general) == (most < N)


def test_small_calls_write_nothing_when_an_id_is_bad():
    table, out = make_table((3, 4), "f4"), np.full((4, 4), 7, "f4")
    with pytest.raises(IndexError, match="id 3 at position 3"):
        gather(table, np.array([0, 1, 2, 3]), out=out)
    assert (out == 7).all()


# Quantised tables ----------------------------------------------------------------------------------------------------


def make_quantized(V, D, bits, seed=0, apart=1):
    """Return a table of random codes, and the numbers it stands for."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (V, apart * -(-D * bits // 8)), np.uint8)[:, : -(-D * bits // 8)]
    scale, offset = (rng.standard_normal(V).astype("f4") for _ in range(2))
    wide = codes if bits == 8 else np.stack([codes & 15, codes >> 4], axis=-1).reshape(V, -1)[:, :D]
    return QuantizedTable(codes, scale, offset, (V, D), bits), reference.dequantize(wide, scale, offset)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([8, 4]),
    st.integers(1, 40),
    st.integers(0, 140),
    st.integers(1, 2),
    st.sampled_from(["raise", "clip", "wrap"]),
    st.sampled_from(["i1", "u2", "i4", "i8", "u8", ">i4"]),
    st.sampled_from([(), (0,), (1,), (7,), (3, 4), (2, 0, 3)]),
    st.integers(0, 2**32 - 1),
)
def test_quantized_rows(bits, V, D, apart, mode, id_dtype, id_shape, seed):
    table, numbers = make_quantized(V, D, bits, seed, apart)
    beyond = 0 if mode == "raise" else 45
    low = -beyond if np.dtype(id_dtype).kind == "i" else 0
    ids = np.random.default_rng(seed).integers(low, V + beyond, id_shape).astype(id_dtype)
    right = reference.gather(numbers, ids.reshape(-1), mode).reshape((*id_shape, D))
    assert same_bits(gather(table, ids, mode=mode), right)
    out = np.full(right.shape, np.nan, "f4")
    assert gather(table, ids, mode=mode, out=out) is out
    assert same_bits(out, right)


@pytest.mark.parametrize("id_dtype", ["i4", "i8"])
@pytest.mark.parametrize("bits", [8, 4])
def test_small_calls_of_quantized_tables(bits, id_dtype, monkeypatch):
    general = spy(monkeypatch, "widen_rows", 0)
    for D in (*range(36), 63, 64, 65, 300, 1030):
        table, numbers = make_quantized(9, D, bits)
        first = True  # a table's first call finds out what later ones tell the kernel
        for id_shape in ((), (0,), (1,), (4,), (2, 3), (2, 0), (1, 2, 3)):
            ids = np.random.default_rng(3).integers(0, 9, id_shape).astype(id_dtype)
            assert same_bits(gather(table, ids), np.asarray(numbers[ids]))
            assert bool(general) == (first or not D or not ids.size)
            general.clear()
            first = False
        for bad in (-1, 9):
            with pytest.raises(IndexError, match=f"id {bad} at position 1 is out of range for a table of 9 rows"):
                gather(table, np.array([0, bad], id_dtype))
        general.clear()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_rows_between_sentinels(bits, stream, monkeypatch):
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0 if stream else 1 << 60)
    ids = np.random.default_rng(1).integers(0, 50, 33)
    for D in (*range(1, 36), 63, 64, 65, 300, 1030):
        table, numbers = make_quantized(50, D, bits)
        for shift in (0, 1, 4, 8, 16, 44, 60, 63):  # not all of which a vector can be streamed to
            fenced = np.full(33 * D * 4 + 256, 0xA5, np.uint8)
            out = fenced[64 + shift : 64 + shift + 33 * D * 4].view("f4").reshape(33, D)
            gather(table, ids, out=out)
            assert same_bits(out.copy(), numbers[ids])
            assert (fenced[: 64 + shift] == 0xA5).all()
            assert (fenced[64 + shift + 33 * D * 4 :] == 0xA5).all()


@pytest.mark.parametrize("layout", ["rows apart", "strided", "fortran", "misaligned"])
@pytest.mark.parametrize("id_shape", [(6,), (2, 3), ()])
def test_quantized_rows_into_out_of_every_layout(layout, id_shape):
    table, numbers = make_quantized(9, 21, 4)
    ids = np.arange(int(np.prod(id_shape))).reshape(id_shape)
    out = make_table((*id_shape, 21), "f4", layout if id_shape else "plain")
    assert gather(table, ids, out=out) is out
    assert same_bits(out.copy(), np.asarray(numbers[ids]))


def test_quantized_rows_are_streamed_and_pooled(monkeypatch):
    monkeypatch.setattr(_memory, "_pool", None)
    seen = spy(monkeypatch, "widen_rows", 4)
    table, numbers = make_quantized(100, 96, 8)
    ids = np.random.default_rng(2).integers(0, 100, (8 << 20) // 384 + 1)
    for threads in (1, 3):
        with _threads.num_threads(threads):
            monkeypatch.setattr(_memory, "_pool", None)
            for _ in range(2):
                result = gather(table, ids)
                assert same_bits(result, numbers[ids])
                del result
            assert not seen[0]
            assert seen[-1]
            seen.clear()


@pytest.mark.parametrize("bits", [8, 4])
def test_threads_give_the_same_quantized_rows(bits, small_grain):
    table, numbers = make_quantized(1000, 33, bits)
    ids = np.random.default_rng(2).integers(-3000, 3000, 777)
    for result in on_threads(lambda: gather(table, ids, mode="wrap")):
        assert same_bits(result, reference.gather(numbers, ids, "wrap"))


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_ids_of_a_quantized_table(threads, small_grain):
    table, _ = make_quantized(3, 40, 8)
    ids, out = np.zeros((50, 100), np.int32), np.full((50, 100, 40), 7, "f4")
    ids[40, 5], ids[41, 0] = -1, 3
    with _threads.num_threads(threads), pytest.raises(IndexError, match=r"id -1 at position \(40, 5\).* of 3 rows"):
        gather(table, ids, out=out)
    assert (out == 7).all()
    empty, _ = make_quantized(0, 40, 8)
    assert gather(empty, []).shape == (0, 40)
    with pytest.raises(IndexError, match="of 0 rows"):
        gather(empty, [0], mode="clip")


def test_what_a_quantized_table_cannot_be_read_into():
    table, _ = make_quantized(3, 4, 8)
    for dtype in ("f8", "f2", ">f4", "u1"):
        with pytest.raises(TypeError, match="dtype float32, as which a QuantizedTable is read, got"):
            gather(table, [0], out=np.zeros((1, 4), dtype))
    with pytest.raises(ValueError, match=r"shape \(1, 4\), got \(1, 5\)"):
        gather(table, [0], out=np.zeros((1, 5), "f4"))
    buffer = np.zeros(60, np.uint8)
    shared = QuantizedTable(buffer[:12].reshape(3, 4), buffer[12:24].view("f4"), buffer[24:36].view("f4"), (3, 4), 8)
    for name, first in (("codes", 8), ("scale", 20), ("offset", 32)):
        with pytest.raises(ValueError, match=f"out overlaps {name} in memory"):
            gather(shared, [0], out=buffer[first : first + 16].view("f4").reshape(1, 4))
