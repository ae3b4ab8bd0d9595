"""Rows of a table in a mapped file: not in memory, asked for ahead, in memory; against a table that is no file.

    python -m benchmarks.mapped [FOLDER] [--rows 2000000]

It writes a table of 2 GB (and its int8 codes) to the folder, lets the system drop it from memory before each cold run,
and prints wall times: run it where nothing else does, on the disk that is meant.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastemb

D, N, BATCHES, ROUNDS = 256, 4096, 8, 5
PAGE = 4096


class Codes(NamedTuple):
    """What a quantised table has beside its codes, which stays in memory."""

    scale: np.ndarray
    offset: np.ndarray


def write(path: Path, rows: int, dtype: str) -> None:
    """Write a table of the same numbers again and again."""
    some = np.random.default_rng(0).standard_normal((10_000, D)).astype(np.float32)
    part = some if dtype == "float32" else fastemb.quantize(some).codes
    file = np.lib.format.open_memmap(path, "w+", part.dtype, (rows, part.shape[1]))
    for first in range(0, rows, len(part)):
        file[first : first + len(part)] = part[: rows - first]
    file.flush()


def drop(path: Path) -> None:
    """Let no page of a file be in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk(path: Path, threads: int = 32) -> float:
    """Return how many random pages a second the disk gives to so many readers: the floor."""
    drop(path)
    places = np.random.default_rng(1).permutation(path.stat().st_size // PAGE)[: N * 4] * PAGE
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def read(some: list[int]) -> None:
        for place in some:
            os.pread(descriptor, PAGE, place)

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, [part.tolist() for part in np.array_split(places, threads)]))
    seconds = time.perf_counter() - start
    os.close(descriptor)
    return places.size / seconds


def draw(rows: int, spread: str, seed: int) -> list[np.ndarray]:
    """Return batches of ids, each of its own part of the draw; by Zipf's law low ids are frequent."""
    rng = np.random.default_rng(seed)
    if spread == "uniform":
        return [rng.integers(0, rows, N) for _ in range(BATCHES)]
    return [np.minimum(rng.zipf(1.2, N) - 1, rows - 1) for _ in range(BATCHES)]


def plainly(table: Any, batches: list[Any], work: Callable[[Any, Any], Any]) -> None:
    """Do batch after batch."""
    for ids in batches:
        work(table, ids)


def ahead(table: Any, batches: list[Any], work: Callable[[Any, Any], Any]) -> None:
    """Ask for the rows of the next batch before each."""
    fastemb.prefetch(table, batches[0])
    for ids, following in zip(batches, [*batches[1:], None], strict=True):
        if following is not None:
            fastemb.prefetch(table, following)
        work(table, ids)


def bags(table: Any, ids: Any) -> Any:
    """Return the means of rows, sixteen a bag."""
    return fastemb.embedding_bag(table, ids.reshape(-1, 16))


def measure(path: Path, rows: int, spread: str, work: Callable[[Any, Any], Any], codes: Any) -> list[float]:
    """Return the median seconds of all batches, by the columns of the table."""
    times: list[list[float]] = [[] for _ in range(5)]
    held = opened(path, codes, mapped=False)
    for seed in range(ROUNDS):
        batches = draw(rows, spread, seed)
        for number, (cold, call) in enumerate(
            [(False, None), (False, plainly), (False, ahead), (True, plainly), (True, ahead)]
        ):
            if cold:
                drop(path)
            table = held if call is None else opened(path, codes, mapped=True)
            if not cold:
                plainly(table, batches, work)
            start = time.perf_counter()
            (call or plainly)(table, batches, work)
            times[number].append(time.perf_counter() - start)
            del table
    return [statistics.median(some) for some in times]


def opened(path: Path, codes: Any, mapped: bool) -> Any:
    """Return the table of a file."""
    table = np.load(path, mmap_mode="r" if mapped else None)
    return table if codes is None else fastemb.QuantizedTable(table, codes.scale, codes.offset, (len(table), D), 8)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where to write (default: a temporary folder)")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "int8"), help="this table alone")
    args = parser.parse_args(argv)
    fastemb.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        head = "| ms for 32,768 rows | in memory | mapped, warm | warm, asked for | cold | cold, asked for | gain |"
        print(f"{head}\n{'|---' * 7}|")
        for dtype in [args.dtype] if args.dtype else ["float32", "int8"]:
            path = Path(name, f"{dtype}.npy")
            write(path, args.rows, dtype)
            ones = np.ones(args.rows, np.float32)
            codes = None if dtype == "float32" else Codes(ones, ones)
            for spread in ("uniform", "zipf"):
                for label, work in (("gather", fastemb.gather), ("embedding_bag", bags)):
                    found = measure(path, args.rows, spread, work, codes)
                    cells = " | ".join(f"{seconds * 1e3:.1f}" for seconds in found)
                    print(f"| {label}, {dtype}, {spread} | {cells} | {found[3] / found[4]:.1f} × |", flush=True)
            print(f"random reads of 4 KiB, 32 at a time: {disk(path):,.0f} a second", flush=True)


if __name__ == "__main__":
    main()
