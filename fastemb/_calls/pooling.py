"""From a plan to results: the kernels' way through bags, forward and back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from .. import _arrays, _threads
from .._arrays import Array, Table
from .._cpu.layout import Bags, Ids, Rows
from .bags import Plan
from .gradient import Runs

# Results that are changed again after the sums go in chunks of about this size, which stay in the cache.
_CHUNK_BYTES = 1 << 18

SUM, ROOT, MEAN = 0, 1, 2  # what a sum is divided by, in the kernel's numbers
_POWERS = {"mean": MEAN, "mean_max": MEAN, "weighted_mean": MEAN, "mean_sqrt_len": ROOT}


# Kernels are imported when they are first needed: they bring Numba with them.


@cache
def _kernels() -> ModuleType:
    from .._cpu import rows

    return rows


@cache
def _normalizer() -> Callable[..., None]:
    from .._cpu.normalize import normalize_rows

    return normalize_rows


@cache
def _gradients() -> ModuleType:
    from .._cpu import pooling

    return pooling


@dataclass(slots=True)
class Join:
    """One forward call: rows to read, the plan, and how bags become results.

    Rows are those of a table, or of x, shape (N, D) or (B, T, D).
    """

    source: Table | Array
    plan: Plan
    mode: str
    normalize: bool
    rows: Rows
    ids: Ids
    bags: Bags

    def __init__(self, source: Table | Array, plan: Plan, mode: str, normalize: bool) -> None:
        if isinstance(source, np.ndarray):
            source = _arrays.within_reach(source)
        self.source, self.plan, self.mode, self.normalize = source, plan, mode, normalize
        self.find()

    def find(self) -> None:
        """Look up what kernels are told; each address costs a microsecond, so once a call."""
        plan, skew = self.plan, 0
        if isinstance(self.source, Table):
            assert plan.index is not None
            self.rows, self.ids = self.source.rows(), _arrays.ids(plan.index, self.source.V)
        else:
            x, N = self.source, plan.size
            apart = x.strides[-2] if N else 0
            skew = x.strides[0] - x.shape[1] * apart if N and x.ndim == 3 else 0
            bits = 8 * x.dtype.itemsize
            self.rows = Rows(_arrays.element(x.dtype), _arrays.address(x), apart, bits, x.shape[-1])
            self.ids = _arrays.no_ids(N) if plan.places is None else _arrays.ids(plan.places, N)
        weights = None if plan.weights is None else _arrays.address(plan.weights)
        begins, ends = _arrays.address(plan.begins), _arrays.address(plan.ends)
        self.bags = Bags(begins, ends, skew, weights, _POWERS.get(self.mode, SUM))

    @property
    def lane(self) -> np.dtype[Any]:
        """The dtype in which rows are added."""
        return self.source.lane if isinstance(self.source, Table) else _arrays.lane_dtype(self.source.dtype)

    @property
    def cost(self) -> int:
        """The bytes of the rows that are read."""
        return self.plan.positions * self.rows.D * self.rows.bits // 8

    @property
    def width(self) -> int:
        """The number of columns of the result."""
        return self.rows.D * (2 if self.mode == "mean_max" else 1)

    def check(self) -> int:
        """Return the first position whose id is bad, or -1, and bring the table within reach if there is none."""
        if not isinstance(self.source, Table):
            return -1
        assert self.plan.index is not None
        bad = _arrays.first_bad(self.plan.index, self.source.V)
        if bad < 0 and not self.source.near:
            self.source, self.plan.index = self.source.within_reach(self.plan.index)
            self.find()
        return bad

    def write(self, out: Array, fresh: bool) -> int:
        """Write all bags to ``out``; return the first position whose id is bad, or -1.

        Nothing is written if there is one, unless ``out`` is ``fresh``, so that nobody sees it then. Ids are checked
        by the kernel itself if it visits them all, range by range: they are in the cache when they are used.
        """
        S, plan = self.plan.S, self.plan
        check = isinstance(self.source, Table) and self.mode not in ("cls", "last")
        near = not isinstance(self.source, Table) or self.source.near
        direct = self._stores(out)
        plain = direct and not self.normalize and self.mode != "mean_max"
        ranges = _threads.parts(self.cost + out.nbytes, S)
        check = check and near and plain and (fresh or ranges == 1)
        if not check:
            bad = self.check()
            if bad >= 0:
                return bad
        found: list[int] = []

        # It holds the arrays behind the addresses, so they live as long as any thread's range.
        def write_range(start: int, stop: int, keep: object = (self, out)) -> None:
            if plain:
                bad = self._join(self.bags, _arrays.rows(out), check, start, stop)
                if bad >= 0:
                    found.append(bad)
            else:
                self._write_chunks(out, direct, start, stop)

        if ranges == 1:
            write_range(0, S)
        else:
            _threads.run(write_range, plan.cuts(ranges))
        return min(found, default=-1)

    def _stores(self, out: Array) -> bool:
        """Whether kernels can store sums as elements of ``out``, rounded once."""
        return _arrays.in_reach(out) and (self.lane == np.float32 or out.dtype.itemsize >= 4)

    def _join(self, bags: Bags, out: Rows, check: bool, start: int, stop: int) -> int:
        kernel: Callable[..., int] = _kernels().max_rows if self.mode == "max" else _kernels().sum_rows
        return kernel(self.rows, self.ids, bags, out, check, start, stop)

    def _write_chunks(self, out: Array, direct: bool, start: int, stop: int) -> None:
        """Write bags some at a time, which are scaled and rounded while they are in the cache."""
        width = self.width
        moved = self.cost // max(self.plan.S, 1) if self.mode == "mean_max" else 0
        step = max(1, _CHUNK_BYTES // max(1, width * self.lane.itemsize, moved))
        through = not direct or (self.normalize and out.dtype != self.lane)
        scratch = np.empty((min(step, stop - start), width), self.lane) if through else out
        for first in range(start, stop, step):
            last = min(first + step, stop)
            sums = scratch[: last - first] if through else out[first:last]
            self._join_halves(sums, first, last)
            if self.normalize:
                result = out[first:last] if direct else sums
                _normalizer()(_arrays.rows(sums), _arrays.rows(result), 0, last - first)
            if not direct:
                _arrays.round_into(out[first:last], sums)

    def _join_halves(self, sums: Array, first: int, last: int) -> None:
        """Write bags [first, last) to as many rows; of two modes each has its half of the columns."""
        here = _arrays.rows(sums)
        # Kernels number rows as they number bags.
        here = here._replace(address=here.address - first * here.stride, D=self.rows.D)
        if self.mode != "mean_max":
            self._join(self.bags, here, False, first, last)
            return
        _kernels().sum_rows(self.rows, self.ids, self.bags, here, False, first, last)
        right = here._replace(address=here.address + self.rows.D * sums.dtype.itemsize)
        _kernels().max_rows(self.rows, self.ids, self.bags, right, False, first, last)


def normalize(x: Array, out: Array | None) -> Array:
    """Write the rows of ``x`` at length one to ``out``, which may be ``x``; return the result."""
    result = _arrays.empty(x.shape, x.dtype) if out is None else out
    D = x.shape[-1]
    source = _arrays.within_reach(x).reshape(-1, D) if x.size else x.reshape(0, D)
    lane = _arrays.lane_dtype(x.dtype)
    stored = _arrays.in_reach(result) and (lane == np.float32 or result.dtype.itemsize >= 4)
    target = result if stored and (result.ndim == 2 or result.flags.c_contiguous) else np.empty(x.shape, lane)
    flat = target.reshape(-1, D) if x.size else source

    def write(start: int, stop: int, keep: object = (source, flat)) -> None:
        _normalizer()(_arrays.rows(source), _arrays.rows(flat), start, stop)

    ranges = _threads.parts(source.nbytes + flat.nbytes, len(source))
    _threads.run(write, _threads.split(len(source), ranges))
    if target is not result:
        _arrays.round_into(result, target)
    return result


# Backward ---------------------------------------------------------------------------------------------------------


class Ascent:
    """One backward call: the gradient of the results, on its way back to the rows.

    ``sums`` and ``peaks`` are the parts of it that go through the sum and through the maximum, one row for each
    bag; ``sums`` is divided as the sum was.
    """

    @np.errstate(all="ignore")  # what overflows is infinite, as in kernels
    def __init__(self, join: Join, grad: Array) -> None:
        self.join, plan = join, join.plan
        self.y: Array | None = None  # the results before they were scaled
        averaged = plan.weights is not None and join.mode == "mean"
        if join.normalize or averaged or join.mode in ("max", "mean_max"):
            self.y = np.empty((plan.S, join.width), join.lane)
            normal, join.normalize = join.normalize, False
            join.write(self.y, fresh=True)
            join.normalize = normal
        self.grad = through_length(grad, self.y) if join.normalize and self.y is not None else grad
        self.divisors = divisors(join)
        D = join.rows.D
        self.sums = None if join.mode == "max" else self.grad[:, :D] / self.divisors[:, np.newaxis]
        self.peaks = np.ascontiguousarray(self.grad[:, -D:]) if join.mode in ("max", "mean_max") else None

    def rows(self, x: Array) -> Array:
        """Return the gradient of x: its shape and dtype, zeros where no bag joins a row."""
        out = _arrays.empty(x.shape, x.dtype)
        flat = out.reshape(self.join.plan.size, x.shape[-1])
        if int((self.join.plan.ends - self.join.plan.begins).sum()) < self.join.plan.size:
            flat.fill(0)
        self._spread(flat, numbered=False)
        return out

    @np.errstate(all="ignore")
    def by_id(self, index: Array) -> tuple[Array, Array]:
        """Return the ids that have a gradient, ascending, and their rows; ``index`` are the ids of the positions."""
        bags, positions = self.join.plan.members()
        runs = Runs.of(np.ascontiguousarray(index.reshape(-1)[positions]))
        if self.peaks is None and self.sums is not None:
            if self.join.plan.weights is None:  # the rows in between are never made
                runs.point_to(bags)
                return runs.ids, runs.sums(np.ascontiguousarray(self.sums), False)
            rows = self.sums[bags] * self.join.plan.weights[positions, np.newaxis]
            return runs.ids, runs.sums(rows, False)
        rows = _arrays.empty((self.join.plan.positions, self.join.rows.D), self.join.lane)
        self._spread(rows, numbered=True)
        return runs.ids, runs.sums(rows, False)

    @np.errstate(all="ignore")
    def weights(self, shape: tuple[int, ...] | None) -> Array | None:
        """Return the gradient of the weights, zeros where no bag joins their rows."""
        join, plan = self.join, self.join.plan
        if shape is None:
            return None
        dots = np.zeros((plan.positions, 1), join.lane)
        grad = self.grad

        def write(start: int, stop: int, keep: object = (self, dots, grad)) -> None:
            target = _arrays.rows(dots)
            _gradients().dot_rows(join.rows, join.ids, join.bags, _arrays.rows(grad), target, start, stop)

        self._run(write)
        if join.mode == "mean" and self.y is not None:
            bags, positions = plan.members()
            along = np.einsum("sd,sd->s", grad, self.y)
            dots[positions, 0] = (dots[positions, 0] - along[bags]) / self.divisors[bags]
        result = np.zeros(plan.size, join.lane)
        result[slice(None) if plan.places is None else plan.places] = dots[:, 0]
        return result.reshape(shape)

    def _spread(self, out: Array, numbered: bool) -> None:
        """Write the gradient of each position to the row of its number, or of its place."""
        join, sums, peaks, y = self.join, self.sums, self.peaks, self.y

        def write(start: int, stop: int, keep: object = (self, out)) -> None:
            target = _arrays.rows(out)
            if peaks is None or y is None:
                assert sums is not None
                _gradients().spread_sums(_arrays.rows(sums), join.ids, join.bags, target, start, stop)
                return
            base = _arrays.rows(peaks if sums is None else sums)
            highest = _arrays.rows(y[:, -join.rows.D :])
            _gradients().spread_peaks(
                join.rows, join.ids, join.bags, highest, _arrays.rows(peaks), base, sums is not None, target,
                numbered, start, stop,
            )  # fmt: skip

        self._run(write)

    def _run(self, write: Callable[[int, int], object]) -> None:
        ranges = _threads.parts(2 * self.join.cost, self.join.plan.S)
        _threads.run(write, self.join.plan.cuts(ranges))


def divisors(join: Join) -> Array:
    """Return what each bag's sum is divided by; infinity where a bag is zeros whatever its rows are."""
    plan = join.plan
    amounts: Array = (plan.ends - plan.begins).astype(np.float64)
    if plan.weights is not None:
        bags, positions = plan.members()
        amounts = np.bincount(bags, plan.weights[positions], plan.S).astype(np.float64)  # of nothing: integers
    amounts[amounts == 0] = np.inf
    power = _POWERS.get(join.mode, SUM)
    if power == SUM:
        amounts[:] = 1
    lane: Array = (np.sqrt(amounts) if power == ROOT else amounts).astype(join.lane)
    return lane


def through_length(grad: Array, y: Array) -> Array:
    """Return the gradient of rows before they were scaled to length one; a row of zeros has none."""
    unit = normalize(y.copy(), None).astype(np.float64)
    length = np.einsum("sd,sd->s", unit, y, dtype=np.float64)[:, np.newaxis]
    along = np.einsum("sd,sd->s", unit, grad, dtype=np.float64)[:, np.newaxis]
    before = np.where(length == 0, 0, (grad - unit * along) / length)
    return before.astype(grad.dtype)
