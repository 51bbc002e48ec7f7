#!/usr/bin/env python3
"""lint.py: the rules of the house that a machine can check.

    tools/lint.py               every rule on this tree; exit 1 when one is broken
    tools/lint.py --self-test   give each rule what it forbids, and something it allows
    tools/lint.py --list        the rules
    --tap                       print results as TAP (for tools/suite.py)

A rule is a function from a tree to findings, with samples beside it (tools/lint_samples.py) that it must
catch and must let pass: a check that cannot fail is a defect. Rules that read objects look at build/;
without them they say so and are skipped.
"""

import argparse
import fnmatch
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
import csource  # noqa: E402  (same folder)

# ---------------------------------------------------------------- tables

# What a folder of src/ may include besides itself and include/hearth/ (docs/architecture.md).
FLOOR_0_1 = ["base", "format", "dtype"]
FLOORS = {
    "base": [],
    "format": ["base"],
    "dtype": ["base"],
    "kernel": ["base", "dtype"],
    "quant": ["base", "dtype"],
    "text": ["base", "format"],
    "model": FLOOR_0_1 + ["kernel"],
    "infer": FLOOR_0_1 + ["kernel", "text", "model"],
    "engine": FLOOR_0_1 + ["kernel", "text", "model", "infer"],
    "record": ["base", "format"],
    "store": ["base", "format"],
    "server": ["base", "record", "store"],
    "cli": ["base", "record", "store", "server"],
}
LIBRARY_FLOORS = ["base", "format", "dtype", "kernel", "quant", "text", "model", "infer", "engine"]

# Single files that may include more: (file, header, why).
FLOOR_EXTRAS = [
    ("src/cli/*quantize*", "format/* dtype/* kernel/* quant/*", "it writes model files"),
    ("src/cli/*synth*", "format/* dtype/* kernel/*", "it writes model files"),
    ("src/cli/model_bytes.*", "format/*", "it maps model files for tools that read weights"),
    ("src/cli/verify_*", "format/* dtype/*", "it reads weights"),
    ("src/cli/imatrix.*", "format/* dtype/*", "it writes importance matrices"),
    ("src/cli/*bench*", "dtype/* kernel/*", "it times kernels"),
    ("src/cli/fit_machine.*", "kernel/*", "it measures the machine's roofs"),
    ("src/cli/fit_catalogue.*", "format/* dtype/*", "it knows how large a tensor is in each format"),
    ("src/cli/doctor_facts.c", "kernel/*", "it measures the machine with their loops"),
]

# Angle-bracket headers of libraries, and the files that may include them.
LIBRARIES = [
    ("openssl/*", "libcrypto", ["src/base/*"]),
    ("hwloc.h hwloc/*", "hwloc", ["src/base/*"]),
    ("seccomp.h", "libseccomp", ["src/base/*"]),
    ("pcre2.h", "PCRE2", ["src/text/*"]),
    ("utf8proc.h", "utf8proc", ["src/text/*"]),
    ("jansson.h", "jansson",
     ["src/text/jinja*", "src/text/chat*", "src/text/toolcall*", "src/infer/grammar*", "src/record/*", "src/store/*",
      "src/server/*", "src/cli/*"]),
    ("sqlite3.h", "SQLite", ["src/record/*", "src/store/*"]),
    ("curl/*", "libcurl", ["src/store/*"]),
    ("microhttpd.h", "libmicrohttpd", ["src/server/server.c"]),
    ("histedit.h editline/*", "libedit", ["src/cli/*"]),
]
C_HEADERS = set(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic"
    " stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time uchar wchar wctype strings".split())
ISA_HEADERS = "immintrin.h x86intrin.h *mmintrin.h arm_neon.h arm_sve.h cpuid.h riscv_vector.h"
OS_HEADERS = ("sys/* linux/* net/* netinet/* arpa/* asm/* bits/* unistd.h fcntl.h pthread.h sched.h dlfcn.h poll.h"
              " dirent.h termios.h pwd.h grp.h semaphore.h spawn.h syslog.h netdb.h ftw.h glob.h mqueue.h"
              " langinfo.h execinfo.h malloc.h ucontext.h")
OS_FOLDERS = ["src/base/*", "src/server/*"]
# The program asks whether it has a terminal, how wide it is, and lets Ctrl-C wake a loop. POSIX, not Linux.
OS_EXTRAS = [("src/cli/*", "unistd.h termios.h sys/ioctl.h fcntl.h poll.h")]

