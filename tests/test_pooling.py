"""embedding_bag and normalize against their oracles: to the bit where nothing is rounded twice, else within a bound."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _threads
from fastemb._calls.bags import MODES
from fastemb.pooling import embedding_bag, normalize
from fastemb.ragged import Ragged

BF16 = ml_dtypes.bfloat16
DTYPES = ["f8", "f4", "f2", BF16]
# Tables, and the types of results that each is asked for: every way to read and to write, but not every pair, as
# each of them is one more kernel to compile.
PAIRS = [*(("f8", kind) for kind in DTYPES), *(("f4", kind) for kind in DTYPES)]
PAIRS += [("f2", "f2"), ("f2", "f4"), (BF16, BF16), (BF16, "f4")]

LAYOUTS = ["plain", "read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]


def make_table(V, D, dtype, layout="plain"):
    table = np.random.default_rng(V * 1000 + D).standard_normal((V, D)).astype(dtype)
    if layout == "read-only":
        table.flags.writeable = False
    elif layout == "rows apart":
        table = np.repeat(table, 2, axis=0)[::2]
    elif layout == "reversed":
        table = table[::-1].copy()[::-1]
    elif layout == "strided":
        table = np.repeat(table, 2, axis=1)[:, ::2]
    elif layout == "fortran":
        table = np.asfortranarray(table)
    elif layout == "swapped":
        table = table.astype(table.dtype.newbyteorder(">"))
    elif layout == "misaligned":
        raw = np.zeros(table.nbytes + 1, np.uint8)
        shifted = raw[1:].view(table.dtype).reshape(table.shape)
        shifted[...] = table
        table = shifted
    return table


def make_bags(V, lengths, id_dtype="i8", seed=0):
    ids = np.random.default_rng(seed).integers(0, min(V, 127), sum(lengths)).astype(id_dtype)
    return ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def rounded(expected, dtype):
    """Round as results are. Sums beyond float16 are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return expected.astype(dtype)


@st.composite
def calls(draw):
    """Draw a table and the arguments of embedding_bag; ids that are not kept are no rows of the table."""
    dtype, layout = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(LAYOUTS))
    table, mode = make_table(40, draw(st.integers(0, 150)), dtype, layout), draw(st.sampled_from(MODES))
    form, padding = draw(st.sampled_from(["offsets", "rows", "mask"])), draw(st.sampled_from([None, 0, 7, 100]))
    kinds = ["i1", "u2", "i8", "u8", ">i8"] + (["i4", ">i4"] if dtype == "f4" else [])
    rng, options = np.random.default_rng(draw(st.integers(0, 2**32))), {"mode": mode}
    if form == "offsets":
        lengths = draw(st.lists(st.integers(0, 30), max_size=6))
        options["offsets"] = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype("i8")
        shape = (sum(lengths),)
    else:
        shape = draw(st.integers(0, 6)), draw(st.integers(0, 20))
    ids = rng.integers(0, 40, shape)
    if padding is not None:
        ids[rng.random(shape) < 0.3] = padding
        options["padding_idx"] = padding
    if form == "mask":
        options["mask"] = (rng.random(shape) < 0.7).astype(draw(st.sampled_from(["?", "i8", "u1"])))
        ids[options["mask"] == 0] = 101
    if mode in ("sum", "mean") and draw(st.booleans()):
        options["weights"] = rng.integers(-2, 5, shape).astype(draw(st.sampled_from(["f8", "f4", "f2", "i4"])))
    kind = "i8" if "weights" in options or mode == "weighted_mean" else draw(st.sampled_from(kinds))
    return table, {"ids": ids.astype(kind), **options}


@settings(max_examples=300, deadline=None)
@given(calls())
def test_equals_reference(call):
    table, options = call
    given_bytes = {name: value.tobytes() for name, value in options.items() if isinstance(value, np.ndarray)}
    before, dtype = table.tobytes(), table.dtype.newbyteorder("=")
    expected = reference.embedding_bag(table, **options)
    assert same_bytes(embedding_bag(table, **options), rounded(expected, dtype))
    if dtype != BF16:
        wide = np.full(expected.shape, np.nan, expected.dtype)
        assert embedding_bag(table, **options, out=wide) is wide
        assert same_bytes(wide, expected)
        unit = embedding_bag(table, **options, normalize=True, out=np.full_like(expected, np.nan))
        assert same_bytes(unit, normalize(expected))
    exact = reference.embedding_bag(table, **options, exact=True)
    if "weights" not in options:  # whose sums may be next to nothing
        np.testing.assert_allclose(expected, exact, rtol=1e-5, atol=1e-13 if dtype == "f8" else 1e-4)
    assert table.tobytes() == before
    assert all(options[name].tobytes() == old for name, old in given_bytes.items())


