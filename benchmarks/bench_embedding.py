"""The first layer of a transformer: rows by id, positions, segments and LayerNorm in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastemb
from fastemb.embedding import LayerNorm, embed, embed_backward

from .measure import Measure

B, T = 32, 512
FLOOR = "gather(out=) (the floor)"
TABLES = [(30_522, 768), (128_256, 768)]  # what is asked of LayerNorm against torch is asked of the first
TABLE = pytest.mark.parametrize("table", TABLES, indirect=True, ids=lambda table: f"{table[0]}x{table[1]}")


def rows(count: int, D: int, seed: int) -> npt.NDArray[np.float32]:
    """Return random rows around zero."""
    return np.random.default_rng(seed).standard_normal((count, D), np.float32)


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> npt.NDArray[np.float32]:
    """Return a table of random rows; the next one takes its place, as the largest needs 400 MB."""
    return rows(*request.param, seed=1)


def draw_ids(V: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ids, evenly drawn, and two segments for each text."""
    rng = np.random.default_rng(2)
    return rng.integers(0, V, (B, T)), (np.arange(T) >= rng.integers(0, T, (B, 1))).astype(np.int64)


def close(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    """Two results are the same, but for the rounding of sums along rows."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 2e-5


def torch_one_thread() -> Any:
    """Import torch, with one thread and no gradients."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


def without_gradients(torch: Any, call: Callable[[], Any]) -> Callable[[], npt.NDArray[Any]]:
    """Return the call of a torch function whose result becomes a NumPy array, which copies nothing."""

    def run() -> npt.NDArray[Any]:
        with torch.inference_mode():
            return call().numpy()  # type: ignore[no-any-return]

    return run


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["torch", "NumPy", FLOOR, "fastemb"])
@TABLE
def test_positions(measure: Measure, table: npt.NDArray[np.float32], name: str) -> None:
    (V, D), (ids, _) = table.shape, draw_ids(len(table))
    positions = rows(T, D, 3)
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": functools.partial(embed, table, ids, positions=positions),
        "NumPy": lambda: table[ids] + positions,
    }
    if name == FLOOR:
        calls |= bare_lookup(table, ids)
    if name == "torch":
        torch = torch_one_thread()
        a, b, c = map(torch.from_numpy, (table, ids, positions))
        calls["torch"] = without_gradients(torch, lambda: torch.nn.functional.embedding(b, a) + c)
    measure(
        "embed, positions",
        f"{V:,} x {D} float32, {B} x {T} ids",
        calls,
        name,
        asked={"NumPy": 3, "torch": 4},
        agree=None if name == FLOOR else close,
        moved=ids.nbytes + positions.nbytes + 2 * B * T * D * 4,
        counts={"tokens": B * T},
    )


def bare_lookup(table: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> dict[str, Callable[[], Any]]:
    """Return the least that any such pass has to do. Its result is another, so none are compared."""
    out = np.zeros((*ids.shape, table.shape[1]), table.dtype)
    return {FLOOR: lambda: fastemb.gather(table, ids, out=out)}


def layer_norm_calls(
    table: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], name: str
) -> dict[str, Callable[[], Any]]:
    """Return the contenders for the first layer of BERT."""
    D = table.shape[1]
    positions, segments, (weight, bias) = rows(T, D, 3), rows(2, D, 4), rows(2, D, 5)
    norm = LayerNorm(weight, bias)
    calls: dict[str, Callable[[], Any]] = {
        "fastemb": lambda: embed(table, ids, positions=positions, segments=segments, segment_ids=kinds, norm=norm),
    }
    if name == "torch":
        torch = torch_one_thread()
        look_up, normalize = torch.nn.functional.embedding, torch.nn.functional.layer_norm
        words, places, types, w, b = map(torch.from_numpy, (table, positions, segments, weight, bias))
        which, kind, order = torch.from_numpy(ids), torch.from_numpy(kinds), torch.arange(T)
        calls["torch"] = without_gradients(
            torch,
            lambda: normalize(
                look_up(which, words) + look_up(order, places) + look_up(kind, types), (D,), w, b, norm.eps
            ),
        )
    if name == "ONNX Runtime":
        tables = {"table": table, "positions": positions, "segments": segments, "weight": weight, "bias": bias}
        session = onnx_session(tables, norm.eps)
        given = {"ids": ids.astype(np.int32), "kinds": kinds.astype(np.int32)} | tables
        calls["ONNX Runtime"] = lambda: session.run(["result"], given)[0]
    return calls


