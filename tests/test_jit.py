"""The cache of compiled kernels, and what the machine code holds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastemb._cpu.kernels.jit as jit
from fastemb._cpu.kernels.lookup import gather_rows, has_negative
from fastemb._cpu.kernels.reduce import sum_rows
from fastemb._cpu.kernels.tuning import TUNINGS
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag, pool

FOLDER = Path(jit.__file__).parent

# The kernel that is compiled soonest.
FIND_BAD_ID = """
import numpy as np
from copied.lookup import find_bad_id
ids = np.array([1, 7], np.int64)
print(find_bad_id(np.int64(0), ids.ctypes.data, 2, 5), sum(find_bad_id.stats.cache_hits.values()))
"""


def run_child(code, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "FASTEMB_"))}
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


@pytest.fixture
def copied(tmp_path):
    """A copy of the kernels as a package of their own, without what has been compiled."""
    shutil.copytree(FOLDER, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_an_edit_of_an_intrinsic_is_noticed(copied):
    path = str(copied)
    assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["1", "0"]
    assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["1", "1"]
    source = copied / "copied" / "intrinsics.py"
    text = source.read_text()
    edited = text.replace("id_tag, size, ids, [i])[0]", "id_tag, size, ids, [_INT64(0)])[0]")
    assert edited != text
    source.write_text(edited)
    assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["-1", "0"]  # every id is the first one now
    assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["-1", "1"]


def test_the_cache_can_be_turned_off(copied):
    for _ in range(2):
        assert run_child(FIND_BAD_ID, PYTHONPATH=str(copied), FASTEMB_CACHE="0") == ["1", "0"]
    assert not list(copied.rglob("*.nb?"))


def test_each_tuning_has_a_cache_of_its_own(copied):
    for loaded in "01":
        for name in TUNINGS:
            assert run_child(FIND_BAD_ID, PYTHONPATH=str(copied), FASTEMB_TUNING=name) == ["1", loaded], name


def test_broken_cache_files_are_compiled_anew(copied):
    path = str(copied)
    run_child(FIND_BAD_ID, PYTHONPATH=path)
    for pattern in ("*.nbc", "*.nbi"):
        files = list(copied.rglob(pattern))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[:20])
        assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["1", "0"]
        run_child(FIND_BAD_ID, PYTHONPATH=path)
        assert run_child(FIND_BAD_ID, PYTHONPATH=path) == ["1", "1"]


def test_nowhere_to_write(copied):
    # Numba asks whether it can make files; a user who owns everything is always told yes, so tell it no here.
    refuse = "import tempfile\ndef no(*a, **k): raise OSError('read-only')\ntempfile.TemporaryFile = no\n"
    assert run_child(refuse + FIND_BAD_ID, PYTHONPATH=str(copied)) == ["1", "0"]
    assert not list(copied.rglob("*.nb?"))


def test_a_disk_that_fills_up(copied):
    refuse = (
        "from numba.core.caching import IndexDataCacheFile\n"
        "def no(*a, **k): raise OSError('no space left on device')\n"
        "IndexDataCacheFile.save = no\n"
    )
    assert run_child(refuse + FIND_BAD_ID, PYTHONPATH=str(copied)) == ["1", "0"]


def test_the_stamp_covers_every_file():
    names = {path.name for path in FOLDER.glob("*.py")}
    assert {"jit.py", "intrinsics.py", "lookup.py", "pooling.py"} <= names
    assert jit._stamp() == jit._stamp()
    assert re.fullmatch("[0-9a-f]{64}", jit._stamp())


def test_only_jit_compiles():
    for path in FOLDER.parent.rglob("*.py"):
        if path.name != "jit.py":
            assert "njit" not in path.read_text(), path


def test_a_kernel_without_its_dispatcher():
    """Compiled at its first call, as the dispatcher's own version of the same types; read-only arrays serve, too."""
    word = np.array([3, -1], "i8")
    direct = jit.Direct(has_negative, np.zeros(0, "i8"))
    first = direct.call
    assert [direct.call(ids) for ids in (word, word[:1], word[:0], word[::1])] == [True, False, False, True]
    assert direct.call is not first
    versions = len(has_negative.overloads)
    assert has_negative(word)
    assert len(has_negative.overloads) == versions
    word.flags.writeable = False
    held = sys.getrefcount(word)
    assert direct.call(word)
    assert sys.getrefcount(word) == held


