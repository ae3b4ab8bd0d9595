"""Train a classifier of texts with torch: `EmbeddingBag` with sparse gradients, a linear layer, and our Adam for both.

    pip install fastemb torch
    python examples/classify.py                     # from which package of Python's library is this function?
    python examples/classify.py FOLDER --glob "*.txt"   # a folder for each class, texts in it
    python examples/classify.py --tokenizer tokenizer.json

Texts become token ids, by a tokenizer if one is given, else by a hash of each word, which needs no file. A batch of
texts is one list of ids with offsets: nothing is padded. The layer's gradient has rows for the ids of the batch alone,
and `fastemb.torch.optim.Adam` changes no others; the linear layer's gradient is dense, and the same optimizer takes it.
What is printed: the accuracy on files that were not trained on, beside that of always naming the largest class.
"""

import argparse
import re
import sysconfig
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import fastemb
import fastemb.torch
from fastemb.torch import optim

LINES, WORD = 30, re.compile(r"\w+|[^\w\s]")
Texts = list[tuple[int, str]]


def read_texts(folder: Path, glob: str, least: int) -> tuple[list[str], Texts, Texts]:
    """Return the names of classes, and numbered texts to train on and held out: stretches of 30 lines of files."""
    names: list[str] = []
    seen: Texts = []
    held: Texts = []
    for part in sorted(child for child in folder.iterdir() if child.is_dir()):
        files = [file for file in sorted(part.rglob(glob)) if not {"test", "tests", "site-packages"} & set(file.parts)]
        if len(files) < least:
            continue
        for number, file in enumerate(files):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            for start in range(0, len(lines), LINES):
                text = "\n".join(lines[start : start + LINES])
                if text.strip():
                    (held if number % 5 == 0 else seen).append((len(names), text))
        names.append(part.name)
    return names, seen, held


def hash_words(texts: list[str], V: int) -> list[np.ndarray]:
    """Return for each text an id for each word and each mark: a hash, so that no vocabulary is needed."""
    return [np.array([zlib.crc32(word.encode()) % V for word in WORD.findall(text)], np.int64) for text in texts]


def make_model(V: int, D: int, classes: int) -> torch.nn.Module:
    """Return the classifier: the mean of the vectors of a text, and a linear layer."""
    bag = fastemb.torch.EmbeddingBag(V, D, mode="mean", sparse=True, include_last_offset=True)
    return torch.nn.ModuleDict({"bag": bag, "linear": torch.nn.Linear(D, classes)})


def classify(model: torch.nn.Module, rows: list[np.ndarray]) -> torch.Tensor:
    """Return the scores of each class for each text; its ids lie one text after the other."""
    ids, offsets = np.concatenate(rows), np.cumsum([0, *map(len, rows)])
    return model["linear"](model["bag"](torch.from_numpy(ids), torch.from_numpy(offsets)))


def accuracy(model: torch.nn.Module, rows: list[np.ndarray], labels: list[int]) -> float:
    """Return the share of texts whose best class is their own."""
    with torch.no_grad():
        best = classify(model, rows).argmax(dim=1)
    return float((best == torch.tensor(labels)).float().mean())


def train(model: torch.nn.Module, rows: list[np.ndarray], labels: list[int], asked: argparse.Namespace) -> None:
    """Train all layers by one optimizer."""
    optimizer, rng = optim.Adam(model.parameters(), lr=asked.lr), np.random.default_rng(0)
    for epoch in range(asked.epochs):
        losses, order = [], rng.permutation(len(rows))
        for start in range(0, len(order), asked.batch):
            batch = order[start : start + asked.batch]
            optimizer.zero_grad()
            scores = classify(model, [rows[i] for i in batch])
            loss = torch.nn.functional.cross_entropy(scores, torch.tensor([labels[i] for i in batch]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    """Return the accuracy on files held out, and that of naming the largest class."""
    parser = argparse.ArgumentParser(description="Train a classifier of texts: a bag of token vectors, a linear layer.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--glob", default="*.py", help="which files are texts")
    parser.add_argument("--least", type=int, default=10, help="how many files a class has at least")
    parser.add_argument("--tokenizer", help="a file that fastemb.Tokenizer.load reads")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--columns", type=int, default=64, help="numbers of a vector")
    asked = parser.parse_args(arguments)

    if not asked.folder.is_dir():
        parser.error(f"{asked.folder} is no folder")
    names, seen, held = read_texts(asked.folder, asked.glob, asked.least)
    if len(names) < 2 or not seen or not held:
        found = f"{len(names)} with {asked.least} files {asked.glob} or more"
        parser.error(f"{asked.folder} must have folders of two classes or more, got {found}; see --least, --glob")
    print(f"{len(names)} classes: {', '.join(names)}; {len(seen)} texts to train on, {len(held)} held out")

    words = [text for _, text in seen + held]
    if asked.tokenizer:
        tokenizer = fastemb.Tokenizer.load(asked.tokenizer)
        V, rows = tokenizer.vocab_size, list(tokenizer.encode_batch(words))
    else:
        V = 1 << 16
        rows = hash_words(words, V)
    labels = [label for label, _ in seen + held]
    cut = len(seen)

    torch.manual_seed(0)
    model = make_model(V, asked.columns, len(names))
    train(model, rows[:cut], labels[:cut], asked)
    right, most = accuracy(model, rows[cut:], labels[cut:]), max(Counter(labels[cut:]).values()) / len(held)
    print(f"accuracy on held-out files: {right:.3f} (the largest class: {most:.3f})")
    return right, most


if __name__ == "__main__":
    main()
