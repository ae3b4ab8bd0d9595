"""Damaged and foreign vocabulary files: each is refused with the file, the place and the reason."""

import copy
import json
import os

import pytest
import tokenizers

import fastemb

GOOD = {
    "added_tokens": [{"id": 0, "content": "<s>", "special": True}],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    },
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": {"type": "Fuse"},
    "model": {
        "type": "BPE",
        "unk_token": "<s>",
        "vocab": {"<s>": 0, "\u2581": 1, "a": 2, "b": 3, "ab": 4},
        "merges": ["a b"],
    },
}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
PAIR = {"Sequence": {"id": "B", "type_id": 1}}
TEMPLATE = {"type": "TemplateProcessing", "single": [TEXT], "pair": [TEXT, PAIR], "special_tokens": {}}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def changed(place, value):
    """The good file with one thing changed; `place` is the way down to it."""
    data = copy.deepcopy(GOOD)
    node = data
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return data


def refuse(tmp_path, content, message):
    file = tmp_path / "tokenizer.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        fastemb.Tokenizer.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_good_file_is_read(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(GOOD))
    assert fastemb.Tokenizer.load(tmp_path).encode("ab a").tolist() == [1, 4, 1, 2]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "type"), "Trigram", "not supported yet: model type 'Trigram'.* Encode with the package tokenizers;"),
        (("model", "type"), "WordPiece", "damaged tokenizer file: WordPiece: continuing_subword_prefix is missing"),
        (("model", "dropout"), 0.1, "not supported yet: model setting dropout"),
        (("normalizer",), {"type": "Compiled"}, "not supported yet: normalizer 'Compiled'"),
        (("pre_tokenizer",), {"type": ["Split"]}, r"not supported yet: pre-tokenizer \['Split'\]"),
        (
            ("pre_tokenizer",),
            {"type": "Sequence", "pretokenizers": [{"type": "Split"}, BYTE_LEVEL]},
            "damaged tokenizer file: pre-tokenizer Split: pattern is None, neither a String nor a Regex",
        ),
        (
            ("pre_tokenizer",),
            {"type": "Sequence", "pretokenizers": [BYTE_LEVEL, {"type": "Sequence", "pretokenizers": [BYTE_LEVEL]}]},
            "not supported yet: ByteLevel twice",
        ),
        (("decoder",), {"type": "WordPiece"}, "damaged tokenizer file: decoder WordPiece: prefix is missing"),
        (("post_processor",), {"type": "BertProcessing"}, "post-processor BertProcessing: sep is missing"),
        (("version",), "2.0", "not supported yet: version '2.0'; only '1.0' is"),
        (("extra",), 1, "not supported yet: field 'extra' of the file"),
        (("added_tokens", 0, "id"), 3, "damaged tokenizer file: added token '<s>' has the id 3, in the vocabulary 0"),
        (("added_tokens",), [{"id": 9}], "damaged tokenizer file: an added token is {'id': 9}, which has no content"),
        (("added_tokens",), [7], "damaged tokenizer file: an added token is 7, which has no content"),
        (("added_tokens",), 7, "damaged tokenizer file: added_tokens is 7, no list"),
        (("added_tokens",), [{"id": -3, "content": "new"}], "damaged tokenizer file: added token 'new' has the id -3"),
        (
            ("added_tokens",),
            [{"id": "x", "content": "new"}],
            "damaged tokenizer file: added token 'new' has the id 'x'",
        ),
        (("added_tokens",), [{"id": 8, "content": 8}], "damaged tokenizer file: added token 8 has"),
        (("added_tokens",), [{"id": 8, "content": "\ud800"}], "damaged tokenizer file: added token '.ud800' has"),
        (("model", "vocab", "\udc00"), 9, "a token of its vocabulary holds half a surrogate pair"),
        (("added_tokens",), [{"id": 4, "content": "new"}], "added token 'new' has the id 4, which 'ab' has too"),
        (("added_tokens",), [{"id": 5, "content": "x"}, {"id": 5, "content": "y"}], "'y' has the id 5, which 'x' has"),
        (("decoder",), {"type": "Sequence", "decoders": [{"type": "Nothing"}]}, "not supported yet: decoder 'Nothing'"),
        (("post_processor",), TEMPLATE | {"single": []}, r"its template for one text has the texts \[\]"),
        (("post_processor",), TEMPLATE | {"pair": None}, "post-processor TemplateProcessing: pair is None, no list"),
        (("model",), None, "damaged tokenizer file: it has no 'model'"),
        (("model",), [], "damaged tokenizer file: it has no 'model'"),
        (("model", "vocab"), {}, "unk_token '<s>' is not in the vocabulary"),
        (("model", "vocab"), ["a"], "vocabulary is missing or empty"),
        (("model", "vocab"), {"a": "0"}, "token 'a' has the id '0'"),
        (("model", "vocab"), {"a": -1}, "token 'a' has the id -1"),
        (("model", "vocab"), {"a": 2**31}, "token 'a' has the id 2147483648"),
        (("model", "vocab"), {"a": True}, "token 'a' has the id True"),
        (("model", "vocab", "a"), 3, "two tokens of its vocabulary share an id"),
        (("model", "merges"), None, "merges are missing"),
        (("model", "merges"), ["ab"], "merge 0, 'ab', is not a pair"),
        (("model", "merges"), ["a b", "a b a"], "merge 1, 'a b a', is not a pair"),
        (("model", "merges"), ["a x"], "merge 0, 'a x', needs 'x'"),
        (("model", "merges"), ["b a"], "merge 0, 'b a', needs 'ba'"),
        (("model", "merges"), [["a", 1]], r"merge 0, \['a', 1\], is not a pair"),
        (("model", "merges"), [["a", ["b"]]], r"merge 0, \['a', \['b'\]\], is not a pair"),
        (("model", "merges"), [["a", "b"], "a b"], "neither all strings nor all pairs of strings"),
        (("model", "merges"), [["a", "b"], "ab"], "neither all strings nor all pairs of strings"),
        (("model", "merges"), [["a", "b"], ["a", "b", "a"]], "merge 1, .* is not a pair"),
        (("model", "merges"), [3], "neither all strings nor all pairs of strings"),
        (("model", "fuse_unk"), "no", "fuse_unk is 'no', neither true nor false"),
        (("added_tokens", 0, "special"), 1, "special is 1, neither true nor false"),
        (("model", "unk_token"), "?", r"unk_token '\?' is not in the vocabulary"),
        (("model", "unk_token"), ["?"], "damaged tokenizer file"),
        (("normalizer",), {"type": "Sequence"}, "damaged tokenizer file: normalizer Sequence: normalizers is None, no"),
        (("normalizer",), {"type": "Sequence", "normalizers": [4]}, "damaged tokenizer file: normalizer: 4 is no comp"),
        (("normalizer",), {"pattern": 4}, "damaged tokenizer file: normalizer: a component has no type"),
        (("normalizer",), 4, "damaged tokenizer file: normalizer: 4 is no component"),
        (("post_processor",), {"type": "TemplateProcessing"}, "TemplateProcessing: special_tokens is None, no object"),
    ],
)
def test_refused(tmp_path, place, value, message):
    refuse(tmp_path, changed(place, value), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ('{"model": {', "not valid JSON"),
        ("[1, 2]", "expected a JSON object, got list"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "it has no 'model'"),
        ('{"name": "app", "version": "1"}', "it is no tokenizer.json, which has a 'model': some other JSON"),
    ],
)
def test_not_the_json_it_should_be(tmp_path, content, message):
    refuse(tmp_path, content, message)


