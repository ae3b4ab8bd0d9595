"""Normalizers in C against `tokenizers`: every code point, drawn strings, and texts of a tokenizer that has some."""

import functools
import itertools
import random

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers

import fastemb
from fastemb._text import components as c
from fastemb._text.core import ffi, lib
from fastemb._text.plan_normal import Normal, keeps_words, normal_in_c

MARK = "\u2581"
BERT = (True, True, True, None)


def bert(clean_text, handle_chinese_chars, lowercase, strip_accents):
    fields = ("clean_text", "handle_chinese_chars", "lowercase", "strip_accents")
    values = dict(zip(fields, (clean_text, handle_chinese_chars, lowercase, strip_accents), strict=True))
    return c.BertNormalizer(**values), normalizers.BertNormalizer(**values)


#: By a name: the typed step, and the format's own.
STEPS = {
    "NFC": (c.NFC(), normalizers.NFC()),
    "NFD": (c.NFD(), normalizers.NFD()),
    "NFKC": (c.NFKC(), normalizers.NFKC()),
    "NFKD": (c.NFKD(), normalizers.NFKD()),
    "Lowercase": (c.Lowercase(), normalizers.Lowercase()),
    "StripAccents": (c.StripAccents(), normalizers.StripAccents()),
    "Nmt": (c.Nmt(), normalizers.Nmt()),
    "ByteLevel": (c.ByteLevelNormalizer(), normalizers.ByteLevel()),
    "Strip": (c.Strip(True, True), normalizers.Strip()),
    "Strip left": (c.Strip(True, False), normalizers.Strip(right=False)),
    "Strip right": (c.Strip(False, True), normalizers.Strip(left=False)),
    "Prepend": (c.Prepend(MARK), normalizers.Prepend(MARK)),
    "Prepend nothing": (c.Prepend(""), normalizers.Prepend("")),
    "Replace a space": (c.Replace(" ", True, MARK), normalizers.Replace(" ", MARK)),
    "Replace aa": (c.Replace("aa", True, r"b\1"), normalizers.Replace("aa", r"b\1")),
    "Replace by nothing": (c.Replace("\u00e9", True, ""), normalizers.Replace("\u00e9", "")),
    r"Replace \s+": (c.Replace(r"\s+", False, " "), normalizers.Replace(tokenizers.Regex(r"\s+"), " ")),
    "Replace  {2,}": (c.Replace(" {2,}", False, MARK), normalizers.Replace(tokenizers.Regex(" {2,}"), MARK)),
    "Replace a+": (c.Replace(MARK + "+", False, "_"), normalizers.Replace(tokenizers.Regex(MARK + "+"), "_")),
    "Bert": bert(*BERT),
    "Bert, cased": bert(True, True, False, None),
    "Bert, clean": bert(True, False, False, False),
    "Bert, Chinese": bert(False, True, False, False),
    "Bert, accents": bert(False, False, False, True),
    "Bert, lower": bert(False, False, True, False),
}
IN_CHAINS = [name for name in STEPS if name != "Prepend nothing"]  # behind which the format's own engine panics
ALONE = pytest.mark.parametrize("name", STEPS)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def normal_of(*names):
    found = normal_in_c(tuple(STEPS[name][0] for name in names))
    assert found is not None, names
    return found


def hold(name, codes):
    ours, theirs = normal_of(name), STEPS[name][1]
    texts = {code: chr(code) for code in codes}
    if name in ("NFC", "NFD", "NFKC", "NFKD"):  # where 64 bytes are looked at together, a mark behind each
        texts = {code: f"{char}{'b' * 40}{char}\u0301{'b' * 66}" for code, char in texts.items()}
    wrong = [hex(code) for code, text in texts.items() if ours(text) != theirs.normalize_str(text)]
    assert not wrong, (name, wrong[:20])


def scalar_values():
    return itertools.chain(range(0xD800), range(0xE000, 0x110000))


@ALONE
def test_some_code_points(name):
    """All of the first planes' scripts, and of the others one in 61, from another one on for each step."""
    start = random.Random(name).randrange(61)
    hold(name, [*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x10000), *range(0x10000 + start, 0x110000, 61)])


@pytest.mark.exhaustive
@ALONE
def test_all_code_points(name):
    hold(name, scalar_values())


