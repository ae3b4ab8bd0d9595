"""The workers: actors to which Ray Data gives rows, a table of Arrow at a time."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .._threads import set_num_threads
from ._ledger import BlockError, steps
from ._recorded import digest_of, holds
from ._sharing import PROBE, Folder, Image, Parts, alone_on_this_node

PLACES = ("path", "row")  # columns of which errors say the value, where a dataset has them


class Worker:
    """One thread that does to texts what its class says, and tells the ledger.

    Parameters
    ----------
    ledger
        The handle of the `Ledger`.
    retries : int
        How many workers may die of a block before it is given up.
    column : str
        Where the texts are.
    """

    def __init__(self, ledger: Any, retries: int, column: str) -> None:
        import pyarrow
        import ray

        self._pa, self._ray = pyarrow, ray
        self._ledger, self._retries, self._column = ledger, retries, column
        self._actor = ray.get_runtime_context().get_actor_id() or ""
        self._life = uuid.uuid4().hex
        set_num_threads(1)  # there is an actor for each core
        start = f"the start of worker {self._actor}"
        deaths = self._begin(start, 0, 0)
        if deaths.times > retries:
            self._fail(f"{start}: it died {deaths.times} times while it loaded its model (out of memory?)")
        with alone_on_this_node():
            self.prepare()
        self._end()

    def prepare(self) -> None:
        """Load what the work needs, and compile its kernels."""
        raise NotImplementedError

    def check(self, table: Any) -> None:
        """Refuse a table to which the work cannot be done; by default none is."""

    def work(self, texts: list[str]) -> Any:
        """Return what some texts become."""
        raise NotImplementedError

    def join(self, table: Any, results: list[Any]) -> Any:
        """Return the table with what all its texts became, in parts."""
        raise NotImplementedError

    def __call__(self, table: Any) -> Any:
        """Return the table that takes the place of some rows."""
        self.check(table)
        texts: list[Any] = self._texts(table).to_pylist()
        block = f"the block of {table.num_rows:,} rows"
        if texts:
            block += f" that begins with {_short(texts[0])}{self._where(table, 0)}"
        if None in texts:
            row = texts.index(None)
            self._fail(f"{block}: row {row} of it{self._where(table, row)} is null, expected a text")
        deaths = self._begin(block, 0, table.num_rows)
        if deaths.times > self._retries:
            self._fail(self._died_of(table, texts, block, deaths.times, deaths.first, deaths.end))
        results = []
        for first, end in steps(table.num_rows, deaths):
            if deaths.times:
                self._begin(block, first, end)
            results.append(self.work(texts[first:end]))
        self._end()
        return self.join(table, results)

    # ---------------------------------------------------------------- inside

    def _texts(self, table: Any) -> Any:
        """Return the column of texts of a table."""
        if self._column not in table.column_names:
            self._fail(f"there is no column {self._column!r}; there are {', '.join(map(repr, table.column_names))}")
        column, types = table[self._column], self._pa.types
        if not (types.is_string(column.type) or types.is_large_string(column.type) or types.is_null(column.type)):
            self._fail(f"column {self._column!r} is of {column.type}, expected string")
        return column

    def _where(self, table: Any, row: int) -> str:
        """Return where a row is from, if the dataset says it."""
        known = [f"{name} {table[name][row]}" for name in PLACES if name in table.column_names]
        return f" ({', '.join(known)})" if known else ""

    def _died_of(self, table: Any, texts: list[str], block: str, count: int, first: int, end: int) -> str:
        rows = f"row {first}" if end - first == 1 else f"rows {first} to {end - 1}"
        if end - first == 1:
            rows += f", {_short(texts[first])}{self._where(table, first)},"
        return f"{block}: {count} workers died at {rows} of it (killed, or out of memory?)"

    def _begin(self, block: str, first: int, end: int) -> Any:
        return self._ray.get(self._ledger.begin.remote(self._actor, self._life, block, first, end))

    def _end(self) -> None:
        self._ray.get(self._ledger.end.remote(self._actor))

    def _fail(self, why: str) -> NoReturn:
        self._ray.get(self._ledger.fail.remote(why))
        raise BlockError(why)


class Embedder(Worker):
    """Adds the column of vectors."""

    def __init__(
        self,
        ledger: Any,
        retries: int,
        column: str,
        model: Any,
        output: str,
        options: dict[str, Any],
        probe: bytes,
    ) -> None:
        self._model_ref, self._output, self._options, self._probe = model, output, options, probe
        super().__init__(ledger, retries, column)

    def prepare(self) -> None:
        """Open the model, and see that it is the one that was meant."""
        sent: Parts | Folder = self._ray.get(self._model_ref)
        where = f"the model {f'at {sent.path}' if isinstance(sent, Folder) else 'from the object store'}"
        where += f" on {socket.gethostname()} ({self._ray.util.get_node_ip_address()})"
        try:
            self._model = sent.open()
        except (OSError, ValueError) as error:  # what `StaticModel.load` says of a folder that is missing or damaged
            self._fail(f"{where} cannot be read: {error}")
        if vectors_of_probe(self._model, self._options) != self._probe:
            self._fail(f"{where} is not the one of the program that gave the work")

    def work(self, texts: list[str]) -> Any:
        """Return the vectors of texts."""
        return self._model.encode(texts, **self._options)

    def check(self, table: Any) -> None:
        """Refuse a table that has a column of the name that the vectors' is to have."""
        if self._output in table.column_names:
            self._fail(f"there is a column {self._output!r} already; name another one as output")

    def join(self, table: Any, results: list[Any]) -> Any:
        """Return the table with its vectors."""
        from ray.data.extensions import ArrowTensorArray

        vectors = results[0] if len(results) == 1 else np.concatenate(results)
        return table.append_column(self._output, ArrowTensorArray.from_numpy(vectors))


