"""Values that are wrong in a call of embed on the device: zeros are read, and it is said later, or at once."""

import numpy as np
import pytest
from embedding_kit import call_room, make
from kit import on_device, run

from fastemb._cuda import embedding, status
from fastemb.embedding import embed
from fastemb.ragged import Ragged

TABLE, POSITIONS, SEGMENTS = make((5, 8)), make((3, 8), seed=1), make((2, 8), seed=2)
IDS = np.array([[0, 1, 2], [3, 4, 0]])


def later(words, kind=IndexError):
    """The next call says what was wrong with the last one, once."""
    with pytest.raises(kind, match=words + r" \(found after an earlier call of embed on cuda:0\)"):
        run(embed, TABLE, IDS)
    run(embed, TABLE, IDS)


def test_bad_ids():
    bad = np.array([[0, 1, 2], [5, -1, 0]])
    result = run(embed, TABLE, bad, positions=POSITIONS)
    expected = TABLE[np.where((bad < 0) | (bad > 4), 0, bad)]
    expected[1, :2] = 0
    assert (result == expected + POSITIONS).all()
    later(r"id at position \(1, 0\) is out of range for a table of 5 rows")


@pytest.mark.parametrize("what", ["position", "segment"])
def test_bad_ids_of_addends(what):
    addend = {"position": POSITIONS, "segment": SEGMENTS}[what]
    for ids, place in ((np.array([[0, 1, 0], [1, 0, 9]]), r"\(1, 2\)"), (np.array([0, -1, 1]), "1")):
        result = run(embed, TABLE, IDS, **{f"{what}s": addend, f"{what}_ids": ids})
        every = np.broadcast_to(ids, IDS.shape)
        added = addend[np.where((every < 0) | (every > 1), 0, every)]
        added[(every < 0) | (every > 1)] = 0
        assert (result == TABLE[IDS] + added).all()
        later(rf"{what} id at position {place} is out of range for {what}s of {len(addend)} rows")


def test_nothing_is_said_of_what_a_mask_leaves_out():
    mask = np.array([[0, 1, 1], [1, 0, 1]])
    bad = np.where(mask, IDS, -100)
    options = {"positions": POSITIONS, "position_ids": np.where(mask, 1, 99), "segments": SEGMENTS}
    result = run(embed, TABLE, bad, **options, segment_ids=np.where(mask, 0, -7), mask=mask)
    assert (result == (TABLE[IDS] + POSITIONS[1] + SEGMENTS[0]) * mask[..., np.newaxis]).all()
    assert not run(embed, TABLE[:0], bad, mask=np.zeros((2, 3), bool)).any()
    for mode in ("raise", "clip", "wrap"):
        run(embed, TABLE[:0], bad, mask=mask, mode=mode)
        later(r"id at position \(0, 1\) is out of range for a table of 0 rows")


def test_too_few_positions():
    """Where only the device can count them: ValueError, as on the CPU."""
    mask = np.array([[1, 0, 1], [1, 1, 1]])
    run(embed, TABLE, IDS, positions=POSITIONS[:2], mask=mask)
    later(r"position id at position \(1, 2\) is out of range for positions of 2 rows", ValueError)
    call_room(embedding.embed, TABLE, Ragged.from_lists([[1], [2, 3, 4]]), positions=POSITIONS[:2])
    later(r"position id at position 3 is out of range for positions of 2 rows", ValueError)


def test_a_table_of_no_rows():
    with pytest.raises(IndexError, match="a table of 0 rows has no row for any id"):
        run(embed, TABLE[:0], IDS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ids": [[0, 1, 2], [3, 9, 0]]}, r"id 9 at position \(1, 1\) is out of range for a table of 5 rows"),
        ({"ids": [[7, 1, 2], [3, 9, 0]], "mask": [[0, 1, 1], [1, 1, 1]]}, r"id 9 at position \(1, 1\) is out of range"),
        ({"positions": POSITIONS, "position_ids": [0, 1, 3]}, r"position id 3 at position 2 is out of range"),
        ({"segments": SEGMENTS, "segment_ids": [[0, 1, 2]], "mask": [[1, 1, 0], [1, 1, 1]]},
         r"segment id 2 at position \(1, 2\) is out of range for segments of 2 rows"),
        ({"positions": POSITIONS[:2], "mask": [[1, 1, 0], [1, 1, 1]]}, r"position id at position \(1, 2\)"),
    ],
)  # fmt: skip
def test_at_once(given, words, monkeypatch):
    """In the mode "sync" it is said before anything is written."""
    monkeypatch.setattr(status, "mode", status.SYNC)
    out = np.full((2, 3, 8), 7, "f4")
    options = {"ids": IDS, "out": out} | {name: np.asarray(one) for name, one in given.items()}
    with pytest.raises((IndexError, ValueError), match=words):
        embed(on_device(TABLE), **on_device(options))
    assert (out == 7).all()
    run(embed, TABLE, IDS, positions=POSITIONS, segments=SEGMENTS)


def test_offsets_at_once(monkeypatch):
    monkeypatch.setattr(status, "mode", status.SYNC)
    ragged = Ragged._trusted(np.arange(5, dtype="i4"), np.array([0, 3, 2, 5]))
    with pytest.raises(ValueError, match="offset at position 2 is out of range for offsets that ascend from 0 to 5"):
        call_room(embedding.embed, TABLE, ragged, positions=POSITIONS)
