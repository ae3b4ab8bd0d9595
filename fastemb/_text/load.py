"""Telling what kind of vocabulary a file or folder holds, by its content, and reading it."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .._memory import empty
from .clip_list import is_clip_list, read_clip_list
from .components import TokenizerFile
from .core import MAGIC, Core, simd_path
from .file_calls import calls_of
from .foreign import json_kind_of, kind_of, looks_like_vocab_txt, missing
from .gpt2_files import read_gpt2_files, read_pair
from .pair_files import named_class, read_named_pair
from .patterns import NAMES
from .plan import plan
from .rank_file import looks_like_rank_file, read_rank_file
from .ranked import ranked_vocabulary
from .saved_steps import file_of
from .sentencepiece_file import looks_like_model
from .sentencepiece_plan import plan_pieces
from .special import MODEL, as_added
from .tekken import is_tekken, parse_tekken
from .tokenizer_json import load_json, read_tokenizer_json
from .vocab_txt import read_vocab_txt
from .vocabulary import BOM, AddedToken, DamagedVocabularyError, Metadata, Vocabulary, with_own_text
from .workspace import cache_budget

HEAD = 1 << 12  # bytes of a file that tell its kind
KINDS = (
    "a tokenizer.json, a rank file (.tiktoken), a SentencePiece .model, Mistral's tekken.json, BERT's vocab.txt, or a "
    "file written by "
    "Tokenizer.save; or a folder with one of these, with encoder.json and vocab.bpe, or with vocab.json and merges.txt"
)
Special = dict[str, int] | str | None  # as the caller gives them


def load(path: Path, pattern: str | None, special_tokens: Special, mapped: bool = False) -> Core:
    """Read the tokenizer at `path`.

    Raises
    ------
    FileNotFoundError
        There is no such file, or the folder holds no tokenizer.
    TypeError, ValueError
        The file is damaged or of no known kind, or an argument does not fit it.
    """
    simd_path()  # what is wrong with the environment is not the file's fault
    cache_budget()
    if not _exists(path):
        raise FileNotFoundError(missing(path))
    if path.is_dir():
        return _load_folder(path, pattern, special_tokens)
    if not path.is_file():  # a pipe would be waited for, and can be read once only
        raise ValueError(f"{path}: it is no regular file (a pipe or a device): write what it gives to a file first")
    return _load_file(path, pattern, special_tokens, mapped)


def _exists(path: Path) -> bool:
    """Return whether there is something at `path`; a name that no file can have, as a text by mistake, has nothing."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _load_folder(folder: Path, pattern: str | None, special_tokens: Special) -> Core:
    """Read the tokenizer in a folder: of several forms of it the one that says most."""
    encoder, vocab, merges = folder / "encoder.json", folder / "vocab.json", folder / "merges.txt"
    for name in ("tokenizer.json", "tekken.json"):
        if (folder / name).is_file():
            return _load_file(folder / name, pattern, special_tokens)
    if encoder.is_file() and (folder / "vocab.bpe").is_file():
        _refuse(folder, "GPT-2's files", pattern, special_tokens)
        return build(folder, read_gpt2_files(encoder, folder / "vocab.bpe").vocabulary())
    if vocab.is_file() and merges.is_file():
        kind = named_class(folder) if pattern is None else None
        if kind is not None:
            _refuse(folder, f"a tokenizer_config.json of a {kind}", None, special_tokens)
            return _planned(folder, read_named_pair(folder, kind))
        needed = _required(folder, "vocab.json and merges.txt do", pattern)
        return build(folder, read_pair(vocab, merges, needed, as_added(special_tokens, needed)).vocabulary())
    if (folder / "vocab.txt").is_file():
        return _load_file(folder / "vocab.txt", pattern, special_tokens)
    found = [sorted(folder.glob("*.tiktoken")), [folder / "tokenizer.model"]]
    ranks = next((files for names in found if (files := [name for name in names if name.is_file()])), [])
    if len(ranks) == 1:
        return _load_file(ranks[0], pattern, special_tokens)
    if ranks:
        raise ValueError(f"{folder}: it holds {len(ranks)} rank files: give one of {', '.join(f.name for f in ranks)}")
    lone = [file.name for file in (encoder, vocab) if file.is_file()]
    alone = f" ({lone[0]} alone is not enough)" if lone else ""
    raise FileNotFoundError(
        f"no tokenizer in {folder}: it holds neither tokenizer.json nor tekken.json, encoder.json and vocab.bpe, "
        f"vocab.json and merges.txt, vocab.txt, a .tiktoken file or a tokenizer.model{alone}"
    )


