#!/usr/bin/env python3
"""test_install.py: what `make install` installs, and a program that was built with it.

    tests/install/test_install.py BUILD CC...

Installs into an empty folder (DESTDIR), builds examples/ask.c with what pkg-config says, against the shared and
against the static library, and runs both. Speaks TAP; exit status 77 when there is no pkg-config.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "tests", "golden", "gguf", "model_ok_llama.gguf")
WARNINGS = ["-std=c17", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"]


def output(argv, **more):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    assert done.returncode == 0, f"{' '.join(argv)[:300]}: exit status {done.returncode}\n{done.stdout}"
    return done.stdout


# Where the shells and man look.
PAGES = {"share/man/man1/hearth.1", "share/man/man5/hearth.toml.5", "share/bash-completion/completions/hearth",
         "share/zsh/site-functions/_hearth", "share/fish/vendor_completions.d/hearth.fish"}


class Installed:
    """An installation, and what pkg-config says of it."""

    def __init__(self, build, cc, folder):
        self.cc, self.folder = cc, folder
        output(["meson", "install", "-C", build, "--no-rebuild", "--quiet"], env={**os.environ, "DESTDIR": folder})
        self.pc = glob.glob(os.path.join(folder, "**", "hearth.pc"), recursive=True)[0]
        self.env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(self.pc)}
        self.prefix = self.say("--variable=prefix")
        self.libdir = self.at(self.say("--variable=libdir"))

    def at(self, path):
        return os.path.join(self.folder, path.lstrip("/"))

    def say(self, *words):
        return output(["pkg-config", *words, "hearth"], env=self.env).strip()

    def flags(self, *words):
        """With the folder of the installation in front of its own paths."""
        moved = self.say(f"--define-variable=prefix={self.at(self.prefix)}", *words)
        return moved.replace(f"-L{self.prefix}", f"-L{self.at(self.prefix)}").split()

    def build_example(self, name, flags):
        path = os.path.join(self.folder, name)
        output([*self.cc, *WARNINGS, os.path.join(ROOT, "examples", "ask.c"), "-o", path, *flags])
        return path


def only_public_files(here):
    """the program, its pages, the headers, the libraries, hearth.pc and systemd's units are installed, nothing else"""
    found = {os.path.relpath(os.path.join(where, f), here.at(here.prefix)) for where, _, files in
             os.walk(here.at(here.prefix)) for f in files}
    lib = os.path.relpath(here.libdir, here.at(here.prefix))
    public = {f for f in os.listdir(os.path.join(ROOT, "include", "hearth")) if f.endswith((".h", ".def"))}
    want = {"bin/hearth", f"{lib}/libhearth.a", f"{lib}/pkgconfig/hearth.pc", *(f"include/hearth/{f}" for f in public),
            "lib/systemd/system/hearth.service", "lib/systemd/system/hearth.socket"}
    want |= PAGES
    shared = {f for f in found if re.fullmatch(rf"{lib}/libhearth\.(so|dylib)[.\d]*|{lib}/libhearth[.\d]*\.dylib", f)}
    assert shared, sorted(found)
    assert found - shared == want, (sorted(found - shared - want), sorted(want - found))


def units_of_systemd(here):
    """systemd has nothing to say against the units"""
    if not shutil.which("systemd-analyze"):
        raise LookupError("there is no systemd-analyze")
    folder, units = os.path.join(here.at(here.prefix), "lib", "systemd", "system"), os.path.join(here.folder, "units")
    os.mkdir(units)
    for name in ("hearth.service", "hearth.socket"):
        with open(os.path.join(folder, name), encoding="ascii") as f:
            text = f.read()
        with open(os.path.join(units, name), "w", encoding="ascii") as f:
            f.write(text.replace(f"ExecStart={here.prefix}/bin", f"ExecStart={here.at(here.prefix)}/bin"))
    said = output(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                   *(os.path.join(units, n) for n in os.listdir(units))])
    assert "hearth" not in said, said