def test_not_utf8(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(ValueError, match=r"not valid JSON: 'utf-8' codec"):
        fastemb.Tokenizer.load(file)


def test_every_prefix_of_a_real_file_is_refused(tmp_path, llama_file):
    data = llama_file.read_bytes()
    file = tmp_path / "tokenizer.json"
    for end in range(0, len(data), len(data) // 40):
        file.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"tokenizer\.json"):
            fastemb.Tokenizer.load(file)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        fastemb.Tokenizer.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds neither tokenizer\.json nor"):
        fastemb.Tokenizer.load(tmp_path)
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"holds neither tokenizer\.json nor"):
        fastemb.Tokenizer.load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(GOOD))
    file.chmod(0)
    with pytest.raises(PermissionError):
        fastemb.Tokenizer.load(file)


# ---------------------------------------------------------------- GPT-2's pair of files


def gpt2_copy(tmp_path, gpt2_folder, encoder=None, merges=None):
    (tmp_path / "encoder.json").write_bytes(encoder or (gpt2_folder / "encoder.json").read_bytes())
    (tmp_path / "vocab.bpe").write_bytes(merges or (gpt2_folder / "vocab.bpe").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        (b"#version: 0.2\n\xc4\xa0 t\n\xff\n", r"vocab\.bpe: not UTF-8"),
        (b"#version: 0.2\n\xc4\xa0 t\nabc\n", r"vocab\.bpe: damaged merge list: merge 1, 'abc', is not a pair"),
        (b"#version: 0.2\na b c\n", r"vocab\.bpe: damaged merge list: merge 0, 'a b c', is not a pair"),
        (b"q \xc4\xa0zzz\n", r"vocab\.bpe: damaged merge list: merge 0, .* needs 'Ġzzz'"),
    ],
)
def test_damaged_gpt2_merges(tmp_path, gpt2_folder, merges, message):
    with pytest.raises(ValueError, match=message):
        fastemb.Tokenizer.load(gpt2_copy(tmp_path, gpt2_folder, merges=merges))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (b"{", r"encoder\.json: not valid JSON"),
        (b"[]", r"encoder\.json: expected a JSON object"),
        (b'{"a": 0}', r"encoder\.json: no token for the byte 0x00 \(255 bytes missing\)"),
        (b'{"a": 1.5}', r"encoder\.json: damaged vocabulary: token 'a' has the id 1\.5"),
        (b'{"a": 1, "b": 1}', r"encoder\.json: damaged vocabulary: two tokens"),
    ],
)
def test_damaged_gpt2_vocabulary(tmp_path, gpt2_folder, encoder, message):
    with pytest.raises(ValueError, match=message):
        fastemb.Tokenizer.load(gpt2_copy(tmp_path, gpt2_folder, encoder=encoder))