# Files that exist for an instruction set or an operating system.
ISA_FILES = ["src/kernel/isa/*", "src/kernel/inst/*", "src/kernel/tuned/*", "src/kernel/cpu.[ch]", "src/base/*"]
ISA_MACRO = re.compile(
    r"__(x86_64|i386|amd64|aarch64|arm|ARM|AVX|SSE|FMA|F16C|BMI|riscv|powerpc|s390|linux|unix|APPLE|FreeBSD|ANDROID"
    r"|MINGW|GLIBC)\w*|\b_WIN(32|64)\b|\b_M_\w+")

# Folders where a number may become a logit, a probability or a token.
NUMBER_FOLDERS = ["dtype", "kernel", "quant", "model", "infer", "engine"]
LIBM = set()
for _name in ("exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos tan asin acos atan atan2 sincos sinh cosh tanh"
              " asinh acosh atanh erf erfc cbrt hypot lgamma tgamma").split():
    LIBM |= {_name, _name + "f", _name + "l"}

MAX_FILE_LINES = 1000
MAX_FUNCTION_LINES = 100
USUAL_FUNCTION_LINES, USUAL_SHARE = 60, 0.95
MAX_LINE = 120
MAX_SUBJECT = 72
# Files ("path") and functions ("path:name") that may be longer, each with its reason. At most ten.
SIZE_EXCEPTIONS = {}

# Data and built files: not written by hand, so the rules of form are not for them.
DATA = ["models/*", "tests/golden/*", "tests/fuzz/corpus/*", "web/dist/*", "bench/results/*", "docs/first-run.txt"]


# ---------------------------------------------------------------- the tree

class Skip(Exception):
    """The rule has nothing to look at here; the message says why."""


def matches(path, patterns):
    patterns = patterns.split() if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatch(path, p) for p in patterns)


class Tree:
    """The files git knows or would add, read once."""

    def __init__(self, root):
        self.root = root
        self.cache = {}
        listed = self.run(["git", "ls-files", "-z", "-co", "--exclude-standard"])
        if listed is None:
            listed = "\0".join(self._walk())
        self.paths = sorted(p for p in set(listed.split("\0")) if p and os.path.isfile(os.path.join(root, p)))

    def _walk(self):
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if not f.startswith((".git", "build"))]
            for name in files:
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def run(self, args, stdin=None):
        """Standard output of a command in the tree; None when it fails or does not exist."""
        try:
            done = subprocess.run(args, cwd=self.root, input=stdin, capture_output=True, text=True, errors="replace")
        except OSError:
            return None
        return done.stdout if done.returncode == 0 else None

    def text(self, path):
        if path not in self.cache:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace", newline="") as f:
                self.cache[path] = f.read()
        return self.cache[path]

    def files(self, *patterns):
        """(path, text) of the files that match and are not data."""
        return [(p, self.text(p)) for p in self.paths if matches(p, patterns) and not matches(p, DATA)]

    def c_files(self, *folders):
        """(path, code without comments) of the C files below these folders."""
        patterns = [f"{folder}/*.{kind}" for folder in folders for kind in ("c", "h", "def")]
        return [(p, csource.without_comments(t)) for p, t in self.files(*patterns)]

    def objects(self, *patterns):
        build = os.path.join(self.root, "build")
        found = [p for pattern in patterns for p in glob.glob(os.path.join(build, pattern), recursive=True)]
        if not found:
            raise Skip("not built: build/ has no " + " ".join(patterns))
        return sorted(found)

    def symbols(self, objects, *flags):
        """(file, symbol) of nm."""
        out = self.run(["nm", "-A", "--format=posix", *flags, *objects])
        if out is None:
            raise Skip("nm cannot read the objects of build/")
        for line in out.splitlines():
            where, _, rest = line.rpartition(": ")
            if rest:
                yield os.path.relpath(where.split("[")[0], self.root), rest.split()[0].split("@")[0]


def lines_of(text):
    return enumerate(text.split("\n"), 1)


def grep(files, pattern, message):
    """Findings for each match of pattern; message may use {0} (the match)."""
    for path, text in files:
        for number, line in lines_of(text):
            for m in re.finditer(pattern, line):
                yield f"{path}:{number}: {message.format(m[0].strip())}"


