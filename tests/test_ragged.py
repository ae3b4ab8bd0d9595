"""Ragged: what it keeps, what it refuses, and padding against plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastemb.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=8)


@given(ROWS)
def test_round_trip(rows):
    ragged = Ragged.from_lists(rows)
    assert ragged.ids.dtype == np.int32
    assert ragged.offsets.dtype == np.int64
    assert ragged.lengths.dtype == np.int64
    assert [row.tolist() for row in ragged] == rows
    assert [ragged[s].tolist() for s in range(-len(rows), 0)] == rows
    assert ragged.lengths.tolist() == list(map(len, rows))
    assert len(ragged) == len(rows)


@given(ROWS, st.slices(8))
def test_slices(rows, cut):
    part = Ragged.from_lists(rows)[cut]
    assert isinstance(part, Ragged)
    assert [row.tolist() for row in part] == rows[cut]
    assert part.offsets[0] == 0
    assert part.offsets[-1] == part.ids.size


@given(ROWS, st.integers(0, 3), st.sampled_from(["right", "left"]), st.integers(-5, 5))
def test_pad(rows, more, side, pad_id):
    T = max(map(len, rows), default=0) + more
    ids, mask = Ragged.from_lists(rows).pad(T, side, pad_id)
    assert ids.dtype == np.int32
    assert mask.dtype == np.bool_
    assert ids.shape == mask.shape == (len(rows), T)
    fills = [[pad_id] * (T - len(row)) for row in rows]
    if side == "right":
        assert ids.tolist() == [row + fill for row, fill in zip(rows, fills, strict=True)]
        assert mask.tolist() == [[True] * len(r) + [False] * len(f) for r, f in zip(rows, fills, strict=True)]
    else:
        assert ids.tolist() == [fill + row for row, fill in zip(rows, fills, strict=True)]
        assert mask.tolist() == [[False] * len(f) + [True] * len(r) for r, f in zip(rows, fills, strict=True)]


def test_pad_to_the_longest():
    ids, mask = Ragged.from_lists([[1, 2, 3], [], [4]]).pad()
    assert ids.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert mask.sum() == 4


def test_nothing_is_copied_where_dtypes_fit():
    ids, offsets = np.arange(6, dtype=np.int32), np.array([0, 2, 2, 6])
    ragged = Ragged(ids, offsets)
    assert np.shares_memory(ragged.ids, ids)
    assert np.shares_memory(ragged.offsets, offsets)
    assert np.shares_memory(ragged[2], ids)
    assert np.shares_memory(ragged[1:].ids, ids)
    assert not np.shares_memory(ragged[::2].ids, ids)


def test_other_integers_are_converted():
    ragged = Ragged(np.array([1, 2], ">u2"), np.array([0, 1, 2], np.uint8))
    assert ragged.ids.dtype == np.int32
    assert ragged.ids.tolist() == [1, 2]
    assert Ragged.from_lists([np.array([3], np.uint64), (4,), []]).ids.tolist() == [3, 4]


def test_repr_and_numpy_index():
    ragged = Ragged([5, 6, 7], [0, 2, 3])
    assert repr(ragged) == "Ragged(2 rows, 3 ids)"
    assert ragged[np.int64(1)].tolist() == [7]


@pytest.mark.parametrize(
    ("ids", "offsets", "error", "words"),
    [
        ([1, 2], [1, 2], ValueError, r"offsets must start at 0, got offsets\[0\] = 1"),
        ([1, 2, 3], [0, 2, 1, 3], ValueError, r"not descend, got offsets\[1\] = 2 and offsets\[2\] = 1"),
        ([1, 2], [0, 3], ValueError, r"offsets must end at 2, the number of ids, got offsets\[1\] = 3"),
        ([1, 2], [0, 1], ValueError, r"include_last_offset=True"),
        ([1, 2], [], ValueError, "at least one"),
        ([1, 2], [[0, 2]], ValueError, r"offsets must be 1-D, got shape \(1, 2\)"),
        ([[1, 2]], [0, 2], ValueError, r"ids must be 1-D, got shape \(1, 2\)"),
        ([2**31], [0, 1], ValueError, "ids must fit int32, got 2147483648"),
        ([-(2**31) - 1], [0, 1], ValueError, "ids must fit int32, got -2147483649"),
        ([1.0], [0, 1], TypeError, "ids must have an integer dtype, got dtype float64"),
        ([True], [0, 1], TypeError, "ids must have an integer dtype, got dtype bool"),
        ([1], [0.0, 1.0], TypeError, "offsets must have an integer dtype"),
        ([1], np.array([0, 2**64 - 1], np.uint64), ValueError, "offsets must end at 1"),
        (np.ma.array([1]), [0, 1], TypeError, "ids is a masked array"),
    ],
)
def test_refusals(ids, offsets, error, words):
    with pytest.raises(error, match=words):
        Ragged(ids, offsets)


def test_refusals_of_methods():
    ragged = Ragged.from_lists([[1, 2], [3]])
    with pytest.raises(ValueError, match="at least that of the longest row, 2, got 1"):
        ragged.pad(1)
    with pytest.raises(ValueError, match="side must be 'right' or 'left', got 'up'"):
        ragged.pad(side="up")
    with pytest.raises(ValueError, match="pad_id must fit int32, got 4294967296"):
        ragged.pad(pad_id=2**32)
    with pytest.raises(TypeError, match="length must be an integer, got float"):
        ragged.pad(2.5)
    with pytest.raises(TypeError, match="length must be an integer, got bool"):
        ragged.pad(True)
    with pytest.raises(ValueError, match=r"length is larger than an array can be, got 1180591620717411303424"):
        ragged.pad(2**70)
    with pytest.raises(TypeError, match="pad_id must be an integer, got None"):
        ragged.pad(pad_id=None, side="up")
    for s in (2, -3):
        with pytest.raises(IndexError, match=f"row {s} is out of range for 2 rows"):
            ragged[s]
    with pytest.raises(TypeError, match="integer or a slice, got str"):
        ragged["a"]
    with pytest.raises(ValueError, match=r"rows\[1\] must be 1-D, got shape \(1, 1\)"):
        Ragged.from_lists([[1], [[2]]])
    with pytest.raises(TypeError, match=r"rows\[0\] must have an integer dtype"):
        Ragged.from_lists([[0.5]])
    with pytest.raises(TypeError, match=r"rows\[0\] must have an integer dtype"):
        Ragged.from_lists(["text"])
    for beyond in (np.array([2**64 - 1], np.uint64), [2**70]):
        with pytest.raises(ValueError, match=r"rows\[0\] must fit int32"):
            Ragged.from_lists([beyond])
    for rows, held in ((None, "None"), (5, "int"), ("ab", "str"), (b"ab", "bytes")):
        with pytest.raises(TypeError, match=f"^rows must be a list of rows of ids, got {held}$"):
            Ragged.from_lists(rows)
    with pytest.raises(ValueError, match=r"rows\[0\] must be 1-D, got shape \(\), a single id: rows are lists"):
        Ragged.from_lists([1, 2])


def test_lists_of_ints():
    rows = Ragged.from_lists([[5, 6], [], [7]])
    assert rows.tolist() == [[5, 6], [], [7]]
    assert type(rows.tolist()[0][0]) is int
    assert rows[1:].tolist() == [[], [7]]
    assert Ragged([], [0]).tolist() == []


@pytest.mark.parametrize(
    "convert", [np.asarray, np.array, lambda rows: np.add(rows, 1), lambda rows: np.zeros(3) + rows]
)
def test_no_array_of_objects(convert):
    with pytest.raises(TypeError, match=r"a Ragged has rows of different lengths: give \.ids and \.offsets, \.pad\(\)"):
        convert(Ragged.from_lists([[5, 6], [], [7]]))
