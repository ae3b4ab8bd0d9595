"""What tests of gather share: tables of every kind, quantised ones, and a look at what kernels are told."""

import numpy as np
from arrays import lay

from fastemb import reference
from fastemb._cpu.kernels import lookup, quantized
from fastemb.quantized import QuantizedTable


def make_table(shape, dtype, layout="plain", seed=0):
    """Return a table of random bytes (so NaN and subnormals too) laid out as asked."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape)) * dtype.itemsize
    low = 0x41 if dtype.kind == "U" else 0
    data = np.random.default_rng(seed).integers(low, 256, count, dtype=np.uint8)
    if dtype.kind == "U":
        data = data.reshape(-1, 4) * np.array([1, 0, 0, 0], np.uint8)
    if dtype.kind == "b":
        data &= 1
    table = np.frombuffer(data.tobytes(), dtype).reshape(shape) if count else np.zeros(shape, dtype)
    return lay(table.copy(), layout)


def make_quantized(V, D, bits, seed=0, apart=1):
    """Return a table of random codes, and the numbers it stands for."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (V, apart * -(-D * bits // 8)), np.uint8)[:, : -(-D * bits // 8)]
    scale, offset = (rng.standard_normal(V).astype("f4") for _ in range(2))
    wide = codes if bits == 8 else np.stack([codes & 15, codes >> 4], axis=-1).reshape(V, -1)[:, :D]
    return QuantizedTable(codes, scale, offset, (V, D), bits), reference.dequantize(wide, scale, offset)


def spy(monkeypatch, name, argument):
    """Return a list that gets one argument of each call to a kernel."""
    seen, module = [], lookup if hasattr(lookup, name) else quantized
    kernel = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: seen.append(given[argument]) or kernel(*given))
    return seen
