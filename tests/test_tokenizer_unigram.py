"""Unigram models of a `tokenizer.json`, and SentencePiece's charsmaps, against Hugging Face's tokenizers."""

import base64
import itertools
import json
import random
import struct
import unicodedata

import numpy as np
import pytest
import tokenizers
from charsmaps import charsmap, precompiled
from component_files import NORMALIZERS, PRE_TOKENIZERS, TEXTS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._text.charsmap import charsmap_of, clusters, replaced
from fastemb._text.core import Core, Packed, lib
from fastemb._text.plan_normal import Normal, charsmap_step, normal_in_c
from fastemb._text.road_text import whole
from fastemb._text.rust_floats import read_float
from fastemb._text.tokenizer_json import parse_tokenizer_json
from fastemb._text.unicode_graphemes import RUNS

MARK = "\u2581"
METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
WORDS = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, METASPACE]}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def document(vocab, unk_id=0, **slots):
    """A file; `vocab` are names with scores."""
    model = {"type": "Unigram", "unk_id": unk_id, "vocab": [list(row) for row in vocab]}
    model |= {"byte_fallback": slots.pop("byte_fallback", False)}
    found = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": METASPACE, "decoder": METASPACE}
    return found | slots | {"model": model}


def pair(folder, text):
    """Our tokenizer of a file, and the rival's."""
    text = text if isinstance(text, str) else json.dumps(text)
    (folder / "tokenizer.json").write_text(text)
    return fastemb.Tokenizer.load(folder / "tokenizer.json"), tokenizers.Tokenizer.from_str(text)


def same(ours, rival, texts, places=True):
    """Texts have the same ids, known and not, one by one and counted; the same places, and decode to the same."""
    expected, special = rival.encode_batch(texts, add_special_tokens=False), "all" if ours.special_tokens else "none"
    for _ in range(2):  # in the second pass words are known
        got = [row.tolist() for row in ours.encode_batch(texts, special=special)]
        wrong = [(text, a, b.ids) for text, a, b in zip(texts, got, expected, strict=True) if a != b.ids]
        assert not wrong, ascii(wrong[0])
    assert ours.count_batch(texts, special=special).tolist() == [len(row.ids) for row in expected]
    for text, row in zip(texts[:20], expected, strict=False):
        assert ours.encode(text, special=special).tolist() == row.ids, ascii(text)
        assert ours.decode(row.ids) == rival.decode(row.ids, skip_special_tokens=False)
    if places:
        rows, spans = ours.encode_batch(texts[:20], special=special, offsets=True)
        for s, (text, row) in enumerate(zip(texts[:20], expected, strict=False)):
            assert spans[rows.offsets[s] : rows.offsets[s + 1]].tolist() == [list(one) for one in row.offsets], text


# ---------------------------------------------------------------- the model

# From few characters, so that pieces reach across each other; scores of which many are equal, or nearly so.
LETTERS = ["a", "b", " ", MARK, "\u00e9", "\u6f22"]
SCORES = st.sampled_from(
    [
        st.integers(-3, 3).map(float),
        st.sampled_from([-0.1, -0.2, -0.3, -0.7, -1.1]),
        st.sampled_from([1e-3, -1e5, 0.1, 100.3]),
        st.floats(-20, 0, width=32),
    ]
).flatmap(lambda one: one)


@st.composite
def vocabularies(draw):
    names = draw(st.lists(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join), max_size=12))
    names += draw(st.sampled_from([[], ["<unk>"], BYTES, BYTES[:200]]))
    names = [*dict.fromkeys(["<u>", *names])]
    scores = draw(st.lists(SCORES, min_size=len(names), max_size=len(names)))
    return [*zip(names, scores, strict=True)], draw(st.integers(0, len(names) - 1) if len(names) < 9 else st.just(0))


