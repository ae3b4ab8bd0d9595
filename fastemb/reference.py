"""Every operation in a few lines of NumPy: what the kernels must equal. Only tests import this."""

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def gather(table: Array, ids: Any, mode: str = "raise") -> Array:
    """Return ``table[ids]``; ids outside the table are an error, the nearest row, or taken modulo V."""
    ids = np.asarray(ids) if np.size(ids) else np.zeros(np.shape(ids), np.int64)
    V = table.shape[0]
    if mode == "clip":
        ids = np.clip(ids.astype(object), 0, V - 1).astype(np.int64)
    elif mode == "wrap":
        ids = (ids.astype(object) % V).astype(np.int64)
    elif ((ids < 0) | (ids >= V)).any():
        raise IndexError("an id is out of range")
    rows: Array = table[ids, ...]  # of a single id an array too, not a scalar, which may lose its byte order
    return rows


def embedding_bag(
    table: Array, ids: Any, offsets: Any = None, mode: str = "mean", normalize: bool = False, exact: bool = False, *,
    mask: Any = None, weights: Any = None, padding_idx: int | None = None,
) -> Array:  # fmt: skip
    """Return one row for each bag, unrounded: `reduce_rows` in float32 (a float64 table: float64), then scaled.

    With ``exact`` everything is float64, for comparisons within a tolerance.
    """
    flat, kind = np.reshape(ids, -1), np.float64 if exact or table.dtype.itemsize == 8 else np.float32
    bags = [places[flat[places] != padding_idx] for places in slots_of_bags(np.shape(ids), offsets, mask)]
    out = np.zeros((len(bags), table.shape[1] * (2 if mode == "mean_max" else 1)), kind)
    for s, places in enumerate(bags):
        w = None if weights is None else np.reshape(weights, -1)[places].astype(kind)
        w = ranks_of(places).astype(kind) if mode == "weighted_mean" else w
        out[s] = reduce_rows(table[flat[places].astype(np.int64)].astype(kind), mode, w)
    return unit_rows(out) if normalize else out


def slots_of_bags(shape: tuple[int, ...], offsets: Any = None, mask: Any = None) -> list[Array]:
    """Return the flat places of each bag: those between two offsets, or those of a row that are not masked."""
    if offsets is not None:
        return [np.arange(begin, end) for begin, end in pairwise(offsets)]
    kept = np.ones(shape, bool) if mask is None else np.not_equal(mask, 0)
    return [b * shape[1] + np.flatnonzero(row) for b, row in enumerate(kept)]


def ranks_of(places: Array) -> Array:
    """Return the places in a bag counted from that of the first, which has 1; what is left out between counts on."""
    return places - places[:1] + 1


def reduce_rows(rows: Array, mode: str, w: Array | None = None) -> Array:
    """Return one row for several, zeros for none; ``w`` are weights, or the ranks of a weighted mean.

    Each product, sum and quotient is rounded to the type of rows.
    """
    kind, amount = rows.dtype.type, float(len(rows))
    if mode == "mean_max":
        return np.concatenate([reduce_rows(rows, "mean"), reduce_rows(rows, "max")])
    if not len(rows):
        return np.zeros(rows.shape[1], kind)
    if mode == "max":  # a NaN stays, and of two zeros the first
        return reduce(lambda a, b: np.where((b > a) | np.isnan(b), b, a), rows)
    if mode in ("cls", "last"):
        chosen: Array = rows[0 if mode == "cls" else -1]
        return chosen
    if w is not None:
        rows, amount = rows * w[:, np.newaxis], np.cumsum(w, dtype=np.float64)[-1]
    by = kind({"sum": 1.0, "mean_sqrt_len": len(rows) ** 0.5}.get(mode, amount))
    return cut_sum(rows) / by if by else np.zeros(rows.shape[1], kind)


def cut_sum(rows: Array) -> Array:
    """Return the sum of rows in ascending order, cut every 256 rows, the pieces' sums added in float64 and rounded."""
    pieces = [reduce(np.add, rows[cut : cut + 256]) for cut in range(0, len(rows), 256)]
    total: Array = reduce(np.add, [piece.astype(np.float64) for piece in pieces]).astype(rows.dtype)
    return total


def pool(x: Array, mask: Any = None, *, lengths: Any = None, offsets: Any = None, **given: Any) -> Array:
    """Return `embedding_bag` of the rows of x by their own numbers; ``given`` are its other arguments."""
    N = int(np.prod(x.shape[:-1]))
    if lengths is not None:
        mask = np.arange(x.shape[1]) < np.reshape(lengths, (-1, 1))
    ids = np.arange(N).reshape(x.shape[:-1])
    return embedding_bag(x.reshape(N, x.shape[-1]), ids, offsets, mask=mask, **given)


