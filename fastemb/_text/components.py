"""The steps of a `tokenizer.json` as typed values: a frozen class a component, with the file's own names and fields.

`component_reader.py` makes them of JSON by what the fields are declared to be, so the declaration here is the format: a
field with a default may be missing in a file, one without may not. Nested sequences are flat tuples here. Where one
name means two things in the format (``Strip``, ``WordPiece`` and ``ByteLevel``) the rarer one has a longer name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Literal

from .vocabulary import AddedToken, Merges

Char = Annotated[str, "one character"]
Size = Annotated[int, "at least 1"]
Count = Annotated[int, "at least 0"]
Behavior = Literal["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PrependScheme = Literal["always", "first", "never"]

# ---------------------------------------------------------------- normalizers: text → text


@dataclass(frozen=True)
class NFC:
    """Compose, by Unicode 9: younger code points are left alone. So in the three that follow."""


@dataclass(frozen=True)
class NFD:
    """Decompose."""


@dataclass(frozen=True)
class NFKC:
    """Decompose by compatibility, then compose."""


@dataclass(frozen=True)
class NFKD:
    """Decompose by compatibility."""


@dataclass(frozen=True)
class StripAccents:
    """Drop all marks (M of Unicode 9)."""


@dataclass(frozen=True)
class Lowercase:
    """Lower case, character by character: a sigma at the end of a word is no other sigma."""


@dataclass(frozen=True)
class Nmt:
    """Drop some controls, and make spaces of other white space and of some more."""


@dataclass(frozen=True)
class ByteLevelNormalizer:
    """Write each byte of the text as one character: the normalizer ``ByteLevel``."""


@dataclass(frozen=True)
class BertNormalizer:
    """BERT's four steps in this order; accents go if `strip_accents` says so, or with None if `lowercase` does."""

    clean_text: bool
    handle_chinese_chars: bool
    lowercase: bool
    strip_accents: bool | None = None


@dataclass(frozen=True)
class Strip:
    """Drop white space at the ends: the normalizer ``Strip``."""

    strip_left: bool
    strip_right: bool


@dataclass(frozen=True)
class Prepend:
    """Put a text before every text that is not empty."""

    prepend: str


@dataclass(frozen=True)
class Precompiled:
    """Replace strings by a table that SentencePiece made, in base64 (`charsmap.py`)."""

    precompiled_charsmap: str


@dataclass(frozen=True)
class Replace:
    """Replace a text or what a pattern matches; also a decoder, where it sees token by token."""

    pattern: str
    literal: bool
    content: str


# ---------------------------------------------------------------- pre-tokenizers: text → pieces


@dataclass(frozen=True)
class ByteLevel:
    """Cut as GPT-2 does (`use_regex`), and write each byte as one character.

    Also a decoder, without any setting, and a post-processor that cuts white space off offsets (`trim_offsets`).
    """

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True


@dataclass(frozen=True)
class Split:
    """Cut at a text, or at what a pattern matches; with `invert` at what it does not match."""

    pattern: str
    literal: bool
    behavior: Behavior
    invert: bool


@dataclass(frozen=True)
class Metaspace:
    """Write spaces as a mark, put one in front, and cut before marks; also a decoder, which undoes that."""

    replacement: Char
    prepend_scheme: PrependScheme = "always"
    split: bool = True


@dataclass(frozen=True)
class Digits:
    """Cut around runs of digits, or around every digit."""

    individual_digits: bool


@dataclass(frozen=True)
class Punctuation:
    """Cut at punctuation: ASCII's, or P of Unicode 8."""

    behavior: Behavior = "Isolated"


@dataclass(frozen=True)
class Whitespace:
    r"""Keep ``\w+|[^\w\s]+``."""


@dataclass(frozen=True)
class WhitespaceSplit:
    """Keep what is no white space."""


@dataclass(frozen=True)
class CharDelimiterSplit:
    """Keep what stands between delimiters."""

    delimiter: Char


@dataclass(frozen=True)
class BertPreTokenizer:
    """Drop white space, and cut at every punctuation."""


@dataclass(frozen=True)
class UnicodeScripts:
    """Cut where the script changes."""


@dataclass(frozen=True)
class FixedLength:
    """Cut into pieces of so many characters."""

    length: Size = 5


# ---------------------------------------------------------------- models: piece → tokens


@dataclass(frozen=True)
class Bpe:
    """Byte pair encoding, over the characters of a piece (at byte level these are bytes)."""

    vocab: dict[str, int]
    merges: Merges  # numbers: places in `vocab`
    unk_token: str | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    fuse_unk: bool = False
    byte_fallback: bool = False
    ignore_merges: bool = False


@dataclass(frozen=True)
class WordPiece:
    """The longest token first, from the left."""

    vocab: dict[str, int]
    unk_token: str
    continuing_subword_prefix: str
    max_input_chars_per_word: Count


@dataclass(frozen=True)
class WordLevel:
    """A piece is a token, or unknown."""

    vocab: dict[str, int]
    unk_token: str


@dataclass(frozen=True)
class Unigram:
    """Of all ways to cut a piece into tokens the one whose scores have the highest sum."""

    vocab: dict[str, int]  # ids are places in the list of the file
    scores: list[float]  # by id
    unk_id: Count
    unk_score: float  # of an unknown character
    byte_fallback: bool = False

    @cached_property
    def unk_token(self) -> str:
        """The token of what is unknown."""
        return next(islice(self.vocab, self.unk_id, None))


