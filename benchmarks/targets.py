"""What is to be reached: how many times as long a rival should at least take."""

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
SECOND, FIRST = "Tokenizer.encode_batch, second pass", "Tokenizer.encode_batch, first pass"
DOCUMENTS, MANUALS, SHORT = "documents of 8 kB", "manual pages", "texts of 60 bytes"

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
    Target("small calls", "^embedding_bag, offsets", "np.take", 1 / 2),
    Target("small calls", "^embedding_bag, 2-D|^pool, (sum|mean|max)", "np.take", 1 / 2.5),
    Target("small calls", "mask", "np.take", 1 / 3.5),
    Target("small calls", "^embed, positions:", "np.take", 1 / 3),
    Target("small calls", "^embed, positions, ", "np.take", 1 / 4),
    Target("small calls", "^normalize", "np.take", 1 / 2),
    Target("rope", "float32", "Hugging Face's formula in torch", 2),
    Target("rope, one token", "float32", "Hugging Face's formula in torch", 1 / 0.7),
    Target("topk, dot", "^64 of", "NumPy", 1.3),
    Target("topk, dot", "^1 of", "NumPy", 1.0),
    Target(SECOND, DOCUMENTS, "gigatoken", 1.15),
    Target(FIRST, DOCUMENTS, "gigatoken", 1.3),
    Target("Tokenizer.load and first pass", "", "gigatoken", 1.5),
    Target(SECOND, MANUALS, "gigatoken", 1.0),
    Target(FIRST, MANUALS, "gigatoken", 1.0),
    Target(SECOND, SHORT, "gigatoken", 1.5),
    Target(FIRST, SHORT, "gigatoken", 1.5),
    Target(SECOND, f"{DOCUMENTS}|{SHORT}", "tiktoken", 20),
    Target(SECOND, MANUALS, "tiktoken", 15),
    Target("Tokenizer.encode_batch", "WordLlama.*English", "tokenizers", 30),
    Target("Tokenizer.encode", "gpt2|100k|200k", "tiktoken", 2.5),
    Target("Tokenizer.encode", "gpt2|100k|200k", "gigatoken", 0.6),
    Target("Tokenizer.count_batch", "", "encode_batch", 1.1),
    Target("Tokenizer.load of a saved one, and one text", "o200k", "tiktoken", 20),
    Target("Tokenizer.encode_batch, 2 threads against one", DOCUMENTS, "one thread", 1.7),
    Target("Tokenizer.encode_batch, 2 threads against one", SHORT, "one thread", 1.3),
    Target("Tokenizer.encode_batch, FASTEMB_SIMD=none", "", "the best instructions (the floor)", 0.6),
]