# Characters that meet: marks of several classes, what they compose with, jamo and syllables, exclusions, characters
# younger than the tables, and what each step looks for.
ATOMS = [
    *(
        "a",
        "A",
        "aa",
        " ",
        "  ",
        "=",
        "<",
        "e",
        "_",
        MARK,
        "\n",
        "\t",
        "\u00e9",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\u0085",
    ),
    *("\u0338", "\u0301", "\u0300", "\u0323", "\u0327", "\u0344", "\u0345", "\u0340", "\u1e69", "\u1e9b", "\u212b"),
    *("\uac00", "\uac01", "\u1100", "\u1161", "\u11a8", "\u11a7", "\u09c7", "\u09be", "\u09d7", "\u0b92", "\u0bd7"),
    *("\u3099", "\u309a", "\u304b", "\uff76", "\uff9e", "\ufdfa", "\u0958", "\u0915", "\u093c", "\u2adc", "\ufb1d"),
    *("\u05d0", "\u05b0", "\u05bc", "\u064b", "\u0651", "\u0e38", "\u0e48", "\u0f71", "\u0f72", "\u0f74", "\u0f73"),
    *("\U00011935", "\U00011930", "\U0001d15e", "\U0001d165", "\U0001e030", "\u1ac0", "\u1c89", "\u0130", "\u03a3"),
    *(
        "\u4e00",
        "\uf900",
        "\U0002f800",
        "\u200d",
        "\ufffd",
        "\u00ad",
        "\ue000",
        "\u0488",
        "\u0903",
        "\U0001f600",
        "x" * 70,
    ),
]
texts = st.lists(st.sampled_from(ATOMS) | st.characters(exclude_categories=["Cs"]), max_size=40).map("".join)


@relaxed
@given(names=st.lists(st.sampled_from(IN_CHAINS), max_size=4), text=texts)
def test_chains(names, text):
    """Every step of a chain sees what the one before it left."""
    theirs = normalizers.Sequence([STEPS[name][1] for name in names])
    if sum(name == "ByteLevel" for name in names) < 2:
        assert normal_of(*names)(text) == theirs.normalize_str(text)


@ALONE
def test_each_at_every_place(name):
    """Behind 0 to 130 letters, before and behind the places where 64 and 8 bytes are looked at together."""
    ours, theirs = normal_of(name), STEPS[name][1]
    for atom, size in itertools.product(ATOMS[:-1], (0, 1, 7, 8, 9, 56, 61, 62, 63, 64, 65, 120, 127, 128, 130)):
        text = "b" * size + atom + "b" * (size % 67)
        assert ours(text) == theirs.normalize_str(text), (name, text)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_many_marks(form):
    """More marks than are ordered one by one, and starters that compose one behind the other."""
    ours, theirs = normal_of(form), STEPS[form][1]
    draw = random.Random(5)
    marks = [chr(code) for code in (0x300, 0x301, 0x323, 0x327, 0x338, 0x345, 0x344, 0x5B0, 0x64B, 0x1D165, 0x3099)]
    for size in (1, 2, 23, 24, 25, 26, 100, 1000):
        text = "a" + "".join(draw.choice(marks) for _ in range(size)) + "e\u0301" * size + "\u1100\u1161\u11a8" * size
        assert ours(text) == theirs.normalize_str(text)


