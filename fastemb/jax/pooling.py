"""One vector for each text: ``pool`` over rows, ``embedding_bag`` over ids, and their gradients."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _bags
from .._bags import Bags
from .._checks import PoolMode
from .._cpu.kernels.layout import BY_COUNT, BY_ONE, BY_ROOT
from ..ragged import Ragged
from . import _arrays
from ._calls import REDUCE, Call, Operands, batched, call, in_a_loop

#: The modes of the small path: whether the largest is meant, and what a sum is divided by.
_SMALL = {"sum": (0, BY_ONE), "mean": (0, BY_COUNT), "mean_sqrt_len": (0, BY_ROOT), "max": (1, BY_ONE)}


class _Asked(NamedTuple):
    """What is known when a program is traced."""

    mode: str
    normalize: bool
    padding_idx: int | None = None

    def options(self, bags: bool) -> dict[str, Any]:
        """Return them as arguments of the function."""
        padding = {"padding_idx": self.padding_idx} if bags else {}
        return {"mode": self.mode, "normalize": self.normalize, **padding}


def embedding_bag(
    table: Any, ids: Any, offsets: Any = None, *, mask: Any = None, mode: PoolMode = "mean", weights: Any = None,
    padding_idx: int | None = None, normalize: bool = False,
) -> jax.Array:  # fmt: skip
    """Pool rows of a table, bag by bag, in a program of JAX, as `fastemb.embedding_bag`.

    Parameters
    ----------
    table : jax.Array or numpy.ndarray, shape (V, D)
        float64, float32, float16 or bfloat16.
    ids : array_like of int, shape (N,) or (S, T), or Ragged
        Any integer dtype of JAX. Of 2-D ids each row is a bag. A `fastemb.Ragged` brings its own offsets.
    offsets : array_like of int, shape (S+1,), optional
        Bag ``s`` holds ``ids[offsets[s]:offsets[s+1]]``. Needed with 1-D ids, and only there.
    mask : array_like of bool or int, shape (S, T), optional
        With 2-D ids: an id under a zero is no part of its bag, and is neither checked nor read.
    mode : str
        ``"sum"``, ``"mean"``, ``"max"``, ``"cls"``, ``"last"``, ``"mean_sqrt_len"``, ``"weighted_mean"`` or
        ``"mean_max"``, which are described there.
    weights : array_like of real numbers, the shape of ids, optional
        One for each id, in modes ``"sum"`` and ``"mean"``.
    padding_idx : int, optional
        The id that is no part of any bag, compared as it is.
    normalize : bool
        Scale every result row to length one; a row of zeros stays.

    Returns
    -------
    jax.Array, shape (S, D)
        Of the table's dtype, (S, 2 D) in mode ``"mean_max"``. An empty bag gives zeros in every mode.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs, with the words of `fastemb.embedding_bag`: ``OUT_OF_RANGE`` if an id that counts is not
        in ``[0, V)``, ``INVALID_ARGUMENT`` if the offsets do not ascend from 0 to N.
    TypeError
        When it is traced: if a dtype is none of these; if an array lies on a GPU.
    ValueError
        When it is traced: if shapes do not fit; if `mode` is unknown, or has no use for `weights`.

    See Also
    --------
    pool : the same over rows that are already there.

    Notes
    -----
    The bits are those of `fastemb.embedding_bag`, whatever the number of threads. The gradient of the table is an array
    of its shape and dtype, zeros in rows that no bag has; that of `weights` has their dtype. Of these there are no
    gradients again. Forward-mode differentiation (`jax.jvp`) is a TypeError of JAX's. `jax.vmap` over 2-D ids, with
    their mask and weights, is one call; over offsets or tables, and of gradients, it is a loop.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from fastemb.jax import embedding_bag
    >>> table = jnp.arange(8.0).reshape(4, 2)
    >>> bags = jax.jit(embedding_bag)
    >>> bags(table, jnp.array([3, 1, 0]), jnp.array([0, 2, 2, 3]))
    Array([[4., 5.],
           [0., 0.],
           [0., 1.]], dtype=float32)
    >>> jax.grad(lambda table: bags(table, jnp.array([[3, 3, 1, 3]])).sum())(table)[3]
    Array([0.75, 0.75], dtype=float32)
    """
    table = _arrays.as_array(table, "table")
    if isinstance(ids, Ragged):
        if offsets is not None or mask is not None:
            raise ValueError("a Ragged brings its own offsets; neither offsets nor mask must be given with it")
        ids, offsets = ids.ids, ids.offsets
    given = {
        "table": table, "ids": _arrays.as_list(ids, "ids"), "offsets": _arrays.optional(offsets, "offsets"),
        "mask": _arrays.optional(mask, "mask"), "weights": _arrays.optional(weights, "weights"),
    }  # fmt: skip
    given = _arrays.present(given)
    bags = _bags_of(given, mode, normalize, padding_idx)
    result: jax.Array = _reduce(_Asked(mode, bags.normalize, bags.padding_idx), _arrays.alike(given))
    return result


def pool(
    x: Any, mask: Any = None, *, lengths: Any = None, offsets: Any = None, mode: PoolMode = "mean",
    weights: Any = None, normalize: bool = False,
) -> jax.Array:  # fmt: skip
    """Pool rows, text by text, in a program of JAX, as `fastemb.pool`.

    Parameters
    ----------
    x : jax.Array or numpy.ndarray, shape (B, T, D), or (N, D) with offsets
        float64, float32, float16 or bfloat16.
    mask : array_like of bool or int, shape (B, T), optional
        A row under a zero is no part of its text, and is not read.
    lengths : array_like of int, shape (B,), optional
        Of text ``b`` the first ``lengths[b]`` rows count.
    offsets : array_like of int, shape (B+1,), optional
        Text ``b`` has the rows ``x[offsets[b]:offsets[b+1]]``.
    mode : str
        As in `embedding_bag`.
    weights : array_like of real numbers, shape ``x.shape[:-1]``, optional
        One for each row, in modes ``"sum"`` and ``"mean"``.
    normalize : bool
        Scale every result row to length one; a row of zeros stays.

    Returns
    -------
    jax.Array, shape (B, D)
        Of the dtype of `x`, (B, 2 D) in mode ``"mean_max"``. A text without rows gives zeros in every mode.

    Raises
    ------
    jax.errors.JaxRuntimeError
        When the program runs, ``INVALID_ARGUMENT`` with the words of `fastemb.pool`: if the offsets do not ascend from
        0 to N; if a length is not in ``[0, T]``.
    TypeError
        When it is traced: if a dtype is none of these; if an array lies on a GPU.
    ValueError
        When it is traced: if shapes do not fit; if more than one of mask, lengths and offsets is given; if `mode` is
        unknown, or has no use for `weights`.

    See Also
    --------
    embedding_bag : the same over ids, without making the rows in between.

    Notes
    -----
    The bits are those of `fastemb.pool`, whatever the number of threads. Gradients of `x` and `weights` have their
    dtypes; that of a maximum goes to the first row that holds it. Of these there are no gradients again. Forward-mode
    differentiation (`jax.jvp`) is a TypeError of JAX's. `jax.vmap` over x of shape (B, T, D), with what goes with it,
    is one call, its gradient too; else it is a loop.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from fastemb.jax import pool
    >>> x = jnp.arange(12.0).reshape(2, 3, 2)
    >>> jax.jit(pool)(x, jnp.array([[1, 1, 0], [0, 0, 1]]))
    Array([[ 1.,  2.],
           [10., 11.]], dtype=float32)
    """
    given = {
        "x": _arrays.as_array(x, "x"), "offsets": _arrays.optional(offsets, "offsets"),
        "mask": _arrays.optional(mask, "mask"), "lengths": _arrays.optional(lengths, "lengths"),
        "weights": _arrays.optional(weights, "weights"),
    }  # fmt: skip
    given = _arrays.present(given)
    bags = _bags_of(given, mode, normalize, None)
    result: jax.Array = _reduce(_Asked(mode, bags.normalize), _arrays.alike(given))
    return result


def _bags_of(given: Operands, mode: Any, normalize: Any, padding_idx: Any) -> Bags:
    """Return what was asked for, of stand-ins, after the checks of the functions for NumPy's arrays."""
    here = {name: _arrays.stand_in(array) for name, array in given.items()}
    offsets, mask, lengths, weights = (here.get(name) for name in ("offsets", "mask", "lengths", "weights"))
    if "table" in here:
        return _bags.of_ids(here["table"], here["ids"], offsets, mask, mode, weights, padding_idx, normalize)[0]
    return _bags.of_rows(here["x"], mask, lengths, offsets, mode, weights, normalize)[0]