def only_public_symbols(here):
    """the shared library exports what the headers declare and nothing else"""
    names = output(["nm", "-D", "--defined-only", os.path.join(here.libdir, "libhearth.so")])
    exported = {line.split()[-1].split("@")[0] for line in names.splitlines()}
    text = ""
    for path in glob.glob(os.path.join(here.at(here.prefix), "include", "hearth", "*.h")):
        with open(path, encoding="utf-8") as f:
            text += re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    declared = set(re.findall(r"\b(hearth_\w+)\([^()]*(?:\([^()]*\)[^()]*)*\)\s*;", text))
    declared |= set(re.findall(r"\bextern [^;]*?\b(hearth_\w+)\[", text))
    assert exported == declared, (sorted(exported - declared), sorted(declared - exported))


def header_of_other_languages(here):
    """the header is also one of C++"""
    if not shutil.which("c++"):
        raise LookupError("there is no c++")
    source = os.path.join(here.folder, "header.cpp")
    with open(source, "w", encoding="ascii") as f:
        f.write('#include "hearth/hearth.h"\nint main() { return hearth_version() == nullptr; }\n')
    output(["c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source, *here.flags("--cflags")])


def runs(here, path, env):
    said = output([path, MODEL, "hello", "world"], env=env)
    assert len(re.findall(r"(?m)^\[[12]\] \d+ prompt tokens .* ended by: ", said)) == 2, said
    assert re.search(r"(?m)^\[1\] ", said) and re.search(r"(?m)^\[2\] ", said), said
    words = [path, here.folder + "/none", "a", "b"]
    failed = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert failed.returncode == 1 and failed.stderr.startswith("ask: "), failed


def example_with_the_shared_library(here):
    """examples/ask.c runs with the shared library"""
    path = here.build_example("ask-shared", here.flags("--cflags", "--libs"))
    needed = output(["readelf", "-d", path])
    assert "libhearth.so" in needed, needed
    runs(here, path, {**os.environ, "LD_LIBRARY_PATH": here.libdir})


def example_with_the_static_library(here):
    """examples/ask.c runs with the static library"""
    # Its own libraries stay shared: --static asks for what those are made of, too (hwloc: libudev).
    flags = ["-l:libhearth.a" if f == "-lhearth" else f for f in here.flags("--cflags", "--libs")]
    others = here.say("--print-requires-private").split()
    flags += output(["pkg-config", "--libs", *others]).split() + ["-pthread", "-lm"]
    path = here.build_example("ask-static", flags)
    needed = output(["readelf", "-d", path])
    assert "libhearth.so" not in needed, needed
    runs(here, path, os.environ)


def pages_are_the_programs(here):
    """the installed pages are what the installed program makes"""
    program = here.at(os.path.join(here.prefix, "bin", "hearth"))
    for name, words in (("man/man1/hearth.1", ["--man"]), ("man/man5/hearth.toml.5", ["--man-settings"]),
                        ("bash-completion/completions/hearth", ["--completion", "bash"]),
                        ("zsh/site-functions/_hearth", ["--completion", "zsh"]),
                        ("fish/vendor_completions.d/hearth.fish", ["--completion", "fish"])):
        with open(here.at(os.path.join(here.prefix, "share", name)), encoding="utf-8") as f:
            assert f.read() == output([program, "help", *words]), name


def program_runs(here):
    """the installed program answers"""
    assert output([here.at(os.path.join(here.prefix, "bin", "hearth")), "run", MODEL, "hello", "-n", "2"])


TESTS = [only_public_files, units_of_systemd, only_public_symbols, header_of_other_languages,
         example_with_the_shared_library, example_with_the_static_library, pages_are_the_programs, program_runs]


def main():
    if not shutil.which("pkg-config"):
        print("there is no pkg-config")
        return 77
    bad = 0
    print(f"1..{len(TESTS)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hearth-install-") as folder:
        here = Installed(sys.argv[1], sys.argv[2:], folder)
        for i, test in enumerate(TESTS, 1):
            verdict, after = "ok", ""
            try:
                test(here)
            except LookupError as why:
                after = f" # SKIP {why}"
            except AssertionError as why:
                print(f"# {why}".replace("\n", "\n# "))
                verdict, bad = "not ok", bad + 1
            print(f"{verdict} {i} - {test.__doc__}{after}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
