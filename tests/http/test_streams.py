"""Streams and those who read them, or do not: nobody's slot is lost, and nobody's answer changes."""

import json
import random
import re
import signal
import socket
import threading
import time

import pytest

from serving import CUT, PATIENCE_S, SANITIZED, read_event

LONG = 20000  # tokens: seconds of computing


@pytest.fixture
def endless(serve, tiny):
    def start(*options):
        return serve("--ctx", "24000", "--ping-ms", "100", *options, model=tiny)
    return start


def asking(prompt="It was", n=LONG, path=b"/v1/completions", **fields):
    body = json.dumps({"prompt": prompt, "max_tokens": n, "ignore_eos": True, "seed": 1, **fields}).encode()
    return b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def open_stream(server, small_window=False, **fields):
    """A connection with a stream on it, whose first bytes have come."""
    s = socket.socket()
    if small_window:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(PATIENCE_S)
    s.connect((server.host, server.port))
    s.sendall(asking(stream=True, **fields))
    read_event(s)
    return s


def short(server, **fields):
    start = time.monotonic()
    r = server.post("/v1/completions", {"prompt": "It was", "max_tokens": 4, "seed": 1, **fields})
    assert r.status_code == 200, r.text
    return r.json()["choices"][0]["text"], time.monotonic() - start


def test_a_client_that_vanishes_frees_its_slot_within_a_step(endless):
    server = endless("--parallel", "1")
    _, alone_s = short(server)
    for fields in ({}, {"logprobs": 20}):
        s = open_stream(server, **fields)
        time.sleep(0.05)
        s.close()
        _, after_s = short(server)
        assert after_s < alone_s + 5  # and not when the other would have ended
    assert server.idle()["n_cancelled"] == 2


def test_a_client_that_vanishes_without_a_stream_frees_it_too(endless):
    server = endless("--parallel", "1")
    with server.connect() as s:
        s.sendall(asking())
        time.sleep(0.1)
        assert server.status()["now"]["n_running"] == 1
    assert short(server)[1] < 1
    assert server.idle()["n_cancelled"] == 1


