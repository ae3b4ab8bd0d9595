"""The gradients of pools and bags on the device: those of the reference, rounded once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import run
from test_pooling import coded, cuts, draw_mode, draw_rows, draw_weights

from fastemb import reference
from fastemb._cuda import launch, status
from fastemb.pooling import embedding_bag_backward, pool, pool_backward

assert cuts  # a fixture


def close(result, expected, weights=False):
    tolerance = 1e-11 if result.dtype == np.float64 else 3e-5
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * scale)
    if not weights:
        assert (result[expected == 0] == 0).all()


def draw_form(data, rng):
    """The shape of the slots, and which of them are kept."""
    T = data.draw(st.integers(0, 11))
    kind = data.draw(st.sampled_from(["mask", "lengths", "all", "offsets"]))
    if kind == "offsets":
        lengths = data.draw(st.lists(st.integers(0, 11), max_size=4))
        return (sum(lengths),), {"offsets": np.cumsum([0, *lengths])}
    B = data.draw(st.integers(0, 3))
    if kind == "mask":
        return (B, T), {"mask": rng.random((B, T)) < 0.6}
    if kind == "lengths":
        return (B, T), {"lengths": rng.integers(0, T, B, endpoint=True)}
    return (B, T), {}


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_pool_backward_equals_reference(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    slots, options = draw_form(data, rng)
    x = draw_rows(data, *slots, data.draw(st.sampled_from([1, 3, 4, 8])))
    options["mode"], weighted = draw_mode(data)
    if weighted:
        options["weights"] = draw_weights(data, slots)
    if data.draw(st.booleans()):
        options["normalize"] = True
    single = x if x.dtype.itemsize > 2 else x.astype("f4")
    shape = reference.pool(single, **options).shape
    grad = rng.normal(size=shape).astype("f4")
    result, by_weights = run(pool_backward, grad, single, launches=0, **options)
    expected, expected_weights = reference.pool_backward(grad, single, **options)
    close(result, expected)
    assert result.dtype == single.dtype
    if weighted:
        close(by_weights, expected_weights, weights=True)
        assert by_weights.shape == slots
    else:
        assert by_weights is None
    if x is not single:
        halves, again = run(pool_backward, grad, x, launches=0, **options)
        np.testing.assert_array_equal(halves, result.astype(x.dtype))
        if weighted:
            np.testing.assert_allclose(again, by_weights, rtol=1e-5, atol=1e-5)  # words hold other columns


def dense(grads, shape):
    ids, rows = grads
    assert (np.diff(ids.astype(int)) > 0).all()
    out = np.zeros(shape)
    out[ids] = rows
    return out


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_bag_backward_equals_reference(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    slots, options = draw_form(data, rng)
    options.pop("lengths", None)
    V, D = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([1, 3, 4]))
    table = draw_rows(data, V, D)
    ids = rng.integers(0, V, slots).astype(data.draw(st.sampled_from(["i4", "i8", "u1"])))
    options["mode"], weighted = draw_mode(data)
    if weighted:
        options["weights"] = draw_weights(data, slots)
    if data.draw(st.booleans()):
        options["padding_idx"] = data.draw(st.integers(-1, V - 1))
    options["normalize"] = data.draw(st.booleans())
    by_count = data.draw(st.booleans())
    kind = np.float64 if table.dtype == np.float64 else np.float32
    check_bag(table, table.astype(kind), ids, options, by_count, rng)


def check_bag(table, numbers, ids, options, by_count, rng):
    """Compare with the gradient of a pool of the rows that ids mean, where padding has been taken away."""
    padding, rest = options.get("padding_idx"), {k: v for k, v in options.items() if k != "padding_idx"}
    shape = reference.embedding_bag(numbers, ids, **options).shape
    grad = rng.normal(size=shape).astype("f4")
    result = run(embedding_bag_backward, grad, table, ids, launches=0, scale_grad_by_freq=by_count, **options)
    assert result.table.ids.dtype == ids.dtype
    flat, by_row = ids.reshape(-1), np.zeros((ids.size, numbers.shape[1]))
    by_weight, kept = np.zeros(ids.size), np.zeros(ids.size, bool)
    for s, places in enumerate(reference.slots_of_bags(ids.shape, rest.get("offsets"), rest.get("mask"))):
        places = places[flat[places] != padding]
        here = {k: v for k, v in rest.items() if k in ("mode", "normalize")}
        if "weights" in rest:
            here["weights"] = rest["weights"].reshape(-1)[places]
        if rest["mode"] == "weighted_mean":  # places left out count on
            here = {"mode": "mean", "weights": reference.ranks_of(places), "normalize": here["normalize"]}
        rows = numbers[flat[places]]
        one = reference.pool_backward(grad[s : s + 1], rows, offsets=[0, len(places)], **here)
        by_row[places] = one[0]
        if "weights" in rest:
            by_weight[places] = one[1]
        kept[places[:1] if rest["mode"] == "cls" else places[-1:] if rest["mode"] == "last" else places] = True
    expected = np.zeros(numbers.shape)
    np.add.at(expected, flat[kept], by_row[kept])
    unique, counts = np.unique(flat[kept], return_counts=True)
    assert result.table.ids.tolist() == unique.tolist()
    if by_count:
        expected[unique] /= counts[:, np.newaxis]
    tolerance = 1e-11 if numbers.dtype == np.float64 else 3e-5
    np.testing.assert_allclose(dense(result.table, numbers.shape), expected, rtol=tolerance, atol=10 * tolerance)
    if "weights" in rest:
        np.testing.assert_allclose(result.weights, by_weight.reshape(ids.shape), rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize(("bits", "D"), [(8, 16), (4, 7)])
def test_codes(bits, D):
    rng = np.random.default_rng(D)
    table, numbers = coded(rng.normal(size=(5, D)).astype("f4"), bits)
    ids, offsets = rng.integers(0, 5, 12), np.array([0, 0, 3, 12])
    for options in ({"mode": "mean_max", "normalize": True}, {"mode": "mean", "weights": rng.uniform(1, 2, 12)}):
        options = {"normalize": False, "offsets": offsets, **options}
        check_bag(table, numbers, ids, options, False, rng)


def test_the_gradient_of_a_maximum_goes_to_the_first():
    x = np.array([[[1, 5, np.nan, 0.0], [1, 7, 2, -0.0], [0, 7, np.nan, 0]]], "f4")
    result = run(pool_backward, np.ones((1, 4), "f4"), x, mode="max")
    assert result.x.tolist() == [[[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]]


def test_a_bad_id_has_no_gradient():
    table, ids, grad = np.ones((3, 4), "f4"), np.array([[0, 3], [-1, 2]]), np.ones((2, 4), "f4")
    result = run(embedding_bag_backward, grad, table, ids, mode="sum")
    assert result.table.ids.tolist() == [0, 2]
    with pytest.raises(IndexError, match=r"id at position \(0, 1\)"):
        status.cuda_check()


@pytest.mark.parametrize("offsets", [[1, 2, 4], [0, 3, 2], [0, 9, 4], [0, -1, 4], [0, 2, 3], [0]], ids=str)
def test_bad_offsets_never_fault(offsets):
    table, grad, options = np.ones((3, 4), "f4"), np.ones((len(offsets) - 1, 4), "f4"), {"offsets": np.array(offsets)}
    run(embedding_bag_backward, grad, table, np.zeros(4, int), **options)
    with pytest.raises(ValueError, match="that ascend from 0 to 4"):
        status.cuda_check()
    run(pool_backward, grad, np.ones((4, 4), "f4"), mode="max", **options)
    with pytest.raises(ValueError, match="that ascend from 0 to 4"):
        status.cuda_check()


def test_gradients_of_nothing():
    table = np.ones((3, 4), "f4")
    result = run(embedding_bag_backward, np.ones((2, 4), "f4"), table, np.zeros((2, 0), "i4"), launches=0)
    assert result.table.ids.shape == (0,)
    assert result.table.rows.shape == (0, 4)
    assert run(pool_backward, np.ones((2, 4), "f4"), np.ones((2, 0, 4), "f2"), launches=0).x.shape == (2, 0, 4)


@pytest.mark.parametrize("mode", ["mean", "mean_max"])
def test_rows_of_several_blocks(mode):
    rng = np.random.default_rng(0)
    x, grad = rng.normal(size=(2, 9, 67)).astype("f4"), rng.normal(size=(2, 67 * (1 + (mode == "mean_max"))))
    mask = rng.random((2, 9)) < 0.6
    np.testing.assert_array_equal(run(pool, x, mask, mode=mode), reference.pool(x, mask, mode=mode))
    close(run(pool_backward, grad, x, mask, mode=mode).x, reference.pool_backward(grad, x, mask, mode=mode)[0])


def test_a_recorded_stream_has_no_number_of_ids(monkeypatch):
    monkeypatch.setattr(launch.driver, "capturing", lambda place: True)
    with pytest.raises(RuntimeError, match="embedding_bag_backward reads back how many ids occur"):
        run(embedding_bag_backward, np.ones((1, 4), "f4"), np.ones((3, 4), "f4"), np.zeros((1, 2), int))
