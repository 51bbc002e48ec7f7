"""C source as lint.py needs it: without comments, and cut into functions.

No parser of C: a scanner that knows comments, literals, directives and braces. It follows the code of
this project (K&R, no macros that hold unbalanced braces) and says so when it cannot.
"""

import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""//(?:[^\n\\]|\\.)*                  # comment to the end of the line
      | /\*.*?\*/                           # comment
      | "(?:[^"\\\n]|\\.)*"                 # string
      | '(?:[^'\\\n]|\\.)*'                 # character""",
    re.VERBOSE | re.DOTALL,
)


def _blank(text):
    """The same lines and columns, with nothing on them."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    return TOKEN.sub(lambda m: _blank(m[0]) if m[0].startswith("/") else m[0], text)


def code_only(text):
    """Without comments, and with empty literals: what is left is code."""
    def keep(m):
        literal = m[0]
        return _blank(literal) if literal.startswith("/") else literal[0] + _blank(literal[1:-1]) + literal[-1]
    return TOKEN.sub(keep, text)


def without_directives(code):
    """Blank every preprocessor directive with its continuation lines. Of #if ... #else ... #endif the
    first branch stays, so that braces balance."""
    out, skipping, continued = [], [], False
    for line in code.split("\n"):
        directive = re.match(r"\s*#\s*(\w+)", line)
        if continued:
            continued = line.endswith("\\")
            out.append("")
        elif directive:
            word = directive[1]
            if word in ("if", "ifdef", "ifndef"):
                skipping.append(False)
            elif word in ("else", "elif") and skipping:
                skipping[-1] = True
            elif word == "endif" and skipping:
                skipping.pop()
            continued = line.endswith("\\")
            out.append("")
        else:
            out.append("" if any(skipping) else line)
    return "\n".join(out)


class Function(NamedTuple):
    name: str
    first_line: int
    last_line: int

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


EXTERN_C = re.compile(r'extern\s+"[^"]*"\s*\{')


def _function_name(head):
    """The name when `head`, the text before a brace, is that of a function; else None."""
    if "=" in re.sub(r"\([^()]*\)", "", head):
        return None  # an initialiser
    flat = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head, flags=re.DOTALL).strip()
    if not flat.endswith(")"):
        return None  # struct, union, enum
    depth = 0
    for i in range(len(flat) - 1, -1, -1):
        depth += (flat[i] == ")") - (flat[i] == "(")
        if depth == 0:
            name = re.search(r"(\w+)\s*$", flat[:i])
            return name[1] if name else None
    return None


def functions(text):
    """Every function with a body, in order. ValueError when the braces do not balance."""
    code = without_directives(code_only(text))
    open_extern = len(EXTERN_C.findall(code))  # their closing braces stand at depth 0
    code = EXTERN_C.sub(lambda m: _blank(m[0]), code)

    def line_of(at):
        return code.count("\n", 0, at) + 1

    found, depth, head_start, current = [], 0, 0, None
    for m in re.finditer(r"[{};]", code):
        ch, at = m[0], m.start()
        if ch == "{":
            if depth == 0:
                head = code[head_start:at]
                name = _function_name(head)
                current = (name, line_of(at - len(head.lstrip()))) if name else None
            depth += 1
        elif ch == "}" and depth == 0:
            open_extern -= 1
            if open_extern < 0:
                raise ValueError(f"line {line_of(at)}: a closing brace too many")
            head_start = at + 1
        elif ch == "}":
            depth -= 1
            if depth == 0 and current:
                found.append(Function(current[0], current[1], line_of(at)))
                head_start = at + 1
        elif depth == 0:
            head_start = at + 1
    if depth:
        raise ValueError("a brace is never closed")
    return found
