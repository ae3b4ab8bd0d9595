"""Reading the merge list that CLIP's makers publish, `bpe_simple_vocab_16e6.txt`, compressed by gzip or not.

The list is all there is: ids follow from its order, and how text is cut is CLIP's. What the makers' own code does to
texts before that (mending broken encodings, HTML) is not done here; it is no part of the tokenizer that transformers
has for these files either.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

from .bpe_model import read_merges
from .components import Bpe, TokenizerFile
from .pair_files import document
from .tokenizer_json import parse_tokenizer_json
from .vocabulary import BYTE_CHARS, DamagedVocabularyError

_GZIP = b"\x1f\x8b"
_FIRST = b'"bpe_simple_vocab_16e6.txt#version'
_USED = 49_152 - 256 - 2  # merges: the file has five times as many
_MOST_BYTES = 1 << 26  # decompressed; the published one has 3 MB
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def is_clip_list(file: Path, head: bytes) -> bool:
    """Return whether a file that begins so is CLIP's merge list."""
    if not head.startswith(_GZIP):
        return head.startswith(_FIRST)
    try:
        with gzip.open(file) as stream:
            return stream.read(len(_FIRST)) == _FIRST
    except (OSError, EOFError, zlib.error):
        return False


def read_clip_list(file: Path) -> TokenizerFile:
    """Read the list.

    Raises
    ------
    ValueError
        It is damaged; the message names the file.
    """
    lines = _lines(file)[1 : _USED + 1]
    bytes_first = sorted(BYTE_CHARS)
    names = [*bytes_first, *(char + "</w>" for char in bytes_first)]
    names += ["".join(line.split(" ")) for line in lines if line]
    vocab = {name: id for id, name in enumerate([*names, *_SPECIAL])}
    try:
        if len(vocab) < len(names) + len(_SPECIAL):
            raise DamagedVocabularyError("two of its merges make the same token")
        pairs = read_merges([line for line in lines if line], vocab)
    except DamagedVocabularyError as error:
        raise ValueError(f"{file}: damaged merge list: {error}") from None
    parsed = parse_tokenizer_json(document("CLIPTokenizer", vocab, {}, {}))
    assert isinstance(parsed.model, Bpe)
    return replace(parsed, model=replace(parsed.model, merges=pairs))


def _lines(file: Path) -> list[str]:
    try:
        with gzip.open(file) if file.read_bytes()[:2] == _GZIP else file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{file}: CLIP's merge list, of more than {_MOST_BYTES:,} bytes")
        return data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: damaged merge list: {error}") from None
