"""What is safe unasked: who is listened to, what pages may read, what proxies may say, TLS; no URL is fetched."""

import itertools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import warnings

import pytest

from serving import CERT, CLEAN_ENV, PATIENCE_S, PROGRAM, SANDBOX, TLS, Gate, outer_address

OUTER = outer_address()
ENDLESS = {"prompt": "It was", "ignore_eos": True, "seed": 1, "stream": True, "max_tokens": 20000}
LONG = ["--ctx", "24000", "--parallel", "4"]


@pytest.fixture
def gate():
    """Starts servers with options of the test's own, and ends them after it."""
    started = []

    def start(*options, **more):
        started.append(Gate(*options, **more).__enter__())
        return started[-1]

    yield start
    for s in started:
        s.__exit__(None, None, None)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text("sk-one\nsk-two\nsk-admin admin\n", encoding="ascii")
    return str(path)


def request(line, *headers, body=None):
    """The bytes of a request; its Host is localhost, unless told."""
    lines = [line if " HTTP/" in line else line + " HTTP/1.1", *headers]
    if not any(h.startswith("Host:") for h in headers) and lines[0].endswith("1.1"):
        lines.append("Host: localhost")
    if body is not None:
        body = body if isinstance(body, str) else json.dumps(body)
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


def code_of(answer):
    return answer[0], json.loads(answer[2])["error"]["code"] if answer[2] and answer[0] >= 400 else None


def run(*words):
    """What the program says that does not start; 'listens', where it does."""
    process = subprocess.Popen([PROGRAM, "serve", "--port", "0", *words, *SANDBOX], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=CLEAN_ENV, text=True)
    try:
        for line in process.stdout:
            if "print(" in line:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=PATIENCE_S)
                return process.returncode, "listens"
        return process.wait(PATIENCE_S), process.stderr.read()
    finally:
        process.kill()
        process.communicate()


# ---- who can reach it ----

LOCAL = ["127.0.0.1", "127.9.9.9", "localhost", "unix:SOCKET"]
WIDE = ["0.0.0.0", "::ffff:0.0.0.0", *([OUTER] if OUTER else [])]


@pytest.mark.parametrize("host", LOCAL + WIDE)
def test_who_can_be_reached_by_others_wants_a_key(host, key_file, tmp_path):
    for keys, force in itertools.product((False, True), repeat=2):
        words = ["--host", host.replace("SOCKET", str(tmp_path / "s"))]
        words += ["--api-key-file", key_file] if keys else []
        words += ["--insecure-no-auth"] if force else []
        code, said = run(*words)
        if host in LOCAL or keys or force:
            assert (code, said) == (0, "listens"), (words, said)
        else:
            assert code == 2 and "--api-key-file" in said and "--insecure-no-auth" in said, (words, said)


def test_options_that_mean_nothing_are_refused():
    for words in (["--allow-host", "a b"], ["--allow-host", "name:80"], ["--allow-host", "http://name"],
                  ["--allow-host", "*name"], ["--allow-origin", "chat.example"],
                  ["--allow-origin", "https://chat.example/"], ["--allow-origin", "https://chat.example:80:*"],
                  ["--trusted-proxy", "10.0.0.0/33"], ["--trusted-proxy", "proxy.example"],
                  ["--trusted-proxy", "10.0.0.0/"], ["--tls-cert", CERT], ["--tls-key", CERT],
                  ["--tls-cert", CERT, "--tls-key", CERT], ["--host", "unix:/tmp/x", "--port", "80"],
                  ["--host", "unix:"], ["--host", "unix:/" + "x" * 108]):
        code, said = run(*words)
        assert code == 2 and words[0] in said, (words, code, said)


def test_a_socket_that_was_left_is_taken_over_and_one_that_is_used_is_not(tmp_path):
    path = str(tmp_path / "hearth.sock")
    first = Gate(host="unix:" + path).__enter__()
    try:
        assert os.stat(path).st_mode & 0o777 == 0o660
        code, said = run("--host", "unix:" + path)
        assert code == 3 and "in use" in said, said
        assert first.ask(request("GET /health"))[0] == 200
    finally:
        first.process.kill()
        first.process.communicate()
        first.hang_up()
    assert os.path.exists(path)
    with Gate(host="unix:" + path) as second:
        assert second.ask(request("GET /v1/models"))[0] == 200
        answer = second.ask(request("POST /v1/completions", body={"prompt": "It was", "max_tokens": 3}))
        assert json.loads(answer[2])["usage"]["completion_tokens"] > 0
    assert not os.path.exists(path)
    with open(path, "w", encoding="ascii") as f:
        f.write("mine")
    code, said = run("--host", "unix:" + path)
    assert code == 3 and os.path.getsize(path) == 4, said


# ---- cases that everybody meets ----

