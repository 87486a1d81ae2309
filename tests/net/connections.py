"""What the daemon says of the connections a test has open."""
from wire import until


def name_of(connection):
    return "%s:%d" % connection.sock.getsockname()[:2]


def rows(one, query=""):
    """{client's address and port: row}"""
    return {row["client"]: row for row in one.api(f"/v1/connections?limit=100000{query}")["connections"]}


def row_of(one, connection, state=None, **wanted):
    """The row of a connection, once it is in that state."""
    def look():
        row = rows(one).get(name_of(connection))
        is_it = row and state in (None, row["state"]) and all(row[k] == v for k, v in wanted.items())
        return row if is_it else None
    return until(look, f"{state} {wanted}")
