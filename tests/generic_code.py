"""A process of its own: calls every family on a processor of the plainest kind, and says what its code is like.

``python generic_code.py TARGET CASES`` prints a line of JSON with the digest of each result, and one for each kernel.
TARGET is ``host``; or ``x86-64-v2``, where Numba has to be told so from outside (NUMBA_CPU_NAME) and the code that is
read is the code that runs; or ``aarch64``. For that one kernels are told that they are of that kind (how a float16 is
read is decided when a kernel is written), and what Numba is about to optimise is optimised once more, for it: such code
cannot run here, and what runs is the host's. CASES is ``quick`` or ``all``.
"""

import hashlib
import json
import re
import sys
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
from numba.core.codegen import CPUCodeLibrary, JITCPUCodegen
from numba.misc.llvm_pass_timings import PassTimingsCollection

import fastemb

ARM, ARM_CPU = "aarch64-unknown-linux-gnu", ("generic", "+neon")
#: What is looked for in assembly: arithmetic on several numbers at once, what the processor does not have, fused
#: multiply-adds, and what is called.
READ = {
    "x86-64-v2": {
        "vectors": r"\t(?:add|sub|mul|div|max|min|sqrt|cmp\w+|blendv)p[sd]\t",
        "foreign": r"\t(?:v[a-z]\w+|andn|bextr|bls\w+|[ls]zcnt|tzcnt|mulx|pdep|pext|rorx|sarx|shlx|shrx)\t|%[yz]mm\d",
        "fused": r"\tvfn?m",
        "called": r"\t(?:callq?|jmp)\t\*?([A-Za-z_][\w.@$]*)|\tmovabsq\t\$([A-Za-z_][\w.$]*)",
    },
    "aarch64": {
        "vectors": r"\tf(?:add|sub|mul|div|max|min|maxnm|minnm|sqrt|cm\w\w|cvtl2?|mla)\tv\d+\.(?:4s|2d)",
        "foreign": r"\t(?:ptrue|whilelo|cas\w*|ldadd\w*)\t|\bz\d+\.[bhsd]\b|\tf(?!cvt|mov)\w+\t(?:v\d+\.[48]h|h\d)",
        "fused": r"\tfn?m(?:la|ls|add|sub)\t",
        "called": r"\tbl?\t([A-Za-z_][\w.$]*)|:(?:got|abs_g\d(?:_nc)?):([A-Za-z_][\w.$]*)",
    },
}
SPILL = re.compile(r"(?:16|32)-byte (?:Folded )?(?:Spill|Reload)")


# What is called ---------------------------------------------------------------------------------------------------


def digests(cases):
    """Yield the name of a call and a digest of its results."""
    rng = np.random.default_rng(5)
    ids, offsets = rng.integers(0, 300, (9, 40)), np.array([0, 1, 9, 9, 40, 300, 360])
    weights = rng.standard_normal(360).astype(np.float32)
    kinds = [("float32", 100)] if cases == "quick" else [("float32", 100), ("float16", 70), ("float64", 33)]
    for kind, D in kinds:
        table = rng.standard_normal((300, D)).astype(kind)
        table[7], table[8, 0], table[9] = -0.0, np.inf, 0.0
        calls = quick_calls(table, ids, offsets)
        if cases == "all":
            calls |= other_calls(table, ids, offsets, weights)
        for name, call in calls.items():
            yield f"{kind} {name}", digest(call())
    half = rng.standard_normal((300, 70)).astype(np.float16)  # which this processor cannot convert
    out = np.empty((offsets.size - 1, 70), np.float16)  # by the general road; small calls have kernels of their own
    bags = fastemb.embedding_bag(half, ids.ravel(), offsets, mode="sum", out=out)
    yield "float16", digest((bags, fastemb.rope(half[ids])))


def digest(result):
    """Return a digest of arrays in tuples."""
    if isinstance(result, tuple):
        return digest(np.array([digest(part) for part in result if part is not None], "U64"))
    return hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest()


