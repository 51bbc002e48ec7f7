"""What one key asks is seen by nobody else: not in answers, receipts, metrics, states, the log, what is recorded, or
what the server says else; and nowhere is a key."""

import hashlib
import json
import os
import random
import signal
import threading

import httpx
import pytest

from serving import PATIENCE_S, SANITIZED, Server

N_KEYS, N_REQUESTS = (6, 12) if SANITIZED else (8, 20)
SHARED = "All happy families are alike; every unhappy family is unhappy in its own way. Everything was confusion. "


def canary(key, i):
    """A text that stands nowhere else."""
    return "qz" + hashlib.sha256(f"{key} {i}".encode()).hexdigest()[:14]


def body_of(key, i):
    """(path, body, whether the answer repeats the prompt): a beginning that all share, then the canary."""
    text, common = SHARED[: 40 * (i % 3)] + canary(key, i), {"max_tokens": 3 + 5 * (i % 4), "seed": i}
    forms = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **common}, False),
        ("/v1/completions", {"prompt": text, "echo": True, **common}, True),
        ("/completion", {"prompt": text, **common}, False),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "stream": True, **common}, False),
        ("/apply-template", {"messages": [{"role": "user", "content": text}]}, True),
        ("/tokenize", {"content": text, "with_pieces": True}, False),
        ("/v1/chat/completions", {"messages": [{"role": text, "content": "x"}]}, False),
        ("/v1/completions", {"prompt": text, "stop": text, "user": text, canary(key, i): 1, **common}, False),
        ("/v1/completions", {"prompt": text, "model": canary(key, i), "dry_sequence_breakers": [canary(key, i)],
                             "dry_multiplier": 1, **common}, False),
    ]
    return forms[(key + i) % len(forms)]


def text_of(answer):
    """What must be the same when it is asked alone."""
    texts, order = [], []
    for line in answer.split("\n"):
        line = line.removeprefix("data: ")
        if not line.startswith("{"):
            continue
        value = json.loads(line)
        for choice in value.get("choices", []):
            part = choice.get("message") or choice.get("delta") or choice
            texts.append(part.get("content") or part.get("text") or "")
            order.append(choice.get("finish_reason"))
        texts.append(value.get("content") or "")
    return "".join(texts), [o for o in order if o]


class Key(threading.Thread):
    """Somebody with a key, who asks one thing after the other and leaves some before their end."""

    def __init__(self, server, number):
        super().__init__()
        self.number, self.answers, self.failed = number, {}, None
        self.http = httpx.Client(base_url=server.base, timeout=PATIENCE_S,
                                 headers={"Authorization": f"Bearer key-{number}"})

    def ask(self, i):
        path, body, _ = body_of(self.number, i)
        return self.http.post(path, json=body).text

    def leave(self, i):
        text = canary(self.number, i)
        body = {"prompt": text, "stream": True, "max_tokens": 200, "ignore_eos": True}
        with self.http.stream("POST", "/v1/completions", json=body) as r:
            next(r.iter_lines())
            r.close()

    def run(self):
        rng = random.Random(self.number)
        try:
            for i in range(N_REQUESTS):
                self.answers[i] = self.ask(i)
                if rng.random() < 0.3:
                    self.leave(i)
        except Exception as why:  # pylint: disable=broad-except; it is raised again by the test
            self.failed = why


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """(keys, pages that were read meanwhile, some answers once more when nobody else asks, what the server said, what
    it recorded)"""
    path = tmp_path_factory.mktemp("canaries") / "keys"
    text = "".join(f"key-{n} name=who{n}\n" for n in range(N_KEYS)) + "looks-on observer\n"
    path.write_text(text, encoding="ascii")
    server = Server("--api-key-file", str(path), "--parallel", "3", "--log-level", "debug", "--log-format", "json",
                    "--record-dir", str(path.parent / "record"))
    with server:
        onlooker = {"Authorization": "Bearer looks-on"}
        keys, pages = [Key(server, n) for n in range(N_KEYS)], []
        for key in keys:
            key.start()
        while any(key.is_alive() for key in keys):
            for page in ("/metrics", "/hearth/usage", "/hearth/status", "/props", "/v1/models", "/"):
                pages.append(server.http.get(page, headers=onlooker).text)
            rounds = len(pages) // 6
            path.write_text(text if rounds % 4 else f"{text}bad-key-{N_KEYS + 1} name=/\n", encoding="ascii")
            os.kill(server.process.pid, signal.SIGUSR1 if rounds % 2 else signal.SIGHUP)
            server.http.get("/" + canary(0, rounds % N_REQUESTS), headers={"Authorization": "Bearer key-0"})
            server.http.get("/?q=" + canary(0, 1), headers={"Authorization": "Bearer " + canary(0, 2)})
        for key in keys:
            key.join()
            assert not key.failed, key.failed
        alone = {(key.number, i): key.ask(i) for key in keys for i in range(0, N_REQUESTS, 3)}
    recorded = b"".join(p.read_bytes() for p in sorted((path.parent / "record").iterdir()))
    return keys, pages, alone, server.said, recorded.decode("latin-1")


def all_canaries():
    return {canary(n, i): (n, i) for n in range(N_KEYS) for i in range(N_REQUESTS)}


def test_a_canary_is_seen_where_it_was_asked_for(asked):
    keys = asked[0]
    echoed = [canary(k.number, i) in k.answers[i] for k in keys for i in k.answers if body_of(k.number, i)[2]]
    assert echoed and all(echoed)


def test_no_answer_has_the_canary_of_another_request(asked):
    for key in asked[0]:
        for i, answer in key.answers.items():
            seen = [owner for text, owner in all_canaries().items() if text in answer and owner != (key.number, i)]
            assert not seen, (key.number, i, seen, answer[:500])


def test_pages_what_is_recorded_and_what_the_server_says_have_no_canary_and_no_key(asked):
    _, pages, _, said, recorded = asked
    assert len(pages) > 5 and recorded.count('"request_id"') > N_KEYS and "who1" in recorded
    for page in [*pages, said, recorded]:
        for text in [*all_canaries(), *(f"key-{n}" for n in range(N_KEYS + 2)),
                     *(hashlib.sha256(f"key-{n}".encode()).hexdigest()[:12] for n in range(N_KEYS))]:
            assert text not in page, (text, page[:500])


def test_the_log_has_a_line_for_each_request_of_each_key(asked):
    keys, _, _, said, _ = asked
    lines = [json.loads(line) for line in said.split("\n") if line.startswith("{")]
    for key in keys:
        posts = [ln for ln in lines if ln["event"] == "request" and ln.get("key") == f"who{key.number}"
                 and ln["method"] == "POST"]
        assert len(posts) >= N_REQUESTS, (key.number, len(posts))
    assert {"state", "keys"} <= {ln["event"] for ln in lines}
    assert {"notice", "error"} <= {ln["level"] for ln in lines if ln["event"] == "keys"}


def test_answers_are_those_of_each_alone(asked):
    keys, _, alone, _, _ = asked
    assert sum(len(text_of(answer)[0]) > 10 for answer in alone.values()) >= len(alone) // 4
    for (number, i), answer in alone.items():
        assert text_of(answer) == text_of(keys[number].answers[i]), (number, i, answer[:500])


def test_no_core_file_is_left_of_a_server():
    with Server() as server:
        with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as f:
            limits = {line[:26].strip(): line[26:].split() for line in f}
        assert limits["Max core file size"][0] == "0"
