"""``mask`` in ``embed`` and its backward: rows of zeros, ids that are not looked at, positions among the kept."""

import numpy as np
import pytest
from arrays import DTYPES, on_threads, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from fastemb import reference
from fastemb.embedding import LayerNorm, RMSNorm, embed, embed_backward
from fastemb.ragged import Ragged

NORMS = {
    None: lambda rng, D: None,
    "layer": lambda rng, D: LayerNorm(*rng.standard_normal((2, D), np.float32)),
    "rms": lambda rng, D: RMSNorm(rng.standard_normal(D).astype("f4")),
}


def draw(seed, shape, D, dtype, *, norm=None, position_ids=False, segments=False):
    """Return the arguments of a call, with nonsense under the mask."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.6
    ids = np.where(mask, rng.integers(0, 9, shape), rng.choice([-100, 10**6], shape))
    given = {
        "table": rng.standard_normal((9, D)).astype(dtype), "ids": ids, "mask": mask,
        "positions": rng.standard_normal((shape[-1] + 3, D)).astype(dtype), "norm": NORMS[norm](rng, D),
        "scale": float(rng.choice([1.0, 2.5])),
    }  # fmt: skip
    if position_ids:
        given["position_ids"] = np.where(mask, rng.integers(0, shape[-1] + 3, shape), -7)
    if segments:
        given["segments"] = rng.standard_normal((2, D)).astype(dtype)
        given["segment_ids"] = np.where(mask, rng.integers(0, 2, shape), 99)
    return given


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 40), st.sampled_from(DTYPES),
    st.sampled_from(list(NORMS)), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_equals_the_reference(shape, D, dtype, norm, position_ids, segments, into, seed):
    given = draw(seed, shape, D, dtype, norm=norm, position_ids=position_ids, segments=segments)
    before = {name: np.array(value) for name, value in given.items() if isinstance(value, np.ndarray)}
    out = np.full((*shape, D), np.nan, np.float32) if into else None
    got = embed(**given, out=out)
    assert out is None or got is out
    wanted = reference.embed(**given)
    np.testing.assert_allclose(
        got.astype("f8"), wanted.astype("f8"), rtol=0, atol={2: 0.05}.get(np.dtype(dtype).itemsize, 1e-4)
    )
    assert (got[~given["mask"]] == 0).all()
    assert not np.signbit(got[~given["mask"]]).any()
    assert all(np.array_equal(given[name], value) for name, value in before.items())


@pytest.mark.parametrize("norm", list(NORMS))
def test_padding_on_either_side_gives_the_rows_of_a_ragged(norm):
    rng = np.random.default_rng(0)
    rows = Ragged.from_lists([[5, 1, 2], [], [7], [8, 8, 0, 3]])
    table, positions = rng.standard_normal((9, 20), np.float32), rng.standard_normal((4, 20), np.float32)
    options = {"positions": positions, "norm": NORMS[norm](rng, 20)}
    wanted = embed(table, rows, **options)
    for side in ("left", "right"):
        ids, mask = rows.pad(9, side=side, pad_id=-1)
        for kept in (mask, mask.astype("u1") * 7):
            assert same_bits(embed(table, ids, mask=kept, **options)[mask], wanted)


def test_robertas_position_ids():
    """Hugging Face: ``cumsum(mask) * mask + padding_idx``, of a table whose first rows are for padding."""
    rng = np.random.default_rng(0)
    table, positions = rng.standard_normal((50, 8), np.float32), rng.standard_normal((20, 8), np.float32)
    ids = rng.integers(2, 50, (3, 6))
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    theirs = table[ids] + positions[np.cumsum(mask, axis=1) * mask + 1]
    got = embed(table, ids, positions=positions[2:], mask=mask)
    assert np.array_equal(got[mask == 1], theirs[mask == 1])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from(["f8", "f4", "f2"]),
    st.sampled_from(list(NORMS)), st.booleans(), st.booleans(), st.integers(0, 2**32),
)  # fmt: skip
def test_the_backward_sees_kept_rows_alone(shape, dtype, norm, position_ids, segments, seed):
    """As if the call were flat and held the kept ids alone."""
    given = draw(seed, shape, 10, dtype, norm=norm, position_ids=position_ids, segments=segments)
    mask = given.pop("mask")
    grad = np.random.default_rng(seed).standard_normal((*shape, 10)).astype(dtype)
    flat = given | {"ids": given["ids"][mask], "position_ids": np.cumsum(mask, axis=-1)[mask] - 1}
    for name in ("position_ids", "segment_ids"):
        if name in given:
            flat[name] = given[name][mask]
    wanted = embed_backward(grad[mask], padding_idx=3, **flat)
    grad[~mask] = np.nan
    for got in on_threads(lambda: embed_backward(grad, padding_idx=3, mask=mask, **given)):
        assert same_bits(got.table.ids, wanted.table.ids)
        assert same_bits(got.table.rows, wanted.table.rows)
        for a, b in zip(got[1:], wanted[1:], strict=True):
            if b is not None:
                pairs = [(a, b)] if isinstance(b, np.ndarray) else list(zip(a, b, strict=True))
                assert all(x is y is None or same_bits(x, y) for x, y in pairs)


def test_many_rows(small_grain):
    given = draw(0, (40, 300), 70, "f4", norm="layer", segments=True)
    results = on_threads(lambda: embed(**given))
    assert all(same_bits(result, results[0]) for result in results)
    kept = given["mask"]
    alone = {"positions": given["positions"], "position_ids": np.cumsum(kept, axis=-1)[kept] - 1}
    alone |= {"segments": given["segments"], "segment_ids": given["segment_ids"][kept]}
    wanted = embed(given["table"], given["ids"][kept], norm=given["norm"], scale=given["scale"], **alone)
    assert same_bits(results[0][kept], wanted)


def test_nothing_kept_of_a_table_without_rows():
    ids, mask = np.full((2, 3), 5), np.zeros((2, 3), bool)
    none = np.zeros((0, 4), np.float32)
    assert same_bits(embed(none, ids, mask=mask, positions=none), np.zeros((2, 3, 4), np.float32))
    out = np.full((2, 3, 4), np.nan)
    assert (embed(none, ids, mask=mask, out=out) == 0).all()
    found = embed_backward(np.full((2, 3, 4), np.nan, np.float32), none, ids, mask=mask, positions=none)
    assert found.table.rows.shape == (0, 4)
    assert found.positions.shape == (0, 4)


TABLE, IDS = np.ones((9, 4), np.float32), np.zeros((2, 3), int)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mask": np.ones((2, 3))}, TypeError, "mask must"),
        ({"mask": np.ones((3, 2), bool)}, ValueError, r"mask must have shape \(2, 3\), got \(3, 2\)"),
        ({"mask": np.ones(3, bool)}, ValueError, "mask must have shape"),
        ({"ids": Ragged.from_lists([[1]]), "mask": [True]}, ValueError, "a Ragged has no place to mask"),
        ({"ids": [[0, 9, 0], [0, 0, 0]], "mask": [[0, 1, 0], [0, 0, 0]]}, IndexError, r"id 9 at position \(0, 1\)"),
        ({"mask": [[1, 0, 1], [0, 1, 0]], "positions": TABLE[:1]}, ValueError, "at least 2 rows for these ids, got 1"),
        ({"mask": [[1, 0, 1], [0, 1, 0]], "positions": TABLE[:1], "position_ids": [[0, 5, 0], [5, 1, 5]]}, IndexError,
         r"position id 1 at position \(1, 1\)|position 1 at position \(1, 1\)"),
    ],
    ids=str,
)  # fmt: skip
def test_refusals(options, error, words):
    out = np.full((2, 3, 4), 7, np.float32)
    given = {"table": TABLE, "ids": IDS} | options
    if not isinstance(given["ids"], Ragged):
        with pytest.raises(error, match=words):
            embed(**given, out=out)
        assert (out == 7).all()
    with pytest.raises(error, match=words):
        embed(**given)
