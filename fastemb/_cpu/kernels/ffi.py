"""Handlers of XLA's foreign function interface (FFI): the functions that compiled programs of JAX call.

A handler gets the address of a call frame and returns 0, or the address of an error. It does what the small path of a
room does: float32, no second thread, nothing is wrong. All else, the words of errors too, it leaves to the general
road: one function of Python, which is found by its name, `GENERAL`, when a handler is linked.

A frame is read at fixed offsets: those of the structs of XLA's stable C API (xla/ffi/api/c_api.h, version 0.x), which
only grow at their ends. They are counted in words of 8 bytes, and drawn in docs/design/jax.md.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray
from numba.core import types

from .embedding import embed_small
from .intrinsics import load_acc, load_id, store_id
from .jit import intrinsic, kernel, of_process, part
from .layout import NO_SIZE, Ids, Rows, Segments
from .lookup import RAISE, address, gather_rows
from .pooling import ascend
from .reduce import list_kept, max_rows, sum_rows

#: The general road, by the name at which it is linked: from the address of a frame to that of an error, or 0.
GENERAL = "fastemb_ffi_general"
general: Any = types.ExternalFunction(GENERAL, types.int64(types.int64))

#: What a call may read, and what it may write, on the small path: more is worth a second thread, or past the caches.
SMALL_BYTES = 1 << 19
# XLA's numbers for the types of masks and ids.
_BOOL, _S32, _S64 = 1, 4, 5
_CANCELLED = 1  # of its errors
_UNANSWERED = -1  # by the general road: neither 0 nor the address of an error
_VERSION_ASKED = 1  # the type of the extension by which a frame asks for a handler's version
_WORD, _HALF, _BYTE, _F32, _F64 = np.int64(0), np.int32(0), np.int8(0), np.float32(0), np.float64(0)

# Frames ----------------------------------------------------------------------------------------------------------


@part
def word(base: int, i: int) -> int:
    """Return the i-th word of a struct."""
    return load_id(_WORD, base, i)  # type: ignore[no-any-return]


@part
def operand(frame: int, i: int) -> int:
    """Return the i-th buffer that is read."""
    return word(word(frame, 9), i)


@part
def result(frame: int, i: int) -> int:
    """Return the i-th buffer that is written."""
    return word(word(frame, 14), i)


@part
def numbers(frame: int) -> int:
    """Return the address of the numbers (int64) in the last attribute by name, "small"."""
    return word(word(word(frame, 20), 1), 2)


@part
def data(buffer: int) -> int:
    """Return where the elements of a buffer lie."""
    return word(buffer, 3)


@part
def kind(buffer: int) -> int:
    """Return XLA's number for the type of the elements."""
    return load_id(_HALF, buffer, 4)  # type: ignore[no-any-return]


@part
def length(buffer: int, axis: int) -> int:
    """Return the length of an axis."""
    return word(word(buffer, 5), axis)


@part
def size(buffer: int) -> int:
    """Return the number of elements."""
    n = 1
    for axis in range(word(buffer, 4)):
        n *= length(buffer, axis)
    return n


@part
def version_told(frame: int) -> bool:
    """Whether the frame asks for the version that this handler is of; if so it is told.

    The answer is the asker's own version where its structs are those read here. Of another major version they may not
    be: then the answer is one that XLA refuses.
    """
    extension = word(frame, 1)
    while extension and load_id(_HALF, extension, 2) != _VERSION_ASKED:
        extension = word(extension, 2)
    if not extension:
        return False
    metadata, api = word(extension, 3), word(frame, 2)
    major, minor = load_id(_HALF, api, 8), load_id(_HALF, api, 9)
    store_id(_HALF, metadata, 6, 0)
    store_id(_HALF, metadata, 7, minor if major == 0 else 0)
    store_id(_HALF, metadata, 8, 0)  # no traits
    return True


# The gate --------------------------------------------------------------------------------------------------------


