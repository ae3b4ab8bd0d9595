"""Files of any combination of components, equal to `tokenizers`: ids, offsets, text; and damaged files of every kind.

Where the format's own engine is not followed, on purpose, is said here and nowhere else:

- ids are the file's, where that numbers added tokens anew (so files here number them as it does);
- an added token decodes to its own text: version 0.23 gives what the normalizers make of it, and at byte level what
  its characters mean as bytes;
- where byte tokens in a row are no UTF-8 together, `decode` has one U+FFFD for each error, and not for each token;
- bytes of a prefix or suffix that fall back have no offsets that mean anything;
- a pattern of Replace that matches the empty text is replaced before the text too, which leaves that engine with wrong
  places of what follows;
- of two added tokens that the normalizers make alike the special one counts, then the first; there it is a matter of
  chance;
- refused by name: ByteLevel twice, two post-processors that add ids, dropout, an unknown token that is not in the
  vocabulary, an added token of which the normalizers leave nothing.
"""

import contextlib
import copy
import json
import pickle
import random
from itertools import pairwise

import pytest
from component_files import MARK, TEXTS, TRICKY, engine, files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastemb
from fastemb._text.core import Core, lib
from fastemb._text.plan import plan
from fastemb._text.road import Road
from fastemb._text.saved_steps import file_of, from_notes, to_notes
from fastemb._text.tokenizer_json import Refused, parse_tokenizer_json
from fastemb._text.vocabulary import BYTE_CHARS

ENOUGH = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def made(document):
    """Our tokenizer and the general road of a file; None where it is refused."""
    try:
        file = parse_tokenizer_json(document)
        return fastemb.Tokenizer(Core(plan(file))), file
    except Refused as error:
        if "ByteLevel twice" in str(error) or "of which the normalizers leave nothing" in str(error):
            return None
        raise


def answer(hf, text):
    """What the format's own engine says; None where it panics."""
    try:
        return hf.encode(text)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def check_ids(document, hf, tokenizer, file, texts):
    """Hold our tokenizer and the general road against the engine, special tokens as tokens and as text."""
    road, model = Road(file), document["model"]
    affixes = model.get("byte_fallback") and (model.get("end_of_word_suffix") or model.get("continuing_subword_prefix"))
    for special in ("all", "none"):
        hf.encode_special_tokens = special == "none"
        plain = special == "none"
        actions = bytes(lib.FE_TOKEN_PLAIN if plain and one.special else lib.FE_TOKEN_MATCH for one in file.added)
        for text in texts:
            found = answer(hf, text)
            if found is None:
                continue
            tokens = road.encode(text, actions)
            assert [one.id for one in tokens] == found.ids == road.ids(text, actions), text
            assert affixes or [(one.start, one.end) for one in tokens] == found.offsets, text
            asked = special if tokenizer.special_tokens else "none"
            assert tokenizer.encode(text, special=asked).tolist() == found.ids, (text, tokenizer._core.metadata.steps)
            assert tokenizer.count(text, special=asked) == len(found.ids)


@settings(max_examples=200, **ENOUGH)
@given(document=files(), texts=st.lists(TEXTS, min_size=1, max_size=4), data=st.data())
def test_any_components(document, texts, data):
    check_components(document, texts, data)


@pytest.mark.exhaustive
@settings(max_examples=5_000, **ENOUGH)
@given(document=files(), texts=st.lists(TEXTS, min_size=1, max_size=4), data=st.data())
def test_many_components(document, texts, data):
    check_components(document, texts, data)