ASSEMBLY = """
import numpy as np
from fastemb._cpu import pooling
from fastemb._cpu.kernels.lookup import gather_rows
from fastemb._cpu.kernels.reduce import sum_rows
from fastemb.lookup import gather
from fastemb.pooling import embedding_bag
pooling.TUNING = pooling.TUNING._replace(cached_bytes=-1)
gather(np.ones((3, 64), "f4"), [0], mode="clip")
embedding_bag(np.ones((3, 64), "f2"), [[0]])
for kernel in (gather_rows, sum_rows):
    print("".join(kernel.inspect_asm().values()).replace(" ", "").replace("\\n", "|").replace("\\t", ":"))
"""


def test_the_assembly_prefetches_and_widens():
    from llvmlite.binding import get_host_cpu_features

    gather_code, bag_code = run_child(ASSEMBLY, FASTEMB_CACHE="0")
    word = "prfm" if os.uname().machine in ("aarch64", "arm64") else "prefetch"
    assert word in gather_code
    # Streaming stores, and a fence behind the last of them.
    assert re.search("vmovnt|movnt|stnp", gather_code)
    assert re.search("mfence|lock|dmb", gather_code)
    assert word in bag_code
    # A product and a sum must stay two roundings, in vector code as in what is left of a row.
    assert not re.search("vfn?m(add|sub)|fmla", bag_code)
    if get_host_cpu_features().get("f16c"):
        assert "vcvtph2ps" in bag_code


def test_one_compilation_serves_every_layout(general_road):
    table = np.ones((6, 64), np.float32)
    gather(table, [0], mode="clip")
    embedding_bag(table, [[0]])
    before = len(gather_rows.signatures), len(sum_rows.signatures)
    frozen = table.copy()
    frozen.flags.writeable = False
    for other in (frozen, table[::2], table[::-1], table.astype(np.float32, order="F")):
        gather(other, [0], mode="clip")
        embedding_bag(other, [[0]])
    assert (len(gather_rows.signatures), len(sum_rows.signatures)) == before


def test_one_compilation_serves_ids_of_both_sizes_and_no_ids(general_road):
    table, before = np.ones((6, 64), np.float32), set(sum_rows.signatures)
    for ids in (np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int64)):
        embedding_bag(table, ids, mask=ids == 0, padding_idx=5)
    pool(table[np.newaxis], mode="sum", out=np.empty((1, 64), np.float32))
    assert len([kinds for kinds in sum_rows.signatures if kinds not in before]) <= 1


PART = """
import numpy as np
from fastemb._cpu.kernels.lookup import find_bad_id, first_bad_id
ids = np.array([1, 7], np.int64)
print(find_bad_id(np.int64(0), ids.ctypes.data, 2, 5))
for function in (find_bad_id, first_bad_id):
    (compiled,) = function.overloads.values()
    engine, name = compiled.library._codegen._engine, compiled.fndesc.llvm_func_name
    print(type(compiled.library).__name__, engine.is_symbol_defined(name))
"""


def test_only_kernels_become_machine_code():
    assert run_child(PART, FASTEMB_CACHE="0") == ["1", "JITCodeLibrary", "True", "PartLibrary", "False"]


MOVED = """
import numba.core.typed_passes
del numba.core.typed_passes.AnnotateTypes  # of which Numba itself has hold
import numpy as np
import fastemb
from fastemb._cpu.kernels import jit
print("pipeline_class" in jit._PART, fastemb.gather(np.eye(3, dtype="f4"), [1])[0].tolist())
"""


def test_without_the_private_names_kernels_are_compiled_by_numbas_own_way():
    assert run_child(MOVED, FASTEMB_CACHE="0") == ["False", "[0.0,", "1.0,", "0.0]"]
