"""Where a token stands: ``sinusoidal``, ``alibi``, ``rope`` and ``rope_frequencies``."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks, _devices, _frameworks, _words

_Array = npt.NDArray[Any]


def sinusoidal(length: int, dim: int) -> npt.NDArray[np.float32]:
    """Return the table of sines and cosines that tells a transformer where each token stands.

    Parameters
    ----------
    length : int
        Number of positions, from 0 on.
    dim : int
        Number of columns; of an odd number the last column is a sine without its cosine.

    Returns
    -------
    numpy.ndarray of float32, shape (length, dim)
        ``[p, 2i] = sin(p / 10000**(2i/dim))`` and ``[p, 2i + 1] = cos(p / 10000**(2i/dim))``.

    Raises
    ------
    TypeError
        If `length` or `dim` is not an integer.
    ValueError
        If one of them is negative, or the table larger than an array can be.

    Notes
    -----
    Computed in float64 and rounded once. The table is that of Vaswani et al., "Attention is all you need" (2017),
    section 3.5. Some implementations put all sines before all cosines: that is ``table[:, [*range(0, dim, 2),
    *range(1, dim, 2)]]``, where they do not space the frequencies differently as well.

    Examples
    --------
    >>> from fastemb.position import sinusoidal
    >>> sinusoidal(2, 4)
    array([[0.        , 1.        , 0.        , 1.        ],
           [0.84147096, 0.5403023 , 0.00999983, 0.99995   ]], dtype=float32)
    """
    length, dim = _checks.as_size(length, "length"), _checks.as_size(dim, "dim")
    table: npt.NDArray[np.float32] = _devices.position(None).sinusoidal(length, dim)
    return table


def alibi(heads: int, length: int) -> npt.NDArray[np.float32]:
    """Return the biases of attention with linear biases: the farther two tokens are apart, the more is taken off.

    Parameters
    ----------
    heads : int
        Number of attention heads.
    length : int
        Number of positions.

    Returns
    -------
    numpy.ndarray of float32, shape (heads, length, length)
        ``[h, i, j] = -slope[h] * abs(i - j)``. For causal attention, where only ``j <= i`` counts, that is the
        paper's bias.

    Raises
    ------
    TypeError
        If `heads` or `length` is not an integer.
    ValueError
        If one of them is negative, or the table larger than an array can be.

    Notes
    -----
    The slopes are those of Press et al., "Train short, test long" (2022), and of its code: of a power of two of heads
    ``2**(-8 (h + 1) / heads)``; of other numbers those of the next lower power of two, and then every second one of
    the power of two above it. Computed in float64 and rounded once.

    Examples
    --------
    >>> from fastemb.position import alibi
    >>> alibi(8, 3)[0]
    array([[ 0. , -0.5, -1. ],
           [-0.5,  0. , -0.5],
           [-1. , -0.5,  0. ]], dtype=float32)
    """
    heads, length = _checks.as_size(heads, "heads"), _checks.as_size(length, "length")
    table: npt.NDArray[np.float32] = _devices.position(None).alibi(heads, length)
    return table


def rope_frequencies(
    dim: int, *, base: float = 10000.0, scaling: Mapping[str, Any] | None = None, length: int | None = None
) -> tuple[npt.NDArray[np.float64], float]:
    """Return what `rope` needs to turn columns as a model does whose configuration has a ``rope_scaling``.

    Parameters
    ----------
    dim : int
        Columns of a head, even.
    base : float
        Without scaling pair ``i`` turns by ``base**(-2i/dim)`` from one position to the next: ``rope_theta``.
    scaling : mapping, optional
        Hugging Face's ``rope_scaling`` (or ``rope_parameters``, whose ``rope_theta`` then counts as `base`), with a
        ``rope_type`` or ``type`` of ``default``, ``linear``, ``dynamic``, ``yarn``, ``longrope`` or ``llama3``, and
        what that rule needs: ``factor``, ``original_max_position_embeddings`` … What a configuration has beside that
        dict (``max_position_embeddings``, ``original_max_position_embeddings``, ``partial_rotary_factor``) belongs
        into it. Other keys are not looked at.
    length : int, optional
        Positions of the text, which ``dynamic`` and ``longrope`` depend on; not more than in training unless given.

    Returns
    -------
    inv_freq : numpy.ndarray of float64, shape (R/2,)
        How far each pair turns from one position to the next, in radians. R is `dim`, with ``partial_rotary_factor``
        that share of it: turn ``x[..., :R]`` alone then.
    scale : float
        What cosines and sines are multiplied by: 1 but for ``yarn`` and ``longrope``.

    Raises
    ------
    TypeError
        If `dim` or `length` is not an integer, `base` or a value of the dict is not a number, or `scaling` no mapping.
    ValueError
        If `dim` is odd or negative; if a number is not positive and finite; if the rule is not one of the six, or lacks
        a value: both are named.

    Notes
    -----
    Computed in float64; transformers computes in float32, which from position 10,000 on shows in the third place of
    its sines. The rules are those of Chen et al. ("Extending context window of large language models via positional
    interpolation", 2023), Peng et al. ("YaRN", 2023), Ding et al. ("LongRoPE", 2024), and of Llama 3.1's code.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.position import rope, rope_frequencies
    >>> llama = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    ...          "original_max_position_embeddings": 8192}
    >>> inv_freq, scale = rope_frequencies(128, base=500_000.0, scaling=llama)
    >>> inv_freq.shape, scale
    ((64,), 1.0)
    >>> rope(np.ones((2, 128), np.float32), inv_freq=inv_freq, scale=scale).shape
    (2, 128)
    """
    dim, base = _checks.as_size(dim, "dim"), _as_base(base)
    if dim % 2:
        raise ValueError(f"dim must be even, as columns are turned in pairs, got {dim}")
    if scaling is not None and not isinstance(scaling, Mapping):
        raise TypeError(f"scaling must be a mapping, got {_words.type_name(scaling)}")
    longest = None if length is None else _checks.as_size(length, "length")
    inv_freq, scale = _devices.position(None).rope_frequencies(dim, base, scaling or {}, longest)
    return inv_freq, scale


def rope(
    x: _Array, position_ids: Any = None, *, base: float = 10000.0, inv_freq: Any = None, scale: float = 1.0,
    interleaved: bool = False, inverse: bool = False, out: _Array | None = None,
) -> _Array:  # fmt: skip
    """Turn pairs of columns by angles that grow with the row's position: rotary position embedding.

    Parameters
    ----------
    x : numpy.ndarray, shape (..., T, D)
        Queries or keys: float64, float32, float16 or bfloat16, D even. It may be read-only or a view.
    position_ids : array_like of int or float, optional
        Where each row stands: any shape that broadcasts to ``x.shape[:-1]``, any numbers, negative ones and fractions
        too. The default is 0 to T - 1 along axis -2. Beside ``x`` in the layout (B, heads, T, D), positions of two
        axes are always (B, T) or (1, T).
    base : float
        Pair ``i`` of position ``p`` is turned by the angle ``p * base**(-2i/D)``.
    inv_freq : array_like of float, shape (D/2,), optional
        The angle of each pair at position 1, in place of those by `base`: `rope_frequencies` has those of models.
    scale : float
        Cosines and sines are multiplied by it.
    interleaved : bool
        Pairs are the columns (2i, 2i + 1), as in the paper, GPT-J and the first Llama's own code. Otherwise they are
        (i, D/2 + i), as in GPT-NeoX and in Hugging Face's Llama and most of its other models.
    inverse : bool
        Turn back. The transpose of a rotation is its inverse: of a gradient of the result, this makes the gradient
        of `x`; so with a `scale` the result is multiplied by that, too.
    out : numpy.ndarray, shape ``x.shape``, optional
        Where the result goes, of any of the four dtypes. It may be `x` itself, and may not overlap it otherwise.

    Returns
    -------
    numpy.ndarray, shape ``x.shape``
        `out` where that is given, else a new array of the dtype of `x`: ``a cos - b sin`` and ``b cos + a sin`` for
        each pair (a, b).

    Raises
    ------
    TypeError
        If `x` or `out` is no array of the four dtypes, or is masked, or they are of two frameworks; if `position_ids`,
        `inv_freq`, `base` or `scale` are not real numbers; if `interleaved` or `inverse` is not a bool.
    ValueError
        If D is odd; if the positions do not broadcast; if `x` has one axis and no `position_ids`; if `base` is not
        positive and finite, `inv_freq` or `scale` not finite; if `inv_freq` has not D/2 numbers; if `out` has the wrong
        shape, is read-only or overlaps an input.

    Notes
    -----
    Angles, cosines and sines are computed in float64 and rounded to the type of the arithmetic, which is float64 for
    float64, else float32; products and sums are rounded one by one, and the result once. Libraries that compute
    angles in float32, as Hugging Face's do, are off by up to about ``2e-7 * p`` in the angle; given the same cosines
    and sines, the bits are those of their formula ``x * cos + rotate_half(x) * sin`` in float32. The result does not
    depend on the number of threads.

    Cosines and sines of positions from 0 on are kept for the next call, at most 32 MiB of them in a process.

    On a GPU cosines and sines are made anew in each call, and frequencies that are not finite are said at a later one.

    Copies: an `x` in the other byte order or with a strided last axis is copied. An `out` of that kind, or a float16
    or bfloat16 `out` of a float64 `x`, is written through a temporary of its size.

    The method is that of Su et al., "RoFormer: enhanced transformer with rotary position embedding" (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb.position import rope
    >>> x = np.array([[1, 0], [1, 0], [0, 2]], np.float32)
    >>> rope(x)
    array([[ 1.        ,  0.        ],
           [ 0.5403023 ,  0.84147096],
           [-1.8185948 , -0.8322937 ]], dtype=float32)
    >>> np.allclose(rope(rope(x, [7, 8, 9]), [7, 8, 9], inverse=True), x)
    True
    """
    turned: _Array | None
    if type(x) is np.ndarray:
        if out is None:
            turned = _devices.HERE["position"].small_rope(x, position_ids, base, inv_freq, scale, interleaved, inverse)
            if turned is not None:
                return turned
    elif framework := _frameworks.of(x):
        turned = framework.call(
            rope, x, position_ids, base=base, inv_freq=inv_freq, scale=scale, interleaved=interleaved, inverse=inverse,
            out=out,
        )  # fmt: skip
        return turned
    source, ids, base, speed, scale, *options = asked_of_rope(
        x, position_ids, base, inv_freq, scale, interleaved, inverse, out
    )
    target = out
    if out is not None:
        inputs = {} if _checks.same_memory(source, out) else {"x": source}
        target = _checks.check_out(out, source.shape, **inputs, position_ids=ids, inv_freq=speed)
    result: _Array = _devices.position(source).rope(source, ids, base, speed, scale, *options, target)
    return result if out is None else out


def asked_of_rope(
    x: Any, position_ids: Any, base: Any, inv_freq: Any, scale: Any, interleaved: Any, inverse: Any, out: Any = None
) -> tuple[Any, Any, float, Any, float, bool, bool]:
    """Return what `rope` was given, types and then shapes checked; no value of an array is looked at."""
    source = _checks.as_float_table(x, "x")
    ids = None if position_ids is None else _checks.as_reals(position_ids, "position_ids")
    speed = None if inv_freq is None else _checks.as_reals(inv_freq, "inv_freq")
    base, scale = _as_base(base), _as_scale(scale)
    options = _checks.as_flag(interleaved, "interleaved"), _checks.as_flag(inverse, "inverse")
    if out is not None:
        _checks.require_out(out)
    _checks.require_one_device(x=source, position_ids=ids, inv_freq=speed, out=out)
    _checks.require_axis(source, "x")
    _check_shapes(source.shape, None if ids is None else ids.shape)
    if speed is not None:
        _checks.require_shape(speed, (source.shape[-1] // 2,), "inv_freq", ", one for each pair of columns of x")
    return source, ids, base, speed, scale, *options


def _check_shapes(x: tuple[int, ...], position_ids: tuple[int, ...] | None) -> None:
    """Refuse an odd number of columns, and positions that are not one for each row."""
    lead = x[:-1]
    if x[-1] % 2:
        raise ValueError(f"x must have an even number of columns, which are turned in pairs, got shape {x}")
    if position_ids is None:
        if not lead:
            raise ValueError(f"x of shape {x} has no axis of positions; give position_ids")
        return
    if len(lead) == 3 and len(position_ids) == 2:
        if position_ids[0] not in (1, lead[0]) or position_ids[1] not in (1, lead[2]):
            both = f"beside x of shape {x}, (B, heads, T, D), got shape {position_ids}"
            raise ValueError(f"position_ids of two axes must be (B, T) or (1, T) {both}")
        return
    pairs = zip(position_ids[::-1], lead[::-1], strict=False)
    if len(position_ids) > len(lead) or any(length not in (1, whole) for length, whole in pairs):
        raise ValueError(f"position_ids must broadcast to x.shape[:-1], {lead}, got shape {position_ids}")


def _as_scale(scale: Any) -> float:
    """Return the number that cosines and sines are multiplied by."""
    value = _checks.as_real(scale, "scale")
    if not math.isfinite(value):
        raise ValueError(f"scale must be finite, got {value}")
    return value


def _as_base(base: Any) -> float:
    """Return the base as a float."""
    if isinstance(base, bool):
        raise TypeError("base must be a real number, got bool")
    value = _checks.as_real(base, "base")
    if not 0.0 < value < math.inf:
        raise ValueError(f"base must be positive and finite, got {value}")
    return value
