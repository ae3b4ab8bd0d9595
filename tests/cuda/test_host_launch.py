"""What a GPU would be told, by a recorder in the place of the driver: kernels, grids, streams, values, memory.

Arrays are those of `fakes`: they say that they lie on a GPU and lie in the CPU's memory.
"""

import inspect

import numpy as np
import pytest
from fakes import STREAMS, CuPyArray, InterfaceArray, JaxArray, NumbaArray
from framework_cases import CALLS, leaves
from recorder import Recorder

import fastemb
from fastemb._cuda import arrays, driver, launch, simulated, status

SELF, OTHER = STREAMS[0], 7009

pytestmark = pytest.mark.usefixtures("libraries")


def cupy(array, ordinal=0):
    return CuPyArray(np.array(array, copy=True), ordinal)


TABLE = np.arange(50 * 24, dtype="f4").reshape(50, 24)
IDS = np.arange(15).reshape(3, 5) * 3


def test_every_driver_has_the_same_methods():
    def methods(kind):
        made = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(one).parameters) for name, one in made if name[0] != "_"}

    asked = methods(driver.Driver)
    assert methods(Recorder).items() >= asked.items()
    assert methods(simulated.Simulated).items() >= {k: v for k, v in asked.items() if k != "capability"}.items()


# gather, number by number -----------------------------------------------------------------------------------------


def test_a_launch_of_gather(gpu, libraries):
    table, ids = cupy(TABLE), cupy(IDS)
    result = fastemb.gather(table, ids)
    assert type(result) is CuPyArray
    assert (result.shape, result.dtype) == ((3, 5, 24), "f4")
    assert libraries.cupy.calls == [("empty", 0)]  # by the caller's framework, and nothing else
    (one,) = gpu.launches
    status_address = next(address for address, memory in gpu.memory.items() if memory.nbytes > 8)
    # 96 bytes a row are 6 words of 16; 6 threads along a row, 42 rows of threads, 4 rows each.
    assert one == (
        "gather_int64_16_raise", (1, 1), (6, 42), 0, SELF,
        (table.data.ptr, 96, ids.data.ptr, result.data.ptr, 96, 15, 50, 6, status_address, 1 << 41), "q" * 10, 0,
    )  # fmt: skip
    fastemb.gather(table, ids)
    assert gpu.launches[1].values[-1] == 2 << 41  # the number of the call
    assert [what for what, *_ in gpu.log].count("write") == 1  # the status is made once


@pytest.mark.parametrize(
    ("D", "dtype", "shift", "kernel", "block"),
    [
        (24, "f4", 0, "gather_int64_16_raise", (6, 42)),
        (4096, "f2", 0, "gather_int64_16_raise", (64, 4)),
        (23, "f4", 0, "gather_int64_4_raise", (23, 11)),
        (24, "f4", 8, "gather_int64_8_raise", (12, 21)),
        (5, "f2", 0, "gather_int64_2_raise", (5, 51)),
        (3, "i1", 0, "gather_int64_1_raise", (3, 85)),
        (1, "c16", 0, "gather_int64_16_raise", (1, 256)),
    ],
)
def test_widths_and_blocks(gpu, D, dtype, shift, kernel, block):
    memory = np.zeros(64 * D * 16 + 64, np.uint8)
    first = -memory.ctypes.data % 16 + shift
    size = np.dtype(dtype).itemsize
    table = CuPyArray(memory[first:][: 50 * D * size].view(dtype).reshape(50, D))
    out = CuPyArray(np.zeros((1000 * D * size + 16), np.uint8))
    start = -out.numbers.ctypes.data % 16
    out = CuPyArray(out.numbers[start:][: 1000 * D * size].view(dtype).reshape(1000, D))
    fastemb.gather(table, cupy(np.zeros(1000, int)), out=out)
    (one,) = gpu.launches
    assert (one.name, one.block) == (kernel, block)
    assert (one.grid[0] - 1) * 4 * block[1] < 1000 <= one.grid[0] * 4 * block[1]