# ---------------------------------------------------------------- post-processors: what stands around the ids


@dataclass(frozen=True)
class TemplatePiece:
    """A text, ``"A"`` or ``"B"``; or ids, where `text` is empty."""

    text: str
    ids: tuple[int, ...]
    type_id: int


@dataclass(frozen=True)
class TemplateProcessing:
    """What stands around one text, and around two."""

    single: tuple[TemplatePiece, ...]
    pair: tuple[TemplatePiece, ...]


@dataclass(frozen=True)
class BertProcessing:
    """``[CLS] A [SEP]``, and for a pair ``[CLS] A [SEP] B [SEP]`` where B and what follows it have type 1."""

    sep: tuple[str, int]
    cls: tuple[str, int]


@dataclass(frozen=True)
class RobertaProcessing:
    """``<s> A </s>``, and for a pair ``<s> A </s></s> B </s>``, all of type 0; white space may leave the offsets."""

    sep: tuple[str, int]
    cls: tuple[str, int]
    trim_offsets: bool
    add_prefix_space: bool


# ---------------------------------------------------------------- decoders: tokens → text (more above)


@dataclass(frozen=True)
class BPEDecoder:
    """The suffix is a space, and nothing at the end of the text."""

    suffix: str


@dataclass(frozen=True)
class WordPieceDecoder:
    """Join continuing tokens, put spaces before the others; `cleanup` takes some spaces out again."""

    prefix: str
    cleanup: bool


@dataclass(frozen=True)
class CTC:
    """Drop repeated tokens and padding; the delimiter is a space."""

    pad_token: str
    word_delimiter_token: str
    cleanup: bool


@dataclass(frozen=True)
class Fuse:
    """Join all tokens: what follows sees the text."""


@dataclass(frozen=True)
class StripDecoder:
    """Drop up to so many of a character from both ends of a token."""

    content: Char
    start: Count
    stop: Count


@dataclass(frozen=True)
class ByteFallback:
    """Tokens like ``<0xE2>`` are bytes."""


# ---------------------------------------------------------------- the file

Normalizer = (
    NFC
    | NFD
    | NFKC
    | NFKD
    | StripAccents
    | Lowercase
    | Nmt
    | ByteLevelNormalizer
    | BertNormalizer
    | Strip
    | Prepend
    | Precompiled
    | Replace
)
PreTokenizer = (
    ByteLevel
    | Split
    | Metaspace
    | Digits
    | Punctuation
    | Whitespace
    | WhitespaceSplit
    | CharDelimiterSplit
    | BertPreTokenizer
    | UnicodeScripts
    | FixedLength
)
Model = Bpe | WordPiece | WordLevel | Unigram
PostProcessor = ByteLevel | TemplateProcessing | BertProcessing | RobertaProcessing
Decoder = ByteLevel | Metaspace | Replace | BPEDecoder | WordPieceDecoder | CTC | Fuse | StripDecoder | ByteFallback

#: The name of each component in the format, by its slot.
NORMALIZERS: dict[str, type[Any]] = {
    "NFC": NFC,
    "NFD": NFD,
    "NFKC": NFKC,
    "NFKD": NFKD,
    "StripAccents": StripAccents,
    "Lowercase": Lowercase,
    "Nmt": Nmt,
    "ByteLevel": ByteLevelNormalizer,
    "BertNormalizer": BertNormalizer,
    "Strip": Strip,
    "Prepend": Prepend,
    "Precompiled": Precompiled,
    "Replace": Replace,
}
PRE_TOKENIZERS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        ByteLevel,
        Split,
        Metaspace,
        Digits,
        Punctuation,
        Whitespace,
        WhitespaceSplit,
        CharDelimiterSplit,
        BertPreTokenizer,
        UnicodeScripts,
        FixedLength,
    )
}
DECODERS: dict[str, type[Any]] = {
    "ByteLevel": ByteLevel,
    "Metaspace": Metaspace,
    "Replace": Replace,
    "BPEDecoder": BPEDecoder,
    "WordPiece": WordPieceDecoder,
    "CTC": CTC,
    "Fuse": Fuse,
    "Strip": StripDecoder,
    "ByteFallback": ByteFallback,
}


@dataclass(frozen=True)
class Truncation:
    """To how many ids the maker cuts texts."""

    max_length: Count
    strategy: Literal["LongestFirst", "OnlyFirst", "OnlySecond"]
    stride: Count
    direction: Literal["Left", "Right"] = "Right"


@dataclass(frozen=True)
class Padding:
    """How the maker pads rows; `fixed` is a length, None the longest of the batch."""

    fixed: int | None
    direction: Literal["Left", "Right"]
    pad_id: Count
    pad_type_id: Count
    pad_token: str
    pad_to_multiple_of: int | None = None


@dataclass(frozen=True)
class TokenizerFile:
    """A `tokenizer.json`, read and checked."""

    model: Model
    normalizers: tuple[Normalizer, ...] = ()
    pre_tokenizers: tuple[PreTokenizer, ...] = ()
    post_processors: tuple[PostProcessor, ...] = ()
    decoders: tuple[Decoder, ...] | None = None  # None: tokens are joined by spaces
    added: list[AddedToken] = field(default_factory=list)
    truncation: Truncation | None = None
    padding: Padding | None = None
