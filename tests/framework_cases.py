"""Every public array function in a call or two, of arrays made by whoever asks: what tests of frameworks share."""

import ast
from pathlib import Path

import numpy as np
from arrays import same_bits

import fastemb
from fastemb import LayerNorm, QuantizedTable, RMSNorm

RNG = np.random.default_rng(11)
V, D = 50, 24
TABLE, POSITIONS, QUERIES = (RNG.standard_normal((n, D), np.float32) for n in (V, 9, 3))
IDS, SEGMENT_IDS = RNG.integers(0, V, (3, 5)), RNG.integers(0, 3, (3, 5))
FLAT, OFFSETS, LENGTHS = IDS.reshape(-1), np.array([0, 4, 4, 15]), np.array([5, 2, 0])
MASK, WEIGHTS = np.arange(5) < LENGTHS[:, None], RNG.random((3, 5), np.float32)
X, GRAD, WIDTH = RNG.standard_normal((3, 5, D), np.float32), RNG.standard_normal((3, D), np.float32), TABLE[0]

#: Each is given two makers: f of arrays of floats, g of ids and their like.
CALLS = {
    "gather": lambda f, g: fastemb.gather(f(TABLE), g(IDS)),
    "gather, clip": lambda f, g: fastemb.gather(f(TABLE), g(IDS), mode="clip"),
    "embed": lambda f, g: fastemb.embed(f(TABLE), g(IDS), positions=f(POSITIONS)),
    "embed, all": lambda f, g: fastemb.embed(
        f(TABLE), g(IDS), positions=f(POSITIONS), position_ids=g(SEGMENT_IDS), segments=f(QUERIES),
        segment_ids=g(SEGMENT_IDS), scale=2.0, norm=LayerNorm(f(WIDTH), f(WIDTH))
    ),
    "embed_backward": lambda f, g: fastemb.embed_backward(
        f(X), f(TABLE), g(IDS), positions=f(POSITIONS), norm=LayerNorm(f(WIDTH), f(WIDTH)), padding_idx=3
    ),
    "embed_backward, RMS": lambda f, g: fastemb.embed_backward(f(X), f(TABLE), g(IDS), norm=RMSNorm(f(WIDTH))),
    "row_grad": lambda f, g: fastemb.row_grad(g(IDS), f(X), padding_idx=int(FLAT[0])),
    "scatter_add": lambda f, g: fastemb.scatter_add(f(TABLE.copy()), g(IDS), f(X), alpha=-0.5),
    "step": lambda f, g: fastemb.Adagrad().step(f(TABLE.copy()), fastemb.RowGrad(g(np.arange(3)), f(GRAD))),
    "step_from": lambda f, g: fastemb.Adam().step_from(f(TABLE.copy()), g(IDS), f(X), padding_idx=int(FLAT[0])),
    "embedding_bag": lambda f, g: fastemb.embedding_bag(f(TABLE), g(FLAT), g(OFFSETS)),
    "embedding_bag, max": lambda f, g: fastemb.embedding_bag(f(TABLE), g(IDS), mask=g(MASK), mode="max"),
    "embedding_bag, weights": lambda f, g: fastemb.embedding_bag(
        f(TABLE), g(IDS), mode="sum", weights=g(WEIGHTS), normalize=True
    ),
    "embedding_bag_backward": lambda f, g: fastemb.embedding_bag_backward(
        f(GRAD), f(TABLE), g(FLAT), g(OFFSETS), weights=g(WEIGHTS.reshape(-1))
    ),
    "pool": lambda f, g: fastemb.pool(f(X), g(MASK), normalize=True),
    "pool, all": lambda f, g: fastemb.pool(f(X)),
    "pool, lengths": lambda f, g: fastemb.pool(f(X), lengths=g(LENGTHS), mode="mean_max"),
    "pool, offsets": lambda f, g: fastemb.pool(f(X.reshape(-1, D)), offsets=g(OFFSETS), mode="last"),
    "pool_backward": lambda f, g: fastemb.pool_backward(f(GRAD), f(X), g(MASK), mode="max"),
    "pool_backward, weights": lambda f, g: fastemb.pool_backward(f(GRAD), f(X), mode="mean", weights=g(WEIGHTS)),
    "normalize": lambda f, g: fastemb.normalize(f(TABLE)),
    "rope": lambda f, g: fastemb.rope(f(X)),
    "rope, positions": lambda f, g: fastemb.rope(f(X), g(IDS), interleaved=True, inverse=True),
    "quantize": lambda f, g: fastemb.quantize(f(TABLE), bits=4),
    "topk": lambda f, g: fastemb.topk(f(QUERIES), f(TABLE), 7, metric="l2"),
}  # fmt: skip
#: JAX's arrays are not written to, nor are Arrow's and Polars'.
PURE = [name for name in CALLS if name not in ("scatter_add", "step", "step_from")]


class Foreign:
    """An array of a library that nobody knows, which has DLPack."""

    def __init__(self, array):
        self.array = np.from_dlpack(array)

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


Foreign.__module__ = "library"


def forwarding():
    """Return the names of all public functions that ask for frameworks."""
    found = set()
    for file in Path(fastemb.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "framework.call":
                found.add(ast.unparse(node.args[0]).removeprefix("_"))  # a method calls a function of the same name
    return found


def leaves(result):
    """Return the arrays of a result, in order; of a quantised table its parts."""
    if isinstance(result, QuantizedTable):
        return [result.codes, result.scale, result.offset]
    if isinstance(result, tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [] if result is None else [result]


def types_of(result):
    """Return the types of a result's tuples, nested as they are."""
    return (type(result), *map(types_of, result)) if isinstance(result, tuple) else None


def check(result, expected, kind, back, ids_kept=True):
    """A result has arrays of a kind, but in a quantised table, and the numbers of NumPy's result, to the bit."""
    assert types_of(result) == types_of(expected)
    found, wanted = leaves(result), leaves(expected)
    assert len(found) == len(wanted) > 0
    for mine, numbers in zip(found, wanted, strict=True):
        if isinstance(result, QuantizedTable):
            assert type(mine) is np.ndarray
        else:
            assert isinstance(mine, kind)
            mine = back(mine)
        if not ids_kept and numbers.dtype.kind in "iu":
            assert np.array_equal(mine, numbers)
        else:
            assert same_bits(mine, numbers)
