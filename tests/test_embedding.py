"""embed against its oracle: to the bit where there is no norm, within a tolerance where there is; and its gradients."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _memory, _threads
from fastemb._cpu.kernels import embedding as kernels
from fastemb.embedding import EmbedGrad, LayerNorm, RMSNorm, embed, embed_backward
from fastemb.lookup import gather
from fastemb.quantized import quantize
from fastemb.ragged import Ragged

BF16 = np.dtype(ml_dtypes.bfloat16)
LAYOUTS = ["plain", "read-only", "rows apart", "reversed", "strided", "fortran", "misaligned", "swapped"]
NORMS = ["none", "layer", "layer, no bias", "rms"]


def lay_out(array, layout):
    """Return the same values in another layout."""
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    elif layout == "rows apart":
        array = np.repeat(array, 2, axis=0)[::2]
    elif layout == "reversed":
        array = array[::-1].copy()[::-1]
    elif layout == "strided":
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif layout == "fortran":
        array = np.asfortranarray(array)
    elif layout == "swapped" and array.dtype != BF16:  # bfloat16 has no other byte order
        array = array.astype(array.dtype.newbyteorder(">"))
    elif layout == "misaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        shifted = raw[1:].view(array.dtype).reshape(array.shape)
        shifted[...] = array
        array = shifted
    return array


def make(shape, dtype="f4", layout="plain", seed=0):
    rng = np.random.default_rng([seed, *shape])
    return lay_out(rng.standard_normal(shape).astype(dtype), layout)


def make_norm(name, D, dtype="f4", eps=1e-5):
    weight, bias = make((D,), dtype, seed=8), make((D,), dtype, seed=9)
    return {
        "none": None,
        "layer": LayerNorm(weight, bias, eps),
        "layer, no bias": LayerNorm(weight, eps=eps),
        "rms": RMSNorm(weight, eps),
    }[name]


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def acc_dtype(dtype):
    return np.float64 if np.dtype(dtype).itemsize == 8 else np.float32


def check(result, table, ids, **given):
    """Hold a result, of the dtype of accumulators, against the oracle."""
    exact = reference.embed(table, ids, **given, exact=True)
    if given.get("norm") is None:
        with np.errstate(all="ignore"):
            assert same_bytes(result, reference.embed(table, ids, **given))
    # Rows of one column have no spread: what LayerNorm makes of their rounding errors is divided by eps alone.
    tolerance = 1e-5 if result.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(result, exact, rtol=tolerance, atol=20 * tolerance)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_equals_reference(data):
    draw = data.draw
    D, V = draw(st.integers(1, 200), "D"), draw(st.integers(1, 40), "V")
    shape = draw(st.sampled_from([(0,), (1,), (7,), (3, 4), (2, 0), (2, 3, 5)]), "shape")
    # Each combination of dtypes is another kernel to compile, so they have a test of their own.
    dtype = draw(st.sampled_from(["f8", "f4", "f2"]), "dtype")
    layout = draw(st.sampled_from(LAYOUTS), "layout")
    rng = np.random.default_rng(draw(st.integers(0, 99), "seed"))
    table = make((V, D), dtype, layout)
    kinds = ["i1", "u1", "i2", "u4", "i8", "u8", ">i8"]
    id_dtype = draw(st.sampled_from(kinds + ["i4", ">i4"] * (dtype == "f4")), "id dtype")
    ids = rng.integers(0, V, shape).astype(id_dtype)
    options = {"norm": make_norm(draw(st.sampled_from(NORMS), "norm"), D, dtype)}
    if draw(st.booleans(), "positions"):
        options["positions"] = make((9, D), dtype, layout, seed=1)
        forms = [None, shape, shape[-1:], (1, *shape[-1:]) if len(shape) > 1 else (), (*shape[:-1], 1)]
        forms += [(2, 1, 5), (3, 5), (3, 1)] * (len(shape) == 3)
        form = draw(st.sampled_from(forms), "position ids")
        if form is not None:
            options["position_ids"] = rng.integers(0, 9, form).astype(id_dtype)
    if draw(st.booleans(), "segments"):
        options["segments"] = make((3, D), dtype, layout, seed=2)
        form = draw(st.sampled_from([None, shape, shape[-1:], (), (*shape[:-1], 1), shape[1:]]), "segment ids")
        if form is not None:
            options["segment_ids"] = rng.integers(0, 3, form).astype(id_dtype)
    if draw(st.booleans(), "scale"):
        options["scale"] = 1.7
    out = np.full((*shape, D), np.nan, acc_dtype(dtype))
    assert embed(table, ids, **options, out=out) is out
    check(out, table, ids, **options)
    with np.errstate(all="ignore"):
        assert same_bytes(embed(table, ids, **options), out.astype(dtype))


# Not all pairs of types: each is another kernel to compile.
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("f8", "f4"), ("f8", "f2"), ("f8", BF16), ("f4", "f8"), ("f4", BF16), ("f2", "f2"), (BF16, "f4"), (BF16, BF16)],
)
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_dtypes_of_out(dtype, kind, norm):
    """Rounded once to whatever `out` has; through NumPy's cast where the kernel cannot."""
    table, positions, ids = make((20, 37), dtype), make((9, 37), dtype, seed=1), np.arange(18).reshape(2, 9)
    options = {"positions": positions, "norm": make_norm(norm, 37)}
    exact = np.full((2, 9, 37), np.nan, acc_dtype(dtype))
    check(embed(table, ids, **options, out=exact), table, ids, **options)
    out = np.zeros((2, 9, 37), kind)
    assert embed(table, ids, **options, out=out) is out
    assert same_bytes(out, exact.astype(kind))
    assert same_bytes(embed(table, ids, **options), exact.astype(dtype))


