"""From bags to what kernels walk: clean bounds, lists of what is kept, weights, divisors; all on the device."""

from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._bags import Bags
from .._frameworks import DeviceArray
from . import arrays, joining, launch, status
from .joining import BY_COUNT, BY_GIVEN, BY_RANKS, BY_ROOT, NO, RANKS, Bounds, Keep, Rows, address_of
from .kernels import entries as kernels
from .kernels import join as join_kernels
from .kernels.dtypes import acc_of
from .kernels.entries import ALL, FIRST, LAST, Listing

_DIVIDE = {"mean": BY_COUNT, "mean_max": BY_COUNT, "weighted_mean": BY_RANKS, "mean_sqrt_len": BY_ROOT}
_PICK = {"cls": FIRST, "last": LAST}


class Plan(NamedTuple):
    """What kernels are told of bags."""

    bags: Bags
    place: launch.Place
    check: status.Check
    rows: Rows
    ids: DeviceArray | None  # of all slots, flat; None: slot i is row i
    slots: Bounds  # where the slots of bags lie
    keep: Keep  # which of them are entries
    pick: str
    slot_weights: DeviceArray | None  # given for all slots, in the type computed in
    # The entries, as they are joined:
    where: DeviceArray | None  # the row of each; None: its own number
    bounds: Bounds
    within: Keep  # which entries are kept, where no list was made of these
    mark: int
    weights: DeviceArray | str | None
    divide: str
    by: DeviceArray | None

    @property
    def like(self) -> DeviceArray:
        """The array that decides."""
        return self.bags.rows.codes if _checks.is_quantized(self.bags.rows) else self.bags.rows  # type: ignore[no-any-return]

    @property
    def acc(self) -> str:
        """The type computed in."""
        return acc_of(self.rows.tag)

    @property
    def partial(self) -> bool:
        """Whether some slots may be left out."""
        return self.keep.word != "all" or self.slots.counts is not None or self.pick != ALL


