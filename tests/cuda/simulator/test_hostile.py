"""Arrays that are legal and rare: misaligned, of many axes, of unsigned ids beyond int64, of the other byte order."""

import numpy as np
import pytest
from kit import on_device, run

import fastemb
from fastemb._cuda import status

TABLE = np.arange(12, dtype="f4").reshape(3, 4)
NORM = fastemb.LayerNorm(np.arange(1, 5, dtype="f4"), np.ones(4, "f4"))
CUBE = np.arange(24, dtype="f4").reshape(2, 3, 4)
OFFSETS = np.array([0, 1, 3])
IDS = np.array([2, 0, 2])


def odd(value):
    """Return arrays at odd addresses, those in tuples too."""
    if isinstance(value, tuple):
        parts = [odd(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(value, np.ndarray):
        return value
    there = np.zeros(value.nbytes + 1, "u1")[1:].view(value.dtype).reshape(value.shape)
    there[...] = value
    assert not there.flags.aligned or value.dtype.alignment == 1
    return there


CALLS = {
    "gather": (fastemb.gather, (TABLE, IDS), {"out": np.zeros((3, 4), "f4")}),
    "embed": (fastemb.embed, (TABLE, IDS), {"positions": TABLE, "norm": NORM, "out": np.zeros((3, 4), "f2")}),
    "mask": (fastemb.embed, (TABLE, IDS), {"segments": TABLE, "segment_ids": IDS, "mask": np.array([0, 1, 2])}),
    "embed_backward": (fastemb.embed_backward, (TABLE, TABLE, IDS), {"positions": TABLE, "norm": NORM}),
    "row_grad": (fastemb.row_grad, (IDS, TABLE), {}),
    "scatter_add": (fastemb.scatter_add, (TABLE, IDS, TABLE + 1), {}),
    "pool": (fastemb.pool, (CUBE, np.array([[0, 1, 1], [1, 1, 0]])), {"weights": CUBE[..., 0], "out": TABLE[:2] + 0}),
    "lengths": (fastemb.pool, (CUBE,), {"lengths": np.array([3, 2]), "normalize": True}),
    "pool_backward": (fastemb.pool_backward, (TABLE[:2], CUBE), {"mode": "max"}),
    "embedding_bag": (fastemb.embedding_bag, (TABLE, IDS, OFFSETS), {"mode": "mean_max"}),
    "bag_backward": (fastemb.embedding_bag_backward, (TABLE[:2], TABLE, IDS, OFFSETS), {"weights": TABLE[0, 1:]}),
    "rope": (fastemb.rope, (CUBE, np.arange(3)), {"inv_freq": np.array([1.0, 0.5]), "out": np.zeros((2, 3, 4), "f4")}),
    "normalize": (fastemb.normalize, (CUBE,), {"out": np.zeros((2, 3, 4), "f8")}),
    "topk": (fastemb.topk, (TABLE, CUBE[0], 2), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_misaligned_arrays(name):
    function, given, options = CALLS[name]
    options = {"mode": "sum"} | options if "weights" in options and "pool" in name else options
    expected = function(*(one.copy() if isinstance(one, np.ndarray) else one for one in given), **options)
    result = run(function, *odd(given), **{word: odd(one) for word, one in options.items()})

    def compare(a, b):
        if isinstance(b, tuple):
            for x, y in zip(a, b, strict=True):
                compare(x, y)
        elif b is None:
            assert a is None
        else:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a.astype("f8"), b.astype("f8"), rtol=1e-3 if a.dtype == "f2" else 2e-6)

    compare(result, expected)


@pytest.mark.parametrize("bits", [8, 4])
def test_misaligned_parts_of_a_quantised_table(bits):
    table = fastemb.quantize(TABLE, bits)
    parts = on_device(tuple(odd(np.array(one)) for one in (table.codes, table.scale, table.offset)))
    there = fastemb.QuantizedTable(*parts, table.shape, bits)
    np.testing.assert_array_equal(run(lambda ids: fastemb.gather(there, ids), IDS), fastemb.gather(table, IDS))
    codes = run(lambda x: fastemb.quantize(x, bits).dequantize(), odd(TABLE))
    np.testing.assert_array_equal(codes, table.dequantize())


@pytest.mark.parametrize("mode", ["clip", "wrap"])
def test_unsigned_ids_beyond_int64(mode):
    ids = np.array([2**64 - 1, 2**63, 2**63 + 1, 2**63 - 1, 1], "u8")
    rows = TABLE[[min(int(one), 2) if mode == "clip" else int(one) % 3 for one in ids]]
    np.testing.assert_array_equal(run(fastemb.gather, TABLE, ids, mode=mode), rows)
    np.testing.assert_array_equal(run(fastemb.embed, TABLE, ids, mode=mode), rows)
    target, expected = np.zeros((3, 4), "f4"), np.zeros((3, 4), "f4")
    run(fastemb.scatter_add, target, ids, rows, mode=mode)
    np.testing.assert_array_equal(target, fastemb.scatter_add(expected, ids, rows, mode=mode))


def test_an_unsigned_id_is_said_as_it_is(monkeypatch):
    monkeypatch.setattr(status, "mode", "sync")
    for function, ids in (("gather", [0, 2**64 - 1]), ("embed", [0, 2**64 - 1]), ("embedding_bag", [[0, 2**64 - 1]])):
        with pytest.raises(IndexError, match="id 18446744073709551615 at position"):
            run(getattr(fastemb, function), TABLE, np.array(ids, "u8"))


def test_more_than_four_axes_apart():
    ids = (np.arange(64) % 3).reshape((2,) * 6).transpose(0, 3, 2, 1, 5, 4)
    np.testing.assert_array_equal(run(fastemb.gather, TABLE, ids), TABLE[ids])
    narrow = ids.astype("u1")  # converted, not copied
    np.testing.assert_array_equal(run(fastemb.gather, TABLE, narrow), TABLE[ids])
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 3, 2, 4)).transpose(4, 1, 0, 3, 2, 5)
    np.testing.assert_allclose(run(fastemb.normalize, x), fastemb.normalize(x), rtol=1e-14)
    out = np.zeros((2,) * 7, "f4").transpose(6, 3, 2, 1, 5, 4, 0)
    run(fastemb.gather, TABLE[:, :2], ids, out=out)
    np.testing.assert_array_equal(out, TABLE[ids, :2])


def test_the_other_byte_order_is_refused():
    other = [(fastemb.gather, (TABLE, IDS.astype(">i8"))), (fastemb.embed, (TABLE.astype(">f4"), IDS))]
    other += [(fastemb.embedding_bag, (TABLE, IDS, OFFSETS.astype(">i4"))), (fastemb.normalize, (TABLE.astype(">f8"),))]
    for function, given in other:
        with pytest.raises(TypeError, match="byte order, got dtype >"):
            run(function, *given)
    with pytest.raises(TypeError, match="byte order, got dtype >f4"):
        run(fastemb.pool, CUBE, out=np.zeros((2, 4), ">f4"))
    moved = run(fastemb.gather, TABLE.astype(">f4"), IDS)  # moves bytes
    np.testing.assert_array_equal(moved, TABLE[IDS])


def test_in_sync_mode_a_frequency_is_looked_at_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(status, "mode", "sync")
    x, out = TABLE + 0, np.full((3, 4), 7, "f4")
    with pytest.raises(ValueError, match="inv_freq at position 1"):
        run(fastemb.rope, x, inv_freq=np.array([1.0, np.nan]), out=out)
    assert (out == 7).all()


def test_what_an_earlier_call_met_is_not_said_of_another(monkeypatch):
    run(fastemb.gather, TABLE, np.array([0, 0, 9]))
    status._of[0].flag[0] = 0  # as if that kernel had not run yet when the next call began
    monkeypatch.setattr(status, "mode", "sync")
    with pytest.raises(IndexError, match=r"id at position 2 is .* \(found after an earlier call of gather"):
        run(fastemb.gather, TABLE[:2], np.array([0, 1]))
    np.testing.assert_array_equal(run(fastemb.gather, TABLE, IDS), TABLE[IDS])


def test_a_missing_last_offset_names_the_layout():
    run(fastemb.embedding_bag, TABLE, IDS, np.array([0, 1]))
    with pytest.raises(ValueError, match="include_last_offset=True"):
        status.cuda_check()
