#!/usr/bin/env python3
"""test_memory.py: is what a server has in memory what it planned?

    tests/deploy/test_memory.py build/hearth [--all] [--model FILE]

A tiny model (--all: of each architecture that writes text; --model: this one) is served, and every page of its keys
and values is used. What the system counts for the process (smaps_rollup) is held against the plan in /hearth/status,
within 5 % of it and never more: when the server has started, against those parts that are there then, and in the end
against all. The memory for requests is a limit that these requests do not reach: it is left out where the server is
to have as much as planned, not where it may have no more. In a memory control group of what was planned and 5 %
(where one can be made) the same goes on until the end, and nobody is killed. When that group gets smaller, what is
free, or kept of prompts, goes back to the system, which the server says, and answers stay what they were. Speaks TAP.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "http"), os.path.join(TESTS, "model")]
import golden  # noqa: E402  # pylint: disable=wrong-import-position
from memory_group import MemoryGroup  # noqa: E402  # pylint: disable=wrong-import-position

ENV = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")} | {"HEARTH_CONFIG": "none"}
N_SEQS, N_CTX, N_PROMPT, N_OUT, MOST_OFF, PATIENCE_S = 4, 32768, 2040, 8, 0.05, 240
N_SHORT, SHORT = 300, 70  # more of them than there are slots for snapshots; longer than a page
OPTIONS = ["--parallel", str(N_SEQS), "--request-memory", "16", "--connections", "16", "--preload", "--port", "0"]


class Server:
    def __init__(self, program, model, folder, n_ctx, group=None):
        self.log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        words = [program, "serve", model, "--ctx", str(n_ctx), "--record-dir", os.path.join(folder, "record"), *OPTIONS]
        enter = group.enter if group else None
        self.process = subprocess.Popen(words, env=ENV, stdout=self.log, stderr=subprocess.STDOUT, preexec_fn=enter)
        deadline = time.monotonic() + PATIENCE_S
        while "print(" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server does not start: {self.said()}")
            time.sleep(0.02)
        self.base = re.search(r"http://[\d.]+:\d+", self.said())[0]
        self.plan = self.ask("/hearth/status")["models"][0]["plan"]
        self.n_prompt = min(N_PROMPT, self.plan["n_ctx_tokens"] - N_OUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE_S)
        self.log.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def memory(self):
        return self.ask("/hearth/status")["memory"]

    def complete(self, which, n_prompt=0):
        n_prompt = min(n_prompt or self.n_prompt, self.n_prompt)
        prompt = [100 + which // 28**i % 28 for i in range(3)]
        prompt += [100 + (which * 31 + i * (7 + which % 5)) % 28 for i in range(n_prompt - 3)]
        body = {"prompt": prompt, "max_tokens": N_OUT, "ignore_eos": True, "temperature": 0, "seed": 1}
        return self.ask("/v1/completions", body)

    def rollup(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as f:
            text = f.read()
        return {name: 1024 * int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) for name in ("Rss", "Anonymous")}


def fill(server):
    """Prompts that have nothing in common until each page of keys and values has memory; short ones first, each of
    which leaves a snapshot where layers keep states."""
    n = N_SHORT + server.plan["n_kv_tokens"] // (server.n_prompt + N_OUT) + 1
    turns, lock, troubles = iter(range(n)), threading.Lock(), []

    def client():
        while True:
            with lock:
                which = next(turns, None)
            if which is None:
                return
            try:
                server.complete(which, SHORT if which < N_SHORT else 0)
            except OSError as e:
                troubles.append(f"{which}: {e}")
                return

    clients = [threading.Thread(target=client) for _ in range(N_SEQS)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    return troubles


class Results:
    def __init__(self):
        self.n, self.failed = 0, False

    def say(self, right, what, why=""):
        self.n += 1
        self.failed |= not right
        print(f"{'ok' if right else 'not ok'} {self.n} - {what}{'' if right else ': ' + why}", flush=True)

    def skip(self, what, why):
        self.n += 1
        print(f"ok {self.n} - {what} # SKIP {why}", flush=True)

    def hold(self, what, planned, limit, resident, whole):
        """resident bytes are the planned ones within a share of the whole, and no more than the limit."""
        mb = 1 / (1 << 20)
        text = f"planned {planned * mb:.1f} MiB, resident {resident * mb:.1f} ({resident / planned - 1:+.2%})"
        print(f"# {what}: {text}", flush=True)
        self.say(resident <= limit and abs(planned - resident) <= MOST_OFF * whole, what, text)


def hold_to_plan(results, name, server):
    planned = server.memory()["planned"]
    whole = sum(planned.values())
    there = planned["weights_bytes"] + planned["vocabulary_bytes"] + planned["program_bytes"]
    results.hold(f"{name}: at load", there, there, server.rollup()["Rss"], whole)
    troubles = fill(server)
    memory, rollup = server.memory(), server.rollup()
    results.say(not troubles and memory["kv_touched_bytes"] == planned["kv_bytes"], f"{name}: all pages are used",
                f"{memory['kv_touched_bytes']} of {planned['kv_bytes']} bytes; {troubles[:2]}")
    results.hold(f"{name}: after load", whole - planned["request_bytes"], whole, rollup["Rss"], whole)
    off = [abs(memory[key] - rollup[counted]) for key, counted in
           (("resident_bytes", "Rss"), ("anonymous_bytes", "Anonymous"))]
    results.say(max(off) < 1 << 20, f"{name}: the server says what the system says", f"{memory} {rollup}")


def forget(path):
    """Its pages are nobody's, so that they are counted where they are read next."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def live_within_plan(results, name, words):
    """In a group of what it planned, and 5 %; the second part in one that gets smaller."""
    what = f"{name}: in a control group of the plan and 5 %"
    group = MemoryGroup.make()
    if not group:
        return results.skip(what, MemoryGroup.why_not)
    with contextlib.closing(group), tempfile.TemporaryDirectory() as folder:
        with Server(*words, folder, words.n_ctx) as server:
            limit = int(server.memory()["planned_bytes"] * (1 + MOST_OFF))
        forget(words[1])
        group.limit(limit)
        with Server(*words, folder, words.n_ctx, group) as server:
            first = server.complete(N_SHORT)["choices"][0]["text"]
            troubles = fill(server)
            memory = server.memory()
            results.say(not troubles and group.n_killed() == 0 and server.process.poll() is None
                        and memory["kv_touched_bytes"] == memory["planned"]["kv_bytes"], what,
                        f"{troubles[:2]} {group.figures()} {memory}")
            print(f"# {name}: {group.figures()}")
            shrink(results, name, server, group, first)
    return None


