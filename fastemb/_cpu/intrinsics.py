"""LLVM instructions that Numba does not offer: rows read as vectors, prefetch, 16-bit floats.

Addresses are ``int64``. (As ``uint64`` they would turn into floats in Numba as soon as a signed number is
added.) The types of memory come in by *tags*, scalars whose value is not looked at: ``uint16`` for the bits
of a float16, ``float32``, ``float64`` for elements; ``int32``, ``int64`` for ids. Loads and stores claim no
alignment, so that any array is read in place; on the processors of today that costs nothing.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .jit import intrinsic

_INT64 = ir.IntType(64)
_LANES = 16
# Rows between the row that is being added and the one that is being fetched. The time is flat from 4 to 12.
_ROWS_AHEAD = 12
_LINE = 64


def _memory(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _plus(builder: Any, address: Any, amount: int) -> Any:
    return builder.add(address, ir.Constant(_INT64, amount)) if amount else address


def _splat(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _vector(builder: Any, scalar: Any, lanes: int) -> Any:
    """Return a vector with the same scalar in every lane."""
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))


def _sum_kind(element: Any) -> Any:
    """Return the type in which elements are added: double for double, else float."""
    return ir.DoubleType() if element == types.float64 else ir.FloatType()


def _size(element: Any) -> int:
    return int(element.bitwidth) // 8


def _has_half(context: Any) -> bool:
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


def _load_columns(context: Any, builder: Any, element: Any, address: Any, lanes: int) -> Any:
    """Load neighbouring elements as a vector of the type in which they are added."""
    if element == types.uint16:
        if _has_half(context):
            half = ir.VectorType(ir.HalfType(), lanes)
            loaded = builder.load(_memory(builder, address, half), align=1)
            return builder.fpext(loaded, ir.VectorType(ir.FloatType(), lanes))
        bits = ir.VectorType(ir.IntType(16), lanes)
        return widen_half(builder, builder.load(_memory(builder, address, bits), align=1))
    return builder.load(_memory(builder, address, ir.VectorType(_sum_kind(element), lanes)), align=1)


def _prefetch(builder: Any, address: Any) -> None:
    pointer = _memory(builder, address, ir.IntType(8))
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    # read, keep in every level of the cache, data
    builder.call(fetch, [pointer, word(0), word(3), word(1)])


def _load_id(context: Any, builder: Any, index: Any, ids: Any, i: Any) -> Any:
    """Load ``ids[i]`` as int64. One base and an index, so that LLVM sees a plain array and vectorises."""
    kind = ir.IntType(index.bitwidth)
    value = builder.load(builder.gep(_memory(builder, ids, kind), [i]), align=1)
    return value if index.bitwidth == 64 else builder.sext(value, _INT64)


@intrinsic
def load_id(typingctx: Any, index: Any, ids: Any, i: Any) -> Any:
    """Load ``ids[i]``, whose type is the tag's, as int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load_id(context, builder, index, arguments[1], arguments[2])

    return types.int64(index, types.int64, types.int64), codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at an address; any address is harmless."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _make_copy(width: int) -> Callable[..., Any]:
    def copy(typingctx: Any, target: Any, source: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(ir.IntType(8), width)
            value = builder.load(_memory(builder, arguments[1], kind), align=1)
            builder.store(value, _memory(builder, arguments[0], kind), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(copy)


#: ``copy_N(target, source)`` copies N bytes.
copy_64, copy_32, copy_16, copy_8, copy_4, copy_1 = (_make_copy(width) for width in (64, 32, 16, 8, 4, 1))


@intrinsic
def stream_64(typingctx: Any, target: Any, source: Any) -> Any:
    """Copy 64 bytes past the caches. ``target`` must be a multiple of 64: elsewhere the instruction faults."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), 64)
        value = builder.load(_memory(builder, arguments[1], kind), align=1)
        store = builder.store(value, _memory(builder, arguments[0], kind), align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def fence(typingctx: Any) -> Any:
    """Let no later store be seen before the streamed ones; a lock's release does not order those."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


def _make_sum_rows(width: int) -> Callable[..., Any]:
    """Make the sum of rows over ``width`` columns, with every sum in a register until the last row.

    Columns never meet, and each has one sum that starts from its first row, so the bits do not depend on the
    width of the block: a caller may let two blocks overlap to finish a row.
    """
    lanes = min(width, _LANES)

    def sum_rows(
        typingctx: Any, element: Any, index: Any, table: Any, stride: Any, ids: Any, begin: Any, end: Any,
        last: Any, divisor: Any, out: Any, column: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            table, stride, ids, begin, end, last, divisor, out, column = arguments[2:]
            scalar, size = _sum_kind(element), _size(element)
            kind = ir.VectorType(scalar, lanes)
            table = builder.add(table, builder.mul(column, ir.Constant(_INT64, size)))
            # -0.0 + x is x for every x, -0.0 too: as if the sum were begun as a copy of its first row.
            sums = [cgutils.alloca_once_value(builder, _splat(kind, -0.0)) for _ in range(width // lanes)]
            with cgutils.for_range(builder, end, start=begin, intp=_INT64) as loop:
                ahead = _plus(builder, loop.index, _ROWS_AHEAD)
                ahead = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
                later = _load_id(context, builder, index, ids, ahead)
                later = builder.add(table, builder.mul(later, stride))
                for offset in range(0, width * size, _LINE):
                    _prefetch(builder, _plus(builder, later, offset))
                row = _load_id(context, builder, index, ids, loop.index)
                row = builder.add(table, builder.mul(row, stride))
                for k, total in enumerate(sums):
                    address = _plus(builder, row, k * lanes * size)
                    value = _load_columns(context, builder, element, address, lanes)
                    builder.store(builder.fadd(builder.load(total), value), total)
            out = builder.add(out, builder.mul(column, ir.Constant(_INT64, _size(divisor_type))))
            by = _vector(builder, divisor, lanes)
            for k, total in enumerate(sums):
                place = _memory(builder, _plus(builder, out, k * lanes * _size(divisor_type)), kind)
                builder.store(builder.fdiv(builder.load(total), by), place, align=1)
            return context.get_dummy_value()

        divisor_type = types.float64 if element == types.float64 else types.float32
        plain = [types.int64] * 6
        return types.void(element, index, *plain, divisor_type, types.int64, types.int64), codegen

    return intrinsic(sum_rows)


#: ``sum_N(element, index, table, stride, ids, begin, end, last, divisor, out, column)`` writes
#: ``out[column:column+N] = sum(table[ids[i], column:column+N] for i in range(begin, end)) / divisor``
#: while fetching rows ahead, up to that of ``ids[last]``.
sum_64, sum_16, sum_4, sum_1 = (_make_sum_rows(width) for width in (64, 16, 4, 1))


@intrinsic
def load_sum(typingctx: Any, element: Any, row: Any, column: Any) -> Any:
    """Load one column of a row of results: float64 for float64 elements, else float32, given as float64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _sum_kind(element)
        value = builder.load(builder.gep(_memory(builder, arguments[1], kind), [arguments[2]]), align=1)
        return value if element == types.float64 else builder.fpext(value, ir.DoubleType())

    return types.float64(element, types.int64, types.int64), codegen


@intrinsic
def store_sum(typingctx: Any, element: Any, row: Any, column: Any, value: Any) -> Any:
    """Store a float64 into one column of a row of results, rounded to its type."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _sum_kind(element)
        value = arguments[3] if element == types.float64 else builder.fptrunc(arguments[3], kind)
        builder.store(value, builder.gep(_memory(builder, arguments[1], kind), [arguments[2]]), align=1)
        return context.get_dummy_value()

    return types.void(element, types.int64, types.int64, types.float64), codegen


@intrinsic
def square_sum(typingctx: Any, element: Any, row: Any, columns: Any) -> Any:
    """Sum the squares of the first columns of a row of results, a multiple of 16 of them, in float64.

    Sixteen sums run side by side and are added in a fixed tree, so the order depends on nothing else.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _sum_kind(element)
        double = ir.VectorType(ir.DoubleType(), _LANES)
        total = cgutils.alloca_once_value(builder, _splat(double, 0.0))
        base = _memory(builder, arguments[1], kind)
        steps = builder.sdiv(arguments[2], ir.Constant(_INT64, _LANES))
        with cgutils.for_range(builder, steps, intp=_INT64) as loop:
            place = builder.gep(base, [builder.mul(loop.index, ir.Constant(_INT64, _LANES))])
            place = builder.bitcast(place, ir.VectorType(kind, _LANES).as_pointer())
            value = builder.load(place, align=1)
            value = value if element == types.float64 else builder.fpext(value, double)
            builder.store(builder.fadd(builder.load(total), builder.fmul(value, value)), total)
        value, lanes = builder.load(total), _LANES
        while lanes > 1:
            lanes //= 2
            low, high = (
                builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(picked)))
                for picked in (range(lanes), range(lanes, 2 * lanes))
            )
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(element, types.int64, types.int64), codegen


def _make_narrow(width: int) -> Callable[..., Any]:
    def narrow(typingctx: Any, target: Any, source: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, source = arguments
            single = ir.VectorType(ir.FloatType(), width)
            value = builder.load(_memory(builder, source, single), align=1)
            if _has_half(context):
                value = builder.fptrunc(value, ir.VectorType(ir.HalfType(), width))
            else:
                value = narrow_half(builder, value)
            builder.store(value, _memory(builder, target, value.type), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(narrow)


#: ``narrow_N(target, source)`` rounds N float32 to float16.
narrow_16, narrow_1 = (_make_narrow(width) for width in (16, 1))
