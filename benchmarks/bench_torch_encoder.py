"""fastemb.torch's modules of encoders against the same of torch's operations; a batch of texts, and one short text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from .measure import Measure

torch = pytest.importorskip("torch", reason="the package torch is not installed")
import fastemb.torch as ft  # noqa: E402

LARGE, SMALL = (32, 128, 384), (1, 16, 64)
NAMES = pytest.mark.parametrize("name", ["torch", "fastemb"])
SIZES = pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
BACKWARD = pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward and backward"])

Call = Callable[..., Any]


class Embeddings(torch.nn.Module):
    """BERT's first layer of torch's own layers."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.parts = ours.word_embeddings, ours.position_embeddings, ours.token_type_embeddings, ours.LayerNorm

    def forward(self, ids: Any) -> Any:
        """Add and normalise."""
        words, positions, kinds, norm = self.parts
        return norm(words(ids) + kinds(torch.zeros_like(ids)) + positions(torch.arange(ids.shape[1])))


def mean(x: Any, mask: Any) -> Any:
    """Pool as sentence-transformers does."""
    kept = mask.unsqueeze(-1).to(x.dtype)
    return (x * kept).sum(1) / kept.sum(1).clamp(min=1e-9)


def turned(x: Any, cos: Any, sin: Any) -> Any:
    """Turn as Hugging Face's ``apply_rotary_pos_emb`` does, its cosines and sines made before."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def run(call: Call, leaf: Any, grad: Any, backward: bool) -> npt.NDArray[Any]:
    """Return rows of the result, or those of a gradient."""
    if not backward:
        rows: npt.NDArray[Any] = call().detach().numpy()
        return rows.reshape(-1, rows.shape[-1])
    leaf.grad = None
    call().backward(grad)
    found: npt.NDArray[Any] = leaf.grad.numpy()
    return found.reshape(-1, found.shape[-1])


def close(a: Any, b: Any) -> None:
    """Compare sums of the same numbers in another order."""
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def compare(
    measure: Measure, name: str, what: str, size: tuple[int, int, int], leaf: Any, made: dict[str, Call], backward: bool
) -> None:
    """Measure both; torch keeps to one thread."""
    torch.set_num_threads(1)
    grad = torch.from_numpy(np.random.default_rng(1).standard_normal(made["torch"]().shape).astype(np.float32))
    calls = {one: functools.partial(run, call, leaf, grad, backward) for one, call in made.items()}
    how = f"{size[0]} x {size[1]} x {size[2]} float32, {'forward and backward' if backward else 'forward'}"
    measure(what, how, calls, name, agree=close, asked=1 / 2 if backward and size is SMALL else None)


@pytest.mark.allocates
@NAMES
@BACKWARD
@SIZES
def test_first_layer(measure: Measure, size: tuple[int, int, int], backward: bool, name: str) -> None:
    torch.manual_seed(0)
    B, T, D = size
    ours = ft.TokenPositionEmbedding(30_522 if size is LARGE else 1000, D, 512, 2)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 1000, (B, T)))
    made = {"torch": functools.partial(Embeddings(ours), ids), "fastemb": functools.partial(ours, ids)}
    compare(measure, name, "torch.TokenPositionEmbedding", size, ours.word_embeddings.weight, made, backward)


@pytest.mark.allocates
@NAMES
@BACKWARD
@SIZES
def test_pooling(measure: Measure, size: tuple[int, int, int], backward: bool, name: str) -> None:
    B, T, D = size
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((B, T, D), np.float32)).requires_grad_()
    mask = (torch.arange(T) < torch.linspace(T // 2, T, B).unsqueeze(1)).long()
    module, features = ft.Pooling(D), {"token_embeddings": x, "attention_mask": mask}
    made: dict[str, Call] = {
        "torch": functools.partial(mean, x, mask), "fastemb": lambda: module(features)["sentence_embedding"]
    }  # fmt: skip
    compare(measure, name, "torch.Pooling", size, x, made, backward)


@pytest.mark.allocates
@NAMES
@BACKWARD
@SIZES
def test_rotary(measure: Measure, size: tuple[int, int, int], backward: bool, name: str) -> None:
    B, T, D = size
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((B, 4, T, D), np.float32)).requires_grad_()
    angles = torch.arange(T).unsqueeze(1) * 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    cos, sin = (torch.cat([part, part], -1).float() for part in (angles.cos(), angles.sin()))
    made = {"torch": functools.partial(turned, x, cos, sin), "fastemb": functools.partial(ft.Rotary(D), x)}
    compare(measure, name, "torch.Rotary", size, x, made, backward)
