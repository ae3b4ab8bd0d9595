"""Pairs, templates, cutting, windows, padding, masks and words: equal to Hugging Face's `tokenizers`."""

import itertools
import json
import random

import numpy as np
import pytest
import tokenizers
from tokenizers import processors

import fastemb

LETTERS = "abcdefgh"
SPECIAL = {"[CLS]": 20, "[SEP]": 21, "[PAD]": 22}


def file_of(post_processor=None, **more):
    """A file whose tokens are letters: a text has as many ids as letters, and no letter is unknown."""
    vocab = {letter: id for id, letter in enumerate(LETTERS)} | SPECIAL
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, id in SPECIAL.items()
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [],
        },
    } | more


def template(single, pair):
    made = processors.TemplateProcessing(single=single, pair=pair, special_tokens=list(SPECIAL.items()))
    return json.loads(made.__getstate__())


BERT = {"type": "BertProcessing", "sep": ["[SEP]", 21], "cls": ["[CLS]", 20]}
ROBERTA = BERT | {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": True}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
POST_PROCESSORS = {
    "none": None,
    "byte level": BYTE_LEVEL,
    "bert": BERT,
    "roberta": ROBERTA,
    "template": template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "bos": template("[CLS]:4 $A:2", "[CLS]:4 $A:2 $B:5"),
    "eos": template("$A [SEP]", "$A [SEP] $B [SEP]:3"),
    "pair first": template("$A:1 [SEP]", "$B:1 $A:0 [SEP]:2"),
    "sequence": {"type": "Sequence", "processors": [BYTE_LEVEL, template("[CLS] $A", "$A [SEP] $B:1")]},
    "trimmed last": {"type": "Sequence", "processors": [template("[CLS] $A", "$A [SEP] $B:1"), BYTE_LEVEL]},
    "no ids for one": template("$A", "$A [SEP] $B:1"),
    "text twice": template("$A [SEP] $A:1", "$A $B:1 [SEP] $A"),
}
TYPES = {"bos": (2, 5), "pair first": (0, 1), "roberta": (0, 0)}
WITH_IDS = [name for name in POST_PROCESSORS if name not in ("none", "byte level", "no ids for one")]


def engines(tmp_path, file):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file))
    ours = fastemb.Tokenizer.load(path)
    ours.save(tmp_path / "saved")
    return fastemb.Tokenizer.load(tmp_path / "saved"), tokenizers.Tokenizer.from_str(json.dumps(file))


def flat(encodings, windows):
    """Their encodings in order, the windows of each behind it."""
    return [one for first in encodings for one in [first, *(first.overflowing if windows else ())]]


def assert_equal(ours, theirs, words=False, types=None):
    """All that is said of each id is the same.

    `types` are the template's token type ids of a text and its pair. In windows behind the first they leave 0 and 1
    there instead, which is not copied: what the model reads as the second text would depend on the window.
    """
    assert ours.ids.tolist() == [one.ids for one in theirs]

    def joined(name, none=None):
        return [none if value is None else value for one in theirs for value in getattr(one, name)]

    expected = np.array(joined("type_ids"), int)
    if types is not None:
        expected = np.where(ours.sequence_ids < 0, expected, np.array([*types, 0])[ours.sequence_ids])
    assert ours.type_ids.tolist() == expected.tolist()
    assert ours.attention_mask.tolist() == [bool(value) for value in joined("attention_mask")]
    assert ours.special_tokens_mask.tolist() == [bool(value) for value in joined("special_tokens_mask")]
    assert ours.offsets.tolist() == [list(span) for span in joined("offsets")]
    if words:
        assert ours.word_ids.tolist() == joined("word_ids", -1)


def drawn(seed, count, least=0, most=9):
    rng = random.Random(seed)
    return ["".join(rng.choice(LETTERS) for _ in range(rng.randint(least, most))) for _ in range(count)]