def test_a_client_that_vanishes_while_it_waits_is_forgotten(endless):
    server = endless("--parallel", "1")
    with open_stream(server):
        waiting = [server.connect() for _ in range(5)]
        for s in waiting:
            s.sendall(asking(stream=True))
        time.sleep(0.1)
        assert server.status()["now"]["n_waiting"] == 5
        for s in waiting:
            s.close()
        deadline = time.monotonic() + 5
        while server.status()["now"]["n_waiting"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.status()["now"]["n_waiting"] == 0
    server.idle()


def test_random_disconnects_lose_no_slot_and_change_no_other_answer(endless):
    server = endless("--parallel", "3", "--queue", "40")
    asked = {"prompt": "It was", "max_tokens": 1500, "seed": 5, "ignore_eos": True}
    want = server.post("/v1/completions", asked).json()["choices"][0]["text"]
    got, stop = [], threading.Event()

    def undisturbed():
        while not stop.is_set():
            got.append(server.post("/v1/completions", asked).json()["choices"][0]["text"])

    other = threading.Thread(target=undisturbed)
    other.start()
    rng = random.Random(3)
    try:
        for i in range(200):
            s = server.connect()
            data = asking(n=rng.choice([1, 20, LONG]), stream=rng.random() < 0.7, prompt="word " * rng.choice([1, 300]))
            s.sendall(data[:rng.randrange(1, len(data))] if i % 5 == 0 else data)
            time.sleep(rng.choice([0, 0, 0.001, 0.01, 0.05]))
            if rng.random() < 0.5:  # a reset instead of an orderly end
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
    finally:
        stop.set()
        other.join()
    now = server.idle()
    assert got and all(text == want for text in got)
    assert now["n_connections"] <= 3 and server.healthy() < 1


def test_a_silent_stream_has_comments_and_then_its_answer(endless):
    server = endless("--parallel", "1")
    holder = open_stream(server)
    comments = []
    with server.http.stream("POST", "/v1/completions", json={"prompt": "It was", "max_tokens": 4, "stream": True}) as r:
        assert r.status_code == 200
        for line in r.iter_lines():
            if line.startswith(":"):
                comments.append(line)
                if len(comments) == 5:
                    holder.close()
            elif line:
                assert line.startswith("data: ")
                last = line
    assert last == "data: [DONE]" and len(comments) >= 5 and set(comments) == {": ping"}


def test_a_request_says_how_often_it_wants_comments(endless):
    server = endless("--parallel", "1", "--ping-ms", "60000")
    with open_stream(server), server.connect() as s:
        s.sendall(asking(stream=True, n=2, sse_ping_interval=0.1))
        start = time.monotonic()
        data = b""
        while data.count(b": ping") < 3:
            data += s.recv(4096)
        assert time.monotonic() - start < 30  # and not every 60 s


def test_a_reader_that_does_not_read_pauses_only_itself(endless):
    server = endless("--parallel", "2")
    with open_stream(server, small_window=True, n=3000, logprobs=20) as stuck:
        short(server)
        time.sleep(0.5)
        before = server.http.get("/metrics").text
        for _ in range(5):
            assert short(server)[1] < 1
        assert server.status()["now"]["n_running"] == 1
        assert before
        data = b""
        while not data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            piece = stuck.recv(1 << 20)
            assert piece, data[-300:]
            data = data[-65536:] + piece
        assert b'"n_output_tokens":3000' in data
    server.idle()


def test_a_reader_that_does_not_read_is_what_the_verdict_says(endless):
    server = endless("--parallel", "1")

    def receipt(wait_s):
        with open_stream(server, small_window=True, n=600, logprobs=20) as s:
            time.sleep(wait_s)
            data = b""
            while not data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
                data = data[-65536:] + s.recv(1 << 20)
        data = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", data)  # chunks end anywhere
        return json.loads(re.findall(rb'"hearth":(\{.*\})\}', data)[-1])

    at_once = receipt(0)
    told = receipt(max(1, 5 * at_once["total_ms"] / 1000))  # as long as five of them
    assert told["verdict"]["kind"] == "slow reader", told["verdict"]
    assert told["withheld"]["slow_reader_ms"] > 0.5 * told["total_ms"]


def test_answers_at_the_same_time_are_those_of_each_alone(endless):
    server = endless("--parallel", "4")
    asked = [{"prompt": f"It was {i}", "max_tokens": 200, "seed": i, "ignore_eos": True} for i in range(12)]
    alone = [server.post("/v1/completions", a).json()["choices"][0]["text"] for a in asked]
    together = [None] * len(asked)

    def ask(i):
        if i % 2:
            together[i] = server.post("/v1/completions", asked[i]).json()["choices"][0]["text"]
        else:
            chunks, _ = server.events("/v1/completions", asked[i])
            together[i] = "".join(c["choices"][0]["text"] for c in chunks[:-1])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


def test_under_overload_refused_and_completed_are_all(endless):
    server = endless("--parallel", "2", "--queue", "2")
    counts = {200: 0, 503: 0}
    lock = threading.Lock()

    def client():
        done = 0
        while done < 5:
            r = server.post("/v1/completions", {"prompt": "It", "max_tokens": 100, "ignore_eos": True})
            with lock:
                counts[r.status_code] += 1
            done += r.status_code == 200
            if r.status_code == 503:
                assert 1 <= int(r.headers["retry-after"]) <= 60
                time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    now = server.idle()
    assert counts[200] == 100 and now["n_completed"] == 100
    assert counts[503] == now["n_refused"] > 0


def test_an_end_lets_answers_finish(endless):
    server = endless("--parallel", "1")
    with open_stream(server, n=1500 if SANITIZED else 8000) as s:
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 1
        while server.http.get("/ready").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.refused(server.http.get("/ready"), 503, "shutting_down")
        r = server.post("/v1/completions", {"prompt": "x"})
        server.refused(r, 503, "shutting_down")
        assert r.headers["retry-after"]
        data = b""
        while piece := s.recv(65536):
            data += piece
        assert b"data: [DONE]" in data
    assert server.process.wait(PATIENCE_S) == 0


def test_who_lingers_says_so_and_still_takes_requests(endless):
    server = endless("--parallel", "2", "--linger-ms", "3000", "--drain-ms", "100")
    server.process.send_signal(signal.SIGTERM)
    while server.http.get("/ready").status_code == 200:
        pass
    answer = server.post("/v1/completions", {"prompt": "Hello", "max_tokens": 2})
    assert answer.status_code == 200 and answer.headers["connection"] == "close"
    refused = server.http.get("/ready")
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "shutting_down"
    assert server.process.wait(PATIENCE_S) == 0


def test_an_end_that_comes_too_early_is_an_error_event_and_no_done(endless):
    server = endless("--parallel", "1", "--drain-ms", "200")
    with open_stream(server) as s:
        server.process.send_signal(signal.SIGTERM)
        data = b""
        while piece := s.recv(65536):
            data += piece
    assert b"[DONE]" not in data
    event = data.rpartition(b"data: ")[2].partition(b"\n")[0]
    assert json.loads(event)["error"]["code"] == "shutting_down"
    server.ends_with = CUT
    assert data.endswith(b"0\r\n\r\n")
    assert server.process.wait(PATIENCE_S) == CUT


def test_a_request_can_be_looked_at_and_ended_by_its_id(endless):
    server = endless("--parallel", "1")
    with open_stream(server) as s:
        data = b""
        while b'"id":"' not in data:
            data += s.recv(65536)
        name = data.partition(b'"id":"')[2].partition(b'"')[0].decode()
        assert name.startswith("cmpl-")
        state = server.http.get(f"/hearth/requests/{name}").json()
        assert state["state"] == "running" and state["stream"] and state["n_output_tokens"] > 0
        with server.connect() as waiting:
            waiting.sendall(asking())
            time.sleep(0.1)
            assert server.http.delete(f"/hearth/requests/{name}").json()["cancelled"] is True
            while piece := s.recv(65536):
                data += piece
                if data.endswith(b"0\r\n\r\n"):
                    break
        event = data.rpartition(b"data: ")[2].partition(b"\n")[0]
        assert json.loads(event)["error"]["code"] == "request_cancelled"
    server.refused(server.http.get(f"/hearth/requests/{name}"), 404, "request_not_found")
    server.refused(server.http.delete("/hearth/requests/none"), 404, "request_not_found")
    server.idle()


def test_a_request_is_found_and_ended_by_the_id_of_its_client(endless):
    server = endless("--parallel", "1")
    mine = {"X-Request-Id": "my-request-7"}
    body = {"prompt": "It", "ignore_eos": True, "stream": True}
    with server.http.stream("POST", "/v1/completions", json=body, headers=mine) as r:
        for name in ("my-request-7", "cmpl-my-request-7"):
            assert server.http.get("/hearth/requests/" + name).json()["id"] == "my-request-7"
        server.refused(server.http.get("/hearth/requests/7"), 404, "request_not_found")
        assert server.http.delete("/hearth/requests/my-request-7").json() == {"id": "my-request-7", "cancelled": True}
        assert "request_cancelled" in r.read().decode()
    server.idle()


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 60}]}),
    ("/v1/completions", {"prompt": "word " * 60, "n": 2}), ("/completion", {"prompt": "word " * 60})])
