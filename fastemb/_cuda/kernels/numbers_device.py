"""Arithmetic on a device: on numbers, and column by column on tuples of them. `words` says what each word means."""

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.cuda import types as T
from numba.cuda.extending import intrinsic

from .words_device import _MEMORY, _VOID, F32, F64, I32, I64, _asm, _letter, _many, _number, _parts, _tuple


def _rounded(b: Any, name: str, *args: Any) -> Any:
    """Return what an instruction makes of numbers, rounded to nearest. NVVM would fuse a product and a sum."""
    kind = args[0].type
    letter = _letter(kind)
    operands = ", ".join(f"${k + 1}" for k in range(len(args)))
    text = f"{name}.rn.f{64 if kind == F64 else 32} $0, {operands};"
    return _asm(b, text, ",".join([f"={letter}"] + [letter] * len(args)), kind, list(args), False)


def _columns(op: Callable[..., Any], singles: int = 0) -> Callable[..., Any]:
    """Return a generator of code for an operation by columns; the last ``singles`` arguments are numbers."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        count, tuples = sig.return_type.count, len(args) - singles
        given = [_parts(b, a) if k < tuples else [a] * count for k, a in enumerate(args)]
        return _tuple(context, b, sig, [op(b, *parts) for parts in zip(*given, strict=True)])

    return gen


@intrinsic
def add(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), _columns(lambda b, p, q: b.fadd(p, q))


@intrinsic
def minus(typingctx: Any, x: Any, m: Any) -> Any:
    return x(x, x.dtype), _columns(lambda b, p, m: b.fsub(p, m), 1)


@intrinsic
def less(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), _columns(lambda b, p, q: b.fsub(p, q))


@intrinsic
def times(typingctx: Any, x: Any, w: Any) -> Any:
    return x(x, x.dtype), _columns(lambda b, p, w: _rounded(b, "mul", p, w), 1)


@intrinsic
def times_each(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), _columns(lambda b, p, q: _rounded(b, "mul", p, q))


@intrinsic
def over(typingctx: Any, x: Any, n: Any) -> Any:
    return x(x, x.dtype), _columns(lambda b, p, n: _rounded(b, "div", p, n), 1)


@intrinsic
def over_each(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), _columns(lambda b, p, q: _rounded(b, "div", p, q))


@intrinsic
def roots(typingctx: Any, x: Any) -> Any:
    return x(x), _columns(lambda b, p: _rounded(b, "sqrt", p))


@intrinsic
def fused(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    return x(x, x, x), _columns(lambda b, p, q, r: b.fma(p, q, r))


def _greater(b: Any, p: Any, q: Any) -> Any:
    return b.select(b.or_(b.fcmp_ordered(">", q, p), b.fcmp_unordered("uno", q, q)), q, p)


@intrinsic
def greater(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), _columns(_greater)


@intrinsic
def pick_equal(typingctx: Any, x: Any, y: Any, p: Any, q: Any) -> Any:
    """Columns of p where x equals y, as NaN equals NaN here, else of q."""

    def one(b: Any, x: Any, y: Any, p: Any, q: Any) -> Any:
        nans = b.and_(b.fcmp_unordered("uno", x, x), b.fcmp_unordered("uno", y, y))
        return b.select(b.or_(b.fcmp_ordered("==", x, y), nans), p, q)

    return x(x, x, x, x), _columns(one)


@intrinsic
def take(typingctx: Any, so: Any, x: Any, y: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        pairs = zip(_parts(b, args[1]), _parts(b, args[2]), strict=True)
        return _tuple(context, b, sig, [b.select(args[0], p, q) for p, q in pairs])

    return x(T.boolean, x, x), gen


@intrinsic
def doubled(typingctx: Any, x: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return _tuple(context, b, sig, [p if p.type == F64 else b.fpext(p, F64) for p in _parts(b, args[0])])

    return _many(T.float64, x.count)(x), gen


@intrinsic
def singled(typingctx: Any, x: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return _tuple(context, b, sig, [p if p.type == F32 else b.fptrunc(p, F32) for p in _parts(b, args[0])])

    return _many(T.float32, x.count)(x), gen


def _halving(b: Any, v: list[Any]) -> Any:
    while len(v) > 1:
        odd = v[len(v) & ~1 :]
        half = len(v) // 2
        v = [b.fadd(v[i], v[i + half]) for i in range(half)] + odd
    return v[0]


@intrinsic
def total(typingctx: Any, x: Any) -> Any:
    return x.dtype(x), lambda context, b, sig, args: _halving(b, _parts(b, args[0]))


@intrinsic
def squares(typingctx: Any, x: Any) -> Any:
    return x.dtype(x), lambda context, b, sig, args: _halving(b, [b.fmul(p, p) for p in _parts(b, args[0])])


@intrinsic
def dot(typingctx: Any, x: Any, y: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        pairs = zip(_parts(b, args[0]), _parts(b, args[1]), strict=True)
        return _halving(b, [b.fmul(p, q) for p, q in pairs])

    return x.dtype(x, x), gen


@intrinsic
def most(typingctx: Any, x: Any) -> Any:
    """The largest magnitude; a NaN counts as nothing."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        v = _parts(b, args[0])
        kind, name = v[0].type, "f64" if v[0].type == F64 else "f32"
        letter = _letter(kind)
        v = [_asm(b, f"abs.{name} $0, $1;", f"={letter},{letter}", kind, [p], False) for p in v]
        m = v[0]
        for p in v[1:]:
            m = _asm(b, f"max.{name} $0, $1, $2;", f"={letter},{letter},{letter}", kind, [m, p], False)
        return m

    return x.dtype(x), gen


# Numbers ---------------------------------------------------------------------------------------------------------


