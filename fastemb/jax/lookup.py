"""Rows of a table by id: ``gather``."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import _checks
from .._checks import IdMode
from ..ragged import Ragged
from . import _arrays
from ._calls import GATHER, Call, Operands, batched, call, in_a_loop

_MODES = {"raise": 0, "clip": 1, "wrap": 2}


class _Asked(NamedTuple):
    """What is known when a program is traced."""

    mode: str
    shape: tuple[int, ...]  # of the table
    dtype: str


def gather(table: Any, ids: Any, *, mode: IdMode = "raise") -> jax.Array:
    """Look up rows of a table in a program of JAX, as `fastemb.gather`: a bad id is an error.

    Parameters
    ----------
    table : jax.Array or numpy.ndarray, shape (V, ...)
        Of any dtype whose elements are whole bytes.
    ids : array_like of int, any shape
        Any integer dtype of JAX.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V.

    Returns
    -------
    jax.Array, shape ``ids.shape + table.shape[1:]``
        Of the table's dtype, on the CPU.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs: ``OUT_OF_RANGE``, with the words of `fastemb.gather`, if an id is out of range and `mode`
        is ``"raise"``. It may come as late as when the result is waited for, and does not come where no result is used.
    TypeError
        If `table` is no array, or `ids` are not integers; if an array lies on a GPU; in a gradient, if `table` is none
        of float64, float32, float16 and bfloat16.
    ValueError
        If `mode` is not one of the three; if `table` has no axis; if `ids`, as numbers of NumPy or Python, do not fit
        the 32 bits to which JAX cuts them.

    See Also
    --------
    fastemb.gather : the same for arrays with values, also of quantised tables.
    row_grad : the gradient of a table, its rows in use alone.

    Notes
    -----
    The gradient is an array of the table's shape and dtype: sums as `fastemb.row_grad` makes them, in float32 (of
    float64 in float64), each rounded once, and zeros elsewhere. Of it there are gradients again, of any order.
    Forward-mode differentiation (`jax.jvp`) is a TypeError of JAX's. `jax.vmap` over ids is one call; over tables it
    is a loop. Nothing is copied in between, and the bits do not depend on the number of threads.

    The lookup of JAX itself is as fast; what this one is for is the error (JAX's clamps or gives NaN).

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from fastemb.jax import gather
    >>> table = jnp.arange(8.0).reshape(4, 2)
    >>> jax.jit(gather)(table, jnp.array([3, 0]))
    Array([[6., 7.],
           [0., 1.]], dtype=float32)
    >>> jax.grad(lambda table: gather(table, jnp.array([3, 3])).sum())(table)[3]
    Array([2., 2.], dtype=float32)
    """
    table, ids = _arrays.as_array(table, "table"), _given_ids(ids)
    if table.dtype.itemsize * table.size and np.dtype(table.dtype).name.endswith(("int4", "int2", "e2m1fn")):
        raise TypeError(f"table must have elements of whole bytes, got {table.dtype}")
    _checks.as_ids(_arrays.stand_in(ids))
    _checks.require_word(mode, _checks.ID_MODES, "mode")
    _checks.require_axis(table, "table")
    result: jax.Array = _gather(
        _Asked(mode, table.shape, str(table.dtype)), **_arrays.alike({"table": table, "ids": ids})
    )
    return result


def _given_ids(ids: Any) -> jax.Array:
    if isinstance(ids, Ragged):
        raise TypeError("gather takes ids of one shape; give the flat ids of a Ragged as ragged.ids")
    return _arrays.as_list(ids, "ids")


@partial(jax.jit, static_argnums=0)
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gather(asked: _Asked, table: jax.Array, ids: jax.Array) -> jax.Array:
    def run(operands: Operands) -> jax.Array:
        table, ids = operands["table"], operands["ids"]
        row = math.prod(table.shape[1:]) * table.dtype.itemsize
        one = Call("gather", {"mode": asked.mode}, GATHER, (row, _MODES[asked.mode]))
        shape = jax.ShapeDtypeStruct(ids.shape + table.shape[1:], table.dtype)
        return call(one, operands, {"out": shape})["out"]

    result: jax.Array = batched(run, _fold, {"table": table, "ids": ids})
    return result


def _fold(size: int, flags: dict[str, bool], operands: Operands) -> Any:
    """Of one table, ids of a batch are ids like others."""
    return None if flags["table"] else (operands, lambda rows: rows)


def _gather_forward(asked: _Asked, table: jax.Array, ids: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _gather(asked, table, ids), ids


def _gather_backward(asked: _Asked, ids: jax.Array, grad: Any) -> tuple[Any, None]:
    if grad.dtype == jax.dtypes.float0:  # of integers
        return None, None
    if not _checks.is_float(np.dtype(asked.dtype)):
        raise TypeError(f"gather has gradients of float64, float32, float16 and bfloat16, got a table of {asked.dtype}")
    return _table_grad(asked, ids, grad), None


# The gradient is linear in what comes in, so that its own gradient is a gather: any order is there.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _table_grad(asked: _Asked, ids: jax.Array, grad: jax.Array) -> jax.Array:
    def run(operands: Operands) -> jax.Array:
        results = {"table": jax.ShapeDtypeStruct(asked.shape, asked.dtype)}
        return call(Call("gather_backward", {"mode": asked.mode}), operands, results)["table"]

    result: jax.Array = batched(run, in_a_loop, {"ids": ids, "grad": grad})
    return result


def _table_grad_forward(asked: _Asked, ids: jax.Array, grad: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _table_grad(asked, ids, grad), ids


def _table_grad_backward(asked: _Asked, ids: jax.Array, grad: jax.Array) -> tuple[None, jax.Array]:
    return None, _gather(asked, grad, ids)


_table_grad.defvjp(_table_grad_forward, _table_grad_backward)
_gather.__wrapped__.defvjp(_gather_forward, _gather_backward)
