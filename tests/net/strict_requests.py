"""Malformed and ambiguous HTTP/1 requests, byte for byte, and what sluice makes of each in the three
modes of http.desync_mode. One row: name, bytes, verdicts (monitor, defensive, strictest), and what
is counted as found (rows of http/desync.def), in all modes or in each.

A verdict is "forward" (answered by the target, and so is the next request on the connection),
"close" (answered by the target, then the connection is closed), or a status: refused with it by
sluice itself, and closed. `tools/gen-strictness` writes docs/strictness.md from these rows.
"""
from dataclasses import dataclass

MODES = ("monitor", "defensive", "strictest")
HOST = b"Host: www.sluice.test\r\n"
# What would be taken for a request of its own by who ends the one before it too early.
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: www.sluice.test\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_CHUNKS = b"0\r\n\r\n"

FORWARD = ("forward",) * 3
ACCEPTABLE = ("forward", "forward", "400")  # strictest alone minds
AMBIGUOUS = ("forward", "close", "400")  # read in one way here, by others perhaps not
MENDED = ("close", "400", "400")  # monitor puts it in order


def refused(status=400):
    return (str(status),) * 3


@dataclass(frozen=True)
class Row:
    name: str
    data: bytes
    verdicts: tuple
    found: tuple  # by mode


ROWS = []


def row(name, data, verdicts, found=""):
    ROWS.append(Row(name, data, verdicts, found if isinstance(found, tuple) else (found,) * 3))


def get(headers=b"", target=b"/echo", version=b"HTTP/1.1", method=b"GET", host=HOST):
    return method + b" " + target + b" " + version + b"\r\n" + host + headers + b"\r\n"


def post(headers, body=b"", version=b"HTTP/1.1"):
    return get(headers, method=b"POST", version=version) + body


# --- requests that are in order

