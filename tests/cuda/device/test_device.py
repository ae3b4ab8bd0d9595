"""On a GPU: every public function, of torch's tensors and Numba's arrays, equal to the CPU's room.

The simulator shows what kernels mean; this shows that machine code, streams and memory do the same on a device. Sizes
are such that each kernel has many blocks. All of it is skipped where there is no GPU.
"""

import ctypes

import numpy as np
import pytest
from framework_cases import CALLS, leaves, types_of

import fastemb
from fastemb._cuda import launch


def missing():
    """Return why there is no device, or None."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no CUDA driver here"
    try:
        return None if launch.driver.multiprocessors(0) else "there is no GPU"
    except Exception as error:  # no device, or an older driver: of many types
        return str(error)


if why := missing():
    pytest.skip(why, allow_module_level=True)


def torch_arrays():
    """How NumPy arrays become tensors on the GPU, and back."""
    torch = pytest.importorskip("torch", reason="the package torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch sees no GPU")
    return lambda x: torch.from_numpy(np.ascontiguousarray(x)).cuda(), lambda x: x.cpu().numpy()


def numba_arrays():
    """How NumPy arrays become Numba's on the GPU, and back."""
    from numba import cuda

    return lambda x: cuda.to_device(np.ascontiguousarray(x)), lambda x: x.copy_to_host()


MAKERS = {"torch": torch_arrays, "Numba": numba_arrays}


@pytest.fixture(params=MAKERS)
def arrays(request):
    """How arrays come to the GPU and back."""
    return MAKERS[request.param]()


@pytest.fixture(autouse=True)
def nothing_is_left_unsaid():
    """No call of a test has met a wrong value that nobody asked about."""
    yield
    fastemb.cuda_check()


def agree(found, expected, back):
    """Results have the same types, and numbers that are the same but for functions of floats that are not exact."""
    assert types_of(found) == types_of(expected)
    for mine, wanted in zip(leaves(found), leaves(expected), strict=True):
        mine = mine if isinstance(mine, np.ndarray) else back(mine)
        assert (mine.shape, mine.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(mine.astype("f8"), wanted.astype("f8"), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", CALLS)
def test_every_function(arrays, name):
    to, back = arrays
    before = launch.launched
    found = CALLS[name](to, to)
    assert launch.launched > before
    agree(found, CALLS[name](np.copy, np.copy), back)


RNG = np.random.default_rng(5)
SIZES = [(50_000, 768, 20_000), (1000, 65, 100_000), (200_000, 4, 300_000), (300, 5000, 4000)]
DTYPES = ["f8", "f4", "f2"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("V", "D", "N"), SIZES)
def test_rows_and_sums_of_many_blocks(arrays, V, D, N, dtype):
    """To the bit: rows, sums of bags of which one is long, and row gradients."""
    to, back = arrays
    table, ids = RNG.standard_normal((V, D)).astype(dtype), RNG.integers(0, V, N)
    assert np.array_equal(back(fastemb.gather(to(table), to(ids))), table[ids])
    offsets = np.sort(np.concatenate([[0, 0, N], RNG.integers(0, N // 2, N // 20)]))
    for mode in ("sum", "mean", "max"):
        mine = back(fastemb.embedding_bag(to(table), to(ids), to(offsets), mode=mode))
        assert np.array_equal(mine, fastemb.embedding_bag(table, ids, offsets, mode=mode))
    rows = table[ids[: N // 4]]
    mine, wanted = fastemb.row_grad(to(ids[: N // 4]), to(rows)), fastemb.row_grad(ids[: N // 4], rows)
    assert np.array_equal(back(mine.ids), wanted.ids)
    assert np.array_equal(back(mine.rows), wanted.rows)


def test_the_same_bits_twice(arrays):
    to, back = arrays
    table, ids = RNG.standard_normal((1000, 96), np.float32), np.zeros(100_000, int)
    first, second = (back(fastemb.embedding_bag(to(table), to(ids), to(np.array([0, len(ids)])))) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_wrong_id_never_poisons_the_context(arrays):
    to, back = arrays
    table, ids = RNG.standard_normal((50, 24), np.float32), np.arange(100) % 50
    ids[77] = 1 << 40
    found = back(fastemb.gather(to(table), to(ids)))
    assert not found[77].any()
    with pytest.raises(IndexError, match="id at position 77 is out of range for a table of 50 rows"):
        fastemb.cuda_check()
    fastemb.set_cuda_check("sync")
    try:
        with pytest.raises(IndexError, match=f"id {1 << 40} at position 77 is out of range for a table of 50 rows"):
            fastemb.gather(to(table), to(ids))
    finally:
        fastemb.set_cuda_check("defer")
    assert np.array_equal(back(fastemb.gather(to(table), to(ids[:50]))), table[ids[:50]])


def test_streams_and_graphs_of_torch():
    torch = pytest.importorskip("torch", reason="the package torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch sees no GPU")
    table = torch.randn(100_000, 256, device="cuda")
    for _ in range(20):  # another stream each time: what it computes is there when we read, and is not freed before
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            ids = torch.arange(50_000, device="cuda").flip(0) * 2
            found = fastemb.gather(table, ids)
        torch.cuda.current_stream().wait_stream(stream)
        assert torch.equal(found, table[ids])
    ids, graph = torch.arange(1000, device="cuda"), torch.cuda.CUDAGraph()
    fastemb.gather(table, ids)
    with torch.cuda.graph(graph):
        found = fastemb.gather(table, ids)
    ids.copy_(torch.arange(1000, 2000, device="cuda"))
    graph.replay()
    assert torch.equal(found, table[1000:2000])