def test_kubernetes_probes_ask_by_an_address_that_nobody_named(gate, key_file):
    server = gate("--host", "0.0.0.0", "--api-key-file", key_file)
    for path in ("/health", "/ready", "/v1/health"):
        probe = request(f"GET {path}", "Host: 10.244.1.7:8080", "User-Agent: kube-probe/1.34", "Connection: close")
        assert server.ask(probe)[0] == 200
    assert code_of(server.ask(request("GET /v1/models", "Host: 10.244.1.7:8080"))) == (421, "foreign_host")


def test_haproxy_checks_without_a_host(gate):
    server = gate()
    assert server.ask(request("GET /ready HTTP/1.0"))[0] == 200  # option httpchk GET /ready
    assert server.ask(request("GET /ready", "Host: "))[0] == 200
    for line in ("OPTIONS / HTTP/1.0", "GET /v1/models HTTP/1.0"):  # what it sends unless told, and what is no probe
        answer = server.ask(request(line))
        assert code_of(answer) == (421, "foreign_host") and "--allow-host" in answer[2]


def test_containers_call_this_machine_by_names_that_are_given(gate):
    for name in ("host.docker.internal", "hearth", "my_app-hearth-1"):
        closed, opened = gate(), gate("--allow-host", name)
        ask = request("POST /tokenize", f"Host: {name}:11434", body={"content": "a"})
        answer = closed.ask(ask)
        assert code_of(answer) == (421, "foreign_host") and f"--allow-host {name}" in answer[2]
        assert opened.ask(ask)[0] == 200


# ---- pages ----

def test_a_page_that_may_ask_is_told_what_it_may_send(gate, key_file):
    server = gate("--api-key-file", key_file, "--allow-origin", "https://chat.example")
    status, headers, body = server.ask(request(
        "OPTIONS /v1/chat/completions", "Origin: https://chat.example", "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization,content-type,x-stainless-os", "Sec-Fetch-Site: cross-site",
        "Access-Control-Request-Private-Network: true"))
    assert (status, body) == (204, "")
    assert headers["access-control-allow-origin"] == "https://chat.example" and headers["vary"] == "Origin"
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in headers


def test_a_page_that_may_ask_reads_answers_streams_and_refusals(gate, key_file):
    server = gate("--api-key-file", key_file, "--allow-origin", "https://chat.example")
    page, key = "Origin: https://chat.example", "Authorization: Bearer sk-one"
    whole = server.ask(request("POST /v1/completions", page, key, body={"prompt": "a", "max_tokens": 1}))
    no_key = server.ask(request("POST /v1/completions", page, body={"prompt": "a", "max_tokens": 1}))
    bad = server.ask(request("POST /v1/completions", page, key, body="{"))
    lost = server.ask(request("GET /nothing", page, key))
    assert [a[0] for a in (whole, no_key, bad, lost)] == [200, 401, 400, 404]
    for answer in (whole, no_key, bad, lost):
        assert answer[1]["access-control-allow-origin"] == "https://chat.example"
        assert "X-Request-Id" in answer[1]["access-control-expose-headers"]
    with server.connect() as s:
        s.sendall(request("POST /v1/completions", page, key, body={**ENDLESS, "max_tokens": 3}))
        assert b"Access-Control-Allow-Origin: https://chat.example" in s.recv(4096)


def test_a_form_of_another_site_does_not_make_the_model_work(gate):
    server = gate()
    body = json.dumps({"prompt": "a", "max_tokens": 1})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = server.ask(request("POST /v1/completions", f"Content-Type: {kind}", "Origin: https://evil.example",
                                    body=body))
        assert code_of(answer) == (403, "foreign_origin")
        assert server.ask(request("POST /v1/completions", f"Content-Type: {kind}", body=body))[0] == 200


# ---- scopes ----

def test_a_key_ends_its_own_requests_and_an_admin_those_of_all(gate, key_file, tiny):
    server = gate(tiny, *LONG, "--api-key-file", key_file)
    as_key = "Authorization: Bearer sk-{}".format

    def stream(key, name):
        s = server.connect()
        s.sendall(request("POST /v1/completions", as_key(key), f"X-Request-Id: {name}", "Connection: close",
                          body=ENDLESS))
        return s, s.recv(15)

    one, begun = stream("one", "mine")
    assert begun.startswith(b"HTTP/1.1 200")
    other = server.ask(request("DELETE /hearth/requests/mine", as_key("two")))
    assert code_of(other) == (404, "request_not_found")
    assert server.ask(request("DELETE /hearth/requests/mine", as_key("admin")))[0] == 200
    ended = b""
    while piece := one.recv(65536):
        ended += piece
    assert b"request_cancelled" in ended
    for key in ("one", "two"):
        assert code_of(server.ask(request("DELETE /hearth/requests", as_key(key)))) == (403, "admin_needed")
    assert code_of(server.ask(request("DELETE /hearth/requests"))) == (401, "invalid_api_key")
    running = [stream("two", "a")[0], stream("one", "b")[0]]
    answer = server.ask(request("DELETE /hearth/requests", as_key("admin")))
    assert answer[0] == 200 and json.loads(answer[2]) == {"n_cancelled": 2}
    for s in (one, *running):
        s.close()


