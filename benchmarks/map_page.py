"""What `fastemb map` takes for 100,000 texts, how large its page is, and how long the page takes for a frame.

    python benchmarks/map_page.py [COUNT]

The texts are random words of the pages in docs/, twelve each. The
page is opened in Chromium without a window, by each painter: `pixels` is what a machine without a graphics card has;
`webgl` is drawn in software here, and says nothing of a card.
"""

import base64
import json
import re
import resource
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from chromium import NO_CARD, SOFTWARE, browser  # noqa: E402

from fastemb.__main__ import main  # noqa: E402
from fastemb._cli.commands.bench import processor  # noqa: E402

WORDS = 12
FRAMES = 40

#: Zooms a little in each frame, in and out; reading a pixel waits until WebGL has drawn.
MEASURE = """(async () => {
  const times = [];
  fastemb.view.showAll();
  for (let i = 0; i < FRAMES; i++) {
    fastemb.view.zoomAt(300, 300, i % 2 ? 1.01 : 1 / 1.01);
    const start = performance.now();
    fastemb.frame();
    fastemb.painter.gl?.readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4));
    times.push(performance.now() - start);
    await new Promise(requestAnimationFrame);
  }
  return times;
})()""".replace("FRAMES", str(FRAMES))
SEARCH = """(() => {
  const start = performance.now();
  const found = fastemb.index.find("QUERY");
  return [found.length, performance.now() - start];
})()"""


def texts(count):
    """Return the texts."""
    source = " ".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md")))
    words = sorted(set(re.findall(r"[^\W\d_]+", source)))
    drawn = np.random.default_rng(0).zipf(1.3, (count, WORDS)) % len(words)
    order = np.random.default_rng(1).permutation(len(words))
    return [" ".join(words[order[word]] for word in row) for row in drawn]


def run(count):
    """Write a page, open it, and print what was measured."""
    print(processor())
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "texts.txt"), Path(folder, "map.html")
        file.write_text("\n".join(texts(count)) + "\n", encoding="utf-8")
        main(["map", str(file), "-o", str(out), "-q"])  # kernels are compiled
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        main(["map", str(file), "-o", str(out), "-q"])
        after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - start
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"texts {count:,}, {file.stat().st_size / 1e6:.1f} MB; fastemb map: {cpu:.2f} s of CPU, {wall:.2f} s")
        sizes(out)
        for name, flags in (("pixels", NO_CARD), ("webgl", SOFTWARE)):
            with tempfile.TemporaryDirectory() as profile, browser(profile, *flags) as page:
                frames(page, f"{out.as_uri()}#{name}", name)


def sizes(out):
    """Print how large a page is, and what it would be without compression."""
    page = out.read_text(encoding="utf-8")
    packed = page[page.index(">", page.index('<script id="data"')) + 1 :].partition("<")[0]
    whole = zlib.decompress(base64.b64decode(packed))
    head = json.loads(whole[4 : 4 + int.from_bytes(whole[:4], "little")])
    text = sum(len(text.encode()) for text in head["texts"])
    print(
        f"page {len(page) / 1e6:.2f} MB, of which the data {len(packed) / 1e6:.2f} MB; "
        f"not compressed, in base64, {len(whole) * 4 / 3 / 1e6:.2f} MB; texts alone {text / 1e6:.2f} MB"
    )


def frames(page, address, name):
    """Print how long a page takes to open, for a frame and for a search."""
    start = time.perf_counter()
    page.open(address)
    opened = time.perf_counter() - start
    for ratio in (1, 2):
        page.size(1200, 800, ratio)
        page.run("fastemb.draw()")
        page.wait(f"document.querySelector('#points').height > {ratio} * 600")
        times = page.run(MEASURE)
        print(f"{name}, {ratio}x: a frame {min(times):.1f} ms at best, {statistics.median(times):.1f} in the middle")
    first, later = (page.run(SEARCH.replace("QUERY", query)) for query in ("memory", "kernel"))
    print(f"{name}: open {opened:.2f} s; first search {first[1]:.0f} ms ({first[0]:,} hits), later {later[1]:.0f} ms")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