@intrinsic
def add_atomic(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at an address, and return what it was before; in one order for all threads."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw(
            "add", builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), arguments[1], "seq_cst"
        )

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def call_at(typingctx: Any, address: Any, argument: Any) -> Any:
    """Call the C function at an address, which takes one word and returns one."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])

    return types.int64(types.int64, types.int64), codegen


@part
def cancelled(frame: int, words: int) -> int:
    """Return the address of an error that says the words at an address."""
    error = np.array([32, 0, words, _CANCELLED])
    return int(call_at(word(word(frame, 2), 6), address(error))) + min(error.size, 0)


def make_gate(state: int, ended: int, interrupted: int, road: int) -> Any:
    """Make the function before the general road, which lets no call into Python when the interpreter ends.

    A thread of XLA that asks for the GIL then would wait for ever, and XLA for it. ``state`` is the address of two
    numbers: how many calls are on the road, and whether it is closed. The others are those of what errors say.

    The road gets the address of two words, the frame's and one for its answer. What its function returns would be no
    answer: where a handler of signals (that of Ctrl-C) raises before its first line, ctypes returns anything.
    """

    @of_process
    def gate(frame: int) -> int:
        add_atomic(state, 1)
        if add_atomic(state + 8, 0):
            add_atomic(state, -1)
            return int(cancelled(frame, ended))
        asked = np.array([frame, _UNANSWERED])
        call_at(road, address(asked))
        add_atomic(state, -1)
        found = asked[1]
        return int(cancelled(frame, interrupted)) if found == _UNANSWERED else int(found)

    return gate


# Handlers --------------------------------------------------------------------------------------------------------


@kernel
def all_general(frame: int) -> int:
    """Leave everything to the general road."""
    return 0 if version_told(frame) else int(general(frame))


@part
def copied(id_tag: Any, table: int, ids: int, out: int, row: int, mode: int) -> bool:
    """Whether the rows of a table were copied, ``row`` bytes each; else an id is bad."""
    N = size(ids)
    check = N if mode == RAISE else 0
    here, names, there = data(table), data(ids), data(out)
    return gather_rows(id_tag, here, row, row, length(table, 0), names, mode, there, row, False, check, 0, N) < 0


@kernel
def gather(frame: int) -> int:
    """Read a table and ids, write rows; the numbers are the bytes of a row and the mode."""
    if version_told(frame):
        return 0
    table, ids, out, given = operand(frame, 0), operand(frame, 1), result(frame, 0), numbers(frame)
    row, mode = word(given, 0), word(given, 1)
    if length(table, 0) > 0 and 0 < size(ids) * row <= SMALL_BYTES:
        if kind(ids) == _S32 and copied(_HALF, table, ids, out, row, mode):
            return 0
        if kind(ids) == _S64 and copied(_WORD, table, ids, out, row, mode):
            return 0
    return int(general(frame))


@part
def entries(ids: int, N: int, V: int) -> Ids:
    """Return what kernels are told about ids; ``V`` is 0 of types that the small path does not know."""
    if kind(ids) == _S32:
        return Ids(np.uint16(4), data(ids), N, V)
    return Ids(np.uint16(8), data(ids), N, V if kind(ids) == _S64 else 0)


@part
def fill_bounds(bounds: Any, offsets: int, T: int) -> None:
    """Write where segments begin and end: what a buffer of offsets says or, without one (0), every T entries."""
    for s in range(bounds.size):
        if not offsets:
            bounds[s] = s * T
        elif kind(offsets) == _S32:
            bounds[s] = load_id(_HALF, data(offsets), s)
        else:
            bounds[s] = word(data(offsets), s)


@part
def bytes_of(mask: int, N: int, room: int) -> int:
    """Return where a mask has one byte for each slot, not 0 where it is kept; those of integers are written."""
    if kind(mask) == _BOOL:
        return data(mask)
    for i in range(N):
        store_id(_BYTE, room, i, load_id(_HALF, data(mask), i) != 0)
    return room


@part
def kept(mask: int, slots: int, names: Ids, bounds: int, S: int, divide_by: int, room: int) -> Any:
    """Return the entries that a mask keeps, and their segments. The room is for 3 N + 2 S + 1 words."""
    N = names.N
    begins, here = room + 8 * (N + 1), room
    ends = begins + 8 * S
    n = list_kept(bytes_of(mask, N, ends + 8 * S), bounds, bounds + 8, S, here, begins, ends)
    if slots:
        for i in range(n):
            store_id(_WORD, here, i, load_id(names.id_tag, names.address, word(here, i)))
    return Ids(np.uint16(8), here, n, names.V), Segments(begins, ends, 0, None, divide_by)


@kernel
def reduce(frame: int) -> int:
    """Read rows and then, as numbers say, ids, and offsets or a mask; write segments.

    The numbers: whether there are ids, offsets, a mask; whether the largest of each column is meant and not a sum; and
    what a sum is divided by.
    """
    if version_told(frame):
        return 0
    given, table, out = numbers(frame), operand(frame, 0), result(frame, 0)
    bags, ragged, masked = word(given, 0), word(given, 1), word(given, 2)
    slots, other = operand(frame, 1) if bags else table, operand(frame, 1 + bags) if ragged or masked else 0
    S, D = length(out, 0), length(out, 1)
    N = size(slots) if bags else size(table) // max(D, 1)
    unusual = (ragged or masked) and not (kind(other) == _S32 or kind(other) == (_BOOL if masked else _S64))
    if unusual or not 0 < N * D * 4 <= SMALL_BYTES or not 0 < S * D * 4 <= SMALL_BYTES:
        return int(general(frame))
    bounds = np.empty(3 * S + 2 + (3 * N if masked else 0), np.int64)
    fill_bounds(bounds[: S + 1], other if ragged else 0, 0 if ragged else length(slots, 1))
    if not ascend(bounds[: S + 1], N):
        return int(general(frame))
    begins = address(bounds)
    names = entries(slots, N, length(table, 0)) if bags else Ids(NO_SIZE, 0, N, N)
    segments = Segments(begins, begins + 8, 0, None, word(given, 4))
    if masked:
        names, segments = kept(other, bags, names, begins, S, word(given, 4), begins + 8 * (S + 1))
    rows, goal = Rows(_F32, data(table), 4 * D, 32, D, 0, 0), Rows(_F32, data(out), 4 * D, 32, D, 0, 0)
    if word(given, 3):
        bad = max_rows(rows, names, segments, goal, bags != 0, 0, S)
    else:
        bad = sum_rows(rows, names, segments, goal, bags != 0, 0, S)
    if bad >= 0:
        return int(general(frame))
    return min(bounds.size, 0)  # 0; Numba frees an array behind its last use, and addresses are none


@intrinsic
def pointer(typingctx: Any, base: Any) -> Any:
    """Return an address as Numba's pointer to anything."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), codegen


