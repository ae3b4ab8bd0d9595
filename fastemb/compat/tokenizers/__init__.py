"""A drop-in for ``tokenizers``: `Tokenizer` with its parts, `Encoding`, `AddedToken`, and decoding in a stream.

Nothing is downloaded; texts are encoded by `fastemb.Tokenizer`, so at its speed.

Examples
--------
>>> from fastemb.compat.tokenizers import Tokenizer, decoders, models, pre_tokenizers
>>> vocab = {"h": 0, "e": 1, "l": 2, "o": 3, "he": 4, "ll": 5, "hell": 6}
>>> tokenizer = Tokenizer(models.BPE(vocab, [("h", "e"), ("l", "l"), ("he", "ll")]))
>>> tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
>>> tokenizer.decoder = decoders.ByteLevel()
>>> tokenizer.encode("hello").tokens
['hell', 'o']
>>> [encoding.ids for encoding in tokenizer.encode_batch(["hello", "hole"])]
[[6, 3], [0, 3, 2, 1]]
"""

from . import decoders as decoders
from . import models as models
from . import normalizers as normalizers
from . import pre_tokenizers as pre_tokenizers
from . import processors as processors
from . import trainers as trainers
from .added_token import AddedToken as AddedToken
from .component import Regex as Regex
from .encoding import Encoding as Encoding
from .tokenizer import Tokenizer as Tokenizer

#: The version of ``tokenizers`` whose names and answers these are.
__version__ = "0.23.3"
