"""Rows joined over bounds: the law of sums, cut every 256 rows, on the device."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device

from fastemb import _frameworks, reference
from fastemb._cuda import arrays, joining, launch, status
from fastemb._cuda.kernels import join

PLACE = launch.Place(0, 0, False)


def view(array):
    array = on_device(array)
    return _frameworks.of(array).view(array, "x")


def joined(rows, index, offsets, dtype="f4", **options):
    """Return what `join_rows` writes for bags between offsets."""
    out = np.full((len(offsets) - 1, rows.shape[1]), 7, dtype)
    bounds = joining.Bounds(len(offsets) - 1, len(index), 0, view(offsets))
    check = status.begin(PLACE, rows.nbytes, status.Fault("test", "id", index.shape, "a table"))
    source = joining.rows_of(view(rows), PLACE)
    joining.join_rows(source, view(index), bounds, view(out), PLACE, check, mark=check.marks[0], **options)
    return out


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_equals_reference(data):
    cut = data.draw(st.sampled_from([2, 8, 256]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    D, dtype = data.draw(st.sampled_from([1, 3, 4, 8, 10])), data.draw(st.sampled_from(["f8", "f4", "f2"]))
    lengths = data.draw(st.lists(st.integers(0, 11), max_size=4))
    offsets = np.cumsum([0, *lengths])
    rows = rng.normal(size=(5, D)).astype(dtype)
    index = rng.integers(0, 5, offsets[-1]).astype(data.draw(st.sampled_from(["i4", "i8"])))
    mode = data.draw(st.sampled_from(["sum", "mean", "mean_sqrt_len", "max"]))
    divide = {"mean": joining.BY_COUNT, "mean_sqrt_len": joining.BY_ROOT}.get(mode, joining.NO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "CUT", cut)
        patch.setattr(reference, "cut_sum", lambda x: cut_sum(x, cut))
        acc = np.float64 if dtype == "f8" else np.float32
        result = joined(rows, index, offsets, acc, divide=divide, op="max" if mode == "max" else "sum")
        expected = reference.embedding_bag(rows, index, offsets, mode)
    np.testing.assert_array_equal(result, expected)


def cut_sum(rows, cut):
    """`reference.cut_sum` with pieces of another length."""
    pieces = [np.cumsum(rows[k : k + cut], axis=0, dtype=rows.dtype)[-1] for k in range(0, len(rows), cut)]
    return np.cumsum(np.array(pieces, np.float64), axis=0)[-1].astype(rows.dtype)


def test_a_bag_of_5000_is_cut_at_256():
    rng = np.random.default_rng(0)
    rows, index = rng.normal(size=(40, 4)).astype("f4"), rng.integers(0, 40, 5010)
    offsets = np.array([0, 3, 3, 5003, 5010])
    result = joined(rows, index, offsets, divide=joining.BY_COUNT)
    np.testing.assert_array_equal(result, reference.embedding_bag(rows, index, offsets, "mean"))


def test_a_bad_id_reads_zeros_and_is_reported():
    rows = np.ones((3, 4), "f4")
    result = joined(rows, np.array([0, 1, 3, -1, 2]), np.array([0, 2, 5]))
    assert (result == [[2], [1]]).all()
    with pytest.raises(IndexError, match="id at position 2"):
        status.cuda_check()


def test_new_arrays_are_on_the_device():
    made = arrays.new((2, 3), "f4", view(np.zeros(1)))
    assert hasattr(made.owner, "__cuda_ndarray__")
