"""`sentencepiece.SentencePieceTrainer`: the pieces are of fastemb's own trainers, the files are `.model` files."""

from __future__ import annotations

import csv
import os
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
    ModelType,
    NormalizerSpec,
    PieceType,
    SentencePieceModel,
    TrainerSpec,
    read_normalizer,
)
from .._text.sentencepiece_write import write_model
from .._text.train_pairs import Limits, char_symbols, merge_pairs
from .._text.train_scores import MOST_LONGEST, covered, train_pieces
from .._text.train_texts import How, count
from .._words import shown, type_name
from ._sentencepiece_normalizer import compiled, rule_named, rules_of
from ._sentencepiece_words import words_of

_KINDS = {"unigram": ModelType.UNIGRAM, "bpe": ModelType.BPE}
#: The options, and what they are where they are not given.
_OPTIONS: dict[str, Any] = {
    "input": [],
    "model_prefix": "",
    "model_type": "unigram",
    "vocab_size": 8000,
    "character_coverage": 0.9995,
    "required_chars": "",
    "hard_vocab_limit": True,
    "byte_fallback": False,
    "max_sentence_length": 4192,
    "max_sentencepiece_length": 16,
    "input_sentence_size": 0,
    "shuffle_input_sentence": True,
    "split_digits": False,
    "control_symbols": [],
    "user_defined_symbols": [],
    "vocabulary_output_piece_score": True,
    **{f"{name}_id": id for id, name in zip((0, 1, 2, -1), ("unk", "bos", "eos", "pad"), strict=True)},
    "unk_piece": "<unk>",
    "bos_piece": "<s>",
    "eos_piece": "</s>",
    "pad_piece": "<pad>",
    "unk_surface": " \u2047 ",
    "normalization_rule_name": "nmt_nfkc",
    "normalization_rule_tsv": "",
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": True,
    "num_threads": 16,
    "minloglevel": 0,
    "train_extremely_large_corpus": False,
}
#: Those of which there is one value alone.
_ONLY: dict[str, Any] = {
    "escape_whitespaces": True,
    "split_by_whitespace": True,
    "split_by_unicode_script": True,
    "split_by_number": True,
    "treat_whitespace_as_suffix": False,
    "allow_whitespace_only_pieces": False,
    "use_all_vocab": False,
    "auto_character_coverage": False,
    "enable_differential_privacy": False,
    "pretokenization_delimiter": "",
    "seed_sentencepieces_file": "",
    "denormalization_rule_tsv": "",
    "input_format": "text",
    "seed_sentencepiece_size": 1_000_000,
    "shrinking_factor": 0.75,
    "num_sub_iterations": 2,
    "self_test_sample_size": 0,
}
_OF_NORMALIZER = (
    "normalization_rule_name",
    "normalization_rule_tsv",
    "add_dummy_prefix",
    "remove_extra_whitespaces",
    "escape_whitespaces",
)
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
        given = options if arg is None else _of_line(arg)
        asked = _checked(given)
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


# ---------------------------------------------------------------- options


def _of_line(arg: str) -> dict[str, Any]:
    pairs = (part.removeprefix("--").partition("=") for part in arg.split(" ") if part)
    return {name: value for name, _, value in pairs}


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    asked = dict(_OPTIONS)
    for name, value in given.items():
        if name not in _OPTIONS and name not in _ONLY:
            raise RuntimeError(f"NOT_FOUND: unknown field name {shown(name)} in TrainerSpec.")
        found = _as_like(name, value, _OPTIONS[name] if name in _OPTIONS else _ONLY[name])
        if name in _ONLY and found != _ONLY[name] and not (name == "input_format" and not found):
            raise NotImplementedError(f"{name}={shown(value)}: fastemb's trainers know {_ONLY[name]!r} alone")
        asked[name] = found
    if asked["model_type"] not in _KINDS:
        kind = asked["model_type"]
        if kind in ("word", "char"):
            raise NotImplementedError(f"model_type={kind!r}: fastemb's trainers know 'unigram' and 'bpe' alone")
        raise ValueError(f"INVALID_ARGUMENT: model_type must be 'unigram' or 'bpe', got {shown(kind)}")
    if not 0 < asked["character_coverage"] <= 1:
        raise ValueError(f"character_coverage must be above 0 and at most 1, got {asked['character_coverage']}")
    most = MOST_LONGEST if asked["model_type"] == "unigram" else 512
    for name, high in {"vocab_size": 2**21, "max_sentencepiece_length": most, "max_sentence_length": 2**31}.items():
        if not 1 <= asked[name] <= high:
            raise ValueError(f"{name} must be from 1 to {high}, got {asked[name]}")
    if asked["input_sentence_size"] < 0:
        raise ValueError(f"input_sentence_size must be at least 0, got {asked['input_sentence_size']}")
    return asked