SPLITS = [
    *(
        {**METASPACE, "prepend_scheme": scheme, "split": split}
        for scheme in ("always", "first", "never")
        for split in (True, False)
    ),
    None,
    WORDS,
    {
        "type": "Sequence",
        "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"}, {**METASPACE, "split": False}],
    },
    {"type": "WhitespaceSplit"},
]
MARKS = [None, {"type": "Prepend", "prepend": MARK}, {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]
ANY = st.lists(st.sampled_from([*LETTERS, *"x ", "<u>", "<unk>", "\U0001f600", "\n"]), max_size=40).map("".join)


@given(
    vocabularies(),
    st.sampled_from(SPLITS),
    st.sampled_from(MARKS),
    st.booleans(),
    st.lists(ANY, min_size=1, max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_any_vocabulary(tmp_path_factory, made, split, mark, fallback, texts):
    vocab, unk_id = made
    file = document(vocab, unk_id, pre_tokenizer=split, normalizer=mark, byte_fallback=fallback)
    ours, rival = pair(tmp_path_factory.getbasetemp(), file)
    assert ours._splitter is None
    assert ours._core.contents.flags & lib.FE_UNIGRAM
    same(ours, rival, texts)


@given(NORMALIZERS, PRE_TOKENIZERS, PRE_TOKENIZERS, vocabularies(), st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_components(tmp_path_factory, normalizer, first, second, made, texts):
    """Behind any steps, by C alone, or Python's road and C: what becomes of a piece is the same."""
    steps = {"type": "Sequence", "pretokenizers": [first, second]}
    file = document(made[0], made[1], normalizer=normalizer, pre_tokenizer=steps)
    ours, rival = pair(tmp_path_factory.getbasetemp(), file)
    try:
        same(ours, rival, texts)
    except BaseException as error:  # the engine panics at some of its own steps
        assume("PanicException" not in type(error).__name__)
        raise


VOCAB = [
    ("<unk>", 0.0),
    ("a", -1.0),
    ("b", -1.0),
    (MARK, -3.0),
    ("ab", -2.0),
    (f"{MARK}a", -4.0),
    ("aa", -2.0),
    ("xy", -90.0),
]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ab", [MARK, "ab"]),  # equal sums: the way whose last piece begins first
        ("bab", [MARK, "b", "ab"]),
        ("baaa", [MARK, "b", "a", "aa"]),
        ("axxb", [f"{MARK}a", "<unk>", "b"]),  # a run of unknown characters
        ("xy", [MARK, "xy"]),
        ("xyy", [MARK, "xy", "<unk>"]),
        ("a<unk>q", [f"{MARK}a", "<unk>"]),  # the name of the unknown token counts as unknown
        (" a  b ", [MARK, f"{MARK}a", MARK, MARK, "b", MARK]),
    ],
)
def test_by_hand(tmp_path, text, tokens):
    ours, rival = pair(tmp_path, document(VOCAB))
    if text == " a  b ":
        tokens = tokens[1:]  # no mark before a text that begins with one
    assert [ours.id_to_token(id) for id in ours.encode(text)] == tokens
    same(ours, rival, [text])


def test_a_run_that_is_a_piece(tmp_path):
    """Two unknown characters that together are a piece which scored worse are that piece."""
    vocab = [("<unk>", 0.0), ("xy", 30.0), ("a", 30.0), ("xyx", 70.0)]
    ours, rival = pair(tmp_path, document(vocab, pre_tokenizer=None))
    assert ours.encode("axy").tolist() == [2, 1]
    same(ours, rival, ["axy", "xyxy", "yx", "aq", "xyxyxyxyx"])


def test_a_word_that_counts_as_unknown(tmp_path):
    """The unknown token's own piece begins with a mark: it is joined to what is unknown before it."""
    vocab = [(f"{MARK}b", 1.0), (MARK, 0.0), ("a", 0.0)]
    unsplit = METASPACE | {"split": False}
    ours, rival = pair(tmp_path, document(vocab, pre_tokenizer=unsplit))
    assert ours.encode("aq b a").tolist() == [1, 2, 0, 1, 2]
    same(ours, rival, ["aq b a", "q b", "b q b b", "a b", "qq  b"])


def test_scores_are_read_as_the_engine_reads_them(tmp_path):
    """Digits in 64 bits, rounded twice: else ways that are equal but for rounding are chosen otherwise."""
    rng = random.Random(4)
    numbers = [repr(struct.unpack("f", struct.pack("f", -20 * rng.random()))[0]) for _ in range(3000)]
    digits = ["".join(rng.choices("0123456789", k=rng.randint(1, 25))) for _ in range(4000)]
    numbers += [f"-{int(a)}.{b}" for a, b in zip(digits[::2], digits[1::2], strict=True)]
    numbers += [f"{int(a[:19])}.{b}e{rng.randint(-280, 200)}" for a, b in zip(digits[::4], digits[1::4], strict=True)]
    numbers += ["0.0", "-0.0", "1e-330", "0e400", "18446744073709551615.5", "18446744073709551616.5", "2.5E+3"]
    rows = ",".join(f'["t{i}",{number}]' for i, number in enumerate(numbers))
    engine = tokenizers.Tokenizer.from_str(f'{{"model":{{"type":"Unigram","unk_id":0,"vocab":[{rows}]}}}}')
    theirs = [float(score) for _, score in json.loads(engine.to_str())["model"]["vocab"]]
    assert [read_float(number) for number in numbers] == theirs
    assert sum(float(number) != score for number, score in zip(numbers, theirs, strict=True)) > 100


def test_long_pieces(tmp_path):
    """Pieces without spaces, longer than all that is remembered; in a time that grows with them alone."""
    vocab = [("<unk>", 0.0), *((letter * n, -1.0 - n / 7) for letter in "abc" for n in (1, 2, 3, 16)), (MARK, -2.0)]
    for split in (METASPACE, {**METASPACE, "split": False}, None, WORDS):
        ours, rival = pair(tmp_path, document(vocab, pre_tokenizer=split))
        texts = ["a" * n + "x" * (n % 3) + "b" * n for n in (5, 14, 15, 16, 17, 500, 1024, 1025, 20000)]
        same(ours, rival, [*texts, " ".join(texts), (" " * 9).join(texts), MARK.join(texts)], places=False)


def test_sums_that_run_through_a_text(tmp_path):
    """Without a cut at marks words are found one by one: their choices hang on rounding where sums become large."""
    rng = random.Random(1)
    names = ["<unk>", MARK, *"abc", "ab", "bc", "abc", "ca", f"{MARK}a", f"{MARK}ab", f"{MARK}{MARK}", "aa", "cc"]
    for scores in ([0.1, 0.2, 0.3, 0.7], [1e-9, 1.0, 1e7], [0.1]):
        vocab = [(name, -rng.choice(scores)) for name in names]
        ours, rival = pair(tmp_path, document(vocab, pre_tokenizer={**METASPACE, "split": False}))
        texts = [
            " ".join("".join(rng.choices("abcx" + MARK, [5, 5, 5, 0.2, 0.2], k=rng.randint(0, 6))) for _ in range(n))
            for n in (3, 50, 3000)
        ]
        same(ours, rival, texts, places=False)


def test_sums_of_32_bits():
    """Each sum is rounded where it is kept, and begins anew where it is large: by a slow reading of the same text."""
    rng = random.Random(2)
    names = [MARK, *"abc", "ab", "bc", "abc", "ca", f"{MARK}a", f"{MARK}ab", f"{MARK}{MARK}", "aa", "cc", f"{MARK}c"]
    for scores in ([-0.1, -0.2, -0.3], [-1.0, -1.0000001, -0.5], [-9000.1, -8000.7, 12000.3], [-60000.0, 250000.5]):
        scored = [struct.unpack("f", struct.pack("f", rng.choice(scores)))[0] for _ in names]
        unk = struct.unpack("f", struct.pack("f", min(scored) - 10))[0]
        core = scored_core(names, scored, unk)
        texts = [
            " ".join("".join(rng.choices("abcx", [5, 5, 5, 0.3], k=rng.randint(0, 6))) for _ in range(n))
            for n in (2, 9, 40, 2000)
        ]
        for _ in range(2):
            assert ids_of(core, texts) == [
                slowly(dict(zip(names, scored, strict=True)), names, unk, text) for text in texts
            ]


def scored_core(names, scores, unk):
    """A tokenizer as a SentencePiece model has it; the unknown token is the last."""
    from fastemb._text.vocabulary import Metadata, Vocabulary

    spelled = [name.encode() for name in [*names, "<unk>"]]
    ends = [sum(map(len, spelled[:n])) for n in range(len(spelled) + 1)]
    return Core(
        Vocabulary(
            flags=lib.FE_UNIGRAM | lib.FE_F32_SUMS | lib.FE_SPACE_MARK | lib.FE_PREPEND,
            token_bytes=b"".join(spelled),
            token_offsets=ends,
            token_ids=np.arange(len(spelled), dtype=np.int32),
            vocab=len(spelled),
            byte_tokens=np.full(256, -1, np.int32),
            metadata=Metadata(),
            unk=len(names),
            wholes=[(name, number) for number, name in enumerate(names)],
            whole_scores=scores,
            unk_score=unk,
        )
    )


def ids_of(core, texts):
    ends, ids = np.zeros(len(texts), np.int64), np.empty(sum(map(len, texts)) + 9 * len(texts), np.int32)
    packed = Packed("".join(texts).encode(), np.fromiter(map(len, texts), np.int64, len(texts)))
    with core.workspace() as workspace:
        _, status = core.encode(workspace, packed, b"", ends, ids=ids)
    assert status == lib.FE_OK
    return [row.tolist() for row in np.split(ids[: ends[-1]], ends[:-1])]


def slowly(scores, names, unk, text):
    """The ids of a text, by sums of float32 from its start."""
    text = (" " + text).replace(" ", MARK) if text else ""
    best, f32 = [None] * (len(text) + 1), np.float32
    best[0] = [f32(0), 0, -1]
    reached = 0
    for at in range(len(text)):
        if abs(best[at][0]) > 100000:
            large = best[at][0]
            for one in best[at : reached + 1]:
                if one is not None:
                    one[0] = f32(one[0] - large)
        ways = [
            (at + n, f32(scores[text[at : at + n]]), names.index(text[at : at + n]))
            for n in range(1, 5)
            if text[at : at + n] in scores and at + n <= len(text)
        ]
        ways = list(dict.fromkeys(ways))
        if not ways or ways[0][0] != at + 1:
            ways.append((at + 1, f32(unk), len(names)))
        for end, score, id in ways:
            total = f32(best[at][0] + score)
            reached = max(reached, end)
            if best[end] is None or total > best[end][0]:
                best[end] = [total, at, id]
    ids, at = [], len(text)
    while at:
        if not (ids and ids[-1] == best[at][2] == len(names)):
            ids.append(best[at][2])
        at = best[at][1]
    return ids[::-1]


# ---------------------------------------------------------------- files


FOLDING = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0xA0, 0x2100)}
FOLDING = {char: text for char, text in FOLDING.items() if char != text}
FOLDING |= {"e\u0301": "\u00e9", "\u304b\u3099": "\u304c", "\uff76\uff9e": "\u30ac", "\u2026": "...", "\ufb01": "fi"}
FOLDING |= {chr(code): "" for code in (*range(1, 9), 0x0B, *range(0x0E, 0x20), 0x7F)} | dict.fromkeys(
    "\t\n\r\u200b\u3000", " "
)
QUOTES = [{"type": "Replace", "pattern": {"String": old}, "content": '"'} for old in ("``", "''")]
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
BREAKS = {"type": "Replace", "pattern": {"Regex": "\\s{2,}|[\\n\\r\\t]"}, "content": " "}
RIGHT = {"type": "Strip", "strip_left": False, "strip_right": True}
#: Normalizers and pre-tokenizers of the files of these classes, as transformers 5.24 writes them.
FAMILIES = {
    "T5, XLM-R, CamemBERT": ([precompiled(FOLDING)], WORDS),
    "ALBERT": (
        [*QUOTES, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, precompiled(FOLDING)],
        WORDS,
    ),
    "XLNet": ([*QUOTES, {"type": "NFKD"}, {"type": "StripAccents"}, precompiled(FOLDING)], WORDS),
    "mBART": ([], WORDS),
    "mBART-50, Pegasus": ([precompiled(FOLDING), SPACES], METASPACE),
    "DeBERTa v2, BARThez": ([BREAKS, {"type": "NFC"}, RIGHT], METASPACE),
    "BigBird": ([{**RIGHT, "strip_right": False}, {**SPACES, "content": MARK}], METASPACE),
    "LayoutXLM": ([RIGHT, {**SPACES, "content": MARK}], METASPACE),
    "RemBERT": ([*QUOTES, SPACES, precompiled(FOLDING)], METASPACE),
}
PIECES = [
    "the",
    "of",
    "in",
    "ing",
    "an",
    "fi",
    "er",
    "re",
    "ga",
    "\u30ac",
    "...",
    "1",
    "2",
    "\u00e9",
    "\u6f22",
    '"',
    "``",
    "(",
    "a",
]
TRICKY = [
    *"abte fx12()",
    "  ",
    " ",
    "\t",
    "\n",
    "\r\n",
    "``",
    "''",
    "e\u0301",
    "\u00bd",
    "\u00bd\u0301",
    "\u2026",
    "\ufb01",
    "\uff76\uff9e",
]
TRICKY += [
    "\u200b",
    "\x00",
    "\x01",
    "\u3000",
    "\u00a0",
    "\x85",
    "<s>",
    "<mask>",
    "\uac00",
    "\u0301",
    MARK,
    "the",
    "ing",
    "\U0001f600",
]


