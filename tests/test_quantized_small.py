"""Small calls of quantize and dequantize, with kernels of their own: the bits and the words of the general road."""

import functools

import arrays
import numpy as np
import pytest
from arrays import both_ways, lay, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb._cpu import quantized as room
from fastemb.quantized import QuantizedTable, quantize

general_calls = functools.partial(arrays.general_calls, room, "quantize")


def parts(table):
    return table.codes, table.scale, table.offset


def same(a, b):
    return (a.shape, a.bits) == (b.shape, b.bits) and all(same_bits(*pair) for pair in zip(parts(a), parts(b)))  # noqa: B905


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([8, 4]), st.integers(1, 60), st.integers(1, 90), st.sampled_from([0.0, 1e-44, 1e-3, 1.0, 1e37]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_the_general_roads_bits(bits, V, D, size, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(under="ignore"):
        table = rng.standard_normal((V, D), np.float32) * np.float32(size)
    table[rng.random(V) < 0.1] = -0.0
    before = table.tobytes()
    small, general = both_ways(room, "quantize", lambda: quantize(table, bits))
    assert same(small, general)
    assert not any(part.flags.writeable for part in parts(small))
    assert table.tobytes() == before
    codes, scale, offset = reference.quantize(table, bits)[:3]
    if bits == 4:  # two columns a byte, the first in the low half
        codes = np.pad(codes, [(0, 0), (0, D % 2)])
        codes = codes[:, ::2] | codes[:, 1::2] << 4
    assert same_bits(small.codes, codes)
    assert same_bits(small.scale, scale)
    assert same_bits(small.offset, offset)


@pytest.mark.parametrize(
    "layout", ["read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]
)
def test_layouts_that_are_not_small(layout):
    table = np.random.default_rng(0).standard_normal((5, 33), np.float32)
    expected = quantize(table, 4)
    with general_calls() as seen:
        got = quantize(lay(table, layout), 4)
    assert len(seen) == 1
    assert same(got, expected)


@pytest.mark.parametrize(
    "options", [{"bits": np.int64(8)}, {"table": np.ones((5, 3))}, {"table": np.ones((0, 3), "f4")}]
)
def test_calls_that_are_not_small(options):
    with general_calls() as seen:
        quantize(**{"table": np.ones((5, 33), np.float32)} | options)
    assert len(seen) == 1


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("number", "words"),
    [(np.nan, "row 3 of table has a NaN"), (-np.inf, "row 3 of table has a NaN"), (-3e38, "row 3 of table spans")],
)
def test_the_general_road_names_the_row(bits, number, words):
    table = np.full((6, 33), 2e38, np.float32)
    table[3, 20] = table[5, 0] = number
    with pytest.raises(ValueError, match=words):
        quantize(table, bits)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bits": 2}, ValueError, "bits must be 8 or 4"),
        ({"bits": True}, ValueError, "bits must be 8 or 4"),
        ({"bits": [8]}, ValueError, "bits must be 8 or 4"),
        ({"table": np.ones(3, "f4")}, ValueError, "table"),
        ({"table": np.ones((3, 3), int)}, TypeError, "table"),
    ],
    ids=str,
)
def test_the_general_road_says_errors(options, error, words):
    with pytest.raises(error, match=words):
        quantize(**{"table": np.ones((5, 33), np.float32)} | options)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_calls_are_no_longer_small(more):
    with general_calls() as seen:
        quantize(np.ones(((room._SMALL_BYTES >> 8) + more, 64), np.float32))
    assert len(seen) == more


def test_eight_callers_at_once():
    rng = np.random.default_rng(0)
    jobs = [(rng.standard_normal((20, 33), np.float32), 4) for _ in range(80)]
    expected = [quantize(*job) for job in jobs]
    found = arrays.by_eight_callers(quantize, jobs)
    assert all(same(got, wanted) for got, wanted in zip(found, expected, strict=True))


# Back ------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([8, 4]), st.integers(1, 40), st.integers(1, 90), st.integers(0, 2**32))
def test_the_general_roads_numbers(bits, V, D, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (V, -(-D * bits // 8)), np.uint8)
    scale, offset = (rng.standard_normal((2, V)) * 10.0 ** rng.integers(-45, 30, (2, V))).astype("f4")
    offset[rng.random(V) < 0.1] = -0.0
    table = QuantizedTable(codes, scale, offset, (V, D), bits)
    small, general = both_ways(room, "dequantize", table.dequantize)
    assert same_bits(small, general)
    assert type(small) is np.ndarray
    assert small.flags.writeable
    assert small.flags.owndata
    numbers = codes if bits == 8 else np.stack([codes & 15, codes >> 4], 2).reshape(V, -1)[:, :D]
    with np.errstate(all="ignore"):
        assert same_bits(small, numbers * scale[:, np.newaxis] + offset[:, np.newaxis])


@pytest.mark.parametrize("bits", [8, 4])
def test_parts_that_are_views(bits):
    """Codes whose rows do not follow one another take the general road; all that a table keeps otherwise is small."""
    table = quantize(np.random.default_rng(0).standard_normal((5, 33), np.float32), bits)
    for layout, general in (("rows apart", 1), ("read-only", 0), ("reversed", 1), ("misaligned", 0), ("fortran", 0)):
        for name in ("codes", "scale", "offset"):
            given = {"codes": table.codes, "scale": table.scale, "offset": table.offset}
            other = QuantizedTable(**given | {name: lay(given[name], layout)}, shape=(5, 33), bits=bits)
            with arrays.general_calls(room, "dequantize") as seen:
                assert same_bits(other.dequantize(), table.dequantize())
            assert len(seen) == (general if name == "codes" else 0)


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_at_which_dequantize_is_no_longer_small(more):
    table = quantize(np.ones(((room._SMALL_BYTES >> 8) + more, 64), np.float32))
    for one, general in ((table, more), (quantize(np.ones((0, 3), "f4")), 1), (quantize(np.ones((3, 0), "f4")), 1)):
        with arrays.general_calls(room, "dequantize") as seen:
            assert same_bits(one.dequantize(), np.ones(one.shape, "f4"))
        assert len(seen) == general
