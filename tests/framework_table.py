"""What is taken of other frameworks, what is copied and what refused, found by doing it: the tables of a page of docs.

``python tests/framework_table.py`` writes them anew into docs/frameworks.md; a test compares.
"""

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from framework_cases import Foreign

from fastemb import Ragged, _frameworks, _memory

sys.path.append(str(Path(__file__).parent / "cuda"))
import fakes

PAGE = Path(__file__).parent.parent / "docs/frameworks.md"
BEGIN, END = "<!-- tables: written by tests/framework_table.py -->\n", "<!-- end of tables -->\n"
TABLE = np.random.default_rng(0).standard_normal((6, 4), np.float32)
IDS, ROWS = np.arange(6), [[3, 1], [], [2]]


def torch_cases():
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    table = torch.from_numpy(TABLE)
    leaf = table.clone().requires_grad_()
    z = torch.complex(table, table)
    with FakeTensorMode():
        fake = torch.empty(6, 4)
    yield "tensor, of any strides", table.t(), table.data_ptr()
    half = table.bfloat16()
    yield "tensor of bfloat16 (needs ml_dtypes)", half, half.data_ptr()
    yield "tensor with a negative or conjugate mark", z.conj().imag, z.imag.data_ptr()
    yield "tensor that requires grad, while grad mode is on", leaf, leaf.data_ptr()
    yield "the same, under `torch.no_grad()`", (leaf, torch.no_grad), leaf.data_ptr()
    parts = [torch.tensor(row, dtype=torch.int64) for row in ROWS]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    yield "nested tensor, jagged", nested, nested.values().data_ptr()
    yield "nested tensor, strided", torch.nested.nested_tensor(parts), None
    yield "sparse tensor", table.to_sparse(), None
    yield "tensor on meta", torch.empty(6, 4, device="meta"), None
    yield "FakeTensor", fake, None


def jax_cases():
    import jax

    array = jax.numpy.asarray(TABLE)
    yield "array, of any dtype", array, array.unsafe_buffer_pointer()
    quarter = array.astype("int4")
    yield "but of numbers of 4 bits", quarter, quarter.unsafe_buffer_pointer()
    seen = []
    jax.jit(lambda x: seen.append(x) or x)(array)
    yield "tracer (inside jit, grad, vmap)", seen[0], None


