"""The dashboard in a real browser, under load: its numbers are those of the API, it asks nobody else for anything, and it
fits a telephone, a dark room and a keyboard. SCREENSHOTS names a folder for pictures of it."""
import json
import os
import threading
from pathlib import Path

import pytest

from browser import Browser
from sluiced import UnixHttp
from standard import CHECK, group, listener
from wire import Connection, TlsConnection, until

PORT, TOKEN = 9443, "the-token-of-the-dashboard"
ASSETS = ("/", "/dashboard.css", "/dashboard.js")
RULES = [{"priority": 5, "name": "fixed", "conditions": [{"path": "/fixed"}],
          "actions": [{"fixed_response": {"status": 204}}]},
         {"priority": 6, "name": "never", "conditions": [{"path": "/never"}], "target_group": "web"}]


def config(net):
    return {
        "certificates": net.certificates("www"),
        "admin": {"socket": str(net.folder / "sluiced.sock"), "listen": [f"0.0.0.0:{PORT}"], "certificate": "www",
                  "tokens": [{"name": "page", "role": "read", "file": str(net.folder / "page.token")}]},
        "deny": ["203.0.113.0/24"],
        "target_groups": [group("web", "http", net.target_list(8080), CHECK),
                          group("gone", "http", net.target_list(1, 1), CHECK | {"port": 1})],
        "listeners": [listener("plain", "http", 80, "web", rules=RULES),
                      listener("secure", "https", 443, "web", certificates=["www"])]}


@pytest.fixture(scope="module")
def daemon(net):
    """One for all tests here."""
    net.heal()
    (net.folder / "page.token").write_text(TOKEN + "\n")
    (net.folder / "page.token").chmod(0o600)
    one = net.launch(config(net))
    one.wait_states("web", ["healthy"] * 3)
    yield one
    net.halt()


class Load:
    """Requests over kept and over new connections, plain and TLS, until the end of the block."""

    def __init__(self, net):
        self.net, self.over, self.failed = net, threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(one,), daemon=True) for one in (self.plain, self.secure)]

    def run(self, one):
        try:
            one()
        except Exception as error:  # pylint: disable=broad-except
            self.failed.append(error)

    def plain(self):
        with Connection((self.net.v4, 80)) as client:
            while not self.over.is_set():
                assert client.request("/").status == 200 and client.request("/fixed").status == 204

    def secure(self):
        while not self.over.is_set():
            with TlsConnection((self.net.v4, 443), "www.sluice.test") as client:
                assert client.request("/").status == 200

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def cell(page, table, key, column):
    """The number that a row of a table shows."""
    return page.value(f"Number(document.querySelector('#{table} tr[data-key=\"{key}\"] "
                      f"[data-column=\"{column}\"]')?.dataset.value ?? -1)")


def row(page, name):
    return {column: cell(page, "t-listeners", name, column)
            for column in ("Accepted", "Requests", "Refused", "Bytes in", "Bytes out")}


def api_row(daemon, name):
    one = next(l for l in daemon.api("/v1/listeners")["listeners"] if l["name"] == name)
    return {"Accepted": one["accepted"], "Requests": one["requests"], "Refused": one["refused"],
            "Bytes in": one["bytes_in"], "Bytes out": one["bytes_out"]}


def test_page(daemon, net):
    """Live under load, equal to the API behind it, alone with its server, and readable everywhere."""
    with Browser() as page:
        page.look(1280, 900, "light")
        page.log_in("anybody", TOKEN)
        page.open(f"https://{net.v4}:{PORT}/")
        with Load(net) as load:
            until(lambda: cell(page, "t-listeners", "plain", "Requests") > 20, "the load is seen", 20)
            before = page.value("Number(document.body.dataset.events)")
            until(lambda: page.value("Number(document.body.dataset.events)") > before + 2, "it goes on by itself", 20)
            assert page.value("document.querySelector('#live').textContent") == "live"
        assert not load.failed
        for name in ("plain", "secure"):
            until(lambda: row(page, name) == api_row(daemon, name), f"the page has the figures of {name}", 20)
        status = daemon.api("/v1/status")
        tile = lambda name: page.value(f"Number(document.querySelector('#{name}').dataset.value)")
        assert tile("v-requests") == status["requests_total"] > 40
        assert tile("v-handshakes") == status["handshakes"]["full"] + status["handshakes"]["resumed"] > 0
        rules = {rule["name"]: rule["hits"] for rule in daemon.api("/v1/rules?listener=plain")["listeners"][0]["rules"]}
        assert cell(page, "t-rules", "plain/fixed", "Hits") == rules["fixed"] > 10
        assert cell(page, "t-rules", "plain/never", "Hits") == rules["never"] == 0
        targets = [t for t in daemon.api("/v1/targets")["targets"] if t["group"] == "web"]
        for target in targets:
            assert cell(page, "t-targets", "web/" + target["name"], "Requests") == target["requests"]
        counts = page.value("[...document.querySelectorAll('#t-drops [data-column=Count]')].map((e) => Number(e.dataset.value))")
        assert counts and 0 not in counts and counts == sorted(counts, reverse=True)
        drops = {row["reason"]: row["count"] for row in daemon.api("/v1/drops")["drops"]}
        assert drops["cookie_ack"] > 0, "each connection that the gate lets in begins with one"
        until(lambda: tile("v-drops") == sum(drops.values()) - drops["cookie_ack"] - drops.get("request_ack", 0), "which is no loss", 20)
        sick = page.value("[...document.querySelectorAll('#t-targets tr[data-key] .mark')].map((e) => e.textContent)")
        assert sick[0] == "unhealthy" and sick.count("healthy") == 3
        assert "checks failed" in page.value("document.querySelector('#t-targets .checks').getAttribute('aria-label')")
        assert page.value("document.querySelectorAll('#t-certificates tr[data-key]').length") == 1
        assert page.value("document.querySelectorAll('#c-requests polyline').length") == 2
        check_looks(page)
        check_keyboard(page)
        assert not page.complaints()
        origin = f"https://{net.v4}:{PORT}/"
        assert {url.removeprefix(origin) for url in page.asked()} <= {"", "dashboard.css", "dashboard.js", "v1/events", "data:,"}