@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 80, 81, 96, 127, 128, 129, 199, 300, 384])
@pytest.mark.parametrize(("dtype", "kind"), PAIRS)
def test_every_row_size_between_sentinels(dtype, kind, D):
    table = make_table(50, D, dtype)
    ids, offsets = make_bags(50, [3, 0, 20, 1, 13])
    expected = reference.embedding_bag(table, ids, offsets)
    fenced = np.full(5 * D + 128, 7, kind)
    out = fenced[61 : 61 + 5 * D].reshape(5, D)
    out[...] = np.nan
    embedding_bag(table, ids, offsets, out=out)
    assert same_bytes(out, expected.astype(kind))
    assert (fenced[:61] == 7).all()
    assert (fenced[61 + 5 * D :] == 7).all()


def test_the_bits_are_those_of_numpy():
    table = make_table(100, 256, "f4")
    ids, offsets = make_bags(100, [12, 100, 1])
    for s, row in enumerate(embedding_bag(table, ids, offsets)):
        rows = table[ids[offsets[s] : offsets[s + 1]]]
        assert same_bytes(row, rows.sum(axis=0) / np.float32(len(rows)))


@pytest.mark.parametrize("layout", ["rows apart", "strided", "fortran", "misaligned", "swapped"])
@pytest.mark.parametrize(("dtype", "kind"), PAIRS)
def test_out_of_every_layout(layout, dtype, kind):
    table, out = make_table(30, 37, dtype), make_table(4, 37, kind, layout)
    ids, offsets = make_bags(30, [3, 0, 9, 1])
    assert embedding_bag(table, ids, offsets, out=out) is out
    assert same_bytes(out.astype(kind), reference.embedding_bag(table, ids, offsets).astype(kind))


def test_many_rows_go_through_the_scratch():
    table = make_table(100, 300, "f2")
    ids, offsets = make_bags(100, [2] * 1000)
    expected = reference.embedding_bag(table, ids, offsets)
    for kind in ("f4", "f2"):
        assert same_bytes(embedding_bag(table, ids, offsets, out=np.empty((1000, 300), kind)), expected.astype(kind))
        unit = embedding_bag(table, ids, offsets, normalize=True, out=np.empty((1000, 300), kind))
        assert same_bytes(unit, normalize(expected, out=np.empty((1000, 300), kind)))


def test_forms_of_bags():
    table = make_table(9, 5, "f4")
    expected = embedding_bag(table, [0, 1, 2, 3], [0, 2, 4])
    assert same_bytes(embedding_bag(table, [[0, 1], [2, 3]]), expected)
    assert same_bytes(embedding_bag(table, np.array([[0, 2], [1, 3]]).T), expected)
    assert same_bytes(embedding_bag(table, Ragged([0, 1, 2, 3], [0, 2, 4])), expected)
    assert same_bytes(embedding_bag(table, (0, 1, 2, 3), np.array([0, 2, 4], np.uint8)), expected)
    assert same_bytes(embedding_bag(table, Ragged.from_lists([[9], [0, 1], [2, 3]])[1:]), expected)


def test_nothing_to_sum():
    table = make_table(9, 5, "f2")
    assert same_bytes(embedding_bag(table, [], [0]), np.zeros((0, 5), "f2"))
    assert same_bytes(embedding_bag(table, [], [0, 0, 0], normalize=True), np.zeros((2, 5), "f2"))
    assert same_bytes(embedding_bag(table, np.empty((3, 0), int)), np.zeros((3, 5), "f2"))
    assert same_bytes(embedding_bag(table, np.empty((0, 3), int)), np.zeros((0, 5), "f2"))
    assert same_bytes(embedding_bag(table[:0], [], [0, 0]), np.zeros((1, 5), "f2"))
    assert embedding_bag(np.zeros((4, 0), "f4"), [[1, 2]], normalize=True).shape == (1, 0)


def test_zeros_infinities_and_nan():
    table = np.array([[-0.0, 0, np.inf, np.nan], [-0.0, 1, -np.inf, 0], [0, 0, 0, 0]], np.float32)
    result = embedding_bag(table, [0, 0, 1, 2], [0, 1, 3, 4], mode="sum")
    assert np.signbit(result[:2, 0]).all()
    assert result[0, 2] == np.inf
    assert np.isnan(result[1, 2:]).all()
    assert same_bytes(embedding_bag(table, [2], [0, 1], normalize=True), np.zeros((1, 4), "f4"))
    assert embedding_bag(np.full((1, 2), 6e4, "f2"), [0, 0], [0, 2], mode="sum").tolist() == [[np.inf, np.inf]]


