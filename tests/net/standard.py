"""The configuration most tests share: a listener for each thing that is looked at, by port.
Time-outs are as patient as the machine is slow."""
from wire import milliseconds

CHECK = {"protocol": "http", "path": "/healthz", "matcher": "200-299", "interval": milliseconds(300),
         "timeout": milliseconds(250), "rise": 1, "fall": 2, "port": 8080}
NO_CHECK = {"protocol": "off"}

HTTP, HTTPS, TLS, TCP = 80, 443, 4443, 4000
HTTPS_REENCRYPT, HTTPS_NAME, HTTPS_UNTRUSTED, HTTPS_WRONG_NAME = 8443, 8444, 8445, 8446
HTTPS_13, HTTPS_12, TLS_ALPN, TLS_TLS = 446, 447, 4446, 4444
PP_ACCEPT, PP_REQUIRE, PP_TCP, PP_HTTPS, PP_TLS, PP_TCP_REQUIRE = 81, 82, 4003, 445, 4445, 4008
PP_OUT_V1, PP_OUT_V2, PP_OUT_TCP_V1, PP_OUT_TCP_V2 = 8081, 8082, 4001, 4002
STRICT, REQUESTS_3, XFF_PRESERVE, XFF_REMOVE = 83, 87, 88, 89
REFUSED, EMPTY, IMPATIENT, ONE = 84, 85, 86, 90
TCP_IDLE, TLS_IDLE, TCP_REFUSED, TCP_EMPTY, CONNECTION_LIMIT = 4004, 4005, 4006, 4007, 91
TCP_GREET, TLS_GREET = 4009, 4447
DESYNC_MONITOR, DESYNC_STRICTEST, LIFETIME = 92, 93, 95
# By what is spoken to the targets: plain, TLS.
H2, HTTPS_H2, PP_OUT_H2 = 94, 8447, 8083


def group(name, protocol, targets, check=None, **settings):
    return {"name": name, "protocol": protocol, "targets": targets,
            "health_check": check or NO_CHECK} | settings


def listener(name, protocol, port, target_group, **settings):
    return {"name": name, "protocol": protocol, "address": [f"0.0.0.0:{port}", f"[::]:{port}"],
            "target_group": target_group} | settings


def groups(net):
    def tls(**settings):
        return {"tls": {"ca": str(net.ca.pem)} | settings}
    return [
        group("web", "http", net.target_list(8080), CHECK),
        group("one", "http", net.target_list(8080, 1)),
        group("web-tls", "https", net.target_list(8443), CHECK, **tls()),
        group("web-tls-name", "https", net.target_list(8443), **tls(server_name="target.sluice.test")),
        group("web-tls-untrusted", "https", net.target_list(8443), tls={"ca": str(net.ca_other.pem)}),
        group("web-tls-wrong-name", "https", net.target_list(8443), **tls(server_name="else.sluice.test")),
        group("web-pp1", "http", net.target_list(8081), proxy_protocol="v1"),
        group("web-pp2", "http", net.target_list(8081), proxy_protocol="v2"),
        group("web-h2", "http", net.target_list(8082), protocol_version="http2"),
        group("web-h2-tls", "https", net.target_list(8444), protocol_version="http2", **tls()),
        group("web-h2-pp", "http", net.target_list(8083), protocol_version="http2", proxy_protocol="v2"),
        group("raw", "tcp", net.target_list(9000, 1)),
        group("raw-greet", "tcp", net.target_list(9001, 1)),
        group("raw-tls", "tls", net.target_list(9443, 1), **tls()),
        group("raw-pp1", "tcp", net.target_list(9100, 1), proxy_protocol="v1"),
        group("raw-pp2", "tcp", net.target_list(9100, 1), proxy_protocol="v2"),
        group("raw-idle", "tcp", net.target_list(9000, 1)),
        group("raw-refused", "tcp", net.target_list(1, 1)),
        group("raw-empty", "tcp", []),
        group("refused", "http", net.target_list(1, 1)),
        group("empty", "http", []),
        group("impatient", "http", net.target_list(8080), timeouts={"response": milliseconds(400)}),
    ]


