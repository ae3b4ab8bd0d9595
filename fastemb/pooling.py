"""One vector for each text: ``pool`` over rows, ``embedding_bag`` over ids, ``normalize``, and their gradients."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _bags, _checks, _devices, _frameworks
from ._checks import PoolMode
from .gradient import RowGrad

_Array = npt.NDArray[Any]


class PoolGrad(NamedTuple):
    """The gradients of `pool`.

    Attributes
    ----------
    x : numpy.ndarray, the shape and dtype of x
        Zeros in rows that were not kept.
    weights : numpy.ndarray or None
        Of the shape of the weights; None where there were none.
    """

    x: Any
    weights: Any


class BagGrad(NamedTuple):
    """The gradients of `embedding_bag`.

    Attributes
    ----------
    table : RowGrad
        Of the rows that were used.
    weights : numpy.ndarray or None
        Of the shape of the weights; None where there were none.
    """

    table: RowGrad
    weights: _Array | None


def embedding_bag(
    table: Any, ids: Any, offsets: Any = None, *, mask: Any = None, mode: PoolMode = "mean", weights: Any = None,
    padding_idx: int | None = None, normalize: bool = False, out: _Array | None = None,
) -> _Array:  # fmt: skip
    """Pool rows of a table, bag by bag, without making the rows in between.

    Parameters
    ----------
    table : numpy.ndarray or QuantizedTable, shape (V, D)
        float64, float32, float16 or bfloat16; it may be read-only, a memory map or a view with its rows apart.
    ids : array_like of int, shape (N,) or (S, T), or Ragged
        Any integer dtype. Of 2-D ids each row is a bag. A `Ragged` brings its own offsets.
    offsets : array_like of int, shape (S+1,), optional
        Bag ``s`` holds ``ids[offsets[s]:offsets[s+1]]``. Needed with 1-D ids, and only there.
    mask : array_like of bool or int, shape (S, T), optional
        With 2-D ids: an id under a zero is no part of its bag, and is neither checked nor read.
    mode : str
        ``"sum"``, ``"mean"``, ``"max"``, ``"cls"`` (the first), ``"last"``, ``"mean_sqrt_len"`` (the sum over the root
        of the number), ``"weighted_mean"`` (weights 1, 2, 3, … by the place in the bag, counted from the first that is
        kept; what is left out behind it counts on) or ``"mean_max"`` (both, the mean first, 2 D columns).
    weights : array_like of real numbers, the shape of ids, optional
        One for each id, in modes ``"sum"`` (Σ w x) and ``"mean"`` (Σ w x / Σ w, zeros where Σ w is 0).
    padding_idx : int, optional
        The id that is no part of any bag, compared as it is: not checked, not read, not counted, in every mode. So -1
        or -100 leaves out ids of that value; -1 is not the last row (torch's negative `padding_idx` counts from the
        end).
    normalize : bool
        Scale every result row to length one; a row of zeros stays.
    out : numpy.ndarray, shape (S, D), optional
        Where the result goes, of any of the four float dtypes. It must not overlap an input.

    Returns
    -------
    numpy.ndarray, shape (S, D)
        `out` where that is given, else a new array of the table's dtype (float32 of a quantised table). An empty
        bag gives zeros in every mode.

    Raises
    ------
    IndexError
        If an id that counts is not in ``[0, V)``: the first such id, its position and V are named.
    TypeError
        If `table` or `out` is not an array of these dtypes, or is masked, or they are of two frameworks; if `ids`,
        `offsets` or `padding_idx` are not integers, `mask` neither bool nor integers, `weights` not real numbers,
        `normalize` not a bool.
    ValueError
        If `mode` is unknown or has no use for `weights`; if the shapes do not fit; if the offsets do not ascend
        from 0 to N; if offsets or a mask are given with a `Ragged`; if `out` has the wrong shape, is read-only or
        overlaps an input.

    See Also
    --------
    pool : the same over rows that are already there.

    Notes
    -----
    float64 tables are summed in float64, others in float32. Rows are added in ascending order, one sum for each column,
    cut every 256 kept rows from the bag's own start; the sums of the pieces are added in float64, in order, and
    rounded once to the type of the sums. Then they are divided, then scaled, and rounded to the result's dtype
    once: so the result does not depend on the number of threads or on where the table lies, to the bit, and a
    float32 `out` of a float16 table holds the sums unrounded. Weights are rounded to the type of the sums, their
    own sum is found in float64. The length of a row is found in float64. A maximum over a NaN is NaN. Nothing is
    written before every argument has been checked, ids included.

    Copies: ids that are neither int32 nor int64, or not contiguous, are converted; with a mask or padding the ids
    that are left are copied. Of a table in the other byte order or with a strided last axis (Fortran order), the
    rows that are needed are copied, each once.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import embedding_bag
    >>> table = np.array([[0, 1], [2, 3], [4, 5]], np.float32)
    >>> embedding_bag(table, [0, 2, 1], [0, 2, 2, 3])
    array([[2., 3.],
           [0., 0.],
           [2., 3.]], dtype=float32)
    >>> embedding_bag(table, [[0, 1], [1, 2]], mode="max", mask=[[1, 1], [1, 0]])
    array([[2., 3.],
           [2., 3.]], dtype=float32)
    """
    if type(table) is np.ndarray:
        if weights is None and padding_idx is None and normalize is False and out is None:
            rows: _Array | None = _devices.HERE["small_pools"].small_bags(table, ids, offsets, mask, mode)
            if rows is not None:
                return rows
    elif framework := _frameworks.of(table):
        return framework.call(
            embedding_bag, table, ids, offsets, mask=mask, mode=mode, weights=weights, padding_idx=padding_idx,
            normalize=normalize, out=out,
        )  # fmt: skip
    bags, target = _bags.of_ids(table, ids, offsets, mask, mode, weights, padding_idx, normalize, out=out)
    result: _Array = _devices.pooling(bags.rows).reduce(bags, target)
    return result if out is None else out


def pool(
    x: _Array, mask: Any = None, *, lengths: Any = None, offsets: Any = None, mode: PoolMode = "mean",
    weights: Any = None, normalize: bool = False, out: _Array | None = None,
) -> _Array:  # fmt: skip
    """Pool rows: one vector for each text from one for each token.

    Parameters
    ----------
    x : numpy.ndarray, shape (B, T, D) or (N, D)
        float64, float32, float16 or bfloat16. (N, D) needs `offsets`.
    mask : array_like of bool or int, shape (B, T), optional
        Nonzero: the row is kept (Hugging Face's ``attention_mask``). Other rows are not read.
    lengths : array_like of int, shape (B,), optional
        The first ``lengths[b]`` rows are kept. At most one of `mask`, `lengths` and `offsets` may be given;
        none of them keeps all T.
    offsets : array_like of int, shape (S+1,), optional
        With x (N, D): row ``s`` of the result pools ``x[offsets[s]:offsets[s+1]]``.
    mode, normalize
        As in `embedding_bag`. ``"cls"`` and ``"last"`` mean the first and the last row that is kept.
    weights : array_like of real numbers, shape (B, T) or (N,), optional
        One for each row, in modes ``"sum"`` and ``"mean"``.
    out : numpy.ndarray, shape (B, D) or (S, D), optional
        Where the result goes, of any of the four float dtypes. It must not overlap an input.

    Returns
    -------
    numpy.ndarray, shape (B, D) or (S, D); 2 D columns in mode ``"mean_max"``
        `out` where that is given, else a new array of the dtype of `x`. Nothing kept gives zeros in every mode.

    Raises
    ------
    TypeError
        As in `embedding_bag`, of `x` and `lengths` too.
    ValueError
        As in `embedding_bag`; if more than one of `mask`, `lengths` and `offsets` is given; if a length is not from 0
        to T.

    Notes
    -----
    The same kernel as `embedding_bag`, so the same rules for sums, rounding and NaN; the padded and the ragged form
    of the same rows give the same bits. An `x` in the other byte order or with a strided last axis is copied.
    sentence-transformers' ``Pooling`` computes the same in its six modes, but of a text of which nothing is kept: there
    ``cls`` gives its first row and ``max`` −inf.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import pool
    >>> x = np.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], np.float32)
    >>> pool(x, mask=[[1, 1], [1, 0]])
    array([[1., 2.],
           [4., 5.]], dtype=float32)
    >>> pool(x.reshape(4, 2), offsets=[0, 3, 4], mode="last")
    array([[4., 5.],
           [6., 7.]], dtype=float32)
    """
    if type(x) is np.ndarray:
        if lengths is None and offsets is None and weights is None and normalize is False and out is None:
            rows: _Array | None = _devices.HERE["small_pools"].small_pool(x, mask, mode)
            if rows is not None:
                return rows
    elif framework := _frameworks.of(x):
        return framework.call(
            pool, x, mask, lengths=lengths, offsets=offsets, mode=mode, weights=weights, normalize=normalize, out=out
        )
    bags, target = _bags.of_rows(x, mask, lengths, offsets, mode, weights, normalize, out=out)
    result: _Array = _devices.pooling(bags.rows).reduce(bags, target)
    return result if out is None else out


def normalize(x: _Array, *, out: _Array | None = None) -> _Array:
    """Scale rows to length one.

    Parameters
    ----------
    x : numpy.ndarray, shape (..., D)
        float64, float32, float16 or bfloat16.
    out : numpy.ndarray, the shape of x, optional
        Where the result goes, of any of the four float dtypes; it may be `x` itself.

    Returns
    -------
    numpy.ndarray, the shape and dtype of x
        `out` where that is given, else a new array. Rows of zeros stay zeros.

    Raises
    ------
    TypeError
        If `x` or `out` is not an array of these dtypes, or is masked, or they are of two frameworks.
    ValueError
        If `x` has no axis; if `out` has the wrong shape, is read-only, or overlaps `x` without being it.

    Notes
    -----
    The length is found in float64, in an order that depends on D alone; a number is multiplied by its inverse in
    float64 and rounded to float32 (of float64: not at all), then to the result's dtype. An array in the other byte
    order, or whose rows are not in one piece or not at one distance, is copied.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import normalize
    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if type(x) is np.ndarray:
        if out is None:
            rows: _Array | None = _devices.HERE["small_pools"].small_normalize(x)
            if rows is not None:
                return rows
    elif framework := _frameworks.of(x):
        return framework.call(normalize, x, out=out)
    source = _checks.as_float_table(x, "x")
    if out is not None:
        _checks.require_out(out)
        _checks.require_one_device(x=source, out=out)
    _checks.require_axis(source, "x")
    target = out
    if out is not None:
        inputs = {} if _checks.same_memory(source, out) else {"x": source}
        target = _checks.check_out(out, source.shape, **inputs)
    result: _Array = _devices.pooling(source).normalize(source, target)
    return result if out is None else out


