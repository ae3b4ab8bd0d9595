"""What `fastemb embed` reads and writes, that memory is bounded, and that a run goes on where it was killed."""

import gzip
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest

import fastemb
from fastemb.__main__ import main
from fastemb._cli import reading

TEXTS = ['plain "quoted", words', "two\twords, é", "", "last 中文"]


@pytest.fixture(scope="module")
def vectors():
    return fastemb.StaticModel.load().encode(TEXTS)


def embed(*argv):
    assert main(["embed", *map(str, argv), "-q"]) == 0


def refused(capsys, *argv):
    capsys.readouterr()
    assert main(["embed", *map(str, argv), "-q"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastemb: error: ")
    assert err.count("\n") == 1
    return err


def write_csv(path, delimiter=","):
    quoted = ['"' + text.replace('"', '""') + '"' for text in TEXTS]
    path.write_text("id,text\r\n" + "".join(f"{i},{text}\r\n" for i, text in enumerate(quoted)), newline="")


WRITERS = {
    "txt": lambda path: path.write_text("\n".join(TEXTS)),
    "jsonl": lambda path: path.write_text("\n\n".join(json.dumps({"text": text}) for text in TEXTS)),
    "json": lambda path: path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS)),
    "ndjson": lambda path: path.write_text("\n".join(json.dumps(text) for text in TEXTS)),
    "csv": write_csv,
    "tsv": lambda path: path.write_text("text\tid\n" + "".join(f"{t.replace(chr(9), ' ')}\t1\n" for t in TEXTS)),
    "txt.gz": lambda path: path.write_bytes(gzip.compress("\n".join(TEXTS).encode())),
    "jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(json.dumps(t) for t in TEXTS).encode())),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_kinds_of_input(tmp_path, vectors, suffix):
    WRITERS[suffix](tmp_path / f"t.{suffix}")
    embed(tmp_path / f"t.{suffix}", "-o", tmp_path / "v.npy")
    expected = vectors
    if suffix == "tsv":
        expected = fastemb.StaticModel.load().encode([text.replace("\t", " ") for text in TEXTS])
    assert np.array_equal(np.load(tmp_path / "v.npy"), expected)


def test_parquet_in_and_out(tmp_path, vectors):
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"body": TEXTS, "n": range(4)}), tmp_path / "t.parquet")
    embed(tmp_path / "t.parquet", "--field", "body", "-o", tmp_path / "v.parquet")
    column = pq.read_table(tmp_path / "v.parquet")["vectors"]
    assert np.array_equal(np.array(column.to_pylist(), np.float32), vectors)


def test_zst(tmp_path, capsys, vectors):
    zstandard = pytest.importorskip("zstandard", reason="the package zstandard is not installed")
    packed = [zstandard.compress("\n".join(texts).encode()) for texts in (TEXTS[:2], ["", *TEXTS[2:]])]
    (tmp_path / "t.txt.zst").write_bytes(b"".join(packed))  # two frames
    embed(tmp_path / "t.txt.zst", "-o", tmp_path / "v.npy")
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
    (tmp_path / "t.txt.zst").write_bytes(b"no zst")
    assert "t.txt.zst: damaged .zst file" in refused(capsys, tmp_path / "t.txt.zst")


def test_without_zstandard_one_line_says_so(tmp_path, capsys, monkeypatch):
    for name in ("zstandard", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "t.txt.zst").write_bytes(b"")
    assert "needs the package zstandard: pip install zstandard" in refused(capsys, tmp_path / "t.txt.zst")


@pytest.mark.parametrize("cut", [30, 60])
def test_a_gz_file_that_ends_too_early(tmp_path, capsys, cut):
    data = gzip.compress("\n".join(TEXTS * 3).encode())
    (tmp_path / "t.gz").write_bytes(data[:cut])
    assert "t.gz: damaged .gz file" in refused(capsys, tmp_path / "t.gz")


