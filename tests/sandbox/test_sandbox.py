#!/usr/bin/env python3
"""test_sandbox.py: what the server can no longer do once it listens, nor a pull before the first byte comes, and what
--offline refuses.

    tests/sandbox/test_sandbox.py build/hearth build/tests/sandbox/libprobe.so

probe.c is loaded into the real server and tries system calls and paths from inside. Without the sandbox many of them go
through: that shows that they can. Speaks TAP.
"""

import contextlib
import errno
import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "store"))
from hub_server import Hub  # noqa: E402

ENV = {**{k: v for k, v in os.environ.items()
          if not k.startswith(("HEARTH_", "LISTEN_", "NOTIFY_", "WATCHDOG_"))}, "HEARTH_CONFIG": "none",
       "HEARTH_RECORD": "off"}
PATIENCE_S = 60
DENIED = (errno.EPERM, errno.EACCES)
LEAST = 40
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


class Probed:
    """The program with the probe inside. folder: what the probe takes for a model's."""

    def __init__(self, here, words, folder, safe=False, no_landlock=False):
        with open(os.path.join(folder, "inside"), "w", encoding="ascii") as f:
            f.write("a file of the model's folder")
        os.symlink("/etc/passwd", os.path.join(folder, "link"))
        to_probe, self.go = os.pipe()
        self.told, from_probe = os.pipe()
        env = {**ENV, "LD_PRELOAD": here.probe, "PROBE_IN": str(to_probe), "PROBE_OUT": str(from_probe),
               "PROBE_FOLDER": folder, **({"PROBE_SAFE": "1"} if safe else {}),
               **({"PROBE_NO_LANDLOCK": "1"} if no_landlock else {})}
        self.process = subprocess.Popen([here.program, *words], env=env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        pass_fds=[to_probe, from_probe])
        os.close(to_probe)
        os.close(from_probe)

    def said(self, what):
        """Standard output until that is in it."""
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while what not in seen:
            ready = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"not said: {self.process.stderr.read().decode() if self.process.poll() else ''}"
            seen += piece
        return seen.decode()

    def end(self, signal_number):
        self.process.send_signal(signal_number)
        self.err = self.process.communicate(timeout=PATIENCE_S)[1].decode()
        os.close(self.go)
        os.close(self.told)
        return self.process.returncode

    def tried(self):
        """{thread: {what: errno}}: what was tried from inside."""
        os.write(self.go, b"x")
        text, deadline = b"", time.monotonic() + PATIENCE_S
        while b"done\n" not in text:
            ready = select.select([self.told], [], [], max(0, deadline - time.monotonic()))[0]
            piece = os.read(self.told, 65536) if ready else b""
            assert piece, f"the probe says no more after: {text.decode()[-200:]}, {self.process.poll()}"
            text += piece
        out = {"before": {}, "after": {}}
        for who, what, number in re.findall(r"(?m)^(\w+): (\w+): (\d+)$", text.decode()):
            out[who][what] = int(number)
        return out


class Server(Probed):
    """In a folder with a model."""

    def __init__(self, here, *options, safe=False, no_landlock=False):
        self.folder = tempfile.mkdtemp(prefix="hearth-sandbox-")
        self.models = os.path.join(self.folder, "models")
        os.mkdir(self.models)
        shutil.copy(here.model, os.path.join(self.models, "m.gguf"))
        super().__init__(here, ["serve", os.path.join(self.models, "m.gguf"), "--port", "0", *options], self.models,
                         safe, no_landlock)

    def __enter__(self):
        self.screen = self.said(b"print(")
        self.base = re.search(r"http://[\d.:]+", self.screen)[0]
        return self

    def __exit__(self, *_):
        code = self.end(signal.SIGTERM)
        shutil.rmtree(self.folder)
        assert code == 0, (code, self.err)

    def status(self):
        with urllib.request.urlopen(self.base + "/hearth/status", timeout=PATIENCE_S) as r:
            return json.load(r)["sandbox"]

    def answers(self):
        body = json.dumps({"prompt": "It", "max_tokens": 8, "ignore_eos": True}).encode()
        with urllib.request.urlopen(self.base + "/v1/completions", body, timeout=PATIENCE_S) as r:
            return json.load(r)