def test_out_is_written_and_returned(gpu, libraries):
    out = cupy(np.zeros((3, 5, 24), "f4"))
    assert fastemb.gather(cupy(TABLE), cupy(IDS), out=out) is out
    assert gpu.launches[0].values[3] == out.data.ptr
    assert libraries.cupy.calls == []
    apart = CuPyArray(np.zeros((3, 5, 48), "f4")[:, :, ::2])
    assert fastemb.gather(cupy(TABLE), cupy(IDS), out=apart) is apart
    assert [one.name for one in gpu.launches[1:]] == ["gather_int64_16_raise", "copy_4_True"]
    assert libraries.cupy.calls == [("empty", 0)]


def test_ids_of_other_dtypes_are_converted_there(gpu, libraries):
    fastemb.gather(cupy(TABLE), cupy(IDS.astype("i2")))
    assert [one.name for one in gpu.launches] == ["convert_int16_int64", "gather_int64_16_raise"]
    fastemb.gather(cupy(TABLE), cupy(IDS.astype("i4")), mode="wrap")
    assert gpu.launches[-1].name == "gather_int32_16_wrap"
    assert len(libraries.cupy.calls) == 3


def test_nothing_to_do_is_no_launch(gpu):
    assert fastemb.gather(cupy(TABLE), cupy(IDS[:0])).shape == (0, 5, 24)
    assert fastemb.gather(cupy(TABLE[:, :0]), cupy(IDS)).shape == (3, 5, 0)
    assert gpu.launches == []


# What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: fastemb.gather(cupy(TABLE[:0]), cupy(IDS)), IndexError),
        (lambda: fastemb.gather(cupy(TABLE), cupy(IDS), mode="up"), ValueError),
        (lambda: fastemb.gather(cupy(TABLE), cupy(IDS.astype("f4"))), TypeError),
        (lambda: fastemb.gather(cupy(TABLE), cupy(IDS), out=cupy(TABLE)), ValueError),
        (lambda: fastemb.gather(cupy(TABLE), cupy(IDS, 1)), TypeError),
        (lambda: fastemb.gather(cupy(TABLE), IDS), TypeError),
        (lambda: fastemb.gather(TABLE, cupy(IDS)), TypeError),
    ],
    ids=["no rows", "mode", "dtype", "shape", "two GPUs", "ids here", "table here"],
)
def test_nothing_is_launched_where_an_argument_is_wrong(gpu, call, error):
    with pytest.raises(error):
        call()
    assert gpu.launches == []


def test_without_a_driver_one_error_says_what_is_missing(monkeypatch):
    def missing(self):
        raise ImportError("arrays on CUDA devices need NVIDIA's driver")

    monkeypatch.setattr(launch, "driver", launch._Unopened())
    monkeypatch.setattr(driver.Driver, "__init__", missing)
    monkeypatch.setattr(status, "_of", {})
    monkeypatch.setattr(arrays, "new", lambda *_: pytest.fail("memory was asked for first, which fails in other words"))
    with pytest.raises(ImportError, match="arrays on CUDA devices need NVIDIA's driver"):
        fastemb.gather(cupy(TABLE), cupy(IDS))


# Streams, GPUs, captures -------------------------------------------------------------------------------------------


def test_an_array_of_another_stream_is_waited_for_on_both_sides(gpu):
    """The host waits for nothing: the one stream waits for what is on the other, and that for the kernel."""
    table, ids = InterfaceArray(TABLE, stream=SELF), InterfaceArray(IDS, stream=OTHER)
    out = InterfaceArray(np.zeros((3, 5, 24), "f4"), stream=SELF)
    fastemb.gather(table, ids, out=out)
    gpu.log.clear()
    assert fastemb.gather(table, ids, out=out) is out
    assert gpu.log == [("wait", SELF, OTHER), ("launch", "gather_int64_16_raise"), ("wait", OTHER, SELF)]
    assert gpu.launches[-1].stream == SELF


def test_arrays_of_one_stream_wait_for_nothing(gpu):
    fastemb.gather(cupy(TABLE), cupy(IDS))
    gpu.log.clear()
    fastemb.gather(cupy(TABLE), cupy(IDS))
    assert gpu.log == [("launch", "gather_int64_16_raise")]


