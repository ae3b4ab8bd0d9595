"""Rows scaled to length one: every width, type and layout against NumPy, and rows that squares cannot measure."""

from functools import partial

import numpy as np
import pytest
from arrays import BF16, DTYPES, OUT_LAYOUTS, fence_stands, fenced, lay, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from pooling_cases import PAIRS

import fastemb.reference as reference
from fastemb import _threads
from fastemb._cpu.arrays import rows as told
from fastemb._cpu.kernels.pooling import normalize_rows
from fastemb.pooling import normalize

TABLE = np.ones((3, 2), np.float32)
# Half a last place, and what more than one rounding makes of it.
HALF = {"float64": 2.0**-50, "float32": 2.0**-24 * 1.00001, "float16": 2.0**-11 * 1.001, "bfloat16": 2.0**-8 * 1.001}
LEAST = {"float64": 5e-324, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


@pytest.mark.parametrize("layout", [*OUT_LAYOUTS, "rows first"])
@pytest.mark.parametrize("shape", [(7,), (5, 37), (2, 3, 70), (2, 1, 3, 16), (0, 4), (3, 0), (2, 0, 4), (0,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(framework, dtype, shape, layout):
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    if x.size and x.ndim > 1:
        x[-1] = 0
    x = framework.held(lay(x, layout))
    before, exact = x.tobytes(), reference.normalize(x.astype("f8"))
    given = framework.make(x)
    result = framework.back(normalize(given))
    assert result.dtype == np.dtype(dtype)
    assert result.shape == shape
    assert not np.may_share_memory(result, x)
    assert x.tobytes() == before
    name = result.dtype.name
    assert (np.abs(result.astype("f8") - exact) <= np.abs(exact) * HALF[name] + LEAST[name]).all()
    if x.size and x.ndim > 1:
        assert not result[-1].any()
    if not framework.writes:
        return
    assert normalize(given, out=given) is given
    assert same_bits(framework.back(given).astype(dtype), result)


@pytest.mark.parametrize("layout", [*OUT_LAYOUTS, "rows first"])
@pytest.mark.parametrize(("dtype", "kind"), PAIRS)
def test_normalize_into_other_types(dtype, kind, layout):
    x = np.random.default_rng(2).standard_normal((4, 3, 37)).astype(dtype)
    lane = normalize(x, out=np.empty(x.shape, "f8" if dtype == "f8" else "f4"))
    for rows in (x, x[:, 0], x[0, 0]):
        out = fenced(rows.shape, kind, layout)
        assert normalize(rows, out=out) is out
        assert fence_stands(out)
        wanted = lane if rows is x else lane[:, 0] if rows.ndim == 2 else lane[0, 0]
        assert same_bits(out.astype(kind), wanted.astype(kind))


@pytest.mark.parametrize(("dtype", "powers"), [("f8", (-1070, -600, 0, 600, 1020)), ("f4", (-147, -80, 0, 80, 125))])
def test_normalize_at_the_ends_of_the_range(dtype, powers):
    for power in powers:
        x = np.ldexp(np.array([[3, -4, 0, 0], [1, 1, 1, 1]], dtype), power)
        np.testing.assert_allclose(
            normalize(x), [[0.6, -0.8, 0, 0], [0.5] * 4], rtol=1.2e-7 if dtype == "f4" else 3e-16
        )


def test_normalize_in_place_on_disk(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(3, 2))
    x[...] = [[3, 4], [0, 0], [0, -2]]
    assert normalize(x, out=x) is x
    assert np.array(x).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [0, -1]]
    assert type(normalize(x)) is np.ndarray


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_has_the_same_bits_on_any_threads(dtype, small_grain, general_road):
    x = np.random.default_rng(4).standard_normal((53, 100)).astype(dtype)
    expected = np.concatenate([normalize(row[np.newaxis].copy()) for row in x])

    def both():
        here = x.copy()
        return normalize(x), normalize(here, out=here), here

    for results in on_threads(both):
        assert all(same_bits(result, expected) for result in results)


@pytest.mark.parametrize(
    ("x", "out", "error", "words"),
    [
        (TABLE.astype(int), None, TypeError, "x must have dtype float64, float32, float16 or bfloat16, got int64"),
        (TABLE.tolist(), None, TypeError, "x must be a numpy.ndarray.*got list"),
        (np.ma.array(TABLE), None, TypeError, "x is a masked array"),
        (np.array(1.0), None, ValueError, r"x must have at least one axis, got shape \(\)"),
        (TABLE, np.zeros((2, 3)), ValueError, r"out must have shape \(3, 2\), got \(2, 3\)"),
        (
            TABLE,
            np.zeros((3, 2), int),
            TypeError,
            "out must have dtype float64, float32, float16 or bfloat16, got int64",
        ),
        (TABLE, [[0.0] * 2] * 3, TypeError, "out must be a numpy.ndarray"),
        (TABLE, TABLE[::-1], ValueError, "out overlaps x in memory"),
    ],
)
def test_refusals_of_normalize(x, out, error, words):
    with pytest.raises(error, match=words):
        normalize(x, out=out)
    assert (TABLE == 1).all()


def test_normalize_refuses_to_write_what_is_read_only():
    frozen = lay(TABLE, "read-only")
    assert normalize(frozen)[0, 0] == np.float32(0.5**0.5)
    for x in (frozen, TABLE):
        with pytest.raises(ValueError, match="out is read-only"):
            normalize(x, out=frozen)


# The kernel --------------------------------------------------------------------------------------------------------

# Half a last place of each type, and its smallest number.
HALF_ULP = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
KERNEL_LEAST = {"float64": 0.0, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}
WIDTHS = [*range(36), 63, 64, 65, 79, 80, 81, 127, 128, 129, 256, 300, 384]


def run_kernel(x, dtype=None, apart=0):
    """Run the kernel into an array between sentinels, with a distance between its rows."""
    out = fenced(x.shape, dtype or x.dtype, apart=apart)
    normalize_rows(told(x), told(out), 0, len(x))
    assert fence_stands(out)
    return out.copy()


def lengths(x):
    return np.sqrt(np.square(x.astype("f8")).sum(axis=1, keepdims=True))


def check(x, result):
    """Within half a last place of the result, and what float64 may be off by.

    The sum of D squares, its root, the quotient and the product: D + 4 roundings at most of 2**-53 each. Lanes of
    float32 are rounded before another type's result is, which adds their half a last place.
    """
    exact = x.astype("f8") / lengths(x)
    kind = result.dtype.name
    once = HALF_ULP[kind] + (HALF_ULP["float32"] if x.dtype != "f8" and kind != "float32" else 0)
    bound = np.abs(exact) * (once + (x.shape[1] + 4) * 2.0**-53) + KERNEL_LEAST[kind]
    assert (np.abs(result.astype("f8") - exact) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_width_between_sentinels(dtype):
    rng = np.random.default_rng(1)
    for D in WIDTHS:
        x = (rng.standard_normal((5, D + 3)) * 3).astype(dtype)[:, :D]
        before = x.copy()
        result = run_kernel(x, apart=2)
        if D:
            check(x, result)
        assert x.tobytes() == before.tobytes()
        copied = np.ascontiguousarray(x)
        normalize_rows(told(copied), told(copied), 0, 5)  # in place
        assert copied.tobytes() == result.tobytes()


@pytest.mark.parametrize(("dtype", "into"), [("f8", "f4"), ("f4", "f2"), ("f2", "f8"), (BF16, "f4")])
def test_results_of_other_types(dtype, into):
    x = np.random.default_rng(2).standard_normal((4, 90)).astype(dtype)
    result = run_kernel(x, into)
    check(x, result)
    if dtype != "f8":  # rounded to float32 first, whatever the result is
        with np.errstate(under="ignore"):
            assert result.tobytes() == run_kernel(x, "f4").astype(into).tobytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(-1000, 1000), st.sampled_from(["f8", "f4"]), st.integers(0, 2**32))
def test_any_magnitude(D, power, dtype, seed):
    power = power if dtype == "f8" else power // 9  # all of them normal numbers
    unit = np.random.default_rng(seed).uniform(0.25, 1, (1, D))  # exact powers of two change nothing but squares
    x = np.ldexp(unit.astype(dtype), power)
    # A float64 row whose squares leave the range is divided once more, which rounds once more.
    expected = unit.astype(dtype).astype("f8") / lengths(unit.astype(dtype))
    bound = expected * (HALF_ULP[x.dtype.name] + (D + 8) * 2.0**-53)
    assert (np.abs(run_kernel(x).astype("f8") - expected) <= bound).all()


def test_order_of_the_sum_depends_on_the_width_alone(small_grain):
    x = np.random.default_rng(3).standard_normal((53, 100)).astype("f4")
    expected = run_kernel(x)
    for position in range(53):
        assert run_kernel(x[position : position + 1].copy()).tobytes() == expected[position].tobytes()
    for threads in (1, 2, 7):
        out = np.full_like(x, np.nan)
        work = partial(normalize_rows, told(x), told(out))
        with _threads.num_threads(threads):
            cuts = _threads.split(53, _threads.parts(x.nbytes, 53))
            assert len(cuts) == threads + 1
            _threads.run(work, cuts)
        assert out.tobytes() == expected.tobytes()


def test_a_range_writes_its_rows_alone():
    x, out = np.ones((9, 20), "f4"), np.zeros((9, 20), "f4")
    normalize_rows(told(x), told(out), 3, 5)
    assert out.any(axis=1).tolist() == [False] * 3 + [True] * 2 + [False] * 4
    normalize_rows(told(x), told(out), 7, 7)
    assert not out[5:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", [1, 5, 16, 70])
def test_rows_of_zeros_stay_with_their_signs(dtype, D):
    x = np.zeros((3, D), dtype)
    x[1, ::2] = -x[1, ::2]
    x[2] = 2
    result = run_kernel(x)
    assert result[:2].tobytes() == x[:2].tobytes()
    assert (result[2] != 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", [3, 16, 70])
def test_rows_without_a_length(dtype, D):
    """What x / |x| gives, and no harm to the neighbours."""
    x = np.ones((5, D), dtype)
    x[1, 1] = np.nan
    x[2, 2] = -np.inf
    x[3, 0], x[3, 1] = np.nan, np.inf
    result = run_kernel(x).astype("f8")
    assert np.isnan(result[[1, 3]]).all()
    assert np.isnan(result[2, 2])
    assert (np.delete(result[2], 2) == 0).all()
    check(x[[0, 4]], run_kernel(x[[0, 4]]))
    assert (result[[0, 4]] == run_kernel(x[[0, 4]]).astype("f8")).all()


def test_the_ends_of_float64():
    for value in (5e-324, 2.0**-1022, 1e-160, 1e-146, 1e144, 1e160, np.finfo("f8").max):
        result = run_kernel(np.array([[value, -value, 0.0, value, value]]))
        assert np.abs(result - [[0.5, -0.5, 0, 0.5, 0.5]]).max() <= 2.0**-52


def test_a_row_in_the_first_range_of_threads_may_be_the_last():
    x = np.full((1, 33), 3.0, "f4")
    check(x, run_kernel(x))
    assert run_kernel(np.empty((0, 4), "f4")).shape == (0, 4)
    assert run_kernel(np.empty((3, 0), "f4")).shape == (3, 0)