def check_components(document, texts, data):
    hf, ours = engine(document), made(document)
    if hf is None or ours is None:
        return
    tokenizer, file = ours
    late = [token.content for token in file.added if token.late]
    if hf.normalizer is not None and len({*map(hf.normalizer.normalize_str, late)}) < len(late):
        return
    check_ids(document, hf, tokenizer, file, texts)
    again = fastemb.Tokenizer(Core(image=tokenizer._core.image()))
    saved = file_of(again._core)
    assert saved.normalizers == file.normalizers
    assert saved.pre_tokenizers == file.pre_tokenizers
    assert saved.decoders == file.decoders
    check_ids(document, hf, again, file, texts[:1])
    changed_names = {token.id for token in file.added if token.late and file.normalizers}
    ids = data.draw(st.lists(st.sampled_from(sorted({*tokenizer.vocab.values()} - changed_names)), max_size=6))
    for skip in (False, True):
        wanted = hf.decode(ids, skip_special_tokens=skip)
        if document["decoder"] == {"type": "ByteFallback"} and "\ufffd" in wanted:
            continue
        for one in (tokenizer, again):
            assert one.decode(ids, skip_special=skip) == wanted
            stream = one.decoder(skip_special=skip)
            assert "".join([*map(stream.step, ids), stream.flush()]) == wanted


# ---------------------------------------------------------------- families


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(space=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": False, "use_regex": regex}


def replace(old, new, kind="String"):
    return {"type": "Replace", "pattern": {kind: old}, "content": new}


def metaspace(scheme="always", cuts=True):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": cuts}


def sequence(members, *nodes):
    return {"type": "Sequence", members: list(nodes)}


def normalize(*nodes):
    return sequence("normalizers", *nodes)


def cut(*nodes):
    return sequence("pretokenizers", *nodes)


def decode(*nodes):
    return sequence("decoders", *nodes)


def template(before, after):
    side = [{"SpecialToken": {"id": str(id), "type_id": 0}} for id in (*before, *after)]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    single = [*side[: len(before)], text, *side[len(before) :]]
    tokens = {str(id): {"id": str(id), "ids": [id], "tokens": [str(id)]} for id in (*before, *after)}
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}"
QWEN2 = LLAMA3.replace("{1,3}", "")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
NFC, LOWER = {"type": "NFC"}, {"type": "Lowercase"}
DIGITS, ONE_DIGIT = ({"type": "Digits", "individual_digits": one} for one in (False, True))
PREPEND, TO_MARK, TO_SPACE = {"type": "Prepend", "prepend": MARK}, replace(" ", MARK), replace(MARK, " ")
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
WORDS = {"type": "WordPiece", "prefix": "##", "cleanup": True}
PUNCTUATION = {"type": "Punctuation", "behavior": "Contiguous"}


def bert(lower=True):
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": lower,
    }


def ends(kind, **more):
    return {"type": kind, "cls": ["<s>", 0], "sep": ["</s>", 1]} | more