@pytest.mark.parametrize("waiting", ["table", "ids"])
def test_the_host_waits_for_arrays_whose_stream_is_not_known(gpu, waiting):
    make = lambda array, name: JaxArray(array) if waiting == name else NumbaArray(array, 0, 1)  # noqa: E731
    if waiting == "ids":  # of a table of Numba's; an interface that names no stream
        table, ids = NumbaArray(TABLE, 0, 1), InterfaceArray(IDS)
    else:
        table, ids = make(TABLE, "table"), JaxArray(IDS.astype("i4"))
    fastemb.gather(table, ids)
    gpu.log.clear()
    fastemb.gather(table, ids)
    (launched,) = (k for k, (what, *_) in enumerate(gpu.log) if what == "launch")
    assert gpu.log[-1][0] == "finish"
    assert launched < len(gpu.log) - 1
    assert waiting == "ids" or table.ready


def test_each_gpu_has_its_stream_and_its_status(gpu, libraries):
    for ordinal in (0, 2):
        fastemb.gather(cupy(TABLE, ordinal), cupy(IDS, ordinal))
    first, second = gpu.launches
    assert (first.ordinal, first.stream, second.ordinal, second.stream) == (0, STREAMS[0], 2, STREAMS[2])
    assert first.values[-2] != second.values[-2]
    assert [entry for entry in gpu.log if entry[0] == "allocate"] == [("allocate", 0), ("allocate", 2)]
    assert libraries.cupy.calls == [("empty", 0), ("empty", 2)]


def test_a_capture_needs_one_call_before_it(gpu):
    gpu.captured.add(SELF)
    with pytest.raises(RuntimeError, match="is being captured into a graph"):
        fastemb.gather(cupy(TABLE), cupy(IDS))
    gpu.captured.clear()
    fastemb.gather(cupy(TABLE), cupy(IDS))
    gpu.captured.add(SELF)
    flag(gpu)[0] = 1  # an error of before: it is kept until after the capture
    gpu.log.clear()
    fastemb.gather(cupy(TABLE), cupy(IDS))
    assert gpu.log == [("launch", "gather_int64_16_raise")]


# Wrong values ------------------------------------------------------------------------------------------------------


def flag(gpu):
    """Return the word of the host that kernels write to."""
    return next(memory for memory in gpu.memory.values() if memory.nbytes == 8)


def met(gpu, position):
    """Let the last launch have met a wrong id."""
    address, mark = gpu.launches[-1].values[-2:]
    gpu._bytes(address, 8).view("i8")[:] = mark + position
    flag(gpu)[0] = 1


def test_a_wrong_id_is_said_by_the_next_call(gpu):
    table, ids = cupy(TABLE), cupy(IDS)
    fastemb.gather(table, ids)
    met(gpu, 7)
    fastemb.gather(cupy(TABLE, 1), cupy(IDS, 1))  # another GPU
    gpu.log.clear()
    words = (
        r"id at position \(1, 2\) is out of range for a table of 50 rows \(found after an earlier call of gather on "
    )
    with pytest.raises(IndexError, match=words + r"cuda:0\)$"):
        fastemb.gather(table, ids)
    assert gpu.log == [("synchronize", 0), ("read", 0), ("write", 0)]
    fastemb.gather(table, ids)  # said once
    met(gpu, 0)
    with pytest.raises(IndexError, match=r"id at position \(0, 0\)"):
        fastemb.cuda_check()
    fastemb.cuda_check()


def test_the_call_may_be_forgotten(gpu, monkeypatch):
    monkeypatch.setattr(status, "_KEPT", 2)
    fastemb.gather(cupy(TABLE), cupy(IDS))
    met(gpu, 7)
    flag(gpu)[0] = 0  # seen late
    for _ in range(3):
        fastemb.gather(cupy(TABLE), cupy(IDS))
    with pytest.raises(IndexError, match="an earlier call on cuda:0 met a value that is out of range"):
        fastemb.cuda_check()


