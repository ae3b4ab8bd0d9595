"""The pages of the docs as tests see them: their Python, run top to bottom, and their links."""

import doctest
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import fastemb

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += [page for folder in ("benchmarks", "docs") for page in sorted((ROOT / folder).rglob("*.md"))]
PUBLIC = {each: getattr(fastemb, each) for each in fastemb.__all__ if each != "__version__"}
NOTES = {"kernel_args"}  # of rooms, on public objects
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def name(page):
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """Return the blocks of Python of a page."""
    return [code for language, code in FENCED.findall(page.read_text(encoding="utf-8")) if language == "python"]


def require(page):
    """Skip where a package is missing that the page's Python imports."""
    for names in re.findall(r"^(?:>>> )?(?:import|from) (.*)", "\n".join(blocks(page)), flags=re.MULTILINE):
        for package in re.findall(r"(?:^|, )(\w+)", names.partition(" import ")[0]):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"the package {package} is not installed")


def setup(page):
    """Return the names that the page's blocks without prompts define."""
    names = {"__name__": "page"}
    for code in blocks(page):
        if ">>> " not in code:
            exec(compile(code, name(page), "exec"), names)
    return names


def examples(page, names):
    """Return the page's examples with prompts as one doctest, each on its own line."""

    def only_python(found):
        if found[1] == "python" and ">>> " in found[2]:
            return "\n" + found[2]
        return "\n" * found[0].count("\n")

    text, kept, end = page.read_text(encoding="utf-8"), [], 0
    for found in FENCED.finditer(text):
        kept += ["\n" * text.count("\n", end, found.start()), only_python(found)]
        end = found.end()
    return doctest.DocTestParser().get_doctest("".join(kept), names, name(page), str(page), 0)


def without_code(page):
    """Return a page's text without its blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page):
    """Return what a page links to and shows, other sites aside."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def members(value):
    """Return the public members of a class, those of its parents here too; the fields of a NamedTuple are none."""
    if not inspect.isclass(value) or issubclass(value, tuple):
        return {}
    kinds = [kind for kind in reversed(value.__mro__) if kind.__module__.startswith("fastemb")]
    found = {key: member for kind in kinds for key, member in vars(kind).items()}
    return {key: member for key, member in found.items() if not key.startswith("_") and key not in NOTES}


def docstrings():
    """Return the docstrings of the public names and of their members."""
    for each, value in PUBLIC.items():
        yield each, inspect.getdoc(value)
        yield from ((f"{each}.{key}", inspect.getdoc(member)) for key, member in members(value).items())
