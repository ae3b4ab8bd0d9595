"""Where a token stands: ``rope``."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from ..position import asked_of_rope
from . import _arrays
from ._calls import Call, Operands, batched, call


class _Asked(NamedTuple):
    """What is known when a program is traced."""

    base: float
    scale: float
    interleaved: bool
    inverse: bool


def rope(
    x: Any, position_ids: Any = None, *, base: float = 10000.0, inv_freq: Any = None, scale: float = 1.0,
    interleaved: bool = False, inverse: bool = False,
) -> jax.Array:  # fmt: skip
    """Turn pairs of columns by angles that grow with the row's position, in a program of JAX, as `fastemb.rope`.

    Parameters
    ----------
    x : jax.Array or numpy.ndarray, shape (..., T, D)
        Queries or keys: float64, float32, float16 or bfloat16, D even.
    position_ids : array_like of int or float, optional
        Where each row stands: any shape that broadcasts to ``x.shape[:-1]``. The default is 0 to T - 1 along axis -2.
        Beside ``x`` in the layout (B, heads, T, D), positions of two axes are always (B, T) or (1, T).
    base : float
        Pair ``i`` of position ``p`` is turned by the angle ``p * base**(-2i/D)``. As `scale`, `interleaved` and
        `inverse`, known when the program is traced.
    inv_freq : array_like of float, shape (D/2,), optional
        The angle of each pair at position 1, in place of those by `base`: `fastemb.rope_frequencies` has those of
        models.
    scale : float
        Cosines and sines are multiplied by it.
    interleaved : bool
        Pairs are the columns (2i, 2i + 1); otherwise they are (i, D/2 + i).
    inverse : bool
        Turn back.

    Returns
    -------
    jax.Array, shape ``x.shape``
        Of the dtype of `x`.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs: ``INVALID_ARGUMENT`` if `inv_freq` is not finite.
    TypeError
        When it is traced: if a dtype is none of these; if an array lies on a GPU; if a gradient of `position_ids` or
        `inv_freq` is asked for.
    ValueError
        When it is traced: if D is odd; if the positions do not broadcast; if `base` is not positive and finite, or
        `scale` not finite.

    Notes
    -----
    The bits are those of `fastemb.rope`, whatever the number of threads: angles are computed in float64. (JAX makes
    `inv_freq` float32 unless ``jax_enable_x64`` is set.) The gradient of `x` is a rotation back, so there are gradients
    of any order. Forward-mode differentiation (`jax.jvp`) is a TypeError of JAX's. `jax.vmap` over `x` is one call.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from fastemb.jax import rope
    >>> jax.jit(rope)(jnp.array([[1.0, 0.0], [1.0, 0.0]]))
    Array([[1.        , 0.        ],
           [0.5403023 , 0.84147096]], dtype=float32)
    """
    given: Operands = {
        "x": _arrays.as_array(x, "x"), "position_ids": _arrays.optional(position_ids, "position_ids"),
        "inv_freq": _arrays.optional(inv_freq, "inv_freq"),
    }  # fmt: skip
    here = {name: _arrays.stand_in(array) for name, array in given.items()}
    asked = asked_of_rope(**here, base=base, scale=scale, interleaved=interleaved, inverse=inverse)
    ids = given["position_ids"]
    if ids is not None:  # as many axes as x has rows in, so that a batch is one axis more of both
        ids = ids[:, np.newaxis] if ids.ndim == 2 and x.ndim == 4 else ids
        given["position_ids"] = ids.reshape(*[1] * (x.ndim - 1 - ids.ndim), *ids.shape)
    result: jax.Array = _rope(_Asked(asked[2], *asked[4:]), _arrays.alike(_arrays.present(given)))
    return result


@partial(jax.jit, static_argnums=0)
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rope(asked: _Asked, given: Operands) -> jax.Array:
    def run(operands: Operands) -> jax.Array:
        return call(Call("rope", asked._asdict()), operands, {"out": _arrays.struct(operands["x"])})["out"]

    result: jax.Array = batched(run, _fold, given)
    return result


def _fold(size: int, flags: dict[str, bool], operands: Operands) -> Any:
    """Make a batch of x one axis more; positions have it, too, or get one of length 1."""
    if not flags["x"] or flags.get("inv_freq"):
        return None
    folded = dict(operands)
    if "position_ids" in operands and not flags["position_ids"]:
        folded["position_ids"] = operands["position_ids"][np.newaxis]
    return folded, lambda rows: rows


def _rope_forward(asked: _Asked, given: Operands) -> tuple[jax.Array, Operands]:
    given, wanted = _arrays.primals(given)
    if other := wanted - {"x"}:
        raise TypeError(f"rope has a gradient of x alone, not of {' and '.join(sorted(other))}")
    return _rope(asked, given), {name: array for name, array in given.items() if name != "x"}


def _rope_backward(asked: _Asked, given: Operands, grad: Any) -> tuple[dict[str, Any]]:
    """Return the gradient of x, which is turned back."""
    back = _rope(asked._replace(inverse=not asked.inverse), {"x": _arrays.dense(grad), **given})
    return ({"x": back, **dict.fromkeys(given)},)


_rope.__wrapped__.defvjp(_rope_forward, _rope_backward, symbolic_zeros=True)
