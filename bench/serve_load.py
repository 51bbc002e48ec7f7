#!/usr/bin/env python3
"""serve_load.py: `hearth serve` under load, measured by bench/load.c's clients.

    bench/serve_load.py [--build build] [--model FILE] [--seconds 20] [--runs 5] [--only NAME,...]
                        [--csv FILE | --no-csv]

  overload     two slots: the most answers a second that few clients get (2, 4 and 8; the best counts) beside 1,000
               clients that honour Retry-After, in pairs, which of the two is first in turns. Refused and completed are
               all that was sent; refusals, as clients see them, under 20 ms (p99); at least 95 % of the peak's
               tokens, in the median of the pairs
  connections  --idle connections (10,000), half of them silent, half with half a head; /health under 50 ms (p99)
  streams      eight streams, beside `hearth bench` for a batch of eight in the same minute: within 10 %
  newcomer     the first token of a short prompt: alone, while seven others are streamed to, and while a prompt of
               --long tokens is read, without and with somebody who is streamed to. Within two steps of alone, and of
               what its own share of the steps makes of that: a step is the time between two tokens of a stream
  cost         processor time of the server's threads without the engine's (HTTP, JSON, events), for each token
               streamed: under 30 us
  record       processor time of the whole server for each token of eight streams, with --record full beside --record
               off, in turns: under 1 % more

--model: a GGUF file (`hearth dev synth --shape llama-3.2-1b --type Q4_K_M FILE` makes one of that shape); without it,
the built-in model. What others use of the machine stands beside every row, as in bench/engine.py; rows are appended to
bench/results/MACHINE.csv. Exit status 1 when a claim is not met.
"""
import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import engine
import measure
from measure import Others

SCENARIOS = ("overload", "connections", "streams", "newcomer", "cost", "record")
PATIENCE_S = 900
ENGINE_THREADS = ("hearth", "hearth-worker", "hearth-engine")
OWN_SHARE = 0.75  # of a step's prompt tokens, beside an older prompt (docs/operating.md)


class Server:
    """`hearth serve` on a free port, and the processor time of its threads."""

    def __init__(self, options, *words):
        hearth = os.path.join(options.build, "hearth")
        self.screen = tempfile.TemporaryFile()
        argv = [hearth, "serve", *([options.model] if options.model else []), "--port", "0",
                *([] if "--record" in words else ["--record", "off"]), *words]
        if os.path.basename(os.path.realpath(options.build)).endswith("san"):
            argv.append("--no-sandbox")  # LeakSanitizer looks at the process from inside
        self.process = subprocess.Popen(argv, stdout=self.screen, stderr=subprocess.STDOUT)
        self.load = os.path.join(options.build, "bench", "bench_load")

    def text(self):
        self.screen.seek(0)
        return self.screen.read().decode()

    def __enter__(self):
        deadline = time.monotonic() + 60
        while "print(" not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server does not start: {self.text()}")
            time.sleep(0.02)
        self.port = re.search(r"http://[\d.]+:(\d+)/v1", self.text())[1]
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            sys.exit(f"the server ended with {self.process.returncode}: {self.text()}")
        self.screen.close()

    def clients(self, **words):
        """bench_load, started: its words, with - for _."""
        argv = [self.load, "--port", self.port]
        for name, value in words.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE)

    def ask(self, **words):
        """Its figures at its end."""
        got = self.finish(self.clients(**words))
        if got["sent"] != got["completed"] + got["refused"] + got["failed"] + got["cut"]:
            sys.exit(f"requests went missing: {got}")
        return got

    @staticmethod
    def finish(clients):
        return json.loads(clients.communicate(timeout=PATIENCE_S)[0])

    def cut(self, clients):
        clients.send_signal(signal.SIGTERM)
        return self.finish(clients)

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/hearth/status", timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def others(self):
        """What others use from now on; the server is not one of them."""
        return OthersThan(self)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            words = f.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def thread_seconds(self):
        """Processor time of its threads: {name: seconds}."""
        folder = f"/proc/{self.process.pid}/task"
        used = {}
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/comm", encoding="ascii") as f:
                name = f.read().strip()
            with open(f"{folder}/{task}/schedstat", encoding="ascii") as f:
                used[name] = used.get(name, 0) + int(f.read().split()[0]) / 1e9
        return used

    def front_seconds(self):
        """Of those that are not the engine's."""
        return {k: v for k, v in self.thread_seconds().items()
                if k not in ENGINE_THREADS}


class OthersThan(Others):
    """A server is a child that has not ended, and not in what its parent's children used."""

    def __init__(self, *servers):
        super().__init__()
        self.servers = servers
        self.servers_before = self.servers_seconds()

    def servers_seconds(self):
        return sum(s.cpu_seconds() for s in self.servers)

    def percent(self):
        return max(0.0, super().percent() - 100 * (self.servers_seconds() - self.servers_before) / self.wall())


