"""Words of a few families alone, on a device: bits of numbers, pairs of columns, halves of a warp. See `words`."""

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.cuda import types as T
from numba.cuda.extending import intrinsic

from .dtypes import words_of
from .numbers_device import _greater
from .words_device import (
    _MEMORY, _VOID, F32, F64, I32, I64, _asm, _load_words, _many, _parts, _store_words, _tuple,
)  # fmt: skip


@intrinsic
def highest(typingctx: Any, x: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        v = _parts(b, args[0])
        found = v[0]
        for one in v[1:]:
            found = _greater(b, found, one)
        return found

    return x.dtype(x), gen


@intrinsic
def fuse(typingctx: Any, w: Any, n: Any, m: Any) -> Any:
    return w(w, w, w), lambda context, b, sig, args: b.fma(*args)


@intrinsic
def bits_of(typingctx: Any, w: Any) -> Any:
    return T.int64(T.float32), lambda context, b, sig, args: b.sext(b.bitcast(args[0], I32), I64)


@intrinsic
def of_bits(typingctx: Any, n: Any) -> Any:
    return T.float32(T.int64), lambda context, b, sig, args: b.bitcast(b.trunc(args[0], I32), F32)


def _every_second(first: int) -> Callable[..., Any]:
    @intrinsic
    def word(typingctx: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return _tuple(context, b, sig, _parts(b, args[0])[first::2])

        return _many(x.dtype, x.count // 2)(x), gen

    return word


evens, odds = _every_second(0), _every_second(1)


@intrinsic
def pairs(typingctx: Any, x: Any, y: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        both = zip(_parts(b, args[0]), _parts(b, args[1]), strict=True)
        return _tuple(context, b, sig, [one for pair in both for one in pair])

    return _many(x.dtype, 2 * x.count)(x, x), gen


def make_constants(values: tuple[float, ...]) -> Any:
    """Return ``constant(i)``: the i-th of a few float64, from constant memory."""

    @intrinsic
    def constant(typingctx: Any, i: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            kind = ir.ArrayType(F64, len(values))
            name = b.module.get_unique_name("fastemb_constants")
            memory = ir.GlobalVariable(b.module, kind, name, addrspace=4)
            memory.linkage, memory.global_constant, memory.initializer = (
                "internal",
                True,
                ir.Constant(kind, list(values)),
            )
            return b.load(b.gep(memory, [I64(0), args[0]]))

        return T.float64(T.int64), gen

    return constant


@cache
def make_moves(width: int, K: int) -> tuple[Any, Any]:
    """Return load and store of K words as they are, a step of bytes apart, the last only if asked for."""
    each = words_of(width)
    kind = _many(T.uint32, K * each)

    @intrinsic
    def load(typingctx: Any, a: Any, step: Any, last: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            places = [b.add(args[0], b.mul(args[1], I64(k))) if k else args[0] for k in range(K)]
            return _tuple(context, b, sig, [w for words in _load_words(b, width, places, args[2]) for w in words])

        return kind(T.int64, T.int64, T.boolean), gen

    @intrinsic
    def store(typingctx: Any, a: Any, step: Any, last: Any, words: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            parts = _parts(b, args[3])
            for k in range(K):
                at = b.add(args[0], b.mul(args[1], I64(k))) if k else args[0]
                _store_words(b, width, at, parts[k * each : (k + 1) * each], args[2] if k == K - 1 else None)
            return context.get_dummy_value()

        return T.void(T.int64, T.int64, T.boolean, kind), gen

    return load, store


# What only newer devices have --------------------------------------------------------------------------------------

_EIGHT = _many(T.uint32, 8)


@intrinsic
def load32(typingctx: Any, a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        text = ""
        for k in range(4):
            text += f"ld.global.v8.b32 {{{', '.join(f'${8 * k + j}' for j in range(8))}}}, [${32 + k}];\n"
        constraints = ",".join(["=&r"] * 32 + ["l"] * 4 + [_MEMORY])
        found = _asm(b, text, constraints, ir.LiteralStructType([I32] * 32), list(args), True)
        flat = [b.extract_value(found, k) for k in range(32)]
        return _tuple(context, b, sig, [context.make_tuple(b, _EIGHT, flat[k : k + 8]) for k in range(0, 32, 8)])

    return _many(_EIGHT, 4)(T.int64, T.int64, T.int64, T.int64), gen


@intrinsic
def store32_if(typingctx: Any, a: Any, words: Any, so: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        names = ", ".join(f"${k + 1}" for k in range(8))
        text = "{\n.reg .pred p;\nsetp.ne.u32 p, $9, 0;\n@p st.global.v8.b32 [$0], {%s};\n}" % names
        given = [args[0], *_parts(b, args[1]), b.zext(args[2], I32)]
        _asm(b, text, ",".join(["l"] + ["r"] * 9 + [_MEMORY]), _VOID, given, True)
        return context.get_dummy_value()

    return T.void(T.int64, _EIGHT, T.boolean), gen


def _command(text: str, letters: str) -> Any:
    """Return a generator of an instruction without a result. Numbers for "r" are cut to 32 bits."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        given = [b.trunc(one, I32) if letter == "r" else one for one, letter in zip(args, letters, strict=True)]
        _asm(b, text, ",".join([*letters, _MEMORY]), _VOID, given, True)
        return context.get_dummy_value()

    return T.void(*[T.int64] * len(letters)), gen


@intrinsic
def barrier_init(typingctx: Any, bar: Any) -> Any:
    return _command("mbarrier.init.shared::cta.b64 [$0], 1;\nfence.proxy.async.shared::cta;", "r")


@intrinsic
def bulk_load(typingctx: Any, to: Any, source: Any, size: Any, bar: Any) -> Any:
    text = (
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$3], $2;\n"
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1], $2, [$3];"
    )
    return _command(text, "rlrr")


@intrinsic
def bulk_wait(typingctx: Any, bar: Any, phase: Any) -> Any:
    text = "{\n.reg .pred p;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 p, [$0], $1;\n@!p bra again;\n}"
    return _command(text, "rr")


@intrinsic
def bulk_store(typingctx: Any, to: Any, source: Any, size: Any) -> Any:
    text = (
        "fence.proxy.async.shared::cta;\ncp.async.bulk.global.shared::cta.bulk_group [$0], [$1], $2;\n"
        "cp.async.bulk.commit_group;"
    )
    return _command(text, "lrr")


@intrinsic
def bulk_read(typingctx: Any) -> Any:
    return _command("cp.async.bulk.wait_group.read 0;", "")


@intrinsic
def bulk_done(typingctx: Any) -> Any:
    return _command("cp.async.bulk.wait_group 0;", "")