def test_what_came_through_a_proxy_is_not_this_machine(gate):
    server = gate()
    assert server.ask(request("DELETE /hearth/requests"))[0] == 200
    for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 nginx"):
        assert code_of(server.ask(request("DELETE /hearth/requests", header))) == (403, "admin_needed")


# ---- proxies ----

def hold(server, *headers):
    """The status line of a stream that goes on, and its connection."""
    s = server.connect()
    s.sendall(request("POST /v1/completions", *headers, body=ENDLESS))
    return s, s.recv(12)


def test_a_trusted_proxy_says_whose_requests_count(gate, tiny):
    server = gate(tiny, *LONG, "--trusted-proxy", "127.0.0.0/8", "--connections-per-address", "2", "--queue", "20")
    first, second = "X-Forwarded-For: 203.0.113.7", "Forwarded: for=\"[2001:db8::1]:4711\";proto=https"
    held = [hold(server, first) for _ in range(2)]
    assert [h[1] for h in held] == [b"HTTP/1.1 200"] * 2
    # Whatever the client itself wrote in front of what the proxy wrote.
    for lie in ("X-Forwarded-For: 198.51.100.1, 203.0.113.7", "X-Forwarded-For: 203.0.113.7, 127.0.0.9",
                "X-Forwarded-For: 203.0.113.7:1234"):
        answer = server.ask(request("POST /tokenize", lie, body={"content": "a"}))
        assert code_of(answer) == (429, "address_limit"), answer
        assert "203.0.113.7" in answer[2] and answer[1]["retry-after"] == "1"
    two_lines = ("X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7")
    assert server.ask(request("POST /tokenize", *two_lines, body={"content": "a"}))[0] == 429
    assert server.ask(request("POST /tokenize", second, body={"content": "a"}))[0] == 200
    assert server.ask(request("POST /tokenize", body={"content": "a"}))[0] == 200
    both = server.ask(request("POST /tokenize", first, second, body={"content": "a"}))
    assert code_of(both) == (400, "bad_framing")
    for s, _ in held:
        s.close()
    deadline = time.monotonic() + PATIENCE_S
    while server.ask(request("POST /tokenize", first, body={"content": "a"}))[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_log_has_the_client_that_a_trusted_proxy_names():
    asked = {"X-Forwarded-For: 203.0.113.7": "203.0.113.7", "X-Forwarded-For: 10.9.9.9, 2001:db8::1": "2001:db8::1",
             "X-Forwarded-For: nobody": "127.0.0.1", "Host: localhost": "127.0.0.1"}
    for trusted in (True, False):
        with Gate(*(["--trusted-proxy", "127.0.0.1"] if trusted else [])) as server:
            for header in asked:
                server.ask(request("POST /tokenize", header, body={"content": "a"}))
                server.ask(request("GET /nothing", header))
                server.ask(request("GET /nothing", header, "Origin: https://evil.example"))
        found = re.findall(r"request .*client=(\S+)", server.said)
        want = [client if trusted else "127.0.0.1" for client in asked.values() for _ in range(3)]
        assert found == want, server.said


def test_what_others_say_of_addresses_is_not_believed(gate, tiny):
    server = gate(tiny, *LONG, "--connections-per-address", "1", "--trusted-proxy", "10.0.0.0/8", "--queue", "20")
    held = hold(server, "X-Forwarded-For: 203.0.113.7")
    assert server.ask(request("POST /tokenize", "X-Forwarded-For: 203.0.113.7", body={"content": "a"}))[0] == 200
    held[0].close()


def test_a_proxy_on_the_unix_socket_can_be_trusted(gate, tiny, tmp_path):
    server = gate(tiny, *LONG, "--trusted-proxy", "unix", "--connections-per-address", "1", host=f"unix:{tmp_path}/s")
    held = hold(server, "X-Forwarded-For: 203.0.113.7")
    answer = server.ask(request("POST /tokenize", "X-Forwarded-For: 203.0.113.7", body={"content": "a"}))
    assert code_of(answer) == (429, "address_limit")
    assert server.ask(request("POST /tokenize", "X-Forwarded-For: 203.0.113.8", body={"content": "a"}))[0] == 200
    held[0].close()


# ---- TLS ----

def test_tls_carries_answers_streams_and_large_bodies(gate):
    server = gate(*TLS, tls=True)
    assert b"https://127.0.0.1" in server.screen
    assert server.ask(request("GET /v1/models"))[0] == 200
    text = "It was in the evening. " * 8000
    answer = server.ask(request("POST /tokenize", body={"content": text}))
    assert answer[0] == 200 and len(json.loads(answer[2])["tokens"]) > 8000, answer[:2]
    with server.connect() as s:
        s.sendall(request("POST /v1/completions", "Connection: close",
                          body={"prompt": "It was", "max_tokens": 50, "ignore_eos": True, "stream": True}))
        data = b""
        while piece := s.recv(65536):
            data += piece
    assert data.count(b"data: ") >= 50 and b"data: [DONE]" in data


def test_a_client_that_vanishes_under_tls_frees_its_slot(gate, tiny):
    server = gate(tiny, *LONG, *TLS, tls=True)
    s, begun = hold(server)
    assert begun == b"HTTP/1.1 200"
    s.close()
    deadline = time.monotonic() + PATIENCE_S
    while json.loads(server.ask(request("GET /hearth/status"))[2])["now"]["n_running"] > 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plain_http_on_the_port_of_tls_is_told_so(gate):
    server = gate(*TLS, tls=True)
    for delay in (0, 0.2):  # also when its first byte comes late
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            time.sleep(delay)
            s.sendall(request("POST /v1/completions", body={"prompt": "a" * 50_000}))
            data = b""
            while piece := s.recv(65536):
                data += piece
        assert data.startswith(b"HTTP/1.1 400 ") and b"https://" in data, data
    assert server.ask(request("GET /health"))[0] == 200


def test_what_is_no_tls_is_dropped(gate):
    server = gate(*TLS, "--header-ms", "500", tls=True)
    for data in (b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x16" * 3, b""):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(data)
            start = time.monotonic()
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            assert time.monotonic() - start < 5
    assert server.ask(request("GET /health"))[0] == 200


def test_old_versions_of_tls_are_not_spoken(gate):
    server = gate(*TLS, tls=True)
    for version, may in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True),
                         (ssl.TLSVersion.TLSv1_1, False)):
        old = ssl.create_default_context(cafile=CERT)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version = old.maximum_version = version
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            try:
                with old.wrap_socket(s, server_hostname="localhost") as t:
                    t.sendall(request("GET /health"))
                    assert may and t.recv(12) == b"HTTP/1.1 200"
            except (ssl.SSLError, ConnectionResetError):
                assert not may