def normalize(x: Array) -> Array:
    """Return rows at length one, found in float64; rows of zeros as they are. Within a rounding or two."""
    most = np.abs(x).max(axis=-1, keepdims=True, initial=0).astype(np.float64)
    safe: Array = x.astype(np.float64) / np.where(most == 0, 1, most)
    length = np.sqrt(np.square(safe).sum(axis=-1, keepdims=True))
    return (safe / np.where(length == 0, 1, length)).astype(x.dtype)


unit_rows = normalize  # for functions with an argument of that name


def pool_backward(
    grad: Array, x: Array, mask: Any = None, *, lengths: Any = None, offsets: Any = None, mode: str = "mean",
    weights: Any = None, normalize: bool = False,
) -> tuple[Array, Array | None]:  # fmt: skip
    """Return the gradients of x and weights in float64. That of a bag of ids is x's, added up by id."""
    if lengths is not None:
        mask = np.arange(x.shape[1]) < np.reshape(lengths, (-1, 1))
    rows = x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1]).astype(np.float64)
    w = None if weights is None else np.reshape(weights, -1).astype(np.float64)
    by_row, by_weight = np.zeros(rows.shape), np.zeros(len(rows))
    for g, places in zip(grad.astype(np.float64), slots_of_bags(x.shape[:-1], offsets, mask), strict=True):
        here = ranks_of(places).astype(np.float64) if mode == "weighted_mean" else None if w is None else w[places]
        if normalize:
            y = reduce_rows(rows[places], mode, here)
            unit, length = unit_rows(y[np.newaxis])[0], np.sqrt(np.square(y).sum())
            g = (g - unit * (unit @ g)) / length if length else 0 * g
        if len(places):
            by_row[places], by_weight[places] = reduce_rows_backward(g, rows[places], mode, here)
    return by_row.reshape(x.shape), None if w is None else by_weight.reshape(x.shape[:-1])


def reduce_rows_backward(g: Array, rows: Array, mode: str, w: Array | None) -> tuple[Array, Any]:
    """Return the gradients of the rows and the weights of `reduce_rows`; that of a maximum goes to the first."""
    n, D = rows.shape
    if mode == "mean_max":
        of_mean, of_max = (
            reduce_rows_backward(g[:D], rows, "mean", None),
            reduce_rows_backward(g[D:], rows, "max", None),
        )
        return of_mean[0] + of_max[0], 0.0
    if mode == "max":
        return np.where(np.arange(n)[:, np.newaxis] == rows.argmax(axis=0), g, 0), 0.0
    places, by_w = np.arange(n), np.full(n, 1 / n) if w is None else w / (w.sum() or np.inf)
    shares = {
        "sum": np.ones(n) if w is None else w,
        "mean": by_w,
        "mean_sqrt_len": np.full(n, n**-0.5),
        "weighted_mean": by_w,
        "cls": 1.0 * (places == 0),
        "last": 1.0 * (places == n - 1),
    }[mode]
    by_weight: Any = 0.0
    if w is not None:
        by_weight = rows @ g if mode == "sum" else (rows - reduce_rows(rows, mode, w)) @ g / (w.sum() or np.inf)
    return shares[:, np.newaxis] * g, by_weight


def quantize(table: Array, bits: int = 8) -> tuple[Array, Array, Array]:
    """Return codes (not packed), scale and offset of each row, computed in float32 (a float64 table: float64)."""
    kind, top = (np.float64 if table.dtype.itemsize == 8 else np.float32), 2**bits - 1
    x: Array = table.astype(kind)
    low, high = (x.min(axis=1), x.max(axis=1)) if x.shape[1] else np.zeros((2, len(x)), kind)
    span: Array = high - low
    offset: Array = low.astype(np.float32) + np.float32(0)
    scale: Array = (span / kind(top)).astype(np.float32)
    scale[(scale == 0) & (span > 0)] = np.finfo(np.float32).smallest_subnormal
    by = np.where(scale > 0, scale, np.float32(np.inf))
    codes: Array = np.rint((x - offset[:, np.newaxis]) / by[:, np.newaxis].astype(kind))
    return np.clip(codes, 0, top).astype(np.uint8), scale, offset


def dequantize(codes: Array, scale: Array, offset: Array) -> Array:
    """Return ``codes * scale + offset`` of codes that are not packed: a float32 product, then a float32 sum."""
    product = codes.astype(np.float32) * scale[:, np.newaxis]
    values: Array = product + offset[:, np.newaxis]
    return values


