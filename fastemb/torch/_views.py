"""NumPy's views of plain tensors, for small calls, and tensors of what these make."""

from typing import Any

import torch


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


def packed(grad: torch.Tensor) -> torch.Tensor:
    """Return a gradient whose rows follow one another, a copy of a small one: those of sums are one number, expanded.

    Kernels read large ones where they lie. Small calls have kernels of packed arrays alone.
    """
    return grad if grad.is_contiguous() or (grad.numel() > 1 << 16 and grad.stride(-1) == 1) else grad.contiguous()


def require_tensors(**given: Any) -> None:
    """Refuse what is no tensor (or None), by its name."""
    for name, array in given.items():
        if array is not None and not isinstance(array, torch.Tensor):
            kind, way = type(array).__name__, f"give torch.as_tensor({name})"
            raise TypeError(f"{name} must be a torch tensor, got {kind}; {way}, or call the function of fastemb itself")