def family(name):
    steps, cuts = FAMILIES[name]
    rng = random.Random(3)
    names = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        MARK,
        *map(chr, range(33, 127)),
        *PIECES,
        *(MARK + piece for piece in PIECES),
    ]
    vocab = [(name, round(-rng.random() * 12, 3)) for name in dict.fromkeys(names)]
    added = [{"id": id, "content": vocab[id][0], "special": True, "normalized": False} for id in range(4)]
    added += [{"id": len(vocab), "content": "<mask>", "special": True, "normalized": False, "lstrip": True}]
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    }
    template |= {"pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}]}
    template |= {"special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
    normalizer = {"type": "Sequence", "normalizers": steps} if steps else None
    slots = {"added_tokens": [flags | token for token in added], "normalizer": normalizer, "pre_tokenizer": cuts}
    return document(vocab, 3, post_processor=template, **slots)


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name, tmp_path):
    ours, rival = pair(tmp_path, family(name))
    assert ours._splitter is None  # C does all of it
    rng = random.Random(7)
    texts = ["".join(rng.choices(TRICKY, k=rng.randint(0, 14))) for _ in range(400)]
    same(ours, rival, [*texts, "", " ".join(texts), "\n\n".join(texts)])
    for text in texts[:20]:
        row = rival.encode(text).ids
        assert ours.encode(text, special="all", template=True).tolist() == row
        assert ours.encode(text, special="all", max_tokens=5).tolist() == row[1:6]
    rival.encode_special_tokens = True
    expected = rival.encode_batch(texts, add_special_tokens=False)
    assert [row.tolist() for row in ours.encode_batch(texts)] == [row.ids for row in expected]
    assert repr(ours) == f"<Tokenizer: Unigram, {ours.vocab_size} ids>"
    assert (ours.vocab, ours.unk_id) == (rival.get_vocab(), 3)


@pytest.mark.parametrize("name", ["T5, XLM-R, CamemBERT", "DeBERTa v2, BARThez"])
@pytest.mark.parametrize("road", [False, True])
def test_saved_and_opened_again(name, road, tmp_path):
    """With all that the general road needs, for which scores are read out of C again."""
    file = family(name)
    if road:
        file["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [{"type": "UnicodeScripts"}, file["pre_tokenizer"]],
        }
    ours, rival = pair(tmp_path, file)
    assert (ours._splitter is not None) == road
    ours.save(tmp_path / "saved")
    again = fastemb.Tokenizer.load(tmp_path / "saved")
    same(again, rival, ["".join(random.Random(seed).choices(TRICKY, k=14)) for seed in range(60)])
    assert again.vocab == ours.vocab


def test_windows_and_files(tmp_path):
    ours, rival = pair(tmp_path, family("T5, XLM-R, CamemBERT"))
    lines = ["".join(random.Random(seed).choices([*"abte fx", "the", "ing", "\u00bd"], k=40)) for seed in range(60)]
    rival.enable_truncation(7, stride=2)
    for line in lines[:20]:
        row = rival.encode(line)
        windows = [row.ids, *(more.ids for more in row.overflowing)]
        rows = ours.encode_batch([line], special="all", template=True, max_tokens=7, stride=2)[0]
        assert [one.tolist() for one in rows] == windows
    rival.no_truncation()
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    expected = [row.ids for row in rival.encode_batch(lines, add_special_tokens=False)]
    assert [row.tolist() for row in ours.encode_batch(lines, special="all")] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab": []}, "its vocabulary is missing or empty"),
        ({"vocab": [["a", 1.0], ["b"]]}, r"piece 1 is \['b'\], not a text and a finite score"),
        ({"vocab": [["a", "1"]]}, r"piece 0 is \['a', '1'\], not a text"),
        ({"vocab": [["a", 1.0], ["b", 0.0], ["a", 2.0]]}, "the piece 'a' stands twice, with 0 and 2"),
        ({"vocab": [["a", -1.7e308], ["b", 1e400]]}, "piece 1 is .*, not a text and a finite score"),
        ({"unk_id": None}, "not supported yet: Unigram without unk_id"),
        ({"unk_id": 8}, "unk_id is 8, not the place of a piece, of which there are 8"),
        ({"unk_id": "<unk>"}, "unk_id is '<unk>', not the place of a piece"),
        ({"byte_fallback": 1}, "byte_fallback is 1, neither true nor false"),
        ({"vocab": [["a" * 4097, 0.0]]}, "not supported yet: piece 0 of more than 4096 bytes"),
    ],
)
def test_damaged_models(tmp_path, change, message):
    file = document(VOCAB)
    file["model"] |= change
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(ValueError, match=rf"tokenizer\.json: .*{message}"):
        fastemb.Tokenizer.load(tmp_path)


