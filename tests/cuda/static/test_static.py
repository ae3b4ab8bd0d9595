"""Every kernel for three architectures: no spills, rows by 16 bytes at a time, enough loads on their way at once."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("nvidia.cu13", reason="ptxas and nvdisasm are wheels of NVIDIA's: pip install 'fastemb[cuda-test]'")
import machine_code
from machine_code import CAPABILITIES, KEPT, PAGE, WIDE, as_sass, everything, families, parameters, plain

import fastemb
from fastemb._cuda import launch

ROOM = Path(fastemb.__file__).parent / "_cuda"
ENTRIES = {launch.kernel(entry.make, *entry.options).name: entry for all_ in families().values() for entry in all_}
SMS = [f"sm_{major}{minor}" for major, minor in CAPABILITIES]
EACH = [
    pytest.param(name, sm, id=f"{name}-{sm}")
    for name, entry in ENTRIES.items()
    for cc, sm in zip(CAPABILITIES, SMS, strict=True)
    if cc >= entry.since
]


@pytest.mark.parametrize(("name", "sm"), EACH)
def test_machine_code(name, sm):
    entry, code = ENTRIES[name], everything()[name, sm]
    assert code.stack == 0, f"{code.stack} bytes of stack and spills"
    assert not [one for one in code.operations if re.match(r"(LDL|STL|LD|ST)(\.|$)", one)], "memory that is not global"
    assert code.registers <= entry.registers
    assert parameters(code.ptx) == code.types == "".join(launch.kernel(entry.make, *entry.options).types)
    touching = [one for one in machine_code.instructions(code.sass) if one.startswith(("LDG", "STG"))]
    assert all(re.search(r"\[U?R\d+\.64", one) for one in touching), "addresses that are not of 64 bits"
    if not entry.in_flight:
        return
    assert code.in_flight >= entry.in_flight
    assert code.kib >= entry.kib, f"{code.kib} KiB on their way to a multiprocessor at most"
    wide = {f"{way}.{kind}" for way in ("ld", "st") for kind in ("v4.u32", "v4.f32", "v2.u64", "v2.f64", "v8.b32")}
    assert plain(code.ptx).keys() <= wide | set(entry.besides)
    touched = {one: n for one, n in code.operations.items() if one.startswith(("LDG", "STG"))}
    # Ids and their like are .CONSTANT.
    narrow = Counter({one: n for one, n in touched.items() if not WIDE.match(one) and not one.endswith(".CONSTANT")})
    reports = sum(n for one, n in code.operations.items() if one.startswith("RED"))
    narrow -= Counter({"LDG.E.64": reports, "STG.E": reports})
    assert narrow.keys() <= {sass for one in entry.besides for sass in as_sass(one)}


def made(file):
    """Return the names of factories that a file of the room imports from kernels: it launches what they make."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and re.match(r"(_cuda\.)?kernels\b", node.module or ""):
            yield from (alias.name for alias in node.names if alias.name.startswith("make_"))


def test_every_kernel_that_is_launched_is_read_here():
    asked = {name for file in ROOM.glob("*.py") for name in made(file)}
    assert asked >= {"make_gather", "make_copy", "make_convert", "make_find_bad"}
    assert asked <= {entry.make.__name__ for entry in ENTRIES.values()}
    assert len(ENTRIES) == sum(map(len, families().values())), "two entries are one kernel"


@pytest.mark.parametrize("sm", SMS)
def test_ptxas_says_the_same(sm):
    """A launch links by nvJitLink, whose code is read here; of the same PTX ptxas makes as much."""
    code = everything()[next(iter(ENTRIES)), sm]
    found, log = machine_code.assembled(code.ptx, sm)
    sass = machine_code.disassembled(found)
    assert machine_code.told(log) == (code.registers, code.stack)
    assert machine_code.operations(sass) == code.operations
    assert machine_code.in_flight(sass) == code.in_flight


def test_the_kept_table_is_what_was_found():
    kept, found = json.loads(KEPT.read_text()), machine_code.kept_of(everything())
    assert machine_code.page_of(kept) == PAGE.read_text()
    print(machine_code.page_of(found))
    if kept["versions"] != found["versions"]:
        pytest.skip(f"the table was kept with {kept['versions']}, here are {found['versions']}")
    for table in (kept, found):  # sizes have the length of names, in which Numba counts: 128 bytes more or less
        table["kernels"] = {name: {sm: row[:3] for sm, row in of.items()} for name, of in table["kernels"].items()}
    assert kept == found, "python tests/cuda/static/machine_code.py writes the table anew"


def test_loads_in_flight_are_counted():
    text = """
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0010*/              @!P0 LDG.E.128 R8, desc[UR4][R2.64+0x10] ;
        /*0020*/                   IADD3 R20, R9, R21, RZ ;
        /*0030*/                   LDG.E.128 R12, [R2.64] ;
.L_x_1:
        /*0040*/                   LDG.E.ENL2.256 R24, R28, desc[UR4][R2.64] ;
        /*0050*/                   LDG.E.64.CONSTANT R40, desc[UR4][R2.64] ;
        /*0060*/                   STG.E.128 desc[UR4][R2.64], R24 ;
    """
    assert machine_code.in_flight(text) == 2
    assert machine_code.operations(text)["LDG.E.128"] == 3
