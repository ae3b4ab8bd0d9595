"""What a file or folder is: told by content, wrong ones named for what they are, with what to do."""

import base64
import gzip
import json
import random
import shutil
import struct
import sys
import zipfile

import numpy as np
import pytest
import tiktoken
import tokenizers
import vocabularies

import fastemb

BOM = b"\xef\xbb\xbf"
BYTES = [bytes([byte]) for byte in range(256)]
RANKS = vocabularies.rank_file({token: rank for rank, token in enumerate([*BYTES, b"ab"])})
TEXTS = ["", "Hello world", "It's 12345 caf\u00e9\n\n  \U0001f9ff", "<|endoftext|>", "<|im_start|>x"]


def zipped(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("tokenizer.json", "{}")
    return (tmp_path / "zip").read_bytes()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9085657\n"
WORDPIECE = b"[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\nthe\n##ing\n"
FOREIGN = {
    "a Git LFS pointer": (LFS, "it is a Git LFS pointer, which stands for the file: fetch that by git lfs pull"),
    "a Git LFS pointer of Windows": (LFS.replace(b"\n", b"\r\n"), "it is a Git LFS pointer"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(40), "it is a model in GGUF, whose tokenizer is not read: take the token"),
    "HTML": (b"<!DOCTYPE html>\n<html><head>", "it is an HTML page and no vocabulary: download the file itself"),
    "HTML, blanks first": (BOM + b"\n  <html lang='en'>", "it is an HTML page and no vocabulary"),
    "gzip": (gzip.compress(RANKS), r"it is compressed by gzip: decompress it first \(gunzip\)"),
    "zip": (zipped, "it is a zip archive: unpack it first"),
    "UTF-16": (RANKS.decode().encode("utf-16"), "it is text in UTF-16: save it as UTF-8"),
    "UTF-16, big": (b"\xfe\xff" + '{"model": {}}'.encode("utf-16-be"), "it is text in UTF-16: save it as UTF-8"),
    "UTF-32": (RANKS.decode().encode("utf-32"), "it is text in UTF-32: save it as UTF-8"),
    "UTF-32, big": (b"\0\0\xfe\xff" + RANKS.decode().encode("utf-32-be"), "it is text in UTF-32: save it as UTF-8"),
    "vocab.json": (b'{"a": 0, "b": 1}', r"it is a vocabulary without its merges \(vocab.json\): give the folder that"),
    "settings": (b'{"tokenizer_class": "GPT2"}', "it is a file of settings and no vocabulary: give the tokenizer.json"),
    "merges": (b"#version: 0.2\n\xc4\xa0 t\n", "it is a merge list alone: give the folder that holds it and its voc"),
    "safetensors": (
        struct.pack("<Q", 60) + b'{"embeddings":{"dtype":"F32"',
        r"it is a table of weights \(safetensors\)",
    ),
    "a pickle": (b"\x80\x04\x95\x10", "it is a pickle, which is not read: take the tokenizer.json"),
    "nothing": (b"", "it is empty"),
    "a BOM alone": (BOM + b"\n", "it is empty"),
    "words": (b"some words\nin lines\n", "no vocabulary that can be read; a tokenizer.json, a rank file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["tokenizer.model", "x"])
def test_foreign_files(kind, name, tmp_path):
    content, message = FOREIGN[kind]
    file = tmp_path / name
    file.write_bytes(content(tmp_path) if callable(content) else content)
    for arguments in ((), ("gpt2",)):
        with pytest.raises(ValueError, match=f"^{file}: {message}") as caught:
            fastemb.Tokenizer.load(file, *arguments)
        assert "\n" not in str(caught.value)
    if name == "tokenizer.model":
        with pytest.raises(ValueError, match=f"^{file}: {message}"):
            fastemb.Tokenizer.load(tmp_path)


def test_a_saved_file_of_another_version(gpt2, tmp_path):
    gpt2.save(tmp_path / "saved")
    data = bytearray((tmp_path / "saved").read_bytes())
    (number,) = struct.unpack_from("=I", data, 12)
    struct.pack_into("=I", data, 12, number + 7)
    (tmp_path / "saved").write_bytes(data)
    words = (
        rf"another version of fastemb \(format {number + 7}, here {number}\): load the files it was made from, and save"
    )
    with pytest.raises(ValueError, match=words):
        fastemb.Tokenizer.load(tmp_path / "saved")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "https://host/gpt2/tokenizer.json",
            "^https://host/gpt2/tokenizer.json is a URL, and nothing is downloaded here: download the file, and give",
        ),
        ("s3://bucket/x", "is a URL, and nothing is downloaded here"),
        ("hf://gpt2", "is a URL, and nothing is downloaded here"),
        ("cl100k_base", "cl100k_base is the name of a pattern: give its rank file, and the pattern behind it"),
        ("o200k_harmony", "is the name of a pattern"),
        ("gpt-4o", "no such file or folder, and a model's name is not enough, as nothing is downloaded here"),
        ("bert-base-uncased", "and a model's name is not enough"),
        ("meta-llama/Llama-3.2-1B", "and a model's name is not enough"),
        ("./tokenizer.json", r"no tokenizer at tokenizer.json: there is no such file or folder$"),
        ("/nowhere/gpt2", r"no tokenizer at /nowhere/gpt2: there is no such file or folder$"),
        ("a/b/c/d", r"there is no such file or folder$"),
        ("a text by mistake " * 1000, r"^no tokenizer at a text by mistake .{182}\.\.\.: there is no such file"),
    ],
)
def test_nothing_there(path, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        fastemb.Tokenizer.load(path)


def test_an_empty_path():
    with pytest.raises(ValueError, match=r"path is empty: it would be the current folder, which is written '\.'"):
        fastemb.Tokenizer.load("")


# ---------------------------------------------------------------- byte order marks


def assert_same(ours, other, special="none"):
    for text in TEXTS:
        assert ours.encode(text, special=special).tolist() == other.encode(text, special=special).tolist()
    assert ours.vocab == other.vocab


@pytest.mark.parametrize("place", ["ranks", "tokenizer.json", "tekken.json", "vocab.json", "gpt2"])
def test_a_byte_order_mark_is_dropped(place, tmp_path, llama_file, gpt2_folder):
    marked, plain = tmp_path / "marked", tmp_path / "plain"
    arguments = ("gpt2",) if place in ("ranks", "vocab.json") else ()
    files = {place: RANKS}
    if place == "tokenizer.json":
        files = {place: llama_file.read_bytes()}
    elif place == "tekken.json":
        files = {place: small_tekken()}
    elif place in ("vocab.json", "gpt2"):
        names = ("vocab.json", "merges.txt") if place == "vocab.json" else ("encoder.json", "vocab.bpe")
        sources = ("encoder.json", "vocab.bpe")
        files = {name: (gpt2_folder / one).read_bytes() for name, one in zip(names, sources, strict=True)}
    for folder, start in ((marked, BOM), (plain, b"")):
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(start + data)
    found = [folder / place if place == "ranks" else folder for folder in (marked, plain)]
    assert_same(*(fastemb.Tokenizer.load(path, *arguments) for path in found))


def test_a_mark_inside_is_text(tmp_path):
    """It is one at the start of a file alone."""
    file = tmp_path / "ranks"
    file.write_bytes(RANKS + BOM + b"YWE= 300\n")
    with pytest.raises(ValueError, match="line 258: its token is not base64"):
        fastemb.Tokenizer.load(file, "gpt2")
    text = "\ufeffa"
    assert fastemb.Tokenizer.load(write(tmp_path / "good", RANKS), "gpt2").decode([*text.encode()]) == text


def write(file, data):
    file.write_bytes(data)
    return file


# ---------------------------------------------------------------- folders


def small_tekken():
    vocab = [{"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode()} for byte in range(256)]
    config = {"pattern": vocabularies.TEKKEN_PATTERN, "default_vocab_size": 258, "default_num_special_tokens": 2}
    special = [{"rank": rank, "token_str": token} for rank, token in enumerate(("<unk>", "<s>"))]
    return json.dumps({"config": config | {"version": "v11"}, "vocab": vocab, "special_tokens": special}).encode()


@pytest.mark.parametrize("name", ["vocab.txt", "x"])
@pytest.mark.parametrize("content", [WORDPIECE, BOM + WORDPIECE.replace(b"\n", b"\r\n")])
def test_a_list_of_words(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    tokenizer = fastemb.Tokenizer.load(tmp_path / name)
    assert tokenizer.encode("Theing [UNK]", template=True, special="all").tolist() == [3, 5, 6, 2, 4]
    with pytest.raises(ValueError, match=r"a WordPiece vocabulary brings its own pattern; pattern is for rank files$"):
        fastemb.Tokenizer.load(tmp_path / name, "gpt2")


def test_folders(tmp_path, gpt2, gpt2_folder, llama_file):
    """Of several forms in one folder the one that says most."""
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "notes.txt", b"nothing")
    with pytest.raises(FileNotFoundError, match=r"holds neither tokenizer\.json nor tekken\.json, .*tokenizer\.model$"):
        fastemb.Tokenizer.load(folder)
    for lone in ("vocab.json", "encoder.json"):
        write(folder / lone, b"{}")
        with pytest.raises(FileNotFoundError, match=rf"\({lone} alone is not enough\)$"):
            fastemb.Tokenizer.load(folder)
        (folder / lone).unlink()
    write(folder / "tokenizer.model", RANKS)
    assert fastemb.Tokenizer.load(folder, "llama3").encode("ab").tolist() == [256]
    with pytest.raises(
        ValueError, match="a rank file does not say how text is cut into pieces, so the pattern must be"
    ):
        fastemb.Tokenizer.load(folder)
    write(folder / "a.tiktoken", RANKS.replace(b" 256\n", b" 300\n"))
    assert fastemb.Tokenizer.load(folder, "gpt2").encode("ab").tolist() == [300]
    write(folder / "b.tiktoken", RANKS)
    with pytest.raises(ValueError, match=r"it holds 2 rank files: give one of a\.tiktoken, b\.tiktoken$"):
        fastemb.Tokenizer.load(folder, "gpt2")
    for name, source in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        shutil.copy(gpt2_folder / source, folder / name)
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt do not say how text is cut into pieces, so the"):
        fastemb.Tokenizer.load(folder)
    assert_same(fastemb.Tokenizer.load(folder, "gpt2"), gpt2)
    for name in ("encoder.json", "vocab.bpe"):
        shutil.copy(gpt2_folder / name, folder / name)
    assert_same(fastemb.Tokenizer.load(folder), gpt2, special="all")
    write(folder / "tekken.json", small_tekken())
    assert fastemb.Tokenizer.load(folder).special_tokens == {"<unk>": 0, "<s>": 1}
    shutil.copy(llama_file, folder / "tokenizer.json")
    assert fastemb.Tokenizer.load(folder).vocab_size == 32_000


def test_vocab_json_and_merges(tmp_path, gpt2_folder, random_strings):
    """As `tokenizers` reads the pair; with the special tokens and the pattern that are given."""
    shutil.copy(gpt2_folder / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(gpt2_folder / "vocab.bpe", tmp_path / "merges.txt")
    hf = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    )
    hf.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(vocabularies.PATTERNS["qwen2"]), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    special = {"<|endoftext|>": 50_256, "<|im_start|>": 60_000}
    ours = fastemb.Tokenizer.load(tmp_path, "qwen2", special_tokens=special)
    hf.add_special_tokens(["<|endoftext|>"])
    texts = [*random_strings(2_000, seed=12), *TEXTS[:-1]]
    for text, row in zip(texts, ours.encode_batch(texts, special={"<|endoftext|>"}), strict=True):
        assert row.tolist() == hf.encode(text).ids
    assert ours.special_tokens == special
    assert ours.encode("<|im_start|>x", special="all").tolist() == [60_000, 87]
    assert ours.decode([60_000]) == "<|im_start|>"
    assert fastemb.Tokenizer.load(tmp_path, "gpt2", special_tokens="model").special_tokens == {"<|endoftext|>": 50_256}
    for given, message in (
        ({"<|endoftext|>": 5}, r"special token '<\|endoftext\|>' has the id 50256 here, not 5$"),
        ({"<x>": 5}, "special token '<x>' has the id 5 of another token$"),
    ):
        with pytest.raises(ValueError, match=message):
            fastemb.Tokenizer.load(tmp_path, "gpt2", special_tokens=given)
    with pytest.raises(ValueError, match=r"with merges the pattern must be one of cl100k, .*, got '\\\\w\+'$"):
        fastemb.Tokenizer.load(tmp_path, r"\w+")
    vocab = {f"{token}</w>": id for token, id in json.loads((tmp_path / "vocab.json").read_bytes()).items()}
    write(tmp_path / "vocab.json", json.dumps(vocab).encode())
    with pytest.raises(
        ValueError, match="its tokens have an end-of-word mark, </w>, as CLIP's, so a pattern is not enough"
    ):
        fastemb.Tokenizer.load(tmp_path, "gpt2")


# ---------------------------------------------------------------- Whisper's ranks


def test_whispers_empty_token(tmp_path):
    """Its multilingual file ends in a line of an empty token: an id that no text has, and that gives none."""
    file = write(tmp_path / "multilingual.tiktoken", RANKS + b"= 257\n")
    ours = fastemb.Tokenizer.load(file, "gpt2", special_tokens={"<|endoftext|>": 258})
    ranks = {token: rank for rank, token in enumerate([*BYTES, b"ab"])} | {b"": 257}
    theirs = tiktoken.Encoding(
        "whisper", pat_str=vocabularies.PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 258}
    )
    for text in ("ab abc", "<|endoftext|>", ""):
        assert ours.encode(text, special="all").tolist() == theirs.encode(text, allowed_special="all")
    for row in ([257], [97, 257, 98], [258, 257]):
        assert ours.decode_bytes(row) == ours.decode_bytes(np.array(row)) == theirs.decode_bytes(row)
        assert "".join(map(ours.decoder().step, row)) == theirs.decode(row)
    assert ours.vocab_size == theirs.n_vocab
    ours.save(tmp_path / "saved")
    assert fastemb.Tokenizer.load(tmp_path / "saved").decode([97, 257, 98]) == "ab"
    crossed = write(tmp_path / "crossed", RANKS.replace(b"\n", b"\r\n") + b"= 257\r\n")
    assert fastemb.Tokenizer.load(crossed, "gpt2").decode([97, 257, 256]) == "aab"
    with pytest.raises(ValueError, match=r"special token '<x>' has the id 257, which a token of the ranks has$"):
        fastemb.Tokenizer.load(file, "gpt2", special_tokens={"<x>": 257})


# ---------------------------------------------------------------- special tokens that makers publish


def published(name):
    """What tiktoken says of an encoding, without its ranks, which it would download."""
    from tiktoken_ext import openai_public

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
        patch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda **_: {})
        return openai_public.ENCODING_CONSTRUCTORS[name]()["special_tokens"]


@pytest.mark.parametrize(
    "name", ["gpt2", "r50k_base", "p50k_base", "p50k_edit", "cl100k_base", "o200k_base", "o200k_harmony"]
)
def test_special_tokens_of_openai(name, tmp_path):
    ours = fastemb.Tokenizer.load(write(tmp_path / "ranks", RANKS), name, special_tokens="model")
    expected = published(name)
    assert ours.special_tokens == expected
    theirs = tiktoken.Encoding(
        name,
        pat_str=vocabularies.PATTERNS["gpt2"],
        mergeable_ranks={token: rank for rank, token in enumerate([*BYTES, b"ab"])},
        special_tokens=expected,
    )
    for token, id in expected.items():
        assert ours.encode(f"a{token}", special="all").tolist() == theirs.encode(f"a{token}", allowed_special="all")
        assert ours.decode([id]) == theirs.decode([id])
        assert ours.token_to_id(token) == id
    assert ours.vocab_size == theirs.n_vocab
    again = write(tmp_path / "saved", b"")
    ours.save(again)
    assert fastemb.Tokenizer.load(again).special_tokens == expected


def test_special_tokens_of_other_makers(tmp_path):
    file = write(tmp_path / "ranks", RANKS)
    llama = fastemb.Tokenizer.load(file, "llama3", special_tokens="model").special_tokens
    assert llama == vocabularies.read("llama3").special
    qwen = fastemb.Tokenizer.load(file, "qwen2", special_tokens="model").special_tokens
    assert qwen == dict(list(vocabularies.read("qwen2").special.items())[:3])
    for pattern in ("deepseek_v3", "tekken", r"\w+|\W+"):
        with pytest.raises(ValueError, match=r"special_tokens is 'model', but those of the pattern .* are not known"):
            fastemb.Tokenizer.load(file, pattern, special_tokens="model")
    write(tmp_path / "tekken.json", small_tekken())
    assert fastemb.Tokenizer.load(tmp_path, special_tokens="model").special_tokens == {"<unk>": 0, "<s>": 1}
    with pytest.raises(
        ValueError, match="a tekken file brings its own special tokens; special_tokens is for rank files"
    ):
        fastemb.Tokenizer.load(tmp_path, special_tokens={"<x>": 5})


def test_own_special_tokens_by_name(llama_file, gpt2_folder, gpt2, tmp_path):
    assert fastemb.Tokenizer.load(llama_file, special_tokens="model").special_tokens == {
        "<unk>": 0,
        "<s>": 1,
        "</s>": 2,
    }
    assert fastemb.Tokenizer.load(gpt2_folder, special_tokens="model").special_tokens == {"<|endoftext|>": 50_256}
    gpt2.save(tmp_path / "saved")
    assert fastemb.Tokenizer.load(tmp_path / "saved", special_tokens="model").special_tokens == gpt2.special_tokens


def test_ids_of_special_tokens(tmp_path):
    file = write(tmp_path / "ranks", RANKS)
    for id in (300, np.int64(300), np.uint8(44) * np.int32(1) + 256, np.array(300)):
        assert fastemb.Tokenizer.load(file, "gpt2", special_tokens={"<s>": id}).special_tokens == {"<s>": 300}
    for wrong in (True, 300.0, np.float32(300), "300", None, -1, 2**31 - 1, np.array([300, 1])):
        with pytest.raises(
            ValueError, match=r"^.*special_tokens must map texts to ids from 0 to 2\*\*31 - 2, got '<s>'"
        ):
            fastemb.Tokenizer.load(file, "gpt2", special_tokens={"<s>": wrong})


# ---------------------------------------------------------------- a tokenizer.json


def json_file(tmp_path, **more):
    vocab = {token: id for id, token in enumerate([*map(chr, range(97, 123)), "ab", "<s>"])}
    document = {"model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]}} | more
    return write(tmp_path / "tokenizer.json", json.dumps(document).encode())


def test_added_ids_are_those_of_the_file(tmp_path):
    """With gaps, out of order, and twice."""
    listed = [("<z>", 900), ("<s>", 27), ("<y>", 50), ("<x>", 40), ("<y>", 50), ("<z>", 30)]
    added = [{"content": content, "id": id, "special": content != "<x>"} for content, id in listed]
    ours = fastemb.Tokenizer.load(json_file(tmp_path, added_tokens=added))
    assert ours.encode("ab<z><y>c<x><s>", special="all").tolist() == [26, 900, 50, 2, 40, 27]
    assert ours.encode("<x>z").tolist() == [40, 25]
    assert ours.decode([30, 900, 40, 50, 27], unknown="ignore") == "<z> <z> <x> <y> <s>"
    assert ours.special_tokens == {"<s>": 27, "<z>": 900, "<y>": 50}
    assert [ours.token_to_id(token) for token in ("<z>", "<y>", "<x>", "<s>")] == [900, 50, 40, 27]
    assert [ours.id_to_token(id) for id in (30, 900, 40)] == ["<z>", "<z>", "<x>"]
    assert ours.vocab_size == 901
    ours.save(tmp_path / "saved")
    opened = fastemb.Tokenizer.load(tmp_path / "saved")
    assert opened.encode("<z><x>", special="all").tolist() == [900, 40]
    assert opened.special_tokens == ours.special_tokens


@pytest.mark.parametrize("seed", range(5))
def test_ids_in_order_are_those_of_tokenizers(seed, tmp_path):
    """Where the ids of a file are what the format's own engine would give, in any order of the list."""
    rng = random.Random(seed)
    added = [{"content": f"<{i}>", "id": 28 + i, "special": rng.random() < 0.5} for i in range(6)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    file = json_file(tmp_path, added_tokens=[one | flags for one in added])
    hf, ours = tokenizers.Tokenizer.from_file(str(file)), fastemb.Tokenizer.load(file)
    text = "".join(rng.choices(["ab", *(one["content"] for one in added)], k=30))
    every = "all" if ours.special_tokens else "none"
    assert ours.encode(text, special=every).tolist() == hf.encode(text).ids


def test_added_tokens_decode_to_their_own_text(tmp_path):
    """Their characters are no bytes, though GPT-2's files write bytes by such characters."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: id for id, token in enumerate(alphabet)}
    added = ["<\u00e9>", "\u0120x\u00fc", "<plain>", "\u4e2d"]
    document = {
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "added_tokens": [{"content": one, "id": 256 + i, "special": i < 2} for i, one in enumerate(added)],
    }
    ours = fastemb.Tokenizer.load(write(tmp_path / "tokenizer.json", json.dumps(document).encode()))
    ours.save(tmp_path / "saved")
    for one in (ours, fastemb.Tokenizer.load(tmp_path / "saved")):
        for i, content in enumerate(added):
            assert one.decode([256 + i]) == content
            assert one.decode_bytes([256 + i]) == content.encode()
            assert one.id_to_token(256 + i) == content
            assert one.token_to_id(content) == one.vocab[content] == 256 + i
        text = "caf\u00e9 <\u00e9> \u0120x\u00fc\u4e2d<plain>"
        ids = one.encode(text, special="all")
        assert one.decode(ids) == text
        assert {256, 257, 258, 259} <= {*ids.tolist()}
        assert len(one.vocab) == 260


def test_all_that_is_missing_is_named_at_once(tmp_path):
    """Damage first, then what is not supported; each with its place, all in one error."""
    file = json_file(
        tmp_path,
        normalizer={"type": "Sequence", "normalizers": [{"type": "Compiled"}, {"type": "Lowercase"}]},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "Bytes"}]},
        post_processor={"type": "BertProcessing", "cls": ["a", 0], "sep": "b"},
        decoder={"type": "Strip", "content": "ab", "start": 0, "stop": -1},
        added_tokens=[{"content": "<0>", "id": 28, "lstrip": "yes"}],
    )
    data = json.loads(file.read_bytes())
    data["model"] |= {"ignore_merges": True, "dropout": 0.1}
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="damaged tokenizer file: ") as caught:
        fastemb.Tokenizer.load(file)
    damaged, missing = (
        str(caught.value).removeprefix(f"{file}: damaged tokenizer file: ").split("; not supported yet: ")
    )
    assert damaged.split("; ") == [
        "pre-tokenizer Digits: individual_digits is missing",
        "post-processor BertProcessing: sep is 'b', not a token and its id",
        "decoder Strip: content is 'ab', not one character",
        "added token '<0>': lstrip is 'yes', neither true nor false",
    ]
    assert missing.split("; ") == [
        "model setting dropout = 0.1: ids that differ from call to call",
        "normalizer 'Compiled'",
        "pre-tokenizer 'Bytes'",
    ]
    assert sys.getsizeof(caught.value)
