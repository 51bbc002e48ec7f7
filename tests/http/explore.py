#!/usr/bin/env python3
"""explore.py: schemathesis asks a server everything that its own description allows, and much that it does not.

    tests/http/explore.py build/hearth [--examples 100] [--seed 1]

The built-in model is served; /openapi.json says what there is. What must not come is a 5xx other than the documented
501 and 503 (504 is for requests with a deadline), or a status that the description does not have. After it nothing
runs, and no memory for requests is taken. Not part of the everyday suite: it takes minutes. schemathesis
is installed into the build folder at the first call (pip, from its usual index).
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

PACKAGE = "schemathesis==4.32.5"
LEFT_ALONE = "/hearth/requests"  # DELETE ends other requests; a test has them
DOCUMENTED = (501, 503, 504)


def tool(folder):
    """schemathesis in an environment of its own."""
    path = os.path.join(folder, "bin", "schemathesis")
    if not os.path.exists(path):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([os.path.join(folder, "bin", "python3"), "-m", "pip", "install", "--quiet",
                        "--disable-pip-version-check", PACKAGE], check=True)
    return path


def serve(program):
    """The server and its address."""
    server = subprocess.Popen([program, "serve", "--port", "0", "--ctx", "512", "--record", "off"],
                              stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        found = re.search(r"(http://[\d.]+:\d+)/v1", line)
        if found:
            return server, found[1]
    sys.exit("the server does not start")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def at_rest(base):
    """What it does when all has ended; "" when that is nothing."""
    now = None
    for _ in range(200):
        now = get(base + "/hearth/status")["now"]
        if now["n_running"] == now["n_waiting"] == now["memory_used_bytes"] == 0:
            return ""
        time.sleep(0.05)
    return f"it does not come to rest: {now}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--examples", type=int, default=100, help="for each operation")
    p.add_argument("--seed", type=int, default=1)
    o = p.parse_args()
    program = os.path.abspath(o.program)
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(program))))
    schemathesis = tool(os.path.join(folder, "http-explore"))
    server, base = serve(program)
    config = os.path.join(folder, "http-explore", "schemathesis.toml")
    with open(config, "w", encoding="ascii") as f:
        f.write("[checks.not_a_server_error]\nexpected-statuses = ["
                + ", ".join(f'"{s}"' for s in ["2xx", "4xx", *DOCUMENTED]) + "]\n")
    done = subprocess.run([schemathesis, "--config-file", config, "run", base + "/openapi.json", "--checks",
                           "not_a_server_error,status_code_conformance", "--exclude-path-regex", LEFT_ALONE,
                           "--max-examples", str(o.examples), "--seed", str(o.seed), "--request-timeout", "60"],
                          check=False)
    wrong = at_rest(base)
    server.terminate()
    server.communicate(timeout=60)
    print(f"exit status of the server {server.returncode}{'; ' + wrong if wrong else ''}")
    return 1 if done.returncode or wrong or server.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
