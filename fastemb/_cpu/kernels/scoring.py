"""The LLVM instructions of ``topk``: sums over columns, a filter of 16 products at a time, float16 widened.

Addresses are ``int64``; loads and stores claim no alignment. Sums whose bits matter are in float64, without fused
multiply-adds, in an order that depends on D alone.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .halves import has_half, widen_half
from .jit import intrinsic

_INT64, _DOUBLE, _SINGLE = ir.IntType(64), ir.DoubleType(), ir.FloatType()


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _kind(dtype_tag: Any) -> Any:
    return _DOUBLE if dtype_tag == types.float64 else _SINGLE


def _every(builder: Any, scalar: Any, lanes: int) -> Any:
    """Return a vector with the same scalar in every lane."""
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))


@intrinsic
def load_number(typingctx: Any, dtype_tag: Any, base: Any, i: Any) -> Any:
    """Load element ``i``, float32 or float64, as float64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _kind(dtype_tag)
        value = builder.load(builder.gep(_pointer(builder, arguments[1], kind), [arguments[2]]), align=1)
        return value if kind == _DOUBLE else builder.fpext(value, _DOUBLE)

    return types.float64(dtype_tag, types.int64, types.int64), codegen


def _make_store(memory: Any, value: Any) -> Callable[..., Any]:
    def store(typingctx: Any, base: Any, i: Any, number: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base, i, number = arguments
            number = builder.fptrunc(number, memory) if memory == _SINGLE else number
            builder.store(number, builder.gep(_pointer(builder, base, memory), [i]), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value), codegen

    return intrinsic(store)


#: ``store_...(base, i, value)`` stores element ``i``: a float64 rounded to float32, a float64, or an int64.
store_key, store_number = _make_store(_SINGLE, types.float64), _make_store(_DOUBLE, types.float64)
store_id = _make_store(_INT64, types.int64)


def _load(builder: Any, base: Any, kind: Any, column: Any, lanes: int) -> Any:
    place = builder.gep(_pointer(builder, base, kind), [column])
    return builder.load(builder.bitcast(place, ir.VectorType(kind, lanes).as_pointer()), align=1)


def _tree(builder: Any, values: list[Any]) -> list[Any]:
    """Add the lanes of each vector in a fixed tree; several vectors (a power of two) share the work."""
    lanes, many = values[0].type.count, len(values)
    while lanes > 1:
        lanes //= 2
        joined = []
        for pair in [values[i : i + 2] for i in range(0, len(values), 2)]:
            count = sum(value.type.count for value in pair)
            kind = ir.VectorType(ir.IntType(32), count // 2)
            low, high = (
                builder.shuffle_vector(
                    pair[0], pair[-1], ir.Constant(kind, [i for i in range(count) if i & lanes == on])
                )
                for on in (0, lanes)
            )
            joined.append(builder.fadd(low, high))
        values = joined
    if values[0].type.count == 1 and len(values) == many:
        return [builder.extract_element(value, ir.Constant(ir.IntType(32), 0)) for value in values]
    return [builder.extract_element(values[0], ir.Constant(ir.IntType(32), i)) for i in range(many)]


def _make_sum(square: bool, subtract: bool) -> Callable[..., Any]:
    """Make the sum over D columns of ``query * row``, ``row * row`` or ``(query - row) ** 2``, in float64."""

    def sum_columns(typingctx: Any, dtype_tag: Any, query: Any, row: Any, D: Any) -> Any:
        def term(builder: Any, arguments: Any, column: Any, lanes: int) -> Any:
            def read(base: Any, kind: Any) -> Any:
                value = _load(builder, base, kind, column, lanes)
                return value if kind == _DOUBLE else builder.fpext(value, ir.VectorType(_DOUBLE, lanes))

            value = read(arguments[2], _kind(dtype_tag))
            if subtract:
                value = builder.fsub(read(arguments[1], _DOUBLE), value)
            return builder.fmul(value, value if square else read(arguments[1], _DOUBLE))

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            done, result = ir.Constant(_INT64, 0), ir.Constant(_DOUBLE, 0.0)
            # Sixteen sums side by side, then four, then one: the order depends on D alone.
            for lanes in (16, 4, 1):
                total = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(_DOUBLE, lanes), [0.0] * lanes))
                steps = builder.sdiv(builder.sub(arguments[3], done), ir.Constant(_INT64, lanes))
                with cgutils.for_range(builder, steps, intp=_INT64) as loop:
                    column = builder.add(done, builder.mul(loop.index, ir.Constant(_INT64, lanes)))
                    builder.store(builder.fadd(builder.load(total), term(builder, arguments, column, lanes)), total)
                done = builder.add(done, builder.mul(steps, ir.Constant(_INT64, lanes)))
                (joined,) = _tree(builder, [builder.load(total)])
                result = builder.fadd(result, joined)
            return result

        return types.float64(dtype_tag, types.int64, types.int64, types.int64), codegen

    return intrinsic(sum_columns)