def pool_backward(
    grad: _Array, x: _Array, mask: Any = None, *, lengths: Any = None, offsets: Any = None, mode: PoolMode = "mean",
    weights: Any = None, normalize: bool = False,
) -> PoolGrad:  # fmt: skip
    """Return the gradients of `pool`.

    Parameters
    ----------
    grad : numpy.ndarray, the shape of the result of `pool`
        Of any of the four float dtypes.
    x, mask, lengths, offsets, mode, weights, normalize
        As they were given to `pool`.

    Returns
    -------
    PoolGrad
        ``x``: the shape and dtype of `x`, zeros in rows that were not kept. ``weights``: the shape of `weights`,
        float32 (float64 for a float64 `x`), or None where there were none.

    Raises
    ------
    TypeError
        As in `pool`; if `grad` is no array of the four dtypes.
    ValueError
        As in `pool`; if `grad` has another shape than its result.

    Notes
    -----
    Computed in float32 (float64 for float64) and rounded once. The gradient of a maximum goes to the first row that
    holds it; a vector of zeros that was normalised has none. Needs one more array of the shape of `grad`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import pool_backward
    >>> x = np.array([[[1.0, 5.0], [2.0, 3.0]]])
    >>> pool_backward(np.ones((1, 2)), x, mode="max").x
    array([[[0., 1.],
            [1., 0.]]])
    """
    if type(x) is np.ndarray:
        if lengths is None and offsets is None and weights is None and normalize is False:
            rows = _devices.HERE["small_pools"].small_pool_backward(grad, x, mask, mode)
            if rows is not None:
                return PoolGrad(rows, None)
    elif framework := _frameworks.of(x):
        return framework.call(
            pool_backward, grad, x, mask, lengths=lengths, offsets=offsets, mode=mode, weights=weights,
            normalize=normalize,
        )  # fmt: skip
    bags, grad = _bags.of_rows(x, mask, lengths, offsets, mode, weights, normalize, grad=grad)
    return PoolGrad(*_devices.pooling(bags.rows).reduce_backward(bags, grad))


