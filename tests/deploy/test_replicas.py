#!/usr/bin/env python3
"""test_replicas.py: four servers behind HAProxy, each in a network of its own, while they die, drain and come back.

    tests/deploy/test_replicas.py build/hearth [--seconds N]

examples/haproxy/haproxy.cfg as it is. Clients go on with conversations whose beginnings they share, streamed or not,
one request after the other. Meanwhile a server is killed, or drained (SIGTERM), and starts again. No request may be
lost before the first byte of its answer; what was being answered by a server that is killed may end early. Nine of ten
must find their beginning in the cache of the server that they are sent to. Speaks TAP; skips (77) where HAProxy or
networks of its own are not to be had.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "examples", "haproxy", "haproxy.cfg")
N_REPLICAS, N_CLIENTS, N_BEGINNINGS = 4, 8, 16
PORT = 8080
SKIPPED = 77
PATIENCE_S = 30
INSIDE = "TEST_REPLICAS_INSIDE"  # this process is in a network of its own
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("HEARTH_") or k == "HEARTH_FIXTURES"},
       "HEARTH_RECORD": "off"}


def run(*words):
    subprocess.run(words, check=True)


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(SKIPPED)


class Replica:
    """A server on a host of its own: a network that goes with the process."""

    def __init__(self, program, model, number):
        self.program, self.model, self.number = program, model, number
        self.address = f"10.99.{number}.2"
        self.process, self.n_starts, self.before = None, 0, {}

    def start(self):
        here = f"10.99.{self.number}.1"
        script = (f"read _; ip link set lo up; ip addr add {self.address}/30 dev eth0; ip link set eth0 up; "
                  f'exec "$0" serve "$1" --host {self.address} --port {PORT} --insecure-no-auth --parallel 4 '
                  f"--ctx 4096 --linger-ms 1500 --drain-ms 5000")
        words = ["unshare", "-n", "sh", "-c", script, self.program, self.model]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=ENV)
        name, pid = f"replica{self.number}", str(self.process.pid)
        while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.005)
        subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL, check=False)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "addr", "add", f"{here}/30", "dev", name)
        run("ip", "link", "set", name, "up")
        self.process.stdin.close()
        self.n_starts += 1

    def is_ready(self):
        try:
            c = http.client.HTTPConnection(self.address, PORT, timeout=1)
            c.request("GET", "/ready")
            return c.getresponse().status == 200
        except OSError:
            return False

    def wait_until_ready(self):
        end = time.monotonic() + PATIENCE_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"replica {self.number} does not start: {self.process.stderr.read().decode()}")
            time.sleep(0.05)

    def stop(self, sig):
        self.process.send_signal(sig)
        status = self.process.wait(timeout=PATIENCE_S)
        self.process.stderr.close()
        return status


class Client(threading.Thread):
    """One request after the other, each another question after one of the beginnings."""

    def __init__(self, number, beginnings, stop):
        super().__init__(daemon=True)
        self.rng, self.beginnings, self.stop = random.Random(number), beginnings, stop
        self.n_done = self.n_cut = 0
        self.lost, self.cached = [], []

    def run(self):
        while not self.stop.is_set():
            self.ask()

    def ask(self):
        begun, which = False, self.rng.randrange(len(self.beginnings))
        stream = self.rng.random() < 0.5
        body = {"messages": [{"role": "system", "content": self.beginnings[which]},
                             {"role": "user", "content": f"{self.rng.randrange(10 ** 6)}?"}],
                "max_tokens": self.rng.randrange(1, 40), "stream": stream, "seed": 1}
        if stream:
            body["stream_options"] = {"include_usage": True}
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)
        try:
            c.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = c.getresponse()
            if answer.status != 200:
                self.lost.append(f"{answer.status} {answer.read()[:200]}")
                return
            begun = True
            self.take(answer.read().decode(), stream, which)
        except (OSError, http.client.HTTPException, ValueError) as e:
            if begun:
                self.n_cut += 1
            else:
                self.lost.append(repr(e))
        finally:
            c.close()

    def take(self, text, stream, which):
        if not stream:
            usage = json.loads(text)["usage"]
        elif "data: [DONE]" in text:
            chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            usage = next(c["usage"] for c in chunks if c.get("usage"))
        else:
            raise ValueError("cut")
        self.n_done += 1
        self.cached.append((which, usage["prompt_tokens_details"]["cached_tokens"]))


def beginnings():
    """Texts of some hundred tokens that differ from their first word on."""
    rng = random.Random(7)
    return [" ".join("".join(rng.choice("etaoinshrdlu") for _ in range(rng.randint(2, 7))) for _ in range(60))
            for _ in range(N_BEGINNINGS)]


def trouble(replicas, seconds, rng):
    """What happens to them, one after the other; the exit statuses of those that drained."""
    end, statuses, kills = time.monotonic() + seconds, [], 0
    while time.monotonic() < end:
        time.sleep(1)
        r = rng.choice(replicas)
        if kills <= len(statuses):
            r.stop(signal.SIGKILL)
            kills += 1
            time.sleep(rng.random())
        else:
            statuses.append(r.stop(signal.SIGTERM))
        r.start()
        r.wait_until_ready()
        time.sleep(min(2 + 3 * rng.random(), max(0.1, end - time.monotonic())))
    return kills, statuses


def proxy(folder, replicas):
    with open(os.path.join(folder, "haproxy.log"), "w", encoding="utf-8") as log:
        env = {**os.environ, "LISTEN": f"127.0.0.1:{PORT}",
               **{f"REPLICA_{i + 1}": f"{r.address}:{PORT}" for i, r in enumerate(replicas)}}
        process = subprocess.Popen([find_haproxy(), "-db", "-f", CONFIG], env=env, stdout=log, stderr=log)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
            c.request("GET", "/v1/models")
            if c.getresponse().status == 200:
                return process
        except OSError:
            pass
        time.sleep(0.1)
    with open(os.path.join(folder, "haproxy.log"), encoding="utf-8") as log:
        sys.exit(f"HAProxy does not start: {log.read()}")


def share_of_hits(cached):
    """Of the answers (which beginning, how many tokens were cached): those that had it. What is not is read from the
    template's first words on, which are a few tokens. The first one of each, anywhere, cannot be a hit."""
    most = {}
    for which, n in cached:  # one pass: there are a hundred thousand in ten minutes
        most[which] = max(n, most.get(which, 0))
    return sum(n > most[which] / 2 for which, n in cached) / max(1, len(cached) - len(most))


