"""Certificates that are about to expire: who is told, once, and about which. The webhook is a real
HTTP server, which is down at times; metrics are read as Prometheus does."""
import contextlib
import http.server
import json
import re
import shutil
import threading

import pytest

import server_pki
from client_pki import Identity
from server_pki import DAY
from sluiced import UnixHttp
from standard import group, listener
from wire import milliseconds, until

RECEIVER = ("198.18.1.1", 7080)


class Receiver:
    """Takes alerts; answers with `status`."""

    def __init__(self):
        self.bodies, self.refused, self.status, self.answer = [], [], 204, b""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Content-Type"] == "application/json"
                (receiver.bodies if receiver.status < 300 else receiver.refused).append(body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", str(len(receiver.answer)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # it need not be taken whole
                    self.wfile.write(receiver.answer)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(RECEIVER, Handler)

    def names(self):
        return [cert["name"] for body in self.bodies for cert in body["certificates"]]


@contextlib.contextmanager
def receiving():
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


@pytest.fixture
def folder(net):
    path = net.folder / "expiring"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ca():
    return Identity("ends")


def put(ca, folder, name, end):
    server_pki.write(server_pki.issue(ca, f"{name}.test", end=end), folder / f"{name}.crt",
                     folder / f"{name}.key")


def config(net, folder, **alerts):
    """The default pair of these tests is good for long; one directory serves, the other does not."""
    return {"certificates": [{"name": "many", "directory": str(folder)},
                             {"name": "long", "cert": str(folder / "long.crt"),
                              "key": str(folder / "long.key")}],
            "target_groups": [group("web", "http", net.target_list(8080))],
            "listeners": [listener("web", "https", 443, "web", certificates=["long", "many"])],
            "alerts": {"expiry": ["30d", "7d", "1d"], "retry": milliseconds(200),
                       "webhook": f"http://{RECEIVER[0]}:{RECEIVER[1]}/hook"} | alerts}


def metrics(one):
    """{name: {labels: value}}, checked for the form: each family once, HELP and TYPE first. Histograms are
    looked at in test_metrics.py."""
    connection = UnixHttp(one.socket)
    connection.request("GET", "/v1/metrics")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.read().decode().splitlines()
    connection.close()
    families, name, helped = {}, None, None
    for line in lines:
        if line.startswith("# HELP "):
            helped = line.split()[2]
            assert helped not in families and len(line.split()) > 3
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == helped and kind in ("gauge", "counter", "histogram")
            assert name.endswith("_total") == (kind == "counter")
            families[name] = {}
        elif kind != "histogram":
            match = re.fullmatch(r'(\w+)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)+)\})? (-?\d+)', line)
            assert match and match[1] == name, line
            assert match[2] not in families[name], f"twice: {line}"
            families[name][match[2]] = int(match[3])
    return families


def alerts(one, result):
    return metrics(one)["sluice_alerts_total"][f'result="{result}"']


def lines(one, name):
    return [line for line in one.log().splitlines() if f"certificate {name} " in line and "renew" in line]


def test_each_is_told_once(net, launch, folder, ca):
    """In the log, as metrics, to the webhook; not again after a reload and a restart."""
    put(ca, folder, "long", 90 * DAY)
    put(ca, folder, "month", 20 * DAY)
    put(ca, folder, "week", 6 * DAY - DAY / 2)
    put(ca, folder, "ended", -DAY)
    with receiving() as receiver:
        one = launch(config(net, folder))
        until(lambda: len(receiver.names()) == 3, "the webhook is told of three")
        body = receiver.bodies[0]
        assert body["event"] == "certificate_expiry" and body["node"]
        told = {c["name"]: c for c in body["certificates"]}
        assert set(told) == {"many/month", "many/week", "many/ended"}
        assert [told[f"many/{n}"]["threshold_s"] for n in ("month", "week", "ended")] == [30 * 86400, 7 * 86400, 0]
        assert told["many/ended"]["state"] == "expired" and told["many/week"]["state"] == "expiring"
        assert told["many/week"]["names"] == ["week.test"] and told["many/week"]["listeners"] == ["web"]
        until(lambda: alerts(one, "delivered") == 3, "they are counted")
        found = metrics(one)
        ends = found["sluice_certificate_not_after_seconds"]
        assert set(ends) == {f'name="{n}",listener="web"' for n in
                             ("long", "many/long", "many/month", "many/week", "many/ended")}
        assert ends['name="many/week",listener="web"'] == told["many/week"]["not_after"]
        assert found["sluice_certificates_expired"][None] == 1
        assert found["sluice_certificates_expiring"][None] == 2
        assert all(len(lines(one, f"many/{n}")) == 1 for n in ("month", "week", "ended"))
        assert "of web expires in 5 days" in lines(one, "many/week")[0]
        one.ctl("reload")
        until(lambda: (net.folder / "sluiced.state/alerts").read_text().count("delivered") == 3,
              "it is written down")
        one.stop()
        one.start()
        put(ca, folder, "news", 3 * DAY)
        until(lambda: "many/news" in receiver.names(), "a new one is told")
        assert sorted(receiver.names()) == ["many/ended", "many/month", "many/news", "many/week"]
        assert len(lines(one, "many/week")) == 1


def test_replaced_while_the_webhook_is_down(net, launch, folder, ca):
    """Alerts wait for the webhook; one whose certificate was replaced meanwhile never comes."""
    put(ca, folder, "long", 90 * DAY)
    put(ca, folder, "stays", 6 * DAY)
    put(ca, folder, "replaced", 6 * DAY)
    put(ca, folder, "removed", 6 * DAY)
    with receiving() as receiver:
        receiver.status = 503
        one = launch(config(net, folder))
        until(lambda: len(receiver.refused) >= 2, "it is tried again")
        assert metrics(one)["sluice_alerts_waiting"][None] == 3
        put(ca, folder, "replaced", 80 * DAY)
        (folder / "removed.crt").unlink()
        (folder / "removed.key").unlink()
        until(lambda: alerts(one, "cancelled") == 2, "two are of no use any more")
        receiver.status = 204
        until(lambda: alerts(one, "delivered") == 1, "the other one arrives", 20)
        assert receiver.names() == ["many/stays"]
        assert "does not take alerts, and is tried again: it answers 503" in one.log()


def test_webhook_that_is_not_there(net, launch, folder, ca):
    """It was down, and so was sluiced meanwhile: the alert comes nevertheless."""
    put(ca, folder, "long", 90 * DAY)
    put(ca, folder, "week", 6 * DAY - DAY / 2)
    secret = f"http://user:hidden@{RECEIVER[0]}:{RECEIVER[1]}/hook/token?key=x"
    one = launch(config(net, folder, webhook=secret))
    until(lambda: metrics(one)["sluice_alerts_failed_total"][None] >= 2, "nobody answers")
    until(lambda: f"webhook http://{RECEIVER[0]}:{RECEIVER[1]} does not take alerts" in one.log(), "it is told")
    assert not any(word in one.log() for word in ("hidden", "token", "key=x"))
    until(lambda: lines(one, "many/week"), "it is in the log")
    assert len(lines(one, "many/week")) == 1
    one.stop()
    with receiving() as receiver:
        one.start()
        until(lambda: receiver.names() == ["many/week"], "it is told after the restart", 20)
        assert len(lines(one, "many/week")) == 1  # in the log it was already


def test_webhook_with_a_long_answer(net, launch, folder, ca):
    """That it took the alert is all that counts: once is enough."""
    put(ca, folder, "long", 90 * DAY)
    put(ca, folder, "week", 6 * DAY - DAY / 2)
    with receiving() as receiver:
        receiver.status, receiver.answer = 200, b"x" * 1_000_000
        one = launch(config(net, folder))
        until(lambda: alerts(one, "delivered") == 1, "it has been taken")
        assert receiver.names() == ["many/week"]
        assert metrics(one)["sluice_alerts_failed_total"][None] == 0


def test_no_webhook_and_not_in_use(net, launch, folder, ca):
    """Without a webhook there is the log; what no listener has is nobody's business."""
    put(ca, folder, "long", 90 * DAY)
    (folder / "sub").mkdir()
    put(ca, folder, "week", 6 * DAY - DAY / 2)
    put(ca, folder / "sub", "unused", 6 * DAY)
    settings = config(net, folder)
    del settings["alerts"]
    settings["certificates"] += [{"name": "spare", "cert": str(folder / "sub/unused.crt"),
                                  "key": str(folder / "sub/unused.key")}]
    settings["certificates"][0]["directory"] = str(folder)
    one = launch(settings)
    until(lambda: alerts(one, "told") == 2, "they are counted")
    until(lambda: lines(one, "many/week") and lines(one, "many/sub/unused"), "they are in the log")
    assert not lines(one, "spare") and metrics(one)["sluice_alerts_waiting"][None] == 0
