"""Whether C reads a vocabulary of words, and that vocabulary as the C core takes it."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, chain

import numpy as np

from .components import BertNormalizer, BertPreTokenizer, TokenizerFile, WordLevel, WordPiece
from .core import lib
from .plan_cuts import Cuts, cuts_in_c
from .plan_normal import finds_added, normal_in_c
from .vocabulary import Metadata, Vocabulary

MOST_WORD_CHARS = 1024  # fe_words.most
MOST_TOKEN_BYTES = 4096  # FE_WORD_BYTES


def words_in_c(file: TokenizerFile, before: list[int], after: list[int]) -> Vocabulary | None:
    """Return the vocabulary of a file of words; None where C would give other ids, or the model is another.

    `before` and `after` are the ids that the template puts around a text.
    """
    cuts = _bert(file)
    if cuts is not None and _added_in_c(file):
        return _vocabulary(file, before, after, cuts)
    # Any other steps: a text is normalized before it is cut, and late tokens are found in what it becomes.
    normal, pieces = normal_in_c(file.normalizers), _pieces(file)
    words = _vocabulary(file, before, after, 0)
    if normal is None or pieces is None or words is None or not finds_added(normal, file.added):
        return None
    return replace(words, normal=normal.steps, pattern=pieces.pattern, chain=pieces.chain)


def _pieces(file: TokenizerFile) -> Cuts | None:
    """Return what cuts words by themselves; None where C cannot."""
    if file.pre_tokenizers == (BertPreTokenizer(),):
        return Cuts(lib.FE_PATTERN_BERT)
    try:
        cuts = cuts_in_c(file.pre_tokenizers)
    except ValueError:  # the general road says what is wrong with the pattern
        return None
    return None if cuts is None or cuts.byte_level else cuts


def _vocabulary(file: TokenizerFile, before: list[int], after: list[int], flags: int) -> Vocabulary | None:
    """Return the vocabulary of words, with these flags of BERT's steps; None where C cannot hold it."""
    model, pieces = file.model, isinstance(file.model, WordPiece)
    if not isinstance(model, WordPiece | WordLevel) or model.unk_token not in model.vocab:
        return None
    tokens = [name.encode() for name in model.vocab]
    too_long = isinstance(model, WordPiece) and model.max_input_chars_per_word > MOST_WORD_CHARS
    if too_long or max(map(len, tokens)) > MOST_TOKEN_BYTES:
        return None
    extra = list({token.id: token.content for token in file.added if token.content not in model.vocab}.items())
    tokens += [content.encode() for _, content in extra]
    numbers = {name: number for number, name in enumerate(model.vocab)}
    return Vocabulary(
        flags=flags | (lib.FE_WORD_PIECES if pieces else lib.FE_WORD_LEVEL),
        token_bytes=b"".join(tokens),
        token_offsets=np.array([0, *accumulate(map(len, tokens))], np.int64),
        token_ids=np.fromiter(chain(model.vocab.values(), (id for id, _ in extra)), np.int32, len(tokens)),
        vocab=len(model.vocab),
        byte_tokens=np.full(256, -1, np.int32),
        metadata=Metadata(file.added, before, after, " ", names=[*model.vocab, *(content for _, content in extra)]),
        pattern=lib.FE_PATTERN_BERT,
        unk=numbers[model.unk_token],
        word_prefix=model.continuing_subword_prefix.encode() if isinstance(model, WordPiece) else b"",
        word_chars=model.max_input_chars_per_word if isinstance(model, WordPiece) else 0,
    )


def _bert(file: TokenizerFile) -> int | None:
    """Return the flags of BERT's normalizer, before BERT's pre-tokenizer; None where the steps are others."""
    if file.pre_tokenizers != (BertPreTokenizer(),) or len(file.normalizers) > 1:
        return None
    if not file.normalizers:
        return 0
    step = file.normalizers[0]
    if not isinstance(step, BertNormalizer):
        return None
    strips = step.lowercase if step.strip_accents is None else step.strip_accents
    flags = {
        lib.FE_BERT_CLEAN: step.clean_text,
        lib.FE_BERT_HAN: step.handle_chinese_chars,
        lib.FE_BERT_STRIP: strips,
        lib.FE_BERT_LOWER: step.lowercase,
    }
    return sum(int(flag) for flag, on in flags.items() if on)


def _added_in_c(file: TokenizerFile) -> bool:
    """Return whether C finds the added tokens: those that are looked for in normalised text need that text."""
    return not file.normalizers or not any(token.late for token in file.added)
