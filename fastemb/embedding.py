"""The first layer of a model: rows by id, plus positions and segments, normalised: ``embed``, ``embed_backward``."""

from typing import Any, NamedTuple

import numpy as np

from . import _devices, _embeds, _frameworks
from ._checks import Array, IdMode
from ._words import type_name, way_to_norm
from .gradient import RowGrad


class LayerNorm(NamedTuple):
    """What `embed` needs to normalise rows: ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    Attributes
    ----------
    weight : numpy.ndarray, shape (D,)
        float64, float32, float16 or bfloat16.
    bias : numpy.ndarray, shape (D,), optional
        As `weight`.
    eps : float
        At least 0. The variance is the biased one.
    """

    weight: Array
    bias: Array | None = None
    eps: float = 1e-5


class RMSNorm(NamedTuple):
    """What `embed` needs to scale rows by their size: ``x / sqrt(mean(x * x) + eps) * weight``.

    Attributes
    ----------
    weight : numpy.ndarray, shape (D,)
        float64, float32, float16 or bfloat16.
    eps : float
        At least 0.
    """

    weight: Array
    eps: float = 1e-6


class EmbedGrad(NamedTuple):
    """The gradients of what `embed` was given; None for what it was not.

    Attributes
    ----------
    table : RowGrad
        Of the rows that were used.
    positions, segments : numpy.ndarray or None
        Of the shape of their tables.
    norm : tuple of numpy.ndarray and (numpy.ndarray or None), or None
        Of the weight and of the bias, both of shape (D,).
    """

    table: RowGrad
    positions: Array | None
    segments: Array | None
    norm: tuple[Array, Array | None] | None


