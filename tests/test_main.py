"""The command line: what a user sees, and that a failure leaves nothing behind."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastemb
from fastemb.__main__ import main
from fastemb._cli import progress, reading
from fastemb._cli.writing.resuming import Part

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
    tokens = fastemb.StaticModel.load().tokenizer.encode_batch(DOCUMENTS).ids.size
    assert (printed["documents"], printed["tokens"], printed["bytes"]) == ("4", str(tokens), str(len(TEXT.encode())))
    for stage in ("read", "load model", "load kernels", "tokenize", "look up, pool", "write"):
        assert re.fullmatch(
            r"\d+\.\d{3} s", (printed | {"look up, pool": printed.get("look up, pool", "0.000 s")})[stage]
        )
    assert re.fullmatch(r"[\d,]+ documents/s, [\d,]+ tokens/s, [\d.]+ MB/s", printed["throughput"])
    assert printed["wrote"] == f"{out}  (4, 128) float32"


def test_without_output_the_first_rows_are_shown(file, capsys):
    assert main(["embed", str(file)]) == 0
    printed = capsys.readouterr().out
    first = fastemb.StaticModel.load().encode(DOCUMENTS[0])
    assert "(4, 128) float32" in printed
    assert f"[{first[0]: .6f} {first[1]: .6f} {first[2]: .6f} ...]" in printed
    assert "[ 0.000000  0.000000  0.000000 ...]" in printed


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"\r\n\r\n", ["", ""]),
        (b"a\rb\r\r\nc", ["a\rb\r", "c"]),
        (b"a\r", ["a\r"]),  # a \r is dropped before a \n only
        (b"a\n\r", ["a", "\r"]),
        (b"\xef\xbb\xbfa\x00\n\xef\xbb\xbfb", ["a\x00", "\ufeffb"]),  # a byte order mark is one at the start alone
        (b"\xef\xbb\xbf", []),
    ],
)
def test_what_a_line_is(tmp_path, data, lines):
    (tmp_path / "t").write_bytes(data)
    blocks = list(reading.read(reading.sources([str(tmp_path / "t")])))
    assert [text for block in blocks for text in block.texts] == lines
    assert sum(block.size for block in blocks) == len(data)
    assert main(["embed", str(tmp_path / "t"), "-o", str(tmp_path / "v.npy"), "-q"]) == 0
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.shape == (len(lines), 128)
    assert np.array_equal(vectors, fastemb.StaticModel.load().encode(lines))


def test_standard_input(monkeypatch, tmp_path):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["embed", "-", "-q", "-o", str(tmp_path / "v.npy")]) == 0
    assert np.load(tmp_path / "v.npy").shape == (4, 128)


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
    assert np.array_equal(np.load(out), fastemb.StaticModel.load(model, dim=64).encode(DOCUMENTS, normalize=True))


def test_many_batches(monkeypatch, file, tmp_path, capsys):
    """Small batches give the same vectors, and progress is shown to a terminal."""
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 3)
    monkeypatch.setattr("fastemb._cli.progress.TICK", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["embed", str(file), "-o", str(tmp_path / "v.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "v.npy"), fastemb.StaticModel.load().encode(DOCUMENTS))
    shown = capsys.readouterr().err
    words = f"\r{progress.LOADING}"
    shown = shown.removeprefix(words + "\r" + " " * len(progress.LOADING) + "\r")
    assert re.fullmatch(r"\r *\d+ %  3 documents  [^\r]*\r100 %  4 documents  [\d.]+ MB/s +0:00 left *\n", shown)


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
    assert "dim must be from 1 to 128, got 9999" in refused(capsys, file, "--dim", 9999, "-o", out)
    assert "got 0" in refused(capsys, file, "--threads", 0, "-o", out)
    assert "v.npy: No such file" in refused(capsys, file, "-o", tmp_path / "no" / "v.npy")
    assert "is no file that could be replaced" in refused(capsys, file, "-o", tmp_path)
    assert "dim must be at least 1, got 0" in refused(capsys, file, "--dim", 0)
    assert "a b.txt" in refused(capsys, tmp_path / "a\nb.txt", "-o", out)
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_may_not_be_overwritten(file, tmp_path, capsys):
    assert "is no file that could be replaced" in refused(capsys, file, "-o", tmp_path)
    assert "is a file that is to be read" in refused(capsys, file, "-o", file)
    (tmp_path / "link").symlink_to(file)
    assert "is a file that is to be read" in refused(capsys, file, "-o", tmp_path / "link")
    assert file.read_bytes() == TEXT.encode()


def test_the_model_is_not_overwritten(file, tmp_path, capsys, llama_file, llama_weights):
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(llama_file, model / "tokenizer.json")
    shutil.copy(llama_weights, model / "model.safetensors")
    for name in ("tokenizer.json", "model.safetensors"):
        assert "belongs to the model" in refused(capsys, file, "--model", model, "-o", model / name)
    assert (model / "model.safetensors").read_bytes() == llama_weights.read_bytes()
    assert main(["embed", str(file), "-q", "--model", str(model), "-o", str(model / "new.npy")]) == 0


def test_a_text_that_comes_by_redirection_is_not_overwritten(file):
    with open(file, "rb") as text:
        done = subprocess.run(
            [sys.executable, "-m", "fastemb", "embed", "-", "-o", str(file)],
            stdin=text,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, file.read_bytes()) == (2, TEXT.encode())
    assert "is a file that is to be read" in done.stderr


def test_two_runs_at_once_do_not_meet(file, tmp_path, capsys):
    """Outputs of one folder have parts of their own; of one output a second run is refused."""
    with Part(tmp_path / "a.npy", {}) as a, Part(tmp_path / "b.npy", {}) as b:
        a.write(b"A")
        b.write(b"B")
        assert "a.npy: is being written by another run" in refused(capsys, file, "-o", tmp_path / "a.npy")
        for part in (a, b):
            part.finish(lambda file, new: None, elsewhere=False)
    assert ((tmp_path / "a.npy").read_bytes(), (tmp_path / "b.npy").read_bytes()) == (b"A", b"B")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_behind(file, tmp_path, name):
    code = (
        "import os, signal, sys, fastemb; from fastemb.__main__ import main;"
        f"fastemb.StaticModel.load = lambda *a, **k: os.kill(os.getpid(), signal.{name});"
        f"sys.exit(main(['embed', {str(file)!r}, '-o', {str(tmp_path / 'v.npy')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts.txt"]


@pytest.mark.parametrize(
    ("redirect", "status", "words"),
    [
        pytest.param(">&-", 0, "", marks=pytest.mark.exhaustive),  # a second each: both at once are the sample
        pytest.param("2>&-", 0, "", marks=pytest.mark.exhaustive),
        (">&- 2>&-", 0, ""),
        ("<&-", 0, ""),
        ("- <&-", 2, "standard input is closed"),
    ],
)
def test_closed_streams(file, tmp_path, redirect, status, words):
    out = tmp_path / "v.npy"
    source = "" if redirect.startswith("- ") else str(file)
    command = f"exec {sys.executable} -m fastemb embed {source} {redirect} -o {out}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert out.exists() == (status == 0)


def test_a_name_that_the_terminal_cannot_show(file, tmp_path):
    out = tmp_path / "é\n.npy"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "fastemb", "embed", str(file), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.exists()
    assert len(done.stdout.splitlines()[-1].split("  (4, 128)")) == 2


def test_a_loop_of_links(file, tmp_path, capsys):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "symbolic links" in refused(capsys, file, "-o", tmp_path / "a")


def test_a_link_is_written_through_and_the_mode_kept(file, tmp_path):
    target = tmp_path / "target.npy"
    target.write_bytes(b"old")
    target.chmod(0o640)
    (tmp_path / "link.npy").symlink_to(target)
    assert main(["embed", str(file), "-q", "-o", str(tmp_path / "link.npy")]) == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(target).shape == (4, 128)
    assert target.stat().st_mode & 0o777 == 0o640


def test_nobody_listens(file):
    """As with `| head`: no complaint, and the shell's usual status."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "fastemb", "embed", str(file)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_memory_is_for_a_batch_not_for_all(tmp_path):
    """A million empty documents make 1 GB of zeros on the disk, or none: never in memory."""
    (tmp_path / "t").write_bytes(b"\n" * 1_000_000)
    code = (
        "import re; from fastemb.__main__ import main;"
        f"main(['embed', {str(tmp_path / 't')!r}]);"
        # not ru_maxrss, which a child has from the process that started it
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "(1000000, 128) float32" in done.stdout
    assert int(done.stdout.split()[-1]) < 600


def test_damaged_models(file, tmp_path, capsys, llama_file, llama_weights):
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(llama_weights, model / "model.safetensors")
    (model / "tokenizer.json").write_bytes(llama_file.read_bytes()[:-9])
    assert "tokenizer.json: not valid JSON" in refused(capsys, file, "--model", model)
    (model / "tokenizer.json").write_text('{"model": {"type": "Trigram"}}')
    assert "not supported yet: model type 'Trigram'" in refused(capsys, file, "--model", model)
    shutil.copy(llama_file, model / "tokenizer.json")
    (model / "model.safetensors").write_bytes(llama_weights.read_bytes()[:5000])
    assert "model.safetensors: damaged" in refused(capsys, file, "--model", model)


def test_a_failed_write_leaves_what_was_there(file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "v.npy"
    out.write_bytes(b"precious")

    def fail(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastemb._cli.writing.resuming.write_all", fail)
    assert "No space left" in refused(capsys, file, "-o", out)
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["texts.txt", "v.npy"]


def test_interrupted(monkeypatch, file, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastemb.StaticModel, "load", stop)
    assert main(["embed", str(file)]) == 130
    assert capsys.readouterr().err == "fastemb: interrupted\n"
    monkeypatch.setattr("fastemb._cli.parser.make_parser", stop)  # which imports
    assert main(["embed", str(file)]) == 130
    assert capsys.readouterr().err == "fastemb: interrupted\n"


def test_usage(capsys):
    for argv in ([], ["embed"], ["nothing"], ["embed", "x", "--threads", "abc"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2
        assert re.fullmatch(r"fastemb: error: [^\n]+ --help\)\n", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"fastemb {fastemb.__version__}" in capsys.readouterr().out


# ---------------------------------------------------------------- from the root of a clone


def copy_package(to, built):
    """Copy the package; one that was built keeps its compiled kernels, which would take seconds again."""
    ignore = None if built else shutil.ignore_patterns("__pycache__", "_core.*.so", "_core.*.pyd")
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
    assert "(4, 128) float32" in done.stdout


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
