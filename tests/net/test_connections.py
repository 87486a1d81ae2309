"""sluicectl connections: real connections in each state, filters, pages, who makes their records;
the counters of these and the log at the end."""
import contextlib
import json
import re
import ssl

import pytest
import yaml

import standard as ports
from connections import name_of, row_of, rows
from net import CLIENTS
from standard import NO_CHECK, group, listener
from wire import Connection, TlsConnection, client_context, until

WWW = "www.sluice.test"
# Places that a connection may have after its handshake, whatever this kernel can.
PLACES = {"kernel", "waits", "off", "no_kernel_tls", "cipher", "version", "record_size", "buffered",
          "closing", "kernel_refused"}


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname=WWW)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_peek(net):
    connection = Connection((net.v4, ports.PP_TCP_REQUIRE))
    connection.send(b"PROXY TCP4 ")
    return connection


def in_handshake(net):
    connection = Connection((net.v4, ports.TLS_TLS))
    connection.send(client_hello())
    return connection


def in_idle(net):
    connection = Connection((net.v4, ports.HTTP))
    assert connection.request().status == 200
    return connection


def in_request(net):
    connection = TlsConnection((net.v4, ports.HTTPS), WWW)
    connection.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
    return connection


def in_tunnel(net):
    connection = Connection((net.v4, ports.TCP))
    connection.send(b"echo\nhello")
    assert connection.take(5) == b"hello"
    return connection


def in_linger(net):
    connection = Connection((net.v4, ports.HTTP))
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert connection.take_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    return connection


STATES = {"peek": (in_peek, "pp-tcp-require"), "handshake": (in_handshake, "tls-tls"), "idle": (in_idle, "http"),
          "request": (in_request, "https"), "tunnel": (in_tunnel, "tcp"), "linger": (in_linger, "http")}


@pytest.mark.parametrize("state", STATES)
def test_each_state(std, net, state):
    """In the API, in a table and by the filters; and gone from it when it is closed."""
    begin, listener_name = STATES[state]
    with begin(net) as connection:
        name = name_of(connection)
        row = row_of(std, connection, state)
        assert row["listener"] == listener_name and row["client"] == name
        assert 0 <= row["idle_ms"] <= row["age_ms"] < 60_000
        if state == "request":
            assert row["target_group"] == "web" and row["target"] in ("t1", "t2", "t3")
        if state == "idle":
            assert row["requests"] == 1 and row["target"] is None
            assert row["bytes_in"] > 20 and row["bytes_out"] > 50
        if state == "tunnel":
            assert row["target_group"] == "raw" and (row["bytes_in"], row["bytes_out"]) == (10, 5)
        if state != "linger":  # that one ends by itself
            assert name in rows(std, f"&state={state}")
            assert name in rows(std, f"&state=linger,{state}")
            assert name in rows(std, f"&listener={listener_name}&client={CLIENTS[0]}")
            assert name not in rows(std, f"&state={state}&client=192.0.2.0/24")
            assert name not in rows(std, "&state=" + ",".join(set(STATES) - {state}))
            assert name not in rows(std, "&listener=one")
            table = std.ctl("connections", "--listener", listener_name, "--state", state)[1]
            assert name in table and listener_name in table
    until(lambda: name not in rows(std), "it is gone")


def test_three_forms(std, net):
    with in_tunnel(net) as connection:
        row_of(std, connection, "tunnel")
        words = ("connections", "--listener", "tcp", "--limit", "5", "--client", "198.18.1.0/24")
        as_json = json.loads(std.ctl("-o", "json", *words)[1])
        as_yaml = yaml.safe_load(std.ctl("-o", "yaml", *words)[1])
        ids = [row["id"] for row in as_json["connections"]]
        assert ids and ids == [row["id"] for row in as_yaml["connections"]]
        assert as_json["has_more"] is False and as_json["next"] is None
        narrow, wide = std.ctl(*words)[1], std.ctl("-o", "wide", *words)[1]
        assert "TARGET" in narrow and "WORKER" not in narrow
        assert "WORKER" in wide and "GROUP" in wide and "raw" in wide


