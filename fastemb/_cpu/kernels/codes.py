"""8-bit and 4-bit codes of quantised numbers, to and from lanes. Two 4-bit codes share a byte, the low half first."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

_WORD = ir.IntType(32)


def _fill(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_WORD, len(lanes)), lanes))


def alternate(builder: Any, value: Any, first: int) -> Any:
    """Return every second lane."""
    return _shuffle(builder, value, value, list(range(first, value.type.count, 2)))


def split_codes(builder: Any, pairs: Any) -> Any:
    """Spread bytes of two 4-bit codes each over twice as many lanes."""
    low = builder.and_(pairs, _fill(pairs.type, 15))
    high = builder.lshr(pairs, _fill(pairs.type, 4))
    count = pairs.type.count
    return _shuffle(builder, low, high, [lane for k in range(count) for lane in (k, count + k)])


def pack_codes(builder: Any, codes: Any, bits: int) -> Any:
    """Pack the last bits of integer lanes in bytes."""
    codes = builder.trunc(codes, ir.VectorType(ir.IntType(8), codes.type.count))
    if bits == 8:
        return codes
    high = alternate(builder, codes, 1)
    return builder.or_(alternate(builder, codes, 0), builder.shl(high, _fill(high.type, 4)))


def round_codes(builder: Any, value: Any, bits: int) -> Any:
    """Round float lanes to the nearest code there is, halves to even, and pack them in bytes; NaN becomes 0."""
    kind = value.type
    fraction, width = (52, 64) if kind.element == ir.DoubleType() else (23, 32)
    zero, top = _fill(kind, 0.0), _fill(kind, 2.0**bits - 1)
    value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
    value = builder.select(builder.fcmp_ordered("<", value, top), value, top)
    # A float of this size has no bits behind the point: the sum is rounded, and its last bits are the code.
    rounded = builder.fadd(value, _fill(kind, 2.0**fraction))
    return pack_codes(builder, builder.bitcast(rounded, ir.VectorType(ir.IntType(width), kind.count)), bits)


_POINT = 14  # bits behind the point of a fixed number


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return float32 lanes of ``a * b + c``, rounded once or twice: for what comes out the same either way."""
    kind = a.type
    function = ir.FunctionType(kind, [kind] * 3)
    name = f"llvm.fmuladd.v{kind.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [a, b, c])


def fix(builder: Any, value: Any, by: Any) -> Any:
    """Return products from 0 to 255 and a half as fixed numbers of 23 bits, two units above the nearest."""
    above = _fill(value.type, 2.0 ** (23 - _POINT) + 0.5 + 2 * 2.0**-_POINT)
    return builder.bitcast(multiply_add(builder, value, by, above), ir.VectorType(_WORD, value.type.count))


def near_half(builder: Any, fixed: Any) -> Any:
    """Return which lanes are whole, or within a unit of it: where rounding might have gone the other way."""
    last = builder.and_(fixed, _fill(fixed.type, (1 << _POINT) - 4))
    return builder.icmp_signed("==", last, _fill(last.type, 0))


def whole(builder: Any, fixed: Any) -> Any:
    """Return the codes of fixed numbers, in the last 8 bits."""
    return builder.lshr(fixed, _fill(fixed.type, _POINT))