def onnx_session(tables: dict[str, npt.NDArray[Any]], eps: float) -> Any:
    """Return a session of one node, ``EmbedLayerNormalization``, with one thread.

    Tables are inputs, which it reads where NumPy has them: its own copies would lie on small pages, and take 2 to 4 %
    longer.
    """
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    value, number = onnx.helper.make_tensor_value_info, onnx.TensorProto
    node = onnx.helper.make_node(
        "EmbedLayerNormalization", ["ids", "kinds", *tables], ["result", "mask"], domain="com.microsoft", epsilon=eps
    )  # fmt: skip
    graph = onnx.helper.make_graph(
        [node],
        "bert",
        [
            *(value(name, number.INT32, [B, T]) for name in ("ids", "kinds")),
            *(value(name, number.FLOAT, list(array.shape)) for name, array in tables.items()),
        ],
        [value("result", number.FLOAT, [B, T, tables["table"].shape[1]]), value("mask", number.INT32, [B])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    )
    model.ir_version = 8
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["torch", "ONNX Runtime", FLOOR, "fastemb"])
@TABLE
def test_layer_norm(measure: Measure, table: npt.NDArray[np.float32], name: str) -> None:
    (V, D), (ids, kinds) = table.shape, draw_ids(len(table))
    asked = {FLOOR: 1 / 1.8, "ONNX Runtime": 4} | ({"torch": 6} if len(table) == TABLES[0][0] else {})
    calls = layer_norm_calls(table, ids, kinds, name) | (bare_lookup(table, ids) if name == FLOOR else {})
    measure(
        "embed, positions, segments, LayerNorm",
        f"{V:,} x {D} float32, {B} x {T} ids",
        calls,
        name,
        asked=asked,
        agree=None if name == FLOOR else close,
        moved=ids.nbytes + kinds.nbytes + (T + 2) * D * 4 + 2 * B * T * D * 4,
        counts={"tokens": B * T},
    )


@pytest.mark.allocates
@pytest.mark.parametrize("name", ["torch", "fastemb"])
@pytest.mark.parametrize("table", TABLES[:1], indirect=True, ids=lambda table: f"{table[0]}x{table[1]}")
def test_layer_norm_backward(measure: Measure, table: npt.NDArray[np.float32], name: str) -> None:
    """All gradients; torch keeps the table's sparse and, from its forward pass, the sums."""
    (V, D), (ids, kinds) = table.shape, draw_ids(len(table))
    positions, segments, (weight, bias) = rows(T, D, 3), rows(2, D, 4), rows(2, D, 5)
    grad = rows(B * T, D, 6).reshape(B, T, D)

    def ours() -> npt.NDArray[Any]:
        found = embed_backward(
            grad, table, ids, positions=positions, segments=segments, segment_ids=kinds, norm=LayerNorm(weight, bias)
        )
        assert found.positions is not None
        return found.positions

    calls: dict[str, Callable[[], Any]] = {"fastemb": ours}
    if name == "torch":
        torch = torch_one_thread()
        look_up, normalize = torch.nn.functional.embedding, torch.nn.functional.layer_norm
        leaves = [torch.from_numpy(array).requires_grad_() for array in (table, positions, segments, weight, bias)]
        which, kind, order = torch.from_numpy(ids), torch.from_numpy(kinds), torch.arange(T)
        words, places, types = leaves[:3]
        x = look_up(which, words, sparse=True) + look_up(order, places) + look_up(kind, types)
        y, above = normalize(x, (D,), *leaves[3:]), torch.from_numpy(grad)

        def theirs() -> npt.NDArray[Any]:
            found = torch.autograd.grad(y, leaves, above, retain_graph=True)
            found[0].coalesce()
            return found[1].numpy()  # type: ignore[no-any-return]

        calls["torch"] = theirs
    measure(
        "embed_backward, LayerNorm", f"{V:,} x {D} float32, {B} x {T} ids", calls, name, agree=close_rows,
        rounds=7, counts={"tokens": B * T},
    )  # fmt: skip


def close_rows(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    """Two gradients are the same, but for the order of sums."""
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()
