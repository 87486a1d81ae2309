"""WebSocket over HTTP/2 (RFC 8441), to targets that speak HTTP/1.1 and HTTP/2, and from HTTP/1.1 to HTTP/2:
python3-h2, python3-websockets and Chromium as clients, python3-websockets as a target."""
import random

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side
from websockets.sync.client import connect

import access_line
import http2
from browser import Browser
from standard import group, listener
from target import pattern
from test_metrics import scrape
from websocket import CONNECT, WebSocket, fields
from wire import Connection, TlsConnection, client_context, milliseconds, patience, until

WWW = "www.sluice.test"
PLAIN, SECURE, H2, NO_CONNECT, OFF, REAL, H2_SECURE = 80, 443, 81, 82, 83, 84, 444
IDLE_MS = milliseconds(1500)
ENDS = [PLAIN, SECURE, H2]


def config(net, log):
    def web(name, port, group_name, protocol="http", **settings):
        return listener(name, protocol, port, group_name, timeouts={"idle": IDLE_MS}, limits={"body_bytes": 1000},
                        access_log={"path": str(log)}, **settings)
    one, h2 = net.target_list(8080, 1), {"protocol_version": "http2"}
    return {
        "certificates": net.certificates("default"),
        "target_groups": [
            group("one", "http", one), group("real", "http", net.target_list(8090, 1)),
            group("h2", "http", net.target_list(8082, 1), **h2),
            group("no-connect", "http", net.target_list(8083, 1), proxy_protocol="v2", **h2)],
        "listeners": [
            web("plain", PLAIN, "one", rules=[
                {"priority": 2, "conditions": [{"path": "/fixed"}],
                 "actions": [{"fixed_response": {"status": 200, "body": "ok"}}]},
                {"priority": 3, "actions": [{"fixed_response": {"status": 403}}], "conditions": [
                    {"path": "/by-header"}, {"header": {"name": "Upgrade", "values": ["WebSocket"]}},
                    {"header": {"name": "Connection", "values": ["*upgrade*"]}}]},
                {"priority": 1, "conditions": [{"path": "/moved"}, {"method": ["GET"]}],
                 "actions": [{"redirect": {"status": "301", "path": "/new"}}]}]),
            web("secure", SECURE, "one", "https", certificates=["default"]),
            web("h2", H2, "h2"), web("h2-secure", H2_SECURE, "h2", "https", certificates=["default"]),
            web("no-connect", NO_CONNECT, "no-connect"),
            web("off", OFF, "one", http={"upgrades": False}),
            web("real", REAL, "real", "https", certificates=["default"])]}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("websocket") / "access.log"


@pytest.fixture
def daemon(launch, net, log):
    log.unlink(missing_ok=True)
    return launch(config(net, log))


@pytest.fixture
def target(targets):
    targets[0].reset()
    return targets[0]


def dial(net, port):
    return http2.connect((net.v4, port), WWW if port in (SECURE, REAL) else None)


