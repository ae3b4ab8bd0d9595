"""What `fastemb.ray` is made of, without Ray: who died of what, shards of ids, and what is said without the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
import fastemb.ray
from fastemb.ray._ledger import STEPS, Deaths, Ledger, steps
from fastemb.ray._packing import Shards
from fastemb.ray._recorded import NO_DIGEST, as_rows, digest_of, holds


@pytest.fixture(scope="module", autouse=True)
def no_disk():
    """Files are not brought to the disk: most of the time of these tests was that."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


SAID = {"dtype": "<u2", "shard_tokens": 7}


# The ledger ----------------------------------------------------------------------------------------------------------


def test_only_a_new_life_of_the_same_actor_is_a_death():
    ledger = Ledger()
    assert ledger.begin("a", "1", "block", 0, 9) == Deaths()
    assert ledger.begin("b", "1", "block", 0, 9) == Deaths()  # equal texts at the same time
    assert ledger.begin("a", "1", "block", 3, 4) == Deaths()  # a step of the same life
    assert ledger.begin("a", "2", "start", 0, 0) == Deaths()
    ledger.end("a")
    assert ledger.begin("a", "2", "block", 0, 9) == Deaths(1, 3, 4)
    ledger.end("a")
    assert ledger.begin("a", "2", "block", 0, 9) == Deaths()  # done: what comes again comes for another reason


def test_a_ledger_that_lost_its_memory_knows_of_nothing():
    ledger = Ledger()
    ledger.end("a")
    assert ledger.begin("a", "1", "block", 0, 9) == Deaths()


def test_the_first_error_is_kept():
    ledger = Ledger()
    ledger.fail("one")
    ledger.fail("two")
    assert ledger.why() == "one"


@given(rows=st.integers(1, 5 * STEPS**2), data=st.data())
def test_three_deaths_find_the_row(rows, data):
    """Whatever row it is that kills: each death leaves a part of the rows, of which it is one."""
    bad = data.draw(st.integers(0, rows - 1))
    deaths, tried = Deaths(), 0
    while deaths.end - deaths.first != 1:
        cut = steps(rows, deaths)
        assert [first for first, _ in cut] == [0, *(end for _, end in cut[:-1])]  # all rows, in their order
        assert cut[-1][1] == rows
        assert all(first < end for first, end in cut)
        first, end = next((first, end) for first, end in cut if first <= bad < end)
        deaths, tried = Deaths(deaths.times + 1, first, end), tried + 1
    assert deaths.first == bad
    assert tried <= 4


def test_a_death_between_rows_cuts_nothing():
    assert steps(9, Deaths(1, 4, 4)) == [(0, 9)]


# Shards --------------------------------------------------------------------------------------------------------------


def write(folder, documents, parts, **said):
    """Write documents, so many at a time."""
    with Shards(folder, SAID | said) as shards:
        if shards.manifest is not None:
            return shards.manifest
        rest = list(documents)
        for count in [*parts, len(rest)]:
            some, rest = rest[:count], rest[count:]
            ids = np.array([id for document in some for id in document], "<u2")
            shards.add(ids, np.array([len(document) for document in some], np.int64))
        return shards.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


DOCUMENTS = st.lists(st.lists(st.integers(0, 65_535), max_size=20), max_size=20)


@settings(deadline=None, max_examples=40)
@given(documents=DOCUMENTS, parts=st.lists(st.integers(0, 5), max_size=9))
def test_shards_are_what_documents_say(tmp_path_factory, documents, parts):
    folder = tmp_path_factory.mktemp("shards")
    manifest = write(folder / "a", documents, parts)
    write(folder / "b", documents, [])
    assert contents(folder / "a") == contents(folder / "b")
    flat, found, ends = [id for document in documents for id in document], [], []
    for number, shard in enumerate(manifest["shards"]):
        ids, here = np.load(folder / "a" / shard["ids"]), np.load(folder / "a" / shard["ends"])
        assert ids.dtype == np.uint16
        assert here.dtype == np.int64
        assert (ids.size, here.size) == (shard["tokens"], shard["documents"])
        assert ids.size == 7 or number == len(manifest["shards"]) - 1
        assert not here.size or (here[0] >= 0 and here[-1] <= ids.size)
        ends += [end + len(found) for end in here.tolist()]
        found += ids.tolist()
    assert found == flat
    assert ends == np.cumsum([len(document) for document in documents]).tolist()
    assert (manifest["tokens"], manifest["documents"]) == (len(flat), len(documents))