@pytest.mark.parametrize(("dtype", "sizes"), [("f8", [1e-320, 1e-200, 1.0, 1e200]), ("f4", [1e-45, 1e-30, 1e30])])
def test_lengths_at_the_ends_of_the_range(dtype, sizes):
    for size in sizes:
        row = np.array([[3, -4, *[0] * 20]], dtype) * np.array(size, dtype)
        unit = embedding_bag(row, [0], [0, 1], normalize=True)
        assert same_bytes(unit, normalize(row))
        assert abs(np.square(unit, dtype="f8").sum() - 1) < 1e-6
        ratio = float(row[0, 0]) / float(row[0, 1])
        assert unit[0, 0] / unit[0, 1] == pytest.approx(ratio, rel=1e-6)


def test_every_half_is_read_and_written():
    bits = np.arange(65536, dtype=np.uint16).reshape(-1, 64)
    halves = bits.view(np.float16)
    wide = embedding_bag(halves, np.arange(1024)[:, None], out=np.empty(bits.shape, "f4"))
    np.testing.assert_array_equal(wide, halves.astype("f4"))
    assert (np.signbit(wide) == np.signbit(halves)).all()
    narrow = embedding_bag(wide, np.arange(1024)[:, None], out=np.empty(bits.shape, "f2"))
    np.testing.assert_array_equal(narrow, halves)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("kind", ["f4", "f2"])
def test_threads_give_the_same_bits(dtype, kind, small_grain):
    table = make_table(1000, 100, dtype)
    lengths = [0, 400, 0, 0, *[3, 1, 0, 7] * 40, 90]
    ids, offsets = make_bags(1000, lengths)
    results = []
    for n in (1, 2, 7):
        with _threads.num_threads(n):
            out = np.full((len(lengths), 100), np.nan, kind)
            results.append(embedding_bag(table, ids, offsets, normalize=True, out=out))
    assert not np.isnan(results[0]).any()
    assert same_bytes(results[0], results[1])
    assert same_bytes(results[0], results[2])


def test_bits_do_not_depend_on_where_the_table_lies():
    raw = np.zeros(40 * 100 * 4 + 64, np.uint8)
    ids, offsets = make_bags(40, [20, 7])
    table = make_table(40, 100, "f4")
    expected = embedding_bag(table, ids, offsets, normalize=True)
    for shift in range(0, 64, 3):
        moved = raw[shift : shift + table.nbytes].view("f4").reshape(table.shape)
        moved[...] = table
        assert same_bytes(embedding_bag(moved, ids, offsets, normalize=True), expected)


def test_eight_callers_at_once(small_grain):
    table = make_table(500, 64, "f2")
    jobs = [make_bags(500, [5, 0, 50, 17, 3, 200], seed=k) for k in range(48)]
    expected = [reference.embedding_bag(table, *job) for job in jobs]
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        with _threads.num_threads(3):
            results = [embedding_bag(table, *job, out=np.full((6, 64), np.nan, "f4")) for job in jobs[k::8]]
        return [same_bytes(a, b) for a, b in zip(results, expected[k::8], strict=True)]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(results) for results in pool.map(work, range(8)))


def test_a_table_beyond_2_31_elements(tmp_path):
    V, D = 2**21 + 5, 1024
    table = np.memmap(tmp_path / "table", np.float32, "w+", shape=(V, D))
    table[V - 1], table[2**20 + 1] = 3, 5
    ids = np.array([[V - 1, 2**20 + 1]], np.int32)
    assert (embedding_bag(table, ids) == 4).all()
    assert (embedding_bag(table, ids.astype("i8"), mode="max") == 5).all()


def test_a_copied_table_is_never_copied_whole(tmp_path):
    V, D = 2**20, 1024  # 4 GiB; reading it would take seconds and copying it the memory of the machine
    table = np.memmap(tmp_path / "table", ">f4", "w+", shape=(V, D))
    table[V - 1] = 3
    assert (embedding_bag(table, [[V - 1, V - 1]]) == 3).all()


@pytest.mark.parametrize("layout", ["plain", "fortran"])
def test_bad_ids_leave_out_alone(layout, small_grain):
    table, out = make_table(3, 4, "f4", layout), np.full((50, 4), 7, "f4")
    for n in (1, 2):
        for bad in (3, -1, 2**40):
            ids = np.zeros(5000, np.int64)
            ids[4321] = bad
            with (
                _threads.num_threads(n),
                pytest.raises(IndexError, match=f"^id {bad} at position 4321 is out of range for a table of 3 rows$"),
            ):
                embedding_bag(table, ids, np.arange(0, 5001, 100), out=out)
            assert (out == 7).all()
    with pytest.raises(IndexError, match=r"id 5 at position \(1, 0\) is out"):
        embedding_bag(table, [[0, 1], [5, 0]])
    with pytest.raises(IndexError, match="id 18446744073709551615 at position 1"):
        embedding_bag(table, np.array([0, 2**64 - 1], np.uint64), [0, 2])
    with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
        embedding_bag(table[:0], [0], [0, 1])


