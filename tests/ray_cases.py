"""What tests of Ray share: a small model in a folder, texts in blocks, and the processes of workers."""

import os
import signal
import time
from pathlib import Path

import numpy as np

import fastemb

DIM = 16


def words(count):
    """Texts of a few words each, all of them different."""
    return [f"row {i} of some words " + "more " * (i % 7) for i in range(count)]


def make_model(folder, rows=0):
    """Write a model of a trained tokenizer and a random table, of more rows than ids if so many are asked for."""
    tokens = fastemb.Tokenizer.train(words(300), "bpe", 400)
    folder.mkdir()
    tokens.save(folder / "tokenizer.json", "tokenizer.json")
    table = np.random.default_rng(1).standard_normal((max(rows, tokens.vocab_size), DIM), np.float32)
    np.save(folder / "table.npy", table)
    return folder


def parent(process):
    """The process that started a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def workers():
    """The processes that are actors of a map, of the Ray that this process has started and of no other."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().startswith(b"ray::MapWorker") and parent(
                parent(path.name)
            ) == os.getpid():
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return found


def kill(process):
    """Kill a process."""
    os.kill(process, signal.SIGKILL)


def gated(base, folder, rows):
    """A class of workers that write down what they begin and end, and wait in a block that ends behind so many rows.

    They go on when there is a file: `kill_one_at_the_gate` kills one of them before that. So its block is begun and not
    ended when it dies, however busy the machine is.
    """

    class Gated(base):
        def work(self, texts):
            self.note("begins")
            if texts and int(texts[-1].split()[1]) >= rows:
                wait_for(lambda: (folder / "open").exists())
            done = super().work(texts)
            self.note("ends")
            return done

        def note(self, what):
            with open(folder / "log", "a") as log:
                log.write(f"{os.getpid()} {what}\n")

    return Gated


def wait_for(condition, seconds=600):
    """Return what a condition says when it says something."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "nothing came of what was waited for"
        time.sleep(0.01)
    return found


def last_words(folder):
    """What each worker wrote last."""
    file = folder / "log"
    return dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}


def kill_one_at_the_gate(folder):
    """Kill a worker that has begun a block, let the others go on, and return the process."""
    (found, *_) = wait_for(lambda: [who for who, what in last_words(folder).items() if what == "begins"])
    kill(int(found))
    (folder / "open").touch()
    return found


def mappings(process, name):
    """What a process has of each file of that name in its memory, in kB by kind: Rss, Pss, Anonymous and so on."""
    found, here = [], False
    try:
        lines = Path(f"/proc/{process}/smaps").read_text().splitlines()
    except OSError:  # it has ended
        return []
    for line in lines:
        key, _, value = line.partition(":")
        if "-" in line.split()[0]:
            here = name in line
            if here:
                found.append({})
        elif here and value.endswith("kB"):
            found[-1][key] = int(value.split()[0])
    return found
