"""What a GPU would be told by scatter_add and row_grad: which kernels, in which order, whose sort, what is read."""

import numpy as np
import pytest
from fakes import CuPyArray, NumbaArray

import fastemb


def names(gpu):
    """Return the first words of the names of kernels that were launched."""
    return [one.name.partition("_int")[0].partition("_float")[0] for one in gpu.launches]


RUNS = ["count_runs", "sums_before_256", "put_runs"]
DIGIT = ["count_digits", "sums_before_256", "move_by_digit"]
LONG = ["sum_pieces", "join_pieces"]


@pytest.mark.parametrize(("N", "long"), [(256, []), (257, LONG)])
def test_scatter_add_sorts_by_the_framework_and_reads_nothing_back(gpu, libraries, N, long):
    target, rows = (CuPyArray(np.zeros((V, 24), "f4")) for V in (50, N))
    ids = CuPyArray(np.zeros(N, int))
    assert fastemb.scatter_add(target, ids, rows) is target
    assert names(gpu) == ["id_keys", *RUNS, *long, "add_sums"]
    assert [call for call in libraries.cupy.calls if call[0] == "argsort"] == [("argsort", "int32")]
    assert "read" not in [what for what, *_ in gpu.log]
    add = gpu.launches[-1]
    # Six words of 16 bytes along a row; 42 rows of threads, two runs each, for as many runs as there may be.
    assert (add.block, add.grid) == ((6, 42), (-(-N // 84), 1))
    assert add.name == "add_sums_float32_16_int64_int32_float32_16_256"


def test_without_a_sort_of_the_framework_digits_are_sorted(gpu):
    target, rows = (NumbaArray(np.zeros((V, 24), "f2")) for V in (300, 7))
    fastemb.scatter_add(target, NumbaArray(np.zeros(7, "i4")), rows, mode="clip")
    assert names(gpu) == ["id_keys", *DIGIT * 3, *RUNS, "add_sums"]  # keys up to 300 have nine bits


def test_row_grad_reads_the_range_and_the_number_of_ids(gpu):
    result = fastemb.row_grad(CuPyArray(np.zeros((2, 3), int)), CuPyArray(np.zeros((2, 3, 4), "f8")))
    assert (result.ids.shape, result.ids.dtype, result.rows.shape) == ((2,), np.int64, (2, 4))  # two, says the recorder
    assert names(gpu) == ["find_range", "id_keys", *RUNS, "convert", "put_sums"]
    waits = [entry[0] if entry[0] != "launch" else entry[1].partition("_int")[0] for entry in gpu.log]
    assert waits[waits.index("find_range") + 1] == waits[waits.index("put_runs") + 1] == "read"
