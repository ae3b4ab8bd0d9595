"""The model that comes with fastemb, the box's: its card is README.md, and `examples/distil.py` rebuilds its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._text.components import BertNormalizer, BertPreTokenizer, TokenizerFile, WordPiece, WordPieceDecoder
from ..._text.core import Core
from ..._text.load import build
from ..._text.plan import plan
from ...quantized import QuantizedTable

HOME = Path(__file__).parent
VOCABULARY = HOME / "vocab.txt"  # a token a line, whose number is its id
UNKNOWN = 0  # the id of what no token stands for
PREFIX, MOST_CHARS = "##", 100  # of tokens that go on with a word; of a word that is looked up
BITS = 4
PARTS = (("|u1", 2), ("<f4", 1), ("<f4", 1))  # the types and axes of codes, scale and offset


def read_box(mapped: bool = False) -> tuple[Core, npt.NDArray[np.float32] | QuantizedTable]:
    """Return the vocabulary and the table: numbers in float32, or mapped, their codes as the files have them.

    Small calls on codes take 100 µs, on numbers 6, and these cost 15 MB and 5 ms once (docs/design/static_box.md).

    Raises
    ------
    ValueError
        A file is damaged, or does not fit the others.
    """
    try:
        tokens = VOCABULARY.read_text("utf-8").removesuffix("\n").split("\n")
        codes, scale, offset = parts = [_read(name, mapped) for name in ("codes", "scale", "offset")]
        V = len({*tokens})
        if len(tokens) != V or [(x.dtype.str, x.ndim, x.shape[:1]) for x in parts] != [(*part, (V,)) for part in PARTS]:
            had = ", ".join(f"{x.dtype} {x.shape}" for x in parts)
            raise ValueError(f"codes, scale and offset are {had}, for {len(tokens)} tokens, {V} of them different")
        if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise ValueError("a scale or an offset is not finite")
        vocabulary = _vocabulary(tokens)
    except ValueError as error:
        raise ValueError(f"{HOME}: the model that comes with fastemb is damaged: {error}") from None
    if mapped:
        return vocabulary, QuantizedTable(codes, scale, offset, (len(codes), codes.shape[1] * 8 // BITS), BITS)
    return vocabulary, _numbers(codes, scale, offset)


def _vocabulary(tokens: list[str]) -> Core:
    """Return the vocabulary: BERT's without case, cut as BERT's is, but for the tokens that stand for no text."""
    normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True, strip_accents=None)
    file = TokenizerFile(
        WordPiece({token: id for id, token in enumerate(tokens)}, tokens[UNKNOWN], PREFIX, MOST_CHARS),
        normalizers=(normalizer,),
        pre_tokenizers=(BertPreTokenizer(),),
        decoders=(WordPieceDecoder(PREFIX, cleanup=True),),
    )
    return build(VOCABULARY, plan(file))


def _numbers(codes: Any, scale: Any, offset: Any) -> npt.NDArray[np.float32]:
    """Return what codes stand for, by NumPy: a kernel would first have to be compiled or loaded."""
    table = np.empty((len(codes), codes.shape[1] * 8 // BITS), np.float32)
    for column, part in enumerate((codes & 15, codes >> 4)):  # the low half of a byte is the even column
        table[:, column::2] = part * scale[:, np.newaxis] + offset[:, np.newaxis]
    return table


def _read(name: str, mapped: bool) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(HOME / f"{name}.npy", mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:  # which do not name the file
        raise ValueError(f"{name}.npy: {error}") from None
    return array