ROBERTA = ends("RobertaProcessing", trim_offsets=False, add_prefix_space=True)
OF_BYTES, OF_CHARS, OF_WORDS = "bytes", "characters", "words"
#: normalizer, pre-tokenizer, kind of model, settings of the model, post-processor, decoder
FAMILIES = {
    "GPT-2": (None, byte_level(), OF_BYTES, {}, byte_level(), byte_level()),
    "RoBERTa": (None, byte_level(True), OF_BYTES, {}, ROBERTA, byte_level()),
    "Whisper": (None, byte_level(), OF_BYTES, {}, template([0, 1, 1], [0]), byte_level()),
    "NeoX": (NFC, byte_level(), OF_BYTES, {}, byte_level(), byte_level()),
    "Qwen": (NFC, cut(split(QWEN2), byte_level(regex=False)), OF_BYTES, {}, byte_level(), byte_level()),
    "Llama 3": (
        None,
        cut(split(LLAMA3), byte_level(regex=False)),
        OF_BYTES,
        {"ignore_merges": True},
        sequence("processors", byte_level(), template([0], [])),
        byte_level(),
    ),
    "Qwen, dropped and inverted": (
        None,
        cut(split(QWEN2, "Removed", True), byte_level(regex=False)),
        OF_BYTES,
        {},
        None,
        byte_level(),
    ),
    "Command-R": (NFC, cut(ONE_DIGIT, byte_level()), OF_BYTES, {}, None, byte_level()),
    "StarCoder 2": (None, cut(ONE_DIGIT, byte_level()), OF_BYTES, {}, None, byte_level()),
    "Falcon": (
        None,
        cut(PUNCTUATION, byte_level(), DIGITS, split("[0-9][0-9][0-9]")),
        OF_BYTES,
        {},
        None,
        byte_level(),
    ),
    "BLOOM": (None, cut(split(BLOOM), byte_level(regex=False)), OF_BYTES, {}, None, byte_level()),
    "Llama 2": (
        normalize(PREPEND, TO_MARK),
        None,
        OF_CHARS,
        {"byte_fallback": True, "fuse_unk": True, "unk_token": "<s>"},
        template([0], []),
        decode(TO_SPACE, FALLBACK, FUSE, STRIP),
    ),
    "Llama 2, saved again": (
        None,
        metaspace("first", False),
        OF_CHARS,
        {"byte_fallback": True, "fuse_unk": True},
        template([0], []),
        decode(TO_SPACE, FALLBACK, FUSE, STRIP),
    ),
    "Gemma": (
        TO_MARK,
        split(" ", "MergedWithPrevious", kind="String"),
        OF_CHARS,
        {"byte_fallback": True, "fuse_unk": True, "unk_token": "<s>"},
        template([0], []),
        decode(TO_SPACE, FALLBACK, FUSE),
    ),
    "SigLIP 2": (
        normalize(LOWER, TO_MARK),
        split(" ", "MergedWithPrevious", kind="String"),
        OF_CHARS,
        {"byte_fallback": True, "fuse_unk": True, "unk_token": "<s>"},
        template([], [1]),
        decode(TO_SPACE, FALLBACK, FUSE),
    ),
    "Seamless": (
        normalize(
            {"type": "NFKC"},
            replace(f" +{MARK}", MARK, "Regex"),
            replace(f"^{MARK}+$", "", "Regex"),
            replace(" {2,}", MARK, "Regex"),
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ),
        metaspace("first"),
        OF_CHARS,
        {"fuse_unk": True, "unk_token": "<s>"},
        None,
        metaspace("first"),
    ),
    "CLIP": (
        normalize(NFC, replace(r"\s+", " ", "Regex"), LOWER),
        cut(split(CLIP, "Removed", True), byte_level()),
        OF_BYTES,
        {"end_of_word_suffix": "</w>", "unk_token": "<s>"},
        ROBERTA,
        decode(byte_level(), replace("</w>", " ")),
    ),
    "BERT": (bert(), {"type": "BertPreTokenizer"}, OF_WORDS, {}, ends("BertProcessing"), WORDS),
    "BERT, cased": (bert(False), {"type": "BertPreTokenizer"}, OF_WORDS, {}, template([0], [1]), WORDS),
    "HerBERT": (
        bert(False),
        {"type": "BertPreTokenizer"},
        OF_CHARS,
        {"end_of_word_suffix": "</w>", "unk_token": "<s>"},
        ends("BertProcessing"),
        {"type": "BPEDecoder", "suffix": "</w>"},
    ),
    "Nougat": (
        {"type": "NFKC"},
        cut(split("[BOS]", kind="String"), ONE_DIGIT, split(r"(\p{P})\1*"), split(r"\n"), byte_level()),
        OF_BYTES,
        {},
        None,
        byte_level(),
    ),
}
#: Those that go from text to ids in C.
IN_C = {
    *("BERT", "BERT, cased", "GPT-2", "RoBERTa", "Whisper", "Llama 3", "Qwen", "Qwen, dropped and inverted", "NeoX"),
    *("StarCoder 2", "Falcon", "BLOOM", "Llama 2", "Llama 2, saved again", "Gemma", "Command-R", "SigLIP 2", "CLIP"),
    "HerBERT",
}