# ---------------------------------------------------------------- charsmaps


def three(blob):
    """A charsmap as the engine has it, on the general road, and in C."""
    node = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    (step,) = parse_tokenizer_json(document(VOCAB, normalizer=node)).normalizers
    return tokenizers.normalizers.Precompiled(blob), charsmap_of(blob), normal_in_c((step,))


def kinds():
    """Some code points of each kind that clusters know."""
    starts = [run.split(":") for run in RUNS.split()]
    found = {}
    for (start, kind), (end, _) in zip(starts, [*starts[1:], ["110000", ""]], strict=True):
        found.setdefault(kind, []).append(range(int(start, 16), int(end, 16)))
    return found


KINDS = kinds()
CLUSTERED = st.sampled_from([*KINDS.values()]).flatmap(st.sampled_from).flatmap(st.sampled_from)
CLUSTERED = CLUSTERED.filter(lambda code: not 0xD800 <= code < 0xE000).map(chr)
# Few bytes each, so that clusters are small; and those that join two or need a third.
SMALL = st.sampled_from(
    [*"ab \r\n\t", "\u0301", "\u00a9", "\u200d", "\u0915", "\u094d", "\u0600", "\u1100", "\uac00", "\u00bd"]
)
CHARS = st.lists(SMALL | CLUSTERED, max_size=12).map("".join)
EVERY_LEAD = charsmap({bytes([byte]): "Z" for byte in range(0xC2, 0xF5)})  # tells each cluster below 6 bytes
MAPS = [
    EVERY_LEAD,
    charsmap(FOLDING),
    charsmap({"x": "Y", "\r": "R", "\n": "N", "ab": "c", "a\u0301": "", "\ufffd": "?"}),
]


