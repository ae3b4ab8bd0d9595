"""Files that nobody should have written: each is refused by one line with status 2, and nothing is left behind."""

import gzip
import io
import json
import os
import re
import struct
import sys
import zipfile

import numpy as np
import pytest
from word_cases import VOCAB, document

import fastemb
from fastemb.__main__ import main

VECTORS = b"the 1 2 3\ncat 4 5 6\n"  # GloVe's: a small model, read in no time


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "vectors.txt").write_bytes(VECTORS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capfd, *argv):
    assert main([*map(str, argv)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"fastemb: error: [^\n]+\n", err)
    return err


def packed(header, data=b""):
    """A file of safetensors."""
    return struct.pack("<Q", len(header)) + header.encode() + data


def table(start, end):
    """One whose table is said to stand there; it has 32 bytes."""
    said = {"dtype": "F32", "shape": [2, 4], "data_offsets": [start, end]}
    return packed(json.dumps({"embedding.weight": said}), bytes(32))


def endless():
    """The beginning of an array of petabytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (1 << 50,)})
    return file.getvalue()


def zipped(**arrays):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in arrays.items():
            made.writestr(f"{name}.npy", data)
    return file.getvalue()


def embed(name, *more):
    return "embed", name, "--model", "vectors.txt", "-q", "-o", "v.npy", *more


READ = {
    "CSV, CRLF and a quoted line end": (
        "t.csv",
        b'text,b\r\n"the\r\ncat",1\r\ncat,2\r\n',
        [[2.5, 3.5, 4.5], [4, 5, 6]],
    ),
    "CSV, line ends of old": ("t.csv", b"text,b\rthe,1\rcat,2\r", [[1, 2, 3], [4, 5, 6]]),
    "CSV, a byte order mark": ("t.csv", b"\xef\xbb\xbftext\nthe\n", [[1, 2, 3]]),
    "CSV, empty": ("t.csv", b"", np.empty((0, 3))),
    "CSV, names alone": ("t.csv", b"text\n", np.empty((0, 3))),
    "text with NUL": ("t.txt", b"the\0cat\n\0\ncat", [[0, 0, 0], [0, 0, 0], [4, 5, 6]]),
    "a line of megabytes": ("t.txt", b"the cat " * (1 << 18) + b"\nthe\n", [[2.5, 3.5, 4.5], [1, 2, 3]]),
    "gz, several members": (
        "t.txt.gz",
        gzip.compress(b"the\nc", mtime=0) + gzip.compress(b"at\n", mtime=0),
        [[1, 2, 3], [4, 5, 6]],
    ),
    "gz, zeros behind it": ("t.txt.gz", gzip.compress(b"the\n", mtime=0) + bytes(99), [[1, 2, 3]]),
    "gz, empty": ("t.txt.gz", b"", np.empty((0, 3))),
    "JSONL, empty lines and CRLF": ("t.jsonl", b'\r\n{"text": "the"}\r\n\r\n"cat"', [[1, 2, 3], [4, 5, 6]]),
}


@pytest.mark.parametrize("case", READ)
def test_odd_files_that_are_read(here, case):
    name, data, expected = READ[case]
    (here / name).write_bytes(data)
    assert main([*embed(name)]) == 0
    assert np.array_equal(np.load("v.npy"), np.array(expected, np.float32))
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "v.npy", "vectors.txt"])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"text,text\na,b\n", "2 columns are called 'text'; which of them"),
        ("t.csv", b'text,b\n"a"x,1\n', "line 2: ',' expected after '\"'"),
        ("t.csv", b'text\n"never closed\n' + b"x\n" * 99, "line 101: unexpected end of data"),
        ("t.csv", b"text\n\xe9\n", "line 2: not UTF-8: byte 0xE9"),
        (
            "t.txt",
            "the\n".encode("utf-16"),
            "t.txt: not UTF-8: byte 0xFF at offset 0 (line 1); it begins as UTF-16 does: save it as UTF-8\n",
        ),
        (
            "t.csv",
            "text\nthe\n".encode("utf-16"),
            "line 1: not UTF-8: byte 0xFF; it begins as UTF-16 does: save it as UTF-8\n",
        ),
        ("t.txt", b"\xef\xbb\xbf\xff", "t.txt: not UTF-8: byte 0xFF at offset 3 (line 1)"),
        ("t.jsonl", b"[" * 100_000, "line 1: not JSON: too deep"),
        ("t.jsonl", b"1" + b"0" * 5000, "line 1: not JSON: a number has too many digits"),
        ("t.jsonl", b'{"text": "a"} x', "line 1: not JSON: Extra data at column 15"),
        ("t.jsonl", b'{"text": null}', "line 1: expected a text, got null"),
        ("t.txt.gz", gzip.compress(b"the\n" * 999, mtime=0)[:-3], "damaged .gz file"),
        ("t.txt.gz", gzip.compress(b"the\n", mtime=0) + b"junk", "damaged .gz file"),
    ],
)
def test_damaged_texts(here, capfd, name, data, words):
    (here / name).write_bytes(data)
    assert words in refused(capfd, *embed(name))
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "vectors.txt"])


@pytest.mark.parametrize(
    ("argv", "name", "data", "words"),
    [
        (["decode", "f.npz"], "f.npz", b"", "f.npz: no ids as fastemb tokenize writes them: No data left in file"),
        (["decode", "f"], "f", b"9" * 30, "f: behind document 0: id 999"),
        (["quantize", "f.npy", "-o", "q.safetensors"], "f.npy", b"", "f.npy: no .npy file of numbers: No data left"),
        (["quantize", "f.safetensors", "-o", "q.safetensors"], "f.safetensors", struct.pack("<Q", 1 << 60), "damaged"),
        (
            ["quantize", "f.safetensors", "-o", "q.safetensors"],
            "f.safetensors",
            struct.pack("<Q", 3) + b"[1]",
            "damaged",
        ),
        (["quantize", "f.safetensors", "-o", "q.safetensors"], "f.safetensors", packed("[" * 100_000), "damaged"),
        (["quantize", "f.safetensors", "-o", "q.safetensors"], "f.safetensors", table(-40, -8), "damaged"),
        (["quantize", "f.safetensors", "-o", "q.safetensors"], "f.safetensors", table(8, 40), "damaged"),
        (["quantize", "f.safetensors", "-o", "q.safetensors"], "f.safetensors", packed("{}"), ": holds no table of"),
        (["quantize", "f.npy", "-o", "q.safetensors"], "f.npy", endless(), "f.npy: no .npy file of numbers: Unable"),
        (["decode", "f"], "f", b"[" * 100_000, "f: line 1: expected ids, got '[["),
        (["decode", "f.npz"], "f.npz", zipped(ids=endless(), offsets=endless()), "f.npz: no ids as fastemb tokenize"),
        (["info", "f.bin"], "f.bin", b"3 4\na " + bytes(19), "f.bin: damaged word vectors: byte 22: the file ends"),
        (
            ["tokenize", "vectors.txt", "-t", "f.json"],
            "f.json",
            b"[" * 100_000,
            "not valid JSON: it is nested too deep",
        ),
        (
            ["tokenize", "vectors.txt", "-t", "f.json"],
            "f.json",
            b"{" + b'"a": ' + b"1" * 5000 + b"}",
            "not valid JSON: a number has too many",
        ),
        (["embed", "\x1b[31mno\nne"], "f", b"", "error: \\x1b[31mno ne: No such file or directory\n"),
        (["info", "f"], "f", b"hello", "f: no vocabulary that can be read"),
        (["embed", "vectors.txt", "--model", "f"], "f", b"hello", "f: no word vectors: its first line begins b'hello'"),
        (
            ["embed", "vectors.txt", "--model", "f"],
            "f",
            b"%d 300\nthe " % 2**40,
            "1099511627776 words of 300 numbers do",
        ),
        (["embed", "vectors.txt", "--model", "f"], "f", b"1 1048577\nthe 1", "1 words of 1048577 numbers do not fit"),
    ],
)
def test_damaged_files_of_other_kinds(here, capfd, argv, name, data, words):
    (here / name).write_bytes(data)
    assert words in refused(capfd, *argv)
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "vectors.txt"])


@pytest.mark.parametrize("argv", [["embed", "--model"], ["tokenize", "-t"]])
def test_a_model_of_one_file_is_not_overwritten(here, capfd, argv):
    command, option = argv
    (here / "t.txt").write_text("the\n")
    (here / "link").symlink_to("vectors.txt")
    for out in ("vectors.txt", "link"):
        assert "belongs to the model" in refused(
            capfd, command, "t.txt", option, "vectors.txt", "-o", out, "--to", "jsonl"
        )
    assert (here / "vectors.txt").read_bytes() == VECTORS


def test_the_part_of_a_run_by_other_words_is_not_gone_on_with(here, capfd):
    (here / "t.jsonl").write_text('"the"\nbad\n')
    assert "what was finished is kept" in refused(capfd, *embed("t.jsonl"))
    (here / "vectors.txt").write_bytes(VECTORS.replace(b"the", b"The"))  # the same table
    (here / "t.jsonl").write_text('"the"\n"cat"\n')
    assert main([*embed("t.jsonl")]) == 0
    assert np.array_equal(np.load("v.npy"), [[0, 0, 0], [4, 5, 6]])


def test_a_model_in_int8(here):
    safetensors = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed")
    (here / "model").mkdir()
    (here / "model/tokenizer.json").write_text(json.dumps(document()))
    table = np.random.default_rng(0).integers(-128, 128, (len(VOCAB), 5)).astype(np.int8)
    safetensors.save_file({"embeddings": table}, here / "model/model.safetensors")
    (here / "t.txt").write_text("hello world\n\nthe\n")
    assert main(["embed", "t.txt", "--model", "model", "-q", "-o", "v.npy"]) == 0
    expected = fastemb.StaticModel.load(here / "model").encode(["hello world", "", "the"])
    assert np.array_equal(np.load("v.npy"), expected)


def test_a_number_of_threads_without_sense(here):
    before = fastemb.get_num_threads()
    try:
        assert main([*embed("vectors.txt", "--threads", "1000000000")]) == 0
    finally:
        fastemb.set_num_threads(before)
    assert np.load("v.npy").shape == (2, 3)


@pytest.mark.parametrize("name", ["v.npy.part", "v.npy.part.journal", "v.npy.part.new"])
def test_what_is_read_is_not_written_by_the_way(here, capfd, name):
    (here / name).write_bytes(b"the\n")
    assert f"{name}, a file that is to be read" in refused(capfd, *embed(name))
    assert (here / name).read_bytes() == b"the\n"
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "vectors.txt"])


def test_wrong_usage_is_no_command_to_a_terminal(capfd):
    with pytest.raises(SystemExit) as end:
        main(["warmup", "--\x1b[31m"])
    assert end.value.code == 2
    assert capfd.readouterr().err.endswith(": --\\x1b[31m (see fastemb --help)\n")


def test_utf16_is_named_where_the_file_begins_so(here, capfd):
    (here / "t.txt").write_bytes(b"the\n\xff\xfe\n")
    assert "(line 2); what was finished is kept" in refused(capfd, *embed("t.txt"))


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_full_disk_behind_standard_output_is_named(here, monkeypatch, capsys, buffering):
    """Without a buffer, as Python is run in most containers, a `print` fails in between."""
    full = io.TextIOWrapper(open("/dev/full", "wb", buffering), write_through=not buffering)  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["count", "vectors.txt"]) == 2
    monkeypatch.undo()
    assert capsys.readouterr().err == "fastemb: error: standard output: No space left on device\n"
    full.close()  # which writes what waited, to where nobody looks


def test_info_on_word_vectors(here, capfd):
    assert main(["info", "vectors.txt"]) == 0
    assert "table      2 x 3 float32" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["t.txt", "t.csv", "t.txt.gz"])
def test_a_file_whose_bytes_cannot_be_read(here, capfd, name):
    """The error of a bad disk names no file: this file is named, not the output that was being written."""
    (here / name).symlink_to("/proc/self/mem")
    assert refused(capfd, *embed(name)) == f"fastemb: error: {name}: Input/output error\n"
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "vectors.txt"])


def test_parquet_that_cannot_be_read(here, capfd):
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    import pyarrow.parquet as pq

    os.mkfifo(here / "pipe")
    assert "pipe: Parquet is read from its end" in refused(capfd, *embed("pipe", "--from", "parquet"))
    (here / "t.parquet").write_bytes(b"PAR1junkPAR1")
    assert "damaged Parquet file" in refused(capfd, *embed("t.parquet"))
    tables = {
        "row 2 is null, expected a text": {"text": ["the", None]},
        "column 'text' is of list": {"text": [["the"]]},
        "column 'text' is of struct": {"text": [{"a": "the"}]},
        "column 'text' is of int64": {"text": [1]},
        "no field 'text'; there are 'a', 'b'": {"a": ["the"], "b": ["the"]},
    }
    for words, columns in tables.items():
        pq.write_table(pa.table(columns), here / "t.parquet")
        assert words in refused(capfd, *embed("t.parquet"))
    for kind in (pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pq.write_table(pa.table({"text": pa.array(["the", "cat"], pa.string()).cast(kind)}), here / "t.parquet")
        assert main([*embed("t.parquet")]) == 0, kind
        assert np.array_equal(np.load("v.npy"), [[1, 2, 3], [4, 5, 6]])
    data = (here / "t.parquet").read_bytes()
    parts = pa.array([b"the", b"cat", b"\xff", b"the"]).buffers()
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 4, parts)}), here / "t.parquet")
    words = "t.parquet: row 3: not UTF-8: byte 0xFF; what was finished is kept"
    assert words in refused(capfd, *embed("t.parquet"))
    (here / "t.parquet").write_bytes(data[: len(data) // 2] + bytes(9) + data[len(data) // 2 + 9 :])  # inside
    assert main([*embed("t.parquet")]) in (0, 2)
    assert capfd.readouterr().err.count("\n") <= 1


def test_zst_that_ends_too_early(here, capfd):
    zstandard = pytest.importorskip("zstandard", reason="the package zstandard is not installed")
    packed = zstandard.compress(b"the\n" * 99)
    (here / "t.txt.zst").write_bytes(packed[:-3])
    assert "damaged .zst file" in refused(capfd, *embed("t.txt.zst"))
    (here / "t.txt.zst").write_bytes(packed + b"junk")
    assert "damaged .zst file" in refused(capfd, *embed("t.txt.zst"))
    (here / "t.txt.zst").write_bytes(b"")
    assert main([*embed("t.txt.zst")]) == 0
