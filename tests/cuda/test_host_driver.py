"""The driver's part, against a module like `cuda.bindings.driver`: what is asked of it, in which order, what fails."""

import ctypes
import sys
import threading
import types

import numpy as np
import pytest

from fastemb._cuda import driver, launch
from fastemb._cuda.kernels.convert import make_find_bad
from fastemb._cuda.kernels.lookup import make_gather

PLACE = launch.Place(0, 7000, False)


class Bindings(types.SimpleNamespace):
    """Answers as the driver would; keeps what it was asked. ``fails``: calls that say error 2."""

    CU_MEMHOSTALLOC_DEVICEMAP, CU_MEMHOSTALLOC_PORTABLE = 2, 1
    CUdevice = staticmethod(lambda ordinal: ("device", ordinal))
    CUevent_flags = types.SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)
    CUdevice_attribute = types.SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major", CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="count",
    )  # fmt: skip

    def __init__(self):
        self.asked, self.fails, self.context, self.capturing, self.held = [], set(), 0, 0, []

    def __getattr__(self, name):
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*given):
            self.asked.append((name, *given))
            if name in self.fails:
                return (2,)
            return (0, *self.answer(name, given))

        return call

    def answer(self, name, given):
        """Return what follows the 0 of a call that did not fail."""
        match name:
            case "cuGetErrorString":
                return (b"out of memory" if given[0] == 2 else None,)
            case "cuDevicePrimaryCtxRetain":
                return (100 + given[0][1],)
            case "cuCtxGetCurrent":
                return (self.context,)
            case "cuCtxSetCurrent":
                self.context = given[0]
            case "cuDeviceGetAttribute":
                return ({"major": 9, "minor": 0, "count": 132}[given[0]],)
            case "cuLibraryLoadData":
                return ("library",)
            case "cuLibraryGetKernel":
                return (f"kernel of context {self.context}",)
            case "cuMemAlloc" | "cuMemHostAlloc":
                self.held.append(ctypes.create_string_buffer(b"\xff" * given[0], given[0]))
                return (ctypes.addressof(self.held[-1]),)
            case "cuMemsetD8" | "cuMemcpyHtoDAsync" | "cuMemcpyDtoHAsync":
                move = ctypes.memset if name == "cuMemsetD8" else ctypes.memmove
                move(*given[:3])
            case "cuMemHostGetDevicePointer":
                return (given[0],)
            case "cuStreamIsCapturing":
                return (self.capturing,)
            case "cuEventCreate":
                return ("event",)
        return ()

    def names(self):
        """Return the calls in order, but those that look at contexts."""
        return [name for name, *_ in self.asked if "Ctx" not in name]


