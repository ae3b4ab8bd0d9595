"""Machine code of kernels without a driver: compiled and linked as a launch does it, and read.

The programs come from the wheels `nvidia-cuda-nvdisasm` and, for a second opinion, `nvidia-cuda-nvcc` (ptxas), of one
release.
"""

import json
import re
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib import import_module, metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from entry import Entry

from fastemb._cuda import launch
from fastemb._cuda.driver import compile_kernel, link

HERE = Path(__file__).parent
CAPABILITIES = ((8, 0), (9, 0), (10, 0))
VERSIONS = ("numba-cuda", "llvmlite", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvdisasm")
REGISTERS, MOST_THREADS = 65536, 2048  # of a multiprocessor, on all three
#: A load or store of 16 bytes, or on sm_100 of 32.
WIDE = re.compile(r"(LDG|STG)\.E\.(128|ENL2\.256)")


class Code(NamedTuple):
    """What was read of a kernel for one architecture."""

    name: str
    sm: str
    types: str  # of its parameters: q, f, d
    registers: int
    stack: int  # bytes of stack frames, spills and local memory
    in_flight: int
    operations: dict[str, int]  # of memory, by their names in machine code
    size: int  # of the machine code, in bytes
    seconds: float  # to compile and assemble
    ptx: str
    sass: str

    @property
    def threads(self) -> int:
        """The threads that a multiprocessor holds at once, by registers: whole warps of blocks of 128."""
        return min(MOST_THREADS, REGISTERS // (-(-self.registers // 8) * 8) // 128 * 128)

    @property
    def kib(self) -> int:
        """The KiB of 16-byte loads that are on their way to a multiprocessor at once, at most."""
        return self.in_flight * 16 * self.threads >> 10


#: What `report` of words.py is: the least mark, and a flag in memory of the host.
REPORT = re.compile(r"red\.global\.min\.s64.*?ld\.global\.u64 f,.*?st\.global\.u32 \[f\], one;", re.DOTALL)


@cache
def tool(name: str) -> Path:
    """Return a program of NVIDIA's wheels; the namespace may have several folders."""
    import nvidia.cu13

    found = [Path(folder) / "bin" / name for folder in nvidia.cu13.__path__]
    return next(file for file in found if file.exists())


def versions() -> dict[str, str]:
    """Return what the code depends on."""
    return {name: metadata.version(name) for name in VERSIONS}


def run(*command: Any) -> str:
    """Return what a program says."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[:2000]}")
    return done.stdout + done.stderr


def read(entries: list[Entry]) -> list[Code]:
    """Compile the kernels of entries, with the types that a launch has, for each architecture, and read them."""
    found = []
    for cc in CAPABILITIES:
        here = [entry for entry in entries if cc >= entry.since]
        built = [build(entry, cc) for entry in here]
        sasses = texts_of([machine for _, machine in built], cc) if built else []
        for (code, _), sass in zip(built, sasses, strict=True):
            counted = dict(sorted(operations(sass).items()))
            found.append(code._replace(in_flight=in_flight(sass), operations=counted, sass=sass))
    return found


def build(entry: Entry, cc: tuple[int, int]) -> tuple[Code, bytes]:
    """Return what is known of a kernel before its machine code is read, and that code."""
    kernel, start = launch.kernel(entry.make, *entry.options), time.perf_counter()
    compiled = compile_kernel(kernel, cc)
    code, log = link(compiled, cc)
    seconds, types = time.perf_counter() - start, "".join(kernel.types)
    ptx = link(compiled, cc, "ptx")[0].decode().rstrip("\0")
    return Code(kernel.name, f"sm_{cc[0]}{cc[1]}", types, *told(log), 0, {}, len(code), seconds, ptx, ""), code


def told(log: str) -> tuple[int, int]:
    """Return the registers, and the bytes of stack frames, spills and local memory, that an assembler's log tells."""
    registers = max(int(n) for n in re.findall(r"[Uu]sed (\d+) registers", log))
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert frames, log
    local = re.findall(r"(\d+) bytes lmem", log)
    return registers, sum(int(n) for n in [*local, *(n for frame in frames for n in frame)])


def assembled(ptx: str, sm: str) -> tuple[bytes, str]:
    """Return what ptxas makes of PTX, and its log."""
    with tempfile.TemporaryDirectory() as folder:
        text, cubin = Path(folder) / "k.ptx", Path(folder) / "k.cubin"
        text.write_text(ptx)
        log = run(tool("ptxas"), "-v", "-arch", sm, text, "-o", cubin)
        return cubin.read_bytes(), log


def disassembled(code: bytes) -> str:
    """Return the text of machine code."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        return run(tool("nvdisasm"), "-c", "-ndf", file.name)


def texts_of(codes: list[bytes], cc: tuple[int, int]) -> list[str]:
    """Return the texts of many kernels by one process: nvdisasm takes 0.2 to 0.3 s to start, and reads one file.

    Their instructions lie one behind the other, so addresses go on; what branches name gets a label.
    """
    parts = [instructions_in(code) for code in codes]
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:
        file.write(b"".join(parts))
        file.flush()
        lines = run(tool("nvdisasm"), "-ndf", "-b", f"SM{cc[0]}{cc[1]}", file.name).splitlines()
    numbered = [(int(at[1], 16), line) for line in lines if (at := re.match(r"\s*/\*([0-9a-f]{4,})\*/", line))]
    branches = (re.search(r"\b(?:BRA|BSSY|JMP|CALL)\b.*\b0x([0-9a-f]+) ;", line) for _, line in numbered)
    labels = {int(one[1], 16) for one in branches if one}
    found, end, left = [], 0, iter([*numbered, (1 << 60, "")])
    at, line = next(left)
    for part in parts:
        end, text = end + len(part), []
        while at < end:
            text += [f".L_{at:x}:", line] if at in labels else [line]
            at, line = next(left)
        found.append("\n".join(text))
    assert at == 1 << 60
    assert all(found)
    return found


def instructions_in(code: bytes) -> bytes:
    """Return the section of machine code, an ELF file, that holds the instructions of its one kernel."""
    (table,), (size, count, names) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HHH", code, 58)
    heads = [struct.unpack_from("<IIQQQQ", code, table + k * size) for k in range(count)]  # name, …, offset, size
    texts = [head for head in heads if code.startswith(b".text.", heads[names][4] + head[0])]
    assert len(texts) == 1, "functions beside the kernel"
    return code[texts[0][4] : texts[0][4] + texts[0][5]]


def plain(ptx: str) -> Counter[str]:
    """Count the plain loads and stores in PTX, such as "ld.v4.u32", but those of `report`.

    Ids and their like are read by ``.nc``, so what is left is rows.
    """
    found = re.findall(r"\b(ld|st)\.global\.((?:v\d\.)?[a-z]\d+)", REPORT.sub("", ptx))
    return Counter(".".join(one) for one in found)


def as_sass(name: str) -> tuple[str, ...]:
    """Return the names in machine code of a plain load or store of PTX: "ld.u32" is LDG.E."""
    operation, *parts = name.split(".")
    bits = int(parts[-1][1:]) * (int(parts[0][1:]) if len(parts) == 2 else 1)
    suffixes = {8: (".U8", ".S8"), 16: (".U16", ".S16"), 32: ("",), 64: (".64",), 128: (".128",)}[bits]
    return tuple({"ld": "LDG", "st": "STG"}[operation] + ".E" + suffix for suffix in suffixes)


def parameters(ptx: str) -> str:
    """Return the types of the parameters of a kernel in PTX, as a launch names them."""
    head = ptx[ptx.index(".visible .entry") : ptx.index("{", ptx.index(".visible .entry"))]
    kinds = {"u64": "q", "b64": "q", "f32": "f", "f64": "d"}
    return "".join(kinds[one] for one in re.findall(r"\.param \.(\w+)", head))


def operations(sass: str) -> Counter[str]:
    """Count the operations of memory, and calls."""
    names = r"\b((?:LDG|STG|LDL|STL|LDS|STS|RED|REDG|ATOM|ATOMG|LD|ST|CALL|SHFL|UBLKCP)(?:\.[\w.]+)?) "
    return Counter(re.findall(names, "\n".join(instructions(sass))))


def instructions(sass: str) -> list[str]:
    """Return the instructions in order, without predicates; labels end in a colon."""
    found = []
    for line in sass.splitlines():
        if re.match(r"\s*\.L_\w+:", line):
            found.append(line.strip())
        elif one := re.search(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            found.append(re.sub(r"^@!?U?P\w+\s+", "", one[1]))
    return found


def in_flight(sass: str) -> int:
    """Return the most 16-byte loads that are issued before an instruction reads or overwrites a register of one.

    In the order of the text, block by block: a label or a branch ends a block. A load of 32 bytes is two.
    """
    best, out = 0, {}
    for one in instructions(sass):
        operation = one.split()[0]
        if one.endswith(":") or operation.startswith(("EXIT", "BRA", "RET", "BRX", "JMP")):
            out = {}
            continue
        load = WIDE.match(operation) if operation.startswith("LDG") else None
        wide = 2 if load and "256" in load[2] else 1  # of 32 bytes: two times four registers are named
        touched = registers_of(one.split(",", wide)[wide] if load else one)
        out = {first: held for first, held in out.items() if not held & touched}
        if load:
            firsts = [int(first) for first in re.findall(r"\bR(\d+)", one)[:wide]]
            out[firsts[0]] = {first + k for first in firsts for k in range(4)}
            best = max(best, sum(len(held) // 4 for held in out.values()))
    return best


def registers_of(text: str) -> set[int]:
    """Return the registers that are named, with the second one of each pair."""
    found = {int(n) for n in re.findall(r"\bR(\d+)\b", text)}
    return found | {int(n) + 1 for n in re.findall(r"\bR(\d+)\.64\b", text)}


def families() -> dict[str, list[Entry]]:
    """Return the entries of all families, by the names of their files."""
    others = {"entry", "machine_code", "test_static"}
    files = sorted(file.stem for file in HERE.glob("*.py") if file.stem not in others)
    return {name: import_module(name).ENTRIES for name in files}


@cache
def everything() -> dict[tuple[str, str], Code]:
    """Return all that is to be read, by the kernel's name and the architecture; by two processes.

    Neighbours share functions, which Numba compiles once a process and architecture: so families are not torn apart.
    """
    tasks = [part for entries in families().values() for part in batched(entries, 16)]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        codes = [code for found in pool.map(read, tasks) for code in found]
    return {(code.name, code.sm): code for code in codes}


def batched(entries: list[Entry], size: int) -> Iterator[list[Entry]]:
    """Return entries in parts of a size."""
    return (entries[k : k + size] for k in range(0, len(entries), size))


# What is kept ----------------------------------------------------------------------------------------------------

KEPT = HERE.parents[2] / "benchmarks/results/cuda_static.json"
PAGE = HERE.parents[2] / "docs/design/cuda_static.md"
_HEAD = """# Machine code of the CUDA kernels

Written by `python tests/cuda/static/machine_code.py`, with {versions};
[CUDA](cuda.md) says what it means. No device was asked. Of each kernel, for sm_80 / sm_90 / sm_100: registers; the
16-byte loads that a thread has in flight before it reads one of them; the KiB that so are on their way to a
multiprocessor at once, by the threads that fit its registers (an upper bound); the bytes of machine code. Stack, spills
and local memory are 0 bytes in all of them.

| kernel | registers | in flight | KiB | bytes |
|---|---|---|---|---|
"""


def kept_of(codes: dict[tuple[str, str], Code]) -> dict[str, Any]:
    """Return what is kept of all that was read."""
    rows: dict[str, dict[str, list[int]]] = {}
    for (name, sm), code in sorted(codes.items()):
        rows.setdefault(name, {})[sm] = [code.registers, code.in_flight, code.kib, code.size]
    return {"versions": versions(), "columns": ["registers", "in flight", "KiB", "bytes"], "kernels": rows}


def page_of(kept: dict[str, Any]) -> str:
    """Return the page that shows what is kept."""
    names = {f"sm_{major}{minor}" for major, minor in CAPABILITIES}
    lines = []
    for name, found in kept["kernels"].items():
        columns = zip(*(found.get(sm, "----") for sm in sorted(names, key=lambda sm: int(sm[3:]))), strict=True)
        lines.append(f"| {name} | " + " | ".join(" / ".join(map(str, column)) for column in columns) + " |\n")
    said = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    return _HEAD.format(versions=said) + "".join(lines)


if __name__ == "__main__":
    found = kept_of(everything())
    KEPT.write_text(json.dumps(found, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    PAGE.write_text(page_of(found))
