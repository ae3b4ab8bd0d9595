"""`examples/embed_dataset.py`: columns of Hugging Face's datasets, and fingerprints that are those of the contents."""

import json
import subprocess
import sys

import numpy as np
import pytest

datasets = pytest.importorskip("datasets", reason="datasets, of the extra datasets, is not installed")

from datasets.fingerprint import Hasher  # noqa: E402
from neighbour_cases import WORDS, make_folder, make_model  # noqa: E402
from test_examples import load_example  # noqa: E402

TEXTS = [f"{word} {i}" for i in range(40) for word in WORDS]


@pytest.fixture(scope="module")
def example():
    return load_example("embed_dataset")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test alone, and no bar."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return tmp_path / "cache"


def write(folder, kind):
    """Write the texts as a file of that kind."""
    file = folder / f"texts{kind}"
    table = datasets.Dataset.from_dict({"text": TEXTS, "n": list(range(len(TEXTS)))})
    match kind:
        case ".txt":
            file.write_text("\n".join(TEXTS), encoding="utf-8")
        case ".parquet":
            table.to_parquet(file)
        case ".jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
        case _:
            table.to_csv(file, sep="\t" if kind == ".tsv" else ",", index=False)
    return file


@pytest.mark.parametrize(
    ("kind", "out"), [(".txt", "f"), (".csv", "f.parquet"), (".tsv", "f"), (".jsonl", "f.parquet")]
)
def test_files_become_vectors(example, cache, tmp_path, capsys, kind, out):
    folder = tmp_path / "model"
    folder.mkdir()
    make_folder(folder)
    file = write(tmp_path, kind)
    example.main([str(file), "--model", str(folder), "--out", str(tmp_path / out)])
    read = datasets.load_from_disk if out == "f" else datasets.Dataset.from_parquet
    made = read(str(tmp_path / out))
    assert made["text"][:] == TEXTS
    assert made.features["vector"] == datasets.List(datasets.Value("float32"), length=8)
    vectors = made.with_format("numpy")["vector"][:]
    np.testing.assert_array_equal(vectors, make_model().encode(TEXTS, normalize=True))
    assert f"{len(TEXTS)} texts, 8 numbers each" in capsys.readouterr().out


def test_two_processes_make_the_same(example, cache):
    table = datasets.Dataset.from_dict({"body": TEXTS})
    one, two = (example.embed(table, make_model(), "body", processes) for processes in (1, 2))
    vectors = make_model().encode(TEXTS, normalize=True)
    for made in (one, two):
        np.testing.assert_array_equal(made.with_format("numpy")["vector"][:], vectors)
    assert two["body"][:] == TEXTS


def test_what_was_computed_is_kept(example, cache, tmp_path, monkeypatch):
    """A second run, with a model read anew, finds the file of the first; another model or column does not."""
    file, calls = write(tmp_path, ".parquet"), []
    table = datasets.load_dataset("parquet", data_files=str(file), split="train")
    first = example.embed(table, make_model(), "text", 1)
    encode = type(make_model()).encode
    monkeypatch.setattr("fastemb.StaticModel.encode", lambda *a, **o: calls.append(len(a[1])) or encode(*a, **o))
    again = example.embed(table, make_model(), "text", 1)
    assert again._fingerprint == first._fingerprint
    assert again.cache_files == first.cache_files
    assert len(TEXTS) not in calls
    other = example.embed(table, make_model(seed=1), "text", 1)
    assert other._fingerprint != first._fingerprint
    assert len(TEXTS) in calls


def test_fingerprints_are_those_of_the_contents(example):
    """The same in other processes, whatever the order of hashes there."""
    here = Hasher.hash(example.Embed(make_model(), "text", normalize=True))
    code = (
        "from test_examples import load_example; from neighbour_cases import make_model; "
        "from datasets.fingerprint import Hasher; example = load_example('embed_dataset'); "
        "print(Hasher.hash(example.Embed(make_model(), 'text', normalize=True)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert ended.stdout.strip() == here
    others = [
        example.Embed(make_model(seed=1), "text", normalize=True),
        example.Embed(make_model(), "body", normalize=True),
        example.Embed(make_model(), "text"),
    ]
    assert len({here, *map(Hasher.hash, others)}) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.txt", "b.csv"], "files must be of one kind"),
        (["a.pdf"], "got a.pdf"),
        (["texts.parquet", "--column", "body"], "--column must be one of text, n, got body"),
    ],
)
def test_what_it_refuses(example, cache, tmp_path, capsys, monkeypatch, arguments, words):
    write(tmp_path, ".parquet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        example.main([*arguments, "--out", "vectors.parquet"])
    assert words in capsys.readouterr().err
    assert not (tmp_path / "vectors.parquet").exists()