def needs_all(status):
    if not status["kernel"]["seccomp"] or not status["kernel"]["landlock_abi"]:
        raise Skip(f"this kernel offers {status['kernel']} only")


@test
def nothing_of_all_that_is_tried_inside_the_server_goes_through(here):
    with Server(here) as s:
        status = s.status()
        needs_all(status)
        assert status["active"] == {"seccomp": True, "landlock": True, "offline": False}, status
        assert status["may_read"] == [s.models] and status["may_write"] == [], status
        assert re.search(rf"(?m)^sandbox +.*{s.models} \(seccomp, Landlock \d", s.screen), s.screen
        tried = s.tried()
        for who, results in tried.items():
            may = {k: v for k, v in results.items() if k.startswith("may_")}
            bad = {k: errno.errorcode.get(v, "went through") for k, v in results.items()
                   if k not in may and v not in DENIED}
            assert not bad, f"{who}: {bad}"
            assert len(results) - len(may) >= LEAST, len(results)
            assert len(may) == 4 and not any(may.values()), may
        receipt = s.answers()["hearth"]
        assert receipt["memory"]["resident_bytes"] > 0, receipt["memory"]
        n = len(tried["before"]) - 4
    assert s.err.count("warning") == 0, s.err
    return f"{n} attempts, in a thread from before and in one from after"


@test
def recording_lets_one_folder_be_written_and_nothing_else(here):
    with tempfile.TemporaryDirectory(prefix="hearth-sandbox-") as folder:
        record = os.path.join(folder, "record")
        with Server(here, "--record", "full", "--record-dir", record) as s:
            status = s.status()
            needs_all(status)
            assert status["may_write"] == [record], status
            for who, results in s.tried().items():
                through = {k for k, v in results.items() if v not in DENIED and not k.startswith("may_")}
                assert through == {"stat_path"}, f"{who}: {through}"  # a database looks whether its file is still there
            s.answers()
        assert os.listdir(record) == ["record.db"]  # the log was taken away at the end
        rows = json.loads(subprocess.run([here.program, "log", "--json", "--record-dir", record], env=ENV, check=True,
                                         capture_output=True).stdout)
        assert rows["n_output_tokens"] == 8 and rows["has_body"], rows
    assert s.err.count("nothing is recorded") == 0, s.err


@test
def without_landlock_a_database_is_used_and_no_file_is_made(here):
    with tempfile.TemporaryDirectory(prefix="hearth-sandbox-") as record:
        with Server(here, "--record", "receipts", "--record-dir", record, no_landlock=True) as s:
            status = s.status()
            if not status["kernel"]["seccomp"]:
                raise Skip("this kernel has no seccomp")
            assert status["kernel"]["landlock_abi"] == 0 and status["may_write"] == [], status
            for who, results in s.tried().items():
                written = {k for k, v in results.items() if v not in DENIED
                           and k.partition("_")[0] in ("make", "remove", "rename", "write", "append", "truncate")}
                assert not written, f"{who}: {written}"
            s.answers()
        rows = subprocess.run([here.program, "log", "--json", "--record-dir", record], env=ENV, check=True,
                              capture_output=True).stdout
        assert json.loads(rows)["n_output_tokens"] == 8, rows


@test
def without_the_sandbox_they_do_and_that_is_said(here):
    with Server(here, "--no-sandbox", safe=True) as s:
        status = s.status()
        assert status["active"] == {"seccomp": False, "landlock": False, "offline": False}, status
        assert re.search(r"(?m)^sandbox +off$", s.screen), s.screen
        tried = s.tried()["before"]
        through = [k for k, v in tried.items() if v == 0 and not k.startswith("may_")]
        wanted = {"read_passwd", "read_through_link", "run_fork", "run_spawn", "net_tcp", "net_unix", "code_mmap",
                  "write_model", "stat_path", "sys_kill_parent"}
        assert wanted <= set(through), wanted - set(through)
    assert re.search(r"(?m)^hearth: warning: .*--no-sandbox", s.err), s.err
    return f"{len(through)} of {len(tried) - 4} went through"