def test_a_journal_is_gone_on_with_and_its_torn_line_is_not(tmp_path):
    documents = [[i] * (i % 5) for i in range(40)]
    with Shards(tmp_path / "a", SAID) as shards:
        shards.add(np.concatenate(documents[:20]).astype("<u2"), np.array([len(d) for d in documents[:20]]))
    with open(tmp_path / "a/journal.jsonl", "a") as journal:
        journal.write('{"ids": "sha')
    chance = "0123456789abcdef"  # in names, by a run that was killed
    for left in ("shard-00009.ids.npy.part", f"shard-00009.ends.npy.{chance}", f"manifest.json.{chance}"):
        (tmp_path / "a" / left).write_bytes(b"")
    before = {path.name: path.stat() for path in (tmp_path / "a").glob("*.npy")}
    assert len(before) > 4
    manifest = write(tmp_path / "a", documents, [3, 9])
    write(tmp_path / "b", documents, [])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for name, was in before.items():
        now = (tmp_path / "a" / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)
    assert write(tmp_path / "a", [], []) == manifest == json.loads((tmp_path / "a/manifest.json").read_text())


def test_what_shards_refuse(tmp_path):
    documents = [[1, 2, 3]] * 9
    with Shards(tmp_path / "a", SAID) as shards:
        shards.add(np.array([1, 2, 3] * 5, "<u2"), np.full(5, 3))
        with pytest.raises(ValueError, match="is being written by another run"):
            write(tmp_path / "a", documents, [])
    assert not [*(tmp_path / "a").glob("*.part")]
    with pytest.raises(ValueError, match=r"shard-00000.ids.npy: was made of other texts, or is damaged; name a new"):
        write(tmp_path / "a", [[1, 2, 4]] * 9, [])
    with pytest.raises(ValueError, match=r"shard-00001.ids.npy: was made of other texts"):
        write(tmp_path / "a", documents[:3], [])
    with Shards(tmp_path / "even", SAID) as shards:  # whose documents end where shards do
        shards.add(np.zeros(22, "<u2"), np.array([7, 7, 7, 1]))
    with pytest.raises(ValueError, match=r"shard-00001.ids.npy: was made of other texts"):
        write(tmp_path / "even", [[0] * 7], [])
    with pytest.raises(ValueError, match=r"of another run, whose dtype is \"<u2\", not \"<u4\""):
        write(tmp_path / "a", documents, [], dtype="<u4")
    manifest = write(tmp_path / "a", documents, [])
    assert manifest["tokens"] == 27
    with pytest.raises(ValueError, match="whose shard_tokens is 7, not 8"):
        write(tmp_path / "a", documents, [], shard_tokens=8)
    (tmp_path / "a/shard-00001.ids.npy").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"shard-00001.ids.npy: is missing or damaged"):
        write(tmp_path / "a", documents, [])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'notes.txt', and no shards"):
        write(tmp_path / "mine", documents, [])
    assert contents(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_a_run_that_is_killed_between_any_two_steps_is_gone_on_with(tmp_path, monkeypatch):
    """What a kill would leave: the folder as it stands around each file that is opened, synced, renamed or removed."""
    documents, states, opened = [[1, 2, 3]] * 5, [], Path.open

    def look():
        with monkeypatch.context() as undone:
            undone.setattr(Path, "open", opened)
            if not states or contents(states[-1]) != contents(tmp_path / "a"):
                states.append(tmp_path / f"state{len(states)}")
                shutil.copytree(tmp_path / "a", states[-1])

    def seen(function):
        def step(*given, **options):
            look()
            done = function(*given, **options)
            look()
            return done

        return step

    with monkeypatch.context() as patched:
        for place, name in ((os, "fsync"), (os, "replace"), (Path, "replace"), (Path, "unlink"), (Path, "open")):
            patched.setattr(place, name, seen(getattr(place, name)))
        write(tmp_path / "a", documents, [2])
    assert len(states) > 15
    for state in states:
        write(state, documents, [1])
        assert contents(state) == contents(tmp_path / "a"), state


def test_of_two_runs_at_once_the_later_takes_what_the_first_has_made(tmp_path, monkeypatch):
    """Which ends while the second one is about to begin, and what stands there is not written anew."""
    documents = [[1, 2, 3]] * 5
    with Shards(tmp_path / "a", SAID) as shards:
        shards.add(np.array([1, 2, 3] * 3, "<u2"), np.full(3, 3))
    manifests, opened, began = [], Path.open, []

    def late(path, *given, **options):
        if path.name == "journal.jsonl" and not began:
            began.append(path)
            manifests.append(write(tmp_path / "a", documents, []))
        return opened(path, *given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", late)
        manifests.append(write(tmp_path / "a", [[9]], []))
    assert manifests[0] == manifests[1]
    write(tmp_path / "b", documents, [])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_of_a_journal_that_is_not_ours_nothing_is_touched(tmp_path):
    for number, said in enumerate((b"mine", b"mine\n", b"[1]\n", b'{"a": 1}\n', b"\xff\n", b"[" * 100_000 + b"\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        held = {"journal.jsonl": said, "film.part": b"a", "shard-00000.ids.npy.part": b"b"}
        for name, data in held.items():
            (folder / name).write_bytes(data)
        with pytest.raises(
            ValueError, match=r"journal.jsonl: is damaged, or not of shards|of another run, whose dtype"
        ):
            write(folder, [[1]], [])
        assert contents(folder) == held


def changed(path, **numbers):
    """Write a JSON file anew, with something else of its first shard, or of itself."""
    found = json.loads(path.read_text())
    for name, value in numbers.items():
        (found["shards"][0] if name in found["shards"][0] else found)[name] = value
    path.write_text(json.dumps(found))


def test_damaged_manifests_and_shards_are_refused_in_words(tmp_path):
    documents = [[1, 2, 3]] * 5
    write(tmp_path / "whole", documents, [])
    damages = [
        *(lambda path, data=data: path.write_bytes(data) for data in (b"", b"{", b"[]", b"5", b"\xff")),
        *(lambda path, ids=ids: changed(path, ids=ids) for ids in ("../a", 5, "shard-00001.ids.npy")),
        *(lambda path, n=n: changed(path, tokens=n) for n in (-7, 7.0, True, 10**400, None, 6)),
        lambda path: changed(path, crc32_ends="a"),
        lambda path: changed(path, shards={}),
        lambda path: changed(path, shards=[5]),
        lambda path: changed(path, shards=[]),
    ]
    for number, damage in enumerate(damages):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        damage(folder / "manifest.json")
        with pytest.raises(ValueError, match=r"manifest.json: is damaged, or not of shards; name a new folder, or rem"):
            write(folder, documents, [])
    shutil.copytree(tmp_path / "whole", tmp_path / "old")
    (tmp_path / "old/manifest.json").write_text('{"format": 1, "dtype": "<u4", "shards": []}')
    with pytest.raises(ValueError, match='the shards of another run, whose dtype is "<u4", not "<u2"'):
        write(tmp_path / "old", documents, [])
    file = tmp_path / "whole/shard-00000.ids.npy"
    file.write_bytes(file.read_bytes().replace(b"(7,)", b"(9,)"))
    with pytest.raises(ValueError, match=r"shard-00000.ids.npy: is missing or damaged"):
        write(tmp_path / "whole", documents, [])


@pytest.mark.parametrize("name", ["ids", "ends"])
def test_a_shard_that_was_changed_is_found_whatever_the_blocks(tmp_path, name):
    with Shards(tmp_path, SAID) as shards:
        shards.add(np.array([1, 2, 3] * 5, "<u2"), np.full(5, 3))
    file = tmp_path / f"shard-00001.{name}.npy"
    data = bytearray(file.read_bytes())
    data[128] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=rf"shard-00001.{name}.npy: was made of other texts, or is damaged"):
        write(tmp_path, [[1, 2, 3]] * 6, [])


def test_a_damaged_journal_is_refused_in_words(tmp_path):
    with Shards(tmp_path / "a", SAID) as shards:
        shards.add(np.array([1, 2, 3] * 5, "<u2"), np.full(5, 3), b"\1" * 32)
    journal = (tmp_path / "a/journal.jsonl").read_bytes()
    first, one, two, _ = journal.split(b"\n")
    place = b', "blocks": ['
    for number, lines in enumerate(
        (
            [first, two, one],
            [first, one[:-2], two],
            [first, one, one],
            [first, one.replace(place, place + b"[]")],
            [first, one.replace(place, place + b'["zz", 0, 1, 0, 3]')],
            [first, one.replace(place, place + b'["%b", 0, 1, 0, "3"]' % (b"0" * 64))],
            [first, b""],
        )
    ):
        shutil.copytree(tmp_path / "a", tmp_path / str(number))
        (tmp_path / str(number) / "journal.jsonl").write_bytes(b"\n".join([*lines, b""]))
        with pytest.raises(ValueError, match=r"journal.jsonl: is damaged, or not of shards"):
            write(tmp_path / str(number), [[1, 2, 3]] * 5, [])


# Blocks that are known ----------------------------------------------------------------------------------------------


def digest(block):
    return json.dumps(block).encode().ljust(32)[:32]


@settings(deadline=None, max_examples=15)
@given(blocks=st.lists(DOCUMENTS.map(lambda documents: documents[:4]), max_size=9))
def test_blocks_of_finished_shards_are_read_back(tmp_path_factory, blocks):
    """Each block that ends in them, by its digest, wherever it begins; and with them a run comes to the same files."""
    folder = tmp_path_factory.mktemp("known")
    arrays = [
        (np.array([id for document in block for id in document], "<u2"), np.array([*map(len, block)], np.int64))
        for block in blocks
    ]
    with Shards(folder / "a", SAID) as shards:  # which is ended: the last shard is lost
        for number, (ids, lengths) in enumerate(arrays):
            shards.add(ids, lengths, digest([number]))
    read = 0
    with Shards(folder / "a", SAID) as shards:
        known = shards.recorded.digests()
        for number, (ids, lengths) in enumerate(arrays):
            if holds(known, digest([number])):
                found, counts = shards.recorded.read(digest([number]))
                assert found.tolist() == ids.tolist()
                assert counts.tolist() == lengths.tolist()
                read, ids, lengths = read + 1, found, counts
            shards.add(ids, lengths, digest([number]))
        shards.finish()
    flat = [id for block in blocks for document in block for id in document]
    whole = max(0, (len(flat) - 1) // 7) * 7  # ids of finished shards
    ends = np.cumsum([sum(map(len, block)) for block in blocks])[:-1] if blocks else np.empty(0)
    assert read >= np.count_nonzero(ends < whole)
    write(folder / "b", [document for block in blocks for document in block], [])
    assert contents(folder / "a") == contents(folder / "b")


def test_a_digest_is_of_the_texts_and_not_of_how_they_lie():
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    texts = ["a", "", "bc", "\u00e9", "d"]
    found = digest_of(pa.chunked_array([texts]))
    whole = pa.array(["x", *texts, "y"])
    for same in (
        pa.chunked_array([texts[:2], texts[2:]]),
        pa.chunked_array([pa.array([], pa.string()), whole[1:3], whole[3:-1]]),
        pa.chunked_array([pa.array(texts, pa.large_string())]),
    ):
        assert digest_of(same) == found
    others = [["a", "", "b", "c\u00e9", "d"], ["a", "bc", "", "\u00e9", "d"], texts[:-1], [*texts, ""], [""], []]
    digests = {found, *(digest_of(pa.chunked_array([pa.array(other, pa.string())])) for other in others)}
    assert len(digests) == 7
    assert digest_of(pa.chunked_array([["a", None]])) == NO_DIGEST
    rows = as_rows(digests)
    assert all(holds(rows, one) for one in digests)
    assert not any(holds(rows, one) for one in (NO_DIGEST, bytes(32), b"\xff" * 32))
    assert not holds(as_rows([]), found)


# Without the package -------------------------------------------------------------------------------------------------


def test_without_ray_the_error_names_the_extra(tmp_path):
    code = """
import sys
sys.modules["ray"] = None
import fastemb.ray
for call in (fastemb.ray.embed_dataset, lambda ds: fastemb.ray.tokenize_dataset(ds, 0, 0)):
    try:
        call(None)
    except ModuleNotFoundError as error:
        print(error)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "fastemb.ray needs the package ray: pip install 'fastemb[ray]'\n" * 2
    assert issubclass(fastemb.ray.BlockError, ValueError)
