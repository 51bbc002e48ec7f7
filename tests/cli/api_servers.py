"""api_servers.py: servers for `hearth compare` to ask: hearth behind a delay, and one that says what it is told."""

import json
import re
import socket
import subprocess
import tempfile
import threading
import time

import harness


class Hearth:
    """`hearth serve` on a free port; as it stands, it records nothing."""

    def __init__(self, *words):
        self.screen = tempfile.TemporaryFile()
        self.process = subprocess.Popen([harness.program(), "serve", "--port", "0", "--record", "off", "--no-sandbox",
                                         *words], stdout=self.screen, stderr=subprocess.STDOUT, env=harness.CLEAN_ENV)

    def text(self):
        self.screen.seek(0)
        return self.screen.read().decode()

    def __enter__(self):
        end = time.monotonic() + harness.PATIENCE_S
        while "print(" not in self.text():
            assert self.process.poll() is None and time.monotonic() < end, self.text()
            time.sleep(0.02)
        self.port = int(re.search(r"https?://[\d.]+:(\d+)/v1", self.text())[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.screen.close()


class Listener:
    """A socket whose connections each have a thread that runs `talk`."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ended = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def guarded(self, connection):
        with connection:
            try:
                self.talk(connection)
            except OSError:
                pass  # the other side went away

    def talk(self, connection):
        raise NotImplementedError


class Delay(Listener):
    """Passes bytes on; what is asked arrives later than it was sent."""

    def __init__(self, port, seconds):
        super().__init__()
        self.to, self.seconds = port, seconds

    def talk(self, connection):
        with socket.create_connection(("127.0.0.1", self.to)) as server:
            back = threading.Thread(target=self.copy, args=(server, connection, 0), daemon=True)
            back.start()
            self.copy(connection, server, self.seconds)
            back.join()

    @staticmethod
    def copy(source, to, seconds):
        try:
            while piece := source.recv(65536):
                time.sleep(seconds)
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def chunk(text=None, finish=None, **more):
    """An event of /v1/completions and /v1/chat/completions at once."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return "data: " + json.dumps({"model": "fake-1", "choices": [choice], **more}) + "\n\n"


def stream(*texts, usage=None, end="data: [DONE]\n\n"):
    """All events of an answer."""
    events = [chunk(t) for t in texts] + [chunk(finish="stop")]
    if usage:
        events.append("data: " + json.dumps({"choices": [], "usage": usage}) + "\n\n")
    return "".join(events) + end


CLOSE = "Connection: close\r\n"


def answer(body, status="200 OK", kind="text/event-stream", headers="", length=None):
    """Bytes of a response; length: what it says of its body where that is another, and then the connection ends."""
    data = body.encode() if isinstance(body, str) else body
    if length is not None:
        headers += CLOSE
    head = (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}"
            f"Content-Length: {len(data) if length is None else length}\r\n\r\n")
    return head.encode() + data


class Fake(Listener):
    """Says what it is given: bytes, or a function of (connection, request); one after the other, the last for ever.
    `asked` has the requests: (first line, headers in small letters, body as JSON or None)."""

    def __init__(self, *says):
        super().__init__()
        self.says, self.asked = list(says), []

    def talk(self, connection):
        file = connection.makefile("rb")
        while line := file.readline():
            headers = {}
            while (one := file.readline().strip()) != b"":
                name, _, value = one.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", 0)))
            request = (line.decode().strip(), headers, json.loads(body) if body else None)
            self.asked.append(request)
            say = self.says.pop(0) if len(self.says) > 1 else self.says[0]
            if callable(say):
                say(connection, request)
                return
            connection.sendall(say)
            if CLOSE.encode() in say:
                return
