"""fastemb.compat.tokenizers against tokenizers: encodings, decoding and changed encodings, of files drawn and real.

What the owners' own tests ask for is among it, in other words.
"""

import copy
import itertools
import json
import pickle
import random

import numpy as np
import pytest
import tokenizers as theirs
import word_cases
from compat_cases import FIELDS, MAKERS, SAMPLES, outcome, pair, seen
from component_files import TEXTS, engine, files
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastemb.compat import tokenizers as ours

# Encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("special", [True, False])
def test_samples(name, special):
    them, us = pair(name)
    expected = them.encode_batch(SAMPLES, add_special_tokens=special)
    for batch in (us.encode_batch, us.encode_batch_fast):
        for one, other in zip(batch(SAMPLES, add_special_tokens=special), expected, strict=True):
            assert seen(one) == seen(other)
    for text, other in zip(SAMPLES, expected, strict=True):
        one = us.encode(text, add_special_tokens=special)
        assert seen(one) == seen(other)
        assert repr(one) == repr(other)
        assert us.decode(one.ids) == them.decode(other.ids)
        assert us.decode(one.ids, skip_special_tokens=False) == them.decode(other.ids, skip_special_tokens=False)
    rows = [one.ids for one in expected]
    assert us.decode_batch(rows) == them.decode_batch(rows)


class Text(str):
    pass


@pytest.mark.parametrize(
    "batch",
    [
        [("a b", "c"), ("", "d e")],
        [["a b", "c"], ("d", "")],
        [("a", Text("b")), ("c", "d")],
        [("a", "b"), "c d"],
        [("a", "b"), ("c", "d", "e")],
        [("a", "b"), ("c",), ("d", "e", "f")],
        [("a", 5), ("c", "d")],
        [("a", None)],
        [(), ()],
    ],
    ids=str,
)
def test_pairs_of_all_kinds(batch):
    them, us = pair("bert")
    expected = outcome(lambda: [seen(one) for one in them.encode_batch(batch)])
    assert outcome(lambda: [seen(one) for one in us.encode_batch(batch)]) == expected


SIDES = st.sampled_from(["right", "left"])
CUTS = st.fixed_dictionaries(
    {
        "max_length": st.sampled_from([0, 1, 2, 3, 4, 5, 8, 12]),
        "stride": st.integers(0, 1),
        "strategy": st.sampled_from(["longest_first", "only_first", "only_second"]),
        "direction": SIDES,
    }
)
FILLS = st.fixed_dictionaries(
    {
        "direction": SIDES,
        "pad_id": st.sampled_from([0, 7]),
        "pad_type_id": st.sampled_from([0, 3]),
        "pad_token": st.just("[PD]"),
        "length": st.sampled_from([None, 4, 10]),
        "pad_to_multiple_of": st.sampled_from([None, 4]),
    }
)


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), cut=st.none() | CUTS, fill=st.none() | FILLS, special=st.booleans(), words=st.booleans())
def test_cut_and_filled_up(name, data, cut, fill, special, words):
    them, us = pair(name)
    one = st.sampled_from(SAMPLES).map(lambda text: text.split(" ") if words else text)
    batch = data.draw(st.lists(one | st.tuples(one, one), min_size=1, max_size=4))
    if cut is not None:
        set_by = [outcome(lambda tokenizer=tokenizer: [tokenizer.enable_truncation(**cut)]) for tokenizer in (them, us)]
        assert set_by[0] == set_by[1]
        assert us.truncation == them.truncation
    if fill is not None:
        them.enable_padding(**fill)
        us.enable_padding(**fill)
        assert us.padding == them.padding
    how = {"is_pretokenized": words, "add_special_tokens": special}
    expected, found = outcome(them.encode_batch, batch, **how), outcome(us.encode_batch, batch, **how)
    if expected is None:  # refused, or a panic, of strides that leave no step: ours comes where windows are asked for
        assert found is None or (cut is not None and cut["stride"])
        return
    # Of a pair one text of which has no room for an id, what was cut off is all of it, once.
    added = us.num_special_tokens_to_add(True) if special else 0
    tight = cut is not None and cut["max_length"] - added < 2
    for given_text, mine, other in zip(batch, found, expected, strict=True):
        deep = not (tight and isinstance(given_text, tuple))
        assert seen(mine, deep) == seen(other, deep)
    single = batch[0] if isinstance(batch[0], tuple) else (batch[0],)
    mine, other = (outcome(tokenizer.encode, *single, **how) for tokenizer in (us, them))
    assert other is None or seen(mine, not tight) == seen(other, not tight)


