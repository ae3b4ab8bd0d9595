"""A column of vectors for a dataset of Ray: `embed_dataset`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

from ._asked import RETRIES, check_counts, check_dataset, check_word, mapped, needed
from ._ledger import make_ledger
from ._sharing import send_model
from ._workers import Embedder, vectors_of_probe

if TYPE_CHECKING:
    from ray.data import Dataset

    from .._static.options import EncodeOptions
    from ..static import StaticModel

__all__ = ["embed_dataset"]


def embed_dataset(
    ds: Dataset,
    model: StaticModel | str | os.PathLike[str] | None = None,
    *,
    column: str = "text",
    output: str = "vectors",
    workers: int | None = None,
    retries: int = RETRIES,
    **options: Unpack[EncodeOptions],
) -> Dataset:
    """Return a dataset with one vector more for each row, which is computed when it is read.

    Parameters
    ----------
    ds : ray.data.Dataset
        Of N rows, one of whose columns holds texts.
    model : StaticModel, path-like or None
        What `StaticModel.load` takes is loaded with ``mmap=True`` on every node, so that its workers share the pages of
        the file; it must lie under the same path everywhere. A model, also one whose table no file can be mapped for,
        goes into Ray's object store, one copy for each node.
    column : str, default "text"
        The column of the texts.
    output : str, default "vectors"
        What the new column is called; none of `ds` may be called so.
    workers : int, optional
        How many actors, of one CPU each, work at the same time. None: as Ray finds them worth it, up to the CPUs of
        the cluster.
    retries : int, default 3
        How many times rows are tried again whose worker has died, each time in smaller steps.
    **options
        ``normalize``, ``max_length``, ``prompt`` and ``prompt_name`` as for `StaticModel.encode`.

    Returns
    -------
    ray.data.Dataset
        Lazy and streamed, as Ray's datasets are. The new column is a tensor column of float32, which NumPy's batches
        have as one array of shape (N, D) and Parquet files as lists. Rows stand in the order of `ds`: Ray is
        told to keep it, in ``ds.context``. Vectors are those of `StaticModel.encode`, to the bit, whatever the blocks
        and workers, and whichever workers die.

    Raises
    ------
    TypeError
        `ds` is no dataset, `model` neither model nor path, `column` or `output` no ``str``, or `workers` or
        `retries` no integer; options as `StaticModel.encode`.
    ValueError
        `workers` is less than 1 or `retries` less than 0; or an option is ``out``, or one of windows; as
        `StaticModel.load` and `StaticModel.encode`.
    FileNotFoundError
        As `StaticModel.load`.
    ModuleNotFoundError
        Ray is not installed.

    Notes
    -----
    When the dataset is read, Ray raises a ``RayTaskError`` whose last words are those of a `BlockError`: a row without
    a text, a column that is called `output` already, or rows of which `retries` + 1 workers died. For rows it names the
    block by its first text, the row within it, and what stands in the columns ``path`` (see ``include_paths`` of Ray's
    readers) and ``row`` where there are such.

    Examples
    --------
    >>> import fastemb.ray, ray
    >>> _ = ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=200_000_000)
    >>> ray.data.DataContext.get_current().enable_progress_bars = False
    >>> ds = ray.data.from_items([{"text": "one text"}, {"text": "another"}])
    >>> vectors = fastemb.ray.embed_dataset(ds)
    >>> vectors.take_batch(2)["vectors"].shape
    (2, 128)
    >>> ray.shutdown()
    """
    ray = needed()
    check_dataset(ray, ds)
    column, output = check_word(column, "column"), check_word(output, "output")
    workers, retries = check_counts(workers, retries)
    wrong = sorted(options.keys() & {"out", "window", "overlap", "join"})
    if wrong:
        raise ValueError(f"embed_dataset gives one vector a row: {wrong[0]} is no option of it")
    return embed_rows(ray, ds, model, column, output, workers, retries, dict(options))[0]


def embed_rows(
    ray: Any,
    ds: Any,
    model: Any,
    column: str,
    output: str,
    workers: int | None,
    retries: int,
    options: dict[str, Any],
) -> tuple[Any, Any]:
    """Return the dataset with its vectors, and the ledger of its workers."""
    loaded, sent = send_model(model)
    probe = vectors_of_probe(loaded, options)  # which looks at all options, and compiles what workers then load
    ledger = make_ledger(ray)
    arguments = ledger, retries, column, ray.put(sent), output, options, probe
    return mapped(ray, ds, Embedder, arguments, workers), ledger
