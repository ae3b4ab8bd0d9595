"""What the tests of fastemb.jax share: arrays, calls of each function, and the gradients by our backwards."""

import numpy as np
from arrays import BF16

import fastemb
from fastemb import LayerNorm, RMSNorm

V, D, S, T = 40, 24, 6, 5
_random = np.random.default_rng(7)
TABLE = _random.standard_normal((V, D))
IDS = _random.integers(0, V, (S, T))
FLAT, OFFSETS = IDS.reshape(-1), np.array([0, 3, 3, 10, 29, S * T])
MASK = _random.random((S, T)) > 0.4
MASK[2] = False
WEIGHTS = _random.random((S, T))
X, LENGTHS = TABLE[IDS], np.array([5, 0, 3, 1, 5, 2])
POSITIONS, SEGMENTS, WEIGHT, BIAS = (_random.standard_normal(shape) for shape in ((9, D), (2, D), D, D))
SEGMENT_IDS = _random.integers(0, 2, (S, T))
TURNED, PLACES = _random.standard_normal((2, 3, 7, 8)), _random.integers(0, 99, (2, 7))
MODES = "sum", "mean", "max", "cls", "last", "mean_sqrt_len", "weighted_mean", "mean_max"
FLOATS = "f4", "f2", BF16

#: The names of functions, and what each is given: arrays of floats by names, and the rest.
CASES = {
    "gather": ("gather", {"table": TABLE}, {"ids": IDS}),
    "gather one": ("gather", {"table": TABLE}, {"ids": np.int32(3)}),
    "gather none": ("gather", {"table": TABLE}, {"ids": IDS[:0]}),
    "gather clip": ("gather", {"table": TABLE}, {"ids": IDS - 9, "mode": "clip"}),
    "gather wrap": ("gather", {"table": TABLE}, {"ids": IDS - 9, "mode": "wrap"}),
    "gather of three axes": ("gather", {"table": TABLE.reshape(V, 4, 6)}, {"ids": IDS}),
    "embed": ("embed", {"table": TABLE}, {"ids": IDS}),
    "embed one": ("embed", {"table": TABLE}, {"ids": np.int32(3)}),
    "embed none": ("embed", {"table": TABLE, "positions": POSITIONS}, {"ids": IDS[:0]}),
    "embed positions": ("embed", {"table": TABLE, "positions": POSITIONS}, {"ids": IDS}),
    "embed positions norm": ("embed", {"table": TABLE, "positions": POSITIONS, "weight": WEIGHT}, {"ids": IDS}),
    "embed rms": ("embed", {"table": TABLE, "rms": WEIGHT}, {"ids": IDS}),
    "embed norm": ("embed", {"table": TABLE, "weight": WEIGHT, "bias": BIAS}, {"ids": FLAT, "eps": 1e-12}),
    "embed clip": ("embed", {"table": TABLE}, {"ids": IDS - 9, "mode": "clip", "scale": 3.0}),
    "embed all": (
        "embed", {"table": TABLE, "positions": POSITIONS, "segments": SEGMENTS, "weight": WEIGHT, "bias": BIAS},
        {"ids": IDS, "segment_ids": SEGMENT_IDS, "mask": MASK, "scale": 0.5},
    ),
    "embed places": ("embed", {"table": TABLE, "positions": POSITIONS}, {"ids": IDS, "position_ids": IDS[0] % 9}),
    "rope": ("rope", {"x": TURNED}, {}),
    "rope places": ("rope", {"x": TURNED}, {"position_ids": PLACES, "interleaved": True, "scale": 1.5}),
    "rope speeds": ("rope", {"x": TURNED}, {"inv_freq": np.float32([1, 0.5, 0.25, 0.125]), "inverse": True}),
}  # fmt: skip
for mode in MODES:
    more = {"mode": mode}
    CASES |= {
        f"bags {mode}": ("embedding_bag", {"table": TABLE}, {"ids": IDS, **more}),
        f"ragged bags {mode}": ("embedding_bag", {"table": TABLE}, {"ids": FLAT, "offsets": OFFSETS, **more}),
        f"masked bags {mode}": (
            "embedding_bag", {"table": TABLE},
            {"ids": IDS, "mask": MASK, "padding_idx": int(IDS[0, 0]), "normalize": True, **more},
        ),
        f"bags of some {mode}": ("embedding_bag", {"table": TABLE}, {"ids": IDS, "mask": MASK, **more}),
        f"pool {mode}": ("pool", {"x": X}, more),
        f"masked pool {mode}": ("pool", {"x": X}, {"mask": MASK.astype(np.int32), **more}),
        f"pool of lengths {mode}": ("pool", {"x": X}, {"lengths": LENGTHS, **more}),
        f"ragged pool {mode}": ("pool", {"x": X.reshape(-1, D)}, {"offsets": OFFSETS, "normalize": True, **more}),
    }  # fmt: skip
for mode in ("sum", "mean"):
    more = {"mode": mode}
    CASES[f"weighted bags {mode}"] = "embedding_bag", {"table": TABLE, "weights": WEIGHTS}, {"ids": IDS, **more}
    CASES[f"weighted pool {mode}"] = "pool", {"x": X, "weights": WEIGHTS}, {"mask": MASK, **more}


def call(module, name, floats, others):
    """Call a function of a module: that of fastemb, or of fastemb.jax."""
    given = {**floats, **others}
    if "rms" in given:
        given["norm"] = RMSNorm(given.pop("rms"))
    elif "weight" in given:
        given["norm"] = LayerNorm(given.pop("weight"), given.pop("bias", None), given.pop("eps", 1e-5))
    return getattr(module, name)(**given)


def of_dtype(floats, dtype):
    return {name: array.astype(dtype) for name, array in floats.items()}


def gradients(name, floats, others, grad):
    """Return the gradients by fastemb's backwards of NumPy, each dense and of its array's dtype."""
    given = {**floats, **others}
    first = "x" if "x" in floats else "table"
    if name == "rope":
        others = {**others, "inverse": not others.get("inverse", False)}
        return {"x": call(fastemb, name, {"x": grad}, others)}
    if name == "gather":
        shape = floats["table"].shape
        table, grad = floats["table"].reshape(shape[0], -1), grad.reshape(*np.shape(others["ids"]), -1)
        found = fastemb.embed_backward(grad, table, **others)
        return {"table": dense(found.table, table).reshape(shape)}
    if "rms" in given:
        given["norm"] = RMSNorm(given.pop("rms"))
    elif "weight" in given:
        given["norm"] = LayerNorm(given.pop("weight"), given.pop("bias", None), given.pop("eps", 1e-5))
    found = getattr(fastemb, f"{name}_backward")(grad, **given)
    parts = found._asdict()
    if parts.get("norm") is not None:
        parts |= dict(zip(("weight", "bias"), parts["norm"], strict=True)) | {"rms": parts["norm"][0]}
    parts[first] = dense(parts[first], floats[first]) if first == "table" else parts[first]
    return {key: parts[key].astype(array.dtype) for key, array in floats.items()}


def dense(found, table):
    result = np.zeros_like(table)
    result[found.ids] = found.rows.astype(table.dtype)
    return result
