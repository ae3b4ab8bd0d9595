"""The kernels that group positions by id, against NumPy's stable sort, with sentinels around every buffer."""

import numpy as np
import pytest
from arrays import fence_stands, fenced
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastemb._cpu.kernels.grouping import COUNTS, LIMIT, PIECE, SMALL, group_ids, group_order

DTYPES = [np.int32, np.int64]


def expected_groups(ids, skip):
    """Order, unique ids, offsets of pieces and the first piece of each run, by NumPy and plain loops."""
    order = np.argsort(ids, kind="stable")
    order = order[ids[order] != skip]
    unique, lengths = np.unique(ids[order], return_counts=True)
    pieces, firsts, begin = [], [], 0
    for length in lengths.tolist():
        firsts.append(len(pieces))
        pieces += range(begin, begin + length, PIECE)
        begin += length
    return order, unique, np.array([*pieces, begin]), np.array([*firsts, len(pieces)])


def rooms(N, dtype):
    """Return the buffers of the kernels, each between sentinels."""
    room = {
        "order": (N, np.int64), "unique": (N, dtype), "pieces": (N + 1, np.int64), "firsts": (N + 1, np.int64),
        "spare": (N, np.int64), "counts": (COUNTS, np.int32),
    }  # fmt: skip
    return {name: fenced((length,), kind) for name, (length, kind) in room.items()}


def at(array):
    return array.ctypes.data


def check_group_ids(ids, skip=-1, low=None, high=None, stale=7, unsorted=True):
    N = len(ids)
    low = (int(ids.min()) if N else 0) if low is None else low
    high = (int(ids.max()) if N else 0) if high is None else high
    order, unique, pieces, firsts = expected_groups(ids, skip)
    given_ids = ids.copy()
    room = rooms(N, ids.dtype)
    room["counts"][...] = stale
    names = ("spare", "counts", "order", "unique", "pieces", "firsts")
    U = group_ids(ids.dtype.type(0), at(ids), N, skip, low, high, *(at(room[name]) for name in names))
    assert len(unique) == U
    P, M = int(room["firsts"][U]), len(order)
    assert len(pieces) - 1 == P
    np.testing.assert_array_equal(room["order"][:M], order)
    np.testing.assert_array_equal(room["unique"][:U], unique)
    np.testing.assert_array_equal(room["pieces"][: P + 1], pieces)
    np.testing.assert_array_equal(room["firsts"][: U + 1], firsts)
    # Where runs begin follows from the two.
    np.testing.assert_array_equal(pieces[firsts], [*np.searchsorted(ids[order], unique), M])
    assert all(map(fence_stands, room.values()))
    assert (ids == given_ids).all()
    if N <= SMALL or not unsorted:
        assert (room["spare"] == -1).all()  # never written
        assert (room["counts"] == stale).all()
    return order


def check_group_order(ids, skip=-1):
    order, unique, pieces, firsts = expected_groups(ids, skip)
    M = len(order)
    room = rooms(M, ids.dtype)
    room["order"][...] = order
    U = group_order(
        ids.dtype.type(0), at(ids), at(room["order"]), M, *(at(room[name]) for name in ("unique", "pieces", "firsts"))
    )
    assert len(unique) == U
    P = int(room["firsts"][U])
    np.testing.assert_array_equal(room["unique"][:U], unique)
    np.testing.assert_array_equal(room["pieces"][: P + 1], pieces)
    np.testing.assert_array_equal(room["firsts"][: U + 1], firsts)
    assert (room["order"] == order).all()
    assert all(map(fence_stands, room.values()))


def make_ids(kind, N, V, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "zipf":
        ids = np.minimum(rng.zipf(1.2, N), V) - 1
    elif kind == "equal":
        ids = np.full(N, V - 1)
    else:
        ids = rng.integers(0, V, N)
        if kind != "uniform":
            ids.sort()
        if kind == "descending":
            ids = ids[::-1]
    return ids.astype(dtype)


KINDS = ["uniform", "zipf", "equal", "ascending", "descending"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(KINDS),
    st.integers(0, 1500),
    st.sampled_from([1, 2, 3, 10, 256, 257, 2048, 2049, 30_522, 128_256, 1 << 22, LIMIT]),
    st.integers(0, 1 << 40),
    st.integers(0, 2**32),
    st.data(),
)
def test_equals_numpy(dtype, kind, N, V, low, seed, data):
    low = min(low, np.iinfo(dtype).max - (V - 1))  # what the range spans counts, not where it lies
    ids = make_ids(kind, N, V, np.int64, seed) + low
    skip = data.draw(st.sampled_from([-1, *(int(one) for one in ids[:3])]))
    check_group_ids(ids.astype(dtype), skip)
    check_group_ids(ids.astype(dtype), skip, low, low + V - 1)  # a range wider than what occurs
    check_group_order(ids.astype(dtype), skip)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 7, 255, 256, 2047, 2048, 1 << 16, 1 << 22, LIMIT - 1]), max_size=80))
