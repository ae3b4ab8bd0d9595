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


def children(process):
    """The processes that a process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if parent(path.name) == process:
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return found


def kill(process):
    """Kill a process."""
    os.kill(process, signal.SIGKILL)


def gated(base, folder, rows=0, blocks=0):
    """A class of workers that write down what they do, and wait in some blocks until there is a file.

    They wait in those that end behind so many rows, when they have had so many blocks. Whoever acts when one "waits"
    finds its block begun and not ended, however busy the machine is and whichever worker Ray has given it to.
    """

    class Gated(base):
        had = 0

        def work(self, texts):
            self.note("begins")
            if texts and int(texts[-1].split()[1]) >= rows and self.had >= blocks:
                self.note("waits")
                wait_for(lambda: (folder / "open").exists())
            self.had += 1
            done = super().work(texts)
            self.note("ends")
            return done

        def note(self, what):
            with open(folder / "log", "a") as log:
                log.write(f"{os.getpid()} {what}\n")

    return Gated


def wait_for(condition, seconds=300):
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


def at_the_gate(folder):
    """The workers that wait now."""
    return [int(who) for who, what in last_words(folder).items() if what == "waits"]


def kill_one_at_the_gate(folder):
    """Kill a worker that waits in a block, let the others go on, and return the process."""
    (found, *_) = wait_for(lambda: at_the_gate(folder))
    kill(found)
    (folder / "open").touch()
    return str(found)


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
