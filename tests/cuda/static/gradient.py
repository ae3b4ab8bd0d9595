from entry import Entry

from fastemb._cuda.kernels.gradient import make_add_sums, make_join_pieces, make_put_sums, make_sum_pieces
from fastemb._cuda.kernels.join import CUT
from fastemb._cuda.kernels.sorting import (
    make_count_digits,
    make_count_runs,
    make_find_range,
    make_id_keys,
    make_move_by_digit,
    make_pick_numbers,
    make_put_runs,
    make_sums_before,
)

TILE, SCAN, EACH = 128, 256, 8  # of `_cuda.sorting` on a device
FLOATS = ["float32", "float64", "float16", "bfloat16"]

ENTRIES = [
    Entry(make_find_range, ("int32", TILE), in_flight=0),
    Entry(make_find_range, ("int64", TILE), in_flight=0),
    Entry(make_id_keys, ("int64", "int32", "raise"), in_flight=0),
    Entry(make_id_keys, ("int32", "int32", "clip"), in_flight=0),
    Entry(make_id_keys, ("int64", "int64", "wrap"), in_flight=0),
    Entry(make_id_keys, ("int64", "int64", "leave"), in_flight=0),
    Entry(make_count_digits, ("int32", TILE, EACH), in_flight=0),
    Entry(make_sums_before, (SCAN,), in_flight=0),
    Entry(make_move_by_digit, ("int32", "int32", TILE, EACH, True), in_flight=0),
    Entry(make_move_by_digit, ("int64", "int64", TILE, EACH, False), in_flight=0),
    Entry(make_count_runs, ("int32", TILE, EACH), in_flight=0),
    Entry(make_put_runs, ("int32", TILE, EACH, CUT), in_flight=0),
    Entry(make_pick_numbers, ("int64", "float32"), in_flight=0),
    *(Entry(make_put_sums, (tag, 16, "int32", False, False, CUT)) for tag in ("float64", "float16")),
    Entry(make_put_sums, ("float32", 16, "int64", True, True, CUT)),
    Entry(make_put_sums, ("bfloat16", 2, "int64", False, True, CUT), in_flight=0),
    *(Entry(make_add_sums, (tag, 16, "int64", "int32", tag, 16, CUT)) for tag in FLOATS),
    # Of two dtypes the narrower is read in words of the same columns: no 16 bytes.
    Entry(make_add_sums, ("float32", 16, "int32", "int32", "float16", 8, CUT), in_flight=0),
    Entry(make_add_sums, ("float64", 8, "int32", "int64", "float32", 4, CUT), in_flight=0),
    Entry(make_sum_pieces, ("bfloat16", 16, "int32", False, CUT)),
    Entry(make_sum_pieces, ("float64", 16, "int64", True, CUT)),
    Entry(make_join_pieces, ("float32", 16, CUT)),
    Entry(make_join_pieces, ("float64", 16, CUT)),
]