@pytest.fixture(scope="module", params=range(len(MAPS)), ids=["leads", "folding", "few"])
def maps(request):
    return three(MAPS[request.param])


@given(CHARS)
@settings(max_examples=100, deadline=None)
def test_any_text(maps, text):
    theirs, road, in_c = maps
    expected = theirs.normalize_str(text)
    assert replaced(whole(text), road).text == expected
    assert in_c(text) == expected


@given(st.dictionaries(CHARS.filter(bool), st.text(max_size=4), min_size=1, max_size=12), st.lists(CHARS, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_charsmap(pairs, texts):
    assume(all("\0" not in text for item in pairs.items() for text in item))
    theirs, road, in_c = three(charsmap(pairs))
    for text in [*texts, "".join(pairs), "a".join(pairs), *pairs]:
        expected = theirs.normalize_str(text)
        assert replaced(whole(text), road).text == expected
        assert in_c(text) == expected
        assert Normal(charsmap_step(road, longest=True))(text) == longest(pairs, text)


def longest(pairs, text):
    """A text in which at each place the longest key is replaced, as SentencePiece has it."""
    out = ""
    while text:
        key = max((key for key in pairs if text.startswith(key)), key=len, default="")
        out += pairs[key] if key else text[0]
        text = text[len(key) or 1 :]
    return out


def check_clusters(step):
    """Each code point before and behind others, of which a cluster is one replacement if it is small."""
    theirs, road, in_c = three(EVERY_LEAD)
    around = [
        ("x", ""),
        ("", "x"),
        ("", "\u0301"),
        ("", "\u0301\u0301"),
        ("\u00a9", "\u200d\u00a9\u0301"),
        ("", "\u200d\u00a9\u0301"),
    ]
    around += [("\u0915", "\u0915\u0301"), ("\u0915\u094d", "\u0915\u0301"), ("", "\u094d\u0915\u0301")]
    for code in range(0x80, 0x110000, step):
        if not 0xD800 <= code < 0xE000:
            for before, behind in around:
                text = f"{before}{chr(code)}{behind}"
                assert in_c(text) == theirs.normalize_str(text), ascii(text)
                if code % 16 == 0:
                    assert replaced(whole(text), road).text == in_c(text), ascii(text)


def test_clusters_of_some_code_points():
    check_clusters(997)


def test_joined_pictographs(maps):
    """A pictograph, what extends it, one joiner: then another joins, whose accent is no small cluster's any more."""
    theirs, road, in_c = maps
    for count in range(6):
        for middle in itertools.product("\u200d\u0301\u0903\ufe0fa", repeat=count):
            text = f"\u00a9{''.join(middle)}\u00a9\u0301"
            assert replaced(whole(text), road).text == in_c(text) == theirs.normalize_str(text), ascii(text)


@pytest.mark.exhaustive
def test_clusters_of_all_code_points():
    check_clusters(1)


def test_clusters():
    assert clusters("a\u0301b\r\n\u0915\u094d\u0915\u1100\u1161") == [0, 2, 3, 5, 8, 10]
    assert clusters("") == [0]


def test_places_of_replaced_text(tmp_path):
    """Whom a character stands for that a charsmap put there: of a longer text the last one, of a shorter none."""
    folding = {"\u00bd": "1/2", "e\u0301": "\u00e9", "\t": "", "\u2026": "...", "\u00bd\u0301x": "y", "\u0301": ""}
    vocab = [("<unk>", 0.0), *((char, -1.0) for char in "12/ab.x\u00e9 ")]
    ours, rival = pair(tmp_path, document(vocab, normalizer=precompiled(folding), pre_tokenizer=None))
    rng = random.Random(1)
    same(
        ours,
        rival,
        ["".join(rng.choices(["\u00bd", "e", "\u0301", "\t", "a", "\u2026", "x", "b"], k=8)) for _ in range(20)],
    )
    same(ours, rival, ["".join(rng.choices(["\t", "a", "b"], k=6)) for _ in range(20)])


@pytest.mark.parametrize("model", ["BPE", "Unigram"])
def test_the_first_mark(model, tmp_path):
    """Of a text whose first characters a charsmap takes away or changes, too: it begins where the text does."""
    folding = {"\u00bd": "1/2", "\t": "", "\u2026": " ", "\u0301": ""}
    split = {**METASPACE, "prepend_scheme": "first", "split": model == "Unigram"}
    file = document([("<unk>", 0.0), *((char, -1.0) for char in f"12/ab{MARK}")], normalizer=precompiled(folding))
    file |= {
        "pre_tokenizer": split,
        "added_tokens": [{"id": 9, "content": "<s>", "special": True, "normalized": False}],
    }
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
    file["added_tokens"][0] |= flags
    if model == "BPE":
        vocab = {name: id for id, (name, _) in enumerate(file["model"]["vocab"])}
        file["model"] = {"type": "BPE", "vocab": vocab | {f"{MARK}a": 7, "/2": 8}, "merges": [f"{MARK} a", "/ 2"]}
    else:
        file["model"]["vocab"] += [[f"{MARK}a", -1.5], ["/2", -0.5]]
    ours, rival = pair(tmp_path, file)
    assert ours._splitter is None
    parts = ["\t", "a", " ", "\u00bd", "\u2026", "<s>", "\u0301"]
    same(ours, rival, ["".join(row) for row in itertools.product(parts, repeat=3)])


def test_bytes_that_are_no_utf8():
    """A byte that is none is replaced as U+FFFD would be, and else stays that byte."""
    _, road, _ = three(MAPS[2])
    _, folding, _ = three(MAPS[1])
    assert normalized(charsmap_step(road), b"a\xffb\xe4\xb8x") == b"a?b??Y"
    assert normalized(charsmap_step(folding), b"\xff\xc2\xbd\xf0\x9f") == "1\u20442".encode().join(
        [b"\xff", b"\xf0\x9f"]
    )


def normalized(steps, data):
    from fastemb._text.compiled import ffi

    out, length = ffi.new("uint8_t[]", 100), ffi.new("int64_t *")
    assert lib.fe_normalize(steps, len(steps), data, len(data), out, 100, length) == lib.FE_OK
    return bytes(ffi.buffer(out, length[0]))


GOOD = charsmap({"a": "b"})


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        ("!", "precompiled_charsmap is '!', no base64"),
        (b"", "a charsmap of 0 bytes cannot have a double array of -1"),
        (b"\x08\0\0\0abcd", "a charsmap of 8 bytes cannot have a double array of 8"),
        (struct.pack("<II", 3, 0), "cannot have a double array of 3"),
        (GOOD[:-2] + b"\xff\0", "the replacements of the charsmap are not UTF-8"),
        (GOOD[:-2], "unit .* of the charsmap leads to no replacement"),
        (GOOD[:4] + GOOD[4:-2].replace(b"\0\0\0\x80", b"\1\0\0\x80", 1) + "\u00e9".encode(), "leads to no replacement"),
    ],
)
def test_damaged_charsmaps(tmp_path, blob, message):
    text = blob if isinstance(blob, str) else base64.b64encode(blob).decode()
    file = document(VOCAB, normalizer={"type": "Precompiled", "precompiled_charsmap": text})
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(
        ValueError, match=rf"tokenizer\.json: damaged tokenizer file: normalizer Precompiled: .*{message}"
    ):
        fastemb.Tokenizer.load(tmp_path)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_units(data):
    """Whatever a double array holds, it is refused or leads nowhere else."""
    blob = bytearray(charsmap({"a": "bcd", "\u00e9\u0301": "x", "ab": "\u00e9"}))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(4, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = charsmap_of(bytes(blob))
    except ValueError:
        return
    in_c = Normal(charsmap_step(found))
    for text in ("ab", "\u00e9\u0301a", "".join(map(chr, range(1, 256)))):
        assert in_c(text) == replaced(whole(text), found).text
