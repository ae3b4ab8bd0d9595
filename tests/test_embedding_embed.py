"""embed against its oracle: to the bit where there is no norm, within a tolerance where there is."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from arrays import (
    BF16,
    IN_LAYOUTS,
    OUT_LAYOUTS,
    by_eight_callers,
    fence_stands,
    fenced,
    same_bits,
    same_on_threads,
)
from embedding_cases import NORMS, acc_dtype, make, make_norm
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb.reference as reference
from fastemb import _memory, _threads
from fastemb._cpu.kernels import embedding as kernels
from fastemb.embedding import LayerNorm, RMSNorm, embed, embed_backward
from fastemb.lookup import gather
from fastemb.quantized import quantize
from fastemb.ragged import Ragged


def check(result, table, ids, **given):
    """Hold a result, of the dtype of accumulators, against the oracle."""
    exact = reference.embed(table, ids, **given, exact=True)
    if given.get("norm") is None:
        with np.errstate(all="ignore"):
            assert same_bits(result, reference.embed(table, ids, **given))
    # Rows of one column have no spread: what LayerNorm makes of their rounding errors is divided by eps alone.
    tolerance = 1e-5 if result.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(result, exact, rtol=tolerance, atol=20 * tolerance)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_equals_reference(framework, data):
    draw = data.draw
    D, V = draw(st.integers(1, 200), "D"), draw(st.integers(1, 40), "V")
    shape = draw(st.sampled_from([(0,), (1,), (7,), (3, 4), (2, 0), (2, 3, 5)]), "shape")
    # Each combination of dtypes is another kernel to compile, so they have a test of their own.
    dtype = draw(st.sampled_from(["f8", "f4", "f2"]), "dtype")
    layout = draw(st.sampled_from(IN_LAYOUTS), "layout")
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
    table, ids, options = framework.held((table, ids, options))
    made = framework.make((table, ids, options))
    if framework.writes:
        wide = framework.make(np.full((*shape, D), np.nan, acc_dtype(dtype)))
        assert embed(*made[:2], **made[2], out=wide) is wide
        wide = framework.back(wide)
    else:
        wide = embed(table, ids, **options, out=np.full((*shape, D), np.nan, acc_dtype(dtype)))
    check(wide, table, ids, **options)
    with np.errstate(all="ignore"):
        assert same_bits(framework.back(embed(*made[:2], **made[2])), wide.astype(dtype))


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
    assert same_bits(out, exact.astype(kind))
    assert same_bits(embed(table, ids, **options), exact.astype(dtype))


@pytest.mark.parametrize("dtype", ["f8", "f4", BF16])
@pytest.mark.parametrize("other", ["f8", "f4", "f2", BF16])
def test_other_dtypes_do_not_change_the_result(dtype, other):
    table, ids = make((20, 37), dtype), np.arange(18).reshape(2, 9)
    positions, segments = make((12, 37), other, seed=1), make((2, 37), dtype, seed=2)
    norm = make_norm("layer", 37, other)
    kinds = ids % 2
    options = {"positions": positions, "segments": segments, "segment_ids": kinds}
    out = np.empty((2, 9, 37), acc_dtype(dtype))
    assert same_bits(embed(table, ids, **options, out=out), reference.embed(table, ids, **options))
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
    assert same_bits(embed(table, ids, **options, out=np.empty((3, 7, D), np.float32)), result)


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
            out = fenced((5, 7, D), dtype, shift=shift * table.itemsize)
            embed(table, ids, **options, out=out)
            assert same_bits(out, expected)
            assert fence_stands(out)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_streaming_into_rows_apart_and_misaligned(dtype, monkeypatch):
    monkeypatch.setattr(_memory, "STREAM_BYTES", 0)
    table, ids = make((50, 70), dtype), np.arange(40)
    options = {"positions": make((40, 70), dtype, seed=1), "norm": make_norm("rms", 70)}
    expected = embed(table, ids, **options)
    for layout in OUT_LAYOUTS:
        for apart in (0, 30):
            out = fenced((40, 70), dtype, layout, apart=apart)
            assert embed(table, ids, **options, out=out) is out
            assert same_bits(out.astype(dtype), expected)
            assert fence_stands(out)


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize("shape", [(6,), (2, 3), ()])
def test_out_of_every_layout(layout, shape):
    table, ids = make((9, 37)), np.arange(6)[: int(np.prod(shape))].reshape(shape)
    options = {"positions": make((6, 37), seed=1), "position_ids": ids}
    out = fenced((*shape, 37), "f4", layout)
    assert embed(table, ids, **options, out=out) is out
    assert same_bits(out.astype("f4"), reference.embed(table, ids, **options))
    assert fence_stands(out)


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
            assert same_bits(embed(table, ids, out=out), expected)
        assert seen[-1] is streamed, len(seen)
    embed(table[:, :15].copy(), np.tile(ids, 7), out=np.empty((*np.tile(ids, 7).shape, 15), "f4"))
    assert not seen[-1]


def test_modes():
    table, ids = make((10, 5)), np.array([[-(2**63), -11, -1], [3, 10, 2**63 - 1]])
    for mode in ("clip", "wrap"):
        assert same_bits(embed(table, ids, mode=mode), gather(table, ids, mode=mode))
        beyond = np.array([3, 2**64 - 1, 2**63], np.uint64)
        assert same_bits(embed(table, beyond, mode=mode), gather(table, beyond, mode=mode))


def test_shapes():
    table, positions = make((4, 3)), make((6, 3), seed=1)
    assert same_bits(embed(table, 2), table[2])
    assert same_bits(embed(table, np.int16(2), positions=positions, position_ids=4), table[2] + positions[4])
    assert same_bits(embed(table, np.array(2), positions=positions, position_ids=np.array(5)), table[2] + positions[5])
    assert embed(table, []).shape == (0, 3)
    assert embed(table, [[], []], positions=positions, norm=make_norm("layer", 3)).shape == (2, 0, 3)
    assert embed(table, np.zeros((0, 6), int), positions=positions).shape == (0, 6, 3)
    empty = np.zeros((4, 0), "f4")
    assert embed(empty, [1, 2], positions=empty, norm=RMSNorm(np.zeros(0))).shape == (2, 0)
    assert embed(table[:0], [], mode="clip").shape == (0, 3)
    assert same_bits(embed(table, ((0, 1), (2, 3)), segments=positions), table.reshape(2, 2, 3) + positions[0])


@pytest.mark.parametrize("form", [(), (1,), (5,), (1, 5), (1, 1, 5), (3, 1), (3, 5), (2, 1, 1), (2, 1, 5), (2, 3, 5)])
@pytest.mark.parametrize("what", ["position", "segment"])
def test_ids_of_addends_broadcast(form, what):
    table, addend = make((9, 20)), make((30, 20), seed=1)
    ids, chosen = np.arange(30).reshape(2, 3, 5) % 9, np.random.default_rng(1).permutation(30)[: int(np.prod(form))]
    options = {f"{what}s": addend, f"{what}_ids": chosen.reshape(form)}
    assert same_bits(embed(table, ids, **options), reference.embed(table, ids, **options))
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
    assert same_bits(result, np.concatenate(parts))
    padded, mask = ragged.pad(6)
    kinds, _ = Ragged.from_lists(kinds).pad(6)
    assert same_bits(embed(table, padded, segment_ids=kinds, **options)[mask], result)
    places = np.arange(10) % 6
    expected = reference.embed(table, ragged.ids, positions=positions, position_ids=places)
    assert same_bits(embed(table, ragged, positions=positions, position_ids=places), expected)
    with pytest.raises(ValueError, match="positions must have at least 6 rows for these ids, got 5"):
        embed(table, ragged, positions=positions[:5])
    assert embed(table, Ragged([], [0, 0]), positions=positions[:0]).shape == (0, 21)


def test_a_missing_part_changes_nothing():
    """To the bit: signed zeros, infinities and NaN come through."""
    row = np.array([[-0.0, 0.0, np.inf, -np.inf, np.nan, 1e-45, 3e38]], "f4")
    assert same_bits(embed(row, [0]), row)
    result = embed(row, [0, 0], positions=np.full((2, 7), -0.0, "f4"))
    assert same_bits(result, np.repeat(row, 2, axis=0))
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
    assert same_bits(embed(zeros, [0], norm=LayerNorm(np.ones(50), bias, 1e-12)), bias[None])
    assert same_bits(embed(zeros, [0], norm=RMSNorm(bias)), zeros * bias)
    constant = np.full((1, 50), 3, "f4")
    assert same_bits(embed(constant, [0], norm=LayerNorm(np.ones(50), bias, 1e-5)), bias[None])
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
    results = []
    for limit in (0, 1 << 60):
        monkeypatch.setattr(_memory, "STREAM_BYTES", limit)
        out = partial(np.full, (23, 61, 100), np.nan, kind)
        results.append(same_on_threads(lambda out=out: embed(table, ids, **options, out=out())))
    assert not np.isnan(results[0]).any()
    assert same_bits(*results)


def test_bits_do_not_depend_on_order_or_place():
    """A row is the same whatever rows are around it and wherever its table lies."""
    table, positions, norm = make((40, 100)), make((8, 100), seed=1), make_norm("layer", 100)
    ids = np.random.default_rng(1).integers(0, 40, (5, 8))
    expected = embed(table, ids, positions=positions, norm=norm)
    assert same_bits(embed(table, ids.T, positions=positions, position_ids=np.arange(8)[:, None], norm=norm),
                      expected.transpose(1, 0, 2).copy())  # fmt: skip
    for b in range(5):
        assert same_bits(embed(table, ids[b], positions=positions, norm=norm), expected[b])
    raw = np.zeros(table.nbytes + 64, np.uint8)
    for shift in range(0, 64, 7):
        moved = raw[shift : shift + table.nbytes].view("f4").reshape(table.shape)
        moved[...] = table
        assert same_bits(embed(moved, ids, positions=positions, norm=norm), expected)


def test_eight_callers_at_once(small_grain, general_road):
    table, positions, norm = make((500, 64)), make((9, 64), seed=1), make_norm("layer", 64)
    jobs = [np.random.default_rng(k).integers(0, 500, (11, 9)) for k in range(48)]
    expected = [embed(table, ids, positions=positions, norm=norm) for ids in jobs]
    results = by_eight_callers(lambda ids: embed(table, ids, positions=positions, norm=norm), [(ids,) for ids in jobs])
    assert all(map(same_bits, results, expected))


def test_large_tables(tmp_path):
    """Offsets beyond 2**31 elements; and of a table in another byte order only the rows in use are copied."""
    V, D = 2**21 + 5, 1024
    for name, dtype in (("native", "f4"), ("swapped", ">f4")):
        table = np.memmap(tmp_path / name, dtype, "w+", shape=(V, D))
        table[V - 1], table[2**20 + 1] = np.arange(D), 5
        ids = np.array([V - 1, 2**20 + 1, 0], np.int32)
        result = embed(table, ids, positions=np.ones((3, D), "f4"))
        assert type(result) is np.ndarray
        assert same_bits(result, (np.asarray(table[ids]) + 1).astype(table.dtype.newbyteorder("=")))


def test_importing_does_not_import_numba():
    code = "import sys, fastemb.embedding; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
