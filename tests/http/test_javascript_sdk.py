"""OpenAI's JavaScript client and the Vercel AI SDK, unmodified, with pings every 100 ms: js/sdk.mjs has the checks."""

import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "js")


@pytest.fixture(scope="module")
def packages():
    """A folder with the packages of js/package-lock.json, beside those of Python."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no node with npm here")
    folder = os.path.join(sys.prefix, "js")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(HERE, "package-lock.json"), "rb") as f:
        want = f.read()
    stamp = os.path.join(folder, "installed")
    if not os.path.exists(stamp) or open(stamp, "rb").read() != want:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), folder)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm cannot install them: {(done.stdout.strip().splitlines() or ['?'])[-1]}")
        with open(stamp, "wb") as f:
            f.write(want)
    return folder


def test_the_javascript_clients(server, packages):
    script = os.path.join(packages, "sdk.mjs")
    shutil.copy(os.path.join(HERE, "sdk.mjs"), script)
    done = subprocess.run(["node", script, server.base], cwd=packages, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    assert len(done.stdout.splitlines()) == 12
    server.idle()
