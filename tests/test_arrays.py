"""NumPy arrays as kernels see them: layouts, ids, rounding."""

import ml_dtypes
import numpy as np
import pytest
from arrays import DTYPES, LAYOUTS, ROWS_OUT_LAYOUTS, fence_stands, fenced, lay, native, same_bits

from fastemb._cpu import arrays
from fastemb._cpu.arrays import round_into

#: What kernels do not read where it lies.
COPIED = {"strided", "fortran", "swapped"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_kernels_read_where_it_lies(layout, dtype):
    for shape in ((4, 6), (3, 4, 6)):
        array = lay(np.random.default_rng(0).standard_normal(shape).astype(dtype), layout)
        readable = arrays.as_row_major(array)
        assert arrays.is_row_major(array) == (layout not in COPIED)
        assert (readable is array) == (layout not in COPIED)
        assert arrays.is_row_major(readable)
        assert same_bits(readable, native(array))
        assert arrays.address(array) == array.ctypes.data
        assert arrays.has_contiguous_rows(array) == all(row.flags.c_contiguous for row in array)


@pytest.mark.parametrize("dtype", [*DTYPES, "u1"])
@pytest.mark.parametrize("layout", ROWS_OUT_LAYOUTS)
def test_a_fence_sees_every_byte_beside_an_output(layout, dtype):
    """The kit's own: what is written to the output leaves the fence alone, any byte around it does not."""
    for shape in ((3, 4, 6), (2, 5), (7,), (0, 4)):
        out = fenced(shape, dtype, layout, shift=3, apart=1)
        assert out.shape == shape
        assert fence_stands(out)
        out[...] = np.ones((), out.dtype)
        assert fence_stands(out)
        inside, first = np.zeros(out.base.size, bool), out.ctypes.data - out.base.ctypes.data
        np.ndarray((*shape, out.itemsize), bool, inside, first, (*out.strides, 1))[...] = True
        for place in np.flatnonzero(~inside):
            out.base[place] ^= 1
            assert not fence_stands(out)
            out.base[place] ^= 1


def test_one_row_and_no_row_are_row_major():
    for shape in ((1, 6), (0, 6), (6, 0), (6, 1)):
        assert arrays.is_row_major(np.zeros(shape, "f4"))
        assert arrays.is_row_major(np.asfortranarray(np.zeros(shape, "f4")))
        assert arrays.has_contiguous_rows(np.zeros(shape, "f4"))


def test_slots_of_rows():
    assert arrays.slots_of_rows(np.array([0, 2, 2, 5])).tolist() == [0, 1, 0, 1, 2]
    assert arrays.slots_of_rows(np.array([0])).tolist() == []


def test_float64_is_rounded_once():
    """Among all bfloat16, the nearest; of two, the one whose last bit is 0."""
    bits = np.arange(0x7F80, dtype=np.uint16)
    lower = bits.view(ml_dtypes.bfloat16).astype(np.float64)
    upper = np.append(lower[1:], 2.0**128)  # beyond the largest: infinity
    middle = (lower + upper) / 2
    even = np.where(bits % 2 == 0, bits, bits + 1)
    for values, expected in (
        (lower, bits),
        (middle, even),
        (np.nextafter(middle, 0), bits),
        (np.nextafter(middle, np.inf), bits + 1),
    ):
        for sign, flip in ((1, 0), (-1, 0x8000)):
            out = np.zeros(bits.size, ml_dtypes.bfloat16)
            round_into(out, sign * values)
            np.testing.assert_array_equal(out.view(np.uint16), (expected | flip).astype(np.uint16))
    out = np.zeros(4, ml_dtypes.bfloat16)
    round_into(out, np.array([np.nan, np.inf, -np.inf, 1e300]))
    assert np.isnan(out[0])
    assert out[1:].astype("f4").tolist() == [np.inf, -np.inf, np.inf]
