"""Fine-tune a static table so that a sentence finds the code it describes; NumPy and fastemb alone.

    pip install fastemb
    python examples/contrastive.py                          # Python's own library; the table that comes with fastemb
    python examples/contrastive.py --code FOLDER --model FOLDER

Each pair is the first sentence of a docstring and the function below it, without the docstring. A batch of pairs is
pooled and scaled to length one by one call of `embedding_bag`; its loss asks every sentence to be nearer to its own
code than to that of the others in the batch (and the other way round), so the batch brings its own wrong answers.
The gradient goes back by `embedding_bag_backward`, which returns rows for the ids that were used, and `Adam` changes
those rows alone. What is printed: of how many sentences, from files that were not trained on, the nearest code is
their own.
"""

import argparse
import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import fastemb

TEMPERATURE = 0.05


def read_pairs(folder: Path) -> Iterator[tuple[bool, str, str]]:
    """Yield for each function with a docstring whether it is held out, its first sentence, and its code without it."""
    for number, file in enumerate(sorted(folder.rglob("*.py"))):
        if {"test", "tests", "site-packages", "dist-packages"} & set(file.parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in old files
                tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):  # written to be wrong, or not in UTF-8
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (words := ast.get_docstring(node)):
                sentence = " ".join(words.partition("\n\n")[0].split()).partition(". ")[0]
                node.body = node.body[1:] or [ast.Pass()]
                yield number % 5 == 0, sentence, ast.unparse(node)[:600].replace("_", " ")


def pool(table: np.ndarray, rows: fastemb.Ragged) -> np.ndarray:
    """Return one vector of length one for each text."""
    return fastemb.embedding_bag(table, rows, mode="mean", normalize=True)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def loss_grad(vectors: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the loss of a batch and its gradient; the first half are sentences, the second half their code."""
    sentences, codes = np.split(vectors, 2)
    scores = sentences @ codes.T / TEMPERATURE
    forth, back = softmax(scores), softmax(scores.T)
    loss = -float(np.mean(np.log(forth.diagonal()) + np.log(back.diagonal()))) / 2
    towards = (forth + back.T) / 2
    towards[np.diag_indices_from(towards)] -= 1
    towards /= TEMPERATURE * len(scores)
    return loss, np.concatenate([towards @ codes, towards.T @ sentences])


def train(table: np.ndarray, encode, pairs: list[tuple[str, str]], epochs: int, batch: int, lr: float) -> None:
    """Change the table, in place."""
    optimizer, rng = fastemb.Adam(lr), np.random.default_rng(0)
    for epoch in range(epochs):
        losses, order = [], rng.permutation(len(pairs))
        for start in range(0, len(order) - batch + 1, batch):
            sentences, codes = zip(*(pairs[i] for i in order[start : start + batch]), strict=True)
            ids = encode([*sentences, *codes])
            loss, grad = loss_grad(pool(table, ids))
            row_grad = fastemb.embedding_bag_backward(grad, table, ids, mode="mean", normalize=True).table
            optimizer.step(table, row_grad)
            losses.append(loss)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")


def recall(table: np.ndarray, encode, pairs: list[tuple[str, str]]) -> float:
    """Return the share of sentences whose nearest code, of all held out, is their own."""
    sentences, codes = (pool(table, encode(list(texts))) for texts in zip(*pairs, strict=True))
    _, nearest = fastemb.topk(sentences, codes, 1)
    return float(np.mean(nearest[:, 0] == np.arange(len(pairs))))


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    """Return recall@1 before and after."""
    parser = argparse.ArgumentParser(description="Fine-tune a static table: sentences find the code they describe.")
    parser.add_argument(
        "--code", type=Path, default=Path(sysconfig.get_path("stdlib")), help="a folder of Python files"
    )
    parser.add_argument("--model", help="a folder of a static model (default: the one that comes with fastemb)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--most", type=int, default=20_000, help="at most so many pairs")
    asked = parser.parse_args(arguments)

    model = fastemb.StaticModel.load(asked.model)
    table = np.array(model.table, np.float32)  # a copy that can be written to
    encode = model.tokenizer.encode_batch
    found = [pair for pair in read_pairs(asked.code) if pair[1].strip()][: asked.most]
    seen = [(sentence, code) for held, sentence, code in found if not held]
    held = [(sentence, code) for held, sentence, code in found if held]
    if len(seen) < asked.batch or not held:
        found = f"{len(seen)} to train on and {len(held)} held out"
        parser.error(f"{asked.code} must have pairs enough for a batch of {asked.batch}, got {found}")
    print(f"{len(seen)} pairs to train on, {len(held)} held out; a table of {table.shape}")

    before = recall(table, encode, held)
    print(f"recall@1 before: {before:.3f}")
    train(table, encode, seen, asked.epochs, asked.batch, asked.lr)
    after = recall(table, encode, held)
    print(f"recall@1 after: {after:.3f}")
    return before, after


if __name__ == "__main__":
    main()
