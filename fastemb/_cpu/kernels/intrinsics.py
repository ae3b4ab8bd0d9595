"""LLVM instructions that Numba does not offer: ids and bytes by address, prefetch, streaming stores.

Addresses are ``int64``. (As ``uint64`` they would turn into floats in Numba as soon as a signed number is
added.) The types of memory come in by *tags*, scalars whose type is looked at: ``int32`` and ``int64`` for ids,
``uint8`` for no ids at all; ``uint64`` for a list of ours that goes on behind its end, so far as later rows are asked
for. Of ``uint16`` the value is looked at as well: the size of an id in bytes, 8 or 4, or 0 for
no ids at all, so that one compilation serves all three. Loads and stores claim no alignment, so that any array is read
in place; on the processors of today that costs nothing. Rows of numbers are the matter of ``vectors.py``.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types import UniTuple  # type: ignore[attr-defined]  # Numba is untyped

from .jit import TUNING, intrinsic, machine_has

_INT64 = ir.IntType(64)


def _memory(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


NEAR = 3  # LLVM's locality of a prefetch: into every level of the cache


def emit_prefetch(builder: Any, pointer: Any, locality: int = NEAR) -> None:
    """Write the instruction that asks for the cache line at a pointer to bytes."""
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(fetch, [pointer, word(0), word(locality), word(1)])  # to read, data


def _load_id(context: Any, builder: Any, id_tag: Any, ids: Any, i: Any) -> Any:
    """Load ``ids[i]`` as int64; without ids, which the tag uint8 says, it is ``i``.

    One base and an index, so that LLVM sees a plain array and vectorises.
    """
    if id_tag == types.uint8:
        return i
    kind = ir.IntType(id_tag.bitwidth)
    value = builder.load(builder.gep(_memory(builder, ids, kind), [i]), align=1)
    return value if id_tag.bitwidth == 64 else builder.sext(value, _INT64)


def _load_many(context: Any, builder: Any, id_tag: Any, size: Any, ids: Any, places: list[Any]) -> list[Any]:
    """Load the ids at several places; if the tag says their size by its value, behind one branch for all of them."""
    if id_tag != types.uint16:
        return [_load_id(context, builder, id_tag, ids, i) for i in places]
    begin, end = builder.block, builder.append_basic_block("ids")
    choice, found = builder.switch(size, end), [(places, begin)]
    kinds: Any = (types.int64, types.int32)
    for kind in kinds:
        block = builder.append_basic_block(f"ids_{kind}")
        choice.add_case(ir.Constant(size.type, kind.bitwidth // 8), block)
        builder.position_at_end(block)
        found.append(([_load_id(context, builder, kind, ids, i) for i in places], block))
        builder.branch(end)
    builder.position_at_end(end)
    loaded = [builder.phi(_INT64) for _ in places]
    for values, block in found:
        for phi, value in zip(loaded, values, strict=True):
            phi.add_incoming(value, block)
    return loaded


@intrinsic
def load_id(typingctx: Any, id_tag: Any, ids: Any, i: Any) -> Any:
    """Load ``ids[i]``, whose type is the tag's, as int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size, ids, i = arguments
        return _load_many(context, builder, id_tag, size, ids, [i])[0]

    return types.int64(id_tag, types.int64, types.int64), codegen


