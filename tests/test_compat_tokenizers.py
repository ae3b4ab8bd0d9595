"""fastemb.compat.tokenizers against tokenizers: encodings, decoding, parts and changes, of files drawn and real.

What the owners' own tests ask for is among it, in other words.
"""

import asyncio
import copy
import json
import os
import pickle
from collections import Counter
from functools import cache

import numpy as np
import pytest
import tokenizers as theirs
import word_cases
from component_files import TEXTS, engine, files
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vocabularies import gpt2_folder, package_file

from fastemb.compat import tokenizers as ours

FIELDS = (
    "ids",
    "type_ids",
    "tokens",
    "offsets",
    "attention_mask",
    "special_tokens_mask",
    "word_ids",
    "sequence_ids",
    "n_sequences",
)
SAMPLES = [
    "",
    "hello world",
    "The quick brown fox, don't!",
    "  double  spaces ",
    "h\u00e9llo w\u00f6rld \u65e5\u672c\u8a9e 12345",
    "a</s>b <s> [SEP] x<|endoftext|>",
    "\n\ttabs\n",
    "unaffable \u2603 \U0001f600",
    "\u2581a b",
]


def gpt2_document():
    """GPT-2's files as a tokenizer.json, with trimmed offsets."""
    merges = (gpt2_folder() / "vocab.bpe").read_text("utf-8").split("\n")[1:]
    vocab = json.loads((gpt2_folder() / "encoder.json").read_bytes())
    made = theirs.Tokenizer(theirs.models.BPE(vocab, [tuple(line.split(" ")) for line in merges if line]))
    made.pre_tokenizer = theirs.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = theirs.processors.ByteLevel(trim_offsets=True)
    made.decoder = theirs.decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    return made.to_str()


def llama_document():
    return package_file("wordllama", "tokenizers", "l2_supercat_tokenizer_config.json").read_text("utf-8")


MAKERS = {"gpt2": gpt2_document, "llama2": llama_document, "bert": lambda: json.dumps(word_cases.document())}


@cache
def text_of(name):
    return MAKERS[name]()


@cache
def kept(name):
    return theirs.Tokenizer.from_str(text_of(name)), ours.Tokenizer.from_str(text_of(name))


def pair(name):
    """Both libraries' tokenizers of a file, with nothing set."""
    for one in kept(name):
        one.no_padding()
        one.no_truncation()
    return kept(name)


def seen(encoding, deep=True):
    """All that an encoding says, as far as the windows behind it."""
    found = {name: getattr(encoding, name) for name in FIELDS} | {"length": len(encoding)}
    tokens, chars, sides = range(len(encoding) + 2), range(12), (0, 1)
    for name in ("token_to_sequence", "token_to_chars", "token_to_word"):
        found[name] = [getattr(encoding, name)(at) for at in tokens]
    for name in ("char_to_token", "char_to_word", "word_to_tokens", "word_to_chars"):
        found[name] = [getattr(encoding, name)(at, side) for at in chars for side in sides]
    if deep:
        found["overflowing"] = [seen(one, False) for one in encoding.overflowing]
    return found


def outcome(function, *arguments, **options):
    """What a call returns, or None where it raises or panics."""
    try:
        return function(*arguments, **options)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


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
    """Whether the format's own engine gives one answer for a file: of tokens alike behind normalizers any may win.

    Nor are bytes of a suffix asked about, which stand beyond the end of their piece, where theirs counts otherwise.
    """
    model, late = document["model"], [node["content"] for node in document["added_tokens"] if node["normalized"]]
    return not {"AB", "ab"} <= {*late} and not (model.get("end_of_word_suffix") and model.get("byte_fallback"))


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
    # What such a token took of the text is shown as the normalizers leave it, which may depend on what is around.
    takes = any(node["lstrip"] or node["rstrip"] for node in document["added_tokens"]) and document["normalizer"]
    for one, other in zip(us.encode_batch(texts, add_special_tokens=special), expected, strict=True):
        for name in ("ids", "offsets", "word_ids", *(() if takes else ("tokens",))):
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