TABLE = np.ones((3, 2), np.float32)


@pytest.mark.parametrize(
    ("table", "ids", "offsets", "options", "error", "words"),
    [
        (
            TABLE.astype("i4"),
            [0],
            [0, 1],
            {},
            TypeError,
            "table must have dtype float64, float32, float16 or bfloat16, got i",
        ),
        (TABLE.astype("g"), [0], [0, 1], {}, TypeError, "float64, float32, float16 or bfloat16, got"),
        (TABLE[0], [0], [0, 1], {}, ValueError, r"table must have shape \(V, D\), got \(2,\)"),
        (TABLE.tolist(), [0], [0, 1], {}, TypeError, "only NumPy arrays are taken so far.*got list"),
        (np.ma.array(TABLE), [0], [0, 1], {}, TypeError, "table is a masked array"),
        (
            TABLE,
            [0],
            [0, 1],
            {"mode": "first"},
            ValueError,
            "mode must be one of 'sum', 'mean', 'max', 'cls',.*'first'",
        ),
        (TABLE, [0, 1], None, {}, ValueError, "1-D ids need offsets"),
        (TABLE, [[0, 1]], [0, 2], {}, ValueError, r"offsets go with 1-D ids, got ids of shape \(1, 2\)"),
        (TABLE, 0, None, {}, ValueError, r"1-D with offsets, or 2-D, got shape \(\)"),
        (TABLE, [[[0]]], None, {}, ValueError, r"1-D with offsets, or 2-D, got shape \(1, 1, 1\)"),
        (TABLE, Ragged([0], [0, 1]), [0, 1], {}, ValueError, "a Ragged brings its own offsets"),
        (TABLE, [0.0], [0, 1], {}, TypeError, "ids must have an integer dtype, got dtype float64"),
        (TABLE, [0], [0.0, 1.0], {}, TypeError, "offsets must have an integer dtype, got dtype float64"),
        (TABLE, [0], [], {}, ValueError, "offsets must have one entry more"),
        (TABLE, [0], [1, 1], {}, ValueError, r"offsets must start at 0, got offsets\[0\] = 1"),
        (TABLE, [0, 1], [0, 2, 1, 2], {}, ValueError, r"offsets\[1\] = 2 and offsets\[2\] = 1"),
        (TABLE, [0, 1, 2], [0, 2], {}, ValueError, r"end at 3.*offsets\[1\] = 2.*include_last_offset=True"),
        (TABLE, [0, 1], [0, 3], {}, ValueError, r"end at 2, the number of ids, got offsets\[1\] = 3$"),
        (TABLE, [0], [0, 1], {"out": [[0.0, 0.0]]}, TypeError, "out must be a numpy.ndarray"),
        (TABLE, [0], [0, 1], {"out": np.ones((1, 2), int)}, TypeError, "out must have dtype float64, float32, f"),
        (TABLE, [0], [0, 1], {"out": np.ones((2, 2))}, ValueError, r"out must have shape \(1, 2\), got \(2, 2\)"),
        (TABLE, [0], [0, 1], {"out": TABLE[:1]}, ValueError, "out overlaps table in memory"),
        (TABLE, [True], [0, 1], {}, TypeError, "ids must have an integer dtype, got dtype bool"),
        (TABLE, np.array([0], object), [0, 1], {}, TypeError, "ids must have an integer dtype"),
        (TABLE, np.ma.array([0]), [0, 1], {}, TypeError, "ids is a masked array"),
        (TABLE, np.int64(0), [0, 1], {}, ValueError, r"1-D with offsets, or 2-D, got shape \(\)"),
        (TABLE, [[0], [0, 1]], None, {}, ValueError, "rows of different lengths go into a Ragged"),
        (
            TABLE,
            [[0, 1]],
            None,
            {"mask": [[1.0, 0.0]]},
            TypeError,
            "mask must have an integer dtype, got dtype float64",
        ),
        (TABLE, [[0, 1]], None, {"mask": [1, 0]}, ValueError, r"mask must have shape \(1, 2\), got \(2,\)"),
        (TABLE, [0, 1], [0, 2], {"mask": [1, 0]}, ValueError, r"a mask goes with 2-D ids, got ids of shape \(2,\)"),
        (TABLE, Ragged([0], [0, 1]), None, {"mask": [[1]]}, ValueError, "a Ragged brings its own offsets.*nor mask"),
        (TABLE, [[0, 1]], None, {"padding_idx": 0.0}, TypeError, "padding_idx must be an integer or None, got float"),
        (TABLE, [[0, 1]], None, {"padding_idx": True}, TypeError, "padding_idx must be an integer or None, got a bool"),
        (
            TABLE,
            [[0]],
            None,
            {"mode": "max", "weights": [[1]]},
            ValueError,
            "weights go with mode 'sum' or 'mean', got",
        ),
        (TABLE, [[0]], None, {"weights": [1]}, ValueError, r"weights must have shape \(1, 1\).*got \(1,\)"),
        (TABLE, [[0]], None, {"weights": [["1"]]}, TypeError, "weights must be real numbers, got dtype <U1"),
    ],
)
def test_refusals(table, ids, offsets, options, error, words):
    with pytest.raises(error, match=words):
        embedding_bag(table, ids, offsets, **options)
    assert (TABLE == 1).all()