@part
def line(buffer: int, n: int) -> Any:
    """Return n float32 numbers of a buffer as an array."""
    return carray(pointer(data(buffer)), (n,), np.float32)


@part
def table_of(buffer: int, n: int, D: int) -> Any:
    """Return n rows of float32 of a buffer as an array."""
    return carray(pointer(data(buffer)), (n, D), np.float32)


@kernel
def embed(frame: int) -> int:
    """Read a table, ids and then, as numbers say, positions, weight and bias; write rows.

    The numbers: how many positions there are, whether there are a weight and a bias, the kind of norm, and its eps as
    the bits of a float64.
    """
    if version_told(frame):
        return 0
    given, table, ids, out = numbers(frame), operand(frame, 0), operand(frame, 1), result(frame, 0)
    N, V, D = size(ids), length(table, 0), length(table, 1)
    if not 0 < N * D * 4 <= SMALL_BYTES or not (kind(ids) == _S32 or kind(ids) == _S64):
        return int(general(frame))
    P, weighted, biased = word(given, 0), word(given, 1), word(given, 2)
    index = np.empty(N, np.int64)  # the kernel is compiled for ids of one type alone
    tag = entries(ids, N, V).id_tag
    for n in range(N):
        index[n] = load_id(tag, data(ids), n)
    at = 2 + (P > 0)
    first, nothing = np.zeros(1, np.int64), np.full((1, D), np.float32(-0.0))  # adds nothing, not even to -0.0
    places = np.arange(length(ids, word(ids, 4) - 1)) if P else first
    positions = table_of(operand(frame, 2), P, D) if P else nothing
    weight = line(operand(frame, at) if weighted else table, D if weighted else 0)
    bias = line(operand(frame, at + weighted) if biased else table, D if biased else 0)
    rows, goal, eps = table_of(table, V, D), table_of(out, N, D), load_acc(_F64, given, 4)
    if embed_small(rows, index, places, positions, first, nothing, weight, bias, word(given, 3), eps, goal):
        return int(general(frame))
    return 0
