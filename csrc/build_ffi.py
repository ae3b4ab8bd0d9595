"""Build script of the C core: cffi reads `fe.h` and compiles it, with the sources, into `fastemb._text._core`.

setuptools runs this file by name (see setup.py); it must not import fastemb.
"""

import re
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")  # free-threaded CPython has no stable ABI yet

ffi = FFI()
# These hold plain declarations only, so dropping their preprocessor lines leaves what cffi parses.
for header in ("fe.h", "fe_train.h", "fe_near.h"):
    ffi.cdef(re.sub(r"^\s*#.*$", "", (HERE / header).read_text(encoding="utf-8"), flags=re.MULTILINE))
ffi.set_source(
    "fastemb._text._core",
    '#include "fe.h"\n#include "fe_train.h"\n#include "fe_near.h"',
    # Those of csrc/python/ are no functions of the cffi module: they lie in the same file, and take Python's objects.
    sources=[
        f"csrc/{source.relative_to(HERE).as_posix()}"
        for source in sorted([*HERE.glob("*.c"), *HERE.glob("python/*.c")])
    ],
    depends=[f"csrc/{header.name}" for header in sorted(HERE.glob("*.h"))],
    include_dirs=["csrc"],
    libraries=[] if sys.platform == "win32" else ["m"],
    # No -march and no -mavx: a wheel must run on every CPU of its kind.
    extra_compile_args=[]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-Wall", "-Wextra", "-Wconversion", "-fvisibility=hidden"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE else [],
    py_limited_api=STABLE,
)
