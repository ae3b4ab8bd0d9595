"""Layers and functions of torch that train: the same kernels, with gradients, transforms and ``torch.compile``."""

from . import _operations as _operations
from . import optim as optim
from .lookup import gather as gather
from .modules.embedding import Embedding as Embedding
