"""The owners' own tests against the drop-ins: `python tests/owners.py tiktoken tiktoken-0.14.0 [arguments of pytest]`.

The first argument names the package, the second an unpacked source distribution or checkout of it (pip download
--no-binary :all: --no-deps tiktoken==0.14.0; of tokenizers a checkout of its repository). Its tests are copied and run
with the package's name standing for the drop-in, in child processes too. For tiktoken set TIKTOKEN_CACHE_DIR to a
folder with the rank files. docs/design/compat.md lists what passes, and why the rest does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = {"tiktoken": "tests", "tokenizers": "bindings/python/tests"}
# A package of the owner's name that is the drop-in, with its modules.
ALIAS = """
import importlib, pkgutil, sys
whole = importlib.import_module("fastemb.compat.{package}")
sys.modules["{package}"] = whole
for one in pkgutil.walk_packages(whole.__path__, whole.__name__ + "."):
    sys.modules[one.name.removeprefix("fastemb.compat.")] = importlib.import_module(one.name)
"""


def main(package: str, source: str, *arguments: str) -> int:
    """Run the tests of a package, and return pytest's exit status."""
    tests = Path(source, TESTS[package])
    if not tests.is_dir():
        raise SystemExit(f"{tests} is no folder: {source} is no source of {package}")
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "python")  # some of their tests ask for a folder of this name
        shutil.copytree(tests, python / "tests")
        alias = Path(folder, "alias", package)
        alias.mkdir(parents=True)
        (alias / "__init__.py").write_text(ALIAS.format(package=package))
        root = Path(__file__).parent.parent
        paths = [str(alias.parent), str(root), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-ra",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-c",
            os.devnull,
        ]
        command += ["--rootdir", str(python), str(python / "tests"), *arguments]
        return subprocess.run(command, cwd=python, env=environment).returncode


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TESTS:
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
