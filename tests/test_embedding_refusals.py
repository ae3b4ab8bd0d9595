"""What embed and embed_backward refuse, in which words, and of several faults which first."""

import numpy as np
import pytest
from arrays import lay
from embedding_cases import make

from fastemb import _threads
from fastemb.embedding import LayerNorm, RMSNorm, embed, embed_backward
from fastemb.ragged import Ragged


@pytest.mark.parametrize("layout", ["plain", "fortran"])
def test_bad_ids_leave_out_alone(layout, small_grain, general_road):
    table, out = lay(make((3, 4)), layout), np.full((500, 4), 7, "f4")
    positions, zeros = make((9, 4), seed=1), np.zeros(500, int)
    for n in (1, 2):
        for bad in (3, -1, 2**40):
            ids = zeros.copy()
            ids[432] = bad
            with _threads.num_threads(n):
                for what, given in (
                    ("id", {"ids": ids}),
                    ("position id", {"positions": positions[:3], "position_ids": ids}),
                    ("segment id", {"segments": positions[:3], "segment_ids": ids}),
                ):
                    word = "a table" if what == "id" else what.replace(" id", "s")
                    words = f"^{what} {bad} at position 432 is out of range for {word} of 3 rows$"
                    with pytest.raises(IndexError, match=words):
                        embed(table, given.pop("ids", zeros), **given, out=out, mode="raise")
                    if given:
                        with pytest.raises(IndexError, match=words):
                            embed(table, zeros, **given, out=out, mode="clip")
            assert (out == 7).all()


TABLE = np.ones((3, 2), np.float32)
FROZEN = lay(TABLE[:1], "read-only")


@pytest.mark.parametrize(
    ("ids", "options", "error", "words"),
    [
        ([0.0], {}, TypeError, "ids must have an integer dtype, got dtype float64"),
        ([0], {"table": TABLE.astype("i4")}, TypeError, "table must have dtype float64, float32, float16 or bfloat16"),
        ([0], {"table": TABLE[0]}, ValueError, r"table must have shape \(V, D\), got \(2,\)"),
        ([0], {"table": TABLE.tolist()}, TypeError, "or an array of another framework.*got list"),
        ([0], {"table": np.ma.array(TABLE)}, TypeError, "table is a masked array"),
        ([0], {"mode": "skip"}, ValueError, "mode must be one of 'raise', 'clip', 'wrap', got 'skip'"),
        ([0], {"scale": "2"}, TypeError, "scale must be a real number, got str"),
        ([0], {"scale": 1j}, TypeError, "scale must be a real number, got complex"),
        ([0], {"positions": [[0.0, 0.0]]}, TypeError, "positions must be a numpy.ndarray.*got list"),
        ([0], {"positions": TABLE.astype(int)}, TypeError, "positions must have dtype float64"),
        ([0], {"segments": np.ma.array(TABLE)}, TypeError, "segments is a masked array"),
        ([0], {"positions": TABLE[:, :1]}, ValueError, r"positions must have shape \(rows, 2\).*, got \(3, 1\)"),
        ([0], {"segments": TABLE[0]}, ValueError, r"segments must have shape \(rows, 2\).*, got \(2,\)"),
        ([0], {"segments": TABLE[:0]}, ValueError, "segments must have at least 1 rows for these ids, got 0"),
        ([0] * 4, {"positions": TABLE}, ValueError, "positions must have at least 4 rows for these ids, got 3"),
        (0, {"positions": TABLE}, ValueError, "a single id has no place of its own: positions need position_ids"),
        ([0], {"position_ids": [0]}, ValueError, "position_ids go with positions, which were not given"),
        ([0], {"segment_ids": [0]}, ValueError, "segment_ids go with segments, which were not given"),
        ([0], {"positions": TABLE, "position_ids": [0.0]}, TypeError, "position_ids must have an integer dtype"),
        ([0], {"segments": TABLE, "segment_ids": [True]}, TypeError, "segment_ids must have an integer dtype"),
        ([0], {"positions": TABLE, "position_ids": [0, 1]}, ValueError, r"to the shape of ids, \(1,\), got \(2,\)"),
        (0, {"positions": TABLE, "position_ids": [0]}, ValueError, r"to the shape of ids, \(\), got \(1,\)"),
        ([[0, 0]], {"positions": TABLE, "position_ids": [[0], [1]]}, ValueError, r"ids, \(1, 2\), got \(2, 1\)"),
        ([[0, 0]], {"positions": TABLE, "position_ids": [[0, 9]]}, IndexError, r"position id 9 at position \(0, 1\)"),
        ([0], {"positions": TABLE, "position_ids": 3}, IndexError, "position id 3 is out of range for positions of 3"),
        ([0], {"segments": TABLE, "segment_ids": np.uint64(2**63)}, IndexError, "segment id 9223372036854775808 is"),
        ([0], {"norm": TABLE[0]}, TypeError, "norm must be a fastemb.LayerNorm or RMSNorm, got numpy.ndarray; give"),
        ([0], {"norm": LayerNorm([1, 1])}, TypeError, r"norm\.weight must be a numpy\.ndarray.*got list"),
        ([0], {"norm": RMSNorm(TABLE[0].astype(int))}, TypeError, r"norm\.weight must have dtype float64"),
        ([0], {"norm": LayerNorm(TABLE[0], TABLE)}, ValueError, r"norm\.bias must have shape \(2,\).*, got \(3, 2\)"),
        ([0], {"norm": RMSNorm(TABLE[0], -1e-9)}, ValueError, r"norm\.eps must be at least 0, got -1e-09"),
        ([0], {"norm": RMSNorm(TABLE[0], float("nan"))}, ValueError, r"norm\.eps must be at least 0, got nan"),
        ([0], {"norm": LayerNorm(TABLE[0], TABLE[0], None)}, TypeError, r"norm\.eps must be a real number"),
        ([0], {"out": [[0.0, 0.0]]}, TypeError, "out must be a numpy.ndarray"),
        ([0], {"out": np.ones((1, 2), int)}, TypeError, "out must have dtype float64, float32, float16 or bfloat16"),
        ([0], {"out": np.ones((2, 2))}, ValueError, r"out must have shape \(1, 2\), got \(2, 2\)"),
        ([0], {"out": FROZEN}, ValueError, "out is read-only"),
        ([0], {"out": TABLE[:1]}, ValueError, "out overlaps table in memory"),
    ],
)  # fmt: skip
def test_refusals(ids, options, error, words):
    options = dict(options)
    table = options.pop("table", TABLE)
    with pytest.raises(error, match=words):
        embed(table, ids, **options)
    if "out" not in options:
        with pytest.raises(error, match=words):
            embed_backward(np.ones((*np.shape(ids), 2), "f4"), table, ids, **options)
    assert (TABLE == 1).all()


