"""CUDA's way with optimizers, which is not built: the twins' names and parameters, and the error that says so."""

from typing import Any, NoReturn

from .._frameworks import DeviceArray
from .._updates import Update


def new_state(table: DeviceArray, shape: tuple[int, ...], value: float) -> Any:
    """Raise the NotImplementedError."""
    _raise(table)


def step(table: DeviceArray, ids: DeviceArray | None, given: DeviceArray, update: Update) -> None:
    """Raise the NotImplementedError."""
    _raise(table)


def step_from(table: DeviceArray, ids: DeviceArray, grad: DeviceArray, skip: int | None, update: Update) -> None:
    """Raise the NotImplementedError."""
    _raise(table)


def _raise(table: DeviceArray) -> NoReturn:
    raise NotImplementedError(
        f"table is on {table.place}, and fastemb.optim changes tables on the CPU alone so far; plain gradient descent "
        "there is scatter_add(table, *row_grad, alpha=-lr)"
    )
