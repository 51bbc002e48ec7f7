#!/usr/bin/env python3
"""dist.py: one archive that holds all that hearth needs: program, loader, shared libraries, built-in model, licences.

    tools/dist.py build/hearth OUT-FOLDER        writes OUT-FOLDER/hearth-VERSION-SYSTEM-CPU.tar.gz, prints its path

    hearth          a static launcher (packaging/launcher.c); start this one
    lib/            the program, the dynamic loader and every library that it needs, by what ldd says of it
    share/          pages for man and completion of shells, made by the program
    licences/       of every library, and LIBRARIES.txt: which package and version each comes from
    README LICENSE

It runs on any Linux of this CPU and a kernel that its C library takes, in a folder of any name, and in an empty
chroot.
The same build gives the same bytes: names are sorted, times are the commit's. Licences are those of Debian's packages;
a library whose licence is not found is an error.
"""

import gzip
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = {"share/man/man1/hearth.1": ["--man"], "share/man/man5/hearth.toml.5": ["--man-settings"],
         "share/bash-completion/completions/hearth": ["--completion", "bash"],
         "share/zsh/site-functions/_hearth": ["--completion", "zsh"],
         "share/fish/vendor_completions.d/hearth.fish": ["--completion", "fish"]}
README = """hearth {version}: runs language models (GGUF files) on the machine in front of you.

    ./hearth run -p "It was a cold evening, and"     complete a text with the built-in model
    ./hearth chat FILE.gguf                          a conversation in the terminal
    ./hearth serve FILE.gguf                         OpenAI's API on http://127.0.0.1:8080/v1
    ./hearth help

This folder is all of it: {n_libraries} libraries and the loader are in lib/, the model of the first line is part of the
program. It may lie anywhere, under any name, and a link to `hearth` may stand in a folder of PATH. It runs on Linux
{release} or later on this kind of CPU ({cpu}); nothing needs to be installed. man -l share/man/man1/hearth.1 is the
manual.

Settings: ~/.config/hearth/hearth.toml, else /etc/hearth/hearth.toml; man -l share/man/man5/hearth.toml.5.

hearth is MIT-licensed (LICENSE). The libraries have licences of their own (licences/); each can be replaced by another
build of itself in lib/. licences/LIBRARIES.txt says where they come from.
"""


def output(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout


def libraries_of(program):
    """{name: path} of what the program is linked with, and (name, path) of the loader."""
    found, loader = {}, None
    for line in output("ldd", program).splitlines():
        m = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if not m:
            if "not found" in line:
                sys.exit(f"dist: {line.strip()}; install that library")
            continue
        name, path = m[1] or os.path.basename(m[2]), m[2]
        if not m[1]:
            loader = (name, path)
        else:
            found[name] = path
    if not loader:
        sys.exit(f"dist: {program} names no loader; build it as a shared program")
    return found, loader


def packages_of(paths):
    """{path: (package, version, file with its licence)}, by Debian's packages."""
    if not shutil.which("dpkg-query"):
        sys.exit("dist: licences are found by dpkg-query, which is not here; make the archive on Debian")
    spellings = {}  # /lib is a link to /usr/lib, and packages know one of them
    for path in paths:
        for one in (path, os.path.realpath(path)):
            spellings.update({one: path, one.removeprefix("/usr"): path})
    listed = subprocess.run(["dpkg-query", "-S", *spellings], capture_output=True, text=True, check=False).stdout
    owners = {}
    for line in listed.splitlines():
        names, _, path = line.rpartition(": ")
        owners.setdefault(spellings.get(path), names.split(",")[0])
    rows = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *sorted(set(owners.values()))).splitlines()
    versions, found = dict(row.split() for row in rows), {}
    for path in paths:
        package = owners.get(path, "").split(":")[0]
        licence = f"/usr/share/doc/{package}/copyright"
        if not package or not os.path.isfile(licence):
            sys.exit(f"dist: {path} belongs to no package with a licence; take the library from one")
        found[path] = package, versions[package], licence
    return found


def fill(folder, program):
    """All files of the archive but the launcher and README; returns the loader's name and the libraries."""
    libraries, (loader, loader_path) = libraries_of(program)
    for name in ("lib", "licences"):
        os.mkdir(os.path.join(folder, name))
    rows, files = [], {**libraries, loader: loader_path}
    packages = packages_of(list(files.values()))
    for name, path in sorted(files.items()):
        shutil.copyfile(path, os.path.join(folder, "lib", name))
        package, version, licence = packages[path]
        shutil.copyfile(licence, os.path.join(folder, "licences", package + ".txt"))
        rows.append(f"{name:24} {package:20} {version}\n")
    with open(os.path.join(folder, "licences", "LIBRARIES.txt"), "w", encoding="utf-8") as f:
        f.writelines(rows)
    shutil.copyfile(program, os.path.join(folder, "lib", "hearth"))
    shutil.copyfile(os.path.join(ROOT, "LICENSE"), os.path.join(folder, "LICENSE"))
    for name, words in PAGES.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(output(program, "help", *words))
    return loader, libraries


def build_launcher(folder, loader):
    """Its source goes beside it: who wants another static C library in it can link it again."""
    source = os.path.join(ROOT, "packaging", "launcher.c")
    compiler = (os.environ.get("CC") or "cc").split()
    subprocess.run([*compiler, "-std=c17", "-D_XOPEN_SOURCE=700", "-O2", "-Wall", "-Wextra", "-static", "-s",
                    f'-DLOADER="{loader}"', source, "-o", os.path.join(folder, "hearth")], check=True)
    shutil.copyfile(source, os.path.join(folder, "lib", "launcher.c"))


def commit_time():
    """Of the last commit; 0 outside of a repository."""
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


def kernel_of(loader):
    """The oldest kernel that the C library takes (its ABI note), as text."""
    done = subprocess.run(["readelf", "-n", loader], capture_output=True, text=True, check=False)
    m = re.search(r"OS: Linux, ABI: ([\d.]+)", done.stdout)
    return m[1] if m else "3.2"


def pack(folder, name, path):
    raw = io.BytesIO()
    mtime = commit_time()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        names = sorted(os.path.relpath(os.path.join(where, f), folder)
                       for where, folders, files in os.walk(folder) for f in folders + files)
        for one in ["", *names]:
            at = os.path.join(folder, one)
            entry = tar.gettarinfo(at, arcname=os.path.join(name, one).rstrip("/"))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = mtime
            starts = one in ("hearth", "lib/hearth") or one.startswith("lib/ld-")
            entry.mode = 0o755 if entry.isdir() or starts else 0o644
            if entry.isdir():
                tar.addfile(entry)
            else:
                with open(at, "rb") as f:
                    tar.addfile(entry, f)
    with open(path + ".part", "wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as z:
        z.write(raw.getvalue())
    os.replace(path + ".part", path)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: tools/dist.py build/hearth OUT-FOLDER")
    program = os.path.realpath(sys.argv[1])
    version = output(program, "--version").split()[1]
    name = f"hearth-{version}-{platform.system().lower()}-{platform.machine()}"
    os.makedirs(sys.argv[2], exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hearth-dist-") as folder:
        loader, libraries = fill(folder, program)
        build_launcher(folder, loader)
        with open(os.path.join(folder, "README"), "w", encoding="utf-8") as f:
            f.write(README.format(version=version, n_libraries=len(libraries), cpu=platform.machine(),
                                  release=kernel_of(os.path.join(folder, "lib", loader))))
        path = os.path.join(sys.argv[2], name + ".tar.gz")
        pack(folder, name, path)
    print(path)


if __name__ == "__main__":
    main()
