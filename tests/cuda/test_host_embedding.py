"""What a GPU would be told of embed and of its gradients: which kernels, and how many threads a row."""

import numpy as np
import pytest
from fakes import STREAMS, CuPyArray

from fastemb.embedding import LayerNorm, RMSNorm, embed, embed_backward

pytestmark = pytest.mark.usefixtures("libraries")


def there(array):
    return CuPyArray(np.array(array, copy=True))


def zeros(*shape, dtype="f4"):
    return there(np.zeros(shape, dtype))


IDS = there(np.arange(96).reshape(3, 32))


def test_one_launch(gpu, libraries):
    """BERT's first layer: a warp has a row, six words a thread; the kernel is told where everything lies."""
    table, positions, segments = zeros(99, 768), zeros(32, 768), zeros(2, 768)
    weight, bias, kinds = zeros(768), zeros(768), there(np.zeros((3, 32), int))
    options = {"positions": positions, "segments": segments, "segment_ids": kinds, "scale": 1.0}
    result = embed(table, IDS, **options, norm=LayerNorm(weight, bias, 0.5))
    (one,) = gpu.launches
    assert one.name == "embed_int64_float32_counted_int64_float32_False_False_False_layer_float32_True_float32_4_6_32"
    assert (one.grid, one.block, one.stream, one.shared) == ((12, 1), (32, 8), STREAMS[0], 0)
    assert one.types == "qqqqqqfqqqqqqqqqqqqqqqqqqqffqq"
    address = next(address for address, memory in gpu.memory.items() if memory.nbytes > 8)
    mark = 1 << 41  # of the first call; of faults a bad offset comes first, then ids, position ids, segment ids
    assert one.values == (
        table.data.ptr, 3072, IDS.data.ptr, 99, 0, 0, 1.0,
        positions.data.ptr, 3072, 0, 32, 32, mark + (2 << 38), segments.data.ptr, 3072, kinds.data.ptr, 96, 2,
        mark + (3 << 38), 0, 96, 192, address, mark + (1 << 38),
        weight.data.ptr, bias.data.ptr, 1 / 768, 0.5, result.data.ptr, 3072,
    )  # fmt: skip
    assert libraries.cupy.calls == [("empty", 0)]


@pytest.mark.parametrize(
    ("dtype", "D", "shift", "kernel", "block"),
    [
        ("f4", 768, 0, "4_6_32", (32, 8)),
        ("f4", 768, 4, "1_8_96", (96, 1)),
        ("f4", 769, 0, "1_7_128", (128, 1)),
        ("f4", 64, 0, "4_2_8", (8, 32)),
        ("f2", 64, 0, "8_1_8", (8, 32)),
        ("f2", 1024, 0, "8_4_32", (32, 8)),
        ("f2", 4096, 0, "8_4_128", (128, 1)),
        ("f8", 16, 0, "2_1_8", (8, 32)),
        ("f4", 16384, 0, "4_8_512", (512, 1)),
        ("f4", 16388, 0, "4_1_256", (256, 1)),
    ],
)
def test_threads_of_a_row(gpu, dtype, D, shift, kernel, block):
    """Columns a word, words a thread, threads: and, for the largest rows, the kernel that goes in turns."""
    size = np.dtype(dtype).itemsize
    memory = np.zeros(9 * D * size + 64, np.uint8)
    first = -memory.ctypes.data % 16 + shift
    table = CuPyArray(memory[first:][: 9 * D * size].view(dtype).reshape(9, D))
    embed(table, IDS, norm=RMSNorm(zeros(D, dtype=dtype)))
    (one,) = gpu.launches
    assert one.name.endswith(f"_{kernel}")
    assert one.name.startswith("embed_long" if D > 16384 else "embed_int64")
    assert one.block == block
    assert one.grid == (-(-96 // block[1]), 1)


@pytest.mark.parametrize(
    ("given", "kernels"),
    [
        ({"mode": "wrap"}, ["kept_ids", "embed"]),
        ({"mask": zeros(3, 32, dtype="?")}, ["embed"]),
        ({"mask": zeros(3, 32, dtype="i8")}, ["convert", "embed"]),
        ({"mask": zeros(3, 32, dtype="?"), "positions": zeros(32, 24)}, ["count", "rank", "embed"]),
        ({"positions": zeros(32, 24, dtype="f2")}, ["convert", "embed"]),
        ({"positions": zeros(32, 24), "position_ids": zeros(3, 32, dtype="i4")}, ["embed"]),
        ({"positions": zeros(32, 24), "position_ids": zeros(32, dtype="i8")}, ["embed"]),
        ({"positions": zeros(32, 24), "position_ids": zeros(3, 1, dtype="i8")}, ["convert", "embed"]),
        ({"out": CuPyArray(np.zeros((3, 32, 48), "f4")[..., ::2])}, ["embed", "copy"]),
        ({"out": CuPyArray(np.zeros((3, 32, 24), "f2"))}, ["embed"]),
    ],
    ids=["wrap", "mask", "int mask", "positions of a mask", "dtype", "ids", "repeated", "broadcast", "strides", "out"],
)
def test_launches_of_what_is_asked(gpu, given, kernels):
    """What kernels cannot take as it is costs a launch of its own."""
    embed(zeros(99, 24), IDS, **given)
    assert [one.name.startswith(name) for one, name in zip(gpu.launches, kernels, strict=True)] == [True] * len(kernels)


def test_launches_of_the_gradients(gpu):
    """Rows before the norm, its sums in pieces, then one sort for each table; the host reads one number back."""
    options = {"positions": zeros(32, 24), "norm": LayerNorm(zeros(24), zeros(24))}
    embed_backward(zeros(3, 32, 24), zeros(99, 24), IDS, **options)
    names = [one.name for one in gpu.launches]
    first = ["norm_rows", "norm_sums", "add_pieces", "kept_ids"]
    assert [name.startswith(start) for name, start in zip(names, first, strict=False)] == [True] * 4
    assert sum(name.startswith("place_ids") for name in names) == 1
    assert [what for what, *_ in gpu.log].count("read") == 1
    sums = gpu.launches[1]
    assert (sums.grid, sums.block) == ((1, 1), (32, 8))


def test_nothing_to_do_is_no_launch(gpu):
    table = zeros(99, 24)
    assert embed(table, zeros(3, 0, dtype="i8")).shape == (3, 0, 24)
    assert embed(zeros(99, 0), IDS).shape == (3, 32, 0)
    with pytest.raises(IndexError, match="a table of 0 rows has no row for any id"):
        embed(zeros(0, 24), IDS)
    assert gpu.launches == []
