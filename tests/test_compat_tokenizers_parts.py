"""fastemb.compat.tokenizers against tokenizers: tokens that are added, the parts of a tokenizer, changes of them."""

import json
import pickle
from collections import Counter

import pytest
import tokenizers as theirs
import word_cases
from compat_cases import pair, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb.compat import tokenizers as ours

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
