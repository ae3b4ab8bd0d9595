from entry import Entry

from fastemb._cuda.kernels.bounds import make_bounds, make_rescore, make_sizes, make_units
from fastemb._cuda.kernels.search import (
    COSINE,
    DOT,
    L2,
    make_exchange,
    make_lay,
    make_score,
    make_sort_block,
    make_unpack,
)  # fmt: skip

#: Sums run over single numbers, sixteen threads a row: in the order of the CPU. NVVM unrolls them.
ENTRIES = [
    *(Entry(make_lay, (tag,), in_flight=0) for tag in ("float64", "float32", "float16", "bfloat16")),
    *(Entry(make_score, ("float32", metric), in_flight=0) for metric in (DOT, COSINE, L2)),
    *(Entry(make_score, (tag, DOT), in_flight=0) for tag in ("float16", "bfloat16", "int8", "code8")),
    Entry(make_score, ("code4", COSINE), in_flight=0),
    Entry(make_score, ("float64", L2), in_flight=0),
    Entry(make_sort_block, (2048,), in_flight=0),
    Entry(make_exchange, (), in_flight=0),
    Entry(make_unpack, (DOT,), in_flight=0),
    Entry(make_unpack, (L2,), in_flight=0),
    Entry(make_units, (), in_flight=0),
    Entry(make_sizes, ("float32",), in_flight=0),
    *(Entry(make_bounds, (metric,), in_flight=0) for metric in (DOT, COSINE, L2)),
    *(Entry(make_rescore, ("float32", metric), in_flight=0) for metric in (DOT, L2)),
    # Sums and a filter in one kernel; few vectors come to the sums, so how many warps fit matters little.
    Entry(make_rescore, ("float32", COSINE), registers=72, in_flight=0),
]
