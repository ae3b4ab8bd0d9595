"""The commands beside `embed`: what they print and write, and how they refuse."""

import fcntl
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastemb
from fastemb.__main__ import main
from fastemb._cli import parser, progress, results
from fastemb._cli.commands import bench
from fastemb._cli.writing import relay, resuming
from fastemb._static import stages

TEXTS = ["Some words, and more.", "", "</s> é 中文"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def output(capfd, *argv):
    assert main(list(map(str, argv))) == 0
    return capfd.readouterr().out


def refused(capfd, *argv):
    capfd.readouterr()
    assert main(list(map(str, argv))) == 2
    found = capfd.readouterr()
    assert found.out == ""
    assert re.fullmatch(r"fastemb: error: [^\n]+\n", found.err)
    return found.err


def test_every_command_says_what_it_does(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for name in parser.COMMANDS:
        module = importlib.import_module(f"fastemb._cli.commands.{name.replace('-', '_')}")
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        printed = capsys.readouterr().out
        assert "".join(module.__doc__.split()) in "".join(printed.split())
        assert max(map(len, printed.splitlines())) <= 80
        if name == "completion":  # of which lines are to be copied
            assert module.__doc__.strip() in printed


def test_help_names_all_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(re.search(rf"^ +{name}\b", printed, flags=re.MULTILINE) for name in parser.COMMANDS)


def test_commands_import_nothing_heavy():
    code = (
        "import sys; from fastemb._cli.parser import make_parser; make_parser('count');"
        "print(*[name for name in sys.modules if '.commands.' in name]); make_parser();"
        "print({'numpy', 'numba', 'cffi'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"fastemb._cli.commands.count\nset()\n"


def test_tokenize_and_decode(file, tmp_path, capfd, llama, llama_file):
    expected = llama.encode_batch(TEXTS)
    lines = output(capfd, "tokenize", file, "-t", llama_file)
    assert lines == "".join(" ".join(map(str, row.tolist())) + "\n" for row in expected)
    (tmp_path / "ids.txt").write_text(lines)
    output(capfd, "tokenize", file, "-t", llama_file, "-o", tmp_path / "ids.jsonl", "-q")
    rows = [json.loads(line) for line in (tmp_path / "ids.jsonl").read_text().split("\n")[:-1]]
    assert rows == [{"text": text, "ids": row.tolist()} for text, row in zip(TEXTS, expected, strict=True)]
    said = output(capfd, "tokenize", file, "-t", llama_file, "-o", tmp_path / "ids.npz")
    assert said == f"wrote {tmp_path / 'ids.npz'}: 3 documents, {expected.ids.size} tokens\n"
    with np.load(tmp_path / "ids.npz") as found:
        assert np.array_equal(found["ids"], expected.ids)
        assert np.array_equal(found["offsets"], expected.offsets)
        assert (found["ids"].dtype, found["offsets"].dtype) == (np.int32, np.int64)
    for name in ("ids.txt", "ids.jsonl", "ids.npz"):
        assert output(capfd, "decode", tmp_path / name, "-t", llama_file) == "".join(f"{text}\n" for text in TEXTS)
    as_json = output(capfd, "decode", tmp_path / "ids.npz", "-t", llama_file, "--json")
    assert [json.loads(line) for line in as_json.splitlines()] == TEXTS


def test_tokenize_recognises_special_tokens_when_asked(file, capfd, llama, llama_file):
    lines = output(capfd, "tokenize", file, "-t", llama_file, "--special").splitlines()
    assert lines[2] == " ".join(map(str, llama.encode(TEXTS[2], special="all").tolist()))
    assert lines[2] != " ".join(map(str, llama.encode(TEXTS[2]).tolist()))


def test_many_blocks_of_ids(tmp_path, monkeypatch, capfd, llama, llama_file):
    """Blocks of three documents, and a part that is read seven ids at a time: ends lie anywhere in them."""
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 3)
    monkeypatch.setattr("fastemb._cli.commands.tokenize.BLOCK", 28)
    texts = ["", "a b c d e f", "", ""] * 5 + ["word " * 40]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    output(capfd, "tokenize", tmp_path / "t.txt", "-t", llama_file, "-o", tmp_path / "i.npz")
    expected = llama.encode_batch(texts)
    with np.load(tmp_path / "i.npz") as found:
        assert np.array_equal(found["ids"], expected.ids)
        assert np.array_equal(found["offsets"], expected.offsets)


def test_decode_refuses(tmp_path, capfd, llama_file):
    (tmp_path / "ids").write_text("1 2\n3 x\n")
    assert "ids: line 2: expected ids, got '3 x'" in refused(capfd, "decode", tmp_path / "ids", "-t", llama_file)
    (tmp_path / "ids").write_text('{"id": [1]}\n')
    assert "ids: line 1: expected ids" in refused(capfd, "decode", tmp_path / "ids", "-t", llama_file)
    (tmp_path / "ids").write_text("99999999\n")
    assert "99999999" in refused(capfd, "decode", tmp_path / "ids", "-t", llama_file)
    np.savez(tmp_path / "v.npz", vectors=np.zeros(3))
    assert "lacks ids, offsets" in refused(capfd, "decode", tmp_path / "v.npz", "-t", llama_file)
    (tmp_path / "v.npz").write_bytes(b"")
    assert "No data left in file" in refused(capfd, "decode", tmp_path / "v.npz", "-t", llama_file)
    assert "No such file" in refused(capfd, "decode", tmp_path / "none", "-t", llama_file)


def test_count(file, tmp_path, capfd, llama, llama_file):
    lengths = llama.encode_batch(TEXTS).lengths
    assert output(capfd, "count", file, "-t", llama_file, "--each").split() == list(map(str, lengths))
    shutil.copy(file, tmp_path / "b.txt")
    printed = output(capfd, "count", file, tmp_path / "b.txt", "-t", llama_file).splitlines()
    size = file.stat().st_size
    assert printed[0].split() == ["documents", "tokens", "bytes"]
    assert printed[1].split() == ["3", str(lengths.sum()), str(size), str(file)]
    assert printed[3].split() == ["6", str(2 * lengths.sum()), str(2 * size), "total"]
    assert "--pattern is of a tokenizer's file" in refused(capfd, "count", file, "--pattern", "gpt2")
    assert "--field x: " in refused(capfd, "count", file, "--field", "x")
    assert "named more than once" in refused(capfd, "count", "-", "-")


@pytest.mark.parametrize("bits", [8, 4])
def test_quantize(tmp_path, capfd, bits):
    table = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    np.save(tmp_path / "t.npy", table)
    out = tmp_path / "q.safetensors"
    assert f"wrote {out}: " in output(capfd, "quantize", tmp_path / "t.npy", "-o", out, "--bits", bits)
    safetensors = pytest.importorskip("safetensors", reason="the package safetensors is not installed")
    with safetensors.safe_open(out, framework="numpy") as found:
        arrays = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 (no dict)
        said = found.metadata()
    again = fastemb.QuantizedTable(**arrays, shape=tuple(json.loads(said["shape"])), bits=int(said["bits"]))
    assert np.array_equal(again.dequantize(), fastemb.quantize(table, bits).dequantize())
    from safetensors.numpy import save_file

    save_file({"table": table.astype(np.float16), "ids": np.arange(3)}, tmp_path / "t.safetensors")
    output(capfd, "quantize", tmp_path / "t.safetensors", "-o", tmp_path / "h.safetensors", "--bits", bits)
    save_file({"a": table, "b": table}, tmp_path / "two.safetensors")
    assert "holds 2 tables of floats (a, b); name one" in refused(
        capfd, "quantize", tmp_path / "two.safetensors", "-o", out
    )
    assert sorted(p.name for p in tmp_path.iterdir() if ".part" in p.name) == []


def test_quantize_refuses(tmp_path, capfd):
    np.save(tmp_path / "ids.npy", np.arange(9))
    (tmp_path / "empty.npy").touch()
    assert "empty.npy: no .npy file of numbers" in refused(
        capfd, "quantize", tmp_path / "empty.npy", "-o", tmp_path / "q.safetensors"
    )
    for name, words in [("ids.npy", "ids.npy: "), ("t.txt", "t.txt: expected .npy or"), ("d.safetensors", "damaged")]:
        if name != "ids.npy":
            (tmp_path / name).write_bytes(b"\xff" * 40)
        assert words in refused(capfd, "quantize", tmp_path / name, "-o", tmp_path / "q.safetensors")
    assert not (tmp_path / "q.safetensors").exists()


def test_info(tmp_path, capfd, llama_file, llama_weights):
    assert f"fastemb: {fastemb.__version__}" in output(capfd, "info")
    assert "tokens     32,000, special ones: 3" in output(capfd, "info", llama_file)
    shutil.copy(llama_file, tmp_path / "tokenizer.json")
    shutil.copy(llama_weights, tmp_path / "model.safetensors")
    printed = output(capfd, "info", tmp_path)
    assert "table      32,000 x 256 float16, 16.4 MB" in printed
    assert "texts      never cut" in printed
    assert "none: there is no such file or folder" in refused(capfd, "info", tmp_path / "none")


def test_warmup(capfd):
    assert re.fullmatch(r"gather +\d+\.\d\d s\n", output(capfd, "warmup", "gather"))
    assert "no kernels belong to 'nothing'" in refused(capfd, "warmup", "nothing")


def test_bench(file, monkeypatch, capfd):
    monkeypatch.setattr(bench, "ROWS", 1000)
    monkeypatch.setattr(bench, "IDS", 1 << 12)
    printed = output(capfd, "bench", file, "--seconds", "0.01").splitlines()
    assert printed[0] == f"processor  {bench.processor()}"
    assert [line.split()[0] for line in printed[2:]] == ["copy", "tokenize", "embed", "gather", "bag", "pool"]
    assert all(re.search(r" \d+\.\d (GB|MB)/s", line) for line in printed[2:])
    assert bench.line("gather", 2.0, 0, 0, 6_000_000_000, 6e9) == "gather     3.0 GB/s, 0.50 of copy"
    for seconds in ("0", "nan", "inf"):
        assert "--seconds must be more than 0 and finite" in refused(capfd, "bench", "--seconds", seconds)


def test_standard_output_by_its_other_names():
    assert all(map(resuming.is_stdout, map(Path, ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))))
    assert not resuming.is_stdout(Path("/dev/fd/2"))


def test_suffixes_in_capitals(file, tmp_path, capfd):
    output(capfd, "tokenize", file, "-o", tmp_path / "IDS.NPZ")
    assert np.load(tmp_path / "IDS.NPZ")["offsets"].size == len(TEXTS) + 1


def test_train_tokenizer(file, tmp_path, capfd):
    if not hasattr(fastemb.Tokenizer, "train"):
        assert "has no Tokenizer.train" in refused(capfd, "train-tokenizer", file, "-o", tmp_path / "t.json")
        return
    output(capfd, "train-tokenizer", file, "-o", tmp_path / "t.json", "--vocab-size", "300")
    trained = fastemb.Tokenizer.load(tmp_path / "t.json")
    assert [trained.decode(trained.encode(text)) for text in TEXTS] == TEXTS


def complete(shell, script, *words):
    line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _fastemb; echo ${{COMPREPLY[@]}}"
    return subprocess.run([shell, "-c", f"{script}\n{line}"], capture_output=True, text=True, check=True).stdout.split()


def test_completion(capfd):
    script = output(capfd, "completion", "bash")
    assert complete("bash", script, "fastemb", "co") == ["count", "completion"]
    assert complete("bash", script, "fastemb", "embed", "--out") == ["--output"]
    assert complete("bash", script, "fastemb", "embed", "--to", "np") == ["npy", "npz"]
    assert complete("bash", script, "fastemb", "completion", "''") == ["bash", "zsh", "fish"]
    fish = output(capfd, "completion", "fish")
    assert "complete -c fastemb -n __fish_use_subcommand -f -a count -d 'count tokens'" in fish
    assert "-n '__fish_seen_subcommand_from embed' -l to -x -a 'npy npz safetensors parquet jsonl'" in fish
    assert "bashcompinit" in output(capfd, "completion", "zsh")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_is_said_while_kernels_are_loaded_goes(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with progress.loading():
        assert shown.getvalue() == "\r" + progress.LOADING
    assert shown.getvalue().endswith("\r" + " " * len(progress.LOADING) + "\r")
    shown.truncate(0)
    with progress.loading(quiet=True):
        pass
    assert shown.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_no_progress_stands_between_what_is_printed(monkeypatch, terminal):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(sys, "stdout", Terminal() if terminal else io.StringIO())
    progress.Progress(0, printed=True).say("words")
    assert bool(shown.getvalue()) == (not terminal)


def test_sizes_for_a_reader():
    assert [results.size(count) for count in (0, 48_973, 100_000, 2**31)] == [
        "0 bytes",
        "48,973 bytes",
        "0.1 MB",
        "2,147.5 MB",
    ]


def test_the_line_of_progress():
    assert progress.line(50, 100, 1234, 10.0) == " 50 %  1,234 documents  0.0 MB/s  0:05 left"
    assert progress.line(0, 7_300_000_000, 1, 1e6) == "  0 %  1 documents  1.0 MB/s  2:01:40 left"
    assert progress.line(50, 0, 2, 5e6) == "2 documents  5.0 MB/s"


def test_a_part_is_true_whatever_was_written_behind_its_last_state(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    out = tmp_path / "out"

    def end(part):
        part.write(b"one")
        part.keep({"n": 1})
        part.write(b"lost")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop, resuming.Part(out, {"a": 1}) as part:
        end(part)
    assert stop.value.__notes__ == ["what was finished is kept in out.part: the same command goes on from there"]
    with resuming.Part(out, {"a": 1}) as part:
        assert part.state == {"n": 1, "size": 3}
        part.write(b"two")
        part.finish(lambda file, new: None, elsewhere=False)
    assert out.read_bytes() == b"onetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def leave(part):
    part.keep({})
    raise KeyboardInterrupt


def rights(path):
    return path.stat().st_mode & 0o777


def test_nobody_may_read_a_part_who_may_not_read_the_whole(tmp_path):
    out = tmp_path / "out"
    with resuming.Part(out, {}, mode=0o640) as part:
        assert rights(tmp_path / "out.part") == 0o640
        part.finish(lambda file, new: new.write(b"1"), elsewhere=True)
    assert rights(out) == 0o640
    out.chmod(0o400)
    seen = []
    with resuming.Part(out, {}) as part:
        assert rights(tmp_path / "out.part") == 0o600  # this run has to write it
        part.restart("as another file")
        assert rights(tmp_path / "out.part") == 0o600
        part.finish(lambda file, new: seen.append(rights(tmp_path / "out.part.new")), elsewhere=True)
    assert (seen, rights(out)) == ([0o600], 0o400)


def test_a_part_of_a_run_before_gets_no_more_rights(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), resuming.Part(tmp_path / "out", {}) as part:
        leave(part)
    (tmp_path / "out.part").chmod(0o666)
    with resuming.Part(tmp_path / "out", {}, mode=0o600) as part:
        assert (part.state, rights(tmp_path / "out.part")) == ({"size": 0}, 0o600)


def test_a_run_that_ends_while_the_next_begins(tmp_path, monkeypatch):
    """Its part is there before the lock is had and gone afterwards: it is not somebody else's."""
    flock = fcntl.flock
    (tmp_path / "out.part").write_bytes(b"of the other run")

    def end(*given):
        (tmp_path / "out.part").unlink(missing_ok=True)
        flock(*given)

    monkeypatch.setattr(fcntl, "flock", end)
    with resuming.Part(tmp_path / "out", {}) as part:
        part.finish(lambda file, new: None, elsewhere=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_killed_while_the_part_of_another_run_is_replaced(tmp_path, monkeypatch):
    """No moment leaves a part that is then taken for somebody else's."""
    with pytest.raises(KeyboardInterrupt), resuming.Part(tmp_path / "out", {"a": 1}) as part:
        leave(part)
    for name in ("write_all", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(resuming.Part, "_remove", lambda self, part: None)  # as a kill tidies nothing away
            if name == "open":
                patch.setattr(resuming.Part, "_opener", lambda *given: 1 // 0)
            else:
                patch.setattr(resuming, name, lambda *given: 1 // 0)
            with pytest.raises(ZeroDivisionError), resuming.Part(tmp_path / "out", {"a": name}):
                pass
        assert [path.name for path in tmp_path.iterdir()] == ["out.part.journal"]
    with resuming.Part(tmp_path / "out", {"a": 4}) as part:
        assert part.state is None


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupted_says_what_is_kept(monkeypatch, tmp_path, capsys, threads):
    (tmp_path / "t.txt").write_text("a\nb\n" + "c\n" * 100)
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    ids_of, run, relays = stages.ids_of, relay._Relay.run, []

    def stop(model, texts):
        if list(texts) == ["b"]:
            os.kill(os.getpid(), signal.SIGINT)  # which the one thread hears at once; of two the main one hears it
            until = time.monotonic() + 60
            while not (relays and relays[0]._ended) and time.monotonic() < until:
                time.sleep(0.001)
        return ids_of(model, texts)

    monkeypatch.setattr(relay._Relay, "run", lambda self, threads: relays.append(self) or run(self, threads))
    monkeypatch.setattr(stages, "ids_of", stop)
    try:
        with fastemb.num_threads(threads):
            status = main(["embed", str(tmp_path / "t.txt"), "-o", str(tmp_path / "v.npy")])
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 130
    err = capsys.readouterr().err
    assert err == (
        "fastemb: interrupted; what was finished is kept in v.npy.part: the same command goes on from there\n"
    )