def calls(files, names, message):
    """Findings for each call of one of the names; members and longer names are not calls of them."""
    code = [(p, csource.code_only(t)) for p, t in files]
    return grep(code, r"(?<![\w.>])(?:" + "|".join(sorted(names)) + r")\s*\(", message)


# ---------------------------------------------------------------- rules

RULES = {}


def rule(function):
    """Register a rule under its name; its docstring says what it demands."""
    RULES[function.__name__.replace("_", "-")] = function
    return function


def folder_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


@rule
def floors(tree):
    """a folder includes itself and the floors that its row names, written from src/"""
    for path, text in tree.c_files("src", "include"):
        home = folder_of(path)
        if path.startswith("src/") and home not in FLOORS:
            yield f"{path}:1: src/{home or ''} is not in the table of floors (FLOORS in tools/lint.py)"
            continue
        for number, line in lines_of(text):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m or m[1].startswith("hearth/"):
                continue
            header = m[1]
            where = header.split("/")[0] if "/" in header else None
            if header == "builtin.h" and home == "cli":
                continue  # models/builtin.h: the model inside the program
            if where is None or ".." in header or where not in FLOORS:
                yield f'{path}:{number}: "{header}" is not written from src/ (as "base/err.h")'
            elif home is None:
                yield f"{path}:{number}: the public headers include C headers only, not {header}"
            elif where != home and where not in FLOORS[home] and not any(
                    matches(path, f) and matches(header, h) for f, h, _ in FLOOR_EXTRAS):
                allowed = ", ".join([home, *FLOORS[home]])
                yield f"{path}:{number}: {home}/ may not include {header} (it knows {allowed})"


@rule
def libraries(tree):
    """a library's header is included only by the folders that may use the library"""
    for path, text in tree.c_files("src", "include"):
        for number, line in lines_of(text):
            m = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if not m:
                continue
            header = m[1]
            if header.removesuffix(".h") in C_HEADERS or matches(header, ISA_HEADERS) or matches(header, OS_HEADERS):
                continue
            row = next((r for r in LIBRARIES if matches(header, r[0])), None)
            if row is None:
                yield f"{path}:{number}: <{header}> is not in the table of libraries (a decision record comes first)"
            elif not matches(path, row[2]):
                yield f"{path}:{number}: {row[1]} (<{header}>) belongs in {', '.join(row[2])}"


@rule
def os_headers(tree):
    """headers of the operating system stay in base/ and server/"""
    for path, text in tree.c_files("src", "include"):
        for number, line in lines_of(text):
            m = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if not m or not matches(m[1], OS_HEADERS) or matches(path, OS_FOLDERS):
                continue
            if not any(matches(path, f) and matches(m[1], h) for f, h in OS_EXTRAS):
                yield f"{path}:{number}: <{m[1]}> belongs to base/ or server/; give base/ a function for it"


@rule
def isa_if(tree):
    """#if and intrinsics for an instruction set or a system stand only in files that exist for it"""
    for path, text in tree.c_files("src", "include"):
        if matches(path, ISA_FILES):
            continue
        for number, line in lines_of(text):
            if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line) and ISA_MACRO.search(line):
                yield f"{path}:{number}: {line.strip()}: this belongs to {', '.join(ISA_FILES)}"
            m = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if m and matches(m[1], ISA_HEADERS):
                yield f"{path}:{number}: <{m[1]}> belongs to {', '.join(ISA_FILES)}"


@rule
def getenv(tree):
    """the environment is read in base/env.c only, so that `hearth env` can list it"""
    files = [(p, t) for p, t in tree.c_files("src", "include") if p != "src/base/env.c"]
    yield from calls(files, ["getenv", "secure_getenv"], "{0}...) belongs to src/base/env.c")
    yield from grep([(p, csource.code_only(t)) for p, t in files], r"\benviron\b", "{0} belongs to src/base/env.c")


@rule
def allocation(tree):
    """memory comes from base/alloc.h or base/arena.h, where a test can make it fail"""
    files = [(p, t) for p, t in tree.c_files("src") if p != "src/base/alloc.c"]
    names = "malloc calloc realloc reallocarray strdup strndup aligned_alloc posix_memalign asprintf vasprintf alloca"
    yield from calls(files, names.split(), "{0}...): allocate with base/alloc.h or base/arena.h")


