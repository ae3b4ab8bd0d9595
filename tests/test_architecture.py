"""The frame of the house: who may import whom, what import costs, and that what is written down is true."""

import ast
import doctest
import importlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tokenize
import warnings
from pathlib import Path

import pytest

import fastemb

PACKAGE = Path(fastemb.__file__).parent
ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
)

# Who may import whom, room by room; every room may import itself.
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
    "static": {"tokenizer", "pooling", "search", "_text", "_models", "_static"},
    "encoded": {"_text"},
    "tokenizer": {"_text", "_tokens", "_training", "encoded"},
    "word_vectors": {"static", "_word_vectors"},
}
SHARED = {"ragged", "quantized"}  # all public modules may import these
ASKED = {"_bags", "_embeds", "_updates"}  # what was asked for
TOOLS = {"_memory", "_threads"}
ALLOWED = {
    "": set(PUBLIC) | {"_cuda_check", "_threads", "_warmup"},  # lazily, by name
    "__main__": {"_cli"},
    "_cli": {"", *PUBLIC, "_static", "ray"},  # commands know what users know; embed times a model's two stages
    "_warmup": {
        "",
        *PUBLIC,
        "_checks",
        "_cuda_check",
        "_words",
        "_cpu",
        "_cuda",
        *TOOLS,
    },  # the package for its version
    **{name: more | SHARED | ASKED | {"_checks", "_devices", "_frameworks", "_words"} for name, more in PUBLIC.items()},
    # Programs of JAX call the functions by handlers, which are kernels.
    "jax": {*PUBLIC, "_bags", "_embeds", "_checks", "_words", "_cpu"},
    "_devices": {"_frameworks"},  # and the rooms, by name, when they are first asked for
    "_cpu": ASKED | TOOLS | {"_checks", "_frameworks"},
    "_cuda": ASKED | {"_checks", "_cuda_check", "_frameworks"},  # memory is the frameworks', threads are the device's
    "_cuda_check": {"_checks"},  # and the room, by name, once it is imported
    "_bags": {"ragged", "_checks", "_frameworks"},
    "_embeds": {"ragged", "_checks", "_frameworks"},
    "_updates": {"_checks", "_words"},
    "_checks": {"_frameworks", "_words"},
    "_frameworks": set(),
    "_memory": set(),
    "_words": set(),
    "_tokens": {"_text", "_checks", "_words"},
    "_opened": {"_text", "_tokens", "_checks", "_words"},
    "_training": {"_text", "_opened", "_checks", "_words"},
    "_threads": {"_processors"},
    "_processors": set(),
    "_text": TOOLS,
    "_models": {"_text", "_words", "quantized"},
    "_static": {"tokenizer", "pooling", "search", "quantized", "ragged", "_text", "_models", "_checks", "_words"},
    # GloVe is the public functions; negative sampling has kernels of its own.
    "_word_vectors": {"static", "lookup", "optim", "pooling", "search", "_text", "_checks", "_words", "_cpu"},
    # rooms below where the cost of a call matters
    "torch": {"", *PUBLIC, *SHARED, *ASKED, "_checks", "_devices", "_frameworks"},
    "ray": {"", "static", "tokenizer", "_static", "_text", "_threads", "_checks", "_words"},
    # neighbours, each of which needs its own package
    "_neighbours": {"static", "tokenizer", "_static", "_text", "_words"},
    "sklearn": {"static", "pooling", "_neighbours", "_static", "_checks", "_words"},
    "mteb": {"static", "quantized", "_neighbours", "_words"},
    "langchain": {"_neighbours"},
    "llama_index": {"static", "_neighbours"},
    "reference": set(),
    "compat": {*PUBLIC, *TOOLS, "_text", "_tokens", "_checks", "_words"},
}


def room(module):
    """The room of a module: its first name below fastemb; '' for the package itself."""
    return [*module.split("."), ""][1]


def source_of(module):
    file = PACKAGE.joinpath(*module.split(".")[1:])
    return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


def imported(module):
    """The modules of fastemb that a module imports, anywhere in its source."""
    file = source_of(module)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module
            if node.level:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else base for name in found]
        yield from (name for name in names if name.split(".")[0] == "fastemb")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.tree
def test_imports_run_one_way(module):
    here = room(module)
    assert here in ALLOWED, f"{module}: a room that the design does not name"
    assert {room(name) for name in imported(module)} <= ALLOWED[here] | {here}


#: The floors of fastemb.torch; its public files stand on one of their own.
TORCH = {"_doors": 0, "_views": 0, "_functions": 1, "_operations": 2, "modules": 4}


def torch_floor(module):
    part = [*module.split("."), ""][2]
    return TORCH.get(part, 3) if part else 5


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "torch"])
@pytest.mark.tree
def test_layers_stand_on_functions_and_these_on_doors(module):
    there = [name for name in imported(module) if room(name) == "torch" and name != module]
    assert all(torch_floor(name) <= torch_floor(module) for name in there if name != "fastemb.torch"), there


#: The floors of the command line.
COMMAND_LINE = ("progress", "reading", "options", "writing", "comparing", "results", "maps", "commands", "parser")


