"""Metrics of listeners, rules, target groups and targets, read as Prometheus reads them; over TCP, too."""
import http.client
import json
import re
import shutil
import subprocess
import urllib.parse
from collections import defaultdict

import pytest
import yaml

import http2
import netns
from sluiced import UnixHttp
from standard import CHECK, group, listener
from wire import TIMEOUT, Connection, milliseconds, patience, until

RULES = [{"priority": 5, "name": "fixed", "conditions": [{"path": "/fixed"}],
          "actions": [{"fixed_response": {"status": 204}}]},
         {"priority": 6, "conditions": [{"path": "/gone"}], "target_group": "refused"},
         {"priority": 7, "conditions": [{"path": "/sick/*"}], "target_group": "sick"},
         {"priority": 8, "conditions": [{"path": "/late/*"}], "target_group": "late",
          "rewrite": {"path": "/slow/9000"}},
         {"priority": 9, "conditions": [{"path": "/empty"}], "target_group": "empty"}]
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"')


def config(net, **settings):
    return {
        "target_groups": [
            group("web", "http", net.target_list(8080, 1, 2), CHECK),
            group("refused", "http", net.target_list(1, 1), retries={"attempts": 2}),
            group("sick", "http", net.target_list(8080, 1, 2),
                  outlier_detection={"enabled": True, "consecutive_5xx": 3, "max_ejected": "50%"}),
            group("late", "http", net.target_list(8080, 1), timeouts={"response": milliseconds(200)}),
            group("empty", "http", []),
            group("raw", "tcp", net.target_list(9000, 1))],
        "listeners": [listener("plain", "http", 80, "web", rules=RULES),
                      listener("raw", "tcp", 81, "raw")]} | settings


class Metrics(dict):
    """Samples by name and labels. What Prometheus, or promtool, does not take is an AssertionError."""

    def __init__(self, text):
        super().__init__()
        assert text.endswith("\n")
        self.types, family, self.said = {}, None, set()
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                assert family not in self.said and line.split(" ", 3)[3], line
                self.said.add(family)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == family and kind in ("counter", "gauge", "histogram")
                assert (kind == "counter") == name.endswith("_total"), line
                self.types[name] = kind
            else:
                self.take(line, family)
        for name, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(name)

    def take(self, line, family):
        name, labels, value = SAMPLE.fullmatch(line).groups()
        kind = self.types[family]
        assert name == family or kind == "histogram" and re.fullmatch(family + "_(bucket|sum|count)", name), line
        pairs = LABEL.findall(labels or "")
        key = (name, *sorted(pairs))
        assert key not in self and len(dict(pairs)) == len(pairs), line
        self[key] = float(value)

    def check_histogram(self, name):
        series = defaultdict(list)
        for (sample, *labels), value in self.items():
            if sample == name + "_bucket":
                le = dict(labels)["le"]
                series[tuple(l for l in labels if l[0] != "le")].append((float(le.replace("+", "")), value))
        for labels, buckets in series.items():
            assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets)
            assert buckets[-1] == (float("inf"), self[(name + "_count", *labels)])
            assert self[(name + "_sum", *labels)] >= 0

    def value(self, name, **labels):
        return self.get((name, *sorted(labels.items())), 0)


def scrape(daemon):
    connection = UnixHttp(daemon.socket)
    connection.request("GET", "/v1/metrics")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("content-type").startswith("text/plain; version=0.0.4")
    return Metrics(answer.read().decode())


@pytest.fixture
def daemon(launch, net):
    one = launch(config(net))
    one.wait_states("web", ["healthy"] * 2)
    return one


