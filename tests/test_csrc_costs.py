"""Nothing that somebody else writes makes the C core slow: instructions, counted by valgrind."""

import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
CLIENT = Path("/usr/include/valgrind/callgrind.h")  # by which the program says what is to be counted

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("valgrind") and CLIENT.exists()), reason="no compiler, or no valgrind"
)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Give a call that returns the instructions of a case of fuzz/costs.c."""
    program = str(tmp_path_factory.mktemp("costs") / "costs")
    sources = [str(CSRC / "fuzz/costs.c"), *map(str, CSRC.glob("*.c"))]
    subprocess.run(["cc", "-std=c11", "-O2", "-I", str(CSRC), *sources, "-lm", "-o", program], check=True)
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--instr-atstart=no"]

    @functools.cache
    def run(case: str, n: int) -> int:
        done = subprocess.run([*valgrind, program, case, str(n)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(re.search(r"Collected : (\d+)", done.stderr)[1])

    return run


@pytest.mark.parametrize("case", ["cached words", "tokens", "names", "pairs"])
def test_colliding_names(counted, case):
    """Those that want one slot of a hash table take at most twice as much as those by chance: 2,000 of them."""
    assert counted(f"+{case}", 2000) < 2 * counted(f"={case}", 2000)


def test_colliding_words_are_linear(counted):
    assert counted("+cached words", 4000) < 2.2 * counted("+cached words", 2000)


@pytest.mark.parametrize("case", ["prefix", "prefix and short"])
def test_a_long_prefix_of_an_added_token(counted, case):
    """The token a...ab in a text of a: how long it is makes no difference, nor that a is a token as well."""
    assert counted(case, 4000) < 1.1 * counted(case, 1000)


def test_a_long_text_of_prefixes(counted):
    assert counted("prefix of text", 40_000) < 2.2 * counted("prefix of text", 20_000)


def test_many_added_tokens(counted):
    """A call looks at those that stand in its text, however many there are."""
    assert counted("added", 100_000) < 1.2 * counted("added", 100)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("runs", ["marks", "vowels", "letters"])
def test_long_runs_of_marks(form, runs, counted):
    """What has to be ordered, or may become one, is as long as the text."""
    assert counted(f"{form} {runs}", 40_000) < 2.2 * counted(f"{form} {runs}", 20_000)


@pytest.mark.parametrize("where", ["behind", "before"])
def test_tokens_that_take_space(where, counted):
    assert counted(f"space {where}", 40_000) < 2.2 * counted(f"space {where}", 20_000)


@pytest.mark.parametrize("case", ["parts of words", "marks of words"])
def test_long_words(counted, case):
    """The longest words there may be, each cut or sorted as slowly as one can be: twice the text, twice the work."""
    assert counted(case, 60_000) < 2.2 * counted(case, 30_000)


@pytest.mark.parametrize("case", ["split marks", "whole marks", "marks", "one word"])
def test_long_runs_of_characters_are_linear(counted, case):
    assert counted(case, 40_000) < 2.2 * counted(case, 20_000)
