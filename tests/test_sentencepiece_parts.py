"""Words that C reads part by part, and characters that its normalizer leaves alone: by the engine in Python."""

import random

import numpy as np
import piece_models
import pytest
from charsmaps import charsmap
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._text.core import Core
from fastemb._text.sentencepiece_engine import Engine
from fastemb._text.sentencepiece_file import ModelType, PieceType, read_model
from fastemb._text.sentencepiece_plan import plan_pieces
from fastemb.tokenizer import Tokenizer

MARK = "▁"
BYTES = [(f"<0x{byte:02X}>", 0.0, PieceType.BYTE) for byte in range(256)]
# Of two alphabets of which pieces are made, and one that no piece knows: so words fall apart between and beside them.
LETTERS, SIGNS, STRANGE = "abé日", ".(本", "界ж\U00020000"


def both(data):
    """The engine of a model, and its tokenizer, which is C's."""
    tokenizer = Tokenizer(Core(plan_pieces(data)))
    assert not tokenizer._core.metadata.general_road
    return Engine(read_model(data)), tokenizer


def same(engine, tokenizer, texts):
    """Ids are the engine's: at first, from what was remembered, counted, and one by one."""
    want = [[piece.id for piece in engine.encode(text.encode())] for text in texts]
    for _ in range(2):
        assert [row.tolist() for row in tokenizer.encode_batch(texts)] == want
    assert tokenizer.count_batch(texts).tolist() == [len(row) for row in want]
    assert [tokenizer.encode(text).tolist() for text in texts] == want


def name(alphabet):
    return st.text(st.sampled_from(alphabet), min_size=1, max_size=4)


def word():
    part = st.one_of(*(st.text(st.sampled_from(some), min_size=1, max_size=9) for some in (LETTERS, SIGNS, STRANGE)))
    return st.lists(part, min_size=1, max_size=9).map("".join)


NAMES = st.sets(st.one_of(name(LETTERS), name(SIGNS), name(LETTERS).map(lambda some: MARK + some)), max_size=30)
TEXTS = st.lists(st.lists(word(), max_size=6).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    names=NAMES,
    texts=TEXTS,
    step=st.sampled_from([1.0, 0.1, 1e-3, 7e3, 6e4]),
    seed=st.integers(0, 99),
    fallback=st.booleans(),
    marked=st.booleans(),
    spec=st.fixed_dictionaries({"add_dummy_prefix": st.booleans(), "remove_extra_whitespaces": st.booleans()}),
)
def test_parts_of_words(names, texts, step, seed, fallback, marked, spec):
    """Scores of which many sums are equal or nearly so, or so large that they are taken for zero."""
    chance = random.Random(seed)
    pieces = [(one, -step * chance.randrange(1, 9)) for one in sorted(names | ({MARK} if marked else {"a"}))]
    pieces += BYTES if fallback else []
    same(*both(piece_models.model(pieces, ModelType.UNIGRAM, {"byte_fallback": fallback}, spec)), texts)


@settings(max_examples=50, deadline=None)
@given(names=NAMES, texts=TEXTS, seed=st.integers(0, 99), fallback=st.booleans(), marked=st.booleans())
def test_merges_beside_unknown_characters(names, texts, seed, fallback, marked):
    chance = random.Random(seed)
    chars = {char for one in names for char in one} | ({MARK} if marked else set())
    scores = chance.sample(range(len(names)), len(names))
    pieces = [(one, -float(score)) for one, score in zip(sorted(names), scores, strict=True) if len(one) > 1]
    pieces += [(char, -100.0) for char in sorted(chars)] + (BYTES if fallback else [])
    data = piece_models.model(pieces, ModelType.BPE, {"byte_fallback": fallback}, {"remove_extra_whitespaces": False})
    tokenizer = Tokenizer(Core(plan_pieces(data)))
    same(Engine(read_model(data)), tokenizer, texts)


