"""embedding_bag against its oracle: to the bit where nothing is rounded twice, within a tolerance elsewhere."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _threads
from fastemb.pooling import embedding_bag
from fastemb.ragged import Ragged

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


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["f8", "f4", "f2"]),
    st.sampled_from(LAYOUTS),
    st.integers(0, 150),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from(["i1", "u2", "i4", "i8", "u8", ">i4"]),
    st.sampled_from(["mean", "sum"]),
)
def test_equals_reference(dtype, layout, D, lengths, id_dtype, mode):
    table = make_table(40, D, dtype, layout)
    ids, offsets = make_bags(40, lengths, id_dtype)
    expected = reference.embedding_bag(table, ids, offsets, mode)
    result = embedding_bag(table, ids, offsets, mode=mode)
    assert same_bytes(result, expected.astype(dtype))
    wide = np.full(expected.shape, np.nan, expected.dtype)
    assert embedding_bag(table, ids, offsets, mode=mode, out=wide) is wide
    assert same_bytes(wide, expected)
    exact = reference.embedding_bag(table, ids, offsets, mode, exact=True)
    np.testing.assert_allclose(wide, exact, rtol=1e-5, atol=1e-4 if dtype != "f8" else 1e-13)
    unit = embedding_bag(table, ids, offsets, mode=mode, normalize=True, out=np.full_like(expected, np.nan))
    # Scaling by a reciprocal in float64: half a last place from the truth in float32, about two in float64.
    length = np.sqrt(np.square(expected, dtype=np.float64).sum(axis=1, keepdims=True))
    truth = np.divide(expected, length, out=np.zeros(expected.shape), where=length > 0)
    np.testing.assert_allclose(unit, truth, rtol=6.1e-8 if dtype != "f8" else 1e-15, atol=0)


@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 80, 81, 96, 127, 128, 129, 300, 384])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_every_row_size_between_sentinels(dtype, D):
    table = make_table(50, D, dtype)
    ids, offsets = make_bags(50, [3, 0, 20, 1, 13])
    expected = reference.embedding_bag(table, ids, offsets)
    for kind in ("f8", "f4", "f2"):
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
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("kind", ["f8", "f4", "f2"])
def test_out_of_every_layout(layout, dtype, kind):
    table, out = make_table(30, 37, dtype), make_table(4, 37, kind, layout)
    ids, offsets = make_bags(30, [3, 0, 9, 1])
    assert embedding_bag(table, ids, offsets, out=out) is out
    assert same_bytes(out.astype(kind), reference.embedding_bag(table, ids, offsets).astype(kind))


def test_many_rows_go_through_the_scratch():
    table = make_table(100, 300, "f2")
    ids, offsets = make_bags(100, [2] * 1000)
    expected = reference.embedding_bag(table, ids, offsets)
    for kind in ("f8", "f2"):
        assert same_bytes(embedding_bag(table, ids, offsets, out=np.empty((1000, 300), kind)), expected.astype(kind))


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
    V, D = 2**22 + 5, 1024
    table = np.memmap(tmp_path / "table", np.float16, "w+", shape=(V, D))
    table[V - 1], table[2**21 + 1] = 3, 5
    ids = np.array([[V - 1, 2**21 + 1]], np.int32)
    assert (embedding_bag(table, ids) == 4).all()


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
        (TABLE.astype("i4"), [0], [0, 1], {}, TypeError, "float64, float32 or float16, got int32"),
        (TABLE.astype("g"), [0], [0, 1], {}, TypeError, "float64, float32 or float16, got"),
        (TABLE[0], [0], [0, 1], {}, ValueError, r"table must have shape \(V, D\), got \(2,\)"),
        (TABLE.tolist(), [0], [0, 1], {}, TypeError, "only NumPy arrays are taken so far.*got list"),
        (np.ma.array(TABLE), [0], [0, 1], {}, TypeError, "table is a masked array"),
        (TABLE, [0], [0, 1], {"mode": "max"}, ValueError, "mode must be one of 'mean', 'sum', got 'max'"),
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
        (TABLE, [0], [0, 1], {"out": np.ones((1, 2), int)}, TypeError, "out must have dtype float64, float32 or f"),
        (TABLE, [0], [0, 1], {"out": np.ones((2, 2))}, ValueError, r"out must have shape \(1, 2\), got \(2, 2\)"),
        (TABLE, [0], [0, 1], {"out": TABLE[:1]}, ValueError, "out overlaps table in memory"),
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
from fastemb._cpu.pooling import bag_rows
print("vcvtph2ps" in "".join(bag_rows.inspect_asm().values()))
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