def learned(texts, suffix):
    """A few merges of what stands side by side in texts, and the tokens that they make."""
    chars = [[*text[:-1], text[-1] + suffix] for text in texts if text]
    pairs = dict.fromkeys(pair for text in chars for pair in pairwise(text))
    wide = [(left + right, third) for left, right in pairs for third in ("a", "b")][:40]
    return [*pairs, *wide]


def family(name):
    normalizer, pre_tokenizer, kind, more, post_processor, decoder = FAMILIES[name]
    suffix = more.get("end_of_word_suffix", "")
    if kind == OF_WORDS:
        names = ["<s>", "</s>", "[UNK]", *"ab1.!'-=\u6f22", "##a", "##b", "aab", "##e", "c", "e", "##\u0130", "'"]
        model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
        model |= {"max_input_chars_per_word": 100, "vocab": {one: id for id, one in enumerate(dict.fromkeys(names))}}
    else:
        alphabet = {char for text in TRICKY for char in text} - {"\u00fc", "\x00"} | {MARK}
        if kind == OF_BYTES:
            alphabet = {*BYTE_CHARS}
        merges = learned(["ab ab".replace(" ", "\u0120" if kind == OF_BYTES else MARK), "aab12", "s's"], suffix)
        merges = [pair for pair in merges if {*"".join(pair).replace("</w>", "")} <= alphabet]
        names = ["<s>", "</s>", *sorted(alphabet), *(f"{char}{suffix}" for char in sorted(alphabet))]
        if more.get("byte_fallback"):
            names += [f"<0x{byte:02X}>" for byte in range(256)]
        names += [part for pair in merges for part in (*pair, "".join(pair))]
        vocab = {one: id for id, one in enumerate(dict.fromkeys(names))}
        model = {"type": "BPE", "vocab": vocab, "merges": [[*pair] for pair in merges]} | more
    flags = dict.fromkeys(("normalized", "lstrip", "rstrip", "single_word"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": one, "special": True} | flags for id, one in enumerate(("<s>", "</s>"))],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name, tmp_path):
    document = family(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    hf, tokenizer = engine(document), fastemb.Tokenizer.load(tmp_path)
    file = parse_tokenizer_json(document)
    assert (tokenizer._splitter is None) == (name in IN_C)
    pick = random.Random(3)
    texts = ["".join(pick.choices(TRICKY, k=pick.randrange(20))) for _ in range(150)]
    with_ends = hf.post_processor
    hf.post_processor = None  # which may take white space from offsets
    check_ids(document, hf, tokenizer, file, texts)
    hf.encode_special_tokens = False
    if tokenizer._core.metadata.before or tokenizer._core.metadata.after:
        hf.post_processor = with_ends
        rows = tokenizer.encode_batch(texts, special="all", template=True)
        assert [row.tolist() for row in rows] == [hf.encode(text).ids for text in texts]
    for row in tokenizer.encode_batch(texts, special="all"):
        for skip in (False, True):
            assert tokenizer.decode(row, skip_special=skip) == hf.decode(row.tolist(), skip_special_tokens=skip)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_calls_go_the_same_road(name, tmp_path):
    document = family(name)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = fastemb.Tokenizer.load(tmp_path)
    text = "ab aab<s> 12's\n b"
    ids = tokenizer.encode(text, special="all")
    assert 0 in ids
    assert tokenizer.encode(text.encode(), special="all").tolist() == ids.tolist()
    assert tokenizer.encode(text, special={"<s>"}, max_tokens=3).tolist() == ids[:3].tolist()
    assert tokenizer.encode(text + "\ud800").tolist() == tokenizer.encode(text + "\ufffd").tolist()
    assert tokenizer.count(text, special="all") == tokenizer.count_batch([text], special="all")[0] == ids.size
    assert 0 not in tokenizer.encode(text, special={"</s>"})
    with pytest.raises(ValueError, match=r"special token '<s>' stands in the text \(text 1, character 6: "):
        tokenizer.encode_batch(["a", "ab ab <s>", "b"], special="raise")
    prefix, first = tokenizer.truncate(text, 4, special="all")
    assert (prefix, first.tolist()) == (tokenizer.decode(first), ids[: first.size].tolist())
    chunks = tokenizer.chunks(text, 4, special="all")
    assert [id for _, row in chunks for id in row.tolist()] == ids.tolist()
    assert all(part == tokenizer.decode(row) for part, row in chunks[:1])
    again = pickle.loads(pickle.dumps(tokenizer))
    assert (repr(again), again.encode(text).tolist()) == (repr(tokenizer), tokenizer.encode(text).tolist())
    assert again.vocab == tokenizer.vocab
    rows = tokenizer.encode_batch([text, "", text[:7]] * 3, special="all")
    assert rows[6].tolist() == ids.tolist()
    assert rows[1].size == 0


# ---------------------------------------------------------------- damage


def nodes_of(value, place=()):
    """The places of all values in a JSON object."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from nodes_of(inner, (*place, key))


def changed(document, place, value):
    """The object with one value changed, or with a key less."""
    found = copy.deepcopy(document)
    node = found
    for key in place[:-1]:
        node = node[key]
    if value is changed:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return found


JUNK = [None, True, 0, -1, 2**70, 1.5, "", "x", "\ud800", [], [[]], {}, {"type": "NFC"}, {"type": ["x"]}, changed]


@pytest.mark.parametrize("name", ["CLIP", "BERT", "Llama 3", "Seamless"])
def test_damaged_files_give_one_error_or_load(name):
    """Whatever stands at any place of a file: it loads, and then encodes; or one ValueError says what is wrong."""
    document, pick = family(name), random.Random(5)
    document["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    document["padding"] = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    document["padding"] |= {"pad_type_id": 0, "pad_token": "<s>"}
    places = [place for place in nodes_of(document) if place and place[:2] != ("model", "merges")]
    places = [place for place in places if place[:2] != ("model", "vocab") or pick.random() < 0.02]
    errors = []
    for place in places:
        for value in pick.sample(JUNK, 3):
            try:
                tokenizer = fastemb.Tokenizer(Core(plan(parse_tokenizer_json(changed(document, place, value)))))
            except ValueError as error:
                errors.append((place, value, str(error)))
            else:
                tokenizer.decode(tokenizer.encode("a b<s> 12"))
    kinds = ("damaged tokenizer file: ", "not supported yet: ")
    assert [one for one in errors if not one[2].startswith(kinds) or len(one[2]) > 2_000] == []
    assert len(errors) > len(places)


@pytest.mark.parametrize("name", FAMILIES)
def test_notes_of_a_saved_file(name):
    """What is kept of the steps is the steps again; damaged, it is one error, or other steps."""
    file, pick = parse_tokenizer_json(family(name)), random.Random(7)
    notes = json.loads(json.dumps(to_notes(file, general_road=True)))
    again = from_notes(notes, file.model.vocab, file.added)
    assert repr(again) == repr(file)
    for place in filter(None, nodes_of(notes)):
        for value in pick.sample(JUNK, 4):
            with contextlib.suppress(ValueError):
                Road(from_notes(changed(notes, place, value), file.model.vocab, file.added)).encode("a b", b"\1\1")


def test_deep_files():
    """Sequences in sequences are read as deep as JSON itself is; more steps than any file has are refused."""
    node = {"type": "NFC"}
    for _ in range(400):
        node = {"type": "Sequence", "normalizers": [node]}
    assert len(parse_tokenizer_json(family("GPT-2") | {"normalizer": node}).normalizers) == 1
    many = {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 5_000}
    with pytest.raises(ValueError, match="normalizer: a sequence of more than 1024 steps"):
        parse_tokenizer_json(family("GPT-2") | {"normalizer": many})
