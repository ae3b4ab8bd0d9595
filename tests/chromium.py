"""Chromium without a window, driven by the DevTools protocol through a pipe: no package is needed for it."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60  # until an answer must have come: the machine may be busy

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-extensions",
)
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a graphics card
NO_CARD = ("--disable-gpu", "--disable-3d-apis")


class Browser:
    """A browser with one page; all its messages are kept."""

    def __init__(self, process, write, read):
        self.process, self._write, self._read = process, write, read
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events = []
        targets = self.send("Target.getTargets")["targetInfos"]
        (target,) = [target["targetId"] for target in targets if target["type"] == "page"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{name}.enable")

    def send(self, method, **params):
        """Send a command and return its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _message(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], SECONDS)
            assert ready, f"no answer of the browser in {SECONDS} s"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, url, width=1200, height=800, dark=False, ratio=1):
        """Open a page and wait until its script says that all is shown."""
        self.events.clear()
        self.size(width, height, ratio)
        self.dark(dark)
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && !document.querySelector('#message')?.textContent")

    def size(self, width, height, ratio=1):
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=False
        )

    def dark(self, on):
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def run(self, code):
        """Return what an expression of JavaScript gives, a promise waited for."""
        found = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, code):
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(code):
            assert time.monotonic() < end, f"in {SECONDS} s it did not come true: {code}; {self.complaints()}"
            time.sleep(0.02)

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, x, y, to_x, to_y):
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseMoved", (x + to_x) / 2, (y + to_y) / 2, button="left", buttons=1)
        self.mouse("mouseMoved", to_x, to_y, button="left", buttons=1)
        self.mouse("mouseReleased", to_x, to_y, button="left", clickCount=1)

    def key(self, key, modifiers=0):
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text, **code)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers, **code)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def screenshot(self):
        """Return the page as a PNG."""
        self.settle()
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def complaints(self):
        """What the console says: errors, warnings, and what the policy of the page refused."""
        self.run("0")  # all that was said until now has then come
        found = [event["params"] for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        found += [
            event["params"]
            for event in self.events
            if event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning")
        ]
        found += [event["params"]["entry"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return found

    def requests(self):
        """The addresses that were asked for."""
        found = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in found]


@contextmanager
def browser(folder, *flags):
    """Start a browser whose files lie in a folder; a test that asks is skipped where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    to_browser, from_browser = os.pipe(), os.pipe()
    for end in (to_browser[0], from_browser[1]):
        os.set_inheritable(end, True)
    # The protocol is spoken by the descriptors 3 and 4.
    command = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    argv = ["bash", "-c", command, program, *FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(argv, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for end in (to_browser[0], from_browser[1]):
        os.close(end)
    try:
        found = Browser(process, to_browser[1], from_browser[0])
        yield found
        found.send("Target.setDiscoverTargets", discover=False)
    finally:
        os.close(to_browser[1])  # a browser whose pipe ends, ends
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_browser[0])