def one_a_thread(count: int) -> tuple[launch.Dim, launch.Dim]:
    """Return a grid and a block."""
    threads = launch.driver.threads
    return (-(-count // threads), 1), (threads, 1)


def one_a_warp(count: int) -> tuple[launch.Dim, launch.Dim]:
    """Return a grid and a block. In the simulator the warps of a block would wait for each other: one a block."""
    warps = max(1, launch.driver.threads // 64)
    return (-(-count // warps), 1), (32, warps)


def plan_of(bags: Bags, function: str) -> Plan:
    """Return what kernels are told of bags; in the mode "sync" raise what is wrong with values."""
    like = bags.rows.codes if _checks.is_quantized(bags.rows) else bags.rows
    place, (S, N), V = arrays.place_of(like), (bags.shape[0], int(np.prod(bags.slots))), bags.rows.shape[0]
    what, most = ("length", bags.slots[-1]) if bags.offsets is None else ("offset", N)
    words = f"lengths from 0 to {most}" if bags.offsets is None else f"offsets that ascend from 0 to {most}"
    check = status.begin(  # zeros for a row of sums, which is what runs of gradients read
        place, max(arrays.MOST_WIDTH, 8 * bags.rows.shape[-1]),
        status.Fault(function, what, (S + (bags.offsets is not None),), words, ValueError),
        status.Fault(function, "id", bags.slots, f"a table of {V} rows", dtype=bags.ids and bags.ids.dtype),
    )  # fmt: skip
    rows = joining.rows_of(bags.rows, place)
    ids = None if bags.ids is None else arrays.as_index(bags.ids, place)
    weights = bags.weights
    if weights is not None:
        weights = arrays.reshaped(arrays.converted(weights, acc_of(rows.tag), place), N)
    (slots, given), keep = _bounds(bags, N, like, check, place), _keep(bags, N, place)
    divide = BY_GIVEN if weights is not None and bags.mode == "mean" else _DIVIDE.get(bags.mode, NO)
    plan = Plan(
        bags, place, check, rows, ids, slots, keep, _PICK.get(bags.mode, ALL), weights,
        ids, slots, keep, check.marks[1], RANKS if bags.mode == "weighted_mean" else weights, divide, None,
    )  # fmt: skip
    if _needs_list(plan):
        plan = _listed(plan)
    if divide == BY_GIVEN or (divide == BY_RANKS and plan.weights is not RANKS):
        plan = plan._replace(divide=BY_GIVEN, by=divisors(plan, plan.bounds, BY_GIVEN, plan.weights))
    if status.mode == status.SYNC:
        _require(plan, given)
    return plan


def _require(plan: Plan, given: DeviceArray | None) -> None:
    """Raise what is wrong with values: bounds, then ids; a list was made of ids if some are left out."""
    status.require(plan.place, plan.check, {0: given, 1: plan.ids})
    if plan.ids is not None and plan.where is plan.ids:
        status.require_ids(plan.place, plan.check, 1, plan.ids, plan.rows.V)


def _bounds(
    bags: Bags, N: int, like: DeviceArray, check: status.Check, place: launch.Place
) -> tuple[Bounds, DeviceArray | None]:
    """Return where the slots of each bag begin and end, and the offsets or lengths as they were given."""
    S, given = bags.shape[0], bags.lengths if bags.offsets is None else bags.offsets
    T = bags.slots[1] if bags.offsets is None else 0
    if given is None:
        return Bounds(S, N, T), None
    given, lengths = arrays.contiguous(given, place), bags.offsets is None
    count, most, clean = given.shape[0], T if lengths else N, arrays.new(given.shape, np.int64, like)
    kernel = launch.kernel(kernels.make_clean, arrays.tag_of(given), lengths)
    values = given.pointer, given.dtype.itemsize, count, most, clean.pointer, check.address, check.marks[0]
    launch.submit(kernel, *one_a_thread(count), place, values, (given, clean))
    return (Bounds(S, N, T, None, clean) if lengths else Bounds(S, N, 0, clean)), given


def _keep(bags: Bags, N: int, place: launch.Place) -> Keep:
    """Return which slots are kept. Padding that the ids' dtype cannot hold is the id of none."""
    mask, padding = bags.mask, bags.padding_idx
    if mask is not None:
        mask = arrays.reshaped(arrays.converted(mask, np.bool_, place), N)
    if padding is not None:
        limits = np.iinfo(bags.ids.dtype)
        padding = (padding + 2**63) % 2**64 - 2**63 if limits.min <= padding <= limits.max else None
    return Keep(mask, padding)


def _needs_list(plan: Plan) -> bool:
    """Whether a list of entries is made. Without one short bags, which are not cut, test each slot as they go."""
    if plan.pick != ALL:
        return True
    if plan.keep.word == "all":
        return False
    long = plan.slots.offsets is not None or plan.slots.T > join_kernels.CUT
    return long or plan.weights is not None or status.mode == status.SYNC


def _listing(plan: Plan, weights: bool) -> Listing:
    ids = "none" if plan.ids is None else str(plan.ids.dtype.name)
    ranks = weights and plan.weights is RANKS
    return Listing(ids, plan.slots.word, plan.keep.word, plan.pick, plan.acc if weights else "none", ranks)


def _listed(plan: Plan) -> Plan:
    """Return a plan whose entries are a list of rows: each bag's own from where its slots begin."""
    slots, like, weighted = plan.slots, plan.like, plan.weights is not None and plan.pick == ALL
    index = arrays.new((slots.N if plan.pick == ALL else slots.S,), np.int64, like)
    counts = arrays.new((slots.S,), np.int64, like)
    weights = arrays.new((slots.N,), plan.acc, like) if weighted else None
    kernel = launch.kernel(kernels.make_list_kept, _listing(plan, weighted))
    values = (
        address_of(plan.ids), plan.rows.V, address_of(slots.offsets), address_of(slots.counts), slots.T,
        address_of(plan.keep.mask), plan.keep.padding or 0, address_of(plan.slot_weights), slots.S, index.pointer,
        counts.pointer, address_of(weights), plan.check.address, plan.check.marks[1],
    )  # fmt: skip
    alive = (plan.ids, *slots.alive, plan.keep.mask, plan.slot_weights, index, counts, weights)
    launch.submit(kernel, *one_a_warp(slots.S), plan.place, values, alive)
    bounds = slots._replace(counts=counts) if plan.pick == ALL else Bounds(slots.S, slots.S, 1, None, counts)
    return plan._replace(where=index, bounds=bounds, within=joining.ALL, mark=status.QUIET, weights=weights)


class Survey(NamedTuple):
    """What is known of each slot, for gradients."""

    kept: DeviceArray  # bool
    ids: DeviceArray | None  # int64; -1 where it is not kept, or bad
    bags: DeviceArray | None  # int64; of ids alone
    ranks: DeviceArray | None
    bounds: Bounds  # with the number of entries of each bag


def survey(plan: Plan) -> Survey:
    """Return which slots are kept, and their ids and places."""
    slots, like, ranked = plan.slots, plan.like, plan.bags.mode == "weighted_mean"
    kept, counts = arrays.new((slots.N,), np.bool_, like), arrays.new((slots.S,), np.int64, like)
    ids = None if plan.ids is None else arrays.new((slots.N,), np.int64, like)
    of_bags = None if plan.ids is None else arrays.new((slots.N,), np.int64, like)
    ranks = arrays.new((slots.N,), plan.acc, like) if ranked else None
    form = _listing(plan, False)._replace(weights=plan.acc if ranked else "none", ranks=ranked)
    values = (
        address_of(plan.ids), plan.rows.V, address_of(slots.offsets), address_of(slots.counts), slots.T,
        address_of(plan.keep.mask), plan.keep.padding or 0, slots.S, kept.pointer, address_of(ids), address_of(of_bags),
        counts.pointer, address_of(ranks), plan.check.address, plan.check.marks[1],
    )  # fmt: skip
    alive = (plan.ids, *slots.alive, plan.keep.mask, kept, ids, of_bags, counts, ranks)
    launch.submit(launch.kernel(kernels.make_survey, form), *one_a_warp(slots.S), plan.place, values, alive)
    return Survey(kept, ids, of_bags, ranks, slots._replace(counts=counts))


def divisors(plan: Plan, bounds: Bounds, divide: str, weights: Any) -> DeviceArray:
    """Return what the sum of each bag is divided by."""
    out = arrays.new((bounds.S,), plan.acc, plan.like)
    kernel = launch.kernel(kernels.make_divisors, plan.acc, bounds.word, divide)
    given = weights if isinstance(weights, DeviceArray) else None
    values = address_of(bounds.offsets), address_of(bounds.counts), bounds.T, address_of(given), bounds.S, out.pointer
    launch.submit(kernel, *one_a_thread(bounds.S), plan.place, values, (*bounds.alive, given, out))
    return out
