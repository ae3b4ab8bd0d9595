"""torch's layers of embeddings, with our kernels: ``Embedding`` and ``EmbeddingBag``."""

import torch

from .._doors import Tensor
from .._functions.lookup import PLAIN, Asked, look_up


class Embedding(torch.nn.Embedding):
    """A table of vectors, looked up by id: `torch.nn.Embedding`, with our kernels."""

    def forward(self, input: Tensor) -> Tensor:
        """Return rows."""
        if self.max_norm is not None:
            renorm(self.weight, input, self.max_norm, self.norm_type)
        return look_up(self.weight, input, Asked(self.padding_idx, self.scale_grad_by_freq, self.sparse))


def renorm(weight: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows of ids whose norm is above a maximum down to it, in place, as torch does."""
    with torch.no_grad():
        if not torch.compiler.is_compiling():
            look_up(weight[:, :0], ids, PLAIN)  # as torch takes a negative id for a row from the end
        torch.embedding_renorm_(weight, ids.contiguous(), max_norm, norm_type)