class Load:
    def __init__(self, options):
        self.options, self.rows, self.claims = options, [], []
        self.label = os.path.basename(options.model).removesuffix(".gguf") if options.model else "built-in"

    def row(self, name, values, unit, bound, others):
        values = sorted(values)
        n = len(values)
        self.rows.append((f"serve {name} {self.label}", statistics.median(values), unit, values[n // 4],
                          values[3 * n // 4], n, bound, others))

    def claim(self, what, met, timed=True):
        """timed: others on the machine can make it false."""
        self.claims.append((what, met or (timed and self.options.check)))

    # --- scenarios ---

    def overload(self):
        o = self.options
        few = {"prompt_words": o.prompt_words, "max_tokens": o.max_tokens, "stream": 50}

        def peak_of(s, n):
            return s.ask(clients=n, seconds=o.seconds, warm=o.seconds / 5, **few)

        def overload_of(s):
            before = s.thread_seconds()
            got = s.ask(clients=o.clients, seconds=2 * o.seconds, warm=o.seconds / 2, drain=300, **few)
            after = s.thread_seconds()
            got["front_s"] = sum(after[k] - before.get(k, 0) for k in after if k not in ENGINE_THREADS)
            return got

        def median_of(runs):
            return sorted(runs, key=lambda got: got["tokens_per_s"])[len(runs) // 2]

        with Server(o, "--parallel", "2") as s:
            others = s.others()
            s.ask(clients=2, requests=4, **few)  # warm
            best = max((2, 4, 8), key=lambda n: peak_of(s, n)["tokens_per_s"])
            others, peaks, gots = s.others(), [], []
            for turn in range(1 if o.check else o.runs):  # the machine is not the same all the time
                if turn % 2 == 0:
                    peaks.append(peak_of(s, best))
                gots.append(overload_of(s))
                if turn % 2 == 1:
                    peaks.append(peak_of(s, best))
            used = others.percent()
            now = s.status()["now"]
        peak, got = median_of(peaks), median_of(gots)
        for unit, key in (("tok/s", "tokens_per_s"), ("req/s", "requests_per_s")):
            self.row("peak", [p[key] for p in peaks], unit, 0, used)
            self.row("overload", [g[key] for g in gots], unit, peak[key], used)
        shares = [100 * g["tokens_per_s"] / p["tokens_per_s"] for p, g in zip(peaks, gots)]
        self.row("overload share of peak", shares, "%", 95, used)
        self.row("overload offered", [g["sent"] / g["seconds"] for g in gots], "req/s", peak["requests_per_s"], used)
        self.row("refusal p50", [got["refusal_ms"]["p50"]], "ms", 0, used)
        self.row("refusal p99", [got["refusal_ms"]["p99"]], "ms", 0, used)
        self.row("overload first token p99", [got["first_token_ms"]["p99"]], "ms", 0, used)
        share = statistics.median(shares)
        self.row("overload front a request", [1e6 * g["front_s"] / g["sent"] for g in gots], "us", 0, used)
        self.row("overload clients a request", [1e6 * g["cpu_s"] / g["sent"] for g in gots], "us", 0, used)
        got = {key: sum(g[key] for g in gots) for key in ("sent", "completed", "refused", "failed", "cut")} | {
            "refusal_ms": got["refusal_ms"]}
        self.claim(f"{got['sent']} sent: {got['completed']} completed, {got['refused']} refused, {got['failed']} "
                   f"failed, {got['cut']} cut",
                   got["sent"] == got["completed"] + got["refused"] and got["refused"] > 0, timed=False)
        self.claim(f"refusals p99 {got['refusal_ms']['p99']:.1f} ms, under 20", got["refusal_ms"]["p99"] < 20)
        self.claim(f"goodput under {o.clients} clients {share:.1f} % of the peak, at least 95 ({len(shares)} pairs: "
                   f"{', '.join(f'{x:.1f}' for x in shares)})", share >= 95)
        self.claim(f"nothing is left: {now['n_running']} running, {now['n_waiting']} waiting, "
                   f"{now['memory_used_bytes']} bytes", now["n_running"] + now["n_waiting"] == 0
                   and now["memory_used_bytes"] == 0, timed=False)

    def connections(self):
        o = self.options
        with Server(o, "--connections", str(o.idle + 64)) as s:
            others = s.others()
            got = s.ask(clients=0, idle=o.idle // 2, half=o.idle - o.idle // 2, health=200)
            used = others.percent()
        self.row(f"health p50, {o.idle} connections", [got["health_ms"]["p50"]], "ms", 0, used)
        self.row(f"health p99, {o.idle} connections", [got["health_ms"]["p99"]], "ms", 0, used)
        self.claim(f"{got['held']} connections are held, and /health fails {got['failed']} times",
                   got["held"] == o.idle and got["failed"] == 0, timed=False)
        self.claim(f"/health beside them: p99 {got['health_ms']['p99']:.1f} ms, under 50",
                   got["health_ms"]["p99"] < 50)

    def batch_of_eight(self):
        argv = [os.path.join(self.options.build, "hearth"), "bench", "--json", "--prefill", "none", "--decode", "none",
                "--batch", "8", "--runs", "1", "--tokens", "64"]
        argv += [self.options.model] if self.options.model else []
        return json.loads(measure.output_of(argv))["batch"][0]["tok_s"]

    def streams(self):
        o = self.options
        alone, served, shares = [], [], []
        with Server(o, "--parallel", "8") as s:
            others = s.others()
            for _ in range(o.runs):
                alone.append(self.batch_of_eight())
                got = s.ask(clients=8, requests=8, warm=0, stream=100, prompt_words=8, max_tokens=96)
                served.append(got["steady_tokens_per_s"])
                shares.append(served[-1] / alone[-1])
            used = others.percent()
        self.row("8 streams", served, "tok/s", statistics.median(alone), used)
        share = statistics.median(shares)
        self.claim(f"8 streams: {100 * share:.1f} % of `hearth bench` for a batch of 8, at least 90", share >= 0.9)

    def newcomer_row(self, name, s, used):
        """First tokens, one newcomer after the other; its p50 and p99 in ms."""
        o = self.options
        got = s.ask(clients=1, requests=o.newcomers, warm=0, stream=100, prompt_words=o.prompt_words, max_tokens=2)
        first = got["first_token_ms"]
        self.row(f"first token p50 {name}", [first["p50"]], "ms", 0, used.percent())
        self.row(f"first token p99 {name}", [first["p99"]], "ms", 0, used.percent())
        return first

    def newcomer(self):
        o = self.options
        with Server(o, "--parallel", "9") as s:
            s.ask(clients=1, requests=2, stream=100, prompt_words=o.prompt_words, max_tokens=2)
            alone = self.newcomer_row("alone", s, s.others())
            seven = s.clients(clients=7, seconds=PATIENCE_S, warm=0, stream=100, prompt_words=8,
                              max_tokens=o.window // 2)
            time.sleep(2)
            beside = self.newcomer_row("beside 7 streams", s, s.others())
            step = s.cut(seven)["between_tokens_ms"]
            n_words = self.words_of(s, o.long)
            reader = s.clients(clients=1, seconds=PATIENCE_S, warm=0, stream=100, prompt_words=n_words, max_tokens=1)
            time.sleep(2)
            self.newcomer_row(f"beside a prompt of {o.long}", s, s.others())  # steps are as long as they may be
            listener = s.clients(clients=1, seconds=PATIENCE_S, warm=0, stream=100, prompt_words=8,
                                 max_tokens=o.window // 2)
            time.sleep(2)
            reading = self.newcomer_row(f"beside a prompt of {o.long} and a stream", s, s.others())
            read, cut_step = s.cut(reader), s.cut(listener)["between_tokens_ms"]
        self.row("step p50, 7 streams", [step["p50"]], "ms", 0, 0)
        self.row("step p99, 7 streams", [step["p99"]], "ms", 0, 0)
        most = alone["p99"] + 2 * step["p99"]
        self.claim(f"a newcomer beside 7 streams: p50 {beside['p50']:.0f} ms, p99 {beside['p99']:.0f} ms; alone "
                   f"{alone['p50']:.0f} and {alone['p99']:.0f}; two steps are {2 * step['p50']:.0f} to "
                   f"{2 * step['p99']:.0f}", beside["p99"] <= most)
        self.row("step p50, a stream beside a prompt", [cut_step["p50"]], "ms", 0, 0)
        self.row("step p99, a stream beside a prompt", [cut_step["p99"]], "ms", 0, 0)
        most = alone["p99"] / OWN_SHARE + 2 * cut_step["p99"]
        self.claim(f"a newcomer beside a stream and a prompt of {o.long} tokens ({read['completed']} were read "
                   f"meanwhile): p50 {reading['p50']:.0f} ms, p99 {reading['p99']:.0f} ms; with three quarters of each "
                   f"step and two steps of {cut_step['p99']:.0f} ms it may be {most:.0f}", reading["p99"] <= most)

    def words_of(self, s, n_tokens):
        """How many of bench_load's words have so many tokens, about."""
        rng = random.Random(1)
        words = ["".join(rng.choice("etaoinshrdlu") for _ in range(rng.randint(2, 8))) for _ in range(2000)]
        n = len(s.post("/tokenize", {"content": " ".join(words)})["tokens"])
        return max(1, int(n_tokens * len(words) / n * 0.95))

    def cost(self):
        o = self.options
        with Server(o, "--parallel", "8") as s:
            s.ask(clients=8, requests=8, stream=100, warm=0)
            others, before = s.others(), s.front_seconds()
            got = s.ask(clients=8, seconds=o.seconds, stream=100, prompt_words=8, max_tokens=96)
            after, used = s.front_seconds(), others.percent()
        parts = {k: 1e6 * (after[k] - before.get(k, 0)) / got["tokens"] for k in after}
        total = sum(parts.values())
        self.row("front cost a token", [total], "us", 30, used)
        named = ", ".join(f"{k} {v:.1f}" for k, v in sorted(parts.items(), key=lambda p: -p[1]))
        self.claim(f"HTTP, JSON and events: {total:.1f} us of processor time a token, under 30 ({named})", total < 30)


    def record(self):
        o, more = self.options, []
        with tempfile.TemporaryDirectory() as folder, Server(o, "--parallel", "8") as off, \
                Server(o, "--parallel", "8", "--record", "full", "--record-dir", folder) as full:
            for s in (off, full):
                s.ask(clients=8, requests=8, stream=100, warm=0)
            others = OthersThan(off, full)
            for turn in range(2 * o.runs):
                cost = {s: self.cpu_a_token(s) for s in ((off, full), (full, off))[turn % 2]}
                more.append(100 * (cost[full] / cost[off] - 1))
            used, kept = others.percent(), full.status()["recorder"]
        self.row("recording in full", more, "%", 1, used)
        self.claim(f"eight streams, recorded in full: {statistics.median(more):+.2f} % processor time a token, under 1 "
                   f"({cost[off]:.0f} us without)", statistics.median(more) < 1)
        self.claim(f"{kept['n_written']} answers recorded, {kept['n_dropped']} dropped, none should be",
                   kept["n_written"] > 0 and kept["n_dropped"] == 0, timed=False)

    def cpu_a_token(self, s):
        """In microseconds, of all its threads."""
        before = sum(s.thread_seconds().values())
        got = s.ask(clients=8, seconds=self.options.seconds, stream=100, prompt_words=8, max_tokens=96)
        return 1e6 * (sum(s.thread_seconds().values()) - before) / got["tokens"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="the build folder")
    p.add_argument("--model", help="a GGUF file; without it the built-in model")
    p.add_argument("--only", default=",".join(SCENARIOS))
    p.add_argument("--seconds", type=float, default=20, help="of each measurement")
    p.add_argument("--runs", type=int, default=5, help="of streams and overload, in turns with what they are held to")
    p.add_argument("--clients", type=int, default=1000, help="in overload")
    p.add_argument("--idle", type=int, default=10000, help="connections")
    p.add_argument("--newcomers", type=int, default=100, help="first tokens in each row of newcomer")
    p.add_argument("--prompt-words", type=int, default=16)
    p.add_argument("--max-tokens", type=int, default=32)
    p.add_argument("--long", type=int, default=32000, help="tokens of the prompt that is read beside the newcomer")
    p.add_argument("--window", type=int, default=4096, help="tokens that a stream may have")
    p.add_argument("--check", action="store_true",
                   help="short runs that may be disturbed: only what does not depend on time can fail")
    p.add_argument("--csv", help="append here instead of bench/results/MACHINE.csv")
    p.add_argument("--no-csv", action="store_true", help="append nowhere")
    options = p.parse_args()
    wanted = options.only.split(",")
    if options.check:
        wanted, options.no_csv = ["overload", "connections"], True
        options.seconds, options.clients, options.idle, options.max_tokens = 1, 300, 400, 8
    if not set(wanted) <= set(SCENARIOS):
        p.error(f"--only: one or more of {', '.join(SCENARIOS)}")
    if not options.check:
        subprocess.run(["ninja", "-C", options.build, "bench/bench_load"], check=True, stdout=subprocess.DEVNULL)
    load, measured = Load(options), engine.commit()
    for name in wanted:
        getattr(load, name)()
    engine.show(load.rows)
    for what, met in load.claims:
        print(f"{'met    ' if met else 'NOT MET'}  {what}")
    if not options.no_csv:
        path = options.csv or os.path.join(engine.HERE, "results", f"{measure.machine_name()}.csv")
        engine.append(path, measured, load.rows)
        print(f"appended to {os.path.relpath(path)}")
    return 0 if all(met for _, met in load.claims) else 1


if __name__ == "__main__":
    sys.exit(main())