def embed(
    table: Any, ids: Any, *, positions: Array | None = None, position_ids: Any = None, segments: Array | None = None,
    segment_ids: Any = None, mask: Any = None, scale: float = 1.0, norm: LayerNorm | RMSNorm | None = None,
    mode: IdMode = "raise", out: Array | None = None,
) -> Array:  # fmt: skip
    """Look up rows, add positions and segments, and normalise: the first layer of a transformer, in one pass.

    The result is ``norm(scale * table[ids] + positions[position_ids] + segments[segment_ids])``.

    Parameters
    ----------
    table : numpy.ndarray, shape (V, D), or QuantizedTable
        float64, float32, float16 or bfloat16; it may be read-only, a memory map or a view with its rows apart.
    ids : array_like of int, any shape, or Ragged
        Any integer dtype. Of a `Ragged` the flat ids count: they have the shape (N,).
    positions : numpy.ndarray, shape (P, D), optional
        Of any of the four dtypes, as all that follows.
    position_ids : array_like of int, optional
        Which positions to add: of a shape that broadcasts to that of `ids`. By default 0, 1, ... along the last
        axis of `ids`, or with a `mask` along the ids that are kept; in every row of a `Ragged` they start again.
    segments : numpy.ndarray, shape (S, D), optional
        Or token types.
    segment_ids : array_like of int, optional
        As `position_ids`; 0 by default.
    mask : array_like of bool or int, the shape of ids, optional
        Rows under a zero are zeros, and their ids, position ids and segment ids are not looked at. So padding on the
        left needs nothing more.
    scale : float
        The rows of the table are multiplied by it: by ``sqrt(D)`` in some models.
    norm : LayerNorm or RMSNorm, optional
        What is done to each row of the sum.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V, as in `numpy.take`.
    out : numpy.ndarray, shape ``ids.shape + (D,)``, optional
        Where the result goes, of any of the four dtypes. It must not overlap an input.

    Returns
    -------
    numpy.ndarray, shape ``ids.shape + (D,)``
        `out` where that is given, else a new array of the table's dtype (of a `QuantizedTable` float32).

    Raises
    ------
    IndexError
        If an id is out of range and `mode` is ``"raise"``, or a position id or segment id is, in any mode: the first
        such id, its position and the number of rows are named. A table without rows has no row for any id; nor has any
        table one for an integer that no dtype holds.
    TypeError
        If an array is none of the four dtypes, or is masked; if arrays are of two frameworks; if ids are not integers,
        or `mask` is neither bool nor integers; if `scale` is not a real number, or `norm` neither a `LayerNorm` nor an
        `RMSNorm` (a layer of torch is none: the error says how to give its weights).
    ValueError
        If shapes do not fit; if `positions` have fewer rows than the last axis of `ids` (than it keeps); if ids of
        positions or segments are given without these; if `mask` is given with a `Ragged`; if `mode` is not one of the
        three; if `norm` has an ``eps`` below 0; if `out` is read-only or overlaps an input.

    See Also
    --------
    embed_backward : its gradients.

    Notes
    -----
    All is computed in float32, with a float64 table in float64, and rounded to the result's dtype once. What has
    another dtype is first rounded to that type. The product with `scale`, where that is not 1, and each of the two
    sums are rounded by themselves, in this order. Normalisation adds up a row in an order that depends on D alone,
    takes the means of the columns and of their squares, and, where the mean is larger than the standard deviation, a
    second pass over the differences from the mean, with the correction of Chan, Golub and LeVeque ("Algorithms for
    computing the sample variance", 1983): so a large common offset costs no accuracy. Squares have to
    fit the type of the sums: numbers beyond 1e18 in float32 are normalised to zeros. LayerNorm is that of Ba, Kiros
    and Hinton (2016), RMSNorm that of Zhang and Sennrich (2019). The result does not depend on the number of
    threads, to the bit. Nothing is written before every argument has been checked, ids included.

    Copies: ids that are neither int32 nor int64, or not contiguous, are converted, and all ids unless `mode` is
    ``"raise"``. Of a table in the other byte order or with a strided last axis the rows in use are copied, each once;
    so are positions and segments of which one has another dtype than the table. An `out` that is in the other byte
    order or whose elements do not follow one another (with 1-D ids only its rows may be apart), or a float16 or
    bfloat16 `out` of a float64 table, is written through a temporary of its size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.embedding import LayerNorm, embed
    >>> table = np.array([[0, 1], [2, 3], [4, 5]], np.float32)
    >>> embed(table, [2, 0], positions=np.array([[0.5, 0], [0, 0.5]], np.float32), scale=10)
    array([[40.5, 50. ],
           [ 0. , 10.5]], dtype=float32)
    >>> embed(table, [[2, 0]], norm=LayerNorm(np.ones(2), eps=0.0))
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """
    if type(table) is np.ndarray:
        if mask is None and out is None:
            rows: Array | None = _devices.HERE["small_embeds"].small_embed(
                table, ids, positions, position_ids, segments, segment_ids, scale, _norm_of(norm), mode
            )
            if rows is not None:
                return rows
    elif framework := _frameworks.of(table):
        return framework.call(
            embed, table, ids, positions=positions, position_ids=position_ids, segments=segments,
            segment_ids=segment_ids, mask=mask, scale=scale, norm=norm, mode=mode, out=out,
        )  # fmt: skip
    addends = positions, position_ids, segments, segment_ids, mask
    embeds, target = _embeds.of(table, ids, *addends, scale, _norm_of(norm), mode, out=out)
    result: Array = _devices.embedding(embeds.table).embed(embeds, target)
    return result if out is None else out