@example([LIMIT - 1])
@example([LIMIT - 1, 0] * 100)
@example([0] * (SMALL + 1) + [LIMIT - 1])
def test_few_ids_far_apart(values):
    ids = np.array(values, np.int32)
    for skip in {-1, *values}:
        check_group_ids(ids, skip)
        check_group_order(ids, skip)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_length_around_the_switches(kind, dtype):
    for N in [*range(2 * SMALL + 3), *range(PIECE - 2, PIECE + 3), *range(2 * PIECE - 1, 2 * PIECE + 2)]:
        for V in (1, 5, 30_522):
            ids = make_ids(kind, N, V, dtype, N)
            check_group_ids(ids)
            check_group_ids(ids, skip=V - 1)
            check_group_order(ids)


@pytest.mark.parametrize("bits", range(32))
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_width_of_ids(dtype, bits):
    span = (1 << bits) - 1
    for N in (10, 200, 3000):  # insertion, narrow digits, wide digits
        ids = np.random.default_rng(bits).integers(0, span + 1, N)
        ids[: N // 2] &= ids[N // 2 : 2 * (N // 2)]
        ids[N // 3], ids[N // 2] = span, 0
        check_group_ids(ids.astype(dtype))
        check_group_ids(ids.astype(dtype), skip=span)
        shifted = ids >> (bits // 2) << (bits // 2)  # digits that all ids share
        check_group_ids(shifted.astype(dtype))


def test_the_widest_range_far_from_zero():
    low = (1 << 62) + 12_345
    ids = low + np.random.default_rng(0).integers(0, LIMIT, 1000)
    ids[500], ids[100] = low, low + LIMIT - 1
    check_group_ids(ids)
    check_group_order(ids)
    check_group_ids(np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).max - 1] * 30))


@pytest.mark.parametrize("skip", [0, 12, 1 << 61, np.iinfo(np.int64).max])
def test_the_skipped_id_may_lie_outside_the_range(skip):
    for N in (SMALL, PIECE, 2000):
        ids = make_ids("uniform", N, 1000, np.int64) + (1 << 40)
        low, high = int(ids.min()), int(ids.max())
        ids[::3] = skip
        check_group_ids(ids, skip, low, high)


@pytest.mark.parametrize("padding", [0, 50, 200])
def test_ascending_ids_are_not_sorted_again(padding):
    ids = np.sort(np.random.default_rng(0).integers(1, 100, 300))
    check_group_ids(ids, unsorted=False)
    ids[::7] = padding
    check_group_ids(ids, skip=padding, unsorted=False)
    check_group_ids(ids)
    # Two ascending halves: what is skipped between them must not hide the step down.
    halves = np.concatenate([np.arange(50, 100), [padding], np.arange(1, 50)])
    check_group_ids(halves, skip=padding)
    check_group_ids(halves)


def test_counts_are_cleared():
    ids = np.random.default_rng(0).integers(0, 256, 100)
    ids[0], ids[1] = 255, 0
    for stale in [*range(101), -1]:
        check_group_ids(ids, stale=stale)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_and_nothing_left(dtype):
    assert not len(check_group_ids(np.zeros(0, dtype)))
    check_group_order(np.zeros(0, dtype))
    for N in (1, SMALL, SMALL + 1, 1000):
        assert not len(check_group_ids(np.full(N, 7, dtype), skip=7))


@pytest.mark.parametrize("lengths", [[255], [256], [257], [511, 1], [512, 512], [513, 256, 1], [1, 255, 769, 2]])
def test_runs_are_cut_from_their_own_start(lengths):
    ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    for seed in range(3):
        check_group_ids(ids)
        check_group_order(ids)
        np.random.default_rng(seed).shuffle(ids)
    room = rooms(len(ids), ids.dtype)
    names = ("spare", "counts", "order", "unique", "pieces", "firsts")
    U = group_ids(np.int32(0), at(ids), len(ids), -1, 0, len(lengths), *(at(room[name]) for name in names))
    cut = np.diff(room["pieces"][: room["firsts"][U] + 1])
    assert cut.max() <= 256
    assert len(lengths) == U
    assert np.diff(room["firsts"][: U + 1]).tolist() == [-(-length // 256) for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("V", [30_522, 128_256, 1_000_000])
def test_many_ids(kind, V):
    ids = make_ids(kind, 100_000, V, np.int32)
    check_group_ids(ids)
    check_group_ids(ids, skip=int(ids[0]))
    check_group_ids(np.where(np.arange(len(ids)) % 3, ids, 0), skip=0)


def test_one_compilation_for_each_type_of_ids():
    for dtype in DTYPES:
        check_group_ids(np.arange(100, dtype=dtype)[::-1].copy())
        check_group_order(np.arange(100, dtype=dtype)[::-1].copy())
    assert len(group_ids.signatures) == len(group_order.signatures) == 2