def find_haproxy():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def test(program, seconds):
    run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "tiny.gguf")
        run(program, "dev", "synth", model, "--shape", "tiny", "--type", "Q8_0")
        replicas = [Replica(program, model, i + 1) for i in range(N_REPLICAS)]
        for r in replicas:
            r.start()
        for r in replicas:
            r.wait_until_ready()
        front, stop = proxy(folder, replicas), threading.Event()
        clients = [Client(i, beginnings(), stop) for i in range(N_CLIENTS)]
        for c in clients:
            c.start()
        kills, statuses = trouble(replicas, seconds, random.Random(3))
        stop.set()
        for c in clients:
            c.join()
        front.terminate()
        front.wait()
        for r in replicas:
            r.stop(signal.SIGTERM)
    lost = [line for c in clients for line in c.lost]
    n_done, n_cut = sum(c.n_done for c in clients), sum(c.n_cut for c in clients)
    share = share_of_hits([one for c in clients for one in c.cached])
    print(f"# {n_done} answers, {n_cut} cut by {kills} kills, {len(statuses)} drained; {100 * share:.1f} % of the "
          "beginnings were in a cache")
    for line in lost[:10]:
        print(f"# lost: {line}")
    results = [("no request is lost before its first byte", not lost and n_done > 0),
               ("only a kill cuts an answer, and of one server's", n_cut <= kills * N_CLIENTS),
               ("who drains ends with 0", all(s == 0 for s in statuses)),
               ("nine tenths of what was asked before are not computed again", share >= 0.9)]
    print(f"1..{len(results)}")
    for i, (name, met) in enumerate(results):
        print(f"{'ok' if met else 'not ok'} {i + 1} - {name}")
    return 0 if all(met for _, met in results) else 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--seconds", type=float, default=12)
    o = p.parse_args()
    if not find_haproxy() or not shutil.which("ip"):
        skip("HAProxy or ip (iproute2) is not installed")
    if os.environ.get(INSIDE):
        return test(os.path.abspath(o.program), o.seconds)
    words = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        skip("this system gives no network of its own (unshare -n)")
    return subprocess.run([*words, sys.executable, *sys.argv], env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
