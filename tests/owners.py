"""The owners' own tests against the drop-ins: `python tests/owners.py tiktoken tiktoken-0.14.0 [arguments of pytest]`.

The first argument names the package, the second an unpacked source distribution or checkout of it (pip download
--no-binary :all: --no-deps tiktoken==0.14.0; of tokenizers a checkout of its repository). Its tests are copied and run
with the package's name standing for the drop-in, in child processes too; of sentencepiece with their one import
changed. What the drop-in has no name for is the package's own, if that is installed, so that a test fails at what it is
about; the Python layer above ``tokenizers`` (``tokenizers.implementations``) is taken from the source and so runs on
the drop-in.

For tiktoken set TIKTOKEN_CACHE_DIR to a folder with the rank files; for tokenizers HUB_FILES to a folder of the files
that its tests download, each under its name there (bert-base-uncased-vocab.txt, gpt2/tokenizer.json): tests that need
others fail.
docs/design/compat.md and sentencepiece.md list what passes, and why the rest does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = {"tiktoken": "tests", "tokenizers": "bindings/python/tests", "sentencepiece": "test"}
LAYERS = {"tokenizers": "bindings/python/py_src/tokenizers/implementations"}
# A package of the owner's name that is the drop-in, with its modules.
ALIAS = """
import importlib, os, pkgutil, sys
here, package = os.path.dirname(os.path.dirname(__file__)), "{package}"
whole = importlib.import_module("fastemb.compat." + package)
ours = {{name.name.removeprefix("fastemb.compat."): importlib.import_module(name.name)
         for name in pkgutil.walk_packages(whole.__path__, whole.__name__ + ".")}}
del sys.modules[package]
sys.path.remove(here)
try:
    theirs = importlib.import_module(package)
except ImportError:
    theirs = whole
sys.path.insert(0, here)
if package == "tokenizers":
    for module in [whole, *ours.values()]:
        own = theirs if module is whole else getattr(theirs, module.__name__.rpartition(".")[2], None)
        for name in () if own is None else dir(own):
            if not name.startswith("_") and not hasattr(module, name):
                setattr(module, name, getattr(own, name))
for name in [name for name in sys.modules if name == package or name.startswith(package + ".implementations")]:
    del sys.modules[name]
sys.modules.update(ours | {{package: whole}})
if os.path.isdir(os.path.join(here, "layer", "implementations")):
    whole.__path__.append(os.path.join(here, "layer"))
    whole.__dict__.pop("implementations", None)
    layer = importlib.import_module(package + ".implementations")
    for name in dir(layer):
        if name.endswith("Tokenizer"):
            setattr(whole, name, getattr(layer, name))
files = os.environ.get("HUB_FILES")
if files:
    import huggingface_hub
    huggingface_hub.hf_hub_download = lambda repo_id, filename, **more: os.path.join(files, filename)
"""


# One line of sentencepiece's: its module of protobuf's messages stays the package's, whose classes the tests compare.
CHANGED = ("import sentencepiece as spm", "import fastemb.compat.sentencepiece as spm")


def main(package: str, source: str, *arguments: str) -> int:
    """Run the tests of a package, and return pytest's exit status."""
    tests = Path(source, TESTS[package])
    if not tests.is_dir():
        raise SystemExit(f"{tests} is no folder: {source} is no source of {package}")
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "python")  # some of their tests ask for a folder of this name
        shutil.copytree(tests, python / "tests")
        if package == "sentencepiece":
            for file in (python / "tests").glob("*_test.py"):
                file.write_text(file.read_text("utf-8").replace(*CHANGED), "utf-8")
        alias = Path(folder, "alias", package)
        if package != "sentencepiece":
            alias.mkdir(parents=True)
            (alias / "__init__.py").write_text(ALIAS.format(package=package))
        if package in LAYERS:
            shutil.copytree(Path(source, LAYERS[package]), alias.parent / "layer/implementations")
        for files in Path(os.environ.get("HUB_FILES", folder)).iterdir():  # of whole models, for `from_pretrained`
            if files.is_dir() and "HUB_FILES" in os.environ:
                shutil.copytree(files, python / files.name)
        root = Path(__file__).parent.parent
        paths = [str(alias.parent), str(root), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += ["-W", "ignore::pytest.PytestUnknownMarkWarning", "--continue-on-collection-errors"]
        command += ["-c", os.devnull, "--rootdir", str(python), str(python / "tests"), *arguments]
        return subprocess.run(command, cwd=python, env=environment).returncode


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TESTS:
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