def settled(server):
    """Its memory, when it has looked at the group since the last request."""
    before, same, deadline = server.memory(), 0, time.monotonic() + PATIENCE_S
    while same < 8 and time.monotonic() < deadline:
        time.sleep(0.2)
        now = server.memory()
        same = same + 1 if abs(now["shortage"]["used_bytes"] - before["shortage"]["used_bytes"]) < 1 << 18 else 0
        before = now
    return before


def shrink(results, name, server, group, first):
    what, before, own = f"{name}: memory that is short comes back", settled(server), server.rollup()["Anonymous"]
    deadline, limit = time.monotonic() + PATIENCE_S, before["shortage"]["limit_bytes"]
    while time.monotonic() < deadline:
        after = server.memory()
        given = sum(one["bytes"] for one in after["shortage"]["given_back"])
        lower = after["shortage"]["used_bytes"] + (before["shortage"]["limit_bytes"] >> 7)
        if not given and not after["shortage"]["is_short"] and lower < limit:
            with contextlib.suppress(OSError):  # what it uses became less, or more, by itself meanwhile
                group.limit(lower)
                limit = lower
        if given and not after["shortage"]["is_short"] and 'gave_back="' in server.said():
            break
        time.sleep(0.1)
    fell, pages = own - server.rollup()["Anonymous"], before["kv_touched_bytes"] - after["kv_touched_bytes"]
    results.say(given > 0 and pages >= given and fell > given // 2, what,
                f"{fell} {before} {after} {server.said()[-500:]}")
    print(f"# {name}: {given >> 20} MiB given back, its own memory is {fell >> 20} MiB less; {group.figures()}")
    results.say(not after["shortage"]["is_short"] and 'gave_back="' in server.said(),
                f"{name}: until it is enough, and the log says so", f"{after} {server.said()[-500:]}")
    again = server.complete(N_SHORT)["choices"][0]["text"]
    results.say(again == first and group.n_killed() == 0, f"{name}: and answers are what they were",
                f"{first!r} {again!r} {group.figures()}")


class Words(tuple):
    """Program and model of a server, and its context."""

    n_ctx = N_CTX


def tiny_models(program, folder, every):
    """{architecture: a file}, of those that this build runs and that write text: the goldens, with a long context."""
    found = {}
    for name in golden.names() if every else ["llama"]:
        g = golden.read(name)
        arch = g["metadata"]["general.architecture"]
        if arch in found or "hidden" in g["runs"][0]["rows"][0]:  # an embedder: its golden has no logits
            continue
        g["metadata"][arch + ".context_length"] = N_CTX
        path = os.path.join(folder, name + ".gguf")
        golden.write(g, path)
        done = subprocess.run([program, "inspect", path], env=ENV, capture_output=True, check=False)
        if done.returncode == 0:
            found[arch] = path
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--all", action="store_true")
    p.add_argument("--model")
    p.add_argument("--ctx", type=int, default=N_CTX)
    o = p.parse_args()
    results = Results()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("it was told to end"))  # servers and groups go first
    with tempfile.TemporaryDirectory() as folder:
        models = {os.path.basename(o.model): o.model} if o.model else {}
        if not o.model:
            models = tiny_models(os.path.abspath(o.program), folder, o.all)
        for name, path in models.items():
            words = Words((os.path.abspath(o.program), path))
            words.n_ctx = o.ctx
            with Server(*words, folder, o.ctx) as server:
                hold_to_plan(results, name, server)
            live_within_plan(results, name, words)
    print(f"1..{results.n}")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