def _load_file(file: Path, pattern: str | None, special_tokens: Special, mapped: bool = False) -> Core:
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(MAGIC):
        _refuse(file, "a file written by Tokenizer.save", pattern, special_tokens)
        return _open(file, mapped)
    text = head.removeprefix(BOM)
    if looks_like_model(head):
        _refuse(file, "a SentencePiece model", pattern, special_tokens)
        return _build_pieces(file)
    if is_clip_list(file, text):
        _refuse(file, "CLIP's merge list", pattern, special_tokens)
        return _planned(file, read_clip_list(file))
    if not text.strip():
        raise ValueError(f"{file}: it is empty")
    if kind := kind_of(text):  # first: a line of a Git LFS pointer reads as one of a rank file
        raise ValueError(f"{file}: it is {kind}; what can be read is {KINDS}")
    if file.name == "vocab.txt" or looks_like_vocab_txt(text):
        _refuse(file, "a WordPiece vocabulary", pattern, special_tokens)
        return build(file, plan(read_vocab_txt(file)))
    if text.lstrip().startswith((b"{", b"[")):
        return _load_json(file, pattern, special_tokens)
    if not looks_like_rank_file(text):
        raise ValueError(f"{file}: no vocabulary that can be read; {KINDS} can")
    needed = _required(file, "a rank file does", pattern)
    ranks = read_rank_file(file)
    try:
        return build(file, ranked_vocabulary(ranks, needed, as_added(special_tokens, needed)))
    except ValueError as error:
        raise error if str(error).startswith(str(file)) else ValueError(f"{file}: {error}") from None


def _load_json(file: Path, pattern: str | None, special_tokens: Special) -> Core:
    document = load_json(file)
    if is_tekken(document):
        _refuse(file, "a tekken file", pattern, special_tokens)
        try:
            model = parse_tekken(document)
        except DamagedVocabularyError as error:
            raise ValueError(f"{file}: damaged tekken file: {error}") from None
        added = [AddedToken(content, id, special=True) for content, id in model.special_tokens.items()]
        return build(file, ranked_vocabulary(model.vocabulary, model.pattern, added))
    if kind := json_kind_of(document):
        raise ValueError(f"{file}: it is {kind}; what can be read is {KINDS}")
    _refuse(file, "a tokenizer.json", pattern, special_tokens)
    return _planned(file, read_tokenizer_json(file, document))


def _planned(file: Path, parsed: TokenizerFile) -> Core:
    try:
        return build(file, plan(parsed))
    except ValueError as error:
        raise error if str(error).startswith(str(file)) else ValueError(f"{file}: {error}") from None


def _build_pieces(file: Path) -> Core:
    try:
        return build(file, plan_pieces(file.read_bytes()))
    except DamagedVocabularyError as error:
        raise ValueError(f"{file}: damaged SentencePiece model: {error}") from None


def _open(file: Path, mapped: bool) -> Core:
    with file.open("rb") as stream:
        image: Any = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if mapped else _read(stream)
    try:
        core = Core(image=image)
        calls_of(
            file_of(core), core.metadata.before, core.metadata.after
        )  # what is wrong with its notes is said here, with the file's name
        return core
    except ValueError as error:
        made, ours, note = bytes(image[8:16]), _own_format(), ""
        if len(made) == 8 and made != ours:
            note = f" (format {_number(made)}, here {_number(ours)}): load the files it was made from, and save again"
        raise ValueError(f"{file}: saved tokenizer cannot be opened: {error}{note}") from None


def _read(stream: BinaryIO) -> npt.NDArray[np.uint8]:
    """Return all of a file; a large one at a multiple of 64, so that lines of its tables are lines of the caches."""
    image = empty((os.fstat(stream.fileno()).st_size,), np.uint8)
    return image[: stream.readinto(image)]  # type: ignore[attr-defined]


def _number(made: bytes) -> int:
    """Return the number of a format, behind four bytes that say the byte order."""
    return int(struct.unpack("=II", made)[1])


@cache
def _own_format() -> bytes:
    """Return how files begin that this version writes, behind the name."""
    no_bytes, one = np.full(256, -1, np.int32), np.zeros(1, np.int32)
    smallest = Core(Vocabulary(0, b"a", np.array([0, 1]), one, 1, no_bytes, Metadata()))
    return bytes(smallest.image()[8:16])


def build(file: Path, vocabulary: Vocabulary) -> Core:
    try:
        return Core(with_own_text(vocabulary))
    except ValueError as error:
        raise ValueError(f"{file}: damaged vocabulary: {error}") from None


def _required(file: Path, who: str, pattern: str | None) -> str:
    """Return the pattern of files that have none."""
    if pattern is None:
        raise ValueError(
            f"{file}: {who} not say how text is cut into pieces, so the pattern must be given: one of "
            f"{', '.join(sorted(NAMES))} or a regular expression; another than its maker's gives other ids"
        )
    return pattern


def _refuse(file: Path, kind: str, pattern: str | None, special_tokens: Special) -> None:
    """Refuse what a file brings itself; its own special tokens may be asked for by name."""
    for name, value in (("pattern", pattern), ("special_tokens", special_tokens)):
        if value is not None and not (name == "special_tokens" and isinstance(value, str) and value == MODEL):
            raise ValueError(f"{file}: {kind} brings its own {name.replace('_', ' ')}; {name} is for rank files")