def test_tls_of_both_sides(std, net):
    """Version, cipher, name and place of the records, of the client's side and the target's."""
    with TlsConnection((net.v4, ports.TLS_TLS), WWW) as connection:
        connection.send(b"echo\nhello")
        assert connection.take(5) == b"hello"
        row = row_of(std, connection, "tunnel")
        assert row["server_name"] == WWW and row["ja4"].startswith("t13d")
        for tls in (row["tls"], row["target_tls"]):
            assert tls["version"] == "TLSv1.3" and tls["cipher"].startswith("TLS_") and tls["key_updates"] == 0
            for direction in ("rx", "tx"):
                place = tls[direction]
                assert place["place"] in PLACES
                assert (place["reason"] is None) == (place["place"] == "kernel")
        assert row["tls"]["cipher"] == connection.tls.cipher()[0]
        wide = std.ctl("-o", "wide", "connections", "--listener", "tls-tls")[1]
        line = next(line for line in wide.splitlines() if f" {name_of(connection)} " in line)
        assert row["tls"]["rx"]["place"] in line and row["tls"]["cipher"] in line and WWW in line
        if row["tls"]["rx"]["reason"]:
            assert f"{row['tls']['rx']['place']}: {row['tls']['rx']['reason']}" in wide
    with TlsConnection((net.v4, ports.HTTPS_12), WWW) as connection:
        assert connection.request().status == 200
        row = row_of(std, connection, "idle")
        assert row["tls"]["version"] == "TLSv1.2" and row["tls"]["alpn"] in (None, "http/1.1")
        assert row["target_tls"] is None and row["target"] is None


def test_handshake_has_no_records_yet(std, net):
    with in_handshake(net) as connection:
        tls = row_of(std, connection, "handshake")["tls"]
        assert tls["version"] is None and tls["rx"]["place"] == tls["tx"]["place"] == "none"


@pytest.fixture
def crowd(std, net):
    """More than a page of each worker holds, from two addresses."""
    before = set(rows(std))
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection((net.v4, ports.TCP), source=CLIENTS[i % 3 == 0]))
                       for i in range(300)]
        until(lambda: len(set(rows(std, "&state=tunnel")) - before) >= 300, "all are there")
        yield connections


def test_pages(std, crowd):
    """Pages of any size show each connection once, and the limit is kept."""
    wanted = {name_of(connection) for connection in crowd}
    for limit in (7, 64, 128, 299):
        seen, query, n = [], "", 0
        while query is not None:
            answer = std.api(f"/v1/connections?listener=tcp&limit={limit}{query}")
            assert len(answer["connections"]) == limit or not answer["has_more"]
            seen += [row["client"] for row in answer["connections"]]
            assert answer["has_more"] == (answer["next"] is not None)
            query = f"&after={answer['next']}" if answer["has_more"] else None
            n += 1
        assert n >= 300 // limit and wanted <= set(seen) and len(set(seen)) == len(seen)
    table = std.ctl("connections", "--listener", "tcp", "--limit", "10")[1]
    assert table.count(CLIENTS[0]) + table.count(CLIENTS[1]) == 10 and "--limit" in table


def test_client_filter(std, crowd):
    others = {name_of(c) for i, c in enumerate(crowd) if i % 3 == 0}
    assert set(rows(std, f"&listener=tcp&client={CLIENTS[1]}")) == others
    assert set(rows(std, f"&listener=tcp&client={CLIENTS[1]}/32")) == others
    assert len(rows(std, "&listener=tcp&client=198.18.1.0/24")) >= 300
    assert not rows(std, "&listener=tcp&client=2001:db8::/32")


@pytest.mark.parametrize("words", [
    ["--listener", "none"], ["--client", "198.18.1.1/24"], ["--client", "nobody"], ["--state", "asleep"],
    ["--state", ""], ["--state", "idle,asleep"], ["--limit", "0"], ["--limit", "many"]])
def test_what_is_refused(std, words):
    code, out, err = std.ctl("connections", *words, check=False)
    assert code == 1 and not out and err.startswith("sluicectl: "), (out, err)


@pytest.mark.parametrize("words", [["connections", "extra"], ["status", "--limit", "5"], ["drops", "--state", "idle"],
                                   ["connections", "--reason", "x"], ["-o", "wider", "connections"]])
def test_wrong_usage(std, words):
    assert std.ctl(*words, check=False)[0] == 2


def test_completion(std):
    text = std.ctl("completion", "bash")[1]
    assert "connections" in text and "peek handshake idle request http2 tunnel linger" in text
    assert "table wide json yaml" in text


def test_status_tells_the_memory(std):
    memory = std.api("/v1/status")["memory"]
    assert 200 < memory["idle_connection_bytes"] < 2048
    assert memory["idle_connection_bytes"] < memory["idle_tls_connection_bytes"] <= 2048
    assert f"with TLS {memory['idle_tls_connection_bytes']}" in std.ctl("status")[1]
    with Connection((std.net.v4, ports.TCP)) as connection:
        row_of(std, connection, "tunnel")
        assert std.api("/v1/status")["memory"]["connections_bytes"] >= memory["idle_connection_bytes"]


