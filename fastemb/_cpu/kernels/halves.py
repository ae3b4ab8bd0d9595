"""float16 and bfloat16 as bits, to and from float32, on vectors.

A machine converts float16 itself, or integer arithmetic does: without the instruction LLVM would call a
function that does not exist, and the process would die.
"""

from typing import Any

from llvmlite import ir


def _splat(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def has_half(context: Any) -> bool:
    """Whether the machine converts float16 itself; where it does not, LLVM calls a function nobody has."""
    triple, _, features = context.codegen().magic_tuple()
    return triple.startswith(("aarch64", "arm64")) or "+f16c" in features.split(",")


def widen_half(builder: Any, half: Any) -> Any:
    """Widen a vector of float16 bits to float32 by integer arithmetic, exact for every bit pattern."""
    lanes = half.type.count
    whole, single = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(ir.FloatType(), lanes)
    bits = builder.zext(half, whole)
    # Exponent and fraction in float32's places; the product repairs the exponent's bias, subnormals too.
    magnitude = builder.shl(builder.and_(bits, _splat(whole, 0x7FFF)), _splat(whole, 13))
    scaled = builder.fmul(builder.bitcast(magnitude, single), _splat(single, 2.0**112))
    finite = builder.bitcast(scaled, whole)
    special = builder.or_(magnitude, _splat(whole, 0x7F800000))
    is_special = builder.icmp_unsigned(">=", magnitude, _splat(whole, 0x7C00 << 13))
    sign = builder.shl(builder.and_(bits, _splat(whole, 0x8000)), _splat(whole, 16))
    return builder.bitcast(builder.or_(builder.select(is_special, special, finite), sign), single)


def narrow_half(builder: Any, value: Any) -> Any:
    """Round a vector of float32 to float16 bits by integer arithmetic: to nearest, ties to even."""
    lanes = value.type.count
    whole, single = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(ir.FloatType(), lanes)
    bits = builder.bitcast(value, whole)
    sign = builder.and_(bits, _splat(whole, 0x80000000))
    bits = builder.xor(bits, sign)
    # Subnormal results: adding a half pushes the fraction to its place, and the adder rounds it.
    half = _splat(whole, 126 << 23)
    pushed = builder.fadd(builder.bitcast(bits, single), builder.bitcast(half, single))
    subnormal = builder.sub(builder.bitcast(pushed, whole), half)
    # Normal results: a new bias, and half a last place less a bit that makes ties go to the even neighbour.
    odd = builder.and_(builder.lshr(bits, _splat(whole, 13)), _splat(whole, 1))
    biased = builder.add(bits, _splat(whole, (0xFFF - (112 << 23)) & 0xFFFFFFFF))
    normal = builder.lshr(builder.add(biased, odd), _splat(whole, 13))
    is_nan = builder.icmp_unsigned(">", bits, _splat(whole, 0x7F800000))
    special = builder.select(is_nan, _splat(whole, 0x7E00), _splat(whole, 0x7C00))
    result = builder.select(builder.icmp_unsigned("<", bits, _splat(whole, 113 << 23)), subnormal, normal)
    result = builder.select(builder.icmp_unsigned(">=", bits, _splat(whole, 143 << 23)), special, result)
    result = builder.or_(result, builder.lshr(sign, _splat(whole, 16)))
    return builder.trunc(result, ir.VectorType(ir.IntType(16), lanes))


def widen_brain(builder: Any, brain: Any) -> Any:
    """Widen a vector of bfloat16 bits to float32: they are the upper half of its bits."""
    whole = ir.VectorType(ir.IntType(32), brain.type.count)
    shifted = builder.shl(builder.zext(brain, whole), _splat(whole, 16))
    return builder.bitcast(shifted, ir.VectorType(ir.FloatType(), brain.type.count))


def narrow_brain(builder: Any, value: Any) -> Any:
    """Round a vector of float32 to bfloat16 bits: to nearest, ties to even; NaN becomes the quiet one of its sign."""
    lanes = value.type.count
    whole = ir.VectorType(ir.IntType(32), lanes)
    bits = builder.bitcast(value, whole)
    odd = builder.and_(builder.lshr(bits, _splat(whole, 16)), _splat(whole, 1))
    rounded = builder.lshr(builder.add(bits, builder.add(odd, _splat(whole, 0x7FFF))), _splat(whole, 16))
    sign = builder.lshr(builder.and_(bits, _splat(whole, 0x80000000)), _splat(whole, 16))
    is_nan = builder.fcmp_unordered("uno", value, value)
    result = builder.select(is_nan, builder.or_(sign, _splat(whole, 0x7FC0)), rounded)
    return builder.trunc(result, ir.VectorType(ir.IntType(16), lanes))