def test_a_ragged_that_was_written_to_is_checked_again():
    ragged = Ragged([0, 1], np.array([0, 1, 2]))
    ragged.offsets[1] = 1000
    with pytest.raises(ValueError, match="must not descend"):
        embedding_bag(TABLE, ragged)


@pytest.mark.parametrize("name", ["ids", "offsets", "mask", "weights"])
def test_out_must_not_overlap_the_lists(name):
    memory = np.zeros(64)
    small, whole = memory[:2].reshape(1, 2), memory.view(np.int64)
    lists = {
        "ids": {"ids": whole[:2].reshape(1, 2)}, "offsets": {"ids": [], "offsets": whole[:2]},
        "mask": {"ids": [[0, 1]], "mask": whole[:2].reshape(1, 2)}, "weights": {"ids": [[0, 1]], "weights": small},
    }[name]  # fmt: skip
    with pytest.raises(ValueError, match=f"out overlaps {name} in memory"):
        embedding_bag(TABLE, **lists, out=small)
    ragged = Ragged(np.zeros(0, "i4"), whole[:2])
    with pytest.raises(ValueError, match="out overlaps offsets in memory"):
        embedding_bag(TABLE, ragged, out=small)


@pytest.mark.parametrize("mode", MODES)
def test_ids_that_are_not_kept_are_neither_read_nor_checked(mode):
    table = make_table(6, 20, "f4")
    table[5] = np.nan
    expected = embedding_bag(table, [0, 1, 2, 3], [0, 2, 2, 4], mode=mode)
    ids = np.array([[-100, 0, 5, 1], [5, 2**40, -1, 6], [2, 3, -100, 5]])
    mask = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    for kind in ("?", "i1", "u8", ">i2"):
        assert same_bytes(embedding_bag(table, ids, mask=mask.astype(kind), mode=mode), expected)
    assert same_bytes(embedding_bag(table, ids, mask=mask * -7, mode=mode), expected)
    assert same_bytes(embedding_bag(table, ids, mask=mask.T.copy().T, mode=mode), expected)
    assert same_bytes(embedding_bag(table, ids, mask=mask.tolist(), mode=mode), expected)
    strange = (mask * 255).astype("u1").view(bool)  # bools that are neither 0 nor 1
    assert same_bytes(embedding_bag(table, ids, mask=strange, mode=mode), expected)
    for padding in (-100, 5, 4):
        padded = np.where(mask, ids, padding)
        assert same_bytes(embedding_bag(table, padded, padding_idx=padding, mode=mode), expected)
        both = np.where(mask[:, ::-1].cumsum(axis=1)[:, ::-1], padded, 2**40)
        assert same_bytes(
            embedding_bag(table, both, mask=both != 2**40, padding_idx=padding, mode=mode, normalize=True),
            normalize(expected),
        )
        flat = embedding_bag(table, padded.reshape(-1), [0, 4, 8, 12], padding_idx=padding, mode=mode)
        assert same_bytes(flat, expected)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u8"])
def test_ids_of_every_integer_type(kind):
    table = make_table(100, 20, "f4")
    ids = np.array([[3, 99], [0, 50]], kind)
    expected = reference.embedding_bag(table, [3, 99, 0, 50], [0, 2, 4])
    assert same_bytes(embedding_bag(table, ids), expected)
    assert same_bytes(embedding_bag(table, np.repeat(ids, 2, axis=1)[:, ::2]), expected)
    assert same_bytes(embedding_bag(table, ids.reshape(-1), np.array([0, 2, 4], kind)), expected)
    # An id of padding that the type cannot hold is no id of the list.
    assert same_bytes(embedding_bag(table, ids, padding_idx=-(2**70)), expected)