def test_without_pyarrow_one_line_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for argv in (["t.parquet"], ["t.txt", "-o", "v.parquet"]):
        for name in ("t.parquet", "t.txt"):
            (tmp_path / name).write_text("a\n")
        argv = [tmp_path / word if "." in word else word for word in argv]
        assert "needs the package pyarrow: pip install pyarrow" in refused(capsys, *argv)


def test_kinds_of_output(tmp_path, vectors):
    file = tmp_path / "t.txt"
    WRITERS["txt"](file)
    embed(file, "-o", tmp_path / "v.npz")
    assert np.array_equal(np.load(tmp_path / "v.npz")["vectors"], vectors)
    embed(file, "-o", tmp_path / "v.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().split("\n")[:-1]]
    assert [row["text"] for row in rows] == TEXTS
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    embed(file, "-o", tmp_path / "v.bin", "--to", "safetensors")
    safetensors = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed")
    assert np.array_equal(safetensors.load_file(tmp_path / "v.bin")["vectors"], vectors)


def test_several_files_and_standard_input(tmp_path, vectors):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:1]))
    (tmp_path / "b.jsonl").write_text(json.dumps({"t": TEXTS[1]}))
    command = [sys.executable, "-m", "fastemb", "embed", tmp_path / "a.txt", tmp_path / "b.jsonl", "-", "--field", "t"]
    done = subprocess.run(
        [*command, "-o", "/dev/stdout"], input="\n".join(TEXTS[2:]).encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "v.npy").write_bytes(done.stdout)
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.jsonl", '{"text": "a"}\n{"txt": "b"}\n', "line 2: no field 'text'; there are 'txt'"),
        ("t.jsonl", '{"text": "a"}\n{"text": 7}\n', "line 2: expected a text, got a number"),
        ("t.jsonl", '{"text": "a"}\n{"text"\n', "line 2: not JSON"),
        ("t.json", '[\n"a"\n]\n', "line 1: not JSON: Expecting value at column 2 (.json is read as JSON Lines"),
        ("t.jsonl", '"a"\n"\\ud800"\n', "line 2: the text holds half of a surrogate pair"),
        ("t.csv", "text,n\na,1\nb\n", "line 3: 1 columns, where the first row has 2"),
        ("t.csv", 'text,n\na,1\n"b,1\n', "line 3: unexpected end of data"),
        ("t.csv", "id,body\n1,a\n", "no field 'text'; there are 'id', 'body'"),
        ("t.txt.gz", "no gz", "damaged .gz file"),
    ],
)
def test_bad_rows(tmp_path, capsys, name, text, words):
    (tmp_path / name).write_text(text)
    err = refused(capsys, tmp_path / name, "-o", tmp_path / "v.npy")
    assert name in err
    assert words in err
    assert not (tmp_path / "v.npy").exists()


def test_what_is_finished_is_kept_until_the_row_is_mended(tmp_path, capsys, vectors):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    good = [json.dumps({"text": text}) for text in TEXTS]
    file.write_text("\n".join([*good[:3], "bad", good[3]]))
    assert "line 4: not JSON: Expecting value at column 1; what was finished is kept in v.npy.part" in refused(
        capsys, file, "-o", out
    )
    file.write_text("\n".join(good))
    assert main(["embed", str(file), "-o", str(out)]) == 0
    assert re.search(r"of a run before *3\n", capsys.readouterr().out)
    assert np.array_equal(np.load(out), vectors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "v.npy"]


def test_a_file_that_begins_otherwise_is_begun_anew(tmp_path, capsys, vectors):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    file.write_text('"another text"\nbad\n')
    refused(capsys, file, "-o", out)
    file.write_text("\n".join(json.dumps(text) for text in TEXTS))
    assert main(["embed", str(file), "-o", str(out)]) == 0
    assert "does not begin as it did when the run before was ended: begun anew" in capsys.readouterr().err
    assert np.array_equal(np.load(out), vectors)


