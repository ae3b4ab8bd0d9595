"""No file, no text and no changed array leads out of bounds, or makes anything quadratic."""

import json
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import vocabularies

import fastemb
from fastemb._text import core, vocabulary

MASK = (1 << 64) - 1
ADDED = {f"<|{number}|>": 60_000 + number for number in range(40)}


def test_offsets_changed_after_the_rows_were_made(gpt2):
    """C is told how many ids there are: no offset leads behind them."""
    for changed in ([0, 1 << 40], [0, -1], [0, 4]):
        offsets = np.array([0, 3])
        rows = fastemb.Ragged(np.array([1, 2, 3], np.int32), offsets)
        rows.offsets[:] = changed
        with pytest.raises(ValueError, match="offsets must ascend from 0 to the number of ids, 3"):
            gpt2.decode_batch(rows)


def test_a_cache_that_could_not_be_made_is_asked_for_again(gpt2, monkeypatch):
    """Where memory was short once, later calls do not stay slow."""

    class NoMemory:
        def __getattr__(self, name):
            return getattr(core_lib, name)

        def fe_cache_new(self, *_):
            return core_lib.FE_NO_MEMORY

    tokenizer, core_lib = pickle.loads(pickle.dumps(gpt2)), core.lib
    parts = sorted(tokenizer._core._parts)
    with monkeypatch.context() as patched:
        patched.setattr(core, "lib", NoMemory())
        assert tokenizer.encode("Hello world").tolist() == [15496, 995]
    assert (tokenizer._core._workspaces, sorted(tokenizer._core._parts)) == ([], parts)
    assert tokenizer.encode("Hello world").tolist() == [15496, 995]
    assert tokenizer._core._workspaces[0].cache


# ---------------------------------------------------------------- a file that was made to do damage


IMAGE = Path(__file__).parent.parent / "csrc/image.h"
TAGS = re.findall(r"^    (FE_S_\w+),", IMAGE.read_text(encoding="utf-8"), re.MULTILINE)
SECTIONS = len(TAGS)  # FE_SECTIONS
HEADER = 112  # bytes before the places of the sections


def places_in(saved: bytes) -> list[tuple[int, int, int, int]]:
    """The places of the sections: tag, nothing, first byte, size."""
    (count,) = struct.unpack_from("=I", saved, 44)
    return [struct.unpack_from("=IIQQ", saved, HEADER + 24 * i) for i in range(count)]


def fold(a: int, b: int) -> int:
    return (a * b & MASK) ^ (a * b >> 64)


def hash_of_32(data: bytes) -> int:
    """fe_hash of 32 bytes by the seed 0."""
    h, words = 32 * 0x9E3779B97F4A7C15 & MASK, struct.unpack("=4Q", data)
    return fold(fold(words[2], words[3] ^ fold(words[0], words[1] ^ h)), 0xD6E8FEB86659FD93)


def checksum(data: bytes) -> int:
    h = [len(data), 1, 2, 3]
    padded = data + bytes(32 - len(data) % 32)
    for words in struct.iter_unpack("=4Q", padded):
        mixed = [one ^ word for one, word in zip(h, words, strict=True)]
        h = [(one * 0x9E3779B97F4A7C15 & MASK) ^ one >> 29 for one in mixed]
    return hash_of_32(struct.pack("=4Q", *h))


def sealed(content: bytes) -> bytes:
    """Give the content of a file a checksum that is right (fe_image_check)."""
    size, places = HEADER + 24 * SECTIONS, slice(24, 32)
    header = bytearray(content[:size])
    header[places] = struct.pack("=Q", checksum(content[size:]))
    header[places] = struct.pack("=Q", checksum(bytes(header)))
    return bytes(header) + content[size:]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    """A file of 256 byte tokens and 40 added ones."""
    folder = tmp_path_factory.mktemp("bytes")
    ranks = {bytes([byte]): byte for byte in range(256)}
    (folder / "ranks").write_bytes(vocabularies.rank_file(ranks))
    fastemb.Tokenizer.load(folder / "ranks", "cl100k", special_tokens=ADDED).save(folder / "saved")
    return (folder / "saved").read_bytes()


def refused(content: bytes, file: Path, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(file))}: saved tokenizer cannot be opened: {words}"):
        fastemb.Tokenizer.load(file)


def test_numbers_that_must_agree(saved, tmp_path):
    """Counts of tokens, ranks and added tokens under a right checksum: each is compared with what there is of it."""
    assert sealed(saved) == saved
    for at in (44, 56, 64, 72, 80):
        (now,) = struct.unpack_from("=I", saved, at)
        for value in (0, now - 1, now + 1, now + 16, 1 << 20, 1 << 24, (1 << 31) - 1):
            changed = saved[:at] + struct.pack("=I", value) + saved[at + 4 :]
            if changed != saved:
                refused(sealed(changed), tmp_path / "file", "damaged")


