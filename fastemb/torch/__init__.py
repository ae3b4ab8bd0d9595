"""Layers and functions of torch that train: the same kernels, with gradients, transforms and ``torch.compile``."""

from . import _operations as _operations
from . import optim as optim
from .bags import embedding_bag as embedding_bag
from .clip import clip_grad_norm_ as clip_grad_norm_
from .clip import clip_grad_value_ as clip_grad_value_
from .embedding import embed as embed
from .lookup import gather as gather
from .modules.embedding import Embedding as Embedding
from .modules.embedding import EmbeddingBag as EmbeddingBag
from .modules.encoder import TokenPositionEmbedding as TokenPositionEmbedding
from .modules.pooling import Pooling as Pooling
from .modules.rotary import Rotary as Rotary
from .pooling import pool as pool
from .position import rotary as rotary
