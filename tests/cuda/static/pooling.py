from entry import Entry

from fastemb._cuda.kernels.entries import Listing, make_clean, make_divisors, make_list_kept, make_survey
from fastemb._cuda.kernels.join import Finish, Form, make_finish, make_join
from fastemb._cuda.kernels.pooling import Lengths, make_before_length, make_normalize, make_normalize_long
from fastemb._cuda.kernels.pooling_backward import (
    Dots,
    Maxima,
    Spreading,
    make_dots,
    make_shares,
    make_spread,
    make_spread_maxima,
)


def join(
    tag="float32", width=16, ids="int64", bounds="offsets", cut=256, op="sum", weights="no", divide="count", keep="all",
    out=None, out_width=16, part_width=16, **shown,
):  # fmt: skip
    form = Form(tag, width, ids, bounds, cut, op, weights, divide, keep, out or tag, out_width, part_width)
    shown = {"registers": 80 if tag.startswith("code") else 64, "in_flight": 4 if width == 16 else 0, **shown}
    return Entry(make_join, (form,), **shown)


def one(make, *options, **shown):
    return Entry(make, options, in_flight=0, **shown)


ENTRIES = [
    # Bags.
    *(join(tag) for tag in ("float64", "float32", "bfloat16")),
    join(ids="int32", bounds="rows", cut=0, keep="padding", divide="root"),
    join("float16", bounds="rows", cut=0, keep="both", out="float32"),
    join(weights="given", divide="given"),
    join(op="max", divide="no"),
    join("code8", out="float32", ids="int32"),
    join("code8", out="float32", bounds="offsets+", weights="given", divide="given"),
    join("code4", width=4, out="float32"),
    join(width=4, out_width=4, part_width=4),
    join("bfloat16", width=2, out_width=2, part_width=4),
    # Pools.
    join("float32", ids="none", bounds="rows", cut=0),
    join("bfloat16", ids="none", bounds="rows", cut=0, keep="mask"),
    join(ids="none", bounds="rows", cut=0, keep="mask", op="max", divide="no"),
    join(ids="none", bounds="rows+", divide="count"),
    join(ids="none", bounds="rows", weights="ranks", divide="ranks"),
    Entry(make_finish, (Finish("float32", 16, "offsets", 256, "sum", "count", "float32", 16),)),
    Entry(make_finish, (Finish("float32", 16, "rows+", 256, "max", "no", "float16", 8),), besides=("st.v2.u32",)),
    Entry(make_finish, (Finish("float64", 16, "rows", 256, "sum", "given", "float64", 16),)),
    one(make_finish, Finish("float32", 4, "offsets+", 256, "sum", "root", "bfloat16", 2)),
    # What is kept.
    one(make_clean, "int64", True),
    one(make_list_kept, Listing("int64", "rows", "both", "all", "float32", False)),
    one(make_list_kept, Listing("none", "rows", "mask", "all", "float32", True)),
    one(make_list_kept, Listing("int32", "offsets", "padding", "last", "none", False)),
    one(make_survey, Listing("none", "rows+", "mask", "all", "float64", True)),
    *(one(make_divisors, "float32", "rows+", divide) for divide in ("root", "given")),
    one(make_divisors, "float64", "offsets", "ranks"),
    # Lengths: a warp a row, K words a thread.
    Entry(make_normalize, (Lengths("float32", 16, "float32", 16, 8),), 96, 8),
    Entry(make_normalize, (Lengths("float16", 16, "float16", 16, 3),), 96, 3),
    Entry(make_normalize, (Lengths("float64", 16, "float64", 16, 6),), 96, 6),
    one(make_normalize, Lengths("bfloat16", 2, "float32", 4, 4), registers=96),
    Entry(make_normalize_long, (Lengths("float32", 16, "float32", 16, 0),), 96),
    Entry(make_normalize_long, (Lengths("float64", 16, "bfloat16", 4, 0),), 96, besides=("st.u32",)),
    # Gradients. Those of sums read a row for each bag, not for each slot.
    one(make_spread, Spreading("float32", 16, "float32", 16, 4, "rows", 0, True, "no")),
    one(make_spread, Spreading("float32", 16, "float16", 16, 8, "offsets", 256, False, "ranks")),
    one(make_spread, Spreading("float64", 16, "float64", 16, 2, "offsets", 256, True, "given")),
    Entry(make_spread_maxima, (Maxima("float32", 16, "none", "rows", True, True, 16, "float32", 16),)),
    Entry(make_spread_maxima, (Maxima("float16", 16, "none", "offsets", False, False, 16, "float16", 16),), 72),
    one(make_dots, Dots("float32", 16, "int64", "offsets", True, True, 16)),
    one(make_dots, Dots("code8", 16, "int64", "rows", True, False, 16), registers=80),
    one(make_shares, "float32", True),
    one(make_before_length, "float64"),
]
