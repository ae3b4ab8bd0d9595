"""The C core on its own: strict warnings, sanitizers and a short fuzz."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla", "-Werror"]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
SOURCES = sorted(path.name for path in CSRC.glob("*.c"))
FUZZ = sorted(f"fuzz/{path.name}" for path in CSRC.glob("fuzz/*.c"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Give a call that compiles a source, once, and returns what the compiler said and the object file."""
    folder = tmp_path_factory.mktemp("objects")

    @functools.cache
    def compile_once(compiler, source):
        out = folder / f"{compiler}-{Path(source).stem}.o"
        command = [compiler, *STRICT, "-I", str(CSRC), "-c", str(CSRC / source), "-o", str(out)]
        return subprocess.run(command, capture_output=True, text=True, check=False), out

    return compile_once


@pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang is installed")
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source", [*SOURCES, *FUZZ])
def test_no_warnings(compiler, source, compiled):
    done, _ = compiled(compiler, source)
    assert (done.returncode, done.stderr) == (0, "")


def test_short_lines_and_files():
    made = CSRC / "unicode_classes.h"
    for file in {*CSRC.rglob("*.c"), *CSRC.rglob("*.h")} - {made}:
        lines = file.read_text(encoding="utf-8").split("\n")
        assert len(lines) <= 501, file
        assert not [line for line in lines if len(line) > 120], file


def test_fuzz_under_sanitizers(tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = ["-fsanitize=address,undefined", str(probe), "-o", str(tmp_path / "probe")]
    compiler = shutil.which("cc")
    if (
        sys.platform == "win32"
        or not compiler
        or subprocess.run([compiler, *flags], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine's C compiler has no sanitizers")
    done = subprocess.run(["sh", str(CSRC / "fuzz/run"), "5", "7"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no error" in done.stdout


def test_no_python_and_no_stdio():
    for file in [*CSRC.glob("*.c"), *CSRC.glob("*.h")]:  # the fuzzer's own files aside
        text = file.read_text()
        assert "Python.h" not in text
        assert "stdio.h" not in text


@pytest.mark.skipif(not (COMPILERS and shutil.which("nm")), reason="a compiler or nm is not installed")
@pytest.mark.parametrize("source", SOURCES)
def test_no_globals(source, compiled):
    """No symbol of the object file lies in memory that can be written to."""
    _, out = compiled(COMPILERS[0], source)
    symbols = subprocess.run(["nm", str(out)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert symbols
    assert not [line for line in symbols if line.split()[-2] in "BbCDdGgSs"]
