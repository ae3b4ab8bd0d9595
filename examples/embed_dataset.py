"""Embed a column of a Hugging Face dataset with `datasets.map`, in several processes, and keep what was computed.

    pip install 'fastemb[datasets]'
    python examples/embed_dataset.py LINES.txt --out vectors.parquet
    python examples/embed_dataset.py DOCS.jsonl --column body --processes 4 --out FOLDER

`datasets` keeps the result of `map` in a file of its cache, under a fingerprint of the data and of the function. The
function here is an object that holds the model: its pickle is the same in every process, so a second run reads the file
instead of embedding anew, and another model, or another option, has another fingerprint. (Of a function that named the
model by its path, a new model in the same place would be answered with the vectors of the old one.)
"""

import argparse
from pathlib import Path
from typing import Any

import datasets

# Names, not the module: `datasets` pickles a function of a script with all that it names, a module with its contents.
from fastemb import StaticModel, num_threads

KINDS = {".txt": "text", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


class Embed:
    """A function for `Dataset.map` with ``batched=True``: a batch with its texts' vectors added."""

    def __init__(self, model: StaticModel, column: str = "text", **options: Any) -> None:
        self.model, self.column, self.options = model, column, options

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, Any]:
        """Return the new column, of arrays: `datasets` stores these without making lists of them."""
        with num_threads(1):  # `datasets` has a process for each part
            return {"vector": self.model.encode(batch[self.column], **self.options)}

    def features(self, given: datasets.Features) -> datasets.Features:
        """Return the features of the result: vectors of one length, of float32."""
        width = len(self.model.encode("", **self.options))
        return datasets.Features({**given, "vector": datasets.List(datasets.Value("float32"), length=width)})


def embed(dataset: datasets.Dataset, model: StaticModel, column: str, processes: int) -> datasets.Dataset:
    """Return the dataset with a column ``vector``."""
    function = Embed(model, column, normalize=True)
    return dataset.map(
        function,
        batched=True,
        batch_size=4096,
        num_proc=processes if processes > 1 else None,
        features=function.features(dataset.features),
    )


def main(arguments: list[str] | None = None) -> datasets.Dataset:
    """Embed the files that are named, and say how many texts there are and where their vectors went."""
    parser = argparse.ArgumentParser(description="Embed a column of a dataset.")
    parser.add_argument("files", type=Path, nargs="+", help="all of one kind: .txt, .csv, .tsv, .jsonl or .parquet")
    parser.add_argument("--column", default="text")
    parser.add_argument("--model", type=Path, help="what fastemb.StaticModel.load takes")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="a .parquet file, or a folder for load_from_disk")
    asked = parser.parse_args(arguments)

    kinds = {KINDS.get(file.suffix) for file in asked.files}
    if len(kinds) != 1 or None in kinds:
        parser.error(f"files must be of one kind, of {', '.join(KINDS)}, got {', '.join(map(str, asked.files))}")
    options = {"delimiter": "\t"} if asked.files[0].suffix == ".tsv" else {}
    dataset = datasets.load_dataset(kinds.pop(), data_files=list(map(str, asked.files)), split="train", **options)
    if asked.column not in dataset.column_names:
        parser.error(f"--column must be one of {', '.join(dataset.column_names)}, got {asked.column}")
    made = embed(dataset, StaticModel.load(asked.model), asked.column, asked.processes)
    if asked.out.suffix == ".parquet":
        made.to_parquet(asked.out)
    else:
        made.save_to_disk(asked.out)
    print(f"{len(made)} texts, {made.features['vector'].length} numbers each: {asked.out}")
    return made


if __name__ == "__main__":
    main()
