"""A headless Chromium, steered by the DevTools protocol over a pipe."""
import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import netns
from wire import patience, until

# Inside a namespace, as root: no sandbox of its own, nothing asked of the outside.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--ignore-certificate-errors", "--remote-debugging-pipe")
START_S = patience(60)
ANSWER_S = patience(30)


class Browser:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-test-browser-"))
        self.numbers, self.buffer, self.answers = itertools.count(1), b"", {}
        self.events, self.session = [], None
        theirs, self.to = os.pipe()
        self.back, theirs_out = os.pipe()

        def wire():
            netns.die_with_parent()
            # Both through high numbers: one of them may be 3 or 4 itself.
            high = os.dup(theirs) if theirs > 10 else os.dup2(theirs, 100), os.dup2(theirs_out, 101)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.process = subprocess.Popen(
            ["chromium-headless-shell", *OPTIONS, f"--user-data-dir={self.folder}/profile", "about:blank"],
            preexec_fn=wire, close_fds=False, env=os.environ | {"HOME": str(self.folder)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("wb"))
        os.close(theirs)
        os.close(theirs_out)
        try:
            targets = self.call("Target.getTargets", wait_s=START_S)["targetInfos"]
            page = next(t for t in targets if t["type"] == "page")
            self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, wait_s):
        if not select.select([self.back], [], [], wait_s)[0]:
            return
        data = os.read(self.back, 1 << 20)
        if not data:
            raise AssertionError("the browser has ended:\n" + (self.folder / "log").read_text()[-3000:])
        *messages, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append(message)

    def call(self, method, wait_s=ANSWER_S, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + wait_s
        while number not in self.answers:
            left = end - time.monotonic()
            assert left > 0, f"{method}: no answer"
            self._read(left)
        answer = self.answers.pop(number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, url):
        answer = self.call("Page.navigate", url=url)
        assert not answer.get("errorText"), answer
        until(lambda: self.value("[location.href, document.readyState]") == [url, "complete"], f"{url} is loaded", 30)

    def log_in(self, user, password):
        """What it sends once somebody has typed them."""
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.call("Network.setExtraHTTPHeaders", headers={"Authorization": "Basic " + secret})

    def value(self, expression):
        """What a piece of JavaScript comes to."""
        answer = self.call("Runtime.evaluate", expression=f"JSON.stringify({expression})", returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        text = answer["result"].get("value")
        return None if text is None else json.loads(text)

    def look(self, width, height, scheme):
        """As wide, and in light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(answer["data"]))

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key])

    def complaints(self):
        """Errors of scripts, and what the browser has refused (Content-Security-Policy)."""
        return [event for event in self.events
                if event["method"] == "Runtime.exceptionThrown"
                or event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning")
                or event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning")]

    def asked(self):
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]
