"""What a server takes at once: prompts that wait, tokens of keys, time, connections."""

import json
import socket
import time

import pytest

from serving import PATIENCE_S, SANITIZED, read_event

ENDLESS = {"prompt": "It was", "ignore_eos": True, "seed": 1, "stream": True}


def head_of(n, path=b"/v1/completions"):
    return b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % n


def ask(server, body, key=None):
    """A connection with this request on it."""
    s = server.connect(timeout=PATIENCE_S)
    data = json.dumps(body).encode()
    head = head_of(len(data))
    if key:
        head = head.replace(b"Content-Length", b"Authorization: Bearer " + key.encode() + b"\r\nContent-Length")
    s.sendall(head + data)
    return s


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def busy(serve, tiny):
    """A server with one stream, which somebody has who does not read."""
    held = []

    def start(*options):
        server = serve("--ctx", "24000", "--parallel", "1", *options, model=tiny)
        held.append(ask(server, {**ENDLESS, "max_tokens": 20000}))
        read_event(held[-1])
        return server

    yield start
    for s in held:
        s.close()


# ---- prompts that wait ----

def test_prompts_that_wait_have_a_most_of_tokens(busy):
    server = busy("--queue", "8", "--queue-tokens", "300")
    limits = server.status()["limits"]
    assert limits["n_queue_tokens"] == 300
    ids = [5] * 400
    with ask(server, {"prompt": ids, "max_tokens": 1}):  # nobody waits: it may be longer than that
        until(lambda: server.status()["now"]["n_waiting_tokens"] >= 400)
        metrics = server.http.get("/metrics").text
        assert "hearth_queue_tokens 4" in metrics and "hearth_queue_tokens_limit 300" in metrics
        start = time.monotonic()
        r = server.post("/v1/completions", {"prompt": "It was", "max_tokens": 1})
        assert time.monotonic() - start < 5  # while the slot is taken
        error = server.refused(r, 503, "queue_full")
        assert "300" in error["message"]
        assert 1 <= int(r.headers["retry-after"]) <= 60 and error["retry_after_s"] >= 1
        before = server.status()["now"]["n_refused"]
        assert before == 1
    until(lambda: server.status()["now"]["n_waiting_tokens"] == 0)


def test_a_body_that_is_too_much_is_not_read(busy):
    server = busy("--queue", "8", "--queue-tokens", "300")
    with ask(server, {"prompt": [5] * 200, "max_tokens": 1}):
        until(lambda: server.status()["now"]["n_waiting_tokens"] >= 200)
        start = time.monotonic()
        answer = server.raw(head_of(1_000_000))
        assert answer.status == 503 and answer.error["code"] == "queue_full" and answer.closed
        assert time.monotonic() - start < 5 and 1 <= int(answer.headers["retry-after"]) <= 60
        assert server.healthy() < 1


def test_all_prompts_of_a_request_are_let_in_or_none(serve, tiny):
    server = serve("--ctx", "2048", "--parallel", "2", "--queue-tokens", "100", model=tiny)
    r = server.post("/v1/completions", {"prompt": [[5] * 90] * 20, "max_tokens": 1})
    assert r.status_code == 200 and len(r.json()["choices"]) == 20


def test_the_queue_holds_a_window_for_each_stream_unless_told(serve, tiny):
    server = serve("--ctx", "1024", "--parallel", "3", model=tiny)
    assert server.status()["limits"]["n_queue_tokens"] == 3072
    assert "with 3072 tokens of prompts" in server.screen


# ---- tokens of a key ----

@pytest.fixture
def keyed(serve, tmp_path):
    def start(lines, *options):
        path = tmp_path / "keys"
        path.write_text(lines)
        return serve("--api-key-file", str(path), *options)
    return start


def bearer(key):
    return {"headers": {"Authorization": f"Bearer {key}"}}


def tokens_left(server, key):
    r = server.post("/tokenize", {"content": ""}, **bearer(key))
    return int(r.headers["x-ratelimit-remaining-tokens"])


