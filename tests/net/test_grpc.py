"""gRPC by a client and servers of its own: calls of all kinds, their ends, and our own answers to them."""
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # tests start programs; those need nothing of it
import grpc  # noqa: E402

import http2
import netns
from grpc_target import Client
from standard import group, listener
from wire import Connection, milliseconds, patience, until

HERE = Path(__file__).resolve().parent
PLAIN, TLS = 8190, 8453
GRPC = {"protocol_version": "grpc"}
HEALTH = {"protocol": "grpc", "interval": milliseconds(300), "timeout": milliseconds(250), "rise": 1, "fall": 1}


class Server:
    def __init__(self, net, index, port):
        self.net, self.target, self.port, self.process = net, net.targets[index], port, None

    def start(self):
        command = [sys.executable, HERE / "grpc_target.py", "--name", self.target.name,
                   "--address", f"{self.target.v4}:{self.port}"]
        if self.port == TLS:
            command += ["--cert", self.net.certs["target"][0], "--key", self.net.certs["target"][1]]
        self.process = subprocess.Popen(netns.inside(self.net.targets_ns, *map(str, command)), text=True,
                                        stdout=subprocess.PIPE, preexec_fn=netns.die_with_parent)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def servers(net):
    servers = [Server(net, index, port).start() for index, port in [(0, PLAIN), (1, PLAIN), (0, TLS)]]
    yield servers
    for server in servers:
        server.kill()


def settings(net, n=(1,), **more):
    web = group("web", "http", net.target_list(PLAIN, *n), **GRPC | more)
    return {"target_groups": [web], "listeners": [listener("web", "http", 80, "web")]}


@contextmanager
def channel(net, port=80):
    with grpc.insecure_channel(f"{net.v4}:{port}", options=[("grpc.enable_retries", 0)]) as plain:
        yield Client(plain)


def seen(client):
    return json.loads(client.calls(b"", timeout=patience(10)))


@pytest.fixture(params=["plain", "http2", "tls"])
def client(request, net, launch, servers):
    """Plain to plain, also through a group that is for any request, or TLS to TLS."""
    if request.param != "tls":
        launch(settings(net, **{} if request.param == "plain" else {"protocol_version": "http2"}))
        with channel(net) as plain:
            yield plain
        return
    launch({"certificates": net.certificates("www"),
            "target_groups": [group("web", "https", net.target_list(TLS, 1), tls={"ca": str(net.ca.pem)}, **GRPC)],
            "listeners": [listener("web", "https", 443, "web", certificates=["www"])]})
    credentials = grpc.ssl_channel_credentials(net.ca.pem.read_bytes())
    with grpc.secure_channel(f"{net.v4}:443", credentials,
                             options=[("grpc.ssl_target_name_override", "www.sluice.test")]) as secure:
        yield Client(secure)


def test_calls(client):
    """Of each of the four kinds, with what is in front of and behind the messages."""
    timeout = patience(20)
    answer, call = client.unary.with_call(b"x" * 100_000, timeout=timeout, metadata=[("x-mine", "1")])
    assert answer == b"x" * 100_000
    assert dict(call.initial_metadata())["x-target"] == "t1"
    assert dict(call.trailing_metadata())["x-trailer"] == "behind"
    assert [len(m) for m in client.download(b"50 10000", timeout=timeout)] == [10000] * 50
    assert client.upload(iter([b"y" * 10000] * 50), timeout=timeout) == b"50 500000"
    assert list(client.chat(iter([b"%d" % i for i in range(100)]), timeout=timeout)) == [b"%d" % i for i in range(100)]


def test_chat_goes_to_and_fro(client):
    """Each message is answered before the next one is sent: nothing is held back."""
    import queue
    questions = queue.SimpleQueue()
    answers = client.chat(iter(questions.get, None), timeout=patience(20))
    for i in range(20):
        questions.put(b"%d" % i)
        assert next(answers) == b"%d" % i
    questions.put(None)
    assert list(answers) == [] and answers.code() is grpc.StatusCode.OK


def test_many_calls_at_once(client):
    calls = [client.unary.future(b"%d" % i, timeout=patience(20)) for i in range(200)]
    assert [call.result() for call in calls] == [b"%d" % i for i in range(200)]


@pytest.mark.parametrize("code", ["NOT_FOUND", "UNAVAILABLE", "INTERNAL"])
def test_errors_of_the_server(client, code):
    with pytest.raises(grpc.RpcError) as error:
        client.fail(f"{code} because of – this".encode(), timeout=patience(20))
    assert (error.value.code().name, error.value.details()) == (code, "because of – this")
    with pytest.raises(grpc.RpcError) as error:
        client.missing(b"", timeout=patience(20))
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_deadline_and_cancel(net, launch, servers):
    """The server learns that nobody waits any more."""
    launch(settings(net))
    with channel(net) as client:
        before = seen(client)
        with pytest.raises(grpc.RpcError) as error:
            client.wait(b"60", timeout=0.2)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        call = client.wait.future(b"60")
        until(lambda: seen(client)["calls"] == before["calls"] + 2, "both have been called")
        call.cancel()
        until(lambda: seen(client)["cancelled"] == before["cancelled"] + 2, "both have been told")


