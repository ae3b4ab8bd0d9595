"""Layers and functions of torch that train: the same kernels, with gradients, transforms and ``torch.compile``."""

from . import _operations as _operations
from .embedding import embed as embed
from .lookup import gather as gather
from .modules.embedding import Embedding as Embedding
from .modules.encoder import TokenPositionEmbedding as TokenPositionEmbedding
from .modules.pooling import Pooling as Pooling
from .modules.rotary import Rotary as Rotary
from .pooling import pool as pool
from .position import rotary as rotary