@pytest.mark.parametrize("dtype", ["f8", "f4", BF16])
@pytest.mark.parametrize("other", ["f8", "f4", "f2", BF16])
def test_other_dtypes_do_not_change_the_result(dtype, other):
    table, ids = make((20, 37), dtype), np.arange(18).reshape(2, 9)
    positions, segments = make((12, 37), other, seed=1), make((2, 37), dtype, seed=2)
    norm = make_norm("layer", 37, other)
    kinds = ids % 2
    options = {"positions": positions, "segments": segments, "segment_ids": kinds}
    out = np.empty((2, 9, 37), acc_dtype(dtype))
    assert same_bytes(embed(table, ids, **options, out=out), reference.embed(table, ids, **options))
    assert embed(table, ids[:0], **options | {"segment_ids": 0}).dtype == dtype
    check(embed(table, ids, **options, norm=norm, out=out), table, ids, **options, norm=norm)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("D", [1, 15, 37, 64, 101])
@pytest.mark.parametrize("norm", NORMS)
def test_quantised_tables(bits, D, norm, monkeypatch):
    table = quantize(make((30, D)), bits)
    positions, ids = make((7, D), seed=1), np.arange(21).reshape(3, 7)
    options = {"positions": positions, "norm": make_norm(norm, D), "scale": 3.0}
    result = embed(table, ids, **options)
    check(result, table.dequantize(), ids, **options)
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0)
    assert same_bytes(embed(table, ids, **options, out=np.empty((3, 7, D), np.float32)), result)


@pytest.mark.parametrize("D", [1, 2, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 129, 300])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_every_row_size_between_sentinels(dtype, D, monkeypatch):
    """Streamed or not, wherever `out` lies, nothing around it is touched and the bits are the same."""
    table, ids = make((50, D), dtype), np.random.default_rng(1).integers(0, 50, (5, 7))
    for norm in (None, make_norm("layer", D)):
        options = {"positions": make((7, D), dtype, seed=1), "norm": norm}
        expected = embed(table, ids, **options)
        for limit, shift in ((1 << 60, 61), *((0, shift) for shift in (0, 1, 2, 3, 4, 8, 15, 31))):
            monkeypatch.setattr(_memory, "STREAM_BYTES", limit)
            room = np.full(35 * D + 192, 7, dtype)
            first = -room.ctypes.data % 64 // room.itemsize + shift + 32
            out = room[first : first + 35 * D].reshape(5, 7, D)
            out[...] = np.nan
            embed(table, ids, **options, out=out)
            assert same_bytes(out, expected)
            assert (room[:first] == 7).all()
            assert (room[first + 35 * D :] == 7).all()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_streaming_into_rows_apart_and_misaligned(dtype, monkeypatch):
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0)
    table, ids = make((50, 70), dtype), np.arange(40)
    options = {"positions": make((40, 70), dtype, seed=1), "norm": make_norm("rms", 70)}
    expected = embed(table, ids, **options)
    for layout in ("rows apart", "reversed", "misaligned", "strided", "fortran", "swapped"):
        out = lay_out(np.zeros((40, 70), dtype), layout)
        assert embed(table, ids, **options, out=out) is out
        assert same_bytes(out.astype(dtype), expected)
    wide = np.full((40, 100), 7, dtype)
    embed(table, ids, **options, out=wide[:, 3:73])
    assert same_bytes(wide[:, 3:73].copy(), expected)
    assert (wide[:, :3] == 7).all()
    assert (wide[:, 73:] == 7).all()


@pytest.mark.parametrize("layout", ["rows apart", "reversed", "misaligned", "strided", "fortran", "swapped"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), ()])
def test_out_of_every_layout(layout, shape):
    table, ids = make((9, 37)), np.arange(6)[: int(np.prod(shape))].reshape(shape)
    options = {"positions": make((6, 37), seed=1), "position_ids": ids}
    out = lay_out(np.zeros((*shape, 37), "f4"), layout if shape or layout != "rows apart" else "plain")
    assert embed(table, ids, **options, out=out) is out
    assert same_bytes(out.astype("f4"), reference.embed(table, ids, **options))


