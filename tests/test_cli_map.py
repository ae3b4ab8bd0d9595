"""What `fastemb map` puts into its page, and how it refuses; test_cli_map_browser.py opens the page."""

import base64
import datetime
import gzip
import hashlib
import json
import re
import struct
import time
import zlib
from decimal import Decimal
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

import fastemb
from fastemb.__main__ import main
from fastemb._cli.comparing import kmeans
from fastemb._cli.maps import axes as map_axes
from fastemb._cli.maps import clusters as map_clusters
from fastemb._cli.maps import colors as map_colors
from fastemb._cli.maps import page as map_page
from fastemb._cli.maps import rows as map_rows

#: What would be run, or end the data, where a text stands in a page as it is.
HOSTILE = [
    "</script><script>document.title = 'taken'</script>",
    '<img src=x onerror="document.title=1">',
    "<!-- <script>",
    "]]> & &lt; {{script}} ${alert(1)} `",
    "before\u2028between\u2029after",
    "javascript:alert(1)",
    "\u202egnp.exe\u202c",
    "nul \x00 and \x1b[31m",
]


def run_map(*argv):
    assert main(["map", *map(str, argv), "-q"]) == 0


def refused(capsys, *argv):
    capsys.readouterr()
    assert main(["map", *map(str, argv), "-q"]) == 2
    found = capsys.readouterr()
    assert re.fullmatch(r"fastemb: error: [^\n]+\n", found.err)
    return found.err


class Page(HTMLParser):
    """The elements of a page, and what stands in them, as a browser reads it."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self._here = [], None
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._here = []
        self.elements.append((tag, dict(attrs), self._here))

    def handle_endtag(self, tag):
        self._here = []  # what stands behind an element is nobody's

    def handle_data(self, data):
        if self._here is not None:
            self._here.append(data)

    def all(self, tag, **attrs):
        return [
            (found, "".join(data))
            for name, found, data in self.elements
            if name == tag and attrs.items() <= found.items()
        ]

    def data(self):
        """What map_page.packed has packed, read by its description."""
        ((_, packed),) = self.all("script", id="data")
        unpacked = zlib.decompress(base64.b64decode(packed, validate=True))
        (size,) = struct.unpack_from("<I", unpacked)
        assert (4 + size) % 8 == 0
        head = json.loads(unpacked[4 : 4 + size])
        for name, said in head["arrays"].items():
            kind = np.dtype(said["type"]).newbyteorder("<")
            assert said["start"] % 8 == 0
            flat = np.frombuffer(unpacked, kind, int(np.prod(said["shape"])), 4 + size + said["start"])
            head["arrays"][name] = flat.reshape(said["shape"])
        head["arrays"]["line"] = np.cumsum(head["arrays"].pop("step"), dtype=np.int32)
        return head


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def drawing(tmp_path):
    """Documents of four kinds, their vectors, and where the page comes."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((40, 7)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    texts = [*HOSTILE, *(f"text {i} é" for i in range(len(HOSTILE), 40))]
    rows = [{"text": text, "kind": "abcd"[i % 4], "size": i * 1.5} for i, text in enumerate(texts)]
    return write_jsonl(tmp_path / "t.jsonl", rows), vectors, texts, tmp_path / "m.html"


def test_the_page_holds_what_was_given(drawing, tmp_path):
    file, vectors, texts, out = drawing
    run_map(file, "--vectors", tmp_path / "v.npy", "--color-field", "kind", "--color-field", "size", "-o", out)
    data = Page(out).data()
    assert data["texts"] == texts
    assert (data["title"], data["method"], data["files"]) == ("t.jsonl", "PCA", [str(file)])
    found = data["arrays"]
    placed = map_axes.principal(vectors)
    assert np.array_equal(found["place"], placed.points)
    assert data["shares"] == list(placed.shares)
    assert found["line"].tolist() == list(range(1, 41))
    assert found["length"].tolist() == [len(text) for text in texts]
    assert "file" not in found
    kinds, size = data["colors"]
    assert (kinds["name"], kinds["labels"]) == ("kind", ["a", "b", "c", "d"])
    assert [kinds["labels"][kind] for kind in found["color0"]] == ["abcd"[i % 4] for i in range(40)]
    assert (size["name"], size["labels"], size["logarithmic"]) == ("size", None, False)
    assert found["color1"].tolist() == [i * 1.5 for i in range(40)]
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    expected = np.argsort(-cosine, axis=1, kind="stable")[:, : map_axes.NEIGHBORS]
    assert np.array_equal(found["neighbor"], expected)
    assert np.allclose(found["similarity"] / 1e4, np.take_along_axis(cosine, expected, 1), atol=5.1e-5, rtol=0)


