#!/usr/bin/env python3
"""soak.py: a server for hours: does it stay what it was?

    tests/deploy/soak.py build/hearth [--seconds 3600] [--model FILE]

Clients keep it busy for 70 % of the time. One request in a hundred is hostile, two are left in the middle; its keys are
read again (SIGHUP), its model is told to sleep, which the next request ends, and the clock of the day jumps by hours
(libfaketime, where it is installed). Held to at the end,
after a tenth of the time for warming up: it runs still, answers have the same bits as at the beginning, memory of its
own grows by less than 1 MB an hour, descriptors by none, and the processor time of a token is the same within 3 % (the
99th percentile of windows, the last third against the first). Others on the machine make all processor time longer, so
a token of the server is counted in tokens of a process that is new (`hearth run`), measured in every window. What
takes long to be seen is held to only from --strict-seconds on. Speaks TAP.
"""

import argparse
import contextlib
import glob
import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
N_CLIENTS, LOAD, HOSTILE, LEFT = 6, 0.7, 0.01, 0.02
REST_S, SETTLED_S = 100, 3  # more than the 75 s after which a connection without a request is closed
KEY, OTHER_KEY = "sk-soak-0123456789abcdef", "sk-soak-other-{}"
N_PROMPTS = 40
MOST_MB_AN_HOUR, MOST_DRIFT = 1.0, 0.03
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "FAKETIME"))}
TICKS = os.sysconf("SC_CLK_TCK")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def slope(points):
    """Of the least squares line, per second."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    below = sum((x - mx) ** 2 for x, _ in points)
    return sum((x - mx) * (y - my) for x, y in points) / below if below else 0.0


class Server:
    def __init__(self, program, model, folder):
        self.keys, self.clock = os.path.join(folder, "keys"), os.path.join(folder, "clock")
        made = [program, "key", "add", "root", "--allow", "admin", "--api-key-file", self.keys]
        self.admin = subprocess.run(made, env=ENV, check=True, capture_output=True, text=True).stdout.split()[-1]
        with open(self.keys, encoding="ascii") as f:
            self.admin_line = f.read()
        self.write_keys(0)
        env, lib = dict(ENV), (glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + [None])[0]
        self.jumps = lib is not None
        if self.jumps:
            self.jump(0)
            env |= {"LD_PRELOAD": lib, "FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        self.screen = tempfile.TemporaryFile()
        words = [program, "serve", *([model] if model else []), "--port", "0", "--api-key-file", self.keys,
                 "--record", "full", "--record-dir", os.path.join(folder, "record"), "--record-disk", "16"]
        self.process = subprocess.Popen(words, env=env, stdout=self.screen, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while b"print(" not in self.text():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the server does not start: {self.text().decode()}")
            time.sleep(0.05)
        self.port = int(re.search(rb"http://[\d.]+:(\d+)/v1", self.text())[1])

    def text(self):
        self.screen.seek(0)
        return self.screen.read()

    def write_keys(self, n):
        with open(self.keys + ".new", "w", encoding="ascii") as f:
            f.write(f"{KEY}\n{OTHER_KEY.format(n)}\n{self.admin_line}")
        os.chmod(self.keys + ".new", 0o600)
        os.rename(self.keys + ".new", self.keys)

    def read_keys_again(self, n):
        self.write_keys(n)
        self.process.send_signal(signal.SIGHUP)

    def as_admin(self, method, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, headers={"Authorization": f"Bearer {self.admin}"})
            answer = c.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise ValueError(f"{method} {path}: {answer.status} {body[:200]!r}")
            return json.loads(body)
        finally:
            c.close()

    def reload_model(self):
        """It sleeps once nobody has a slot of it, and wakes for who asks then."""
        self.as_admin("POST", f"/hearth/models/{self.model()['id']}/unload")

    def model(self):
        return self.as_admin("GET", "/hearth/status")["models"][0]

    def jump(self, hours):
        with open(self.clock, "w", encoding="ascii") as f:
            f.write(f"{hours:+d}h\n")

    def anonymous_mb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1]) / 1024

    def descriptors(self):
        folder, found = f"/proc/{self.process.pid}/fd", []
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.append(os.readlink(os.path.join(folder, name)))
        return sorted(found)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            words = f.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS


class Client(threading.Thread):
    def __init__(self, number, server, soak):
        super().__init__(daemon=True)
        self.rng, self.server, self.soak = random.Random(number), server, soak

    def run(self):
        while not self.soak.stop.is_set():
            if not self.soak.begin():
                self.soak.stop.wait(0.05)
                continue
            began = time.monotonic()
            kind = self.rng.random()
            try:
                if kind < HOSTILE:
                    self.hostile()
                elif kind < HOSTILE + LEFT:
                    self.leave()
                else:
                    self.ask()
            except Exception as e:  # pylint: disable=broad-except  # whatever it is, it is told at the end
                self.soak.trouble(f"{type(e).__name__}: {e}")
            self.soak.end()
            took = time.monotonic() - began
            self.soak.stop.wait(self.rng.expovariate(1) * took * (1 / LOAD - 1))

    def request(self, which, stream):
        return json.dumps({"prompt": f"{which} once upon a time " * (1 + which % 7), "max_tokens": 8 + which,
                           "stream": stream, "seed": which, "temperature": which % 3 / 2})

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)

    def send(self, c, which, stream):
        c.request("POST", "/v1/completions", self.request(which, stream),
                  {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
        return c.getresponse()

    def ask(self):
        which, stream, c = self.rng.randrange(N_PROMPTS), self.rng.random() < 0.5, self.connection()
        try:
            answer = self.send(c, which, stream)
            body = answer.read().decode()
            if answer.status != 200:
                raise ValueError(f"{answer.status} {body[:200]}")
        finally:
            c.close()
        if stream:
            chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
            text = "".join(one["text"] for chunk in chunks for one in chunk["choices"])
            n = chunks[-1]["timings"]["predicted_n"]
        else:
            whole = json.loads(body)
            text, n = whole["choices"][0]["text"], whole["usage"]["completion_tokens"]
        self.soak.took(which, text, n)

    def leave(self):
        c = self.connection()
        answer = self.send(c, self.rng.randrange(N_PROMPTS), True)
        answer.read(self.rng.randrange(1, 400))
        c.sock.close()
        c.close()
        self.soak.count("left")

    def hostile(self):
        body = self.rng.choice([
            b"{", b"\xff\xfe", b"[]", b'{"prompt":"x","max_tokens":-1}', b'{"prompt":' + b"[" * 5000,
            b'{"prompt":"\\ud800"}', b'{"prompt":"x","temperature":1e999}', b'{"prompt":"x","n":99999}'])
        head = (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        bytes_sent = self.rng.choice([
            head + body, head + body[:-1], head[:-5], b"\x16\x03\x01" + os.urandom(100), b"GET /%00 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40000 + b"\r\n\r\n",
            head.replace(KEY.encode(), b"sk-wrong") + body,
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"])
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as s:
            try:
                s.sendall(bytes_sent)
                s.shutdown(socket.SHUT_WR)
                first = s.recv(64)
                if first.startswith(b"HTTP/1.1 200") or re.match(rb"HTTP/1.1 5(?!0[135])", first):
                    self.soak.trouble(f"{bytes_sent[:80]!r} was answered {first!r}")
            except OSError:
                pass  # it has closed already
        self.soak.count("hostile")


class Fresh:
    """What a token costs a process that is new."""

    def __init__(self, program, model, n_tokens):
        self.n_tokens = n_tokens
        self.words = [program, "run", *([model] if model else []), "--raw", "-p", "once upon a time", "--ignore-eos",
                      "--temp", "0", "--json", "-n"]

    def seconds(self, n_tokens):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(max(1, n_tokens // 200)):
            subprocess.run([*self.words, str(min(200, n_tokens))], env=ENV, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def token_us(self):
        return 1e6 * self.seconds(self.n_tokens) / self.n_tokens


class Soak:
    def __init__(self):
        self.stop, self.lock, self.resting, self.n_busy = threading.Event(), threading.Lock(), False, 0
        self.texts, self.counts, self.troubles, self.n_tokens = {}, {"answers": 0, "left": 0, "hostile": 0}, [], 0

    def begin(self):
        """Nobody begins anything while it rests."""
        with self.lock:
            self.n_busy += not self.resting
            return not self.resting

    def end(self):
        with self.lock:
            self.n_busy -= 1

    def rest(self, look, wanted=None):
        """What look() finds when nobody wants anything: when it has stayed so for some seconds, or as soon as it is not
        more than `wanted`. What was cut in the middle is given up by its deadline."""
        self.resting = True
        deadline, since, found = time.monotonic() + REST_S, time.monotonic(), None
        while time.monotonic() < deadline:
            now = look()
            if self.n_busy or now != found:
                since, found = time.monotonic(), now
            settled = time.monotonic() - since > SETTLED_S
            if not self.n_busy and (len(found) <= len(wanted) if wanted is not None else settled):
                break
            time.sleep(0.1)
        self.resting = False
        return found

    def took(self, which, text, n_tokens):
        with self.lock:
            self.counts["answers"] += 1
            self.n_tokens += n_tokens
            if self.texts.setdefault(which, text) != text:
                self.troubles.append(f"answer {which} is not what it was: {text!r}")

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def trouble(self, what):
        with self.lock:
            self.troubles.append(what)


def watch(server, soak, fresh, seconds, window):
    """[(seconds, MB of its own, processor time of a token in us, and in tokens of a fresh process)] for each window,
    and which descriptors it has at rest, when it is warm and in the end."""
    began, rng, points, n, at_rest = time.monotonic(), random.Random(5), [], 0, []
    while time.monotonic() - began < seconds and server.process.poll() is None:
        cpu, tokens = server.cpu_seconds(), soak.n_tokens
        soak.stop.wait(window)
        n += 1
        server.read_keys_again(n)
        if server.process.poll() is None:
            server.reload_model()
        if server.jumps and n % 3 == 0:
            server.jump(rng.randrange(-5, 6))
        if server.process.poll() is None and soak.n_tokens > tokens:
            us = 1e6 * (server.cpu_seconds() - cpu) / (soak.n_tokens - tokens)
            points.append((time.monotonic() - began, server.anonymous_mb(), us, us / fresh.token_us()))
        if not at_rest and time.monotonic() - began > seconds / 10:
            at_rest.append(soak.rest(server.descriptors))
    if server.process.poll() is None:
        at_rest.append(soak.rest(server.descriptors, *at_rest))
    return points, at_rest


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--seconds", type=float, default=3600)
    p.add_argument("--strict-seconds", type=float, default=1800)
    p.add_argument("--model")
    o = p.parse_args()
    soak, window = Soak(), max(0.5, min(10.0, o.seconds / 40))
    # Beside a window of seconds, tenths of one.
    fresh = Fresh(os.path.abspath(o.program), o.model, 1500 if o.seconds >= o.strict_seconds else 20)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(os.path.abspath(o.program), o.model, folder)
        clients = [Client(i, server, soak) for i in range(N_CLIENTS)]
        for c in clients:
            c.start()
        points, at_rest = watch(server, soak, fresh, o.seconds, window)
        lives = server.process.poll() is None
        n_wakes = server.model()["n_wakes"] if lives else 0
        soak.stop.set()
        for c in clients:
            c.join()
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(timeout=60)
    warm = [q for q in points if q[0] > o.seconds / 10]
    if len(warm) < 6:
        sys.exit(f"nothing was answered: {soak.troubles[:3]}; it said {server.text().decode()}")
    parts = warm[:len(warm) // 3], warm[-(len(warm) // 3):]
    thirds = [[q[2] for q in part] for part in parts]
    mb_an_hour = 3600 * slope([(q[0], q[1]) for q in warm])
    ratios = [[q[3] for q in part] for part in parts]
    drift = percentile(ratios[1], 0.99) / percentile(ratios[0], 0.99) - 1
    print(f"# {soak.counts['answers']} answers, {soak.n_tokens} tokens, {soak.counts['left']} left, "
          f"{soak.counts['hostile']} hostile, {len(points)} times its keys were read, its model woke {n_wakes} times"
          f"{'' if server.jumps else '; no libfaketime, so the clock did not jump'}")
    print(f"# own memory {warm[0][1]:.2f} MB, at the end {warm[-1][1]:.2f}: {mb_an_hour:+.2f} MB an hour; descriptors "
          f"at rest {[len(found) for found in at_rest]}; "
          f"us of processor time a token, 99th percentile {percentile(thirds[0], 0.99):.0f}"
          f" and {percentile(thirds[1], 0.99):.0f}, median {percentile(thirds[0], 0.5):.0f} and "
          f"{percentile(thirds[1], 0.5):.0f}; in tokens of a fresh process {percentile(ratios[0], 0.99):.3f} and "
          f"{percentile(ratios[1], 0.99):.3f}, median {percentile(ratios[0], 0.5):.3f} and "
          f"{percentile(ratios[1], 0.5):.3f}")
    for line in soak.troubles[:10]:
        print(f"# {line}")
    for found in at_rest if len({len(found) for found in at_rest}) > 1 else []:
        print(f"# at rest: {' '.join(found)}")
    strict = o.seconds >= o.strict_seconds
    results = [("it runs until it is told to end", lives and status == 0),
               ("every answer came, and is what it was", not soak.troubles and soak.counts["answers"] > 0),
               ("its model slept and woke as it was told", n_wakes >= len(points) // 2),
               (f"its own memory grows by less than {MOST_MB_AN_HOUR:.0f} MB an hour",
                mb_an_hour < MOST_MB_AN_HOUR or not strict),
               ("its descriptors are as many as before", len(at_rest) == 2 and len(at_rest[1]) <= len(at_rest[0])),
               (f"a token costs the same processor time within {100 * MOST_DRIFT:.0f} %",
                drift < MOST_DRIFT or not strict)]
    print(f"1..{len(results)}")
    for i, (name, met) in enumerate(results):
        print(f"{'ok' if met else 'not ok'} {i + 1} - {name}")
    return 0 if all(met for _, met in results) else 1


if __name__ == "__main__":
    sys.exit(main())
