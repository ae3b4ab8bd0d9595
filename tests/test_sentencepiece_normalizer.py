"""`fastemb.compat.sentencepiece.SentencePieceNormalizer` and the tables that it reads and writes."""

import pickle

import numpy as np
import piece_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb._text.sentencepiece_charsmap import Charsmap, write_charsmap
from fastemb._text.vocabulary import DamagedVocabularyError
from fastemb.compat import sentencepiece as ours

FLAGS = ("add_dummy_prefix", "escape_whitespaces", "remove_extra_whitespaces")
TEXTS = ["", " ", "foo  apple ", "Ａé  漢ﬁ ", "aa\u2581b", "xa\u0301b"]
MAPS = [
    [("foo", "bar"), ("apple", "orange")],
    [("a", ""), ("aa", "b "), ("\u00e9", "e\u0301"), (b"x", " ")],
    [("ab", "c"), ("abc", "d"), ("b", "\u2581")],
]


def theirs():
    return pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle")


def both(**options):
    """Return a normalizer of each of the two packages."""
    return tuple(module.SentencePieceNormalizer(**options) for module in (ours, theirs()))


def agree(mine, want, texts):
    for text in texts:
        assert mine.normalize(text) == want.normalize(text), text
        assert mine.Normalize(text, with_offsets=True) == want.Normalize(text, with_offsets=True), text


@pytest.mark.parametrize("norm_map", MAPS)
@pytest.mark.parametrize("on", [None, True, False])
def test_maps(norm_map, on):
    mine, want = both(norm_map=norm_map, **dict.fromkeys(FLAGS, on))
    agree(mine, want, [*TEXTS, *(text.encode() for text in TEXTS), TEXTS[2:4], b"a\xffb", "abcab aaa"])
    assert mine.decompile() == mine.Decompile() == want.Decompile()
    for flag in FLAGS:
        mine, want = both(norm_map=norm_map, **{flag: on})
        agree(mine, want, TEXTS)


@pytest.mark.parametrize("name", ["nmt_nfkc", "nfkc_cf", "symbols, spaces kept", "suffix"])
def test_models(name, tmp_path):
    data = piece_models.trained("unigram", name)
    path = tmp_path / "m.model"
    path.write_bytes(data)
    mine, want = both(model_proto=data)
    agree(mine, want, [*piece_models.texts(20), *TEXTS])
    agree(ours.SentencePieceNormalizer(model_file=path), want, TEXTS)
    spec = want.serialized_normalizer_spec()
    agree(ours.SentencePieceNormalizer(normalizer_spec=spec), want, TEXTS)
    spec = mine.serialized_normalizer_spec()
    assert ours.SentencePieceNormalizer(normalizer_spec=spec).serialized_normalizer_spec() == spec
    agree(mine, theirs().SentencePieceNormalizer(normalizer_spec=spec), TEXTS)
    agree(pickle.loads(pickle.dumps(mine)), want, TEXTS)
    agree(mine, theirs().SentencePieceNormalizer(model_proto=mine.serialized_model_proto()), TEXTS)


def test_rules_of_a_file(tmp_path):
    path = tmp_path / "rules.tsv"
    path.write_text("0041 U+0042\t0043\textra\nU+0061\n0062\t\n0061\t0063 0064\n")
    mine, want = both(rule_tsv=str(path))
    agree(mine, want, ["ABab Aa", "b", "ba"])
    assert mine.decompile() == want.decompile() == [("AB", "C"), ("a", "cd"), ("b", "")]
    for text, why in (
        ("0041\t0042\n# c\n", "line 2: invalid literal"),
        ("\t0041\n", "line 1: nothing is to be replaced"),
        ("0041\n\n", "line 2: nothing"),
    ):
        path.write_text(text)
        with pytest.raises(RuntimeError, match=why):
            ours.SentencePieceNormalizer(rule_tsv=path)


