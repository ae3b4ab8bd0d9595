"""The part of `Tokenizer` that trains and saves: what is asked for, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self, get_args

from ._checks import as_flag, as_integer, as_real, require_word
from ._opened import Opened
from ._text.export import Format, save
from ._text.texts import as_path
from ._text.train import SPECIAL, UNKNOWN, Kind, Normalization, Score, Training, pre_tokenizers, train
from ._text.train_scores import MOST_LONGEST
from ._words import shown, type_name

_MOST = 2**31 - 2  # ids
#: The kinds that an option is for, and its value where it is not given.
_ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "pattern": (("bpe",), None),
    "min_frequency": (("bpe", "wordpiece"), 0),
    "limit_alphabet": (("wordpiece",), None),
    "max_token_length": (("bpe", "wordpiece", "unigram"), None),
    "lowercase": (("wordpiece",), True),
    "score": (("bpe", "wordpiece"), "frequency"),
    "normalization": (("unigram",), "nmt_nfkc"),
    "character_coverage": (("unigram",), 0.9995),
}


class Trained(Opened):
    """What `Tokenizer` does before it encodes anything, and when all is done."""

    @classmethod
    def train(
        cls,
        texts: Iterable[str | bytes | os.PathLike[str]] | os.PathLike[str],
        kind: Kind = "bpe",
        vocab_size: int = 32_000,
        *,
        pattern: str | None = None,
        special_tokens: Sequence[str] | None = None,
        min_frequency: int | None = None,
        limit_alphabet: int | None = None,
        max_token_length: int | None = None,
        lowercase: bool | None = None,
        score: Score | None = None,
        normalization: Normalization | None = None,
        character_coverage: float | None = None,
    ) -> Self:
        r"""Train a tokenizer on texts.

        Parameters
        ----------
        texts : iterable of str, bytes or os.PathLike, or one os.PathLike
            A ``str`` is a text, and so are ``bytes``, which are UTF-8; a path is a text file of UTF-8, of which each
            line, its line end with it, is a text. They are taken one after another and not kept: memory grows with the
            pieces of text that are distinct.
        kind : {"bpe", "wordpiece", "unigram"}, default "bpe"
            Byte-level byte pair encoding, BERT's WordPiece, or SentencePiece's Unigram [1]_.
        vocab_size : int, default 32000
            How many ids there are to be, special tokens among them; fewer where the texts have no more to merge, but
            for "unigram".
        pattern : str, optional
            "bpe": how texts are cut into pieces, by a name as `load` takes it, by default "gpt2", or by a regular
            expression in the syntax of ``tokenizers``, which keeps what is matched and what is between as pieces.
        special_tokens : sequence of str, optional
            Tokens that have the first ids, in this order. By default none, and for "wordpiece" BERT's: ``[PAD]``,
            ``[UNK]``, ``[CLS]``, ``[SEP]``, ``[MASK]``; for "unigram" ``<unk>``, ``<s>``, ``</s>``. In the texts they
            are ordinary text.
        min_frequency : int, default 0
            "bpe", "wordpiece": two tokens merge only if they stand side by side so many times.
        limit_alphabet : int, optional
            "wordpiece": how many characters are kept, the most frequent; all others are passed over.
        max_token_length : int, optional
            A pair is not counted as one that may merge where it would have so many bytes, or characters of "wordpiece",
            or more; but for those of two bytes or characters that the texts begin with. "unigram": characters of the
            longest token, by default 16, at most 32.
        lowercase : bool, default True
            "wordpiece": whether texts become lower case, without accents.
        score : {"frequency", "likelihood"}, default "frequency"
            "bpe", "wordpiece": which pair merges next: the most frequent one, or the one with the highest frequency
            divided by those of its two tokens, as WordPiece is often described. Ties: the lower left id, then the lower
            right one.
        normalization : {"nmt_nfkc", "nfkc", "identity"}, default "nmt_nfkc"
            "unigram": what becomes of a text first, by SentencePiece's names. White space at its ends goes, and of
            spaces in a row one stays, whichever it is.
        character_coverage : float, default 0.9995
            "unigram": the share of the texts that the characters make up that have a token, the most frequent ones.

        Returns
        -------
        Tokenizer

        Raises
        ------
        TypeError
            `texts` is a ``str``, a frame or no iterable, or has an item of another type; or an option is of a wrong
            type.
        ValueError
            There is nothing to train on; `vocab_size` is less than the special tokens and bytes or characters, or of
            "unigram" more than the texts have; a text is no UTF-8; an option is out of its range, or for another kind.
        FileNotFoundError
            There is no such file.
        OSError
            A file cannot be read.
        ImportError
            The pattern needs the package ``regex``.

        Notes
        -----
        Tokens, ids and merges are, to the letter, those of ``BpeTrainer`` of ``tokenizers`` with the alphabet of its
        ``ByteLevel``: special tokens, then the 256 bytes by the characters that GPT-2's files write for them, then what
        merges make, the most frequent pair first. "wordpiece" is its ``WordPieceTrainer`` behind its
        ``BertNormalizer`` and ``BertPreTokenizer``, which numbers the characters that go on with a word by chance; here
        they come by code point. "unigram" is what ``spm_train`` does: from many substrings those are taken away, a
        quarter at a time, without which the texts lose the least probability, and between two such steps the scores
        are made likelier by expectation maximization [1]_. Counts have 64 bits. The result does not depend on threads,
        nor on the order of texts. An interrupt (Ctrl-C) ends training; on a terminal a line shows how far it is.

        References
        ----------
        .. [1] Kudo, "Subword regularization: improving neural network translation models with multiple subword
           candidates", 2018, arXiv:1804.10959.

        Examples
        --------
        >>> import fastemb
        >>> tokenizer = fastemb.Tokenizer.train(["low low lower lowest"], vocab_size=260)
        >>> [tokenizer.id_to_token(id) for id in tokenizer.encode("lowest low")]
        ['low', 'e', 's', 't', '\u0120low']
        """
        asked = as_training(
            kind,
            vocab_size,
            special_tokens,
            pattern=pattern,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            max_token_length=max_token_length,
            lowercase=lowercase,
            score=score,
            normalization=normalization,
            character_coverage=character_coverage,
        )
        return cls(train(texts, asked))

    def save(self, path: str | os.PathLike[str], format: Format = "fastemb") -> None:
        """Write the tokenizer to a file.

        Parameters
        ----------
        path : path-like
            The file; a file that exists is replaced, in one step, when all is written.
        format : str, default "fastemb"
            - "fastemb": one file that `load` opens in milliseconds, whatever files the tokenizer was read from. It is
              for processors of the same byte order, and for this version of the format: `load` refuses a file of
              another by name.
            - "tokenizer.json": Hugging Face's format, which ``tokenizers`` loads.
            - "tiktoken": a rank file of byte-level BPE, without special tokens and pattern.
            - "merges.txt": ``vocab.json`` and ``merges.txt`` in the folder `path`, as GPT-2's, of byte-level BPE.
            - "vocab.txt": BERT's, of WordPiece, without its settings.
            - "sentencepiece": a ``.model`` of Unigram with ``normalization="identity"``; scores have 32 bits there.

            All but the first are for tokenizers that `train` made, in this process or saved before.

        Raises
        ------
        TypeError
            `path` is no path.
        ValueError
            `format` is none of these, or the tokenizer cannot be written so.
        FileNotFoundError
            There is no such folder to write to.
        IsADirectoryError
            `path` is a folder.
        OSError
            The disk is full, say: what stood at `path` is as it was.
        """
        require_word(format, get_args(Format), "format")
        save(self._core, as_path(path), format)


_WORDS = {"score": Score, "normalization": Normalization}


def as_training(kind: Any, vocab_size: Any, special_tokens: Any, **options: Any) -> Training:
    """Return what is asked for; an option that is None was not given.

    Raises
    ------
    TypeError
        A value is of a wrong type.
    ValueError
        A value is out of its range, or for another kind.
    """
    size = as_integer(vocab_size, "vocab_size")
    special = None if special_tokens is None else _as_special(special_tokens)
    given = {name: _as_option(name, value) for name, value in options.items() if value is not None}
    require_word(kind, get_args(Kind), "kind")
    if not 1 <= size <= _MOST:
        raise ValueError(f"vocab_size must be from 1 to 2**31 - 2, got {shown(size)}")
    for name in given:
        kinds = _ONLY[name][0]
        if kind not in kinds:
            raise ValueError(f"{name} is for {' and '.join(kinds)}, and kind is {kind!r}")
    if special is None:
        special = SPECIAL[kind]
    elif kind in UNKNOWN and UNKNOWN[kind] not in special:
        raise ValueError(f"special_tokens must have {UNKNOWN[kind]!r}, which stands for what has no other token")
    if kind == "unigram" and given.get("max_token_length", 1) > MOST_LONGEST:
        raise ValueError(
            f"max_token_length must be at most {MOST_LONGEST} for unigram, got {shown(given['max_token_length'])}"
        )
    if "pattern" in given:
        pre_tokenizers(given["pattern"])  # says what is wrong with it before any text is read
    return Training(kind, size, special, **{name: given.get(name, default) for name, (_, default) in _ONLY.items()})


def _as_special(tokens: Any) -> tuple[str, ...]:
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Iterable):
        raise TypeError(f"special_tokens must be a sequence of str, got {type_name(tokens)}")
    special = tuple(tokens)
    for token in special:
        if not isinstance(token, str):
            raise TypeError(f"special_tokens must be a sequence of str, got {type_name(token)} among them")
        if not token or any("\ud800" <= char <= "\udfff" for char in token):
            raise ValueError(f"special_tokens must be texts that are not empty, got {shown(token)}")
    if len({*special}) < len(special):
        twice = next(token for token in special if special.count(token) > 1)
        raise ValueError(f"special_tokens has {shown(twice)} twice")
    return special


def _as_option(name: str, value: Any) -> Any:
    if name == "pattern":
        if not isinstance(value, str):
            raise TypeError(f"pattern must be a str, got {type_name(value)}")
        return value
    if name in _WORDS:
        require_word(value, get_args(_WORDS[name]), name)
        return value
    if name == "character_coverage":
        share = as_real(value, name)
        if not 0 < share <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, got {shown(value)}")
        return share
    if name == "lowercase":
        return as_flag(value, name)
    number = as_integer(value, name)
    least = 0 if name == "min_frequency" else 1
    if not least <= number < 2**63:
        raise ValueError(f"{name} must be at least {least}, got {shown(number)}")
    return number
