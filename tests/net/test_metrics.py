"""Metrics of listeners, rules, target groups and targets, read as Prometheus reads them; over TCP, too."""
import re
from collections import defaultdict

import pytest

import http2
from sluiced import UnixHttp
from standard import CHECK, group, listener
from wire import Connection, until

RULES = [{"priority": 5, "name": "fixed", "conditions": [{"path": "/fixed"}],
          "actions": [{"fixed_response": {"status": 204}}]},
         {"priority": 6, "conditions": [{"path": "/gone"}], "target_group": "refused"},
         {"priority": 7, "conditions": [{"path": "/sick/*"}], "target_group": "sick"}]
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"')


def config(net, **settings):
    return {
        "target_groups": [
            group("web", "http", net.target_list(8080, 1, 2), CHECK),
            group("refused", "http", net.target_list(1, 1), retries={"attempts": 2}),
            group("sick", "http", net.target_list(8080, 1, 2),
                  outlier_detection={"enabled": True, "consecutive_5xx": 3, "max_ejected": "50%"}),
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
