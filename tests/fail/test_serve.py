#!/usr/bin/env python3
"""test_serve.py: `hearth serve` while one call to the system fails.

    tests/fail/test_serve.py build/hearth build/tests/fail/libfail.so [--all] [NAME...]

A server is asked the same things again and again, each time with another call of it failing (fail.c): memory from
the start or from the first connection on, or one of the calls that a socket needs. A server that cannot start says so
in a sentence. One that has started ends no request by a hang: each is answered as without failures, or refused (500,
503), or its connection ends. After them /health is answered, nothing runs or waits, no memory for requests is taken,
and SIGTERM ends it with exit status 0.

Without --all only MOST calls of each kind are tried, spread evenly; with --all every one. Speaks TAP.
"""

import http.client
import json
import os
import re
import select
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "tests", "golden", "gguf", "model_ok_llama.gguf")
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "LD_PRELOAD", "FAIL_"))},
       "HEARTH_CONFIG": "none"}
PATIENCE_S = 20
MOST = 24
EXITS = (1, 2, 3, 4)  # docs/cli.md
REFUSALS = (500, 503)
TEMPLATE = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content }}\n{% endfor %}{{ 'assistant: ' }}"

# (kind, how, from when, over what)
KINDS = [
    ("memory", "", "", ""),
    ("memory", "", "accept", ""),
    ("memory", "", "", "tls"),
    ("memory", "", "accept", "tls"),
    ("socket", "EINTR", "", ""),
    ("socket", "ECONNRESET", "", ""),
    ("socket", "ETIMEDOUT", "", ""),
    ("socket", "EPIPE", "", ""),
    ("socket", "ENOBUFS", "", ""),
    ("socket", "ECONNABORTED", "", ""),
    ("socket", "EMFILE", "", ""),
    ("socket", "ENOMEM", "", ""),
    ("socket", "ECONNRESET", "", "tls"),
    ("narrow", "", "", ""),
]
TLS = os.path.join(ROOT, "tests", "http", "tls")

HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "seed": 1, "logprobs": True, "top_logprobs": 2}
# Method, path, body, and whether the client leaves after the first bytes of the answer.
QUESTIONS = [
    ("GET", "/health", None, False),
    ("GET", "/v1/models", None, False),
    ("GET", "/hearth/status", None, False),
    ("POST", "/v1/chat/completions", HI, False),
    ("POST", "/v1/chat/completions", {**HI, "stream": True, "stream_options": {"include_usage": True}}, False),
    ("POST", "/v1/completions", {"prompt": ["ab", "abc"], "max_tokens": 5, "seed": 2, "stop": ["zz"]}, False),
    ("POST", "/completion", {"prompt": "ab", "n_predict": 40, "stream": True, "seed": 3, "ignore_eos": True}, True),
    ("POST", "/tokenize", {"content": "hello world", "with_pieces": True}, False),
    ("POST", "/apply-template", {"messages": HI["messages"]}, False),
    ("POST", "/v1/chat/completions", {"messages": 1}, False),
    ("GET", "/metrics", None, False),
]


def texts(path, status, body):
    """What of an answer must be the same each time: the texts of it."""
    if not path.startswith(("/v1/c", "/completion", "/tokenize", "/apply")):
        return status
    if status != 200:
        return status, json.loads(body)["error"]["code"]
    found = re.findall(rb'"(?:content|text|prompt|tokens|finish_reason)": ?("(?:[^"\\]|\\.)*"|\[)', body)
    return status, b"".join(found), body.endswith(b"[DONE]\n\n")