def check_looks(page):
    """Nothing is wider than the window, in any of four looks."""
    folder = os.environ.get("SCREENSHOTS")
    for width, height in ((1280, 900), (375, 812)):
        for scheme in ("light", "dark"):
            page.look(width, height, scheme)
            until(lambda: page.value("innerWidth") == width, "the window is that wide")
            assert page.value("document.documentElement.scrollWidth") <= width
            dark = page.value("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 25)"
            assert dark == (scheme == "dark")
            if folder:
                page.screenshot(Path(folder) / f"{width}-{scheme}.png")
    page.look(1280, 900, "light")


def check_keyboard(page):
    """Every section and every table that may have to be scrolled is reached by Tab; what has the focus is seen."""
    page.value("document.activeElement.blur()")
    seen = []
    for _ in range(24):
        page.press("Tab")
        seen.append(page.value("document.activeElement.getAttribute('href') ?? document.activeElement.getAttribute('aria-labelledby')"))
    assert seen[0] == "#main" and "#targets" in seen and "h-targets" in seen and "h-certificates" in seen
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_reconnects(daemon, net):
    """The daemon is started anew: the page goes on by itself."""
    with Browser() as page:
        page.log_in("anybody", TOKEN)
        page.open(f"https://{net.v4}:{PORT}/")
        until(lambda: page.value("document.querySelector('#live').textContent") == "live", "it is live", 20)
        daemon.stop()
        until(lambda: page.value("document.querySelector('#live').textContent") == "connecting again", "it is told", 20)
        daemon.start()
        until(lambda: page.value("document.querySelector('#live').textContent") == "live", "it is live again", 30)


def ask(daemon, path):
    connection = UnixHttp(daemon.socket)
    connection.request("GET", path)
    return connection, connection.getresponse()


def test_assets(daemon, net):
    """The page is on the unix socket, too; it allows nothing from elsewhere, and has nothing in line."""
    for path in ASSETS:
        connection, answer = ask(daemon, path)
        policy, text = answer.getheader("content-security-policy"), answer.read().decode()
        connection.close()
        assert answer.status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.getheader("x-content-type-options") == "nosniff"
        assert " style=" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text and "innerHTML" not in text
    for path in ASSETS + ("/v1/events", "/v1/overview"):
        client = TlsConnection((net.v4, PORT), "www.sluice.test")
        assert client.request(path).status == 401
        client.close()


def read_event(answer):
    lines = []
    while (line := answer.readline().decode()) != "\n":
        lines.append(line.rstrip("\n"))
    assert lines[0] == "event: overview" and lines[1].startswith("data: ") and len(lines) == 2
    return json.loads(lines[1].removeprefix("data: "))


def test_events(daemon, net):
    """The first one has the past, the others what is now; at most eight listen."""
    listeners = [ask(daemon, "/v1/events") for _ in range(8)]
    try:
        assert all(answer.status == 200 for _, answer in listeners)
        assert listeners[0][1].getheader("content-type") == "text/event-stream"
        first, second = read_event(listeners[0][1]), read_event(listeners[0][1])
        assert len(set(map(len, (first["past"][name] for name in ("at_ms", "requests", "bytes_out", "p99_us"))))) == 1
        assert "past" not in second and second["status"]["pid"] == daemon.process.pid
        assert set(second) == set(daemon.api("/v1/overview"))
        connection, answer = ask(daemon, "/v1/events")
        assert answer.status == 503 and json.loads(answer.read())["error"]["code"] == "too_many_watchers"
        connection.close()
    finally:
        for connection, answer in listeners:
            answer.close()
            connection.close()
    until(lambda: is_free(daemon), "there is room again")


def is_free(daemon):
    connection, answer = ask(daemon, "/v1/events")
    try:
        return answer.status == 200
    finally:
        answer.close()
        connection.close()
