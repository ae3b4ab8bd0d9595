"""Which of three doors a call goes through, and what all of them share: gradients of tables as torch wants them.

A call is *eager*, or inside a *transform* of torch.func (grad, vmap and their like), or *traced*: compiled, exported,
or made with tensors that stand for others. torch has three interfaces for these, and none serves all: a Function whose
``forward`` takes ``ctx`` costs 5 us, is refused by transforms and not understood by the compiler; one with
``setup_context`` costs 25 us; an operation with a registered gradient costs 20 us.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import torch
from torch.autograd import forward_ad

import fastemb

Tensor: TypeAlias = torch.Tensor

EAGER: Final = 0
TRANSFORM: Final = 1
TRACED: Final = 2

_MEMORY = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})  # types of tensors that have it
_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
_transforms: Callable[[], bool] = torch._C._are_functorch_transforms_active


def door(*tensors: Any) -> int:
    """Return through which door a call with these tensors (or None) goes."""
    if torch.compiler.is_compiling():
        return TRACED
    if _transforms():
        return TRANSFORM
    if _modes():
        return TRACED
    for tensor in tensors:
        if tensor is not None and (type(tensor) not in _MEMORY or tensor.is_meta):
            return TRACED
    return EAGER


def needs_graph(*tensors: Any) -> bool:
    """Whether autograd has to know of an eager call with these tensors (or None).

    Without it a call saves the 5 us of a Function. Inside of forward-mode differentiation a Function is called even so:
    it is what refuses.
    """
    if forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


class Function(torch.autograd.Function):
    """What Functions of this package have in common: there is no forward mode."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        """Refuse forward mode."""
        raise NotImplementedError(
            "fastemb.torch has no forward-mode derivatives (jvp, jacfwd, dual tensors): use reverse mode (grad, vjp, "
            "jacrev), or torch.nn's layer"
        )


# What callers give -----------------------------------------------------------------------------------------------


def as_ids(ids: Any) -> Tensor:
    """Return ids as a tensor, which autograd can keep; of a list or an array of NumPy's one with its memory."""
    if isinstance(ids, torch.Tensor):
        return ids
    array = fastemb._checks.as_ids(ids)
    if not array.flags.writeable or not array.dtype.isnative:  # of which torch cannot have a view
        array = array.astype(array.dtype.newbyteorder("="))
    return torch.from_numpy(array)


def wrapped(padding_idx: Any, V: int) -> int | None:
    """Return which row a ``padding_idx`` means; a negative one counts from the end, as in torch."""
    row = fastemb._checks.as_padding(padding_idx)
    if row is None:
        return None
    if not -V <= row < V:
        raise ValueError(f"padding_idx must be a row of the table, from {-V} to {V - 1}, got {row}")
    return row % V


# Gradients of tables ---------------------------------------------------------------------------------------------

#: NumPy's dtypes that hold the bits of torch's.
_BITS = {torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float16, torch.bfloat16: np.int16}


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
    if not made.numel():
        return made
    return fastemb.scatter_add(made, ids, rows)


def sparse(ids: Tensor, rows: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the gradient of a table as a coalesced COO tensor; ``ids`` ascend and are unique."""
    index = ids if ids.dtype is torch.int64 else ids.long()
    values = rows if rows.dtype is dtype else rows.to(dtype)
    return torch.sparse_coo_tensor(index[None], values, shape, is_coalesced=True, check_invariants=False)


# Small calls -----------------------------------------------------------------------------------------------------


def views(arrays: tuple[Any, ...]) -> list[Any] | None:
    """Return NumPy's views of tensors (or None); None where one has none, or not without more ado.

    `fastemb._frameworks` finds views of anything and says what has none. That takes it 2 us an array.
    """
    try:
        return [array if array is None else array.numpy() for array in arrays]
    except (RuntimeError, TypeError):  # of a GPU, bfloat16, signs that are marks, other layouts
        return None


def tensors(*arrays: Any) -> list[Any]:
    """Return tensors that have the memory of new arrays of NumPy's (or None)."""
    return [array if array is None else torch.from_numpy(array) for array in arrays]


def packed(grad: Tensor) -> Tensor:
    """Return a gradient whose rows follow one another, a copy of a small one: those of sums are one number, expanded.

    Kernels read large ones where they lie. Small calls have kernels of packed arrays alone.
    """
    return grad if grad.is_contiguous() or (grad.numel() > 1 << 16 and grad.stride(-1) == 1) else grad.contiguous()
