"""The frame of the house: who may import whom, what import costs, and that what is written down is true."""

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastemb

PACKAGE = Path(fastemb.__file__).parent
ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
)

# Rooms in the order of imports: each may import itself and those to its right.
PUBLIC = {
    "embedding": {"gradient"},
    "gradient": set(),
    "lookup": set(),
    "optim": {"gradient"},
    "pooling": {"gradient"},
    "position": set(),
    "quantized": set(),
    "ragged": set(),
    "search": {"pooling"},
    "static": {"tokenizer", "pooling", "search"},
    "tokenizer": set(),
}
SHARED = {"ragged", "quantized"}  # all public modules may import these
TOOLS = {"_arrays", "_pool", "_threads"}
KERNELS = {"_cpu", "_cuda", "_text"}


def room(module):
    """The room of a module: its first name below fastemb; '' for the package itself."""
    return [*module.split("."), ""][1]


def allowed(room):
    if room == "":
        return set(PUBLIC) | TOOLS | {"_warmup"}  # lazily, by name
    if room == "__main__":
        return {"", *PUBLIC}
    if room == "_warmup":
        return {"", *PUBLIC} | TOOLS | KERNELS  # the package for its version
    if room in PUBLIC:
        return PUBLIC[room] | SHARED | TOOLS | KERNELS | {"_calls"}
    if room == "_calls":
        return SHARED | TOOLS | KERNELS
    if room in TOOLS:
        return TOOLS | KERNELS
    if room == "_text":
        return {""}  # for the word about unbuilt source trees
    if room == "reference":
        return set()
    return set() if room in KERNELS else None


def imports(module):
    """The rooms of fastemb that a module imports, anywhere in its source."""
    file = PACKAGE.joinpath(*module.split(".")[1:])
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                if node.level
                else node.module
            )
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "fastemb" else [base]
        for name in names:
            if name.split(".")[0] == "fastemb":
                found = room(name)
                yield found if (PACKAGE / found).exists() or (PACKAGE / f"{found}.py").exists() else ""


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    here = room(module)
    may = allowed(here)
    assert may is not None, f"{module}: a room that the design does not name"
    assert set(imports(module)) <= may | {here}


def test_only_jit_calls_numba():
    for file in (PACKAGE / "_cpu").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert file.name == "jit.py" or not names & {"njit", "jit", "vectorize", "guvectorize"}, file


@pytest.mark.parametrize("module", MODULES)
def test_files_and_kernels_stay_small(module):
    file = PACKAGE.joinpath(*module.split(".")[1:])
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    if room(module) == "_cpu":
        for node in ast.walk(ast.parse(text)):
            # Kernels and their parts; a function that writes LLVM instructions is no loop to be read.
            if isinstance(node, ast.FunctionDef) and {"kernel", "part"} & {ast.unparse(d) for d in node.decorator_list}:
                assert node.end_lineno - node.lineno < 40, f"{module}.{node.name}"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light():
    assert run("import sys, fastemb; print(sorted({'numpy', 'numba', 'cffi', 'torch'} & sys.modules.keys()))") == "[]\n"


def test_tokenizing_needs_no_numba(llama_file):
    code = (
        f"import sys, fastemb; fastemb.Tokenizer.load({str(llama_file)!r}).encode('a'); print('numba' in sys.modules)"
    )
    assert run(code) == "False\n"


def test_public_names():
    assert sorted(fastemb.__all__, key=str.lower) == sorted([*fastemb._HOMES, "__version__"], key=str.lower)
    for name in fastemb.__all__:
        value = getattr(fastemb, name)
        assert name == "__version__" or (value.__doc__ and value.__name__ == name)
    assert set(dir(fastemb)) == set(fastemb.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fastemb.nothing  # noqa: B018


@pytest.mark.parametrize("module", [m for m in MODULES if not room(m).startswith("_")])
def test_docstring_examples(module):
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_readme_examples():
    readme = ROOT / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        assert doctest.DocTestRunner().run(
            doctest.DocTestParser().get_doctest(block, {}, "README.md", str(readme), 0)
        ) == doctest.TestResults(0, block.count(">>> "))


def test_setup_py_is_short_and_flags_are_portable():
    setup, build = (ROOT / "setup.py").read_text(), (ROOT / "csrc/build_ffi.py").read_text()
    assert setup.count("\n") <= 50
    assert not re.search(r"^[^#]*-m(arch|avx|tune)", setup + build, flags=re.MULTILINE)


def test_unbuilt_hint(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert "has not been built" in fastemb._leave_source_tree(str(tmp_path / "fastemb"))
    assert fastemb._leave_source_tree(str(PACKAGE)) == ""
    assert os.path.samefile(fastemb.__path__[0], PACKAGE)
