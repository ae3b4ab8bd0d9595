"""What differs by the maker of the processor: one table, each of whose rows was measured on the machine it names.

The processor is known by LLVM's name for it. No bit of CPUID says how many misses the first cache keeps in flight, and
that is what decides. ``FASTEMB_TUNING`` names a row instead, so that every row can be tested on any machine; it changes
speed, never a bit of a result. ``benchmarks/tune.py`` measures the candidates. This file needs no Numba.
"""

import os
from typing import NamedTuple


class Tuning(NamedTuple):
    """How kernels ask for rows that lie in memory, and in which order they add them.

    ``by_rows``: bags and pools add whole rows, eight at a time, to a row of sums in the first cache; else they hold a
    block of columns in registers while the rows go by. ``row_locality`` is LLVM's locality of a prefetch: 2 stops in
    the second cache (prefetcht1), 3 goes on to the first (prefetcht0). ``rows_ahead`` rows lie between the row that is
    added and the one that is asked for. ``gather_ahead`` is the same for rows that are copied past the caches; with
    ``gather_whole`` the later row is asked for line by line while one is copied, else its first 512 bytes at once.
    ``scan_ahead`` are the bytes between the vector that is scored and the one that is asked for. Row gradients ask for
    rows ``rows_ahead`` rows before they are needed, but no more than ``grad_ahead`` bytes. Optimizers take rows of up
    to ``unsorted`` bytes as they come where few ids come again, all others in the order of ids. Results of less than
    ``into_bytes`` that a caller has memory for are copied plainly, into the caches. Of tables of up to ``cached_bytes``
    bags are added by columns, and no row is asked for; where ``by_rows`` is not, if rows lie in whole lines. Of tables
    of up to ``small_tables`` bytes bags of any number take the kernel of small calls.
    """

    by_rows: bool
    row_locality: int
    rows_ahead: int
    gather_whole: bool
    gather_ahead: int
    scan_ahead: int
    grad_ahead: int
    unsorted: int
    into_bytes: int
    cached_bytes: int
    small_tables: int


TUNINGS = {
    "amd": Tuning(
        by_rows=True, row_locality=2, rows_ahead=24, gather_whole=True, gather_ahead=16, scan_ahead=8256,
        grad_ahead=128 << 10, unsorted=1 << 40, into_bytes=16 << 20,
        cached_bytes=8 << 20, small_tables=8 << 20,
    ),
    "intel": Tuning(
        by_rows=False, row_locality=3, rows_ahead=12, gather_whole=False, gather_ahead=8, scan_ahead=1024,
        grad_ahead=6 << 10, unsorted=1 << 10, into_bytes=8 << 20,
        cached_bytes=256 << 10, small_tables=1 << 62,
    ),
}  # fmt: skip


def choose(processor: str) -> str:
    """Return the name of the row for a processor, or the one that ``FASTEMB_TUNING`` asks for."""
    asked = os.environ.get("FASTEMB_TUNING", "").strip()
    if not asked:
        return "amd" if processor.startswith("znver") else "intel"
    if asked not in TUNINGS:
        known = ", ".join(map(repr, TUNINGS))
        raise ValueError(f"environment variable FASTEMB_TUNING must be one of {known}, got {asked!r}")
    return asked
