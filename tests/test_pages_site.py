"""The site builds without a warning, and every public name and method is on it with its docstring."""

import html
import re
import subprocess
import sys

import pytest
from pages import PAGES, ROOT, docstrings

pytest.importorskip("sphinx", reason="the packages of the extra docs are not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", f"{folder}/trees", "."]
    built = subprocess.run([*command, f"{folder}/site"], cwd=ROOT, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")
    return folder / "site"


def words(text):
    return re.sub(r"\W+", " ", text).strip()


def test_names(site):
    pages = {page: page.read_text(encoding="utf-8") for page in (site / "docs/api").glob("*.html")}
    for each, docstring in docstrings():
        found = [text for text in pages.values() if f'id="fastemb.{each}"' in text]
        assert len(found) == 1, each
        shown = found[0].partition(f'id="fastemb.{each}"')[2].partition("</dt>")[2]
        first = docstring.partition("\n\n")[0].replace("``", "").replace("`", "")
        assert words(html.unescape(re.sub(r"<[^>]*>", "", shown))).startswith(words(first)), each


def test_links(site):
    """Every link of every page leads to a file, and to a place in it."""
    pages = {page.resolve(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    places = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    assert len(pages) > len(PAGES)
    for page, text in pages.items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            path, _, place = html.unescape(link).partition("?")[0].partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page} links to {link}"
            assert not place or there not in places or place in places[there], f"{page} links to {link}"


def test_nothing_is_left_as_markup(site):
    for page in (site / "docs/api").glob("*.html"):
        text = re.sub(r"<pre>.*?</pre>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "problematic" not in text
        assert not re.search(r"``|:(?:func|class|meth):", re.sub(r"<[^>]*>", "", text)), page
