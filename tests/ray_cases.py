"""What tests of Ray share: a small model in a folder, texts in blocks, and the processes of workers."""

import os
import signal
import time
from pathlib import Path

import numpy as np

import fastemb

DIM = 16


def words(count, start=0):
    """Texts of a few words each, all of them different."""
    return [f"row {i} of some words " + "more " * (i % 7) for i in range(start, start + count)]


def make_model(folder, rows=0):
    """Write a model of a trained tokenizer and a random table, of more rows than ids if so many are asked for."""
    tokens = fastemb.Tokenizer.train(words(300), "bpe", 400)
    folder.mkdir()
    tokens.save(folder / "tokenizer.json", "tokenizer.json")
    rows = max(rows, tokens.vocab_size)
    table = np.random.default_rng(1).standard_normal((rows, DIM), np.float32)
    np.save(folder / "table.npy", table)
    return folder


def workers_of(session):
    """The processes of Ray that are actors of a map, of this session alone."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "cmdline").read_bytes()
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::MapWorker") and session.encode() in environment:
            found.append(int(path.name))
    return found


def kill(process):
    """Kill a process and wait until it is gone."""
    os.kill(process, signal.SIGKILL)
    while Path(f"/proc/{process}/exe").exists():
        time.sleep(0.01)
