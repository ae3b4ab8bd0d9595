"""Which of three doors a call goes through, and what all of them share: gradients of tables as torch wants them.

A call is *eager*, or inside a *transform* of torch.func (grad, vmap and their like), or *traced*: compiled, exported,
or made with tensors that stand for others. torch has three interfaces for these, and none serves all: a Function whose
``forward`` takes ``ctx`` costs 5 us, is refused by transforms and not understood by the compiler; one with
``setup_context`` costs 25 us; an operation with a registered gradient costs 20 us.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import torch
from torch.autograd import forward_ad

import fastemb
from fastemb import _checks

Tensor: TypeAlias = torch.Tensor

EAGER: Final = 0
TRANSFORM: Final = 1
TRACED: Final = 2

_MEMORY = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})  # types of tensors that have it
_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
_is_compiling = torch.compiler.is_compiling
#: Whether a call is inside of a transform of torch.func.
in_transform: Callable[[], bool] = torch._C._are_functorch_transforms_active
#: Whether a gradient is many of an eager backward (``is_grads_batched``), by what torch had before torch.func.
is_old_batch: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor


def door(*tensors: Any) -> int:
    """Return through which door a call with these tensors (or None) goes."""
    if _is_compiling():
        return TRACED
    if in_transform():
        return TRANSFORM
    if _modes():
        return TRACED
    for tensor in tensors:
        if tensor is not None and (type(tensor) not in _MEMORY or tensor.is_meta):
            _require_one_device(tensors)
            return TRACED
    return EAGER


def is_batch(grad: Tensor) -> bool:
    """Whether a gradient of an eager backward is many: of ``torch.func.vmap`` around it, or of ``is_grads_batched``.

    Either has no memory of its own.
    """
    return in_transform() or is_old_batch(grad)


def require_tensor(value: Any, name: str) -> None:
    """Refuse what is no tensor, where torch takes nothing else."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")


def _require_one_device(tensors: tuple[Any, ...]) -> None:
    """Refuse tensors of which only some are on meta: operations look for shapes there, and leave other values unset."""
    devices = {str(tensor.device) for tensor in tensors if tensor is not None}
    if "meta" in devices and len(devices) > 1:
        raise TypeError(f"tensors of one call must be on one device, got {' and '.join(sorted(devices))}")


def needs_graph(*tensors: Any) -> bool:
    """Whether autograd has to know of an eager call with these tensors (or None).

    Without it a call saves the 5 us of a Function. Inside of forward-mode differentiation a Function is called even so:
    it is what refuses.
    """
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    level: int = forward_ad._current_level
    return level >= 0


class Function(torch.autograd.Function):
    """What Functions of this package have in common: there is no forward mode."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse forward mode."""
        raise NotImplementedError(
            "fastemb.torch has no forward-mode derivatives (jvp, jacfwd, dual tensors): use reverse mode (grad, vjp, "
            "jacrev), or torch.nn's layer"
        )


def eager_apply(function: type[Function]) -> Callable[..., Tensor]:
    """Return the ``apply`` of a Function without what torch does before it for transforms: a fifth of a small call."""
    apply: Callable[..., Tensor] = super(torch.autograd.Function, function).apply
    return apply


# Batches of vmap -----------------------------------------------------------------------------------------------


def one_by_one(apply: Callable[..., Tensor], size: int, axes: Sequence[Any], *given: Any) -> tuple[Tensor, int]:
    """Return one call for each of a batch, stacked, and the axis of the batch, for a ``vmap`` without a better way.

    What has no axis goes to every call as it is, and so do options, for which vmap has a tuple of none.
    """
    calls = (
        [one.select(axis, i) if isinstance(axis, int) else one for one, axis in zip(given, axes, strict=True)]
        for i in range(size)
    )
    return torch.stack([apply(*call) for call in calls]), 0


def in_front(array: Any, axis: int | None, rank: int) -> Any:
    """Return an array with a batch's axis in front of ``rank`` others, so that it broadcasts; None stays."""
    if array is None:
        return None
    batch = array.unsqueeze(0) if axis is None else array.movedim(axis, 0)
    return batch.reshape(batch.shape[0], *[1] * (rank + 1 - batch.dim()), *batch.shape[1:])


