"""gather on the device: the same rows, byte by byte, as on the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, run

import fastemb
from fastemb import _frameworks, reference
from fastemb._cuda import bulk

DTYPES = ["f8", "f4", "f2", "i1", "c16", "i2", "V12"]
LAYOUTS = {
    "plain": lambda x: x,
    "rows apart": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "columns apart": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "Fortran": np.asfortranarray,
}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_reference(data):
    V, D = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 40))
    dtype, layout = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(sorted(LAYOUTS)))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    size = np.dtype(dtype).itemsize
    table = LAYOUTS[layout](rng.integers(0, 256, (V, D * size), np.uint8).view(dtype).reshape(V, D))
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    mode = data.draw(st.sampled_from(["raise", "clip", "wrap"]))
    low, high = (0, V - 1) if mode == "raise" else (-3 * V, 3 * V)
    ids = rng.integers(low, high, shape, endpoint=True).astype(data.draw(st.sampled_from(["i4", "i8", "i2"])))
    launches = 1 if D and ids.size else 0
    result = run(fastemb.gather, table, ids, mode=mode, launches=launches)
    assert result.tobytes() == reference.gather(table, ids, mode).tobytes()
    assert result.shape == (*ids.shape, D)


def test_into_out_of_any_strides():
    table, ids = np.arange(60, dtype="f4").reshape(10, 6), np.array([3, 0, 9])
    out = np.full((3, 12), -1, "f4")
    given_out = on_device(out[:, ::2])
    assert fastemb.gather(on_device(table), on_device(ids), out=given_out) is given_out
    assert (out[:, ::2] == table[ids]).all()
    assert (out[:, 1::2] == -1).all()


@pytest.mark.parametrize("V", [0, 5])
def test_a_bad_id_reads_zeros_and_is_said_later(V):
    table, ids = np.ones((V, 4), "f4"), np.array([[0, 1], [V, -1]])
    if not V:
        with pytest.raises(IndexError, match="a table of 0 rows"):
            run(fastemb.gather, table, ids)
        return
    result = run(fastemb.gather, table, ids)
    assert (result[1] == 0).all()
    assert (result[0] == 1).all()
    words = r"id at position \(1, 0\) is out of range for a table of 5 rows \(found after an earlier call of gather on "
    with pytest.raises(IndexError, match=words):
        run(fastemb.gather, table, ids)
    run(fastemb.gather, table, ids[:1])  # it is said once


@pytest.mark.parametrize("D", [388, 500, 1024, 1028])
@pytest.mark.parametrize("mode", ["raise", "clip", "wrap"])
def test_long_rows_take_a_warp_each(mode, D):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 1 << 30, (5, D), np.int32)
    ids = rng.integers(0, 5, 5) if mode == "raise" else rng.integers(-20, 20, 5)
    assert run(fastemb.gather, table, ids, mode=mode).tobytes() == reference.gather(table, ids, mode).tobytes()


@pytest.mark.parametrize("gather", [bulk.gather_bulk, bulk.gather_wide])
@pytest.mark.parametrize(("N", "D"), [(1, 8), (150, 8), (37, 40)])
def test_gathers_that_only_the_benchmark_calls(gather, N, D):
    memory = np.zeros(4 * D * (9 + N) + 32, np.uint8)
    memory = memory[-memory.ctypes.data % 32 :][: 4 * D * (9 + N)].view("f4").reshape(9 + N, D)
    table, out = memory[:9], memory[9:]
    table[:] = np.random.default_rng(0).standard_normal((9, D))
    ids = np.random.default_rng(1).integers(0, 9, N)
    held = [on_device(one) for one in (table, ids, out)]
    gather(*(_frameworks.of(one).view(one, "") for one in held))
    assert out.tobytes() == table[ids].tobytes()