# ---- URLs ----

def test_no_url_of_a_request_is_fetched(gate):
    """Somebody listens, and is named in every place of a request that could be one to fetch."""
    server = gate("--allow-host", "*", "--allow-origin", "*", "--trusted-proxy", "127.0.0.1")
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        done = threading.Event()

        def listen():
            while not done.is_set():
                try:
                    asked.append(listener.accept())
                except TimeoutError:
                    pass

        thread = threading.Thread(target=listen)
        thread.start()
        at = f"127.0.0.1:{listener.getsockname()[1]}"
        url = f"http://{at}/a.png"
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "image_url", "image_url": url},
                 {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
                 {"type": "file", "file": {"file_data": url, "file_id": url}},
                 {"type": "input_image", "image_url": url}, {"type": "image", "source": {"type": "url", "url": url}},
                 {"type": "text", "text": url}]
        bodies = [{"messages": [{"role": "user", "content": [part]}], "max_tokens": 1} for part in parts]
        bodies += [{"messages": [{"role": "user", "content": url}], "max_tokens": 1, field: value}
                   for field in ("url", "image", "images", "documents", "tools", "webhook", "callback_url", "metadata",
                                 "model", "user", "grammar", "response_format", "chat_template", "lora", "file")
                   for value in (url, [url], {"url": url}, [{"url": url, "$ref": url}])]
        for body in bodies:
            server.ask(request("POST /v1/chat/completions", body=body))
            server.ask(request("POST /v1/completions", body={**body, "prompt": url}))
        for headers in ([f"Host: {at}"], [f"Referer: {url}"], [f"Origin: http://{at}"], [f"X-Forwarded-Host: {at}"],
                        [f"X-Forwarded-For: {at}"], [f"Forwarded: for={at};host={at}"], [f"X-Original-URL: {url}"],
                        [f"Link: <{url}>"], [f"X-HTTP-Method-Override: {url}"]):
            for line in ("GET /v1/models", f"GET {url}", f"GET /{url}", f"GET /v1/models?model={url}&url={url}"):
                server.ask(request(line, *headers))
        with server.connect() as s:
            s.sendall(request(f"CONNECT {at}"))
            assert s.recv(12) == b"HTTP/1.1 501"
        time.sleep(0.2)
        done.set()
        thread.join()
        with socket.create_connection(listener.getsockname()):  # it does listen
            listener.accept()
    assert not asked
