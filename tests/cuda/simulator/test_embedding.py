"""embed on the device: equal to its oracle, to the bit where there is no norm."""

import numpy as np
import pytest
from embedding_kit import DTYPES, NORMS, call_room, check, make, make_norm, quantised, view
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import on_device, run

from fastemb import reference
from fastemb._cuda import embedding, embedding_rows, launch
from fastemb.embedding import LayerNorm, embed
from fastemb.quantized import quantize
from fastemb.ragged import Ragged

LAYOUTS = {
    "plain": lambda x: x,
    "rows apart": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "columns apart": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "shifted": lambda x: np.concatenate([x[:, :1], x], axis=1)[:, 1:],
}


def addend_ids(draw, rng, shape, rows, what):
    """Draw ids of an addend, of a shape that broadcasts; None for the default."""
    forms = [None, shape, shape[-1:], (*shape[:-1], 1), (1,)]
    form = draw(st.sampled_from(forms), f"{what} ids")
    return None if form is None else rng.integers(0, rows, form).astype(draw(st.sampled_from(["i4", "i8", "u1"])))


@pytest.mark.parametrize("norms", [["none"], NORMS[1:]], ids=["sums", "norms"])
def test_equals_reference(norms):
    @settings(max_examples=40 if norms == ["none"] else 12, deadline=None)
    @given(st.data())
    def test(data):
        draw = data.draw
        D, V = draw(st.integers(1, 70), "D"), draw(st.integers(1, 9), "V")
        shape = draw(st.sampled_from([(1,), (5,), (2, 3), (2, 0), (1, 2, 3)]), "shape")
        dtype, layout = draw(st.sampled_from(sorted(DTYPES))), draw(st.sampled_from(sorted(LAYOUTS)), "layout")
        rng, mode = np.random.default_rng(draw(st.integers(0, 9))), draw(st.sampled_from(["raise", "clip", "wrap"]))
        low, high = (0, V) if mode == "raise" else (-3 * V, 3 * V)
        ids = rng.integers(low, high, shape).astype(draw(st.sampled_from(["i4", "i8", "i2"]), "id dtype"))
        options = {"norm": make_norm(draw(st.sampled_from(norms), "norm"), D, draw(st.sampled_from([dtype, "f4"])))}
        options |= {"mode": mode, "scale": draw(st.sampled_from([1.0, 1.7]))}
        other = draw(st.sampled_from([dtype, "f2"]), "dtype of addends")
        if draw(st.booleans(), "positions"):
            options["positions"] = LAYOUTS[layout](make((6, D), other, seed=1))
            options["position_ids"] = addend_ids(draw, rng, shape, 6, "position")
        if draw(st.booleans(), "segments"):
            options["segments"] = make((3, D), dtype, seed=2)
            options["segment_ids"] = addend_ids(draw, rng, shape, 3, "segment")
        if draw(st.booleans(), "mask"):
            options["mask"] = rng.integers(0, 2, shape).astype(draw(st.sampled_from([bool, "i1", "i8"]), "mask dtype"))
            ids = np.where(options["mask"], ids, -100).astype(ids.dtype)  # under a zero nothing is looked at
        table = LAYOUTS[layout](make((V, D), dtype))
        result = run(embed, table, ids, **options, launches=1 if ids.size else 0)
        assert result.dtype == DTYPES[dtype]
        check(result, table, ids, **options)

    test()


@pytest.mark.parametrize("form", ["several warps", "in turns"])
@pytest.mark.parametrize(("dtype", "D"), [("f4", 522), ("f2", 301), ("f8", 129)])
def test_rows_that_one_warp_does_not_hold(form, dtype, D, monkeypatch):
    most, threads = {"several warps": (4, 512), "in turns": (2, 32)}[form]
    monkeypatch.setattr(embedding_rows, "MOST_STRETCHES", most)
    monkeypatch.setattr(embedding_rows, "MOST_THREADS", threads)
    monkeypatch.setattr(embedding_rows, "LONG_THREADS", 64)
    table, ids = make((5, D), dtype), np.array([[0, 4, 2]])
    options = {"positions": make((3, D), dtype, seed=1), "scale": 0.5}
    check(run(embed, table, ids, **options), table, ids, **options)
    for name in ("layer", "rms"):
        norm = make_norm(name, D, dtype)
        check(run(embed, table, ids[:, :2], **options, norm=norm), table, ids[:, :2], **options, norm=norm)


