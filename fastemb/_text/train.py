"""Training: texts → a tokenizer, as the `tokenizer.json` that it would be read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .bpe_model import MARK
from .components import (
    NFKC,
    BertNormalizer,
    BertPreTokenizer,
    Bpe,
    ByteLevel,
    Digits,
    Metaspace,
    Nmt,
    Normalizer,
    Prepend,
    PreTokenizer,
    Replace,
    Split,
    TemplatePiece,
    TemplateProcessing,
    TokenizerFile,
    Unigram,
    WordPiece,
    WordPieceDecoder,
)
from .core import Core
from .patterns import NAMES, ONIGURUMA, SPELLINGS, Pattern, known_pattern, pattern_named
from .plan import plan
from .plan_cuts import cuts_in_c
from .plan_normal import normal_in_c
from .regex_split import compile_pattern
from .train_pairs import Limits, byte_symbols, char_symbols, merge_pairs
from .train_scores import LONGEST, SPACES, covered, train_pieces
from .train_texts import How, count
from .unigram_model import UNK_PENALTY
from .vocab_txt import MOST_CHARS, PREFIX
from .vocabulary import AddedToken, with_own_text

Kind = Literal["bpe", "wordpiece", "unigram"]
Score = Literal["frequency", "likelihood"]
Normalization = Literal["nmt_nfkc", "nfkc", "identity"]
#: The special tokens of a kind where none are asked for.
SPECIAL: dict[str, tuple[str, ...]] = {
    "bpe": (),
    "wordpiece": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "unigram": ("<unk>", "<s>", "</s>"),
}
#: The special token that a kind cannot do without.
UNKNOWN = {"wordpiece": "[UNK]", "unigram": "<unk>"}
_CLS, _SEP = "[CLS]", "[SEP]"
#: SentencePiece's normalizers, by its names.
_NORMALIZERS: dict[Normalization, tuple[Normalizer, ...]] = {
    "nmt_nfkc": (Nmt(), NFKC()),
    "nfkc": (NFKC(),),
    "identity": (),
}


@dataclass(frozen=True)
class Training:
    """What was asked for, checked."""

    kind: Kind
    vocab_size: int
    special: tuple[str, ...]
    pattern: str | None = None
    min_frequency: int = 0
    limit_alphabet: int | None = None
    max_token_length: int | None = None
    lowercase: bool = True
    score: Score = "frequency"
    normalization: Normalization = "nmt_nfkc"
    character_coverage: float = 0.9995

    @property
    def limits(self) -> Limits:
        """Where merging ends."""
        by_likelihood = self.score == "likelihood"
        return Limits(self.vocab_size, self.min_frequency, self.max_token_length, by_likelihood)


def train(texts: Any, asked: Training) -> Core:
    """Return the tokenizer that texts train.

    Raises
    ------
    TypeError, ValueError, OSError, MemoryError
        As `Tokenizer.train`.
    """
    file = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}[asked.kind](texts, asked)
    return Core(with_own_text(plan(file, keep_merges=True)))


def _added(asked: Training, vocab: dict[str, int]) -> list[AddedToken]:
    return [AddedToken(content, vocab[content], special=True) for content in asked.special]


# ---------------------------------------------------------------- byte pair encoding


def pre_tokenizers(pattern: str) -> tuple[PreTokenizer, ...]:
    """Return the pre-tokenizers that cut by a pattern, given by its name or as a regular expression.

    Raises
    ------
    ValueError
        It is neither.
    """
    known = pattern_named(pattern)
    if known is None:
        if not pattern or pattern.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"pattern {pattern!r} is no known name; those are {', '.join(sorted(NAMES))}")
        known = known_pattern(pattern, dialect="oniguruma")
    if known is Pattern.GPT2:
        return (ByteLevel(False, True, True),)
    if known is Pattern.GPT2_DIGITS:
        return (Digits(individual_digits=True), ByteLevel(False, True, True))
    spelled = (pattern,) if known is None else ONIGURUMA.get(known, SPELLINGS[known])
    return (*(Split(text, False, "Isolated", False) for text in spelled), ByteLevel(False, True, False))


def _bpe(texts: Any, asked: Training) -> TokenizerFile:
    steps = pre_tokenizers("gpt2" if asked.pattern is None else asked.pattern)
    cuts = cuts_in_c(steps)
    regexes = [step.pattern for step in steps if isinstance(step, Split)]
    how = How(compile_pattern(regexes, "oniguruma") if cuts is None else cuts)
    symbols = byte_symbols(asked.special)
    merged = merge_pairs(count(texts, how), symbols, asked.limits)
    return TokenizerFile(
        model=Bpe(merged.vocab, merged.merges),
        pre_tokenizers=steps,
        decoders=(ByteLevel(True, True, True),),
        added=_added(asked, merged.vocab),
    )


# ---------------------------------------------------------------- WordPiece


def _wordpiece(texts: Any, asked: Training) -> TokenizerFile:
    normalizers = (BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=asked.lowercase),)
    cuts, normal = cuts_in_c((BertPreTokenizer(),)), normal_in_c(normalizers)
    if cuts is None or normal is None:
        raise RuntimeError("BERT's steps cannot be said to C")  # they can
    tally = count(texts, How(cuts, normal.steps))
    symbols = char_symbols(asked.special, tally.chars(), PREFIX, asked.limit_alphabet)
    merged = merge_pairs(tally, symbols, asked.limits, PREFIX)
    return TokenizerFile(
        model=WordPiece(merged.vocab, UNKNOWN["wordpiece"], PREFIX, MOST_CHARS),
        normalizers=normalizers,
        pre_tokenizers=(BertPreTokenizer(),),
        post_processors=_bert_template(merged.vocab) if {_CLS, _SEP} <= {*asked.special} else (),
        decoders=(WordPieceDecoder(PREFIX, cleanup=True),),
        added=_added(asked, merged.vocab),
    )


def _bert_template(vocab: dict[str, int]) -> tuple[TemplateProcessing, ...]:
    cls, sep = (TemplatePiece("", (vocab[name],), 0) for name in (_CLS, _SEP))
    first = (cls, TemplatePiece("A", (), 0), sep)
    return (TemplateProcessing(first, (*first, TemplatePiece("B", (), 1), TemplatePiece("", sep.ids, 1))),)


# ---------------------------------------------------------------- Unigram


def _unigram(texts: Any, asked: Training) -> TokenizerFile:
    normalizers = _NORMALIZERS[asked.normalization] + SPACES
    # Words as Metaspace cuts them: a mark before each, and the spaces gone.
    cuts = cuts_in_c((Split(MARK, True, "MergedWithNext", False),))
    normal = normal_in_c((*normalizers, Prepend(MARK), Replace(" ", True, MARK)))
    if cuts is None or normal is None:
        raise RuntimeError("SentencePiece's steps cannot be said to C")  # they can
    tally = count(texts, How(cuts, normal.steps))
    chars = covered(tally.chars().sum(0, dtype=np.uint64), asked.character_coverage)
    chars = [code for code in chars if chr(code) not in asked.special]
    wanted = asked.vocab_size - len(asked.special)
    if wanted < len(chars):
        raise ValueError(
            f"vocab_size is {asked.vocab_size}, but there are {len(asked.special)} special tokens and {len(chars)} "
            "characters, each a token: ask for more, or for a lower character_coverage"
        )
    longest = LONGEST if asked.max_token_length is None else asked.max_token_length
    pieces = [item for item in train_pieces(tally, chars, wanted, longest) if item[0] not in asked.special]
    if len(pieces) < wanted and not set(asked.special) & {piece for piece, _ in pieces}:
        raise ValueError(
            f"vocab_size is {asked.vocab_size}, but of these texts no more than {len(asked.special) + len(pieces)} "
            "tokens can be made"
        )
    scored = [*((token, 0.0) for token in asked.special), *pieces]
    vocab = {piece: id for id, (piece, _) in enumerate(scored)}
    lowest = min((score for _, score in pieces), default=0.0)
    marks = Metaspace(MARK, "always", split=True)
    return TokenizerFile(
        model=Unigram(vocab, [score for _, score in scored], vocab[UNKNOWN["unigram"]], lowest - UNK_PENALTY),
        normalizers=normalizers,
        pre_tokenizers=(marks,),
        decoders=(marks,),
        added=_added(asked, vocab),
    )
