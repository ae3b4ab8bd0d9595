"""What the array functions are asked to reach: how many times as long a rival should at least take."""

from __future__ import annotations

import re
from typing import NamedTuple


class Target(NamedTuple):
    """A ratio to a rival, for the rows of the report whose operation is this one and whose case matches."""

    operation: str
    case: str
    rival: str
    ratio: float

    def covers(self, operation: str, case: str) -> bool:
        """Whether a row is one of those meant."""
        return operation == self.operation and re.search(self.case, case) is not None


ONE, TWO = "^(?!.*2 threads)", "2 threads"
TORCH_POOL = "sentence-transformers' torch"

TARGETS = [
    Target("gather into out=", "x 768 |x 4096 .*Zipf", "np.take", 1.4),
    Target("gather into out=", "x 4096 .*uniform", "np.take", 1.25),
    Target("gather into out=", "1,000,000 x 128", "np.take", 1.0),
    Target("gather into out=, 2 threads against one of NumPy", "x 768 |x 4096 .*Zipf", "np.take", 2.5),
    Target("gather into out=, 2 threads against one of NumPy", "x 4096 .*uniform", "np.take", 2.0),
    Target("gather, new result, pool on", "float32", "table[ids]", 1.3),
    Target("gather, new result, pool on", "float32", "torch", 1.8),
    Target("gather, small calls", "float32", "np.take", 1 / 3),
    Target("embed, positions", "", "NumPy", 3),
    Target("embed, positions", "", "torch", 4),
    Target("embed, positions, segments, LayerNorm", "30,522", "torch", 6),
    Target("embed, positions, segments, LayerNorm", "30,522", "ONNX Runtime", 2),
    Target("embed, positions, segments, LayerNorm", "", "gather(out=) (the floor)", 1 / 1.8),
    Target("row_grad", f"{ONE}.*(uniform|Zipf)", "torch coalesce", 2),
    Target("row_grad", TWO, "torch coalesce", 3),
    Target("scatter_add", f"{ONE}.*(uniform|Zipf)", "np.add.at", 10),
    Target("scatter_add", f"{ONE}.*(uniform|Zipf)", "torch index_add_", 1.1),
    Target("scatter_add", TWO, "torch index_add_", 1.5),
    Target("pool, mean", "lengths", TORCH_POOL, 25),
    Target("pool, mean", "lengths", "NumPy", 8),
    Target("pool, max", "lengths", TORCH_POOL, 25),
    Target("pool, mean", "kept", "kept rows read once (the floor)", 0.7),
    Target("embedding_bag, sum", "float", "torch", 1.0),
    Target("embedding_bag, mean", "float.* x |float.*bags", "torch", 1.0),
    Target("embedding_bag, max", "", "torch", 6),
    Target("embedding_bag, mean with padding_idx", "", "torch", 1.3),
    Target("embedding_bag, sum", "int8", "fastemb, float32 table", 1.5),
    Target("rope", "float32", "Hugging Face's formula in torch", 2),
    Target("topk, dot", "^64 of", "NumPy", 1.3),
    Target("topk, dot", "^1 of", "NumPy", 1.0),
]
