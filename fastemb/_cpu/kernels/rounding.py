"""What optimizers do with sixteen columns beside ``+ - * /``: square roots, and rounding by chance.

Chance is a hash of a counter: of a key (which `fastemb._updates.key_of` makes of a seed and a step), a row and a
column. So it is the same for any number of threads and on any machine, and `reference.py` computes it with NumPy.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .jit import intrinsic

_WORD, _INT64 = ir.IntType(32), ir.IntType(64)
_HALF, _BRAIN = types.uint16, types.int16  # the dtype tags of 16-bit floats
#: The constants of the hashes: splitmix64 (Steele, Lea, Flood 2014) of the row, murmur3's last steps of the column.
GOLDEN_64, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
GOLDEN_32, MIX_3, MIX_4 = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35


@intrinsic
def root(typingctx: Any, vector: Any) -> Any:
    """Return the square roots of the lanes, each rounded as IEEE 754 asks."""

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = given[0].type
        name = f"llvm.sqrt.v{kind.count}f{64 if kind.element == ir.DoubleType() else 32}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, given)

    return vector(vector), codegen


def _fill(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_WORD, lanes), [0] * lanes))


def _shifted(builder: Any, x: Any, bits: int) -> Any:
    """Return ``x ^ (x >> bits)``, of a number or of lanes."""
    by = _fill(x.type, bits) if isinstance(x.type, ir.VectorType) else x.type(bits)
    return builder.xor(x, builder.lshr(x, by))


def _hash_row(builder: Any, key: Any, row: Any) -> Any:
    """Return 64 bits for a row."""
    x = builder.add(key, builder.mul(row, _INT64(GOLDEN_64)))
    x = builder.mul(_shifted(builder, x, 30), _INT64(MIX_1))
    x = builder.mul(_shifted(builder, x, 27), _INT64(MIX_2))
    return _shifted(builder, x, 31)


def _hash_columns(builder: Any, row: Any, column: Any, lanes: int) -> Any:
    """Return 32 bits for each of the columns from ``column`` on, of a row with this hash."""
    words = ir.VectorType(_WORD, lanes)
    low = _spread(builder, builder.trunc(row, _WORD), lanes)
    high = _spread(builder, builder.trunc(builder.lshr(row, _INT64(32)), _WORD), lanes)
    here = _spread(builder, builder.trunc(column, _WORD), lanes)
    here = builder.add(here, ir.Constant(words, list(range(lanes))))
    x = builder.add(builder.mul(here, _fill(words, GOLDEN_32)), low)
    x = builder.xor(builder.mul(_shifted(builder, x, 16), _fill(words, MIX_3)), high)
    x = builder.mul(_shifted(builder, x, 13), _fill(words, MIX_4))
    return _shifted(builder, x, 16)


def _cut_brain(builder: Any, value: Any, chance: Any) -> Any:
    """Move float32 lanes to a bfloat16 beside them: bits of chance are added to those that go, and the sum is cut."""
    words, bits = chance.type, builder.bitcast(value, chance.type)
    moved = builder.add(bits, builder.and_(chance, _fill(words, 0xFFFF)))
    moved = builder.bitcast(builder.and_(moved, _fill(words, 0xFFFF0000)), value.type)
    return builder.select(builder.fcmp_unordered("uno", value, value), value, moved)


def _cut_half(builder: Any, value: Any, chance: Any) -> Any:
    """Move float32 lanes to a float16 beside them, or to 65,536, which becomes infinity.

    Below 2**-14 a float16 is a multiple of 2**-24: so many of them are counted, chance is added, and the sum is cut.
    """
    words, kind, bits = chance.type, value.type, builder.bitcast(value, chance.type)
    chance = builder.and_(chance, _fill(words, 0x1FFF))
    sign = builder.and_(bits, _fill(words, 0x80000000))
    size = builder.xor(bits, sign)
    normal = builder.and_(builder.add(size, chance), _fill(words, 0xFFFFE000))
    count = builder.fmul(builder.bitcast(size, kind), _fill(kind, 2.0**24))
    count = builder.fadd(count, builder.fmul(builder.uitofp(chance, kind), _fill(kind, 2.0**-13)))
    small = builder.icmp_unsigned("<", size, _fill(words, 0x38800000))
    count = builder.select(small, count, _fill(kind, 0.0))  # no integer holds all others
    whole = builder.fmul(builder.uitofp(builder.fptoui(count, words), kind), _fill(kind, 2.0**-24))
    moved = builder.select(small, builder.bitcast(whole, words), normal)
    moved = builder.bitcast(builder.or_(moved, sign), kind)
    return builder.select(builder.fcmp_unordered("uno", value, value), value, moved)


@intrinsic
def by_chance(typingctx: Any, dtype_tag: Any, vector: Any, key: Any, row: Any, column: Any) -> Any:
    """Move 16 columns of a row, from ``column`` on, to numbers that 16 bits hold: up or down, the nearer the likelier.

    What 16 bits hold already stays, as do NaN and infinities. For float32 and float64 there is nothing to do.
    """

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        _, value, key, row, column = given
        if dtype_tag not in (_HALF, _BRAIN):
            return value
        chance = _hash_columns(builder, _hash_row(builder, key, row), column, vector.lanes)
        return (_cut_half if dtype_tag == _HALF else _cut_brain)(builder, value, chance)

    return vector(dtype_tag, vector, types.int64, types.int64, types.int64), codegen
