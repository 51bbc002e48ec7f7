"""manager.py: a small service manager: NOTIFY_SOCKET, a watchdog, LISTEN_FDS, restarts; and a way to freeze a thread.

It speaks what systemd speaks (sd_notify(3), sd_listen_fds(3)), so that tests need no systemd.
"""

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

ENV = {**{k: v for k, v in os.environ.items()
          if not k.startswith(("HEARTH_", "LISTEN_", "NOTIFY_", "STATE_", "WATCHDOG_"))}, "HEARTH_CONFIG": "none",
       "HEARTH_RECORD": "off"}
PATIENCE_S = 60


def wait_for(what, said, patience_s=PATIENCE_S):
    """what() as soon as it is true."""
    deadline = time.monotonic() + patience_s
    while not (got := what()):
        assert time.monotonic() < deadline, said
        time.sleep(0.005)
    return got


class Process:
    """One life of the service."""

    def __init__(self, pid, start):
        self.pid, self.start, self.lock = pid, start, threading.Lock()
        self.end, self.code = None, None
        self.ready = self.stopping = None  # when it said so
        self.fed = []                      # each WATCHDOG=1
        self.status = ""

    def look(self):
        """True when it has ended; how, is in .code (below 0: the signal)."""
        with self.lock:
            if self.end is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.end, self.code = time.monotonic(), os.waitstatus_to_exitcode(status)
            return self.end is not None

    def wait(self, patience_s=PATIENCE_S):
        wait_for(self.look, "the server does not end", patience_s)
        return self.code

    def signal(self, number):
        with self.lock:
            if self.end is None:
                os.kill(self.pid, number)

    def said(self, text, now):
        for line in text.split("\n"):
            name, _, value = line.partition("=")
            if line == "READY=1":
                self.ready = now
            elif line == "STOPPING=1":
                self.stopping = now
            elif line == "WATCHDOG=1":
                self.fed.append(now)
            elif name == "STATUS":
                self.status = value


