"""Files of any components of a `tokenizer.json`, drawn by Hypothesis, and the format's own engine made of each."""

import functools
import json

import tokenizers
from hypothesis import strategies as st

MARK = "\u2581"
TRICKY = [
    *"aabbcABx1_.!'-=\u2581 \n\t",
    "  ",
    "ab",
    "'s",
    "12",
    "\u00e9",
    "e\u0301",
    "\u0323",
    "\u0338",
    "\u00bd",
    "\u00b2",
    "\u2167",
    "\u6f22",
    "\u0130",
    "\u03a3",
    "\u00df",
    "\u1e9e",
    "\u200d",
    "\u0085",
    "\u3000",
    "\u00a0",
    "\u200b",
    "\x1c",
    "\x00",
    "\uac00",
    "\u1100\u1161",
    "\u0344",
    "\u0958",
    "\u212b",
    "\u00fc",
    "\uff76\uff9e",
    "\ufdfa",
    "\U00011935\U00011930",
    "\U0001f600",
    "\u30ab",
    "\u30fc",
    "\u0434",
    "<s>",
    "</s>",
    "##a",
]
TEXTS = st.lists(st.sampled_from(TRICKY), max_size=14).map("".join)
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PATTERNS = [
    {"String": "-"},
    {"String": "aa"},
    {"String": " "},
    {"String": ""},
    {"Regex": "\\d*"},
    {"Regex": "\\s+"},
    {"Regex": "[ab]+|\\p{N}{1,3}"},
    {"Regex": "(?=b)"},
    {"Regex": "^a"},
    {"Regex": "$"},
    {"Regex": "\\w+"},
    {"Regex": "[^\\s]"},
]
# Those that match no empty text: put in front of a text, what replaces it confuses the format's own engine.
FULL_PATTERNS = [
    pattern
    for pattern in PATTERNS
    if pattern not in ({"String": ""}, {"Regex": "\\d*"}, {"Regex": "(?=b)"}, {"Regex": "$"})
]


def flags(*names):
    return {name: st.booleans() for name in names}


def node(kind, **fields):
    return st.fixed_dictionaries({"type": st.just(kind)} | fields)


NORMALIZERS = st.one_of(
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Nmt"]).map(
        lambda name: {"type": name}
    ),
    node(
        "BertNormalizer",
        strip_accents=st.sampled_from([None, True, False]),
        **flags("clean_text", "handle_chinese_chars", "lowercase"),
    ),
    node("Strip", **flags("strip_left", "strip_right")),
    node("Prepend", prepend=st.sampled_from([MARK, "_", "xy"])),
    node("Replace", pattern=st.sampled_from(FULL_PATTERNS), content=st.sampled_from(["", " ", MARK, "x", "xy"])),
)
PRE_TOKENIZERS = st.one_of(
    st.sampled_from(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"]).map(
        lambda name: {"type": name}
    ),
    node(
        "Metaspace",
        replacement=st.sampled_from([MARK, "_"]),
        prepend_scheme=st.sampled_from(["always", "first", "never"]),
        split=st.booleans(),
    ),
    node("Digits", **flags("individual_digits")),
    node("Punctuation", behavior=st.sampled_from(BEHAVIORS)),
    node("CharDelimiterSplit", delimiter=st.sampled_from("-a\u00e9")),
    node("FixedLength", length=st.integers(1, 4)),
    node("Split", pattern=st.sampled_from(PATTERNS), behavior=st.sampled_from(BEHAVIORS), invert=st.booleans()),
)
BYTE_LEVEL = node("ByteLevel", trim_offsets=st.just(False), **flags("add_prefix_space", "use_regex"))
DECODERS = st.one_of(
    st.sampled_from(["ByteFallback", "Fuse"]).map(lambda name: {"type": name}),
    node("ByteLevel", **flags("add_prefix_space", "trim_offsets", "use_regex")),
    node(
        "Metaspace",
        replacement=st.sampled_from([MARK, "_"]),
        prepend_scheme=st.sampled_from(["always", "first", "never"]),
        split=st.booleans(),
    ),
    node("Replace", pattern=st.sampled_from(PATTERNS), content=st.sampled_from(["", " ", "xy"])),
    node("BPEDecoder", suffix=st.sampled_from(["</w>", "a", ""])),
    node("WordPiece", prefix=st.sampled_from(["##", "a"]), **flags("cleanup")),
    node("CTC", pad_token=st.sampled_from(["<s>", "a"]), word_delimiter_token=st.just("|"), **flags("cleanup")),
    node("Strip", content=st.sampled_from(" a"), start=st.integers(0, 1), stop=st.just(0)),
)


