"""One Chromium for the tests of pages, driven by its debugging protocol over a pipe.

It finds what a page did: errors, violations of its policy, requests, and what it shows. A process
starts in a second or two, so the tests of a session share one.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_TROUBLE = ("error", "warning", "assert")


@dataclass
class Page:
    """A page that is open, and what it did.

    Args:
        browser: Where it is open.
        session: Its session of the protocol.
        troubles: Errors, warnings and violations of the policy, in their order.
        requests: The URLs that it asked for.
    """

    browser: Browser
    session: str
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, path: Path) -> None:
        """Open a file, in front of all others, and wait until it has loaded."""
        self.call("Page.bringToFront")  # a hidden page draws nothing
        self.call("Page.navigate", url=path.as_uri())
        self.browser.wait_for(self, "Page.loadEventFired")

    def draw_all(self) -> int:
        """Scroll to each figure; how many were drawn."""
        return int(self.evaluate(_DRAW_ALL))

    def wait_until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true, ten seconds at the most."""
        assert self.evaluate(_WAIT % condition), f"never: {condition}"

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save what is seen, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def size(self, width: int, height: int) -> None:
        """Make the window that large, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def dark(self, wanted: bool = True) -> None:
        """Prefer dark colours, or light ones."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self.browser.call(method, self.session, **params)

    def close(self) -> None:
        """Close it."""
        self.browser.pages.pop(self.session, None)
        self.call("Page.close")

    def noticed(self, method: str, params: dict[str, Any]) -> None:
        """Take note of an event."""
        if method == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in _TROUBLE:
            self.troubles.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in _TROUBLE:
            self.troubles.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.troubles.append(f"dialog: {params['message']}")


_DRAW_ALL = """
(async () => {
  const holders = Array.from(document.querySelectorAll("[data-plot]"));
  for (const holder of holders) {
    holder.scrollIntoView();
    const end = performance.now() + 10000;
    while (!holder.querySelector(".main-svg") && performance.now() < end) {
      if (holder.textContent.startsWith("This figure could not")) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  scrollTo(0, 0);
  return holders.filter((holder) => holder.querySelector(".main-svg")).length;
})()
"""

_WAIT = """
(async () => {
  for (const end = performance.now() + 10000; performance.now() < end; ) {
    if (%s) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
})()
"""


class Browser:
    """A Chromium process and the pipe to it."""

    def __init__(self, writing: int, reading: int) -> None:
        self.pages: dict[str, Page] = {}
        self._writing, self._reading = writing, reading
        self._left = b""
        self._number = 0

    def page(self, *, scripts: bool = True) -> Page:
        """A new page, without JavaScript where that is wanted."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.size(1280, 900)
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        sent = json.dumps(message).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._writing, sent) :]
        while True:
            answer = self._message()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, page: Page, method: str) -> None:
        """Wait for an event of a page."""
        while True:
            message = self._message()
            if message.get("method") == method and message.get("sessionId") == page.session:
                return

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            piece = os.read(self._reading, 1 << 20)
            assert piece, "the browser ended"
            self._left += piece
        line, self._left = self._left.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message and message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].noticed(message["method"], message["params"])
        return message


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A headless Chromium that ends with the block.

    Args:
        profile: An empty directory for what it writes.
    """
    assert PROGRAM is not None
    to_read, to_write = _pipe()
    from_read, from_write = _pipe()

    def connect() -> None:
        os.dup2(to_read, 3)
        os.dup2(from_write, 4)

    arguments = [
        PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
        "--remote-debugging-pipe", f"--user-data-dir={profile}",
    ]  # fmt: skip
    started = subprocess.Popen(
        arguments,
        preexec_fn=connect,
        pass_fds=(3, 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Browser(to_write, from_read)
    finally:
        os.close(to_write)
        os.close(from_read)
        started.terminate()
        started.wait()


def _pipe() -> tuple[int, int]:
    """A pipe whose numbers are above 4, which Chromium's end of it takes."""
    ends = os.pipe()
    above = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 5) for end in ends)
    for end in ends:
        os.close(end)
    return above[0], above[1]
