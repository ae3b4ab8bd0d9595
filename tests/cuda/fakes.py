"""Arrays that say that they lie on a GPU, of libraries that are there or not, and a room that works on them.

Their memory is the CPU's, so that what a room is told (address, strides, dtype) can be shown to be right by reading it.
"""

import contextlib
import ctypes
import sys
import types

import numpy as np

import fastemb
from fastemb import _frameworks
from fastemb._frameworks.cuda_interface import _Tensor, _Versioned

#: What the libraries here say that their current streams are, by the number of the GPU.
STREAMS = {0: 7000, 1: 7001, 2: 7002}


def numbers(array):
    """Return what lies at the address of a device array."""
    assert type(array) is _frameworks.DeviceArray
    low, high = array.bounds() if array.size else (array.pointer, array.pointer)
    memory = (ctypes.c_char * (high - low)).from_address(low)
    flat = np.frombuffer(memory, np.uint8)
    if not array.size:
        return np.empty(array.shape, array.dtype)
    return np.ndarray(array.shape, array.dtype, flat, array.pointer - low, array.strides)


# CuPy -------------------------------------------------------------------------------------------------------------


class CuPyArray:
    """cupy.ndarray, as far as it is asked."""

    def __init__(self, numbers, ordinal=0):
        self.numbers, self.ordinal = numbers, ordinal

    shape = property(lambda self: self.numbers.shape)
    strides = property(lambda self: self.numbers.strides)
    dtype = property(lambda self: self.numbers.dtype)
    data = property(lambda self: types.SimpleNamespace(ptr=self.numbers.ctypes.data))
    device = property(lambda self: types.SimpleNamespace(id=self.ordinal))

    @property
    def __cuda_array_interface__(self):
        raise AssertionError("its own attributes are there to be read")

    def astype(self, dtype):
        return CuPyArray(self.numbers.astype(dtype), self.ordinal)

    def __getitem__(self, key):
        return CuPyArray(self.numbers[key.numbers if isinstance(key, CuPyArray) else key], self.ordinal)


CuPyArray.__module__, CuPyArray.__qualname__ = "cupy", "ndarray"


def cupy():
    """Return a module like CuPy, whose `calls` are told with the current device."""
    module = types.ModuleType("cupy")
    module.calls, here = [], [0]

    @contextlib.contextmanager
    def on(ordinal):
        here.append(ordinal)
        yield
        here.pop()

    def empty(shape, dtype):
        module.calls.append(("empty", here[-1]))
        return CuPyArray(np.empty(shape, dtype), here[-1])

    def argsort(array):
        module.calls.append(("argsort", array.dtype.name))
        return CuPyArray(np.argsort(array.numbers, kind="stable"), array.ordinal)

    module.ndarray, module.empty, module.argsort = CuPyArray, empty, argsort
    module.matmul = lambda a, b: CuPyArray(a.numbers @ b.numbers, a.ordinal)
    stream = lambda ordinal: types.SimpleNamespace(ptr=STREAMS[ordinal])  # noqa: E731
    module.cuda = types.SimpleNamespace(Device=on, get_current_stream=stream)
    return module


# JAX --------------------------------------------------------------------------------------------------------------


class JaxBase:
    """jax.Array."""


class JaxArray(JaxBase):
    """An array of JAX on one GPU or several; `ready` once somebody has waited for it."""

    def __init__(self, numbers, ordinals=(0,), platform="gpu"):
        self.numbers, self.ordinals, self.platform, self.ready = numbers, ordinals, platform, False
        self.tiling = ()

    shape = property(lambda self: self.numbers.shape)
    dtype = property(lambda self: self.numbers.dtype)
    size = property(lambda self: self.numbers.size)

    @property
    def format(self):
        order = tuple(sorted(range(self.numbers.ndim), key=lambda axis: -self.numbers.strides[axis]))
        return types.SimpleNamespace(layout=types.SimpleNamespace(major_to_minor=order, tiling=self.tiling))

    def devices(self):
        return {JaxDevice(self.platform, ordinal) for ordinal in self.ordinals}

    def block_until_ready(self):
        self.ready = True

    def unsafe_buffer_pointer(self):
        assert self.ready
        return self.numbers.ctypes.data

    def astype(self, dtype):
        return JaxArray(self.numbers.astype(dtype), self.ordinals)

    def max(self):
        return self.numbers.max()

    def __getitem__(self, key):
        return JaxArray(self.numbers[key.numbers], self.ordinals)


class JaxDevice:
    """jax.Device."""

    def __init__(self, platform, ordinal):
        self.platform, self.local_hardware_id = platform, ordinal

    def __eq__(self, other):
        return self.local_hardware_id == other.local_hardware_id

    def __hash__(self):
        return self.local_hardware_id


JaxArray.__module__, JaxArray.__name__ = "jaxlib._jax", "ArrayImpl"


