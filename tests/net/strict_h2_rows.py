"""Malformed and ambiguous HTTP/2 requests, field for field as they go on the wire, and what sluice makes of
each in the three modes of http.desync_mode. One row: name, verdicts (monitor, defensive, strictest), fields
of the head, and what is counted as found (what is reset, or refused with 400: bad_h2_request); `data`: the
body, None: the head has END_STREAM; `trailers`: their fields.

A verdict is "forward" (answered by the target), "reset" (RST_STREAM), or a status: refused with it by sluice
itself. The next request on the connection is answered in any case.
"""
from dataclasses import dataclass

from strict_requests import ACCEPTABLE, FORWARD, HIDDEN

RESET = ("reset",) * 3


@dataclass(frozen=True)
class H2Row:
    name: str
    verdicts: tuple
    fields: tuple
    data: bytes | None
    trailers: tuple
    found: str


H2_ROWS = []
METHOD, SCHEME, PATH, AUTHORITY = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/echo"), \
    (b":authority", b"www.sluice.test")
HOST = (b"host", b"www.sluice.test")


def refused(status=400):
    return (str(status),) * 3


def h2(name, verdicts, fields, found="", data=None, trailers=()):
    if verdicts in (RESET, refused()):
        found = "bad_h2_request"
    H2_ROWS.append(H2Row(name, verdicts, tuple(fields), data, tuple(trailers), found))


