"""The checks that only read text. Each takes all files and reports problems as (path, line, text)."""
import ast
import os
import re
import statistics

import rules
import source


def room_of(path):
    match = re.match(r"userspace/(\w+)/", path)
    return match.group(1) if match else None


def allowed_rooms(path):
    room = room_of(path)
    if room in rules.ROOMS:
        return rules.ROOMS[room] | {room}
    for prefix in sorted(rules.OTHERS, key=len, reverse=True):
        if path.startswith(prefix):
            return rules.OTHERS[prefix]
    return None


def check_quoted(path, name):
    """Why `path` may not include "name", or None."""
    if path.startswith(("include/", "bpf/")):
        return None if "/" not in name else "only files of the same folder stand in quotes here"
    if "/" not in name:
        here = os.path.join(os.path.dirname(path), name)
        if room_of(path) is None and os.path.exists(here):
            return None
        return "write it from userspace/: \"room/file.h\""
    if name.startswith("../") and path.startswith("tests/"):
        return None  # what tests of several folders share
    room = name.split("/")[0]
    if room == "bpf":
        ok = room_of(path) in rules.SKELETON_ROOMS or path.startswith(("tests/bpf/", "tools/bench/"))
        return None if ok else "BPF skeletons belong to " + ", ".join(rules.SKELETON_ROOMS)
    allowed = allowed_rooms(path)
    if room not in rules.ROOMS or allowed is None:
        return f"unknown room \"{room}\""
    if room in allowed or (path, name) in rules.INCLUDE_EXCEPTIONS:
        return None
    return f"{room_of(path) or path} may not include {room}/ (rooms: {', '.join(sorted(allowed))})"


def layers(files):
    for file in files:
        if not file.path.endswith((".c", ".h", ".def")):
            continue
        for line, kind, name in source.includes(file):
            why = None
            if kind == "quoted":
                why = check_quoted(file.path, name)
            elif file.path.startswith("include/") and not re.fullmatch(rules.ABI_INCLUDES, name):
                why = "include/sluice stands on linux/types.h only"
            elif file.path.startswith("bpf/") and not re.fullmatch(rules.BPF_INCLUDES, name):
                why = "bpf/ includes include/, its own files and libbpf's BPF headers only"
            if why:
                yield file.path, line, f"#include of {name}: {why}"


def vendors(files):
    for file in files:
        if not file.is_c or file.path.startswith(("include/", "bpf/")):
            continue
        for what, header, identifiers, where in rules.VENDORS:
            if re.match(where, file.path):
                continue
            for line, kind, name in source.includes(file):
                if kind == "angled" and re.fullmatch(header, name):
                    yield file.path, line, f"<{name}>: {what} is not for this folder ({where})"
            for match in re.finditer(identifiers, file.code):
                line = file.code.count("\n", 0, match.start()) + 1
                yield file.path, line, f"{match.group(0)}: {what} is not for this folder ({where})"


def forbidden_text(files):
    for file in files:
        for where, pattern, why in rules.FORBIDDEN_TEXT:
            if not re.match(where, file.path):
                continue
            for number, line in enumerate(file.lines, 1):
                match = re.search(pattern, line)
                if match:
                    yield file.path, number, f"\"{match.group(0)}\": {why}"


def symbols(files):
    by_path = {f.path: f for f in files}
    for file in files:
        room = room_of(file.path)
        if not room or not file.path.endswith(".c"):
            continue
        stem = os.path.basename(file.path)[:-2]
        words = stem.split("_")
        prefixes = {words[0], room} | {"_".join(words[i:]) for i in range(len(words))}
        header = by_path.get(file.path[:-1] + "h")
        if header:
            prefixes |= source.structs(header)
        prefixes |= {p.removesuffix("s") for p in prefixes} | {p + "s" for p in prefixes}
        excepted = rules.SYMBOL_EXCEPTIONS.get(file.path, {})
        functions, variables = source.functions_and_variables(file)
        for item in functions + variables:
            if item.static or item.name in excepted:
                continue
            if not any(item.name == p or item.name.startswith(p + "_") for p in prefixes):
                yield file.path, item.line, \
                    f"external symbol {item.name} does not begin with its module ({stem}_, " \
                    f"{room}_ or a struct of its header)"


