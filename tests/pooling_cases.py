"""What is drawn in tests of pools and bags: numbers, tables, and arguments of every form."""

import numpy as np
from arrays import BF16, DTYPES, IN_LAYOUTS, ROWS_IN_LAYOUTS, lay
from hypothesis import strategies as st

from fastemb._bags import MODES

WEIGHED = ["sum", "mean"]
# Tables, and the types of results that each is asked for: every way to read and to write, but not every pair, as
# each of them is one more kernel to compile.
PAIRS = [*(("f8", kind) for kind in DTYPES), *(("f4", kind) for kind in DTYPES)]
PAIRS += [("f2", "f2"), ("f2", "f4"), (BF16, BF16), (BF16, "f4")]


def make_x(shape, dtype, seed=0):
    """Return numbers of few digits and many signs: whatever is added is not exact, and maxima have ties."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return np.where(x > 1, 1, x).astype(dtype)


def make_table(V, D, dtype, layout="plain"):
    return lay(np.random.default_rng(V * 1000 + D).standard_normal((V, D)).astype(dtype), layout)


def make_bags(V, lengths, id_dtype="i8", seed=0):
    """Return ids, and the offsets of bags of these lengths."""
    ids = np.random.default_rng(seed).integers(0, min(V, 127), sum(lengths)).astype(id_dtype)
    return ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


@st.composite
def pool_calls(draw, dtypes=DTYPES):
    """Draw x and the arguments of pool; rows that are not kept hold NaN."""
    dtype = draw(st.sampled_from(dtypes))
    B, T, D = draw(st.integers(0, 5)), draw(st.integers(0, 9)), draw(st.integers(0, 150))
    form = draw(st.sampled_from(["all", "mask", "lengths", "offsets"]))
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    x, mode = make_x((B, T, D), dtype, seed), draw(st.sampled_from(MODES))
    layout = draw(st.sampled_from(ROWS_IN_LAYOUTS))
    options = {}
    if form == "mask":
        kind = draw(st.sampled_from(["?", "i1", "u2", "i4", "i8", "u8", ">i4"]))
        options["mask"] = ((rng.random((B, T)) < rng.random((B, 1))) * rng.integers(1, 9, (B, T))).astype(kind)
    elif form == "lengths":
        options["lengths"] = rng.integers(0, T + 1, B).astype(draw(st.sampled_from(["u1", "i4", "i8"])))
    elif form == "offsets":
        options["offsets"] = np.sort(np.concatenate([[0, B * T], rng.integers(0, B * T + 1, 3)])).astype("i4")
    # Types with weights are few, as each of them is one more kernel to compile.
    if mode in WEIGHED and (form == "mask" or dtype in ("f8", "f4")) and draw(st.booleans()):
        shape = (B * T,) if form == "offsets" else (B, T)
        options["weights"] = rng.integers(-2, 5, shape).astype(draw(st.sampled_from(["f8", "f4", "f2", "i8"])))
    if layout not in ("repeated", "rows repeated", "read-only"):
        kept = options.get("mask", np.ones((B, T)))
        if form == "lengths":
            kept = np.arange(T) < options["lengths"][:, np.newaxis]
        x[kept == 0] = np.nan
    x = lay(x, layout)
    return x.reshape(B * T, D) if form == "offsets" else x, {**options, "mode": mode}


@st.composite
def bag_calls(draw):
    """Draw a table and the arguments of embedding_bag; ids that are not kept are no rows of the table."""
    dtype, layout = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(IN_LAYOUTS))
    table, mode = make_table(40, draw(st.integers(0, 150)), dtype, layout), draw(st.sampled_from(MODES))
    form, padding = draw(st.sampled_from(["offsets", "rows", "mask"])), draw(st.sampled_from([None, 0, 7, 100]))
    kinds = ["i1", "u2", "i8", "u8", ">i8"] + (["i4", ">i4"] if dtype == "f4" else [])
    rng, options = np.random.default_rng(draw(st.integers(0, 2**32))), {"mode": mode}
    if form == "offsets":
        lengths = draw(st.lists(st.integers(0, 30), max_size=6))
        options["offsets"] = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype("i8")
        shape = (sum(lengths),)
    else:
        shape = draw(st.integers(0, 6)), draw(st.integers(0, 20))
    ids = rng.integers(0, 40, shape)
    if padding is not None:
        ids[rng.random(shape) < 0.3] = padding
        options["padding_idx"] = padding
    if form == "mask":
        options["mask"] = (rng.random(shape) < 0.7).astype(draw(st.sampled_from(["?", "i8", "u1"])))
        ids[options["mask"] == 0] = 101
    if mode in WEIGHED and draw(st.booleans()):
        options["weights"] = rng.integers(-2, 5, shape).astype(draw(st.sampled_from(["f8", "f4", "f2", "i4"])))
    kind = "i8" if "weights" in options or mode == "weighted_mean" else draw(st.sampled_from(kinds))
    return table, {"ids": ids.astype(kind), **options}
