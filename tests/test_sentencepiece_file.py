"""SentencePiece's `.model` files: read strictly, written so that they are read again, and damaged in any way."""

import re
import struct
from itertools import product
from time import process_time

import numpy as np
import piece_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._text.core import Core
from fastemb._text.sentencepiece_charsmap import MOST_KEY_BYTES, Charsmap, DoubleArray, double_array
from fastemb._text.sentencepiece_engine import Engine
from fastemb._text.sentencepiece_file import (
    ModelType,
    NormalizerSpec,
    PieceType,
    SentencePieceModel,
    TrainerSpec,
    looks_like_model,
    read_model,
)
from fastemb._text.sentencepiece_normal import Normalizer
from fastemb._text.sentencepiece_plan import plan_pieces
from fastemb._text.sentencepiece_write import as_bytes, as_number, write_model
from fastemb._text.vocabulary import DamagedVocabularyError
from fastemb.tokenizer import Tokenizer


def charsmap(rules):
    """Return a charsmap of rules, as sentencepiece has them."""
    keys = sorted(key.encode() for key in rules)
    texts = [rules[key.decode()].encode() + b"\0" for key in keys]
    places = np.cumsum([0, *map(len, texts)])
    units = double_array(keys)  # the values are the places of keys, and become those of their texts
    leaves = [_leaf_of(units.tolist(), key) for key in keys]
    units[leaves] = 1 << 31 | places[:-1].astype(np.uint32)
    data = units.astype("<u4").tobytes()
    return struct.pack("<I", len(data)) + data + b"".join(texts)


def _leaf_of(units, key):
    place = 0
    for byte in [*key]:
        unit = units[place]
        place ^= (unit >> 10) << ((unit & 1 << 9) >> 6) ^ byte
    unit = units[place]
    return place ^ (unit >> 10) << ((unit & 1 << 9) >> 6)


RULES = {
    "A": "a",
    "Ａ": "a",
    "\t": " ",
    "\u3000": " ",
    "ﬁ": "fi",
    "e\u0301": "é",
    "\u00ad": "",
    "ab": "  x ",
    "abc": "y",
}
SMALL = piece_models.model(
    [("▁", -2), ("a", -3), ("b", -3), ("▁a", -1), ("é", -4), ("<x>", 0, PieceType.USER_DEFINED)],
    trainer={"unk_surface": " ? ", "extra": as_number(6, 100)},
    normalizer={"name": "own", "charsmap": charsmap(RULES)},
)


# ---------------------------------------------------------------- there and back


PIECES = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=200), st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 5)
    ),
    max_size=12,
    unique_by=lambda row: row[0],
)
TEXT = st.text(max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    rows=PIECES,
    trainer=st.builds(
        TrainerSpec,
        model_type=st.sampled_from(ModelType),
        vocab_size=st.integers(-(2**31), 2**31 - 1),
        treat_whitespace_as_suffix=st.booleans(),
        unk_id=st.integers(-1, 300),
        pad_id=st.integers(-1, 300),
        unk_surface=TEXT,
        bos_piece=TEXT,
        extra=st.sampled_from([b"", as_number(32, 1), as_bytes(1, b"file") + as_number(99, 2**64 - 1)]),
    ),
    normalizer=st.builds(
        NormalizerSpec,
        name=TEXT,
        charsmap=st.binary(max_size=300),
        add_dummy_prefix=st.booleans(),
        remove_extra_whitespaces=st.booleans(),
        escape_whitespaces=st.booleans(),
    ),
    denormalizer=st.none() | st.builds(NormalizerSpec, name=TEXT),
)
def test_what_is_written_is_read(rows, trainer, normalizer, denormalizer):
    rows = [row for row in rows if row[2] != PieceType.UNKNOWN] + [("<unk>" * 9, 0.5, PieceType.UNKNOWN)]
    model = SentencePieceModel(
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.uint8),
        trainer,
        normalizer,
        denormalizer,
    )
    data = write_model(model)
    found = read_model(data)
    assert (found.pieces, found.trainer, found.normalizer, found.denormalizer) == (
        model.pieces,
        trainer,
        normalizer,
        denormalizer,
    )
    assert found.scores.tobytes() == model.scores.tobytes()
    assert found.types.tolist() == model.types.tolist()
    assert write_model(found) == data


