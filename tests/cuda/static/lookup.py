from entry import Entry

from fastemb._cuda.kernels.bulk import make_gather_bulk, make_gather_wide
from fastemb._cuda.kernels.convert import make_convert, make_copy, make_find_bad, make_from_unsigned
from fastemb._cuda.kernels.lookup import make_gather, make_gather_warp

ENTRIES = [
    *(Entry(make_gather, (index, 16, "raise")) for index in ("int32", "int64")),
    *(Entry(make_gather, ("int64", 16, mode)) for mode in ("clip", "wrap")),
    *(Entry(make_gather, ("int64", width, "raise"), in_flight=0) for width in (8, 4, 2, 1)),
    *(Entry(make_gather_warp, ("int64", 16, "raise", K), in_flight=K) for K in (4, 6, 8)),
    Entry(make_gather_warp, ("int32", 16, "wrap", 8), in_flight=8),
    # Not for speed: arrays that no kernel reads as they are. Five divisions are calls, so registers allow 24 KiB.
    *(Entry(make_copy, (16, back), in_flight=1, kib=24) for back in (False, True)),
    Entry(make_convert, ("float64", "bfloat16"), in_flight=0),
    Entry(make_convert, ("int16", "int64"), in_flight=0),
    Entry(make_convert, ("int64", "bool"), in_flight=0),
    Entry(make_find_bad, ("int64",), in_flight=0),
    *(Entry(make_from_unsigned, (mode,), in_flight=0) for mode in ("clip", "wrap")),
    # By the copy engine rows pass no register.
    Entry(make_gather_bulk, ("int64", 1536, 30), in_flight=0, since=(9, 0)),
    Entry(make_gather_wide, ("int64",), in_flight=8, since=(10, 0)),
]
