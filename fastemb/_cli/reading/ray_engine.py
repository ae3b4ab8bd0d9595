"""The blocks of `fastemb embed` by workers of Ray: one task reads files, actors embed, this process writes.

Rows travel with where they are from, and the last one of a block with the place at which it ends: so a part and its
journal are what they are without Ray.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fastemb
import fastemb.ray
from fastemb.ray._asked import RETRIES, check_counts, needed, plain_errors
from fastemb.ray.embedding import embed_rows

from .. import reading

MEMORY = 512 << 20  # bytes of the object store beside the table, where Ray is started here
BLOCK = 4 << 20  # bytes of a block of Ray: its own 128 MiB would become a gigabyte of vectors


class Engine:
    """What makes the vectors of blocks, in their order, elsewhere.

    Parameters
    ----------
    model : StaticModel
    normalize : bool, optional
    workers : int, optional
        How many actors. None: in a cluster as Ray finds them worth it, else as many as there are threads to use.
    """

    def __init__(self, model: fastemb.StaticModel, normalize: bool | None, workers: int | None) -> None:
        self._model, self._normalize = model, normalize
        self._workers, _ = check_counts(workers, RETRIES)
        self._ray = needed()
        self._vectors: deque[Any] = deque()  # of blocks that were given and not taken

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Join the cluster that ``RAY_ADDRESS`` names, or have one of this machine until this ends."""
        try:
            with self._cluster():
                yield
        except self._ray.exceptions.RayError as error:  # of which the parser, that makes one line of errors, knows not
            raise OSError(f"Ray: {str(error).strip().splitlines()[-1]}") from error

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        ray = self._ray
        if ray.is_initialized():
            yield
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if "RAY_ADDRESS" in os.environ:
            ray.init(**quiet)
        else:
            self._workers = self._workers or fastemb.get_num_threads()
            memory = MEMORY + self._model.table.nbytes
            cpus = self._workers + 1  # which reads
            ray.init(num_cpus=cpus, object_store_memory=memory, include_dashboard=False, **quiet)
        try:
            yield
        finally:
            ray.shutdown()

    def read(self, files: Sequence[reading.Source], start: reading.Position | None) -> Iterator[reading.Block]:
        """Give the documents of files as `reading.read`; the vectors of those that were given can then be taken.

        Raises
        ------
        ChangedError, ValueError
            As `reading.read`; and where workers died of a row.
        """
        import numpy as np

        ray = self._ray
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.target_max_block_size = False, BLOCK
        rows = ray.data.read_datasource(_datasource(ray, files, start), override_num_blocks=1)
        embedded, ledger = embed_rows(
            ray, rows, self._model, "text", "vectors", self._workers, RETRIES, {"normalize": self._normalize}
        )
        texts: list[str] = []
        parts: list[Any] = []
        self._vectors.clear()
        with plain_errors(ray, ledger):
            for table in embedded.iter_batches(batch_size=None, batch_format="pyarrow"):
                vectors = np.concatenate([part.to_numpy() for part in table["vectors"].chunks])
                words, notes = table["text"].to_pylist(), table["note"]
                first = 0
                for end in (np.flatnonzero(notes.is_valid().to_numpy()) + 1).tolist():
                    said = json.loads(notes[end - 1].as_py())
                    if "error" in said:
                        raise (reading.ChangedError if said["changed"] else ValueError)(said["error"])
                    texts += words[first:end]
                    self._vectors.append(np.concatenate([*parts, vectors[first:end]]))
                    yield reading.Block(texts, reading.Position(*said["end"]), said["stored"], said["size"])
                    texts, parts, first = [], [], end
                texts += words[first:]
                parts.append(vectors[first:])

    def take(self) -> Any:
        """Return the vectors of the first block whose were not taken yet."""
        return self._vectors.popleft()


def check_files(files: Sequence[reading.Source]) -> None:
    """Refuse what another process cannot read."""
    for source in files:
        if not os.path.isfile(source.name):
            raise ValueError(f"{source.name}: is no file, which --engine ray needs: its workers read it, and may again")


def _datasource(ray: Any, files: Sequence[reading.Source], start: reading.Position | None) -> Any:
    """Return the source of Ray that reads files in one task, from a place on."""
    files = [source._replace(name=os.path.abspath(source.name)) for source in files]

    class Documents(ray.data.Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> int:
            return sum(source.size for source in files)

        def get_read_tasks(self, parallelism: int, *more: Any, **options: Any) -> list[Any]:
            size, names = self.estimate_inmemory_data_size(), [source.name for source in files]
            known = ray.data.block.BlockMetadata(None, size, None, names)
            return [ray.data.ReadTask(lambda: _tables(files, start), known)]

    return Documents()


def _tables(files: Sequence[reading.Source], start: reading.Position | None) -> Iterator[Any]:
    """Give blocks as tables; an error as a row behind all others, so that what stands before it is not lost."""
    try:
        for block in reading.read(files, start):
            note = {"end": list(block.end), "stored": block.stored, "size": block.size}
            first = block.end.records - len(block.texts) + 1
            if block.texts:
                yield _table(block.texts, files[block.end.file].name, first, note)
    except (ValueError, OSError, ImportError) as error:
        words = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        yield _table([""], "", 0, {"error": words, "changed": isinstance(error, reading.ChangedError)})


def _table(texts: list[str], path: str, first: int, note: dict[str, Any]) -> Any:
    import pyarrow as pa

    notes = [None] * (len(texts) - 1) + [json.dumps(note)]
    columns = texts, [path] * len(texts), range(first, first + len(texts)), notes
    types = pa.string(), pa.string(), pa.int64(), pa.string()
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.table(dict(zip(("text", "path", "row", "note"), arrays, strict=True)))
