"""serving.py: the program as a server, and bytes to and from it."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time

import httpx

PROGRAM = os.environ.get("HEARTH_PROGRAM", "build/hearth")
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")}
SANITIZED = "build-" in PROGRAM and "san" in PROGRAM.rpartition("build-")[2]  # slower by far
PATIENCE_S = 60


class Server:
    """`hearth serve` on a free port. Its end is clean, or the test fails."""

    def __init__(self, *options, model=None, models=()):
        self.words = [PROGRAM, "serve", *([model] if model else []), *models, "--port", "0", *options]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN_ENV)
        seen = b""
        deadline = time.monotonic() + PATIENCE_S
        while b"print(" not in seen:
            ready = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"no start screen: {self.process.stderr.read().decode() if self.process.poll() else ''}"
            seen += piece
        self.screen = seen.decode()
        found = re.search(r"http://([\d.]+):(\d+)/v1", self.screen)
        self.host, self.port = found[1], int(found[2])
        self.base = f"http://{self.host}:{self.port}"
        self.http = httpx.Client(base_url=self.base, timeout=PATIENCE_S)
        self.model = self.http.get("/v1/models").json()["data"][0]["id"]
        return self

    def __exit__(self, *_):
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.said = self.screen + (out + err).decode()
        assert self.process.returncode == 0, (self.process.returncode, err.decode())
        assert b"ERROR:" not in err, err.decode()

    # ---- plain requests ----

    def post(self, path, body, **more):
        return self.http.post(path, json=body, **more)

    def chat(self, text="Hello", **fields):
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **fields}
        return self.post("/v1/chat/completions", body)

    def refused(self, response, status, code):
        """The refusal as OpenAI's clients read it; returns the error object."""
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert error["code"] == code, error
        assert isinstance(error["message"], str) and error["message"]
        assert isinstance(error["type"], str) and "param" in error
        return error

    def events(self, path, body):
        """The data of every event of a stream, and the comments between them."""
        data, comments = [], []
        with self.http.stream("POST", path, json={"stream": True, **body}) as r:
            assert r.status_code == 200, r.read()
            assert r.headers["content-type"].startswith("text/event-stream")
            for line in r.iter_lines():
                if line.startswith(":"):
                    comments.append(line)
                elif line:
                    assert line.startswith("data: "), line
                    data.append(line[6:] if line == "data: [DONE]" else json.loads(line[6:]))
        return data, comments

    # ---- the state that others leave behind ----

    def healthy(self):
        start = time.monotonic()
        assert self.http.get("/health").json() == {"status": "ok"}
        return time.monotonic() - start

    def status(self):
        return self.http.get("/hearth/status").json()

    def idle(self):
        """Waits until nothing runs; the slots are free again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            now = self.status()["now"]
            if now["n_running"] == 0 and now["n_waiting"] == 0 and now["memory_used_bytes"] == 0:
                return now
            assert time.monotonic() < deadline, now
            time.sleep(0.01)

    # ---- bytes ----

    def connect(self, timeout=10):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def raw(self, data, shut=False, timeout=10):
        """What comes back for these bytes until the server closes, or has answered with a length."""
        with self.connect(timeout) as s:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            return read_answer(s)


class Answer:
    """One answer, read from a socket. status 0: the connection was closed without one."""

    def __init__(self, data, closed):
        self.data, self.closed = data, closed
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith(b"HTTP/") else 0
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (ln.decode().partition(":") for ln in lines[1:])}

    @property
    def error(self):
        return json.loads(self.body)["error"]


def read_answer(s):
    data, closed = b"", False
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if end and length and len(body) >= int(length[1]):
            break
        try:
            piece = s.recv(65536)
        except (ConnectionResetError, TimeoutError):
            piece = b""
        if not piece:
            closed = True
            break
        data += piece
    if not closed:  # does it close after this answer?
        s.settimeout(0.3)
        try:
            closed = s.recv(1) == b""
        except TimeoutError:
            closed = False
        except ConnectionResetError:
            closed = True
    return Answer(data, closed)
