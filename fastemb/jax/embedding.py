"""The first layer of a model: rows by id, plus positions and segments, normalised: ``embed``."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _embeds
from .._checks import IdMode
from .._embeds import Embeds
from ..embedding import LayerNorm, RMSNorm, _norm_of
from ..ragged import Ragged
from . import _arrays
from ._calls import EMBED, Call, Operands, batched, call, in_a_loop

_KINDS = {None: 0, _embeds.LAYER: 1, _embeds.RMS: 2}
_IDS = "ids", "position_ids", "segment_ids", "mask"
_FLOATS = "table", "positions", "segments", "norm.weight", "norm.bias"


class _Asked(NamedTuple):
    """What is known when a program is traced."""

    scale: float
    kind: str | None
    eps: float
    mode: str

    def options(self) -> dict[str, Any]:
        """Return them as the general road takes them."""
        return {"scale": self.scale, "mode": self.mode, "norm": self.kind, "eps": self.eps}


def embed(
    table: Any, ids: Any, *, positions: Any = None, position_ids: Any = None, segments: Any = None,
    segment_ids: Any = None, mask: Any = None, scale: float = 1.0, norm: LayerNorm | RMSNorm | None = None,
    mode: IdMode = "raise",
) -> jax.Array:  # fmt: skip
    """Look up rows, add positions and segments, and normalise, in a program of JAX, as `fastemb.embed`.

    The result is ``norm(scale * table[ids] + positions[position_ids] + segments[segment_ids])``.

    Parameters
    ----------
    table : jax.Array or numpy.ndarray, shape (V, D)
        float64, float32, float16 or bfloat16.
    ids : array_like of int, any shape, or Ragged
        Any integer dtype of JAX. Of a `fastemb.Ragged` the flat ids count: they have the shape (N,).
    positions : jax.Array or numpy.ndarray, shape (P, D), optional
        Of any of the four dtypes, as all that follows.
    position_ids : array_like of int, optional
        Which positions to add: of a shape that broadcasts to that of `ids`. By default 0, 1, ... along the last axis of
        `ids`, or with a `mask` along the ids that are kept; in every row of a `Ragged` they start again.
    segments : jax.Array or numpy.ndarray, shape (S, D), optional
        Or token types.
    segment_ids : array_like of int, optional
        As `position_ids`; 0 by default.
    mask : array_like of bool or int, the shape of ids, optional
        Rows under a zero are zeros, and nothing about them is looked at.
    scale : float
        The rows of the table are multiplied by it. Known when the program is traced.
    norm : fastemb.LayerNorm or fastemb.RMSNorm, optional
        What is done to each row of the sum. Weight and bias may be traced, ``eps`` not.
    mode : {"raise", "clip", "wrap"}
        What an id outside ``[0, V)`` means: an error, the nearest row, or the row modulo V.

    Returns
    -------
    jax.Array, shape ``ids.shape + (D,)``
        Of the table's dtype.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs, with the words of `fastemb.embed`: ``OUT_OF_RANGE`` if an id is out of range and `mode`
        is ``"raise"``, or a position id or segment id is, in any mode; ``INVALID_ARGUMENT`` if a mask keeps more ids of
        a row than there are positions.
    TypeError
        When it is traced: if a dtype is none of these; if an array lies on a GPU; if `scale` or ``norm.eps`` is not a
        number.
    ValueError
        When it is traced: if shapes do not fit; if there are too few positions; if `mode` is not one of the three.

    Notes
    -----
    The bits are those of `fastemb.embed`, whatever the number of threads. Gradients of the tables and of weight and
    bias have their shapes and dtypes: sums in float32 (of a float64 table in float64), each rounded once. Of these
    there are no gradients again. Forward-mode differentiation (`jax.jvp`) is a TypeError of JAX's. `jax.vmap` over
    ids, and what goes with them, is one call; over tables or norms, and of gradients, it is a loop.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from fastemb import LayerNorm
    >>> from fastemb.jax import embed
    >>> table, positions = jnp.arange(6.0).reshape(3, 2), jnp.array([[0.5, 0.0], [0.0, 0.5]])
    >>> jax.jit(embed)(table, jnp.array([2, 0]), positions=positions)
    Array([[4.5, 5. ],
           [0. , 1.5]], dtype=float32)
    >>> weight = jnp.ones(2)
    >>> jax.jit(lambda ids, weight: embed(table, ids, norm=LayerNorm(weight, eps=0.0)))(jnp.array([2]), weight)
    Array([[-1.,  1.]], dtype=float32)
    """
    given: Operands = {"table": _arrays.as_array(table, "table")}
    if isinstance(ids, Ragged):
        if mask is not None:
            raise ValueError("a Ragged has no place to mask; mask must not be given with it")
        if positions is not None and position_ids is None:
            position_ids = np.arange(len(ids.ids)) - np.repeat(ids.offsets[:-1], ids.lengths)
        ids = ids.ids
    given["ids"] = _arrays.as_list(ids, "ids")
    kind, weight, bias, eps = _norm_of(norm) or (None, None, None, 0.0)
    if isinstance(eps, jax.core.Tracer):
        way = "make the norm out of weight and bias where they are traced: LayerNorm(weight, bias, eps)"
        raise TypeError(f"norm.eps must be a number when a program is traced, got a tracer; {way}")
    if kind is not None:  # None is no weight, as elsewhere
        given["norm.weight"] = _arrays.as_array(weight, "norm.weight")
    floats = {"positions": positions, "segments": segments, "norm.bias": bias}
    given |= {name: None if array is None else _arrays.as_array(array, name) for name, array in floats.items()}
    lists = {"position_ids": position_ids, "segment_ids": segment_ids, "mask": mask}
    given |= {name: _arrays.optional(array, name) for name, array in lists.items()}
    given = _arrays.present(given)
    embeds = _embeds_of(_Asked(scale, kind, eps, mode), given)
    eps = 0.0 if embeds.norm is None else embeds.norm.eps
    result: jax.Array = _embed(_Asked(embeds.scale, kind, eps, embeds.mode), _arrays.alike(given))
    return result


def _embeds_of(asked: _Asked, given: Operands) -> Embeds:
    """Return what was asked for, of stand-ins, after the checks of the function for NumPy's arrays."""
    here = {name: _arrays.stand_in(array) for name, array in given.items()}
    norm = None
    if asked.kind is not None:
        norm = _embeds.Norm(asked.kind, here["norm.weight"], here.get("norm.bias"), asked.eps)
    return _embeds.of(
        here["table"], here["ids"], here.get("positions"), here.get("position_ids"), here.get("segments"),
        here.get("segment_ids"), here.get("mask"), asked.scale, norm, asked.mode,
    )[0]  # fmt: skip


