"""Sixteen columns of a row as one value that kernels compute with.

A ``Vector`` lives in registers: float32 lanes, or float64 lanes for float64 elements. Kernels load one, use
``+ - * /`` on it and store it, whatever type the memory has. Those types come in by *tags*, scalars whose value
is not looked at: ``float64`` and ``float32`` for themselves, ``uint16`` for float16 bits, ``int16`` for bfloat16
bits, ``uint8`` for 8-bit codes, ``int8`` for 4-bit codes (two to a byte, the low half first).

Every operation is rounded by itself: there are no fused multiply-adds but in ``codes.py``, where they cannot change a
result. So all machines give the same bits.
Loads and stores claim no alignment but for ``stream``.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .codes import alternate, fix, multiply_add, near_half, pack_codes, round_codes, split_codes, whole
from .halves import has_half, narrow_brain, narrow_half, widen_brain, widen_half
from .intrinsics import acc_type, emit_prefetch
from .jit import TUNING, intrinsic

LANES = 16
_WORD, _INT64 = ir.IntType(32), ir.IntType(64)
_MEMORY = {
    types.float64: ir.DoubleType(),
    types.float32: ir.FloatType(),
    types.uint16: ir.IntType(16),
    types.int16: ir.IntType(16),
    types.uint8: ir.IntType(8),
}
_HALF, _BRAIN, _CODE_8, _CODE_4 = types.uint16, types.int16, types.uint8, types.int8
CODES = (_CODE_8, _CODE_4)


class Vector(types.Type):
    """Lanes of float32 or float64, sixteen unless said."""

    def __init__(self, lane: Any, lanes: int = LANES) -> None:
        self.lane, self.lanes = lane, lanes
        super().__init__(f"Vector({lane} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Any) -> None:
        super().__init__(manager, vector, _lanes(_MEMORY[vector.lane], vector.lanes))


def _lanes(kind: Any, count: int = LANES) -> Any:
    return ir.VectorType(kind, count)


def _fill(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _every(builder: Any, scalar: Any, lanes: int = LANES) -> Any:
    """Return a vector with the same scalar in every lane."""
    kind = _lanes(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, first, _fill(_lanes(_WORD, lanes), 0))


def _below(builder: Any, count: Any) -> Any:
    """Return the mask of the lanes before ``count``."""
    here = ir.Constant(_lanes(_INT64), list(range(LANES)))
    return builder.icmp_signed("<", here, _every(builder, count))


# Arithmetic ------------------------------------------------------------------------------------------------------


def _operator(symbol: Callable[..., Any], instruction: str) -> None:
    """Teach Numba an operator between vectors, or a vector and a number, which is first spread over the lanes."""

    @infer_global(symbol)
    class _Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, given: Any, named: Any) -> Any:
            if len(given) == 2 and isinstance(given[0], Vector) and (isinstance(given[1], Vector | types.Number)):
                return signature(given[0], given[0], given[1])
            return None

    def vectors(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return getattr(builder, instruction)(*given)

    def number(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vector, scalar = signature.args
        spread = _every(builder, context.cast(builder, given[1], scalar, vector.lane), vector.lanes)
        return getattr(builder, instruction)(given[0], spread)

    lower_builtin(symbol, Vector, Vector)(vectors)
    lower_builtin(symbol, Vector, types.Number)(number)


for _symbol, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")
):  # fmt: skip
    _operator(_symbol, _instruction)


def _make_every(lanes: int) -> Callable[..., Any]:
    def every(typingctx: Any, dtype_tag: Any, value: Any) -> Any:
        vector = Vector(acc_type(dtype_tag), lanes)

        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return _every(builder, context.cast(builder, given[1], value, vector.lane), lanes)

        return vector(dtype_tag, value), codegen

    return intrinsic(every)


#: ``every(dtype_tag, x)``: a vector of the lanes in which elements are added, all of them ``x``. One of 64 or 128 lanes
#: is several registers at once, so that the sums of many columns stay in registers at little cost to compile.
every, every_64, every_128 = (_make_every(lanes) for lanes in (LANES, 64, 128))


def _make_choice(better: str, care: bool) -> Callable[..., Any]:
    def choose(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            a, b = given
            # Three instructions: maxps, which leaves a where they are equal or one is NaN; whether b is NaN, which need
            # not wait for a; and b where it is. So NaN wins in any order, and of equal values the first stays.
            chosen = builder.select(builder.fcmp_ordered(better, b, a), b, a)
            return builder.select(builder.fcmp_unordered("uno", b, b), b, chosen) if care else chosen

        return a(a, b), codegen

    return intrinsic(choose)


#: ``larger(a, b)``: lane by lane; NaN where either is NaN. ``above``, ``below``: larger and smaller, where a NaN that b
#: holds is not seen.
larger, above, below = _make_choice(">", True), _make_choice(">", False), _make_choice("<", False)


@intrinsic
def pick_equal(typingctx: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Return ``x`` in the lanes where ``a == b`` or both are NaN, else ``y``."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        a, b, x, y = given
        both = builder.and_(builder.fcmp_unordered("uno", a, a), builder.fcmp_unordered("uno", b, b))
        return builder.select(builder.or_(builder.fcmp_ordered("==", a, b), both), x, y)

    return x(a, b, x, y), codegen


@intrinsic
def head(typingctx: Any, vector: Any, count: Any) -> Any:
    """Return the first ``count`` lanes, and 0 in the others."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value, count = given
        return builder.select(_below(builder, count), value, _fill(value.type, 0.0))

    return vector(vector, types.int64), codegen


