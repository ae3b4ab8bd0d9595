"""Our own file: what is saved is what is opened again, and a damaged file is refused by name."""

import json
import os
import pickle
import random
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import vocabularies

import fastemb

TEXTS = [
    "",
    "Hello world, it's 12345 o'clock.\r\n\n  def f(x):\n\treturn x  ",
    "naïve café, ÉTÉ; 中文字符 かな 한국어 😀👍🏽",
    "<s>[INST] a<|endoftext|>b </s><|mine|> <unk>",
    "▁▁ \u00a0\u3000\x00\ufffd a" + "b" * 500,
]
KINDS = ["llama", "gpt2", "ranks", "regex", "tekken", "template"]
HEADER = 112  # bytes before the places of the sections
FIELDS = {"magic": 0, "order": 8, "version": 12, "size": 16, "check": 24, "flags": 32, "pattern": 36, "unk": 40}
FIELDS |= {"sections": 44, "tokens": 56, "vocab": 64, "ranks": 72, "added": 80}


def small_json(folder: Path) -> Path:
    """Write a tokenizer.json with a template and tokens that are added but not special."""
    tokens = ["<s>", "</s>", "\u2581", "a", "b", "ab", "\u2581ab"]
    vocab = {token: number for number, token in enumerate(tokens)}
    added = [{"id": vocab[token], "content": token, "special": True} for token in ("<s>", "</s>")]
    added.append({"id": 7, "content": "<|mine|>", "special": False})
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    special = {token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in ("<s>", "</s>")}
    steps = [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    ]
    document = {
        "added_tokens": [token | flags for token in added],
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b", "\u2581 ab"]},
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special},
    }
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory) -> fastemb.Tokenizer:
    """A tokenizer as it comes from its maker's files."""
    special = {"<|endoftext|>": 50_300, "<|mine|>": 60_000}
    match request.param:
        case "llama" | "gpt2":
            return request.getfixturevalue(request.param)
        case "template":
            return fastemb.Tokenizer.load(small_json(tmp_path_factory.mktemp("json")))
        case "ranks":
            return fastemb.Tokenizer.load(vocabularies.read("gpt2").file, "cl100k", special_tokens=special)
        case "regex":
            pytest.importorskip("regex")
            pattern = r"\p{L}+|\p{N}|[^\p{L}\p{N}]+?"
            return fastemb.Tokenizer.load(vocabularies.read("gpt2").file, pattern, special_tokens=special)
        case _:
            try:
                return fastemb.Tokenizer.load(vocabularies.tekken_file())
            except vocabularies.MissingVocabularyError as missing:
                pytest.skip(str(missing))


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("saved") / "any name"
    made.save(file)
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A small file of ours, of which many damaged copies can be made."""
    folder = tmp_path_factory.mktemp("small")
    fastemb.Tokenizer.load(small_json(folder)).save(folder / "saved")
    return folder / "saved"


def assert_same(one: fastemb.Tokenizer, other: fastemb.Tokenizer) -> None:
    metadata = one._core.metadata
    assert other._core.metadata == metadata
    for special in ("none", "all") if one.special_tokens else ("none",):
        rows, expected = other.encode_batch(TEXTS, special=special), one.encode_batch(TEXTS, special=special)
        assert [row.tolist() for row in rows] == [row.tolist() for row in expected]
        assert other.decode_batch(expected) == one.decode_batch(expected)
        assert other.count_batch(TEXTS, special=special).tolist() == expected.lengths.tolist()
    for text in TEXTS:
        if metadata.before or metadata.after:
            assert other.encode(text, template=True).tolist() == one.encode(text, template=True).tolist()
        assert other.encode(text.encode() + b"\xff \xe4").tolist() == one.encode(text.encode() + b"\xff \xe4").tolist()
        assert other.decode_bytes(one.encode(text)) == one.decode_bytes(one.encode(text))
    assert other.vocab == one.vocab
    assert (other.vocab_size, other.special_tokens) == (one.vocab_size, one.special_tokens)
    assert repr(other) == repr(one)
    some = random.Random(3).sample(sorted(one.vocab.values()), min(200, len(one.vocab)))
    for id in some:
        assert other.id_to_token(id) == one.id_to_token(id)
        assert other.token_to_id(one.id_to_token(id)) == one.token_to_id(one.id_to_token(id))
    for name in one.special_tokens:
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            other.encode(f"a {name}", special="raise")


# ---------------------------------------------------------------- what is kept


def test_opened_is_the_same(made, saved):
    assert_same(made, fastemb.Tokenizer.load(saved))


@pytest.mark.parametrize("mapped", [False, True])
def test_read_or_mapped(saved, mapped):
    """Read unless asked for; mapped, the process shows the file among its mappings."""
    opened = fastemb.Tokenizer.load(saved, mmap=mapped)
    assert_same(fastemb.Tokenizer.load(saved), opened)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert (f" {saved}\n" in maps.read_text()) == mapped


def test_overwritten_in_place(small, tmp_path):
    """What was read does not change with the file."""
    file = tmp_path / "saved"
    file.write_bytes(small.read_bytes())
    opened = fastemb.Tokenizer.load(file)
    with file.open("r+b") as stream:
        stream.write(bytes(file.stat().st_size))
    file.write_bytes(b"")
    assert_same(fastemb.Tokenizer.load(small), opened)


def test_saved_again_is_the_same_file(saved, tmp_path):
    fastemb.Tokenizer.load(saved).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_pickles(made, saved):
    text = pickle.dumps(made)
    assert_same(made, pickle.loads(text))
    assert text == pickle.dumps(fastemb.Tokenizer.load(saved)) == pickle.dumps(pickle.loads(text))


def test_a_damaged_pickle_is_refused(small):
    text = bytearray(pickle.dumps(fastemb.Tokenizer.load(small)))
    text[len(text) // 2] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        pickle.loads(text)


def test_what_is_for_rank_files_alone(small):
    for argument in ({"pattern": "gpt2"}, {"special_tokens": {"<x>": 100}}):
        message = f"{re.escape(str(small))}: a file written by Tokenizer.save brings its own"
        with pytest.raises(ValueError, match=message):
            fastemb.Tokenizer.load(small, **argument)


# ---------------------------------------------------------------- damage


def assert_refused(content: bytes, file: Path, match: str = "cannot be opened: damaged") -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(file))}: .*{match}"):
        fastemb.Tokenizer.load(file)


def changed(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "magic"])
def test_damaged_fields(field, small, tmp_path):
    content, at = small.read_bytes(), FIELDS[field]
    for value in (0, 1, 2, 3, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x0102_0304, 0x0403_0201):
        new = changed(content, at, struct.pack("=I", value))
        if new != content:
            assert_refused(new, tmp_path / "damaged")


def test_another_version_or_byte_order(small, tmp_path):
    content = small.read_bytes()
    (version,) = struct.unpack_from("=I", content, FIELDS["version"])
    newer = changed(content, FIELDS["version"], struct.pack("=I", version + 1))
    words = rf"another version of fastemb \(format {version + 1}, here {version}\): load the files it was made from"
    assert_refused(newer, tmp_path / "newer", words)
    other = changed(content, FIELDS["order"], content[FIELDS["order"] : FIELDS["order"] + 4][::-1])
    assert_refused(other, tmp_path / "other", "damaged, or written by another")


def test_every_bit_of_the_header(small, tmp_path):
    """Whatever is changed there: in numbers that are checked one by one, and in those that could be anything."""
    content = small.read_bytes()
    (first,) = struct.unpack_from("=Q", content, HEADER + 8)  # where the first section begins
    assert HEADER < first <= 1088
    for at in range(8, first):
        assert_refused(changed(content, at, bytes([content[at] ^ 1 << at % 8])), tmp_path / "damaged")


def test_flipped_bits(small, tmp_path):
    content, rng = small.read_bytes(), random.Random(5)
    for at in [*rng.choices(range(HEADER, len(content)), k=300), len(content) - 1]:
        assert_refused(changed(content, at, bytes([content[at] ^ 1 << rng.randrange(8)])), tmp_path / "damaged")


def test_exchanged_parts(small, tmp_path):
    """A checksum that does not depend on the order would not see them."""
    content, rng = small.read_bytes(), random.Random(6)
    for _ in range(100):
        one, other = sorted(rng.sample(range(0, len(content) - 8, 8), 2))
        new = changed(changed(content, one, content[other : other + 8]), other, content[one : one + 8])
        if new != content:
            assert_refused(new, tmp_path / "damaged", "")


def test_truncated_files(small, tmp_path):
    content, rng = small.read_bytes(), random.Random(7)
    sizes = [8, 9, 79, 80, 368, 384, len(content) - 64, len(content) - 1]
    for size in sizes + rng.choices(range(8, len(content)), k=200):
        assert_refused(content[:size], tmp_path / "damaged")
    for size in range(8):  # it does not even look like one
        assert_refused(content[:size], tmp_path / "damaged", "(no vocabulary that can be read|it is empty)")


def test_longer_files(small, tmp_path):
    content = small.read_bytes()
    for more in (b"\n", bytes(64), content):
        assert_refused(content + more, tmp_path / "damaged")


# ---------------------------------------------------------------- files and processes


def test_saving_over_a_file_that_is_open(small, gpt2, tmp_path):
    file = tmp_path / "saved"
    file.write_bytes(small.read_bytes())
    before = fastemb.Tokenizer.load(file)
    before.save(file)  # itself
    again = fastemb.Tokenizer.load(file)
    gpt2.save(file)  # another
    for opened in (before, again):
        assert_same(fastemb.Tokenizer.load(small), opened)
    assert_same(gpt2, fastemb.Tokenizer.load(file))
    assert os.listdir(tmp_path) == ["saved"]


def test_saving_where_nothing_can_be_saved(gpt2, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        gpt2.save(tmp_path / "missing" / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        gpt2.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    assert not os.listdir(tmp_path / "folder")


def test_paths(gpt2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gpt2.save("plain")
    gpt2.save(Path("ünïcode and spaces.json"))
    assert sorted(os.listdir()) == ["plain", "ünïcode and spaces.json"]
    for name in os.listdir():
        assert fastemb.Tokenizer.load(name).encode("Hello world").tolist() == [15496, 995]


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes there")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(small, tmp_path, umask):
    before = os.umask(umask)
    try:
        fastemb.Tokenizer.load(small).save(tmp_path / "saved")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
def test_deleted_after_opening(made, saved, tmp_path):
    file = tmp_path / "gone"
    file.write_bytes(saved.read_bytes())
    opened = fastemb.Tokenizer.load(file)
    file.unlink()
    assert_same(made, opened)
    opened.save(file)
    assert file.read_bytes() == saved.read_bytes()


CHILD = """
import sys, fastemb
tokenizer = fastemb.Tokenizer.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(tokenizer.encode(sys.argv[2]).tolist())
"""


def test_two_processes_at_once(gpt2, tmp_path):
    file, text = tmp_path / "saved", "Hello world, it's 12345"
    gpt2.save(file)
    command = [sys.executable, "-c", CHILD, str(file), text]
    children = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:  # both have it open now
        out, _ = child.communicate("go\n", timeout=300)
        assert (out, child.returncode) == (f"{gpt2.encode(text).tolist()}\n", 0)
