#!/usr/bin/env python3
"""disk_cache.py: the first token after a restart, with --cache-dir and without.

    bench/disk_cache.py --model FILE [--build build] [--tokens 20000] [--folder DIR] [--least 20]

A server computes a prompt of --tokens random tokens and ends; one that is started again on the same folder (not in
the page cache, into which neither reading nor writing puts it) is asked the same, and must have the same bits and the
first token at least --least times sooner. Beside the second of two such readings somebody else is streamed to: the
longest time between two of their tokens then stands beside the longest without it. `hearth dev synth --shape
llama-3.2-1b --type Q4_K_M FILE` makes a model. Exit status 1 when the bits differ or it is not as much sooner.
"""
import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
import urllib.request

from serve_load import PATIENCE_S, Server

PAGE = 64


def ask(server, ids, salt):
    body = {"prompt": ids, "max_tokens": 1, "temperature": 0, "seed": salt, "digest": True}
    answer = server.post("/v1/completions", body)
    return answer["hearth"], answer["choices"][0]["text"]


def until_written(server, n):
    start = time.monotonic()
    while (now := server.status()["disk_cache"])["n_written"] + now["n_dropped"] < n:
        if time.monotonic() - start > PATIENCE_S:
            sys.exit(f"not written: {now}")
        time.sleep(0.05)
    return now, time.monotonic() - start


class Reader:
    """Somebody who is streamed to, and the times between their tokens."""

    def __init__(self, server):
        body = {"prompt": "It was a time", "max_tokens": 100000, "ignore_eos": True, "stream": True, "seed": 1}
        url = f"http://127.0.0.1:{server.port}/v1/completions"
        self.answer = urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=PATIENCE_S)
        self.times, self.ended = [], False
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        try:
            for line in self.answer:
                if line.startswith(b"data:"):
                    self.times.append(time.monotonic())
                if self.ended:
                    break
        finally:
            self.answer.close()

    def longest_ms(self, begin, end):
        inside = [t for t in self.times if begin <= t <= end]
        return max((b - a for a, b in zip(inside, inside[1:])), default=0) * 1000

    def stop(self):
        self.ended = True
        self.thread.join()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--tokens", type=int, default=20000)
    p.add_argument("--folder", help="where the cache's folder is made; the disk that is measured")
    p.add_argument("--least", type=float, default=20)
    o = p.parse_args()
    draw = random.Random(1)
    ids, other = [[draw.randrange(300, 500) for _ in range(o.tokens)] for _ in range(2)]
    n_pages = (o.tokens - 1) // PAGE
    ctx = (o.tokens + 1024 + PAGE - 1) // PAGE * PAGE
    with tempfile.TemporaryDirectory(dir=o.folder) as folder:
        words = ["--parallel", "2", "--ctx", str(ctx), "--cache-dir", os.path.join(folder, "kv"), "--cache-disk",
                 "1000000"]
        with Server(o, *words) as s:
            first, text = ask(s, ids, 1)
            until_written(s, n_pages)
            beside, beside_text = ask(s, other, 2)
            now, wait_s = until_written(s, 2 * n_pages)
        print(f"computed: first token of {o.tokens} tokens after {first['first_token_ms']:.0f} ms; "
              f"{now['n_written']} pages, {now['bytes'] / 2**20:.0f} MiB written, the last {wait_s:.1f} s after the "
              f"answer, {now['n_dropped']} dropped")
        with Server(o, *words) as s:
            again, again_text = ask(s, ids, 1)
            reader = Reader(s)
            while len(reader.times) < 20:
                time.sleep(0.05)
            quiet = time.monotonic()
            time.sleep(3)
            busy = time.monotonic()
            second, second_text = ask(s, other, 2)
            end = time.monotonic()
            reader.stop()
            gaps = reader.longest_ms(quiet, busy), reader.longest_ms(busy, end)
    read = again["disk"]
    mib = now["bytes"] / 2 / 2**20 * read["n_tokens"] / (n_pages * PAGE)
    sooner = first["first_token_ms"] / again["first_token_ms"]
    print(f"read: first token after {again['first_token_ms']:.1f} ms, {sooner:.1f} times sooner; {read['n_tokens']} "
          f"tokens from disk in {read['ms']:.1f} ms ({mib / read['ms'] * 1000:.0f} MiB/s)")
    print(f"while somebody is streamed to: first token after {second['first_token_ms']:.1f} ms; between two of their "
          f"tokens at most {gaps[1]:.1f} ms, {gaps[0]:.1f} ms without")
    same = (first["digest"], text, beside["digest"], beside_text) == (again["digest"], again_text, second["digest"],
                                                                      second_text)
    whole = read["n_tokens"] == second["disk"]["n_tokens"] == n_pages * PAGE
    print(f"bits: {'equal' if same else 'DIFFERENT'}; from disk: {'all full pages' if whole else 'NOT all'}")
    return 0 if same and whole and sooner >= o.least else 1


if __name__ == "__main__":
    sys.exit(main())
