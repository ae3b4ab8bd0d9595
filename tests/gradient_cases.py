"""What tests of row_grad and of scatter_add share: numbers, runs, and their oracles."""

import numpy as np
from arrays import DTYPES, NUMPY, lay, same_bits

import fastemb.reference as reference
from fastemb.gradient import RowGrad, row_grad, scatter_add

FLOATS = [np.dtype(dtype) for dtype in DTYPES]
#: How many rows of one id: around the places where sums are cut.
LENGTHS = [1, 2, 255, 256, 257, 511, 512, 513, 768, 10_000]


def make(shape, dtype, layout="plain", seed=0):
    """Return random numbers in a layout."""
    return lay(np.random.default_rng(seed).standard_normal(shape).astype(dtype), layout)


def make_runs(lengths, seed=0):
    """Return ids of which the k-th occurs ``lengths[k]`` times, in any order."""
    ids = np.repeat(np.arange(len(lengths)), lengths)
    np.random.default_rng(seed).shuffle(ids)
    return ids


def check_row_grad(ids, grad, framework=NUMPY, **options):
    """Hold row_grad against its oracle; return what it gives."""
    ids, grad = framework.held((ids, grad))
    before = grad.tobytes()
    found = row_grad(*framework.make((ids, grad)), **options)
    assert isinstance(found, RowGrad)
    found, expected = framework.back(found), reference.row_grad(ids, grad, **options)
    assert same_bits(found.ids, expected[0])
    assert same_bits(found.rows, expected[1])
    assert grad.tobytes() == before
    return found


def check_scatter_add(target, ids, rows, framework=NUMPY, **options):
    """Hold scatter_add against its oracle, and all the memory that the target is a part of."""
    target, ids, rows = framework.held((target, ids, rows))
    whole = target if target.base is None else target.base
    expected, given_rows = reference.scatter_add(target, ids, rows, **options), rows.tobytes()
    fence, made = whole.copy(), framework.make((target, ids, rows))
    assert scatter_add(*made, **options) is made[0]
    assert same_bits(framework.back(made[0]), expected)
    assert rows.tobytes() == given_rows
    target[...] = 0
    np.ndarray(target.shape, target.dtype, fence, _offset(target, whole), target.strides)[...] = 0
    assert fence.tobytes() == whole.tobytes()  # nothing beside the target was written


def _offset(view, whole):
    return view.ctypes.data - whole.ctypes.data
