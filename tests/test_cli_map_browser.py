"""The page of `fastemb map` in Chromium: what it shows, and what one does with it, by both painters."""

import json
import re

import numpy as np
import pytest
from chromium import NO_CARD, SOFTWARE, browser
from test_cli_map import HOSTILE

from fastemb.__main__ import main
from fastemb._cli.maps import axes as map_axes

TEXTS = [*HOSTILE, "Café crème", "CAFE noir", "Straße nach Süden", "ΟΔΟΣΗΜΟ", "", "İstanbul", "x" * 900]
WHITE = (255, 255, 255)
BLUE, VERMILLION, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)  # of the first three kinds, on white


def make_page(folder, vectors, rows, *argv):
    """Write a page of these rows, and return its address."""
    file, out = folder / "t.jsonl", folder / "m.html"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    np.save(folder / "v.npy", vectors)
    assert main(["map", str(file), "--vectors", str(folder / "v.npy"), "-o", str(out), "-q", *argv]) == 0
    return out.as_uri()


@pytest.fixture(scope="module", params=["pixels", pytest.param("webgl", marks=pytest.mark.exhaustive)])
def painter(request):
    return request.param


@pytest.fixture(scope="module")
def chromium(painter, tmp_path_factory):
    flags = SOFTWARE if painter == "webgl" else NO_CARD
    with browser(tmp_path_factory.mktemp("chromium"), *flags) as found:
        yield found


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).standard_normal((60, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def texts():
    return [*TEXTS, *(f"text number {i}" for i in range(len(TEXTS), 60))]


@pytest.fixture(scope="module")
def address(tmp_path_factory, painter, vectors, texts):
    rows = [{"text": text, "kind": "abbccc"[i % 6], "size": float(i)} for i, text in enumerate(texts)]
    fields = "--color-field", "kind", "--color-field", "size"
    return f"{make_page(tmp_path_factory.mktemp('page'), vectors, rows, *fields)}#{painter}"


@pytest.fixture
def page(chromium, address):
    """The page, newly opened; afterwards nothing was complained about, and nothing but itself was asked for."""
    chromium.open("about:blank")
    chromium.open(address)
    yield chromium
    assert [said for said in chromium.complaints() if "GPU stall" not in str(said)] == []  # the tests read pixels
    assert [url for url in chromium.requests() if not url.startswith("data:")] == [address.partition("#")[0]]


def stands(page, i):
    """Where a point is in the window."""
    code = f"""(() => {{
        const box = document.querySelector('#points').getBoundingClientRect();
        const [x, y] = fastemb.view.toStage(...fastemb.placeOf({i}));
        return [box.left + x, box.top + y];
    }})()"""
    return page.run(code)


def count_pixels(page, color):
    """How many pixels of the points have about this colour: a text that was not read yet shows no other."""
    return page.run(
        f"""(() => {{
        fastemb.frame();
        const points = document.querySelector('#points');
        const canvas = new OffscreenCanvas(points.width, points.height);
        const context = canvas.getContext('2d');
        context.fillStyle = getComputedStyle(points).getPropertyValue('--ground');
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(points, 0, 0);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        const asked = {list(color)};
        let count = 0;
        for (let at = 0; at < pixels.length; at += 4) {{
            count += asked.every((channel, c) => Math.abs(channel - pixels[at + c]) <= 40);
        }}
        return count;
    }})()"""
    )


def shown(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).innerText")


def search(page, query):
    page.run("document.querySelector('#query').focus(), document.querySelector('#query').select()")
    before = page.run(
        "fastemb.searches = 0, fastemb.search = function (q) { this.searches++; "
        "Object.getPrototypeOf(this).search.call(this, q); }, 0"
    )
    assert before == 0
    page.type(query)
    page.wait("fastemb.searches > 0")
    return shown(page, "#count")


def test_it_opens(page, painter, texts):
    assert page.run("fastemb.data.count") == 60
    assert page.run("fastemb.painter.constructor.name") == {"pixels": "PixelPainter", "webgl": "GlPainter"}[painter]
    assert page.run("fastemb.data.texts")[:5] == texts[:5]
    assert re.fullmatch(
        r"60 texts · PCA · the axes hold [\d.]+ % and [\d.]+ % of the variance", shown(page, "#subtitle")
    )
    assert shown(page, "h1") == page.run("document.title") == "t.jsonl"
    # All points in sight; on white, each of the kinds in its colour.
    assert page.run(
        "fastemb.data.texts.every((_, i) => { const [x, y] = fastemb.view.toStage(...fastemb.placeOf(i));"
        "return x > 0 && y > 0 && x < fastemb.view.width && y < fastemb.view.height; })"
    )
    few, more, most = (count_pixels(page, color) for color in (GREEN, VERMILLION, BLUE))
    assert 0 < few < more < most


def test_hovering_shows_the_text(page, texts):
    for i in [*range(len(TEXTS)), 59]:
        page.mouse("mouseMoved", *stands(page, i))
        page.settle()
        assert not page.run("document.querySelector('#tip').hidden")
        found = page.run("fastemb.hovered")  # the nearest, which of two points close together is one
        assert found == i or np.hypot(*np.subtract(stands(page, found), stands(page, i))) < 12
        tip = page.run("[...document.querySelectorAll('#tip > div')].map(line => line.textContent)")
        assert tip[0] == (texts[found][:400] or "(an empty text)")
        assert tip[1].endswith(f"t.jsonl:{found + 1}")
        assert tip[2:4] == [f"kind: {'abbccc'[found % 6]}", f"size: {found}"]
        assert tip[4:] == (["cut: the first 400 of 900 characters"] if len(texts[found]) > 400 else [])
    for sign in (1, -1):  # at the edges of the stage it stays inside
        page.run(
            f"""(() => {{
            const farther = (i, j) => ({sign} * (fastemb.placeOf(j)[0] - fastemb.placeOf(i)[0]) > 0 ? j : i);
            const last = [...fastemb.data.texts.keys()].reduce(farther);
            fastemb.hover(...fastemb.view.toStage(...fastemb.placeOf(last)));
        }})()"""
        )
        left, right = page.run("(box => [box.left, box.right])(document.querySelector('#tip').getBoundingClientRect())")
        assert 0 <= left < right <= page.run("document.querySelector('#stage').clientWidth")
    page.mouse("mouseMoved", 5, 5)
    assert page.run("document.querySelector('#tip').hidden")


def test_no_text_becomes_a_part_of_the_page(page, texts):
    before = page.run("[document.title, document.scripts.length]")
    for i in range(len(HOSTILE)):
        page.run(f"fastemb.choose({i})")
        search(page, HOSTILE[i])
        assert page.run("document.querySelector('#chosen .text').textContent") == texts[i]
    page.settle()
    assert page.run("[document.title, document.scripts.length]") == before
    assert page.run("document.querySelectorAll('img, iframe, a, script[src]').length") == 0


SEARCHES = {
    "cafe": ["Café crème", "CAFE noir"],
    "CAFÉ": ["Café crème", "CAFE noir"],
    "noir cafe": ["CAFE noir"],
    "strasse suden": ["Straße nach Süden"],
    "οδος": ["ΟΔΟΣΗΜΟ"],
    "οδοσ": ["ΟΔΟΣΗΜΟ"],  # the sigma of an unfinished word
    "istanbul": ["İstanbul"],
    "text number 5": [f"text number {i}" for i in (15, 25, 35, 45, *range(50, 60))],
    "nowhere": [],
}


def test_search(page, texts):
    for query, words in SEARCHES.items():
        found = [i for i, text in enumerate(texts) if text in words]
        assert search(page, query) == f"{len(found)} {'hit' if len(found) == 1 else 'hits'}"
        assert page.run("fastemb.found") == found
        rows = page.run("[...document.querySelectorAll('#found .label')].map(label => label.textContent)")
        assert rows == [texts[i] for i in found]
        states = page.run("[...fastemb.states]")
        assert [i for i, state in enumerate(states) if state == 2] == found
    faint = count_pixels(page, BLUE)  # nothing was found
    page.run("fastemb.search('')")
    assert shown(page, "#count") == ""
    assert count_pixels(page, BLUE) > faint


def test_the_next_hit_and_the_slash(page):
    page.run("document.querySelector('#points').focus()")
    page.key("/")
    assert page.run("document.activeElement.id") == "query"
    assert page.run("document.querySelector('#query').value") == ""
    search(page, "cafe")
    for expected in (8, 9, 8):
        page.key("Enter")
        assert page.run("fastemb.chosen") == expected


def test_the_legend_switches_kinds(page, texts):
    rows = page.run("[...document.querySelectorAll('#legend li')].map(row => row.innerText.split('\\n'))")
    assert rows == [["c", "30"], ["b", "20"], ["a", "10"]]
    green = count_pixels(page, GREEN)
    page.run("document.querySelector('#legend li button').focus()")
    page.run("document.activeElement.click()")
    assert page.run("document.activeElement.getAttribute('aria-pressed')") == "false"  # and it has the focus still
    assert count_pixels(page, BLUE) == 0
    assert count_pixels(page, GREEN) >= green
    assert page.run("fastemb.under(...fastemb.view.toStage(...fastemb.placeOf(3))) !== 3")
    hits = [i for i, text in enumerate(texts) if text.startswith("text number") and "abbccc"[i % 6] != "c"]
    assert search(page, "text number") == f"{len(hits)} hits"
    page.run(
        "document.querySelectorAll('#legend li button')[2].dispatchEvent(new MouseEvent('click', {shiftKey: true}))"
    )
    assert page.run("fastemb.colors.groups.map(group => group.on)") == [False, False, True]
    page.run("[...document.querySelectorAll('#legend .small')].find(b => b.textContent === 'None').click()")
    assert all(count_pixels(page, color) == 0 for color in (BLUE, VERMILLION, GREEN))
    page.run("[...document.querySelectorAll('#legend .small')].find(b => b.textContent === 'All').click()")
    page.run("fastemb.search('')")
    assert count_pixels(page, BLUE) > 0


def test_another_field_gives_other_colors(page):
    before = page.screenshot()
    page.run(
        "(() => { const choice = document.querySelector('#legend select'); choice.value = '1';"
        "choice.dispatchEvent(new Event('change')); })()"
    )
    assert page.run("document.querySelector('#legend .ends').innerText").split() == ["0", "59"]
    assert count_pixels(page, VERMILLION) == 0
    assert (
        page.run("new Set(new Uint32Array(fastemb.colors.looks.buffer)).size") > 50
    )  # mixed between those of the scale
    assert count_pixels(page, (68, 1, 84)) > 0  # the least, dark violet
    assert page.screenshot() != before


def test_zooming_keeps_what_is_under_the_pointer(page):
    x, y = (round(value) for value in stands(page, 20))
    box = "document.querySelector('#points').getBoundingClientRect()"
    under = f"(box => fastemb.view.toMap({x} - box.left, {y} - box.top))({box})"
    before = page.run(under)
    for delta in (-300, -300, 200):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=delta)
    page.settle()
    assert page.run("fastemb.view.zoom") == pytest.approx(np.exp(400 * 0.0016))
    assert np.allclose(page.run(under), before, rtol=0, atol=1e-9)
    x, y = stands(page, 20)
    box = page.run(f"(box => [box.left, box.top])({box})")
    page.drag(box[0] + 300, box[1] + 300, box[0] + 340, box[1] + 250)
    page.settle()
    assert np.allclose(stands(page, 20), (x + 40, y - 50), atol=0.05)
    assert page.run("fastemb.chosen") == -1  # a drag is no click
    page.run("document.querySelector('#whole').click()")
    assert page.run("fastemb.view.zoom") == 1


def test_keys(page):
    page.run("document.querySelector('#points').focus()")
    x, y = stands(page, 0)
    for key, move in {"ArrowLeft": (60, 0), "ArrowRight": (-60, 0), "ArrowUp": (0, 60), "ArrowDown": (0, -60)}.items():
        page.key(key)
        assert np.allclose(stands(page, 0), (x + move[0], y + move[1]), atol=0.05), key
        page.key("0")
    page.key("+")
    assert page.run("fastemb.view.zoom") == pytest.approx(1.4)
    page.key("-")
    assert page.run("fastemb.view.zoom") == pytest.approx(1)
    page.key("ArrowRight", modifiers=8)  # Shift: the point in the middle
    first = page.run("fastemb.chosen")
    assert first >= 0
    page.key("ArrowRight", modifiers=8)
    second = page.run("fastemb.chosen")
    assert second != first
    place = np.reshape(page.run("[...fastemb.data.place]"), (-1, 2))
    for start in range(60):
        right, up = (place - place[start]).T  # no more than 45 degrees beside the arrow, the nearest in its own way
        there = np.where((right > 0) & (abs(up) <= right), right + abs(up), np.inf)
        expected = int(there.argmin()) if np.isfinite(there).any() else start
        assert page.run(f"fastemb.choose({start}), fastemb.step([1, 0]), fastemb.chosen") == expected
    page.key("Escape")
    assert page.run("fastemb.chosen") == -1
    assert shown(page, "#chosen") == ""


def test_touch(page):
    x, y = stands(page, 20)
    touch = lambda kind, *points: page.send(  # noqa: E731
        "Input.dispatchTouchEvent",
        type=kind,
        touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)],
    )
    touch("touchStart", (x, y))
    touch("touchEnd")
    assert page.run("fastemb.chosen") == page.run("fastemb.under(...fastemb.view.toStage(...fastemb.placeOf(20)))")
    touch("touchStart", (x - 50, y), (x + 50, y))
    for spread in (60, 80, 100):
        touch("touchMove", (x - spread, y), (x + spread, y))
    touch("touchEnd")
    page.settle()
    assert page.run("fastemb.view.zoom") == pytest.approx(2, rel=0.1)
    assert np.allclose(stands(page, 20), (x, y), atol=6)