@settings(relaxed, max_examples=300)
@given(parts=st.lists(st.sampled_from([atom.encode() for atom in ATOMS]) | st.binary(max_size=3), max_size=20))
@pytest.mark.parametrize("name", ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Replace aa"])
def test_bytes_that_are_no_utf8(name, parts):
    """Each such byte stays, and is to its neighbours what a character is that nothing is done to."""
    data = b"".join(parts)
    text = data.decode("utf-8", "surrogateescape")
    inert = "".join(chr(0x10FF00 + ord(char) - 0xDC00) if "\udc80" <= char <= "\udcff" else char for char in text)
    expected = STEPS[name][1].normalize_str(inert)
    back = {0x10FF00 + byte: chr(0xDC00 + byte) for byte in range(0x80, 0x100)}
    steps, length = normal_of(name).steps, ffi.new("int64_t *")
    out = ffi.new("uint8_t[]", 40 * len(data) + 1)
    assert lib.fe_normalize(steps, len(steps), data, len(data), out, len(out), length) == lib.FE_OK
    assert bytes(ffi.buffer(out, length[0])) == expected.translate(back).encode("utf-8", "surrogateescape")


# ---------------------------------------------------------------- what C takes, and what it does not


@pytest.mark.parametrize(
    "step",
    [
        c.Replace("", True, "x"),  # between all characters
        c.Replace("a" * 65, True, "x"),  # too long to be looked for at every place
        c.Replace("a", True, "x" * 70_000),  # more than a text may grow
        c.Replace("^a", False, "x"),
        c.Replace(".+", False, "x"),
        c.Replace("(a|b)+", False, "x"),
        c.Replace("\\+", False, "x"),
    ],
)
def test_what_c_does_not_take(step):
    assert normal_in_c((c.NFC(), step)) is None


def test_growth_of_a_chain():
    """Each step alone may make a text four times as long; ten of them a million times."""
    step = c.Replace("a", True, "aaaa")
    assert normal_in_c((step,) * 8)("a") == "a" * 4**8
    assert normal_in_c((step,) * 9) is None


@pytest.mark.parametrize("cut", range(1, 13))
def test_steps_cut_off(cut):
    steps = normal_of("NFC", "Replace a space").steps
    length = ffi.new("int64_t *")
    assert lib.fe_normalize(steps, len(steps) - cut, b"", 0, ffi.NULL, 0, length) == lib.FE_BAD_MODEL


@pytest.mark.parametrize(
    "head", [(0, 0, 0), (16, 0, 0), (255, 0, 0), (1, 1, 0), (1, 0, 1), (11, 4, 0), (13, 0, 0), (14, 0, 0), (14, 2, 1)]
)
def test_steps_that_are_none(head):
    kind, flags, least = head
    steps = bytes([kind, flags, least, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert lib.fe_normalize(steps, len(steps), b"", 0, ffi.NULL, 0, ffi.new("int64_t *")) == lib.FE_BAD_MODEL


def test_normalizing_an_empty_text():
    assert all(normal_of(name)("") == theirs.normalize_str("") == "" for name, (_, theirs) in STEPS.items())
    assert Normal(b"")("a text") == "a text"


def test_which_steps_keep_words():
    kept = {name for name in STEPS if keeps_words(normal_of(name).steps)}
    assert kept == {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Prepend nothing", "Bert, lower"}


# ---------------------------------------------------------------- a tokenizer with normalizers


def byte_level(*steps):
    """A byte-level model with some merges, in the `tokenizers` package."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "a"), ("\u0120", "a"), ("\u00c3", "\u00a9"), ("b", "b"), ("\u00cc", "\u0123")]
    vocab = [*alphabet, *(left + right for left, right in merges)]
    hf = tokenizers.Tokenizer(models.BPE({token: id for id, token in enumerate(vocab)}, merges))
    hf.normalizer = normalizers.Sequence([*steps])
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    return hf


def loaded(hf, folder):
    file = folder / "tokenizer.json"
    file.write_text(hf.to_str(), encoding="utf-8")
    return fastemb.Tokenizer.load(file)


def ids_of(hf, rows):
    return [one.ids for one in hf.encode_batch(rows, add_special_tokens=False)]


@settings(relaxed, max_examples=60)
@given(
    names=st.lists(st.sampled_from([name for name in IN_CHAINS if name != "ByteLevel"]), max_size=3),
    rows=st.lists(texts),
)
def test_texts_of_a_tokenizer(tmp_path, names, rows):
    """In one batch, one by one, counted, cut, and from the saved file."""
    hf = byte_level(*(STEPS[name][1] for name in names))
    ours, expected = loaded(hf, tmp_path), ids_of(hf, rows)
    assert [row.tolist() for row in ours.encode_batch(rows)] == expected
    assert [ours.encode(row).tolist() for row in rows] == expected
    assert ours.count_batch(rows).tolist() == [*map(len, expected)]
    assert [row.tolist() for row in ours.encode_batch(rows, max_tokens=3)] == [row[:3] for row in expected]
    ours.save(tmp_path / "saved")
    assert [row.tolist() for row in fastemb.Tokenizer.load(tmp_path / "saved").encode_batch(rows)] == expected


def test_large_batches(tmp_path):
    """More texts than a block has, most of which stay as they are; and long ones, read where Python has them."""
    hf, draw = byte_level(normalizers.NFC()), random.Random(3)
    ours = loaded(hf, tmp_path)
    rows = [
        draw.choice(("caf\u00e9 ", "e\u0301", "a=\u0338b", "plain text ", "")) * draw.randrange(9) for _ in range(5000)
    ]
    assert [row.tolist() for row in ours.encode_batch(rows)] == ids_of(hf, rows)
    rows = [("plain text " * 400 + draw.choice(("e\u0301", "\u00e9", "=\u0338"))) * 2 for _ in range(40)]
    assert [row.tolist() for row in ours.encode_batch(rows)] == ids_of(hf, rows)
    assert np.array_equal(ours.encode(rows[0], max_tokens=5), ids_of(hf, rows[:1])[0][:5])


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("NFC", ["a=", "\u0338b", "=", "\u0338", "=\u0338"]),
        ("Strip", ["a", "  a", "a ", "a"]),
        ("Strip right", ["a ", "a"]),
        ("Replace  {2,}", ["a ", " a", "  "]),
        ("Replace aa", ["a", "a", "aa"]),
    ],
)
def test_what_stands_at_a_border_of_texts(name, rows, tmp_path):
    """Texts lie one behind the other in memory, and each is normalized by itself."""
    hf = byte_level(STEPS[name][1])
    assert [row.tolist() for row in loaded(hf, tmp_path).encode_batch(rows)] == ids_of(hf, rows)


def test_runs_that_borders_cut(tmp_path):
    """Two texts whose spaces together would stay as they are."""
    hf = byte_level(normalizers.Replace(tokenizers.Regex(r"\s+"), "  "))
    rows = ["a ", " a", "a  b"]
    assert [row.tolist() for row in loaded(hf, tmp_path).encode_batch(rows)] == ids_of(hf, rows)


@pytest.mark.parametrize("name", ["NFC", "Strip", "Prepend"])
def test_bytes_with_a_tail(name, tmp_path):
    """What is taken back from before bytes that are no UTF-8 was normalized once, and is not again."""
    ours = loaded(byte_level(STEPS[name][1]), tmp_path)
    start = "a  e\u0301 x"
    ids = ours.encode(start.encode() + b" y\xff")
    assert ours.decode_bytes(ids) == STEPS[name][1].normalize_str(start + " y").encode() + b"\xff"