@rule
def exits(tree):
    """the library never ends the process: a failure is an error that reaches the caller"""
    files = tree.c_files(*(f"src/{f}" for f in FLOORS if f != "cli"))
    yield from calls(files, ["abort", "exit", "_exit", "_Exit", "quick_exit"], "{0}...): return fail() instead")


@rule
def libm(tree):
    """no libm transcendental where a number may become a logit or a token: kernel/num.h has ours"""
    files = tree.c_files(*(f"src/{f}" for f in NUMBER_FOLDERS))
    yield from calls(files, LIBM, "{0}...): its bits differ between machines; use kernel/num.h")


@rule
def libm_symbols(tree):
    """the compiled objects of the number paths call no libm transcendental either"""
    objects = tree.objects(*(f"src/libhearth.a.p/{f}_*.o" for f in NUMBER_FOLDERS), "src/kernel/**/*.o")
    for where, symbol in tree.symbols(objects, "-u"):
        if symbol in LIBM:
            yield f"{where}: calls {symbol}(); use kernel/num.h"


@rule
def inst_symbols(tree):
    """kernels are inlined: an object of kernel/inst holds no unpack_* of its own"""
    for where, symbol in tree.symbols(tree.objects("src/**/*inst_*.o"), "--defined-only"):
        if symbol.startswith("unpack_"):
            yield f"{where}: {symbol} was not inlined"


@rule
def exports(tree):
    """what the library lets others see is named hearth_*; the rest is hidden"""
    table = tree.run(["readelf", "-Ws", *tree.objects("src/libhearth.a")])
    if table is None:
        raise Skip("readelf cannot read build/src/libhearth.a")
    for line in table.splitlines():
        f = line.split()  # number, value, size, type, binding, visibility, section, name
        if len(f) == 8 and f[4] in ("GLOBAL", "WEAK") and f[5] == "DEFAULT" and f[6] != "UND":
            if not f[7].startswith("hearth_"):
                yield f"build/src/libhearth.a: {f[7]} is visible; -fvisibility=hidden was lost, or it needs the prefix"


@rule
def public_defined(tree):
    """every function that the public headers promise is in the library"""
    defined = {symbol for _, symbol in tree.symbols(tree.objects("src/libhearth.a"), "--defined-only")}
    for path, text in tree.files("include/hearth/*.h"):
        for name in re.findall(r"^(?!typedef)[a-z_][^;{}()]*?\b(hearth_\w+)\(", csource.code_only(text), re.MULTILINE):
            if name not in defined:
                yield f"{path}:1: {name}() is declared and nowhere defined"


@rule
def file_size(tree):
    """no source file above 1,000 lines (tables of data excepted)"""
    if len(SIZE_EXCEPTIONS) > 10:
        yield f"tools/lint.py:1: {len(SIZE_EXCEPTIONS)} exceptions to the sizes, at most 10 are allowed"
    for path, text in tree.files("*.c", "*.h", "*.py", "*.sh", "*.js"):
        n = text.count("\n")
        if n > MAX_FILE_LINES and path not in SIZE_EXCEPTIONS:
            yield f"{path}:{MAX_FILE_LINES + 1}: {n} lines; at most {MAX_FILE_LINES}"


@rule
def function_size(tree):
    """no function above 100 lines, and 95 % of them within 60"""
    sizes = []
    for path, text in tree.files("*.c", "*.h"):
        try:
            found = csource.functions(text)
        except ValueError as problem:
            yield f"{path}:1: cannot follow the braces: {problem}"
            continue
        for f in found:
            sizes.append((f.lines, path, f))
            if f.lines > MAX_FUNCTION_LINES and f"{path}:{f.name}" not in SIZE_EXCEPTIONS:
                yield f"{path}:{f.first_line}: {f.name}() has {f.lines} lines; at most {MAX_FUNCTION_LINES}"
    long = [s for s in sizes if s[0] > USUAL_FUNCTION_LINES]
    if len(long) > (1 - USUAL_SHARE) * len(sizes):
        for n, path, f in sorted(long, key=lambda s: -s[0])[:10]:
            yield f"{path}:{f.first_line}: {f.name}() has {n} lines, above the usual {USUAL_FUNCTION_LINES}"
        yield f"{len(long)} of {len(sizes)} functions are above {USUAL_FUNCTION_LINES} lines; at most 5 % may be"