def command_line_floor(module):
    """Its floor; None of the package itself."""
    part = [*module.split("."), ""][2]
    return COMMAND_LINE.index(part) if part else -1


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "_cli"])
@pytest.mark.tree
def test_commands_stand_on_what_they_share_and_not_on_each_other(module):
    """`completion` alone asks for the parser, whose commands it lists."""
    here = command_line_floor(module)
    for name in imported(module):
        if room(name) == "_cli" and (module, name) != ("fastemb._cli.commands.completion", "fastemb._cli.parser"):
            assert command_line_floor(name) <= here, name
            assert ".commands." not in name or name == module, name


KERNELS = ("fastemb._cpu.kernels", "fastemb._cuda.kernels")


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(KERNELS)])
@pytest.mark.tree
def test_kernels_know_kernels_alone(module):
    assert {name.rpartition(".")[0] for name in imported(module)} <= {".".join(module.split(".")[:3])}


WORDS = [f"{name}_{kind}" for name in ("numbers", "scalars", "special", "words") for kind in ("device", "simulated")]


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(KERNELS[1])])
@pytest.mark.tree
def test_only_words_know_a_compiler(module):
    """All else in the kernels of CUDA is plain Python: a change of compiler rewrites the words alone."""
    known = {"numba", "llvmlite", "numba_cuda", "cuda"}
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    found = {name.partition(".")[0] for name in names} & known
    name = module.rpartition(".")[2]
    assert not found or name in WORDS or (name == "words" and names >= {"numba.cuda.core"})


@pytest.mark.tree
def test_no_import_circles():
    todo = {module: set(imported(module)) - {module} for module in MODULES if module != "fastemb"}
    for found in todo.values():
        found.discard("fastemb")
    while free := [module for module, found in todo.items() if not found & todo.keys()]:
        for module in free:
            del todo[module]
    assert not todo, f"circles among {sorted(todo)}"


NEUTRAL = set(PUBLIC) - {"encoded", "ragged", "static", "tokenizer", "optim"} | ASKED | {"_devices"}
NAMES = {"ndarray", "dtype", "float32", "float64", "bool_", "int64", "uint8"}  # types, which are no arithmetic


@pytest.mark.parametrize("name", sorted(NEUTRAL))
@pytest.mark.tree
def test_above_the_rooms_nothing_is_computed(name):
    """Public files and what was asked for use NumPy's types alone: no arithmetic, no address, no kernel."""
    tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    assert used <= NAMES


@pytest.mark.tree
def test_only_jit_calls_numba():
    for file in (PACKAGE / "_cpu").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert file.name == "jit.py" or not names & {"njit", "jit", "vectorize", "guvectorize"}, file


def code_lines(text):
    """The number of lines that hold code: no comment, no docstring, nothing blank."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines - {text.count("\n") + 1})


def test_lines_of_code_are_counted():
    assert code_lines('"""One.\n\nTwo."""\n\nx = 1  # a\n# b\ny = """p\nq"""\n') == 3


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.tree
def test_files_and_kernels_stay_small(module):
    text = source_of(module).read_text(encoding="utf-8")
    assert code_lines(text) <= 300
    for name, lines in kernels_of(module, ast.parse(text)):
        assert lines <= 40, f"{module}.{name}"


def kernels_of(module, tree):
    """Each kernel and part of one, and its lines; a function that writes LLVM instructions is no loop to be read."""
    if module.startswith(KERNELS[0]):
        made_by = {"kernel", "part", "inlined"}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and made_by & {ast.unparse(d) for d in node.decorator_list}:
                yield node.name, node.end_lineno - node.lineno + 1
    elif module.startswith(KERNELS[1]) and module.rpartition(".")[2] not in WORDS:
        makers = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("make_")]
        for maker in makers:
            for node in ast.walk(maker):
                if isinstance(node, ast.FunctionDef) and node is not maker:
                    yield f"{maker.name}.{node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.tree
def test_kernels_of_both_rooms_are_found():
    for module, kernel in (("_cpu.kernels.lookup", "gather"), ("_cuda.kernels.lookup", "make_gather.gather")):
        text = source_of(f"fastemb.{module}").read_text(encoding="utf-8")
        assert any(name.startswith(kernel) for name, _ in kernels_of(f"fastemb.{module}", ast.parse(text)))


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


#: The packages without which a room cannot be imported.
NEEDED = {"torch": "torch", "jax": "jax", "sklearn": "sklearn", "mteb": "mteb", "ray": "ray"}
NEEDED |= {"langchain": "langchain_core", "llama_index": "llama_index.core"}


@pytest.mark.parametrize("module", [m for m in MODULES if room(m)[:1] != "_" or room(m) in fastemb._HOMES.values()])
def test_docstring_examples(module):
    if package := NEEDED.get(room(module)):
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    if room(module) == "ray":
        warnings.simplefilter("ignore")  # Ray's own, for this test alone
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.tree
def test_setup_py_is_short_and_flags_are_portable():
    setup, build = (ROOT / "setup.py").read_text(), (ROOT / "csrc/build_ffi.py").read_text()
    assert setup.count("\n") <= 50
    assert not re.search(r"^[^#]*-m(arch|avx|tune)", setup + build, flags=re.MULTILINE)


def test_unbuilt_hint(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert "has not been built" in fastemb._leave_source_tree(str(tmp_path / "fastemb"))
    assert fastemb._leave_source_tree(str(PACKAGE)) == ""
    assert os.path.samefile(fastemb.__path__[0], PACKAGE)
