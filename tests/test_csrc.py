"""The C core on its own: strict warnings, sanitizers and a short fuzz."""

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla", "-Werror"]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
SOURCES = sorted(path.name for path in CSRC.glob("*.c"))
FUZZ = sorted(f"fuzz/{path.name}" for path in CSRC.glob("fuzz/*.c"))
ARM, EMULATOR = "aarch64-linux-gnu-gcc", shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Give a call that compiles a source, once, and returns what the compiler said and the object file."""
    folder = tmp_path_factory.mktemp("objects")

    @functools.cache
    def compile_once(compiler, source):
        out = folder / f"{compiler}-{Path(source).stem}.o"
        # A constant that holds addresses is read-only once they are known; without -fno-pie nm counts it as data.
        command = [compiler, *STRICT, "-fno-pie", "-I", str(CSRC), "-c", str(CSRC / source), "-o", str(out)]
        return subprocess.run(command, capture_output=True, text=True, check=False), out

    return compile_once


@pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang is installed")
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source", [*SOURCES, *FUZZ])
def test_no_warnings(compiler, source, compiled):
    done, _ = compiled(compiler, source)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tree
def test_short_lines_and_files():
    made = CSRC.glob("unicode_*.h")
    for file in {*CSRC.rglob("*.c"), *CSRC.rglob("*.h")} - {*made}:
        lines = file.read_text(encoding="utf-8").split("\n")
        assert len(lines) <= 501, file
        assert not [line for line in lines if len(line) > 120], file


@pytest.fixture(scope="module")
def sanitizers(tmp_path_factory):
    """Skip the test where the compiler has no sanitizers."""
    probe = tmp_path_factory.mktemp("sanitizers") / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = ["-fsanitize=address,undefined", str(probe), "-o", str(probe.with_suffix(""))]
    compiler = shutil.which("cc")
    if (
        sys.platform == "win32"
        or not compiler
        or subprocess.run([compiler, *flags], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine's C compiler has no sanitizers")


@pytest.fixture(scope="module")
def fuzzed(sanitizers, tmp_path_factory):
    """Run the fuzzer, with short added tokens and with long ones; return what it said, and where its objects are."""
    folder = tmp_path_factory.mktemp("fuzz")
    more = {"FE_NEAR": "64 3", "FE_OBJECTS": str(folder), "FE_LEVEL": "-Og"}  # .ci/run fuzzes what is optimized
    command = ["sh", str(CSRC / "fuzz/run"), "5", "7"]
    return subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False), folder


def test_fuzz_under_sanitizers(fuzzed):
    done, _ = fuzzed
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no error") == 2


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("objcopy"), reason="fail.h is for Linux, and objcopy")
def test_every_allocation_fails_once(fuzzed, tmp_path):
    """The core as the fuzzer's run has left it, its allocations led to memory.c; all else is compiled with fail.h."""
    program, fuzz = str(tmp_path / "memory"), CSRC / "fuzz"
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DFE_CHECKED"]
    flags += ["-include", str(fuzz / "fail.h"), "-I", str(CSRC), "-I", str(fuzz)]
    names = re.findall(r"#define (\w+) (fail_\w+)", (fuzz / "fail.h").read_text())
    assert len(names) == 5
    objects = [tmp_path / f"{Path(source).stem}.o" for source in SOURCES]
    for file in objects:
        renamed = [f"--redefine-sym={name}={ours}" for name, ours in names]
        subprocess.run(["objcopy", *renamed, fuzzed[1] / file.name, file], check=True)
    sources = [str(fuzz / f"{name}.c") for name in ("memory", "chance", "models", "unigrams", "programs", "training")]
    subprocess.run(["cc", *flags, *sources, *objects, "-lm", "-o", program], check=True)
    done = subprocess.run([program, "12", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no error" in done.stdout


@pytest.mark.tree
def test_no_python_and_no_stdio():
    for file in [*CSRC.glob("*.c"), *CSRC.glob("*.h")]:  # the fuzzer's own files aside
        text = file.read_text()
        assert "Python.h" not in text
        assert "stdio.h" not in text


@pytest.mark.skipif(not COMPILERS, reason="no compiler")
@pytest.mark.parametrize("source", ["join.c", "small.c"])
def test_what_knows_python_compiles_for_the_stable_abi(source, tmp_path):
    """As strictly as all else, with no more of Python than every version from 3.11 on has."""
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").exists() or sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("no headers of Python, or one without a stable ABI")
    assert sorted(path.name for path in CSRC.glob("python/*")) == ["join.c", "small.c"]
    limited = ["-DPy_LIMITED_API=0x030B0000", "-isystem", headers, "-I", str(CSRC), "-c", str(CSRC / "python" / source)]
    subprocess.run([COMPILERS[0], *STRICT, *limited, "-o", str(tmp_path / "out.o")], check=True)


@pytest.mark.skipif(not (COMPILERS and shutil.which("nm")), reason="a compiler or nm is not installed")
@pytest.mark.parametrize("source", SOURCES)
def test_no_globals(source, compiled):
    """No symbol of the object file lies in memory that can be written to."""
    _, out = compiled(COMPILERS[0], source)
    symbols = subprocess.run(["nm", str(out)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert symbols or source.startswith(("scan_", "lanes_"))  # empty for another kind of processor
    assert not [line for line in symbols if line.split()[-2] in "BbCDdGgSs"]


def masks_of(name):
    """What makes fuzz/masks.c hold one kind of instructions against a byte at a time."""
    kind = [f'-DSCAN_FILE="scan_{name}.c"', f"-DSCAN_PATH=FE_PATH_{name.upper()}"]
    return [*kind, "-I", str(CSRC), str(CSRC / "fuzz/masks.c"), str(CSRC / "split.c"), *map(str, CSRC.glob("scan*.c"))]


@pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang is installed")
@pytest.mark.parametrize("name", ["plain", *(["avx2", "avx512"] if platform.machine() == "x86_64" else ["neon"])])
def test_masks(name, tmp_path):
    program = str(tmp_path / "masks")
    subprocess.run([COMPILERS[0], "-std=c11", *masks_of(name), "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in ("masks: no error\n", "masks: this processor lacks the instructions\n")


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """Give a call that compiles for 64-bit ARM, with a trap where behaviour is undefined, and runs the program."""
    if not shutil.which(ARM) or not EMULATOR:
        pytest.skip(f"{ARM} or qemu-aarch64 is not installed")
    program = str(tmp_path_factory.mktemp("arm") / "program")
    flags = ["-O1", "-static", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]

    def run(sources, *arguments):
        subprocess.run([ARM, *STRICT, *flags, *sources, "-lm", "-o", program], check=True)
        done = subprocess.run([EMULATOR, program, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_masks_of_arm(emulated):
    assert emulated(masks_of("neon")) == "masks: no error\n"


def test_fuzz_of_arm(emulated):
    """Everything but the masks that are compiled alone, in the fuzzer's own way: NEON is the best path there."""
    fuzz = [str(CSRC / name) for name in FUZZ if Path(name).stem not in ("libfuzzer", "masks", "costs", "memory")]
    assert "no error" in emulated(["-I", str(CSRC), *fuzz, *map(str, CSRC.glob("*.c"))], "4", "7")


def test_code_of_arm(tmp_path):
    """The masks are made by tables, insertions and narrowing: that is what NEON is for."""
    if not shutil.which(ARM):
        pytest.skip(f"{ARM} is not installed")
    out = tmp_path / "scan.s"
    subprocess.run([ARM, *STRICT, "-I", str(CSRC), "-S", str(CSRC / "scan_neon.c"), "-o", str(out)], check=True)
    words = set(out.read_text().split())
    assert words >= {"ld4", "tbl", "tbx", "sri", "sli", "shrn", "uzp1", "uzp2", "rbit", "clz"}
