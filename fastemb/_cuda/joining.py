"""Rows joined over bounds, on the host: which kernel, which blocks, and the scratch for bags that are cut."""

from typing import Any, NamedTuple

from .. import _checks
from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels import join as kernels
from .kernels.dtypes import SIZES, acc_of
from .kernels.join import BY_COUNT, BY_GIVEN, BY_RANKS, BY_ROOT, GIVEN, MAX, NO, RANKS, SUM

__all__ = [
    "ALL", "BY_COUNT", "BY_GIVEN", "BY_RANKS", "BY_ROOT", "GIVEN", "MAX", "NO", "RANKS", "SUM", "Bounds", "Keep",
    "Rows", "address_of", "blocks", "join_rows", "rows_of",
]  # fmt: skip


class Rows(NamedTuple):
    """Rows as kernels read them: of a table, of a quantised table, of x (B, T, D)."""

    tag: str
    address: int
    stride: int
    gap: int  # from bag to bag, beyond the rows of a bag: where an x has batches apart
    scales: int
    shifts: int
    V: int
    D: int
    alive: tuple[DeviceArray, ...]
    most_width: int = arrays.MOST_WIDTH  # of a load

    @property
    def row_bytes(self) -> int:
        """The bytes of a row."""
        return -(-self.D * SIZES[self.tag] // 8)

    @property
    def width(self) -> int:
        """The bytes that one load takes. Of 4 bits 8 columns: the sums of more would leave room for few threads."""
        width = arrays.width_of(self.address, self.stride, self.gap, self.row_bytes)
        return min(width, 4 if self.tag == "code4" else width, self.most_width)

    @property
    def columns(self) -> int:
        """The columns that whole bytes hold: one more than D where codes of 4 bits are odd in number."""
        return self.row_bytes * 8 // SIZES[self.tag]


class Bounds(NamedTuple):
    """Where bags lie among N entries. Offsets and counts are int64, on the device, and known to be within bounds."""

    S: int
    N: int
    T: int = 0  # without offsets: bag s has the entries from s T on
    offsets: DeviceArray | None = None
    counts: DeviceArray | None = None  # of each bag; None: up to the next one

    @property
    def word(self) -> str:
        """What kernels call it."""
        return ("rows" if self.offsets is None else "offsets") + ("" if self.counts is None else "+")

    @property
    def longest(self) -> int:
        """The most entries that a bag may have."""
        return self.T if self.offsets is None else self.N

    @property
    def alive(self) -> tuple[DeviceArray | None, ...]:
        """The arrays behind the addresses."""
        return self.offsets, self.counts


class Keep(NamedTuple):
    """Which entries are kept: those whose byte in ``mask`` is not 0, and whose id is not ``padding``."""

    mask: DeviceArray | None = None  # bool, flat
    padding: int | None = None

    @property
    def word(self) -> str:
        """What kernels call it."""
        masked, padded = self.mask is not None, self.padding is not None
        return "both" if masked and padded else "mask" if masked else "padding" if padded else "all"


ALL = Keep()


def rows_of(source: Any, place: launch.Place) -> Rows:
    """Return rows as kernels read them: a table (V, D), floats or quantised, or x (B, T, D)."""
    if _checks.is_quantized(source):
        V, D = source.shape
        codes, scale, offset = source.codes, source.scale, source.offset
        parts = codes, scale, offset
        return Rows(
            f"code{source.bits}", codes.pointer, codes.strides[0], 0, scale.pointer, offset.pointer, V, D, parts
        )
    if not arrays.is_contiguous(source, source.ndim - 1):
        source = arrays.contiguous(source, place)
    D, stride = source.shape[-1], source.strides[-2]
    gap = source.strides[0] - source.shape[1] * stride if source.ndim == 3 else 0
    V = source.shape[0] * (source.shape[1] if source.ndim == 3 else 1)
    return Rows(arrays.tag_of(source), source.pointer, stride, gap, 0, 0, V, D, (source,))


def address_of(array: DeviceArray | None) -> int:
    """Return the address of an array; of none 0."""
    return 0 if array is None else array.pointer


def blocks(W: int, groups: int) -> tuple[launch.Dim, launch.Dim]:
    """Return a grid and a block for groups of threads with a word each, of W words; long rows take several blocks."""
    threads = launch.driver.threads
    across = -(-W // threads)
    x = -(-W // across)
    y = max(1, min(threads // x, groups))
    return (-(-groups // y), across), (x, y)


def cut_of(bounds: Bounds) -> int:
    """Return after how many entries bags are cut; 0: none is as long."""
    return kernels.CUT if bounds.longest > kernels.CUT else 0


def groups_of(bounds: Bounds, cut: int) -> int:
    """Return how many groups of threads bags and their parts take."""
    if not cut:
        return bounds.S
    return bounds.S * -(-bounds.T // cut) if bounds.offsets is None else bounds.S + bounds.N // cut


def _slots_of(bounds: Bounds, cut: int) -> int:
    """Return how many rows there may be for the sums of parts."""
    return bounds.S * -(-bounds.T // cut) if bounds.offsets is None else 2 * (bounds.N // cut) + 2


def join_rows(
    rows: Rows, index: DeviceArray | None, bounds: Bounds, out: DeviceArray, place: launch.Place, check: status.Check,
    *, mark: int = 0, op: str = SUM, weights: DeviceArray | str | None = None, divide: str = NO,
    by: DeviceArray | None = None, keep: Keep = ALL,
) -> None:  # fmt: skip
    """Write the sum, or the largest, of each bag's rows to a row of ``out``, zeros of none.

    Entry i is row ``index[i]``, int32 or int64, or row i; ids that are no rows read zeros and are reported as ``mark``
    + i. ``out`` (S, columns) is of any float dtype, the numbers of a row in one piece. ``weights``: numbers of the type
    computed in, one for each entry, or RANKS. ``divide``: one of NO, BY_COUNT, BY_ROOT, BY_RANKS, BY_GIVEN (``by``: a
    number for each bag, of the type computed in; 0 gives zeros). ``keep`` goes with bags of at most `CUT` entries.
    """
    W, cut = rows.row_bytes // rows.width, cut_of(bounds)
    if not bounds.S or not W:
        return
    columns, out_tag, acc = rows.columns, arrays.tag_of(out), acc_of(rows.tag)
    each, groups, parts = columns // W, groups_of(bounds, cut), None
    if cut:
        parts = arrays.new((_slots_of(bounds, cut), columns), acc, out)
    index_word = "none" if index is None else str(index.dtype.name)
    weights_word = RANKS if weights == RANKS else NO if weights is None else GIVEN
    given = weights if isinstance(weights, DeviceArray) else None
    form = kernels.Form(
        rows.tag, rows.width, index_word, bounds.word, cut, op, weights_word, divide, keep.word, out_tag,
        _width(out, each), 1 if parts is None else _width(parts, each),
    )  # fmt: skip
    values = (
        rows.address, rows.stride, rows.gap, rows.scales, rows.shifts, address_of(index), rows.V,
        address_of(bounds.offsets), address_of(bounds.counts), bounds.T, address_of(keep.mask), keep.padding or 0,
        address_of(given), address_of(by), address_of(parts), out.pointer, out.strides[0], bounds.S, groups, W,
        check.address, mark,
    )  # fmt: skip
    alive = (*rows.alive, index, *bounds.alive, keep.mask, given, by, parts, out)
    launch.submit(launch.kernel(kernels.make_join, form), *blocks(W, groups), place, values, alive)
    if parts is not None:
        _finish(bounds, parts, acc, cut, op, divide, by, out, place)


def _finish(
    bounds: Bounds, parts: DeviceArray, acc: str, cut: int, op: str, divide: str, by: DeviceArray | None,
    out: DeviceArray, place: launch.Place,
) -> None:  # fmt: skip
    width = arrays.width_of(parts.pointer, parts.strides[0])
    each = width // parts.dtype.itemsize
    W = parts.shape[1] // each
    groups = bounds.S if bounds.offsets is None else bounds.N // cut
    form = kernels.Finish(acc, width, bounds.word, cut, op, divide, arrays.tag_of(out), _width(out, each))
    values = (
        address_of(bounds.offsets), address_of(bounds.counts), bounds.T, address_of(by), parts.pointer, out.pointer,
        out.strides[0], bounds.S, groups, W,
    )  # fmt: skip
    alive = (*bounds.alive, by, parts, out)
    launch.submit(launch.kernel(kernels.make_finish, form), *blocks(W, groups), place, values, alive)


def _width(out: DeviceArray, each: int) -> int:
    """Return the bytes of a store where a thread has so many numbers of a row."""
    return arrays.width_of(out.pointer, out.strides[0], each * out.dtype.itemsize)
