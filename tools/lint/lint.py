#!/usr/bin/env python3
"""make lint: layers, vendors' rooms, names, sizes, formatting, static checks.

lint.py [--all] [--fast] [--report]
  --all     clang-tidy on every file, however long it takes, not only on changed ones
  --fast    without clang-tidy
  --report  sizes only

Prints file:line: problem for each problem; the last line is "lint: N problems"; exit status 1 if
there are any. Runs inside tools/devroot, from any folder."""
import os
import sys

import checks
import external
import source


def say(line):
    print(f"lint: {line}", flush=True)


def problems(files, everything, fast):
    for check in checks.ALL:
        yield from check(files)
    for check in (external.shellcheck, external.mandoc, external.clang_format):
        yield from check(files)
    if not fast:
        yield from external.clang_tidy(files, everything, say)


def main():
    options = set(sys.argv[1:])
    if options - {"--all", "--fast", "--report"}:
        sys.exit(__doc__)
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    files = source.tree()
    n = 0
    if "--report" not in options:
        for path, line, text in problems(files, "--all" in options, "--fast" in options):
            print(f"{path}:{line}: {text}", flush=True)
            n += 1
    for line in checks.report(files):
        print(line)
    say(f"{n} problems")
    return 1 if n else 0


if __name__ == "__main__":
    sys.exit(main())