def jax():
    """Return a module like JAX that knows GPUs alone, and makes 32 bits of 64 unless it is told otherwise."""
    module = types.ModuleType("jax")
    module.Array, module.device_put = JaxBase, None
    module.core = types.SimpleNamespace(Tracer=type("Tracer", (), {}))
    module.config = types.SimpleNamespace(jax_enable_x64=False)
    module.default_backend = lambda: "gpu"

    def devices(kind):
        raise RuntimeError(f"Unknown backend {kind}")

    @contextlib.contextmanager
    def enable_x64(enabled):
        before, module.config.jax_enable_x64 = module.config.jax_enable_x64, enabled
        yield
        module.config.jax_enable_x64 = before

    def empty(shape, dtype, device):
        dtype = np.dtype(dtype)
        if dtype.itemsize == 8 and not module.config.jax_enable_x64:
            dtype = np.dtype(f"{dtype.kind}4")
        return JaxArray(np.zeros(shape, dtype), (device.local_hardware_id,))

    def argsort(array, stable):
        assert stable
        return JaxArray(np.argsort(array.numbers, kind="stable"), array.ordinals)

    def matmul(a, b, precision):
        assert precision == "highest"
        return JaxArray(a.numbers @ b.numbers, a.ordinals)

    module.devices, module.enable_x64 = devices, enable_x64
    module.numpy = types.SimpleNamespace(empty=empty, argsort=argsort, matmul=matmul, asarray=None)
    return module


# torch ------------------------------------------------------------------------------------------------------------


def torch_on_gpus(torch, monkeypatch):
    """Return what makes of a NumPy array a tensor that says that it lies on a GPU: torch's own but for its words."""

    class CudaTensor(torch.Tensor):
        is_cuda = property(lambda self: True)
        device = property(lambda self: torch.device("cuda", self.get_device()))

        def get_device(self):
            return getattr(self, "ordinal", 0)

        def new_empty(self, shape, dtype):
            made = super().new_empty(shape, dtype=dtype)
            made.ordinal = self.get_device()
            return made

        def numpy(self):
            raise AssertionError("taken for one on the CPU")

    def make(array, ordinal=0):
        dtype = array.dtype
        plain = torch.from_numpy(array.view("i2")).view(torch.bfloat16) if dtype.name == "bfloat16" else None
        made = (torch.from_numpy(array) if plain is None else plain).as_subclass(CudaTensor)
        made.ordinal = ordinal
        return made

    stream = lambda ordinal: types.SimpleNamespace(cuda_stream=STREAMS[ordinal])  # noqa: E731
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", STREAMS.__getitem__, raising=False)
    return make


# The two protocols ------------------------------------------------------------------------------------------------


class InterfaceArray:
    """An array with CUDA's array interface alone; what is given beside its numbers replaces a field."""

    def __init__(self, numbers, **fields):
        self.numbers, self.fields = numbers, fields

    @property
    def __cuda_array_interface__(self):
        found = self.numbers.__array_interface__
        interface = {name: found[name] for name in ("shape", "strides", "typestr", "data")}
        return {**interface, "version": 3, "stream": None, **self.fields}


InterfaceArray.__module__ = "library"


class Placed(InterfaceArray):
    """An array with CUDA's interface whose library says by DLPack which GPU it is."""

    def __init__(self, numbers, ordinal, **fields):
        typestr = {"typestr": "|V2", "descr": [("", "|V2")]} if numbers.dtype == "bfloat16" else {}
        super().__init__(numbers, **typestr, **fields)
        self.ordinal, self.dtype = ordinal, numbers.dtype

    def __dlpack_device__(self):
        return 2, self.ordinal


Placed.__module__ = "library"