def _of_one(text32: str, text64: str) -> Any:
    @intrinsic
    def word(typingctx: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            (x,) = args
            letter = _letter(x.type)
            return _asm(b, text64 if x.type == F64 else text32, f"={letter},{letter}", x.type, [x], False)

        return x(x), gen

    return word


root = _of_one("sqrt.rn.f32 $0, $1;", "sqrt.rn.f64 $0, $1;")


@intrinsic
def inverse_root(typingctx: Any, x: Any) -> Any:
    """A float64 by Newton's steps from an approximation: the exact operations are calls, which cost registers."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,) = args
        if x.type == F32:
            return _asm(b, "rsqrt.approx.f32 $0, $1;", "=f,f", F32, [x], False)
        first = y = _asm(b, "rsqrt.approx.ftz.f64 $0, $1;", "=d,d", F64, [x], False)
        minus_half = b.fmul(x, F64(-0.5))
        for _ in range(2):  # 20 bits, 40, all
            y = b.fma(y, b.fma(b.fmul(minus_half, y), y, F64(0.5)), y)
        regular = b.and_(b.fcmp_ordered(">", first, F64(0.0)), b.fcmp_ordered("<", first, F64(float("inf"))))
        return b.select(regular, y, first)

    return x(x), gen


@intrinsic
def divide(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), lambda context, b, sig, args: _rounded(b, "div", *args)


@intrinsic
def product(typingctx: Any, x: Any, y: Any) -> Any:
    return x(x, x), lambda context, b, sig, args: _rounded(b, "mul", *args)


@intrinsic
def remainder(typingctx: Any, i: Any, n: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        i, n = (b.trunc(a, I32) for a in args)
        return b.zext(b.urem(i, n), I64)

    return T.int64(T.int64, T.int64), gen


@cache
def make_number(acc: str) -> Any:
    """Return a function that makes an integer or a float a number of the type that is computed in, rounded once."""
    kind = _number(acc)

    @intrinsic
    def number(typingctx: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            goal = F64 if acc == "float64" else F32
            (value,) = args
            if isinstance(sig.args[0], T.Integer):
                return b.sitofp(value, goal) if sig.args[0].signed else b.uitofp(value, goal)
            if value.type == goal:
                return value
            return b.fpext(value, goal) if goal == F64 else b.fptrunc(value, goal)

        return kind(x), gen

    return number


# Warps -----------------------------------------------------------------------------------------------------------


def _shuffle(b: Any, x: Any, step: int) -> Any:
    if x.type == F32:
        return _asm(b, f"shfl.sync.bfly.b32 $0, $1, {step}, 31, -1;", "=f,f", F32, [x], True, together=True)
    text = (
        "{\n.reg .u32 l, h;\nmov.b64 {l, h}, $1;\nshfl.sync.bfly.b32 l, l, %d, 31, -1;\n"
        "shfl.sync.bfly.b32 h, h, %d, 31, -1;\nmov.b64 $0, {l, h};\n}"
    ) % (step, step)
    return _asm(b, text, "=d,d", F64, [x], True, together=True)


@cache
def make_lanes_sum(lanes: int) -> Any:
    """Return a function that adds the numbers of neighbouring threads, so many that begin at a multiple of that."""

    @intrinsic
    def lanes_sum(typingctx: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            (v,) = args
            for step in (16, 8, 4, 2, 1):
                if step < lanes:
                    v = b.fadd(v, _shuffle(b, v, step))
            return v

        return x(x), gen

    return lanes_sum


warp_sum = make_lanes_sum(32)


@intrinsic
def warp_most(typingctx: Any, x: Any) -> Any:
    """The largest of a warp's numbers; a NaN counts as nothing."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        (v,) = args
        letter, name = _letter(v.type), "f64" if v.type == F64 else "f32"
        for step in (16, 8, 4, 2, 1):
            other = _shuffle(b, v, step)
            v = _asm(b, f"max.{name} $0, $1, $2;", f"={letter},{letter},{letter}", v.type, [v, other], False)
        return v

    return x(x), gen


@intrinsic
def warp_votes(typingctx: Any, so: Any) -> Any:
    """How many threads before this one say so, how many of the warp, and the first (32: none) and last (-1) that do."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        text = (
            "{\n.reg .pred p;\n.reg .u32 m, t;\nsetp.ne.u32 p, $4, 0;\nvote.sync.ballot.b32 m, p, -1;\n"
            "mov.u32 t, %lanemask_lt;\nand.b32 t, t, m;\npopc.b32 $0, t;\npopc.b32 $1, m;\n"
            "brev.b32 t, m;\nclz.b32 $2, t;\nclz.b32 t, m;\nsub.s32 $3, 31, t;\n}"
        )
        kind = ir.LiteralStructType([I32] * 4)
        found = _asm(b, text, "=&r,=&r,=&r,=&r,r", kind, [b.zext(args[0], I32)], True, together=True)
        return _tuple(context, b, sig, [b.sext(b.extract_value(found, k), I64) for k in range(4)])

    return _many(T.int64, 4)(T.boolean), gen


# What is wrong ---------------------------------------------------------------------------------------------------


@intrinsic
def report(typingctx: Any, status: Any, position: Any) -> Any:
    """Keep the least of the positions reported, and raise the flag on the host."""

    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        text = (
            "{\n.reg .u64 f;\n.reg .u32 one;\nred.global.min.s64 [$0], $1;\nld.global.u64 f, [$0+8];\n"
            "mov.u32 one, 1;\nst.global.u32 [f], one;\n}"
        )
        _asm(b, text, f"l,l,{_MEMORY}", _VOID, list(args), True)
        return context.get_dummy_value()

    return T.void(T.int64, T.int64), gen
