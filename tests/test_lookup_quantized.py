"""gather of quantised tables: the numbers that the codes stand for, to the bit."""

import numpy as np
import pytest
from arrays import OUT_LAYOUTS, fence_stands, fenced, same_bits, same_on_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_cases import make_quantized, spy

import fastemb.reference as reference
from fastemb import _memory, _threads
from fastemb.lookup import gather
from fastemb.quantized import QuantizedTable


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([8, 4]),
    st.integers(1, 40),
    st.integers(0, 140),
    st.integers(1, 2),
    st.sampled_from(["raise", "clip", "wrap"]),
    st.sampled_from(["i1", "u2", "i4", "i8", "u8", ">i4"]),
    st.sampled_from([(), (0,), (1,), (7,), (3, 4), (2, 0, 3)]),
    st.integers(0, 2**32 - 1),
)
def test_quantized_rows(bits, V, D, apart, mode, id_dtype, id_shape, seed):
    table, numbers = make_quantized(V, D, bits, seed, apart)
    beyond = 0 if mode == "raise" else 45
    low = -beyond if np.dtype(id_dtype).kind == "i" else 0
    ids = np.random.default_rng(seed).integers(low, V + beyond, id_shape).astype(id_dtype)
    right = reference.gather(numbers, ids.reshape(-1), mode).reshape((*id_shape, D))
    assert same_bits(gather(table, ids, mode=mode), right)
    out = np.full(right.shape, np.nan, "f4")
    assert gather(table, ids, mode=mode, out=out) is out
    assert same_bits(out, right)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_rows_between_sentinels(bits, stream, monkeypatch):
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0 if stream else 1 << 60)
    ids = np.random.default_rng(1).integers(0, 50, 33)
    for D in (*range(1, 36), 63, 64, 65, 300, 1030):
        table, numbers = make_quantized(50, D, bits)
        for shift in (0, 1, 4, 8, 16, 44, 60, 63):  # not all of which a vector can be streamed to
            out = fenced((33, D), "f4", shift=shift)
            gather(table, ids, out=out)
            assert same_bits(out, numbers[ids])
            assert fence_stands(out)


@pytest.mark.parametrize("layout", [layout for layout in OUT_LAYOUTS if layout != "swapped"])
@pytest.mark.parametrize("id_shape", [(6,), (2, 3), ()])
def test_quantized_rows_into_out_of_every_layout(layout, id_shape):
    table, numbers = make_quantized(9, 21, 4)
    ids = np.arange(int(np.prod(id_shape))).reshape(id_shape)
    out = fenced((*id_shape, 21), "f4", layout)
    assert gather(table, ids, out=out) is out
    assert same_bits(out, np.asarray(numbers[ids]))
    assert fence_stands(out)


def test_quantized_rows_are_streamed_and_pooled(monkeypatch):
    monkeypatch.setattr(_memory, "_pool", None)
    seen = spy(monkeypatch, "widen_rows", 4)
    table, numbers = make_quantized(100, 96, 8)
    ids = np.random.default_rng(2).integers(0, 100, (8 << 20) // 384 + 1)
    for threads in (1, 3):
        with _threads.num_threads(threads):
            monkeypatch.setattr(_memory, "_pool", None)
            for _ in range(2):
                result = gather(table, ids)
                assert same_bits(result, numbers[ids])
                del result
            assert not seen[0]
            assert seen[-1]
            seen.clear()


@pytest.mark.parametrize("bits", [8, 4])
def test_threads_give_the_same_quantized_rows(bits, small_grain):
    table, numbers = make_quantized(1000, 33, bits)
    ids = np.random.default_rng(2).integers(-3000, 3000, 777)
    result = same_on_threads(lambda: gather(table, ids, mode="wrap"))
    assert same_bits(result, reference.gather(numbers, ids, "wrap"))


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_ids_of_a_quantized_table(threads, small_grain):
    table, _ = make_quantized(3, 40, 8)
    ids, out = np.zeros((50, 100), np.int32), np.full((50, 100, 40), 7, "f4")
    ids[40, 5], ids[41, 0] = -1, 3
    with _threads.num_threads(threads), pytest.raises(IndexError, match=r"id -1 at position \(40, 5\).* of 3 rows"):
        gather(table, ids, out=out)
    assert (out == 7).all()
    empty, _ = make_quantized(0, 40, 8)
    assert gather(empty, []).shape == (0, 40)
    with pytest.raises(IndexError, match="of 0 rows"):
        gather(empty, [0], mode="clip")


def test_what_a_quantized_table_cannot_be_read_into():
    table, _ = make_quantized(3, 4, 8)
    for dtype in ("f8", "f2", ">f4", "u1"):
        with pytest.raises(TypeError, match="dtype float32, as which a QuantizedTable is read, got"):
            gather(table, [0], out=np.zeros((1, 4), dtype))
    with pytest.raises(ValueError, match=r"shape \(1, 4\), got \(1, 5\)"):
        gather(table, [0], out=np.zeros((1, 5), "f4"))
    buffer = np.zeros(60, np.uint8)
    shared = QuantizedTable(buffer[:12].reshape(3, 4), buffer[12:24].view("f4"), buffer[24:36].view("f4"), (3, 4), 8)
    for name, first in (("codes", 8), ("scale", 20), ("offset", 32)):
        with pytest.raises(ValueError, match=f"out overlaps {name} in memory"):
            gather(shared, [0], out=buffer[first : first + 16].view("f4").reshape(1, 4))
