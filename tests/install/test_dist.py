#!/usr/bin/env python3
"""test_dist.py: the self-contained archive of `make dist`, and the container file around it.

    tests/install/test_dist.py build/hearth

Makes the archive twice, unpacks it and starts it in a chroot that holds nothing else. Speaks TAP; what the system does
not allow (a chroot in a user namespace, say) is skipped.
"""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROMPT = ["run", "-p", "It was in the evening", "-n", "16", "--seed", "1"]
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "LD_"))}, "HEARTH_CONFIG": "none",
       "HEARTH_RECORD": "off"}


def run(*words, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
                          **{"env": ENV, **more})
    assert done.returncode == 0, f"{' '.join(words)[:300]}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Archive:
    """The archive, unpacked in a folder whose name has a space."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.path = run(os.path.join(ROOT, "tools", "dist.py"), program, os.path.join(folder, "out"),
                        env=os.environ).strip()
        self.at = os.path.join(folder, "a place")
        with tarfile.open(self.path) as tar:
            self.entries = tar.getmembers()
            tar.extractall(self.at)
        self.name = os.path.basename(self.path).removesuffix(".tar.gz")
        self.at = os.path.join(self.at, self.name)
        self.start = os.path.join(self.at, "hearth")

    def chroot(self, *words):
        """The words of a command that starts the program with the archive as all there is."""
        if not shutil.which("unshare"):
            raise LookupError("there is no unshare")
        how = ["unshare", "-r", "chroot", self.at]
        probe = subprocess.run([*how, "/hearth", "--version"], capture_output=True, text=True, check=False, env=ENV)
        if probe.returncode != 0 and ("unshare:" in probe.stderr or "chroot: cannot change" in probe.stderr):
            raise LookupError(f"no chroot without rights here: {probe.stderr.strip()}")
        return [*how, "/hearth", *words]


def regular_files_in_one_folder(a):
    """the archive is one folder of plain files, all of root, all of one time, none writable by others"""
    assert {e.name.split("/")[0] for e in a.entries} == {a.name}
    for e in a.entries:
        assert e.isfile() or e.isdir(), e.name
        assert (e.uid, e.gid) == (0, 0) and e.mode in (0o644, 0o755) and e.mtime == a.entries[0].mtime, e.name
    assert sorted(os.listdir(a.at)) == ["LICENSE", "README", "hearth", "lib", "licences", "share"]


def same_bytes_again(a):
    """the same build gives the same bytes"""
    again = run(os.path.join(ROOT, "tools", "dist.py"), a.program, os.path.join(a.folder, "again"),
                env=os.environ).strip()
    with open(a.path, "rb") as one, open(again, "rb") as two:
        assert one.read() == two.read()


def nothing_from_outside(a):
    """loader and libraries are all the archive's own"""
    loader, = glob.glob(os.path.join(a.at, "lib", "ld-*"))
    lib = os.path.join(a.at, "lib")
    listed = run(loader, "--library-path", lib, "--list", os.path.join(lib, "hearth"))
    for line in listed.splitlines():
        if "=>" in line and "linux-vdso" not in line:
            assert line.split("=> ")[1].startswith(lib) or "ld-linux" in line, line
    needed = run("readelf", "-lW", a.start)
    assert "INTERP" not in needed, "the launcher needs a loader"


def licences_of_all(a):
    """every library has its package, version and licence"""
    with open(os.path.join(a.at, "licences", "LIBRARIES.txt"), encoding="utf-8") as f:
        rows = {line.split()[0]: line.split()[1:] for line in f}
    libraries = {f for f in os.listdir(os.path.join(a.at, "lib")) if ".so" in f}
    assert set(rows) == libraries, (set(rows) ^ libraries)
    for name, (package, version) in rows.items():
        text = os.path.join(a.at, "licences", package + ".txt")
        assert version and os.path.getsize(text) > 200, name
    assert "MIT License" in open(os.path.join(a.at, "LICENSE"), encoding="utf-8").read()


def the_same_answer(a):
    """it answers as the program that it was made of, from any folder and through a link"""
    want = run(a.program, *PROMPT)
    assert want and run(a.start, *PROMPT) == want
    link = os.path.join(a.folder, "bin", "hearth")
    os.mkdir(os.path.dirname(link))
    os.symlink(a.start, link)
    assert run("hearth", *PROMPT, env={**ENV, "PATH": os.path.dirname(link)}) == want
    assert run("./hearth", *PROMPT, cwd=a.at) == want
    for name in ("man/man1/hearth.1", "man/man5/hearth.toml.5", "bash-completion/completions/hearth"):
        assert os.path.getsize(os.path.join(a.at, "share", name)) > 1000


def an_empty_chroot(a):
    """it starts where there is nothing else: no /proc, no /dev, no /etc"""
    assert run(*a.chroot("version")) == run(a.program, "version")
    assert run(*a.chroot(*PROMPT)) == run(a.program, *PROMPT)


