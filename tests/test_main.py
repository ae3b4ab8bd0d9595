"""The command line: what a user sees, and that a failure leaves nothing behind."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastemb
from fastemb.__main__ import main

PACKAGE = Path(fastemb.__file__).parent
TEXT = "First document.\nSecond one, a little longer.\r\n\nAfter an empty\x0cone\u2028still here\x85and here\n"
DOCUMENTS = ["First document.", "Second one, a little longer.", "", "After an empty\x0cone\u2028still here\x85and here"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_vectors_are_those_of_the_model(file, tmp_path, capsys):
    out = tmp_path / "vectors.npy"
    assert main(["embed", str(file), "-o", str(out)]) == 0
    vectors = np.load(out)
    assert np.array_equal(vectors, fastemb.StaticModel.load().encode(DOCUMENTS))
    assert vectors.dtype == np.float32
    assert not vectors[2].any()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["texts.txt", "vectors.npy"]

    printed = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    tokens = fastemb.StaticModel.load().tokenizer.encode_batch(DOCUMENTS, special="all").ids.size
    assert (printed["documents"], printed["tokens"], printed["bytes"]) == ("4", str(tokens), str(len(TEXT.encode())))
    for stage in ("read", "load model", "load kernels", "tokenize", "look up, pool", "write"):
        assert re.fullmatch(
            r"\d+\.\d{3} s", (printed | {"look up, pool": printed.get("look up, pool", "0.000 s")})[stage]
        )
    assert re.fullmatch(r"[\d,]+ documents/s, [\d,]+ tokens/s, [\d.]+ MB/s", printed["throughput"])
    assert printed["wrote"] == f"{out}  (4, 256) float32"


def test_without_output_the_first_rows_are_shown(file, capsys):
    assert main(["embed", str(file)]) == 0
    printed = capsys.readouterr().out
    first = fastemb.StaticModel.load().encode(DOCUMENTS[0])
    assert "(4, 256) float32" in printed
    assert f"[{first[0]: .6f} {first[1]: .6f} {first[2]: .6f} ...]" in printed
    assert "[ 0.000000  0.000000  0.000000 ...]" in printed


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"a", 1),
        (b"a\n", 1),
        (b"a\n\n", 2),
        (b"\r\n\r\n", 2),
        (b"a\rb\r\r\nc", 2),
        (b"\xef\xbb\xbfa", 1),
    ],
)
def test_what_a_line_is(tmp_path, data, count):
    (tmp_path / "t").write_bytes(data)
    assert main(["embed", str(tmp_path / "t"), "-o", str(tmp_path / "v.npy"), "-q"]) == 0
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.shape == (count, 256)
    lines = [line.removesuffix(b"\r").decode() for line in data.removesuffix(b"\n").split(b"\n")] if data else []
    assert np.array_equal(vectors, fastemb.StaticModel.load().encode(lines))


def test_standard_input(monkeypatch, tmp_path):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["embed", "-", "-q", "-o", str(tmp_path / "v.npy")]) == 0
    assert np.load(tmp_path / "v.npy").shape == (4, 256)


def test_options(file, tmp_path, llama_file, llama_weights):
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(llama_file, model / "tokenizer.json")
    shutil.copy(llama_weights, model / "table.safetensors")
    out = tmp_path / "v.npy"
    options = ["--model", str(model), "--dim", "64", "--normalize", "--threads", "1", "-q"]
    before = fastemb.get_num_threads()
    try:
        assert main(["embed", str(file), "-o", str(out), *options]) == 0
    finally:
        fastemb.set_num_threads(before)
    assert np.array_equal(np.load(out), fastemb.StaticModel.load(dim=64).encode(DOCUMENTS, normalize=True))


def test_many_batches(monkeypatch, file, tmp_path, capsys):
    """Small batches give the same vectors, and progress is shown to a terminal."""
    monkeypatch.setattr("fastemb.__main__.BATCH", 3)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["embed", str(file), "-o", str(tmp_path / "v.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "v.npy"), fastemb.StaticModel.load().encode(DOCUMENTS))
    assert capsys.readouterr().err == "\r3 of 4 documents\r4 of 4 documents\n"


def refused(capsys, *argv):
    """The one line that a refused call prints."""
    assert main(["embed", *map(str, argv)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"fastemb: error: [^\n]+\n", printed.err)
    return printed.err


def test_bad_input(file, tmp_path, capsys):
    out = tmp_path / "v.npy"
    assert "nowhere.txt: No such file" in refused(capsys, tmp_path / "nowhere.txt", "-o", out)
    assert "Is a directory" in refused(capsys, tmp_path, "-o", out)
    (tmp_path / "latin").write_bytes(b"ok\nna\xefve\n")
    assert "latin: not UTF-8: byte 0xEF at offset 5 (line 2)" in refused(capsys, tmp_path / "latin", "-o", out)
    assert "no model at" in refused(capsys, file, "--model", tmp_path / "none", "-o", out)
    assert "holds no tokenizer.json" in refused(capsys, file, "--model", tmp_path, "-o", out)
    assert "dim must be from 1 to 256, got 9999" in refused(capsys, file, "--dim", 9999, "-o", out)
    assert "got 0" in refused(capsys, file, "--threads", 0, "-o", out)
    assert "does not exist" in refused(capsys, file, "-o", tmp_path / "no" / "v.npy")
    assert "is a folder" in refused(capsys, file, "-o", tmp_path)
    assert not out.exists()


def test_damaged_models(file, tmp_path, capsys, llama_file, llama_weights):
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(llama_weights, model / "model.safetensors")
    (model / "tokenizer.json").write_bytes(llama_file.read_bytes()[:-9])
    assert "tokenizer.json: not valid JSON" in refused(capsys, file, "--model", model)
    (model / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    assert "not supported yet: model type 'Unigram'" in refused(capsys, file, "--model", model)
    shutil.copy(llama_file, model / "tokenizer.json")
    (model / "model.safetensors").write_bytes(llama_weights.read_bytes()[:5000])
    assert "model.safetensors: damaged" in refused(capsys, file, "--model", model)


def test_a_failed_write_leaves_what_was_there(file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "v.npy"
    out.write_bytes(b"precious")

    def fail(target, array):
        target.write(b"half")
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr(np, "save", fail)
    assert "No space left" in refused(capsys, file, "-o", out)
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["texts.txt", "v.npy"]


def test_interrupted(monkeypatch, file, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastemb.StaticModel, "load", stop)
    assert main(["embed", str(file)]) == 130
    assert capsys.readouterr().err == "fastemb: interrupted\n"


def test_usage(capsys):
    for argv in ([], ["embed"], ["nothing"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"fastemb {fastemb.__version__}" in capsys.readouterr().out


# ---------------------------------------------------------------- from the root of a clone


def copy_package(to, built):
    ignore = shutil.ignore_patterns("__pycache__", *([] if built else ["_core.*.so", "_core.*.pyd"]))
    shutil.copytree(PACKAGE, to / "fastemb", ignore=ignore)
    return to


def run_module(cwd, path, *argv):
    env = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-m", "fastemb", *map(str, argv)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unbuilt_source_tree_gives_way_to_the_installed_package(tmp_path, file):
    clone = copy_package(tmp_path / "clone", built=False)
    site = copy_package(tmp_path / "site", built=True)
    done = run_module(clone, site, "embed", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "(4, 256) float32" in done.stdout


def test_an_unbuilt_source_tree_alone_says_what_to_do(tmp_path, file):
    clone = copy_package(tmp_path / "clone", built=False)
    # An installed fastemb would be found, so its place is taken off the path; other packages stay.
    code = (
        "import sys, os, runpy;"
        "sys.path[:] = [p for p in sys.path if not os.path.isfile(os.path.join(p, 'fastemb', '__init__.py'))];"
        f"sys.path.insert(0, {str(clone)!r}); sys.argv = ['fastemb', 'embed', {str(file)!r}];"
        "runpy.run_module('fastemb', run_name='__main__', alter_sys=True)"
    )
    linked = tmp_path / "linked"  # site-packages without fastemb
    linked.mkdir()
    for place in [Path(p) for p in sys.path if "site-packages" in p]:
        for entry in place.iterdir():
            if not entry.name.startswith(("fastemb", "__editable__")) and entry.suffix != ".pth":
                (linked / entry.name).symlink_to(entry)
    env = os.environ | {"PYTHONPATH": str(linked)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=clone, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"fastemb: error: .*has not been built: run `pip install \.`.*\n", done.stderr)


def test_the_installed_command():
    found = shutil.which("fastemb", path=str(Path(sys.executable).parent))
    assert found, "the console script is not installed"
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fastemb {fastemb.__version__}\n"