@partial(jax.jit, static_argnums=0)
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _reduce(asked: _Asked, given: Operands) -> jax.Array:
    result: jax.Array = batched(lambda operands: _forward(asked, operands), _fold, given)
    return result


def _forward(asked: _Asked, given: Operands) -> jax.Array:
    """Call the handler: that with a small path, where it knows such a call."""
    bags = _bags_of(given, asked.mode, asked.normalize, asked.padding_idx)
    many, options = "table" in given, asked.options("table" in given)
    one = Call("embedding_bag" if many else "pool", options)
    plain = not asked.normalize and asked.padding_idx is None and not {"weights", "lengths"} & given.keys()
    if plain and asked.mode in _SMALL and bags.dtype == np.float32:
        has = int("offsets" in given), int("mask" in given)
        one = one._replace(target=REDUCE, numbers=(int(many), *has, *_SMALL[asked.mode]))
    return call(one, given, {"out": jax.ShapeDtypeStruct(bags.shape, bags.dtype)})["out"]


def _fold(size: int, flags: dict[str, bool], operands: Operands) -> Any:
    """Of one table, or of x itself, a batch of equal rows is more of them. Texts between offsets are not looked at."""
    x = operands.get("x")
    if "offsets" in operands or (flags["table"] if x is None else not flags["x"]):
        return None
    joined = {}
    for name, array in operands.items():
        if name != "table":
            wide = array if flags[name] else jnp.broadcast_to(array, (size, *array.shape))
            array = wide.reshape(size * wide.shape[1], *wide.shape[2:])
        joined[name] = array

    def unfold(results: Any) -> Any:
        return jax.tree.map(lambda one: one.reshape(size, one.shape[0] // max(size, 1), *one.shape[1:]), results)

    return joined, unfold


def _reduce_forward(asked: _Asked, given: Operands) -> tuple[jax.Array, Any]:
    given, wanted = _arrays.primals(given)
    return _reduce(asked, given), (given, dict.fromkeys(wanted))  # what is known of a residual is its shape alone


def _reduce_backward(asked: _Asked, kept: Any, grad: Any) -> tuple[dict[str, Any]]:
    """Return the gradients of the table or x and of weights, those that are wanted."""
    given, wanted = kept
    many = "table" in given
    one = Call("embedding_bag_backward" if many else "pool_backward", asked.options(many))

    def run(operands: Operands) -> dict[str, jax.Array]:
        return call(one, operands, {name: _arrays.struct(operands[name]) for name in wanted})

    found = batched(run, in_a_loop if many else _fold, {"grad": _arrays.dense(grad), **given})
    return ({name: found.get(name) for name in given},)


_reduce.__wrapped__.defvjp(_reduce_forward, _reduce_backward, symbolic_zeros=True)