def test_a_file_before_the_one_that_was_read_counts_too(tmp_path, capsys):
    first, second, out = tmp_path / "a.txt", tmp_path / "b.jsonl", tmp_path / "v.npy"
    first.write_text("one\n")
    second.write_text('"two"\nbad\n')
    refused(capsys, first, second, "-o", out)
    first.write_text("six\n")
    second.write_text('"two"\n')
    assert main(["embed", str(first), str(second), "-o", str(out)]) == 0
    assert "begun anew" in capsys.readouterr().err
    assert np.array_equal(np.load(out), fastemb.StaticModel.load().encode(["six", "two"]))


def test_the_part_of_another_run_is_replaced(tmp_path, capsys, vectors):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    file.write_text('"another text"\nbad\n')
    refused(capsys, file, "-o", out)
    WRITERS["txt"](tmp_path / "t.txt")
    assert main(["embed", str(tmp_path / "t.txt"), "-o", str(out)]) == 0
    assert "v.npy.part: the part of another run is replaced" in capsys.readouterr().err
    assert np.array_equal(np.load(out), vectors)


@pytest.mark.parametrize("option", [["--normalize"], ["--dim", "64"], ["--to", "npz"]])
def test_the_part_of_other_options_is_replaced(tmp_path, capsys, option):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    file.write_text('"one"\nbad\n')
    refused(capsys, file, "-o", out)
    file.write_text('"one"\n')
    assert main(["embed", str(file), "-o", str(out), *option]) == 0
    assert "v.npy.part: the part of another run is replaced" in capsys.readouterr().err


def test_a_part_that_is_of_no_run_is_left_alone(tmp_path, capsys):
    WRITERS["txt"](tmp_path / "t.txt")
    (tmp_path / "v.npy.part").write_text("mine")
    assert "is in the way, and of no run of fastemb" in refused(capsys, tmp_path / "t.txt", "-o", tmp_path / "v.npy")
    assert (tmp_path / "v.npy.part").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.txt", "v.npy.part"]


def test_a_journal_whose_last_line_is_cut_off(tmp_path, capsys, vectors):
    """As a failure of the machine may leave it: what is whole counts, what the part holds behind it does not."""
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    good = [json.dumps({"text": text}) for text in TEXTS]
    file.write_text("\n".join([*good[:3], "bad"]))
    refused(capsys, file, "-o", out)
    with open(tmp_path / "v.npy.part", "ab") as part, open(tmp_path / "v.npy.part.journal", "ab") as journal:
        part.write(b"more" * 99)
        journal.write(b'01234567 {"at": [0, 9')
    file.write_text("\n".join(good))
    embed(file, "-o", out)
    assert np.array_equal(np.load(out), vectors)


SLOW = """
import sys
from fastemb._cli.reading import records
from fastemb._cli.writing import resuming
from fastemb.__main__ import main
records.CHUNK, resuming.SECONDS = 1 << 12, 0.0
sys.exit(main(sys.argv[1:]))
"""

