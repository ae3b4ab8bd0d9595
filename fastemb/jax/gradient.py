"""The gradient of a table, its rows in use alone: ``row_grad``."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import _checks
from ..gradient import RowGrad
from . import _arrays
from ._calls import Call, Operands, batched, call, in_a_loop


class _Asked(NamedTuple):
    """What is known when a program is traced."""

    size: int
    padding_idx: int | None
    scale_grad_by_freq: bool


def row_grad(
    ids: Any, grad: Any, *, size: int, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> RowGrad:
    """Return the gradient of a table that rows were gathered from, a row for each id in use: as `fastemb.row_grad`.

    Parameters
    ----------
    ids : array_like of int, any shape
        The ids of the rows, which were gathered.
    grad : jax.Array or numpy.ndarray, shape ``ids.shape + (D,)``
        The gradient of these rows: float64, float32, float16 or bfloat16.
    size : int
        How many rows the result has. Shapes of JAX are known when a program is traced, so the number of ids that differ
        cannot be one: ``ids.size`` is always enough.
    padding_idx : int, optional
        An id that gets no gradient, compared as it is.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often its id occurs.

    Returns
    -------
    fastemb.RowGrad
        ``ids``, shape (size,), of the dtype of `ids` or int32 where that has 8 or 16 bits: those in use, ascending, and
        behind them the largest number of the dtype, which no table has: ``table.at[ids].add(rows)`` drops it.
        ``rows``, shape (size, D): sums in float32, of float64 in float64, and zeros behind them.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs: ``INVALID_ARGUMENT`` if more ids differ than `size` says.
    TypeError
        When it is traced: if `ids` are not integers, or `grad` is none of the four dtypes; if an array lies on a GPU.
    ValueError
        When it is traced: if the shapes do not fit, or `size` is negative.

    See Also
    --------
    gather : its own gradient is as large as the table.

    Notes
    -----
    A step that reads and writes the rows in use alone, whatever the size of the table, takes the gradient of the rows,
    not of the table::

        rows = fastemb.jax.gather(table, ids)
        loss, grad = jax.value_and_grad(loss_of_rows)(rows)
        found = fastemb.jax.row_grad(ids, grad, size=ids.size)
        table = table.at[found.ids].add(-rate * found.rows)  # in place, where the table is donated

    The bits do not depend on the number of threads. There is no gradient of it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from fastemb.jax import row_grad
    >>> found = row_grad(jnp.array([7, 3, 7]), jnp.ones((3, 2)), size=2)
    >>> found.ids
    Array([3, 7], dtype=int32)
    >>> found.rows
    Array([[1., 1.],
           [2., 2.]], dtype=float32)
    """
    given = {"ids": _arrays.as_list(ids, "ids"), "grad": _arrays.as_array(grad, "grad")}
    _checks.as_ids(_arrays.stand_in(given["ids"]))
    _checks.as_float_table(_arrays.stand_in(given["grad"]), "grad")
    size, padding = _checks.as_size(size, "size"), _checks.as_padding(padding_idx)
    asked = _Asked(size, padding, _checks.as_flag(scale_grad_by_freq, "scale_grad_by_freq"))
    shape = given["ids"].shape
    if given["grad"].shape[:-1] != shape or given["grad"].ndim != len(shape) + 1:
        raise ValueError(f"grad must have shape {shape} + (D,), a row for each id, got {given['grad'].shape}")
    found = _row_grad(asked, given)
    return RowGrad(found["ids"], found["rows"])


@partial(jax.jit, static_argnums=0)
def _row_grad(asked: _Asked, given: Operands) -> dict[str, jax.Array]:
    def run(operands: Operands) -> dict[str, jax.Array]:
        ids, grad = operands["ids"], operands["grad"]
        dtype = np.float64 if grad.dtype == np.float64 else np.float32
        wide = ids.dtype if ids.dtype.itemsize >= 4 else np.dtype(np.int32)  # tables may have rows 127 and 65535
        results = {
            "ids": jax.ShapeDtypeStruct((asked.size,), wide),
            "rows": jax.ShapeDtypeStruct((asked.size, grad.shape[-1]), dtype),
        }
        options = {"padding_idx": asked.padding_idx, "scale_grad_by_freq": asked.scale_grad_by_freq}
        return call(Call("row_grad", options), operands, results)

    result: dict[str, jax.Array] = batched(run, in_a_loop, given)
    return result
