"""pool against the ``Pooling`` of sentence-transformers 6.2, and against its formulas where that is not installed."""

import numpy as np
import pytest
from arrays import same_bits

from fastemb.pooling import pool

#: Their name of a mode, and ours.
MODES = {
    "cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean", "lasttoken": "last",
}  # fmt: skip
T, D = 12, 40
MASKS = {
    "all": [[1] * T] * 3,
    "padding on the right": [[1] * n + [0] * (T - n) for n in (12, 7, 1)],
    "padding on the left": [[0] * (T - n) + [1] * n for n in (12, 7, 1)],
    "holes": [[1, 0, 1] * 4, [0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0], [1] + [0] * 10 + [1]],
}


def draw(mask):
    """Return rows of numbers under a mask: those left out are finite, as 0 times NaN is NaN in their sums."""
    mask = np.array(mask)
    return np.random.default_rng(5).standard_normal((*mask.shape, D), np.float32), mask


def formula(x, mask, mode):
    """Return what they compute of one text in float64: rows under a zero count nothing but where they stand."""
    kept, x = np.flatnonzero(mask), x.astype("f8")
    first = kept[0] if kept.size else 0
    if mode in ("cls", "lasttoken"):
        return x[first] if mode == "cls" else x[kept[-1]] if kept.size else np.zeros(D)
    if mode == "max":
        return x[kept].max(axis=0, initial=-np.inf)
    weights = np.arange(1, len(mask) + 1) - first if mode == "weightedmean" else np.ones(len(mask))
    weights = weights * (mask != 0)
    count = np.maximum(weights.sum(), 1e-9)
    return weights @ x / (np.sqrt(count) if mode == "mean_sqrt_len_tokens" else count)


def theirs(x, mask, mode):
    """Return what the module itself computes."""
    torch = pytest.importorskip("torch", reason="the package torch is not installed")
    package = pytest.importorskip(
        "sentence_transformers.sentence_transformer.modules", reason="sentence-transformers 6 is not installed"
    )
    features = {"token_embeddings": torch.from_numpy(x), "attention_mask": torch.from_numpy(mask)}
    return package.Pooling(D, pooling_mode=mode)(features)["sentence_embedding"].numpy()


def assert_equal(found, expected, mode):
    """To the bit where nothing is added, else to the rounding of twelve numbers of float32."""
    assert found.dtype == np.float32
    if mode in ("cls", "max", "lasttoken"):
        assert same_bits(found, expected.astype("f4"))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", MASKS)
def test_equals_the_formulas(form, mode):
    x, mask = draw(MASKS[form])
    expected = np.stack([formula(*text, mode) for text in zip(x, mask, strict=True)])
    assert_equal(pool(x, mask, mode=MODES[mode]), expected, mode)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what they import
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", MASKS)
def test_equals_the_module(form, mode):
    x, mask = draw(MASKS[form])
    assert_equal(pool(x, mask, mode=MODES[mode]), theirs(x, mask, mode), mode)


#: Of a text of which nothing is kept: what theirs gives, where that is not zeros.
NOTHING_KEPT = {"cls": lambda x: x[0], "max": lambda x: np.full(D, -np.inf)}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_kept_gives_zeros_and_not_what_theirs_gives(mode):
    """By design: a padded batch and a Ragged agree, and no text is a special case to whoever adds up vectors."""
    x, mask = draw([[0] * T, [1] * T])
    assert not pool(x, mask, mode=MODES[mode])[0].any()
    expected = NOTHING_KEPT.get(mode, lambda x: np.zeros(D))(x[0])
    np.testing.assert_array_equal(formula(x[0], mask[0], mode), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
def test_what_theirs_gives_where_nothing_is_kept(mode):
    x, mask = draw([[0] * T, [1] * T])
    expected = NOTHING_KEPT.get(mode, lambda x: np.zeros(D))(x[0])
    np.testing.assert_array_equal(theirs(x, mask, mode)[0], expected)