@rule
def whitespace(tree):
    """no tabs, no trailing spaces, no line above 120 columns, one newline at the end"""
    kinds = "*.c *.h *.def *.S *.py *.sh *.ini *.md *.txt *meson.build"
    free_width = (".def", ".md", ".txt")  # tables and prose
    for path, text in tree.files(*kinds.split()):
        for number, line in lines_of(text):
            if "\t" in line:
                yield f"{path}:{number}: a tab"
            if line != line.rstrip():
                yield f"{path}:{number}: spaces at the end of the line"
            if len(line) > MAX_LINE and not path.endswith(free_width):
                yield f"{path}:{number}: {len(line)} columns; at most {MAX_LINE}"
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            yield f"{path}:{text.count(chr(10)) + 1}: the file ends without a newline, or with empty lines"


@rule
def unfinished(tree):
    """no notes to oneself: an unfinished thing is an issue, or it is done"""
    words = "|".join(["TO" "DO", "FIX" "ME", "X" "XX"])
    files = tree.files("*.c", "*.h", "*.def", "*.py", "*.sh", "*.md", "*meson.build", "Makefile")
    yield from grep(files, rf"\b({words})\b", "{0}")


@rule
def paths(tree):
    """no path of somebody's machine"""
    homes = "|".join(["ho" "me/", "ro" "ot/", "Us" "ers/", "wo" "rk/"])
    files = [(p, t) for p, t in tree.files("*") if not p.endswith((".gguf", ".png", ".ico"))]
    yield from grep(files, r"(?<![\w.$~})/-])/(?:" + homes + r")[\w.]+", "{0}: a path of one machine")


@rule
def public_comments(tree):
    """every function of the public headers stands in a paragraph that begins with, or carries, a comment"""
    for path, text in tree.files("include/hearth/*.h"):
        code = csource.code_only(text).split("\n")
        commented = False
        for number, line in lines_of(text):
            if not line.strip():
                commented = False
            if re.search(r"/\*|\*/|//", line):
                commented = True
            m = re.match(r"[a-z_].*?\b(hearth_\w+)\s*\(", code[number - 1])
            if m and not code[number - 1].startswith("typedef") and not commented:
                yield f"{path}:{number}: {m[1]}() has no comment"


@rule
def headers(tree):
    """every header compiles alone: C17, and C++17 for the public ones"""
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_POSIX_C_SOURCE=200809L", "-Iinclude", "-Isrc",
             "-Wno-unused-function"]
    templates = ["src/kernel/isa/*", "src/kernel/tmpl/*", "src/kernel/inst/*"]
    cc = (os.environ.get("CC") or "gcc").split()  # "ccache gcc" is one, too
    cxx = [*cc[:-1], cc[-1].replace("clang", "clang++") if "clang" in cc[-1] else cc[-1].replace("gcc", "g++")]
    jobs = []
    for path, _ in tree.files("src/*.h", "include/*.h", "tests/*.h"):
        if matches(path, templates):
            continue
        name = re.sub(r"^(src|include)/", "", path)
        jobs.append((path, [*cc, "-std=c17", *flags, "-I", os.path.dirname(path), "-x", "c", "-"], name))
        if path.startswith("include/"):
            jobs.append((path, [*cxx, "-std=c++17", "-pedantic", *flags, "-x", "c++", "-"], name))

    def compile_one(job):
        path, args, name = job
        try:
            done = subprocess.run(args, cwd=tree.root, input=f'#include "{name}"\n', capture_output=True, text=True)
        except OSError as problem:
            return f"{path}:1: {problem}"
        wrong = [line for line in done.stderr.splitlines() if "error" in line]
        return f"{path}:1: does not compile alone ({args[1]}): {(wrong or ['?'])[0]}" if done.returncode else None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(compile_one, jobs))


@rule
def goldens(tree):
    """a golden says which tool made it: a first line with #, or \"made_by\" in JSON"""
    for path in tree.paths:
        name = os.path.basename(path)
        if not matches(path, ["tests/golden/*"]) or name.startswith(("ok_", "bad_", "README")):
            continue
        if name.endswith(".json"):
            if '"made_by"' not in tree.text(path)[:4000]:
                yield f'{path}:1: no "made_by" near its beginning'
        elif name.endswith((".txt", ".tsv", ".csv")) and not tree.text(path).startswith("#"):
            yield f"{path}:1: the first line does not say what made it (# ...)"


