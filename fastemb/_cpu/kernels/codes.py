"""8-bit and 4-bit codes of quantised numbers, to and from lanes. Two 4-bit codes share a byte, the low half first."""

from typing import Any

from llvmlite import ir

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


def round_codes(builder: Any, value: Any, bits: int) -> Any:
    """Round float lanes to the nearest code there is, halves to even, and pack them in bytes; NaN becomes 0."""
    kind = value.type
    fraction, width = (52, 64) if kind.element == ir.DoubleType() else (23, 32)
    zero, top = _fill(kind, 0.0), _fill(kind, 2.0**bits - 1)
    value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
    value = builder.select(builder.fcmp_ordered("<", value, top), value, top)
    # A float of this size has no bits behind the point: the sum is rounded, and its last bits are the code.
    rounded = builder.fadd(value, _fill(kind, 2.0**fraction))
    whole = builder.bitcast(rounded, ir.VectorType(ir.IntType(width), kind.count))
    codes = builder.trunc(whole, ir.VectorType(ir.IntType(8), kind.count))
    if bits == 8:
        return codes
    high = alternate(builder, codes, 1)
    return builder.or_(alternate(builder, codes, 0), builder.shl(high, _fill(high.type, 4)))
