"""Rank vocabularies: Tokenizer against gigatoken and tiktoken, on the same ranks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .corpora import Corpus
from .measure import Measure
from .rivals import RankVocabulary, installed

GIGATOKEN, TIKTOKEN = "gigatoken", "tiktoken"
RANKED = pytest.mark.parametrize("ranked", ["gpt2", "cl100k", "o200k"], indirect=True)
ONE_RANKED = pytest.mark.parametrize("ranked", ["cl100k"], indirect=True)
LARGE = pytest.mark.parametrize("corpus", ["english", "more_code", "short", "ja", "zh_CN", "ru", "de"], indirect=True)
SMALL_TEXT = "a b"
MEMORY_LIMIT = 256_000_000


def flat(result: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return ids and lengths of a Ragged, of tiktoken's lists or of gigatoken's awkward array."""
    if isinstance(result, fastemb.Ragged):
        return result.ids, result.lengths
    if isinstance(result, list):
        return np.fromiter(itertools.chain.from_iterable(result), np.int64), np.array([len(row) for row in result])
    import awkward

    return awkward.to_numpy(awkward.flatten(result)), awkward.to_numpy(awkward.num(result))


def same_flat(a: Any, b: Any) -> None:
    """Two batches of any of the engines have the same ids."""
    for ours, theirs in zip(flat(a), flat(b), strict=True):
        assert np.array_equal(ours, theirs)


def present(calls: Mapping[str, Callable[..., Any]], name: str) -> dict[str, Callable[..., Any]]:
    """Leave out a rival that is not installed; skip where it is the one to be timed."""
    if name == GIGATOKEN and not installed(GIGATOKEN):
        pytest.skip("gigatoken is not installed: pip install '.[bench]'")
    return {other: call for other, call in calls.items() if other != GIGATOKEN or installed(GIGATOKEN)}


def counts(ranked: RankVocabulary, corpus: Corpus) -> dict[str, int]:
    """Return what one pass over a corpus works through."""
    tokens = int(ranked.ours.count_batch(corpus.texts).sum())
    return {"documents": len(corpus.texts), "bytes": corpus.size, "tokens": tokens}


@pytest.mark.parametrize("name", [GIGATOKEN, TIKTOKEN, "fastemb"])
@RANKED
@LARGE
def test_second_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    """All engines have seen these very documents: their caches are as full as they get."""
    corpus = measure.sized(corpus)
    texts = corpus.texts
    calls = {
        "fastemb": lambda: ranked.ours.encode_batch(texts),
        GIGATOKEN: lambda: ranked.gigatoken.encode_batch(texts, parallel=False),
        TIKTOKEN: lambda: ranked.tiktoken.encode_ordinary_batch(texts, num_threads=1),
    }
    measure(
        "Tokenizer.encode_batch, second pass",
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        agree=same_flat,
        rounds=3 if name == TIKTOKEN else 21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [GIGATOKEN, "fastemb"])
@RANKED
@LARGE
def test_first_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    """Engines just loaded, which have encoded one small text and nothing else."""
    corpus = measure.sized(corpus)
    texts = corpus.texts

    def started(load: Callable[[], Any]) -> Callable[[], Any]:
        def make() -> Any:
            engine = load()
            engine.encode(SMALL_TEXT)
            return engine

        return make

    calls = {
        "fastemb": lambda engine: engine.encode_batch(texts),
        GIGATOKEN: lambda engine: engine.encode_batch(texts, parallel=False),
    }
    measure(
        "Tokenizer.encode_batch, first pass",
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        fresh={"fastemb": started(ranked.load_ours), GIGATOKEN: started(ranked.load_gigatoken)},
        agree=same_flat,
        rounds=7,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [GIGATOKEN, "fastemb"])