def _as_like(name: str, value: Any, default: Any) -> Any:
    """Return a value as the type of another one, as texts of a command line are read."""
    if isinstance(default, list):
        if isinstance(value, str):
            return next(csv.reader([value]), [])
        try:
            return [os.fspath(one) for one in (value if isinstance(value, list | tuple) else [value])]
        except TypeError:
            raise ValueError(f"INVALID_ARGUMENT: {name} must be a list of str, got {shown(value)}") from None
    try:
        if isinstance(default, bool) and str(value).lower() in ("1", "t", "true", "y", "yes", ""):
            return True
        if isinstance(default, bool) and str(value).lower() in ("0", "f", "false", "n", "no"):
            return False
        if isinstance(default, str):
            return os.fspath(value)
        if not isinstance(default, bool):
            return type(default)(value)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"INVALID_ARGUMENT: {name} must be a {type(default).__name__}, got {shown(value)}")


def _normalizer_spec(asked: dict[str, Any], normalizer: Any, given: dict[str, Any]) -> NormalizerSpec:
    if normalizer is not None:
        both = given.keys() & {*_OF_NORMALIZER}
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
    meta = _meta_pieces(asked)
    tally = count(words, How(Cuts(lib.FE_PATTERN_NONE)))
    counts = tally.chars()
    chars = covered(counts.sum(0, dtype=np.uint64), asked["character_coverage"])
    chars = [*dict.fromkeys(chars + [ord(char) for char in asked["required_chars"]])]
    chars = [code for code in chars if chr(code) not in {piece for piece, _ in meta.values()}]
    wanted, size = asked["vocab_size"] - len(meta), asked["vocab_size"]
    if wanted < len(chars):
        raise RuntimeError(
            f"INTERNAL: Vocabulary size is smaller than required_chars. {size} vs {len(meta) + len(chars)}: "
            "raise vocab_size or lower character_coverage"
        )
    known = {piece for piece, _ in meta.values()}
    if asked["model_type"] == "unigram":
        scored = train_pieces(tally, chars, wanted, asked["max_sentencepiece_length"])
    else:
        known_codes = np.zeros_like(counts)
        known_codes[:, chars] = np.maximum(counts[:, chars], counts[:, chars].sum(0) == 0)
        limits = Limits(wanted, 0, asked["max_sentencepiece_length"] + 1)
        merged = list(merge_pairs(tally, char_symbols([], known_codes, "", None), limits).vocab)
        pieces = [*merged[len(chars) :], *map(chr, chars)]
        scored = [(piece, float(-number)) for number, piece in enumerate(pieces)]
    scored = [item for item in scored if item[0] not in known]
    if len(scored) < wanted and asked["hard_vocab_limit"]:
        raise RuntimeError(
            f"INTERNAL: Vocabulary size too high ({size}). Please set it to a value <= {len(meta) + len(scored)}."
        )
    rows = {id: (piece, 0.0, kind) for id, (piece, kind) in meta.items()}
    free = (id for id in range(len(meta) + len(scored)) if id not in rows)
    rows |= {id: (piece, score, PieceType.NORMAL) for id, (piece, score) in zip(free, scored, strict=False)}
    if {*rows} != {*range(len(rows))}:
        raise ValueError(f"INVALID_ARGUMENT: an id of a special piece is beyond the {len(rows)} pieces")
    names, scores, kinds = zip(*(rows[id] for id in range(len(rows))), strict=True)
    trainer = {
        name: asked[name] for name in _OPTIONS if name in TrainerSpec.__dataclass_fields__ and name != "model_type"
    }
    trainer |= {"vocab_size": len(rows)}
    return SentencePieceModel(
        list(names),
        np.array(scores, np.float32),
        np.array(kinds, np.uint8),
        TrainerSpec(_KINDS[asked["model_type"]], **trainer),
        spec,
    )


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
    twice = next((piece for k, (piece, _) in enumerate(more) if piece in dict(more[:k])), None)
    if twice is not None or "" in dict(more):
        raise ValueError(
            f"INVALID_ARGUMENT: the symbol {shown(twice or '')} is {'empty' if not twice else 'there twice'}"
        )
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
