"""gather against its oracle, over dtypes, layouts, ids and modes."""

import subprocess
import sys

import numpy as np
import pytest
from arrays import (
    BF16,
    IN_LAYOUTS,
    LAYOUTS,
    OUT_LAYOUTS,
    by_eight_callers,
    fence_stands,
    fenced,
    lay,
    same_bits,
    same_on_threads,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_cases import make_table, spy

import fastemb.reference as reference
from fastemb import _memory, _threads
from fastemb._cpu import lookup
from fastemb.lookup import gather
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


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(IN_LAYOUTS),
    st.lists(st.integers(0, 70), max_size=2),
    st.integers(1, 40),
    st.sampled_from(["i1", "u1", "i2", "u4", "i4", "i8", "u8", ">i4", ">i8"]),
    st.sampled_from([(), (0,), (1,), (7,), (3, 4), (2, 0, 3)]),
    st.randoms(use_true_random=False),
)
def test_equals_reference(framework, dtype, layout, tail, V, id_dtype, id_shape, random):
    table = make_table((V, *tail), dtype, layout)
    ids = np.array([random.randrange(V) for _ in range(int(np.prod(id_shape)))], id_dtype).reshape(id_shape)
    if framework.name != "NumPy" and table.dtype.kind in "SUMV" and table.dtype != BF16:
        return
    table, ids = framework.held((table, ids))
    expected = np.asarray(reference.gather(table, ids), table.dtype)
    there, given_ids = framework.make((table, ids))
    assert same_bits(framework.back(gather(there, given_ids)), expected)
    assert same_bits(framework.back(gather(there, framework.make(ids.astype("i8")), mode="clip")), expected)
    if framework.writes:
        out = framework.make(np.empty(ids.shape + table.shape[1:], table.dtype))
        assert gather(there, given_ids, mode="wrap", out=out) is out
        assert same_bits(framework.back(out), expected)


@pytest.mark.parametrize("road", ["small", "plain", "streamed"])
@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 191, 255, 256, 257, 319, 1023, 1024, 1025, 1500, 4096])
def test_every_row_size_between_sentinels(size, road, monkeypatch):
    monkeypatch.setattr(lookup, "_SMALL_BYTES", 1 << 60 if road == "small" else 0)
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0 if road == "streamed" else 1 << 60)
    table = make_table((50, size), "u1")
    ids = np.random.default_rng(1).integers(0, 50, 33)
    for shift in (0, 1, 16, 47, 63):
        out = fenced((33, size), "u1", shift=shift)
        gather(table, ids, out=out)
        assert (out == table[ids]).all()
        assert fence_stands(out)


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
    assert same_bits(gather(table, lay(ids, "read-only")), table[ids])


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize("id_shape", [(6,), (2, 3), ()])
def test_out_of_every_layout(layout, id_shape):
    out = fenced((*id_shape, 4), "f4", layout)
    table = make_table((9, 4), out.dtype)
    ids = np.arange(int(np.prod(id_shape))).reshape(id_shape)
    assert gather(table, ids, out=out) is out
    assert same_bits(out, table[ids])
    assert fence_stands(out)


def test_columns_between_the_rows_of_out_are_kept():
    table, out = make_table((9, 4), "f4"), fenced((6, 4), "f4", apart=6)
    gather(table, np.arange(6), out=out)
    assert same_bits(out, table[:6])
    assert fence_stands(out)


def test_large_results_are_streamed_into_touched_memory(monkeypatch):
    """Into `out` and memory of earlier results from the size on; the bytes are the same, with threads too."""
    monkeypatch.setattr(_memory, "_pool", None)
    monkeypatch.setattr("fastemb._cpu.lookup._INTO_BYTES", 16 << 20)  # whatever this processor's is
    seen = spy(monkeypatch, "gather_rows", 9)
    table = make_table((100, 96), "f4")
    ids = np.random.default_rng(2).integers(0, 100, (16 << 20) // 384 + 1)  # two rows more than less than that
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
    result = same_on_threads(lambda: gather(table, ids, mode="wrap", out=np.full((777, 33), np.nan, "f4")))
    assert same_bits(result, reference.gather(table, ids, "wrap"))


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

    def __dlpack__(self, **options):
        raise BufferError("looked into")

    def __dlpack_device__(self):
        return 1, 0

    def __array__(self, *args, **kwargs):
        raise AssertionError("converted")


@pytest.mark.parametrize(
    ("table", "ids", "options", "error", "words"),
    [
        ([[1.0]], [0], {}, TypeError, "or an array of another framework.*got list"),
        (Foreign(), [0], {}, TypeError, r"table is an array of \w+ \(Foreign\) .* no NumPy .*: looked into"),
        (np.ma.zeros((2, 2)), [0], {}, TypeError, "table is a masked array"),
        (np.array([["a", None]], object), [0], {}, TypeError, "without Python objects, got object"),
        (np.float32(1), [0], {}, TypeError, "got numpy.float32"),
        (np.ones((2, 2), "f4"), np.array([0, 5]), {}, IndexError, "id 5 at position 1 is out of range.* 2 rows"),
        (np.ones((2, 2), "f4"), np.array([[0, 1], [-1, 5]]), {}, IndexError, r"id -1 at position \(1, 0\) is out"),
        (np.ones((2, 2), "f4"), np.array(2), {}, IndexError, "id 2 is out of range"),
        (np.ones((0, 2), "f4"), np.array([0]), {}, IndexError, "id 0 at position 0 is out of range.* 0 rows"),
        (np.ones((2, 2), "f4"), np.array([0]), {"mode": "skip"}, ValueError, "'raise', 'clip', 'wrap', got 'skip'"),
        (np.array(1.0), [0], {}, ValueError, r"at least one axis, got shape \(\)"),
        (np.ones((2, 2)), Foreign(), {}, TypeError, r"ids is an array of \w+ \(Foreign\) .* no NumPy .*: looked into"),
        (np.ones((2, 2)), [True], {}, TypeError, "integer dtype, got dtype bool"),
        (np.ones((2, 2)), [0.0], {}, TypeError, "integer dtype, got dtype float64"),
        (np.ones((2, 2)), np.empty(0), {}, TypeError, "integer dtype, got dtype float64"),
        (np.ones((2, 2)), None, {}, TypeError, "integer dtype, got None"),
        (np.ones((2, 2)), "0", {}, TypeError, r"got strings \(dtype <U1\); a Tokenizer makes ids"),
        (np.ones((2, 2)), np.ma.array([0]), {}, TypeError, "ids is a masked array"),
        (np.ones((2, 2)), [[0], [0, 1]], {}, ValueError, "rows of different lengths, which are a Ragged"),
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
    with pytest.raises(ValueError, match="out is read-only"):
        gather(table, ids, out=lay(np.zeros((2, 4)), "read-only"))
    assert (table == before).all()


@pytest.mark.parametrize("mode", [[], {}, None, b"raise", "skip"])
def test_what_is_no_mode(mode):
    for ids in (np.array([0]), [0], np.array([9])):
        with pytest.raises(ValueError, match=r"^mode must be one of 'raise', 'clip', 'wrap', got ") as caught:
            gather(make_table((3, 4), "f4"), ids, mode=mode)
        assert str(caught.value).endswith(f"got {mode!r}")


def test_a_subclass_gives_a_plain_array(tmp_path):
    table = np.memmap(tmp_path / "t", np.float32, "w+", shape=(3, 2))
    assert type(gather(table, [0])) is np.ndarray


def test_importing_does_not_import_numba():
    code = "import sys, fastemb.lookup, fastemb.pooling, fastemb.ragged; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