KILLED = """
import contextlib, json, os, pathlib, signal, sys
import fastemb
from fastemb._cli.reading import records
from fastemb._cli.writing import resuming
from fastemb.__main__ import main

records.CHUNK, resuming.SECONDS = 1 << 12, 0.0
text, folder, out = sys.argv[1:]
folder, whole = pathlib.Path(folder), pathlib.Path(folder).with_name(out)
model = fastemb.StaticModel.load()
fastemb.StaticModel.load = lambda *arguments, **options: model  # once for all
assert main(["embed", text, "-o", str(whole), "--threads", "1", "-q"]) == 0
step = last = 0

def killed_at_last(call, half=False):
    def counted(*arguments, **options):
        global step
        step += 1
        if step == last:
            if half:  # of what was to be written
                view = memoryview(arguments[1]).cast("B")
                call(arguments[0], view[: len(view) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return counted

for name in ("fsync", "fdatasync", "chmod", "replace", "unlink"):
    setattr(os, name, killed_at_last(getattr(os, name)))
pathlib.Path.unlink = killed_at_last(pathlib.Path.unlink)  # which Python 3.11 calls another way
resuming.write_all = killed_at_last(resuming.write_all, half=True)

def run(path, until=0):
    # Return whether the command has ended, and of how many documents it says that a run before had them.
    global step, last
    said = folder / "said"
    child = os.fork()
    if not child:
        step, last = 0, until
        with open(said, "w") as file, contextlib.redirect_stdout(file):
            status = main(["embed", text, "-o", str(path), "--threads", "1"])
        os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert status == 0 or (until and os.WTERMSIG(status) == signal.SIGKILL), (until, status)
    words = said.read_text().split("of a run before")
    said.unlink()
    return status == 0, 0 if len(words) == 1 else int(words[1].split()[0].replace(",", ""))

def kept():
    # Return how many documents a part has, by its journal.
    part, journal = folder / f"{out}.part", folder / f"{out}.part.journal"
    lines = journal.read_bytes().split(b"\\n")[:-1] if part.exists() else []
    return json.loads(lines[-1][9:])["documents"] if len(lines) > 1 else 0

def same():
    assert (folder / out).read_bytes() == whole.read_bytes()
    assert [path.name for path in folder.iterdir()] == [out]

steps = gone_on = 0
while not run(folder / out, steps + 1)[0]:  # killed at its first step, at its second, ...: the next run ends it
    steps += 1
    before = kept()
    if (folder / out).exists():  # killed when it removed what lies beside it
        assert (folder / out).read_bytes() == whole.read_bytes()
    assert run(folder / out) == (True, before), steps
    same()
    (folder / out).unlink()
    gone_on += before > 0
same()
(folder / out).unlink()
runs = 0
while not (folder / out).exists():  # killed at the twelfth step of each run: every one comes further
    runs, before = runs + 1, kept()
    run(folder / out, 12)
    assert kept() > before or (folder / out).exists()
run(folder / out)
same()
print(steps, gone_on, runs)
"""


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("t.txt", "v.npy"),
        ("t.txt.gz", "v.npz"),
        pytest.param("t.csv", "v.jsonl", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_at_any_step_the_same_command_ends_with_the_same_bytes(tmp_path, name, out):
    """At every write, of which half is done, and before every file is synchronized, replaced or removed."""
    draw = random.Random(name)
    lines = [" ".join(draw.choices(["a", "word", "of", "some", "text"], k=9)) for _ in range(1_000)]
    data = ("text\n" + "\n".join(lines) + "\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path / name), str(tmp_path / "out"), out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps, gone_on, runs = map(int, done.stdout.split())
    assert steps > 30
    assert gone_on > steps / 2
    assert runs > 3


def test_a_full_disk(tmp_path, vectors):
    """A limit on the size of files stands for it: the finished part is kept, and the next run goes on."""
    (tmp_path / "t.txt").write_text("some words\n" * 4000)
    code = SLOW.replace("import sys", "import resource, sys").replace(
        "sys.exit", "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))\nsys.exit"
    )
    command = ["embed", str(tmp_path / "t.txt"), "-o", str(tmp_path / "v.npy")]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fastemb: error: {tmp_path / 'v.npy'}: File too large; what was finished is kept")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "v.npy.part").exists()
    embed(*command[1:])
    assert np.array_equal(np.load(tmp_path / "v.npy"), fastemb.StaticModel.load().encode(["some words"] * 4000))


def test_a_full_device(tmp_path, capfd):
    (tmp_path / "t.txt").write_text("some words\n")
    for kind in ("npy", "npz", "jsonl"):
        assert main(["embed", str(tmp_path / "t.txt"), "-q", "-o", "/dev/full", "--to", kind]) == 2
        assert capfd.readouterr().err == "fastemb: error: /dev/full: No space left on device\n"
    command = f"{sys.executable} -m fastemb {{}} > /dev/full"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for argv in (f"embed {tmp_path / 't.txt'} -q -o -", f"search words {tmp_path / 't.txt'}"):
        done = subprocess.run(command.format(argv), shell=True, env=buffered, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (2, b"fastemb: error: standard output: No space left on device\n")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_full_folder_of_temporary_files(tmp_path, kind):
    """What waits there for a pipe is not whole: the folder is named, not the pipe."""
    (tmp_path / "t.txt").write_text("some words\n" * 4000)
    code = SLOW.replace("import sys", "import resource, sys").replace(
        "sys.exit", "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))\nsys.exit"
    )
    command = [sys.executable, "-c", code, "embed", str(tmp_path / "t.txt"), "-o", "-", "--to", kind]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    words = f"fastemb: error: temporary file in {tmp_path}: File too large\n".encode()
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", words)


@pytest.mark.parametrize("kind", ["npy", "jsonl"])
def test_a_closed_pipe(tmp_path, kind):
    (tmp_path / "t.txt").write_text("some words\n" * 3000)
    command = (
        f"{sys.executable} -m fastemb embed {tmp_path / 't.txt'} -o - --to {kind} | head -c 10; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.stdout[10:].strip(), done.stderr) == (b"141", b"")


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Peak memory of 50 MB of text, whose vectors are as many bytes, is that of a small file and a constant."""
    with open(tmp_path / "t.txt", "w") as file:
        for i in range(100):
            file.write(("word " * 99 + f"{i}\n") * 1000)
    code = (
        "import re, sys; from fastemb.__main__ import main; assert main(sys.argv[1:]) == 0;"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    command = [sys.executable, "-c", code, "embed", str(tmp_path / "t.txt"), "-q", "-o", str(tmp_path / "v.npy")]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak < 400
    assert np.load(tmp_path / "v.npy", mmap_mode="r").shape == (100_000, 128)


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_any_place_of_a_file_can_be_gone_on_from(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 2)
    monkeypatch.setattr("fastemb._cli.reading.records.CHUNK", 16)
    WRITERS[suffix](tmp_path / f"t.{suffix}")
    files = reading.sources([str(tmp_path / f"t.{suffix}")] * 2)
    blocks = list(reading.read(files))
    assert [text for block in blocks for text in block.texts] == TEXTS * 2
    for number, block in enumerate(blocks):
        rest = list(reading.read(files, block.end))
        assert [text for b in rest for text in b.texts] == [t for b in blocks[number + 1 :] for t in b.texts]
        assert not rest or rest[-1].end == blocks[-1].end


def test_each_thread_has_its_own_room_for_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr("fastemb._cli.reading.records.CHUNK", 1 << 11)  # hundreds of blocks
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    texts = [f"{word} {i}" for i in range(9_000) for word in ("zebra", "market", "")]
    (tmp_path / "t.txt").write_text("".join(f"{text}\n" for text in texts))
    before = fastemb.get_num_threads()
    try:
        embed(tmp_path / "t.txt", "-o", tmp_path / "v.npy", "--threads", 4)
    finally:
        fastemb.set_num_threads(before)
    assert np.array_equal(np.load(tmp_path / "v.npy"), fastemb.StaticModel.load().encode(texts))


def test_a_part_that_is_shorter_than_its_journal_says_is_begun_anew(tmp_path, capsys):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    file.write_text('"one"\nbad\n')
    refused(capsys, file, "-o", out)
    with open(tmp_path / "v.npy.part", "r+b") as part:
        part.truncate(200)
    file.write_text('"one"\n')
    embed(file, "-o", out)
    assert np.array_equal(np.load(out), fastemb.StaticModel.load().encode(["one"]))


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_a_byte_order_mark_is_one_before_the_first_line_alone(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 1)  # so that later lines begin a block
    (tmp_path / f"t.{suffix}").write_text("\ufefftext\n\ufeffa\n\ufeff\n", "utf-8")
    files = reading.sources([str(tmp_path / f"t.{suffix}")])
    expected = ["text", "\ufeffa", "\ufeff"]
    assert [text for block in reading.read(files) for text in block.texts] == expected[suffix == "csv" :]


def test_the_kind_of_a_file_may_be_said(tmp_path, vectors):
    WRITERS["jsonl"](tmp_path / "t.log")
    embed(tmp_path / "t.log", "--from", "jsonl", "-o", tmp_path / "v.npy")
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
