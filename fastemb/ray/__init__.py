"""Texts to vectors and to shards of ids on many machines, by Ray Data.

`embed_dataset` adds a column of vectors to a dataset of Ray, `tokenize_dataset` writes its texts as shards of ids from
which a model is trained. Both give the bits that one machine gives, in the order of the rows, for any number of workers
and whichever of them die. They need the extra ``ray``; importing this module does not.
"""

from ._ledger import BlockError as BlockError
from .embedding import embed_dataset as embed_dataset
from .shards import tokenize_dataset as tokenize_dataset

__all__ = ["BlockError", "embed_dataset", "tokenize_dataset"]