@pytest.fixture
def cu(monkeypatch, tmp_path):
    """The module, and a folder for machine code."""
    made = Bindings()
    package = types.ModuleType("cuda.bindings")
    package.driver = made
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", made)
    monkeypatch.setenv("FASTEMB_CUDA_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def made(cu):
    """A driver that has asked nothing but whether there is one."""
    found = driver.Driver()
    assert cu.asked == [("cuInit", 0)]
    cu.asked.clear()
    return found


@pytest.fixture
def compiled(monkeypatch):
    """Count what is compiled, and compile nothing."""
    seen = []

    def compile_kernel(kernel, cc):
        seen.append((kernel.name, cc))
        return kernel.name.encode()

    def link(compiled, cc):
        name = compiled.decode()
        return f"\0code of {name} for {cc}".encode(), f"ptxas info    : Compiling entry function 'entry_of_{name}' for"

    monkeypatch.setattr(driver, "compile_kernel", compile_kernel)
    monkeypatch.setattr(driver, "link", link)
    return seen


def kernel(make=make_find_bad, *options):
    """Return a kernel that no driver has loaded."""
    return launch.Kernel("find_bad_int64", make(*(options or ("int64",))))


# What fails --------------------------------------------------------------------------------------------------------


def test_no_driver_is_one_clear_error(cu):
    cu.fails = {"cuInit"}
    with pytest.raises(ImportError, match=r"fastemb\[cuda13\]' or 'fastemb\[cuda12\]': the CUDA driver says"):
        driver.Driver()


def test_no_package_is_the_same_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(ImportError, match=r"arrays on CUDA devices need NVIDIA's driver and the extra of its CUDA"):
        driver.Driver()


def test_the_drivers_own_words_are_said(made, cu):
    cu.fails = {"cuMemAlloc"}
    with pytest.raises(RuntimeError, match=r"^the CUDA driver says: out of memory$"):
        made.allocate(0, 8)
    with pytest.raises(RuntimeError, match=r"^the CUDA driver says: 999$"):
        made._ask((999,))


# Launches ----------------------------------------------------------------------------------------------------------


def test_a_launch(made, cu, compiled):
    one = kernel()
    values = (np.int64(1 << 40), 3, 50, 1 << 41, -1)
    made.launch(one, (5, 1), (256, 1), PLACE, values, (), 0)
    kinds = (ctypes.c_int64,) * 5
    given = (1 << 40, 3, 50, 1 << 41, -1), kinds
    assert cu.asked[-1] == ("cuLaunchKernel", "kernel of context 100", 5, 1, 1, 256, 1, 1, 0, 7000, given, 0)
    assert all(type(value) is int for value in cu.asked[-1][-2][0])  # ctypes takes no number of NumPy's
    assert compiled == [("find_bad_int64", (9, 0))]
    cu.asked.clear()
    made.launch(one, (5, 1), (256, 1), PLACE, values, (), 0)
    assert cu.names() == ["cuLaunchKernel"]
    made.launch(one, (5, 1), (256, 1), PLACE._replace(ordinal=1), values, (), 0)  # another GPU has its own
    assert cu.asked[-2][1] == "kernel of context 101"
    assert sorted(one.loaded) == [0, 1]
    with pytest.raises(ValueError, match="zip"):
        made.launch(one, (5, 1), (256, 1), PLACE, values[:4], (), 0)


def test_floats_have_their_types(made, cu, compiled):
    def scaled(a: int, w: float, d: np.float64, n: int) -> None: ...

    one = launch.Kernel("scaled", scaled)
    assert one.types == ("q", "f", "d", "q")
    made.launch(one, (1, 1), (1, 1), PLACE, (1, np.float32(2), np.float64(3), 4), (), 0)
    given, kinds = cu.asked[-1][-2]
    assert given == (1, 2.0, 3.0, 4)
    assert [type(one) for one in given] == [int, float, float, int]
    assert kinds == (ctypes.c_int64, ctypes.c_float, ctypes.c_double, ctypes.c_int64)


def test_the_callers_context_is_put_back(made, cu, compiled):
    cu.context = 555  # of another GPU, which the caller works on
    made.launch(kernel(), (1, 1), (1, 1), PLACE, (0,) * 5, (), 0)
    assert cu.context == 555
    cu.fails = {"cuLaunchKernel"}
    with pytest.raises(RuntimeError, match="out of memory"):
        made.launch(kernel(), (1, 1), (1, 1), PLACE, (0,) * 5, (), 0)
    assert cu.context == 555
    cu.context = 0  # a thread that has none gets one
    made.multiprocessors(0), made.capability(0)
    made.synchronize(1)
    assert cu.context == 101
    assert cu.names()[-3:] == ["cuDeviceGetAttribute"] * 3


def test_threads_load_a_kernel_once(made, cu, compiled):
    one = kernel()
    threads = [threading.Thread(target=made._load, args=(one, 0)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1
    assert cu.names().count("cuLibraryLoadData") == 1


# Machine code on disk ----------------------------------------------------------------------------------------------


def test_machine_code_is_kept_and_read_again(made, cu, compiled, tmp_path):
    one = kernel()
    made.launch(one, (1, 1), (1, 1), PLACE, (0,) * 5, (), 0)
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name.startswith("find_bad_int64-sm_90-")
    again = driver.Driver()
    again.launch(kernel(), (1, 1), (1, 1), PLACE, (0,) * 5, (), 0)
    assert len(compiled) == 1
    loads = [given for name, *given in cu.asked if name == "cuLibraryLoadData"]
    names = [given[1] for name, *given in cu.asked if name == "cuLibraryGetKernel"]
    assert loads[0] == loads[1]
    assert loads[0][0] == b"\0code of find_bad_int64 for (9, 0)"
    assert names == [b"entry_of_find_bad_int64"] * 2


def test_other_kernels_types_and_compilers_have_files_of_their_own(made, cu, compiled, tmp_path, monkeypatch):
    made._machine_code(kernel(), (9, 0))
    made._machine_code(kernel(), (10, 0))
    other = launch.Kernel("find_bad_int64", make_gather("int64", 16, "raise"))
    made._machine_code(other, (9, 0))  # of the same name, and other types
    monkeypatch.setattr(driver, "_stamp", lambda: "of another compiler")
    driver.Driver()._machine_code(kernel(), (9, 0))
    assert len(compiled) == len(list((tmp_path / "cache").iterdir())) == 4


def test_the_stamp_is_of_every_file_of_kernels(monkeypatch, tmp_path):
    before = driver._stamp()
    assert before == driver._stamp()
    folder = tmp_path / "kernels"
    folder.mkdir()
    for file in (driver.Path(driver.__file__).parent / "kernels").glob("*.py"):
        (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(driver, "__file__", str(tmp_path / "driver.py"))
    assert driver._stamp() == before
    with (folder / "words_device.py").open("a") as file:
        file.write("# changed\n")
    assert driver._stamp() != before


def test_a_folder_that_cannot_be_written_to_costs_the_compiling(made, cu, compiled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FASTEMB_CUDA_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        made._machine_code(kernel(), (9, 0))
    assert len(compiled) == 2


def test_where_machine_code_is_kept(monkeypatch, tmp_path, made, compiled):
    monkeypatch.delenv("FASTEMB_CUDA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert driver.cache_folder() == tmp_path / "fastemb/cuda"
    monkeypatch.setenv("FASTEMB_CUDA_CACHE", "0")
    assert driver.cache_folder() is None
    monkeypatch.chdir(tmp_path)
    made._machine_code(kernel(), (9, 0))
    assert list(tmp_path.iterdir()) == []


# Memory, events, captures ------------------------------------------------------------------------------------------


def test_memory_is_zeros_before_any_stream_can_see_it(made, cu):
    address = made.allocate(1, 48)
    assert ctypes.string_at(address, 48) == bytes(48)
    assert cu.names() == ["cuMemAlloc", "cuMemsetD8", "cuStreamSynchronize"]
    made.write(PLACE, address + 8, np.array([5, 6], np.int32))
    assert made.read(PLACE, address, 2, np.int64).tolist() == [0, 5 + (6 << 32)]
    word, there = made.mapped(1)
    assert (word[0], there) == (0, word.ctypes.data)
    ctypes.c_int64.from_address(there).value = 1
    assert word[0] == 1


def test_a_stream_waits_by_an_event(made, cu):
    made.wait(PLACE, 7009)
    assert [entry for entry in cu.asked if "Ctx" not in entry[0]] == [
        ("cuEventCreate", 2), ("cuEventRecord", "event", 7009), ("cuStreamWaitEvent", 7000, "event", 0),
        ("cuEventDestroy", "event"),
    ]  # fmt: skip
    cu.asked.clear()
    cu.fails = {"cuEventRecord"}
    with pytest.raises(RuntimeError, match="out of memory"):
        made.wait(PLACE, 7009)
    assert cu.names()[-1] == "cuEventDestroy"


def test_the_host_does_not_wait_for_a_stream_that_is_captured(made, cu):
    address = made.allocate(0, 8)
    cu.capturing = 1
    assert made.capturing(PLACE) is True
    for call in (
        lambda: made.read(PLACE, address, 1, np.int64), lambda: made.write(PLACE, address, np.zeros(1)),
        lambda: made.finish(PLACE),
    ):  # fmt: skip
        cu.asked.clear()
        with pytest.raises(RuntimeError, match=r"stream 0x1b58 of cuda:0 is being captured into a graph"):
            call()
        assert cu.names() == ["cuStreamIsCapturing"]
    cu.capturing = 0
    made.finish(PLACE)
    assert cu.asked[-1] == ("cuStreamSynchronize", 7000)


# The true packages -------------------------------------------------------------------------------------------------


def test_a_kernel_is_compiled_and_linked_without_a_driver(made, cu, tmp_path):
    code, name = made._machine_code(kernel(), (9, 0))
    assert code[:4] == b"\x7fELF"
    assert "find_bad" in name
    assert name.encode() in code
    with pytest.raises(RuntimeError, match=r"no cubin for sm_90 \(the wheels nvidia-nvvm and nvidia-nvjitlink have to"):
        driver.link(b"what no compiler made", (9, 0))
    with pytest.raises(RuntimeError, match="named no kernel"):
        driver.entry_of("a log of another form")


def test_the_true_bindings_take_what_they_are_given(monkeypatch):
    """Without a driver each call fails when it looks for the library: after its arguments were taken."""
    cu = pytest.importorskip("cuda.bindings.driver", reason="the package cuda-bindings is not installed")
    try:
        cu.cuInit(0)
    except Exception as error:
        missing = type(error)
    else:
        pytest.skip("there is a driver: calls with these handles would reach it")
    true = driver.Driver.__new__(driver.Driver)
    true._cu, true._contexts = cu, {}
    true._kinds = {"q": (int, ctypes.c_int64), "f": (float, ctypes.c_float), "d": (float, ctypes.c_double)}
    monkeypatch.setattr(driver.Driver, "_on", lambda self, ordinal: driver.suppress())
    monkeypatch.setattr(driver.Driver, "_require_no_capture", lambda self, place: None)
    one = kernel()
    one.loaded[0] = cu.CUkernel(3)
    buffer = np.zeros(2, np.int64)
    for call in (
        lambda: true.launch(one, (1, 1), (1, 1), PLACE, (np.int64(1), 2, 3, 4, 5), (), 0),
        lambda: true.allocate(0, 8), lambda: true.mapped(0), lambda: true.capturing(PLACE),
        lambda: true.read(PLACE, buffer.ctypes.data, 1, np.int64), lambda: true.finish(PLACE),
        lambda: true.wait(PLACE, 9),
        lambda: true.write(PLACE, buffer.ctypes.data, buffer), lambda: true.synchronize(0),
        lambda: true.capability(0), lambda: true.multiprocessors(0), lambda: cu.cuMemsetD8(8, 0, 8),
        lambda: cu.cuEventRecord(cu.CUevent(3), 9), lambda: cu.cuStreamWaitEvent(7000, cu.CUevent(3), 0),
        lambda: cu.cuLibraryLoadData(b"\x7fELF", None, None, 0, None, None, 0),
        lambda: cu.cuLibraryGetKernel(cu.CUlibrary(4), b"name"), lambda: cu.cuDevicePrimaryCtxRetain(cu.CUdevice(0)),
        lambda: cu.cuMemHostGetDevicePointer(8, 0), lambda: cu.cuCtxSetCurrent(cu.CUcontext(5)),
    ):  # fmt: skip
        with pytest.raises(missing):
            call()
    with pytest.raises(TypeError):  # else nothing would be shown
        cu.cuMemsetD8("no address", 0, 8)