def is_told(document):
    """Whether the format's own engine gives one answer for a file: of tokens alike behind normalizers any may win."""
    late, them = [node["content"] for node in document["added_tokens"] if node["normalized"]], engine(document)
    if them is not None and them.normalizer is not None:
        late = [them.normalizer.normalize_str(content) for content in late]
    return len({*late}) == len(late)


@settings(deadline=None, max_examples=40)
@given(
    document=files().filter(is_told),
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    special=st.booleans(),
    plain=st.booleans(),
)
def test_drawn_files(document, texts, special, plain):
    them = engine(document)
    us = outcome(ours.Tokenizer.from_str, json.dumps(document))
    assume(them is not None and us is not None)
    them.encode_special_tokens = us.encode_special_tokens = plain
    expected = outcome(them.encode_batch, texts, add_special_tokens=special)
    assume(expected is not None)
    for one, other in zip(us.encode_batch(texts, add_special_tokens=special), expected, strict=True):
        for name in ("ids", "offsets", "word_ids", "tokens"):
            assert getattr(one, name) == getattr(other, name), name
        for skip in (True, False):
            text = outcome(them.decode, other.ids, skip_special_tokens=skip)
            assert text is None or us.decode(one.ids, skip_special_tokens=skip) == text
        assert [us.id_to_token(id) for id in one.ids] == [them.id_to_token(id) for id in one.ids]


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=40)
@given(text=TEXTS | st.text(max_size=12))
def test_short_ways_to_places(name, text):
    """The places and words of one text, by whichever way, are those of the general road."""
    them, us = pair(name)
    one, other = us.encode(text), them.encode(text)
    assert (one.offsets, one.word_ids, one.tokens) == (other.offsets, other.word_ids, other.tokens)
    many = us.encode_batch([text] * 6)[-1]
    assert (many.offsets, many.word_ids) == (other.offsets, other.word_ids)


def test_unknown_parts_of_one_character():
    """What a character becomes may be unknown in two places that are one place of the text."""
    model = {"type": "Unigram", "unk_id": 0, "vocab": [["<u>", 0.0], ["\u2044", -1.0], ["a", -1.0]]}
    document = {"version": "1.0", "added_tokens": [], "normalizer": {"type": "NFKD"}, "model": model}
    them, us = (one.Tokenizer.from_str(json.dumps(document)) for one in (theirs, ours))
    assert us.encode("\u00bda").tokens == ["1", "\u2044", "2", "a"]
    for text in ("\u00bda", "a\u00bd", "a\u00bda\u00be", ["\u00bd", "a\u00bd"]):
        for length, direction in itertools.product((1, 2, 3, 5, 9), ("left", "right")):
            for one in (them, us):
                one.enable_truncation(length, direction=direction)
            words = isinstance(text, list)
            mine, other = (one.encode(text, is_pretokenized=words) for one in (us, them))
            for window, expected in zip([mine, *mine.overflowing], [other, *other.overflowing], strict=True):
                assert window.tokens == expected.tokens
            mine, other = (one.encode(text, text, is_pretokenized=words) for one in (us, them))
            assert mine.tokens == other.tokens


