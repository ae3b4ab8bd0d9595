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


def read_vocabulary() -> Core:
    """Return the vocabulary: BERT's without case, cut as BERT's is, but for the tokens that stand for no text."""
    tokens = VOCABULARY.read_text("utf-8").removesuffix("\n").split("\n")
    normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True, strip_accents=None)
    file = TokenizerFile(
        WordPiece({token: id for id, token in enumerate(tokens)}, tokens[UNKNOWN], PREFIX, MOST_CHARS),
        normalizers=(normalizer,),
        pre_tokenizers=(BertPreTokenizer(),),
        decoders=(WordPieceDecoder(PREFIX, cleanup=True),),
    )
    return build(VOCABULARY, plan(file))


def read_box(mapped: bool = False) -> npt.NDArray[np.float32] | QuantizedTable:
    """Return the table: numbers in float32, or mapped, their codes as the files have them.

    Small calls on codes take 100 µs, on numbers 6, and these cost 15 MB and 5 ms once (docs/design/static_box.md).
    NumPy makes them, as a kernel would first have to be compiled or loaded.
    """
    codes, scale, offset = (_read(name, mapped) for name in ("codes", "scale", "offset"))
    D = codes.shape[1] * 8 // BITS
    if mapped:
        return QuantizedTable(codes, scale, offset, (len(codes), D), BITS)
    table = np.empty((len(codes), D), np.float32)
    for column, part in enumerate((codes & 15, codes >> 4)):  # the low half of a byte is the even column
        table[:, column::2] = part * scale[:, np.newaxis] + offset[:, np.newaxis]
    return table


def _read(name: str, mapped: bool) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(HOME / f"{name}.npy", mmap_mode="r" if mapped else None, allow_pickle=False)
    return array