def test_several_files_are_told_apart(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\nthree\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"four\nfive"))
    write_jsonl(tmp_path / "c.jsonl", [{"text": "six"}])
    names = [str(tmp_path / name) for name in ("a.txt", "b.txt.gz", "c.jsonl")]
    np.save(tmp_path / "v.npy", np.eye(6))
    run_map(*names, "--vectors", tmp_path / "v.npy", "-o", tmp_path / "m.html")
    data = Page(tmp_path / "m.html").data()
    places = [(data["files"][f], int(n)) for f, n in zip(data["arrays"]["file"], data["arrays"]["line"], strict=True)]
    assert places == [(names[0], 1), (names[0], 2), (names[0], 3), (names[1], 1), (names[1], 2), (names[2], 1)]
    (colors,) = data["colors"]
    assert colors["name"] == "file"
    assert [colors["labels"][kind] for kind in data["arrays"]["color0"]] == [name for name, _ in places]
    assert data["title"] == "a.txt and 2 more"


def test_lines_are_those_of_the_file(tmp_path):
    """Of JSONL with empty lines, of CSV with ends of lines in values: where each document begins."""
    (tmp_path / "a.jsonl").write_text('\n{"text": "a", "n": 1}\n\n  \n"b"\n{"text": "c"}')
    (tmp_path / "b.csv").write_text('text,n\nd,1\n\n"e\ne\ne",2\nf,3\n')
    np.save(tmp_path / "v.npy", np.eye(6))
    files = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    run_map(*files, "--vectors", tmp_path / "v.npy", "--color-field", "n", "-o", tmp_path / "m.html")
    data = Page(tmp_path / "m.html").data()
    assert data["texts"] == ["a", "b", "c", "d", "e\ne\ne", "f"]
    assert data["arrays"]["line"].tolist() == [2, 5, 6, 2, 4, 7]
    labels = data["colors"][0]["labels"]
    assert [labels[kind] for kind in data["arrays"]["color0"]] == ["1", "(none)", "(none)", "1", "2", "3"]
    assert labels == ["1", "2", "3", "(none)"]  # numbers, but few: kinds in their order


def test_parquet_has_rows_and_fields(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": [True, None], "text": ["a", "b"]}), tmp_path / "t.parquet")
    np.save(tmp_path / "v.npy", np.eye(2))
    run_map(
        *(tmp_path / "t.parquet", "--vectors", tmp_path / "v.npy", "-o", tmp_path / "m.html"),
        *("--color-field", "n", "--color-field", "text"),
    )
    data = Page(tmp_path / "m.html").data()
    assert data["arrays"]["line"].tolist() == [1, 2]
    assert [colors["labels"] for colors in data["colors"]] == [["(none)", "true"], ["a", "b"]]


def test_a_model_gives_the_vectors(tmp_path, llama_file):
    texts = ["a cat", "two cats and a dog", "", "the stock market"]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    model = fastemb.StaticModel.load(dim=64)
    for argv, normalize in ([], True), (["--no-normalize"], False):
        run_map(tmp_path / "t.txt", "--dim", 64, *argv, "-o", tmp_path / "m.html")
        expected = map_axes.principal(model.encode(texts, normalize=normalize)).points
        assert np.array_equal(Page(tmp_path / "m.html").data()["arrays"]["place"], expected)


@pytest.mark.parametrize("argv", [[], ["--no-normalize"]])
def test_a_text_whose_vector_is_no_number_takes_no_place_from_others(tmp_path, argv):
    (tmp_path / "g.txt").write_text("red 1 0\nbroken nan 1\nhuge 3e38 1\nblue 0 1\n")
    (tmp_path / "t.txt").write_text("red\nbroken\nblue\nhuge\n")
    run_map(tmp_path / "t.txt", "--model", tmp_path / "g.txt", "--clusters", 2, *argv, "-o", tmp_path / "m.html")
    data = Page(tmp_path / "m.html").data()
    huge = [0.0, 0.0] if argv else [1.0, 0.0]
    expected = map_axes.principal(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], huge]))
    assert np.allclose(data["arrays"]["place"], expected.points, atol=1e-6)
    assert np.allclose(data["shares"], expected.shares)
    labels = data["colors"][0]["labels"]
    assert labels[data["arrays"]["color0"][1]] == "(none)"


