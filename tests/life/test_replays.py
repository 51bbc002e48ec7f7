#!/usr/bin/env python3
"""test_replays.py: what `hearth serve --record full` kept of answers computed together, computed again one by one.

    tests/life/test_replays.py build/hearth [--all] [NAME...]

--all records and replays 1,000 answers, where without it some dozens are. Speaks TAP.
"""

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

from manager import PATIENCE_S, Manager
from tap import main, test

SOME, ALL, CLIENTS = 40, 1000, 6
TEXTS = ["The prince rode along the line of his troops, and nobody knew why he smiled. ", "It was evening. ",
         "Natasha said that ", "In the middle of the night somebody knocked at the door. "]
ENV = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")} | {"HEARTH_CONFIG": "none"}
ISAS = ["", "", "avx2", "scalar"]


def ask_for(dice):
    """Parameters of all kinds, and beginnings that requests share."""
    body = {"prompt": TEXTS[dice.randrange(len(TEXTS))] * dice.randint(1, 4) + str(dice.randrange(5)),
            "max_tokens": dice.randint(1, 60), "temperature": dice.choice([0, 0.5, 0.8, 1.5]),
            "stream": dice.random() < 0.5, "n": dice.choice([1, 1, 1, 2])}
    more = [("seed", dice.randrange(1 << 32)), ("top_p", 0.9), ("top_k", 12), ("min_p", 0.1), ("repeat_penalty", 1.2),
            ("frequency_penalty", 0.5), ("mirostat", 2), ("dry_multiplier", 0.8), ("xtc_probability", 0.4),
            ("typical_p", 0.8), ("logit_bias", {str(dice.randrange(300)): -100, "5": 2.5}), ("stop", [" and", "\n"]),
            ("ignore_eos", True), ("samplers", ["top_k", "temperature"]), ("cache_prompt", False), ("logprobs", 3)]
    body.update(dice.sample(more, dice.randint(0, 6)))
    if dice.random() < 0.3:
        del body["prompt"], body["logprobs" if "logprobs" in body else "n"]
        body["messages"] = [{"role": "user", "content": dice.choice(TEXTS)}]
    return body


def client(m, number, left):
    """Asks as long as something is left to ask; some leave in the middle."""
    dice = random.Random(number)
    while left and left.pop():
        body = ask_for(dice)
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        if body["stream"] and dice.random() < 0.3:
            with socket.create_connection(("127.0.0.1", m.port), timeout=PATIENCE_S) as s:
                text = json.dumps(body | {"max_tokens": 200}).encode()
                s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
                s.recv(dice.randint(300, 3000))
            continue
        status, said = m.ask("POST", path, json.dumps(body))
        assert status == 200, said


def recorded(program, folder):
    done = subprocess.run([program, "log", "--json", "--last", "0", "--record-dir", folder], capture_output=True,
                          env=ENV, check=True, timeout=PATIENCE_S)
    return [json.loads(line) for line in done.stdout.splitlines()]


def replay(program, model, folder, row, dice):
    how = ["-t", str(dice.randint(1, 3)), "--chunk", str(dice.choice([1, 7, 64, 512])), "--speculate",
           dice.choice(["off", "auto", "3", "16"])]
    for isa in (dice.choice(ISAS), ""):  # not every processor has every one
        env = ENV | ({"HEARTH_ISA": isa} if isa else {})
        done = subprocess.run([program, "replay", str(row["id"]), model, "--record-dir", folder, "--json", *how],
                              capture_output=True, env=env, check=False, timeout=PATIENCE_S)
        if done.stdout:
            break
    if not done.stdout:
        assert done.returncode == 3 and b"nothing was answered" in done.stderr, (row, done.stderr)
        return None, 3, how, isa
    return json.loads(done.stdout), done.returncode, how, isa


@test
def what_was_recorded_is_computed_again_to_the_bit(program, model, everything):
    n, kinds = ALL if everything else SOME, {}
    with tempfile.TemporaryDirectory(prefix="hearth-record-") as folder:
        with Manager(program, model, "--parallel", "4", "--record", "full", "--record-dir", folder, sockets=False) as m:
            m.ready()
            left = [True] * n
            clients = [threading.Thread(target=client, args=(m, i, left)) for i in range(CLIENTS)]
            for c in clients:
                c.start()
            for c in clients:
                c.join()
            time.sleep(1)
        rows, dice, n_tokens, n_cached = recorded(program, folder), random.Random(7), 0, 0
        assert len(rows) >= n * 0.9, len(rows)
        for row in rows:
            found, code, how, isa = replay(program, model, folder, row, dice)
            if not found:  # who left had read none
                assert row["finish"] in ("cancelled", "error"), row
                continue
            assert code == 0 and found["exact"] and found["differs"] == {}, (row, found, how, isa)
            assert found["logits_compared"], row
            n_tokens, n_cached = n_tokens + found["n_tokens"], n_cached + (row["n_cached_tokens"] > 0)
            kinds[row["finish"]] = kinds.get(row["finish"], 0) + 1
    assert n_cached > 0 and len(kinds) > 1, kinds
    return f"{len(rows)} answers, {n_tokens} tokens, {n_cached} began with tokens of others, {kinds}"


if __name__ == "__main__":
    sys.exit(main())
