"""Operations that torch.compile and torch.export keep whole: a file a family."""

from . import bag as bag
from . import embedding as embedding
from . import lookup as lookup
from . import pooling as pooling
from . import position as position
