"""When wrong values on CUDA devices are said: ``set_cuda_check``, ``cuda_check``."""

import sys

from . import _checks
from ._checks import CudaCheck

#: What the room of CUDA devices does, once it is imported.
asked: CudaCheck = "defer"
_STATUS = "fastemb._cuda.status"


def set_cuda_check(mode: CudaCheck) -> None:
    """Choose when ids and offsets that are wrong raise, where they lie on a CUDA device. It holds for the process.

    Parameters
    ----------
    mode : {"defer", "sync", "none"}
        ``"defer"``, which holds until another is chosen: no call waits for the device. A wrong id reads a row of zeros,
        and the error is raised by the next call for the same GPU after it was met, or by `cuda_check`. ``"sync"``: each
        call waits for its ids to be looked at and raises before anything is written, as on the CPU. ``"none"``: wrong
        ids read zeros, and nothing is said.

    Raises
    ------
    ValueError
        If `mode` is none of the three.

    See Also
    --------
    cuda_check : Wait, and raise what was met.

    Notes
    -----
    In ``"defer"`` a call looks at one word in the host's memory, which kernels write to only where a value is wrong. A
    call during the capture of a CUDA graph looks at nothing; replays of the graph report as other calls do.

    Examples
    --------
    >>> import fastemb
    >>> fastemb.set_cuda_check("sync")
    >>> fastemb.set_cuda_check("defer")
    """
    global asked
    _checks.require_word(mode, _checks.CUDA_CHECKS, "mode")
    asked = mode
    if status := sys.modules.get(_STATUS):
        status.set_mode(mode)


def cuda_check() -> None:
    """Wait for all CUDA devices that were worked on, and raise the first error that was put off.

    Raises
    ------
    IndexError
        If an id was out of range: its position, and the function that was called.
    ValueError
        If offsets or lengths were wrong.

    See Also
    --------
    set_cuda_check : Choose when errors are raised.

    Notes
    -----
    Where no array of a CUDA device was met, and in the mode ``"none"``, there is nothing to wait for.

    Examples
    --------
    >>> import fastemb
    >>> fastemb.cuda_check()
    """
    if status := sys.modules.get(_STATUS):
        status.cuda_check()