@partial(jax.jit, static_argnums=0)
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _embed(asked: _Asked, given: Operands) -> jax.Array:
    result: jax.Array = batched(lambda operands: _forward(asked, operands), _fold, given)
    return result


def _forward(asked: _Asked, given: Operands) -> jax.Array:
    """Call the handler: that with a small path, where it knows such a call."""
    embeds = _embeds_of(asked, given)
    one = Call("embed", asked.options())
    rare = {"position_ids", "segments", "segment_ids", "mask"} & given.keys()
    floats = all(given[name].dtype == np.float32 for name in _FLOATS if name in given)
    if floats and not rare and asked.scale == 1.0 and asked.mode == "raise" and given["ids"].ndim:
        P = len(given["positions"]) if "positions" in given else 0
        parts = int("norm.weight" in given), int("norm.bias" in given)
        bits = int(np.float64(asked.eps).view(np.int64))
        one = one._replace(target=EMBED, numbers=(P, *parts, _KINDS[asked.kind], bits))
    return call(one, given, {"out": jax.ShapeDtypeStruct(embeds.shape, embeds.dtype)})["out"]


def _fold(size: int, flags: dict[str, bool], operands: Operands) -> Any:
    """Of the same tables and norm, ids of a batch are ids like others; positions go along their last axis anyway."""
    if any(flags.get(name) for name in _FLOATS):
        return None
    axes = operands["ids"].ndim + flags["ids"] * -1
    folded = dict(operands)
    for name in _IDS:
        if name not in operands:
            continue
        array = operands[name]
        if flags[name]:
            folded[name] = array.reshape(size, *[1] * (axes + 1 - array.ndim), *array.shape[1:])
        elif name in ("ids", "mask"):
            folded[name] = jnp.broadcast_to(array, (size, *array.shape))
    return folded, lambda rows: rows


def _embed_forward(asked: _Asked, given: Operands) -> tuple[jax.Array, Any]:
    given, wanted = _arrays.primals(given)
    return _embed(asked, given), (given, dict.fromkeys(wanted))  # what is known of a residual is its shape alone


def _embed_backward(asked: _Asked, kept: Any, grad: Any) -> tuple[dict[str, Any]]:
    """Return the gradients of the tables and of the norm, those that are wanted."""
    given, wanted = kept

    def run(operands: Operands) -> dict[str, jax.Array]:
        results = {name: _arrays.struct(operands[name]) for name in wanted}
        return call(Call("embed_backward", asked.options()), operands, results)

    found = batched(run, in_a_loop, {"grad": _arrays.dense(grad), **given})
    return ({name: found.get(name) for name in given},)


_embed.__wrapped__.defvjp(_embed_forward, _embed_backward, symbolic_zeros=True)
