"""Tables in mapped files: which pages are asked for, that they are read, and that results are those of memory."""

import ctypes
import mmap
import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastemb
from benchmarks import mapped as benchmark
from fastemb._cpu import mapped

PAGE = mmap.PAGESIZE


@given(
    size=st.integers(1, 3 * PAGE),
    stride=st.integers(1, 4 * PAGE),
    start=st.integers(0, 2 * PAGE),
    ids=st.lists(st.integers(0, 40), min_size=1, unique=True),
)
def test_stretches_are_the_pages_of_the_rows_and_no_others(size, stride, start, ids):
    at = start + np.array(ids) * stride
    firsts, ends = mapped.stretches(at, size)
    asked = [page for first, end in zip(firsts, ends, strict=True) for page in range(first // PAGE, end // PAGE)]
    wanted = {byte // PAGE for place in at.tolist() for byte in (*range(place, place + size, PAGE), place + size - 1)}
    assert asked == sorted(wanted)
    assert all(end < first for end, first in zip(ends[:-1], firsts[1:], strict=True))  # neighbours are joined


def write(path, V=4096, D=512):
    """A table of two rows a page, and the array of it."""
    table = np.random.default_rng(0).standard_normal((V, D)).astype(np.float32)
    np.save(path, table)
    return table


def resident(file, at, size):
    """Which pages of a mapping are in memory."""
    pages = -(-size // PAGE)
    found = (ctypes.c_ubyte * pages)()
    libc = ctypes.CDLL(None, use_errno=True)
    start = np.frombuffer(file, np.uint8).ctypes.data
    assert libc.mincore(ctypes.c_void_p(start + at), ctypes.c_size_t(size), found) == 0
    return np.frombuffer(found, np.uint8) & 1


def test_the_pages_asked_for_are_read_and_no_others(tmp_path):
    write(tmp_path / "t.npy")
    with open(tmp_path / "t.npy", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    table = np.load(tmp_path / "t.npy", mmap_mode="r")
    whole = mapped.file_of(table)
    if resident(whole, 0, len(whole)).mean() > 0.5:
        pytest.skip("this file system keeps pages that it was told to drop")
    ids = [3, 1000, 1001, 4000, 3]
    # Rows of 2048 bytes behind a header of 128: each lies on one page or two, and 1000 and 1001 share one.
    pages = {(128 + 2048 * id + at) // PAGE for id in ids for at in (0, 2047)}
    assert fastemb.prefetch(table, ids) == len(pages) * PAGE
    until = time.monotonic() + 60  # the system reads them while the call returns, when its disk has time
    while not resident(whole, 0, len(whole))[sorted(pages)].all() and time.monotonic() < until:
        time.sleep(0.01)
    found = set(np.flatnonzero(resident(whole, 0, len(whole))).tolist())
    assert pages <= found
    assert len(found) < 200  # of 2,049


@pytest.mark.parametrize("of", ["memmap", "view", "columns", "reversed", "plain"])
def test_views_of_a_mapped_file(tmp_path, of):
    """Whatever the view is, pages that are asked for are those of its rows, and rows those of memory."""
    write(tmp_path / "t.npy")
    table = np.load(tmp_path / "t.npy", mmap_mode="r")
    made = {
        "memmap": lambda t: t,
        "view": lambda t: t[100:],
        "columns": lambda t: t[:, 500:],
        "reversed": lambda t: t[::-1],
        "plain": np.asarray,
    }
    here, ids = made[of](table), [0, 7, 9]
    start = np.frombuffer(mapped.file_of(table), np.uint8).ctypes.data
    pages = set()
    for id in ids:
        low, high = np.lib.array_utils.byte_bounds(here[id])
        pages |= {(low - start) // PAGE, (high - 1 - start) // PAGE}
    assert fastemb.prefetch(here, ids) == len(pages) * PAGE
    assert np.array_equal(fastemb.gather(here, ids), np.array(here)[ids])
    bags = fastemb.embedding_bag(here, ids, [0, 2, 3])
    assert bags.tobytes() == fastemb.embedding_bag(np.array(here), ids, [0, 2, 3]).tobytes()


def test_codes_ragged_and_tables_in_memory(tmp_path):
    table = write(tmp_path / "t.npy", V=64)
    assert fastemb.prefetch(table, [1, 2]) == 0
    codes = fastemb.quantize(table)
    assert fastemb.prefetch(codes, [1, 2]) == 0
    np.save(tmp_path / "codes.npy", codes.codes)
    mapped_codes = np.load(tmp_path / "codes.npy", mmap_mode="r")
    again = fastemb.QuantizedTable(mapped_codes, codes.scale, codes.offset, codes.shape, codes.bits)
    assert fastemb.prefetch(again, fastemb.Ragged([0, 1], [0, 1, 2])) == PAGE
    assert fastemb.prefetch(again, np.empty((0,), np.int64)) == 0
    assert np.array_equal(fastemb.gather(again, [5, 63]), fastemb.gather(codes, [5, 63]))
    with pytest.raises(IndexError, match="id 64 at position 1 is out of range for a table of 64 rows"):
        fastemb.prefetch(again, [0, 64])


def test_the_benchmark_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    monkeypatch.setattr(benchmark, "BATCHES", 2)
    monkeypatch.setattr(benchmark, "N", 64)
    benchmark.main([str(tmp_path), "--rows", "300"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| gather, ")]
    assert [line.count("|") for line in rows] == [8] * 4