def pyarrow_cases():
    import pyarrow as pa

    numbers = pa.array(TABLE.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(numbers, 4)
    yield "array of numbers", numbers, TABLE.ctypes.data
    yield "fixed_size_list array: (N, D)", lists, TABLE.ctypes.data
    yield "chunked array, one chunk", pa.chunked_array([lists]), TABLE.ctypes.data
    yield "chunked array, more chunks", pa.chunked_array([lists[:2], lists[2:]]), TABLE.ctypes.data
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(TABLE)
    yield "array of fixed-shape tensors", tensors, tensors.storage.flatten().buffers()[1].address
    yield "tensor", pa.Tensor.from_numpy(TABLE), TABLE.ctypes.data
    ragged = pa.array(ROWS, pa.list_(pa.int32()))
    yield "list or large_list array", ragged, ragged.values.buffers()[1].address
    yield "array of booleans", pa.array([True, False]), 0
    yield "array with nulls", pa.array([1, None]), None
    yield "dictionary, string, list_view and others", pa.array(["a"]), None


def polars_cases():
    import polars as pl

    table = pl.Series(TABLE)
    yield "series of numbers, and of Array: (N, D)", table, table.to_numpy().ctypes.data
    yield "series of more chunks", pl.concat([table, table], rechunk=False), 0
    yield "series of List", pl.Series(ROWS), 0
    yield "series of Boolean", pl.Series([True, False]), 0
    yield "series with nulls", pl.Series([1, None]), None
    yield "String, Date, Decimal and others", pl.Series(["a"]), None


class OtherDevice(Foreign):
    """The same on a device of another maker."""

    def __dlpack_device__(self):
        return 10, 0


OtherDevice.__module__ = "library"


def dlpack_cases():
    sys.modules.setdefault("library", types.SimpleNamespace(from_dlpack=Foreign))
    yield "array on the CPU", Foreign(TABLE), TABLE.ctypes.data
    yield "array on a device that is neither the CPU nor a GPU of NVIDIA", OtherDevice(TABLE), None


def gpu_cases(patch):
    """Yield arrays that say that they lie on a GPU; their memory is the CPU's."""
    import torch

    at = TABLE.ctypes.data
    make = fakes.torch_on_gpus(torch, patch)
    yield "tensor of torch", make(TABLE), at
    yield "tensor of torch with a negative mark", make(np.stack([TABLE, TABLE], 2)).view(torch.float32)._neg_view(), 0
    yield "array of CuPy", fakes.CuPyArray(TABLE), at
    yield "array of JAX", fakes.JaxArray(TABLE), at
    yield "array of JAX on several GPUs", fakes.JaxArray(TABLE, (0, 1)), at
    yield "device array of Numba", fakes.NumbaArray(TABLE, stream=fakes.STREAMS[0]), at
    yield "`__cuda_array_interface__` that names a stream", fakes.InterfaceArray(TABLE, stream=fakes.STREAMS[0]), at
    yield "`__cuda_array_interface__` that names none", fakes.InterfaceArray(TABLE), at
    yield "the same with a mask, or of bytes (`<V2`)", fakes.InterfaceArray(TABLE, typestr="<V4"), at
    yield "DLPack", fakes.DLPackArray(TABLE), at


FRAMEWORKS = {
    "torch": torch_cases, "JAX": jax_cases, "PyArrow": pyarrow_cases, "Polars": polars_cases,
    "Anything else with DLPack": dlpack_cases,
}  # fmt: skip


def read(array, name, address):
    """Return how an array is read or written: in place, as a copy, or not at all."""
    framework = _frameworks.of(array)
    try:
        if name == "ids" and framework.is_lists(array):
            ids, offsets = framework.lists(array)
            assert isinstance(Ragged(ids, offsets), Ragged)
            return "a `Ragged` of a view" if ids.ctypes.data == address else "a `Ragged` of a copy"
        view = framework.view(array, name)
    except (TypeError, ValueError) as error:
        return type(error).__name__
    there = view.pointer if type(view) is _frameworks.DeviceArray else view.ctypes.data
    return "in place" if there == address else "copied"


def address_of(result):
    """Return where the numbers of a result lie."""
    if hasattr(result, "data_ptr"):
        return result.data_ptr()
    if hasattr(result, "unsafe_buffer_pointer"):
        return result.unsafe_buffer_pointer()
    if hasattr(result, "num_chunks"):
        result = result.chunk(0)
    if isinstance(result, Foreign):
        return result.array.ctypes.data
    if hasattr(result, "to_numpy_ndarray"):
        return result.to_numpy_ndarray().ctypes.data
    while hasattr(getattr(result, "type", None), "list_size"):
        result = result.flatten()
    return result.to_numpy().ctypes.data


def results(array):
    """Return whether results share the memory of ours: small ones, and those of a MiB."""
    shared = []
    for shape in ((4, 4), (1 << 12, 1 << 7)):
        made = _memory.empty(shape, np.float32)
        shared.append(address_of(_frameworks.of(array).result(made)) == made.ctypes.data)
    return {(True, True): "shared", (False, True): "large ones shared", (False, False): "copied"}[tuple(shared)]


def one_row(what, array, address):
    """Return a row of a table."""
    mode = None
    if isinstance(array, tuple):
        array, mode = array
    with mode() if mode else warnings.catch_warnings():
        cells = [read(array, name, address) for name in ("table", "ids", "out")]
        cells.append(results(array) if cells[0] in ("in place", "copied") else "")
    return f"| {what} | {' | '.join(cells)} |\n"


def gpu_row(what, array, address):
    """Return a row of the table of GPUs: whose results are, and where the work goes."""
    cells = [read(array, name, address) for name in ("table", "ids", "out")]
    if "Error" in cells[0]:
        return f"| {what} | {' | '.join(cells)} |  |  |\n"
    framework = _frameworks.of(array)
    like = framework.view(array, "table")
    made = framework.empty((2, 3), np.dtype("f4"), like)
    stream = "its stream" if like.stream == fakes.STREAMS[0] else "the default stream"
    wait = ", with waits of the host" if like.waits else ""
    return f"| {what} | {' | '.join(cells)} | {_frameworks.of(made.owner).name}'s | {stream}{wait} |\n"


def gpu_table():
    """Return the table of GPUs."""
    head = "| | as a table, `x`, `grad` | as ids and their like | as `out`, `target` | results | work goes on |"
    with pytest.MonkeyPatch.context() as patch, fakes.installed():
        rows = "".join(gpu_row(*case) for case in gpu_cases(patch))
    return f"\n### On a GPU of NVIDIA\n\n{head}\n|---|---|---|---|---|---|\n{rows}"


def tables():
    """Return all tables, as Markdown."""
    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # prototypes, some of these are
        for name, cases in FRAMEWORKS.items():
            parts.append(f"\n### {name}\n\n| | as a table, `x`, `grad` | as ids and their like | as `out`, `target` |")
            parts.append(" results |\n|---|---|---|---|---|\n")
            parts += [one_row(*case) for case in cases()]
        parts.append(gpu_table())
    return "".join(parts) + "\n"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + tables() + END + rest.partition(END)[2], encoding="utf-8")