def lines(log, number):
    until(lambda: log.exists() and len(log.read_text().splitlines()) >= number, f"{number} lines")
    return [access_line.parse(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("port", ENDS)
def test_echo(daemon, net, target, log, port):
    """More bytes than windows and than a body may have, both ways, beside requests on the same connection;
    then either side hears of the end. The line is written then."""
    data, before = b"".join(pattern(400_000)), target.stats()["open"]
    with dial(net, port) as client:
        socket = WebSocket(client, headers=[("sec-websocket-key", "bWluZSwgbm90IHlvdXJzIQ==")])
        assert socket.answer.status == 200
        names = {name for name, _ in socket.answer.headers}
        assert not names & {"sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"}
        for start in range(0, len(data), 50_000):
            socket.send(data[start:start + 50_000])
            assert socket.wait(start + 50_000) == data[:start + 50_000]
            assert client.request("/bytes/100").status == 200
        socket.end()
        assert client.answer(socket.stream).is_whole and socket.answer.error is None
        assert client.request().status == 200
    line = [line for line in lines(log, 10) if line["type"] in ("ws", "wss")]
    answered = 200 if port == H2 else 101
    assert [(row["type"], row["elb_status_code"], row["target_status_code"], row["received_bytes"], row["sent_bytes"])
            for row in line] == [("wss" if port == SECURE else "ws", 200, answered, len(data), len(data))]
    switched = scrape(daemon).value("sluice_target_responses_total", target_group="h2" if port == H2 else "one",
                                    **{"class": "1xx"})
    assert switched == (answered == 101), "what targets say is counted as they say it"
    until(lambda: target.stats()["open"] <= before + 1, "the target's connection is gone")


@pytest.mark.parametrize("port", [PLAIN, SECURE])
def test_target_ends_first(daemon, net, target, port):
    """Its direction alone: the client hears it, and what it sends still arrives."""
    before = target.stats()["open"]
    with dial(net, port) as client:
        socket = WebSocket(client, "/upgrade-half")
        assert client.answer(socket.stream).body == b"bye"
        socket.send(b"x" * 100_000)
        until(lambda: target.stats()["body_bytes"] == 100_000, "it is there")
        socket.end()
        until(lambda: target.stats()["open"] <= before, "the target's connection is gone")
        assert client.request().status == 200 and socket.answer.error is None


@pytest.mark.parametrize("port", ENDS)
def test_client_resets(daemon, net, target, port, log):
    with dial(net, port) as client:
        socket = WebSocket(client)
        socket.send(b"abc")
        assert socket.wait(3) == b"abc"
        client.h2.reset_stream(socket.stream, http2.CANCEL)
        client.flush()
        until(lambda: target.stats()["aborted"] + target.stats()["resets"] > 0, "the target hears of it")
        assert client.request().status == 200
    assert [line["error_reason"] for line in lines(log, 2) if line["type"] != "h2"] == ["client_reset"]


@pytest.mark.parametrize("port", [PLAIN, SECURE])
def test_client_resets_behind_its_end(daemon, net, target, port, log):
    """Also when the target goes on after that end: nobody is there to hear it."""
    with dial(net, port) as client:
        socket = WebSocket(client, "/upgrade-silent")
        socket.end()
        until(lambda: target.stats()["gone"] > 0, "the target hears of the end")
        client.h2.reset_stream(socket.stream, http2.CANCEL)
        client.flush()
        assert client.request().status == 200
    assert [line["error_reason"] for line in lines(log, 2) if line["type"] != "h2"] == ["client_reset"]


@pytest.mark.parametrize("port", ENDS)
def test_idle(daemon, net, port, log):
    with dial(net, port) as client:
        socket = WebSocket(client)
        assert client.answer(socket.stream).error == http2.CANCEL
        assert client.request().status == 200
    assert [line["error_reason"] for line in lines(log, 2) if line["type"] != "h2"] == ["idle_timeout"]


def gets_room(client, room):
    """False: none within a second; nothing hangs on when that is seen."""
    client.wire.sock.settimeout(1)
    try:
        while room() <= 0:
            client.more(holds=True)
    except TimeoutError:
        return False
    finally:
        client.wire.sock.settimeout(patience(10))
    return True


# --- from HTTP/1.1 to HTTP/2

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def upgrade(path="/upgrade", key=KEY, protocol="websocket", method="GET", more=""):
    return (f"{method} {path} HTTP/1.1\r\nHost: {WWW}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
            f"Sec-WebSocket-Version: 13\r\n" + (f"Sec-WebSocket-Key: {key}\r\n" if key else "") + f"{more}\r\n")


def open_old(net, port, path="/upgrade"):
    client = Connection((net.v4, port)) if port == H2 else TlsConnection((net.v4, port), WWW)
    client.send(upgrade(path))
    answer = client.head()
    assert answer.status == 101, answer
    return client, answer


@pytest.mark.parametrize("port", [H2, H2_SECURE])
def test_old_client(daemon, net, target, log, port):
    """Its handshake ends here; bytes that come with it are the tunnel's."""
    data = b"".join(pattern(300_000))
    client = Connection((net.v4, port)) if port == H2 else TlsConnection((net.v4, port), WWW)
    with client:
        client.send(upgrade().encode() + data[:1000])
        answer = client.head()
        assert answer.status == 101 and answer.get("sec-websocket-accept") == ACCEPT
        assert answer.get("upgrade") == "websocket" and answer.get("connection").lower() == "upgrade"
        assert not answer.get("content-length") and not answer.get("transfer-encoding")
        assert client.take(1000) == data[:1000]
        for start in range(1000, len(data), 40_000):
            client.send(data[start:start + 40_000])
            assert client.take(len(data[start:start + 40_000])) == data[start:start + 40_000]
        client.finish()
        assert client.rest() == b""
    line, = lines(log, 1)
    assert (line["type"], line["elb_status_code"], line["request_verb"]) == ("wss" if port == H2_SECURE else "ws", 101, "GET")
    assert (line["target_status_code"], line["error_reason"]) == (200, None)
    until(lambda: target.stats()["open"] <= 1, "the target's stream is gone")


@pytest.mark.parametrize("port", [H2, H2_SECURE])
def test_old_client_goes(daemon, net, target, log, port):
    client, _ = open_old(net, port)
    client.send(b"abc")
    assert client.take(3) == b"abc"
    client.reset()
    until(lambda: target.stats()["aborted"] + target.stats()["resets"] > 0, "the target hears of it")
    assert [line["error_reason"] for line in lines(log, 1)] == ["client_reset"]


@pytest.mark.parametrize("port", [H2, H2_SECURE])
def test_old_client_is_idle(daemon, net, log, port):
    client, _ = open_old(net, port)
    with client:
        assert client.is_ended()
    assert [line["error_reason"] for line in lines(log, 1)] == ["idle_timeout"]


@pytest.mark.parametrize("what, status", [
    ({"key": ""}, 400), ({"key": "dGhlIHNhbXBsZSBub25jZR=="}, 400), ({"method": "POST"}, 400),
    ({"protocol": "other"}, 200), ({"path": "/status/403"}, 403)])
def test_old_client_gets_none(daemon, net, target, what, status):
    with Connection((net.v4, H2)) as client:
        client.send(upgrade(**({"path": "/echo"} | what)))
        answer = client.response()
        assert answer.status == status and not answer.get("upgrade"), answer
        assert client.request().status == 200  # the connection is as before


def test_old_client_of_a_target_without_connect(daemon, net):
    with Connection((net.v4, NO_CONNECT)) as client:
        client.send(upgrade())
        assert client.response().status == 502
    assert daemon.drops()["target_no_connect"] == 1


def test_target_that_takes_nothing(daemon, net, target):
    """No more is taken from the client than windows and sockets hold; others on the connection go on."""
    with dial(net, PLAIN) as client:
        socket = WebSocket(client)
        client.h2.increment_flow_control_window(1 << 24)
        sent = 0

        def room():
            return min(client.h2.local_flow_control_window(socket.stream), 16384)
        # It sends back what comes, and nobody takes that: then it does not read either.
        while sent < 64 << 20 and (room() > 0 or gets_room(client, room)):
            size = room()
            client.h2.send_data(socket.stream, b"x" * size)
            client.flush()
            sent += size
        assert sent < 64 << 20
        client.h2.increment_flow_control_window(1 << 24, socket.stream)
        client.flush()
        assert len(socket.wait(sent)) == sent


def test_websocket_server(daemon, net):
    """Messages of a real one, and its end."""
    with dial(net, REAL) as client:
        socket = WebSocket(client, "/chat")
        assert socket.answer.status == 200
        protocol = Protocol(Side.CLIENT)
        took = 0

        def exchange():
            nonlocal took
            while not (events := protocol.events_received()):
                for data in protocol.data_to_send():
                    if data:
                        socket.send(data)
                assert client.more()
                protocol.receive_data(socket.data[took:])
                took = len(socket.data)
            return events[0]
        for text in (b"hello", "grün".encode(), b"z" * 70_000):
            protocol.send_text(text)
            frame = exchange()
            assert (frame.opcode, bytes(frame.data)) == (Opcode.TEXT, text)
        protocol.send_text(b"close")
        frame = exchange()
        assert (frame.opcode, bytes(frame.data)) == (Opcode.CLOSE, (4000).to_bytes(2) + b"as asked")
        for data in protocol.data_to_send():
            if data:
                socket.send(data)
        socket.end()
        assert client.answer(socket.stream).is_whole


def test_websocket_client(daemon, net):
    """A real client of HTTP/1.1 with a real server: messages of all lengths, fragments, pings, the end with its
    code; compressed, as they agree on by themselves."""
    with connect(f"wss://{net.v4}:{REAL}/chat", ssl=client_context(verify=False)) as socket:
        assert socket.protocol.extensions
        for length in (1, 125, 126, 65535, 65536, 1 << 20):
            text = random.randbytes(length // 2 + 1).hex()[:length]
            socket.send(text)
            assert socket.recv(timeout=patience(10)) == text
        pieces = [random.randbytes(5000) for _ in range(3)]
        socket.send(pieces)
        assert socket.recv(timeout=patience(10)) == b"".join(pieces)
        assert socket.ping().wait(patience(10))
        socket.send("close")
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(timeout=patience(10))
    assert (end.value.rcvd.code, end.value.rcvd.reason) == (4000, "as asked")


def test_browser(daemon, net, log):
    """Chromium opens them over HTTP/2 once it has a connection that offers it."""
    url = str(net.v4)
    with Browser() as page:
        page.open(f"https://{url}/")
        page.value(f"""(window.got = [], window.socket = new WebSocket("wss://{url}/upgrade"),
            socket.onopen = () => got.push("open"), socket.onerror = () => got.push("error"), 1)""")
        until(lambda: page.value("got") == ["open"], "it is open", 20)
        page.value("(socket.close(), 1)")
    rows = [line for line in lines(log, 2) if line["type"] == "wss"]
    assert len(rows) == 1 and rows[0]["elb_status_code"] == 200, "over HTTP/1.1 it would be 101"


def test_answers_that_open_nothing(daemon, net):
    """A status of the target's goes to the client; what would look like an open tunnel does not."""
    with dial(net, PLAIN) as client:
        answer = client.answer(WebSocket(client, "/status/404").stream)
        assert answer.status == 404
        assert client.answer(WebSocket(client, "/echo").stream).status == 502
        assert client.answer(WebSocket(client, "/accept/s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").stream).status == 502
        assert client.answer(WebSocket(client, "/accept/none").stream).status == 502
        assert client.answer(WebSocket(client, "/moved").stream).status == 301
        assert client.answer(WebSocket(client, "/fixed").stream).status == 501
        assert client.request().status == 200
    assert daemon.drops()["target_bad_response"] == 3


def test_rules_for_its_headers(daemon, net):
    """A rule that asks for Upgrade or Connection is for WebSockets whichever version brings them."""
    with dial(net, PLAIN) as client, Connection((net.v4, PLAIN)) as old:
        assert client.answer(WebSocket(client, "/by-header").stream).status == 403
        assert client.request("/by-header").status == 200
        headers = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")]
        assert old.request("/by-header", headers=headers).status == 403
        assert old.request("/by-header").status == 200


def test_target_without_connect(daemon, net):
    with dial(net, NO_CONNECT) as client:
        for _ in range(2):  # on a new connection, and on one that is there
            assert client.answer(WebSocket(client).stream).status == 502
            assert client.request().status == 200
    assert daemon.drops()["target_no_connect"] == 2


@pytest.mark.parametrize("name, wanted", [
    ("connect-udp", 501), ("h2c", 501), ("web socket", 400), ("", None)])
def test_other_protocols(daemon, net, target, name, wanted):
    with dial(net, PLAIN) as client:
        stream = client.h2.get_next_available_stream_id()
        client.fields(stream, fields(protocol=name), ends=False)
        answer = client.answer(stream)
        assert answer.status == wanted or wanted is None and answer.status in (400, None)
        assert client.request().status == 200
    assert "upgrade" not in target.stats()["paths"]


def test_not_offered(daemon, net, target):
    """Neither announced nor taken; HTTP/1.1 leaves the wish out."""
    with dial(net, OFF) as client:
        assert client.request().status == 200
        assert client.h2.remote_settings.get(CONNECT, 0) == 0
        stream = client.h2.get_next_available_stream_id()
        client.fields(stream, fields(), ends=False)
        assert client.answer(stream).error == http2.PROTOCOL_ERROR
        assert client.request().status == 200
    assert "upgrade" not in target.stats()["paths"]
    with Connection((net.v4, OFF)) as client:
        answer = client.request("/echo", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")])
        assert not {"upgrade", "connection"} & {name.lower() for name, _ in answer.json()["headers"]}


def test_turned_off(daemon, net, log):
    """What is open goes on; the next one is refused on a connection that was told otherwise."""
    with dial(net, PLAIN) as client:
        socket = WebSocket(client)
        changed = config(net, log)
        changed["listeners"][0]["http"] = {"upgrades": False}
        daemon.reload(changed)
        socket.send(b"still")
        assert socket.wait(5) == b"still"
        assert client.answer(WebSocket(client).stream).status == 501


def test_shutdown(daemon, net, log):
    """GOAWAY, and the tunnel lives until it ends by itself."""
    with dial(net, PLAIN) as client:
        socket = WebSocket(client)
        daemon.process.terminate()
        while client.goaway is None:
            assert client.more()
        for _ in range(3):
            length = len(socket.data)
            socket.send(b"more")
            assert socket.wait(length + 4)[-4:] == b"more"
        socket.end()
        assert client.answer(socket.stream).is_whole
    until(lambda: daemon.process.poll() == 0, "it has ended", 20)