def test_long_words_and_runs():
    """Parts around the sizes that the tables of the cache take, and sums that become large inside of a run."""
    pieces = [(MARK, -2.0), ("a", -1.0), ("aa", -1.5), ("b", -3.0), ("ba", -3.5), (".", -1.0), ("日", -4.0)]
    engine, tokenizer = both(piece_models.model(pieces, ModelType.UNIGRAM))
    texts = ["a" * n + "." * (n % 3) + "b" * n for n in (1, 7, 14, 15, 16, 33, 62, 63, 64, 65, 200)]
    texts += ["界" * n + "日界" * (n % 5) for n in (1, 4, 5, 6, 21, 22, 23, 8_000, 20_000)]
    texts += [" ".join(["aaba.界界", "界aa.", "ab." * 9] * n) for n in (1, 40, 900)]
    same(engine, tokenizer, texts)


def test_what_is_found_in_parts_is_remembered_as_a_word():
    """The limit of a word is the least of its parts', each less by what may stand before it: `ab` is worse than `a b`
    by so little that the choice is sure for sums up to 50, and changes with rounding from some hundreds on."""
    pieces = [(MARK, -1.3), ("a", -0.1), ("b", -0.3), ("ab", -0.4 - 4e-5), (".", -1.2), ("c", -1.25)]
    engine, tokenizer = both(piece_models.model(pieces, ModelType.UNIGRAM))
    chance, found = random.Random(3), set()
    for size in (1, 1, 1, 50, 500, 2_000):
        text = " ".join(chance.choices(["c.ab", "ab.c", ".ab.", "c.c", "ab."], k=size))
        same(engine, tokenizer, [text])
        found |= set(tokenizer.encode(text).tolist())
    assert {4, 5, 6} <= found, "rounding chose both ways"


def test_pieces_that_end_at_one_place():
    """Many of them, one inside the other, of each length; and ties, of which the one that begins first stays."""
    letters = "abé日\U00020000"
    names = {letters[i : i + n] * k for i in range(5) for n in (1, 2, 3) for k in (1, 2, 3, 5) if i + n <= 5}
    for lowest in (True, False):
        chance = random.Random(4)
        kept = sorted(name for name in names if len(name) > 1 or lowest)
        pieces = [(name, -float(chance.randint(1, 4) * len(name))) for name in [*kept, MARK, "a" * 60, MARK + "ab"]]
        data = piece_models.model(pieces, ModelType.UNIGRAM, None, {"name": "none"})
        texts = ["".join(chance.choices([*letters, "x", " ", "ab", "é日"], k=40)) for _ in range(40)]
        same(*both(data), [*texts, "a" * 59, "a" * 60, "a" * 61 + "b"])


def test_more_pieces_than_states_are_made_of():
    """Where the trie is large the pieces are walked to, one by one."""
    chance = random.Random(5)
    names = {"".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=10)) for _ in range(19_000)}
    pieces = [(name, -float(chance.randint(5, 30))) for name in [*sorted(names), *"abcdefghijkln", MARK]]
    some = [name[i:j] for name in sorted(names)[::600] for i in (0, 4) for j in (7, 10)]
    data = piece_models.model(pieces, ModelType.UNIGRAM, None, {"name": "none"})
    same(*both(data), [" ".join(some), "".join(some)])


# ---------------------------------------------------------------- the normalizer

SOME = ["a", "b", "e", " ", "\n", "\t", "か", "き", "\u3099", "\u0301", "日", "é", "\U00020000", "\u3000", "\ufffd"]
KEYS = st.lists(st.sampled_from(SOME), min_size=1, max_size=3).map("".join)
VALUES = st.sampled_from(["", " ", "a", "が", "  ", "é", "日本", " b"])


def check_normalizer(rules, symbols, texts, **spec):
    """Every character is a piece, or its bytes are: so ids say what text was read."""
    chars = sorted({*"abe日かがきé本", MARK})
    pieces = [(char, -9.0) for char in chars] + BYTES
    pieces += [(symbol, 0.0, PieceType.USER_DEFINED) for symbol in sorted(symbols) if symbol not in chars]
    spec = {"charsmap": charsmap(rules) if rules else b"", "name": "none"} | spec
    same(*both(piece_models.model(pieces, ModelType.UNIGRAM, {"byte_fallback": True}, spec)), texts)