def test_our_own_errors(net, launch, servers):
    """As the client of a call understands them: a status of gRPC, with 200."""
    one = launch(settings(net) | {"target_groups": [
        group("web", "http", net.target_list(1, 1), **GRPC)]})
    with channel(net) as client, pytest.raises(grpc.RpcError) as error:
        client.unary(b"", timeout=patience(10))
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAVAILABLE, "502 Bad Gateway")
    with http2.connect((net.v4, 80)) as raw:
        for kind, status in [("application/grpc+proto", 200), ("application/grpc-web", 502), ("text/plain", 502)]:
            answer = raw.request("/x/y", "POST", [("content-type", kind)], b"x")
            assert (answer.status, answer.get("grpc-status")) == (status, "14" if status == 200 else None)
    until(lambda: one.drops()["target_refused"] == 4, "they are counted")


def test_nothing_but_grpc(net, launch, servers):
    """What is no POST over HTTP/2 is refused as AWS's load balancers do it."""
    one = launch(settings(net))
    with Connection((net.v4, 80)) as old, http2.connect((net.v4, 80)) as new:
        assert old.request("/test.Service/Unary", "POST", body=b"x").status == 464
        assert new.request("/test.Service/Unary").status == 464
    assert one.drops()["not_grpc"] == 2


def test_server_dies(net, launch, servers):
    """Calls under way say so, those that come go to the other one."""
    victim = Server(net, 2, PLAIN).start()
    try:
        one = launch(settings(net, (2, 3)) | {"workers": 1})
        with channel(net) as client:
            calls = [client.wait.future(b"60") for _ in range(4)]
            until(lambda: [row["requests"] for row in one.targets("web").values()] == [2, 2], "both have calls")
            victim.kill()
            until(lambda: sum(call.done() for call in calls) == 2, "calls have ended")
            assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.UNAVAILABLE}
            assert [client.unary(b"x", timeout=patience(10)) for _ in range(6)] == [b"x"] * 6
            for call in calls:
                call.cancel()
    finally:
        victim.kill()


def states(one):
    return {name: (row["state"], (row["last_check"] or {}).get("detail")) for name, row in one.targets("web").items()}


@pytest.mark.parametrize("more, state, detail", [
    ({}, "healthy", "grpc-status 0"),
    ({"grpc_service": "ok.Service"}, "healthy", "grpc-status 0"),
    ({"grpc_service": "bad.Service"}, "unhealthy", "not serving"),
    ({"grpc_service": "no.Service"}, "unhealthy", "grpc-status 5"),
    ({"grpc_method": "/AWS.ALB/healthcheck"}, "unhealthy", "grpc-status 12"),
    ({"grpc_method": "/AWS.ALB/healthcheck", "grpc_codes": "0,12"}, "healthy", "grpc-status 12"),
    ({"port": 8080}, "unhealthy", None)])
def test_health_checks(net, launch, servers, more, state, detail):
    one = launch(settings(net, health_check=HEALTH | more))
    until(lambda: states(one)["t1"][0] == state, f"the target is {state}")
    assert detail is None or states(one)["t1"][1] == detail


def test_health_check_over_tls(net, launch, servers):
    check = HEALTH | {"protocol": "grpcs"}
    one = launch({"target_groups": [
        group("web", "https", net.target_list(TLS, 1), check, tls={"ca": str(net.ca.pem)}, **GRPC)],
        "listeners": [listener("web", "http", 80, "web")]})
    until(lambda: states(one)["t1"] == ("healthy", "grpc-status 0"), "the target is healthy")


def test_outliers_by_status_of_grpc(net, launch, servers):
    """An answer that is no more than a status counts as what it means."""
    one = launch(settings(net, (1, 2), outlier_detection={"enabled": True, "consecutive_5xx": 3}))
    with http2.connect((net.v4, 80)) as client:
        for _ in range(20):
            client.request("/no.Service/Missing", "POST", [("content-type", "application/grpc"), ("te", "trailers")])
    until(lambda: "3 errors (status 5xx or no answer) in a row" in one.log(), "one is taken out")


def test_outliers_by_the_end_of_calls(net, launch, servers):
    """An answer that begins well and ends with UNAVAILABLE in its trailers counts as 503."""
    one = launch(settings(net, (1, 2), outlier_detection={"enabled": True, "consecutive_gateway_errors": 3}))
    with channel(net) as calls:
        for _ in range(4):
            assert len(list(calls.download(b"2 10", timeout=patience(5)))) == 2
        assert "taken out" not in one.log()
        for _ in range(6):
            with pytest.raises(grpc.RpcError) as error:
                list(calls.stop(b"", timeout=patience(5)))
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    until(lambda: "3 errors (status 502, 503, 504 or no answer) in a row" in one.log(), "one is taken out")