class Encoder(Worker):
    """Makes a row of a block: the ids of all its texts, how many each has, and a digest of the texts.

    Of a block whose digest is known it makes no ids.
    """

    def __init__(
        self,
        ledger: Any,
        retries: int,
        column: str,
        tokenizer: Any,
        dtype: str,
        separator: int | None,
        options: dict[str, Any],
        known: Any,
    ) -> None:
        self._tokenizer_ref, self._dtype, self._separator, self._options = tokenizer, dtype, separator, options
        self._known_ref = known
        super().__init__(ledger, retries, column)

    def prepare(self) -> None:
        """Open the tokenizer."""
        sent: Image = self._ray.get(self._tokenizer_ref)
        self._tokenizer = sent.open()
        self._known: npt.NDArray[np.uint8] = self._ray.get(self._known_ref)

    def __call__(self, table: Any) -> Any:
        """Return the row of a block."""
        self._digest = digest_of(self._texts(table))
        if holds(self._known, self._digest):
            return self._row(np.empty(0, self._dtype), np.empty(0, np.int64), True)
        return super().__call__(table)

    def work(self, texts: list[str]) -> Any:
        """Return the ids of texts."""
        return self._tokenizer.encode_batch(texts, **self._options)

    def join(self, table: Any, results: Iterable[Any]) -> Any:
        """Return the row of a block, of what its texts became."""
        ids = np.concatenate([rows.ids for rows in results]).astype(self._dtype)
        lengths = np.concatenate([rows.lengths for rows in results])
        if self._separator is not None:
            ids = np.insert(ids, np.cumsum(lengths), self._separator)
            lengths = lengths + 1
        return self._row(ids, lengths, False)

    def _row(self, ids: Any, lengths: Any, known: bool) -> Any:
        def single(values: Any) -> Any:
            return self._pa.LargeListArray.from_arrays([0, values.size], self._pa.array(values))

        digest = self._pa.array([self._digest], self._pa.binary())
        return self._pa.table({"ids": single(ids), "lengths": single(lengths), "digest": digest, "known": [known]})


def vectors_of_probe(model: Any, options: dict[str, Any]) -> bytes:
    """Return the vectors of a few words, by which two models are told apart; kernels are compiled by it."""
    few: bytes = model.encode(PROBE, **options).tobytes()
    many: bytes = model.encode(PROBE * 100, **options)[-len(PROBE) :].tobytes()
    return few + many


def _short(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 40 else text[:37] + "...")