@settings(max_examples=80, deadline=None)
@given(
    rules=st.dictionaries(KEYS, VALUES, max_size=6),
    symbols=st.sets(KEYS, max_size=2),
    texts=st.lists(st.lists(st.sampled_from(SOME), max_size=40).map("".join), min_size=1, max_size=4),
    trims=st.booleans(),
    front=st.booleans(),
)
def test_what_is_left_alone(rules, symbols, texts, trims, front):
    check_normalizer(rules, symbols, texts, remove_extra_whitespaces=trims, add_dummy_prefix=front)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({b"\xe3\x81": "a"}, id="a key that ends inside a character"),
        pytest.param({"か".encode() + b"\xe3": "a"}, id="inside the second"),
        pytest.param({"か".encode() + b"\x81": "a"}, id="that goes on by a byte that begins none"),
        pytest.param({b"\x81": "a", "日": "b"}, id="that begins by one"),
    ],
)
def test_keys_that_are_no_characters(rules):
    check_normalizer(rules, [], ["かか日", "か", "かきか\u3099", "a\nか 日"])


def test_places_of_keys_that_are_no_characters():
    """A piece that ends or begins inside a character has all of it."""
    pieces = [("a", -1.0), ("b", -1.0), ("é", -1.0), ("\ufffd", -1.0)]
    spec = {"charsmap": charsmap({"か".encode()[:2]: "a", "日".encode()[:2]: "é", "本".encode() + b"\xe3": "ab"})}
    spec |= {"name": "none", "add_dummy_prefix": False}
    _, tokenizer = both(piece_models.model(pieces, ModelType.UNIGRAM, None, spec))
    for text, want in [
        ("aかb", [[0, 1], [1, 2], [1, 2], [2, 3]]),  # a, and of か an a and a byte that is no character
        ("日", [[0, 1], [0, 1]]),
        ("本かb", [[0, 0], [0, 2], [1, 2], [1, 2], [2, 3]]),  # 本 and the first byte of か; two bytes
    ]:
        assert tokenizer.encode(text, offsets=True)[1].tolist() == want, text


def test_spaces_and_what_becomes_one():
    rules = {"\n": " ", "\t": " ", "\r": " ", "\r\n": " ", "\u3000": " ", "か\u3099": "が", "e\u0301": "é", "\x01": ""}
    blanks = ["", " ", "\n", "\r\n", "\r", " \t ", "\u3000", "\x01", " " * 7, " " * 8, "\n" + " " * 17, "\u3000 \n"]
    words = ["a", "日", "aaaaaaaa", "かか\u3099", "e\u0301", "éa", "ab" * 20 + "か"]
    texts = [a + x + b + y for a in words for x in blanks for b in words for y in blanks[::3]]
    texts = ["".join(texts[i : i + 40]) for i in range(0, len(texts), 40)]
    for trims in (True, False):
        check_normalizer(rules, ["\u3000a"], [*texts, *blanks], remove_extra_whitespaces=trims)


@pytest.mark.parametrize("rules", [{"\n": " "}, {"b": "é"}], ids=["all of ASCII stays", "but for one letter"])
def test_every_place_of_eight_bytes(rules):
    """Those that are copied at once end at every place, by all that may end them, and begin behind it."""
    odd = [" ", "\n", "日", "b", "\x7f"]
    texts = ["a" * i + x + "e" * j + y + "a" * 9 for i in range(9) for j in (0, 1, 7) for x in odd for y in odd]
    texts = ["".join(texts[i : i + 5]) for i in range(0, len(texts), 5)]
    for trims in (True, False):
        check_normalizer(rules, [], texts, remove_extra_whitespaces=trims)


def test_bytes_that_are_no_text():
    """They are read as U+FFFD, whatever may stand before them: the drop-in's road, and C's where it takes bytes."""
    rules = {"か\u3099": "が", "か": "き", "\ufffd": " "}
    pieces = [("か", -1.0), ("き", -1.0), ("\ufffd", -1.0), (MARK, -2.0)]
    data = piece_models.model(pieces, ModelType.UNIGRAM, None, {"charsmap": charsmap(rules), "name": "none"})
    engine, tokenizer = both(data)
    for text in (b"\xe3\x81\x8b\xff", b"\xe3\x81\x8b\xe3\x82", b"\xe3\x81\x8b\xe3\x82\x99\xe3"):
        as_read = text.decode("utf-8", "replace")
        assert tokenizer.encode(text).tolist() == [piece.id for piece in engine.encode(as_read.encode())]
    assert np.array_equal(tokenizer.encode("か"), tokenizer.encode("か".encode()))