def a_server_in_a_chroot(a):
    """it serves from there"""
    process = subprocess.Popen(a.chroot("serve", "--port", "0", "--budget", "256", "--request-memory", "16"), env=ENV,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        screen = ""
        while "print(" not in screen:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            screen += line
        base = re.search(r"http://[\d.]+:\d+", screen)[0]
        assert json.load(urllib.request.urlopen(base + "/health", timeout=30)) == {"status": "ok"}
        body = json.dumps({"prompt": "It was", "max_tokens": 4, "seed": 1}).encode()
        answer = json.load(urllib.request.urlopen(base + "/v1/completions", data=body, timeout=30))
        assert answer["choices"][0]["text"] and answer["usage"]["completion_tokens"] == 4, answer
    finally:
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        process.communicate(timeout=30)
    assert process.returncode == 0 and time.monotonic() - start < 10, process.returncode


def a_library_that_is_missing(a):
    """without one of its libraries it says so and does not take the system's"""
    broken = os.path.join(a.folder, "broken")
    shutil.copytree(a.at, broken)
    shutil.rmtree(os.path.join(broken, "lib"))
    done = subprocess.run([os.path.join(broken, "hearth"), "version"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "unpack the archive again, as a whole" in done.stderr, done


# ---- the container file ----

INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def container_instructions():
    """[(instruction, words)], lines that go on joined."""
    with open(os.path.join(ROOT, "packaging", "Containerfile"), encoding="utf-8") as f:
        text = re.sub(r"(?m)^#.*\n", "", f.read())
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def the_container_is_the_archive(a):
    """the container file is well formed; its image is the unpacked archive, not run by root, started by exec"""
    found = container_instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS, found
    stages = [i for i, (name, _) in enumerate(found) if name == "FROM"]
    assert len(stages) == 2 and found[stages[1]][1] == "scratch"
    base = re.fullmatch(r"(docker\.io/library/debian:12-slim) AS (\w+)", found[stages[0]][1])
    assert base, found[stages[0]]
    final = dict(found[stages[1] + 1:])
    assert len(final) == len(found) - stages[1] - 1, "an instruction of the image stands twice"
    assert final["COPY"] == f"--from={base[2]} /image/ /"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final["USER"])
    entry = json.loads(final["ENTRYPOINT"])
    assert os.access(os.path.join(a.at, entry[0].lstrip("/")), os.X_OK), entry
    assert json.loads(final["CMD"]) == ["help"] and final["STOPSIGNAL"] == "SIGTERM" and final["EXPOSE"] == "8080"
    assert run(*a.chroot(*json.loads(final["CMD"]))).startswith("hearth runs language models")


def the_container_builds_with_what_the_tree_has(a):
    """what it installs are the packages of tools/packages.txt, what it runs are files and options that exist"""
    del a
    found = container_instructions()
    steps = [words for name, words in found if name == "RUN"]
    assert ("COPY", "tools/packages.txt /packages.txt") in found
    packages = os.path.join(ROOT, "tools", "packages.txt")
    chosen = re.search(r"\$\((awk .*) /packages\.txt\)", steps[0])[1]
    installed = set(run("sh", "-c", f"{chosen} '{packages}'").split())
    with open(packages, encoding="utf-8") as f:
        rows = [line.split("|") for line in f if line.startswith("build ")]
    needed = {p for row in rows for p in row[3].split()} - {"clang"}
    assert installed == needed and {"gcc", "meson", "libmicrohttpd-dev"} <= needed, installed ^ needed
    assert "tools/dist.py build/src/cli/hearth /dist" in steps[1]
    assert os.access(os.path.join(ROOT, "tools", "dist.py"), os.X_OK)
    with open(os.path.join(ROOT, "meson_options.txt"), encoding="utf-8") as f:
        options = re.findall(r"option\('(\w+)'", f.read())
    assert set(re.findall(r"-D(\w+)=", steps[1])) <= set(options)


TESTS = [regular_files_in_one_folder, same_bytes_again, nothing_from_outside, licences_of_all, the_same_answer,
         an_empty_chroot, a_server_in_a_chroot, a_library_that_is_missing, the_container_is_the_archive,
         the_container_builds_with_what_the_tree_has]


def main():
    for needed in ("dpkg-query", "ldd", "readelf"):
        if not shutil.which(needed):
            print(f"there is no {needed}")
            return 77
    bad = 0
    print(f"1..{len(TESTS)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hearth-dist-test-") as folder:
        archive = Archive(os.path.abspath(sys.argv[1]), folder)
        for i, test in enumerate(TESTS, 1):
            verdict, after = "ok", ""
            try:
                test(archive)
            except LookupError as why:
                after = f" # SKIP {why}"
            except AssertionError as why:
                print(f"# {why}".replace("\n", "\n# "))
                verdict, bad = "not ok", bad + 1
            print(f"{verdict} {i} - {test.__doc__}{after}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