def test_how_threads_share_a_row():
    """Four loads a thread up to a warp, eight up to 512 threads: 16,384 columns of float32; beyond that in turns."""
    shares = {W: embedding_rows.shares_of(W, 8) for W in (1, 3, 16, 32, 48, 96, 192, 256, 257, 4096, 4097)}
    assert shares == {
        1: (1, 1), 3: (1, 4), 16: (2, 8), 32: (4, 8), 48: (3, 16), 96: (3, 32), 192: (6, 32), 256: (8, 32),
        257: (5, 64), 4096: (8, 512), 4097: (0, 256),
    }  # fmt: skip
    for W in range(1, 5000):
        for most in (1, 2, 4, 6, 8):
            K, threads = embedding_rows.shares_of(W, most)
            assert most >= K
            assert not K or (K - 1) * threads < W <= K * threads
    assert embedding_rows.columns_of("float32", 768, [(64, 3072, 32)]) == 4
    assert embedding_rows.columns_of("bfloat16", 768, [(64, 1536, 16), (72, 3072, 32)]) == 2
    assert embedding_rows.columns_of("float32", 768, [(64, 3072, 32), (4, 0, 32)]) == 1
    assert embedding_rows.columns_of("float64", 7, [(64, 56, 64)]) == 1
    assert embedding_rows.columns_of("code4", 7, [(64, 4, 4), (64, 28, 32)]) == 1


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("D", [1, 36, 54])
def test_quantised_tables(bits, D, monkeypatch):
    monkeypatch.setattr(embedding_rows, "LONG_THREADS", 32)  # of rows that do not end with a byte
    table, ids = quantize(make((6, D)), bits), np.array([[0, 5, 3]])
    there, values = quantised(table), table.dequantize()
    options = {"positions": make((3, D), seed=1), "scale": 3.0}
    check(run(embed, there, ids, **options), values, ids, **options)
    check(run(embed, there, ids), values, ids)
    options |= {"norm": make_norm("layer", D), "segments": make((1, D), "f2", seed=2)}
    check(run(embed, there, ids[:, :2], **options), values, ids[:, :2], **options)


@pytest.mark.parametrize("dtype", ["f8", "f4", "bf16"])
@pytest.mark.parametrize("kind", sorted(DTYPES))
def test_out_of_every_dtype_and_layout(dtype, kind):
    """Rounded once; nothing beside the result is touched."""
    table, ids = make((9, 12), dtype), np.array([[3, 1], [0, 8], [5, 5]])
    exact = reference.embed(table, ids, scale=0.3)
    for layout in ("plain", "columns apart", "rows apart", "transposed"):
        whole = np.full((3, 4, 24), 7, DTYPES[kind])
        out = {
            "plain": whole[:, :2, :12].copy(),
            "rows apart": whole[:, ::2, 5:17],
            "columns apart": whole[:, 1:3, ::2],
            "transposed": np.full((12, 3, 2), 7, DTYPES[kind]).transpose(1, 2, 0),
        }[layout]
        given_out = on_device(out)
        assert embed(on_device(table), on_device(ids), scale=0.3, out=given_out) is given_out
        assert out.tobytes() == exact.astype(DTYPES[kind]).tobytes()
        out[...] = 7
        assert (whole == 7).all()
    flat = np.full((6, 20), 7, DTYPES[kind])
    run(embed, table, ids.reshape(-1), scale=0.3, out=flat[:, :12])
    assert flat[:, :12].tobytes() == exact.reshape(6, 12).astype(DTYPES[kind]).tobytes()
    assert (flat[:, 12:] == 7).all()


