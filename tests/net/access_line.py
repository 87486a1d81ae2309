"""Lines of the access log as JSON: members as docs/access-log.md has them."""

import json
import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "access-log.md"


@cache
def members():
    """Of the table, in its order."""
    rows = [row.split("|")[1] for row in PAGE.read_text().splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def parse(text):
    """None where it has no such member. What it has is in the page, in that order, and has a value."""
    line = json.loads(text)
    assert list(line) == [name for name in members() if name in line], text
    assert None not in line.values() and "" not in line.values(), text
    return dict.fromkeys(members()) | line
