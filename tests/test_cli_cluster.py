"""`fastemb cluster`: k-means by a slow law, the same for any order of adding, and what is printed of clusters."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastemb
from fastemb.__main__ import main
from fastemb._cli.comparing import kmeans


def unit(seed, n, d, groups=5, spread=0.4):
    random = np.random.default_rng(seed)
    centers = random.standard_normal((groups, d))
    return fastemb.normalize(
        (centers[random.integers(0, groups, n)] + spread * random.standard_normal((n, d))).astype(np.float32)
    )


def law(vectors, k, seed):
    """Return labels and inertia by k-means in float64, with the same draws and the same ends, one vector by one."""
    random = np.random.default_rng(seed)
    grid = np.rint(vectors * np.float32(2048)).astype(np.int64)
    rows = [int(random.random() * len(vectors))]
    apart = [[int(((a - b) ** 2).sum()) for b in grid] for a in grid]
    while len(rows) < k:
        closest = [min(apart[row][i] for row in rows) for i in range(len(grid))]
        ends = np.cumsum(closest)
        drawn = [min(int((ends <= x * ends[-1]).sum()), len(grid) - 1) for x in random.random(2 + int(np.log(k)))]
        costs = [sum(min(apart[one][i], closest[i]) for i in range(len(grid))) for one in drawn]
        rows.append(drawn[costs.index(min(costs))])
    points, centers = vectors.astype(np.float64), vectors[rows].astype(np.float64)
    enough, moved, before = 1e-4 * points.var(axis=0).mean(), np.inf, None
    while True:
        squares = ((points[:, np.newaxis] - centers) ** 2).sum(axis=2)
        labels = squares.argmin(axis=1)
        if moved <= enough or np.array_equal(labels, before):
            return labels, squares.min(axis=1).sum()
        new = np.array([points[labels == c].mean(axis=0) if (labels == c).any() else centers[c] for c in range(k)])
        far = np.argsort(-squares.min(axis=1), kind="stable")
        for c, row in zip(np.setdiff1d(range(k), labels), far, strict=False):
            new[c] = points[row]
        moved, centers, before = ((new - centers) ** 2).sum(), new, labels


@pytest.mark.parametrize("block", [7, 1 << 13])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 5, 4), (80, 33, 9), (12, 3, 12), (30, 4, 1)])
def test_kmeans_is_the_slow_law(monkeypatch, block, n, d, k):
    monkeypatch.setattr(kmeans, "BLOCK", block)
    for seed in range(3):
        vectors = unit(seed, n, d)
        found = kmeans.kmeans(vectors, k, seed)
        labels, inertia = law(vectors, k, seed)
        assert np.array_equal(found.labels, labels)
        assert found.inertia == pytest.approx(inertia, abs=1e-5)


def test_groups_that_lie_apart_are_found():
    vectors = unit(1, 500, 16, groups=8, spread=0.05)
    random = np.random.default_rng(1)
    random.standard_normal((8, 16))
    groups = random.integers(0, 8, 500)
    labels = kmeans.kmeans(vectors, 8, 0).labels
    assert len({*zip(labels.tolist(), groups.tolist(), strict=True)}) == 8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 2000), st.integers(1, 40))
def test_products_of_seeding_are_exact(seed, d, n):
    """Integers below 2**24: whatever order they are added in, float32 loses nothing."""
    vectors = unit(seed, n, d, spread=5.0)
    grid = np.rint(vectors.astype(np.float64) * 2048).astype(np.int64)
    assert (np.abs(grid) @ np.abs(grid).T).max(initial=0) < 1 << 24  # of partial sums in any order
    rows = np.arange(0, n, 3)
    expected = ((grid[:, np.newaxis] - grid[rows]) ** 2).sum(axis=2)
    assert np.array_equal(kmeans._from_rows(vectors, rows), expected)


def test_of_centres_as_near_the_first_is_taken_whatever_blas_says(monkeypatch):
    """Centres that differ by less than float32 tells apart in a product: labels are those of float64."""
    random = np.random.default_rng(0)
    vectors = unit(2, 300, 20)
    center = vectors[:4].mean(axis=0)
    centers = (center + 1e-7 * random.integers(-3, 4, (6, 20))).astype(np.float32)
    squares = ((vectors[:, np.newaxis].astype(np.float64) - centers) ** 2).sum(axis=2)
    gaps = np.sort(squares, axis=1)
    clear = gaps[:, 1] - gaps[:, 0] > 1e-15
    labels = kmeans._nearest(vectors, centers)
    assert clear.sum() > 200
    assert np.array_equal(labels[clear], squares.argmin(axis=1)[clear])
    twice = np.concatenate([centers, centers])
    assert kmeans._nearest(vectors, twice).max() < 6


def test_stopped_early_labels_are_of_the_centres_that_are_returned(monkeypatch):
    monkeypatch.setattr(kmeans, "TOLERANCE", 1e6)
    vectors = unit(4, 200, 10)
    found = kmeans.kmeans(vectors, 7, 0)
    squares = ((vectors[:, np.newaxis].astype(np.float64) - found.centers) ** 2).sum(axis=2)
    assert found.steps == 1
    assert np.array_equal(found.labels, squares.argmin(axis=1))
    assert found.inertia == pytest.approx(squares.min(axis=1).sum())


def test_an_empty_cluster_gets_what_is_farthest():
    vectors = unit(5, 30, 4)
    centers, labels = vectors[:4], np.repeat([0, 2], 15)
    squares = ((vectors.astype(np.float64) - centers[labels]) ** 2).sum(axis=1)
    means = kmeans._means(vectors, labels, centers)
    assert np.array_equal(means[[1, 3]], vectors[np.argsort(-squares)[:2]])
    assert np.allclose(means[[0, 2]], [vectors[:15].mean(axis=0), vectors[15:].mean(axis=0)], atol=1e-6)


def test_fewer_vectors_differ_than_clusters_are_asked_for():
    """A centre for each, and no steps that move the empty ones about."""
    vectors = unit(6, 5, 8)[np.random.default_rng(6).integers(0, 5, 200)]
    found = kmeans.kmeans(vectors, 20, 0)
    assert len(found.centers) == np.unique(found.labels).size == 5
    assert found.steps <= 2
    assert found.inertia < 1e-9


def run(*argv, status=0):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["cluster", *map(str, argv)]) == status
    if status:
        assert out.getvalue() == ""
        assert re.fullmatch(r"fastemb: error: [^\n]+\n", err.getvalue())
        return err.getvalue()
    return out.getvalue()


@pytest.fixture
def files(tmp_path):
    model = tmp_path / "words.txt"
    model.write_text("red 1 0 0\nrose 1 0.1 0\nsky 0 1 0\nsea 0 1 0.1\nsun 0 0 1\n")
    (tmp_path / "a.txt").write_text("red\nsky\n\nsea\nred\nunheard\n")
    (tmp_path / "b.jsonl").write_text('"sky sky sea"\n"sun"\n"rose"\n"sky"\n')
    return [tmp_path / "a.txt", tmp_path / "b.jsonl", "--model", model]


def test_clusters(files):
    a, b, *_ = files
    printed = run(*files, "-k", 3, "--show", 2).splitlines()
    assert [line for line in printed if line[0] == "c"] == [
        "cluster 1: 4 documents, 50.0 %",
        "cluster 2: 3 documents, 37.5 %",
        "cluster 3: 1 documents, 12.5 %",
    ]
    assert [line.split("  ")[2] for line in printed if line[0] == " "] == [
        f"{b}:1",  # the nearest to the middle; then sky, which is once there twice
        f"{a}:2",
        f"{a}:1",
        f"{b}:3",
        f"{b}:2",
    ]
    assert re.fullmatch(r"3 clusters of 8 documents, inertia 0\.0, \d+ steps", printed[-1])
    rows = [json.loads(line) for line in run(*files, "-k", 3, "--json", "--show", 1).splitlines()]
    assert [(row["cluster"], row["size"]) for row in rows] == [(1, 4), (2, 3), (3, 1)]
    assert rows[2]["central"] == [{"score": 1.0, "file": str(b), "line": 2, "text": "sun"}]
    assert run(*files, "-k", 3, "--each").split() == list("2101201321")
    each = [json.loads(line) for line in run(*files, "-k", 3, "--each", "--json").splitlines()]
    assert each[5] == {"cluster": None, "file": str(a), "line": 6, "text": "unheard"}
    assert each[6] == {"cluster": 1, "file": str(b), "line": 1, "text": "sky sky sea"}
    assert run(*files, "-k", 3, "--seed", 7, "--each") == run(*files, "-k", 3, "--seed", 7, "--each")


def test_fewer_texts_differ_than_clusters_are_asked_for(files, tmp_path):
    (tmp_path / "same.txt").write_text("red\nred\nsky\n")
    printed = run(tmp_path / "same.txt", *files[2:], "-k", 3)
    assert printed.splitlines()[-1].startswith("2 clusters of 3 documents, inertia 0.0")


def test_cluster_refuses(files, tmp_path):
    assert "-k 9: there are only 8 documents of which something is known" in run(*files, "-k", 9, status=2)
    for option in ("-k", "--seed", "--show"):
        assert f"{option} must be at least" in run(*files, option, -1, status=2)
    (tmp_path / "none").write_text("")
    assert "there are only 0 documents" in run(tmp_path / "none", status=2)
