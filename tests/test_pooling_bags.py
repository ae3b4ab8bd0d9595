"""embedding_bag against its oracle: to the bit where nothing is rounded twice, else within a bound."""

import numpy as np
import pytest
from arrays import (
    BF16,
    OUT_LAYOUTS,
    by_eight_callers,
    fence_stands,
    fenced,
    rounded,
    same_bits,
    same_on_threads,
)
from hypothesis import given, settings
from pooling_cases import PAIRS, bag_calls, make_bags, make_table

import fastemb.reference as reference
from fastemb import _threads
from fastemb._bags import MODES
from fastemb.pooling import embedding_bag, normalize
from fastemb.ragged import Ragged


@settings(max_examples=300, deadline=None)
@given(bag_calls())
def test_equals_reference(framework, call):
    table, options = framework.held(call)
    given_bytes = {name: value.tobytes() for name, value in options.items() if isinstance(value, np.ndarray)}
    before, dtype = table.tobytes(), table.dtype.newbyteorder("=")
    expected = reference.embedding_bag(table, **options)
    there, given_options = framework.make((table, options))
    assert same_bits(framework.back(embedding_bag(there, **given_options)), rounded(expected, dtype))
    if dtype != BF16 and framework.writes:
        wide, unit = framework.make((np.full_like(expected, np.nan), np.full_like(expected, np.nan)))
        assert embedding_bag(there, **given_options, out=wide) is wide
        assert same_bits(framework.back(wide), expected)
        embedding_bag(there, **given_options, normalize=True, out=unit)
        assert same_bits(framework.back(unit), normalize(expected))
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
    out = fenced((5, D), kind, shift=61 * np.dtype(kind).itemsize)
    embedding_bag(table, ids, offsets, out=out)
    assert same_bits(out, expected.astype(kind))
    assert fence_stands(out)


def test_the_bits_are_those_of_numpy():
    table = make_table(100, 256, "f4")
    ids, offsets = make_bags(100, [12, 100, 1])
    for s, row in enumerate(embedding_bag(table, ids, offsets)):
        rows = table[ids[offsets[s] : offsets[s + 1]]]
        assert same_bits(row, rows.sum(axis=0) / np.float32(len(rows)))


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize(("dtype", "kind"), PAIRS)
def test_out_of_every_layout(layout, dtype, kind):
    table, out = make_table(30, 37, dtype), fenced((4, 37), kind, layout)
    ids, offsets = make_bags(30, [3, 0, 9, 1])
    assert embedding_bag(table, ids, offsets, out=out) is out
    assert fence_stands(out)
    assert same_bits(out.astype(kind), reference.embedding_bag(table, ids, offsets).astype(kind))


def test_many_rows_go_through_the_scratch():
    table = make_table(100, 300, "f2")
    ids, offsets = make_bags(100, [2] * 1000)
    expected = reference.embedding_bag(table, ids, offsets)
    for kind in ("f4", "f2"):
        assert same_bits(embedding_bag(table, ids, offsets, out=np.empty((1000, 300), kind)), expected.astype(kind))
        unit = embedding_bag(table, ids, offsets, normalize=True, out=np.empty((1000, 300), kind))
        assert same_bits(unit, normalize(expected, out=np.empty((1000, 300), kind)))


def test_forms_of_bags():
    table = make_table(9, 5, "f4")
    expected = embedding_bag(table, [0, 1, 2, 3], [0, 2, 4])
    assert same_bits(embedding_bag(table, [[0, 1], [2, 3]]), expected)
    assert same_bits(embedding_bag(table, np.array([[0, 2], [1, 3]]).T), expected)
    assert same_bits(embedding_bag(table, Ragged([0, 1, 2, 3], [0, 2, 4])), expected)
    assert same_bits(embedding_bag(table, (0, 1, 2, 3), np.array([0, 2, 4], np.uint8)), expected)
    assert same_bits(embedding_bag(table, Ragged.from_lists([[9], [0, 1], [2, 3]])[1:]), expected)


def test_nothing_to_sum():
    table = make_table(9, 5, "f2")
    assert same_bits(embedding_bag(table, [], [0]), np.zeros((0, 5), "f2"))
    assert same_bits(embedding_bag(table, [], [0, 0, 0], normalize=True), np.zeros((2, 5), "f2"))
    assert same_bits(embedding_bag(table, np.empty((3, 0), int)), np.zeros((3, 5), "f2"))
    assert same_bits(embedding_bag(table, np.empty((0, 3), int)), np.zeros((0, 5), "f2"))
    assert same_bits(embedding_bag(table[:0], [], [0, 0]), np.zeros((1, 5), "f2"))
    assert embedding_bag(np.zeros((4, 0), "f4"), [[1, 2]], normalize=True).shape == (1, 0)


def test_zeros_infinities_and_nan():
    table = np.array([[-0.0, 0, np.inf, np.nan], [-0.0, 1, -np.inf, 0], [0, 0, 0, 0]], np.float32)
    result = embedding_bag(table, [0, 0, 1, 2], [0, 1, 3, 4], mode="sum")
    assert np.signbit(result[:2, 0]).all()
    assert result[0, 2] == np.inf
    assert np.isnan(result[1, 2:]).all()
    assert same_bits(embedding_bag(table, [2], [0, 1], normalize=True), np.zeros((1, 4), "f4"))
    assert embedding_bag(np.full((1, 2), 6e4, "f2"), [0, 0], [0, 2], mode="sum").tolist() == [[np.inf, np.inf]]


