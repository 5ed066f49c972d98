"""A real browser for tests: headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import itertools
import shutil
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")


class Page:
    """One open page. problems: console errors and uncaught exceptions. requests: every URL asked for, the page's own
    aside."""

    def __init__(self, socket):
        self.socket, self.ids, self.session = socket, itertools.count(1), None
        self.problems, self.requests = [], []

    async def call(self, method, **params):
        number = next(self.ids)
        await self.socket.send_json(
            {"id": number, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        )
        while True:
            said = await self.socket.receive_json(timeout=60)
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.heard(said)

    def heard(self, said):
        name, params = said["method"], said["params"]
        if name == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(str(params["args"]))
        elif name == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif name == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])

    async def js(self, expression):
        """The value of an expression, or of the promise that it gives."""
        done = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def look(self, path, width=1280, height=900, dark=False):
        """A screenshot of the whole page at this width."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def opened(file, folder):
    """A page that shows `file`, ready; `folder` holds the browser's profile."""
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder / 'profile'}",
        "about:blank",
    ]
    browser = subprocess.Popen([CHROMIUM, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        address = next(line.split()[-1] for line in browser.stderr if line.startswith("DevTools listening on"))
        async with aiohttp.ClientSession() as client, client.ws_connect(address, max_msg_size=0) as socket:
            page = Page(socket)
            target = await page.call("Target.createTarget", url="about:blank")
            page.session = (await page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))[
                "sessionId"
            ]
            for domain in ("Page", "Runtime", "Log", "Network"):
                await page.call(f"{domain}.enable")
            await page.call("Page.navigate", url=file.as_uri())
            await page.js(
                "new Promise(done => { const look = () => document.readyState === 'complete' &&"
                " (!document.getElementById('texts') || document.documentElement.dataset.ready) ? done(true) :"
                " setTimeout(look, 20); look(); })"
            )
            yield page
            await page.call("Browser.close")
    finally:
        browser.stderr.close()
        browser.wait(timeout=30)


def visit(file, folder, steps):
    """Run `steps(page)` on the opened file, and give the page back for its `problems` and `requests`."""

    async def go():
        async with opened(file, folder) as page:
            await steps(page)
            return page

    return asyncio.run(go())