def config(net, level="debug", **tls):
    names = net.certificates("www")
    return {"log": {"level": level}, "certificates": names,
            "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK),
                              group("web-tls", "https", net.target_list(8443),
                                    tls={"verify": False} | tls)],
            "listeners": [listener("plain", "http", 80, "web"),
                          listener("secure", "https", 443, "web", certificates=["www"], tls=tls),
                          listener("both", "https", 444, "web-tls", certificates=["www"], tls=tls)]}


def test_counted_at_the_end(net, launch):
    """By listener, direction and place, in listeners and counters; and in the log."""
    one = launch(config(net))

    def ktls(name="secure"):
        return next(row for row in one.api("/v1/listeners")["listeners"] if row["name"] == name)["ktls"]

    def total(name="secure"):
        return sum(ktls(name)["rx"].values()), sum(ktls(name)["tx"].values())
    assert ktls("plain") is None and ktls()["setting"] == "auto" and total() == (0, 0)
    for _ in range(3):
        with TlsConnection((net.v4, 443), WWW) as connection:
            assert connection.request().status == 200
            name = name_of(connection)
            places = row_of(one, connection, "idle")["tls"]
    until(lambda: total() == (3, 3), "they are counted")
    assert total("both") == (0, 0)
    assert ktls()["rx"][places["rx"]["place"]] >= 1
    counters = {row["reason"]: row["count"] for row in one.api("/v1/counters")["counters"]}
    assert sum(counters[f"ktls_rx_{place}"] for place in ktls()["rx"]) == 3
    wide = one.ctl("-o", "wide", "listeners")[1]
    assert "RECORDS RECEIVED" in wide and f"{places['rx']['place']} " in wide
    assert "RECORDS RECEIVED" not in one.ctl("listeners")[1]
    until(lambda: re.search(
        rf"listener secure: client {name}: \w+ .*in=\d\d+ out=\d\d+ tls=TLSv1.3 cipher=TLS_\w+ "
        rf"rx={places['rx']['place']} tx={places['tx']['place']}", one.log()), "the log says it")
    with Connection((net.v4, 80)) as connection:
        assert connection.request().status == 200
        name = name_of(connection)
    until(lambda: re.search(rf"client {name}: \w+ in=\d+ out=\d+$", one.log(), re.M), "plain too")


def test_records_of_targets_are_counted(net, launch):
    """Of each target, and of a group's targets together."""
    one = launch(config(net))

    def ktls(view, **which):
        return next(row["ktls"] for row in one.api(f"/v1/{view}")[view.replace("-", "_")]
                    if all(row[name] == value for name, value in which.items()))
    before = ktls("target-groups", name="web-tls")
    assert before["setting"] == "auto" and sum(before["rx"].values()) == 0
    assert ktls("targets", group="web-tls") is None and ktls("target-groups", name="web") is None
    for _ in range(3):
        with TlsConnection((net.v4, 444), WWW) as connection:
            connection.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.response().status == 200
    for way in ("rx", "tx"):
        until(lambda: sum(ktls("target-groups", name="web-tls")[way].values()) == 3, "all are counted")
    assert set(ktls("targets", group="web-tls")["rx"]) == set(before["rx"])
    wide = one.ctl("-o", "wide", "groups")[1]
    assert "RECORDS RECEIVED" in wide and "RECORDS RECEIVED" not in one.ctl("groups")[1]
    assert "RECORDS RECEIVED" in one.ctl("-o", "wide", "targets")[1]


def test_setting_off(net, launch):
    """ktls: off, of a listener and towards targets, is said as the reason; a reload changes it for
    new connections."""
    one = launch(config(net, ktls="off"))
    with TlsConnection((net.v4, 444), WWW) as connection:
        connection.send("GET /slow/2000 HTTP/1.1\r\nHost: a\r\n\r\n")
        row = until(lambda: (row := row_of(one, connection, "request"))["target_tls"]
                    and row["target_tls"]["version"] and row, "it is with the target")
        for tls in (row["tls"], row["target_tls"]):
            assert tls["rx"]["place"] == tls["tx"]["place"] == "off"
            assert "ktls" in tls["rx"]["reason"]
        assert connection.response().status == 200
        one.reload(config(net))
        with TlsConnection((net.v4, 444), WWW) as other:
            assert other.request().status == 200
            assert row_of(one, other, "idle")["tls"]["rx"]["place"] != "off"
        assert row_of(one, connection)["tls"]["rx"]["place"] == "off"


def test_setting_is_checked(net, launch):
    """A word that is none is refused, with those that there are; others can be read back."""
    one = launch(config(net))
    generation = one.generation()
    one.write(config(net, ktls="always"))
    code, _, err = one.ctl("reload", check=False)
    assert code == 1 and "ktls" in err and "require" in err and one.generation() == generation
    one.reload(config(net, ktls="tx"))
    assert "ktls: tx" in one.api("/v1/config")["yaml"]