@test
def offline_refuses_connections_also_without_the_sandbox(here):
    with Server(here, "--no-sandbox", "--offline") as s:
        assert s.status()["active"] == {"seccomp": False, "landlock": False, "offline": True}
        assert s.answers()["usage"]["completion_tokens"] == 8
    with Server(here, "--offline") as s:
        needs_all(s.status())
        assert s.status()["active"]["offline"]
        for results in s.tried().values():
            assert all(v in DENIED for k, v in results.items() if k.startswith("net_")), results
        s.answers()


class Pull(Probed):
    """Of a model whose hub says no more after some of it, with a folder beside the store."""

    def __init__(self, here, *options, **how):
        self.folder = tempfile.mkdtemp(prefix="hearth-sandbox-")
        beside, self.store = (os.path.join(self.folder, n) for n in ("beside", "store"))
        os.mkdir(beside)
        self.data = b"GGUF" + bytes(300000)
        self.hub = Hub({"tiny-Q4_K_M.gguf": self.data}).__enter__()
        self.hub.faults = ["stall:100000"]
        self.words = ["pull", "hf:tolstoy/tiny-gguf", "--hub", self.hub.url, "--store-dir", self.store, "--json",
                      *options]
        super().__init__(here, self.words, beside, **how)

    def __enter__(self):
        self.sandbox = json.loads(self.said(b'"begin"').splitlines()[0])
        assert self.sandbox["event"] == "sandbox"
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)
        self.hub.__exit__()
        shutil.rmtree(self.folder)


# What a client of others does, and what shows no more than that a path exists.
OF_CLIENTS = {"net_tcp", "net_tcp6", "net_udp", "net_unix", "net_netlink", "net_pair", "net_connect", "net_sendto",
              "net_sendmmsg", "stat_path", "access_path", "readlink_path", "read_a_path_only", "read_urandom"}
# Whoever is not root reads /etc, as far as it is for all.
OF_USERS = {"read_passwd", "read_through_link", "read_up"}


@test
def a_pull_writes_its_store_connects_to_others_and_does_nothing_else(here):
    with Pull(here) as p:
        if not p.sandbox["seccomp"] or not p.sandbox["landlock"]:
            raise Skip(f"this kernel offers {p.sandbox} only")
        for who, results in p.tried().items():
            through = {k for k, v in results.items() if v == 0}
            allowed = OF_CLIENTS | {"may_map", "may_sleep", "may_draw"} | (OF_USERS if os.geteuid() else set())
            assert through <= allowed, f"{who}: {sorted(through - allowed)}"
            denied = {k for k, v in results.items() if v in DENIED}
            assert {"may_read_model", "read_home", "make_file", "write_model", "remove_model", "run_execve",
                    "run_spawn", "run_fork", "code_mmap", "net_listen", "net_raw"} <= denied, denied
            assert len(denied) >= LEAST, denied
        n = len(denied)
    return f"{n} attempts were refused, in a thread from before and in one from after"


@test
def a_pull_without_its_sandbox_could_and_says_so(here):
    with Pull(here, "--no-sandbox", safe=True) as p:
        assert not p.sandbox["seccomp"] and not p.sandbox["landlock"], p.sandbox
        tried = p.tried()["before"]
        assert all(tried[k] == 0 for k in ("may_read_model", "write_model", "run_spawn", "run_fork", "code_mmap"))
    with Pull(here, no_landlock=True, safe=True) as p:
        assert not p.sandbox["landlock"] and p.sandbox["landlock_abi"] == 0, p.sandbox
        tried = p.tried()["before"]
        assert tried["may_read_model"] == 0 and all(tried[k] in DENIED for k in ("run_spawn", "run_fork", "code_mmap"))
        env = {**ENV, "LD_PRELOAD": here.probe, "PROBE_NO_LANDLOCK": "1"}
        words = [w for w in p.words if w != "--json"]
        done = subprocess.run([here.program, *words, "--store-dir", p.store + "2"], env=env, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and "this kernel has no Landlock" in done.stderr, done.stderr


def seccomp_mode(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"(?m)^Seccomp:\s+(\d)", f.read())[1])


