"""Quantised tables: codes to the bit against the law, what is refused, and what the class keeps and checks."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from arrays import BF16, IN_LAYOUTS, LAYOUTS, codes_of, lay, native, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _checks, _memory, _threads
from fastemb._cpu.arrays import acc_dtype, code_rows
from fastemb._cpu.kernels import quantized as kernels
from fastemb.quantized import QuantizedTable, quantize

DTYPES = [np.dtype("f8"), np.dtype("f4"), np.dtype("f2"), np.dtype(BF16), np.dtype(">f4"), np.dtype(">f8")]


def unpack(codes, D, bits):
    """Return codes of D columns, one to a byte, and what pads the last byte of each row."""
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), 2 * codes.shape[1])
    return codes[:, :D], codes[:, D:]


def assert_is_the_law(table, given_table, bits):
    codes, scale, offset = reference.quantize(given_table, bits)
    found, padding = unpack(table.codes, table.shape[1], table.bits)
    assert same_bits(np.ascontiguousarray(found), codes)
    assert not padding.any()
    assert same_bits(table.scale, scale)
    assert same_bits(table.offset, offset)
    assert same_bits(table.dequantize(), reference.dequantize(codes, scale, offset))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from([8, 4]),
    st.sampled_from(IN_LAYOUTS),
    st.integers(0, 20),
    st.integers(0, 70),
    st.sampled_from([1e-45, 1e-38, 1e-7, 1.0, 100.0]),
    st.sampled_from(["normal", "steps", "far", "constant"]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_law_to_the_bit(framework, dtype, bits, layout, V, D, size, spread, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal((V, D))
    if spread == "steps":  # halves between codes, and ends that are reached
        numbers = rng.integers(0, 2 * 2**bits - 1, (V, D)) / 2
    elif spread == "far":
        numbers = 100 + numbers
    elif spread == "constant":
        numbers = np.broadcast_to(numbers[:, :1], (V, D))
    given_table = framework.held(lay((numbers * size).astype(dtype), layout))
    before = given_table.tobytes()
    assert_is_the_law(quantize(framework.make(given_table), bits), native(given_table), bits)
    assert given_table.tobytes() == before


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", DTYPES[:4], ids=str)
def test_every_number_of_columns(dtype, bits):
    rng = np.random.default_rng(3)
    for D in (*range(1, 50), 63, 64, 65, 300):
        table = rng.standard_normal((5, D)).astype(dtype)
        assert_is_the_law(quantize(table, bits), table, bits)


def test_threads_give_the_same_bits(small_grain):
    table = np.random.default_rng(1).standard_normal((997, 33)).astype("f4")
    for bits in (8, 4):
        for made in on_threads(lambda bits=bits: quantize(table, bits)):
            assert_is_the_law(made, table, bits)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numbers_come_back_within_half_a_scale(bits, dtype):
    rng = np.random.default_rng(4)
    table = (rng.standard_normal((200, 50)) * np.exp(rng.uniform(-60, 60, (200, 1)))).astype(dtype)
    made = quantize(table, bits)
    values = made.dequantize().astype("f8")
    # Half a code, and the roundings of the scale, the offset, the product and the sum.
    slack = 4 * 2.0**-24 * np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(values - table) <= made.scale[:, None] * (0.5 + 2**bits * 2.0**-23) + slack).all()
    if dtype == "f4":
        assert (values.min(axis=1) == table.min(axis=1)).all()
    codes, _ = unpack(made.codes, 50, bits)
    assert (codes.min(axis=1) == 0).all()
    assert (codes.max(axis=1) == 2**bits - 1).all()


def test_ties_go_to_the_even_code():
    table = np.array([[0, 0.5, 1.5, 2.5, 3.5, 253.5, 254.5, 255]], "f4")
    assert quantize(table).codes.tolist() == [[0, 0, 2, 2, 4, 254, 254, 255]]
    assert quantize(table.astype("f8")).codes.tolist() == [[0, 0, 2, 2, 4, 254, 254, 255]]
    codes = quantize(np.array([[0, 0.5, 1.5, 13.5, 14.5, 15]], "f2"), 4).codes
    assert unpack(codes, 6, 4)[0].tolist() == [[0, 0, 2, 14, 14, 15]]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_numbers_about_the_middle_between_two_codes(dtype, bits):
    rng, top = np.random.default_rng(3), 2**bits - 1
    for size in (1.0, 0.1, 3e-38, 1e-44, 1e31, 1e36, 1 / 3):
        x = (rng.integers(0, top, (60, 256)) + 0.5) * (1 + rng.integers(-3, 4, (60, 256)) * 2.0**-24)
        x[:, :2] = 0, top
        with np.errstate(over="ignore"):
            table = (size * (x + rng.standard_normal((60, 1)))).astype(dtype)
        if np.isfinite(table.astype("f8")).all():
            assert_is_the_law(quantize(table, bits), native(table), bits)


def test_two_codes_share_a_byte_the_even_column_in_the_low_half():
    made = quantize(np.array([[0, 1, 2, 3, 15], [15, 14, 13, 12, 0]], "f4"), bits=4)
    assert made.codes.tolist() == [[0x10, 0x32, 0x0F], [0xEF, 0xCD, 0x00]]


def test_rows_that_are_hard_to_scale():
    tiny, huge = np.finfo("f4").smallest_subnormal, np.finfo("f4").max
    table = np.array(
        [[7, 7, 7], [-0.0, 0.0, -0.0], [0, tiny, 3 * tiny], [-huge / 2, 0, huge / 2], [0, huge, huge]], "f4"
    )
    made = quantize(table)
    assert made.scale[:3].tolist() == [0, 0, tiny]
    assert not np.signbit(made.offset[1])
    assert made.codes.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 3], [0, 128, 255], [0, 255, 255]]
    assert (made.dequantize()[[0, 1, 2, 4]] == table[[0, 1, 2, 4]]).all()
    # float64: a constant that float32 cannot hold is the nearest that it can.
    third = quantize(np.full((1, 20), 1e10 / 3))
    assert third.scale.tolist() == [0]
    assert not third.codes.any()
    assert (third.dequantize() == np.float32(1e10 / 3)).all()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("place", [0, 7, 15, 16, 31, 32, 36])
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_the_first_row_without_codes_is_named(fault, place, threads, small_grain):
    with _threads.num_threads(threads):
        for dtype in DTYPES[:5]:
            table = np.ones((50, 37), dtype)
            table[11, place] = table[44, 0] = fault
            with pytest.raises(ValueError, match="row 11 of table has a NaN or an infinity"):
                quantize(table, 4)


def test_spans_beyond_float32_are_refused():
    huge = np.finfo("f4").max
    for row in ([-huge, huge], [-huge / 1.5, huge / 1.5]):
        with pytest.raises(ValueError, match="row 1 of table spans more than float32 holds"):
            quantize(np.array([[0, 1], row], "f4"))
    for row in ([1e300, 1.1e300], [-1e300, 0], [0, 1e39], [-1e308, 1e308], [1e39, 1e39]):
        with pytest.raises(ValueError, match="row 1 of table spans more than float32 holds"):
            quantize(np.array([[0, 1], row]))


def test_sizes_of_zero():
    for bits in (8, 4):
        for shape in ((0, 5), (3, 0), (0, 0)):
            made = quantize(np.zeros(shape, "f4"), bits)
            assert made.shape == shape
            assert made.dequantize().shape == shape
            assert made.nbytes == made.codes.size + 8 * shape[0]
            assert not made.scale.any()


@pytest.mark.parametrize(
    ("table", "bits", "error", "words"),
    [
        ([[1.0]], 8, TypeError, "must be a numpy.ndarray.*got list"),
        (np.ones((2, 2), "i4"), 8, TypeError, "float64, float32, float16 or bfloat16, got int32"),
        (np.ones((2, 2), np.longdouble), 8, TypeError, "float64, float32, float16 or bfloat16, got"),
        (np.ma.ones((2, 2)), 8, TypeError, "masked array"),
        (np.ones(2), 8, ValueError, r"shape \(V, D\), got \(2,\)"),
        (np.ones((2, 2, 2)), 8, ValueError, r"shape \(V, D\), got \(2, 2, 2\)"),
        (np.ones((2, 2)), 2, ValueError, "bits must be 8 or 4, got 2"),
        (np.ones((2, 2)), "8", ValueError, "bits must be 8 or 4, got '8'"),
        (np.ones((2, 2)), np.array([8, 4]), ValueError, r"bits must be 8 or 4, got array\(\[8, 4\]\)"),
        (codes_of(np.ones((2, 2))), 8, TypeError, "must be a numpy.ndarray.*QuantizedTable"),
    ],
)
def test_quantize_refuses(table, bits, error, words):
    with pytest.raises(error, match=words):
        quantize(table, bits)


# The class -------------------------------------------------------------------------------------------------------


def draw_arrays(V=6, D=7, bits=8):
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (V, -(-D * bits // 8)), np.uint8)
    return codes, rng.standard_normal(V).astype("f4"), rng.standard_normal(V).astype("f4")


def expected(codes, scale, offset, D, bits):
    return reference.dequantize(unpack(codes, D, bits)[0], scale, offset)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("D", [0, 1, 2, 15, 16, 17, 31, 33, 64, 101])
def test_a_table_of_given_arrays(D, bits):
    """Negative scales, and halves behind the last column that mean nothing, too."""
    codes, scale, offset = draw_arrays(6, D, bits)
    table = QuantizedTable(codes, scale, offset, (6, D), bits)
    assert (len(table), table.shape, table.bits) == (6, (6, D), bits)
    assert table.nbytes == codes.nbytes + 48
    assert repr(table) == f"QuantizedTable(shape=(6, {D}), bits={bits})"
    assert same_bits(table.dequantize(), expected(codes, scale, offset, D, bits))


def test_arrays_are_kept_and_shown_read_only():
    codes, scale, offset = draw_arrays()
    table = QuantizedTable(codes, scale, offset, (6, 7), 8)
    for mine, shown in ((codes, table.codes), (scale, table.scale), (offset, table.offset)):
        assert np.shares_memory(mine, shown)
        assert mine.flags.writeable
        assert not shown.flags.writeable
    for name in ("codes", "scale", "offset", "shape", "bits", "nbytes", "anything"):
        with pytest.raises(AttributeError):
            setattr(table, name, 1)


def test_arrays_of_other_layouts():
    codes, scale, offset = given_arrays = draw_arrays()
    right = expected(codes, scale, offset, 7, 8)
    for layout in LAYOUTS:
        for other in range(3):
            parts = [lay(array, layout) if k == other else array for k, array in enumerate(given_arrays)]
            table = QuantizedTable(*parts, (6, 7), 8)
            assert same_bits(table.dequantize(), right)
            assert table.scale.dtype == table.offset.dtype == np.float32
    apart = lay(codes, "cut")
    assert np.shares_memory(QuantizedTable(apart, scale, offset, (6, 7), 8).codes, apart)


def test_a_memory_map_is_read_in_place(tmp_path):
    codes, scale, offset = draw_arrays()
    codes.tofile(tmp_path / "codes")
    mapped = np.memmap(tmp_path / "codes", np.uint8, "r", shape=codes.shape)
    table = QuantizedTable(mapped, scale, offset, (6, 7), 8)
    assert np.shares_memory(table.codes, mapped)
    assert type(table.codes) is np.ndarray
    assert same_bits(table.dequantize(), expected(codes, scale, offset, 7, 8))


@pytest.mark.parametrize("bits", [8, 4])
def test_pickles_and_copies(bits):
    table = quantize(np.random.default_rng(6).standard_normal((9, 21)), bits)
    for other in (pickle.loads(pickle.dumps(table)), copy.copy(table), copy.deepcopy(table)):
        assert type(other) is QuantizedTable
        assert (other.shape, other.bits) == (table.shape, bits)
        assert same_bits(other.codes, table.codes)
        assert same_bits(other.dequantize(), table.dequantize())
        assert not other.codes.flags.writeable


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"codes": [[1]]}, TypeError, "codes must be a numpy.ndarray.*got list"),
        ({"codes": np.zeros((6, 7), "i1")}, TypeError, "codes must have dtype uint8, got int8"),
        ({"scale": np.zeros(6)}, TypeError, "scale must have dtype float32, got float64"),
        ({"offset": np.zeros(6, "f2")}, TypeError, "offset must have dtype float32, got float16"),
        ({"offset": np.ma.zeros(6, "f4")}, TypeError, "offset is a masked array"),
        ({"codes": np.zeros((6, 8), "u1")}, ValueError, r"codes must have shape \(6, 7\), got \(6, 8\)"),
        ({"bits": 4}, ValueError, r"codes must have shape \(6, 4\), got \(6, 7\)"),
        ({"scale": np.zeros((6, 1), "f4")}, ValueError, r"scale must have shape \(6,\), got \(6, 1\)"),
        ({"offset": np.zeros(5, "f4")}, ValueError, r"offset must have shape \(6,\), got \(5,\)"),
        ({"scale": np.array([0, 1, np.nan, 1, np.inf, 1], "f4")}, ValueError, r"finite, got scale\[2\] = nan"),
        ({"offset": np.array([0, 1, 1, 1, 1, -np.inf], "f4")}, ValueError, r"finite, got offset\[5\] = -inf"),
        ({"shape": 6}, TypeError, r"two integers \(V, D\), got 6"),
        ({"shape": (6.0, 7)}, TypeError, r"two integers \(V, D\), got \(6.0, 7\)"),
        ({"shape": (6, 7, 1)}, ValueError, r"shape must be \(V, D\), two sizes, got \(6, 7, 1\)"),
        ({"shape": (6, -7)}, ValueError, r"shape must be \(V, D\), two sizes, got \(6, -7\)"),
        ({"bits": 5}, ValueError, "bits must be 8 or 4, got 5"),
        ({"bits": 8.0}, ValueError, "bits must be 8 or 4, got 8.0"),
    ],
)
def test_the_class_refuses(changes, error, words):
    codes, scale, offset = draw_arrays()
    with pytest.raises(error, match=words):
        QuantizedTable(**({"codes": codes, "scale": scale, "offset": offset, "shape": (6, 7), "bits": 8} | changes))


def test_large_tables_are_streamed_into_warm_memory(monkeypatch):
    seen = []
    kernel = kernels.widen_rows
    monkeypatch.setattr(kernels, "widen_rows", lambda *given: seen.append(given[4]) or kernel(*given))
    monkeypatch.setattr(_memory, "_pool", _memory.Pool(64 << 20))
    codes, scale, offset = draw_arrays((8 << 20) // 400 + 1, 100)
    table = QuantizedTable(codes, scale, offset, (len(codes), 100), 8)
    right = expected(codes, scale, offset, 100, 8)
    for threads in (1, 3):
        with _threads.num_threads(threads):
            first = table.dequantize()
            assert same_bits(first, right)
            del first
            assert same_bits(table.dequantize(), right)
    assert not seen[0]
    assert seen[-1]


def test_other_libraries_tensors_are_not_taken_for_one():
    class Tensor:
        def dequantize(self):
            return self

    assert not _checks.is_quantized(Tensor())
    with pytest.raises(TypeError, match="or an array of another framework"):
        _checks.as_number_table(Tensor())
    table = quantize(np.ones((4, 9), "f4"), 4)
    assert _checks.is_quantized(table)
    assert _checks.as_number_table(table) is table
    assert _checks.result_dtype(table) == acc_dtype(_checks.result_dtype(table)) == "f4"
    assert (len(table), code_rows(table).D, code_rows(table).bits) == (4, 9, 4)
    assert sum(part[0].nbytes for part in _checks.parts(table).values()) == 13  # 5 of codes, a scale, an offset


OLD_PROCESSOR = """
import numpy as np
from fastemb import reference
from fastemb.quantized import quantize
rng = np.random.default_rng(0)
for D in (3, 37):
    given = rng.standard_normal((5, D)).astype("f2")
    made, (codes, scale, offset) = quantize(given, 4), reference.quantize(given, 4)
    assert (made.scale == scale).all() and (made.offset == offset).all()
    assert (made.dequantize() == reference.dequantize(codes, scale, offset)).all()
print("done")
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names an x86 processor")
def test_an_old_processor_gives_the_same_bits():
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": "", "FASTEMB_CACHE": "0"}
    child = subprocess.run(
        [sys.executable, "-c", OLD_PROCESSOR], env=environment, capture_output=True, text=True, check=False
    )
    assert child.stdout == "done\n", child.stderr