def test_refusals_of_overlaps_and_gradients():
    positions = np.zeros((4, 2), "f4")
    with pytest.raises(ValueError, match="out overlaps positions in memory"):
        embed(TABLE, [0, 1], positions=positions, out=positions[1:3])
    with pytest.raises(ValueError, match=r"out overlaps norm\.weight in memory"):
        embed(TABLE, [0], norm=RMSNorm(positions[0]), out=positions[:1])
    places = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match="out overlaps position_ids in memory"):
        embed(TABLE, [0, 1], positions=positions, position_ids=places[0], out=places.view("f8"))
    for mode in ("raise", "clip", "wrap"):
        with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
            embed(TABLE[:0], [0], mode=mode)
    with pytest.raises(ValueError, match=r"grad must have shape \(2, 2\) as the result of embed has, got \(2, 3\)"):
        embed_backward(np.ones((2, 3)), TABLE, [0, 1])
    with pytest.raises(TypeError, match="grad must have dtype float64"):
        embed_backward(np.ones((2, 2), int), TABLE, [0, 1])
    with pytest.raises(TypeError, match=r"grad must be a numpy\.ndarray"):
        embed_backward([[1.0, 1.0]], TABLE, [0])
    ragged = Ragged([0, 1], np.array([0, 1, 2]))
    ragged.offsets[1] = 1000
    with pytest.raises(ValueError, match="must not descend"):
        embed(TABLE, ragged)


def test_the_first_of_several_faults():
    """Types and dtypes, the mode, shapes, overlaps, and values last: offsets, then ids."""
    out = np.full((2, 2), 7, "f4")
    ragged = Ragged([0, 9], np.array([0, 2]))
    ragged.offsets[0] = 1
    faults = [
        ({"norm": RMSNorm(TABLE.astype(int))}, TypeError, r"norm\.weight must have dtype"),
        ({"mode": "skip"}, ValueError, "mode must be one of"),
        ({"positions": TABLE[:1]}, ValueError, "positions must have at least 2 rows for these ids, got 1"),
        ({"out": TABLE[:2]}, ValueError, "out overlaps table"),
        ({"ids": ragged}, ValueError, "offsets must start at 0"),
        ({"ids": [0, 9]}, IndexError, "^id 9 at position 1"),
        ({"segments": TABLE, "segment_ids": 3}, IndexError, "^segment id 3 is"),
    ]
    with pytest.raises(TypeError, match="out must have dtype float64"):
        embed(TABLE, [0, 9], mode="skip", out=out[:1].astype(int))
    with pytest.raises(TypeError, match="grad must have dtype float64"):
        embed_backward(out[:1].astype(int), TABLE, [0, 9], mode="skip")
    with pytest.raises(ValueError, match="grad must have shape"):
        embed_backward(out[:1], TABLE, [0, 9])
    given = {"ids": [0, 1], "out": out}
    for fault, error, words in reversed(faults):
        given |= fault
        if "positions" in fault:
            given["ids"] = [0, 9]  # the longest row of a Ragged is a value
        with pytest.raises(error, match=words):
            embed(TABLE, given["ids"], **{name: value for name, value in given.items() if name != "ids"})
    assert (out == 7).all()