@intrinsic
def wide(typingctx: Any, vector: Any) -> Any:
    """Return the lanes as float64, which is exact."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if vector.lane == types.float64:
            return given[0]
        return builder.fpext(given[0], _lanes(ir.DoubleType(), vector.lanes))

    return Vector(types.float64, vector.lanes)(vector), codegen


@intrinsic
def narrow(typingctx: Any, dtype_tag: Any, vector: Any) -> Any:
    """Round lanes of float64 to those of the accumulators of a dtype."""
    acc = acc_type(dtype_tag)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if acc == types.float64:
            return given[1]
        return builder.fptrunc(given[1], _lanes(ir.FloatType(), vector.lanes))

    return Vector(acc, vector.lanes)(dtype_tag, vector), codegen


def _make_fold(join: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    def fold(typingctx: Any, vector: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            value, lanes = given[0], vector.lanes
            while lanes > 1:
                lanes //= 2
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(_lanes(_WORD, lanes), list(lanes_of_half)))
                    for lanes_of_half in (range(lanes), range(lanes, 2 * lanes))
                )
                value = join(builder, low, high)
            return builder.extract_element(value, ir.Constant(_WORD, 0))

        return vector.lane(vector), codegen

    return intrinsic(fold)


#: ``total(v)``: the sum of the lanes, halves added to halves; ``highest(v)``, ``lowest(v)``: NaN is not seen.
total = _make_fold(lambda builder, a, b: builder.fadd(a, b))
highest = _make_fold(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))
lowest = _make_fold(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))


@intrinsic
def store_totals(typingctx: Any, address: Any, column: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Store what `total` is of four vectors of float32, one behind the other; fewer instructions than four of these."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def halves(left: Any, right: Any, lanes: int) -> Any:
            """Add halves to halves in each stretch of lanes: those of the left vector, then those of the right."""
            low = [16 * side + i for side in range(2) for i in range(16) if i % lanes < lanes // 2]
            masks = [ir.Constant(_lanes(_WORD), [lane + more for lane in low]) for more in (0, lanes // 2)]
            return builder.fadd(*(builder.shuffle_vector(left, right, mask) for mask in masks))

        value = halves(halves(given[2], given[3], 16), halves(given[4], given[5], 16), 8)
        for lanes in (2, 1):
            pair = [lane ^ lanes for lane in range(16)]
            value = builder.fadd(value, builder.shuffle_vector(value, value, ir.Constant(_lanes(_WORD), pair)))
        value = builder.shuffle_vector(value, value, ir.Constant(_lanes(_WORD, 4), [0, 4, 8, 12]))
        place = builder.gep(builder.inttoptr(given[0], ir.FloatType().as_pointer()), [given[1]])
        builder.store(value, _pointer(builder, place, value.type), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, a, b, c, d), codegen


# Memory ----------------------------------------------------------------------------------------------------------


def _place(builder: Any, dtype_tag: Any, row: Any, column: Any) -> Any:
    """Return the pointer to a column; of 4-bit codes ``column`` must be even.

    A pointer and an index, never a sum of integers: LLVM takes such a sum apart, (row + 2 j) + id * stride, and then
    adds up the bases again in every iteration.
    """
    kind = ir.IntType(8 if dtype_tag == _CODE_4 else dtype_tag.bitwidth)
    column = builder.ashr(column, ir.Constant(_INT64, 1)) if dtype_tag == _CODE_4 else column
    return builder.gep(builder.inttoptr(row, kind.as_pointer()), [column])


def _pointer(builder: Any, place: Any, kind: Any) -> Any:
    """Return a pointer to another type."""
    return builder.bitcast(place, kind.as_pointer())


def _masked(builder: Any, name: str, kind: Any, arguments: list[Any]) -> Any:
    """Call ``llvm.masked.load`` or ``store``; the unread lanes of memory may lie anywhere."""
    result = kind if name == "load" else ir.VoidType()
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    lane = {"float": "f32", "double": "f64"}.get(str(kind.element), str(kind.element))
    full = f"llvm.masked.{name}.v{kind.count}{lane}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, full), arguments)


def _fetch(builder: Any, address: Any, kind: Any, count: Any) -> Any:
    """Load a vector, or its first ``count`` lanes with zeros behind them."""
    pointer = _pointer(builder, address, kind)
    if count is None:
        return builder.load(pointer, align=1)
    return _masked(builder, "load", kind, [pointer, _WORD(1), _kept(builder, count, kind), ir.Constant(kind, None)])


def _kept(builder: Any, count: Any, kind: Any) -> Any:
    """Return the mask of what the first ``count`` lanes are in memory."""
    kept = builder.trunc(_below(builder, count), _lanes(ir.IntType(1)))
    return alternate(builder, kept, 0) if kind.count < LANES else kept  # two 4-bit codes: as the first of them


def _read(context: Any, builder: Any, dtype_tag: Any, row: Any, column: Any, count: Any, lanes: int = LANES) -> Any:
    """Load columns, or their first ``count``, as lanes; of codes their bare numbers."""
    address = _place(builder, dtype_tag, row, column)
    single = _lanes(ir.FloatType(), lanes)
    if dtype_tag in CODES:
        narrow = dtype_tag == _CODE_4
        codes = _fetch(builder, address, _lanes(ir.IntType(8), lanes // 2 if narrow else lanes), count)
        return builder.uitofp(
            builder.zext(split_codes(builder, codes) if narrow else codes, _lanes(_WORD, lanes)), single
        )
    loaded = _fetch(builder, address, _lanes(_MEMORY[dtype_tag], lanes), count)
    if dtype_tag == _HALF:
        if has_half(context):
            return builder.fpext(builder.bitcast(loaded, _lanes(ir.HalfType(), lanes)), single)
        return widen_half(builder, loaded)
    if dtype_tag == _BRAIN:
        return widen_brain(builder, loaded)
    return loaded


def _round(context: Any, builder: Any, dtype_tag: Any, vector: Any, value: Any) -> Any:
    """Turn lanes into what memory of this type holds. float64 goes to float32 at the smallest: rounded once."""
    if dtype_tag in CODES:
        return round_codes(builder, value, 4 if dtype_tag == _CODE_4 else 8)
    if dtype_tag == vector.lane:
        return value
    if dtype_tag == types.float64:
        return builder.fpext(value, _lanes(ir.DoubleType(), vector.lanes))
    if dtype_tag == types.float32:
        return builder.fptrunc(value, _lanes(ir.FloatType(), vector.lanes))
    if vector.lane == types.float64:
        raise TypeError(f"float64 lanes cannot be stored as {dtype_tag}")
    if dtype_tag == _BRAIN:
        return narrow_brain(builder, value)
    if has_half(context):
        return builder.bitcast(
            builder.fptrunc(value, _lanes(ir.HalfType(), vector.lanes)), _lanes(ir.IntType(16), vector.lanes)
        )
    return narrow_half(builder, value)


def _scaled(builder: Any, dtype_tag: Any, value: Any, scale: Any, offset: Any) -> Any:
    if dtype_tag not in CODES:
        return value
    lanes = value.type.count
    return builder.fadd(builder.fmul(value, _every(builder, scale, lanes)), _every(builder, offset, lanes))


def _make_load(lanes: int) -> Callable[..., Any]:
    def load(typingctx: Any, dtype_tag: Any, row: Any, column: Any, scale: Any, offset: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            value = _read(context, builder, dtype_tag, given[1], given[2], None, lanes)
            return _scaled(builder, dtype_tag, value, given[3], given[4])

        vector = Vector(acc_type(dtype_tag), lanes)
        return vector(dtype_tag, types.int64, types.int64, types.float32, types.float32), codegen

    return intrinsic(load)


#: ``load(dtype_tag, row, column, scale, offset)``: 16 columns of a row. Codes become ``code * scale + offset``, two
#: roundings; for other elements these are not used. ``load_64``, ``load_128``: so many columns.
load, load_64, load_128 = (_make_load(lanes) for lanes in (LANES, 64, 128))


@intrinsic
def load_head(typingctx: Any, dtype_tag: Any, row: Any, column: Any, count: Any, scale: Any, offset: Any) -> Any:
    """Load ``count`` columns of a row, at most 16, as `load` does; memory behind them is not touched.

    The lanes behind them are 0, of codes ``offset``.
    """

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value = _read(context, builder, dtype_tag, given[1], given[2], given[3])
        return _scaled(builder, dtype_tag, value, given[4], given[5])

    kinds = (dtype_tag, types.int64, types.int64, types.int64, types.float32, types.float32)
    return Vector(acc_type(dtype_tag))(*kinds), codegen


@intrinsic
def store(typingctx: Any, dtype_tag: Any, row: Any, column: Any, vector: Any) -> Any:
    """Store 16 columns, rounded to the memory's type. Codes are stored as they are: nothing is scaled."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value = _round(context, builder, dtype_tag, vector, given[3])
        place = _place(builder, dtype_tag, given[1], given[2])
        builder.store(value, _pointer(builder, place, value.type), align=1)
        return context.get_dummy_value()

    return types.void(dtype_tag, types.int64, types.int64, vector), codegen