def test_a_click_that_trembles(page):
    x, y = stands(page, 20)
    page.drag(x, y, x + 2, y + 1)
    assert page.run("fastemb.chosen") >= 0
    assert np.allclose(stands(page, 20), (x, y), atol=1e-6)


def test_a_chosen_text_and_its_nearest(page, vectors, texts):
    page.click(*stands(page, 30))
    i = page.run("fastemb.chosen")
    assert i >= 0
    ids, similarities = map_axes.neighbors(vectors)
    for _ in range(2):  # and the nearest of the nearest
        assert page.run("document.querySelector('#chosen .text').textContent") == (texts[i][:400] or "(an empty text)")
        rows = page.run("[...document.querySelectorAll('#chosen li')].map(row => row.innerText.split('\\n'))")
        expected = [re.sub(r"\s+", " ", texts[near]).strip() for near in ids[i]]
        assert [row[0][:80] for row in rows] == [(text or "(an empty text)")[:80] for text in expected]
        assert [row[1] for row in rows] == [f"{near / 1e4:.2f}" for near in similarities[i]]
        page.run("document.querySelector('#chosen li button').focus(), document.activeElement.click()")
        assert page.run("fastemb.chosen") == ids[i][0]
        assert page.run("document.activeElement === document.querySelector('#chosen li button')")  # the focus is kept
        i = ids[i][0]
    page.run("document.querySelector('#chosen .small').click()")
    assert page.run("fastemb.chosen") == -1