def test_named_rules(tmp_path, monkeypatch):
    mine, want = both(rule_name="identity", add_dummy_prefix=False)
    agree(mine, want, TEXTS)
    with pytest.raises(RuntimeError, match="No precompiled charsmap"):
        mine.decompile()
    mine, want = both(rule_name="nfkc_cf")  # whose table is sentencepiece's own
    agree(mine, want, [*piece_models.texts(20), *TEXTS])
    (tmp_path / "own.bin").write_bytes(write_charsmap({b"a": b"b"}))
    monkeypatch.setattr("fastemb.compat._sentencepiece_normalizer._data_dir", None)
    ours.set_data_dir(tmp_path)
    assert ours.SentencePieceNormalizer(rule_name="own").normalize("a") == "\u2581b"
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        ours.SentencePieceNormalizer(rule_name="nfkc")
    monkeypatch.setattr("fastemb.compat._sentencepiece_normalizer._data_dir", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no table of the rule 'nfkc'.*set_data_dir"):
        ours.SentencePieceNormalizer(rule_name="nfkc")


FAULTS = [
    ({}, ValueError, "no model is specified"),
    ({"norm_map": [(b"\xff", b"bar")]}, ValueError, "no UTF-8"),
    ({"norm_map": [("foo", b"\xff")]}, ValueError, "no UTF-8"),
    ({"norm_map": [("", "bar")]}, ValueError, "replaces nothing"),
    ({"norm_map": [(b"foo", "foo")]}, ValueError, "changes nothing"),
    ({"norm_map": [("foo", "a"), (b"foo", "b")]}, ValueError, "is the second"),
    ({"norm_map": [("a", "b\0c")]}, ValueError, "has a NUL"),
    ({"norm_map": [("a", 1)]}, TypeError, r"got \('a', 1\)"),
    ({"norm_map": {"a": "b"}}, TypeError, "a pair of str or bytes, got 'a'"),
    ({"model_file": "/there/is/none"}, RuntimeError, 'NOT_FOUND: "/there/is/none"'),
    ({"rule_tsv": "/there/is/none"}, RuntimeError, "NOT_FOUND"),
    ({"model_proto": b"\x1a\x05abc"}, RuntimeError, "cannot be read"),
    ({"normalizer_spec": b"\x12\x03abc"}, RuntimeError, "precompiled_charsmap has 3 bytes"),
    ({"rule_name": 3}, TypeError, "rule_name must be a str, got 3"),
    ({"rule_name": "../x"}, ValueError, "no name of a rule"),
    ({"rule_name": "identity", "add_dummy_prefix": "no"}, TypeError, "add_dummy_prefix must be a bool"),
]


@pytest.mark.parametrize(("options", "error", "why"), FAULTS)
def test_faults(options, error, why):
    with pytest.raises(error, match=why):
        ours.SentencePieceNormalizer(**options)


def test_what_is_no_text():
    for wrong in (3, None, ("a",), ["a", 3]):
        with pytest.raises(TypeError, match="Input must be str or bytes"):
            ours.SentencePieceNormalizer(rule_name="identity").normalize(wrong)


SIDES = st.text(st.sampled_from("ab\u00e9\u65e5\U0001f600 "), max_size=5).map(str.encode)


@settings(deadline=None, max_examples=60)
@given(rules=st.dictionaries(SIDES.filter(len), SIDES, max_size=12), text=SIDES)
def test_tables_that_are_written(rules, text):
    """Each rule is found where it stands, no other, and all come back in their order."""
    table = Charsmap(write_charsmap(rules))
    assert list(table.rules()) == sorted(rules.items())
    size = max((len(key) for key in rules if text.startswith(key)), default=0)
    assert table.longest(text, 0, len(text)) == (size, rules[text[:size]] if size else b"")


def test_tables_that_lead_in_circles(monkeypatch):
    monkeypatch.setattr("fastemb._text.sentencepiece_charsmap.MOST_KEY_BYTES", 64)  # sooner than at 4,096
    data = write_charsmap({b"a": b"x", b"ab": b"y"})
    units = np.frombuffer(data, "<u4", int.from_bytes(data[:4], "little") // 4, 4).copy()
    base = int(units[0]) >> 10
    at = base ^ ord("a")  # of `a`, which now leads to where the root does
    units[at] = (units[at] & np.uint32(0x1FF)) | np.uint32((base ^ at) << 10)
    with pytest.raises(DamagedVocabularyError, match="rules without an end"):
        list(Charsmap(data[:4] + units.tobytes() + data[4 + units.nbytes :]).rules())
    whole = data[4 : 4 + units.nbytes]
    for size in (0, 8, len(units) // 2):  # cut off
        kept = whole[: 4 * size]
        list(Charsmap(len(kept).to_bytes(4, "little") + kept + b"x\0").rules())


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"])
def test_all_rules_of_a_table(name):
    mine, want = both(rule_name=name)
    rules = want.decompile()
    assert mine.decompile() == rules
    written = {key.encode(): text.encode() for key, text in rules}
    assert list(Charsmap(write_charsmap(written)).rules()) == list(written.items())