def test_more_added_ids_than_added_tokens(saved, tmp_path):
    """Once such a file was opened, and its first text read behind the actions that Python had made."""
    places = places_in(saved)
    ids = next(i for i, place in enumerate(places) if saved[place[2] :].startswith(struct.pack("=2i", 60_000, 60_001)))
    ids = ids if places[ids][3] == 4 * len(ADDED) else -1
    assert ids > 0
    more = bytes(1 << 18)
    for added in (len(ADDED), len(more) // 4):
        content = bytearray(saved + more)
        struct.pack_into("=Q", content, 16, len(content))
        struct.pack_into("=Q", content, 80, added)
        struct.pack_into("=IIQQ", content, HEADER + 24 * ids, places[ids][0], 0, len(saved), len(more))
        refused(sealed(bytes(content)), tmp_path / "file", "damaged")


def test_pairs_of_tokens_that_there_are_not(saved, tmp_path):
    """The highest number stands for the ends of a piece: with a pair of it a piece would merge with its own end."""
    pairs, nobody = 6, (1 << 21) - 1
    places = places_in(saved)
    (at,) = [place for tag, _, place, _ in places if tag == pairs]
    wrong = (0, nobody, 255), (nobody, 0, 255), (nobody, nobody, 0), (0, 256, 0), (9, 9, 256)
    for left, right, rank in ((0, 1, 255), *wrong):
        content = bytearray(saved)
        struct.pack_into("=Q", content, at, left << 43 | right << 22 | rank)
        if max(left, right, rank) < 256:
            (tmp_path / "file").write_bytes(sealed(bytes(content)))
            assert fastemb.Tokenizer.load(tmp_path / "file").encode("a").tolist() == [97]
        else:
            refused(sealed(bytes(content)), tmp_path / "file", "damaged")


def test_lists_of_ids_that_must_agree(saved, tmp_path):
    """The ids of tokens, and the same sorted beside the tokens that have them: once ids came out that no token had."""
    bytes_alone = struct.pack("=256i", *range(256))
    places = places_in(saved)
    (tokens,) = struct.unpack_from("=I", saved, 56)
    lists = [at for _, _, at, size in places if size == 4 * tokens and saved[at:].startswith(bytes_alone)]
    assert len(lists) == 3  # sorted tokens are the third
    for place in lists:
        for at, value in ((255, 256), (7, 8), (0, 255)):
            content = bytearray(saved)
            struct.pack_into("=i", content, place + 4 * at, value)
            refused(sealed(bytes(content)), tmp_path / "file", "damaged")


NOTES = [
    {"joined_by": 5},
    {"joined_by": "\ud800"},
    {"strip_start": 1},
    {"strip_start": None},
    {"pattern": 5},
    {"pattern": [5]},
    {"pattern": []},
    {"dialect": "perl"},
    {"dialect": 7},
    {"more": 1},
]


def with_notes(saved: bytes, notes: bytes) -> bytes:
    """Put other notes, behind which all sections are empty, into the content of a file."""
    places = range(HEADER, HEADER + 24 * struct.unpack_from("=I", saved, 44)[0], 24)
    found = {TAGS[struct.unpack_from("=I", saved, at)[0]]: at for at in places}
    tag, zero, place, _ = struct.unpack_from("=IIQQ", saved, found["FE_S_NOTES"])
    content = bytearray(saved[:place] + notes + bytes(-len(notes) % 64))
    struct.pack_into("=IIQQ", content, found["FE_S_NOTES"], tag, zero, place, len(notes))
    for at in places[places.index(found["FE_S_NOTES"]) + 1 :]:
        tag, zero, _, length = struct.unpack_from("=IIQQ", saved, at)
        assert length == 0, TAGS[tag]
        struct.pack_into("=IIQQ", content, at, tag, zero, len(content), 0)
    struct.pack_into("=Q", content, 16, len(content))
    return sealed(bytes(content))


@pytest.mark.parametrize("change", NOTES, ids=str)
def test_notes_of_the_wrong_types(change, saved, tmp_path):
    right = {"joined_by": "", "strip_start": False, "pattern": None, "dialect": "fancy", "steps": None}
    assert with_notes(saved, json.dumps(right).encode() + b"\0") == saved
    refused(with_notes(saved, json.dumps(right | change).encode() + b"\0"), tmp_path / "file", "damaged: its notes")


@pytest.mark.parametrize(
    "notes",
    [b"", b"{}", b"[]", b"nonsense", b"\xff", b"[" * 200_000, b'{"joined_by": ""}', b"null", b"\0\0"],
    ids=lambda notes: str(notes[:20]),
)
def test_notes_that_are_none(notes, saved, tmp_path):
    refused(with_notes(saved, notes), tmp_path / "file", "damaged")


@pytest.mark.parametrize("names", [b"\na\nb", b'["a"]', b"\n" * 400, b'"' + b"a" * 297 + b'"', b"[1]", b"\n\xff" * 296])
def test_names_that_are_not_those_of_the_tokens(names, saved, tmp_path):
    right = saved[saved.index(b'{"joined_by') :].partition(b"\0")[0]
    assert vocabulary.names_in(right + b"\0" + b"\n" + b"\n".join([b"x"] * 296)) == ["x"] * 296
    refused(with_notes(saved, right + b"\0" + names), tmp_path / "file", "damaged")


def test_choices_are_made_once(saved, tmp_path):
    """What becomes of each added token is worked out by the first call, not by every one."""
    (tmp_path / "file").write_bytes(saved)
    tokenizer = fastemb.Tokenizer.load(tmp_path / "file")
    actions = bytes(1 for _ in ADDED)
    assert tokenizer._core.choice(actions) is tokenizer._core.choice(bytes(1 for _ in ADDED))
    for number in range(1000):
        tokenizer._core.choice(number.to_bytes(2, "big").translate(bytes(byte & 1 for byte in range(256))) + bytes(38))
    assert len(tokenizer._core._choices) <= core.MOST_CHOICES
    with pytest.raises(ValueError, match="failed"):
        tokenizer._core.choice(bytes(len(ADDED) + 1))
    assert tokenizer.encode("a<|3|>b", special={"<|3|>"}).tolist() == [97, 60_003, 98]
    assert tokenizer.encode("a<|3|>b<|4|>", special={"<|4|>"}).tolist() == [*b"a<|3|>b", 60_004]