def test_windows_of_one_text():
    """All windows of single texts, whatever the length, the stride and the side, and how tokens are called in them."""
    bert = word_cases.document()
    taker = NOT_SPECIAL | {"content": "zz", "lstrip": True, "rstrip": True, "normalized": True}
    bert["added_tokens"].append(taker | {"id": len(bert["model"]["vocab"])})
    vocab = [["<u>", 0.0], ["\u2581", -1.0], ["a", -1.5], ["\u2581a", -2.0], ["zz", -3.0]]
    unigram = {"version": "1.0", "added_tokens": [], "normalizer": {"type": "NFKC"}}
    unigram |= {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}}
    unigram |= {"model": {"type": "Unigram", "unk_id": 0, "vocab": vocab}}
    parts = ["a", "unaffable", " ", "zz", " zz ", "\u65e5", "\u00bd", "[SEP]", "\n", "\ufdfa", "."]
    chance = random.Random(7)
    for document in (bert, unigram):
        them, us = (one.Tokenizer.from_str(json.dumps(document)) for one in (theirs, ours))
        for _ in range(60):
            words, special = chance.random() < 0.3, chance.random() < 0.5
            length = chance.randint(3, 8)
            how = {"is_pretokenized": words, "add_special_tokens": special}
            direction, stride = chance.choice(["left", "right"]), chance.randrange(length - 2)
            text = "".join(chance.choices(parts, k=chance.randint(0, 8)))
            for one in (them, us):
                one.enable_truncation(length, stride=stride, direction=direction)
            given_text = text.split(" ") if words else text
            mine, other = (one.encode(given_text, **how) for one in (us, them))
            assert seen(mine) == seen(other), (text, length, stride, direction, how)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("direction", ["left", "right"])
def test_stride_of_what_is_not_cut(name, direction):
    """A stride that leaves no step does nothing to a text that fits: nothing of it was cut off."""
    them, us = pair(name)
    for one in (them, us):
        one.enable_truncation(3, stride=3 - us.num_special_tokens_to_add(False), direction=direction)
    for special in (True, False):
        how = {"is_pretokenized": True, "add_special_tokens": special}
        for batch in ([["a"]], [["a"], []]):
            mine, other = us.encode_batch(batch, **how), them.encode_batch(batch, **how)
            assert [seen(one) for one in mine] == [seen(one) for one in other]
            assert not any(one.overflowing for one in mine)


BYTE_NAMES = sorted(theirs.pre_tokenizers.ByteLevel.alphabet())
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
NOT_SPECIAL = dict.fromkeys(("special", "lstrip", "rstrip", "single_word"), False)


@pytest.mark.parametrize(
    ("names", "slots", "model", "text"),
    [
        # Its sizes add up to those of the text by chance; and pieces end inside of a character.
        (BYTE_NAMES, {"pre_tokenizer": [BYTE_LEVEL, {"type": "Punctuation", "behavior": "Removed"}]}, {}, "\u00e9##b"),
        (BYTE_NAMES, {"pre_tokenizer": [BYTE_LEVEL, {"type": "Whitespace"}]}, {}, "\u00e9a"),
        # A token that the model has, too.
        (
            ["a", "b", "\u2581"],
            {
                "normalizer": {"type": "Prepend", "prepend": "\u2581"},
                "added_tokens": [{"id": 1, "content": "b", "normalized": True} | NOT_SPECIAL],
            },
            {},
            "ab",
        ),
        # The bytes of a prefix make the piece longer than it is.
        (
            ["a", "##\u200b", *(f"<0x{byte:02X}>" for byte in range(256))],
            {},
            {"continuing_subword_prefix": "##", "byte_fallback": True},
            "a\U0001f600\u200b",
        ),
    ],
    ids=["removed", "inside", "twofold", "prefix"],
)
def test_odd_places(names, slots, model, text):
    steps = slots.get("pre_tokenizer")
    document = {"version": "1.0", "added_tokens": [], **slots}
    if steps:
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    document["model"] = {"type": "BPE", "vocab": {name: id for id, name in enumerate(names)}, "merges": [], **model}
    them, us = (one.Tokenizer.from_str(json.dumps(document)).encode(text) for one in (theirs, ours))
    for name in ("ids", "tokens", "offsets", "word_ids"):
        assert getattr(us, name) == getattr(them, name), name


