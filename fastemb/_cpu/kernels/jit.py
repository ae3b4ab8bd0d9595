"""Compiling the kernels: the one place that calls ``numba.njit``.

Every kernel is compiled with ``nogil`` and without signatures (so that importing compiles nothing), and is
cached on disk where there is a place to write. ``FASTEMB_CACHE=0`` turns the cache off.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic as _numba_intrinsic

from .tuning import TUNINGS, choose

if numba.config.DISABLE_JIT:
    raise ImportError("fastemb's kernels exist as machine code alone: unset NUMBA_DISABLE_JIT")

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _stamp() -> str:
    """Digest of every source file of this folder: with the tuning all that may change the machine code of a kernel.

    Numba's own stamp covers the file of the kernel alone, so it would go on serving the old machine code
    after an edit of ``intrinsics.py``.
    """
    digest = hashlib.sha256(f"{llvmlite.__version__} {TUNING_NAME}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _KernelCache(FunctionCache):  # type: ignore[misc]  # Numba is untyped
    """Numba's cache with our stamp, in which no trouble with a file can stop a call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # RuntimeError where no place is writable
        # Files of its own for each tuning: an index whose stamp is another's is begun anew, so processes of two tunings
        # (of two kinds of machines that share a home, say) would empty each other's cache again and again.
        name = f"{self._impl.filename_base}.{TUNING_NAME}"
        self._cache_file = IndexDataCacheFile(self._cache_path, name, _STAMP)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the cached result, or None where there is none that can be trusted."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file cut short unpickles into any kind of error; compiling always works
            return None
        # Two processes that save at once may give one file to two signatures.
        if found is not None and tuple(found.signature.args) != tuple(sig):
            return None
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the result, or leave it where the disk refuses."""
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()
        except Exception:  # the index is a file cut short, which cannot be added to: begin another
            with contextlib.suppress(OSError):
                self.flush()


def _cache_wanted() -> bool:
    return os.environ.get("FASTEMB_CACHE", "1") != "0"


def _machine() -> Any:
    """Return LLVM's words for the processor that kernels are compiled for: triple, name, features."""
    from numba.core.registry import cpu_target

    return cpu_target.target_context.codegen().magic_tuple()


def machine_has(feature: str) -> bool:
    """Whether that processor has a feature, by LLVM's name for it."""
    return f"+{feature}" in _machine()[2].split(",")


def processor() -> str:
    """Return the name of that processor."""
    return str(_machine()[1])


#: The row of the table of tunings that kernels are compiled by, and its name.
TUNING_NAME = choose(processor())
TUNING = TUNINGS[TUNING_NAME]

try:
    _STAMP = _stamp() if _cache_wanted() else ""
except OSError:  # sources not readable as files (a zip archive): nothing to stamp, so nothing is cached
    _STAMP = ""


def cache_folder() -> str | None:
    """Return where compiled kernels are kept, or None where they are not."""
    if not _STAMP:
        return None
    try:
        return str(_KernelCache(cache_folder)._cache_path)
    except (RuntimeError, AttributeError, TypeError, OSError):
        return None


def _kept(compiled: Any, function: _Function) -> _Function:
    """Return a kernel whose machine code is kept on disk, where that is possible."""
    if _STAMP:
        # A read-only install, or private names of Numba that moved: run uncached.
        with contextlib.suppress(RuntimeError, AttributeError, TypeError, OSError):
            compiled._cache = _KernelCache(function)
    return compiled  # type: ignore[no-any-return]


def kernel(function: _Function) -> _Function:
    """Compile a kernel that Python calls; cached on disk where that is possible."""
    return _kept(numba.njit(nogil=True, error_model="numpy")(function), function)


def brief(function: _Function) -> _Function:
    """Compile a kernel that works for some microseconds: it keeps the GIL, which to let go and take again is 50 ns."""
    return _kept(numba.njit(error_model="numpy")(function), function)


class Direct:
    """A kernel without the dispatcher that looks at the types of each call's arguments: 110 ns for three arrays.

    ``call`` takes arguments of the types of the examples, which nobody checks any more, so that others may end the
    process: arrays of these dtypes and numbers of axes, C-contiguous, and aligned if the kernel reads their elements
    itself. They may be read-only. It is compiled, or found on disk, at its first call.
    """

    __slots__ = ("_examples", "_kernel", "call")

    def __init__(self, kernel: Callable[..., Any], *examples: Any) -> None:
        self._kernel, self._examples = kernel, examples
        self.call: Callable[..., Any] = self._first

    def _first(self, *given: Any) -> Any:
        compiled: Any = self._kernel
        self.call = compiled.compile(tuple(map(numba.typeof, self._examples)))
        return self.call(*given)


_PART: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
with contextlib.suppress(ImportError, AttributeError):  # private names of Numba that moved: Numba's own way, slower
    from .parts import PartCompiler

    _PART["pipeline_class"] = PartCompiler


def part(function: _Function) -> _Function:
    """Compile a function that only kernels call: it lives in their machine code and is never cached."""
    return numba.njit(nogil=True, error_model="numpy", **_PART)(function)  # type: ignore[no-any-return]


def inlined(function: _Function) -> _Function:
    """Compile a part that LLVM has to put into its caller: told of three tuples, a call costs some 20 ns."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True, **_PART)(function)  # type: ignore[no-any-return]


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that writes LLVM instructions callable from kernels."""
    return _numba_intrinsic(function)  # type: ignore[no-any-return]


def of_process(function: _Function) -> _Function:
    """Compile a function that holds addresses of this process, so that it cannot be kept."""
    return numba.njit(nogil=True, error_model="numpy")(function)  # type: ignore[no-any-return]


def entry_point(compiled: Any) -> int:
    """Return the address at which C calls a kernel that takes an int64 and returns one; it is compiled now."""
    word = numba.types.int64
    compiled.compile((word,))
    found = compiled.overloads[(word,)]
    return int(found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name))


def give_name(name: str, address: int) -> None:
    """Let kernels that are linked from now on find a C function by its name."""
    llvmlite.binding.add_symbol(name, address)