def test_progress_comes_to_who_asks_for_it(server, path, body):
    asked = {**body, "max_tokens": 3, "temperature": 0, "cache_prompt": False}
    plain, _ = server.events(path, asked)
    assert not any("prompt_progress" in c for c in plain)
    chunks = [c for c in server.events(path, {**asked, "return_progress": True})[0] if c != "[DONE]"]
    told = [c["prompt_progress"] for c in chunks if "prompt_progress" in c]
    assert len(told) >= 2 * body.get("n", 1) and set(told[0]) == {"total", "cache", "processed", "time_ms"}
    assert told[0]["processed"] == 0 and told[-1]["processed"] == told[-1]["total"] > 60

    def texts(chunks):
        choices = [c["choices"][0] if "choices" in c else c for c in chunks if c != "[DONE]" and c.get("choices", 1)]
        return sorted((c["index"], c.get("text") or c.get("content") or c["delta"].get("content", ""))
                      for c in choices if c.get("text") or c.get("content") or c.get("delta", {}).get("content"))

    assert texts(chunks) == texts(plain)
    o = server.post(path, {**asked, "return_progress": True}).json()
    receipt = o["hearth"]["choices"][0] if "choices" in o["hearth"] else o["hearth"]
    assert "prompt_progress" not in o and "return_progress" in (
        o["hearth"]["request"]["ignored_fields"] if "request" in o["hearth"] else receipt["request"]["ignored_fields"])


def test_an_end_does_not_wait_for_bodies_that_do_not_come(endless):
    server = endless("--parallel", "1", "--drain-ms", "100")
    with server.connect() as half, open_stream(server), server.connect() as waiting:
        half.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        waiting.sendall(asking())
        time.sleep(0.1)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert b"shutting_down" in waiting.recv(65536)
        server.ends_with = CUT
        assert server.process.wait(PATIENCE_S) == CUT
        assert time.monotonic() - start < 10


def test_a_second_signal_does_not_wait(endless):
    server = endless("--parallel", "1", "--drain-ms", "600000")
    with open_stream(server) as s:
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        data = b""
        while piece := s.recv(65536):
            data += piece
        assert b"shutting_down" in data and b"[DONE]" not in data
    server.ends_with = CUT
    assert server.process.wait(PATIENCE_S) == CUT
