"""Tables whose rows several ids share, or that are weighted where they are read: nothing is multiplied out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..pooling import embedding_bag
from ..ragged import Ragged


class Picked(NamedTuple):
    """Which row each id has, and its weight; None: its own row, and one."""

    mapping: npt.NDArray[Any] | None
    weights: npt.NDArray[np.float32] | None

    def means(self, table: Any, rows: Ragged, normalize: bool, out: Any) -> npt.NDArray[np.float32]:
        """Return the sum of each bag's weighted rows over its number of ids, not over the sum of its weights."""
        ids = rows if self.mapping is None else Ragged(self.mapping[rows.ids], rows.offsets)
        if self.weights is None:
            means: npt.NDArray[np.float32] = embedding_bag(table, ids, mode="mean", normalize=normalize, out=out)
            return means
        weights = self.weights[rows.ids]
        sums: npt.NDArray[np.float32] = embedding_bag(
            table, ids, mode="sum", weights=weights, normalize=normalize, out=out
        )
        if not normalize:
            np.divide(sums, np.maximum(rows.lengths, 1)[:, np.newaxis], out=sums, casting="same_kind")
        return sums
