"""The rules of the tree as data: rooms and their direction, vendors and their rooms, limits of size,
names. Exceptions stand here too, each with its reason."""

# --- rooms: what the files of a folder may include with #include "room/..."
ROOMS = {
    "core": set(),
    "dataplane": {"core"},
    "net": {"core"},
    "tls": {"core", "net"},
    "gate": {"core", "net", "tls"},
    "quic": {"core", "net", "tls"},
    "http": {"core", "net", "quic"},
    "proxy": {"core", "net", "tls", "quic", "http", "gate"},
    "control": {"core", "dataplane", "net", "tls", "gate", "quic", "http", "proxy"},
}
# Single files and folders outside the rooms, longest match first.
OTHERS = {
    "userspace/main.c": {"core", "control"},
    "tools/sluicectl/": {"core", "net", "tls", "http", "dataplane", "control"},  # client of the API; purge
    "tools/": set(ROOMS) | {"bpf"},
    "tests/": set(ROOMS) | {"bpf"},
}
# Generated headers: "bpf/NAME.skel.h".
SKELETON_ROOMS = {"dataplane"}
# "room/file" included by a path against the direction: reason.
INCLUDE_EXCEPTIONS = {}

# --- vendors: (what, #include <pattern>, identifiers, where it may appear)
VENDORS = [
    ("libbpf", r"bpf/.*", r"\b(?:bpf_(?:map|link|program|object|prog|tc|xdp|btf|obj)_\w+|libbpf_\w+)",
     r"userspace/dataplane/|tests/bpf/|tools/bench/|bpf/"),
    ("libxdp", r"xdp/.*", r"\b(?:libxdp_|xdp_program__|xdp_multiprog__|xsk_umem__|xsk_ring_|xsk_socket__)\w*",
     r"userspace/dataplane/|userspace/net/xsk|tests/bpf/|tools/bench/"),
    ("OpenSSL", r"openssl/.*", r"\b(?:SSL|EVP|X509|BIO|OSSL|PEM|OCSP|ASN1|PKCS12|RAND)_\w+",
     r"userspace/tls/|tests/unit/tls/|tests/fuzz/|tools/bench/"),
    ("llhttp", r"llhttp.*", r"\b(?:llhttp|HPE)_\w+", r"userspace/http/h1"),
    ("c-ares", r"ares.*", r"\b(?:ares|ARES)_\w+", r"userspace/control/dns_channel"),
    ("nghttp2", r"nghttp2/.*", r"\bnghttp2_\w+", r"userspace/http/h2"),
    ("nghttp3", r"nghttp3/.*", r"\bnghttp3_\w+", r"userspace/http/h3"),
    ("ngtcp2", r"ngtcp2/.*", r"\bngtcp2_\w+", r"userspace/quic/"),
    ("libyaml", r"yaml\.h", r"\byaml_(?:parser|event|emitter|document|token)_\w+", r"userspace/control/config"),
    ("yyjson", r"yyjson\.h", r"\byyjson_\w+", r"userspace/control/|tools/sluicectl/|tests/unit/control/"),
    ("liburcu", r"urcu.*", r"\b(?:urcu|rcu)_\w+", r"userspace/core/snapshot\.c"),
    ("libcurl", r"curl/.*", r"\b(?:curl_|CURL)\w+", r"userspace/control/http_client\.c"),
    ("libmnl", r"libmnl/.*", r"\bmnl_\w+", r"userspace/dataplane/"),
    ("cmocka", r"cmocka\.h", r"\bcmocka_\w+", r"tests/"),
]
# Words that must not even stand in a comment there.
FORBIDDEN_TEXT = [(r"userspace/(?:http|proxy)/", r"SSL_|EVP_|openssl", "OpenSSL is not known here")]

# include/sluice is shared with BPF programs.
ABI_INCLUDES = r"linux/types\.h|sluice/.*"
BPF_INCLUDES = r"bpf/bpf_\w+\.h|sluice/.*|linux/.*|vmlinux\.h"

# --- external symbols that do not begin with the name of their file or its first or last words, their
# room, or a struct that the file's own header defines (singular or plural): {path: {symbol: reason}}
SYMBOL_EXCEPTIONS = {
    "userspace/net/stream.c": {"plain_stream_new": "a kind of stream, as tls_stream_new is another"},
    "userspace/core/wheel.c": {"timer_clear": "declared in loop.h: the wheel is the loop's timers"},
}

# --- limits, in lines
FILE_LINES = 800
HEADER_LINES = 150
# Headers that are code rather than interface: the stages of the BPF programs, the tests' tools.
CODE_HEADERS = r"bpf/|tests/"
FUNCTION_LINES = 100
FUNCTION_AIM = 60
LONG_FILES = {}  # path: reason

NAMES_FORBIDDEN = r"(?:^|_)(?:utils?|common|helpers?|misc|manager)(?:_|\.)"
# Written in pieces, so that this file does not contain what it looks for.
MARKS = r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"
REGISTRIES = (
    r"\b(?:[\w-]+\.)*(?:debian\.(?:org|net)|ubuntu\.com|pypi\.org|pythonhosted\.org|npmjs\.(?:com|org)"
    r"|crates\.io|docker\.(?:io|com)|ghcr\.io|quay\.io|gcr\.io|golang\.org|registry\.k8s\.io"
    r"|rubygems\.org|maven\.org|alpinelinux\.org|fedoraproject\.org|yarnpkg\.com)\b")
