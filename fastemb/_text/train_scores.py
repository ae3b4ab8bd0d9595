"""Training pieces with scores, in C: Unigram."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from .bpe_model import MARK
from .compiled import ffi, lib
from .components import Replace, Strip
from .step_classes import script_of
from .train_progress import progress
from .train_texts import Tally, check

#: What SentencePiece does to spaces: those at the ends go, and of several in a row all but one.
SPACES = (Strip(strip_left=True, strip_right=True), Replace(" {2,}", False, " "))
SEEDS = 1_000_000  # substrings with which training begins, at most
MOST_SEEDS = (1 << 26) - 1  # that C can number
LONGEST = 16  # characters of a piece, if nothing else is asked for
MOST_LONGEST = 32
_SHRINK = 0.75  # what a pruning leaves
_STEPS = 2  # of expectation maximization between two prunings
_DIGITS = 10  # of scores, behind the point
_APART = 1e-4  # between the scores of two characters of which nothing was expected


def covered(counts: npt.NDArray[np.uint64], share: float) -> list[int]:
    """Return the most frequent characters that make up a share of a text, the most frequent first.

    Of two that are equally frequent that of lower code point comes first. The mark is always among them.
    """
    found = np.flatnonzero(counts)
    order = found[np.lexsort((found, ~counts[found]))]
    before = np.cumsum(counts[order], dtype=np.float64) - counts[order]
    kept: list[int] = order[before < share * float(counts.sum(dtype=np.float64))].tolist()
    return kept if ord(MARK) in kept else [*kept, ord(MARK)]


def train_pieces(tally: Tally, chars: list[int], count: int, longest: int) -> list[tuple[str, float]]:
    """Return so many pieces and their scores, the best first; fewer where there are no more.

    Parameters
    ----------
    tally : Tally
        Words, each of which begins with a mark.
    chars : list of int
        Characters that are to be pieces, the most frequent first.
    count : int
        At least as many.
    longest : int
        Characters of a piece.
    """
    trainer = _new_trainer(tally, sorted(chars), count, longest)
    contents = ffi.new("fe_pieces_contents *")
    with progress("training") as show:
        status = lib.FE_FULL
        while status == lib.FE_FULL:  # C comes back regularly, so that an interrupt is heard
            status = lib.fe_pieces_run(trainer)
            lib.fe_pieces_look(trainer, contents)
            show(f"{contents.kept:,} pieces, {contents.loss:.4f} nats a word")
    check(status)
    scores = _scores(trainer, contents)
    # Fewer digits than a double holds: those any reader of decimal numbers, `tokenizers` too, reads as the same double.
    known = {piece: round(score, _DIGITS) for piece, score in scores.items() if score > -inf}
    worst, missing = min(known.values(), default=0.0), [chr(code) for code in chars if chr(code) not in known]
    known |= {piece: round(worst + _APART * number, _DIGITS) for number, piece in enumerate(missing)}
    return sorted(known.items(), key=lambda item: (-item[1], item[0]))


def _new_trainer(tally: Tally, chars: list[int], count: int, longest: int) -> Any:
    codes = np.array(chars, np.uint32)
    scripts = np.array([script(chr(code)) for code in chars], np.int32)
    alive = ffi.from_buffer("uint32_t[]", codes), ffi.from_buffer("int32_t[]", scripts)
    model = {
        "pieces": count,
        "seeds": min(max(SEEDS, count + len(chars)), MOST_SEEDS),  # of a text there are hardly so many
        "longest": longest,
        "shrink": _SHRINK,
        "steps": _STEPS,
        "mark": ord(MARK),
        "chars": codes.size,
        "char_codes": alive[0],
        "char_scripts": alive[1],
    }
    out = ffi.new("fe_pieces_trainer **")
    check(lib.fe_pieces_new(tally.handle, ffi.new("fe_pieces_model *", model), out))
    return ffi.gc(out[0], lib.fe_pieces_free)


def script(char: str) -> int:
    """Return the number of a character's script; -1 where it goes with any, as the mark and combining ones do."""
    number = script_of(char)
    return -1 if char == MARK or number in (0, script_of("\u0301")) else number


def _scores(trainer: Any, contents: Any) -> dict[str, float]:
    data, scores = np.empty(contents.bytes, np.uint8), np.empty(contents.pieces, np.float64)
    offsets = np.zeros(contents.pieces + 1, np.int64)
    kinds = (("uint8_t[]", data), ("int64_t[]", offsets), ("double[]", scores))
    lib.fe_pieces_read(trainer, *(ffi.from_buffer(kind, array, require_writable=True) for kind, array in kinds))
    text, ends = data.tobytes(), offsets.tolist()
    return {text[ends[i] : ends[i + 1]].decode(): score for i, score in enumerate(scores.tolist())}
