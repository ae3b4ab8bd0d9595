"""rope on the device: the bits of the law, whose angles are found anew there."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, on_host, run

import fastemb
from fastemb import reference
from fastemb._cuda.kernels.position import cos_sin

DTYPES = ["f8", "f4", "f2", ml_dtypes.bfloat16]
LAYOUTS = {
    "plain": lambda x: x,
    "heads behind": lambda x: np.ascontiguousarray(np.moveaxis(x, 1, 2)).swapaxes(1, 2) if x.ndim == 4 else x,
    "rows apart": lambda x: np.repeat(x, 2, axis=-2)[..., ::2, :],
    "columns apart": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
}


def same(found, wanted, dtype):
    """To the bit; cosines and sines of float64 are those of NumPy to a unit or two of their last place."""
    if np.dtype(dtype).itemsize == 8:
        return np.allclose(found, wanted, rtol=0, atol=2.0**-49)
    return found.tobytes() == wanted.astype(dtype).tobytes()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_reference(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype, layout = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(sorted(LAYOUTS)))
    D = 2 * data.draw(st.integers(0, 12) | st.just(16))
    shape = (*data.draw(st.sampled_from([(3,), (2, 3), (2, 3, 4), (1, 2, 1), (2, 2, 1, 2, 3)])), D)
    x = LAYOUTS[layout](rng.uniform(-1, 1, shape).astype(dtype))
    positions, lead = None, shape[:-1]
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(lead)))
        lengths = [1 if data.draw(st.booleans()) else n for n in lead[cut:]]
        if len(lead) == 3 and len(lengths) == 2:
            lengths = [data.draw(st.sampled_from([1, lead[0]])), lead[2]]
        positions = rng.integers(-9, 4000, lengths).astype(data.draw(st.sampled_from(["i8", "i4", "u1", "f4", "f8"])))
    inv_freq = rng.uniform(0, 2, D // 2).astype(data.draw(st.sampled_from(["f4", "f8"])))
    options = {
        "scale": data.draw(st.sampled_from([1.0, 1.3])),
        "interleaved": data.draw(st.booleans()),
        "inverse": data.draw(st.booleans()),
        "inv_freq": inv_freq if data.draw(st.booleans()) else None,
    }
    found = run(fastemb.rope, x, positions, **options, launches=2 if x.size else 0)
    assert found.shape == x.shape
    assert same(found, reference.rope(x, positions, **options), dtype)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("to", DTYPES)
def test_out_of_another_dtype_in_place_and_apart(to, interleaved):
    rng = np.random.default_rng(3)
    for dtype, D in (("f4", 16), ("f2", 32), ("f8", 6)):
        x = rng.uniform(-1, 1, (2, 3, D)).astype(dtype)
        wanted = reference.rope(x, interleaved=interleaved)
        out = np.zeros((2, 3, 2 * D), to)
        given_out = on_device(out[..., ::2])
        assert fastemb.rope(on_device(x), interleaved=interleaved, out=given_out) is given_out
        assert same(out[..., ::2], wanted, to)
        assert not out[..., 1::2].any()
        mine = on_device(x.copy())
        assert fastemb.rope(mine, interleaved=interleaved, out=mine) is mine
        assert same(on_host(mine), wanted, dtype)


def test_cosines_and_sines_of_any_angle():
    rng = np.random.default_rng(0)
    turns = np.arange(1, 40) * (np.pi / 2)
    angles = [0.0, -0.0, 1e-300, np.pi / 4, 2.0**31, -(2.0**31), 1e22, np.finfo("f8").max]
    angles += [*turns, *rng.uniform(-1e9, 1e9, 200), *(rng.uniform(-1, 1, 200) * 2.0 ** rng.integers(20, 1023, 200))]
    with np.errstate(all="ignore"):
        found = np.array([cos_sin(np.float64(a)) for a in angles]).T
        assert np.isnan([cos_sin(np.float64(a)) for a in (np.nan, np.inf, -np.inf)]).all()
    wanted = np.array([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(found, wanted, rtol=2.0**-51, atol=0)
    # The float64 that is nearest to a multiple of π/2; NumPy's cosine is off in the fifteenth place.
    assert cos_sin(np.float64(5.319372648326541e255))[0] == -4.687165924254628e-19


def test_frequencies_that_are_not_finite_are_said_later():
    x, inv_freq = np.ones((2, 4), "f4"), np.array([1, np.inf])
    assert np.isnan(run(fastemb.rope, x, inv_freq=inv_freq)[1]).any()
    with pytest.raises(ValueError, match=r"inv_freq at position 1 is out of range for rope, which takes finite ones"):
        run(fastemb.rope, x)
    run(fastemb.rope, x)
