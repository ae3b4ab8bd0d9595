from entry import Entry

from fastemb._cuda.kernels.join import CUT
from fastemb._cuda.kernels.optim import (
    MEANS,
    NESTEROV,
    PLAIN,
    SUMS,
    VELOCITY,
    make_change_all,
    make_change_by_rows,
    make_change_runs,
)

ENTRIES = [
    *(Entry(make_change_runs, (rule, "float32", 16, "int32", "int32", "float32", 16, False, False, CUT))
      for rule in (PLAIN, VELOCITY, NESTEROV, SUMS, MEANS)),
    Entry(make_change_runs, (MEANS, "float32", 16, "int64", "int64", "float32", 16, True, True, CUT)),
    *(Entry(make_change_runs, (MEANS, tag, 16, "int32", "int32", tag, 16, False, True, CUT))
      for tag in ("float64", "float16", "bfloat16")),
    Entry(make_change_runs, (MEANS, "float32", 16, "int32", "int32", "bfloat16", 8, False, False, CUT), in_flight=0),
    Entry(make_change_all, (PLAIN, "float32", 16, "float32", 16, True, False), in_flight=2),
    Entry(make_change_all, (MEANS, "float32", 16, "float32", 16, False, True)),
    Entry(make_change_by_rows, ("float32", "int32", "int32", "float32", 4, False, False, CUT), in_flight=0),
    Entry(make_change_by_rows, ("bfloat16", "int64", "int32", "bfloat16", 2, True, True, CUT), 80, in_flight=0),
]  # fmt: skip
