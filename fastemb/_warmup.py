"""Compiling ahead of the first call, and what this installation runs on: ``warmup``, ``show_config``."""

import copy
import importlib.metadata
import importlib.util
import logging
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import (
    _checks,
    _cuda_check,
    _memory,
    _threads,
    _words,
    embedding,
    gradient,
    lookup,
    optim,
    pooling,
    position,
    quantized,
    search,
)
from ._checks import ConfigMode, KernelName, Metric, PoolMode

_log = logging.getLogger("fastemb")

_Array = _checks.Array

# Those that have kernels of their own.
_MODES: tuple[PoolMode, ...] = ("mean", "max")
_METRICS: tuple[Metric, ...] = ("cosine", "dot")


def _gather(table: _Array, ids: _Array) -> None:
    rows = lookup.gather(table, ids)  # small results go another way, and those that the caller has memory for
    lookup.gather(table, ids, out=rows)
    lookup.gather(table, ids, mode="clip")


def _embed(table: _Array, ids: _Array) -> None:
    ones = np.ones(table.shape[1], np.float32)
    for norm in (None, embedding.LayerNorm(ones, ones), embedding.RMSNorm(ones)):
        embedding.embed(table, ids, positions=table, norm=norm)  # small calls have a kernel of their own
        embedding.embed(table, ids, positions=table, norm=norm, scale=2.0)
    embedding.embed(table, ids, positions=table, segments=table, norm=embedding.LayerNorm(ones, ones), scale=2.0)


def _embed_backward(table: _Array, ids: _Array) -> None:
    ones = np.ones(table.shape[1], np.float32)
    grad = np.ones((*ids.shape, table.shape[1]), table.dtype)
    for scale in (1.0, 2.0):  # small calls have a kernel of their own
        embedding.embed_backward(grad, table, ids, positions=table, norm=embedding.LayerNorm(ones, ones), scale=scale)


def _bags(table: _Array, ids: _Array) -> None:
    for mode in _MODES:
        pooling.embedding_bag(table, ids, mode=mode)  # small calls have kernels of their own
        pooling.embedding_bag(table, ids, mask=ids >= 0, mode=mode)
    for source in (table, _large(table)):  # tables that lie in a cache have kernels of their own
        for mode in _MODES:
            pooling.embedding_bag(source, ids, mode=mode, normalize=True)
        pooling.embedding_bag(source, ids, mode="sum", weights=np.ones(ids.shape, np.float32))
    from ._cpu import static

    rows = static.small_rows(table)
    if rows is not None and ids.dtype == np.int32:  # small calls of static models
        static.small_means(rows, ids[0], None, normalize=False)