@pytest.mark.parametrize("name", POST_PROCESSORS)
def test_templates(name, tmp_path):
    ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS[name]))
    texts, pairs = [*drawn(1, 20), ""], [*drawn(2, 20), "ab"]
    for adds in [False, True] if name in WITH_IDS else [False]:
        encodings = theirs.encode_batch(texts, add_special_tokens=adds)
        if name != "text twice" or adds:  # without the template's ids a text stands once
            assert_equal(ours.encode_batch(texts, template=adds, details=True, offsets=True), encodings)
            assert ours.encode_batch(texts, template=adds).tolist() == [one.ids for one in encodings]
            assert [ours.encode(text, template=adds).tolist() for text in texts] == [one.ids for one in encodings]
    for adds in [False, True] if name not in ("none", "byte level") else [False]:
        encodings = theirs.encode_batch(list(zip(texts, pairs, strict=True)), add_special_tokens=adds)
        if name != "text twice" or adds:
            assert_equal(ours.encode_batch(texts, pairs=pairs, template=adds, details=True, offsets=True), encodings)
            rows, spans = ours.encode_batch(texts, pairs=pairs, template=adds, offsets=True)
            assert rows.tolist() == [one.ids for one in encodings]
            assert spans.tolist() == [list(span) for one in encodings for span in one.offsets]
            row, spans = ours.encode(texts[0], pair=pairs[0], template=adds, offsets=True)
            assert row.tolist() == encodings[0].ids
            assert spans.tolist() == [list(span) for span in encodings[0].offsets]


SIDES, STRATEGIES = ["right", "left"], ["longest_first", "only_first", "only_second"]


def cut(theirs, texts, pairs, adds, **how):
    """Their encodings of texts that are cut, None where they refuse or break down."""
    try:
        theirs.enable_truncation(**how)
        if pairs is None:
            return theirs.encode_batch(texts, add_special_tokens=adds)
        return theirs.encode_batch(list(zip(texts, pairs, strict=True)), add_special_tokens=adds)
    except BaseException as error:  # a panic is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    finally:
        theirs.no_truncation()


@pytest.mark.parametrize("name", ["none", "template", "bos", "pair first", "roberta", "sequence"])
@pytest.mark.parametrize("side", SIDES)
def test_one_text_cut(name, side, tmp_path):
    ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS[name]))
    texts = [*drawn(3, 12), "", "abcdefgh", "abcde"]
    for adds in [False, True] if name in WITH_IDS else [False]:
        taken = len(ours.encode("", template=True)) if adds else 0
        for most, stride in itertools.product(range(taken, 9), range(4)):
            how = {"max_length": most, "stride": stride, "direction": side}
            if stride >= most - taken:
                with pytest.raises(ValueError, match=rf"^stride must be less than the ids of a window, {most - taken}"):
                    ours.encode_batch(texts, template=adds, max_tokens=most, side=side, stride=stride)
                continue
            encodings = cut(theirs, texts, None, adds, **how)
            if encodings is None:  # they count the template's ids where there is no template, too
                assert not adds
                assert name != "none"
                continue
            asked = {"template": adds, "max_tokens": most, "side": side, "offsets": True}
            assert_equal(ours.encode_batch(texts, details=True, **asked), encodings)
            windows = ours.encode_batch(texts, stride=stride, **asked)
            assert_equal(
                windows,
                flat(encodings, windows=True),
                types=(1 if name == "pair first" else TYPES.get(name, (0,))[0], 0),
            )
            counts = [1 + len(one.overflowing) for one in encodings]
            assert windows.text_ids.tolist() == np.repeat(np.arange(len(texts)), counts).tolist()
            plain = ours.encode_batch(texts, template=adds, max_tokens=most, side=side)
            assert plain.tolist() == [one.ids for one in encodings]
            if side == "right":
                rows = [ours.encode(text, template=adds, max_tokens=most).tolist() for text in texts]
                assert rows == [one.ids for one in encodings]
        with pytest.raises(ValueError, match=r"^max_tokens must be at least"):
            ours.encode_batch(texts, template=adds, max_tokens=taken - 1, side=side)


