"""Vectors and shards of ids by Ray: the bytes of one machine, whichever workers die, and errors that name the row."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from ray_cases import DIM, kill, kill_one_when, make_model, mappings, words, workers

import fastemb
import fastemb.ray
from fastemb.__main__ import main
from fastemb.ray import _ledger, _packing, _sharing, _workers, embedding

ray = pytest.importorskip("ray", reason="the package ray is not installed")
pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
TEXTS = words(24_000)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of two workers, and a processor for whoever reads."""
    ray.init(
        num_cpus=3,
        object_store_memory=400 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        # Workers find the modules of this test as this process does.
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.dirname(fastemb.__file__))])}},
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 120  # or the first worker would do all before there is a second
    yield
    ray.shutdown()


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


def logged(base, file):
    """A class of workers that are slow, and write down when they begin and end; it is sent by value."""

    class Logs(base):
        def work(self, texts):
            self.note("begins")
            time.sleep(0.3)
            done = super().work(texts)
            self.note("ends")
            return done

        def note(self, what):
            with open(file, "a") as log:
                log.write(f"{os.getpid()} {what}\n")

    return Logs


@pytest.mark.parametrize("run", RUNS)
def test_a_worker_is_killed_and_nothing_is_lost(tmp_path, monkeypatch, model, folder, run):
    """Killed in the midst of a block, after 1 to 10 of 18; by turns with the object store and with the folder."""
    log = tmp_path / "log"
    monkeypatch.setattr(embedding, "Embedder", logged(_workers.Embedder, log))
    texts, killed = TEXTS * 3, []
    rows = fastemb.ray.embed_dataset(dataset(texts, 4096), [model, folder][run % 2], workers=2)

    def last():
        """What each worker wrote last."""
        return dict(line.split() for line in log.read_text().splitlines())

    def act():
        """Kill a worker that has begun a block and not ended it."""
        while not killed:
            killed.extend([who for who, what in last().items() if what == "begins"][:1])
            time.sleep(0.01)
        kill(int(killed[0]))

    vectors, ids = read(rows, at=1 + run, act=act)
    assert last()[killed[0]] == "begins"
    assert len(last()) == 3  # two workers, and the one that took the place of the killed one
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
    texts = list(TEXTS[:3000])
    texts[1717] = "poison"
    rows = dataset(texts, 1000, path=["corpus.txt"] * 3000, row=range(3000))
    with pytest.raises(ray.exceptions.RayError) as error:
        read(fastemb.ray.embed_dataset(rows, model, workers=1, retries=2))
    said = str(error.value)
    assert "the block of 3,000 rows that begins with 'row 0 of some words ' (path corpus.txt, row 0): " in said
    assert "3 workers died at row 1717, 'poison' (path corpus.txt, row 1717), of it" in said


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
    with pytest.raises(fastemb.ray.BlockError, match="is not the one of the program that gave the work"):
        _workers.Embedder(ledger, 3, column, sent, "v", {}, b"of another model")


def test_options_and_names_of_columns(model):
    texts = TEXTS[:100]
    rows = fastemb.ray.embed_dataset(dataset(texts), model, output="v", normalize=True, max_length=3)
    assert np.array_equal(read(rows, "v")[0], model.encode(texts, normalize=True, max_length=3))


def test_one_copy_on_a_node(tmp_path):
    """Two workers have the table in their memory, the same pages: of the file that is mapped, and of Ray's store."""
    big = make_model(tmp_path / "big", rows=500_000)  # 32 MB
    kb = (big / "table.npy").stat().st_size >> 10
    for given, name in ((big, "table.npy"), (fastemb.StaticModel.load(big), "/dev/shm/plasma")):
        found, before = [], workers()

        def look(name=name, found=found, before=before):
            """Wait until two workers have read the table."""
            until = time.monotonic() + 90
            while time.monotonic() < until and len(found) < 2:
                time.sleep(0.05)
                now = [mapped for each in workers() if each not in before and (mapped := mappings(each, name))]
                if len(now) == 2 and all(sum(one["Rss"] for one in mapped) for mapped in now):
                    found.extend(now)

        thread = threading.Thread(target=look)
        thread.start()
        read(fastemb.ray.embed_dataset(dataset(TEXTS * 4), given, workers=2))
        thread.join()
        assert len(found) == 2
        for mapped in found:
            assert sum(one["Size"] for one in mapped) >= kb
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


def test_shards_do_not_depend_on_blocks_workers_or_deaths(tmp_path, model):
    tokens = model.tokenizer
    thread = threading.Thread(target=kill_one_when, args=(lambda: (tmp_path / "a/shard-00001.ids.npy").exists(),))
    thread.start()
    options = {"shard_tokens": 30_000, "separator": 7}
    manifest = fastemb.ray.tokenize_dataset(dataset(), tokens, tmp_path / "a", workers=2, **options)
    thread.join()
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


def test_a_run_that_was_ended_goes_on(tmp_path, monkeypatch, model):
    """Ended as by Ctrl-C, when two shards were there."""
    good, notes = TEXTS[:6000], iter(range(3))

    def note(shards, line):
        if next(notes) == 2:
            raise KeyboardInterrupt
        put(shards, line)

    put = _packing.Shards._note
    with monkeypatch.context() as patched:
        patched.setattr(_packing.Shards, "_note", note)
        with pytest.raises(KeyboardInterrupt):
            fastemb.ray.tokenize_dataset(dataset(good, 500), model.tokenizer, tmp_path / "a", shard_tokens=5000)
    before = {path.name: path.stat() for path in (tmp_path / "a").glob("*.npy")}
    del before["shard-00001.ids.npy"], before["shard-00001.ends.npy"]  # the journal does not know of it
    assert sorted(before) == ["shard-00000.ends.npy", "shard-00000.ids.npy"]
    fastemb.ray.tokenize_dataset(dataset(good, 500), model.tokenizer, tmp_path / "a", shard_tokens=5000)
    fastemb.ray.tokenize_dataset(dataset(good), model.tokenizer, tmp_path / "b", shard_tokens=5000)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for name, was in before.items():
        now = (tmp_path / "a" / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


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
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy"), "--engine", "ray"]) == 2
    assert "t.jsonl: line 4001: not JSON" in capsys.readouterr().err
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy")]) == 2
    file.write_text("\n".join(lines))
    assert main(["embed", str(file), *model, "-o", str(tmp_path / "v.npy"), "--engine", "ray", "--workers", "2"]) == 0
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
