"""Single numbers and shared memory on a device. `words` says what each word means."""

from functools import cache
from typing import Any

from llvmlite import ir
from numba.cuda import types as T
from numba.cuda.extending import intrinsic

from .dtypes import SIZES, acc_of
from .words_device import (
    _MEMORY, _VOID, F32, F64, I32, I64, _asm, _letter, _llvm, _many, _number, _parts, _store_columns, _tuple, _widen,
)  # fmt: skip

# Single numbers --------------------------------------------------------------------------------------------------

_INTEGERS = {"bool": ("u8", 1), "uint8": ("u8", 1), "int8": ("s8", 1), "uint16": ("u16", 2), "int16": ("s16", 2),
             "uint32": ("u32", 4), "int32": ("s32", 4), "uint64": ("u64", 8), "int64": ("s64", 8)}  # fmt: skip


def _offset(b: Any, address: Any, i: Any, size: int) -> Any:
    return b.add(address, b.mul(i, I64(size)))


@cache
def make_numbers(tag: str) -> tuple[Any, Any]:
    """Return get and put of the i-th number at an address: integers are int64, floats what they are computed in.

    They are read by ``.nc``: what is read so is written by no thread of the launch.
    """
    if tag in _INTEGERS:
        kind, size = _INTEGERS[tag]

        @intrinsic
        def get(typingctx: Any, a: Any, i: Any) -> Any:
            def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
                at = _offset(b, args[0], args[1], size)
                if size == 8:
                    return _asm(b, "ld.global.nc.u64 $0, [$1];", "=l,l", I64, [at], False)
                found = _asm(b, f"ld.global.nc.{kind} $0, [$1];", "=r,l", I32, [at], False)
                return b.sext(found, I64) if kind[0] == "s" else b.zext(found, I64)

            return T.int64(T.int64, T.int64), gen

        @intrinsic
        def put(typingctx: Any, a: Any, i: Any, x: Any) -> Any:
            def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
                at = _offset(b, args[0], args[1], size)
                value = args[2] if size == 8 else b.trunc(args[2], I32)
                text = f"st.global.u{8 * size} [$0], $1;"
                _asm(b, text, f"l,{'l' if size == 8 else 'r'},{_MEMORY}", _VOID, [at, value], True)
                return context.get_dummy_value()

            return T.void(T.int64, T.int64, T.int64), gen

        return get, put

    number, width = _number(acc_of(tag)), SIZES[tag] // 8

    @intrinsic
    def get_float(typingctx: Any, a: Any, i: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            at = _offset(b, args[0], args[1], width)
            if width == 8:
                return _asm(b, "ld.global.nc.f64 $0, [$1];", "=d,l", F64, [at], False)
            bits = _asm(b, f"ld.global.nc.u{8 * width} $0, [$1];", "=r,l", I32, [at], False)
            return _widen(b, tag, width, [bits])[0]

        return number(T.int64, T.int64), gen

    @intrinsic
    def put_float(typingctx: Any, a: Any, i: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            x = args[2]
            if isinstance(x.type, ir.IntType):
                x = b.sitofp(x, F64 if tag == "float64" else F32)
            _store_columns(b, tag, width, _offset(b, args[0], args[1], width), [x])
            return context.get_dummy_value()

        return T.void(T.int64, T.int64, x), gen

    return get_float, put_float


# Shared memory ---------------------------------------------------------------------------------------------------

_shared_number = iter(range(1 << 62))


def make_shared(size: int) -> Any:
    """Return a function that returns the address of ``size`` bytes that the threads of a block share.

    To be called once, in the kernel itself.
    """
    name = f"fastemb_shared_{next(_shared_number)}"

    @intrinsic
    def shared(typingctx: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            memory = ir.GlobalVariable(b.module, ir.ArrayType(ir.IntType(8), size), name, addrspace=3)
            memory.linkage, memory.align = "internal", 16
            memory.initializer = ir.Constant(memory.value_type, ir.Undefined)
            return b.ptrtoint(memory, I64)

        return T.int64(), gen

    return shared


@cache
def make_shared_numbers(tag: str) -> tuple[Any, Any]:
    """Return get and put of the i-th number at an address in shared memory: int32, int64, float32 or float64."""
    kinds = {"int32": ("s32", 4), "int64": ("s64", 8), "float32": ("f32", 4), "float64": ("f64", 8)}
    text, size = kinds[tag]
    kind = T.int64 if text[0] == "s" else _number(tag)
    letter = {"s32": "r", "s64": "l", "f32": "f", "f64": "d"}[text]

    @intrinsic
    def get(typingctx: Any, a: Any, i: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            at = _offset(b, args[0], args[1], size)
            result = I32 if text == "s32" else context.get_value_type(kind)
            found = _asm(b, f"ld.shared.{text} $0, [$1];", f"={letter},l,{_MEMORY}", result, [at], True)
            return b.sext(found, I64) if text == "s32" else found

        return kind(T.int64, T.int64), gen

    @intrinsic
    def put(typingctx: Any, a: Any, i: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            value = b.trunc(args[2], I32) if text == "s32" else args[2]
            at = _offset(b, args[0], args[1], size)
            _asm(b, f"st.shared.{text} [$0], $1;", f"l,{letter},{_MEMORY}", _VOID, [at, value], True)
            return context.get_dummy_value()

        return T.void(T.int64, T.int64, kind), gen

    return get, put


@cache
def make_shared_columns(acc: str, count: int) -> tuple[Any, Any]:
    """Return load and store of columns at an address in shared memory."""
    number, size = _number(acc), SIZES[acc] // 8
    kind, letter, name = _many(number, count), _letter(_llvm(_number(acc))), f"f{SIZES[acc]}"
    each = min(count, 16 // size)
    names = f"v{each}.{name}" if each > 1 else name

    def operands(first: int) -> str:
        inner = ", ".join(f"${first + k}" for k in range(each))
        return f"{{{inner}}}" if each > 1 else inner

    @intrinsic
    def load(typingctx: Any, a: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            found, llvm = [], _llvm(number)
            result = ir.LiteralStructType([llvm] * each) if each > 1 else llvm
            for k in range(0, count, each):
                at = b.add(args[0], I64(k * size))
                text = f"ld.shared.{names} {operands(0)}, [${each}];"
                one = _asm(b, text, ",".join([f"={letter}"] * each + ["l", _MEMORY]), result, [at], True)
                found += [b.extract_value(one, j) for j in range(each)] if each > 1 else [one]
            return _tuple(context, b, sig, found)

        return kind(T.int64), gen

    @intrinsic
    def store(typingctx: Any, a: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            numbers = _parts(b, args[1])
            for k in range(0, count, each):
                text = f"st.shared.{names} [$0], {operands(1)};"
                values = [b.add(args[0], I64(k * size)), *numbers[k : k + each]]
                _asm(b, text, ",".join(["l"] + [letter] * each + [_MEMORY]), _VOID, values, True)
            return context.get_dummy_value()

        return T.void(T.int64, kind), gen

    return load, store