def sinusoidal(length: int, dim: int) -> Array:
    """Return float64: sines in the even columns, cosines in the odd ones."""
    column = np.arange(dim)
    angles = np.arange(length)[:, np.newaxis] / 10000.0 ** (column // 2 * 2 / max(dim, 1))
    return np.where(column % 2, np.cos(angles), np.sin(angles))


def alibi(heads: int, length: int) -> Array:
    """Return float64: minus slope times distance; the slopes as the paper's code finds them."""

    def slopes(n: int) -> list[float]:
        if n & (n - 1) == 0:
            return [2.0 ** (-8.0 * (k + 1) / n) for k in range(n)]
        below = 1 << (n.bit_length() - 1)
        return slopes(below) + slopes(2 * below)[0::2][: n - below]

    apart = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    return -np.reshape(slopes(heads) if heads else [], (heads, 1, 1)) * apart


def rope(
    x: Array, position_ids: Any = None, base: float = 10000.0, inv_freq: Any = None, scale: float = 1.0,
    interleaved: bool = False, inverse: bool = False, exact: bool = False,
) -> Array:  # fmt: skip
    """Return the turned rows, unrounded: cosines, sines and arithmetic in float32 (float64 for float64).

    With ``exact`` everything is float64, for comparisons within a tolerance.
    """
    D = x.shape[-1]
    kind = np.float64 if exact or x.dtype.itemsize == 8 else np.float32
    positions = np.arange(x.shape[-2]) if position_ids is None else np.asarray(position_ids)
    positions = positions[:, np.newaxis] if positions.ndim == 2 and x.ndim == 4 else positions
    speed: Array = base ** (np.arange(0, D, 2) / -D) if inv_freq is None else np.asarray(inv_freq, np.float64)
    angles: Array = positions.astype(np.float64)[..., np.newaxis] * speed
    cos: Array = (np.cos(angles) * scale).astype(kind)
    sin: Array = (np.sin(-angles if inverse else angles) * scale).astype(kind)
    halves = np.s_[..., : D // 2], np.s_[..., D // 2 :]
    first, second = (np.s_[..., 0::2], np.s_[..., 1::2]) if interleaved else halves
    out: Array = np.empty(x.shape, kind)
    a: Array = x[first].astype(kind)
    b: Array = x[second].astype(kind)
    out[first], out[second] = a * cos - b * sin, b * cos + a * sin
    return out


def normalized(x: Array, norm: Any) -> tuple[Array, Array]:
    """Return rows less their mean (a norm that has a bias; else: as they are) over their size, and that size."""
    x = x - x.mean(axis=-1, keepdims=True) if hasattr(norm, "bias") else x
    size = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + norm.eps)
    return x / size, size


def embed(
    table: Array, ids: Any, *, positions: Array | None = None, position_ids: Any = None, segments: Array | None = None,
    segment_ids: Any = 0, mask: Any = None, scale: float = 1.0, norm: Any = None, mode: str = "raise",
    exact: bool = False,
) -> Array:  # fmt: skip
    """Return ``norm(scale * table[ids] + positions[position_ids] + segments[segment_ids])``, unrounded.

    It is float32 (of a float64 table float64), or with ``exact`` all float64, for comparisons within a tolerance.
    """
    kind: Any = np.float64 if exact or table.dtype.itemsize == 8 else np.float32
    if mask is not None:  # each row by itself; positions count the kept ids
        out, kept = np.zeros((*np.shape(ids), table.shape[1]), kind), np.not_equal(mask, 0)
        places = np.cumsum(kept, axis=-1) - 1 if position_ids is None else np.broadcast_to(position_ids, kept.shape)
        some = {} if positions is None else {"position_ids": places[kept]}
        some["segment_ids"] = np.broadcast_to(segment_ids, kept.shape)[kept]
        rest = {"positions": positions, "segments": segments, "scale": scale, "norm": norm, "mode": mode}
        out[kept] = embed(table, np.asarray(ids)[kept], **rest, **some, exact=exact)
        return out
    x: Array = gather(table, ids, mode).astype(kind) * kind(scale)
    if positions is not None:
        places = np.arange(np.shape(ids)[-1]) if position_ids is None else position_ids
        x = x + positions.astype(kind)[np.broadcast_to(places, np.shape(ids))]
    if segments is not None:
        x = x + segments.astype(kind)[np.broadcast_to(segment_ids, np.shape(ids))]
    if norm is None:
        return x
    x = normalized(x, norm)[0] * norm.weight.astype(kind)
    return x if getattr(norm, "bias", None) is None else x + norm.bias.astype(kind)


def embed_backward(grad: Array, table: Array, ids: Any, **given: Any) -> dict[str, Array]:
    """Return the gradients of `embed`, dense, in float64."""
    norm, D = given.pop("norm", None), table.shape[1]
    g, found = grad.astype(np.float64), {}
    if norm is not None:
        y, size = normalized(embed(table, ids, **given, exact=True), norm)
        found = {"weight": (g * y).reshape(-1, D).sum(axis=0), "bias": g.reshape(-1, D).sum(axis=0)}
        g = g * norm.weight.astype(np.float64)
        mean = g.mean(axis=-1, keepdims=True) if hasattr(norm, "bias") else 0.0
        g = (g - mean - y * (g * y).mean(axis=-1, keepdims=True)) / size
    places = given.get("position_ids")
    for name, rows, which in (
        ("table", table, gather(np.arange(len(table)), ids, given.get("mode", "raise"))),
        ("positions", given.get("positions"), np.arange(np.shape(ids)[-1]) if places is None else places),
        ("segments", given.get("segments"), given.get("segment_ids", 0)),
    ):
        if rows is not None:
            found[name] = np.zeros(rows.shape)
            share = g * given.get("scale", 1.0) if name == "table" else g
            np.add.at(found[name], np.broadcast_to(which, np.shape(ids)), share)
    return found


def topk(queries: Array, vectors: Array, k: int, metric: str = "cosine") -> tuple[Array, Array]:
    """Return the k best scores and their ids: computed in float64, rounded to float32, sorted in a stable way."""
    q, v = np.atleast_2d(queries).astype(np.float64), vectors.astype(np.float64)
    with np.errstate(all="ignore"):
        if metric == "l2":
            scores = np.sqrt(np.square(q[:, np.newaxis] - v).sum(axis=-1))
        else:
            if metric == "cosine":  # powers of two change no cosine and keep the squares in range
                q, v = (np.ldexp(x, -np.frexp(np.abs(x).max(axis=1, initial=0, keepdims=True))[1]) for x in (q, v))
            scores = (q[:, np.newaxis] * v).sum(axis=-1)
        if metric == "cosine":
            lengths = np.outer(*(np.sqrt(np.square(x).sum(axis=1)) for x in (q, v)))
            scores = np.divide(scores, lengths, out=scores, where=lengths != 0)
        scores = scores.astype(np.float32)
    ids = np.argsort(scores if metric == "l2" else -scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, ids, axis=1), ids


def row_grad(
    ids: Any, grad: Array, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> tuple[Array, Array]:
    """Return the ids that occur, ascending, and the sum of each one's rows, by `cut_sum`."""
    ids = np.asarray(ids) if np.size(ids) else np.zeros(np.shape(ids), getattr(ids, "dtype", np.int64))
    kind = np.float64 if grad.dtype.itemsize == 8 else np.float32
    flat, rows = ids.reshape(-1), grad.reshape(ids.size, grad.shape[-1]).astype(kind)
    unique = np.array([one for one in np.unique(flat) if one != padding_idx], ids.dtype)
    out = np.zeros((len(unique), grad.shape[-1]), kind)
    for u, one in enumerate(unique):
        run = rows[flat == one]
        out[u] = cut_sum(run)
        if scale_grad_by_freq:
            out[u] = out[u] / kind(len(run))
    return unique, out


def scatter_add(target: Array, ids: Any, rows: Array, alpha: float = 1.0, mode: str = "raise") -> Array:
    """Return a new ``target`` of which each row that an id means has ``alpha`` times its sum added, rounded once."""
    kind = np.float64 if target.dtype.itemsize == 8 else np.float32
    V, ids, out = len(target), np.asarray(ids), target.copy()
    meant = {"raise": ids, "clip": np.clip(ids.astype(np.int64), 0, V - 1), "wrap": ids.astype(np.int64) % V}[mode]
    unique, sums = row_grad(meant, rows.reshape(*meant.shape, int(np.prod(target.shape[1:]))))
    for one, total in zip(unique, sums, strict=True):
        before = out[one].astype(kind)
        out[one] = (before + kind(alpha) * total.astype(kind).reshape(before.shape)).astype(target.dtype)
    return out


def optimize(
    rule: str, table: Array, state: dict[str, Array], ids: Array, rows: Array, step: int, *, lr: float,
    weight_decay: float = 0.0, momentum: float = 0.0, nesterov: bool = False, lr_decay: float = 0.0, eps: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999), row_wise: bool = False, seed: int | None = None, **_: Any,
) -> tuple[Array, dict[str, Array]]:  # fmt: skip
    """Return a new table and a new state after step ``step``, counted from 1: the rows of ``ids`` alone are others.

    ``rule`` is the name of a class of `fastemb.optim`. Everything is float32 (of a float64 table float64), and each
    operation is rounded by itself; with a ``seed`` 16-bit tables are rounded by chance.
    """
    kind: Any = np.float64 if table.dtype.itemsize == 8 else np.float32
    table, state = table.copy(), {name: array.copy() for name, array in state.items()}
    w, g, rate = table[ids].astype(kind), rows.astype(kind), lr
    if weight_decay and rule != "AdamW":
        g = g + kind(weight_decay) * w
    x = g
    if rule == "SGD" and momentum:
        x = state["momentum_buffer"][ids] = kind(momentum) * state["momentum_buffer"][ids] + g
        x = kind(momentum) * x + g if nesterov else x
    if rule == "Adagrad":
        rate = lr / (1 + (step - 1) * lr_decay)
        state["sum"][ids] += mean_of_squares(g) if row_wise else g * g
        by = np.sqrt(state["sum"][ids]) + kind(eps)
        x = g / (by[:, np.newaxis] if row_wise else by)
    if rule in ("Adam", "AdamW"):
        mean, square = (state[name][ids] for name in ("exp_avg", "exp_avg_sq"))
        mean = state["exp_avg"][ids] = mean + (g - mean) * kind(1 - betas[0])
        square = state["exp_avg_sq"][ids] = square + (g * g - square) * kind(1 - betas[1])
        x = mean / (np.sqrt(square) + kind(eps))
        rate = lr * (1 - betas[1] ** step) ** 0.5 / (1 - betas[0] ** step)
    if rule == "AdamW" and weight_decay:
        w = w * kind(1 - lr * weight_decay)
    w = w + kind(-rate) * x
    table[ids] = w.astype(table.dtype) if seed is None else round_by_chance(w, table.dtype, ids, seed, step)
    return table, state


def mean_of_squares(g: Array) -> Array:
    """Return the mean square of each row: columns that are 16 apart are added in order, then halves to halves."""
    whole = np.pad(g * g, ((0, 0), (0, 16 - g.shape[1] % 16)))
    sums = reduce(np.add, [whole[:, j : j + 16] for j in range(0, whole.shape[1], 16)])
    for half in (8, 4, 2, 1):
        sums = sums[:, :half] + sums[:, half:]
    mean: Array = sums[:, 0] / g.dtype.type(max(1, g.shape[1]))
    return mean


def splitmix(x: Any) -> Any:
    """Return 64 bits that depend on all bits of each number."""
    x = (x ^ x >> 30) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> 27) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> 31