def make_load_rows(n: int) -> Callable[..., Any]:
    """Make ``load_rows(id_tag, ids, N, i, end, gap)``: the rows that n of N entries name, from entry ``i`` on.

    With each goes the row to ask for meanwhile, that of the entry ``TUNING.rows_ahead`` further on, in a segment that
    begins ``gap`` behind ``end`` if this one is not as long. One entry gives a pair, twice as many a pair of what half
    of them give.
    """
    pairs: list[Any] = [UniTuple(types.int64, 2)]
    while 1 << (len(pairs) - 1) < n:
        pairs.append(UniTuple(pairs[-1], 2))

    def load_near(context: Any, builder: Any, given: Any) -> list[Any]:
        id_tag, size, ids, _, i, _, _ = given
        ahead = TUNING.rows_ahead
        places = [builder.add(i, _INT64(k + more)) for k in range(n) for more in (0, ahead)]
        return _load_many(context, builder, id_tag, size, ids, places)

    def load_far(context: Any, builder: Any, given: Any) -> list[Any]:
        id_tag, size, ids, last, i, end, gap = given
        places = []
        for k in range(n):
            later = builder.add(i, _INT64(k + TUNING.rows_ahead))
            later = builder.add(later, builder.select(builder.icmp_signed(">=", later, end), gap, _INT64(0)))
            places += [builder.add(i, _INT64(k)), builder.select(builder.icmp_signed("<", later, last), later, last)]
        return _load_many(context, builder, id_tag, size, ids, places)

    def tuples(context: Any, builder: Any, loaded: list[Any]) -> Any:
        for pair in pairs:
            loaded = [context.make_tuple(builder, pair, loaded[k : k + 2]) for k in range(0, len(loaded), 2)]
        return loaded[0]

    def load_rows(typingctx: Any, id_tag: Any, ids: Any, N: Any, i: Any, end: Any, gap: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            size, ids, N, i, end, gap = arguments
            given = id_tag, size, ids, builder.sub(N, _INT64(1)), i, end, gap
            if id_tag == types.uint64:  # a list that goes on behind its end
                return tuples(context, builder, load_near(context, builder, given))
            furthest = builder.add(i, _INT64(n - 1 + TUNING.rows_ahead))
            inside = builder.icmp_signed("<", furthest, N)
            # Nearly always no later row has to be looked for: rows of 64 columns gain a twentieth.
            with builder.if_else(builder.and_(builder.icmp_signed("==", gap, _INT64(0)), inside)) as (near, far):
                with near:
                    one, here = load_near(context, builder, given), builder.block
                with far:
                    other, there = load_far(context, builder, given), builder.block
            loaded = [builder.phi(_INT64) for _ in one]
            for phi, a, b in zip(loaded, one, other, strict=True):
                phi.add_incoming(a, here)
                phi.add_incoming(b, there)
            return tuples(context, builder, loaded)

        numbers = [types.int64] * 5
        return pairs[-1](id_tag, *numbers), codegen

    return intrinsic(load_rows)


@intrinsic
def store_id(typingctx: Any, id_tag: Any, ids: Any, i: Any, value: Any) -> Any:
    """Store an int64 as ``ids[i]``, cut down to the tag's type."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ids, i, value = arguments[1:]
        kind = ir.IntType(id_tag.bitwidth)
        value = value if id_tag.bitwidth == 64 else builder.trunc(value, kind)
        builder.store(value, builder.gep(_memory(builder, ids, kind), [i]), align=1)
        return context.get_dummy_value()

    return types.void(id_tag, types.int64, types.int64, types.int64), codegen


def _make_prefetch(locality: int) -> Callable[..., Any]:
    def prefetch(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit_prefetch(builder, _memory(builder, arguments[0], ir.IntType(8)), locality)
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    return intrinsic(prefetch)


#: ``prefetch(address)``: ask for the cache line at an address; any address is harmless. ``prefetch_row``: for rows that
#: lie in memory, which some processors had better leave in the second cache.
prefetch, prefetch_row = _make_prefetch(NEAR), _make_prefetch(TUNING.row_locality)


#: Accumulators in a `scratch`: float32's are 4 KiB, which stay in the first cache beside the rows.
SCRATCH = 1024


@intrinsic
def scratch(typingctx: Any, dtype_tag: Any) -> Any:
    """Return the address of `SCRATCH` accumulators on the stack, at a multiple of 64."""
    lane = ir.DoubleType() if acc_type(dtype_tag) == types.float64 else ir.FloatType()

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Not `cgutils.alloca_once`, which writes zeros: the part is inlined, so they would be written for each segment.
        with builder.goto_entry_block():
            room = builder.alloca(ir.ArrayType(lane, SCRATCH))
        room.align = 64
        return builder.ptrtoint(room, _INT64)

    return types.int64(dtype_tag), codegen


def _make_copy(width: int) -> Callable[..., Any]:
    def copy(typingctx: Any, target: Any, source: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(ir.IntType(8), width)
            value = builder.load(_memory(builder, arguments[1], kind), align=1)
            builder.store(value, _memory(builder, arguments[0], kind), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(copy)


def _make_stream(width: int) -> Callable[..., Any]:
    def stream(typingctx: Any, target: Any, source: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.VectorType(ir.IntType(8), width)
            value = builder.load(_memory(builder, arguments[1], kind), align=1)
            store = builder.store(value, _memory(builder, arguments[0], kind), align=64)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return intrinsic(stream)


#: ``copy_N(target, source)`` copies N bytes; of 256 all are loaded before any is stored.
copy_256, copy_64, copy_32, copy_16, copy_8, copy_4, copy_1 = (
    _make_copy(width) for width in (256, 64, 32, 16, 8, 4, 1)
)
#: ``stream_N(target, source)`` copies N bytes past the caches. ``target`` must be a multiple of 64: elsewhere the
#: instruction faults.
stream_256, stream_64 = (_make_stream(width) for width in (256, 64))


@intrinsic
def fence(typingctx: Any) -> Any:
    """Let no later store be seen before the streamed ones; a lock's release does not order those."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def load_one(typingctx: Any, row: Any, column: Any) -> Any:
    """Load a float32 number by the address of its row."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.gep(_memory(builder, arguments[0], ir.FloatType()), [arguments[1]]), align=4)

    return types.float32(types.int64, types.int64), codegen


@intrinsic
def store_one(typingctx: Any, row: Any, column: Any, value: Any) -> Any:
    """Store a float32 number by the address of its row."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(_memory(builder, arguments[0], ir.FloatType()), [arguments[1]])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), codegen


# Numbers that several threads change -----------------------------------------------------------------------------


@intrinsic
def load_atomic(typingctx: Any, address: Any) -> Any:
    """Load an int64; whatever a thread wrote before it changed that number is seen from then on."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_memory(builder, arguments[0], _INT64), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def add_atomic(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to an int64, and return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _memory(builder, arguments[0], _INT64), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def swap_atomic(typingctx: Any, address: Any, old: Any, new: Any) -> Any:
    """Put ``new`` in the place of ``old``; return whether that was there."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _memory(builder, arguments[0], _INT64)
        return builder.extract_value(builder.cmpxchg(place, arguments[1], arguments[2], "seq_cst", "seq_cst"), 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def relax(typingctx: Any, pass_on: Any) -> Any:
    """Wait a moment between two looks at what another thread will change.

    ``pass_on`` is the address of a C function of no arguments by which a thread passes its processor on to another
    that waits for one, or 0.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if machine_has("sse2"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        with builder.if_then(builder.icmp_signed("!=", arguments[0], ir.Constant(_INT64, 0))):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def acc_type(dtype_tag: Any) -> Any:
    """Return the type in which elements are added: float64 for float64, else float32."""
    return types.float64 if dtype_tag == types.float64 else types.float32


@intrinsic
def load_acc(typingctx: Any, dtype_tag: Any, values: Any, i: Any) -> Any:
    """Load ``values[i]``, a number of the type in which elements are added: float64 for float64, else float32."""
    acc = acc_type(dtype_tag)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.DoubleType() if acc == types.float64 else ir.FloatType()
        return builder.load(builder.gep(_memory(builder, arguments[1], kind), [arguments[2]]), align=1)

    return acc(dtype_tag, types.int64, types.int64), codegen


@intrinsic
def as_acc(typingctx: Any, dtype_tag: Any, value: Any) -> Any:
    """Return a number in the type in which elements are added."""
    acc = acc_type(dtype_tag)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return context.cast(builder, given[1], value, acc)

    return acc(dtype_tag, value), codegen