def test_gpt2_files_and_its_tokenizer_json_agree(tmp_path, gpt2, hf_gpt2):
    file = tmp_path / "tokenizer.json"
    file.write_text(hf_gpt2.to_str(), encoding="utf-8")
    other = fastemb.Tokenizer.load(file)
    text = "It's 100 % <|endoftext|>  naïve\r\n\tcafé\u3000中"
    for special in ("none", "all"):
        assert other.encode(text, special=special).tolist() == gpt2.encode(text, special=special).tolist()


def test_windows_line_ends_in_the_merge_list(tmp_path, gpt2_folder, gpt2):
    merges = (gpt2_folder / "vocab.bpe").read_bytes().replace(b"\n", b"\r\n")
    other = fastemb.Tokenizer.load(gpt2_copy(tmp_path, gpt2_folder, merges=merges))
    assert other.encode("Hello wonderful world").tolist() == gpt2.encode("Hello wonderful world").tolist()


def test_merges_as_pairs_or_as_strings(tmp_path, llama_file):
    """The format has both; the package writes the newer one."""
    (tmp_path / "new.json").write_text(tokenizers.Tokenizer.from_file(str(llama_file)).to_str(), encoding="utf-8")
    new, old = fastemb.Tokenizer.load(tmp_path / "new.json"), fastemb.Tokenizer.load(llama_file)
    assert new.encode("The same ids.").tolist() == old.encode("The same ids.").tolist()


def test_an_empty_token(tmp_path):
    model = {"type": "BPE", "vocab": {"": 0, "a": 1}, "merges": [["", ""]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    hf = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert fastemb.Tokenizer.load(tmp_path).encode("aa").tolist() == hf.encode("aa").ids


def test_a_token_listed_twice_is_special_if_it_is_once(tmp_path):
    data = changed(("added_tokens",), [GOOD["added_tokens"][0]])
    data["added_tokens"] += [{"id": 5, "content": "x", "special": True}, {"id": 5, "content": "x", "special": False}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    tokenizer = fastemb.Tokenizer.load(tmp_path)
    assert tokenizer.special_tokens == {"<s>": 0, "x": 5}
    assert 5 not in tokenizer.encode("axa")
    assert 5 in tokenizer.encode("axa", special="all")


def test_names_that_are_no_byte_tokens(tmp_path):
    tokens = ["<0x41>", "<0x 1>", "<0x-0>", "<0x\u0661\u0661>", "<0x4g>"]
    model = {"type": "BPE", "vocab": {token: id for id, token in enumerate(tokens)}, "merges": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model, "decoder": {"type": "ByteFallback"}}))
    assert fastemb.Tokenizer.load(tmp_path).decode(range(5)) == "A" + "".join(tokens[1:])
