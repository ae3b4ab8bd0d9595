"""Gradients of rows, and rows added in place: ``row_grad``, ``scatter_add``, ``RowGrad``."""

from typing import Any, NamedTuple

import numpy as np

from . import _checks, _devices, _frameworks
from ._checks import Array, IdMode
from .ragged import Ragged


class RowGrad(NamedTuple):
    """The gradient of a table, of which only some rows are not zero.

    Attributes
    ----------
    ids : numpy.ndarray, shape (U,)
        The rows that were used, each once, ascending.
    rows : numpy.ndarray, shape (U, D)
        Their gradients: float32, of a float64 gradient float64.

    See Also
    --------
    row_grad : makes it.
    scatter_add : adds it to a table.
    """

    ids: Array
    rows: Array


def row_grad(ids: Any, grad: Array, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> RowGrad:
    """Add up the gradients that each id was given: the backward of `gather`.

    Parameters
    ----------
    ids : array_like of int, any shape, or Ragged
        The ids that were looked up; none that counts is negative. Any integer dtype; an empty list counts as int64.
    grad : numpy.ndarray, shape ``ids.shape + (D,)``
        The gradient of the rows that were looked up; with a `Ragged`, ``(N, D)``. float64, float32, float16 or
        bfloat16, of either byte order; it may be read-only, a memory map or a view of any strides.
    padding_idx : int, optional
        The id that is left out, compared as it is: where it stands, `grad` is not looked at, and it gets no gradient.
        -1 is the id -1, not the last row (torch's negative `padding_idx` counts from the end); one that does not occur
        leaves out nothing.
    scale_grad_by_freq : bool
        Divide each row by how often its id occurs.

    Returns
    -------
    RowGrad
        ``ids``, shape (U,): the ids that occur, each once, ascending, of the dtype of `ids`.
        ``rows``, shape (U, D): the sums, float32 (of a float64 `grad` float64). Both are new arrays.

    Raises
    ------
    IndexError
        If an id, not that of `padding_idx`, is negative or beyond int64: the first such id and its position are named.
    TypeError
        If `ids` or `padding_idx` are not integers; if `grad` is no array of the four dtypes, or is masked; if
        `scale_grad_by_freq` is not a bool.
    ValueError
        If the shape of `grad` does not fit that of `ids`; if `ids` are lists of different lengths.

    See Also
    --------
    scatter_add : adds such rows to a table.

    Notes
    -----
    Positions are sorted by id, stably (radix sort), and each run of equal ids is one sum in ascending order of
    positions. A run is cut into pieces at every 256 positions from its own start; each piece is summed from its
    first row on, and the sums of the pieces are added in float64, in order, and rounded once to the accumulator's
    type. So the bits do not depend on the number of threads. float16 and bfloat16 are added in float32 and not
    rounded again; every operation is rounded by itself. `scale_grad_by_freq` is one division of the sum.

    Two gradients of one table merge by `row_grad` of their concatenation; so do those of the parts of a batch
    (up to the order of additions)::

        row_grad(np.concatenate([a.ids, b.ids]), np.concatenate([a.rows, b.rows]))

    Copies: ids that are neither int32 nor int64, or not contiguous, are converted. A `grad` in the other byte order,
    with a strided last axis, or whose axes of ids do not fold into one, is copied.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.gradient import row_grad
    >>> grad = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> row_grad([7, 2, 7], grad)
    RowGrad(ids=array([2, 7]), rows=array([[3., 4.],
           [6., 8.]], dtype=float32))
    >>> row_grad([7, 2, 7], grad, padding_idx=2, scale_grad_by_freq=True).rows
    array([[3., 4.]], dtype=float32)
    """
    if type(grad) is np.ndarray:
        small = _devices.HERE["gradient"].small_row_grad(ids, grad, padding_idx, scale_grad_by_freq)
        if small is not None:
            return RowGrad(*small)
    elif framework := _frameworks.of(grad):
        return framework.call(row_grad, ids, grad, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)
    ids = _frameworks.lists(ids, Ragged)
    given = ids.ids if isinstance(ids, Ragged) else _checks.as_ids(ids)
    source = _checks.as_float_table(grad, "grad")
    skip, by_count = _checks.as_padding(padding_idx), _checks.as_flag(scale_grad_by_freq, "scale_grad_by_freq")
    _checks.require_one_device(grad=source, ids=given)
    if source.ndim != given.ndim + 1 or source.shape[:-1] != given.shape:
        wanted = ", ".join([*map(str, given.shape), "D"]) + "," * (given.ndim == 0)
        raise ValueError(f"grad must have shape ({wanted}) for ids of shape {given.shape}, got {source.shape}")
    return RowGrad(*_devices.gradient(source).row_grad(given, source, skip, by_count))


def scatter_add(target: Array, ids: Any, rows: Array, *, alpha: float = 1.0, mode: IdMode = "raise") -> Array:
    """Add rows to rows of a table, in place: ``target[id] += alpha * (the sum of the id's rows)``.

    Parameters
    ----------
    target : numpy.ndarray, shape (V, D)
        float64, float32, float16 or bfloat16. It may be a memory map or a view with its rows apart; with more axes,
        ``(V, ...)``, it must be C-contiguous.
    ids : array_like of int, any shape, or Ragged
        The rows to add to, in any order, each any number of times. Any integer dtype.
    rows : numpy.ndarray, shape ``ids.shape + target.shape[1:]``
        What is added; with a `Ragged`, its flat ids count. Any of the four dtypes, not only that of `target`; it may
        be read-only, a memory map or a view of any strides.
    alpha : float
        The sums are multiplied by it: the negative rate of a step of gradient descent, say.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V, as in `numpy.take`.

    Returns
    -------
    numpy.ndarray
        `target` itself.

    Raises
    ------
    IndexError
        If an id is out of range and `mode` is ``"raise"``: the first such id, its position and V are named. A table
        without rows has no row for any id, in any mode; nor has any table one for an integer that no dtype holds.
    TypeError
        If `target` is no array of the four dtypes (a quantised table cannot be added to, nor an array of JAX), or
        `rows` is not; if either is masked, or they are of two frameworks; if `ids` are not integers; if `alpha` is not
        a real number.
    ValueError
        If `mode` is not one of the three; if the shapes do not fit; if `alpha` is beyond float64; if `target` is
        read-only, overlaps `ids` or `rows` or itself, or has more than two axes and is not C-contiguous.

    See Also
    --------
    row_grad : the sums by themselves.

    Notes
    -----
    The law is ``s = row_grad(ids, rows).rows``, then ``target[id] = round(target[id] + alpha * s)``, where the product
    and the sum are float64 for a float64 `target`, else float32, and the result is rounded to the dtype of `target`
    once. `alpha` and ``s`` are first rounded to that type: rows are summed in accumulators of their own type (float64
    rows in float64, others in float32), whatever `target` has. No product is fused with a sum, and the bits do not
    depend on the number of threads. Nothing is written before every argument has been checked, ids included.

    Copies: as `row_grad`. Where the rows of `target` do not each lie in one piece in the machine's byte order, or only
    one of `rows` and `target` is float64, the sums are made first; rows that change are copied and written back.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.gradient import scatter_add
    >>> target = np.zeros((3, 2), np.float32)
    >>> scatter_add(target, [2, 0, 2], np.array([[1, 2], [3, 4], [5, 6]], np.float32), alpha=0.5)
    array([[1.5, 2. ],
           [0. , 0. ],
           [3. , 4. ]], dtype=float32)
    """
    if type(target) is np.ndarray:
        if _devices.HERE["gradient"].small_scatter_add(target, ids, rows, alpha, mode):
            return target
    elif framework := _frameworks.of(target):
        return framework.call(scatter_add, target, ids, rows, alpha=alpha, mode=mode)
    if _checks.is_quantized(target):
        raise TypeError("target is a quantised table, which cannot be added to; give target.dequantize()")
    table = _checks.as_float_table(target, "target")
    ids = _frameworks.lists(ids, Ragged)
    given = ids.ids if isinstance(ids, Ragged) else _checks.as_ids(ids)
    source = _checks.as_float_table(rows, "rows")
    factor = _checks.as_real(alpha, "alpha")
    _checks.require_one_device(target=table, ids=given, rows=source)
    _checks.require_word(mode, _checks.ID_MODES, "mode")
    require_target(table, "target")
    shape = given.shape + table.shape[1:]
    if source.shape != shape:
        both = f"for ids of shape {given.shape} and a target of {table.shape}"
        raise ValueError(f"rows must have shape {shape} {both}, got {source.shape}")
    for name, array in (("ids", given), ("rows", source)):
        if _checks.may_share(table, array):
            raise ValueError(f"target overlaps {name} in memory")
    _devices.gradient(table).scatter_add(table, given, source, factor, mode)
    return target


def require_target(table: Any, name: str) -> None:
    """Refuse a table whose rows cannot be changed in place."""
    _checks.require_axis(table, name)
    if not _checks.is_writeable(table):
        raise ValueError(f"{name} is read-only")
    if _checks.is_contiguous(table):
        return
    layout = f"shape {table.shape} and strides {table.strides}"
    if table.ndim > 2:
        raise ValueError(f"{name} of more than two axes must be C-contiguous, got {layout}")
    if _checks.overlaps_itself(table):
        raise ValueError(f"{name} overlaps itself in memory: {layout}")