def _large(table: _Array) -> _Array:
    """Return a table of zeros that no cache holds; of its pages only those that are read become memory."""
    from ._cpu.kernels.jit import TUNING

    V = max(len(table), TUNING.cached_bytes // (table.shape[1] * table.itemsize) + 1)
    return np.zeros((V, table.shape[1]), table.dtype)


def _bags_backward(table: _Array, ids: _Array) -> None:
    grad = np.ones((len(ids), table.shape[1]), table.dtype)
    for mode in _MODES:
        pooling.embedding_bag_backward(grad, table, ids, mode=mode)  # small calls have a kernel of their own
        pooling.embedding_bag_backward(grad, table, ids, mask=ids >= 0, mode=mode)


def _pool(table: _Array, ids: _Array) -> None:
    for mode in _MODES:
        pooling.pool(table[np.newaxis], mode=mode)
        pooling.pool(table[np.newaxis], np.ones((1, len(table)), bool), mode=mode)
        pooling.pool(table[np.newaxis], mode=mode, normalize=True)
        pooling.pool(table[np.newaxis], np.arange(len(table))[np.newaxis] % 2, mode=mode, normalize=True)
    pooling.pool(table[np.newaxis], mode="weighted_mean")


def _pool_backward(table: _Array, ids: _Array) -> None:
    grad, x = np.ones((1, table.shape[1]), table.dtype), table[np.newaxis]
    for mode in _MODES:
        pooling.pool_backward(grad, x, mode=mode)
    pooling.pool_backward(grad, x, mode="mean", weights=np.ones(x.shape[:2], np.float32))


def _normalize(table: _Array, ids: _Array) -> None:
    pooling.normalize(table)
    pooling.normalize(table, out=table.copy())  # not the small path


def _read_only(array: _Array) -> _Array:
    """Return a view that the small paths do not take."""
    view = array.view()
    view.flags.writeable = False
    return view


def _quantize(table: _Array, ids: _Array) -> None:
    for bits in (8, 4):
        codes = quantized.quantize(table, bits)  # small tables have a kernel of their own
        quantized.quantize(_read_only(table), bits)
        lookup.gather(codes, ids, mode="clip")
        lookup.gather(codes, ids)  # from the second call on a table on there is a small kernel
        pooling.embedding_bag(codes, ids)
        large = _large(codes.codes)
        ones = np.ones(len(large), np.float32)
        pooling.embedding_bag(quantized.QuantizedTable(large, ones, ones, (len(large), table.shape[1]), bits), ids)


def _row_grad(table: _Array, ids: _Array) -> None:
    grad = np.ones((*ids.shape, table.shape[1]), table.dtype)
    gradient.row_grad(ids, grad)  # small calls have a kernel of their own
    gradient.row_grad(ids, _read_only(grad))


def _scatter_add(table: _Array, ids: _Array) -> None:
    rows = table[: ids.shape[1]]
    gradient.scatter_add(table.copy(), ids[0], rows)  # small calls have a kernel of their own
    gradient.scatter_add(table.copy(), ids[0], _read_only(rows))
    many = np.arange(1 << 12, dtype=ids.dtype)  # many ids that hardly repeat are grouped without a sort
    rows = _read_only(np.zeros((many.size, 4), table.dtype))
    gradient.scatter_add(np.zeros((many.size, 4), table.dtype), many, rows)


def _train(*optimizers: optim.SGD | optim.Adagrad | optim.Adam) -> Callable[[_Array, _Array], None]:
    def train(table: _Array, ids: _Array) -> None:
        grad = np.ones((*ids.shape, table.shape[1]), np.float64 if table.itemsize == 8 else np.float32)
        for optimizer in optimizers:
            other = copy.copy(optimizer)  # for each table another
            other.step(other.step_from(table.copy(), ids, grad), gradient.row_grad(ids, grad))

    return train


def _topk(table: _Array, ids: _Array) -> None:
    vectors = np.arange(256 * 64).reshape(256, 64).astype(table.dtype)
    for few in (1, 20):  # few queries and many go different ways
        for metric in _METRICS:
            search.topk(vectors[:few], vectors, 2, metric=metric)  # small calls have a kernel of their own
            search.topk(vectors[:few], _read_only(vectors), 2, metric=metric)


def _rope(table: _Array, ids: _Array) -> None:
    position.rope(table, out=table.copy())  # not the small path
    position.rope(table)


_CALLS: dict[KernelName, Callable[[_Array, _Array], object]] = {
    "Adagrad": _train(optim.Adagrad(), optim.Adagrad(row_wise=True)),
    "Adam": _train(optim.Adam()),
    "AdamW": _train(optim.AdamW()),
    "SGD": _train(optim.SGD(), optim.SGD(momentum=0.9)),
    "embed": _embed,
    "embed_backward": _embed_backward,
    "embedding_bag": _bags,
    "embedding_bag_backward": _bags_backward,
    "gather": _gather,
    "normalize": _normalize,
    "pool": _pool,
    "pool_backward": _pool_backward,
    "quantize": _quantize,
    "rope": _rope,
    "row_grad": _row_grad,
    "scatter_add": _scatter_add,
    "topk": _topk,
}


def warmup(*names: KernelName, dtypes: Any = ("float32",)) -> dict[str, float]:
    """Compile kernels now instead of at their first calls.

    Parameters
    ----------
    *names : str
        Functions of this package that have kernels, such as ``"gather"``. None: all of them.
    dtypes : sequence of dtype, or one dtype
        Those of the tables: float64, float32, float16, bfloat16.

    Returns
    -------
    dict of str to float
        The seconds that each function took.

    Raises
    ------
    TypeError
        If a dtype is not one of these.
    ValueError
        If a name is not that of a function with kernels.

    Notes
    -----
    The commonest forms of each function are called on a few rows, with int32 and int64 ids. What is compiled is
    kept on disk (`show_config` says where), so that another process only reads it: some milliseconds a kernel.
    Progress is logged at level INFO by the logger ``fastemb``.

    Examples
    --------
    >>> import fastemb
    >>> list(fastemb.warmup("gather", "normalize"))
    ['gather', 'normalize']
    """
    kinds = [_dtype(kind) for kind in (dtypes if isinstance(dtypes, list | tuple) else [dtypes])]
    wrong = [name for name in names if not _checks.is_word(name, _checks.KERNEL_NAMES)]
    if wrong:
        words = f"no kernels belong to {_words.shown(wrong[0])}; functions with kernels are"
        raise ValueError(f"{words} {', '.join(_checks.KERNEL_NAMES)}")
    seconds: dict[str, float] = {}
    for name in dict.fromkeys(names or _checks.KERNEL_NAMES):
        start = time.perf_counter()
        for kind in kinds:
            for index in (np.int32, np.int64):
                _CALLS[name](np.ones((8, 64), kind), np.arange(8, dtype=index).reshape(2, 4))
        seconds[name] = time.perf_counter() - start
        _log.info("warmup: %s took %.2f s", name, seconds[name])
    return seconds


def _dtype(kind: Any) -> np.dtype[Any]:
    """Return a dtype, also by the names that NumPy knows only when ml_dtypes is loaded."""
    if isinstance(kind, str) and kind == "bfloat16":
        import ml_dtypes

        kind = ml_dtypes.bfloat16
    try:
        dtype: np.dtype[Any] = np.dtype(object if kind is None else kind)  # None would be float64
    except (TypeError, ValueError):
        few = "float64, float32, float16 or bfloat16"
        raise TypeError(f"dtypes must be of {few}, by NumPy's names or types, got {_words.shown(kind)}") from None
    _checks.require_float(np.empty(0, dtype), "dtypes")
    return dtype


def show_config(mode: ConfigMode = "stdout") -> dict[str, dict[str, str]] | None:
    """Print what this installation runs on.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return the same as dicts.

    Returns
    -------
    dict of str to dict, or None
        Sections of names and values, with mode ``"dicts"``.

    Raises
    ------
    ValueError
        If `mode` is neither of the two, or an environment variable of fastemb holds nonsense.

    Examples
    --------
    >>> import fastemb
    >>> sorted(fastemb.show_config("dicts"))
    ['CUDA', 'memory', 'processor', 'threads', 'versions']
    """
    _checks.require_word(mode, _checks.CONFIG_MODES, "mode")
    import llvmlite
    import numba

    from . import __version__
    from ._cpu.kernels import jit

    config = {
        "versions": {
            "fastemb": __version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            "Numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
            "ml_dtypes": "installed" if importlib.util.find_spec("ml_dtypes") else "not installed (no bfloat16)",
        },
        "processor": {
            "machine": platform.machine(),
            "compiled for": jit.processor(),
            "tuning": jit.TUNING_NAME,
            "features used": ", ".join(name for name in ("avx512f", "avx2", "f16c") if jit.machine_has(name)) or "none",
        },
        "threads": {"a call may use": str(_threads.get_num_threads()), "processors": str(os.cpu_count())},
        "memory": {
            "pool of results, bytes kept at most": str(_memory.pool_capacity()),
            "compiled kernels": jit.cache_folder() or "not kept",
        },
        "CUDA": _cuda_config(),
    }
    if mode == "dicts":
        return config
    for section, lines in config.items():
        print(f"{section}:")
        for name, value in lines.items():
            print(f"  {name}: {value}")
    return None


def _cuda_config() -> dict[str, str]:
    """Return what arrays on CUDA devices run on; no driver is asked."""
    if importlib.util.find_spec("numba_cuda") is None:
        return {"numba-cuda": "not installed (no arrays on CUDA devices: pip install 'fastemb[cuda13]')"}
    from ._cuda.driver import cache_folder

    folder = cache_folder()
    return {
        "numba-cuda": importlib.metadata.version("numba-cuda"),
        "wrong values are said": _cuda_check.asked,
        "compiled kernels": str(folder) if folder else "not kept",
    }