def test_requests(daemon, net):
    """Counted where they belong, whatever HTTP they came by."""
    with Connection((net.v4, 80)) as client, http2.connect((net.v4, 80)) as second:
        for one in (client, second):
            assert one.request("/slow/40").status == 200
            assert one.request("/status/404").status == 404
            assert one.request("/fixed").status == 204
            assert one.request("/gone").status == 502
    seen = until(lambda: (m := scrape(daemon)).value("sluice_request_duration_seconds_count", listener="plain") == 8
                 and m, "all are counted")
    for name, value in (("fixed", 2), ("rule-6", 2), ("rule-7", 0), ("default", 4)):
        assert seen.value("sluice_rule_hits_total", listener="plain", rule=name) == value
    for code, value in (("2xx", 4), ("4xx", 2), ("5xx", 2)):
        assert seen.value("sluice_responses_total", listener="plain", **{"class": code}) == value
    for code, value in (("2xx", 2), ("4xx", 2)):
        assert seen.value("sluice_target_responses_total", target_group="web", **{"class": code}) == value
    assert seen.value("sluice_target_group_retries_total", target_group="refused") == 4
    assert seen.value("sluice_target_response_seconds_count", target_group="web") == 4
    assert seen.value("sluice_target_response_seconds_count", target_group="refused") == 0
    assert 0.08 <= seen.value("sluice_target_response_seconds_sum", target_group="web") < 8
    assert seen.value("sluice_request_duration_seconds_bucket", listener="plain", le="0.032768") <= 6
    address = {"target": "t1", "address": f"{net.targets[0].v4}:8080"}
    both = sum(seen.value("sluice_target_requests_total", target_group="web", target=t.name,
                          address=f"{t.v4}:8080") for t in net.targets)
    assert both == 4 and seen.value("sluice_target_healthy", target_group="web", **address) == 1
    assert seen.value("sluice_target_group_targets", target_group="web", state="healthy") == 2
    assert ("sluice_target_response_seconds_count", ("target_group", "raw")) not in seen


@pytest.mark.parametrize("connect", [Connection, http2.connect])
def test_own_answers(daemon, net, connect):
    """What we say ourselves of what went wrong, by its status; what targets and rules say is not among it."""
    for path, status in (("/gone", 502), ("/late/x", 504), ("/empty", 503), ("/status/404", 404), ("/status/500", 500),
                         ("/fixed", 204), ("/gone", 502)):
        with connect((net.v4, 80)) as client:
            assert client.request(path).status == status
    with connect((net.v4, 80)) as client:
        assert client.request(method="BREW").status == 501
    until(lambda: scrape(daemon).value("sluice_responses_total", listener="plain", **{"class": "5xx"}) == 6, "counted")
    own = {dict(labels)["code"]: value for (name, *labels), value in scrape(daemon).items()
           if name == "sluice_own_responses_total"}
    assert own == {"502": 2, "504": 1, "503": 1, "501": 1}


def test_ejected(daemon, net):
    """A target that is taken out, and the group it is in."""
    net.targets[0].requests("all")
    with Connection((net.v4, 80)) as client:
        until(lambda: client.request("/sick/x") and scrape(daemon).value(
            "sluice_target_ejected", target_group="sick", target="t1",
            address=f"{net.targets[0].v4}:8080") == 1, "it is out")
    seen = scrape(daemon)
    labels = {"target_group": "sick", "target": "t1", "address": f"{net.targets[0].v4}:8080"}
    assert until(lambda: scrape(daemon).value("sluice_target_ejections_total", **labels) == 1, "it is counted")
    assert seen.value("sluice_target_healthy", **labels) == 0
    assert seen.value("sluice_target_responses_total", target_group="sick", **{"class": "5xx"}) >= 3


# --- over TCP, and as Prometheus and its tools take it

METRICS_PORT = 9464
RULES_FOLDER = netns.TOP / "deploy/prometheus"


@pytest.fixture
def served(launch, net):
    """With metrics.listen, on both families."""
    one = launch(config(net, metrics={"listen": [f"0.0.0.0:{METRICS_PORT}", f"[::]:{METRICS_PORT}"]}))
    one.wait_states("web", ["healthy"] * 2)
    return one


def get(address, path="/metrics", method="GET"):
    client = http.client.HTTPConnection(address, METRICS_PORT, timeout=TIMEOUT)
    try:
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.read().decode(), answer
    finally:
        client.close()


def tool(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=patience(60), **options)


