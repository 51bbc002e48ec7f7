"""The log: a line for each request, in two forms, never a text of anybody; the engine's state when it is asked for."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM, SANDBOX, SANITIZED, Server, read_event

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (notice|error|warn|info|debug) (\w+)"
                  r"((?: \w+=(?:\"[^\"]*\"|\S+))*)$")
ENDLESS = {"prompt": "It was", "ignore_eos": True, "seed": 1, "stream": True}
SECRET = "qz7f3a9c1e5b"


def half_a_request(key):
    """All but the last bytes of a body: the request is there, and goes on being there."""
    return (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            "Content-Length: 9\r\n\r\n{").encode()


def lines(server, event="request"):
    """The lines of an event, as dictionaries."""
    found = []
    for text in server.log().split("\n")[:-1]:  # the last one may be on its way
        if text.startswith("{"):
            line = json.loads(text)
        else:
            m = LINE.match(text)
            if not m:
                assert not text or text.startswith(("model: ", "hearth: ")), text
                continue
            line = {"time": m[1], "level": m[2], "event": m[3],
                    **{k: v.strip('"') for k, v in re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", m[4])}}
        if line["event"] == event:
            found.append(line)
    return found


def line_of(server, response, event="request"):
    """The line of an answer; it comes after the answer does."""
    wanted = response.headers["x-request-id"]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [ln for ln in lines(server, event) if ln.get("id") == wanted]
        if found:
            assert len(found) == 1, found
            return found[0]
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.01)


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module", params=["text", "json"])
def logged(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text("alpha name=ann\nbeta requests=1\n", encoding="ascii")
    with Server("--api-key-file", str(path), "--log-format", request.param, "--log-level", "debug") as s:
        s.http.headers["Authorization"] = "Bearer alpha"
        s.form = request.param
        yield s


# ---- a line for each request ----

def test_a_line_says_what_its_receipt_says(logged):
    r = logged.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12,
                                             "ignore_eos": True}, headers={"X-Request-Id": "mine-1"})
    line, answer = line_of(logged, r), r.json()
    usage, receipt = answer["usage"], answer["hearth"]
    assert line["id"] == "mine-1" and line["key"] == "ann" and line["model"] == logged.model
    assert line["method"] == "POST" and line["path"] == "/v1/chat/completions" and line["client"] == "127.0.0.1"
    assert str(line["status"]) == "200" and line["finish"] == answer["choices"][0]["finish_reason"]
    assert int(line["prompt_tokens"]) == usage["prompt_tokens"]
    assert int(line["cached_tokens"]) == usage["prompt_tokens_details"]["cached_tokens"]
    assert int(line["output_tokens"]) == usage["completion_tokens"] == 12
    times = [float(line[k]) for k in ("queue_ms", "first_token_ms", "total_ms", "read_ms")]
    assert 0 <= times[0] <= times[1] <= times[2] and times[3] <= times[2] < PATIENCE_S * 1000
    assert abs(find(receipt, "first_token_ms") - times[1]) < 0.001
    assert str(line["stream"]).lower() == "false" and line["level"] == "info"


def find(value, key):
    """The first value of this name, however deep."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    for part in value if isinstance(value, list) else []:
        found = find(part, key)
        if found is not None:
            return found
    return None


def test_a_stream_and_several_answers_are_one_line(logged):
    with logged.http.stream("POST", "/v1/completions", json={**ENDLESS, "n": 2, "max_tokens": 9,
                                                             "stream_options": {"include_usage": True}}) as r:
        events = [json.loads(ln[6:]) for ln in r.iter_lines() if ln.startswith("data: {")]
    line = line_of(logged, r)
    usage = events[-1]["usage"]
    assert int(line["output_tokens"]) == usage["completion_tokens"] == 18
    assert int(line["prompt_tokens"]) == usage["prompt_tokens"] and line["finish"] == "length"
    assert str(line["stream"]).lower() == "true"