# Changing encodings ----------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("pad"), st.integers(0, 9), SIDES),
    st.tuples(st.just("truncate"), st.integers(0, 6), st.integers(0, 2), SIDES),
    st.tuples(st.just("set_sequence_id"), st.integers(0, 1)),
    st.tuples(st.just("merge"), st.booleans()),
    st.tuples(st.just("pickle")),
)


@settings(deadline=None, max_examples=60)
@given(first=st.sampled_from(SAMPLES), second=st.none() | st.sampled_from(SAMPLES), steps=st.lists(STEPS, max_size=4))
def test_encodings_are_changed(first, second, steps):
    def changed(module, tokenizer):
        one, other = tokenizer.encode(first, second), tokenizer.encode("hello world")
        for kind, *how in steps:
            if kind == "pad":
                one.pad(how[0], direction=how[1], pad_id=5, pad_type_id=2, pad_token="[P]")
            elif kind == "truncate":
                one.truncate(how[0], stride=how[1], direction=how[2])
            elif kind == "merge":
                one = module.Encoding.merge([one, other], growing_offsets=how[0])
            elif kind == "pickle":
                one = pickle.loads(pickle.dumps(one))
            else:
                one.set_sequence_id(how[0])
        return one

    them, us = pair("bert")
    expected, found = outcome(changed, theirs, them), outcome(changed, ours, us)
    if expected is None:  # a stride that leaves no step is a panic there
        assert found is None
    else:
        assert told(seen(found)) == told(seen(expected))


def told(found):
    """Return what was seen, without which of two texts a token is of that is said to be of both: any may be there."""
    kept = {name: value for name, value in found.items() if name != "token_to_sequence"}
    return kept | {"overflowing": [told(one) for one in kept.get("overflowing", ())]}


def test_lists_of_an_encoding_are_the_callers():
    us = pair("bert")[1]
    encoding = us.encode("hello world")
    for name in FIELDS[:-1]:
        getattr(encoding, name).append("changed")
        assert "changed" not in getattr(encoding, name)
    assert len(ours.Encoding()) == len(theirs.Encoding()) == 0
    assert ours.Encoding().n_sequences == theirs.Encoding().n_sequences
    with pytest.warns(DeprecationWarning, match="word_ids"):
        assert encoding.words == encoding.word_ids
    with pytest.raises(ValueError, match="direction must be 'left' or 'right', got 'up'"):
        encoding.pad(9, "up")
    with pytest.raises(ValueError, match="Invalid truncation direction value : up"):
        encoding.truncate(2, 0, "up")


def test_an_encoding_stays_what_it_was():
    """What is asked of it later is of the tokenizer that it was made by, whatever that has become since."""
    us = copy.copy(pair("bert")[1])
    encoding, expected = us.encode("hello unaffable"), pair("bert")[0].encode("hello unaffable")
    us.add_tokens(["hello"])
    us.pre_tokenizer = None
    us.enable_truncation(3)
    assert seen(encoding) == seen(expected)
    assert len(us.encode("hello unaffable")) == 3


def stepped(stream, tokenizer, part):
    return [stream.step(tokenizer, part)]  # None is an answer


@settings(deadline=None, max_examples=60)
@given(
    ids=st.lists(st.integers(0, 45), max_size=3),
    parts=st.lists(st.integers(0, 50) | st.lists(st.integers(0, 50), max_size=3), max_size=8),
    skip=st.booleans(),
    name=st.sampled_from(["bert", "gpt2", "llama2"]),
)
def test_decoded_while_they_come(ids, parts, skip, name):
    if name != "bert":  # bytes: parts of characters
        base = 200 if name == "gpt2" else 3
        ids, parts = [id + base for id in ids], [np.add(part, base).tolist() for part in parts]
    them, us = pair(name)
    streams = [module.decoders.DecodeStream(ids or None, skip) for module in (theirs, ours)]
    for part in parts:
        expected, found = [], []
        for stream, tokenizer, into in zip(streams, (them, us), (expected, found), strict=True):
            into.append(outcome(stepped, stream, tokenizer, part))
        assert found == expected
        streams = [copy.copy(stream) for stream in streams]
