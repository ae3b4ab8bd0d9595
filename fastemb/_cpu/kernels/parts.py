"""How the parts of kernels are compiled: no further than a kernel needs them. By private names of Numba.

Numba would optimise each part as a whole, with all that it calls, and make machine code of it, and then do both again
to its kernel from the start: half of the time that kernels took to compile. See ``docs/design/compile.md``. Where these
names have moved, ``jit.py`` does without this file: the same code, compiled more slowly.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.typed_passes import AnnotateTypes


class _PartCodegen:
    """What Numba asks of a part's library: to put the part's environment somewhere. Nothing compiled reads it."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Do nothing."""


class PartLibrary(JITCodeLibrary):  # type: ignore[misc]  # Numba is untyped
    """The code of a part on its way into kernels: neither optimised as a whole nor made machine code."""

    codegen = _PartCodegen

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=False, analysis_only=True)
class _ChooseLibrary(AnalysisPass):  # type: ignore[misc]
    """The pass that says where the code of a part goes."""

    _name = "choose_library"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Give the part its library before it is lowered."""
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


class PartCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's compiler, whose code goes to a `PartLibrary`."""

    def define_pipelines(self) -> list[Any]:
        """Return Numba's passes and ours."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_ChooseLibrary, AnnotateTypes)
        passes.finalize()
        return [passes]
