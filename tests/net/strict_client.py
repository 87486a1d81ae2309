"""What a server makes of a row of strict_requests, seen from the client: the request is sent with
another one behind it, and both answers are looked at."""
import re

from strict_requests import HOST
from wire import Connection

AFTER = b"GET /after HTTP/1.1\r\n" + HOST + b"\r\n"


def is_target(answer):
    """Is it the target's, not one the proxy has made?"""
    return answer.get("cache-control") != "no-store"


def verdict(address, row, is_from_target=is_target, timeout=5):
    """("forward", "close" or a status; the first answer). "waits": nothing came in time; "cut": the
    connection ended without an answer."""
    with Connection(address, timeout=timeout) as connection:
        try:
            connection.send(row.data + AFTER)
        except ConnectionError:
            pass  # refused before the last byte was sent
        method = re.match(rb"\s*(\w*)", row.data).group(1).decode()
        try:
            answer = connection.response(method)
        except TimeoutError:
            return "waits", None
        except (EOFError, ConnectionError):
            return "cut", None
        if not is_from_target(answer):
            return str(answer.status) if ends(connection) else f"{answer.status}, goes on", answer
        return follows(connection), answer


def ends(connection):
    try:
        return connection.is_ended()
    except (EOFError, ConnectionError):
        return True


def follows(connection):
    """What becomes of the request behind one that was answered."""
    try:
        answer = connection.response()
    except TimeoutError:
        return "waits"
    except (EOFError, ConnectionError):
        return "close"
    return "forward" if answer.status == 200 else f"then {answer.status}"
