"""What `make test` runs in the VM. On the release's own kernel: all of tests/bpf, the gate's core,
records in the kernel, tests/vm. On the newest of its backports: every object, the programs in which
another kernel could make a difference, a few cases of tests/net. `make test-vm` runs everything."""

# None: all of tests/bpf, tests/unit/gate and tests/unit/tls/test_ktls*. Those named are the ones whose
# subject is the kernel's part: handing sockets over, AF_XDP, records. What a loaded program decides
# about a packet is the same on every kernel that takes it, and tests/vm/test_objects.py loads them all.
PROGRAMS = {
    "stable": None,
    "backports": ["test_gated", "test_handover", "test_release", "test_ktls", "test_ktls_records"],
}

# Cases of tests/net: real traffic through XDP, cookies, the gate, TLS, tunnels, splice.
_CASES = {
    "test_gate": ["test_flight_shapes[v6-shuffled-one_segment]", "test_real_clients", "test_routes_by_name"],
    "test_listeners": ["test_https_curl", "test_tls_to_tls"],
    "test_http1": ["test_download", "test_upload"],
    "test_tunnel": ["test_both_ways_at_once", "test_tcp_is_spliced"],
    "test_survive": ["test_killed_and_restarted"],
}
CASES = [f"tests/net/{module}.py::{name}" for module, names in _CASES.items() for name in names]
PATHS = {"stable": ["tests/vm"], "backports": ["tests/vm/test_objects.py", *CASES]}
