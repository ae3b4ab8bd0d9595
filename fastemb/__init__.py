"""fastemb: the first layer of a language model, at the speed of memory.

Text to token ids to vectors to one vector per text. Every public name stands here and is loaded when it is
first used, so ``import fastemb`` costs little: it imports neither Numba nor a framework.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Adagrad": "optim",
    "Adam": "optim",
    "AdamW": "optim",
    "BagGrad": "pooling",
    "EmbedGrad": "embedding",
    "Encoded": "encoded",
    "Evaluation": "word_vectors",
    "LayerNorm": "embedding",
    "Padding": "encoded",
    "PoolGrad": "pooling",
    "QuantizedTable": "quantized",
    "RMSNorm": "embedding",
    "Ragged": "ragged",
    "RowGrad": "gradient",
    "SGD": "optim",
    "StaticModel": "static",
    "Tokenizer": "tokenizer",
    "Truncation": "encoded",
    "WindowVectors": "static",
    "alibi": "position",
    "cuda_check": "_cuda_check",
    "embed": "embedding",
    "embed_backward": "embedding",
    "embedding_bag": "pooling",
    "embedding_bag_backward": "pooling",
    "evaluate": "word_vectors",
    "gather": "lookup",
    "get_num_threads": "_threads",
    "normalize": "pooling",
    "num_threads": "_threads",
    "pool": "pooling",
    "pool_backward": "pooling",
    "prefetch": "lookup",
    "quantize": "quantized",
    "rope": "position",
    "rope_frequencies": "position",
    "row_grad": "gradient",
    "scatter_add": "gradient",
    "set_cuda_check": "_cuda_check",
    "set_num_threads": "_threads",
    "show_config": "_warmup",
    "sinusoidal": "position",
    "topk": "search",
    "train_vectors": "word_vectors",
    "warmup": "_warmup",
}

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "BagGrad",
    "EmbedGrad",
    "Encoded",
    "Evaluation",
    "LayerNorm",
    "Padding",
    "PoolGrad",
    "QuantizedTable",
    "RMSNorm",
    "Ragged",
    "RowGrad",
    "StaticModel",
    "Tokenizer",
    "Truncation",
    "WindowVectors",
    "__version__",
    "alibi",
    "cuda_check",
    "embed",
    "embed_backward",
    "embedding_bag",
    "embedding_bag_backward",
    "evaluate",
    "gather",
    "get_num_threads",
    "normalize",
    "num_threads",
    "pool",
    "pool_backward",
    "prefetch",
    "quantize",
    "rope",
    "rope_frequencies",
    "row_grad",
    "scatter_add",
    "set_cuda_check",
    "set_num_threads",
    "show_config",
    "sinusoidal",
    "topk",
    "train_vectors",
    "warmup",
]

if TYPE_CHECKING:
    from fastemb._cuda_check import cuda_check, set_cuda_check
    from fastemb._threads import get_num_threads, num_threads, set_num_threads
    from fastemb._warmup import show_config, warmup
    from fastemb.embedding import EmbedGrad, LayerNorm, RMSNorm, embed, embed_backward
    from fastemb.encoded import Encoded, Padding, Truncation
    from fastemb.gradient import RowGrad, row_grad, scatter_add
    from fastemb.lookup import gather, prefetch
    from fastemb.optim import SGD, Adagrad, Adam, AdamW
    from fastemb.pooling import BagGrad, PoolGrad, embedding_bag, embedding_bag_backward, normalize, pool, pool_backward
    from fastemb.position import alibi, rope, rope_frequencies, sinusoidal
    from fastemb.quantized import QuantizedTable, quantize
    from fastemb.ragged import Ragged
    from fastemb.search import topk
    from fastemb.static import StaticModel, WindowVectors
    from fastemb.tokenizer import Tokenizer
    from fastemb.word_vectors import Evaluation, evaluate, train_vectors


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastemb' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"fastemb.{_HOMES[name]}"), name)
    except ImportError as error:
        if error.name != "fastemb._text._core":
            raise
        raise ImportError(f"{error}{SOURCE_TREE_HINT}", name=error.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def _built(folder: str) -> bool:
    return any(
        os.path.isfile(os.path.join(folder, "_text", "_core" + suffix))
        for suffix in importlib.machinery.EXTENSION_SUFFIXES
    )


def _leave_source_tree(here: str) -> str:
    """Make way for an installed fastemb where this one is a source tree that was never built.

    From the root of a clone, ``python -m fastemb`` finds this folder before the installed package. Without
    its compiled module it could not work, so the submodules are taken from the installed package. Returns what the
    ImportError of the compiled module should add where no package is installed.
    """
    if _built(here):
        return ""
    for place in sys.path:
        folder = os.path.join(os.path.abspath(place), "fastemb")
        if folder != here and _built(folder):
            __path__[:] = [folder]
            return ""
    return (
        f"\n{here} is a source tree that has not been built: run `pip install .` (or `pip install -e .`) in its parent."
    )


SOURCE_TREE_HINT = _leave_source_tree(os.path.dirname(os.path.abspath(__file__)))