@RANKED
@pytest.mark.parametrize("corpus", ["english", "more_code"], indirect=True)
def test_load_and_first_pass(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)
    texts = corpus.texts
    calls = {
        "fastemb": lambda: ranked.load_ours().encode_batch(texts),
        GIGATOKEN: lambda: ranked.load_gigatoken().encode_batch(texts, parallel=False),
    }
    measure(
        "Tokenizer.load and first pass",
        f"{ranked.name}, {corpus.name}",
        present(calls, name),
        name,
        agree=same_flat,
        rounds=7,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.mark.parametrize("name", [GIGATOKEN, TIKTOKEN, "fastemb"])
@RANKED
def test_encode_one_ranked(measure: Measure, ranked: RankVocabulary, lines: Corpus, name: str) -> None:
    text = lines.hundred_bytes()
    ours, theirs = ranked.ours, ranked.tiktoken
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": lambda: ours.encode(text),
        TIKTOKEN: lambda: theirs.encode_ordinary(text),
    }
    if installed(GIGATOKEN):
        giga = ranked.gigatoken
        calls[GIGATOKEN] = lambda: giga.encode(text)
    measure(
        "Tokenizer.encode",
        f"{ranked.name}, 1 text of 100 bytes",
        present(calls, name),
        name,
        agree=lambda a, b: same_flat([list(a)], [list(b)]),
        counts={"documents": 1, "bytes": 100, "tokens": ours.encode(text).size},
        corpus=lines.origin,
    )


@pytest.mark.parametrize("name", [ALL_IDS := "encode_batch", "fastemb"])
@RANKED
@pytest.mark.parametrize("corpus", ["english", "more_code", "short"], indirect=True)
def test_count_batch(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)
    ours, texts = ranked.ours, corpus.texts

    def same_lengths(a: Any, b: Any) -> None:
        """Compare counts with the lengths of rows."""
        first, second = (x.lengths if isinstance(x, fastemb.Ragged) else x for x in (a, b))
        assert np.array_equal(first, second)

    measure(
        "Tokenizer.count_batch",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": lambda: ours.count_batch(texts), ALL_IDS: lambda: ours.encode_batch(texts)},
        name,
        agree=same_lengths,
        rounds=21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RankVocabulary], Path]:
    """Save a vocabulary in our own form."""
    folder = tmp_path_factory.mktemp("saved")

    def save(ranked: RankVocabulary) -> Path:
        file = folder / ranked.name
        if not file.exists():
            ranked.ours.save(file)
        return file

    return save


@pytest.mark.parametrize("name", [TIKTOKEN, "fastemb"])
@RANKED
def test_open_saved(
    measure: Measure, ranked: RankVocabulary, saved: Callable[[RankVocabulary], Path], lines: Corpus, name: str
) -> None:
    """Our file is in the page cache; tiktoken starts from a dict that is ready made."""
    text, file = lines.hundred_bytes(), saved(ranked)
    calls = {
        "fastemb": lambda: fastemb.Tokenizer.load(file).encode(text),
        TIKTOKEN: lambda: ranked.real.tiktoken().encode_ordinary(text),
    }
    measure(
        "Tokenizer.load of a saved one, and one text",
        ranked.name,
        calls,
        name,
        agree=lambda a, b: same_flat([list(a)], [list(b)]),
        rounds=21 if name == "fastemb" else 5,
    )


@pytest.mark.parametrize("name", [ONE_THREAD := "one thread", "fastemb"])
@ONE_RANKED
@pytest.mark.parametrize("corpus", ["english", "more_code", "short"], indirect=True)
def test_two_threads(measure: Measure, ranked: RankVocabulary, corpus: Corpus, name: str) -> None:
    corpus = measure.sized(corpus)
    ours, texts = ranked.ours, corpus.texts

    def alone() -> Any:
        with fastemb.num_threads(1):
            return ours.encode_batch(texts)

    measure(
        "Tokenizer.encode_batch, 2 threads against one",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": lambda: ours.encode_batch(texts), ONE_THREAD: alone},
        name,
        agree=same_flat,
        threads=2,
        rounds=21,
        counts=counts(ranked, corpus),
        corpus=corpus.origin,
    )


# Other processes -------------------------------------------------------------------------------------------------

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
    corpus = measure.sized(corpus)
    plain = start_server(ranked, corpus.texts, FASTEMB_SIMD="none")
    best = start_server(ranked, corpus.texts, FASTEMB_SIMD="")
    assert plain.ask("digest") == best.ask("digest")
    measure(
        "Tokenizer.encode_batch, FASTEMB_SIMD=none",
        f"{ranked.name}, {corpus.name}",
        {"fastemb": plain.ask, BEST: best.ask},
        name,
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
