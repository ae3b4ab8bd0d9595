"""The pages as a site: ``sphinx-build -W -c docs . build/site``, from the root of the repository.

The sources are the repository's own pages at their own paths, so a link that works on GitHub works in the site. The
lists of ``index.md`` are the site's navigation.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import fastemb

project, author = "fastemb", "The fastemb authors"
copyright = author
version = release = fastemb.__version__

root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/**.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "dist", "csrc", "fastemb", "tests"]  # folders that need not be searched

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
default_role = "autolink"  # in docstrings: a link for a public name, italics for a parameter
autodoc_typehints = "none"  # docstrings say them, with shapes
autodoc_member_order = "bysource"
autosummary_generate = False
# Modules for others are described without these, too; importing mteb takes seconds and writes to the standard error.
NEIGHBOURS = ("sklearn", "langchain_core", "llama_index", "pydantic")
autodoc_mock_imports = ["mteb", *(package for package in NEIGHBOURS if importlib.util.find_spec(package) is None)]
numpydoc_validation_checks = {"GL06", "GL07", "PR01", "PR02", "PR05", "PR06", "PR09", "RT01", "SA04", "SS03", "SS05"}
numpydoc_validation_exclude = {r"\.[A-Z]\w*$"}  # classes: a tuple has attributes, others are made by load
numpydoc_show_class_members = False  # the pages of the API ask for members themselves
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"fastemb {version}"
html_static_path, html_css_files = ["site.css"], ["site.css"]


def add_navigation(app: Any, docname: str, source: list[str]) -> None:
    """Make the lists of the first page its table of contents: each heading of level two with the pages listed below."""
    if docname == root_doc:
        for part in source[0].split("\n## ")[1:]:
            pages = re.findall(r"^- \[(.*?)\]\((.*?)\.(?:md|rst)\)", part, flags=re.MULTILINE)
            entries = [f"{title} <{page}>" for title, page in pages]
            lines = ["```{toctree}", ":hidden:", f":caption: {part.partition(chr(10))[0]}", "", *entries, "```"]
            source[0] += "\n" + "\n".join(lines) + "\n"


def add_entrance(app: Any, error: Exception | None) -> None:
    """Let the root of the site lead to its first page, which lies in a folder as it does in the repository."""
    if app.builder.format == "html" and error is None:
        link = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>fastemb</title>\n'
        Path(app.outdir, "index.html").write_text(link, encoding="utf-8")


def hide_constructor(app: Any, what: str, name: str, value: Any, options: Any, *signature: Any) -> Any:
    """Show no parameters of a class whose instances are made by ``load``."""
    return ("", None) if what == "class" and hasattr(value, "load") else None


def setup(app: Any) -> None:
    """Tell Sphinx of these."""
    app.connect("autodoc-process-signature", hide_constructor)
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_entrance)