class Run:
    """One life of a server, whose call k fails."""

    def __init__(self, program, shim, kind, k):
        self.program, self.shim, self.kind, self.k = program, shim, kind, k
        self.calls = 0

    def start(self, folder):
        kind, how, when, over = self.kind
        with open(os.path.join(folder, "t.jinja"), "w", encoding="ascii") as f:
            f.write(TEMPLATE)
        self.count = os.path.join(folder, "count")
        env = {**ENV, "HOME": folder, "HEARTH_RECORD_DIR": os.path.join(folder, "state"),
               "FAIL_KIND": kind, "FAIL_AT": str(self.k), "FAIL_HOW": how, "FAIL_WHEN": when,
               "FAIL_COUNT": self.count, "LD_PRELOAD": self.shim}
        argv = [self.program, "serve", MODEL, "--port", "0", "--parallel", "2", "--threads", "1",
                "--chat-template", "t.jinja", "--drain-ms", "2000",
                "--no-sandbox"]  # fail.c writes its count at the end
        if over == "tls":
            argv += ["--tls-cert", os.path.join(TLS, "cert.pem"), "--tls-key", os.path.join(TLS, "key.pem")]
        self.process = subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while b"print(" not in seen:
            ready = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                return False
            seen += piece
        self.port = int(re.search(rb"https?://[\d.]+:(\d+)/v1", seen)[1])
        return True

    def ask(self, method, path, body, leaves):
        """(status, body), or None when the connection ended."""
        if self.kind[3] == "tls":
            known = ssl.create_default_context(cafile=os.path.join(TLS, "cert.pem"))
            con = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE_S, context=known)
        else:
            con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            con.request(method, path, None if body is None else json.dumps(body))
            answer = con.getresponse()
            return answer.status, answer.read(1) and b"" if leaves else answer.read()
        except TimeoutError:
            raise
        except (http.client.HTTPException, OSError):
            return None
        finally:
            con.close()

    def ask_all(self):
        out = []
        for method, path, body, leaves in QUESTIONS:
            got = self.ask(method, path, body, leaves)
            out.append(got and (texts(path, *got) if not leaves else got[0]))
        return out

    def settled(self):
        """"" when it is as it was in the beginning."""
        deadline, now = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < deadline:
            health, status = self.ask("GET", "/health", None, False), self.ask("GET", "/hearth/status", None, False)
            if health and status and health[0] == status[0] == 200:
                now = json.loads(status[1])["now"]
                if now["n_running"] == now["n_waiting"] == now["memory_used_bytes"] == 0:
                    return ""
            time.sleep(0.02)
        return f"does not come to rest: {now}"

    def problem(self, want):
        """What is wrong with it; "" when nothing is. want: the answers without failures, or None."""
        with tempfile.TemporaryDirectory(prefix="hearth-fail-") as folder:
            started = self.start(folder)
            wrong = ""
            try:
                if started:
                    wrong = self.compare(want) or self.settled()
            except TimeoutError:
                wrong = "a request is not answered"
            try:
                self.process.send_signal(signal.SIGTERM)
                err = self.process.communicate(timeout=PATIENCE_S)[1].decode()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
                return wrong or "does not end"
            code = self.process.returncode
            if not wrong and started and code != 0:
                wrong = f"exit status {code}, {err!r}"
            if not wrong and not started and (code not in EXITS or not re.search(r"^hearth: .{10}", err, re.M)):
                wrong = f"does not start: exit status {code}, {err!r}"
            if os.path.exists(self.count):
                with open(self.count, encoding="ascii") as f:
                    self.calls = int(f.read())
            return wrong

    def compare(self, want):
        self.got = self.ask_all()
        for question, w, g in zip(QUESTIONS, want or self.got, self.got):
            status = g[0] if isinstance(g, tuple) else g
            if g != w and g is not None and status not in REFUSALS and not is_cut(w, g):
                return f"{question[1]}: {g}, where {w} was"
        return ""


def is_cut(want, got):
    """A stream whose end is missing is one that failed in the middle: nobody takes it for a whole answer."""
    return isinstance(got, tuple) and len(got) == 3 and isinstance(want, tuple) and want[2] and not got[2]


def check(program, shim, kind, everything, pool):
    first = Run(program, shim, kind, 0)
    wrong = first.problem(None)
    if wrong or None in first.got:
        return 0, 0, [f"fails by itself: {wrong}, {getattr(first, 'got', None)}"]
    n = first.calls if kind[0] != "narrow" else 1
    if n == 0:
        return 0, 0, ["no call was counted"]
    step = 1 if everything else max(1, n / MOST)
    ks = sorted({min(n, int(1 + i * step)) for i in range(int(n / step))})
    found = pool.map(lambda k: (k, Run(program, shim, kind, k).problem(first.got)), ks)
    return n, len(ks), [f"call {k}: {what}" for k, what in found if what]


def main():
    words = [w for w in sys.argv[1:] if w != "--all"]
    if len(words) < 2:
        sys.exit(__doc__)
    everything = len(words) + 1 < len(sys.argv)
    names = [" ".join(filter(None, kind)) for kind in KINDS]
    wanted = [(n, kind) for n, kind in zip(names, KINDS) if not words[2:] or n in words[2:]]
    print(f"1..{len(wanted)}", flush=True)
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, (name, kind) in enumerate(wanted, 1):
            n, tried, wrong = check(os.path.abspath(words[0]), os.path.abspath(words[1]), kind, everything, pool)
            for what in wrong[:20]:
                print(f"# {what}")
            bad += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {i} - serve: {name}, {tried} of {n} calls", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