def test_shapes():
    table, positions = make((4, 3)), make((6, 3), seed=1)
    assert (run(embed, table, np.array(2)) == table[2]).all()
    options = {"positions": positions, "position_ids": np.array(5)}
    assert (run(embed, table, np.array(2), **options) == table[2] + positions[5]).all()
    assert run(embed, table, np.zeros((2, 0), int), positions=positions, launches=0).shape == (2, 0, 3)
    assert run(embed, table[:0], np.zeros(0, int), mode="clip", launches=0).shape == (0, 3)
    empty = np.zeros((4, 0), "f4")
    assert run(embed, empty, np.array([1, 2]), norm=LayerNorm(np.zeros(0, "f4")), launches=0).shape == (2, 0)
    four = np.arange(24).reshape(2, 3, 4) % 4
    ids = np.arange(8).reshape(2, 1, 4) % 6
    options = {"positions": positions, "position_ids": ids}
    check(run(embed, table, four, **options), table, four, **options)


def test_a_ragged_restarts_positions():
    table, positions = make((30, 21)), make((6, 21), seed=1)
    rows = [[3, 4, 5], [], [29], [0, 1, 2, 3, 4, 5], []]
    places = np.array([0, 1, 2, 0, 0, 1, 2, 3, 4, 5])
    ragged = Ragged.from_lists(rows)
    result = call_room(embedding.embed, table, ragged, positions=positions)
    check(result, table, ragged.ids, positions=positions, position_ids=places)
    check(call_room(embedding.embed, table, ragged), table, ragged.ids)
    bad = Ragged._trusted(ragged.ids, np.array([0, 3, 2, 99, -5, 10]))  # whatever they are, nothing beside is read
    call_room(embedding.embed, table, bad, positions=positions)
    with pytest.raises(ValueError, match="offset at position 2 is out of range for offsets that ascend from 0 to 10"):
        run(embed, table, ragged.ids)


def test_a_mask_counts_positions_over_tiles():
    """The ranks of a mask of several blocks, and where those that it keeps stand."""
    mask = np.random.default_rng(0).integers(0, 2, 2500).astype(bool)
    found = embedding_rows.ranks_of(view(mask), launch.Place(0, 0, False))
    ranks, listed = (one.owner._ary for one in found)
    assert (ranks == np.cumsum(mask) - mask).all()
    assert (listed[: mask.sum()] == np.flatnonzero(mask)).all()


def test_more_rows_than_32_bits_count(monkeypatch):
    """There the remainder is taken of 64 bits."""
    monkeypatch.setattr(embedding_rows.Call, "wide", True)
    table, ids = make((4, 8)), np.arange(6).reshape(2, 3) % 4
    options = {"positions": make((3, 8), seed=1), "segments": make((2, 8), seed=2), "segment_ids": np.array([0, 1, 0])}
    check(run(embed, table, ids, **options), table, ids, **options)


def test_a_missing_part_changes_nothing():
    """To the bit: signed zeros, infinities and NaN come through."""
    row = np.array([[-0.0, 0.0, np.inf, -np.inf, np.nan, 1e-45, 3e38]], "f4")
    assert run(embed, row, np.array([0])).tobytes() == row.tobytes()
    result = run(embed, row, np.array([0, 0]), positions=np.full((2, 7), -0.0, "f4"))
    assert result.tobytes() == np.repeat(row, 2, axis=0).tobytes()


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_rows_with_a_large_offset(dtype):
    """Where the mean is 10,000 times the spread, the result is as good as the sums themselves allow."""
    spread = np.round(make((2, 200), "f4") * 16) / 16  # exact with the offset, too
    table = (spread + 10_000).astype(dtype)
    norm, ids = LayerNorm(np.ones(200, dtype)), np.array([0, 1])
    found, without = run(embed, table, ids, norm=norm), reference.embed(spread, ids, norm=norm, exact=True)
    np.testing.assert_allclose(found, without, rtol=0, atol=2e-6 if dtype == "f4" else 1e-12)


def test_a_row_does_not_depend_on_others():
    table, norm = make((40, 50)), make_norm("layer", 50)
    together = run(embed, table, np.arange(9), norm=norm)
    assert (run(embed, table, np.array([7]), norm=norm)[0] == together[7]).all()
    assert not run(embed, table, np.array([7]), norm=norm, mask=np.array([0])).any()


def test_positions_are_counted_among_the_ids_that_each_row_keeps():
    table, positions = make((9, 4)), make((5, 4), seed=1)
    ids = np.arange(20).reshape(4, 5) % 9
    mask = np.array([[0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]])
    given = {"positions": positions, "mask": mask}
    check(run(embed, table, ids, **given), table, ids, **given)