def test_fields_in_any_order_and_pieces_in_two_parts():
    pieces = [
        as_bytes(1, as_number(3, 2) + as_bytes(1, b"<unk>")),
        as_bytes(1, as_bytes(1, b"a") + b"\x15\0\0\x80\xbf"),
    ]
    found = read_model(as_bytes(2, as_number(3, 2)) + pieces[0] + as_bytes(4, b"any") + pieces[1])
    assert found.pieces == ["<unk>", "a"]
    assert found.scores.tolist() == [0, -1]
    assert found.types.tolist() == [PieceType.UNKNOWN, PieceType.NORMAL]
    assert found.trainer == TrainerSpec(ModelType.BPE)


# ---------------------------------------------------------------- damaged files


UNK = as_bytes(1, as_bytes(1, b"<unk>") + as_number(3, 2))


def piece(text, *, type=None, score=b"\x15\0\0\0\0"):
    return as_bytes(1, as_bytes(1, text) + score + (b"" if type is None else as_number(3, type)))


DAMAGED = {
    "nothing": (b"", "it has no pieces"),
    "cut in a piece": (UNK[:-1], r"the file: field 1 is 9 bytes, where 8 are left \(byte 0\)"),
    "a length beyond the end": (b"\n\xff\xff\xff\xff\x0f", r"field 1 is 4294967295 bytes, where 0 are left \(byte 0\)"),
    "a length of ten bytes": (b"\n" + b"\xff" * 9 + b"\x01", r"field 1 is 18446744073709551615 bytes, where 0 are"),
    "a number without an end": (b"\n" + b"\xff" * 12, r"its length is a number without an end \(byte 1\)"),
    "a number cut off": (UNK + b"\x12\x80", r"its length is a number that is cut off \(byte 12\)"),
    "field 0": (UNK + b"\x02\x00", r"the file is a field of number 0 \(byte 11\)"),
    "a group": (UNK + b"\x0b\x0c", r"field 1 is the wire type 3, which there is not \(byte 11\)"),
    "pieces that are numbers": (UNK + b"\x08\x01", r"piece 1 is a varint, where a length and bytes should stand"),
    "a score that is a number": (UNK + piece(b"a", score=b"\x10\x01"), r"piece 1: score is a varint, where four bytes"),
    "a score of eight bytes": (UNK + piece(b"a", score=b"\x11" + bytes(8)), r"piece 1: score is eight bytes, where"),
    "a type that there is not": (UNK + piece(b"a", type=7), r"piece 1: type is 7, not one from 1 to 6 \(byte 21\)"),
    "no UTF-8": (UNK + piece(b"a\xff"), r"piece 1: piece is no UTF-8 \(byte 16\)"),
    "an empty piece": (UNK + piece(b""), "piece 1 is empty"),
    "the same piece twice": (UNK + piece(b"a") + piece(b"a"), "piece 2, 'a', stands there twice"),
    "a score that is none": (UNK + piece(b"a", score=b"\x15\0\0\xc0\x7f"), "piece 1, 'a', has the score nan"),
    "no unknown piece": (piece(b"a"), "it has 0 pieces of type UNKNOWN, where a model has one"),
    "two unknown pieces": (UNK + piece(b"?", type=2), "it has 2 pieces of type UNKNOWN"),
    "a byte without fallback": (UNK + piece(b"<0x00>", type=6), "piece '<0x00>' is a byte, but byte_fallback is off"),
    "a byte that is none": (UNK + as_bytes(2, as_number(35, 1)) + piece(b"<0x1>", type=6), "'<0x1>' is no name of a"),
    "bytes that are missing": (UNK + as_bytes(2, as_number(35, 1)), "but there is no piece '<0x00>'"),
    "a model type": (UNK + as_bytes(2, as_number(3, 9)), r"trainer_spec: model_type is 9, not one from 1 to 4"),
    "words": (UNK + as_bytes(2, as_number(3, 3)), "trainer_spec: model_type is word; unigram and bpe can be read"),
    "a setting that is bytes": (UNK + as_bytes(3, as_bytes(3, b"x")), "normalizer_spec: add_dummy_prefix is a length"),
    "a short charsmap": (UNK + as_bytes(3, as_bytes(2, b"abc")), "precompiled_charsmap has 3 bytes"),
    "a charsmap that lies": (UNK + as_bytes(3, as_bytes(2, b"\xff\xff\xff\x7f12")), "that 2147483647 are its double"),
    "texts that are none": (UNK + as_bytes(3, as_bytes(2, bytes(8) + b"\xff\0")), r"no UTF-8 \(byte 4 of them\)"),
    "a text without an end": (UNK + as_bytes(3, as_bytes(2, bytes(8) + b"x")), "the last text of precompiled_charsmap"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_files(fault, tmp_path):
    data, message = DAMAGED[fault]
    with pytest.raises(DamagedVocabularyError, match=message):
        plan_pieces(data)
    if looks_like_model(data):
        (tmp_path / "x.model").write_bytes(data)
        with pytest.raises(ValueError, match=re.escape(str(tmp_path)) + ".*damaged SentencePiece model: .*" + message):
            fastemb.Tokenizer.load(tmp_path / "x.model")


def test_a_file_cut_anywhere():
    for size in range(len(SMALL)):
        try:
            model = read_model(SMALL[:size])
        except DamagedVocabularyError:
            continue
        assert model.pieces == read_model(SMALL).pieces[: len(model.pieces)]


def use(data):
    """Load a model and use all of it; what is wrong with it may only be said."""
    try:
        vocabulary = plan_pieces(data)
    except DamagedVocabularyError:
        return
    try:
        tokenizer = Tokenizer(Core(vocabulary))
    except ValueError:
        return
    engine = Engine(read_model(data))
    for text in ("a b ab\u0301c  Ａ\u3000<x>\t", "", " ", "\x00\x01", "漢"):
        ids = tokenizer.encode(text).tolist()
        assert ids == [piece.id for piece in engine.encode(text.encode())]
        assert isinstance(tokenizer.decode(ids), str)


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4), cut=st.integers(0, 9)
)
def test_damaged_by_chance(changes, cut):
    data = bytearray(SMALL)
    for place, byte in changes:
        data[place] = byte
    use(bytes(data[: len(data) - cut]))


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes(data):
    use(data)
    use(UNK + data)