@rule
def tuned(tree):
    """a hand-made kernel in tuned/ carries its number: what it gains, in %"""
    for path, text in tree.files("src/kernel/tuned/*"):
        if not re.search(r"/\*.*?\d\s*%.*?\*/", text, re.DOTALL):
            yield f"{path}:1: no gain in % in its comment (at least 15 %, with the machine)"


@rule
def packages(tree):
    """every dependency of meson.build has a row in tools/packages.txt"""
    table = tree.text("tools/packages.txt") if "tools/packages.txt" in tree.paths else ""
    known = set(re.findall(r"\bpc:([\w.+-]+)", table)) | {"threads"}
    for path, text in tree.files("meson.build", "*/meson.build"):
        for number, line in lines_of(re.sub(r"#.*", "", text)):
            for name in re.findall(r"\bdependency\('([^']+)'", line):
                if name not in known:
                    yield f"{path}:{number}: {name} has no row in tools/packages.txt"


@rule
def tests_listed(tree):
    """every tests/unit/test_*.c is in the list that is built and run"""
    listed = "".join(text for _, text in tree.files("tests/*meson.build"))
    for path in tree.paths:
        m = re.fullmatch(r"tests/unit/test_(\w+)\.c", path)
        if m and not re.search(rf"'(test_)?{m[1]}(\.c)?'", listed):
            yield f"{path}:1: '{m[1]}' is not in tests/unit/meson.build, so it never runs"


@rule
def links(tree):
    """links between documents lead somewhere"""
    for path, text in tree.files("*.md"):
        for number, line in lines_of(text):
            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", line):
                if not os.path.exists(os.path.join(tree.root, os.path.dirname(path), target)):
                    yield f"{path}:{number}: {target} does not exist"


@rule
def commits(tree):
    """subjects of the last 20 commits: `place: what is now true`, short, without a period"""
    log = tree.run(["git", "log", "-20", "--no-merges", "--format=%h %s"])
    if log is None:
        raise Skip("no git history here")
    for line in log.splitlines():
        commit, _, subject = line.partition(" ")
        if not re.match(r"[a-z][\w./+, -]*: \S", subject):
            yield f"{commit}: '{subject}' is not of the form `place: what is now true`"
        elif len(subject) > MAX_SUBJECT or subject.endswith("."):
            yield f"{commit}: '{subject}' has {len(subject)} characters (at most {MAX_SUBJECT}), or ends with a period"


# ---------------------------------------------------------------- running

def check(tree, name):
    """(findings, None), or ([], why it was skipped)."""
    try:
        return list(RULES[name](tree)), None
    except Skip as why:
        return [], str(why)


class Report:
    """Prints results as they come, for people or as TAP."""

    def __init__(self, tap, n):
        self.tap, self.done, self.failed, self.skipped = tap, 0, 0, 0
        if tap:
            print(f"1..{n}")

    def add(self, name, findings, skipped=None):
        self.done += 1
        self.failed += bool(findings)
        self.skipped += skipped is not None
        if self.tap:
            if skipped is not None:
                print(f"ok {self.done} - {name} # SKIP {skipped}")
                return
            print(f"{'not ok' if findings else 'ok'} {self.done} - {name}")
            for line in findings:
                print(f"# {line}")
        else:
            for line in findings:
                print(f"{line}   [{name}]")
            if skipped is not None:
                print(f"skipped {name}: {skipped}")

    def finish(self, what):
        if not self.tap:
            print(f"{what}: {self.done} rules, {self.failed} broken, {self.skipped} skipped")
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(description="the rules of the house that a machine can check")
    parser.add_argument("--self-test", action="store_true", help="see that each rule can fail")
    parser.add_argument("--list", action="store_true", help="list the rules")
    parser.add_argument("--tap", action="store_true", help="print TAP")
    args = parser.parse_args()

    if args.list:
        for name, function in RULES.items():
            print(f"{name:16} {function.__doc__}")
        return 0
    report = Report(args.tap, len(RULES))
    if args.self_test:
        import lint_samples
        for name in RULES:
            report.add(f"{name} can fail", lint_samples.problems(name, Tree, check))
        return report.finish("self-test")
    tree = Tree(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for name in RULES:
        report.add(name, *check(tree, name))
    return report.finish("lint")


if __name__ == "__main__":
    sys.exit(main())
