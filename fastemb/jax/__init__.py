"""The functions of fastemb inside programs of JAX, on the CPU: under `jit`, `grad`, `vmap`, `scan` and `remat`.

They have the names, arguments, defaults and bits of the functions for arrays with values, and no ``out``. A program
calls them by XLA's foreign function interface: no array is copied on the way, and a bad id is an error of the program,
a `jax.errors.JaxRuntimeError`. (JAX makes a ValueError of it in some places, as where NumPy reads such a result.) The
page on frameworks says what gradients there are, and how a program is exported.
"""

from ._calls import register as register
from .embedding import embed as embed
from .gradient import row_grad as row_grad
from .lookup import gather as gather
from .pooling import embedding_bag as embedding_bag
from .pooling import pool as pool
from .position import rope as rope

__all__ = ["embed", "embedding_bag", "gather", "pool", "register", "rope", "row_grad"]