def test_positions_of_bad_ids_are_those_of_the_caller(small_grain):
    table, out = make_table(3, 4, "f4"), np.full((2, 4), 7, "f4")
    ids = np.array([[-100, 1, 2], [1, -100, 3]])
    mask = ids != -100
    for n in (1, 3):
        with _threads.num_threads(n):
            for normal in (False, True):
                with pytest.raises(
                    IndexError, match=r"^id 3 at position \(1, 2\) is out of range for a table of 3 rows$"
                ):
                    embedding_bag(table, ids, mask=mask, normalize=normal, out=out)
                with pytest.raises(IndexError, match=r"^id 3 at position \(1, 2\) is"):
                    embedding_bag(table, ids, padding_idx=-100, mode="max", normalize=normal, out=out)
                with pytest.raises(IndexError, match=r"^id 3 at position 5 is"):
                    embedding_bag(table, ids.reshape(-1), [0, 3, 6], padding_idx=-100, normalize=normal, out=out)
                with pytest.raises(IndexError, match=r"^id -100 at position \(0, 0\) is"):
                    embedding_bag(table, ids, mode="cls", normalize=normal, out=out)
                with pytest.raises(IndexError, match=r"^id 5 at position 2 is"):
                    embedding_bag(table, Ragged([0, 1, 5], [0, 1, 3]), out=out, normalize=normal)
    beyond = np.array([[0, 2**64 - 1, 1], [2, 7, 2**63]], np.uint64)
    with pytest.raises(IndexError, match=r"^id 7 at position \(1, 1\)"):
        embedding_bag(table, beyond, mask=[[1, 0, 1], [1, 1, 1]], out=out)
    with pytest.raises(IndexError, match=r"^id 9223372036854775808 at position \(1, 2\)"):
        embedding_bag(table, beyond, mask=[[1, 0, 1], [1, 0, 1]], out=out)
    with pytest.raises(IndexError, match=r"^id 9223372036854775808 at position \(1, 2\)"):
        embedding_bag(table, np.where(beyond == 7, 0, beyond), padding_idx=2**64 - 1, out=out)
    assert (out == 7).all()


def test_padding_is_skipped_and_not_counted():
    table = np.array([[1.0], [2.0], [4.0], [np.nan]])
    ids = [[3, 0, 1], [3, 3, 3], [2, 3, 3]]
    for mode, expected in {
        "sum": [3, 0, 4], "mean": [1.5, 0, 4], "max": [2, 0, 4], "cls": [1, 0, 4], "last": [2, 0, 4],
        "mean_sqrt_len": [3 / 2**0.5, 0, 4], "weighted_mean": [5 / 3, 0, 4],
    }.items():  # fmt: skip
        assert embedding_bag(table, ids, padding_idx=3, mode=mode)[:, 0].tolist() == expected
    assert embedding_bag(table, ids, padding_idx=3, mode="mean_max").tolist() == [[1.5, 2], [0, 0], [4, 4]]
    weights = [[9.0, 1, 3], [9, 9, 9], [2, 9, 9]]
    assert embedding_bag(table, ids, padding_idx=3, weights=weights)[:, 0].tolist() == [7 / 4, 0, 4]


@pytest.mark.parametrize(("bits", "mode"), [(8, "mean"), (4, "max")])
def test_quantized_tables_are_read_as_their_numbers(bits, mode):
    from fastemb.quantized import quantize

    table, ids = quantize(make_table(30, 37, "f4"), bits), np.arange(27).reshape(3, 9)
    options = {"mask": ids % 5, "padding_idx": 7, "mode": mode}
    assert same_bytes(embedding_bag(table, ids, **options), embedding_bag(table.dequantize(), ids, **options))
    with pytest.raises(IndexError, match=r"id 30 at position \(0, 1\) is out of range for a table of 30 rows"):
        embedding_bag(table, [[0, 30]], mode=mode)


# normalize --------------------------------------------------------------------------------------------------------

# Half a last place, and what more than one rounding makes of it.
HALF = {"float64": 2.0**-50, "float32": 2.0**-24 * 1.00001, "float16": 2.0**-11 * 1.001, "bfloat16": 2.0**-8 * 1.001}
LEAST = {"float64": 5e-324, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


def lay(x, layout):
    """Return x laid out as asked: `make_table`'s layouts, and axes in another order."""
    if layout == "axes swapped":
        return x.swapaxes(0, -2).copy().swapaxes(0, -2) if x.ndim > 2 else x
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder(">"))
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "strided":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "cut":
        return np.pad(x, [(1, 1)] * x.ndim)[(slice(1, -1),) * x.ndim]
    if layout == "reversed":
        return x[::-1].copy()[::-1]
    return x