class DLPackArray:
    """An array with DLPack alone, on a device; whoever asks for a capsule says on which stream."""

    def __init__(self, numbers, device=(2, 0), versioned=True, read_only=False, code=None, bits=None, strides=True):
        self.numbers, self.device, self.versioned, self.read_only = numbers, device, versioned, read_only
        kind = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6, "V": 4}[numbers.dtype.kind]
        self.code, self.bits = kind if code is None else code, bits or 8 * numbers.dtype.itemsize
        self.asked, self.alive, self.strides = [], [], strides

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, max_version=None):
        if max_version is not None and not self.versioned:
            raise TypeError("unexpected keyword argument 'max_version'")
        self.asked.append(stream)
        array, size = self.numbers, self.numbers.dtype.itemsize
        shape = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
        strides = (ctypes.c_int64 * max(array.ndim, 1))(*[one // size for one in array.strides])
        lead = 16 if array.size else 0  # bytes before the first element: data is an aligned address before it
        tensor = _Tensor(
            array.ctypes.data - lead, *self.device, array.ndim, self.code, self.bits, 1, shape,
            strides if self.strides else None, lead,
        )  # fmt: skip
        managed, name = tensor, b"dltensor"
        if self.versioned:
            managed, name = _Versioned(1, 0, None, None, int(self.read_only), tensor), b"dltensor_versioned"
        self.alive.append((managed, shape, strides, name))
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return new(ctypes.addressof(managed), name, None)


DLPackArray.__module__ = "library"


class NumbaArray:
    """numba.cuda's DeviceNDArray, as far as it is asked."""

    __cuda_ndarray__ = True

    def __init__(self, numbers, ordinal=0, stream=0):
        self.numbers, self.stream = numbers, stream
        device = types.SimpleNamespace(id=ordinal)
        self.gpu_data = types.SimpleNamespace(context=types.SimpleNamespace(device=device))

    shape = property(lambda self: self.numbers.shape)
    strides = property(lambda self: self.numbers.strides)
    dtype = property(lambda self: self.numbers.dtype)
    device_ctypes_pointer = property(lambda self: ctypes.c_void_p(self.numbers.ctypes.data))

    @property
    def __cuda_array_interface__(self):
        raise AssertionError("its own attributes are there to be read")


NumbaArray.__module__ = "numba.cuda.cudadrv.devicearray"


class NumbaStream(int):
    """numba.cuda's Stream: an int can be made of it."""


def numba_cuda():
    """Return a module like numba.cuda."""
    module, here = types.ModuleType("numba.cuda"), [0]

    class Gpus:
        @contextlib.contextmanager
        def __getitem__(self, ordinal):
            here.append(ordinal)
            yield
            here.pop()

    module.gpus, module.external_stream = Gpus(), NumbaStream
    module.device_array = lambda shape, dtype, stream=0: NumbaArray(np.empty(shape, dtype), here[-1], stream)
    return module


@contextlib.contextmanager
def installed():
    """Modules like CuPy, JAX and numba.cuda in the place of those, while it lasts."""
    found = {"cupy": cupy(), "jax": jax(), "numba.cuda": numba_cuda()}
    known, before = dict(_frameworks.KNOWN), {name: sys.modules.get(name) for name in found}
    sys.modules.update(found)
    try:
        yield types.SimpleNamespace(cupy=found["cupy"], jax=found["jax"], cuda=found["numba.cuda"])
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
        _frameworks.KNOWN.clear()
        _frameworks.KNOWN.update(known)


# A room -----------------------------------------------------------------------------------------------------------


class Room(dict):
    """Families whose twins work in the memory they are told of, by way of NumPy's room, and keep what they were asked.

    Results are made by the frameworks, as a room's are; so a call goes the whole way there and back.
    """

    def __init__(self):
        self.asked = []

    def __missing__(self, family):
        return types.SimpleNamespace(**{name: self._twin(family, name) for name in TWINS[family]})

    def _twin(self, family, name):
        def twin(*given):
            self.asked.append((name, given))
            if name == "as_part":
                return given[0]
            like = next(array for array in leaves(given))
            arguments = [changed(one, numbers) for one in given]
            own = getattr(fastemb._devices.HERE[family], name)(*arguments)
            written = (
                given[-1] if name in WRITING and given[-1] is not None else given[0] if name == "scatter_add" else None
            )
            if written is not None:
                return written
            return changed(own, lambda array: self._made(array, like), np.ndarray)

        return twin

    @staticmethod
    def _made(array, like):
        new = _frameworks.of(like.owner).empty(array.shape, array.dtype, like)
        numbers(new)[...] = array
        return new.owner


TWINS = {
    "embedding": ("embed", "embed_backward"), "gradient": ("row_grad", "scatter_add"), "lookup": ("gather",),
    "optim": ("new_state", "step", "step_from"), "pooling": ("reduce", "reduce_backward", "normalize"),
    "position": ("rope",),
    "quantized": ("quantize", "dequantize", "as_part", "check_finite"), "search": ("topk",),
}  # fmt: skip
WRITING = {"gather", "embed", "reduce", "normalize", "rope"}


def leaves(value):
    """Yield the device arrays of what a twin was given."""
    if type(value) is _frameworks.DeviceArray:
        yield value
    elif isinstance(value, tuple | fastemb.QuantizedTable):
        for part in parts_of(value):
            yield from leaves(part)


def parts_of(value):
    """Return the parts of a tuple or of a quantised table."""
    return value if isinstance(value, tuple) else (value.codes, value.scale, value.offset)


def changed(value, change, kind=_frameworks.DeviceArray):
    """Return a value with the arrays of a kind in it changed, in tuples of the same types."""
    if type(value) is kind:
        return change(value)
    if isinstance(value, fastemb.QuantizedTable):
        parts = [changed(part, change, kind) for part in parts_of(value)]
        return fastemb.QuantizedTable._trusted(*parts, value.shape, value.bits)
    if isinstance(value, tuple):
        parts = [changed(part, change, kind) for part in value]
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value


def view(array, name="x"):
    return _frameworks.of(array).view(array, name)


def kind_of(make):
    """Return the type of results."""
    whose = type(make(np.zeros(3, np.float32)))
    return NumbaArray if whose in (Placed, DLPackArray) else whose


def flat(result):
    """Return the arrays of a result, in order."""
    if isinstance(result, fastemb.QuantizedTable):
        return [result.codes, result.scale, result.offset]
    if isinstance(result, tuple):
        return [leaf for part in result for leaf in flat(part)]
    return [] if result is None else [result]