#: ``sum_...(dtype_tag, query, row, D)``; the query is float64, the row of the element's type.
sum_products = _make_sum(square=False, subtract=False)
sum_squares = _make_sum(square=True, subtract=False)
sum_squared_differences = _make_sum(square=True, subtract=True)


def _make_rough(square: bool) -> Callable[..., Any]:
    """Make sums of products for four rows at once, in float32: nothing but a bound comes of them."""
    fused = ("contract",)

    def rough(typingctx: Any, query: Any, row: Any, stride: Any, D: Any, out: Any, apart: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            query, row, stride, D, out, apart = arguments
            four = [ir.Constant(_INT64, r) for r in range(4)]
            rows = [builder.add(row, builder.mul(stride, r)) for r in four]

            def add_terms(column: Any, lanes: int, sums: list[Any]) -> None:
                asked = None if square else _load(builder, query, _SINGLE, column, lanes)
                for one, total in zip(rows, sums, strict=True):
                    value = _load(builder, one, _SINGLE, column, lanes)
                    more = builder.fmul(value, value if square else asked, flags=fused)
                    builder.store(builder.fadd(builder.load(total), more, flags=fused), total)

            joined = [ir.Constant(_SINGLE, 0.0)] * 4
            whole = builder.and_(D, ir.Constant(_INT64, -16))
            for lanes, start, end in ((16, four[0], whole), (1, whole, D)):
                zeros = ir.Constant(ir.VectorType(_SINGLE, lanes), [0.0] * lanes)
                sums = [cgutils.alloca_once_value(builder, zeros) for _ in rows]
                step = ir.Constant(_INT64, lanes)
                with cgutils.for_range_slice(builder, start, end, step, intp=_INT64, inc=True) as (column, _):
                    add_terms(column, lanes, sums)
                more = _tree(builder, [builder.load(total) for total in sums])
                joined = [builder.fadd(a, b) for a, b in zip(joined, more, strict=True)]
            for r, total in zip(four, joined, strict=True):
                builder.store(total, _pointer(builder, builder.add(out, builder.mul(apart, r)), _SINGLE), align=1)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), codegen

    return intrinsic(rough)


#: ``rough_...(query, row, stride, D, out, apart)`` writes sums for the four rows ``stride`` bytes apart.
rough_products, rough_squares = _make_rough(square=False), _make_rough(square=True)


@intrinsic
def passing(typingctx: Any, products: Any, limits: Any, weights: Any, scale: Any, shift: Any, height: Any) -> Any:
    """Return a bit for each of 16 products: ``product * scale + shift - height * weight`` is not below its limit.

    Whatever is NaN passes.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(_SINGLE, 16)
        product, limit, weight = (builder.load(_pointer(builder, a, kind), align=1) for a in arguments[:3])
        scale, shift, height = (_every(builder, builder.fptrunc(a, _SINGLE), 16) for a in arguments[3:])
        bound = builder.fsub(builder.fadd(builder.fmul(product, scale), shift), builder.fmul(height, weight))
        bits = builder.bitcast(builder.fcmp_unordered(">=", bound, limit), ir.IntType(16))
        return builder.zext(bits, _INT64)

    return types.int64(*[types.int64] * 3, *[types.float64] * 3), codegen


@intrinsic
def passing_rows(typingctx: Any, products: Any, squares: Any, limit: Any, share: Any, weight: Any) -> Any:
    """Return a bit for each of 16 rows: ``product + length * share - squares * weight`` is not below the limit.

    Whatever is NaN passes, and rows too near the ends of float32 for this to be a bound.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(_SINGLE, 16)
        product, squares = (builder.load(_pointer(builder, a, kind), align=1) for a in arguments[:2])
        limit, share, weight = (_every(builder, builder.fptrunc(a, _SINGLE), 16) for a in arguments[2:])
        root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), "llvm.sqrt.v16f32")
        bound = builder.fadd(product, builder.fmul(builder.call(root, [squares]), share))
        bound = builder.fsub(bound, builder.fmul(squares, weight))
        low, high = (ir.Constant(kind, [value] * 16) for value in (2.0**-100, 2.0**119))
        passes = builder.fcmp_unordered(">=", bound, limit)
        passes = builder.or_(passes, builder.fcmp_unordered("<", squares, low))
        passes = builder.or_(passes, builder.fcmp_unordered(">", squares, high))
        return builder.zext(builder.bitcast(passes, ir.IntType(16)), _INT64)

    return types.int64(*[types.int64] * 2, *[types.float64] * 3), codegen


def _make_widen(lanes: int) -> Callable[..., Any]:
    def widen(typingctx: Any, target: Any, source: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            single = ir.VectorType(_SINGLE, lanes)
            bits = builder.load(_pointer(builder, arguments[1], ir.VectorType(ir.IntType(16), lanes)), align=1)
            if has_half(context):
                value = builder.fpext(builder.bitcast(bits, ir.VectorType(ir.HalfType(), lanes)), single)
            else:
                value = widen_half(builder, bits)
            builder.store(value, _pointer(builder, arguments[0], single), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(widen)


#: ``widen_N(target, source)`` widens N float16 to float32.
widen_16, widen_1 = (_make_widen(lanes) for lanes in (16, 1))
