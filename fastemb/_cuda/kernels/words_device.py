"""The words of kernels on a device: each is an intrinsic of a few instructions. `words` says what they mean.

What must not be moved or taken apart is PTX: loads and stores, products that no sum may swallow, conversions that round
once. All else is LLVM, which may arrange it.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import types as T
from numba.cuda.extending import intrinsic

from .dtypes import LANES_A_WORD, SIZES, acc_of, words_of

I16, I32, I64, F32, F64 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
_VOID, _F16 = ir.VoidType(), ir.HalfType()
_MEMORY = "~{memory}"


def device(function: Any) -> Any:
    """Return a function that kernels call."""
    return cuda.jit(device=True)(function)


# Making intrinsics -----------------------------------------------------------------------------------------------


def _asm(b: Any, text: str, constraints: str, result: Any, args: Any, effect: bool, together: bool = False) -> Any:
    """Call a statement. ``together``: threads meet in it, so LLVM must not copy it, nor move it into a branch."""
    kind = ir.FunctionType(result, [a.type for a in args])
    attributes = ("convergent",) if together else ()
    return b.call(ir.InlineAsm(kind, text, constraints, side_effect=effect), args, attrs=attributes)


def _parts(b: Any, value: Any) -> list[Any]:
    """Return the parts of a tuple."""
    kind = value.type
    return [b.extract_value(value, k) for k in range(kind.count if isinstance(kind, ir.ArrayType) else len(kind))]


def _tuple(context: Any, b: Any, sig: Any, parts: list[Any]) -> Any:
    return context.make_tuple(b, sig.return_type, parts)


def _many(kind: Any, count: int) -> Any:
    return T.UniTuple(kind, count)


def _number(acc: str) -> Any:
    return T.float64 if acc == "float64" else T.float32


def _llvm(kind: Any) -> Any:
    return F64 if kind == T.float64 else F32


def _letter(kind: Any) -> str:
    return "d" if kind == F64 else "f"


# Where a thread is -----------------------------------------------------------------------------------------------


def _place(text: str) -> Any:
    @intrinsic
    def place(typingctx: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return b.zext(_asm(b, f"mov.u32 $0, %{text};", "=r", I32, [], False), I64)

        return T.int64(), gen

    return place


thread_x, thread_y = _place("tid.x"), _place("tid.y")
threads_x, threads_y = _place("ntid.x"), _place("ntid.y")
block_x, block_y = _place("ctaid.x"), _place("ctaid.y")
blocks_x, blocks_y = _place("nctaid.x"), _place("nctaid.y")


@intrinsic
def meet(typingctx: Any) -> Any:
    def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        _asm(b, "bar.sync 0;", _MEMORY, _VOID, [], True, together=True)
        return context.get_dummy_value()

    return T.void(), gen


# Words of 1 to 16 bytes ------------------------------------------------------------------------------------------


def _operand(width: int, first: int) -> tuple[str, str]:
    """Return the type and the operands of a load or a store of a number of bytes."""
    if width < 4:
        return f"u{8 * width} ", f"${first}"
    count = width // 4
    names = ", ".join(f"${first + k}" for k in range(count))
    return ("u32 ", names) if count == 1 else (f"v{count}.u32 ", f"{{{names}}}")


def _load_words(b: Any, width: int, addresses: list[Any], so: Any = None, few: int = 1) -> list[list[Any]]:
    """Load from several addresses in one statement, which keeps the loads together; of the last ``few`` only if ``so``.

    Plain loads, never ``.nc``: that lets ptxas move a load behind a store, and fewer are in flight.
    """
    count, n = words_of(width), len(addresses)
    text = ""
    if so is not None:
        text += "{\n.reg .pred p;\nsetp.ne.u32 p, $%d, 0;\n" % (n * count + n)
        text += "".join(f"mov.u32 ${(n - few) * count + j}, 0;\n" for j in range(few * count))
    for k in range(n):
        kind, names = _operand(width, k * count)
        guard = "@p " if so is not None and k >= n - few else ""
        text += f"{guard}ld.global.{kind}{names}, [${n * count + k}];\n"
    args = list(addresses)
    constraints = ["=&r"] * (n * count) + ["l"] * n
    if so is not None:
        text += "}"
        args.append(b.zext(so, I32))
        constraints.append("r")
    result = ir.LiteralStructType([I32] * (n * count)) if n * count > 1 else I32
    found = _asm(b, text, ",".join([*constraints, _MEMORY]), result, args, True)
    flat = [b.extract_value(found, k) for k in range(n * count)] if n * count > 1 else [found]
    return [flat[k * count : (k + 1) * count] for k in range(n)]


def _store_words(b: Any, width: int, address: Any, words: list[Any], so: Any = None) -> None:
    """Store; under a predicate where ``so`` is given: a branch would end the block, and loads behind it would wait."""
    kind, names = _operand(width, 1)
    text, constraints, args = f"st.global.{kind}[$0], {names};", ["l"] + ["r"] * len(words), [address, *words]
    if so is not None:
        text = "{\n.reg .pred p;\nsetp.ne.u32 p, $%d, 0;\n@p %s\n}" % (len(words) + 1, text)
        args.append(b.zext(so, I32))
        constraints.append("r")
    _asm(b, text, ",".join([*constraints, _MEMORY]), _VOID, args, True)


@cache
def make_words(width: int) -> tuple[Any, Any, Any, Any]:
    """Return load, load4, store, store_if of words of ``width`` bytes as they are."""
    kind = _many(T.uint32, words_of(width))

    @intrinsic
    def load(typingctx: Any, a: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return _tuple(context, b, sig, _load_words(b, width, [args[0]])[0])

        return kind(T.int64), gen

    @intrinsic
    def load4(typingctx: Any, a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            four = [context.make_tuple(b, kind, words) for words in _load_words(b, width, list(args))]
            return _tuple(context, b, sig, four)

        return _many(kind, 4)(T.int64, T.int64, T.int64, T.int64), gen

    @intrinsic
    def store(typingctx: Any, a: Any, words: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            _store_words(b, width, args[0], _parts(b, args[1]))
            return context.get_dummy_value()

        return T.void(T.int64, kind), gen

    @intrinsic
    def store_if(typingctx: Any, a: Any, words: Any, so: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            _store_words(b, width, args[0], _parts(b, args[1]), args[2])
            return context.get_dummy_value()

        return T.void(T.int64, kind, T.boolean), gen

    return load, load4, store, store_if


# Columns in registers --------------------------------------------------------------------------------------------


def _widen(b: Any, tag: str, width: int, words: list[Any]) -> list[Any]:
    """Return the numbers that words hold, in the type that is computed with."""
    if tag == "float64":
        pairs = zip(words[0::2], words[1::2], strict=True)
        return [b.bitcast(b.or_(b.zext(low, I64), b.shl(b.zext(high, I64), I64(32))), F64) for low, high in pairs]
    if tag == "float32":
        return [b.bitcast(w, F32) for w in words]
    each = min(LANES_A_WORD[tag], 8 * width // SIZES[tag])
    found = []
    for w in words:
        for k in range(each):
            bits = b.lshr(w, I32(k * SIZES[tag])) if k else w
            if tag == "float16":
                found.append(b.fpext(b.bitcast(b.trunc(bits, I16), _F16), F32))
            elif tag == "bfloat16":
                high = b.and_(w, I32(0xFFFF0000)) if k else b.shl(w, I32(16))
                found.append(b.bitcast(high, F32))
            else:  # codes
                found.append(b.uitofp(b.and_(bits, I32((1 << SIZES[tag]) - 1)), F32))
    return found


def _halves(b: Any, tag: str, x: Any) -> Any:
    """Return one number of 16 bits in the low half of a word, rounded once."""
    if x.type == F64 and tag == "bfloat16":
        x = _to_odd(b, x)
    name = "f16" if tag == "float16" else "bf16"
    source = "f64" if x.type == F64 else "f32"
    text = "{\n.reg .b16 h;\ncvt.rn.%s.%s h, $1;\nmov.b32 $0, {h, 0};\n}" % (name, source)
    text = text.replace("mov.b32 $0, {h, 0};", "cvt.u32.u16 $0, h;")
    return _asm(b, text, f"=r,{_letter(x.type)}", I32, [x], False)


def _to_odd(b: Any, x: Any) -> Any:
    """Round float64 to float32 toward zero, with the last bit set where that was not exact: it rounds on as x would."""
    text = (
        "{\n.reg .f64 d;\n.reg .pred p;\n.reg .u32 w;\ncvt.rz.f32.f64 $0, $1;\ncvt.f64.f32 d, $0;\n"
        "setp.neu.f64 p, d, $1;\nmov.b32 w, $0;\n@p or.b32 w, w, 1;\nmov.b32 $0, w;\n}"
    )
    return _asm(b, text, "=&f,d", F32, [x], False)


def _codes(b: Any, tag: str, numbers: list[Any]) -> list[Any]:
    """Return words of whole numbers, kept within those of a code; a NaN becomes 0."""
    kind, letter = ("f64", "d") if numbers[0].type == F64 else ("f32", "f")
    # The conversion keeps what it gives at 0 or above by itself.
    text = "{\n.reg .u32 w;\ncvt.rni.u32.%s w, $1;\nmin.u32 $0, w, %d;\n}" % (kind, (1 << SIZES[tag]) - 1)
    each = LANES_A_WORD[tag]
    words: list[Any] = []
    for k, x in enumerate(numbers):
        one = _asm(b, text, f"=r,{letter}", I32, [x], False)
        if k % each:
            words[-1] = b.or_(words[-1], b.shl(one, I32(k % each * SIZES[tag])))
        else:
            words.append(one)
    return words


def _narrow(b: Any, tag: str, numbers: list[Any]) -> list[Any]:
    """Return the words that hold numbers, each rounded once: to the nearest, ties to even; a NaN stays one."""
    if tag == "float64":
        wide = [b.bitcast(x if x.type == F64 else b.fpext(x, F64), I64) for x in numbers]
        return [b.trunc(part, I32) for x in wide for part in (x, b.lshr(x, I64(32)))]
    if tag == "float32":
        return [b.bitcast(x if x.type == F32 else b.fptrunc(x, F32), I32) for x in numbers]
    if tag in ("code8", "code4"):
        return _codes(b, tag, numbers)
    if len(numbers) == 1 or numbers[0].type == F64:
        single = [_halves(b, tag, x) for x in numbers]
        if len(single) == 1:
            return single
        return [b.or_(low, b.shl(high, I32(16))) for low, high in zip(single[0::2], single[1::2], strict=True)]
    kind = "f16x2" if tag == "float16" else "bf16x2"  # one instruction for two
    pairs = zip(numbers[0::2], numbers[1::2], strict=True)
    return [_asm(b, f"cvt.rn.{kind}.f32 $0, $2, $1;", "=r,f,f", I32, pair, False) for pair in pairs]


@cache
def make_columns(tag: str, width: int) -> tuple[Any, Any, Any, Any]:
    """Return load, load4, load_if and the number of columns in ``width`` bytes."""
    count = 8 * width // SIZES[tag]
    kind = _many(_number(acc_of(tag)), count)

    @intrinsic
    def load(typingctx: Any, a: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return _tuple(context, b, sig, _widen(b, tag, width, _load_words(b, width, [args[0]])[0]))

        return kind(T.int64), gen

    @intrinsic
    def load4(typingctx: Any, a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            rows = _load_words(b, width, list(args))
            four = [context.make_tuple(b, kind, _widen(b, tag, width, words)) for words in rows]
            return _tuple(context, b, sig, four)

        return _many(kind, 4)(T.int64, T.int64, T.int64, T.int64), gen

    @intrinsic
    def load_if(typingctx: Any, a: Any, so: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return _tuple(context, b, sig, _widen(b, tag, width, _load_words(b, width, [args[0]], args[1])[0]))

        return kind(T.int64, T.boolean), gen

    return load, load4, load_if, count


@cache
def make_load_all(tag: str, width: int) -> Any:
    """Return load4 of which no number can be used before all four loads are on their way.

    ptxas may find later addresses between uses of the first word, and load one word at a time. So each register is
    made to depend on all words: by bits of theirs and a zero of which ptxas does not know, one instruction for each.
    """
    kind = _many(_number(acc_of(tag)), 8 * width // SIZES[tag])

    @intrinsic
    def load_all(typingctx: Any, a0: Any, a1: Any, a2: Any, a3: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            rows = _load_words(b, width, list(args))
            zero = _asm(b, "mov.u32 $0, %tid.z;", "=r", I32, [], False)  # all blocks are flat
            nothing = zero
            for words in rows:
                nothing = b.and_(nothing, words[-1])
            late = [[_asm(b, "or.b32 $0, $1, $2;", "=r,r,r", I32, [w, nothing], False) for w in r] for r in rows[:3]]
            rows = late + rows[3:]
            return _tuple(context, b, sig, [context.make_tuple(b, kind, _widen(b, tag, width, r)) for r in rows])

        return _many(kind, 4)(T.int64, T.int64, T.int64, T.int64), gen

    return load_all


def _store_columns(b: Any, tag: str, width: int, address: Any, numbers: list[Any], so: Any = None) -> None:
    each = 8 * width // SIZES[tag]
    for k in range(0, len(numbers), each):
        at = b.add(address, I64(k * SIZES[tag] // 8)) if k else address
        _store_words(b, width, at, _narrow(b, tag, numbers[k : k + each]), so)


@cache
def make_store(tag: str, width: int) -> tuple[Any, Any]:
    """Return store and store_if of numbers as ``tag``, ``width`` bytes at a time."""

    @intrinsic
    def store(typingctx: Any, a: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            _store_columns(b, tag, width, args[0], _parts(b, args[1]))
            return context.get_dummy_value()

        return T.void(T.int64, x), gen

    @intrinsic
    def store_if(typingctx: Any, a: Any, x: Any, so: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            _store_columns(b, tag, width, args[0], _parts(b, args[1]), args[2])
            return context.get_dummy_value()

        return T.void(T.int64, x, T.boolean), gen

    return store, store_if


@cache
def make_piece(tag: str, width: int, K: int, count: int = 0) -> tuple[Any, Any]:
    """Return load_piece and store_piece: K stretches of a row, a step of bytes apart, the last only if asked for.

    A stretch is ``count`` columns, read or written ``width`` bytes at a time; by default as many as that holds.
    """
    count = count or 8 * width // SIZES[tag]
    size = count * SIZES[tag] // 8
    kind = _many(_number(acc_of(tag)), K * count)

    @intrinsic
    def load_piece(typingctx: Any, a: Any, step: Any, last: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            firsts = [b.add(args[0], b.mul(args[1], I64(k))) if k else args[0] for k in range(K)]
            places = [b.add(a, I64(j)) if j else a for a in firsts for j in range(0, size, width)]
            rows = _load_words(b, width, places, args[2], size // width)
            return _tuple(context, b, sig, [x for words in rows for x in _widen(b, tag, width, words)])

        return kind(T.int64, T.int64, T.boolean), gen

    @intrinsic
    def store_piece(typingctx: Any, a: Any, step: Any, last: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            numbers = _parts(b, args[3])
            each = len(numbers) // K
            size = each * SIZES[tag] // 8
            for k in range(K):
                at = b.add(args[0], b.mul(args[1], I64(k))) if k else args[0]
                so = args[2] if k == K - 1 else None
                _store_columns(b, tag, min(width, size), at, numbers[k * each : k * each + each], so)
            return context.get_dummy_value()

        return T.void(T.int64, T.int64, T.boolean, x), gen

    return load_piece, store_piece


@cache
def make_keep(K: int) -> Any:
    """Return keep: a piece of K words whose last word is zeros unless asked for."""

    @intrinsic
    def keep(typingctx: Any, last: Any, x: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            v = _parts(b, args[1])
            n = len(v) // K
            return _tuple(context, b, sig, v[:-n] + [b.select(args[0], f, f.type(0.0)) for f in v[-n:]])

        return x(T.boolean, x), gen

    return keep


# Not cached: 0.0 and -0.0 are one key.
def make_constant(acc: str, count: int, value: float) -> Any:
    """Return a function that returns ``count`` numbers that are all ``value``."""
    kind = _number(acc)

    @intrinsic
    def constant(typingctx: Any) -> Any:
        def gen(context: Any, b: Any, sig: Any, args: Any) -> Any:
            return _tuple(context, b, sig, [_llvm(kind)(value)] * count)

        return _many(kind, count)(), gen

    return constant
