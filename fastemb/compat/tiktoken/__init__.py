r"""A drop-in for ``tiktoken``: `Encoding`, and the published encodings whose files are at hand.

Nothing is downloaded: `get_encoding` reads rank files of the folder that ``TIKTOKEN_CACHE_DIR`` names, under the names
that ``tiktoken`` gives them there or as ``cl100k_base.tiktoken``, and says where it looked if there is none.

Examples
--------
>>> from fastemb.compat import tiktoken
>>> ranks = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258}
>>> encoding = tiktoken.Encoding(
...     "small", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 259}
... )
>>> encoding.encode("hello")
[258, 111]
>>> encoding.encode("hello<|endoftext|>", allowed_special="all")
[258, 111, 259]
>>> encoding.decode([258, 111])
'hello'
"""

from .core import Encoding as Encoding
from .model import encoding_for_model as encoding_for_model
from .model import encoding_name_for_model as encoding_name_for_model
from .registry import get_encoding as get_encoding
from .registry import list_encoding_names as list_encoding_names

#: The version of ``tiktoken`` whose names and answers these are.
__version__ = "0.14.0"