@pytest.mark.parametrize("name", ["none", "template", "pair first", "roberta", "text twice"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("side", SIDES)
def test_pairs_cut(name, strategy, side, tmp_path, capfd):
    ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS[name]))
    texts, pairs = [*drawn(5, 6), "abcde", "a"], [*drawn(6, 6), "abcd", "abcdefg"]
    refused = told = 0
    for adds in [False, True] if name in WITH_IDS else [False]:
        if name == "text twice" and not adds:
            continue
        taken = len(ours.encode("", pair="", template=True)) if adds else 0
        for most, stride in itertools.product([*range(taken + 1, taken + 9), 30], range(3)):
            if stride >= most - taken:
                continue
            some = slice((most + stride) % 2, None, 2)  # every second pair, the others at the next limit
            for text, pair in zip(texts[some], pairs[some], strict=True):
                how = {"max_length": most, "stride": stride, "strategy": strategy, "direction": side}
                encodings = cut(theirs, [text], [pair], adds, **how)
                asked = {"template": adds, "max_tokens": most, "strategy": strategy, "side": side, "offsets": True}
                if encodings is None and stride >= most - len(ours.encode("", template=name in WITH_IDS)):
                    continue  # they count the ids of the template for one text, whichever it is
                if encodings is None:
                    with pytest.raises(ValueError, match=r"^(stride must be less|strategy is)"):
                        ours.encode_batch([text], pairs=[pair], stride=stride, **asked)
                    refused += 1
                    continue
                if any(len(one.ids) > most for one in flat(encodings, True)):
                    continue  # a text of which nothing is kept: its window would be all of it
                windows = ours.encode_batch([text], pairs=[pair], stride=stride, **asked)
                types = None if name == "text twice" else TYPES.get(name, (0, 1))
                if types is not None:
                    assert_equal(windows, flat(encodings, windows=True), types=types)
                assert windows.ids.tolist() == [one.ids for one in flat(encodings, windows=True)]
                assert_equal(ours.encode_batch([text], pairs=[pair], details=True, **asked), encodings)
                told += 1
    assert told > 15
    assert refused > 2 or strategy == "longest_first"
    capfd.readouterr()  # what a panic prints


def test_all_combinations_of_windows(tmp_path):
    """Windows of many texts at once: each text's rows are those that it has by itself."""
    ours, _ = engines(tmp_path, file_of(POST_PROCESSORS["template"]))
    texts, pairs = drawn(7, 40, 1), drawn(8, 40, 1)
    asked = {"template": True, "max_tokens": 7, "stride": 1, "details": True}
    together = ours.encode_batch(texts, pairs=pairs, **asked)
    apart = [ours.encode_batch([text], pairs=[pair], **asked) for text, pair in zip(texts, pairs, strict=True)]
    assert together.ids.tolist() == [row for one in apart for row in one.ids.tolist()]
    assert together.text_ids.tolist() == np.repeat(np.arange(40), [len(one.ids) for one in apart]).tolist()


PADS = {
    "longest": ("longest", {}),
    "length": (5, {"length": 5}),
    "longer": (12, {"length": 12}),
    "multiple": (fastemb.Padding(multiple_of=4), {"pad_to_multiple_of": 4}),
    "left": (
        fastemb.Padding(side="left", pad_id=22, type_id=9),
        {"direction": "left", "pad_id": 22, "pad_type_id": 9, "pad_token": "[PAD]"},
    ),
    "length and multiple": (
        fastemb.Padding(9, 4, "left", 22, 1),
        {"length": 9, "pad_to_multiple_of": 4, "direction": "left", "pad_id": 22, "pad_type_id": 1},
    ),
}


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("name", ["none", "template"])
def test_padding(pad, name, tmp_path):
    ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS[name]))
    given, how = PADS[pad]
    theirs.enable_padding(**how)
    texts, pairs = [*drawn(9, 8), ""], [*drawn(10, 8), ""]
    both, adds = list(zip(texts, pairs, strict=True)), name == "template"
    encodings = theirs.encode_batch(texts, add_special_tokens=adds)
    assert_equal(ours.encode_batch(texts, template=adds, pad=given, offsets=True), encodings)
    encodings = theirs.encode_batch(both, add_special_tokens=adds)
    assert_equal(ours.encode_batch(texts, pairs=pairs, template=adds, pad=given, offsets=True), encodings)
    theirs.enable_truncation(max_length=7, stride=1)
    encodings = theirs.encode_batch(texts, add_special_tokens=adds)
    asked = {"template": adds, "pad": given, "offsets": True, "max_tokens": 7}
    assert_equal(ours.encode_batch(texts, stride=1, **asked), flat(encodings, windows=True))
    cut = ours.encode_batch(texts, **asked)
    assert_equal(cut, encodings)
    if len(set(cut.ids.lengths)) == 1:
        arrays = cut.arrays()
        assert arrays["input_ids"].tolist() == [one.ids for one in encodings]
        assert arrays["attention_mask"].tolist() == [one.attention_mask for one in encodings]
        assert arrays["token_type_ids"].tolist() == [one.type_ids for one in encodings]