def test_a_key_has_its_tokens_of_a_minute(keyed):
    server = keyed("alpha tokens=60 requests=8\nbeta\n")
    body = {"prompt": "It was", "max_tokens": 80, "ignore_eos": True}
    r = server.post("/v1/completions", body, **bearer("alpha"))
    assert r.status_code == 200 and r.headers["x-ratelimit-limit-tokens"] == "60"
    used = r.json()["usage"]["total_tokens"]
    r = server.post("/v1/completions", body, **bearer("alpha"))
    error = server.refused(r, 429, "rate_limit_exceeded")
    assert error["type"] == "rate_limit_error" and "60" in error["message"]
    assert abs(error["retry_after_s"] - (used - 60 + 1)) < 10  # a token a second
    assert abs(int(r.headers["retry-after"]) - error["retry_after_s"]) <= 1
    assert r.headers["x-ratelimit-remaining-tokens"] == "0"
    assert r.headers["x-ratelimit-reset-tokens"].endswith("s") and float(r.headers["x-ratelimit-reset-tokens"][:-1]) > 0
    other = server.post("/v1/completions", {**body, "max_tokens": 1}, **bearer("beta"))
    assert other.status_code == 200 and "x-ratelimit-limit-tokens" not in other.headers
    assert server.post("/tokenize", {"content": "x"}, **bearer("alpha")).status_code == 200  # costs nothing
    assert server.http.get("/hearth/status", **bearer("beta")).json()["now"]["n_refused"] == 1


def test_tokens_come_back_while_time_goes(keyed):
    server = keyed("alpha tokens=6000\n")  # a hundred a second
    assert server.post("/v1/completions", {**ENDLESS, "max_tokens": 100}, **bearer("alpha")).status_code == 200
    left = tokens_left(server, "alpha")
    assert left < 6000
    time.sleep(0.5)
    assert tokens_left(server, "alpha") >= min(left + 45, 6000)


def test_what_is_given_up_counts_too(serve, tiny, tmp_path):
    path = tmp_path / "keys"
    path.write_text("alpha tokens=600\n")  # ten a second come back
    server = serve("--ctx", "24000", "--api-key-file", str(path), model=tiny)
    s = ask(server, {**ENDLESS, "max_tokens": 20000}, key="alpha")
    read_event(s)
    for _ in range(20):
        s.recv(65536)
    s.close()
    until(lambda: tokens_left(server, "alpha") < 590)


# ---- time ----

def test_what_waits_too_long_is_told_before_its_first_byte(busy):
    server = busy("--queue", "8")
    for fields in ({}, {"stream": True}):
        start = time.monotonic()
        r = server.post("/v1/completions", {"prompt": "It was", "max_tokens": 5, "timeout_ms": 300, **fields})
        error = server.refused(r, 504, "deadline_exceeded")
        assert "300 ms" in error["message"] and error["type"] == "timeout_error"
        assert 0.3 <= time.monotonic() - start < 5
    until(lambda: server.status()["now"]["n_waiting"] == 0)


def test_a_stream_that_only_had_pings_ends_with_an_error_event(busy):
    server = busy("--queue", "8", "--ping-ms", "50")
    data, comments = server.events("/v1/completions", {"prompt": "It was", "max_tokens": 5, "timeout_ms": 400})
    assert comments and data[-1]["error"]["code"] == "deadline_exceeded" and len(data) == 1


@pytest.mark.parametrize("options", [[], ["--request-ms", "400"]])
def test_an_answer_that_runs_out_of_time_ends_as_at_a_limit(serve, tiny, options):
    server = serve("--ctx", "65536", *options, model=tiny)
    fields = {} if options else {"timeout_ms": 400}
    body = {"prompt": "It was", "max_tokens": 60000, "ignore_eos": True, "seed": 3, **fields}
    start = time.monotonic()
    r = server.post("/v1/completions", body)
    assert 0.4 <= time.monotonic() - start < 10
    answer = r.json()
    assert r.status_code == 200 and answer["choices"][0]["finish_reason"] == "length"
    assert 0 < answer["usage"]["completion_tokens"] < 60000
    assert any("400 ms" in note for note in answer["hearth"]["request"]["adjusted"])
    data, _ = server.events("/v1/completions", body)
    assert data[-1] == "[DONE]" and data[-2]["choices"][0]["finish_reason"] == "length"
    assert any("400 ms" in note for note in data[-2]["hearth"]["request"]["adjusted"])
    n = min(len(answer["choices"][0]["text"]), 200)
    text = "".join(e["choices"][0]["text"] for e in data[:-1] if e["choices"])
    assert n > 0 and text[:n] == answer["choices"][0]["text"][:n]
    server.idle()


