#!/usr/bin/env python3
"""run.py: the tests of the server: pytest in an environment of its own.

    tests/http/run.py build/hearth [--memory-cgroup REPORT] [pytest arguments]

The packages of requirements.txt are installed into build/http-tests once, for all build folders (pip, from its usual
index). Where they cannot be had the tests are skipped, visibly; with CI=true that is a failure. With --memory-cgroup
each server lives in a memory control group that has room for what it planned and 5 %, and none may be killed there;
REPORT gets a line for each.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")
SKIPPED = 77


def environment(folder):
    """The Python that has the packages; None and why when they cannot be installed."""
    python = os.path.join(folder, "bin", "python3")
    with open(REQUIREMENTS, "rb") as f:
        want = hashlib.sha256(f.read() + sys.version.encode()).hexdigest()
    stamp = os.path.join(folder, "installed")
    if os.path.exists(stamp):
        with open(stamp, encoding="ascii") as f:
            if f.read() == want:
                return python, None
    shutil.rmtree(folder, ignore_errors=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    steps = ([sys.executable, "-m", "venv", folder], [*pip, "-r", REQUIREMENTS])
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            return None, f"cannot install its packages: {(done.stdout.strip().splitlines() or ['?'])[-1]}"
    with open(stamp, "w", encoding="ascii") as f:
        f.write(want)
    return python, None


def main():
    program = os.path.abspath(sys.argv[1])
    folder = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "http-tests.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python, why = environment(os.path.join(folder, "http-tests"))
    if not python:
        print(why)
        return 1 if os.environ.get("CI") == "true" else SKIPPED
    words, more = sys.argv[2:], {}
    if words[:1] == ["--memory-cgroup"]:
        more = {"HEARTH_TEST_MEMORY_GROUP": os.path.abspath(words[1])}
        words = words[2:]
    if not any(os.path.exists(word.split("::")[0]) for word in words):
        words.append(HERE)
    env = {**os.environ, **more, "HEARTH_PROGRAM": program, "PYTHONDONTWRITEBYTECODE": "1"}
    os.execve(python, [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", HERE, *words], env)


if __name__ == "__main__":
    sys.exit(main())
