"""The CUDA driver: machine code loaded, kernels launched, a few words of memory. What of it has not run says so.

NOT RUN on a device so far: all of this file but `compile_kernel`; tests put a recorder in its place.
"""

import ctypes
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np


def compile_kernel(kernel: Any, cc: tuple[int, int]) -> tuple[str, str]:
    """Return the PTX of a kernel for a compute capability, and its name there. Needs no driver."""
    from types import SimpleNamespace

    from numba import cuda
    from numba.cuda import dispatcher
    from numba.cuda import types as T

    kinds = {"q": T.int64, "f": T.float32, "d": T.float64}
    with _compiling:
        # Functions that kernels call ask the device for its capability even where it is given: without one that raises.
        asked, dispatcher.get_current_device = dispatcher.get_current_device, lambda: SimpleNamespace(compute_capability=cc)
        try:
            ptx, _ = cuda.compile_ptx(kernel.function, T.void(*(kinds[t] for t in kernel.types)), device=False, cc=cc)
        finally:
            dispatcher.get_current_device = asked
    name = ptx[ptx.index(".visible .entry ") + len(".visible .entry ") :].partition("(")[0].strip()
    return ptx, name


_compiling = threading.Lock()


def link(ptx: str, cc: tuple[int, int]) -> bytes:
    """Return machine code by nvJitLink, which needs no driver either and, unlike PTX, runs under older ones."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=LinkerOptions(arch=f"sm_{cc[0]}{cc[1]}"))
    return bytes(linker.link("cubin").code)


def _stamp() -> str:
    """Return what machine code depends on beside the kernel's own name: the files of kernels, and who compiled."""
    import numba_cuda

    found = hashlib.sha256(numba_cuda.__version__.encode())
    for file in sorted((Path(__file__).parent / "kernels").glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


class Driver:
    """What plans need of the driver."""

    threads = 256

    def __init__(self) -> None:
        from cuda.bindings import driver as cu

        self._cu = cu
        try:
            self._ask(cu.cuInit(0))
        except Exception as error:
            raise ImportError(f"arrays on CUDA devices need NVIDIA's driver: {error}") from None
        self._stamp = ""
        self._contexts: dict[int, Any] = {}

    def _ask(self, answer: tuple[Any, ...]) -> Any:
        """Return what a call of the driver gave; RuntimeError with its words if it failed."""
        error, *found = answer
        if error:
            raise RuntimeError(f"the CUDA driver says: {self._cu.cuGetErrorString(error)[1].decode()}")
        return found[0] if len(found) == 1 else tuple(found)

    def _enter(self, ordinal: int) -> None:
        """Make the primary context of a GPU, which frameworks use too, the thread's own."""
        if ordinal not in self._contexts:
            self._contexts[ordinal] = self._ask(self._cu.cuDevicePrimaryCtxRetain(self._cu.CUdevice(ordinal)))
        if int(self._ask(self._cu.cuCtxGetCurrent())) != int(self._contexts[ordinal]):
            self._ask(self._cu.cuCtxSetCurrent(self._contexts[ordinal]))

    def capability(self, ordinal: int) -> tuple[int, int]:
        """Return the compute capability of a GPU."""
        a = self._cu.CUdevice_attribute
        both = a.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, a.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
        major, minor = (self._ask(self._cu.cuDeviceGetAttribute(one, self._cu.CUdevice(ordinal))) for one in both)
        return major, minor

    def multiprocessors(self, ordinal: int) -> int:
        """Return how many a GPU has."""
        which = self._cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
        return int(self._ask(self._cu.cuDeviceGetAttribute(which, self._cu.CUdevice(ordinal))))

    def _load(self, kernel: Any, ordinal: int) -> Any:
        with kernel.lock:
            if ordinal not in kernel.loaded:
                code, name = self._machine_code(kernel, self.capability(ordinal))
                library = self._ask(self._cu.cuLibraryLoadData(code, None, None, 0, None, None, 0))
                kernel.loaded[ordinal] = self._ask(self._cu.cuLibraryGetKernel(library, name.encode()))
        return kernel.loaded[ordinal]

    def _machine_code(self, kernel: Any, cc: tuple[int, int]) -> tuple[bytes, str]:
        """Return the machine code of a kernel and its name there, from the cache on disk where it lies there."""
        self._stamp = self._stamp or _stamp()
        key = hashlib.sha256(f"{self._stamp} {kernel.name} {kernel.types} {cc}".encode()).hexdigest()
        file = cache_folder() / f"{kernel.name[:80]}-sm_{cc[0]}{cc[1]}-{key[:16]}.cubin"
        try:
            held = file.read_bytes()
            name, _, code = held.partition(b"\0")
            return code, name.decode()
        except OSError:
            pass
        ptx, name = compile_kernel(kernel, cc)
        code = link(ptx, cc)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            part.write_bytes(name.encode() + b"\0" + code)
            part.replace(file)
        except OSError:  # a folder that cannot be written to: it is compiled again in the next process
            pass
        return code, name

    def launch(
        self, kernel: Any, grid: Any, block: Any, place: Any, values: Any, alive: Any, shared: int
    ) -> None:  # fmt: skip
        """Put a kernel on the stream. The memory in ``alive`` is its owners', who free it in the order of the stream."""
        self._enter(place.ordinal)
        code = kernel.loaded.get(place.ordinal) or self._load(kernel, place.ordinal)
        kinds = {"q": ctypes.c_int64, "f": ctypes.c_float, "d": ctypes.c_double}
        types = tuple(kinds[t] for t in kernel.types)
        given = (tuple(values), types)
        self._ask(self._cu.cuLaunchKernel(code, *grid, 1, *block, 1, shared, place.stream, given, 0))
        if place.waits:
            self._ask(self._cu.cuStreamSynchronize(place.stream))

    def allocate(self, ordinal: int, size: int) -> int:
        """Return the address of new memory of zeros that is never freed."""
        self._enter(ordinal)
        address = int(self._ask(self._cu.cuMemAlloc(size)))
        self._ask(self._cu.cuMemsetD8(address, 0, size))
        return address

    def mapped(self) -> tuple[Any, int]:
        """Return a word of the host that kernels write to, as an array of one number, and its address for them."""
        flags = self._cu.CU_MEMHOSTALLOC_DEVICEMAP | self._cu.CU_MEMHOSTALLOC_PORTABLE
        host = int(self._ask(self._cu.cuMemHostAlloc(8, flags)))
        word = np.frombuffer((ctypes.c_char * 8).from_address(host), np.int64)
        word[0] = 0
        return word, int(self._ask(self._cu.cuMemHostGetDevicePointer(host, 0)))

    def write(self, place: Any, address: int, values: Any) -> None:
        """Write values of the host to memory of the device, in the order of the stream; the host waits."""
        self._enter(place.ordinal)
        held = np.ascontiguousarray(values)
        self._ask(self._cu.cuMemcpyHtoDAsync(address, held.ctypes.data, held.nbytes, place.stream))
        self._ask(self._cu.cuStreamSynchronize(place.stream))

    def read(self, place: Any, address: int, count: int, dtype: Any) -> Any:
        """Return numbers in memory of the device, after all work on the stream is done."""
        self._enter(place.ordinal)
        held = np.empty(count, dtype)
        self._ask(self._cu.cuMemcpyDtoHAsync(held.ctypes.data, address, held.nbytes, place.stream))
        self._ask(self._cu.cuStreamSynchronize(place.stream))
        return held

    def wait(self, place: Any, other: int) -> None:
        """Let work on the stream of ``place`` begin after that on another: by an event, the host does not wait."""
        self._enter(place.ordinal)
        event = self._ask(self._cu.cuEventCreate(self._cu.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        self._ask(self._cu.cuEventRecord(event, other))
        self._ask(self._cu.cuStreamWaitEvent(place.stream, event, 0))
        self._ask(self._cu.cuEventDestroy(event))

    def capturing(self, place: Any) -> bool:
        """Whether work on the stream is recorded, not run."""
        return bool(self._ask(self._cu.cuStreamIsCapturing(place.stream)))


def cache_folder() -> Path:
    """Return where machine code is kept: ``FASTEMB_CUDA_CACHE``, else a folder of the user's cache."""
    given = os.environ.get("FASTEMB_CUDA_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastemb" / "cuda"