@test
def offline_holds_for_run_and_chat(here):
    for words in (["run", here.model, "--raw", "--ignore-eos", "-n", "1000000", "-p", "It", "--offline"],
                  ["chat", here.model, "--offline"]):
        p = subprocess.Popen([here.program, *words], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while seccomp_mode(p.pid) != 2:
                assert p.poll() is None and time.monotonic() < deadline, p.communicate()
                time.sleep(0.005)
        finally:
            p.kill()
            p.communicate()


def child_of(parent):
    """The first process that has this one as its parent."""
    for path in sorted(glob.glob("/proc/[0-9]*/stat")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as f:
            number, after_name = path.split("/")[2], f.read().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                return int(number)
    raise AssertionError(f"process {parent} has no child")


def traced(here, words, stdin=b"", until=None):
    """The connections that the program makes, as strace sees them."""
    log = os.path.join(here.folder, "strace")
    p = subprocess.Popen(["strace", "-f", "-o", log, "-e", "trace=connect,sendto,sendmsg,sendmmsg,io_uring_setup",
                          here.program, *words], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    if until:
        seen = b""
        while until not in seen:
            piece = os.read(p.stdout.fileno(), 65536)
            assert piece, p.communicate()
            seen += piece
        base = re.search(rb"http://[\d.:]+", seen)[0].decode()
        body = json.dumps({"prompt": "It", "max_tokens": 3, "stream": True}).encode()
        urllib.request.urlopen(base + "/v1/completions", body, timeout=PATIENCE_S).read()
        os.kill(child_of(p.pid), signal.SIGTERM)
    out, err = p.communicate(stdin, timeout=PATIENCE_S)
    assert p.returncode == 0, (words, p.returncode, out, err)
    with open(log, encoding="utf-8", errors="replace") as f:
        return [ln for ln in f if re.search(r"connect\(|sendmmsg\(|io_uring_setup\(|sa_family|sun_path|sin_addr", ln)]


@test
def strace_of_run_chat_and_serve_shows_no_connect(here):
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("processes may not be traced here")
    for words, more in ((["run", here.model, "--raw", "-n", "5", "-p", "It"], {}),
                        (["chat", here.model, "-n", "5"], {"stdin": b"hello\n"}),
                        (["serve", here.model, "--port", "0"], {"until": b"print("})):
        found = traced(here, words, **more)
        assert not found, (words, found)


@test
def a_server_answers_in_a_network_of_nothing_but_itself(here):
    inside = ["unshare", "-rn", "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("networks of one's own are not allowed here (unshare -rn)")
    done = subprocess.run([*inside, here.program, "run", here.model, "--raw", "-n", "5", "-p", "It"], env=ENV,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done


class Here:
    def __init__(self, folder):
        self.folder = folder
        self.program, self.probe = (os.path.abspath(w) for w in sys.argv[1:3])
        self.model = os.path.join(folder, "tiny.gguf")
        subprocess.run([self.program, "dev", "synth", "--shape", "tiny", self.model], check=True, env=ENV,
                       capture_output=True)


def main():
    wanted = [t for t in TESTS if not sys.argv[3:] or any(w in t.__name__ for w in sys.argv[3:])]
    print(f"1..{len(wanted)}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="hearth-sandbox-") as folder:
        here = Here(folder)
        for i, t in enumerate(wanted, 1):
            name = t.__name__.replace("_", " ")
            try:
                said = t(here)
                print(f"ok {i} - {name}{': ' + said if said else ''}", flush=True)
            except Skip as why:
                print(f"ok {i} - {name} # SKIP {why}", flush=True)
            except Exception:  # noqa: BLE001  (told below, and the others run)
                bad += 1
                print("# " + traceback.format_exc().replace("\n", "\n# "))
                print(f"not ok {i} - {name}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