def chance(seed: int, step: int, ids: Array, D: int) -> Any:
    """Return 32 bits for each column of each row, a hash of seed, step, row and column."""
    golden, key = np.uint64(0x9E3779B97F4A7C15), np.zeros(1, np.uint64)
    for number in (seed, step):
        key = splitmix((key ^ np.uint64(number)) + golden)
    row = splitmix(key + np.asarray(ids).astype(np.uint64) * golden)[:, np.newaxis]
    x: Any = np.arange(D, dtype=np.uint32) * np.uint32(0x9E3779B9) + row.astype(np.uint32)
    x = (x ^ x >> 16) * np.uint32(0x85EBCA6B) ^ (row >> 32).astype(np.uint32)
    x = (x ^ x >> 13) * np.uint32(0xC2B2AE35)
    return x ^ x >> 16


def round_by_chance(w: Array, dtype: Any, ids: Array, seed: int, step: int) -> Array:
    """Return float32 numbers as 16-bit ones, up or down, the nearer the likelier; of other dtypes as they are."""
    gone = {"bfloat16": 16, "float16": 13}.get(np.dtype(dtype).name, 0)  # bits that go
    if not gone:
        return w
    r = chance(seed, step, ids, w.shape[1]) % np.uint32(1 << gone)
    moved = ((w.view(np.uint32) + r) >> gone << gone).view(np.float32)
    if gone == 13:  # below 2**-14 a float16 is a multiple of 2**-24
        count = np.floor(np.abs(w) * np.float32(2**24) + r.astype(np.float32) * np.float32(2**-13))
        moved = np.where(np.abs(w) < 2**-14, np.copysign(count * np.float32(2**-24), w), moved)
    return np.where(np.isnan(w), w, moved).astype(dtype)
