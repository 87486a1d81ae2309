"""The admin API under strain: what clients of the data plane notice of many changes and rollbacks, how long
lists of very many objects take, and that neither shows in the times of requests."""
import os
import statistics
import subprocess
import sys
import time

import pytest

import netns
from counts import count
from load import Load
from sluiced import IS_SANITIZED, UnixHttp
from standard import CHECK, group, listener
from wire import Connection, client_context, patience, until

MANY = 10000
ROLLBACK_EVERY = 10  # transactions
LIST_MS = 100
WINDOW_S = 1.5
PAUSE_S = 0.004  # between two requests whose times are looked at

# Asks as fast as it is answered, until its input ends; then says how often.
HAMMER = """
import select, sys
from sluiced import UnixHttp
connection, asked = UnixHttp(sys.argv[1]), 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    connection.request("GET", ("/v1/status", "/v1/objects", "/v1/targets", "/v1/metrics")[asked % 4])
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    asked += 1
print(asked, flush=True)
"""


def config(net, **settings):
    return {"certificates": net.certificates("default"),
            "target_groups": [group("web", "http", net.target_list(8080), CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"]),
                          listener("plain", "http", 80, "web")]} | settings


def transaction(number):
    """Three objects at once: a rule comes or is replaced, a target gets another weight, a limit another value."""
    rule = {"priority": 10 + number % 7, "conditions": [{"path": f"/change/{number}/*"}],
            "actions": [{"fixed_response": {"status": 204}}]}
    return {"changes": [
        {"op": "put", "kind": "rules", "name": f"web/r{number % 7}", "settings": rule},
        {"op": "patch", "kind": "targets", "name": "web/t1", "settings": {"weight": 1 + number % 5}},
        {"op": "patch", "kind": "listeners", "name": "web", "settings": {"limits": {"headers": 60 + number % 9}}}]}


def test_changes_and_rollbacks(net, launch, capsys):
    """Transactions and rollbacks one after the other: no request fails, no connection ends, no counter goes
    back, and each takes less than a second."""
    one = launch(config(net))
    one.wait_states("web", ["healthy"] * 3)
    slowest_s, requests, rollbacks = 0, 0, 0
    kept = Load((net.v4, 443), 10, 50, client_context(), "x.test")
    new = Load((net.v4, 443), 4, 20, client_context(), "y.test", is_new_each=True)
    with kept, new:
        for number in range(1, count("api_transactions") + 1):
            begin = time.monotonic()
            one.change("POST", "/v1/objects", transaction(number))
            if number % ROLLBACK_EVERY == 0:
                version = one.api("/v1/history")["version"]
                one.change("POST", f"/v1/rollback?to={version - ROLLBACK_EVERY // 2}")
                rollbacks += 1
            slowest_s = max(slowest_s, time.monotonic() - begin)
            before, requests = requests, one.api("/v1/status")["requests_total"]
            assert requests >= before, "a counter went back"
        until(lambda: kept.ok > 20 and new.ok > 20, "requests all the while")
    with capsys.disabled():
        print(f"\n{count('api_transactions')} transactions, {rollbacks} rollbacks, slowest {slowest_s * 1000:.0f} ms; "
              f"{kept.ok} and {new.ok} requests, slowest {max(kept.slowest_s, new.slowest_s) * 1000:.0f} ms")
    assert kept.failures == [] and new.failures == [] and kept.closed == 0 and new.closed == 0
    assert one.api("/v1/history")["version"] == count("api_transactions") + rollbacks
    assert slowest_s < patience(1)


@pytest.mark.skipif(IS_SANITIZED, reason="it is about time")
def test_very_many_objects(net, launch, capsys):
    """They are listed at once."""
    rules = [{"priority": 1 + n, "target_group": "web", "conditions": [{"path": f"/{n}/*"}]} for n in range(MANY)]
    one = launch(config(net, listeners=[listener("plain", "http", 80, "web", rules=rules)]))
    took_ms = {}
    for path in ("/v1/objects", "/v1/objects?kind=rules", "/v1/rules"):
        times = []
        for _ in range(5):
            begin = time.monotonic()
            connection = UnixHttp(one.socket)
            connection.request("GET", path)
            text = connection.getresponse().read()
            times.append((time.monotonic() - begin) * 1000)
            connection.close()
        assert text.count(b'"name":') >= MANY, path
        took_ms[path] = min(times)
    with capsys.disabled():
        print(f"\n{MANY} objects: " + ", ".join(f"{path} {ms:.0f} ms" for path, ms in took_ms.items()))
    assert max(took_ms.values()) <= patience(LIST_MS), took_ms


def p99_ms(client, seconds):
    end, times = time.monotonic() + seconds, []
    while (begin := time.monotonic()) < end:
        assert client.request().status == 200
        times.append((time.monotonic() - begin) * 1000)
        time.sleep(PAUSE_S)
    return statistics.quantiles(times, n=100)[98]


def hammered(one, work):
    process = subprocess.Popen([sys.executable, "-c", HAMMER, one.socket], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, preexec_fn=netns.die_with_parent,
                               env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert process.stdout.readline() == "ready\n"
    result = work()
    asked = int(process.communicate(input="\n", timeout=patience(20))[0])
    assert process.returncode == 0
    return result, asked


@pytest.mark.alone  # it is about time
@pytest.mark.skipif(IS_SANITIZED, reason="it is about time")
def test_requests_do_not_notice(net, launch, capsys):
    """Times of requests while the API answers as fast as it can, and while it rests, by turns in one run."""
    one = launch(config(net, workers=1))
    one.wait_states("web", ["healthy"] * 3)
    at_rest, under_strain, asked = [], [], 0
    with Connection((net.v4, 80)) as client:
        p99_ms(client, WINDOW_S / 3)
        for _ in range(count("api_windows")):
            at_rest.append(p99_ms(client, WINDOW_S))
            result, more = hammered(one, lambda: p99_ms(client, WINDOW_S))
            under_strain.append(result)
            asked += more
    ratio = statistics.median(under_strain) / statistics.median(at_rest)
    with capsys.disabled():
        print(f"\np99 of requests: {statistics.median(at_rest):.2f} ms, {statistics.median(under_strain):.2f} ms under "
              f"{asked} requests to the API, ratio {ratio:.2f}")
    assert asked > count("api_windows") * 10, "it was busy"
    assert ratio * 100 <= count("api_p99_percent"), (at_rest, under_strain)