@intrinsic
def store_head(typingctx: Any, dtype_tag: Any, row: Any, column: Any, count: Any, vector: Any) -> Any:
    """Store the first ``count`` lanes, at most 16, as `store` does; memory behind them is not touched.

    Of 4-bit codes whole bytes are stored: an odd count takes one lane more.
    """

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value = _round(context, builder, dtype_tag, vector, given[4])
        pointer = _pointer(builder, _place(builder, dtype_tag, given[1], given[2]), value.type)
        _masked(builder, "store", value.type, [value, pointer, _WORD(1), _kept(builder, given[3], value.type)])
        return context.get_dummy_value()

    return types.void(dtype_tag, types.int64, types.int64, types.int64, vector), codegen


@intrinsic
def stream(typingctx: Any, dtype_tag: Any, row: Any, column: Any, vector: Any) -> Any:
    """Store 16 columns past the caches. Their address must be a multiple of 64 (of 32 for 16-bit floats)."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value = _round(context, builder, dtype_tag, vector, given[3])
        place = _place(builder, dtype_tag, given[1], given[2])
        stored = builder.store(value, _pointer(builder, place, value.type), align=min(64, 2 * dtype_tag.bitwidth))
        stored.set_metadata("nontemporal", builder.module.add_metadata([_WORD(1)]))
        return context.get_dummy_value()

    return types.void(dtype_tag, types.int64, types.int64, vector), codegen


@intrinsic
def any_near_half(typingctx: Any, vector: Any, by: Any) -> Any:
    """Whether `store_products` may be wrong about a lane: one that is close to the middle between two codes."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if vector.lane == types.float64:
            return cgutils.true_bit
        near = near_half(builder, fix(builder, given[0], _every(builder, given[1], vector.lanes)))
        bits = ir.IntType(vector.lanes)
        return builder.icmp_unsigned("!=", builder.bitcast(near, bits), ir.Constant(bits, 0))

    return types.boolean(vector, vector.lane), codegen


