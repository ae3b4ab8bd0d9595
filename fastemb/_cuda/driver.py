"""The CUDA driver: machine code loaded, kernels launched, a few words of memory. What of it has not run says so.

NOT RUN on a device so far: class `Driver`; tests put a recorder in its place.
"""

import ctypes
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def compile_kernel(kernel: Any, cc: tuple[int, int]) -> bytes:
    """Return what NVVM makes of a kernel for a compute capability, to be linked. Needs no driver."""
    from types import SimpleNamespace

    from numba import cuda
    from numba.cuda import dispatcher
    from numba.cuda import types as T

    kinds = {"q": T.int64, "f": T.float32, "d": T.float64}
    signature = T.void(*(kinds[t] for t in kernel.types))
    with _compiling:
        # Functions that kernels call ask the device for its capability even where it is given: without one that raises.
        asked = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
        try:
            found, _ = cuda.compile(kernel.function, signature, device=False, abi="numba", cc=cc, output="ltoir")
        finally:
            dispatcher.get_current_device = asked
    return bytes(found)


_compiling = threading.Lock()


def link(compiled: bytes, cc: tuple[int, int], kind: str = "cubin") -> tuple[bytes, str]:
    """Return machine code (or "ptx") by nvJitLink, which needs no driver either, and its log.

    What it links is NVVM's own form, not PTX: of PTX nvJitLink makes code that could be linked to more, in which each
    division is a call that keeps registers free for any function (quantize of float16: 71 registers instead of 61).
    Machine code runs under older drivers of the same CUDA, PTX of this release would not.
    """
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(
        arch=f"sm_{cc[0]}{cc[1]}", verbose=True, link_time_optimization=True, ptx=True if kind == "ptx" else None
    )
    try:
        linker = Linker(ObjectCode.from_ltoir(compiled), options=options)
        code = bytes(linker.link(kind).code)
    except Exception as error:  # of a type that cuda.core does not export
        words = "the wheels nvidia-nvvm and nvidia-nvjitlink have to be of one CUDA release"
        raise RuntimeError(f"nvJitLink made no {kind} for {options.arch} ({words}): {error}") from error
    return code, linker.get_info_log()


def entry_of(log: str) -> str:
    """Return the name of the kernel in machine code, by the log of its linking."""
    found = re.search(r"Compiling entry function '(\w+)'", log)
    if found is None:
        raise RuntimeError(f"nvJitLink named no kernel: {log}")
    return found[1]


