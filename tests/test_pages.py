"""What the pages say is true: their examples run, their links lead somewhere, and no name is missing."""

import doctest
import inspect
import re
import runpy
import warnings

import pytest
from pages import PAGES, PUBLIC, ROOT, anchors, blocks, docstrings, examples, links, members, name, require, setup

DOCS = ROOT / "docs"
WITH_PYTHON = [page for page in PAGES if blocks(page)]
MEASURED = [page for page in WITH_PYTHON if DOCS / "design" in page.parents]  # how something was timed, by hand
ONE = r"(?:[A-Za-z](?: ?[+*/] ?\d+)?|\.\.\.|[a-z]\w+|ceil\([^()]*\))"  # an axis
SHAPE = re.compile(rf"\(({ONE}(?:, {ONE})*,?)\)")


@pytest.mark.parametrize("page", MEASURED, ids=name)
@pytest.mark.tree
def test_measurements_are_python(page):
    for code in blocks(page):
        compile(code, name(page), "exec")


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page not in MEASURED], ids=name)
def test_examples(page):
    require(page)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other libraries' import
        names = setup(page)
    test = examples(page, names)
    assert test.examples or len(names) > 2
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name)
@pytest.mark.tree
def test_links(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{name(page)} links to {link}"
        assert not anchor or anchor in anchors(there), f"{name(page)} links to {link}"


@pytest.mark.tree
def test_the_index_leads_to_every_page():
    index = {(DOCS / link).resolve() for link in links(DOCS / "index.md")}
    assert index >= {*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")} - {DOCS / "index.md"}


@pytest.mark.tree
def test_every_public_name_has_a_place():
    """A function by itself, a class with its members; NamedTuples say theirs in their docstrings."""
    found, opened = set(), set()
    for page in (DOCS / "api").glob("*.rst"):
        text = page.read_text(encoding="utf-8")
        if re.search(r"^\.\. (?:currentmodule|autoclass):: fastemb\.\w", text, re.MULTILINE):
            continue  # of a framework, or of several: tests that need it hold its names
        assert ".. currentmodule:: fastemb\n" in text
        here = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, flags=re.MULTILINE)
        assert re.search(r"autosummary::\n\n((?:   \w+\n)+)", text)[1].split() == here
        found.update(here)
        opened.update(re.findall(r"^\.\. autoclass:: (\w+)\n   :members:$", text, flags=re.MULTILINE))
    assert found == set(PUBLIC)
    assert opened == {each for each, value in PUBLIC.items() if members(value)}
    assert all(text for _, text in docstrings())


def test_namedtuples_describe_their_fields():
    for each, value in PUBLIC.items():
        for field in getattr(value, "_fields", ()):
            assert re.search(rf"^(?:\w+, )*{field}(?:, \w+)* : ", inspect.getdoc(value), re.MULTILINE), (each, field)


def test_the_glossary_has_the_axis_letters():
    used = set()
    for _, text in docstrings():
        for shape in SHAPE.findall(text):
            if re.search(r"\b[A-Z]\b", shape):
                used |= set(re.findall(r"\b[A-Za-z]\b", shape))
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert used >= {"B", "D", "N", "S", "T", "V"}
    assert set(re.findall(r"^\| `(\w)` \|", glossary, flags=re.MULTILINE)) == used


@pytest.mark.tree
def test_docstrings_refer_to_something():
    """In single backticks stand parameters, attributes and public names, and what other packages call theirs."""
    for each, text in docstrings():
        assert "fastemb._" not in text, each
        owner = PUBLIC[each.partition(".")[0]]
        known = set(PUBLIC) | set(re.findall(r"^([*\w]+(?:, [*\w]+)*) ?(?::|$)", text, flags=re.MULTILINE))
        known = {one.lstrip("*") for names in known for one in names.split(", ")} | set(dir(owner))
        for reference in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
            first, _, last = reference.rpartition(".")
            assert reference in known or first == "numpy" or hasattr(PUBLIC.get(first), last), (each, reference)


def test_the_picture_is_the_script():
    """`python docs/ids_offsets_mask.py` writes it anew."""
    script = runpy.run_path(str(DOCS / "ids_offsets_mask.py"))
    assert script["FILE"].read_text(encoding="utf-8") == script["picture"]()