@functools.cache
def byte_characters():
    return tokenizers.pre_tokenizers.ByteLevel.alphabet()


CHARS = sorted({char for text in TRICKY for char in text} - set("x\u00fc\U0001f600\u0338"))
PAIRS = ["a b", "ab c", "b b", "\u2581 a", "\u2581a b", "1 2", "\u00e9 a", "e \u0301", "u a", "a u"]


@st.composite
def bpe(draw, byte_level):
    chars = sorted(byte_characters()) if byte_level else CHARS
    prefix, suffix = draw(st.sampled_from([(None, None)] * 4 + [("##", None), (None, "</w>"), ("##", "</w>")]))
    names = ["<unk>", "u", *chars]
    names += [f"{prefix or ''}{char}{suffix or ''}" for char in chars[: len(chars) * 2 // 3]]
    names += [f"{prefix or ''}{char}" for char in chars[::2]]
    merges = draw(st.lists(st.sampled_from(PAIRS + [f"\u0120 {char}" for char in "ab1"]), max_size=8))
    if prefix:
        merges = [f"{left} {prefix}{right}" for left, right in map(str.split, merges)]
    if suffix:
        merges = [f"{merge}{suffix}" for merge in merges]
    for merge in merges:
        left, right = merge.split()
        names += [left, right, left + (right.removeprefix(prefix) if prefix else right)]
    if draw(st.booleans()):
        names += [f"<0x{byte:02X}>" for byte in (*b"ab.</w>#", 0xC2, 0xC3, 0xBC, 0xCC, 0xB8, 0xF0, 0x9F, 0x98, 0x80)]
    model = {
        "type": "BPE",
        "unk_token": draw(st.sampled_from([None, "<unk>", "u"])),
        "continuing_subword_prefix": prefix,
        "end_of_word_suffix": suffix,
        "vocab": {name: id for id, name in enumerate(dict.fromkeys(names))},
        "merges": merges,
    }
    return model | {name: draw(st.booleans()) for name in ("fuse_unk", "byte_fallback", "ignore_merges")}


WORDS = [
    "[UNK]",
    "a",
    "b",
    "ab",
    "##a",
    "##b",
    "##ab",
    "c",
    "1",
    "##1",
    ".",
    "'",
    "s",
    "\u00e9",
    "##\u00e9",
    "e",
    "##c",
]


@st.composite
def words(draw):
    vocab = {name: id for id, name in enumerate([*WORDS, "aab", "\u6f22", "_", MARK, MARK + "a", "###a"])}
    if draw(st.booleans()):
        return {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    return {
        "type": "WordPiece",
        "vocab": vocab,
        "unk_token": "[UNK]",
        "continuing_subword_prefix": draw(st.sampled_from(["##", "", "a"])),
        "max_input_chars_per_word": draw(st.sampled_from([100, 3, 0])),
    }


CONTENTS = ["<s>", "</s>", "AB", "ab", " ", "a b", "<s>x", "\u00e9", "\u2581a", "b", "bc", "  ", "\u0301"]


@st.composite
def added_tokens(draw, vocab):
    contents = draw(st.lists(st.sampled_from(CONTENTS), max_size=4, unique=True))
    found, after = [], len(vocab)
    for content in contents:
        id = vocab.get(content, after)
        after += id == after
        names = ("special", "normalized", "lstrip", "rstrip", "single_word")
        found.append({"id": id, "content": content} | {name: draw(st.booleans()) for name in names})
    return found


def sequence(kind, members, nodes):
    return nodes[0] if len(nodes) == 1 else {"type": kind, members: nodes}


@st.composite
def files(draw):
    """One file: a `tokenizer.json` as an object."""
    byte_level = draw(st.booleans())
    normalizers = draw(st.lists(NORMALIZERS, max_size=3))
    before = draw(st.lists(PRE_TOKENIZERS, max_size=2))
    after = []
    if byte_level:
        after = [draw(BYTE_LEVEL), *draw(st.lists(PRE_TOKENIZERS, max_size=1))]
    model = draw(bpe(byte_level) | words())
    decoders = draw(st.none() | st.lists(DECODERS, max_size=3))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": draw(added_tokens(model["vocab"])),
        "normalizer": sequence("Sequence", "normalizers", normalizers) if normalizers else None,
        "pre_tokenizer": sequence("Sequence", "pretokenizers", before + after) if before + after else None,
        "post_processor": None,
        "decoder": None if decoders is None else sequence("Sequence", "decoders", decoders),
        "model": model,
    }


def engine(document):
    """The format's own engine; None where it cannot be made."""
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(document))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None