def test_padding_of_nothing(tmp_path):
    ours, _ = engines(tmp_path, file_of())
    for pad in ("longest", 3, fastemb.Padding(multiple_of=4)):
        empty = ours.encode_batch([], pad=pad, offsets=True)
        assert len(empty.ids) == 0
        assert empty.offsets.shape == (0, 2)
    assert ours.encode_batch([""], pad="longest").arrays()["input_ids"].shape == (1, 0)
    assert ours.encode_batch([], pad=3).arrays()["input_ids"].shape == (0, 0)
    with pytest.raises(ValueError, match="rows must be of one length for arrays, got lengths from 1 to 2"):
        ours.encode_batch(["a", "bc"], details=True).arrays()


SETTINGS = {
    "truncation": {"direction": "Left", "max_length": 6, "strategy": "OnlyFirst", "stride": 1},
    "padding": {
        "strategy": {"Fixed": 8},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 22,
        "pad_type_id": 3,
        "pad_token": "[PAD]",
    },
}


def test_what_the_file_says(tmp_path):
    """It is kept, and used only when a call asks for it; then it is what their default is."""
    ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS["template"], **SETTINGS))
    assert ours.max_length == 6
    assert ours.truncation == fastemb.Truncation(6, 1, "only_first", "left")
    assert ours.padding == fastemb.Padding(8, None, "left", 22, 3)
    texts = [*drawn(11, 8), "abcdefgh"]
    encodings = theirs.encode_batch(texts)
    model = {"template": True, "max_tokens": "model", "pad": "model", "offsets": True}
    assert_equal(ours.encode_batch(texts, **model), encodings)
    assert_equal(ours.encode_batch(texts, stride=1, **model), flat(encodings, windows=True))
    theirs.no_padding()
    cut = [one.ids for one in theirs.encode_batch(texts)]
    assert ours.encode_batch(texts, template=True, max_tokens="model").tolist() == cut
    assert [ours.encode(text, template=True, max_tokens="model").tolist() for text in texts] == cut
    assert ours.encode("abcdefgh", max_tokens="model").tolist() == [2, 3, 4, 5, 6, 7]
    assert ours.encode_batch(["abcdefgh"], max_tokens="model", side="right").tolist() == [[0, 1, 2, 3, 4, 5]]
    theirs.no_truncation()
    assert ours.encode_batch(texts, template=True).tolist() == [one.ids for one in theirs.encode_batch(texts)]
    ours, _ = engines(tmp_path, file_of())
    assert (ours.max_length, ours.truncation, ours.padding) == (None, None, None)
    rows = ours.encode_batch(["abcdefgh", "a"], max_tokens="model", pad="model")
    assert rows.ids.lengths.tolist() == [8, 1]


def test_words(tmp_path):
    for name in ("none", "template", "roberta"):
        ours, theirs = engines(tmp_path, file_of(POST_PROCESSORS[name]))
        texts = [["ab", "", "c"], [], ["abc"], ["[SEP]", "d", "ef"], [""]]
        pairs = [["d"], ["ab", "c"], [], ["a"], ["b", "b"]]
        adds = name != "none"
        asked = {"pretokenized": True, "special": "all", "template": adds, "offsets": True, "details": True}
        encodings = theirs.encode_batch(texts, is_pretokenized=True, add_special_tokens=adds)
        assert_equal(ours.encode_batch(texts, **asked), encodings, words=True)
        both = list(zip(texts, pairs, strict=True))
        encodings = theirs.encode_batch(both, is_pretokenized=True, add_special_tokens=adds)
        assert_equal(ours.encode_batch(texts, pairs=pairs, **asked), encodings, words=True)
        theirs.enable_truncation(max_length=5, stride=1)
        theirs.enable_padding(pad_id=22)
        encodings = theirs.encode_batch(texts, is_pretokenized=True, add_special_tokens=adds)
        asked |= {"max_tokens": 5, "stride": 1, "pad": fastemb.Padding(pad_id=22)}
        assert_equal(ours.encode_batch(texts, **asked), flat(encodings, windows=True), words=True)