@settings(max_examples=200, deadline=None)
@given(units=st.lists(st.integers(0, 2**32 - 1), max_size=40), texts=st.text(max_size=9), text=st.binary(max_size=20))
def test_any_charsmap(units, texts, text):
    """A double array that leads anywhere leads nowhere: to a rule that is there, or to none."""
    data = struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts.encode() + b"\0"
    normalized, origins = Normalizer(NormalizerSpec(charsmap=data))(text)
    assert len(origins) == len(normalized) + 1 or (normalized, origins) == (b"", [])
    assert all(0 <= place <= len(text) for place in origins)
    use(piece_models.model([("a", -1), ("▁", -2)], normalizer={"charsmap": data}))


# ---------------------------------------------------------------- double arrays


@settings(max_examples=200, deadline=None)
@given(
    keys=st.sets(st.binary(min_size=1, max_size=6).filter(lambda key: 0 not in key), max_size=40),
    text=st.binary(max_size=20),
)
def test_double_arrays(keys, text):
    array, ordered = DoubleArray(double_array(keys)), sorted(keys)
    for at in range(len(text)):
        want = max((key for key in keys if text.startswith(key, at)), key=len, default=b"")
        size, value = array.longest(text, at, len(text))
        assert size == len(want)
        assert not size or ordered[value] == want


def test_a_double_array_has_no_other_keys():
    letters = [bytes(word) for size in (1, 2, 3) for word in product(b"abcd", repeat=size)]
    for keys in ([b"abc"], [b"123", b"<us>"], [b"abcd", b"ba"], [b"abc", b"bcd", b"dcba"]):
        array = DoubleArray(double_array(keys))
        for text in (*letters, b"13", b"23", b"<>", b"<s>", b"<u>", b"us>"):
            want = max((key for key in keys if text.startswith(key)), key=len, default=b"")
            assert array.longest(text, 0, len(text))[0] == len(want), (keys, text)


def test_a_double_array_of_many_keys():
    keys = {f"<extra_id_{n}>".encode() for n in range(3000)} | {b"\n" * n for n in range(1, 32)}
    units = double_array(keys)
    assert units.size < 8 * sum(map(len, keys))
    array = DoubleArray(units)
    assert all(array.longest(key, 0, len(key))[0] == len(key) for key in keys)
    assert array.longest(b"<extra_id_3001>", 0, 15)[0] == 0


