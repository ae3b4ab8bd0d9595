"""Tables of codes on the device: made, read by ids and as a whole, by the law to the bit."""

import copy

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, on_host, run

import fastemb
from fastemb import reference
from fastemb._cuda import launch

DTYPES = ["f8", "f4", "f2", ml_dtypes.bfloat16]


def packed(codes, bits):
    if bits == 8:
        return codes
    codes = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return codes[:, 0::2] | codes[:, 1::2] << 4


def host_parts(table):
    return [on_host(part) for part in (table.codes, table.scale, table.offset)]


def make(data):
    V, D = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2, 3, 7, 8, 12, 33, 48, 300]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.normal(0, 10.0 ** data.draw(st.integers(-3, 3)), (V, D)).astype(data.draw(st.sampled_from(DTYPES)))
    if data.draw(st.booleans()):
        x[0] = rng.choice([0.0, -0.0, 1.5])
    return x, data.draw(st.sampled_from([8, 4])), rng


@settings(max_examples=14, deadline=None)
@given(st.data())
def test_equals_reference(data):
    x, bits, rng = make(data)
    if data.draw(st.booleans()):
        x = np.repeat(x, 2, axis=0)[::2]
    before = launch.launched
    table = fastemb.quantize(on_device(x), bits)
    assert launch.launched > before
    codes, scale, offset = reference.quantize(x, bits)
    found = host_parts(table)
    for mine, wanted in zip(found, (packed(codes, bits), scale, offset), strict=True):
        assert mine.dtype == wanted.dtype
        assert mine.tobytes() == wanted.tobytes()
    values = reference.dequantize(codes, scale, offset)
    assert on_host(table.dequantize()).tobytes() == values.tobytes()
    ids = rng.integers(-4, len(x) + 4, (2, 3)) if data.draw(st.booleans()) else rng.integers(0, len(x), 5, np.int32)
    mode = data.draw(st.sampled_from(["clip", "wrap"])) if ids.ndim == 2 else "raise"
    wanted = reference.gather(values, ids, mode)
    given_ids = on_device(ids)
    assert on_host(fastemb.gather(table, given_ids, mode=mode)).tobytes() == wanted.tobytes()
    out = np.zeros((*wanted.shape[:-1], 2 * wanted.shape[-1]), "f4")
    given_out = on_device(out[..., ::2])
    assert fastemb.gather(table, given_ids, mode=mode, out=given_out) is given_out
    assert (out[..., ::2] == wanted).all()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("D", [1, 2, 3, 7, 33, 71])
def test_codes_of_four_bits_whatever_words_hold(D, dtype):
    """Pairs of columns lie in two words, in one, or in half of one."""
    x = np.random.default_rng(D).normal(size=(3, D)).astype(dtype)
    table = fastemb.quantize(on_device(x), 4)
    codes, scale, offset = reference.quantize(x, 4)
    for mine, wanted in zip(host_parts(table), (packed(codes, 4), scale, offset), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    values = reference.dequantize(codes, scale, offset)
    np.testing.assert_array_equal(on_host(table.dequantize()), values)
    np.testing.assert_array_equal(run(lambda ids: fastemb.gather(table, ids), np.array([2, 0])), values[[2, 0]])


def test_a_bad_id_reads_zeros():
    x = np.arange(24, dtype="f4").reshape(4, 6) + 1
    table = fastemb.quantize(on_device(x), 4)
    found = on_host(fastemb.gather(table, on_device(np.array([4, 2, -1]))))
    assert (found[[0, 2]] == 0).all()
    assert (found[1] != 0).all()
    with pytest.raises(IndexError, match="id at position 0 is out of range for a table of 4 rows"):
        table.dequantize()


@pytest.mark.parametrize(("bits", "D", "bad"), [(4, 5, np.nan), (4, 5, np.inf), (8, 8, np.nan), (4, 8, -np.inf)])
def test_numbers_without_a_code_are_said_at_once(bits, D, bad):
    x = np.ones((3, D), "f4")
    x[1, 3] = x[2, 0] = bad
    with pytest.raises(ValueError, match="row 1 of table has a NaN or an infinity"):
        run(fastemb.quantize, x, bits)
    x[1:] = [np.finfo("f4").max, *[-np.finfo("f4").max] * (D - 1)]
    with pytest.raises(ValueError, match="row 1 of table spans more than float32 holds"):
        run(fastemb.quantize, x, bits)


def test_tables_without_numbers_and_of_least_spans():
    table = fastemb.quantize(on_device(np.zeros((3, 0), "f4")))
    assert [part.tolist() for part in host_parts(table)] == [[[], [], []], [0.0] * 3, [0.0] * 3]
    x = np.array([[0, 1e-45], [1e-45, 3e-45]], "f4")
    for mine, wanted in zip(host_parts(fastemb.quantize(on_device(x))), reference.quantize(x), strict=True):
        assert mine.tobytes() == wanted.tobytes()


def test_built_of_arrays_and_copied():
    codes, scale, offset = np.arange(12, dtype="u1").reshape(3, 4), np.array([1, 2, 3], "f4"), np.ones(3, "f4")
    wanted = reference.dequantize(codes, scale, offset)
    both = on_device(np.repeat(codes, 2, axis=1)[:, ::2]), on_device(np.repeat(scale, 2)[::2]), on_device(offset)
    table = fastemb.QuantizedTable(*both, (3, 4))
    for one in (table, copy.copy(table)):
        assert on_host(one.dequantize()).tobytes() == wanted.tobytes()
        assert one.nbytes == 36
        assert hasattr(one.codes, "__cuda_ndarray__")  # the owner's array
    scale[1] = np.nan
    with pytest.raises(ValueError, match=r"scale must be finite, got scale\[1\] = nan"):
        fastemb.QuantizedTable(*on_device((codes, scale, offset)), (3, 4))
    with pytest.raises(TypeError, match="must be on one device"):
        fastemb.QuantizedTable(on_device(codes), scale, offset, (3, 4))
