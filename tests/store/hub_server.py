"""hub_server.py: a hub of models on this machine that speaks what Hugging Face and Ollama speak, and misbehaves.

What it does wrong is in `faults`, a list of words of which each answer with a file takes the first:

    drop:N      N bytes of the answer, then the connection ends
    stall:N     N bytes, then nothing more
    wrong       the bytes are others
    range       206 with another part than was asked for
    whole       200 and all of it, whatever was asked for
    etag        the file is another one from here on: another ETag
    short       Content-Length says less than there is
    long        Content-Length says more
    416         416
    503         503
    loop        a redirect to itself
    away:URL    a redirect there
    html        a page
"""

import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
import time


class Hub:
    def __init__(self, files, owner="tolstoy", repo="tiny-gguf", rate=0, tls=None):
        """tls: paths of a certificate for localhost and of its key."""
        self.files, self.owner, self.repo, self.rate = dict(files), owner, repo, rate
        self.faults, self.requests, self.n_sent, self.version = [], [], 0, 1
        self.page, self.link = 1000, ""  # entries in a page of the list; where the next one is, if not where it is
        self.listed = {}  # sizes and digests that the list has instead of the right ones
        self.lock, self.tls = threading.Lock(), None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"
        self.ended = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with contextlib.suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as reader:
                while self.one(connection, reader):
                    pass

    def one(self, connection, reader):
        line = reader.readline().decode()
        if not line:
            return False
        headers = {}
        while (h := reader.readline().decode().strip()):
            name, _, value = h.partition(":")
            headers[name.lower()] = value.strip()
        path = line.split()[1]
        with self.lock:
            self.requests.append((path, headers))
        return self.answer(connection, path, headers)

    def send(self, connection, status, body=b"", headers=(), length=None):
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", *headers]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self.send_body(connection, body)
        return True

    def send_body(self, connection, body):
        for at in range(0, len(body), 65536):
            connection.sendall(body[at:at + 65536])
            with self.lock:
                self.n_sent += len(body[at:at + 65536])
            if self.rate:
                time.sleep(65536 / self.rate)

    def digest(self, name):
        return self.listed.get(name, {}).get("sha256", hashlib.sha256(self.files[name]).hexdigest())

    def size(self, name):
        return self.listed.get(name, {}).get("size", len(self.files[name]))

    def answer(self, connection, path, headers):
        m = re.fullmatch(rf"/api/models/{self.owner}/{self.repo}/tree/main\?recursive=1(?:&cursor=(\d+))?", path)
        if m:
            entries = [{"type": "directory", "path": "x", "size": 0}, {"type": "file", "path": "README.md", "size": 9}]
            entries += [{"type": "file", "path": n, "size": self.size(n), "oid": "0" * 40,
                         "lfs": {"oid": self.digest(n), "size": self.size(n)}} for n in self.files]
            first = int(m[1] or 0)
            last, more = first + self.page, ["Content-Type: application/json"]
            if last < len(entries) or self.link:
                to = self.link or f"{self.url}/api/models/{self.owner}/{self.repo}/tree/main?recursive=1&cursor={last}"
                more.append(f'Link: <{to}>; rel="next"')
            return self.send(connection, 200, json.dumps(entries[first:last]).encode(), more)
        if re.fullmatch(r"/v2/library/tiny/manifests/latest", path):
            name = next(iter(self.files))
            layers = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "1" * 64, "size": 3},
                      {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + self.digest(name),
                       "size": self.size(name)}]
            return self.send(connection, 200, json.dumps({"schemaVersion": 2, "layers": layers}).encode())
        m = re.fullmatch(rf"/(?:{self.owner}/{self.repo}/resolve/main|cdn|plain)/(.+)", path)
        name = m[1] if m else next(iter(self.files)) if path.startswith("/v2/library/tiny/blobs/sha256:") else None
        if name not in self.files:
            return self.send(connection, 404, b'{"error":"Repository not found"}')
        with self.lock:
            fault = self.faults.pop(0) if self.faults else ""
        return self.file(connection, path, headers, self.files[name], *fault.partition(":")[::2])

    def file(self, connection, path, headers, data, fault, value):
        if fault == "etag":
            self.version += 1
        etag = f'"v{self.version}"'
        if fault in ("loop", "away"):
            return self.send(connection, 302, headers=[f"Location: {value or self.url + path}"])
        if fault in ("416", "503"):
            return self.send(connection, int(fault), b"no", [f"Content-Range: bytes */{len(data)}"])
        if fault == "html":
            return self.send(connection, 200, b"<!doctype html>" + bytes(max(0, len(data) - 15)))
        if fault == "wrong":
            data = data[:4] + bytes(b ^ 1 for b in data[4:])
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        first, last, status, more = 0, len(data) - 1, 200, [f"ETag: {etag}"]
        if m and fault != "whole" and headers.get("if-range", etag) == etag:
            first, last, status = int(m[1]), min(int(m[2] or last), last), 206
            shift = 7 if fault == "range" else 0
            more.append(f"Content-Range: bytes {first + shift}-{last}/{len(data)}")
            if shift:
                first += shift
        body = data[first:last + 1]
        cut = int(value) if fault in ("drop", "stall") else len(body)
        length = len(body) + {"short": -10, "long": 10}.get(fault, 0)
        self.send(connection, status, body[:cut], more, length)
        if fault == "stall":
            self.ended.wait(60)
        return cut >= len(body) and fault not in ("short", "long")