def test_a_charsmap_by_hand():
    rules = Charsmap(charsmap(RULES))
    assert rules.longest(b"abcd", 0, 4) == (3, b"y")
    assert rules.longest(b"abd", 0, 3) == (2, b"  x ")
    assert rules.longest("x\u3000".encode(), 1, 4) == (3, b" ")
    assert rules.longest(b"b", 0, 1) == (0, b"")
    assert rules.longest("\u00ad".encode(), 0, 2) == (2, b"")


@pytest.mark.parametrize(
    ("text", "options", "want"),
    [
        ("ab ab", {}, "▁x▁x"),
        (" \t\u3000A ﬁ ", {}, "▁a▁fi"),
        (" \t\u3000A ﬁ ", {"remove_extra_whitespaces": False}, "▁▁▁▁a▁fi▁"),
        ("A B", {"escape_whitespaces": False}, " a B"),
        ("A B", {"add_dummy_prefix": False}, "a▁B"),
        ("\u00ad", {}, ""),
        (" \t ", {}, ""),
        ("", {}, ""),
        ("a \u00ad b", {}, "▁a▁b"),
        ("a▁", {}, "▁a"),
        ("a▁▁b", {}, "▁a▁▁b"),
        ("abc", {}, "▁y"),
    ],
)
def test_normalizing_by_hand(text, options, want):
    spec = NormalizerSpec(charsmap=charsmap(RULES), **options)
    assert Normalizer(spec)(text.encode())[0].decode() == want
    # A piece for each character, so that ids say what C made of the text.
    chars = sorted({*"abcxyfiBAe▁ é", *want})
    data = piece_models.model([(char, -1) for char in chars], normalizer={"charsmap": charsmap(RULES), **options})
    tokenizer = Tokenizer(Core(plan_pieces(data)))
    assert "".join(read_model(data).pieces[id] for id in tokenizer.encode(text)) == want


def test_a_run_of_nul_takes_time_by_its_length():
    assert DoubleArray(double_array([])).longest(b"\0\0", 0, 2)[0] == 0
    assert DoubleArray(double_array([b"\x01"])).longest(b"\0\x01", 0, 2)[0] == 0
    tokenizer = Tokenizer(Core(plan_pieces(piece_models.model([("a", -1), ("\u2581", -1)]))))
    start = process_time()
    assert tokenizer.encode("\0" * 400_000 + "a").tolist() == [4, 0, 3]
    assert process_time() - start < 10  # 0.1 s, and by the square of the length minutes


def test_a_charsmap_that_leads_in_circles():
    """Any number of the letter is a rule; as many are taken as a rule can have bytes."""
    units = [0] + [1 << 31] * 255
    units[ord("a")] = ord("a") | 1 << 8 | ord("a") << 10
    data = struct.pack("<I256I", 1024, *units) + b"x\0"
    text, want = "a" * (2 * MOST_KEY_BYTES + 1), "\u2581xxx"
    assert Normalizer(NormalizerSpec(charsmap=data))(text.encode())[0].decode() == want
    model = piece_models.model([("\u2581", -1), ("x", -1), ("a", -1)], normalizer={"charsmap": data})
    assert Tokenizer(Core(plan_pieces(model))).encode(text).tolist() == [3, 4, 4, 4]


@pytest.mark.parametrize("kind", [ModelType.UNIGRAM, ModelType.BPE])
@pytest.mark.parametrize("what", [PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED])
def test_pieces_of_any_length(kind, what):
    longest = "a" * MOST_KEY_BYTES
    plan_pieces(piece_models.model([("a", -1), (longest, -1, what)], kind))
    with pytest.raises(DamagedVocabularyError, match="piece 4 has 4097 bytes, of which 4096 can be"):
        plan_pieces(piece_models.model([("a", -1), (longest + "a", -1, what)], kind))


def test_bytes_that_are_no_text():
    normalized, origins = Normalizer(NormalizerSpec())(b"a\xff\xe3\x81b\xc0\xaf")
    assert normalized.decode() == "▁a\ufffd\ufffd\ufffdb\ufffd\ufffd"
    assert origins[-1] == 7
