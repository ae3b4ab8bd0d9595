"""CUDA's way with ``topk``: exact scores as keys that hold score and id, the least of them found in blocks."""

from typing import Any

import numpy as np

from .. import _checks, _frameworks
from .._frameworks import DeviceArray
from . import arrays, launch, status
from .kernels.bounds import make_bounds, make_rescore, make_sizes, make_units
from .kernels.search import (
    COSINE,
    LANES,
    make_exchange,
    make_lay,
    make_score,
    make_sort_block,
    make_unpack,
)  # fmt: skip

_INT64, _FLOAT64, _FLOAT32 = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.float32)
_SCRATCH_BYTES = 256 << 20  # of keys: as many queries at once as fit, at least one
_MOST_QUERIES = 65535  # blocks along y
_BLOCKS = 2048  # enough for any GPU; with fewer the queries are shared out, and vectors read more than once
_PAIRS = 4  # pairs of keys that a thread compares in a step: 2,048 keys a block
# So few queries are scored in one pass over the vectors. Where the k best are more than one vector in so many, finding
# out which to score costs as much as scoring all. Not measured: no device was at hand.
_FEW_QUERIES, _SPARSE = 2, 8
_MOST_VECTORS = 1 << 32  # their ids are half of a key


def topk(queries: DeviceArray, vectors: Any, k: int, metric: str) -> tuple[Any, Any]:
    """Return the scores and the ids of the k best vectors of each query, (Q, k), or (k,) of one query (D,)."""
    rows = _Vectors(vectors)
    place, N = rows.place, vectors.shape[0]
    if N > _MOST_VECTORS:
        raise ValueError(f"topk on a GPU takes up to 2**32 vectors, got {N}")
    status.begin(place, 0)
    lead = queries.shape[:-1]
    scores, ids = arrays.new((*lead, k), _FLOAT32, rows.like), arrays.new((*lead, k), _INT64, rows.like)
    Q, D = (lead[0] if lead else 1), queries.shape[-1]
    if Q:
        asked, norms = _lay(arrays.reshaped(arrays.contiguous(queries, place), Q, D), metric, rows)
        most = max(1, min(_MOST_QUERIES, _SCRATCH_BYTES // (8 * N)))
        for first in range(0, Q, most):
            some = slice(first, min(Q, first + most))
            found = _best(_keys(_some(asked, some), _some(norms, some), rows, k, metric), N, k, place)
            _unpack(
                found,
                _some(arrays.reshaped(scores, Q, k), some),
                _some(arrays.reshaped(ids, Q, k), some),
                metric,
                place,
            )
    return scores.owner, ids.owner


def _some(array: DeviceArray, rows: slice) -> DeviceArray:
    """Return some rows of an array."""
    shape = (rows.stop - rows.start, *array.shape[1:])
    return array._replace(pointer=array.pointer + rows.start * array.strides[0], shape=shape)


class _Vectors:
    """Vectors as kernels read them: number by number, codes with a scale and an offset for each row."""

    def __init__(self, vectors: Any) -> None:
        self.shape = vectors.shape
        if _checks.is_quantized(vectors):
            codes, scale, offset = vectors.codes, vectors.scale, vectors.offset
            self.alive: tuple[DeviceArray, ...] = codes, scale, offset
            self.place, self.tag = arrays.place_of(codes), f"code{vectors.bits}"
            self.values = codes.pointer, codes.strides[0], scale.pointer, offset.pointer
        else:
            self.place, self.tag = arrays.place_of(vectors), arrays.tag_of(vectors)
            rows = arrays.as_rows(vectors, self.place)
            size = rows.dtype.itemsize
            if arrays.width_of(rows.pointer, rows.strides[0]) % size:
                rows = arrays.contiguous(rows, self.place)
            self.alive, self.values = (rows,), (rows.pointer, rows.strides[0], 0, 0)
        self.like: DeviceArray = self.alive[0]


def _lay(queries: DeviceArray, metric: str, vectors: _Vectors) -> tuple[DeviceArray, DeviceArray]:
    """Return queries (Q, D) as float64, and their lengths."""
    Q, D = queries.shape
    rows, norms = arrays.new((Q, D), _FLOAT64, vectors.like), arrays.new((Q,), _FLOAT64, vectors.like)
    kernel, height = launch.kernel(make_lay, arrays.tag_of(queries)), max(1, launch.driver.threads // 32)
    values = (queries.pointer, queries.strides[0], rows.pointer, norms.pointer, Q, D, int(metric == COSINE))
    launch.submit(kernel, (-(-Q // height), 1), (32, height), vectors.place, values, (queries, rows, norms))
    return rows, norms


def _keys(queries: DeviceArray, norms: DeviceArray, vectors: _Vectors, k: int, metric: str) -> DeviceArray:
    """Return the keys of vectors for each query, (Q, N): of all, or of those that products cannot rule out."""
    (Q, D), N = queries.shape, vectors.shape[0]
    keys = arrays.new((Q, N), _INT64, vectors.like)
    products = None
    if vectors.tag == "float32" and Q > _FEW_QUERIES and k * _SPARSE <= N and _share(D) < 1:
        products = _multiply(queries, norms, vectors)
    if products is not None:
        _score_some(queries, norms, vectors, products, keys, k, metric)
        return keys
    height = max(1, launch.driver.threads // LANES)
    blocks = -(-N // height)
    kernel = launch.kernel(make_score, vectors.tag, metric)
    values = (queries.pointer, norms.pointer, *vectors.values, keys.pointer, Q, N, D)
    alive = (queries, norms, *vectors.alive, keys)
    launch.submit(kernel, (blocks, min(Q, -(-_BLOCKS // blocks))), (LANES, height), vectors.place, values, alive)
    return keys


def _share(D: int) -> float:
    """Return the most by which a rough product with a unit query may be wrong, as a share of the vector's length.

    D units in the last place for a sum of D products in any order, twice; 64 more for all that is rounded beside it.
    """
    share = (2 * D + 64) * 2.0**-24
    return share / (1.0 - share) if 64 < 2 * D + 64 < 2**23 else 1.0


def _multiply(queries: DeviceArray, norms: DeviceArray, vectors: _Vectors) -> DeviceArray | None:
    """Return the products of unit queries and vectors, (Q, N), by the caller's framework; None if it has none."""
    (Q, D), place, rows, threads = queries.shape, vectors.place, vectors.like, launch.driver.threads
    framework = _frameworks.of(rows.owner)
    if framework is None:
        return None
    units = arrays.new((Q, D), _FLOAT32, rows)
    values = (queries.pointer, norms.pointer, units.pointer, D)
    alive: tuple[DeviceArray, ...] = (queries, norms, units)
    launch.submit(launch.kernel(make_units), (-(-D // threads), Q), (threads, 1), place, values, alive)
    found = framework.matmul(units, rows._replace(shape=rows.shape[::-1], strides=rows.strides[::-1]))
    return None if found is None else arrays.contiguous(found, place)


def _score_some(
    queries: DeviceArray, norms: DeviceArray, vectors: _Vectors, products: DeviceArray, keys: DeviceArray, k: int,
    metric: str,
) -> None:  # fmt: skip
    """Write the keys of vectors that may be among the k best, and behind them what the others rank as."""
    (Q, D), place, rows, threads = queries.shape, vectors.place, vectors.like, launch.driver.threads
    N, share, height = rows.shape[0], _share(D), max(1, threads // LANES)
    sizes = arrays.new((N,), _FLOAT64, rows)
    values: tuple[Any, ...] = (*vectors.values[:2], sizes.pointer, N, D)
    kernel = launch.kernel(make_sizes, vectors.tag)
    launch.submit(kernel, (-(-N // height), 1), (LANES, height), place, values, (rows, sizes))
    values = (products.pointer, norms.pointer, sizes.pointer, keys.pointer, N, share)
    alive: tuple[DeviceArray, ...] = (products, norms, sizes, keys)
    launch.submit(launch.kernel(make_bounds, metric), (-(-N // threads), Q), (threads, 1), place, values, alive)
    limits = _best(keys, N, k, place)
    height = max(1, threads // 32)
    blocks = -(-N // (32 * height))
    values = (
        queries.pointer, norms.pointer, *vectors.values[:2], products.pointer, sizes.pointer, limits.pointer,
        limits.shape[1], k, keys.pointer, Q, N, D, share,
    )  # fmt: skip
    alive = (queries, norms, rows, products, sizes, limits, keys)
    grid = blocks, min(Q, -(-_BLOCKS // blocks))
    launch.submit(launch.kernel(make_rescore, vectors.tag, metric), grid, (32, height), place, values, alive)


# Keys ------------------------------------------------------------------------------------------------------------


def _best(keys: DeviceArray, n: int, k: int, place: launch.Place) -> DeviceArray:
    """Return an array whose rows begin with the k least of n keys of each query, in order."""
    C = 2 * _PAIRS * launch.driver.threads
    if 2 * k > C and n > C:
        return _sorted(keys, n, C, place)
    while True:  # each round leaves at most half
        blocks, kept = -(-n // C), min(k, C)
        keys, n = _sort_blocks(keys, n, C, kept, place), blocks * kept
        if blocks == 1:
            return keys


def _sort_blocks(keys: DeviceArray, n: int, C: int, kept: int, place: launch.Place) -> DeviceArray:
    """Return the least keys of each C, in order; where there are fewer, what ranks behind all keys."""
    (Q, M), blocks = keys.shape, -(-n // C)
    out = arrays.new((Q, blocks * kept), _INT64, keys)
    values = (keys.pointer, M, n, out.pointer, blocks * kept, kept)
    kernel = launch.kernel(make_sort_block, C)
    launch.submit(kernel, (blocks, Q), (launch.driver.threads, 1), place, values, (keys, out))
    return out


def _sorted(keys: DeviceArray, n: int, C: int, place: launch.Place) -> DeviceArray:
    """Return all keys of each query in order: for a k that leaves too many of a block."""
    M = 1 << (n - 1).bit_length()
    keys = _sort_blocks(keys, n, C, C, place)
    if keys.shape[1] < M:  # no network of another length: what is missing ranks behind all
        wider = arrays.new((keys.shape[0], M), _INT64, keys)
        keys = _padded(keys, wider, C, place)
    other = arrays.new(keys.shape, _INT64, keys)
    kernel, threads, size = launch.kernel(make_exchange), launch.driver.threads, 2 * C
    while size <= M:
        step = size // 2
        while step:
            values = (keys.pointer, other.pointer, M, size, step)
            grid = -(-M // (2 * threads)), keys.shape[0]
            launch.submit(kernel, grid, (threads, 1), place, values, (keys, other))
            keys, other, step = other, keys, step // 2
        size *= 2
    return keys


def _padded(keys: DeviceArray, wider: DeviceArray, C: int, place: launch.Place) -> DeviceArray:
    """Return sorted blocks with blocks behind them that hold no key."""
    (Q, M), (_, wide) = keys.shape, wider.shape
    values = (keys.pointer, M, M, wider.pointer, wide, C)
    kernel = launch.kernel(make_sort_block, C)
    launch.submit(kernel, (wide // C, Q), (launch.driver.threads, 1), place, values, (keys, wider))
    return wider


def _unpack(keys: DeviceArray, scores: DeviceArray, ids: DeviceArray, metric: str, place: launch.Place) -> None:
    """Write what the first keys of each query say."""
    Q, k = scores.shape
    threads = min(k, launch.driver.threads)
    values = (keys.pointer, keys.shape[1], scores.pointer, ids.pointer, k)
    kernel = launch.kernel(make_unpack, metric)
    launch.submit(kernel, (-(-k // threads), Q), (threads, 1), place, values, (keys, scores, ids))
