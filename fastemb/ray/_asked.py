"""What both functions are asked for: the arguments checked, and Ray asked for its workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._checks import as_integer
from .._words import shown, type_name
from ._ledger import BlockError

RETRIES = 3  # of rows whose worker has died, unless something else is said
BATCH = 4096  # rows that a worker is given at a time: vectors may be ten times as long as their texts


def needed() -> Any:
    """Return Ray, its part for data imported."""
    try:
        import ray
        import ray.data
        import ray.util.scheduling_strategies
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] not in ("ray", "pyarrow"):
            raise
        raise ModuleNotFoundError(
            f"fastemb.ray needs the package {error.name}: pip install 'fastemb[ray]'", name=error.name
        ) from None
    return ray


def check_dataset(ray: Any, ds: Any) -> None:
    """Refuse what is no dataset of Ray."""
    if not isinstance(ds, ray.data.Dataset):
        raise TypeError(f"ds must be a ray.data.Dataset, got {type_name(ds)}")


def check_word(value: Any, name: str) -> str:
    """Return the name of a column."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type_name(value)}")
    return value


def check_counts(workers: Any, retries: Any) -> tuple[int | None, int]:
    """Return how many workers there are to be, and how many may die of a block."""
    if workers is not None and (workers := as_integer(workers, "workers")) < 1:
        raise ValueError(f"workers must be at least 1, got {shown(workers)}")
    if (retries := as_integer(retries, "retries")) < 0:
        raise ValueError(f"retries must be at least 0, got {shown(retries)}")
    return workers, retries


def mapped(ray: Any, ds: Any, worker: type, arguments: tuple[Any, ...], workers: int | None) -> Any:
    """Return the dataset of what workers make of the rows of a dataset, in their order."""
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    pool = ray.data.ActorPoolStrategy
    rows = ds.map_batches(
        worker,
        fn_constructor_args=arguments,
        batch_size=BATCH,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=pool(min_size=1, max_size=cores) if workers is None else pool(size=workers),
        num_cpus=1,
    )
    rows.context.execution_options.preserve_order = True
    return rows


@contextmanager
def plain_errors(ray: Any, ledger: Any) -> Iterator[None]:
    """Let an error of a worker be the one line that it said, instead of what Ray wraps around it."""
    try:
        yield
    except ray.exceptions.RayError:
        why = ray.get(ledger.why.remote())
        if not why:
            raise
        raise BlockError(why) from None