# Tokens and parts ------------------------------------------------------------------------------------------------


TOKENS = st.builds(
    lambda content, **flags: (content, flags),
    st.sampled_from(["<s>", "new", "hello", "a", "b b", "", "[CLS]", "Hello", "\u00e9"]),
    **{name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized", "special")},
)


@settings(deadline=None, max_examples=60)
@given(
    calls=st.lists(
        st.tuples(st.booleans(), st.lists(TOKENS | st.sampled_from(["<x>", "hello"]), max_size=3)), max_size=3
    )
)
def test_tokens_are_added(calls):
    document = json.dumps(word_cases.document())
    them, us = theirs.Tokenizer.from_str(document), ours.Tokenizer.from_str(document)
    drawn = [(one, {"normalized": None}) if isinstance(one, str) else one for _, tokens in calls for one in tokens]
    for special, tokens in calls:
        counts = []
        for module, tokenizer in ((theirs, them), (ours, us)):
            add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
            made = [one if isinstance(one, str) else module.AddedToken(one[0], **one[1]) for one in tokens]
            counts.append(add(made))
        assert counts[0] == counts[1]
    assert us.get_vocab() == them.get_vocab()
    assert us.get_vocab(False) == them.get_vocab(False)
    assert [us.get_vocab_size(on) for on in (True, False)] == [them.get_vocab_size(on) for on in (True, False)]
    decoder = them.get_added_tokens_decoder()
    assert [*us.get_added_tokens_decoder()] == [*decoder]
    assert all(mine == decoder[id] for id, mine in us.get_added_tokens_decoder().items())
    assert list(map(repr, us.get_added_tokens_decoder().values())) == list(map(repr, decoder.values()))
    for token in ("<s>", "new", "hello", "nothing"):
        assert us.token_to_id(token) == them.token_to_id(token)
    # Of two that are alike behind the normalizer any may win there; and a token that was normalized once goes on to
    # decode to what it was then, whatever it is added as since.
    names = {node["content"].lower() for node in json.loads(us.to_str())["added_tokens"]}
    changed = Counter(content for content, _ in {(one[0], one[1]["normalized"]) for one in drawn}).most_common(1)
    if len(names) == len(decoder) and (not changed or changed[0][1] == 1):
        for text in ("<s>a new hello  b b", "[CLS]hello \u00e9<x>"):
            one, other = us.encode(text), them.encode(text)
            assert one.ids == other.ids
            assert us.decode(one.ids) == them.decode(other.ids)


def test_added_tokens():
    for content, flags in (("<mask>", {}), ("a", {"special": True}), ("b", {"special": True, "normalized": True})):
        mine, other = ours.AddedToken(content, **flags), theirs.AddedToken(content, **flags)
        assert mine == other
        assert repr(mine) == repr(other)
        assert str(mine) == str(other) == content
        again = pickle.loads(pickle.dumps(mine))
        assert again == mine
        assert hash(again) == hash(mine)
        assert mine != ours.AddedToken(content, rstrip=True, **flags)
    us = ours.Tokenizer(ours.models.BPE())
    assert us.add_tokens([theirs.AddedToken("x", lstrip=True)]) == 1
    assert us.get_added_tokens_decoder()[0].lstrip
    with pytest.raises(TypeError, match="list of str or AddedToken, got int in it"):
        us.add_tokens([5])
    with pytest.raises(TypeError, match="list of str or AddedToken, got str"):
        us.add_tokens("abc")
    with pytest.raises(TypeError, match="content must be a str, got int"):
        ours.AddedToken(5)


MADE = [
    ("normalizers", name, {})
    for name in ("NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Nmt", "ByteLevel")
]
MADE += [
    ("normalizers", "BertNormalizer", {}),
    ("normalizers", "BertNormalizer", {"clean_text": False, "lowercase": False, "strip_accents": True}),
    ("normalizers", "Strip", {}),
    ("normalizers", "Strip", {"left": False}),
    ("normalizers", "Prepend", {"prepend": "x"}),
    ("normalizers", "Replace", {"pattern": "a", "content": "b"}),
    ("pre_tokenizers", "ByteLevel", {}),
    ("pre_tokenizers", "ByteLevel", {"add_prefix_space": False, "use_regex": False}),
    ("pre_tokenizers", "Split", {"pattern": "-", "behavior": "merged_with_next", "invert": True}),
    ("pre_tokenizers", "Metaspace", {}),
    ("pre_tokenizers", "Metaspace", {"replacement": "_", "prepend_scheme": "never", "split": False}),
    ("pre_tokenizers", "Digits", {}),
    ("pre_tokenizers", "Digits", {"individual_digits": True}),
    ("pre_tokenizers", "Punctuation", {}),
    ("pre_tokenizers", "Punctuation", {"behavior": "removed"}),
    ("pre_tokenizers", "Whitespace", {}),
    ("pre_tokenizers", "WhitespaceSplit", {}),
    ("pre_tokenizers", "CharDelimiterSplit", {"delimiter": "-"}),
    ("pre_tokenizers", "BertPreTokenizer", {}),
    ("pre_tokenizers", "UnicodeScripts", {}),
    ("pre_tokenizers", "FixedLength", {}),
    ("processors", "ByteLevel", {}),
    ("processors", "BertProcessing", [("b", 1), ("a", 0)]),
    ("processors", "RobertaProcessing", [("b", 1), ("a", 0), False]),
    ("processors", "TemplateProcessing", {}),
    (
        "processors",
        "TemplateProcessing",
        {"single": "a $0 b:2", "pair": ["a", "$A", "b:1", "$1", "$B:2"], "special_tokens": [("a", 0), (1, "b")]},
    ),
    ("decoders", "ByteLevel", {}),
    ("decoders", "Fuse", {}),
    ("decoders", "ByteFallback", {}),
    ("decoders", "Replace", {"pattern": "a", "content": "b"}),
    ("decoders", "Strip", {"content": "a", "left": 1}),
    ("decoders", "Metaspace", {}),
    ("decoders", "WordPiece", {}),
    ("decoders", "BPEDecoder", {}),
    ("decoders", "CTC", {}),
    ("models", "BPE", {}),
    ("models", "BPE", {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [("a", "b")], "unk_token": "a", "fuse_unk": True}),
    ("models", "WordPiece", {"vocab": {"a": 0}, "max_input_chars_per_word": 7}),
    ("models", "WordLevel", {"vocab": {"a": 0}, "unk_token": "a"}),
    ("models", "Unigram", {"vocab": [("a", -1.5), ("b", 0.0)], "unk_id": 0, "byte_fallback": False}),
]
SLOTS = {
    "normalizers": "normalizer",
    "pre_tokenizers": "pre_tokenizer",
    "processors": "post_processor",
    "decoders": "decoder",
    "models": "model",
}


@pytest.mark.parametrize(("module", "name", "settings"), MADE, ids=lambda value: str(value)[:40])
def test_parts(module, name, settings):
    places, words = (settings, {}) if isinstance(settings, list) else ((), settings)
    mine, other = (getattr(getattr(one, module), name)(*places, **words) for one in (ours, theirs))
    state = json.loads(other.__getstate__())
    if name == "BPE":  # pairs or texts, they are the same
        state["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in state["merges"]]
    assert json.loads(mine.__getstate__()) == state
    assert isinstance(pickle.loads(pickle.dumps(mine)), type(mine))
    if module != "processors" or settings:
        assert repr(mine) == repr(other)
    us = ours.Tokenizer(ours.models.BPE({"a": 0, "b": 1}, []))
    setattr(us, SLOTS[module], other)  # as people do who change one import only
    given = getattr(us, SLOTS[module])
    assert type(given) is type(mine)
    if module != "models":
        setattr(us, SLOTS[module], None)
        assert getattr(us, SLOTS[module]) is None


def test_parts_do_what_they_say():
    steps = [("NFD", {}), ("StripAccents", {}), ("Lowercase", {}), ("Replace", {"pattern": "b", "content": "x"})]
    made = [
        module.normalizers.Sequence([getattr(module.normalizers, n)(**s) for n, s in steps])
        for module in (ours, theirs)
    ]
    text = "\u00c9 ab\u0301c"
    assert made[0].normalize_str(text) == made[1].normalize_str(text)
    cuts = [module.pre_tokenizers.Sequence([module.pre_tokenizers.Whitespace()]) for module in (ours, theirs)]
    assert cuts[0].pre_tokenize_str("Ab, c  d") == cuts[1].pre_tokenize_str("Ab, c  d")
    split = [module.pre_tokenizers.Split(module.Regex(r"\d+"), "isolated") for module in (ours, theirs)]
    assert split[0].pre_tokenize_str("a12b") == split[1].pre_tokenize_str("a12b")
    joined = [module.decoders.Sequence([module.decoders.WordPiece()]) for module in (ours, theirs)]
    assert joined[0].decode(["a", "##b", "c", "."]) == joined[1].decode(["a", "##b", "c", "."]) == "ab c."
    us = ours.Tokenizer(ours.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    them = theirs.Tokenizer(theirs.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokens = them.model.tokenize("aab")
    assert [(one.id, one.value, one.offsets) for one in us.model.tokenize("aab")] == [
        (one.id, one.value, one.offsets) for one in tokens
    ]
    assert us.model.id_to_token(2) == "ab"
    assert us.model.id_to_token(7) is None
    assert us.model.token_to_id("b") == 1


def test_parts_are_changed_where_they_are():
    us = ours.Tokenizer(ours.models.BPE({"\u0120": 0, "a": 1}, []))
    us.pre_tokenizer = ours.pre_tokenizers.Sequence([ours.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    assert us.encode("a").ids == [1]
    us.pre_tokenizer[0].add_prefix_space = True
    assert us.encode("a").ids == [0, 1]
    us.pre_tokenizer[0] = ours.pre_tokenizers.WhitespaceSplit()
    assert us.encode("a").ids == [1]
    assert len(us.pre_tokenizer) == 1
    us.normalizer = ours.normalizers.Strip(left=True)
    us.normalizer.left = False
    assert us.normalizer.left is False
    with pytest.raises(IndexError):
        us.pre_tokenizer[3]
    with pytest.raises(AttributeError, match="Strip has no attribute 'middle'"):
        us.normalizer.middle = True
    with pytest.raises(TypeError, match="normalizer must be a component that can be written as JSON, got int"):
        us.normalizer = 5
    with pytest.raises(TypeError, match="model must be a component"):
        us.model = None
    with pytest.raises(ValueError, match="expected a string of length 1"):
        ours.pre_tokenizers.CharDelimiterSplit("ab")
    with pytest.raises(ValueError, match="behavior must be one of"):
        ours.pre_tokenizers.Split("a", "dropped")
    with pytest.raises(ValueError, match="Cannot build Piece"):
        ours.processors.TemplateProcessing("$A:x")
    with pytest.raises(ValueError, match="Missing SpecialToken"):
        ours.processors.TemplateProcessing("[CLS] $A")
    with pytest.raises(ValueError, match="there is nothing to train on"):
        us.train([])


def test_post_process():
    them, us = pair("bert")
    for cut, fill in ((None, None), ({"max_length": 4}, {"length": 6}), ({"max_length": 7, "stride": 1}, None)):
        results = []
        for tokenizer in (them, us):
            tokenizer.no_truncation()
            tokenizer.no_padding()
            first, second = (
                tokenizer.encode(text, add_special_tokens=False) for text in ("hello unaffable", "world a")
            )
            if cut:
                tokenizer.enable_truncation(**cut)
            if fill:
                tokenizer.enable_padding(**fill)
            results.append([seen(tokenizer.post_process(first)), seen(tokenizer.post_process(first, second), False)])
        assert results[0] == results[1]


# Files, copies, errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_saved(name, tmp_path):
    us = copy.deepcopy(pair(name)[1])
    us.add_special_tokens(["<new>"])
    us.enable_truncation(7, stride=1)
    us.enable_padding(pad_id=1, pad_token="<p>")
    us.save(str(tmp_path / "tokenizer.json"))
    assert "<new>" not in pair(name)[1].get_vocab()
    for other in (
        theirs.Tokenizer.from_str(us.to_str()),
        theirs.Tokenizer.from_str(us.to_str(pretty=True)),
        theirs.Tokenizer.from_file(str(tmp_path / "tokenizer.json")),
        ours.Tokenizer.from_pretrained(str(tmp_path)),
        ours.Tokenizer.from_buffer(us.to_str().encode()),
        pickle.loads(pickle.dumps(us)),
        copy.copy(us),
    ):
        assert other.get_vocab() == us.get_vocab()
        assert (other.truncation, other.padding) == (us.truncation, us.padding)
        for one, again in zip(us.encode_batch(SAMPLES), other.encode_batch(SAMPLES), strict=True):
            assert (one.ids, one.tokens, one.attention_mask) == (again.ids, again.tokens, again.attention_mask)


def test_shown():
    them, us = (module.Tokenizer(module.models.BPE()) for module in (theirs, ours))
    for module, tokenizer in ((theirs, them), (ours, us)):
        tokenizer.add_tokens(["my"])
        tokenizer.normalizer = module.normalizers.Sequence([module.normalizers.Lowercase(), module.normalizers.Strip()])
        tokenizer.pre_tokenizer = module.pre_tokenizers.Metaspace()
        tokenizer.post_processor = module.processors.TemplateProcessing("a $0", "a $A $B:1", special_tokens=[("a", 1)])
        tokenizer.decoder = module.decoders.Replace(module.Regex("a"), 'b"')
    assert repr(us) == repr(them)
    assert str(us) == str(them)


def test_shown_whatever_tokens_are_called():
    """Tokens that are called as fields are, merges as older files have them, and how texts are cut and filled up."""
    vocab = {"type": 0, "Sequence": 1, "t": 2, "y": 3, "ty": 4}
    for merges in ([["t", "y"]], ["t y"]):
        text = theirs.Tokenizer(theirs.models.BPE(vocab, [("t", "y")])).to_str()
        document = json.loads(text)
        document["model"]["merges"] = merges
        them, us = (module.Tokenizer.from_str(json.dumps(document)) for module in (theirs, ours))
        for one in (them, us):
            one.enable_truncation(7, stride=1, strategy="only_first", direction="left")
            one.enable_padding(length=4, direction="left")
            one.add_special_tokens(["type"])
        assert (repr(us), str(us)) == (repr(them), str(them))
        for one in (them, us):
            one.enable_padding(pad_to_multiple_of=8)
        again = ours.Tokenizer.from_str(them.to_str())  # the fields of the file in their order
        assert repr(again) == repr(us) == repr(them)


PIECES = [("<unk>", 0.0), ("\u2581", -3.0), ("\u2581a", -3.5), ("a", -4.0), ("bc", -4.5), ("fi", -5.0)]


@pytest.mark.parametrize("parts", ["", "normalizer", "padding", "windows"])
def test_unknown_pieces_are_called_what_they_are(parts):
    """Of Unigram alone; in windows, in pairs, in words, and behind normalizers that change the text."""
    pairs = [module.Tokenizer(module.models.Unigram(PIECES, 0)) for module in (theirs, ours)]
    for module, one in zip((theirs, ours), pairs, strict=True):
        one.add_special_tokens(["<unk>", "<s>"])
        one.pre_tokenizer = module.pre_tokenizers.Metaspace()
        one.post_processor = module.processors.TemplateProcessing("<s> $A", "<s> $A $B:1", [("<s>", 6)])
        if parts == "normalizer":
            one.normalizer = module.normalizers.Sequence([module.normalizers.NFKC(), module.normalizers.Lowercase()])
        if parts == "padding":
            one.enable_padding(length=40, direction="left")
        if parts == "windows":
            one.enable_truncation(5)
    them, us = pairs
    texts = ["xyz a bcx", "\ufb01X \u00bd a", "<unk> q<s>q", "", "\U0001f600\u65e5bc \u65e5"]
    for text in texts:
        for first, second in ((them.encode(text), us.encode(text)), (them.encode(text, "qa"), us.encode(text, "qa"))):
            assert second.tokens == first.tokens
            assert [one.tokens for one in second.overflowing][:1] == [one.tokens for one in first.overflowing][:1]
        words = text.split()
        assert us.encode(words, is_pretokenized=True).tokens == them.encode(words, is_pretokenized=True).tokens
    batches = [[one.tokens for one in each.encode_batch(texts)] for each in pairs]
    assert batches[0] == batches[1]
    found = [[one.as_tuple() for one in each.model.tokenize("axyz\u65e5bc")] for each in pairs]
    assert found[0] == found[1]


PRE_TOKENIZERS = {
    "none": lambda module: None,
    "bytes": lambda module: module.ByteLevel(add_prefix_space=False),
    "spaced bytes": lambda module: module.ByteLevel(),
    "digits": lambda module: module.Sequence([module.Digits(True), module.ByteLevel(add_prefix_space=False)]),
    "words": lambda module: module.BertPreTokenizer(),
    "marks": lambda module: module.Metaspace(),
}
TRAINED_ON = [
    "low Lower lowest 12 1\u00e9\u00e9 \u65e5\u672c\u65e5\u672c \ufb01 \ufb01x",
    "",
    "\u00ad\n",
    "<s>low [x] \n\n lower",
] * 2


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
@pytest.mark.parametrize("alphabet", ["", "bytes", "few"])
@pytest.mark.parametrize("trained", ["BPE", "WordPiece"])
@pytest.mark.parametrize("whose", [theirs, ours], ids=["their trainer", "our trainer"])
def test_trained(tmp_path, name, alphabet, trained, whose):
    """The same files, by C and by the general road; a trainer of either library."""
    level = sorted(theirs.pre_tokenizers.ByteLevel.alphabet())
    options = {"vocab_size": 330, "show_progress": False, "special_tokens": ["<unk>", "<s>", "low"]}
    options["initial_alphabet"] = {"": [], "bytes": level, "few": ["q", "lx"]}[alphabet]
    if trained == "WordPiece":  # theirs numbers characters that go on with a word by chance; special tokens it does not
        letters = sorted({*level, *"".join(TRAINED_ON).lower(), "f", "i", "\u2581"})
        options["special_tokens"] = ["<unk>", *letters, *(f"##{letter}" for letter in letters)]
        options["vocab_size"] = 2 * len(letters) + 20
    path = tmp_path / "texts.txt"
    path.write_text("".join(TRAINED_ON), newline="")
    found = []
    for module in (theirs, ours):
        for by_file in (False, True):
            one = module.Tokenizer(getattr(module.models, trained)(unk_token="<unk>"))
            one.normalizer = module.normalizers.Sequence([module.normalizers.NFKC(), module.normalizers.Lowercase()])
            one.pre_tokenizer = PRE_TOKENIZERS[name](module.pre_tokenizers)
            kind = getattr(
                (theirs if module is theirs else whose).trainers, {"BPE": "BpeTrainer"}.get(trained, "WordPieceTrainer")
            )
            trainer = pickle.loads(pickle.dumps(kind(**options)))
            if by_file:
                one.train([str(path)], trainer)
            else:
                one.train_from_iterator([TRAINED_ON[:2], *TRAINED_ON[2:]], trainer)
            found.append((json.loads(one.to_str()), [one.encode(text).ids for text in TRAINED_ON]))
    assert found[2] == found[0]
    assert found[3] == found[1]


def test_trainers():
    settings = {"vocab_size": 9, "special_tokens": ["a", ours.AddedToken("b", lstrip=True)], "initial_alphabet": ["xy"]}
    for name in ("BpeTrainer", "WordPieceTrainer"):
        us = getattr(ours.trainers, name)(**settings)
        settings["special_tokens"][1] = theirs.AddedToken("b", lstrip=True)
        assert us.__getstate__() == getattr(theirs.trainers, name)(**settings).__getstate__()
        assert copy.deepcopy(us).__getstate__() == us.__getstate__()
        us.vocab_size = 12
        assert us.vocab_size == 12
        assert us.special_tokens == [
            ours.AddedToken("a", special=True),
            ours.AddedToken("b", lstrip=True, special=True),
        ]
    with pytest.raises(TypeError, match="vocab_size must be an integer, got str"):
        ours.trainers.BpeTrainer(vocab_size="5")
    with pytest.raises(OverflowError, match="min_frequency must be at least 0, got -1"):
        ours.trainers.BpeTrainer(min_frequency=-1)


@pytest.mark.parametrize(
    ("model", "trainer", "texts", "error", "words"),
    [
        ("BPE", "WordPieceTrainer", ["a"], ValueError, "WordPieceTrainer can only train a WordPiece"),
        ("Unigram", None, ["a"], NotImplementedError, "Unigram is not trained by the drop-in"),
        ("BPE", theirs.trainers.UnigramTrainer(), ["a"], ValueError, "UnigramTrainer can only train a Unigram"),
        ("Unigram", theirs.trainers.UnigramTrainer(), ["a"], NotImplementedError, "UnigramTrainer is not in the drop"),
        ("BPE", 5, ["a"], TypeError, "trainer must be a trainer, got int"),
        ("BPE", None, [], ValueError, "nothing to train on"),
        ("BPE", None, [[5]], TypeError, "texts must be str"),
        ("BPE", ours.trainers.BpeTrainer(end_of_word_suffix="</w>"), ["a"], NotImplementedError, "end_of_word_suffix"),
    ],
)
def test_not_trained(model, trainer, texts, error, words):
    us = ours.Tokenizer(getattr(ours.models, model)())
    before = us.to_str()
    with pytest.raises(error, match=words):
        us.train_from_iterator(texts, getattr(ours.trainers, trainer)() if isinstance(trainer, str) else trainer)
    assert us.to_str() == before


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        pair("bert")[1].save(str(tmp_path / "pipe"))
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_models_of_files(tmp_path):
    vocab, merges = {"a": 0, "b": 1, "ab": 2}, [("a", "b")]
    saved = ours.models.BPE(vocab, merges).save(str(tmp_path), "x")
    assert saved == theirs.models.BPE(vocab, merges).save(str(tmp_path), "x")
    assert ours.models.BPE.read_file(*saved) == (vocab, merges) == theirs.models.BPE.read_file(*saved)
    assert ours.models.BPE(*saved).vocabulary() == ours.models.BPE.from_file(*saved).vocabulary() == vocab
    [words] = ours.models.WordPiece({"[UNK]": 0, "a": 1}).save(str(tmp_path))
    assert theirs.models.WordPiece.read_file(words) == ours.models.WordPiece.read_file(words) == {"[UNK]": 0, "a": 1}
    assert ours.models.WordPiece.from_file(words).token_to_id("a") == 1
    [level] = ours.models.WordLevel({"a": 0}).save(str(tmp_path))
    assert ours.models.WordLevel.from_file(level).vocabulary() == theirs.models.WordLevel.read_file(level) == {"a": 0}
    (tmp_path / "bad.txt").write_text("a b c\n")
    with pytest.raises(ValueError, match="line 1 is no pair of tokens"):
        ours.models.BPE.read_file(saved[0], str(tmp_path / "bad.txt"))
    with pytest.raises(TypeError, match="both be paths"):
        ours.models.BPE(saved[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda us: us.encode(5), TypeError, "TextInputSequence must be str, got int"),
        (lambda us: us.encode(["a"]), TypeError, "TextInputSequence must be str"),
        (lambda us: us.encode("a", ["b"]), TypeError, "TextInputSequence must be str"),
        (lambda us: us.encode("a", is_pretokenized=True), TypeError, "InputSequence must be Union"),
        (lambda us: us.encode(["a", 5], is_pretokenized=True), TypeError, "InputSequence must be Union"),
        (lambda us: us.encode_batch("abc"), TypeError, "input must be a list of texts, got str"),
        (lambda us: us.encode_batch(5), TypeError, "input must be a list of texts, got int"),
        (lambda us: us.encode_batch(["a", 5]), TypeError, "TextInputSequence must be str, got int"),
        (lambda us: us.encode_batch([("a", "b", "c")]), TypeError, "TextInputSequence must be str, got tuple"),
        (lambda us: us.decode(["a"]), TypeError, "integers"),
        (lambda us: us.enable_truncation(4, strategy="first"), ValueError, "strategy must be one of"),
        (lambda us: us.enable_truncation(4, direction="up"), ValueError, "direction must be one of"),
        (lambda us: us.enable_truncation(4, stride=3), ValueError, "stride must be at most 2"),
        (lambda us: us.enable_truncation(-1), OverflowError, "max_length must be at least 0"),
        (lambda us: us.enable_truncation("4"), TypeError, "max_length must be an integer"),
        (lambda us: us.enable_padding(direction="up"), ValueError, "direction must be one of"),
        (lambda us: us.enable_padding(pad_token=5), TypeError, "pad_token must be a str"),
        (lambda us: us.id_to_token(-1), OverflowError, "id must be at least 0"),
        (lambda us: ours.Tokenizer.from_str("{"), ValueError, "not valid JSON"),
        (lambda us: ours.Tokenizer.from_str("[]"), ValueError, "a tokenizer.json is a JSON object, got list"),
        (lambda us: ours.Tokenizer.from_str("{}"), ValueError, "no 'model'"),
        (lambda us: ours.Tokenizer.from_buffer(5), TypeError, "as str or bytes, got int"),
        (lambda us: ours.Tokenizer.from_file("nowhere.json"), FileNotFoundError, "nowhere.json"),
        (lambda us: ours.Tokenizer.from_pretrained("nowhere"), FileNotFoundError, "downloads nothing"),
    ],
)
def test_refused(call, error, words):
    us = copy.copy(pair("bert")[1])
    with pytest.raises(error, match=words):
        call(us)
    assert (us.truncation, us.padding) == (None, None)


def test_nothing_to_build():
    us, them = ours.Tokenizer(ours.models.BPE()), theirs.Tokenizer(theirs.models.BPE())
    assert us.encode("abc").ids == them.encode("abc").ids == []
    assert [one.ids for one in us.encode_batch(["a", ("b", "c")])] == [[], []]
    assert us.decode([1]) == them.decode([1]) == ""
    assert us.id_to_token(0) is None
    assert us.get_vocab_size() == 0


def test_other_inputs():
    them, us = pair("bert")
    for batch in (
        ("hello", "world"),
        [["hello", "world"], ("a", "b")],
        np.array(["hello", "world"]),
        np.array([["hello", "world"]]),
        iter(["hello"]),
    ):
        mine = us.encode_batch(batch)
        other = them.encode_batch(["hello"] if len(mine) == 1 and len(mine[0]) == 3 else batch)
        assert [one.ids for one in mine] == [one.ids for one in other]
    words = np.array([["hello", "world"], ["a", "b"]], dtype=object)
    assert us.encode_batch(words, is_pretokenized=True)[1].ids == us.encode(["a", "b"], is_pretokenized=True).ids
    assert us.decode(np.array([3, 4, 5])) == us.decode((3, 4, 5)) == us.decode([3, 4, 5])


def test_without_waiting():
    us = pair("bert")[1]

    async def all_of_them():
        one = await us.async_encode("hello", "world")
        many = await us.async_encode_batch(["hello", "a"])
        fast = await us.async_encode_batch_fast(["hello", "a"], add_special_tokens=False)
        return one, many, fast, await us.async_decode_batch([[7], [8]])

    one, many, fast, texts = asyncio.run(all_of_them())
    assert one.ids == us.encode("hello", "world").ids
    assert [each.ids for each in many] == [each.ids for each in us.encode_batch(["hello", "a"])]
    assert len(fast[0]) == 1
    assert texts == us.decode_batch([[7], [8]])