@pytest.mark.parametrize("ask,expected", [
    (lambda s: s.post("/tokenize", {"content": "x"}), {"path": "/tokenize", "status": 200, "level": "info"}),
    (lambda s: s.post("/v1/completions", {"prompt": "x", "top_p": 9}), {"status": 400, "error": "invalid_value",
                                                                       "finish": "error", "level": "info"}),
    (lambda s: s.http.post("/v1/completions", content=b"{"), {"status": 400, "error": "invalid_json", "key": "ann"}),
    (lambda s: s.http.get("/health"), {"path": "/health", "status": 200, "level": "debug", "method": "GET"}),
    (lambda s: s.http.head("/health"), {"path": "/health", "status": 200, "level": "debug", "method": "HEAD"}),
    (lambda s: s.http.get("/metrics"), {"path": "/metrics", "status": 200, "level": "debug", "key": "ann"}),
    (lambda s: s.http.get(f"/{SECRET}?{SECRET}"), {"status": 404, "error": "not_found", "level": "info"}),
    (lambda s: s.http.get("/v1/models/" + SECRET), {"path": "/v1/models/", "status": 404}),
    (lambda s: s.http.request("PUT", "/v1/completions"), {"status": 405, "error": "method_not_allowed"}),
    (lambda s: s.http.request(SECRET.upper(), "/health"), {"status": 501, "error": "not_implemented"}),
    (lambda s: s.post("/v1/completions", {}, headers={"Authorization": "Bearer " + SECRET}),
     {"status": 401, "error": "invalid_api_key", "path": "/v1/completions", "level": "info"}),
    (lambda s: s.http.get("/props", headers={"Authorization": "Bearer " + SECRET}),
     {"status": 401, "error": "invalid_api_key", "path": "/props"}),
    (lambda s: s.http.delete("/hearth/requests/" + SECRET), {"path": "/hearth/requests/", "status": 404,
                                                             "error": "request_not_found"}),
])
def test_every_answer_has_its_line(logged, ask, expected):
    r = ask(logged)
    line = line_of(logged, r)
    got = {k: int(line[k]) if k == "status" else line.get(k) for k in expected}
    assert got == expected and r.status_code == expected["status"], line
    assert float(line["total_ms"]) >= 0
    assert SECRET not in logged.log().lower()
    if expected.get("path") is None:
        assert "path" not in line or line["path"] in ("/v1/completions",), line


def test_what_is_refused_for_others_is_a_warning(logged):
    logged.idle()
    with logged.connect() as s:
        s.sendall(half_a_request("beta"))
        until(lambda: logged.status()["now"]["n_running"] == 1)
        r = logged.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, headers={"Authorization": "Bearer beta"})
        assert r.status_code == 429
        line = line_of(logged, r)
        assert line["level"] == "warn" and line["error"] == "key_limit" and line["key"] == "line-2"


def test_who_goes_away_is_gone(logged):
    def gone():
        return [ln for ln in lines(logged) if ln.get("finish") == "gone"]
    n = len(gone())
    with logged.http.stream("POST", "/v1/completions", json={**ENDLESS, "max_tokens": 250, "n": 4}) as r:
        next(r.iter_lines())
        r.close()
    with logged.connect() as s:
        s.sendall(half_a_request("alpha"))
        time.sleep(0.1)
    until(lambda: len(gone()) >= n + 1 and any(ln["status"] in (0, "0") for ln in gone()))
    assert all(str(ln["status"]) in ("0", "200") for ln in gone())


def test_values_of_clients_stay_in_their_place(logged):
    """An id is the only thing of a client in a line, and what is none is not taken."""
    def count():  # but for the last lines of the test before
        return sum("/v1/completions" not in text for text in logged.log().split("\n"))
    n = count()
    for bad in ("x y", "a\" status=500", "a=b" * 30, "é", "a,b"):
        r = logged.post("/tokenize", {"content": "x"}, headers={"X-Request-Id": bad.encode()})
        line = line_of(logged, r)
        assert line["id"].startswith("req-")
    r = logged.post("/tokenize", {"content": "x"}, headers={"X-Request-Id": "a=b:c+d@e"})
    assert line_of(logged, r)["id"] == "a=b:c+d@e"
    assert count() == n + 6


# ---- forms and levels ----

def test_where_lines_are_json_all_are(serve):
    server = serve("--log-format", "json", "--log-level", "debug")
    server.chat("Hello")
    server.process.send_signal(signal.SIGHUP)
    server.process.send_signal(signal.SIGUSR1)
    until(lambda: lines(server, "state") and lines(server, "keys"))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(PATIENCE_S)
    text = server.log()
    found = [json.loads(ln) for ln in text.strip().split("\n")]
    assert {"note", "start", "request", "keys", "state", "end"} <= {ln["event"] for ln in found}
    assert all(set(ln) >= {"time", "level", "event"} for ln in found)


@pytest.mark.parametrize("level,wanted", [("error", set()), ("warn", {"warn"}), ("info", {"warn", "info"}),
                                          ("debug", {"warn", "info", "debug"})])