def get(*more, method=b"GET", scheme=b"http", path=b"/echo", authority=b"www.sluice.test"):
    """What is None is left out."""
    fields = [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", authority)]
    return [field for field in fields if field[1] is not None] + list(more)


def post(*more):
    return get(*more, method=b"POST")


def connect(*more, protocol=b"websocket", path=b"/echo", scheme=b"http"):
    fields = [(b":method", b"CONNECT"), (b":protocol", protocol), (b":scheme", scheme), (b":path", path), AUTHORITY]
    return [field for field in fields if field[1] is not None] + list(more)


# --- requests that are in order

h2("GET", FORWARD, get())
h2("HEAD", FORWARD, get(method=b"HEAD"))
h2("DELETE", FORWARD, get(method=b"DELETE"))
h2("OPTIONS *", FORWARD, get(method=b"OPTIONS", path=b"*"))
h2("POST of unknown length", FORWARD, post(), data=b"abc")
h2("POST by length", FORWARD, post((b"content-length", b"3")), data=b"abc")
h2("POST of length 0", FORWARD, post((b"content-length", b"0")))
h2("POST of length 0, and empty DATA", FORWARD, post((b"content-length", b"0")), data=b"")
h2("POST with zeros in front of the length", FORWARD, post((b"content-length", b"0003")), data=b"abc")
h2("trailer", FORWARD, post(), data=b"abc", trailers=[(b"x-sum", b"1")])
h2("te: trailers", FORWARD, get((b"te", b"trailers")))
h2("te: TRAILERS", FORWARD, get((b"te", b"TRAILERS")))
h2("empty value", FORWARD, get((b"x-empty", b"")))
h2("tab within a value", FORWARD, get((b"x-tab", b"a\tb")))
h2("cookie in two fields", FORWARD, get((b"cookie", b"a=1"), (b"cookie", b"b=2")))
h2("empty cookie field", FORWARD, get((b"cookie", b"a=1"), (b"cookie", b"")))
h2(":authority and the same host", FORWARD, get(HOST))
h2(":authority and host in capitals", FORWARD, get((b"host", b"WWW.sluice.test")))
h2("host for :authority", FORWARD, get(HOST, authority=None))
h2("scheme https without TLS", FORWARD, get(scheme=b"https"))
h2("scheme in capitals", FORWARD, get(scheme=b"HTTP"))
h2("port in :authority", FORWARD, get(authority=b"www.sluice.test:8080"))
h2("encoded line end in :path", FORWARD, get(path=b"/echo/%0d%0aX:%20y"))
h2("expect", FORWARD, post((b"expect", b"100-continue")), data=b"abc")

# --- bodies where others expect none

h2("GET of length 0", ACCEPTABLE, get((b"content-length", b"0")), found="get_zero_length")
h2("GET by length", ACCEPTABLE, get((b"content-length", b"3")), data=b"abc", found="get_with_length")
h2("GET by length with a request in it", ACCEPTABLE,
    get((b"content-length", b"%d" % len(HIDDEN))), data=HIDDEN, found="get_with_length")
h2("GET with DATA", ACCEPTABLE, get(), data=b"abc", found="get_with_coding")
h2("GET with a request for DATA", ACCEPTABLE, get(), data=HIDDEN, found="get_with_coding")
h2("HEAD with DATA", ACCEPTABLE, get(method=b"HEAD"), data=b"abc", found="get_with_coding")

# --- pseudo-headers

h2("no :method", RESET, get(method=None))
h2("no :scheme", RESET, get(scheme=None))
h2("no :path", RESET, get(path=None))
h2("neither :authority nor host", RESET, get(authority=None))
h2("no pseudo-header", RESET, [HOST])
h2("two :method", RESET, [METHOD, *get()])
h2("two :path", RESET, [PATH, *get()])
h2("two :scheme", RESET, [SCHEME, *get()])
h2("two :authority", RESET, [AUTHORITY, *get()])
h2("unknown pseudo-header", RESET, [(b":foo", b"1"), *get()])
h2(":status", RESET, [(b":status", b"200"), *get()])
h2(":protocol with GET", RESET, [(b":protocol", b"websocket"), *get()])
h2("pseudo-header in capitals", RESET, [(b":Path", b"/echo"), METHOD, SCHEME, AUTHORITY])
h2("pseudo-header behind a header", RESET, [METHOD, SCHEME, (b"x-a", b"1"), PATH, AUTHORITY])
h2(":path again behind a header", RESET, get((b"x-a", b"1"), (b":path", b"/smuggled")))
h2("empty :method", RESET, get(method=b""))
h2("lower-case method", refused(501), get(method=b"get"))
h2("unknown method", refused(501), get(method=b"FROB"))
h2("a request in :method", RESET, get(method=HIDDEN + b"GET"))
h2("a space in :method", RESET, get(method=b"GET /smuggled HTTP/1.1"))
h2("empty :scheme", RESET, get(scheme=b""))
h2("another scheme", refused(), get(scheme=b"ftp"))
h2("a URL in :scheme", RESET, get(scheme=b"http://www.sluice.test/smuggled?"))
h2("line end in :scheme", RESET, get(scheme=b"http\r\nx: y"))
h2("empty :path", RESET, get(path=b""))
h2(":path without slash", RESET, get(path=b"echo"))
h2(":path of a URL", RESET, get(path=b"http://www.sluice.test/echo"))
h2("GET *", RESET, get(path=b"*"))
h2("a space in :path", RESET, get(path=b"/echo x"))
h2("a version in :path", RESET, get(path=b"/smuggled HTTP/1.1"))
h2("a request in :path", RESET, get(path=b"/echo HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN))
h2("line end in :path", RESET, get(path=b"/echo\r\nx: y"))
h2("NUL in :path", RESET, get(path=b"/echo\0"))
h2("tab in :path", RESET, get(path=b"/echo\t"))
h2("DEL in :path", RESET, get(path=b"/echo\x7f"))
h2("a byte over 127 in :path", refused(), get(path=b"/echo/\xff"))
h2("a fragment in :path", refused(), get(path=b"/echo#a"))
h2("quotes in :path", ACCEPTABLE, get(path=b'/echo"a"'), found="uri_not_encoded")
h2("a backslash in :path", ACCEPTABLE, get(path=b"/echo\\a"), found="uri_not_encoded")
h2("a lone % in :path", ACCEPTABLE, get(path=b"/echo%"), found="uri_not_encoded")
h2("empty :authority", RESET, get(authority=b""))
h2("empty :authority, and host", RESET, get(HOST, authority=b""))
h2(":authority with a user", RESET, get(authority=b"user@www.sluice.test"))
h2(":authority with a path", RESET, get(authority=b"www.sluice.test/smuggled"))
h2(":authority of two words", RESET, get(authority=b"www.sluice.test x"))
h2("line end in :authority", RESET, get(authority=b"www.sluice.test\r\nx: y"))
h2(":authority with a bad port", refused(), get(authority=b"www.sluice.test:port"))
h2(":authority of two names", FORWARD, get(authority=b"www.sluice.test,b.test"))
h2(":authority as a URL", RESET, get(authority=b"http://www.sluice.test"))
h2("host differs", refused(), get((b"host", b"other.test")))
h2("host differs by its port", refused(), get((b"host", b"www.sluice.test:81")))
h2("host twice", RESET, get(HOST, HOST))
h2("two hosts for :authority", RESET, get(HOST, (b"host", b"other.test"), authority=None))
h2("host with a line end", RESET, get((b"host", b"www.sluice.test\r\nx: y"), authority=None))

# --- names

h2("a name in capitals", RESET, get((b"X-Upper", b"1")))
h2("empty name", refused(), get((b"", b"1")))
h2("a name of a colon", RESET, get((b":", b"1")))
h2("a space in a name", refused(), get((b"x a", b"1")))
h2("a space behind a name", refused(), get((b"content-length ", b"3")), data=b"abc")
h2("a colon in a name", refused(), get((b"x-a: b\r\nx-b", b"1")))
h2("line end in a name", refused(), get((b"x-a\r\nx-b", b"1")))
h2("a request in a name", RESET, get((b"x: y\r\n\r\n" + HIDDEN + b"x", b"1")))
h2("NUL in a name", refused(), get((b"x\0a", b"1")))
h2("a byte over 127 in a name", refused(), get((b"x\xff", b"1")))
h2("brackets in a name", refused(), get((b"x(a)", b"1")))
h2("underscore in a name", FORWARD, get((b"x_a", b"1")), found="header_name_odd")
h2("length by content_length", ACCEPTABLE,
    post((b"content_length", b"3")), data=b"abc", found="header_name_odd suspicious_header")
h2("coding by transfer_encoding", ACCEPTABLE,
    post((b"transfer_encoding", b"chunked")), data=b"abc", found="header_name_odd suspicious_header")

# --- values

h2("CR in a value", refused(), get((b"x-a", b"a\rb")))
h2("LF in a value", refused(), get((b"x-a", b"a\nb")))
h2("a header in a value", refused(), get((b"x-a", b"a\r\ntransfer-encoding: chunked")))
h2("a folded value", refused(), get((b"x-a", b"a\r\n b")))
h2("a request in a value", refused(), get((b"x-a", b"a\r\n\r\n" + HIDDEN)))
h2("NUL in a value", refused(), get((b"x-a", b"a\0b")))
h2("escape in a value", refused(), get((b"x-a", b"a\x1bb")))
h2("DEL in a value", refused(), get((b"x-a", b"a\x7fb")))
h2("bytes over 127 in a value", ACCEPTABLE, get((b"x-a", "ü".encode())), found="header_not_ascii")
h2("space in front of a value", refused(), get((b"x-a", b" a")))
h2("space behind a value", refused(), get((b"x-a", b"a ")))
h2("tab in front of a value", refused(), get((b"x-a", b"\ta")))
h2("line end in a cookie", refused(), get((b"cookie", b"a=1"), (b"cookie", b"b=2\r\nx: y")))
h2("line end in user-agent", refused(), get((b"user-agent", b"a\r\nx: y")))

# --- about the connection

h2("connection: close", RESET, get((b"connection", b"close")))
h2("connection: te", RESET, get((b"connection", b"te"), (b"te", b"trailers")))
h2("empty connection", RESET, get((b"connection", b"")))
h2("keep-alive", RESET, get((b"keep-alive", b"timeout=5")))
h2("proxy-connection", RESET, get((b"proxy-connection", b"keep-alive")))
h2("upgrade", RESET, get((b"upgrade", b"websocket")))
h2("transfer-encoding: chunked", RESET, post((b"transfer-encoding", b"chunked")), data=b"0\r\n\r\n" + HIDDEN)
h2("transfer-encoding: identity", RESET, post((b"transfer-encoding", b"identity")), data=b"abc")
h2("te: gzip", RESET, get((b"te", b"gzip")))
h2("te: trailers, gzip", RESET, get((b"te", b"trailers, gzip")))
h2("http2-settings", FORWARD, get((b"http2-settings", b"AAMAAABkAAQAAP__")))
h2("expect of another kind", refused(417), post((b"expect", b"gold")), data=b"abc")

# --- lengths

h2("length over what comes", RESET, post((b"content-length", b"9")), data=b"abc")
h2("length under what comes", RESET, post((b"content-length", b"3")), data=b"abc" + HIDDEN)
h2("length 0, and a request for DATA", RESET, post((b"content-length", b"0")), data=HIDDEN)
h2("length of a body that does not come", RESET, post((b"content-length", b"3")))
h2("length with a sign", RESET, post((b"content-length", b"+3")), data=b"abc")
h2("negative length", RESET, post((b"content-length", b"-3")), data=b"abc")
h2("length of letters", RESET, post((b"content-length", b"three")), data=b"abc")
h2("length with 0x", RESET, post((b"content-length", b"0x3")), data=b"abc")
h2("length over 64 bits", RESET, post((b"content-length", b"18446744073709551619")), data=b"abc")
h2("empty length", RESET, post((b"content-length", b"")), data=b"abc")
h2("space behind the length", refused(), post((b"content-length", b"3 ")), data=b"abc")
h2("list of same lengths", RESET, post((b"content-length", b"3, 3")), data=b"abc")
h2("same length twice", RESET, post((b"content-length", b"3"), (b"content-length", b"3")), data=b"abc")
h2("different lengths", RESET, post((b"content-length", b"3"), (b"content-length", b"4")), data=b"abc")

# --- trailers

h2("trailer with a pseudo-header", RESET, post(), data=b"abc", trailers=[(b":path", b"/smuggled")])
h2("trailer in capitals", RESET, post(), data=b"abc", trailers=[(b"X-Sum", b"1")])
h2("trailer with a line end", RESET, post(), data=b"abc", trailers=[(b"x-sum", b"1\r\n\r\n" + HIDDEN)])
h2("trailer with a line end in its name", RESET, post(), data=b"abc", trailers=[(b"x-sum\r\nx", b"1")])
h2("trailer content-length", RESET, post(), data=b"abc", trailers=[(b"content-length", b"9")])
h2("trailer transfer-encoding", RESET, post(), data=b"abc", trailers=[(b"transfer-encoding", b"chunked")])
h2("trailer host", FORWARD, post(), data=b"abc", trailers=[(b"host", b"other.test")])
h2("trailer behind a length", FORWARD, post((b"content-length", b"3")), data=b"abc", trailers=[(b"x-sum", b"1")])
h2("trailer behind too short a body", RESET,
    post((b"content-length", b"9")), data=b"abc", trailers=[(b"x-sum", b"1")])

# --- CONNECT

h2("CONNECT", refused(405), [(b":method", b"CONNECT"), (b":authority", b"www.sluice.test:80")], data=b"abc")
h2("CONNECT with :path and :scheme", RESET, get(method=b"CONNECT"), data=b"abc")
h2("CONNECT without :authority", RESET, [(b":method", b"CONNECT")], data=b"abc")
h2("CONNECT for a WebSocket, which is none", refused(502), connect(), data=b"")
h2("CONNECT for a WebSocket that has ended", refused(), connect())
h2("CONNECT for a WebSocket with a length", refused(), connect((b"content-length", b"3")), data=b"abc")
h2("CONNECT for a WebSocket with upgrade", RESET, connect((b"upgrade", b"websocket")), data=b"abc")
h2("CONNECT for a WebSocket without :path", RESET, connect(path=None), data=b"abc")
h2("CONNECT for a WebSocket without :scheme", RESET, connect(scheme=None), data=b"abc")
h2("CONNECT for two protocols", RESET, connect() + [(b":protocol", b"h2c")], data=b"abc")
h2("CONNECT for another protocol", refused(501), connect(protocol=b"connect-udp"), data=b"abc")
h2("CONNECT for no protocol", RESET, connect(protocol=b""), data=b"abc")
h2("CONNECT for a list of protocols", refused(), connect(protocol=b"websocket, h2c"), data=b"abc")
h2("line end in :protocol", RESET, connect(protocol=b"websocket\r\nx: y"), data=b"abc")

# --- limits

h2(":path over 16 KiB", refused(414), get(path=b"/echo/" + b"a" * 16384))
h2("header over 16 KiB", refused(431), get((b"x-a", b"a" * 16400)))
h2("200 headers", refused(431), get(*[(b"x-%d" % n, b"1") for n in range(200)]))
h2("cookie in 200 fields", FORWARD, get(*[(b"cookie", b"c%d=1" % n) for n in range(200)]))
h2("cookies over 16 KiB in 200 fields", refused(431),
    get(*[(b"cookie", b"c%d=" % n + b"a" * 90) for n in range(200)]))
h2("head over 64 KiB", refused(431), get(*[(b"x-%d" % n, b"a" * 10000) for n in range(7)]))
