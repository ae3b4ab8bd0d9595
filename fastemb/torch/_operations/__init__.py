"""Operations that torch.compile and torch.export keep whole: a file a family."""

from . import bag as bag
from . import lookup as lookup
