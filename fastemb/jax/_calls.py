"""Calls of the handlers out of programs of JAX: registered when first asked for, and batched by their own rules."""

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from .._cpu.kernels import ffi, jit
from . import _arrays, _general

Operands = dict[str, Any]
#: From the size of a batch, which operands have it as their first axis, and all operands: the operands of one call that
#: does the whole batch, and what gives its results the axis back. None: there is no such call.
Fold = Callable[[int, dict[str, bool], Operands], tuple[Operands, Callable[[Any], Any]] | None]

#: The handlers, by the names that XLA knows them by. A program that was exported names them, so a handler whose numbers
#: or calls come to mean something else gets a new name; on another platform than the CPU XLA's error says this one.
GENERAL, GATHER, REDUCE, EMBED = (f"fastemb_cpu_{name}_v1" for name in ("all_general", "gather", "reduce", "embed"))
TARGETS = GENERAL, GATHER, REDUCE, EMBED

# The order of operands, which handlers read by their numbers; JAX sorts what it is given by name.
_ORDER = (
    "table", "x", "ids", "offsets", "positions", "norm.weight", "norm.bias", "position_ids", "segments", "segment_ids",
    "mask", "lengths", "weights", "inv_freq", "grad",
)  # fmt: skip

_lock = threading.Lock()
_registered: set[str] = set()


def register() -> tuple[str, ...]:
    """Tell XLA of all handlers, for programs that were exported: one that is traced here needs no such call.

    Returns
    -------
    tuple of str
        The names of the handlers, which `jax.export` asks for.

    Notes
    -----
    They are compiled at the first call, which takes some ten seconds, or loaded from where they are kept.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import fastemb.jax
    >>> checks = [jax.export.DisabledSafetyCheck.custom_call(name) for name in fastemb.jax.register()]
    >>> exported = jax.export.export(jax.jit(fastemb.jax.gather), disabled_checks=checks)(
    ...     jax.ShapeDtypeStruct((9, 2), jnp.float32), jax.ShapeDtypeStruct((4,), jnp.int32)
    ... )
    >>> exported.call(jnp.ones((9, 2)), jnp.arange(4)).shape
    (4, 2)
    """
    for target in TARGETS:
        require(target)
    return TARGETS


def require(target: str) -> None:
    """Compile a handler, or load it from the disk, and tell XLA of it; once in a process."""
    if target in _registered:
        return
    with _lock:
        if target in _registered:
            return
        if not _registered:
            jit.give_name(ffi.GENERAL, _general.address())
        name = target.removeprefix("fastemb_cpu_").removesuffix("_v1")
        handler = jax.ffi.pycapsule(jit.entry_point(getattr(ffi, name)))
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
        _registered.add(target)


class Call(NamedTuple):
    """A call of a function of fastemb: all that is known when a program is traced."""

    function: str
    options: dict[str, Any]
    target: str = GENERAL
    numbers: tuple[int, ...] = ()  # what the small path of the target's handler has to know


def call(asked: Call, operands: Operands, results: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    """Return the results, by their names, of a call on arrays by theirs."""
    require(asked.target)
    operands = {name: operands[name] for name in sorted(operands, key=_ORDER.index)}
    names = {"function": asked.function, "operands": [*operands], "results": [*results]}
    text = json.dumps({**names, "options": asked.options})
    function = jax.ffi.ffi_call(asked.target, [*results.values()], vmap_method="sequential")
    # XLA sorts attributes by name: the handlers read these as the first and the second.
    found = function(*operands.values(), call=text, small=np.array(asked.numbers or (0,), np.int64))
    axes = _arrays.varying(operands.values())
    return {name: _arrays.as_varying(one, axes) for name, one in zip(results, found, strict=True)}


def batched(run: Callable[[Operands], Any], fold: Fold, operands: Operands) -> Any:
    """Return ``run(operands)``, under `vmap` in one call where operands can be folded, else in a loop."""

    @jax.custom_batching.custom_vmap
    def one(operands: Operands) -> Any:
        return run(operands)

    @one.def_vmap
    def rule(size: int, flags: list[dict[str, bool]], operands: Operands) -> tuple[Any, Any]:
        found = fold(size, flags[0], operands)
        if found is None:
            many = {name: array for name, array in operands.items() if flags[0][name]}
            result = jax.lax.map(lambda some: batched(run, fold, {**operands, **some}), many)
        else:
            folded, unfold = found
            result = unfold(batched(run, fold, folded))
        return result, jax.tree.map(lambda _: True, result)

    return one(operands)


def in_a_loop(size: int, flags: dict[str, bool], operands: Operands) -> None:
    """Fold nothing."""