def test_large_results_are_streamed_into_warm_memory(monkeypatch):
    """Into `out` and into memory that was a result before, from the size on."""
    seen = []
    kernel = kernels.embed_rows
    monkeypatch.setattr(kernels, "embed_rows", lambda *given: seen.append(given[7]) or kernel(*given))
    monkeypatch.setattr(_memory, "_pool", _memory.Pool(64 << 20))
    table = make((100, 96))
    ids = np.random.default_rng(2).integers(0, 100, ((8 << 20) // 384 + 1, 1))
    expected = reference.embed(table, ids)
    for streamed, out in ((True, np.empty(expected.shape, "f4")), (False, None), (True, None), (False, None)):
        if streamed is False and len(seen) == 3:
            ids, expected = ids[2:], expected[2:]  # a little smaller
            out = np.empty(expected.shape, "f4")
        with _threads.num_threads(1):
            assert same_bytes(embed(table, ids, out=out), expected)
        assert seen[-1] is streamed, len(seen)
    embed(table[:, :15].copy(), np.tile(ids, 7), out=np.empty((*np.tile(ids, 7).shape, 15), "f4"))
    assert not seen[-1]


def test_modes():
    table, ids = make((10, 5)), np.array([[-(2**63), -11, -1], [3, 10, 2**63 - 1]])
    for mode in ("clip", "wrap"):
        assert same_bytes(embed(table, ids, mode=mode), gather(table, ids, mode=mode))
        beyond = np.array([3, 2**64 - 1, 2**63], np.uint64)
        assert same_bytes(embed(table, beyond, mode=mode), gather(table, beyond, mode=mode))


def test_shapes():
    table, positions = make((4, 3)), make((6, 3), seed=1)
    assert same_bytes(embed(table, 2), table[2])
    assert same_bytes(embed(table, np.int16(2), positions=positions, position_ids=4), table[2] + positions[4])
    assert same_bytes(embed(table, np.array(2), positions=positions, position_ids=np.array(5)), table[2] + positions[5])
    assert embed(table, []).shape == (0, 3)
    assert embed(table, [[], []], positions=positions, norm=make_norm("layer", 3)).shape == (2, 0, 3)
    assert embed(table, np.zeros((0, 6), int), positions=positions).shape == (0, 6, 3)
    empty = np.zeros((4, 0), "f4")
    assert embed(empty, [1, 2], positions=empty, norm=RMSNorm(np.zeros(0))).shape == (2, 0)
    assert embed(table[:0], [], mode="clip").shape == (0, 3)
    assert same_bytes(embed(table, ((0, 1), (2, 3)), segments=positions), table.reshape(2, 2, 3) + positions[0])


@pytest.mark.parametrize("form", [(), (1,), (5,), (1, 5), (1, 1, 5), (3, 1), (3, 5), (2, 1, 1), (2, 1, 5), (2, 3, 5)])
@pytest.mark.parametrize("what", ["position", "segment"])
def test_ids_of_addends_broadcast(form, what):
    table, addend = make((9, 20)), make((30, 20), seed=1)
    ids, chosen = np.arange(30).reshape(2, 3, 5) % 9, np.random.default_rng(1).permutation(30)[: int(np.prod(form))]
    options = {f"{what}s": addend, f"{what}_ids": chosen.reshape(form)}
    assert same_bytes(embed(table, ids, **options), reference.embed(table, ids, **options))
    grad = make((2, 3, 5, 20), seed=5)
    found = getattr(embed_backward(grad, table, ids, **options), f"{what}s")
    expected = reference.embed_backward(grad, table, ids, **options)[f"{what}s"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_ragged_restarts_positions():
    table, positions, segments = make((30, 21)), make((6, 21), seed=1), make((3, 21), seed=2)
    rows = [[3, 4, 5], [], [29], [0, 1, 2, 3, 4, 5], []]
    ragged = Ragged.from_lists(rows)
    norm = make_norm("layer", 21)
    kinds = [[k % 3 for k in row] for row in rows]
    options = {"positions": positions, "segments": segments, "norm": norm}
    result = embed(table, ragged, segment_ids=Ragged.from_lists(kinds), **options)
    parts = [embed(table, row, segment_ids=kind, **options) for row, kind in zip(rows, kinds, strict=True)]
    assert same_bytes(result, np.concatenate(parts))
    padded, mask = ragged.pad(6)
    kinds, _ = Ragged.from_lists(kinds).pad(6)
    assert same_bytes(embed(table, padded, segment_ids=kinds, **options)[mask], result)
    places = np.arange(10) % 6
    expected = reference.embed(table, ragged.ids, positions=positions, position_ids=places)
    assert same_bytes(embed(table, ragged, positions=positions, position_ids=places), expected)
    with pytest.raises(ValueError, match="positions must have at least 6 rows for these ids, got 5"):
        embed(table, ragged, positions=positions[:5])
    assert embed(table, Ragged([], [0, 0]), positions=positions[:0]).shape == (0, 21)


def test_a_missing_part_changes_nothing():
    """To the bit: signed zeros, infinities and NaN come through."""
    row = np.array([[-0.0, 0.0, np.inf, -np.inf, np.nan, 1e-45, 3e38]], "f4")
    assert same_bytes(embed(row, [0]), row)
    result = embed(row, [0, 0], positions=np.full((2, 7), -0.0, "f4"))
    assert same_bytes(result, np.repeat(row, 2, axis=0))
    assert np.signbit(embed(np.full((1, 40), -0.0, "f2"), [0])).all()
    assert embed(np.full((1, 20), 6e4, "f2"), [0], scale=2).tolist() == [[np.inf] * 20]


@pytest.mark.parametrize("D", [1, 7, 64, 200, 768])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_rows_with_a_large_offset(dtype, D):
    """Where the mean is 10,000 times the spread, the result is as good as the sums themselves allow."""
    table = 1e4 + make((20, D), dtype)
    for norm in ("layer", "layer, no bias"):
        given = make_norm(norm, D)
        x = table.astype("f8")
        truth = reference.embed(x, np.arange(20), norm=given)
        # Two roundings at 1e4 are as much as the differences from the mean may be off.
        off = 3e-7 * 1e4 if D > 1 and dtype == "f4" else 1e-10
        np.testing.assert_allclose(
            embed(table, np.arange(20), norm=given), truth, rtol=0, atol=5 * off if D > 1 else 1e-6
        )
    table = np.repeat(make((20, 1), dtype) * 1e4, D, axis=1)  # no spread at all
    result = embed(table, np.arange(20), norm=LayerNorm(np.ones(D), eps=1e-5))
    np.testing.assert_allclose(result, 0, atol=1e-12)


def test_the_mean_of_a_large_offset_is_exact():
    """The rows less their offset, which float32 holds exactly, give the same as rows without one."""
    small = np.random.default_rng(0).integers(-64, 64, (50, 768)).astype("f4") / 64
    norm = LayerNorm(np.ones(768), np.zeros(768))
    truth = reference.embed(small, np.arange(50), norm=norm, exact=True)
    for offset in (0, 1, 3, 100, 1e4, 1e5):
        np.testing.assert_allclose(
            embed(small + np.float32(offset), np.arange(50), norm=norm), truth, rtol=0, atol=2e-6
        )


def test_statistics_at_their_limits():
    zeros = np.zeros((1, 50), "f4")
    bias = make((50,))
    assert same_bytes(embed(zeros, [0], norm=LayerNorm(np.ones(50), bias, 1e-12)), bias[None])
    assert same_bytes(embed(zeros, [0], norm=RMSNorm(bias)), zeros * bias)
    constant = np.full((1, 50), 3, "f4")
    assert same_bytes(embed(constant, [0], norm=LayerNorm(np.ones(50), bias, 1e-5)), bias[None])
    assert np.isnan(embed(constant, [0], norm=LayerNorm(np.ones(50), eps=0))).all()  # 0 / 0, as the formula says
    row = np.ones((3, 50), "f4")
    row[0, 7], row[1, 49] = np.nan, np.inf
    result = embed(row, [0, 1, 2], norm=RMSNorm(np.ones(50), 0.0))
    assert np.isnan(result[0]).all()
    assert np.isnan(result[1, 49])
    assert (result[1, :49] == 0).all()
    assert (result[2] == 1).all()
    assert np.isnan(embed(row, [0], norm=LayerNorm(np.ones(50)))).all()
    half = np.full((1, 300), 300, "f2")  # the squares are beyond float16
    assert (embed(half, [0], norm=RMSNorm(np.ones(300, "f2"))) == 1).all()


def test_eps_is_inside_the_root():
    table = np.array([[1, -1]], "f4")
    for norm in (LayerNorm(np.ones(2), eps=3.0), RMSNorm(np.ones(2), eps=3.0)):
        assert embed(table, [0], norm=norm).tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize(("dtype", "kind"), [("f8", "f4"), ("f4", "f4"), ("f2", "f2")])
def test_threads_give_the_same_bits(dtype, kind, small_grain, general_road, monkeypatch):
    table, ids = make((200, 100), dtype), np.random.default_rng(2).integers(0, 200, (23, 61))
    options = {"positions": make((61, 100), dtype, seed=1), "segments": make((3, 100), dtype, seed=2)}
    options |= {"segment_ids": ids % 3, "norm": make_norm("layer", 100), "scale": 3.0}
    grad = make((23, 61, 100), dtype, seed=3)
    results, grads = [], []
    for n in (1, 2, 7):
        for limit in (0, 1 << 60):
            monkeypatch.setattr(_memory, "STREAM_BYTES", limit)
            with _threads.num_threads(n):
                results.append(embed(table, ids, **options, out=np.full((23, 61, 100), np.nan, kind)))
                found = embed_backward(grad, table, ids, **options)
                grads.append([found.table.rows, found.positions, found.segments, *found.norm])
    assert not np.isnan(results[0]).any()
    for result, found in zip(results[1:], grads[1:], strict=True):
        assert same_bytes(result, results[0])
        assert all(same_bytes(a, b) for a, b in zip(found, grads[0], strict=True))


def test_bits_do_not_depend_on_order_or_place():
    """A row is the same whatever rows are around it and wherever its table lies."""
    table, positions, norm = make((40, 100)), make((8, 100), seed=1), make_norm("layer", 100)
    ids = np.random.default_rng(1).integers(0, 40, (5, 8))
    expected = embed(table, ids, positions=positions, norm=norm)
    assert same_bytes(embed(table, ids.T, positions=positions, position_ids=np.arange(8)[:, None], norm=norm),
                      expected.transpose(1, 0, 2).copy())  # fmt: skip
    for b in range(5):
        assert same_bytes(embed(table, ids[b], positions=positions, norm=norm), expected[b])
    raw = np.zeros(table.nbytes + 64, np.uint8)
    for shift in range(0, 64, 7):
        moved = raw[shift : shift + table.nbytes].view("f4").reshape(table.shape)
        moved[...] = table
        assert same_bytes(embed(moved, ids, positions=positions, norm=norm), expected)


def test_eight_callers_at_once(small_grain, general_road):
    table, positions, norm = make((500, 64)), make((9, 64), seed=1), make_norm("layer", 64)
    jobs = [np.random.default_rng(k).integers(0, 500, (11, 9)) for k in range(48)]
    expected = [embed(table, ids, positions=positions, norm=norm) for ids in jobs]
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        with _threads.num_threads(3):
            results = [embed(table, ids, positions=positions, norm=norm) for ids in jobs[k::8]]
        return [same_bytes(a, b) for a, b in zip(results, expected[k::8], strict=True)]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(results) for results in pool.map(work, range(8)))


def test_large_tables(tmp_path):
    """Offsets beyond 2**31 elements; and of a table in another byte order only the rows in use are copied."""
    V, D = 2**21 + 5, 1024
    for name, dtype in (("native", "f4"), ("swapped", ">f4")):
        table = np.memmap(tmp_path / name, dtype, "w+", shape=(V, D))
        table[V - 1], table[2**20 + 1] = np.arange(D), 5
        ids = np.array([V - 1, 2**20 + 1, 0], np.int32)
        result = embed(table, ids, positions=np.ones((3, D), "f4"))
        assert type(result) is np.ndarray
        assert same_bytes(result, (np.asarray(table[ids]) + 1).astype(table.dtype.newbyteorder("=")))


# Gradients ---------------------------------------------------------------------------------------------------------


def everything(norm, D=11, V=12, dtype="f8", shape=(4, 5)):
    rng = np.random.default_rng(3)
    ids = rng.integers(0, V, shape)
    return make((V, D), dtype), ids, {
        "positions": make((7, D), dtype, seed=1), "segments": make((3, D), dtype, seed=2),
        "segment_ids": rng.integers(0, 2, shape), "scale": 1.5, "norm": make_norm(norm, D, dtype, 0.1),
    }  # fmt: skip


def dense(rows, V):
    full = np.zeros((V, rows.rows.shape[1]), rows.rows.dtype)
    full[rows.ids] = rows.rows
    return full


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_those_of_finite_differences(norm):
    table, ids, options = everything(norm)
    grad = make((*ids.shape, 11), "f8", seed=5)
    found = embed_backward(grad, table, ids, **options)
    assert isinstance(found, EmbedGrad)
    pairs = [(table, dense(found.table, 12)), (options["positions"], found.positions)]
    pairs.append((options["segments"], found.segments))
    if norm == "none":
        assert found.norm is None
    else:
        pairs.append((options["norm"].weight, found.norm[0]))
        if norm == "layer":
            pairs.append((options["norm"].bias, found.norm[1]))
        else:
            assert found.norm[1] is None
    for array, result in pairs:
        assert result.dtype == np.float64
        assert result.shape == array.shape
        slopes, step = np.zeros(array.shape), 1e-6
        for place in np.ndindex(array.shape):
            before, ends = array[place], []
            for value in (before + step, before - step):
                array[place] = value
                ends.append((embed(table, ids, **options) * grad).sum())
            array[place] = before
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(result, slopes, rtol=1e-6, atol=1e-7)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_gradients_equal_reference(data):
    draw = data.draw
    D, V = draw(st.integers(1, 200), "D"), draw(st.integers(1, 40), "V")
    shape = draw(st.sampled_from([(0,), (1,), (7,), (3, 4), (2, 0), (2, 3, 5), (40, 17)]), "shape")
    dtype = draw(st.sampled_from(["f8", "f4", "f2"]), "dtype")
    layout = draw(st.sampled_from(LAYOUTS), "layout")
    rng = np.random.default_rng(draw(st.integers(0, 99), "seed"))
    table, id_dtype = make((V, D), dtype, layout), draw(st.sampled_from(["i1", "u2", "i8", "u8"]), "id dtype")
    ids = rng.integers(0, V, shape).astype(id_dtype)
    options = {"norm": make_norm(draw(st.sampled_from(NORMS), "norm"), D, dtype, 0.1)}
    if draw(st.booleans(), "positions"):
        options["positions"] = make((20, D), dtype, layout, seed=1)
        form = draw(st.sampled_from([None, shape, shape[-1:], (), (*shape[:-1], 1)]), "position ids")
        if form is not None:
            options["position_ids"] = rng.integers(0, 20, form)
    if draw(st.booleans(), "segments"):
        options["segments"] = make((3, D), dtype, layout, seed=2)
        if draw(st.booleans(), "segment ids"):
            options["segment_ids"] = rng.integers(0, 3, shape)
    if draw(st.booleans(), "scale"):
        options["scale"] = -2.5
    grad = make(
        (*shape, D),
        draw(st.sampled_from({"f8": ["f8", "f4"], "f4": ["f8", "f4"], "f2": ["f2"]}[dtype]), "grad dtype"),
        layout,
        seed=5,
    )
    found = embed_backward(grad, table, ids, **options)
    expected = reference.embed_backward(grad, table, ids, **options)
    assert found.table.ids.dtype == id_dtype
    assert np.array_equal(found.table.ids, np.unique(ids))
    results = {"table": dense(found.table, V), "positions": found.positions, "segments": found.segments}
    if found.norm is not None:
        results |= {"weight": found.norm[0], "bias": found.norm[1]}
    tolerance = 1e-12 if dtype == "f8" else 2e-4
    for name, result in results.items():
        if result is None:
            given_bias = getattr(options["norm"], "bias", None) is not None
            assert not given_bias if name == "bias" else name not in options
            continue
        assert result.dtype == acc_dtype(dtype)
        np.testing.assert_allclose(result, expected[name], rtol=tolerance, atol=tolerance * max(1, ids.size) ** 0.5 * 4)


def test_sums_of_gradients_are_cut_every_256_rows():
    """The law, to the bit: the rows of a piece in order, then the sums of the pieces in float64, rounded once."""
    D, ids = 21, np.zeros((3, 300), np.int64)
    grad, table = make((3, 300, D), seed=5), make((1, D))
    found = embed_backward(grad, table, ids, norm=LayerNorm(np.ones(D, "f4"), np.zeros(D, "f4")))
    flat = grad.reshape(-1, D)
    pieces = [np.add.accumulate(flat[k : k + 256], axis=0)[-1] for k in range(0, 900, 256)]
    total = np.add.accumulate(np.array(pieces, "f8"), axis=0)[-1].astype("f4")
    assert same_bytes(found.norm[1], total)
    plain = embed_backward(grad, table, ids, positions=make((300, D)), segments=make((2, D)), scale=3)
    assert same_bytes(plain.table.rows, total[None] * np.float32(3))
    assert same_bytes(plain.segments, np.stack([total, np.zeros(D, "f4")]))
    assert same_bytes(plain.positions, grad[0] + grad[1] + grad[2])
    assert plain.norm is None


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_sums_of_many_gradients_are_right(norm, small_grain, general_road):
    """Of a million equal rows, where float32 sums of the pieces are off by 4e-5; the same bits on all threads."""
    N, D = 1_000_000, 3
    table, ids = np.array([[1, 3, 8]], "f4"), np.zeros(N, np.int32)
    grad = np.tile(np.array([0.1, 0.3, 0.7], "f4"), (N, 1))
    zeros = np.zeros((1, D), "f4")
    options = {"positions": zeros, "position_ids": 0, "segments": zeros, "norm": make_norm(norm, D)}
    expected = reference.embed_backward(grad, table, ids, **options)
    results = []
    for n in (1, 2, 7):
        with _threads.num_threads(n):
            found = embed_backward(grad, table, ids, **options)
            plain = embed_backward(grad, table, ids, **options | {"norm": None})
            results.append([*found.norm[: 1 + (norm == "layer")], plain.table.rows, plain.positions, plain.segments])
    np.testing.assert_allclose(results[0][0], expected["weight"], rtol=1e-5)
    for result in results[0][1:]:
        np.testing.assert_allclose(result.reshape(D), grad.sum(axis=0, dtype="f8"), rtol=1e-5)
    for other in results[1:]:
        assert all(same_bytes(a, b) for a, b in zip(other, results[0], strict=True))


def test_padding_is_left_out_of_the_table_only():
    table, ids, options = everything("layer")
    grad = make((*ids.shape, 11), "f8", seed=5)
    whole, found = (embed_backward(grad, table, ids, **options, padding_idx=k) for k in (None, 7))
    kept = whole.table.ids != 7
    assert not kept.all()
    assert same_bytes(found.table.ids, whole.table.ids[kept])
    assert same_bytes(found.table.rows, whole.table.rows[kept])
    assert same_bytes(found.positions, whole.positions)
    assert same_bytes(found.segments, whole.segments)
    assert same_bytes(found.norm[0], whole.norm[0])
    with pytest.raises(TypeError, match="padding_idx must be an integer or None, got a bool"):
        embed_backward(grad, table, ids, padding_idx=True)


def test_the_row_that_was_read_gets_the_gradient():
    table, grad = make((300, 3)), np.ones((3, 3), "f4")
    ids = np.array([-1, 5, 127], "i1")
    found = embed_backward(grad, table, ids, mode="wrap")
    assert found.table.ids.tolist() == [5, 127, 299]
    assert found.table.ids.dtype == np.int64  # 299 does not fit int8
    found = embed_backward(grad, table[:100], ids, mode="clip", padding_idx=99)
    assert found.table.ids.tolist() == [0, 5]
    assert found.table.ids.dtype == np.int8


def test_gradients_of_quantised_and_ragged():
    table, ragged = quantize(make((30, 37))), Ragged.from_lists([[3, 4, 5], [], [29, 3]])
    positions, grad = make((4, 37), seed=1), make((5, 37), seed=5)
    norm = make_norm("layer", 37)
    found = embed_backward(grad, table, ragged, positions=positions, norm=norm)
    places = np.array([0, 1, 2, 0, 1])
    expected = reference.embed_backward(
        grad, table.dequantize(), ragged.ids, positions=positions, position_ids=places, norm=norm
    )
    assert found.table.ids.dtype == np.int32
    np.testing.assert_allclose(dense(found.table, 30), expected["table"], atol=1e-4)
    np.testing.assert_allclose(found.positions, expected["positions"], atol=1e-4)
    np.testing.assert_allclose(found.norm[0], expected["weight"], atol=1e-4)


def test_gradients_of_nothing():
    norm = make_norm("layer", 5)
    found = embed_backward(np.zeros((0, 5), "f4"), make((3, 5)), [], positions=make((4, 5)), norm=norm)
    assert found.table.ids.size == 0
    assert found.table.rows.shape == (0, 5)
    assert same_bytes(found.positions, np.zeros((4, 5), "f4"))
    assert same_bytes(found.norm[0], np.zeros(5, "f4"))
    found = embed_backward(np.zeros((2, 0), "f4"), np.zeros((3, 0), "f4"), [1, 2], norm=RMSNorm(np.zeros(0)))
    assert found.table.rows.shape == (2, 0)
    assert found.norm[0].shape == (0,)


def test_one_odd_row_does_not_spoil_the_others():
    """Columns behind the last one take no part, whatever normalisation makes of the zeros there."""
    table = np.full((2, 5), 2.0**120, "f4")
    table[1] = [1, 2, 3, 4, 5]
    grad = np.ones((2, 5), "f4")
    found = embed_backward(grad, table, [0, 1], norm=LayerNorm(np.ones(5, "f4"), eps=1e-5))
    assert (found.table.rows[0] == 0).all()
    assert np.isfinite(found.table.rows[1]).all()
    assert np.isfinite(found.norm[0]).all()


# Errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["plain", "fortran"])
def test_bad_ids_leave_out_alone(layout, small_grain, general_road):
    table, out = lay_out(make((3, 4)), layout), np.full((500, 4), 7, "f4")
    positions, zeros = make((9, 4), seed=1), np.zeros(500, int)
    for n in (1, 2):
        for bad in (3, -1, 2**40):
            ids = zeros.copy()
            ids[432] = bad
            with _threads.num_threads(n):
                for what, given in (
                    ("id", {"ids": ids}),
                    ("position id", {"positions": positions[:3], "position_ids": ids}),
                    ("segment id", {"segments": positions[:3], "segment_ids": ids}),
                ):
                    word = "a table" if what == "id" else what.replace(" id", "s")
                    words = f"^{what} {bad} at position 432 is out of range for {word} of 3 rows$"
                    with pytest.raises(IndexError, match=words):
                        embed(table, given.pop("ids", zeros), **given, out=out, mode="raise")
                    if given:
                        with pytest.raises(IndexError, match=words):
                            embed(table, zeros, **given, out=out, mode="clip")
            assert (out == 7).all()


TABLE = np.ones((3, 2), np.float32)
FROZEN = np.ones((1, 2), np.float32)
FROZEN.flags.writeable = False


@pytest.mark.parametrize(
    ("ids", "options", "error", "words"),
    [
        ([0.0], {}, TypeError, "ids must have an integer dtype, got dtype float64"),
        ([0], {"table": TABLE.astype("i4")}, TypeError, "table must have dtype float64, float32, float16 or bfloat16"),
        ([0], {"table": TABLE[0]}, ValueError, r"table must have shape \(V, D\), got \(2,\)"),
        ([0], {"table": TABLE.tolist()}, TypeError, "only NumPy arrays are taken so far.*got list"),
        ([0], {"table": np.ma.array(TABLE)}, TypeError, "table is a masked array"),
        ([0], {"mode": "skip"}, ValueError, "mode must be one of 'raise', 'clip', 'wrap', got 'skip'"),
        ([0], {"scale": "2"}, TypeError, "scale must be a real number, got str"),
        ([0], {"scale": 1j}, TypeError, "scale must be a real number, got complex"),
        ([0], {"positions": [[0.0, 0.0]]}, TypeError, "positions must be a numpy.ndarray.*got list"),
        ([0], {"positions": TABLE.astype(int)}, TypeError, "positions must have dtype float64"),
        ([0], {"segments": np.ma.array(TABLE)}, TypeError, "segments is a masked array"),
        ([0], {"positions": TABLE[:, :1]}, ValueError, r"positions must have shape \(rows, 2\).*, got \(3, 1\)"),
        ([0], {"segments": TABLE[0]}, ValueError, r"segments must have shape \(rows, 2\).*, got \(2,\)"),
        ([0], {"segments": TABLE[:0]}, ValueError, "segments must have at least 1 rows for these ids, got 0"),
        ([0] * 4, {"positions": TABLE}, ValueError, "positions must have at least 4 rows for these ids, got 3"),
        (0, {"positions": TABLE}, ValueError, "a single id has no place of its own: positions need position_ids"),
        ([0], {"position_ids": [0]}, ValueError, "position_ids go with positions, which were not given"),
        ([0], {"segment_ids": [0]}, ValueError, "segment_ids go with segments, which were not given"),
        ([0], {"positions": TABLE, "position_ids": [0.0]}, TypeError, "position_ids must have an integer dtype"),
        ([0], {"segments": TABLE, "segment_ids": [True]}, TypeError, "segment_ids must have an integer dtype"),
        ([0], {"positions": TABLE, "position_ids": [0, 1]}, ValueError, r"to the shape of ids, \(1,\), got \(2,\)"),
        (0, {"positions": TABLE, "position_ids": [0]}, ValueError, r"to the shape of ids, \(\), got \(1,\)"),
        ([[0, 0]], {"positions": TABLE, "position_ids": [[0], [1]]}, ValueError, r"ids, \(1, 2\), got \(2, 1\)"),
        ([[0, 0]], {"positions": TABLE, "position_ids": [[0, 9]]}, IndexError, r"position id 9 at position \(0, 1\)"),
        ([0], {"positions": TABLE, "position_ids": 3}, IndexError, "position id 3 is out of range for positions of 3"),
        ([0], {"segments": TABLE, "segment_ids": np.uint64(2**63)}, IndexError, "segment id 9223372036854775808 is"),
        ([0], {"norm": TABLE[0]}, TypeError, "norm must be a LayerNorm or an RMSNorm, got ndarray"),
        ([0], {"norm": LayerNorm([1, 1])}, TypeError, r"norm\.weight must be a numpy\.ndarray.*got list"),
        ([0], {"norm": RMSNorm(TABLE[0].astype(int))}, TypeError, r"norm\.weight must have dtype float64"),
        ([0], {"norm": LayerNorm(TABLE[0], TABLE)}, ValueError, r"norm\.bias must have shape \(2,\).*, got \(3, 2\)"),
        ([0], {"norm": RMSNorm(TABLE[0], -1e-9)}, ValueError, r"norm\.eps must be at least 0, got -1e-09"),
        ([0], {"norm": RMSNorm(TABLE[0], float("nan"))}, ValueError, r"norm\.eps must be at least 0, got nan"),
        ([0], {"norm": LayerNorm(TABLE[0], TABLE[0], None)}, TypeError, r"norm\.eps must be a real number"),
        ([0], {"out": [[0.0, 0.0]]}, TypeError, "out must be a numpy.ndarray"),
        ([0], {"out": np.ones((1, 2), int)}, TypeError, "out must have dtype float64, float32, float16 or bfloat16"),
        ([0], {"out": np.ones((2, 2))}, ValueError, r"out must have shape \(1, 2\), got \(2, 2\)"),
        ([0], {"out": FROZEN}, ValueError, "out is read-only"),
        ([0], {"out": TABLE[:1]}, ValueError, "out overlaps table in memory"),
    ],
)  # fmt: skip
def test_refusals(ids, options, error, words):
    options = dict(options)
    table = options.pop("table", TABLE)
    with pytest.raises(error, match=words):
        embed(table, ids, **options)
    if "out" not in options:
        with pytest.raises(error, match=words):
            embed_backward(np.ones((*np.shape(ids), 2), "f4"), table, ids, **options)
    assert (TABLE == 1).all()


def test_refusals_of_overlaps_and_gradients():
    positions = np.zeros((4, 2), "f4")
    with pytest.raises(ValueError, match="out overlaps positions in memory"):
        embed(TABLE, [0, 1], positions=positions, out=positions[1:3])
    with pytest.raises(ValueError, match=r"out overlaps norm\.weight in memory"):
        embed(TABLE, [0], norm=RMSNorm(positions[0]), out=positions[:1])
    places = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match="out overlaps position_ids in memory"):
        embed(TABLE, [0, 1], positions=positions, position_ids=places[0], out=places.view("f8"))
    for mode in ("raise", "clip", "wrap"):
        with pytest.raises(IndexError, match="id 0 at position 0 is out of range for a table of 0 rows"):
            embed(TABLE[:0], [0], mode=mode)
    with pytest.raises(ValueError, match=r"grad must have shape \(2, 2\) as the result of embed has, got \(2, 3\)"):
        embed_backward(np.ones((2, 3)), TABLE, [0, 1])
    with pytest.raises(TypeError, match="grad must have dtype float64"):
        embed_backward(np.ones((2, 2), int), TABLE, [0, 1])
    with pytest.raises(TypeError, match=r"grad must be a numpy\.ndarray"):
        embed_backward([[1.0, 1.0]], TABLE, [0])
    ragged = Ragged([0, 1], np.array([0, 1, 2]))
    ragged.offsets[1] = 1000
    with pytest.raises(ValueError, match="must not descend"):
        embed(TABLE, ragged)


def test_the_first_of_several_faults():
    """Types and dtypes, the mode, shapes, overlaps, and values last: offsets, then ids."""
    out = np.full((2, 2), 7, "f4")
    ragged = Ragged([0, 9], np.array([0, 2]))
    ragged.offsets[0] = 1
    faults = [
        ({"norm": RMSNorm(TABLE.astype(int))}, TypeError, r"norm\.weight must have dtype"),
        ({"mode": "skip"}, ValueError, "mode must be one of"),
        ({"positions": TABLE[:1]}, ValueError, "positions must have at least 2 rows for these ids, got 1"),
        ({"out": TABLE[:2]}, ValueError, "out overlaps table"),
        ({"ids": ragged}, ValueError, "offsets must start at 0"),
        ({"ids": [0, 9]}, IndexError, "^id 9 at position 1"),
        ({"segments": TABLE, "segment_ids": 3}, IndexError, "^segment id 3 is"),
    ]
    with pytest.raises(TypeError, match="out must have dtype float64"):
        embed(TABLE, [0, 9], mode="skip", out=out[:1].astype(int))
    with pytest.raises(TypeError, match="grad must have dtype float64"):
        embed_backward(out[:1].astype(int), TABLE, [0, 9], mode="skip")
    with pytest.raises(ValueError, match="grad must have shape"):
        embed_backward(out[:1], TABLE, [0, 9])
    given = {"ids": [0, 1], "out": out}
    for fault, error, words in reversed(faults):
        given |= fault
        if "positions" in fault:
            given["ids"] = [0, 9]  # the longest row of a Ragged is a value
        with pytest.raises(error, match=words):
            embed(TABLE, given["ids"], **{name: value for name, value in given.items() if name != "ids"})
    assert (out == 7).all()


def test_importing_does_not_import_numba():
    code = "import sys, fastemb.embedding; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
