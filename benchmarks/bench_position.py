"""Where tokens stand: rope against the formula of Hugging Face's models, in torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import fastemb

from .measure import Measure

BATCH, STEP = (8, 12, 512, 64), (8, 12, 1, 64)
RIVAL = "Hugging Face's formula in torch"
# Their angles are float32: off by up to 2e-7 of a position, so by 1e-4 of a pair's length at 511.
NEAR = {np.dtype(np.float32): 5e-4, np.dtype(ml_dtypes.bfloat16): 0.06}


@pytest.fixture(name="torch")
def torch_fixture() -> Iterator[Any]:
    """Return torch with one thread and without gradients."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield torch
    torch.set_num_threads(threads)


def draw(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return queries."""
    return np.random.default_rng(1).standard_normal(shape, np.float32).astype(dtype, copy=False)


def to_torch(torch: Any, x: npt.NDArray[Any]) -> Any:
    """Return the same memory; torch does not know NumPy's bfloat16."""
    return torch.from_numpy(x) if x.dtype == np.float32 else torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)


def theirs(torch: Any, x: npt.NDArray[Any], first: int = 0) -> Callable[[], Any]:
    """Return half of ``apply_rotary_pos_emb``, which turns queries and keys; cosines and sines lie ready."""
    q, (T, D) = to_torch(torch, x), x.shape[-2:]
    frequencies = 1.0 / (10000 ** (torch.arange(0, D, 2, dtype=torch.int64).float() / D))
    angles = torch.outer(torch.arange(first, first + T).float(), frequencies)
    both = torch.cat((angles, angles), dim=-1)
    cos, sin = both.cos().to(q.dtype)[None].unsqueeze(1), both.sin().to(q.dtype)[None].unsqueeze(1)

    def rotate_half(x: Any) -> Any:
        x1 = x[..., : x.shape[-1] // 2]
        x2 = x[..., x.shape[-1] // 2 :]
        return torch.cat((-x2, x1), dim=-1)

    return lambda: (q * cos) + (rotate_half(q) * sin)


def near(a: Any, b: Any) -> None:
    """Two results, of NumPy or torch, are equal but for the rounding of angles, and of what lies between."""
    arrays = [result if isinstance(result, np.ndarray) else result.float().numpy() for result in (a, b)]
    kinds = [result.dtype for result in (a, b) if isinstance(result, np.ndarray)]
    tolerance = NEAR[kinds[0]] if kinds else 0.0
    np.testing.assert_allclose(*(array.astype(np.float32) for array in arrays), rtol=0, atol=tolerance)


@pytest.mark.allocates
@pytest.mark.parametrize("name", [RIVAL, "fastemb"])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_rope(measure: Measure, torch: Any, dtype: Any, name: str) -> None:
    x = draw(BATCH, dtype)
    calls = {"fastemb": functools.partial(fastemb.rope, x), RIVAL: theirs(torch, x)}
    asked = 2 if dtype == np.float32 else None
    measure("rope", f"{BATCH} {x.dtype}", calls, name, agree=near, moved=2 * x.nbytes, asked=asked)


@pytest.mark.parametrize("name", [RIVAL, "fastemb"])
def test_rope_in_place(measure: Measure, torch: Any, name: str) -> None:
    """Theirs cannot, and makes a new result. Turned again and again: so the results are compared above alone."""
    x, other = draw(BATCH, np.float32), draw(BATCH, np.float32)
    calls = {"fastemb": functools.partial(fastemb.rope, x, out=x), RIVAL: theirs(torch, other)}
    measure("rope, in place", f"{BATCH} {x.dtype}", calls, name, agree=None, moved=2 * x.nbytes)


@pytest.mark.parametrize("name", [RIVAL, "fastemb"])
def test_rope_of_one_token(measure: Measure, torch: Any, name: str) -> None:
    """One step of decoding."""
    x, position = draw(STEP, np.float32), np.full((8, 1, 1), 511)
    calls = {"fastemb": functools.partial(fastemb.rope, x, position), RIVAL: theirs(torch, x, 511)}
    measure("rope, one token", f"{STEP} {x.dtype}", calls, name, agree=near, moved=2 * x.nbytes, asked=1 / 0.7)


def sines_in_numpy(length: int, dim: int) -> npt.NDArray[np.float32]:
    angles = np.arange(length)[:, np.newaxis] / 10000.0 ** (np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angles), np.cos(angles)], axis=2, dtype=np.float32).reshape(length, dim)


def biases_in_numpy(heads: int, length: int) -> npt.NDArray[np.float32]:
    slopes, places = 2.0 ** (-8 * np.arange(1, heads + 1) / heads), np.arange(length)
    return (slopes[:, np.newaxis, np.newaxis] * -np.abs(places - places[:, np.newaxis])).astype(np.float32)


@pytest.mark.parametrize("name", ["NumPy", "fastemb"])
@pytest.mark.parametrize(
    ("ours", "rival", "sizes"),
    [(fastemb.sinusoidal, sines_in_numpy, (16, 64)), (fastemb.alibi, biases_in_numpy, (8, 16))],
    ids=["sinusoidal", "alibi"],
)
def test_small_tables(
    measure: Measure, ours: Callable[..., Any], rival: Callable[..., Any], sizes: tuple[int, int], name: str
) -> None:
    calls = {"fastemb": functools.partial(ours, *sizes), "NumPy": functools.partial(rival, *sizes)}
    measure("small calls", f"{ours.__name__}{sizes}", calls, name, agree=near_in_float32)


def near_in_float32(a: Any, b: Any) -> None:
    """Two tables are the same but for the last place: both are made in float64."""
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