def test_dark(page):
    light = page.screenshot()
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.dark(True)
    page.settle()
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert count_pixels(page, WHITE) == 0
    assert count_pixels(page, (47, 151, 221)) > 0  # the lighter blue
    assert page.screenshot() != light
    page.dark(False)
    page.settle()
    assert count_pixels(page, WHITE) > 0


def test_a_narrow_window_and_sharp_pixels(page):
    page.size(1200, 800, ratio=2)  # the same size, on a finer screen
    page.run("document.querySelector('#points').focus()")
    page.key("0")  # what draws next is sharp
    page.wait("document.querySelector('#points').width === 2 * document.querySelector('#stage').clientWidth")
    page.size(360, 700, ratio=3)
    page.settle()
    page.wait("document.querySelector('#points').width === 3 * 360")
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert page.run("[...document.querySelectorAll('#stage, aside')].every(part => part.clientHeight > 150)")
    assert count_pixels(page, BLUE) > 0
    page.size(1200, 800)
    page.settle()


def test_everything_has_a_name(page):
    page.run("fastemb.choose(3)")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = [
        (node["role"]["value"], node.get("name", {}).get("value"), node.get("description", {}).get("value"))
        for node in nodes
        if not node["ignored"]
    ]
    asked = {"button", "textbox", "searchbox", "combobox", "application", "region", "heading"}
    assert all(name for role, name, _ in roles if role in asked)
    ((_, name, description),) = [role for role in roles if role[0] == "application"]
    assert name == "Map of texts"
    assert "60 texts by meaning" in description
    assert "arrow keys move" in description