def test_none_says_nothing_not_even_later(gpu):
    try:
        fastemb.set_cuda_check("none")
        fastemb.gather(cupy(TABLE), cupy(IDS))
        met(gpu, 7)
        fastemb.gather(cupy(TABLE), cupy(IDS))
        fastemb.cuda_check()
    finally:
        fastemb.set_cuda_check("defer")
    fastemb.gather(cupy(TABLE), cupy(IDS))
    fastemb.cuda_check()


def test_sync_looks_before_anything_is_written(gpu, monkeypatch):
    """The kernel that looks reports; the recorder lets it have met the id at position 4."""
    try:
        fastemb.set_cuda_check("sync")
        fastemb.gather(cupy(TABLE), cupy(IDS))
        assert [one.name for one in gpu.launches] == ["find_bad_int64", "gather_int64_16_raise"]
        run = gpu.launch

        def launch_and_meet(kernel, *given):
            run(kernel, *given)
            if kernel.name.startswith("find_bad"):
                met(gpu, 4)

        gpu.launches.clear()
        gpu.launch, gpu.answers = launch_and_meet, {"": (77,)}
        with pytest.raises(IndexError, match=r"^id 77 at position \(0, 4\) is out of range for a table of 50 rows$"):
            fastemb.gather(cupy(TABLE), cupy(IDS))
        assert [one.name for one in gpu.launches] == ["find_bad_int64"]
    finally:
        fastemb.set_cuda_check("defer")


def test_rows_of_zeros_are_long_enough(gpu):
    fastemb.gather(cupy(TABLE), cupy(IDS))
    fastemb.gather(cupy(np.zeros((2, 100_000), "f4")), cupy(IDS[:1, :1]))
    first, second = (one.values[-2] for one in gpu.launches)
    assert gpu.memory[first].nbytes >= 16 + 96
    assert gpu.memory[second].nbytes >= 16 + 400_000


# Every family ------------------------------------------------------------------------------------------------------


def require_twin(name):
    """Skip a call whose family is not there yet."""
    function = name.partition(",")[0]
    family = fastemb._HOMES.get(function, "optim")
    try:
        module = fastemb._devices.ROOMS["cuda"][family]
    except ModuleNotFoundError:
        pytest.skip(f"CUDA has no {family} yet")
    if function == "embed_backward" and not hasattr(module, function):
        pytest.skip(f"CUDA has no {function} yet")


@pytest.mark.parametrize("name", CALLS)
def test_every_family_obeys(gpu, libraries, name):
    """Launches on the caller's stream, of values within the limits; results and scratch of the caller's framework."""
    require_twin(name)
    result = CALLS[name](cupy, cupy)
    assert gpu.launches
    assert {(one.ordinal, one.stream) for one in gpu.launches} == {(0, SELF)}
    assert all(entry[0] not in ("finish", "synchronize", "wait") for entry in gpu.log)
    for leaf in leaves(result):
        assert type(leaf) is CuPyArray
    assert {ordinal for what, ordinal in libraries.cupy.calls if what == "empty"} <= {0}


#: How often a function reads something back: the number of ids of different values, of which row_grad's range is
#: asked first, and the first row of a table for which there are no codes.
READ_BACK = {"row_grad": 2, "embed_backward": 1, "embedding_bag_backward": 1, "quantize": 1}


@pytest.mark.parametrize("name", CALLS)
def test_no_family_reads_back_what_it_need_not(gpu, name):
    require_twin(name)
    CALLS[name](cupy, cupy)
    gpu.log.clear()
    CALLS[name](cupy, cupy)
    reads = READ_BACK.get(name.partition(",")[0], 0)
    assert [what for what, *_ in gpu.log].count("read") == reads
    gpu.captured.add(SELF)
    gpu.log.clear()
    if reads:
        with pytest.raises(RuntimeError, match=r"capture|CUDA graph"):
            CALLS[name](cupy, cupy)
    else:
        CALLS[name](cupy, cupy)
        assert {what for what, *_ in gpu.log} == {"launch"}
