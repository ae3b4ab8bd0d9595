"""Training: texts → a tokenizer, as the `tokenizer.json` that it would be read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .components import (
    BertNormalizer,
    BertPreTokenizer,
    Bpe,
    ByteLevel,
    Digits,
    PreTokenizer,
    Split,
    TemplatePiece,
    TemplateProcessing,
    TokenizerFile,
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
from .train_texts import How, count
from .vocab_txt import MOST_CHARS, PREFIX
from .vocabulary import AddedToken

Kind = Literal["bpe", "wordpiece"]
Score = Literal["frequency", "likelihood"]
#: The special tokens of a kind where none are asked for.
SPECIAL: dict[str, tuple[str, ...]] = {
    "bpe": (),
    "wordpiece": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
}
_UNK, _CLS, _SEP = "[UNK]", "[CLS]", "[SEP]"


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
    file = {"bpe": _bpe, "wordpiece": _wordpiece}[asked.kind](texts, asked)
    return Core(plan(file, keep_merges=True))


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
        model=WordPiece(merged.vocab, _UNK, PREFIX, MOST_CHARS),
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
