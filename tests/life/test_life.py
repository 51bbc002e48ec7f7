#!/usr/bin/env python3
"""test_life.py: how `hearth serve` begins, lives and ends, as a service manager and its clients see it.

    tests/life/test_life.py build/hearth [--all] [NAME...]

--all ends a server 200 times under load, where without it is done a few times. Speaks TAP.
"""

import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from manager import ENV, PATIENCE_S, Frozen, Manager, wait_for
from tap import Skip, main, test

SANITIZED = "san" in sys.argv[1]
CUT = 75  # exit status
ENDS, ALL_ENDS = 10, 200
LATE_S = 3.0 if SANITIZED else 1.0  # after the drain time: the promise is 1 s


# ---- clients ----

def asking(n, prompt="It was", stream=True):
    body = json.dumps({"prompt": prompt, "max_tokens": n, "stream": stream, "ignore_eos": True, "temperature": 1,
                       "seed": n}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except OSError as e:
        return data, e
    return data, None


def unchunked(body):
    """The body, and whether its end is there."""
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        n = int(size or b"0", 16)
        if n == 0:
            return out, rest == b"\r\n"
        out += rest[:n]
        if rest[n:n + 2] != b"\r\n":
            return out, False
        body = rest[n + 2:]
    return out, False


def ending(data):
    """How an answer ended: "finish", "error", "refused"; anything else is wrong with it."""
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0
    if status == 503:
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        whole = length and int(length[1]) == len(body)
        return "refused" if whole and json.loads(body)["error"]["code"] == "shutting_down" else f"503: {data!r}"
    if status != 200:
        return f"status {status}: {data[:300]!r}"
    text, whole = unchunked(body)
    if not whole:
        return f"no end: {data[-200:]!r}"
    try:
        lines = [ln[6:] for ln in text.decode("utf-8", "strict").split("\n") if ln.startswith("data: ")]
    except UnicodeDecodeError as e:
        return f"not UTF-8: {e}"
    if lines and lines[-1] == "[DONE]":
        return "finish" if json.loads(lines[0]) else "?"
    last = json.loads(lines[-1]) if lines else {}
    return "error" if last.get("error", {}).get("code") == "shutting_down" else f"ends with {lines[-1:]}"


class Load:
    """Clients that ask again and again, each time on a new connection."""

    def __init__(self, port, n, tokens, pause=0.0):
        self.port, self.stop, self.results, self.pause = port, False, [], pause
        self.tokens = tokens
        self.threads = [threading.Thread(target=self._client, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def _client(self, number):
        dice = random.Random(number)
        while not self.stop:
            begun = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as s:
                    s.sendall(asking(dice.randint(*dice.choice(self.tokens))))
                    data, why = read_all(s)
                self.results.append((begun, data, why))
            except OSError as e:
                self.results.append((begun, None, e))
                time.sleep(0.02)
            time.sleep(self.pause)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()
        return self.results


# ---- the end ----

def end_once(program, model, number):
    """One SIGTERM at some moment under load. Returns how many answers finished, failed, were refused."""
    dice = random.Random(number)
    drain_ms = dice.choice([0, 50, 150, 400])
    with Manager(program, model, "--parallel", "3", "--queue", "8", "--drain-ms", str(drain_ms), sockets=False) as m:
        life = m.ready()
        load = Load(m.port, 8, [(1, 20), (1, 4000)])
        time.sleep(dice.uniform(0, 0.5))
        told = time.monotonic()
        life.signal(signal.SIGTERM)
        life.wait()
        took = life.end - told
        counts = {"finish": 0, "error": 0, "refused": 0}
        for begun, data, why in load.end():
            if not data:  # not a byte came: where it began before the end, nobody may have hung up on it
                assert begun > told - 0.5, f"no answer: {why}"
                continue
            how = ending(data)
            assert how in counts, f"{number}: {how}, {why}"
            counts[how] += 1
        assert took < drain_ms / 1000 + LATE_S, f"{number}: {took:.2f} s, with {drain_ms} ms to drain"
        assert life.code in (0, CUT), f"{number}: exit status {life.code}, {m.text()}"
        assert life.code == CUT or counts["error"] == 0, f"{number}: exit status 0, and {counts}"
        assert life.stopping, "no STOPPING=1"
        return counts, took - drain_ms / 1000


@test
def streams_finish_or_say_that_they_do_not_whenever_the_server_ends(program, model, everything):
    total, latest = {"finish": 0, "error": 0, "refused": 0}, 0
    for i in range(ALL_ENDS if everything else ENDS):
        counts, late = end_once(program, model, i)
        latest = max(late, latest)
        for k, n in counts.items():
            total[k] += n
    assert total["finish"] and total["error"], total
    return f"{total}, at the latest {1000 * latest:.0f} ms after the drain time"


@test
def a_second_signal_gives_a_second(program, model, everything):
    with Manager(program, model, "--parallel", "1", "--drain-ms", "600000", sockets=False) as m:
        life = m.ready()
        load = Load(m.port, 3, [(1 << 20, 1 << 21)])
        wait_for(lambda: '"n_running": 1' in m.ask("GET", "/hearth/status")[1].replace('":', '": '), "nothing runs")
        load.stop = True
        life.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert not life.look(), "it ended while something ran"
        assert m.ask("GET", "/ready")[0] == 503
        told = time.monotonic()
        life.signal(signal.SIGTERM)
        assert life.wait() == CUT
        assert life.end - told < LATE_S, life.end - told
        hows = {ending(data) for _, data, _ in load.end() if data}
        assert hows & {"error", "refused"} and hows <= {"finish", "error", "refused"}, hows


# ---- the service manager ----

def holds_no_lock(m):
    """A thread that is stopped between two instructions may hold a lock, as no thread that hangs by itself does: then
    the server waits for it, too."""
    try:
        return m.ask("GET", "/hearth/status", timeout=0.3)[0] == 200 \
            and m.ask("POST", "/tokenize", '{"content":"x"}', timeout=0.3)[0] == 200
    except TimeoutError:
        return False


@test
def a_manager_hears_of_the_start_of_life_and_of_the_end(program, model, everything):
    with Manager(program, model, watchdog_s=1 if not SANITIZED else 4) as m:
        life = m.ready()
        assert m.ask("GET", "/health") == (200, '{"status":"ok"}')
        time.sleep(2 * m.watchdog_s)
        gaps = [b - a for a, b in zip([life.ready, *life.fed], life.fed)]
        assert len(life.fed) >= 4 and max(gaps) < 0.6 * m.watchdog_s, (life.fed, gaps)
        assert not life.stopping and life.status == "serving"
        life.signal(signal.SIGTERM)
        assert life.wait() == 0 and life.stopping and len(m.lives) == 1
        assert f"127.0.0.1:{m.port}/v1" in m.text()


@test
def a_frozen_engine_is_ill_is_not_fed_and_is_started_again(program, model, everything):
    with Manager(program, model, "--stall-ms", "500", watchdog_s=2) as m:
        life = m.ready()
        time.sleep(0.7)
        assert m.ask("GET", "/health")[0] == 200, "ill while it has nothing to do"
        load = Load(m.port, 2, [(1 << 20, 1 << 21)])
        wait_for(lambda: '"n_running":0' not in m.ask("GET", "/hearth/status")[1], "nothing runs")
        time.sleep(0.7)
        assert m.ask("GET", "/health")[0] == 200, "ill while it works"
        frozen = Frozen(life.pid, "hearth-engine", lambda: holds_no_lock(m))
        if frozen.refused:
            load.stop = True
            raise Skip(frozen.refused)
        at = time.monotonic()
        wait_for(lambda: m.ask("GET", "/health")[0] == 503, "still healthy", 5)
        took = time.monotonic() - at
        status, text = m.ask("GET", "/health")
        assert (status, json.loads(text)["error"]["code"]) == (503, "engine_stalled"), text
        patience = float(re.search(r"and ([\d.]+) s is the most", text)[1])
        assert m.ask("GET", "/ready")[0] == 503
        status, text = m.ask("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 1}))
        assert (status, json.loads(text)["error"]["code"]) == (503, "engine_stalled"), text
        assert '"stalled":true' in m.ask("GET", "/hearth/status")[1].replace(" ", "")
        assert took < patience + 1.2, (took, patience)  # it looks twice a second
        load.stop = True
        wait_for(lambda: len(m.lives) == 2, "not started again", 10)
        assert life.code == -signal.SIGABRT and max(life.fed) < at + patience + 1.2
        # The socket never closed: who connects meanwhile waits.
        status, _ = m.ask("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 1}))
        answered = time.monotonic() - m.life.start
        assert status == 200 and answered < (10 if SANITIZED else 1), (status, answered)
        load.end()
        return f"ill {1000 * took:.0f} ms after the freeze, first answer {1000 * answered:.0f} ms after the start"


@test
def a_frozen_engine_does_not_hold_up_the_end(program, model, everything):
    with Manager(program, model, "--stall-ms", "60000", "--drain-ms", "300") as m:
        life = m.ready()
        load = Load(m.port, 2, [(1 << 20, 1 << 21)])
        wait_for(lambda: re.search(r"^hearth_inter_token_seconds_count\S* [1-9]", m.ask("GET", "/metrics")[1], re.M),
                 "nothing is said")
        frozen = Frozen(life.pid, "hearth-engine", lambda: holds_no_lock(m))
        load.stop = True
        if frozen.refused:
            raise Skip(frozen.refused)
        told = time.monotonic()
        life.signal(signal.SIGTERM)
        assert life.wait() == CUT
        assert life.end - told < 0.3 + LATE_S, life.end - told
        hows = {ending(data) for _, data, _ in load.end() if data}
        assert hows & {"error", "refused"} and hows <= {"finish", "error", "refused"}, hows


def roll(program, model, overlap):
    """A server after the other on one socket, under load. Who connects is never refused, and always answered."""
    with Manager(program, model, "--parallel", "4", unix=True) as m:
        life = m.ready()
        load = Load(m.port, 6, [(1, 60)])
        for _ in range(4):
            time.sleep(0.4)
            life.signal(signal.SIGTERM)
            if overlap:
                wait_for(lambda: life.stopping, "no STOPPING=1")
            else:
                life.wait()
            last, life = life, m.start()
            m.ready()
            assert last.wait() == 0, (last.code, m.text())
        time.sleep(0.2)
        results = load.end()
        bad = [(data, why) for _, data, why in results if not data or ending(data) != "finish"]
        assert not bad, f"{len(bad)} of {len(results)}: {bad[:3]}"
        assert len(results) > 50, len(results)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(m.path)
            s.sendall(asking(5))
            assert ending(read_all(s)[0]) == "finish"
        return f"{len(results)} answers, none refused"


@test
def a_restart_on_the_managers_sockets_refuses_nobody(program, model, everything):
    return roll(program, model, False)


@test
def the_next_server_may_start_before_the_last_has_ended(program, model, everything):
    return roll(program, model, True)


@test
def idle_connections_are_told_to_go_elsewhere(program, model, everything):
    with Manager(program, model) as m:
        life = m.ready()
        with socket.create_connection(("127.0.0.1", m.port)) as idle, \
                socket.create_connection(("127.0.0.1", m.port)) as busy:
            get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
            idle.sendall(get)
            assert b"Connection: close" not in idle.recv(4096)
            busy.sendall(asking(1 << 20).replace(b"Connection: close\r\n", b""))
            assert b"200 OK" in busy.recv(4096)
            life.signal(signal.SIGTERM)
            wait_for(lambda: life.stopping, "no STOPPING=1")
            idle.sendall(asking(3, stream=False).replace(b"Connection: close\r\n", b""))
            answer, _ = read_all(idle)
            assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer, answer
            with socket.create_connection(("127.0.0.1", m.port)) as new:  # nobody takes it, and nobody refuses it
                new.settimeout(0.5)
                new.sendall(get)
                try:
                    assert not new.recv(100), "answered by a server that ends"
                except TimeoutError:
                    pass
            life.signal(signal.SIGTERM)
            assert life.wait() == CUT


@test
def what_a_manager_says_must_make_sense(program, model, everything):
    me = {"LISTEN_PID": "$$", "LISTEN_FDS": "1"}
    cases = [
        ({**me}, "3</dev/null", 2, "descriptor 3 of LISTEN_FDS is no stream socket that listens"),
        ({**me, "LISTEN_FDS": "99"}, "", 2, "LISTEN_FDS is '99'"),
        ({**me, "LISTEN_FDS": "-1"}, "", 2, "LISTEN_FDS is '-1'"),
        ({"NOTIFY_SOCKET": "relative"}, "", 2, "NOTIFY_SOCKET is 'relative'"),
        ({"NOTIFY_SOCKET": "/nowhere/at/all"}, "", 3, "does not listen on NOTIFY_SOCKET"),
        ({"WATCHDOG_USEC": "soon"}, "", 2, "WATCHDOG_USEC is 'soon'"),
    ]
    for variables, more, code, said in cases:
        words = " ".join(f"{k}={v}" for k, v in variables.items())
        done = subprocess.run(["/bin/sh", "-c", f'{words} exec "$@" {more}', "sh", program, "serve", model, "--port",
                               "0"], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == code and said in done.stderr, (variables, done.returncode, done.stderr)


@test
def a_wide_socket_of_the_manager_needs_keys_too(program, model, everything):
    with socket.create_server(("0.0.0.0", 0)) as wide:
        fd = wide.fileno()
        done = subprocess.run(["/bin/sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{fd}', "sh", program, "serve",
                               model], env=ENV, capture_output=True, text=True, pass_fds=[fd], timeout=PATIENCE_S,
                              check=False)
    assert done.returncode == 2 and "0.0.0.0" in done.stderr and "keys" in done.stderr, done


if __name__ == "__main__":
    sys.exit(main())