def embedding_bag_backward(
    grad: _Array, table: Any, ids: Any, offsets: Any = None, *, mask: Any = None, mode: PoolMode = "mean",
    weights: Any = None, padding_idx: int | None = None, scale_grad_by_freq: bool = False, normalize: bool = False,
) -> BagGrad:  # fmt: skip
    """Return the gradients of `embedding_bag`.

    Parameters
    ----------
    grad : numpy.ndarray, the shape of the result of `embedding_bag`
        Of any of the four float dtypes.
    table, ids, offsets, mask, mode, weights, padding_idx, normalize
        As they were given to `embedding_bag`. Ids of `padding_idx`, compared as it is (torch's negative one counts from
        the end), get no gradient.
    scale_grad_by_freq : bool
        Divide the gradient of each row of the table by how often its id is kept in all bags together, in any mode; in
        ``"cls"`` and ``"last"`` one id of a bag counts, the one whose row is taken.

    Returns
    -------
    BagGrad
        ``table``: a `RowGrad`, the unique ids ascending and the sums of their rows, without ids that were masked or
        padding. ``weights``: the shape of `weights`, or None where there were none. Both float32 (float64 for a
        float64 table).

    Raises
    ------
    IndexError
        As in `embedding_bag`.
    TypeError
        As in `embedding_bag`; if `grad` is no array of the four dtypes, or `scale_grad_by_freq` not a bool.
    ValueError
        As in `embedding_bag`; if `grad` has another shape than its result.

    Notes
    -----
    As `pool_backward`, then `row_grad`: the same bits for any number of threads. The rows in between are made
    only for maxima and with weights, where they differ from id to id.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.pooling import embedding_bag_backward
    >>> table = np.zeros((10, 2), np.float32)
    >>> embedding_bag_backward(np.ones((1, 2), np.float32), table, [[7, 3, 7, 7]]).table
    RowGrad(ids=array([3, 7]), rows=array([[0.25, 0.25],
           [0.75, 0.75]], dtype=float32))
    """
    if type(table) is np.ndarray:
        if mask is None and weights is None and normalize is False:
            small = _devices.HERE["small_bag_grads"].small_bags_backward(
                grad, table, ids, offsets, mode, padding_idx, scale_grad_by_freq
            )
            if small is not None:
                return BagGrad(RowGrad(*small), None)
    elif framework := _frameworks.of(table):
        return framework.call(
            embedding_bag_backward, grad, table, ids, offsets, mask=mask, mode=mode, weights=weights,
            padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq, normalize=normalize,
        )  # fmt: skip
    given = offsets, mask, mode, weights, padding_idx, normalize, scale_grad_by_freq
    bags, grad = _bags.of_ids(table, ids, *given, grad=grad)
    rows, by_weight = _devices.pooling(bags.rows).reduce_backward(bags, grad)
    return BagGrad(RowGrad(*rows), by_weight)
