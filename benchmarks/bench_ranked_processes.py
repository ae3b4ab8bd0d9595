"""Rank vocabularies in processes of their own: settings that are read once, and what stays in memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .bench_ranked import ONE_RANKED, RANKED, counts
from .corpora import Corpus
from .measure import Measure
from .rivals import RankVocabulary

MEMORY_LIMIT = 256_000_000

# Loads a vocabulary and texts, then does a pass for every line it is sent.
SERVER = """
import hashlib, json, sys, fastemb
asked = json.loads(sys.stdin.readline())
tokenizer = fastemb.Tokenizer.load(asked["file"], asked["pattern"])
for line in sys.stdin:
    rows = tokenizer.encode_batch(asked["texts"])
    print(hashlib.sha256(rows.ids).hexdigest() if line == "digest\\n" else rows.ids.size, flush=True)
"""


class Server:
    """A process of its own, for settings that are read once when it starts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def ask(self, line: str = "pass") -> str:
        """Send a line, and return the one that comes back."""
        self.tell(line)
        assert self._process.stdout
        answer = self._process.stdout.readline()
        assert answer, "the process has died"
        return answer


StartServer = Callable[..., Server]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start processes that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(ranked: RankVocabulary, texts: list[str], **settings: str) -> Server:
            command = [sys.executable, "-c", SERVER]
            environment = os.environ | {"FASTEMB_NUM_THREADS": "1"} | settings
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
            )
            server = Server(process)  # leaving the stack closes its input, at which it ends
            asked = {"file": str(ranked.real.file), "pattern": ranked.real.pattern_name, "texts": texts}
            server.tell(json.dumps(asked))
            return server

        yield start


@pytest.mark.parametrize("name", [BEST := "the best instructions (the floor)", "fastemb"])
@RANKED
@pytest.mark.parametrize("corpus", ["english", "more_code"], indirect=True)
def test_plain_instructions(
    measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str, start_server: StartServer
) -> None:
    """What a processor without vector instructions gets, against what this one gets."""
    if name == BEST and not measure.timed:
        pytest.skip("compared as fastemb: the same two processes")
    corpus = measure.sized(corpus)
    plain = start_server(ranked, corpus.texts, FASTEMB_SIMD="none")
    best = start_server(ranked, corpus.texts, FASTEMB_SIMD="")
    assert plain.ask("digest") == best.ask("digest")
    measure(
        "Tokenizer.encode_batch, FASTEMB_SIMD=none",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": plain.ask, BEST: best.ask},
        name,
        asked=0.6,
        agree=lambda a, b: None if a == b else pytest.fail(f"{a} and {b} tokens"),
        rounds=21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


# Encodes batches of words that hardly ever come again, and drops the ids. Prints the growth in bytes of what
# is resident, and of its peak, since the tokenizer was loaded and had encoded one text.
MEMORY = """
import gc, json, os, sys
import numpy as np, fastemb
file, pattern, size, distinct = json.loads(sys.argv[1])

def resident():
    gc.collect()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [int(status[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM")]

def batch(first):
    words = np.full((1 << 20, 8), ord(" "), np.uint8)
    numbers = np.arange(first, first + len(words)) % distinct * 5_000_011 % 26**7
    for place in range(7):
        words[:, 1 + place] = ord("a") + numbers // 26**place % 26
    text = words.tobytes().decode("ascii")
    return [text[at : at + 8192] for at in range(0, len(text), 8192)]

tokenizer = fastemb.Tokenizer.load(file, pattern)
tokenizer.encode_batch(batch(0)[:1])
start, done, tokens = resident(), 0, 0
while done < size:
    texts = batch(done // 8)
    tokens += tokenizer.encode_batch(texts).ids.size
    done += sum(map(len, texts))
    del texts
end = resident()
print(json.dumps({"tokens": tokens, "resident": end[0] - start[0], "peak": end[1] - start[0]}))
"""


@ONE_RANKED
def test_memory(measure: Measure, benchmark: Any, ranked: RankVocabulary) -> None:
    """Text that no cache can remember: what is kept stays within a bound."""
    size, distinct = (1_000_000_000, 10_000_000) if measure.timed else (40_000_000, 5_000_000)
    asked = json.dumps([str(ranked.real.file), ranked.real.pattern_name, size, distinct])

    def run() -> dict[str, int]:
        command = [sys.executable, "-c", MEMORY, asked]
        environment = os.environ | {"FASTEMB_NUM_THREADS": "1"}
        return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)

    grown: dict[str, int] = {}
    measure(
        "new process, much text",
        f"{ranked.name}, {size:,} bytes, {distinct:,} distinct pieces",
        {"fastemb": lambda: grown.update(run())},
        "fastemb",
        agree=None,
        rounds=1,
        counts={"bytes": size},
    )
    benchmark.extra_info.update({f"grown_{what}": value for what, value in grown.items()})
    assert grown["tokens"] > 0
    assert grown["resident"] <= MEMORY_LIMIT, grown
