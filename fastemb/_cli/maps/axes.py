"""Vectors in two dimensions: principal components, exactly; UMAP and t-SNE by the packages that have them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import fastemb

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

METHODS = ("pca", "umap", "tsne")
PACKAGES = {"umap": ("umap", "umap-learn"), "tsne": ("sklearn", "scikit-learn")}  # module and package of each
NEIGHBORS = 5
NEIGHBORS_UP_TO = 20_000  # rows: the search takes their square
SEED = 0  # of what begins at random, so that a page is the same again
BLOCK = 1 << 22  # bytes of rows in float64 at a time; beside them, memory is for the square of their length


class Placed(NamedTuple):
    """Where rows stand, and what share of the variance each axis holds (PCA alone)."""

    points: npt.NDArray[np.float32]
    shares: tuple[float, float] | None


def require(method: str) -> None:
    """Say that a method cannot be had, before hours of work go into its vectors.

    Raises
    ------
    ModuleNotFoundError
        Its package is not installed.
    """
    module, package = PACKAGES.get(method, ("fastemb", "fastemb"))
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"--method {method} needs the package {package}: pip install {package}")


def place(vectors: Any, method: str) -> Placed:
    """Return the place of each row in two dimensions.

    Raises
    ------
    ValueError
        There are too few rows for the method.
    """
    return principal(vectors) if method == "pca" else Placed(_BY_PACKAGES[method](vectors), None)


def principal(vectors: Any) -> Placed:
    """Return the rows on the two axes along which they vary most (principal component analysis).

    The axes are the eigenvectors of the covariance, summed in float64 over all rows, block by block. An eigenvector
    may point either way: here its largest component, of equals the first, is positive.
    """
    import numpy as np

    count, dim = vectors.shape
    mean = sum((block.sum(axis=0) for _, block in _blocks(vectors)), start=np.zeros(dim)) / count
    scatter = np.zeros((dim, dim))
    for _, block in _blocks(vectors):
        block -= mean  # before the products: a mean far from zero would else take their digits
        scatter += block.T @ block
    variances, columns = np.linalg.eigh(scatter)  # ascending
    axes = np.zeros((dim, 2))
    axes[:, : min(2, dim)] = columns[:, ::-1][:, :2]
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    axes *= np.where(largest < 0, -1.0, 1.0)
    points = np.empty((count, 2), np.float32)
    for start, block in _blocks(vectors):
        points[start : start + len(block)] = (block - mean) @ axes
    total = float(np.trace(scatter))
    first, second = (float(max(value, 0.0)) / total if total > 0 else 0.0 for value in [*variances[::-1], 0.0][:2])
    return Placed(points, (first, second))


def _blocks(vectors: Any) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    import numpy as np

    count, dim = vectors.shape
    rows = max(1, BLOCK // (8 * max(1, dim)))
    for start in range(0, count, rows):
        yield start, np.array(vectors[start : start + rows], np.float64)


def _umap(vectors: Any) -> npt.NDArray[np.float32]:
    import warnings

    import numpy as np
    import umap

    _enough(vectors, "umap")
    neighbors = min(15, len(vectors) - 1)
    # Begun at random where the spectrum of the graph cannot be had: a graph of few rows has too few eigenvectors.
    begin = "spectral" if len(vectors) > 3 * neighbors else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread, which is what is wanted
        reducer = umap.UMAP(n_neighbors=neighbors, metric="cosine", init=begin, random_state=SEED)
        return np.asarray(reducer.fit_transform(np.asarray(vectors, np.float32)), np.float32)


def _tsne(vectors: Any) -> npt.NDArray[np.float32]:
    import numpy as np
    import sklearn.manifold

    _enough(vectors, "tsne")
    begin = principal(vectors).points
    spread = float(begin[:, 0].std())
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    reducer = sklearn.manifold.TSNE(
        metric="cosine",
        perplexity=perplexity,
        init=begin / spread * 1e-4 if spread else "random",  # as scikit-learn scales its own
        random_state=SEED,
    )
    return np.asarray(reducer.fit_transform(np.asarray(vectors, np.float32)), np.float32)


_BY_PACKAGES = {"umap": _umap, "tsne": _tsne}


def _enough(vectors: Any, method: str) -> None:
    if len(vectors) < 4:
        raise ValueError(f"--method {method}: expected 4 rows or more, got {len(vectors)}")


def neighbors(vectors: Any) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int16]] | None:
    """Return the rows that are nearest to each by cosine, and ten thousand times these; None for too many rows."""
    import numpy as np

    count = len(vectors)
    if not 1 < count <= NEIGHBORS_UP_TO:
        return None
    rows = np.ascontiguousarray(vectors, np.float32)
    scores, ids = fastemb.topk(rows, rows, min(NEIGHBORS + 1, count))
    own = ids == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True  # of more equal rows than are found, a row need not be among its own nearest
    kept = (count, ids.shape[1] - 1)
    return ids[~own].reshape(kept).astype(np.uint16), np.rint(scores[~own].reshape(kept) * 1e4).astype(np.int16)
