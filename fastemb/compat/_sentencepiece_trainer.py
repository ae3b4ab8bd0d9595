"""`sentencepiece.SentencePieceTrainer`: the pieces are of fastemb's own trainers, the files are `.model` files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .._text.compiled import lib
from .._text.files import replacing
from .._text.plan_cuts import Cuts
from .._text.sentencepiece_file import (
    NormalizerSpec,
    PieceType,
    SentencePieceModel,
    TrainerSpec,
    read_normalizer,
)
from .._text.sentencepiece_write import write_model
from .._text.train_pairs import Limits, char_symbols, merge_pairs
from .._text.train_scores import covered, train_pieces
from .._text.train_texts import How, Tally, count
from .._words import shown, type_name
from ._sentencepiece_normalizer import compiled, rule_named, rules_of
from ._sentencepiece_options import KINDS, OF_NORMALIZER, OPTIONS, checked, of_line
from ._sentencepiece_words import words_of

_SEED = 0  # of the sample that is taken of too many sentences


class SentencePieceTrainer:
    """Training of models; there is nothing to make of this class."""

    @staticmethod
    def Train(
        arg: str | None = None,
        logstream: Any = None,
        *,
        sentence_iterator: Iterable[str | bytes] | None = None,
        sentence_reader: Iterable[str | bytes] | None = None,
        model_writer: Any = None,
        normalizer: Any = None,
        pretokenizer: Callable[[str], Iterable[str]] | None = None,
        allow_inconsistent_pretokenization: bool = False,
        **options: Any,
    ) -> None:
        """Train a model on texts, and write it.

        Parameters
        ----------
        arg : str, optional
            Options as a command line has them, "--input=a.txt --vocab_size=1000", in the place of all others.
        logstream : object
            Not written to: there is no log.
        sentence_iterator, sentence_reader : iterable of str or bytes, optional
            The texts, in the place of `input`.
        model_writer : object with ``write``, optional
            What gets the bytes of the model, in the place of the files of `model_prefix`.
        normalizer : SentencePieceNormalizer, optional
            In the place of the options of normalizing.
        pretokenizer : callable, optional
            Takes a normalized text, spaces as U+2581, and returns its parts, across which no piece reaches.
        allow_inconsistent_pretokenization : bool, default False
            Whether these may be another text put together.
        **options
            `input` (a file of lines, or a list of them), `model_prefix` (of the files ``.model`` and ``.vocab``),
            `vocab_size`, `model_type` ("unigram" or "bpe"), and others of ``spm_train``.

        Raises
        ------
        NotImplementedError
            An option, named, has a value that fastemb's trainers cannot honour.
        ValueError
            A value is none of its option; texts or options contradict each other, or a text is no UTF-8.
        RuntimeError
            An option that there is not; a file that is not there; too few or too many pieces for `vocab_size`; parts
            that are not the text.
        OSError
            The files cannot be written; what stood there is as it was.

        Notes
        -----
        The pieces are those of `fastemb.Tokenizer.train` (Unigram) and of merging the most frequent pairs of characters
        (BPE), not the ones that sentencepiece would find; the model is read by both packages. They do not depend on
        threads, nor on the order of texts unless `input_sentence_size` takes a sample, which is always the same.

        Examples
        --------
        >>> import io
        >>> from fastemb.compat.sentencepiece import SentencePieceProcessor, SentencePieceTrainer
        >>> model = io.BytesIO()
        >>> SentencePieceTrainer.train(
        ...     sentence_iterator=["low low lower lowest"] * 3,
        ...     model_writer=model,
        ...     model_type="bpe",
        ...     vocab_size=15,
        ...     normalization_rule_name="identity",
        ... )
        >>> SentencePieceProcessor(model_proto=model.getvalue()).encode("lower low", out_type=str)
        ['\u2581lowe', 'r', '\u2581low']
        """
        given = options if arg is None else of_line(arg)
        asked = checked(given)
        texts = sentence_reader if sentence_iterator is None else sentence_iterator
        if (texts is None) == (not asked["input"]):
            raise RuntimeError("INTERNAL: give one of input and sentence_iterator")
        if (model_writer is None) == (not asked["model_prefix"]):
            raise RuntimeError("INTERNAL: give one of model_prefix and model_writer")
        spec = _normalizer_spec(asked, normalizer, given)
        lines = _sentences(_lines(asked["input"]) if texts is None else _texts(texts), asked)
        words = words_of(lines, spec, asked, pretokenizer, bool(allow_inconsistent_pretokenization))
        model = _model(words, spec, asked)
        data = write_model(model)
        if model_writer is not None:
            model_writer.write(data)
        else:
            _write(asked["model_prefix"], data, _vocab_file(model, asked["vocabulary_output_piece_score"]))

    train = Train


def _normalizer_spec(asked: dict[str, Any], normalizer: Any, given: dict[str, Any]) -> NormalizerSpec:
    if normalizer is not None:
        both = given.keys() & {*OF_NORMALIZER}
        if both:
            raise ValueError(f"INVALID_ARGUMENT: give one of normalizer and {min(both)}")
        spec = read_normalizer(normalizer.serialized_normalizer_spec(), False)
        if not spec.escape_whitespaces:
            raise ValueError("INVALID_ARGUMENT: the normalizer must write spaces as marks: escape_whitespaces is off")
        return spec
    flags = {name: asked[name] for name in ("add_dummy_prefix", "remove_extra_whitespaces")}
    if asked["normalization_rule_tsv"]:
        return NormalizerSpec("user_defined", compiled(rules_of(asked["normalization_rule_tsv"])), **flags)
    named = rule_named(asked["normalization_rule_name"])
    return NormalizerSpec(named.name, named.charsmap, **flags)


# ---------------------------------------------------------------- texts


def _lines(paths: list[str]) -> Iterator[bytes]:
    for path in paths:
        try:
            with open(path, "rb") as stream:
                yield from (line.removesuffix(b"\n") for line in stream)
        except OSError as error:
            raise RuntimeError(f'NOT_FOUND: "{path}": {error.strerror}') from None


def _texts(texts: Iterable[str | bytes]) -> Iterator[bytes]:
    for text in texts:
        if not isinstance(text, str | bytes):
            raise ValueError(f"INVALID_ARGUMENT: Iterator must return str or bytes, got {type_name(text)}")
        yield (text.encode(errors="replace") if isinstance(text, str) else text).rstrip(b"\r\n")


def _sentences(lines: Iterator[bytes], asked: dict[str, Any]) -> Iterable[bytes]:
    """Return the texts that are not too long: all, the first ones, or a sample."""
    kept = (line for line in lines if 0 < len(line) <= asked["max_sentence_length"])
    size = asked["input_sentence_size"]
    if not size:
        return kept
    sample = list(islice(kept, size))
    if asked["shuffle_input_sentence"]:
        chance = np.random.default_rng(_SEED)
        for number, line in enumerate(kept, size):
            place = int(chance.integers(number + 1))
            if place < size:
                sample[place] = line
    return sample


# ---------------------------------------------------------------- the model


def _model(words: Iterable[str], spec: NormalizerSpec, asked: dict[str, Any]) -> SentencePieceModel:
    """Return the model of some words: pieces that come out of no counting, and what counting gives."""
    meta = _meta_pieces(asked)
    tally, size = count(words, How(Cuts(lib.FE_PATTERN_NONE))), asked["vocab_size"]
    scored = _scored(tally, size - len(meta), {piece for piece, _ in meta.values()}, asked)
    if len(meta) + len(scored) < size and asked["hard_vocab_limit"]:
        raise RuntimeError(
            f"INTERNAL: Vocabulary size too high ({size}). Please set it to a value <= {len(meta) + len(scored)}."
        )
    rows = {id: (piece, 0.0, kind) for id, (piece, kind) in meta.items()}
    free = (id for id in range(len(meta) + len(scored)) if id not in rows)
    rows |= {id: (piece, score, PieceType.NORMAL) for id, (piece, score) in zip(free, scored, strict=False)}
    if {*rows} != {*range(len(rows))}:
        raise ValueError(f"INVALID_ARGUMENT: an id of a special piece is beyond the {len(rows)} pieces")
    names, scores, kinds = zip(*(rows[id] for id in range(len(rows))), strict=True)
    told = TrainerSpec.__dataclass_fields__.keys() & OPTIONS.keys() - {"model_type"}
    trainer = {name: asked[name] for name in told} | {"vocab_size": len(rows)}
    return SentencePieceModel(
        list(names),
        np.array(scores, np.float32),
        np.array(kinds, np.uint8),
        TrainerSpec(KINDS[asked["model_type"]], **trainer),
        spec,
    )


def _scored(tally: Tally, wanted: int, known: set[str], asked: dict[str, Any]) -> list[tuple[str, float]]:
    """Return so many pieces, or fewer, that counting gives, none of which is `known`, with their scores."""
    counts, size = tally.chars(), asked["vocab_size"]
    chars = covered(counts.sum(0, dtype=np.uint64), asked["character_coverage"])
    chars = [*dict.fromkeys(chars + [ord(char) for char in asked["required_chars"]])]
    chars = [code for code in chars if chr(code) not in known]
    if wanted < len(chars):
        raise RuntimeError(
            f"INTERNAL: Vocabulary size is smaller than required_chars. {size} vs {size - wanted + len(chars)}: "
            "raise vocab_size or lower character_coverage"
        )
    if asked["model_type"] == "unigram":
        scored = train_pieces(tally, chars, wanted, asked["max_sentencepiece_length"])
    else:
        known_codes = np.zeros_like(counts)
        known_codes[:, chars] = np.maximum(counts[:, chars], counts[:, chars].sum(0) == 0)
        limits = Limits(wanted, 0, asked["max_sentencepiece_length"] + 1)
        merged = list(merge_pairs(tally, char_symbols([], known_codes, "", None), limits).vocab)
        pieces = [*merged[len(chars) :], *map(chr, chars)]
        scored = [(piece, float(-number)) for number, piece in enumerate(pieces)]
    return [item for item in scored if item[0] not in known]


def _meta_pieces(asked: dict[str, Any]) -> dict[int, tuple[str, PieceType]]:
    """Return the pieces that come out of no counting, by their ids."""
    own, control = asked["user_defined_symbols"], asked["control_symbols"]
    found: dict[int, tuple[str, PieceType]] = {}
    if asked["unk_id"] < 0:
        raise ValueError("INVALID_ARGUMENT: unk_id must be at least 0: a model has an unknown piece")
    for name in ("unk", "bos", "eos", "pad"):
        id, piece = asked[f"{name}_id"], asked[f"{name}_piece"]
        if id >= 0:
            if id in found:
                raise ValueError(f"INVALID_ARGUMENT: {name}_id is {id}, which {found[id][0]!r} has")
            kind = PieceType.USER_DEFINED if piece in own else PieceType.CONTROL
            found[id] = (piece, PieceType.UNKNOWN if name == "unk" else kind)
    named = {piece for piece, _ in found.values()}
    more = [(piece, PieceType.CONTROL) for piece in control if piece not in named]
    more += [(piece, PieceType.USER_DEFINED) for piece in own if piece not in named]
    if asked["byte_fallback"]:
        more += [(f"<0x{byte:02X}>", PieceType.BYTE) for byte in range(256)]
    times = Counter(piece for piece, _ in more)
    twice = next((piece for piece, number in times.items() if number > 1 or not piece), None)
    if twice is not None:
        raise ValueError(f"INVALID_ARGUMENT: the symbol {shown(twice)} is {'there twice' if twice else 'empty'}")
    free = (id for id in range(len(found) + len(more)) if id not in found)
    return found | dict(zip(free, more, strict=False))


def _vocab_file(model: SentencePieceModel, with_scores: bool) -> bytes:
    scores = model.scores.tolist()
    numbers = [f"{score:.6g}" for score in scores] if with_scores else [*map(str, range(len(scores)))]
    return "".join(f"{piece}\t{number}\n" for piece, number in zip(model.pieces, numbers, strict=True)).encode()


def _write(prefix: str, model: bytes, vocab: bytes) -> None:
    """Write both files, neither of which takes its place before both are written."""
    with ExitStack() as stack:
        for end, data in ((".model", model), (".vocab", vocab)):
            stream = stack.enter_context(replacing(Path(prefix + end)))
            stream.write(data)
            stream.flush()
