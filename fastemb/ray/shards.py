"""The texts of a dataset of Ray as shards of ids: `tokenize_dataset`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastemb

from .._checks import as_flag, as_integer
from .._words import shown, type_name
from ._asked import RETRIES, check_counts, check_dataset, check_word, mapped, needed, plain_errors
from ._ledger import make_ledger
from ._packing import Shards
from ._sharing import as_tokenizer, image_of
from ._workers import Encoder

if TYPE_CHECKING:
    from ray.data import Dataset

    from ..tokenizer import Tokenizer

__all__ = ["tokenize_dataset"]


def tokenize_dataset(
    ds: Dataset,
    tokenizer: Tokenizer | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    column: str = "text",
    shard_tokens: int = 1 << 27,
    separator: int | str | None = None,
    special: bool = False,
    workers: int | None = None,
    retries: int = RETRIES,
) -> dict[str, Any]:
    """Write the texts of a dataset as shards of ids, from which a model is trained, and return their manifest.

    Parameters
    ----------
    ds : ray.data.Dataset
        Of N rows, one of whose columns holds texts.
    tokenizer : Tokenizer or path-like
        Or what `Tokenizer.load` takes.
    folder : path-like
        Where the shards go, written by this program: a new folder, an empty one, or that of a run which was ended.
    column : str, default "text"
        The column of the texts.
    shard_tokens : int, default 2**27
        Ids of each shard, but the last.
    separator : int or str, optional
        The id, or the token, that is put behind every document. None: nothing is.
    special : bool, default False
        Recognise special tokens that stand in texts.
    workers : int, optional
        How many actors, of one CPU each, work at the same time. None: as Ray finds them worth it, up to the CPUs of
        the cluster.
    retries : int, default 3
        How many times rows are tried again whose worker has died, each time in smaller steps.

    Returns
    -------
    dict
        What ``manifest.json`` holds: what was asked for, ``tokens`` and ``documents`` in all, and for each of
        ``shards`` the names of its files ``ids`` and ``ends``, its ``tokens``, its ``documents``, and the CRC-32 of the
        numbers in both files.

    Raises
    ------
    TypeError
        `ds` is no dataset, `tokenizer` neither a tokenizer nor a path, or another argument of the wrong type.
    ValueError
        `shard_tokens` or `workers` is less than 1, `retries` less than 0, or `separator` not in the vocabulary;
        `folder` holds something else or is written to by another run; or what it holds was made of other texts, by
        another tokenizer or with other options, or is damaged.
    BlockError
        A row has no text, or `retries` + 1 workers have died of the same rows. It names them, as `embed_dataset` says.
        (It is a ValueError.)
    ModuleNotFoundError
        Ray is not installed.

    Notes
    -----
    ``shard-00000.ids.npy`` has ids one behind another, of uint16 if the vocabulary has at most 65,536, else uint32;
    ``shard-00000.ends.npy`` says in int64 behind how many of them each document ends that ends in this shard. A
    document may go on in the next one. Documents stand in the order of the rows (Ray is told to keep it, in
    ``ds.context``), so files do not depend on blocks, on workers or on which of them die.

    A shard appears when it is whole and on the disk, the manifest when all are; when that is there it is returned at
    once, no text is read, and of the shards lengths and headers are looked at. The same call again, after a run was
    ended, reads all texts again, and goes on behind the shards that are finished. Blocks that stand in these are not
    tokenized again: they are known by a digest of their texts (SHA-256), and their ids are read back and held against
    the shards' checksums. A dataset that is cut into other blocks than in the first run is tokenized as a whole. All
    files are written by the calling program: of texts for which that is too slow, give each of several programs a part
    and a folder.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastemb.ray, ray
    >>> import numpy as np
    >>> _ = ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=200_000_000)
    >>> ray.data.DataContext.get_current().enable_progress_bars = False
    >>> tokens = fastemb.StaticModel.load().tokenizer
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "ids"
    >>> ds = ray.data.from_items([{"text": "one text"}, {"text": "another"}])
    >>> manifest = fastemb.ray.tokenize_dataset(ds, tokens, folder, separator=".")
    >>> ids = np.load(folder / manifest["shards"][0]["ids"])
    >>> [tokens.decode(row) for row in np.split(ids, np.load(folder / manifest["shards"][0]["ends"]))[:-1]]
    ['one text.', 'another.']
    >>> ray.shutdown()
    """
    ray = needed()
    check_dataset(ray, ds)
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path, got {type_name(folder)}")
    column, special = check_word(column, "column"), as_flag(special, "special")
    workers, retries = check_counts(workers, retries)
    shard_tokens = as_integer(shard_tokens, "shard_tokens")
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens must be at least 1, got {shown(shard_tokens)}")
    tokens = as_tokenizer(tokenizer)
    behind = _separator(separator, tokens)
    dtype = "<u2" if tokens.vocab_size <= 1 << 16 else "<u4"
    said = {
        "format": 2,
        "fastemb": fastemb.__version__,
        "tokenizer": _identity(tokens),
        "vocab_size": tokens.vocab_size,
        "dtype": dtype,
        "shard_tokens": shard_tokens,
        "separator": behind,
        "special": special,
    }
    with Shards(Path(folder), said) as shards:
        if shards.manifest is not None:
            return shards.manifest
        ledger = make_ledger(ray)
        options = {"special": "all" if special else "none"}
        image, known = ray.put(image_of(tokens)), ray.put(shards.recorded.digests())
        arguments = ledger, retries, column, image, dtype, behind, options, known
        rows = mapped(ray, ds, Encoder, arguments, workers)
        with plain_errors(ray, ledger):
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                for block in table.to_batches():
                    for row in range(block.num_rows):
                        _put(shards, *(block[name][row] for name in ("ids", "lengths", "digest", "known")))
        return shards.finish()


def _put(shards: Shards, ids: Any, lengths: Any, digest: Any, known: Any) -> None:
    """Put a block into shards: what a worker has made of it, or what an earlier run has written of the same texts."""
    if known.as_py():
        shards.add(*shards.recorded.read(digest.as_py()), digest.as_py())
    else:
        shards.add(ids.values.to_numpy(), lengths.values.to_numpy(), digest.as_py())


def _separator(separator: Any, tokens: Tokenizer) -> int | None:
    """Return the id that is put behind documents."""
    if separator is None:
        return None
    if isinstance(separator, str):
        if separator not in tokens.vocab:
            raise ValueError(f"separator {separator!r} is no token of the vocabulary")
        return int(tokens.vocab[separator])
    found = as_integer(separator, "separator")
    if not 0 <= found < tokens.vocab_size:
        raise ValueError(f"separator must be an id from 0 to {tokens.vocab_size - 1}, got {shown(found)}")
    return found


def _identity(tokens: Tokenizer) -> str:
    """Return the SHA-256 of all that a tokenizer is: blocks are not tokenized again whose texts are the same."""
    return hashlib.sha256(image_of(tokens).bytes.data).hexdigest()
