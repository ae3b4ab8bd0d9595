"""Training: ``python -m benchmarks.bench_train [MB [KIND]]``, each side in a process of its own, one thread each.

Byte pair encoding against ``BpeTrainer`` of tokenizers, with the same merges or an error; Unigram against
``spm_train`` of SentencePiece, with the loss of both on lines that neither has seen. Printed are processor time and the
memory that training took at its peak beyond what the process had before: the least of some rounds, which take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import corpora

ROUNDS = 2
VOCAB = {"bpe": 32_000, "unigram": 8_000}
LONGEST_LINE = 4_000  # bytes; spm_train passes over longer ones
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "FASTEMB_NUM_THREADS": "1"}
HELD_OUT = 20  # one line of so many


def write_lines(folder: Path, size: int) -> int:
    """Write about so many bytes of English, manual pages and code, and lines held out; return the bytes."""
    makers: list[Callable[[], corpora.Corpus]] = [
        corpora.english_documents,
        *(lambda language=language: corpora.manual_pages(language) for language in corpora.LANGUAGES),  # type: ignore[misc]
        lambda: corpora.code_documents(8_000),
    ]
    parts = [size // 5] + [size // 10] * len(corpora.LANGUAGES)
    written, number = 0, 0
    with (folder / "train.txt").open("w", encoding="utf-8") as train, (folder / "rest.txt").open("w") as rest:
        for make, part in zip(makers, [*parts, size], strict=True):
            try:
                lines = "".join(make().texts).split("\n")
            except corpora.MissingCorpusError as error:
                print(error, file=sys.stderr)
                continue
            here = 0
            for line in lines:
                here += len(line) + 1
                if here > part or written > size:
                    break
                number += 1
                held = number % HELD_OUT == 0
                data = " ".join(line.split()) if held else line
                if data and len(data.encode()) < LONGEST_LINE:
                    written += 0 if held else len(data.encode()) + 1
                    (rest if held else train).write(data + "\n")
    return written


# ---------------------------------------------------------------- one side, in its process


def bpe_ours(folder: Path, vocab_size: int) -> Callable[[], Any]:
    """Return what trains, and writes what came out."""
    import fastemb

    return lambda: fastemb.Tokenizer.train(folder / "train.txt", "bpe", vocab_size).save(
        folder / "bpe_ours.json", "tokenizer.json"
    )


def bpe_rival(folder: Path, vocab_size: int) -> Callable[[], Any]:
    """Return the same of tokenizers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train() -> None:
        rival = Tokenizer(models.BPE())
        rival.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        rival.train([str(folder / "train.txt")], trainer)
        rival.save(str(folder / "bpe_rival.json"))

    return train


def unigram_ours(folder: Path, vocab_size: int) -> Callable[[], Any]:
    """Return what trains, and writes what came out."""
    import fastemb

    return lambda: fastemb.Tokenizer.train(folder / "train.txt", "unigram", vocab_size, normalization="identity").save(
        folder / "unigram_ours.model", "sentencepiece"
    )


def unigram_rival(folder: Path, vocab_size: int) -> Callable[[], Any]:
    """Return the same of SentencePiece."""
    import sentencepiece

    return lambda: sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "train.txt"),
        model_prefix=str(folder / "unigram_rival"),
        vocab_size=vocab_size,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )


SIDES = {"bpe": (bpe_ours, bpe_rival), "unigram": (unigram_ours, unigram_rival)}


def run_side(kind: str, side: int, folder: Path, vocab_size: int) -> None:
    """Train once, and print seconds of processor time and bytes of memory."""
    train = SIDES[kind][side](folder, vocab_size)
    before, begun = peak(), time.process_time()
    train()
    seconds = time.process_time() - begun
    print(json.dumps([seconds, peak() - before]))


def peak() -> int:
    """Return the most bytes of memory that this process has had; unlike `ru_maxrss` its parent's do not count."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


# ---------------------------------------------------------------- both


def check(kind: str, folder: Path) -> str:
    """Return what to say of what both made; SystemExit where it is not what it must be."""
    if kind == "bpe":
        ours, rival = (json.loads((folder / f"bpe_{one}.json").read_text())["model"] for one in ("ours", "rival"))
        if (ours["vocab"], ours["merges"]) != (rival["vocab"], rival["merges"]):
            raise SystemExit("the merges differ")
        return "the same merges"
    losses = [loss_of(folder / f"unigram_{one}.model", folder / "rest.txt") for one in ("ours", "rival")]
    return f"held out {losses[0]:.3f} nats a line, the rival {losses[1]:.3f}: {losses[0] / losses[1] - 1:+.2%}"


def loss_of(model: Path, lines: Path) -> float:
    """Return the nats that a line takes, by the best way to cut it: SentencePiece cuts, whosever model it is."""
    import numpy as np
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    scores = np.array([processor.get_score(id) for id in range(processor.get_piece_size())])
    scores[0] = scores.min() - 10
    rows = processor.encode(lines.read_text(encoding="utf-8").splitlines())
    return -float(sum(scores[row].sum() for row in rows if row)) / len(rows)


def measure(kind: str, folder: Path, vocab_size: int, rounds: int) -> None:
    """Train by both, in turns, and print a line."""
    best = [[float("inf")] * 2 for _ in range(2)]
    for _ in range(rounds):
        for side in range(2):
            command = [sys.executable, "-m", "benchmarks.bench_train", kind, str(side), str(folder), str(vocab_size)]
            done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
            best[side] = list(map(min, best[side], json.loads(done.stdout.splitlines()[-1])))
    (ours, ours_memory), (rival, rival_memory) = best
    print(
        f"{kind} of {vocab_size:,}: {ours:.2f} s, {ours_memory / 1e6:.0f} MB; the rival {rival:.2f} s, "
        f"{rival_memory / 1e6:.0f} MB: {rival / ours:.1f} x; {check(kind, folder)}"
    )


def main(arguments: list[str]) -> None:
    """Measure both kinds, or be one side of one."""
    if len(arguments) == 4:
        run_side(arguments[0], int(arguments[1]), Path(arguments[2]), int(arguments[3]))
        return
    size = int(float(arguments[0]) * 1e6) if arguments else 50_000_000
    with tempfile.TemporaryDirectory() as folder:
        written = write_lines(Path(folder), size)
        print(f"{written / 1e6:.1f} MB")
        for kind in arguments[1:] or VOCAB:
            measure(kind, Path(folder), VOCAB[kind], ROUNDS if kind == "bpe" else 1)


def test_sides_agree(tmp_path: Path) -> None:
    """Both sides on a few lines."""
    lines = corpora.english_lines().texts[:400]
    (tmp_path / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    for side in SIDES["bpe"]:
        side(tmp_path, 500)()
    assert check("bpe", tmp_path) == "the same merges"


if __name__ == "__main__":
    main(sys.argv[1:])
