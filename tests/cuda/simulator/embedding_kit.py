"""What the simulator's tests of embed share: numbers, norms, and calls whose arrays are views already."""

import numpy as np
from kit import on_device, on_host
from ml_dtypes import bfloat16

from fastemb import _embeds, _frameworks, reference
from fastemb._cuda import launch
from fastemb.embedding import LayerNorm, RMSNorm, _norm_of
from fastemb.quantized import QuantizedTable
from fastemb.ragged import Ragged

DTYPES = {"f8": np.dtype("f8"), "f4": np.dtype("f4"), "f2": np.dtype("f2"), "bf16": np.dtype(bfloat16)}
NORMS = ["none", "layer", "layer, no bias", "rms"]


def make(shape, dtype="f4", seed=0):
    """Return random numbers."""
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(DTYPES[dtype])


def make_norm(name, D, dtype="f4", eps=1e-5):
    """Return a norm by its name in `NORMS`."""
    weight, bias = make((D,), dtype, seed=8), make((D,), dtype, seed=9)
    return {
        "none": None,
        "layer": LayerNorm(weight, bias, eps),
        "layer, no bias": LayerNorm(weight, eps=eps),
        "rms": RMSNorm(weight, eps),
    }[name]


def quantised(table):
    """Return a quantised table with its parts on the device."""
    parts = on_device(tuple(np.array(one) for one in (table.codes, table.scale, table.offset)))
    return QuantizedTable(*parts, table.shape, table.bits)


def view(array):
    """Return an array of NumPy's as what rooms see of it on the device."""
    found = on_device(array)
    return _frameworks.of(found).view(found, "")


def viewed(value):
    """Return arrays, and those in norms and a Ragged, as what rooms see."""
    if isinstance(value, np.ndarray):
        return view(value)
    if isinstance(value, LayerNorm | RMSNorm):
        return type(value)(*map(viewed, value))
    if isinstance(value, Ragged):
        return Ragged._trusted(view(value.ids), view(value.offsets))
    return value


ADDENDS = ("positions", "position_ids", "segments", "segment_ids", "mask")


def call_room(function, table, ids, *, grad=None, **given):
    """Call a function of the room, for what no framework hands on: a Ragged whose ids lie on the device."""
    given = {name: viewed(one) for name, one in given.items()}
    addends = [given.get(name) for name in ADDENDS]
    norm = _norm_of(given.get("norm"))
    options = given.get("scale", 1.0), norm, given.get("mode", "raise"), given.get("padding_idx")
    extra = {"out": given.get("out")} if grad is None else {"grad": viewed(grad)}
    embeds, other = _embeds.of(viewed(table), viewed(ids), *addends, *options, **extra)
    before = launch.launched
    result = function(embeds, other)
    assert launch.launched > before, "nothing was launched"
    return on_host(result)


def check(result, table, ids, norm=None, **given):
    """Hold a result against the oracle: to the bit without a norm, else within a tolerance."""
    given = {name: one for name, one in given.items() if one is not None}
    with np.errstate(all="ignore"):
        if norm is None:
            expected = reference.embed(table, ids, **given).astype(result.dtype)
            assert result.shape == expected.shape
            assert result.tobytes() == expected.tobytes()
            return
        expected = reference.embed(table, ids, norm=norm, exact=True, **given)
    tolerance = {"float64": 1e-13, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}[result.dtype.name]
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.astype("f8"), expected, rtol=tolerance, atol=20 * tolerance)