def test_blocks_are_kept_in_order(tmp_path, monkeypatch):
    """Of several threads the first block may be the last that is computed."""
    monkeypatch.setattr("fastemb._cli.reading.records.BATCH", 10)
    shown = map_rows.shown
    monkeypatch.setattr(map_rows, "shown", lambda text: time.sleep(0.02 if text == "text 0" else 0) or shown(text))
    texts = [f"text {i}" for i in range(200)]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    with fastemb.num_threads(2):
        run_map(tmp_path / "t.txt", "--dim", 16, "-o", tmp_path / "m.html")
    data = Page(tmp_path / "m.html").data()
    assert data["texts"] == texts
    assert data["arrays"]["line"].tolist() == list(range(1, 201))
    expected = map_axes.principal(fastemb.StaticModel.load(dim=16).encode(texts, normalize=True)).points
    assert np.array_equal(data["arrays"]["place"], expected)


# ---------------------------------------------------------------- two dimensions


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 12).flatmap(
        lambda dim: drawn(
            st.sampled_from([np.float64, np.float32, np.float16, np.int8]),
            st.tuples(st.integers(1, 30), st.just(dim)),
            elements=st.integers(-64, 64),
        )
    )
)
def test_principal_components_are_those_of_the_svd(vectors):
    points, shares = map_axes.principal(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    sizes = np.append(sizes, [0.0, 0.0])
    total = float((sizes**2).sum())
    if not total:
        assert shares == (0.0, 0.0)
        assert not points.any()
        return
    assert np.allclose(shares, sizes[:2] ** 2 / total, atol=1e-12)
    scale = np.abs(centred).max()
    for axis in range(min(2, len(axes))):
        # Where two variances are the same, any two axes of their plane would do: only the sums below are then fixed.
        apart = min(abs(sizes[axis] - size) for size in np.delete(sizes, axis))
        if apart > 1e-3 * sizes[0]:
            expected = centred @ axes[axis]
            sign = 1 if np.abs(expected - points[:, axis]).sum() < np.abs(expected + points[:, axis]).sum() else -1
            assert np.allclose(points[:, axis], sign * expected, atol=2e-6 * scale * len(axes[axis]))
    assert np.allclose((points.astype(np.float64) ** 2).sum(axis=0), sizes[:2] ** 2, rtol=1e-5, atol=1e-9 * total)


def test_the_sign_of_an_axis_is_a_law():
    """The component of an axis that is largest is positive, whatever way the vectors point."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((200, 3)) * [1, 9, 3]
    for signs in ([1, 1, 1], [-1, -1, 1], [1, -1, -1]):
        points = map_axes.principal(vectors * signs).points
        centred = vectors * signs - (vectors * signs).mean(axis=0)
        assert np.corrcoef(points[:, 0], centred[:, 1])[0, 1] > 0.99
        assert np.corrcoef(points[:, 1], centred[:, 2])[0, 1] > 0.9


def test_components_far_from_zero_and_in_many_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((501, 6)) * [5, 3, 1, 1, 1, 1]
    once = map_axes.principal(vectors)
    monkeypatch.setattr(map_axes, "BLOCK", 8 * 6 * 7)  # seven rows, the last block has four
    blocks = map_axes.principal(vectors)
    assert np.allclose(blocks.points, once.points, rtol=1e-6, atol=1e-6)
    assert np.allclose(blocks.shares, once.shares, rtol=1e-12)
    far = map_axes.principal(vectors + 1e6)  # the squares of a million would take all digits of the variances
    assert np.allclose(far.points, once.points, rtol=1e-5, atol=1e-6)
    assert np.allclose(far.shares, once.shares, rtol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_neighbors_of_few_rows_and_equal_ones(count):
    assert map_axes.neighbors(np.ones((1, 3), np.float32)) is None
    ids, similarities = map_axes.neighbors(np.ones((count + 1, 3), np.float32))
    assert ids.shape == (count + 1, min(count, map_axes.NEIGHBORS))
    assert (similarities == 10_000).all()
    assert ids[-1].tolist() == list(range(ids.shape[1]))  # of equal ones the first, itself found or not
    assert all(i not in row and len(set(row.tolist())) == len(row) for i, row in enumerate(ids))


def test_too_many_rows_have_no_neighbors(monkeypatch):
    monkeypatch.setattr(map_axes, "NEIGHBORS_UP_TO", 3)
    assert map_axes.neighbors(np.eye(3, dtype=np.float32)) is not None
    assert map_axes.neighbors(np.eye(4, dtype=np.float32)) is None


@pytest.mark.parametrize(("method", "module"), [("umap", "umap"), ("tsne", "sklearn")])
def test_other_methods(method, module, drawing, tmp_path, capsys):
    pytest.importorskip(module, reason=f"the package of --method {method} is not installed")
    file, _, _, out = drawing
    argv = [file, "--vectors", tmp_path / "v.npy", "--method", method, "-o", out]
    run_map(*argv)
    data = Page(out).data()
    assert (data["method"], data["shares"]) == (map_page.METHODS[method], None)
    assert np.isfinite(data["arrays"]["place"]).all()
    assert data["arrays"]["place"].std() > 0
    first = out.read_bytes()
    run_map(*argv)
    assert out.read_bytes() == first
    write_jsonl(file, [{"text": "a"}] * 3)
    np.save(tmp_path / "v.npy", np.eye(3))
    assert f"--method {method}: expected 4 rows or more, got 3" in refused(capsys, *argv)
    for count in (4, 5, 20):
        np.save(tmp_path / "v.npy", np.ones((count, 3)))  # all the same
        write_jsonl(file, [{"text": "a"}] * count)
        run_map(*argv)


@pytest.mark.parametrize(("method", "package"), [("umap", "umap-learn"), ("tsne", "scikit-learn")])
def test_a_method_that_is_not_installed(method, package, drawing, monkeypatch, capsys):
    monkeypatch.setattr(map_axes, "find_spec", lambda name: None)
    file, _, _, out = drawing
    words = f"--method {method} needs the package {package}: pip install {package}"
    assert words in refused(capsys, file, "--method", method, "-o", out)
    assert not out.exists()


# ---------------------------------------------------------------- colours and texts


@pytest.mark.parametrize(
    ("values", "labels", "found"),
    [
        (["b", "a", "b", ""], ["b", "(none)", "a"], [0, 2, 0, 1]),
        ([True, False, None, True], ["true", "(none)", "false"], [0, 2, 1, 0]),
        ([["x", "é"], {"k": 1}], ['["x", "é"]', '{"k": 1}'], [0, 1]),
        (["10", "9", "1e1", "x"], ["10", "1e1", "9", "x"], [0, 2, 1, 3]),
        (["10", "9", "9.0", "", 8], ["8", "9", "9.0", "10", "(none)"], [3, 1, 2, 4, 0]),
        ([float("nan"), 2.0, Decimal("1.5")], ["1.5", "2.0", "(none)"], [2, 1, 0]),
        ([datetime.date(2026, 1, 2), [datetime.date(2026, 1, 2)]], ["2026-01-02", '["2026-01-02"]'], [0, 1]),
    ],
)
def test_kinds(values, labels, found):
    colors = map_colors.of_field("f", values)
    assert colors.labels == labels
    assert colors.values.tolist() == found


def test_scales():
    many = list(range(map_colors.KINDS + 1))
    colors = map_colors.of_field("f", [*map(str, many), "", None])
    assert colors.labels is None
    assert not colors.logarithmic
    assert colors.values[:-2].tolist() == many
    assert np.isnan(colors.values[-2:]).all()
    assert map_colors.of_field("f", [*many, float("nan")]).labels is None  # missing, as in a column of floats
    assert map_colors.of_field("f", [*map(Decimal, many)]).labels is None
    assert map_colors.of_field("f", [*many, "inf"]).labels is not None
    assert map_colors.of_field("f", [10.0**i for i in many]).logarithmic
    assert not map_colors.of_field("f", [0, *(10.0**i for i in many)]).logarithmic  # 0 has no logarithm


def test_clusters_are_named_by_what_sets_them_apart(tmp_path, capsys):
    rng = np.random.default_rng(0)
    said = ["red apple and pear", "fast car and train", "deep sea and lake"]
    sizes = [20, 30, 10]
    texts = [f"{said[kind]} {'abcdefghij'[i % 10] * 3}" for kind in range(3) for i in range(sizes[kind])]
    vectors = np.repeat(np.eye(3, 5) * [[1], [2], [3]], sizes, axis=0) + rng.normal(0, 0.05, (60, 5))
    vectors[3] = 0  # a text of which nothing is known
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
    np.save(tmp_path / "v.npy", vectors)
    argv = [tmp_path / "t.txt", "--vectors", tmp_path / "v.npy", "-o", tmp_path / "m.html", "--clusters"]
    run_map(*argv, 3)
    data = Page(tmp_path / "m.html").data()
    (colors,) = data["colors"]
    labels = ["1: car, fast, train", "2: apple, pear, red", "3: deep, lake, sea", "(none)"]
    assert (colors["name"], colors["labels"]) == ("cluster", labels)
    found = data["arrays"]["color0"]
    assert found[3] == 3
    found = np.delete(found, 3)
    assert found.tolist() == [1] * 19 + [0] * 30 + [2] * 10
    unit = np.delete(vectors, 3, axis=0).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for k in (1, 5):  # the same as those of the command, in the order of their sizes
        run_map(*argv, k)
        ours = np.delete(Page(tmp_path / "m.html").data()["arrays"]["color0"], 3)
        theirs = kmeans.kmeans(unit, k, 0).labels
        assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == k
        counts = np.bincount(ours).tolist()
        assert counts[:k] == sorted(counts[:k], reverse=True)
    assert "--clusters 60: there are only 59 documents of which something is known" in refused(capsys, *argv, 60)
    assert "--clusters must be at least 1, got 0" in refused(capsys, *argv, 0)


def test_words_of_one_text_name_no_cluster():
    assert map_clusters._names([["one two", "three four"], ["five"]]) == ["", ""]
    assert map_clusters._names([["one same", "one same"], ["two same", "two same"]]) == ["one", "two"]


def test_long_texts_are_cut(drawing, tmp_path):
    file, _, _, out = drawing
    cut = map_rows.CUT
    marked = "x" * (cut - 1) + "e\u0301\u0323" + "y" * 10
    texts = ["x" * cut, "x" * (cut + 1), "\N{GRINNING FACE}" * (cut + 5), marked]
    write_jsonl(file, [{"text": text} for text in texts])
    np.save(tmp_path / "v.npy", np.eye(4))
    run_map(file, "--vectors", tmp_path / "v.npy", "-o", out)
    data = Page(out).data()
    assert data["texts"] == [texts[0], "x" * cut, "\N{GRINNING FACE}" * cut, "x" * (cut - 1)]
    assert data["arrays"]["length"].tolist() == [cut, cut + 1, cut + 5, len(marked)]


# ---------------------------------------------------------------- the page


def test_no_text_is_a_part_of_the_page(drawing, tmp_path):
    file, _, texts, out = drawing
    run_map(file, "--vectors", tmp_path / "v.npy", "--color-field", "text", "--title", HOSTILE[0], "-o", out)
    page = Page(out)
    assert [name for name, _, _ in page.elements].count("script") == 2
    assert not any(text in page.text for text in texts if "<" in text)  # the summary names some, as kinds
    ((_, title),) = page.all("title")
    assert title == HOSTILE[0]
    ((_, heading),) = page.all("h1")
    assert heading == HOSTILE[0]
    ((_, said),) = page.all("p", id="summary")
    assert "40 texts by meaning" in said
    run_map(file, "--vectors", tmp_path / "v.npy", "--title", "{{script}} {{data}}", "-o", out)
    assert Page(out).all("title") == [({}, "{{script}} {{data}}")]  # what was put in is not looked through


def test_the_policy_allows_this_script_alone(drawing, tmp_path):
    file, _, _, out = drawing
    run_map(file, "--vectors", tmp_path / "v.npy", "-o", out)
    page = Page(out)
    ((policy, _),) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert (rules["default-src"], rules["base-uri"], rules["form-action"]) == ("'none'",) * 3
    for kind, tag, attrs in ("script-src", "script", {"type": "module"}), ("style-src", "style", {}):
        ((_, text),) = page.all(tag, **attrs)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert len(rules) == 5
    assert not any("src" in attrs or "href" in attrs or "style" in attrs for _, attrs, _ in page.elements)
    assert not any(name.startswith("on") for _, attrs, _ in page.elements for name in attrs)


def test_the_script_makes_no_html_of_texts():
    folder = resources.files("fastemb._cli.maps.page")
    assert {file.name for file in folder.iterdir() if file.name[:2] != "__"} == {
        "page.html",
        "page.css",
        *map_page.SCRIPTS,
    }
    script = "".join((folder / name).read_text(encoding="utf-8") for name in map_page.SCRIPTS)
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp|import\("
    assert not re.search(risky, script)
    assert "</script" not in script
    assert "{{" not in script
    assert max(map(len, script.splitlines())) <= 120
    assert max((folder / name).read_text().count("\n") for name in map_page.SCRIPTS) <= 300


def test_the_same_call_writes_the_same_bytes(drawing, tmp_path):
    file = drawing[0]
    argv = [file, "--vectors", tmp_path / "v.npy", "--color-field", "kind", "-o"]
    for name in ("a.html", "b.html"):
        run_map(*argv, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_to_a_pipe_and_what_is_said(drawing, tmp_path, capfd):
    file, _, _, out = drawing
    assert main(["map", str(file), "--vectors", str(tmp_path / "v.npy"), "-o", str(out)]) == 0
    said = capfd.readouterr().out.splitlines()
    assert re.fullmatch(r"40 texts by meaning: .* hold \d+\.\d % and \d+\.\d % of the variance \(PCA\)\.", said[0])
    assert said[1:] == [f"wrote {out}: {out.stat().st_size:,} bytes"]
    assert main(["map", str(file), "--vectors", str(tmp_path / "v.npy"), "-o", "-"]) == 0
    assert capfd.readouterr().out == out.read_text(encoding="utf-8")


def test_no_kind_commands_the_terminal(tmp_path, capfd):
    rows = [{"text": "a cat", "kind": "\x1b]0;taken\x07\nwrote"}]
    write_jsonl(tmp_path / "t.jsonl", rows)
    argv = ["map", str(tmp_path / "t.jsonl"), "--color-field", "kind", "-o", str(tmp_path / "m\x1b.html")]
    assert main(argv) == 0
    said = capfd.readouterr().out
    assert (said.count("\n"), "\x1b" in said, "\x07" in said) == (2, False, False)
    assert r"kind: \x1b]0;taken\x07\nwrote (1)." in said


def test_names_that_are_no_utf8(tmp_path):
    name = tmp_path / "caf\udce9.txt"
    name.write_text("a\n")
    np.save(tmp_path / "v.npy", np.eye(1))
    run_map(name, "--vectors", tmp_path / "v.npy", "-o", tmp_path / "m.html")
    assert Page(tmp_path / "m.html").data()["title"] == "caf?.txt"


# ---------------------------------------------------------------- refusals


def test_refusals(drawing, tmp_path, capsys):
    file, _, _, out = drawing
    given = ["--vectors", tmp_path / "v.npy"]
    (tmp_path / "t.txt").write_text("a\n")
    (tmp_path / "none.txt").write_text("")
    np.savez(tmp_path / "z.npy.npz", np.eye(2))
    (tmp_path / "z.npy.npz").rename(tmp_path / "z.npy")
    np.save(tmp_path / "nan.npy", np.where(np.eye(40) * [i == 13 for i in range(40)], np.nan, 1.0))
    np.save(tmp_path / "huge.npy", np.where(np.eye(40) * [i == 7 for i in range(40)], -1e39, 1.0))
    np.save(tmp_path / "inf.npy", np.full((40, 2), np.inf, np.float16))
    np.save(tmp_path / "flat.npy", np.ones(4))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "none.npy", np.ones((3, 0)))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").touch()
    cases = [
        ([tmp_path / "none.txt"], "none.txt: no documents, so there is nothing to show"),
        ([tmp_path / "t.txt", *given], "v.npy: 40 vectors, where the files have 1 documents"),
        ([tmp_path / "t.txt", "--color-field", "kind"], "--color-field kind: "),
        ([file, *given, "--color-field", "none"], "--color-field none: no document has this field"),
        ([file, *given, "--dim", 4], "--vectors takes vectors as they are"),
        ([file, "--vectors", tmp_path / "nan.npy"], "nan.npy: row 13 (from 0) is not finite"),
        ([file, "--vectors", tmp_path / "huge.npy"], "huge.npy: row 7 (from 0) is not finite, or beyond 1e+30"),
        ([file, "--vectors", tmp_path / "inf.npy"], "inf.npy: row 0 (from 0) is not finite"),
        ([file, "--vectors", tmp_path / "flat.npy"], "got float64 of shape (4,)"),
        ([file, "--vectors", tmp_path / "words.npy"], "got <U1 of shape (1, 2)"),
        ([file, "--vectors", tmp_path / "none.npy"], "got float64 of shape (3, 0)"),
        ([file, "--vectors", tmp_path / "z.npy"], "got an archive"),
        ([file, "--vectors", tmp_path / "text.npy"], "text.npy: no .npy file of numbers"),
        ([file, "--vectors", tmp_path / "empty.npy"], "empty.npy: no .npy file of numbers: No data left in file"),
        ([file, "--vectors", tmp_path / "gone.npy"], "gone.npy: No such file"),
        ([file, "--vectors", file], "t.jsonl: --vectors is an .npy file"),
        ([tmp_path / "gone.txt"], "gone.txt: No such file"),
    ]
    for argv, words in cases:
        assert words in refused(capsys, *argv, "-o", out), argv
    assert "is a file that is to be read" in refused(capsys, file, *given, "-o", tmp_path / "v.npy")
    assert "No such file" in refused(capsys, file, *given, "-o", tmp_path / "none" / "m.html")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("m.html")) == []


def test_a_full_disk_leaves_the_page_as_it_was(drawing, tmp_path, monkeypatch, capsys):
    file, _, _, out = drawing
    out.write_text("before")

    def full(part, data):
        part.write(bytes(memoryview(data)[:100]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        "fastemb._cli.writing.resuming.write_all",
        lambda to, data: full(to, data) if len(data) > 999 else to.write(data),
    )
    assert f"{out}: No space left on device" in refused(capsys, file, "--vectors", tmp_path / "v.npy", "-o", out)
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_a_killed_run_is_tidied_by_the_next(drawing, tmp_path):
    file, _, _, out = drawing
    argv = [file, "--vectors", tmp_path / "v.npy", "-o", out]
    run_map(*argv)
    whole = out.read_bytes()
    header = b'{"fastemb": 1, "run": {"map": []}}'
    (tmp_path / "m.html.part").write_bytes(b"half")
    (tmp_path / "m.html.part.journal").write_bytes(b"%08x %s\n" % (zlib.crc32(header), header))
    run_map(*argv)
    assert out.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_pages_need_little_room(tmp_path):
    """A hundred thousand short texts: coordinates, lines and texts, in a page of a few MB."""
    words = np.random.default_rng(0).integers(0, 1 << 16, (5000, 6))
    (tmp_path / "t.txt").write_text("\n".join(" ".join(f"{word:x}" for word in row) for row in words) + "\n")
    np.save(tmp_path / "v.npy", words.astype(np.float32))
    run_map(tmp_path / "t.txt", "--vectors", tmp_path / "v.npy", "-o", tmp_path / "m.html")
    size = (tmp_path / "m.html").stat().st_size
    assert (
        size < 1.1 * ((tmp_path / "t.txt").stat().st_size + words.shape[0] * (8 + 2 * 2 * map_axes.NEIGHBORS)) + 60_000
    )
