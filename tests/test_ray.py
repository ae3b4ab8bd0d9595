"""Vectors and shards of ids by Ray: the bytes of one machine, whichever workers die, and errors that name the row."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from ray_cases import (
    DIM,
    at_the_gate,
    children,
    gated,
    kill,
    kill_one_at_the_gate,
    last_words,
    make_model,
    mappings,
    parent,
    wait_for,
    words,
)

import fastemb
import fastemb.ray
from fastemb.__main__ import main
from fastemb.ray import _ledger, _packing, _recorded, _sharing, _workers, embedding, shards

ray = pytest.importorskip("ray", reason="the package ray is not installed")
pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
TEXTS = words(24_000)
STORE = 200 << 20
FOLDERS = [os.path.dirname(os.path.dirname(fastemb.__file__)), os.path.dirname(__file__)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of two nodes, each with processes and an object store of its own: two workers fit on the first alone."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        # Workers find the modules of this test as this process does.
        patched.setenv("PYTHONPATH", os.pathsep.join(FOLDERS))
        patched.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        # Which writes where `ray.init()` of any program looks for a cluster: examples that run at the same time would
        # find this one, and all programs wait for it for ever if this run was killed.
        patched.setattr("ray._private.utils.write_ray_address", lambda *_: None)
        found = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "object_store_memory": STORE, "include_dashboard": False},
        )
        found.second = found.add_node(num_cpus=1, object_store_memory=STORE)
    ray.init(found.address, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 600  # or the first worker would do all before there is a second
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("ray") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return fastemb.StaticModel.load(folder)


def dataset(texts=TEXTS, rows=800, **columns):
    """A dataset of so many rows a block."""
    table = pa.table({"text": pa.array(texts, pa.string()), "id": range(len(texts)), **columns})
    return ray.data.from_arrow([table.slice(first, rows) for first in range(0, len(texts), rows)])


def read(rows, column="vectors", at=None, act=None):
    """What all rows have in a column, and in `id`; `act` is called when so many blocks have come."""
    found = []
    for number, batch in enumerate(rows.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0)):
        if number == at:
            act()
        found.append((batch[column], batch["id"]))
    return tuple(np.concatenate(some) for some in zip(*found, strict=True))


RUNS = [0, *(pytest.param(run, marks=pytest.mark.exhaustive) for run in range(1, 10))]


@pytest.mark.parametrize("run", RUNS)
def test_a_worker_is_killed_and_nothing_is_lost(tmp_path, monkeypatch, model, folder, run):
    """Killed in the midst of a block, after 1 to 10 of 18; by turns with the object store and with the folder."""
    texts, killed = TEXTS if run == 0 else words(18 * 4096), []
    monkeypatch.setattr(embedding, "Embedder", gated(_workers.Embedder, tmp_path, (run + 2) * 4096))
    rows = fastemb.ray.embed_dataset(dataset(texts, 4096), [model, folder][run % 2], workers=2)
    vectors, ids = read(rows, at=1 + run, act=lambda: killed.append(kill_one_at_the_gate(tmp_path)))
    assert last_words(tmp_path)[killed[0]] == "waits"
    assert len(last_words(tmp_path)) == 3  # two workers, and the one that took the place of the killed one
    assert np.array_equal(ids, range(len(texts)))  # nothing twice, nothing lost, nothing moved
    assert vectors.tobytes() == model.encode(texts).tobytes()


def poisoned(base):
    """A class of workers that die of a text; it is sent by value."""

    class Dies(base):
        def work(self, texts):
            if "poison" in texts:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().work(texts)

    return Dies


def test_a_row_that_kills_its_workers_is_named(monkeypatch, model):
    monkeypatch.setattr(embedding, "Embedder", poisoned(_workers.Embedder))
    texts = list(TEXTS[:64])  # of more rows a worker more would have to die
    texts[17] = "poison"
    rows = dataset(texts, 20, path=["corpus.txt"] * 64, row=range(64))
    with pytest.raises(ray.exceptions.RayError) as error:
        read(fastemb.ray.embed_dataset(rows, model, workers=1, retries=1))
    said = str(error.value)
    assert "the block of 64 rows that begins with 'row 0 of some words ' (path corpus.txt, row 0): " in said
    assert "2 workers died at row 17, 'poison' (path corpus.txt, row 17), of it" in said


@pytest.mark.parametrize(
    ("texts", "column", "said"),
    [
        (["a", None, "b"], "text", "that begins with 'a': row 1 of it is null, expected a text"),
        (["a"], "id", "column 'id' is of int64, expected string"),
        (["a"], "body", "there is no column 'body'; there are 'text', 'id'"),
    ],
)
def test_rows_without_text(model, texts, column, said):
    """A worker in this process, which is no actor."""
    ledger = _ledger.make_ledger(ray)
    sent = ray.put(_sharing.send_model(model)[1])
    worker = _workers.Embedder(ledger, 3, column, sent, "v", {}, _workers.vectors_of_probe(model, {}))
    with pytest.raises(fastemb.ray.BlockError, match=re.escape(said)):
        worker(pa.table({"text": pa.array(texts, pa.string()), "id": range(len(texts))}))
    assert said in ray.get(ledger.why.remote())
    with pytest.raises(fastemb.ray.BlockError, match="there is a column 'v' already; name another one as output"):
        worker(pa.table({"text": ["a"], "v": [1]}))
    with pytest.raises(fastemb.ray.BlockError, match=r"on .* \(.*\) is not the one of the program that gave the work"):
        _workers.Embedder(ledger, 3, column, sent, "v", {}, b"of another model")
    sent = ray.put(_sharing.Folder("/no/such/folder"))  # of a node on which it is not
    with pytest.raises(
        fastemb.ray.BlockError, match=r"/no/such/folder on .* \(.*\) cannot be read: no model at /no/such"
    ):
        _workers.Embedder(ledger, 3, column, sent, "v", {}, b"")


def test_options_and_names_of_columns(model):
    """A worker in this process, as above."""
    options = {"normalize": True, "max_length": 3}
    probe = _workers.vectors_of_probe(model, options)
    sent = ray.put(_sharing.send_model(model)[1])
    worker = _workers.Embedder(_ledger.make_ledger(ray), 3, "t", sent, "v", options, probe)
    found = worker(pa.table({"t": TEXTS[:100], "id": range(100)}))
    assert found.column_names == ["t", "id", "v"]
    assert np.array_equal(found["v"].combine_chunks().to_numpy(), model.encode(TEXTS[:100], **options))


def test_one_copy_on_a_node(tmp_path, monkeypatch):
    """Workers have the table in their memory, the same pages: of the file that is mapped, and of Ray's store."""
    big = make_model(tmp_path / "big", rows=500_000)  # 32 MB
    kb = (big / "table.npy").stat().st_size >> 10
    for given, name in ((big, "table.npy"), (fastemb.StaticModel.load(big), "/dev/shm/plasma")):
        gate, found = tmp_path / name.replace("/", "."), []
        gate.mkdir()
        monkeypatch.setattr(embedding, "Embedder", gated(_workers.Embedder, gate))

        def look(name=name, found=found, gate=gate):
            """Look at two workers that have loaded the table and wait."""
            try:
                wait_for(lambda: len(at_the_gate(gate)) == 2)
                found.extend(mappings(each, name) for each in at_the_gate(gate))
            finally:
                (gate / "open").touch()

        thread = threading.Thread(target=look)
        thread.start()
        read(fastemb.ray.embed_dataset(dataset(TEXTS, 4096), given, workers=2))
        thread.join()
        assert len(found) == 2
        for mapped in found:
            assert sum(one["Size"] for one in mapped) >= kb
            assert sum(one["Rss"] for one in mapped) > 0
            assert sum(one["Anonymous"] for one in mapped) == 0  # no page of it is this process's alone