row("GET", get(), FORWARD)
row("HEAD", get(method=b"HEAD"), FORWARD)
row("POST by length", post(b"Content-Length: 3\r\n", b"abc"), FORWARD)
row("POST of length 0", post(b"Content-Length: 0\r\n"), FORWARD)
row("POST in chunks", post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"), FORWARD)
row("POST in chunks, capitals", post(b"transfer-ENCODING: CHUNKED\r\n", b"A\r\n0123456789\r\n0\r\n\r\n"), FORWARD)
row("chunk extension", post(CHUNKED, b"3;a=b\r\nabc\r\n0\r\n\r\n"), FORWARD)
row("chunk size with zeros", post(CHUNKED, b"0003\r\nabc\r\n0\r\n\r\n"), FORWARD)
row("trailer", post(CHUNKED, b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), FORWARD)
row("absolute form", get(target=b"http://www.sluice.test/echo"), FORWARD)
row("absolute form, capitals", get(target=b"HTTP://WWW.sluice.test/echo"), FORWARD)
row("empty line in front", b"\r\n" + get(), FORWARD)
row("empty header value", get(b"X-Empty:\r\n"), FORWARD)
row("no space behind the colon", get(b"X-Tight:a\r\n"), FORWARD)
row("tab behind the colon", get(b"X-Tab:\ta\t\r\n"), FORWARD)
row("length between spaces", post(b"Content-Length:  3 \r\n", b"abc"), FORWARD)
row("length with zeros", post(b"Content-Length: 0003\r\n", b"abc"), FORWARD)
row("port in Host", get(host=b"Host: www.sluice.test:8080\r\n"), FORWARD)
row("empty port in Host", get(host=b"Host: www.sluice.test:\r\n"), FORWARD)
row("IPv6 in Host", get(host=b"Host: [2001:db8::1]\r\n"), FORWARD)
row("DELETE without body", get(method=b"DELETE"), FORWARD)
row("OPTIONS *", get(method=b"OPTIONS", target=b"*"), FORWARD)
row("encoded NUL in the path", get(target=b"/echo/%00"), FORWARD)
row("encoded line end in the path", get(target=b"/echo/%0d%0aX:%20y"), FORWARD)

# --- GET and HEAD with a body

row("GET of length 0", get(b"Content-Length: 0\r\n"), ACCEPTABLE, "get_zero_length")
row("HEAD of length 0", get(b"Content-Length: 0\r\n", method=b"HEAD"), ACCEPTABLE, "get_zero_length")
row("GET by length", get(b"Content-Length: 3\r\n") + b"abc", AMBIGUOUS, "get_with_length")
row("GET by length with a request in it", get(b"Content-Length: %d\r\n" % len(HIDDEN)) + HIDDEN,
    AMBIGUOUS, "get_with_length")
row("HEAD by length", get(b"Content-Length: 3\r\n", method=b"HEAD") + b"abc", AMBIGUOUS, "get_with_length")
row("GET in chunks", get(CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n", AMBIGUOUS, "get_with_coding")
row("GET in no chunks", get(CHUNKED) + NO_CHUNKS, AMBIGUOUS, "get_with_coding")
row("HEAD in chunks", get(CHUNKED, method=b"HEAD") + NO_CHUNKS, AMBIGUOUS, "get_with_coding")

# --- Content-Length and Transfer-Encoding together

for name, headers in (
        ("length before coding", b"Content-Length: 5\r\n" + CHUNKED),
        ("coding before length", CHUNKED + b"Content-Length: 5\r\n"),
        ("length 0 and coding", b"Content-Length: 0\r\n" + CHUNKED)):
    row(name, post(headers, NO_CHUNKS), MENDED, "length_and_coding")
row("coding between equal lengths", post(b"Content-Length: 5\r\n" + CHUNKED + b"Content-Length: 5\r\n", NO_CHUNKS),
    MENDED, "length_and_coding length_repeated")
row("CL.TE with a request behind it", post(b"Content-Length: %d\r\n" % (5 + len(HIDDEN)) + CHUNKED,
                                          NO_CHUNKS + HIDDEN), MENDED, "length_and_coding")
row("TE.CL with a request in a chunk", post(b"Content-Length: 4\r\n" + CHUNKED,
                                           b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"),
    MENDED, "length_and_coding")
row("bad length and coding", post(b"Content-Length: x\r\n" + CHUNKED, NO_CHUNKS), refused(), "bad_content_length")
row("different lengths and coding", post(b"Content-Length: 5\r\nContent-Length: 6\r\n" + CHUNKED, NO_CHUNKS),
    refused(), "bad_content_length")
row("length and coding in HTTP/1.0", post(b"Content-Length: 5\r\n" + CHUNKED, NO_CHUNKS, b"HTTP/1.0"), refused(),
    ("coding_in_1_0", "length_and_coding", "length_and_coding"))
row("length and unknown coding", post(b"Content-Length: 5\r\nTransfer-Encoding: x\r\n", b"abcde"),
    ("501", "400", "400"), ("bad_transfer_encoding", "length_and_coding", "length_and_coding"))

# --- Content-Length

for name, headers in (("same length twice", b"Content-Length: 3\r\nContent-Length: 3\r\n"),
                      ("same length three times", b"Content-Length: 3\r\n" * 3),
                      ("list of same lengths", b"Content-Length: 3, 3\r\n"),
                      ("list of same lengths without space", b"Content-Length: 3,3\r\n"),
                      ("lengths apart", b"Content-Length: 3\r\nX: y\r\nContent-Length: 3\r\n"),
                      ("length, and with zeros", b"Content-Length: 3\r\nContent-Length: 03\r\n")):
    row(name, post(headers, b"abc"), MENDED, "length_repeated")
row("different lengths", post(b"Content-Length: 3\r\nContent-Length: 5\r\n", b"abcde"), refused(), "bad_content_length")
row("different lengths, request behind", post(b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    refused(), "bad_content_length")
row("list of different lengths", post(b"Content-Length: 3, 5\r\n", b"abcde"), refused(), "bad_content_length")
for name, value in (
        ("signed", b"+3"), ("negative", b"-3"), ("hexadecimal", b"0x3"), ("of letters", b"abc"), ("empty", b""),
        ("with a fraction", b"3.0"), ("with an exponent", b"3e0"), ("with a unit", b"3b"), ("of two words", b"3 3"),
        ("over 64 bits", b"18446744073709551619"), ("with a comma behind", b"3,"), ("with a comma in front", b",3"),
        ("in quotes", b'"3"'), ("with a semicolon", b"3;"), ("with an underscore", b"0_3"), ("octal", b"0o3"),
        ("of fullwidth digits", "３".encode()), ("with a soft hyphen", b"\xad3")):
    row(f"length {name}", post(b"Content-Length: " + value + b"\r\n", b"abc"), refused(), "bad_content_length")
row("length with a vertical tab", post(b"Content-Length: \x0b3\r\n", b"abc"), refused(), "bad_content_length")
row("length with NUL", post(b"Content-Length: 3\0\r\n", b"abc"), refused(), "bad_content_length")
row("length in the next line", post(b"Content-Length:\r\n 3\r\n", b"abc"), refused(), "folded_header")

# --- Transfer-Encoding

for name, value in (
        ("twice", b"chunked, chunked"), ("before identity", b"chunked, identity"), ("with a comma behind", b"chunked,"),
        ("with a parameter", b"chunked;q=1"), ("in quotes", b'"chunked"'),
        ("empty", b""), ("of two words", b"chunked x"), ("with a slash", b"chunked/1")):
    row(f"coding {name}", post(b"Transfer-Encoding: " + value + b"\r\n", NO_CHUNKS), refused(), "bad_transfer_encoding")
for name, value in (("with a comma in front", b",chunked"), ("identity", b"identity"), ("gzip, chunked", b"gzip, chunked"), ("xchunked", b"xchunked"),
                    ("chunkedx", b"chunkedx"), ("chunk", b"chunk"), ("identity, chunked", b"identity, chunked"),
                    ("cow", b"cow"), ("gzip", b"gzip")):
    row(f"coding {name}", post(b"Transfer-Encoding: " + value + b"\r\n", NO_CHUNKS), refused(501), "bad_transfer_encoding")
row("two headers of chunked", post(CHUNKED * 2, NO_CHUNKS), refused(), "bad_transfer_encoding")
row("chunked and identity in two headers", post(CHUNKED + b"Transfer-Encoding: identity\r\n", NO_CHUNKS), refused(),
    "bad_transfer_encoding")
row("identity and chunked in two headers", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, NO_CHUNKS), refused(),
    "bad_transfer_encoding")
row("coding with a vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", NO_CHUNKS), refused(), "control_in_header")
row("coding with a form feed", post(b"Transfer-Encoding: chunked\x0c\r\n", NO_CHUNKS), refused(), "control_in_header")
row("coding with NUL", post(b"Transfer-Encoding: chunked\0\r\n", NO_CHUNKS), refused(), "control_in_header")
row("coding with CR", post(b"Transfer-Encoding: chunked\r\r\n", NO_CHUNKS), refused(), "control_in_header")
row("coding in the next line", post(b"Transfer-Encoding:\r\n chunked\r\n", NO_CHUNKS), refused(), "folded_header")
row("coding behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked\r\n", NO_CHUNKS), refused(), "bare_lf")
row("coding behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"abc"), MENDED,
    "control_in_header")
row("coding with a byte over 127", post(b"Transfer-Encoding: chunked\xa0\r\n", NO_CHUNKS), refused(), "bad_transfer_encoding")
row("coding in HTTP/1.0", post(CHUNKED, NO_CHUNKS, b"HTTP/1.0"), refused(), "coding_in_1_0")
row("GET in chunks in HTTP/1.0", get(CHUNKED, version=b"HTTP/1.0") + NO_CHUNKS, refused(), "coding_in_1_0")

# --- names that are nearly those

for name in (b"ContentLength", b"Content-Length-", b"-Content-Length", b"Content--Length"):
    row(f"length by {name.decode()}", post(name + b": %d\r\n" % len(HIDDEN)), AMBIGUOUS, "suspicious_header")
for name in (b"Content_Length", b"Content.Length", b"content~length"):
    row(f"length by {name.decode()}", post(name + b": %d\r\n" % len(HIDDEN)), AMBIGUOUS,
        "suspicious_header header_name_odd")
row("coding by TransferEncoding", post(b"TransferEncoding: chunked\r\nContent-Length: 5\r\n", NO_CHUNKS), AMBIGUOUS,
    "suspicious_header")
for name in (b"Transfer_Encoding", b"Transfer.Encoding", b"Transfer-Encoding_", b"'Transfer-Encoding"):
    row(f"coding by {name.decode()}", post(name + b": chunked\r\nContent-Length: 5\r\n", NO_CHUNKS), AMBIGUOUS,
        "suspicious_header header_name_odd")
for name, line in (("space before the colon", b"Content-Length : 3\r\n"), ("tab before the colon", b"Content-Length\t: 3\r\n"),
                   ("no colon", b"Content-Length\r\n"), ("CR before the colon", b"Content-Length\r: 3\r\n"),
                   ("NUL in the name", b"Content-\0Length: 3\r\n"), ("a byte over 127 in the name", b"Content-L\xe4nge: 3\r\n"),
                   ("slash in the name", b"Content/Length: 3\r\n"), ("quotes around the name", b'"Content-Length": 3\r\n'),
                   ("brackets in the name", b"X[1]: 3\r\n"), ("a comma in the name", b"X,Y: 3\r\n"),
                   ("space in the name", b"Content Length: 3\r\n"), ("an at sign in the name", b"X@Y: 3\r\n")):
    row(name, get(line), refused(), "bad_header_name")
row("underscore in a name", get(b"X_Name: 1\r\n"), FORWARD, "header_name_odd")
row("dot in a name", get(b"X.Name: 1\r\n"), FORWARD, "header_name_odd")
row("empty name", get(b": a\r\n"), MENDED, "empty_header")
row("empty name with a request", get(b": a\r\nX: GET /smuggled HTTP/1.1\r\n"), MENDED, "empty_header")

# --- values and lines

row("bytes over 127 in a value", get(b"X-Name: J\xc3\xbcrgen\r\n"), ACCEPTABLE, "header_not_ascii")
row("Latin-1 in a value", get(b"X-Name: J\xfcrgen\r\n"), ACCEPTABLE, "header_not_ascii")
row("NUL in a value", get(b"X: a\0b\r\n"), MENDED, "control_in_header")
row("CR in a value", get(b"X: a\rb\r\n"), MENDED, "control_in_header")
row("CR behind a value", get(b"X: a\r\r\n"), MENDED, "control_in_header")
row("vertical tab in a value", get(b"X: a\x0bb\r\n"), MENDED, "control_in_header")
row("escape in a value", get(b"X: a\x1b[2Jb\r\n"), MENDED, "control_in_header")
row("DEL in a value", get(b"X: a\x7fb\r\n"), MENDED, "control_in_header")
row("header split by CR", get(b"X: a\rSet-Cookie: b=c\r\n"), MENDED, "control_in_header")
row("folded by a space", get(b"X: a\r\n b\r\n"), MENDED, "folded_header")
row("folded by a tab", get(b"X: a\r\n\tb\r\n"), MENDED, "folded_header")
row("folded twice", get(b"X: a\r\n b\r\n c\r\n"), MENDED, "folded_header")
row("folded coding behind another header", get(b"X: a\r\n Transfer-Encoding: chunked\r\n"), MENDED, "folded_header")
row("folded length behind another header", post(b"X: a\r\n Content-Length: 9\r\nContent-Length: 3\r\n", b"abc"), MENDED,
    "folded_header")
row("a line of spaces", get(b"X: a\r\n  \r\n"), MENDED, "folded_header")
row("folded Host", get(host=b"Host:\r\n www.sluice.test\r\n"), refused(), "folded_header")
row("white space in front of the first header", get(host=b" " + HOST), refused(), "folded_header")
row("bare LF at the end of a header", get(b"X: a\n"), refused(), "bare_lf")
row("bare LF everywhere", get(b"X: a\r\n").replace(b"\r\n", b"\n"), refused(), "bare_lf")
row("bare LF at the end of the head", b"GET /echo HTTP/1.1\r\n" + HOST + b"\n", refused(), "bare_lf")
row("LF in front of the request", b"\n" + get(), refused(), "bare_lf")
row("too many empty lines in front", b"\r\n" * 40 + get(), refused(), "bad_request_line")
row("CR in front of the request", b"\r" + get(), refused(), "bad_request_line")

# --- Host

row("no Host", get(host=b""), refused(), "bad_host")
row("two Hosts", get(host=b"Host: a.test\r\nHost: b.test\r\n"), refused(), "bad_host")
row("the same Host twice", get(host=HOST * 2), refused(), "bad_host")
row("empty Host", get(host=b"Host:\r\n"), refused(), "bad_host")
for name, value in (("of two words", b"a b"), ("with a user", b"user@a.test"), ("with a path", b"a.test/x"),
                    ("of two names", b"a.test, b.test"), ("with a bad port", b"a.test:x"), ("with port 0", b"a.test:0"),
                    ("with a port over 65535", b"a.test:99999"), ("with an open bracket", b"[::1"),
                    ("with a backslash", b"a\\b"), ("as a URL", b"http://a.test"), ("with a byte over 127", b"\xe4.test"),
                    ("with a question mark", b"a.test?x"), ("with two ports", b"a.test:1:2")):
    row(f"Host {name}", get(host=b"Host: " + value + b"\r\n"), refused(), "bad_host")
row("Host differs from the URL", get(target=b"http://other.test/echo"), refused(), "host_differs")
row("Host differs from the URL by its port", get(target=b"http://www.sluice.test:81/echo"), refused(), "host_differs")
row("no Host, but a URL", get(target=b"http://www.sluice.test/echo", host=b""), refused(), "bad_host")

# --- request line

for name, line in (("two spaces", b"GET  /echo HTTP/1.1"), ("a space in the target", b"GET /echo x HTTP/1.1"),
                   ("a request in the target", b"GET /echo HTTP/1.1 x HTTP/1.1"), ("no slash in front", b"GET echo HTTP/1.1"),
                   ("GET *", b"GET * HTTP/1.1"), ("a fragment", b"GET /echo#x HTTP/1.1"),
                   ("NUL in the target", b"GET /ec\0ho HTTP/1.1"), ("CR in the target", b"GET /ec\rho HTTP/1.1"),
                   ("a control byte in the target", b"GET /ec\x01ho HTTP/1.1"), ("DEL in the target", b"GET /ec\x7fho HTTP/1.1"),
                   ("a byte over 127 in the target", b"GET /\xe4 HTTP/1.1"), ("a URL without host", b"GET http:///echo HTTP/1.1"),
                   ("a URL with user", b"GET http://u@www.sluice.test/echo HTTP/1.1"),
                   ("a URL of another scheme", b"GET ftp://www.sluice.test/echo HTTP/1.1"),
                   ("a URL with a query and no path", b"GET http://www.sluice.test?x HTTP/1.1")):
    row(name, line + b"\r\n" + HOST + b"\r\n", refused(), "bad_uri")
for name, line in (("space behind the version", b"GET /echo HTTP/1.1 "), ("no version", b"GET /echo"),
                   ("no target", b"GET HTTP/1.1"), ("method alone", b"GET"), ("lower-case version", b"GET /echo http/1.1"),
                   ("version of another protocol", b"GET /echo ICY/1.1"), ("version without a point", b"GET /echo HTTP/11"),
                   ("version with a comma", b"GET /echo HTTP/1,1"), ("two digits of version", b"GET /echo HTTP/1.10")):
    row(name, line + b"\r\n" + HOST + b"\r\n", refused(), "bad_request_line")
for name, line in (("tab for a space", b"GET\t/echo HTTP/1.1"), ("space in front", b" GET /echo HTTP/1.1"),
                   ("NUL in the method", b"GE\0T /echo HTTP/1.1"), ("a method in brackets", b"(GET) /echo HTTP/1.1"),
                   ("empty method", b" /echo HTTP/1.1")):
    row(name, line + b"\r\n" + HOST + b"\r\n", refused(), "bad_method")
for name, version in (("2.0", b"2.0"), ("0.9", b"0.9"), ("1.2", b"1.2"), ("9.9", b"9.9")):
    row(f"version {name}", get(version=b"HTTP/" + version), refused(505), "bad_version")
row("preface of HTTP/2, and a header", get(method=b"PRI", target=b"*", version=b"HTTP/2.0"), refused(505), "bad_version")
row("preface with version 1.1", get(method=b"PRI", target=b"*"), refused(501))
row("lower-case method", get(method=b"get"), refused(501))
row("unknown method", get(method=b"BREW"), refused(501))
row("CONNECT", get(method=b"CONNECT", target=b"www.sluice.test:443"), refused(405))
row("CONNECT with a path", get(method=b"CONNECT"), refused(405))
for name, target in (("braces", b"/echo?{a}"), ("a bar", b"/echo?a|b"), ("quotes", b'/echo?"a"'), ("angle brackets", b"/echo?<a>"),
                     ("a backslash", b"/echo\\a"), ("a caret", b"/echo?a^b"), ("a backtick", b"/echo?`a`"),
                     ("a lone %", b"/echo?a%"), ("% and letters", b"/echo?%zz")):
    row(f"{name} in the target", get(target=target), ACCEPTABLE, "uri_not_encoded")
row("brackets in the query", get(target=b"/echo?a[]=1"), FORWARD)

# --- chunks

for name, body in (
        ("size of letters", b"xyz\r\n"), ("size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"), ("signed size", b"+3\r\nabc\r\n0\r\n\r\n"),
        ("negative size", b"-3\r\nabc\r\n0\r\n\r\n"), ("empty size", b"\r\nabc\r\n0\r\n\r\n"),
        ("space in front of the size", b" 3\r\nabc\r\n0\r\n\r\n"), ("space behind the size", b"3 \r\nabc\r\n0\r\n\r\n"),
        ("size over 64 bits", b"fffffffffffffffff\r\n"), ("size that wraps to 3", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("LF behind the size", b"3\nabc\r\n0\r\n\r\n"), ("CR behind the size", b"3\rabc\r\n0\r\n\r\n"),
        ("LF behind the data", b"3\r\nabc\n0\r\n\r\n"), ("nothing behind the data", b"3\r\nabc0\r\n\r\n"),
        ("more data than its size", b"3\r\nabcdef\r\n0\r\n\r\n"), ("LF in an extension", b"3;a\nabc\r\n0\r\n\r\n"),
        ("CR in an extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n"), ("NUL in an extension", b"3;a\0b\r\nabc\r\n0\r\n\r\n"),
        ("underscore in the size", b"0_3\r\nabc\r\n0\r\n\r\n"), ("comma in the size", b"3,3\r\nabc\r\n0\r\n\r\n")):
    row(f"chunk: {name}", post(CHUNKED, body), refused(), "bad_chunk")
row("trailer without a colon", post(CHUNKED, b"0\r\nX\r\n\r\n"), refused(), "bad_trailer")
row("trailer with a space before the colon", post(CHUNKED, b"0\r\nX : y\r\n\r\n"), refused(), "bad_trailer")
row("folded trailer", post(CHUNKED, b"0\r\nX: y\r\n z\r\n\r\n"), refused(), "bad_trailer")
row("trailer with NUL", post(CHUNKED, b"0\r\nX: \0\r\n\r\n"), refused(), "bad_trailer")
row("trailer with a bare LF", post(CHUNKED, b"0\r\nX: y\n\r\n"), refused(), "bare_lf")
row("last chunk ended by LF", post(CHUNKED, b"0\n\n"), refused(), "bad_chunk")
row("trailer Content-Length", post(CHUNKED, b"0\r\nContent-Length: 3\r\n\r\n"), FORWARD)
row("trailer Transfer-Encoding", post(CHUNKED, b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), FORWARD)

# --- connection, expectations, upgrades

row("Connection names Content-Length", post(b"Connection: Content-Length\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN), FORWARD)
row("Connection names Host", get(b"Connection: Host\r\n"), FORWARD)
row("Connection names Transfer-Encoding", post(b"Connection: Transfer-Encoding\r\n" + CHUNKED, NO_CHUNKS), FORWARD)
row("Connection with a bad word", get(b"Connection: a b\r\n"), refused(), "bad_connection")
row("Connection of 40 words", get(b"Connection: " + b", ".join(b"x%d" % i for i in range(40)) + b"\r\n"), refused(), "bad_connection")
row("Expect of another kind", post(b"Expect: miracles\r\nContent-Length: 3\r\n", b"abc"), refused(417))
row("two Expects", post(b"Expect: 100-continue\r\n" * 2 + b"Content-Length: 3\r\n", b"abc"), refused(), "header_repeated")
row("Upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), FORWARD)
row("Upgrade that is not listed", get(b"Upgrade: websocket\r\n"), FORWARD)
row("Upgrade with a body", post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", b"abc"), FORWARD)

# --- sizes

row("request line over 16 KiB", get(target=b"/" + b"a" * 17000), refused(414))
row("header over 16 KiB", get(b"X: " + b"a" * 17000 + b"\r\n"), refused(431))
row("head over 64 KiB", get(b"".join(b"X%d: " % i + b"a" * 15000 + b"\r\n" for i in range(5))), refused(431))
row("200 headers", get(b"X: y\r\n" * 200), refused(431))