@pytest.mark.parametrize("layout", ["plain", "axes swapped", "swapped", "fortran", "strided", "cut", "reversed"])
@pytest.mark.parametrize("shape", [(7,), (5, 37), (2, 3, 70), (2, 1, 3, 16), (0, 4), (3, 0), (2, 0, 4), (0,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(dtype, shape, layout):
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    if x.size and x.ndim > 1:
        x[-1] = 0
    x = lay(x, layout)
    before, exact = x.tobytes(), reference.normalize(x.astype("f8"))
    result = normalize(x)
    assert result.dtype == np.dtype(dtype)
    assert result.shape == shape
    assert not np.may_share_memory(result, x)
    assert x.tobytes() == before
    name = result.dtype.name
    assert (np.abs(result.astype("f8") - exact) <= np.abs(exact) * HALF[name] + LEAST[name]).all()
    if x.size and x.ndim > 1:
        assert not result[-1].any()
    assert normalize(x, out=x) is x
    assert same_bytes(x.astype(dtype), result)


@pytest.mark.parametrize("layout", ["plain", "axes swapped", "swapped", "fortran", "strided", "cut", "reversed"])
@pytest.mark.parametrize(("dtype", "kind"), PAIRS)
def test_normalize_into_other_types(dtype, kind, layout):
    x = np.random.default_rng(2).standard_normal((4, 3, 37)).astype(dtype)
    lane = normalize(x, out=np.empty(x.shape, "f8" if dtype == "f8" else "f4"))
    for rows in (x, x[:, 0], x[0, 0]):
        out = lay(np.full(rows.shape, np.nan, kind), layout)
        assert normalize(rows, out=out) is out
        wanted = lane if rows is x else lane[:, 0] if rows.ndim == 2 else lane[0, 0]
        assert same_bytes(out.astype(kind), wanted.astype(kind))


@pytest.mark.parametrize(("dtype", "powers"), [("f8", (-1070, -600, 0, 600, 1020)), ("f4", (-147, -80, 0, 80, 125))])
def test_normalize_at_the_ends_of_the_range(dtype, powers):
    for power in powers:
        x = np.ldexp(np.array([[3, -4, 0, 0], [1, 1, 1, 1]], dtype), power)
        np.testing.assert_allclose(
            normalize(x), [[0.6, -0.8, 0, 0], [0.5] * 4], rtol=1.2e-7 if dtype == "f4" else 3e-16
        )


def test_normalize_in_place_on_disk(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(3, 2))
    x[...] = [[3, 4], [0, 0], [0, -2]]
    assert normalize(x, out=x) is x
    assert np.array(x).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [0, -1]]
    assert type(normalize(x)) is np.ndarray


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_has_the_same_bits_on_any_threads(dtype, small_grain):
    x = np.random.default_rng(4).standard_normal((53, 100)).astype(dtype)
    expected = np.concatenate([normalize(row[np.newaxis].copy()) for row in x])
    for n in (1, 2, 7):
        with _threads.num_threads(n):
            assert same_bytes(normalize(x), expected)
            assert same_bytes(normalize(x, out=(here := x.copy())), expected)
            assert same_bytes(here, expected)


@pytest.mark.parametrize(
    ("x", "out", "error", "words"),
    [
        (TABLE.astype(int), None, TypeError, "x must have dtype float64, float32, float16 or bfloat16, got int64"),
        (TABLE.tolist(), None, TypeError, "x must be a numpy.ndarray.*got list"),
        (np.ma.array(TABLE), None, TypeError, "x is a masked array"),
        (np.array(1.0), None, ValueError, r"x must have at least one axis, got shape \(\)"),
        (TABLE, np.zeros((2, 3)), ValueError, r"out must have shape \(3, 2\), got \(2, 3\)"),
        (
            TABLE,
            np.zeros((3, 2), int),
            TypeError,
            "out must have dtype float64, float32, float16 or bfloat16, got int64",
        ),
        (TABLE, [[0.0] * 2] * 3, TypeError, "out must be a numpy.ndarray"),
        (TABLE, TABLE[::-1], ValueError, "out overlaps x in memory"),
    ],
)
def test_refusals_of_normalize(x, out, error, words):
    with pytest.raises(error, match=words):
        normalize(x, out=out)
    assert (TABLE == 1).all()


def test_normalize_refuses_to_write_what_is_read_only():
    frozen = TABLE.copy()
    frozen.flags.writeable = False
    assert normalize(frozen)[0, 0] == np.float32(0.5**0.5)
    for x in (frozen, TABLE):
        with pytest.raises(ValueError, match="out is read-only"):
            normalize(x, out=frozen)


# Other processes --------------------------------------------------------------------------------------------------

WORKERS = """
import multiprocessing, os, sys
import numpy as np
from fastemb import _threads
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag, normalize, pool
_threads._GRAIN = 1
table = np.random.default_rng(0).standard_normal((500, 64)).astype("f4")


def batch(seed):
    ids = np.random.default_rng(seed).integers(-50, 500, (40, 9))
    with _threads.num_threads(3):
        sums = embedding_bag(table, ids, mask=ids >= 0, normalize=True)
        rows = gather(table, np.maximum(ids, 0))
        assert (normalize(pool(rows, ids >= 0)) == sums).all()
        return rows.tobytes() + sums.tobytes()


if __name__ == "__main__":
    expected = [batch(seed) for seed in range(6)]
    child = os.fork()
    if child == 0:
        os._exit(0 if [batch(seed) for seed in range(6)] == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [batch(seed) for seed in range(6)] == expected
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as workers:
            assert workers.map(batch, range(6), chunksize=1) == expected
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_workers_that_are_forked_and_spawned(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", tmp_path / "workers.py"]  # of forks beside threads
    child = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert child.stdout == "done\n", child.stderr


GUARDED = """
import ctypes, mmap
import ml_dtypes
import numpy as np
from fastemb.pooling import embedding_bag, normalize, pool
libc = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 19 * PAGE)
base = np.frombuffer(memory, np.uint8)
for page in (0, 9, 18):
    assert libc.mprotect(ctypes.c_void_p(base.ctypes.data + page * PAGE), PAGE, 0) == 0


def lie(array, first, end):
    # A page that cannot be touched is right behind the array, or right before it.
    begin = (first + 8) * PAGE - array.nbytes if end else first * PAGE
    there = base[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    there[...] = array
    return there


ids = np.array([[4, 0, 3], [1, 4, 4]])
for dtype in ("f8", "f4", "f2", ml_dtypes.bfloat16):
    for D in (*range(1, 40), 47, 48, 49, 63, 64, 65, 79, 80, 81, 90, 96, 127, 128, 129, 191, 193):
        table = np.random.default_rng(D).standard_normal((5, D)).astype(dtype)
        for mode in ("mean", "max"):
            expected = embedding_bag(table, ids, mode=mode)
            for end in (False, True):
                out = lie(expected * 0, 10, end)
                embedding_bag(lie(table, 1, end), ids, mode=mode, out=out)
                assert out.tobytes() == expected.tobytes()
        expected = normalize(table)
        for end in (False, True):
            out = lie(expected * 0, 10, end)
            normalize(lie(table, 1, end), out=out)
            assert out.tobytes() == expected.tobytes()
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect by its name")
def test_no_byte_beyond_the_arrays_is_touched():
    child = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, timeout=120, check=False)
    assert (child.returncode, child.stdout) == (0, "done\n"), child.stderr


CHILD = """
import numpy as np
from fastemb import reference
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag
bits = np.arange(65536, dtype=np.uint16).reshape(-1, 64)
halves = bits.view(np.float16)
one = np.arange(1024)[:, None]
wide = embedding_bag(halves, one, out=np.empty(bits.shape, "f4"))
np.testing.assert_array_equal(wide, halves.astype("f4"))
assert (np.signbit(wide) == np.signbit(halves)).all()
values = np.random.default_rng(0).integers(0, 2**32, (1024, 67), dtype=np.uint32).view(np.float32)
narrow = embedding_bag(values, one, out=np.empty(values.shape, "f2"))
with np.errstate(all="ignore"):
    np.testing.assert_array_equal(narrow, values.astype("f2"))
scaled = np.random.default_rng(1).standard_normal((1024, 67)).astype("f4") * np.float32(2.0**-14)
np.testing.assert_array_equal(embedding_bag(scaled, one, out=np.empty(scaled.shape, "f2")), scaled.astype("f2"))
table = np.random.default_rng(2).standard_normal((50, 83)).astype("f2")
ids, offsets = np.arange(49), np.array([0, 12, 12, 49])
result = embedding_bag(table, ids, offsets, out=np.empty((3, 83), "f4"))
assert (result == reference.embedding_bag(table, ids, offsets)).all()
assert (gather(table, ids) == table[ids]).all()
from fastemb._cpu.rows import sum_rows
print("vcvtph2ps" in "".join(sum_rows.inspect_asm().values()))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the names of the CPUs are x86's")
@pytest.mark.parametrize("features", [{"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""}, {}])
def test_half_with_and_without_instructions_for_it(features):
    environment = {**os.environ, "FASTEMB_CACHE": "0", **features}
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    from llvmlite.binding import get_host_cpu_features

    here = bool(get_host_cpu_features().get("f16c"))
    assert child.stdout.strip() == str(here and not features)