@intrinsic
def store_products(typingctx: Any, dtype_tag: Any, row: Any, column: Any, vector: Any, by: Any) -> Any:
    """Store lanes times a number as codes, which they are at least, and at most; none may be `any_near_half`."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if vector.lane == types.float32:
            fixed = fix(builder, given[3], _every(builder, given[4], vector.lanes))
            value = pack_codes(builder, whole(builder, fixed), 4 if dtype_tag == _CODE_4 else 8)
            place = _place(builder, dtype_tag, given[1], given[2])
            builder.store(value, _pointer(builder, place, value.type), align=1)
        return context.get_dummy_value()

    return types.void(dtype_tag, types.int64, types.int64, vector, vector.lane), codegen


@intrinsic
def flawed(typingctx: Any, faults: Any, x: Any) -> Any:
    """Return ``faults + x * 0``: NaN where ``x`` is NaN or infinite. Both steps are exact, so they may be fused."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        zero = _fill(given[1].type, 0.0)
        if faults.lane == types.float64:
            return builder.fadd(given[0], builder.fmul(given[1], zero))
        return multiply_add(builder, given[1], zero, given[0])

    return faults(faults, faults), codegen


def _make_fetch(lanes: int) -> Callable[..., Any]:
    def fetch(typingctx: Any, dtype_tag: Any, row: Any, column: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            place = _place(builder, dtype_tag, given[1], given[2])
            first = _pointer(builder, place, ir.IntType(8))
            for line in range(0, lanes * (4 if dtype_tag == _CODE_4 else dtype_tag.bitwidth) // 8, 64):
                emit_prefetch(builder, builder.gep(first, [ir.Constant(_INT64, line)]), TUNING.row_locality)
            return context.get_dummy_value()

        return types.void(dtype_tag, types.int64, types.int64), codegen

    return intrinsic(fetch)


#: ``fetch_N(dtype_tag, row, column)``: ask for so many columns of a row; any address is harmless.
fetch_16, fetch_64, fetch_128 = (_make_fetch(lanes) for lanes in (LANES, 64, 128))


@intrinsic
def fetch_scales(typingctx: Any, dtype_tag: Any, scale: Any, offset: Any, row: Any) -> Any:
    """Ask for the scale and the offset of a row of codes; other rows have none."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if dtype_tag in CODES:
            for base in given[1:3]:
                place = builder.gep(builder.inttoptr(base, ir.FloatType().as_pointer()), [given[3]])
                emit_prefetch(builder, _pointer(builder, place, ir.IntType(8)), TUNING.row_locality)
        return context.get_dummy_value()

    return types.void(dtype_tag, types.int64, types.int64, types.int64), codegen


@intrinsic
def scale_of(typingctx: Any, dtype_tag: Any, scale: Any, row: Any) -> Any:
    """Return ``scale[row]`` of rows of codes, float32; of other rows, which have none, 0."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if dtype_tag not in CODES:
            return ir.Constant(ir.FloatType(), 0.0)
        return builder.load(builder.gep(builder.inttoptr(given[1], ir.FloatType().as_pointer()), [given[2]]), align=1)

    return types.float32(dtype_tag, types.int64, types.int64), codegen
