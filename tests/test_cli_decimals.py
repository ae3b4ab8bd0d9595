"""Numbers as text: what NumPy's shortest digits are, written as `repr` writes a float."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastemb._cli.writing import formats
from fastemb._static.stages import decimals
from fastemb._text import decimals as room


def numpys(values):
    """The same by NumPy's digits, of which `repr` makes its own form; NumPy's form differs by its version."""
    return [repr(float(text)) for text in values.astype("U20").tolist()]


def texts(values):
    return [row.decode() for row in decimals(values[:, None])]


def bits(*arrays):
    return np.concatenate([np.asarray(array, np.uint32) for array in arrays]).view(np.float32)


def test_numbers_at_all_borders():
    """Powers of two, where the neighbours are not equally far, and those beside; subnormals; powers of ten."""
    fractions = np.array([0, 1, 2, 3, 0x7FFFFF, 0x7FFFFE, 0x400000, 0x555555], np.uint32)
    values = bits((np.arange(255, dtype=np.uint32)[:, None] << 23 | fractions).ravel(), range(1, 2000))
    tens = np.array([float(f"1e{power}") for power in range(-45, 39)], np.float32)
    values = np.concatenate([values, tens, np.nextafter(tens, np.float32(0)), np.nextafter(tens, np.float32(np.inf))])
    values = np.concatenate([values, -values])
    assert texts(values) == numpys(values)


@pytest.mark.parametrize("count", [25_000, pytest.param(20_000_000, marks=pytest.mark.exhaustive)])
def test_numbers_drawn(count):
    draw = np.random.default_rng(count)
    for _ in range(0, count, 25_000):
        values = draw.integers(0, 2**32, 20_000, np.uint32).view(np.float32)
        decimal = (draw.integers(0, 10**6, 5_000) / 10.0 ** draw.integers(0, 9, 5_000)).astype(np.float32)
        values = np.concatenate([values[np.isfinite(values)], decimal])
        found = texts(values)
        assert found == numpys(values)
        assert np.array_equal(np.array(found, np.float32).view(np.uint32), values.view(np.uint32))


def test_how_numbers_look():
    values = [0.0, -0.0, 1.0, -2.5, 1e-4, 9.999e-5, 1e16, 9.999998e15, 123456.79, 1e-45, 3.4028235e38, 16777216.0]
    expected = ["0.0", "-0.0", "1.0", "-2.5", "0.0001", "9.999e-05", "1e+16", "9999998000000000.0", "123456.79"]
    assert texts(np.array(values, np.float32)) == [*expected, "1e-45", "3.4028235e+38", "16777216.0"]
    assert texts(np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)) == ["NaN", "NaN", "Infinity", "-Infinity"]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 99))
def test_rows_of_any_shape_by_any_room(count, columns, size):
    values = np.random.default_rng(count).standard_normal((count, 2 * columns)).astype(np.float32)[:, ::2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "ROOM", size)
        assert [json.loads(b"[%s]" % row) for row in decimals(values)] == [
            [float(str(value)) for value in row] for row in values
        ]


def test_c_stops_before_a_row_that_might_not_fit():
    ffi, lib = room.ffi, room.lib
    values, out, ends = np.full((3, 2), -1.5, np.float32), np.full(90, 33, np.uint8), np.full(3, -1, np.int64)
    given = ffi.from_buffer("float[]", values), 3, 2, ffi.from_buffer("uint8_t[]", out)
    for capacity, rows in ((0, 0), (41, 0), (42, 1), (52, 2), (90, 3)):
        ends[:], out[:] = -1, 33
        assert lib.fe_decimals(*given, capacity, ffi.from_buffer("int64_t[]", ends)) == rows
        assert ends.tolist() == [10, 20, 30][:rows] + [-1] * (3 - rows)
        assert bytes(out[: 10 * rows + 1]) == b"-1.5, -1.5" * rows + b"!"


def test_a_line_of_jsonl():
    vectors = np.array([[0.1, np.nan], [-np.inf, 2.0]], np.float32)
    assert formats.block("jsonl", ['a "b"\n', "é\u2028"], vectors).decode() == (
        '{"text": "a \\"b\\"\\n", "vector": [0.1, NaN]}\n{"text": "é\u2028", "vector": [-Infinity, 2.0]}\n'
    )