def embed_backward(
    grad: Array, table: Any, ids: Any, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False,
    positions: Array | None = None, position_ids: Any = None, segments: Array | None = None, segment_ids: Any = None,
    mask: Any = None, scale: float = 1.0, norm: LayerNorm | RMSNorm | None = None, mode: IdMode = "raise",
) -> EmbedGrad:  # fmt: skip
    """Return the gradients of `embed` with respect to its tables and to the weights of its norm.

    Parameters
    ----------
    grad : numpy.ndarray, shape ``ids.shape + (D,)``
        The gradient of the result: float64, float32, float16 or bfloat16, of any layout.
    table, ids, positions, position_ids, segments, segment_ids, mask, scale, norm, mode
        What `embed` was given. The `grad` under a zero of `mask` is not looked at.
    padding_idx : int, optional
        A row of the table that gets no gradient, compared as it is with the rows that were read: -1 is none, so it
        leaves out nothing (torch's negative `padding_idx` counts from the end). Positions, segments and the norm get
        theirs. `embed` has no such option: it reads that row as it stands.
    scale_grad_by_freq : bool
        Divide the gradient of each row of the table by how often it was read.

    Returns
    -------
    EmbedGrad
        ``table``, a `RowGrad` whose ids have the dtype of `ids` (int64 where a row that `mode` chose does not fit
        it); ``positions`` and ``segments``, of the shape of their tables; ``norm``, ``(weight, bias)``. All numbers
        are float32, with a float64 table float64; a `grad` of another type is first rounded to that. What was not
        given is None.

    Raises
    ------
    IndexError
        As `embed`.
    TypeError
        As `embed`; if `grad` is no array of the four dtypes, `padding_idx` not an integer, or `scale_grad_by_freq` not
        a bool.
    ValueError
        As `embed`; if `grad` has another shape than its result.

    See Also
    --------
    row_grad : how rows are added.

    Notes
    -----
    Sums and the statistics of rows are computed again, not kept from `embed`. Gradients of rows are summed as
    `row_grad` does, and those of the table multiplied by `scale` then. With ``norm(x) = y * weight + bias`` and means
    taken over a row, the gradient of x is ``(g - mean(g) - y * mean(g * y)) / sqrt(variance + eps)`` where ``g`` is
    ``grad * weight``; RMSNorm has no ``mean(g)``. Where `mode` clips or wraps, the row that was read gets the gradient.

    The gradients of weight and bias are sums over all rows, cut every 256 rows: each piece is summed in order, and the
    sums of the pieces are added in float64, in order, and rounded once, as `row_grad` does. So no result depends on the
    number of threads, to the bit.

    With a `norm` the gradient of the sums, as large as `grad`, is made in between.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.embedding import embed_backward
    >>> table, positions = np.zeros((9, 2), np.float32), np.zeros((3, 2), np.float32)
    >>> grads = embed_backward(np.ones((2, 2, 2), np.float32), table, [[5, 1], [5, 5]], positions=positions, scale=10)
    >>> grads.table
    RowGrad(ids=array([1, 5]), rows=array([[10., 10.],
           [30., 30.]], dtype=float32))
    >>> grads.positions
    array([[2., 2.],
           [2., 2.],
           [0., 0.]], dtype=float32)
    """
    if type(table) is np.ndarray:
        if mask is None:
            small = _devices.HERE["small_embeds"].small_embed_backward(
                grad, table, ids, positions, position_ids, segments, segment_ids, scale, _norm_of(norm), mode,
                padding_idx, scale_grad_by_freq,
            )  # fmt: skip
            if small is not None:
                return EmbedGrad(RowGrad(*small[0]), *small[1:])
    elif framework := _frameworks.of(table):
        return framework.call(
            embed_backward, grad, table, ids, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq,
            positions=positions, position_ids=position_ids, segments=segments, segment_ids=segment_ids, mask=mask,
            scale=scale, norm=norm, mode=mode,
        )  # fmt: skip
    addends = positions, position_ids, segments, segment_ids, mask
    embeds, grad = _embeds.of(
        table, ids, *addends, scale, _norm_of(norm), mode, padding_idx, scale_grad_by_freq, grad=grad
    )
    rows, *others = _devices.embedding(embeds.table).embed_backward(embeds, grad)
    return EmbedGrad(RowGrad(*rows), *others)


def _norm_of(norm: Any) -> _embeds.Norm | None:
    """Return the parts of a norm, unchecked."""
    if norm is None:
        return None
    if isinstance(norm, LayerNorm):
        return _embeds.Norm(_embeds.LAYER, *norm)
    if isinstance(norm, RMSNorm):
        return _embeds.Norm(_embeds.RMS, norm.weight, None, norm.eps)
    raise TypeError(f"norm must be a fastemb.LayerNorm or RMSNorm, got {type_name(norm)}{way_to_norm(norm)}")