def sizes(files):
    for file in files:
        if file.path.startswith("docs/") or not file.path.endswith((".c", ".h", ".py", ".sh", ".def")):
            continue
        is_interface = file.path.endswith(".h") and not re.match(rules.CODE_HEADERS, file.path)
        limit = rules.HEADER_LINES if is_interface else rules.FILE_LINES
        if len(file.lines) > limit and file.path not in rules.LONG_FILES:
            yield file.path, 1, f"{len(file.lines)} lines; no more than {limit}"
        if file.is_c:
            for function in source.functions_and_variables(file)[0]:
                if function.lines > rules.FUNCTION_LINES:
                    yield file.path, function.line, f"{function.name}() has {function.lines} lines; " \
                        f"no more than {rules.FUNCTION_LINES}"


def text(files):
    for file in files:
        if file.path.startswith("tests/fuzz/corpus/"):
            continue
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip():
                yield file.path, number, "trailing whitespace"
            match = re.search(rules.MARKS, line)
            if match:
                yield file.path, number, f"{match.group(0)} left behind"
            match = re.search(rules.REGISTRIES, line)
            if match:
                yield file.path, number, f"{match.group(0)}: no registry host names in the tree"
        if file.text and not file.text.endswith("\n"):
            yield file.path, len(file.lines), "no end of line at the end of the file"


def names(files):
    for file in files:
        name = os.path.basename(file.path)
        match = re.search(rules.NAMES_FORBIDDEN, name)
        if match and (file.is_c or file.is_python):
            yield file.path, 1, f"\"{match.group(0).strip('_.')}\" says nothing: name what it does"
        if not file.is_c:
            continue
        if not re.match(r"\s*(?:/\*|//)", file.text):
            yield file.path, 1, "does not begin with a comment: what it is, who owns what, which thread"
        for match in re.finditer(r"\btypedef\b[^;{]*\b(\w+_t)\s*;", file.code):
            line = file.code.count("\n", 0, match.start()) + 1
            yield file.path, line, f"typedef {match.group(1)}: write struct {match.group(1)[:-2]}"


def python(files):
    for file in files:
        if not file.is_python:
            continue
        try:
            ast.parse(file.text, file.path)
        except SyntaxError as error:
            yield file.path, error.lineno or 1, f"python: {error.msg}"


ALL = [layers, vendors, forbidden_text, symbols, sizes, text, names, python]


def report(files):
    """Sizes of the C code, as lines of text."""
    functions, c_files = [], []
    for file in files:
        if not file.is_c or not file.path.startswith(("userspace/", "bpf/", "tools/", "tests/")):
            continue
        c_files.append((len(file.lines), file.path))
        functions += [(f.lines, f.name, file.path, f.line)
                      for f in source.functions_and_variables(file)[0]]
    if not functions:
        return
    lengths = [f[0] for f in functions]
    over = sum(n > rules.FUNCTION_AIM for n in lengths)
    own = sum(n for n, path in c_files if path.startswith(("userspace/", "bpf/", "include/")))
    tests = sum(n for n, path in c_files if path.startswith("tests/"))
    yield f"sizes: {len(c_files)} C files, median {statistics.median(n for n, _ in c_files):.0f} lines; " \
        f"{len(functions)} functions, median {statistics.median(lengths):.0f}, " \
        f"{over} ({100 * over / len(functions):.1f} %) above {rules.FUNCTION_AIM}; " \
        f"test lines in C per code line {tests / max(own, 1):.2f}"
    yield "longest functions:"
    for lines, name, path, line in sorted(functions, reverse=True)[:10]:
        yield f"  {lines:4} {path}:{line} {name}"
    yield "longest files:"
    for lines, path in sorted(c_files, reverse=True)[:10]:
        yield f"  {lines:4} {path}"