# What callers give -----------------------------------------------------------------------------------------------


def as_ids(ids: Any) -> Tensor:
    """Return ids as a tensor, which autograd can keep; of a list or an array of NumPy's one with its memory."""
    if isinstance(ids, torch.Tensor):
        return ids
    return _of_numpy(_checks.as_ids(ids))


def as_tensor(values: Any, name: str) -> Tensor | None:
    """Return offsets, positions, a mask or weights as a tensor, or None."""
    if values is None or isinstance(values, torch.Tensor):
        return values
    return _of_numpy(np.asarray(_checks.as_numbers(values, name)))


def _of_numpy(array: Any) -> Tensor:
    """Return a tensor with the memory of an array of NumPy's; of a copy where torch cannot have a view."""
    if not array.flags.writeable or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array)


def jagged(nested: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values and the offsets of a nested tensor, without holes between its rows."""
    if nested.layout is not torch.jagged:
        raise TypeError(
            "nested tensors are taken of layout jagged, torch.nested.nested_tensor(..., layout=torch.jagged); got one "
            f"of layout {str(nested.layout).removeprefix('torch.')}"
        )
    if not nested.is_contiguous():
        nested = nested.contiguous()
    return nested.values(), nested.offsets()


def wrapped(padding_idx: Any, V: int, name: str = "padding_idx", table: str = "the table") -> int | None:
    """Return which row a ``padding_idx`` means; a negative one counts from the end, as in torch."""
    row = _checks.as_padding(padding_idx)
    if row is None:
        return None
    if not -V <= row < V:
        raise ValueError(f"{name} must be a row of {table}, from {-V} to {V - 1}, got {row}")
    return row % V


# Gradients of tables ---------------------------------------------------------------------------------------------

#: NumPy's dtypes that hold the bits of torch's.
_BITS = {torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float16, torch.bfloat16: np.int16}


def require_trainable(table: Tensor) -> None:
    """Refuse a table of which there is no gradient, before the backward, whose words would be of other arrays."""
    if table.dtype not in _BITS:
        dtype = str(table.dtype).removeprefix("torch.")
        raise TypeError(f"a table with a gradient must have dtype float64, float32, float16 or bfloat16, got {dtype}")


_FEW = 1 << 14  # numbers, from which on a kernel is faster than NumPy's assignment


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a new tensor of zeros.

    On the CPU its pages are the system's zeros, which nobody has touched: of a gradient only some rows are written.
    torch.zeros writes them all.
    """
    bits = _BITS.get(dtype) if device.type == "cpu" else None
    if bits is None:
        return torch.zeros(shape, dtype=dtype, device=device)
    made = torch.from_numpy(np.zeros(shape, bits))
    return made if dtype is not torch.bfloat16 else made.view(dtype)


def dense(ids: Tensor, rows: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the gradient of a table as one tensor: zeros but for some rows; ``ids`` are unique."""
    made = zeros(shape, dtype, rows.device)
    if not rows.numel():
        return made
    if rows.numel() < _FEW and rows.is_cpu and rows.dtype is dtype:
        made.numpy()[ids.numpy()] = rows.numpy()
        return made
    return fastemb.scatter_add(made, ids, rows)


def sparse(ids: Tensor, rows: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the gradient of a table as a coalesced COO tensor; ``ids`` ascend and are unique."""
    return coalesced(ids.long()[None], rows.to(dtype), shape)


def coalesced(index: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a COO tensor of unique and ascending columns of indices, at which torch does not look."""
    return torch.sparse_coo_tensor(index, values, shape, is_coalesced=True, check_invariants=False)


def coalesce_(grad: Tensor) -> Tensor:
    """Return a sparse gradient coalesced: itself, marked so, where its ids are unique and ascending already.

    Autograd adds gradients up in new tensors without the mark, and torch would sort ids that are sorted.
    """
    if not grad.is_coalesced():
        index = grad._indices()
        if len(index) != 1 or not bool((index[0, 1:] > index[0, :-1]).all()):
            return grad.coalesce()
        grad._coalesced_(True)
    return grad