class Manager:
    """Holds the sockets; starts the server on them, and again when its watchdog was not fed."""

    def __init__(self, program, *options, watchdog_s=0, sockets=True, unix=False):
        self.folder = tempfile.TemporaryDirectory(prefix="hearth-life-")
        self.words = [program, "serve", *options]
        if "san" in program:  # sanitizers look at the process from inside when it ends
            self.words.append("--no-sandbox")
        self.watchdog_s, self.lives, self.restarts = watchdog_s, [], True
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.folder.name, "notify"))
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sockets = []
        if sockets:
            tcp = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.port = tcp.getsockname()[1]
            self.sockets.append(tcp)
        if unix:
            self.path = os.path.join(self.folder.name, "http")
            s = socket.socket(socket.AF_UNIX)
            s.bind(self.path)
            s.listen(64)
            self.sockets.append(s)
        if not sockets:
            with socket.create_server(("127.0.0.1", 0)) as s:
                self.port = s.getsockname()[1]
            self.words += ["--port", str(self.port)]
        self.out = open(os.path.join(self.folder.name, "out"), "w+b")
        self.done, self.lock = False, threading.Lock()  # held until who says something is known
        self.threads = [threading.Thread(target=self._listen), threading.Thread(target=self._watch)]
        for t in self.threads:
            t.start()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.restarts = False
        for life in self.lives:
            life.signal(signal.SIGKILL)
            life.wait()
        self.done = True
        self.notify.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join()
        for s in [*self.sockets, self.notify]:
            s.close()
        self.out.close()
        self.folder.cleanup()

    def text(self):
        self.out.seek(0)
        return self.out.read().decode()

    def start(self):
        """Another process; returns it at once."""
        env = {**ENV, "NOTIFY_SOCKET": self.notify.getsockname(), "HEARTH_RECORD": "receipts",
               "STATE_DIRECTORY": os.path.join(self.folder.name, "state")}
        if self.sockets:
            env["LISTEN_FDS"] = str(len(self.sockets))
        if self.watchdog_s:
            env["WATCHDOG_USEC"] = str(int(self.watchdog_s * 1e6))
        with self.lock:
            return self._fork(env)

    def _fork(self, env):
        now = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                me = str(os.getpid())
                os.dup2(self.out.fileno(), 1)
                os.dup2(self.out.fileno(), 2)
                high = [os.dup2(s.fileno(), 100 + i, inheritable=False) for i, s in enumerate(self.sockets)]
                for i, fd in enumerate(high):
                    os.dup2(fd, 3 + i)
                os.execve(self.words[0], self.words, {**env, "LISTEN_PID": me, "WATCHDOG_PID": me})
            finally:
                os._exit(127)
        self.lives.append(Process(pid, now))
        return self.lives[-1]

    @property
    def life(self):
        return self.lives[-1]

    def ready(self):
        """The process that was started last, as soon as it says that it is ready."""
        life = self.life
        wait_for(lambda: life.ready or life.look(), "no READY=1")
        assert life.ready, f"it ended: {life.code}, {self.text()}"
        return life

    # ---- its threads ----

    def _listen(self):
        while not self.done:
            data, more, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(12))
            now = time.monotonic()
            for _, kind, cred in more:
                if kind == socket.SCM_CREDENTIALS:
                    pid = int.from_bytes(cred[:4], "little")
                    with self.lock:
                        for life in self.lives:
                            if life.pid == pid:
                                life.said(data.decode(), now)

    def _watch(self):
        while not self.done:
            time.sleep(0.01)
            life = self.lives[-1] if self.lives else None
            if not (self.restarts and self.watchdog_s and life and life.ready and not life.stopping):
                continue
            last = max([life.ready, *life.fed])
            if time.monotonic() - last > self.watchdog_s:
                life.signal(signal.SIGABRT)  # as systemd
                life.wait()
                self.start()

    # ---- as a client ----

    def ask(self, method, path, body=None, timeout=10, headers=None):
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            con.request(method, path, body, headers or {})
            answer = con.getresponse()
            return answer.status, answer.read().decode()
        finally:
            con.close()


# ---- a thread that stands still ----

PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WALL = 0x40000000  # waitpid(): of threads, too


class Frozen:
    """A thread of a child process stands still until the process ends: it is traced, and stopped. Nothing in the
    program helps with that. Where a process may not be traced, .refused says so.

    is_apt(): what was caught is what is wanted; else it goes on for a moment and is stopped again."""

    def __init__(self, pid, name, is_apt):
        self.is_apt = is_apt
        self.tid = next(int(t) for t in os.listdir(f"/proc/{pid}/task")
                        if open(f"/proc/{pid}/task/{t}/comm", encoding="ascii").read().strip() == name)
        self.refused, self.stopped = "", threading.Event()
        threading.Thread(target=self._hold, daemon=True).start()  # who traces must be the one who waits
        assert self.stopped.wait(PATIENCE_S)

    def _hold(self):
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if ptrace(PTRACE_SEIZE, self.tid, None, None) != 0 or ptrace(PTRACE_INTERRUPT, self.tid, None, None) != 0:
            self.refused = f"processes may not be traced here: {os.strerror(ctypes.get_errno())}"
            self.stopped.set()
            return
        os.waitpid(self.tid, WALL)
        while not self.is_apt():
            ptrace(PTRACE_CONT, self.tid, None, None)
            time.sleep(0.003)
            ptrace(PTRACE_INTERRUPT, self.tid, None, None)
            os.waitpid(self.tid, WALL)
        self.stopped.set()
        while True:  # its end must be taken note of, or the process cannot end
            try:
                status = os.waitpid(self.tid, WALL)[1]
            except ChildProcessError:
                return
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                return


def make_model(program, folder):
    """Random weights: it goes on as long as it is let."""
    path = os.path.join(folder, "tiny.gguf")
    subprocess.run([program, "dev", "synth", "--shape", "tiny", path], check=True, env=ENV, capture_output=True)
    return path
