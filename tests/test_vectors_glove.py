"""GloVe: its step against the loss in float64, and what it learns."""

import numpy as np
import pytest

import fastemb
from fastemb._word_vectors import glove, pairs


def loss(tables, some, x_max):
    """Weighted least squares over both directions of each pair, as the paper writes it."""
    (left, right), total = tables, 0.0
    D = left.shape[1] - 2
    for row, column, count in some.tolist():
        for i, j in {(row, column), (column, row)}:
            product = left[i, :D] @ right[j, :D] + left[i, D] + right[j, D + 1]
            total += min(count / x_max, 1) ** 0.75 * (product - np.log(count)) ** 2 / 2
    return total


def test_steps_are_those_of_the_program_by_the_gradient_of_the_loss():
    """Its gradients are multiplied by the rate before they are squared and summed."""
    random = np.random.default_rng(4)
    some = np.array([(0, 1, 3.0), (1, 1, 2.0), (0, 2, 250.0), (1, 2, 0.4)], pairs.PAIR)
    tables = [random.normal(size=(4, 5)).astype(np.float32) for _ in range(2)]
    tables[0][:, 4] = tables[1][:, 3] = 1
    exact = [table.astype(float) for table in tables]
    untouched = tables[0][3].copy()
    sums, h, rate = [np.ones_like(table) for table in exact], 1e-6, 0.05
    optimizers = [glove.make_optimizer(rate) for _ in tables]
    for _ in range(3):
        grads = [np.zeros_like(table) for table in exact]
        for side, table in enumerate(exact):
            for place in np.ndindex(table.shape):
                if place[1] == 4 - side:  # the column of ones
                    continue
                for sign in (1, -1):
                    table[place] += sign * h
                    grads[side][place] += sign * loss(exact, some, 100) / (2 * h)
                    table[place] -= sign * h
        for table, grad, total in zip(exact, grads, sums, strict=True):
            total += (rate * grad) ** 2
            table -= rate * grad / np.sqrt(total)
        glove.step(some, tables, optimizers, 100)
        for table, expected in zip(tables, exact, strict=True):
            np.testing.assert_allclose(table, expected, atol=1e-5)
    assert (tables[0][3] == untouched).all()  # a word that no pair has


def test_a_training_gives_each_step_what_was_asked_for(monkeypatch):
    found = []

    def step(some, tables, optimizers, x_max):
        if not found:
            begun = np.concatenate([np.delete(table, 5 - side, axis=1).ravel() for side, table in enumerate(tables)])
            assert 0.1 < np.abs(begun).max() <= 0.5 / 4  # biases too
            assert (tables[0][:, 5] == 1).all()
            assert (tables[1][:, 4] == 1).all()
            assert [one.initial_accumulator_value for one in optimizers] == [pytest.approx(1 / 0.05**2)] * 2
        found.append((sorted(some.tolist()), x_max))
        tables[0][:, :4], tables[1][:, :4] = 1, 2

    monkeypatch.setattr(glove, "step", step)
    model = fastemb.train_vectors(["a b a"] * 9, "glove", 4, epochs=3, x_max=7, window=2)
    # Both words of (a, a), two places apart, are near the other; a pair of two words is once in the list.
    assert found == [([(0, 0, 9.0), (0, 1, 18.0)], 7.0)] * 3
    assert (model.table[:2] == 3).all()  # the sum of both


def test_counts_that_a_model_can_have_are_found_again():
    """Where log counts are products of short rows, the loss falls to almost nothing."""
    random = np.random.default_rng(0)
    V, D = 12, 3
    truth = random.normal(size=(V, D)) * 0.6
    some = np.array(
        [(i, j, np.exp(truth[i] @ truth[j] + 1)) for i in range(V) for j in range(i, V)], pairs.PAIR
    )  # fmt: skip
    tables = [(random.random((V, 6 + 2), np.float32) - 0.5) / 6 for _ in range(2)]
    tables[0][:, 7] = tables[1][:, 6] = 1
    optimizers = [glove.make_optimizer(0.1) for _ in tables]
    before = loss(tables, some, 1)
    for _ in range(400):
        glove.step(some, tables, optimizers, 1)
    assert loss(tables, some, 1) < before / 1000


def test_words_of_one_world_come_together():
    random = np.random.default_rng(1)
    worlds = [
        (["cat", "dog", "cow"], ["eats", "sleeps", "runs"]),
        (["red", "blue", "green"], ["shines", "fades", "glows"]),
    ]
    texts = []
    for _ in range(300):
        names, deeds = worlds[random.integers(2)]
        texts.append(f"the {random.choice(names)} {random.choice(deeds)} and {random.choice(deeds)} a lot")
    model = fastemb.train_vectors(texts, "glove", 16, window=3, x_max=10, memory=1 << 20, seed=3)
    cosines = model.similarity(["cat", "dog", "cow"], ["dog", "cow", "red", "blue", "green"])
    assert cosines[0, :2].min() > cosines[:, 2:].max()


def test_memory_does_not_decide_what_is_counted():
    texts = [f"w{i % 7} w{i % 5} w{i % 3}" for i in range(500)]
    found = [fastemb.train_vectors(texts, "glove", 8, memory=memory, epochs=2).table for memory in (1 << 20, 1 << 24)]
    np.testing.assert_array_equal(*found)  # so few pairs are one file either way


def test_options_of_any_size_are_reckoned_with():
    texts = ["a b c d"] * 9
    for options in ({"x_max": 1e-320}, {"x_max": 1e300}, {"learning_rate": 1e-320}, {"learning_rate": 1e300}):
        assert np.isfinite(fastemb.train_vectors(texts, "glove", 4, epochs=2, **options).table).all()
    every, most = (fastemb.train_vectors(texts, dim=4, sample=sample).table for sample in (0, 1e300))
    np.testing.assert_array_equal(every, most)


def test_options_of_the_other_methods_are_refused():
    for name, value in {"negatives": 5, "sample": 0.1, "shared_negatives": True}.items():
        with pytest.raises(ValueError, match=f"{name} is for .*, and kind is 'glove'"):
            fastemb.train_vectors(["a b"], "glove", **{name: value})
    for kind, name in (("skipgram", "x_max"), ("cbow", "memory"), ("cbow", "shared_negatives")):
        with pytest.raises(ValueError, match=f"{name} is for .*, and kind is {kind!r}"):
            fastemb.train_vectors(["a b"], kind, **{name: 2**21})