def test_results(tmp_path):
    """What is returned follows from what is asked for; plain calls give what they always gave."""
    ours, _ = engines(tmp_path, file_of(POST_PROCESSORS["template"]))
    assert type(ours.encode_batch(["a"])) is fastemb.Ragged
    assert type(ours.encode_batch(["a"], pairs=["b"], template=True)) is fastemb.Ragged
    assert type(ours.encode_batch([["a"]], pretokenized=True)) is fastemb.Ragged
    assert type(ours.encode_batch(["a"], offsets=True)) is tuple
    for asked in ({"details": True}, {"pad": 3}, {"max_tokens": 3, "stride": 0}):
        rows = ours.encode_batch(["a"], **asked)
        assert type(rows) is fastemb.Encoded
        assert rows.offsets is None
        assert rows.word_ids is None
        assert ours.encode_batch(["a"], offsets=True, **asked).offsets.tolist()[0] == [0, 1]
    assert [array.dtype for array in rows[2:6]] == [np.int32, np.bool_, np.bool_, np.int8]


REFUSED = [
    ({"side": "right"}, ValueError, "side is for rows that are cut, got side='right' without max_tokens"),
    ({"stride": 1}, ValueError, "stride is for rows that are cut, got stride=1 without max_tokens"),
    ({"strategy": "only_first"}, ValueError, "strategy is for rows that are cut"),
    ({"max_tokens": 3, "side": "middle"}, ValueError, "side must be"),
    ({"max_tokens": 3, "strategy": "longest"}, ValueError, "strategy must be"),
    ({"max_tokens": "all", "pad": 3}, TypeError, "max_tokens must be an integer, None or 'model', got 'all'"),
    ({"max_tokens": -1, "pad": 3}, ValueError, "max_tokens must be at least 0, got -1"),
    ({"max_tokens": 3, "stride": -1}, ValueError, "stride must not be negative, got -1"),
    ({"max_tokens": 3, "stride": 1.5}, TypeError, "stride must be an integer"),
    ({"max_tokens": 3, "stride": 3}, ValueError, "stride must be less than the ids of a window, 3, got 3"),
    ({"pad": "all"}, ValueError, "pad must be"),
    ({"pad": -1}, ValueError, "pad must not be negative, got -1"),
    ({"pad": True}, TypeError, "pad must be an integer"),
    ({"pad": fastemb.Padding(side="up")}, ValueError, "pad.side must be"),
    ({"pad": fastemb.Padding(pad_id=2**31)}, ValueError, "pad.pad_id must fit int32, got 2147483648"),
    ({"pad": fastemb.Padding(length=-2)}, ValueError, "pad.length must not be negative, got -2"),
    ({"offsets": "words"}, ValueError, "offsets must be True, False or 'bytes', got 'words'"),
    ({"pairs": ["a"]}, ValueError, "pairs must be as many as texts, 2, got 1"),
    ({"pairs": "ab"}, TypeError, "texts must be a sequence of str, got one str"),
    ({"pretokenized": True}, TypeError, "with pretokenized=True texts must be lists of words, got a str at 0"),
    ({"pretokenized": "no"}, TypeError, "pretokenized must be a bool"),
    ({"details": "no"}, TypeError, "details must be a bool"),
    ({"template": True}, ValueError, "template is True, but the file of this tokenizer has no template that adds ids"),
    ({"max_tokens": 2, "strategy": "only_second"}, ValueError, "strategy is 'only_second', but text 1 has 3 ids"),
    (
        {"max_tokens": 2, "strategy": "only_first", "pairs": ["abcd", ""]},
        ValueError,
        "strategy is 'only_first', but text 0 has 2 ids, and 4 have to go",
    ),
]


@pytest.mark.parametrize(("asked", "error", "words"), REFUSED)
def test_what_is_refused(asked, error, words, tmp_path):
    ours, _ = engines(tmp_path, file_of())
    with pytest.raises(error, match=f"^{words}"):
        ours.encode_batch(["ab", "abc"], **asked)


@pytest.mark.parametrize(
    ("single", "pair", "words"),
    [
        ("[CLS] $A $B", "$A $B", r"its template for one text has the texts \['A', 'B'\], not A"),
        ("[CLS] $A", "$A $A", "its template for a pair has the texts"),
    ],
)
def test_templates_that_cannot_be(single, pair, words, tmp_path):
    file = file_of(POST_PROCESSORS["template"])
    for name, spelled in (("single", single), ("pair", pair)):
        file["post_processor"][name] = [
            {"Sequence": {"id": part[1:], "type_id": 0}}
            if part[0] == "$"
            else {"SpecialToken": {"id": part, "type_id": 0}}
            for part in spelled.split()
        ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(ValueError, match=words):
        fastemb.Tokenizer.load(tmp_path / "tokenizer.json").encode("a", pair="b")