def test_a_request_that_is_done_in_time_has_nothing_of_it(server):
    r = server.post("/v1/completions", {"prompt": "It was", "max_tokens": 2, "timeout_ms": 60000})
    assert r.status_code == 200 and r.json()["hearth"]["request"]["adjusted"] == []
    for wrong in (0, 86400001, "1"):
        r = server.post("/v1/completions", {"prompt": "x", "timeout_ms": wrong})
        assert r.status_code == 400 and r.json()["error"]["param"] == "timeout_ms"


# ---- connections ----

def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        return s.getsockname()[0]


def test_an_address_has_a_most_of_connections_and_the_machine_none(serve):
    address = own_address()
    server = serve("--host", "0.0.0.0", "--insecure-no-auth", "--connections-per-address", "4")

    def works(s):
        try:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return s.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False
    held = [socket.create_connection((address, server.port), timeout=10) for _ in range(4)]
    assert all(works(s) for s in held)
    with socket.create_connection((address, server.port), timeout=10) as more:
        start = time.monotonic()
        assert not works(more) and time.monotonic() - start < 5
    own = [server.connect() for _ in range(10)]
    assert all(works(s) for s in own)
    assert "hearth_connections_turned_away_total 1" in server.http.get("/metrics").text
    held.pop().close()

    def again():
        with socket.create_connection((address, server.port), timeout=10) as s:
            return works(s)
    until(again)
    for s in held + own:
        s.close()


# ---- memory ----

def private_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as f:
        return 1024 * int(next(line for line in f if line.startswith("RssAnon:")).split()[1])


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps memory of its own")
def test_large_requests_stay_within_what_the_plan_says(serve):
    """Bodies of one letter, of words, of escapes; 12 at a time where there is memory for few."""
    server = serve("--request-memory", "48", "--parallel", "2", "--ctx", "1024", "--connections", "64")
    plan = server.status()["models"][0]["plan"]
    assert plan["request_bytes"] >= 48 << 20 and "requests 57 MiB" in server.screen
    parts = ("weights", "kv", "workspace", "vocabulary", "program", "request")
    assert plan["total_bytes"] == sum(plan[part + "_bytes"] for part in parts)
    texts = ["a" * 600_000, "word " * 120_000, "\u00e9\n" * 150_000, "a" * 5_000_000, " " * 600_000]
    bodies = [json.dumps(body).encode() for text in texts for body in
              ({"prompt": text, "max_tokens": 1}, {"messages": [{"role": "user", "content": text}], "max_tokens": 1})]
    server.chat("Hello")  # what the program takes for itself: stacks, the compiled template
    most = before = private_bytes(server)
    counts = {}
    for _ in range(3):
        held = [server.connect(timeout=PATIENCE_S) for _ in range(12)]
        for i, s in enumerate(held):
            body = bodies[i % len(bodies)]
            path = b"/v1/chat/completions" if b"messages" in body[:20] else b"/v1/completions"
            s.settimeout(0.2)
            try:
                s.sendall(head_of(len(body), path) + body)
            except OSError:
                pass  # refused before it was all sent
        deadline = time.monotonic() + PATIENCE_S
        while held and time.monotonic() < deadline:
            most = max(most, private_bytes(server))
            for s in list(held):
                s.settimeout(0.01)
                try:
                    got = s.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    got = b""
                counts[got[9:12]] = counts.get(got[9:12], 0) + 1
                s.close()
                held.remove(s)
        assert not held
    assert set(counts) <= {b"200", b"400", b"413", b"503", b""}, counts
    own = plan["total_bytes"] - plan["weights_bytes"]  # KV cache and workspace are touched meanwhile
    assert most - before <= own, (most - before, plan, counts)
    server.idle()
    assert server.post("/v1/completions", {"prompt": "It", "max_tokens": 1}).status_code == 200


def test_a_prompt_that_no_memory_is_enough_for_is_told_so(serve):
    server = serve("--request-memory", "16")
    error = server.refused(server.post("/v1/completions", {"prompt": "a" * 700_000}), 413, "prompt_too_large")
    assert "--request-memory" in error["message"]
