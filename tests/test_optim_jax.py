"""Arrays of JAX cannot be written to: their tables are refused, their gradients are not."""

import numpy as np
import pytest
from arrays import same_bits

from fastemb.gradient import RowGrad
from fastemb.optim import SGD

jnp = pytest.importorskip("jax.numpy", reason="the package jax is not installed")


def test_tables_of_jax_are_refused():
    table = jnp.zeros((3, 4))
    rows = jnp.ones((1, 4))
    for call in (lambda: SGD().step(table, RowGrad([0], rows)), lambda: SGD().step_from(table, [0], rows)):
        with pytest.raises(TypeError, match="is a JAX array, which cannot be written to"):
            call()
    assert not np.asarray(table).any()


def test_ids_of_jax_are_read():
    a, b = np.zeros((2, 3, 4), np.float32)
    SGD(0.1).step_from(a, jnp.array([2, 0]), np.ones((2, 4), "f4"))
    SGD(0.1).step_from(b, np.array([2, 0]), np.ones((2, 4), "f4"))
    assert same_bits(a, b)