def test_a_level_has_what_is_as_urgent(serve, level, wanted):
    server = serve("--log-level", level, "--parallel", "1", "--queue", "0")
    server.http.get("/health")
    assert server.chat("Hello").status_code == 200
    server.idle()
    with server.connect() as s:
        s.sendall(half_a_request("any"))
        until(lambda: server.status()["now"]["n_running"] == 1)
        assert server.chat("Hello").status_code == 503
    server.idle()
    server.process.send_signal(signal.SIGUSR1)  # is said at any level
    until(lambda: lines(server, "state"))
    assert {ln["level"] for ln in lines(server)} == wanted
    assert {ln["level"] for ln in lines(server, "state")} == {"notice"}


def test_a_start_that_fails_says_so_in_json(serve):
    server = serve()
    done = subprocess.run([PROGRAM, "serve", "--port", str(server.port), "--log-format", "json"], capture_output=True,
                          text=True, env=CLEAN_ENV, check=False, timeout=PATIENCE_S)
    assert done.returncode == 3
    found = [json.loads(ln) for ln in done.stderr.strip().split("\n")]
    assert any(str(server.port) in ln.get("message", "") for ln in found)


# ---- who does not read the log ----

def test_a_log_that_nobody_reads_holds_nobody_up():
    ends = os.pipe()
    words = [PROGRAM, "serve", "--port", "0", "--log-level", "debug", *SANDBOX]
    process = subprocess.Popen(words, stdout=subprocess.PIPE,
                               stderr=ends[1], env=CLEAN_ENV)
    os.close(ends[1])
    try:
        seen = b""
        while b"print(" not in seen:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece
            seen += piece
        port = int(re.search(rb"http://[\d.]+:(\d+)/v1", seen)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as s:
            many = 1000 if SANITIZED else 5000  # more than pipe and ring hold, and then all are answered
            for _ in range(many // 50):
                s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
                got = b""
                while got.count(b'{"status":"ok"}') < 50:
                    piece = s.recv(65536)
                    assert piece
                    got += piece
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b""
            while piece := s.recv(65536):
                text += piece
        lost = int(re.search(rb"hearth_log_lines_lost_total (\d+)", text)[1])
        assert lost > 0 or SANITIZED
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(ends[0])


# ---- the state ----

def dump(server):
    n = len(lines(server, "state"))
    server.process.send_signal(signal.SIGUSR1)
    until(lambda: len(lines(server, "state")) > n)
    time.sleep(0.05)
    return lines(server, "state")[n:]


def test_sigusr1_shows_slots_queue_and_keys_and_values(serve, tiny):
    server = serve("--ctx", "24000", "--parallel", "1", "--log-format", "json", model=tiny)
    engine, model = dump(server)
    assert engine["requests"] == 0 and engine["waiting_requests"] == 0 and not engine["draining"]
    assert model["slots"] == 1 and model["kv_used_pages"] == 0 and model["steps"] == 0 and model["kv_pages"] >= 375
    body = json.dumps({**ENDLESS, "prompt": [5] * 200, "max_tokens": 20000}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n"
    with server.connect(PATIENCE_S) as held, server.connect(PATIENCE_S) as waits:
        held.sendall(head % (b"held", len(body)) + body)
        read_event(held)
        waits.sendall(head % (b"waits", len(body)) + body)
        until(lambda: server.status()["now"]["n_waiting_tokens"] == 200)
        until(lambda: dump(server)[1]["kv_used_pages"] >= 3)  # as of the last step that began
        engine, model, slot = dump(server)
        assert engine["requests"] == 2 and engine["waiting_requests"] == 1 and engine["waiting_tokens"] == 200
        assert model["requests"] == 2 and model["kv_used_pages"] >= 3 and model["since_step_ms"] >= 0
        assert slot["id"] == "held" and slot["slot"] == 0 and slot["slot_state"] in ("answering", "paused")
        assert slot["prompt_tokens"] == 200 and slot["output_tokens"] > 0
        assert slot["done_tokens"] >= 200 and slot["kv_pages"] * 64 >= slot["done_tokens"]
    server.idle()
    until(lambda: len(dump(server)) == 2)


def test_signals_beside_streams_change_nothing(serve, tiny):
    server = serve("--ctx", "24000", model=tiny)
    body = {**ENDLESS, "max_tokens": 2000, "stream": False}
    want = server.post("/v1/completions", body).json()["choices"][0]["text"]
    with server.connect(PATIENCE_S) as s:
        data = json.dumps(body).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        s.sendall(head % len(data) + data)
        for _ in range(50):
            server.process.send_signal(signal.SIGUSR1)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert json.loads(got.partition(b"\r\n\r\n")[2])["choices"][0]["text"] == want