def listeners():
    names = ["default", "www", "www-rsa", "wild", "exact"]

    def secure(*arguments, **settings):
        return listener(*arguments, certificates=names, **settings)
    return [
        listener("http", "http", HTTP, "web"),
        listener("one", "http", ONE, "one"),
        secure("https", "https", HTTPS, "web"),
        secure("tls", "tls", TLS, "raw"),
        listener("tcp", "tcp", TCP, "raw"),
        secure("https-reencrypt", "https", HTTPS_REENCRYPT, "web-tls"),
        listener("h2", "http", H2, "web-h2"),
        secure("https-h2", "https", HTTPS_H2, "web-h2-tls"),
        listener("pp-out-h2", "http", PP_OUT_H2, "web-h2-pp"),
        secure("https-name", "https", HTTPS_NAME, "web-tls-name"),
        secure("https-untrusted", "https", HTTPS_UNTRUSTED, "web-tls-untrusted"),
        secure("https-wrong-name", "https", HTTPS_WRONG_NAME, "web-tls-wrong-name"),
        secure("https-13", "https", HTTPS_13, "web", tls={"min_version": "1.3"}),
        secure("https-12", "https", HTTPS_12, "web", tls={"max_version": "1.2"}),
        secure("tls-alpn", "tls", TLS_ALPN, "raw", tls={"alpn": ["echo/2", "echo/1"]}),
        secure("tls-tls", "tls", TLS_TLS, "raw-tls"),
        listener("pp-accept", "http", PP_ACCEPT, "web", proxy_protocol="accept",
                 timeouts={"handshake": milliseconds(1000)}),
        listener("pp-require", "http", PP_REQUIRE, "web", proxy_protocol="require",
                 timeouts={"handshake": milliseconds(1000)}),
        listener("pp-tcp", "tcp", PP_TCP, "raw-pp2", proxy_protocol="accept"),
        listener("pp-tcp-require", "tcp", PP_TCP_REQUIRE, "raw-pp1", proxy_protocol="require"),
        secure("pp-https", "https", PP_HTTPS, "web", proxy_protocol="accept"),
        secure("pp-tls", "tls", PP_TLS, "raw-pp1", proxy_protocol="accept"),
        listener("pp-out-v1", "http", PP_OUT_V1, "web-pp1"),
        listener("pp-out-v2", "http", PP_OUT_V2, "web-pp2"),
        listener("pp-out-tcp-v1", "tcp", PP_OUT_TCP_V1, "raw-pp1"),
        listener("pp-out-tcp-v2", "tcp", PP_OUT_TCP_V2, "raw-pp2"),
        listener("strict", "http", STRICT, "one",
                 timeouts={name: milliseconds(700) for name in ("header", "request_body", "keep_alive", "idle")},
                 limits={"header_bytes": "4k", "body_bytes": "1k"}),
        listener("requests-3", "http", REQUESTS_3, "one", limits={"requests_per_connection": 3}),
        listener("lifetime", "http", LIFETIME, "one", timeouts={"lifetime": milliseconds(500)}),
        listener("xff-preserve", "http", XFF_PRESERVE, "one", x_forwarded_for="preserve"),
        listener("xff-remove", "http", XFF_REMOVE, "one", x_forwarded_for="remove"),
        listener("desync-monitor", "http", DESYNC_MONITOR, "one", http={"desync_mode": "monitor"}),
        listener("desync-strictest", "http", DESYNC_STRICTEST, "one", http={"desync_mode": "strictest"}),
        listener("refused", "http", REFUSED, "refused"),
        listener("empty", "http", EMPTY, "empty"),
        listener("impatient", "http", IMPATIENT, "impatient", timeouts={"idle": milliseconds(400)}),
        listener("tcp-idle", "tcp", TCP_IDLE, "raw-idle", timeouts={"idle": milliseconds(700)}),
        secure("tls-idle", "tls", TLS_IDLE, "raw-idle", timeouts={"idle": milliseconds(700)}),
        listener("tcp-greet", "tcp", TCP_GREET, "raw-greet"),
        secure("tls-greet", "tls", TLS_GREET, "raw-greet"),
        listener("tcp-refused", "tcp", TCP_REFUSED, "raw-refused"),
        listener("tcp-empty", "tcp", TCP_EMPTY, "raw-empty"),
        listener("connection-limit", "http", CONNECTION_LIMIT, "one", limits={"connections": 3}),
    ]


def config(net):
    return {"certificates": net.certificates("default", "www", "www-rsa", "wild", "exact"),
            "target_groups": groups(net), "listeners": listeners()}