@pytest.mark.parametrize(("dtype", "sizes"), [("f8", [1e-320, 1e-200, 1.0, 1e200]), ("f4", [1e-45, 1e-30, 1e30])])
def test_lengths_at_the_ends_of_the_range(dtype, sizes):
    for size in sizes:
        row = np.array([[3, -4, *[0] * 20]], dtype) * np.array(size, dtype)
        unit = embedding_bag(row, [0], [0, 1], normalize=True)
        assert same_bits(unit, normalize(row))
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

    def into():
        return embedding_bag(table, ids, offsets, normalize=True, out=np.full((len(lengths), 100), np.nan, kind))

    assert not np.isnan(same_on_threads(into)).any()


def test_bits_do_not_depend_on_where_the_table_lies():
    raw = np.zeros(40 * 100 * 4 + 64, np.uint8)
    ids, offsets = make_bags(40, [20, 7])
    table = make_table(40, 100, "f4")
    expected = embedding_bag(table, ids, offsets, normalize=True)
    for shift in range(0, 64, 3):
        moved = raw[shift : shift + table.nbytes].view("f4").reshape(table.shape)
        moved[...] = table
        assert same_bits(embedding_bag(moved, ids, offsets, normalize=True), expected)


def test_eight_callers_at_once(small_grain):
    table = make_table(500, 64, "f2")
    jobs = [make_bags(500, [5, 0, 50, 17, 3, 200], seed=k) for k in range(48)]
    results = by_eight_callers(lambda *job: embedding_bag(table, *job, out=np.full((6, 64), np.nan, "f4")), jobs)
    assert all(map(same_bits, results, [reference.embedding_bag(table, *job) for job in jobs]))


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
    ids[[100, 4321]] = 5, 6  # found by two threads, and nobody sees what they wrote
    with _threads.num_threads(2), pytest.raises(IndexError, match=r"^id 5 at position 100 is"):
        embedding_bag(table, ids, np.arange(0, 5001, 100))
    with pytest.raises(IndexError, match=r"id 5 at position \(1, 0\) is out"):
        embedding_bag(table, [[0, 1], [5, 0]])
    with pytest.raises(IndexError, match="id 18446744073709551615 at position 1"):
        embedding_bag(table, np.array([0, 2**64 - 1], np.uint64), [0, 2])
    with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
        embedding_bag(table[:0], [0], [0, 1])


@pytest.mark.parametrize("mode", ["cls", "last"])
def test_bad_ids_are_refused_whose_rows_are_not_needed(mode):
    with pytest.raises(IndexError, match=r"^id 9 at position \(1, 1\) is out of range"):
        embedding_bag(make_table(3, 4, "f4"), [[0, 1, 2], [0, 9, 0]], mode=mode)


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
        (TABLE.tolist(), [0], [0, 1], {}, TypeError, "or an array of another framework.*got list"),
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
        (TABLE, [[0], [0, 1]], None, {}, ValueError, "rows of different lengths, which are a Ragged"),
        (
            TABLE,
            [[0, 1]],
            None,
            {"mask": [[1.0, 0.0]]},
            TypeError,
            "mask must have dtype bool or an integer dtype, got dtype float64; give mask != 0",
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
        (
            TABLE,
            [[0]],
            None,
            {"weights": [["1"]]},
            TypeError,
            r"weights must be real numbers, got strings \(dtype <U1\)",
        ),
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
    if mode == "weighted_mean":  # the hole in the first bag counts
        expected = embedding_bag(table, [0, 1, 2, 3], [0, 2, 2, 4], weights=[1, 3, 1, 2])
    ids = np.array([[-100, 0, 5, 1], [5, 2**40, -1, 6], [2, 3, -100, 5]])
    mask = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    for kind in ("?", "i1", "u8", ">i2"):
        assert same_bits(embedding_bag(table, ids, mask=mask.astype(kind), mode=mode), expected)
    assert same_bits(embedding_bag(table, ids, mask=mask * -7, mode=mode), expected)
    assert same_bits(embedding_bag(table, ids, mask=mask.T.copy().T, mode=mode), expected)
    assert same_bits(embedding_bag(table, ids, mask=mask.tolist(), mode=mode), expected)
    strange = (mask * 255).astype("u1").view(bool)  # bools that are neither 0 nor 1
    assert same_bits(embedding_bag(table, ids, mask=strange, mode=mode), expected)
    for padding in (-100, 5, 4):
        padded = np.where(mask, ids, padding)
        assert same_bits(embedding_bag(table, padded, padding_idx=padding, mode=mode), expected)
        both = np.where(mask[:, ::-1].cumsum(axis=1)[:, ::-1], padded, 2**40)
        assert same_bits(
            embedding_bag(table, both, mask=both != 2**40, padding_idx=padding, mode=mode, normalize=True),
            normalize(expected),
        )
        flat = embedding_bag(table, padded.reshape(-1), [0, 4, 8, 12], padding_idx=padding, mode=mode)
        assert same_bits(flat, expected)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u8"])
def test_ids_of_every_integer_type(kind):
    table = make_table(100, 20, "f4")
    ids = np.array([[3, 99], [0, 50]], kind)
    expected = reference.embedding_bag(table, [3, 99, 0, 50], [0, 2, 4])
    assert same_bits(embedding_bag(table, ids), expected)
    assert same_bits(embedding_bag(table, np.repeat(ids, 2, axis=1)[:, ::2]), expected)
    assert same_bits(embedding_bag(table, ids.reshape(-1), np.array([0, 2, 4], kind)), expected)
    # An id of padding that the type cannot hold is no id of the list.
    assert same_bits(embedding_bag(table, ids, padding_idx=-(2**70)), expected)


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
    assert same_bits(embedding_bag(table, ids, **options), embedding_bag(table.dequantize(), ids, **options))
    with pytest.raises(IndexError, match=r"id 30 at position \(0, 1\) is out of range for a table of 30 rows"):
        embedding_bag(table, [[0, 30]], mode=mode)