def quick_calls(table, ids, offsets):
    """Return a call or two of each kind of kernel."""
    x, ones = table[ids], np.ones(table.shape[1], np.float32)
    norm = fastemb.LayerNorm(ones, ones)
    return {
        "gather": lambda: fastemb.gather(table, ids, mode="clip"),
        "bags": lambda: tuple(fastemb.embedding_bag(table, ids.ravel(), offsets, mode=mode) for mode in ("sum", "max")),
        "pool": lambda: fastemb.pool(x, ids % 3),
        "embed": lambda: fastemb.embed(table, ids, positions=table[10:60], norm=norm),
        "row_grad": lambda: tuple(fastemb.row_grad(ids % 7, x)),
        "rope": lambda: fastemb.rope(x[..., : table.shape[1] // 2 * 2]),
    }


def other_calls(table, ids, offsets, weights):
    """Return the others."""
    x, ones = table[ids], np.ones(table.shape[1], np.float32)
    first, norm, finite = x[:, 0], fastemb.LayerNorm(ones, ones), np.nan_to_num(table.astype("f4"), posinf=1)
    codes = {bits: fastemb.quantize(finite, bits) for bits in (8, 4)}
    frozen = finite.copy()
    frozen.flags.writeable = False  # not the small path
    calls = {
        "gather, raise": lambda: fastemb.gather(table, ids),
        "bags, weights": lambda: fastemb.embedding_bag(
            table, ids.ravel(), offsets, weights=weights.astype(table.dtype)
        ),
        "normalize": lambda: (fastemb.normalize(table), fastemb.pool(x, normalize=True)),
        "embed, RMSNorm": lambda: fastemb.embed(table, ids, norm=fastemb.RMSNorm(ones)),
        "embed_backward": lambda: (lambda found: (*found.table, found.positions, *found.norm))(
            fastemb.embed_backward(x, table, ids, positions=table[10:60], norm=norm, scale=2.0)
        ),
        "scatter_add": lambda: fastemb.scatter_add(table.copy(), ids, x),
    }
    for optimizer in (fastemb.SGD(), fastemb.SGD(momentum=0.9), fastemb.Adagrad(row_wise=True), fastemb.Adagrad()):
        calls[repr(optimizer)] = lambda one=optimizer: trained(one, table.copy(), ids, x)
    by_chance = fastemb.AdamW(stochastic_rounding=True, seed=7)
    calls["AdamW"] = lambda: trained(by_chance, table.copy(), ids, x)
    for mode in ("sum", "mean", "max"):
        calls |= {
            f"small bags, {mode}": lambda mode=mode: fastemb.embedding_bag(table, ids, mask=ids % 2, mode=mode),
            f"small pools, {mode}": lambda mode=mode: fastemb.pool(x[:1], mode=mode),
            f"bags back, {mode}": lambda mode=mode: tuple(
                fastemb.embedding_bag_backward(first, table, ids, mode=mode).table
            ),
            f"pools back, {mode}": lambda mode=mode: fastemb.pool_backward(first, x, mode=mode).x,
        }
    for bits, made in codes.items():
        calls |= {
            f"quantize, {bits} bits": lambda made=made: (made.codes, made.scale, made.offset, made.dequantize()),
            f"quantize anew, {bits} bits": lambda bits=bits: fastemb.quantize(frozen, bits).codes,
            f"codes, {bits} bits": lambda made=made: (fastemb.gather(made, ids), fastemb.embedding_bag(made, ids)),
            f"topk, {bits} bits": lambda made=made: tuple(fastemb.topk(finite[:3], made, 5)),
        }
    for metric in ("cosine", "dot", "l2"):
        for few in (1, 40):
            calls[f"topk, {metric}, {few}"] = lambda few=few, metric=metric: tuple(
                fastemb.topk(finite[:few], finite, 5, metric=metric)
            )
    return calls


def trained(optimizer, table, ids, x):
    """Return a table and a state after two steps."""
    optimizer.step_from(table, ids, x)
    optimizer.step(table, fastemb.row_grad(ids[:2], x[:2]))
    return (table, *optimizer.state_dict()["state"].values())


# What is read -----------------------------------------------------------------------------------------------------


def inner_loops(text):
    """Return the code of each loop that has none in it, by LLVM's comments; its blocks may lie anywhere."""
    loops = {}
    blocks = re.split(r"(?m)^(?=\.?LBB\d+_\d+:|# %bb\.|// %bb\.)", text)
    heads = ["\n".join(line for line in block.split("\n")[:12] if "Loop" in line) for block in blocks]
    for block, head in zip(blocks, heads, strict=True):
        if "This Inner Loop Header" in head:
            loops[re.match(r"\.?L(BB\d+_\d+):", block)[1]] = block
    for block, head in zip(blocks, heads, strict=True):
        found = re.search(r"in Loop: Header=(BB\d+_\d+)", head)
        if found and found[1] in loops:
            loops[found[1]] += block
    return list(loops.values())


def described(name, text, target):
    """Return what is in the code of a kernel."""
    words = READ[target]
    code = re.sub(r"(?m)\s*(?:# |// ).*$", "", text)
    called = {a or b for a, b in re.findall(words["called"], code)} - set(re.findall(r"(?m)^([A-Za-z_][\w.$]*):", text))
    known = (".", "LBB", "BB", "numba.", "NRT_", "Py", "_Py", "_ZN08NumbaEnv")
    return {
        "name": name,
        "vectors": len(re.findall(words["vectors"], code)),
        "foreign": sorted({found.group().strip() for found in re.finditer(words["foreign"], code)}),
        "fused": len(re.findall(words["fused"], code)),
        "missing": sorted(word for word in called if not word.startswith(known) and not llvm.address_of_symbol(word)),
        "loops": [
            (len(re.findall(words["vectors"], loop)), len(SPILL.findall(loop)))
            for loop in inner_loops(text)
            if re.search(words["vectors"], loop)
        ],
    }


def machine_for(target):
    """Return LLVM's machine with the settings of Numba's, which writes comments."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    if target == "aarch64":
        cpu, features = ARM_CPU
        made = llvm.Target.from_triple(ARM).create_target_machine(cpu, features, opt=3, reloc="static")
    else:
        own = llvm.Target.from_triple(llvm.get_process_triple())
        made = own.create_target_machine(target, "", opt=3, reloc="static", codemodel="jitdefault")
    made.set_asm_verbosity(True)
    return made


def assembly(name, text, machine, optimise):
    """Return the code of a module of Numba's that was not optimised yet, by Numba's own steps."""
    # Memory counts of Numba's own, of a module that went through the host's code generator.
    text = text.replace("llvm.x86.atomic.sub.cc.i64", "numba.atomic").replace("i32 immarg", "i32")
    text = re.sub(r'(?m)^target triple = ".*"', f'target triple = "{machine.triple}"', text)
    text = re.sub(r'(?m)^target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', text)
    codegen = object.__new__(JITCPUCodegen)
    codegen._tm, codegen._loopvect, codegen._opt_level = machine, False, 0
    library = SimpleNamespace(
        _codegen=codegen, _final_module=llvm.parse_assembly(text), _recorded_timings=PassTimingsCollection(name)
    )
    optimise(library)
    return machine.emit_assembly(library._final_module)


def main(target, cases):
    """Call everything, keep what Numba is about to optimise, and read it."""
    optimise, kept = CPUCodeLibrary._optimize_final_module, []

    def keep(library):
        kept.append((library.name, str(library._final_module)))
        optimise(library)

    if target != "host":
        CPUCodeLibrary._optimize_final_module = keep
    if target == "aarch64":
        JITCPUCodegen.magic_tuple = lambda self: (ARM, *ARM_CPU)
    print(json.dumps(dict(digests(cases))))
    machine = machine_for(target) if kept else None
    for name, text in kept:
        if not re.search(r"<locals>|^_|^nrt$|^seq_", name):  # Numba's own
            print(json.dumps(described(name, assembly(name, text, machine, optimise), target)))


if __name__ == "__main__":
    main(*sys.argv[1:])