def _stamp() -> str:
    """Return what machine code depends on beside the kernel's own name: the files of kernels, and who compiled."""
    found = hashlib.sha256()
    for package in ("numba-cuda", "llvmlite", "nvidia-nvvm", "nvidia-nvjitlink"):
        try:
            found.update(f"{package} {metadata.version(package)}".encode())
        except metadata.PackageNotFoundError:  # CUDA 12 has others' names, or comes with the system
            continue
    for file in sorted((Path(__file__).parent / "kernels").glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


class Driver:
    """What plans need of the driver."""

    threads = 256

    def __init__(self) -> None:
        try:
            from cuda.bindings import driver as cu

            self._cu = cu
            self._ask(cu.cuInit(0))
        except Exception as error:  # no package, no driver, no device: of many types
            raise ImportError(
                "arrays on CUDA devices need NVIDIA's driver and the extra of its CUDA, pip install 'fastemb[cuda13]' "
                f"or 'fastemb[cuda12]': {error}"
            ) from error
        self._stamp = ""
        self._contexts: dict[int, Any] = {}
        self._kinds = {"q": (int, ctypes.c_int64), "f": (float, ctypes.c_float), "d": (float, ctypes.c_double)}

    def _ask(self, answer: tuple[Any, ...]) -> Any:
        """Return what a call of the driver gave; RuntimeError with its words if it failed."""
        error, *found = answer
        if error:
            words = self._cu.cuGetErrorString(error)[1]
            raise RuntimeError(f"the CUDA driver says: {words.decode() if words else error}")
        return found[0] if len(found) == 1 else tuple(found)

    @contextmanager
    def _on(self, ordinal: int) -> Iterator[None]:
        """Make the primary context of a GPU, which frameworks use too, the thread's own; put the caller's back."""
        if ordinal not in self._contexts:
            self._contexts[ordinal] = self._ask(self._cu.cuDevicePrimaryCtxRetain(self._cu.CUdevice(ordinal)))
        mine, before = self._contexts[ordinal], self._ask(self._cu.cuCtxGetCurrent())
        if int(before) == int(mine):
            yield
            return
        self._ask(self._cu.cuCtxSetCurrent(mine))
        try:
            yield
        finally:
            if int(before):  # a thread that had none keeps this one
                self._ask(self._cu.cuCtxSetCurrent(before))

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
        made_by = kernel.function.__module__  # two families may have kernels of one name
        key = hashlib.sha256(f"{self._stamp} {made_by} {kernel.name} {kernel.types} {cc}".encode()).hexdigest()
        folder = cache_folder()
        file = (folder or Path()) / f"{kernel.name[:80]}-sm_{cc[0]}{cc[1]}-{key[:16]}.cubin"
        if folder and file.exists():
            name, _, code = file.read_bytes().partition(b"\0")
            return code, name.decode()
        code, log = link(compile_kernel(kernel, cc), cc)
        entry = entry_of(log)
        if folder:
            with suppress(OSError):  # a folder that cannot be written to: the next process compiles again
                folder.mkdir(parents=True, exist_ok=True)
                part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
                part.write_bytes(entry.encode() + b"\0" + code)
                part.replace(file)
        return code, entry

    def launch(
        self, kernel: Any, grid: Any, block: Any, place: Any, values: Any, alive: Any, shared: int
    ) -> None:  # fmt: skip
        """Put a kernel on the stream. Memory in ``alive`` is its owners', who free it in the order of the stream."""
        kinds = [self._kinds[t] for t in kernel.types]
        numbers = tuple(number(value) for (number, _), value in zip(kinds, values, strict=True))
        given = numbers, tuple(kind for _, kind in kinds)
        with self._on(place.ordinal):
            code = kernel.loaded.get(place.ordinal) or self._load(kernel, place.ordinal)
            self._ask(self._cu.cuLaunchKernel(code, *grid, 1, *block, 1, shared, place.stream, given, 0))

    def allocate(self, ordinal: int, size: int) -> int:
        """Return the address of new memory of zeros that is never freed."""
        with self._on(ordinal):
            address = int(self._ask(self._cu.cuMemAlloc(size)))
            self._ask(self._cu.cuMemsetD8(address, 0, size))
            self._ask(self._cu.cuStreamSynchronize(0))  # streams that do not wait for this one may use it next
        return address

    def mapped(self, ordinal: int) -> tuple[Any, int]:
        """Return a word of the host that kernels write to, as an array of one number, and its address for them."""
        flags = self._cu.CU_MEMHOSTALLOC_DEVICEMAP | self._cu.CU_MEMHOSTALLOC_PORTABLE
        with self._on(ordinal):
            host = int(self._ask(self._cu.cuMemHostAlloc(8, flags)))
            there = int(self._ask(self._cu.cuMemHostGetDevicePointer(host, 0)))
        memory: Any = (ctypes.c_char * 8).from_address(host)
        word = np.frombuffer(memory, np.int64)
        word[0] = 0
        return word, there

    def write(self, place: Any, address: int, values: Any) -> None:
        """Write values of the host to memory of the device, in the order of the stream; the host waits."""
        held = np.ascontiguousarray(values)
        with self._on(place.ordinal):
            self._require_no_capture(place)
            self._ask(self._cu.cuMemcpyHtoDAsync(address, held.ctypes.data, held.nbytes, place.stream))
            self._ask(self._cu.cuStreamSynchronize(place.stream))

    def read(self, place: Any, address: int, count: int, dtype: Any) -> Any:
        """Return numbers in memory of the device, after all work on the stream is done."""
        held = np.empty(count, dtype)
        with self._on(place.ordinal):
            self._require_no_capture(place)
            self._ask(self._cu.cuMemcpyDtoHAsync(held.ctypes.data, address, held.nbytes, place.stream))
            self._ask(self._cu.cuStreamSynchronize(place.stream))
        return held

    def _require_no_capture(self, place: Any) -> None:
        if self.capturing(place):
            raise RuntimeError(
                f"stream {place.stream:#x} of cuda:{place.ordinal} is being captured into a graph, and the host has to "
                "wait for it here: for a result whose size the device knows (row_grad and the like), or as this is the "
                "first call on this GPU, or the first with rows as large; make one call before the capture"
            )

    def finish(self, place: Any) -> None:
        """Let the host wait for the stream."""
        with self._on(place.ordinal):
            self._require_no_capture(place)
            self._ask(self._cu.cuStreamSynchronize(place.stream))

    def synchronize(self, ordinal: int) -> None:
        """Let the host wait for all streams of a GPU."""
        with self._on(ordinal):
            self._ask(self._cu.cuCtxSynchronize())

    def wait(self, place: Any, other: int) -> None:
        """Let work on the stream of ``place`` begin after that on another: by an event, the host does not wait."""
        with self._on(place.ordinal):
            event = self._ask(self._cu.cuEventCreate(self._cu.CUevent_flags.CU_EVENT_DISABLE_TIMING))
            try:
                self._ask(self._cu.cuEventRecord(event, other))
                self._ask(self._cu.cuStreamWaitEvent(place.stream, event, 0))
            finally:
                self._ask(self._cu.cuEventDestroy(event))  # once it has happened

    def capturing(self, place: Any) -> bool:
        """Whether work on the stream is recorded, not run."""
        with self._on(place.ordinal):
            return bool(self._ask(self._cu.cuStreamIsCapturing(place.stream)))


def cache_folder() -> Path | None:
    """Return where machine code is kept: ``FASTEMB_CUDA_CACHE``, else in the user's cache; None for nowhere."""
    if given := os.environ.get("FASTEMB_CUDA_CACHE"):
        return Path(given) if given != "0" else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastemb" / "cuda"
