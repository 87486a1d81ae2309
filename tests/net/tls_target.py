"""HTTPS targets with terms of their own, for the tests of TLS towards targets.

    tls_target.py '[{"address": A, "port": P, "cert": PEM, "key": KEY, "clients": CA, "version": "1.2"}, ...]'

`clients`: a client certificate from this CA is required. Every request is answered with what the target
saw of its peer, as JSON. One line on standard output when all of them listen.
"""
import json
import socket
import ssl
import sys
import threading

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(row):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(row["cert"], row["key"])
    if row.get("clients"):
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(row["clients"])
    if row.get("version"):
        made.minimum_version = made.maximum_version = VERSIONS[row["version"]]
    return made


def facts(tls):
    subject = dict(pair for part in (tls.getpeercert() or {}).get("subject", ()) for pair in part)
    return {"client": subject.get("commonName"), "version": tls.version(), "resumed": tls.session_reused}


def serve(sock, terms):
    sock.settimeout(60)
    try:
        with terms.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as tls:
            try:
                tls.do_handshake()
            except ssl.SSLError:  # its alert is sent; a reset would overtake it
                sock = socket.socket(fileno=tls.detach())
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
                return sock.close()
            while request := tls.recv(16384):
                if request.endswith(b"\r\n\r\n"):
                    body = json.dumps(facts(tls)).encode()
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    except OSError:
        pass


def listen(row):
    terms = context(row)
    with socket.create_server((row["address"], row["port"]), backlog=256) as server:
        yield
        while True:
            sock, _ = server.accept()
            threading.Thread(target=serve, args=(sock, terms), daemon=True).start()


def main():
    waiting = []
    for row in json.loads(sys.argv[1]):
        server = listen(row)
        next(server)
        waiting.append(threading.Thread(target=next, args=(server,), daemon=True))
        waiting[-1].start()
    print("ready", flush=True)
    waiting[0].join()


if __name__ == "__main__":
    main()