def test_a_card_that_was_lost(page, painter):
    if painter != "webgl":
        pytest.skip("without a card there is none to lose")
    before = count_pixels(page, BLUE)
    page.run("globalThis.loss = fastemb.painter.gl.getExtension('WEBGL_lose_context'), loss.loseContext()")
    page.wait("fastemb.painter.gl.isContextLost()")
    page.settle()
    page.run("loss.restoreContext()")
    page.wait("!fastemb.painter.gl.isContextLost()")
    page.settle()
    assert count_pixels(page, BLUE) == before


def test_both_painters_draw_alike(page, painter, address):
    if painter != "webgl":
        pytest.skip("the browser of the other painter has no WebGL")
    counts = []
    for name in ("webgl", "pixels"):
        page.open("about:blank")
        page.open(f"{address.partition('#')[0]}#{name}")
        page.run("fastemb.view.zoomAt(300, 300, 3), fastemb.frame()")
        counts.append([count_pixels(page, color) for color in (BLUE, VERMILLION, GREEN)])
    assert np.allclose(*counts, rtol=0.15)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_texts_and_equal_ones(chromium, painter, tmp_path, count):
    rows = [{"text": "the same", "size": None if i else 1} for i in range(count)]
    address = make_page(tmp_path, np.ones((count, 3)), rows, "--color-field", "size")
    chromium.open(f"{address}#{painter}")
    assert chromium.complaints() == []
    x, y = stands(chromium, 0)
    chromium.click(x, y)
    assert chromium.run("fastemb.chosen") in range(count)
    assert len(chromium.run("[...document.querySelectorAll('#chosen li')].map(row => row.innerText)")) == min(
        count - 1, map_axes.NEIGHBORS
    )


def test_damaged_data_is_said(chromium, tmp_path):
    address = make_page(tmp_path, np.eye(3), [{"text": "a"}] * 3)
    page = (tmp_path / "m.html").read_text()
    start = page.index(">", page.index('<script id="data"')) + 40
    (tmp_path / "m.html").write_text(page[:start] + "AAAA" + page[start + 4 :])
    chromium.send("Page.navigate", url=address)
    chromium.wait("document.querySelector('#message')?.textContent.length > 0 && !globalThis.fastemb")
    chromium.wait("!document.querySelector('#message').textContent.startsWith('Unpacking')")