def test_over_tcp(served, net):
    """The metrics, to everybody; nothing else, and nothing of it changes anything."""
    for address in (net.v4, net.v6):
        status, text, answer = get(address)
        assert status == 200 and answer.getheader("content-type").startswith("text/plain; version=0.0.4")
        assert Metrics(text).value("sluice_config_generation") == 1
    assert get(net.v4, "/v1/metrics")[0] == 200
    assert get(net.v4, method="HEAD")[:2] == (200, "")
    for method, path in (("GET", "/"), ("GET", "/v1/status"), ("POST", "/v1/drain"), ("POST", "/metrics"),
                         ("GET", "/v1/config"), ("PUT", "/v1/objects/listeners/plain")):
        status, text, _ = get(net.v4, path, method)
        assert (status, json.loads(text)["error"]["code"]) == (404, "not_found"), (method, path)
    assert served.api("/v1/status")["state"] == "ready"


def test_strangers_use_nothing_up(served, net):
    """Who holds every connection that there is keeps neither Prometheus out nor sluicectl."""
    idle = []
    try:
        for _ in range(20):
            idle.append(Connection((net.v4, METRICS_PORT)))
            idle[-1].send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        assert get(net.v4)[0] == 200
        until(lambda: served.api("/v1/status")["state"] == "ready", "the admin socket answers")
    finally:
        for one in idle:
            one.close()


def test_promtool(served, net):
    """Every family, with samples of all kinds, as Prometheus's own linter wants it."""
    with Connection((net.v4, 80)) as client:
        assert client.request("/").status == 200 and client.request("/gone").status == 502
    done = tool("promtool", "check", "metrics", input=get(net.v4)[1])
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr


def test_alert_rules(tmp_path):
    """The rules and the configuration in deploy/ are good, and each alert fires when it should."""
    for path in RULES_FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    for words in (("check", "rules", "--lint=all", "--lint-fatal", "sluice.rules.yml"),
                  ("check", "config", "prometheus.yml"), ("test", "rules", "sluice.test.yml")):
        done = tool("promtool", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = (tmp_path / "sluice.test.yml").read_text()
    for alert in re.findall(r"alert: (\w+)", (tmp_path / "sluice.rules.yml").read_text()):
        assert re.search(rf"alertname: {alert}\n +exp_alerts: \[{{", tests), f"no test fires {alert}"


def test_alert_rules_name_metrics_there_are(served, net):
    """A metric that was renamed would keep its alerts silent for ever."""
    source = "".join(path.read_text() for path in (netns.TOP / "userspace/control").glob("views_metrics*.c"))
    known = set(re.findall(r'"(sluice_\w+)"', source))
    names = set(re.findall(r"sluice_\w+", "".join(re.findall(
        r"expr:(.*?)(?:\n +(?:for|labels):)", (RULES_FOLDER / "sluice.rules.yml").read_text(), re.S))))
    assert names and {re.sub("_(bucket|count|sum)$", "", name) for name in names} <= known


def ask_prometheus(port, query):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        client.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        answer = client.getresponse()
        text = answer.read()
        return json.loads(text)["data"]["result"] if answer.status == 200 else []  # 503: it starts
    except (OSError, http.client.HTTPException):
        return []
    finally:
        client.close()


def test_prometheus(served, net, tmp_path):
    """A Prometheus server scrapes it, and has the figures that the API has."""
    port = 9490
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "sluice", "static_configs": [
            {"targets": [f"{net.v4}:{METRICS_PORT}"]}]}]}))
    with Connection((net.v4, 80)) as client:
        for _ in range(5):
            assert client.request("/").status == 200
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log,
        preexec_fn=netns.die_with_parent)
    try:
        until(lambda: [r["value"][1] for r in ask_prometheus(port, 'up{job="sluice"}')] == ["1"],
              "it was scraped", 60)
        seen = until(lambda: ask_prometheus(port, 'sluice_requests_total{listener="plain"}'), "it is there", 30)
        row = next(r for r in served.api("/v1/listeners")["listeners"] if r["name"] == "plain")
        assert int(seen[0]["value"][1]) == row["requests"] == 5
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(tmp_path / 'log').read_text()[-3000:]}") from None
    finally:
        server.kill()
        server.wait()
        log.close()
