"""Whether where tokens stand follows from their ids, and the general road for texts of which it does not."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from .bpe_model import BYTE_TOKENS, MARK
from .components import (
    NFC,
    NFD,
    NFKC,
    NFKD,
    BertPreTokenizer,
    Bpe,
    ByteLevel,
    CharDelimiterSplit,
    Metaspace,
    Prepend,
    Replace,
    TokenizerFile,
    UnicodeScripts,
    Whitespace,
    WhitespaceSplit,
)
from .core import Core, lib
from .place import can_place
from .road import Road
from .saved_steps import merges_of, with_vocab
from .sentencepiece_road import PieceRoad, is_piece_model
from .span_tables import SpanTables
from .tables import Tables
from .vocabulary import BYTE_CHARS

_MARKS = {Prepend(MARK), Replace(" ", True, MARK)}
_COMPOSING = (NFC, NFD, NFKC, NFKD)  # which leave ASCII as it is
_DROPPING = (BertPreTokenizer, CharDelimiterSplit, UnicodeScripts, Whitespace, WhitespaceSplit)

#: Of which texts the ids tell where they stand: of all, of all once it is known whether a mark stands before the text,
#: of those that the normalizers leave as they are, or of none.
Told = Literal["all", "marked", "unchanged", "none"]


def told_by_ids(file: TokenizerFile | None, prepends: bool) -> Told:
    """Return for which texts tokens are as long as the text that they stand for.

    `prepends` says whether C puts a mark before segments as it reads them, and so knows of it. Where a normalizer does
    that (late added tokens see the mark), tokens are longer than their text by marks that nothing counts.
    """
    if file is None:
        return "all"
    is_byte_level = any(isinstance(step, ByteLevel) for step in file.pre_tokenizers)
    model, steps = file.model, [step for step in file.normalizers if is_byte_level or step not in _MARKS]
    if not isinstance(model, Bpe) or model.continuing_subword_prefix or model.end_of_word_suffix:
        return "none"
    if any(isinstance(step, Metaspace) for step in file.pre_tokenizers):
        return "marked" if _is_marked_once(file) else "none"
    if Prepend(MARK) in file.normalizers and not prepends:
        return "none"
    if not steps:
        return "all"
    is_plain = len(steps) == len(file.normalizers) and is_byte_level
    return "unchanged" if is_plain and all(isinstance(step, _COMPOSING) for step in steps) else "none"


def _is_marked_once(file: TokenizerFile) -> bool:
    """Return whether at most one mark is put, before the text, and whatever else a token stands for is its text.

    That is Llama's kind as transformers 5 saves it, if it has all bytes, so that no character is unknown or vanishes.
    """
    if len(file.pre_tokenizers) != 1 or file.normalizers or not isinstance(file.model, Bpe):
        return False
    step = file.pre_tokenizers[0]
    is_first = isinstance(step, Metaspace) and step.replacement == MARK and step.prepend_scheme == "first"
    return is_first and file.model.byte_fallback


def _drops(step: Any) -> bool:
    """Return whether a pre-tokenizer may leave out part of the text."""
    return isinstance(step, _DROPPING) or getattr(step, "behavior", "") == "Removed"


def may_need_road(file: TokenizerFile, prepends: bool) -> bool:
    """Return whether offsets of some text take the general road, which needs all of the file; as `told_by_ids`."""
    model = file.model
    by_places = any(token.lstrip or token.rstrip for token in file.added) or any(map(_drops, file.pre_tokenizers))
    if told_by_ids(file, prepends) != "all" or not isinstance(model, Bpe) or by_places:
        return True
    is_byte_level = any(isinstance(step, ByteLevel) for step in file.pre_tokenizers)
    names = BYTE_CHARS if is_byte_level else BYTE_TOKENS if model.byte_fallback else []
    return not names or not model.vocab.keys() >= {*names}


class Placing:
    """How offsets of one tokenizer are found."""

    def __init__(self, core: Core, tables: Tables, file: TokenizerFile | None, splitter: Any) -> None:
        self._core, self._tables, self._file, self._splitter = core, tables, file, splitter

    @cached_property
    def told(self) -> Told:
        """Of which texts the ids tell where they stand."""
        if isinstance(self._splitter, Road):
            return "none"
        if is_piece_model(self._core):  # where nothing normalizes, a text becomes pieces as in a file of marks
            return "none" if self._core.normal else "all"
        told = told_by_ids(self._file, bool(self._core.contents.flags & lib.FE_PREPEND))
        has_bytes = told != "marked" or self._tables.id_by_name.keys() >= {*BYTE_TOKENS}  # notes have no names
        return told if has_bytes else "none"

    @cached_property
    def in_c(self) -> bool:
        """Whether C walks the texts of which the ids do not tell; those that it cannot place take the general road."""
        return self._splitter is None and not is_piece_model(self._core) and can_place(self._core)

    @cached_property
    def tables(self) -> SpanTables:
        """What is known of tokens by their ids."""
        return SpanTables(self._core, self._tables)

    @cached_property
    def road(self) -> Road | None:
        """The general road; None where the tokenizer has none, or what it needs is not kept."""
        if self._splitter is None and is_piece_model(self._core):
            return PieceRoad(self._core)
        if isinstance(self._splitter, Road) or self._file is None:
            return self._splitter if isinstance(self._splitter, Road) else None
        names, ids = self._tables.names, self._core.ids().tolist()
        vocab = dict(zip(names[: self._core.contents.vocab], ids, strict=False))
        model = self._file.model
        if not isinstance(model, Bpe):
            return Road(replace(self._file, model=with_vocab(self._core, model, vocab)))
        merges = merges_of(self._core, len(vocab))
        return None if merges is None else Road(replace(self._file, model=replace(model, vocab=vocab, merges=merges)))
