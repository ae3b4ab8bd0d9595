"""The compiled C core, as cffi gives it, and the file it lies in."""

from __future__ import annotations

try:
    from . import _core
    from ._core import ffi as ffi
    from ._core import lib as lib
except ImportError as error:
    # The name tells the package which error this is: it adds what to do about a source tree that was never built.
    raise ImportError(
        f"fastemb._text._core, the compiled tokenizer, cannot be loaded: {error}", name="fastemb._text._core"
    ) from None

file = _core.__file__
