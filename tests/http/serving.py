"""serving.py: the program as a server, and bytes to and from it."""

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import httpx

from memory_group import Bounds

PROGRAM = os.environ.get("HEARTH_PROGRAM", "build/hearth")
RECORDED = tempfile.TemporaryDirectory(prefix="hearth-recorded-")  # by all servers that are not told otherwise
os.environ["HEARTH_RECORD_DIR"] = RECORDED.name  # for those that get all of the environment
CLEAN_ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")}, "HEARTH_CONFIG": "none",
             "HEARTH_RECORD_DIR": RECORDED.name}
if Bounds.report:  # where it is held to its plan that should be little
    CLEAN_ENV |= {"HEARTH_REQUEST_MEMORY": "32", "HEARTH_CONNECTIONS": "300"}
SANITIZED = "build-" in PROGRAM and "san" in PROGRAM.rpartition("build-")[2]  # slower by far
PATIENCE_S = 60
TLS_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")
CERT = os.path.join(TLS_FOLDER, "cert.pem")
TLS = ["--tls-cert", CERT, "--tls-key", os.path.join(TLS_FOLDER, "key.pem")]
CUT = 75  # exit status: told to end, and it did so before all that ran was answered


# They look at the process from inside when it ends, and threads there cannot be asked by signals.
SANDBOX = ["--no-sandbox"] if SANITIZED else []


class Server:
    """`hearth serve` on a free port. Its end is clean, or the test fails."""

    def __init__(self, *options, model=None, models=(), env=None):
        self.env = {**CLEAN_ENV, **(env or {})}
        self.ends_with = 0
        self.words = [PROGRAM, "serve", *([model] if model else []), *models, "--port", "0", *options, *SANDBOX]

    def __enter__(self):
        self.errors = tempfile.TemporaryFile()  # the log: a pipe that nobody reads would lose lines
        self.bounds = Bounds()
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=self.errors, env=self.env,
                                        preexec_fn=self.bounds.enter)
        seen = b""
        deadline = time.monotonic() + PATIENCE_S
        while b"print(" not in seen:
            ready = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"no start screen: {self.log()}"
            seen += piece
        self.screen = seen.decode()
        self.bounds.hold(self.screen)
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
            out = self.process.communicate(timeout=PATIENCE_S)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        err = self.log()
        self.errors.close()
        self.bounds.end()
        self.said = self.screen + out.decode() + err
        assert self.process.returncode == self.ends_with, (self.process.returncode, err)
        assert "ERROR:" not in err, err

    def log(self):
        """What stands on standard error by now."""
        return os.pread(self.errors.fileno(), 1 << 30, 0).decode()

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


def read_event(s):
    """A stream's head, which is sent before its prompt has a slot, and what comes with or before its first event."""
    said = b""
    while b"\ndata: " not in said:
        more = s.recv(4096)
        assert more, said
        said += more
    assert said.startswith(b"HTTP/1.1 200 OK"), said


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


def outer_address():
    """An address of this machine that is not loopback; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
            return s.getsockname()[0]
        except OSError:
            return None


class Gate:
    """A server of the built-in model, and one connection to it that is kept."""

    def __init__(self, *options, host="127.0.0.1", reach="127.0.0.1", tls=False):
        self.words = [PROGRAM, "serve", "--parallel", "1", "--port", "0", "--host", host, *options, *SANDBOX]
        self.unix = host.removeprefix("unix:") if host.startswith("unix:") else None
        self.reach, self.port, self.socket, self.rest = reach, 0, None, b""
        self.tls = ssl.create_default_context(cafile=CERT) if tls else None

    def __enter__(self):
        self.bounds = Bounds()
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CLEAN_ENV,
                                        preexec_fn=self.bounds.enter)
        self.screen, deadline = b"", time.monotonic() + PATIENCE_S
        while b"print(" not in self.screen:
            ready = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, self.process.stderr.read().decode() if self.process.poll() else "no start screen"
            self.screen += piece
        self.bounds.hold(self.screen.decode())
        if not self.unix:
            self.port = int(re.search(rb":(\d+)/v1", self.screen)[1])
        return self

    def __exit__(self, *_):
        self.hang_up()
        self.process.send_signal(signal.SIGTERM)
        try:
            err = self.process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.said = err.decode()
        self.bounds.end()
        assert self.process.returncode == 0, err.decode()
        assert b"ERROR:" not in err, err.decode()

    def connect(self):
        if self.unix:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(PATIENCE_S)
            s.connect(self.unix)
        else:
            s = socket.create_connection((self.reach, self.port), timeout=PATIENCE_S)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(s, server_hostname="localhost") if self.tls else s

    def hang_up(self):
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def ask(self, data, head_only=False):
        """Status, headers and body of the answer."""
        if not self.socket:
            self.socket = self.connect()
        self.socket.sendall(data)
        while b"\r\n\r\n" not in self.rest:
            piece = self.socket.recv(65536)
            assert piece, (data, self.rest)
            self.rest += piece
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        n = 0 if head_only or status == 204 else int(headers.get("content-length", 0))
        while len(self.rest) < n:
            piece = self.socket.recv(65536)
            assert piece, (data, self.rest)
            self.rest += piece
        body, self.rest = self.rest[:n], self.rest[n:]
        if headers.get("connection", "").lower() == "close":
            self.hang_up()
        return status, headers, body.decode()
