"""What `make test` runs in the VM. On the release's own kernel: all of tests/bpf, the gate's core,
records in the kernel, tests/vm, a few cases of tests/net/test_ktls.py. On the newest of its backports:
every object, the programs in which another kernel could make a difference, those cases and a few more
of tests/net. `make test-vm` runs everything."""

# None: all of tests/bpf, tests/unit/gate and tests/unit/tls/test_ktls*. Those named are the ones whose
# subject is the kernel's part: handing sockets over, AF_XDP, records. What a loaded program decides
# about a packet is the same on every kernel that takes it, and tests/vm/test_bpf_objects.py loads them all.
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
# Records in the kernel, by the whole daemon; on both kernels, since new keys are another matter on each.
_KTLS = {
    "test_ktls": [
        "test_cipher[records-require-TLS_AES_128_GCM_SHA256]", "test_cipher[records-tx-TLS_CHACHA20_POLY1305_SHA256]",
        "test_cipher[records-auto-ECDHE-RSA-AES256-GCM-SHA384]", "test_to_targets[records-auto-https-https]",
        "test_to_targets[records-require-tls-tls]", "test_drip_of_a_body[records-auto-https-200000]",
        "test_drip_of_a_tunnel[records-auto-tls]", "test_client_ends_first[records-auto-1.3-notify]",
        "test_target_ends_first[records-auto-1.2]", "test_client_resets[records-auto-upload]",
        "test_alert[records-auto-1.3]", "test_sizes_of_records[records-auto-1.3]",
        "test_padding[records-require-all]", "test_damaged_record[records-auto-1.2]",
        "test_key_update[records-auto-tls-update_not_requested]",
        "test_key_update[records-auto-tls-update_requested]",
        "test_key_updates_behind_each_other[records-require]"],
}


def _paths(cases):
    return [f"tests/net/{module}.py::{name}" for module, names in cases.items() for name in names]


KTLS = _paths(_KTLS)
CASES = _paths(_CASES) + KTLS
PATHS = {"stable": ["tests/vm", *KTLS], "backports": ["tests/vm/test_bpf_objects.py", *CASES]}
