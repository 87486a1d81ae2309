"""Reads the tree: which files there are, and what stands at the top level of a C file."""
import collections
import re
import subprocess

Function = collections.namedtuple("Function", "name line lines static")
Variable = collections.namedtuple("Variable", "name line static")

CONTROL = {"if", "for", "while", "switch", "return", "sizeof", "do", "else"}


class File:
    """One text file of the tree."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            data = f.read()
        self.binary = b"\0" in data
        self.text = "" if self.binary else data.decode("utf-8", "replace")
        self.lines = self.text.splitlines()
        self._code = None

    @property
    def is_c(self):
        return self.path.endswith((".c", ".h"))

    @property
    def shebang(self):
        return self.lines[0] if self.lines and self.lines[0].startswith("#!") else ""

    @property
    def is_python(self):
        return self.path.endswith(".py") or "python" in self.shebang

    @property
    def is_shell(self):
        return bool(re.match(r"#!.*\b(?:ba|da)?sh\b", self.shebang))

    @property
    def code(self):
        """The text with comments and the insides of strings blanked; same length, same lines."""
        if self._code is None:
            self._code = blank(self.text)
        return self._code


def tree():
    """Every file that is tracked, or is not and not ignored either."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], check=True,
                         capture_output=True).stdout.decode()
    files = []
    for path in sorted(set(out.split("\0")) - {""}):
        try:
            files.append(File(path))
        except (FileNotFoundError, IsADirectoryError):
            continue  # deleted or moved meanwhile
    return [f for f in files if not f.binary]


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    def spaces(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[-1]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(spaces, text)


def includes(file):
    """(line number, "quoted" or "angled", name)"""
    for number, line in enumerate(file.lines, 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if match:
            quoted, angled = match.groups()
            yield number, "quoted" if quoted else "angled", quoted or angled


def without_preprocessor(code):
    return re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  code)


def top_level(code):
    """(offset, head, end offset, has a body) of everything that stands outside braces."""
    depth = parens = 0
    start, brace = 0, -1
    for i, c in enumerate(code):
        if c == "(":
            parens += 1
        elif c == ")":
            parens -= 1
        elif c == "{":
            if depth == 0:
                brace = i
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0 and is_function_head(code[start:brace]):
                yield start, code[start:brace], i, True
                start, brace = i + 1, -1
        elif c == ";" and depth == 0 and parens == 0:
            yield start, code[start:brace if brace >= 0 else i], i, False
            start, brace = i + 1, -1


def is_function_head(head):
    return "(" in head and "=" not in head and head.rstrip().endswith(")") and \
        not re.match(r"\s*(?:enum|union|struct)\s+\w+\s*$", head)


def declarator(head):
    """The name before the first top-level parenthesis that is not an attribute's."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head, flags=re.S)
    names = re.findall(r"(\w+)\s*\(", head)
    return names[0] if names else None


def functions_and_variables(file):
    code = without_preprocessor(file.code)
    functions, variables = [], []
    for start, head, end, body in top_level(code):
        first = start + len(head) - len(head.lstrip())
        line = code.count("\n", 0, first) + 1
        static = bool(re.search(r"\bstatic\b", head))
        if body:
            name = declarator(head)
            if name and name not in CONTROL:
                lines = code.count("\n", first, end) + 1
                functions.append(Function(name, line, lines, static))
            continue
        if re.match(r"\s*(?:extern|typedef|_Static_assert|static_assert)\b", head):
            continue
        head = head.split("=")[0]
        match = re.match(r"\s*(?:[\w*]+\s+)*?\**(\w+)\s*(?:\[[^\]]*\]\s*)*$", head, re.S)
        if match and "(" not in head and len(re.findall(r"\w+", head)) > 1 and \
                not re.match(r"\s*(?:struct|union|enum)\s+\w+\s*$", head):
            variables.append(Variable(match.group(1), line, static))
    return functions, variables


def structs(file):
    return set(re.findall(r"(?m)^(?:struct|union|enum) (\w+) \{", file.code))