def test_what_embed_dataset_refuses(model):
    rows = dataset(["a"])
    for wrong, said in (
        (lambda: fastemb.ray.embed_dataset(["a"], model), "ds must be a ray.data.Dataset, got list"),
        (lambda: fastemb.ray.embed_dataset(rows, 7), "model must be a fastemb.StaticModel, a path or None, got int"),
        (lambda: fastemb.ray.embed_dataset(rows, model, column=7), "column must be a str, got int"),
        (lambda: fastemb.ray.embed_dataset(rows, model, normalize="no"), "normalize must be"),
        (lambda: fastemb.ray.embed_dataset(rows, model, workers="2"), "workers must be an integer"),
    ):
        with pytest.raises(TypeError, match=said):
            wrong()
    for wrong, said in (
        (lambda: fastemb.ray.embed_dataset(rows, model, workers=0), "workers must be at least 1, got 0"),
        (lambda: fastemb.ray.embed_dataset(rows, model, retries=-1), "retries must be at least 0, got -1"),
        (lambda: fastemb.ray.embed_dataset(rows, model, window=2), "window is no option of it"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
    with pytest.raises(FileNotFoundError, match="no model at"):
        fastemb.ray.embed_dataset(rows, "/no/such/folder")


# Shards of ids ------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_do_not_depend_on_blocks_workers_or_deaths(tmp_path, monkeypatch, model):
    """A worker is killed in the midst of a block when the first shard is there; then other blocks, and one worker."""
    tokens, options, killed = model.tokenizer, {"shard_tokens": 30_000, "separator": 7}, []
    note = _packing.Shards._note

    def noted(shards, line):
        note(shards, line)
        if line.get("ids") == "shard-00000.ids.npy":
            killed.append(kill_one_at_the_gate(tmp_path))

    with monkeypatch.context() as patched:
        patched.setattr(shards, "Encoder", gated(_workers.Encoder, tmp_path, 3 * 4096))
        patched.setattr(_packing.Shards, "_note", noted)
        manifest = fastemb.ray.tokenize_dataset(dataset(), tokens, tmp_path / "a", workers=2, **options)
    assert last_words(tmp_path)[killed[0]] == "waits"
    fastemb.ray.tokenize_dataset(dataset(rows=5000), tokens, tmp_path / "b", workers=1, **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    expected = [np.append(row, 7) for row in tokens.encode_batch(TEXTS)]
    ids = [np.load(tmp_path / "a" / shard["ids"]) for shard in manifest["shards"]]
    assert {shard.size for shard in ids[:-1]} == {30_000}
    assert {shard.dtype for shard in ids} == {np.dtype(np.uint16)}
    assert np.array_equal(np.concatenate(ids), np.concatenate(expected))
    firsts = np.cumsum([0, *(shard.size for shard in ids)])[:-1]
    ends = [
        first + np.load(tmp_path / "a" / one["ends"]) for first, one in zip(firsts, manifest["shards"], strict=True)
    ]
    assert np.array_equal(np.concatenate(ends), np.cumsum([row.size for row in expected]))
    assert (manifest["documents"], manifest["tokens"]) == (len(TEXTS), np.concatenate(expected).size)


def test_a_run_that_was_ended_goes_on(tmp_path, monkeypatch, model, folder):
    """Ended by SIGKILL, when two shards were there: blocks that stand in these are read, and no longer tokenized."""
    code = """
import os, signal, sys
import test_ray
from fastemb.ray import _packing

def note(shards, line):
    if line.get("ids") == "shard-00002.ids.npy":
        os.kill(os.getpid(), signal.SIGKILL)
    put(shards, line)

put, _packing.Shards._note = _packing.Shards._note, note
test_ray.ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
model = test_ray.fastemb.StaticModel.load(sys.argv[2])
test_ray.tokenize(test_ray.TEXTS, model, sys.argv[3])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, ray.get_runtime_context().gcs_address, str(folder), str(tmp_path / "a")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS)},
        stderr=subprocess.DEVNULL,
    )
    assert ended.returncode == -signal.SIGKILL
    before = {path.name: path.stat() for path in (tmp_path / "a").glob("shard-0000[01].*")}
    assert len(before) == 4
    read = []
    given = _recorded.Recorded.read

    def noting(recorded, digest):
        found = given(recorded, digest)
        read.append(len(found[1]))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(_recorded.Recorded, "read", noting)
        manifest = tokenize(TEXTS, model, tmp_path / "a")
    assert read == [4096] * (sum(shard["documents"] for shard in manifest["shards"][:2]) // 4096)
    assert len(read) >= 2
    said = {name: manifest[name] for name in manifest.keys() - {"tokens", "documents", "shards"}}
    with _packing.Shards(tmp_path / "b", said) as whole:  # without Ray, in one block
        rows = model.tokenizer.encode_batch(TEXTS)
        whole.add(rows.ids, rows.lengths)
        assert whole.finish() == manifest
    named = {path.name: path.read_bytes() for path in (tmp_path / "b").glob("*.npy")}
    assert contents(tmp_path / "a").items() >= named.items()
    assert len(named) == 2 * len(manifest["shards"])
    for name, was in before.items():
        now = (tmp_path / "a" / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


def tokenize(texts, model, folder):
    return fastemb.ray.tokenize_dataset(dataset(texts, 2048), model.tokenizer, folder, workers=1, shard_tokens=60_000)


def test_a_worker_knows_blocks_by_their_texts(model, folder):
    """Of a worker in this process, told the blocks of a run that was ended."""
    other = fastemb.Tokenizer.train(["other words"] * 9, "bpe", 300)
    assert shards._identity(model.tokenizer) == shards._identity(fastemb.Tokenizer.load(folder))
    assert shards._identity(model.tokenizer) != shards._identity(other)
    table = pa.table({"text": TEXTS[:50]})
    known = ray.put(_recorded.as_rows([_recorded.digest_of(table["text"])]))
    image = ray.put(_sharing.image_of(model.tokenizer))
    worker = _workers.Encoder(_ledger.make_ledger(ray), 3, "text", image, "<u2", 7, {}, known)
    assert worker(table)["known"].to_pylist() == [True]
    changed = worker(pa.table({"text": [*TEXTS[:49], "changed"]}))
    assert changed["known"].to_pylist() == [False]
    expected = [[*row, 7] for row in model.tokenizer.encode_batch([*TEXTS[:49], "changed"])]
    assert changed["ids"].to_pylist() == [[id for row in expected for id in row]]
    assert changed["lengths"].to_pylist() == [[len(row) for row in expected]]


def test_what_tokenize_dataset_refuses(tmp_path, model):
    def call(tokens=model.tokenizer, folder=tmp_path / "s", **options):
        fastemb.ray.tokenize_dataset(dataset(["a"]), tokens, folder, **options)

    for options, said in (
        ({"tokens": 7}, "tokenizer must be a fastemb.Tokenizer or a path, got int"),
        ({"folder": 7}, "folder must be a path, got int"),
        ({"shard_tokens": 0.5}, "shard_tokens must be an integer"),
        ({"special": "all"}, "special must be"),
    ):
        with pytest.raises(TypeError, match=said):
            call(**options)
    for options, said in (
        ({"shard_tokens": 0}, "shard_tokens must be at least 1, got 0"),
        ({"separator": 400}, "separator must be an id from 0 to 399, got 400"),
        ({"separator": "<none>"}, "separator '<none>' is no token of the vocabulary"),
    ):
        with pytest.raises(ValueError, match=said):
            call(**options)
    assert not (tmp_path / "s").exists()


# The command line ------------------------------------------------------------


def test_the_command_writes_the_same_bytes(tmp_path, folder, capsys):
    """The second half by Ray behind the first half without it, whose last row was damaged."""
    file, model = tmp_path / "t.jsonl", ["--model", str(folder), "-q"]
    lines = [f'"{text}"' for text in TEXTS[:9000]]
    file.write_text("\n".join([*lines[:4000], "bad", *lines[4000:]]))
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy"), "--engine", "ray", "--workers", "1"]) == 2
    assert "t.jsonl: line 4001: not JSON" in capsys.readouterr().err
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy")]) == 2
    file.write_text("\n".join(lines))
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy"), "--engine", "ray", "--workers", "1"]) == 0
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "w.npy")]) == 0
    assert (tmp_path / "v.npy").read_bytes() == (tmp_path / "w.npy").read_bytes()
    assert np.load(tmp_path / "v.npy").shape == (9000, DIM)


def test_what_the_command_refuses(tmp_path, folder, capsys):
    model = ["--model", str(folder)]
    assert main(["embed", "-", *model, "--engine", "ray"]) == 2
    assert "-: is no file, which --engine ray needs" in capsys.readouterr().err
    (tmp_path / "t.txt").write_text("a\n")
    assert main(["embed", str(tmp_path / "t.txt"), *model, "--workers", "2"]) == 2
    assert "--workers is of --engine ray" in capsys.readouterr().err
    assert main(["embed", str(tmp_path / "t.txt"), *model, "--engine", "ray", "--workers", "0"]) == 2
    assert "workers must be at least 1, got 0" in capsys.readouterr().err


# A node that goes away ------------------------------------------------------------


def busy_cpu(node):
    """An actor that has one CPU of a node for itself until it is killed."""
    there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.node_id, soft=False)

    class Busy:
        def there(self):
            return True

    found = ray.remote(num_cpus=1, scheduling_strategy=there)(Busy).remote()
    assert ray.get(found.there.remote(), timeout=300)
    return found


def test_a_node_goes_away_and_nothing_is_lost(tmp_path, monkeypatch, model, cluster):
    """All of its processes and its object store, in the midst of a block; the last test, as it is not there again.

    Each node has a CPU for one worker, and each worker waits in its second block: none does them all, and what the node
    has ended is lost with what it has begun.
    """
    monkeypatch.setattr(embedding, "Embedder", gated(_workers.Embedder, tmp_path, blocks=1))
    busy = busy_cpu(cluster.head_node)
    raylet = next(process.process.pid for process in cluster.second.all_processes["raylet"])
    nodes = []

    def act():
        nodes.extend(wait_for(lambda: [who for who in at_the_gate(tmp_path) if parent(who) == raylet]))
        its = children(raylet)
        cluster.remove_node(cluster.second, allow_graceful=False)
        for process in its:  # which would see that they are alone a while later, and work until then
            with contextlib.suppress(ProcessLookupError):
                kill(process)
        ray.kill(busy)  # its CPU is that of the worker that comes
        (tmp_path / "open").touch()

    vectors, ids = read(fastemb.ray.embed_dataset(dataset(TEXTS, 4096), model, workers=2), at=0, act=act)
    assert len(nodes) == 1
    assert last_words(tmp_path)[str(nodes[0])] == "waits"
    assert len(last_words(tmp_path)) == 3
    assert np.array_equal(ids, range(len(TEXTS)))
    assert vectors.tobytes() == model.encode(TEXTS).tobytes()
