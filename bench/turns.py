#!/usr/bin/env python3
"""turns.py: the first token of a model that slept, its file in the page cache.

    bench/turns.py --models A.gguf B.gguf [--build build] [--switches 20] [--prompt-tokens 8] [--most-ms 300]

A server has a budget that holds one of the two with its weights and not both (found from their plans), so each question
to the other is a switch: one is put to sleep, the other wakes and answers. In turns, --switches times to each; then as
often to each while it is awake, with other prompts. Printed are the times from the request to its first token as the
client sees them, and of the switches what the receipt says of waiting for the model (wake_ms). Every answer has the
bits of the first to the same prompt, or this fails. What others use of the machine stands beside them. `hearth dev
synth --shape qwen3-0.6b --type Q4_0 FILE` makes a model. Exit status 1 when a switch took longer than --most-ms, or
none was.
"""
import argparse
import json
import random
import statistics
import sys
import time
import urllib.request

from serve_load import PATIENCE_S, Server

WORDS = ("--parallel", "2", "--ctx", "2048", "--request-memory", "64", "--connections", "64")


def ask(server, model, ids):
    """Seconds to the first token, and the receipt."""
    body = {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0, "stream": True, "digest": True,
            "stream_options": {"include_usage": True}}
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    start, first, receipt = time.monotonic(), None, None
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=PATIENCE_S) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                first = first or time.monotonic() - start
                receipt = json.loads(line[6:]).get("hearth") or receipt
    return first, receipt


def budget_for_one(options, words):
    with Server(options, *words) as s:
        plans = [m["plan"] for m in s.status()["models"]]
    requests = plans[0]["request_bytes"]
    each = [p["total_bytes"] - requests for p in plans]
    least = requests + max(each) + sum(p["vocabulary_bytes"] for p in plans) + (32 << 20)
    if least >= requests + sum(each):
        sys.exit("both models fit into what the larger one needs; take larger ones")
    return str((least >> 20) + 1)


def row(name, seconds, more=""):
    ms = [1000 * s for s in seconds]
    print(f"| {name} | {len(ms)} | {statistics.median(ms):.0f} | {max(ms):.0f} | {more} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", nargs=2, required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--switches", type=int, default=20)
    p.add_argument("--prompt-tokens", type=int, default=8)
    p.add_argument("--most-ms", type=float, default=300)
    o = p.parse_args()
    o.model = o.models[0]
    words = (o.models[1], "--alias", "a", "--alias", "b", *WORDS)
    draw = random.Random(1)
    prompts = [[draw.randrange(300, 500) for _ in range(o.prompt_tokens)] for _ in range(o.switches + 1)]
    switched, awake, waited, digests = {"a": [], "b": []}, {"a": [], "b": []}, {"a": [], "b": []}, {}
    budget = budget_for_one(o, words)
    with Server(o, *words, "--budget", budget) as s:
        others = s.others()
        for model in "ab":  # their files come into the page cache
            digests[model] = ask(s, model, prompts[-1])[1]["digest"]
        for _ in range(o.switches):
            for model in "ab":
                seconds, receipt = ask(s, model, prompts[-1])
                if receipt["digest"] != digests[model] or receipt["wake_ms"] <= 0:
                    sys.exit(f"not a switch with the same bits: {receipt['digest']}, wake_ms {receipt['wake_ms']}")
                switched[model].append(seconds)
                waited[model].append(receipt["wake_ms"])
        for model in "ab":
            ask(s, model, prompts[-1])
            awake[model] = [ask(s, model, ids)[0] for ids in prompts[:-1]]
        models = s.status()["models"]
        others = others.percent()
    print(f"budget {budget} MiB; {o.prompt_tokens} prompt tokens; others used {others:.0f} % of the machine")
    print("| first token | times | median ms | worst ms | of that until awake, ms |")
    print("|---|---|---|---|---|")
    for model, path, at in zip("ab", o.models, models, strict=True):
        row(f"{path.rpartition('/')[2]} ({at['weights']['file_bytes'] >> 20} MiB), awake", awake[model])
        row(f"{path.rpartition('/')[2]}, after a switch", switched[model],
            f"{statistics.median(waited[model]):.1f} (worst {max(waited[model]):.1f})")
    worst = 1000 * max(switched["a"] + switched["b"])
    print(f"{'under' if worst < o.most_ms else 'NOT under'} {o.most_ms:.0f} ms: {worst:.0f}; "
          f"{sum(m['n_wakes'] for m in models)} wakes, {sum(m['n_sleeps'] for m in models)} sleeps, the same bits each "
          "time")
    return 0 if worst < o.most_ms else 1


if __name__ == "__main__":
    sys.exit(main())
