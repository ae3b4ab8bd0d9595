"""What tests of embed and of its gradients share: numbers, norms, and a call of everything."""

import numpy as np
from arrays import lay

from fastemb.embedding import LayerNorm, RMSNorm

NORMS = ["none", "layer", "layer, no bias", "rms"]


def make(shape, dtype="f4", layout="plain", seed=0):
    """Return random numbers in a layout."""
    rng = np.random.default_rng([seed, *shape])
    return lay(rng.standard_normal(shape).astype(dtype), layout)


def make_norm(name, D, dtype="f4", eps=1e-5):
    """Return a norm by its name in `NORMS`."""
    weight, bias = make((D,), dtype, seed=8), make((D,), dtype, seed=9)
    return {
        "none": None,
        "layer": LayerNorm(weight, bias, eps),
        "layer, no bias": LayerNorm(weight, eps=eps),
        "rms": RMSNorm(weight, eps),
    }[name]


def acc_dtype(dtype):
    """Return the type that a dtype is computed in."""
    return np.float64 if np.dtype(dtype).itemsize == 8 else np.float32


def every_part(norm, D=11, V=12, dtype="f8", shape=(4, 5)):
    """Return a table, ids, and the options of a call that leaves nothing out."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, V, shape)
    return make((V, D), dtype), ids, {
        "positions": make((7, D), dtype, seed=1), "segments": make((3, D), dtype, seed=2),
        "segment_ids": rng.integers(0, 2, shape), "scale": 1.5, "norm": make_norm(norm, D, dtype, 0.1),
    }  # fmt: skip


def dense(rows, V):
    """Return a row gradient as the gradient of a whole table."""
    full = np.zeros((V, rows.rows.shape[1]), rows.rows.dtype)
    full[rows.ids] = rows.rows
    return full
