"""The checks that other programs make: clang-format, clang-tidy, shellcheck, mandoc."""
import concurrent.futures
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time

JOBS = 2
TIDY_SECONDS = 45  # of one run without --all; what is left is checked by the next run
CACHE = "build/lint"  # one empty file for each input clang-tidy found nothing in


def missing(tool):
    if shutil.which(tool):
        return None
    return "tools/packages.list", 1, f"{tool} is not installed: run tools/devroot make lint"


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    return done.returncode, done.stdout


def in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        yield from pool.map(function, items)


def chunks(items, n):
    return [items[i::n] for i in range(n) if items[i::n]]


def clang_format(files):
    if missing("clang-format"):
        yield missing("clang-format")
        return
    paths = [f.path for f in files if f.is_c]
    lines = {}
    for _, out in in_parallel(lambda c: run(["clang-format", "--dry-run", "-Werror", *c]),
                              chunks(paths, JOBS)):
        for match in re.finditer(r"^(\S+?):(\d+):\d+: error: .*clang-format", out, re.M):
            lines.setdefault(match.group(1), set()).add(int(match.group(2)))
    for path in sorted(lines):
        yield path, min(lines[path]), f"formatting differs in {len(lines[path])} lines: " \
            f"tools/devroot clang-format -i {path}"


def shellcheck(files):
    paths = [f.path for f in files if f.is_shell]
    if missing("shellcheck") or not paths:
        if paths:
            yield missing("shellcheck")
        return
    # SC2016: what stands in single quotes (awk programs, formats) is meant to stay as it is.
    _, out = run(["shellcheck", "-e", "SC2016", "-f", "gcc", *paths])
    for match in re.finditer(r"^([^:\n]+):(\d+):\d+: (?:\w+): (.*)$", out, re.M):
        yield match.group(1), int(match.group(2)), f"shellcheck: {match.group(3)}"


def mandoc(files):
    paths = [f.path for f in files if f.path.startswith("docs/man/") and re.search(r"\.\d$", f.path)]
    if missing("mandoc") or not paths:
        if paths:
            yield missing("mandoc")
        return
    _, out = run(["mandoc", "-Tlint", "-Wwarning", *paths])
    for match in re.finditer(r"^mandoc: ([^:\n]+):(\d+):\d+: (.*)$", out, re.M):
        yield match.group(1), int(match.group(2)), f"mandoc: {match.group(3)}"


# --- clang-tidy

def compile_flags():
    """CPPFLAGS and WARNINGS as the Makefile has them."""
    _, out = run(["make", "-pq", "--no-print-directory", "clean"])
    flags = ["-std=gnu17", "-fno-caret-diagnostics"]
    for name in ("CPPFLAGS", "WARNINGS"):
        match = re.search(rf"^{name} :?= (.*)$", out, re.M)
        if match:
            flags += shlex.split(match.group(1))
    return [f for f in flags if f != "-Werror" and not f.startswith("-DSLUICE_VERSION")] + \
        ['-DSLUICE_VERSION=""']


def changed():
    """Files that differ from the last commit; None if there is no commit."""
    code, out = run(["git", "diff", "--name-only", "HEAD"])
    if code != 0:
        return None
    return set(out.split()) | set(run(["git", "ls-files", "-o", "--exclude-standard"])[1].split())


def dependencies(path, flags):
    """The files of the tree that `path` is made of; None if a generated one is not there yet."""
    code, out = run(["clang", *flags, "-MM", "-MG", path])
    if code != 0:
        return None
    deps = out.replace("\\\n", " ").split(":", 1)[-1].split()
    return deps if all(os.path.exists(d) for d in deps) else None


def mark(path, flags):
    """Where the note is kept that clang-tidy finds nothing in this very input."""
    deps = dependencies(path, flags)
    if deps is None:
        return None
    digest = hashlib.sha256(repr(flags).encode())
    for name in [".clang-tidy", *deps]:
        with open(name, "rb") as f:
            digest.update(f.read())
    return os.path.join(CACHE, digest.hexdigest()[:32])


def tidy_one(path, flags):
    """(problems, note to leave if there are none)"""
    note = mark(path, flags)
    if note is None:
        return [], None
    if os.path.exists(note):
        return [], note
    _, out = run(["clang-tidy", "--quiet", path, "--", *flags])
    found = re.findall(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*)$", out, re.M)
    top = os.getcwd() + "/"
    problems = [(p.removeprefix(top), int(n), f"clang-tidy: {t}") for p, n, t in found]
    if not any(p.startswith(("userspace/", "include/", "tools/")) for p, _, _ in problems):
        with open(note, "w", encoding="utf-8"):
            pass
    return problems, note


def clang_tidy(files, everything, say):
    if missing("clang-tidy"):
        yield missing("clang-tidy")
        return
    os.makedirs(CACHE, exist_ok=True)
    only = None if everything else changed()
    paths = [f.path for f in files if f.path.endswith(".c") and not f.path.startswith(("bpf/", "tests/"))
             and (only is None or f.path in only)]
    paths.sort(key=os.path.getmtime, reverse=True)
    flags = compile_flags()
    end = time.monotonic() + (1e9 if everything else TIDY_SECONDS)

    def one(path):
        return tidy_one(path, flags) if time.monotonic() < end else None

    results = list(in_parallel(one, paths))
    left = results.count(None)
    not_built = sum(1 for r in results if r and r[1] is None)
    if left:
        say(f"clang-tidy: {left} of {len(paths)} files left for the next run (or --all)")
    if not_built:
        say(f"clang-tidy: {not_built} files need headers that are not generated yet: run make first")
    seen = set()
    for result in results:
        for problem in result[0] if result else []:
            if problem not in seen and not problem[0].startswith("build/"):  # a header's problem is found by everyone who includes it
                seen.add(problem)
                yield problem
