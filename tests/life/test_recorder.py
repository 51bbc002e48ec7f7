#!/usr/bin/env python3
"""test_recorder.py: what `hearth serve` records of answers, when it is killed, and when its disk takes nothing.

    tests/life/test_recorder.py build/hearth [--all] [NAME...]

--all kills a server 200 times under load, where without it is done a few times. Speaks TAP.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from manager import PATIENCE_S, Manager, wait_for
from tap import Skip, main, test

KILLS, ALL_KILLS, CLIENTS = 6, 200, 8
LOST_S = 1.0  # the promise, on a machine that does nothing else: --all holds it to that


def body_of(prompt, n):
    return json.dumps({"prompt": prompt, "max_tokens": n, "ignore_eos": True, "temperature": 1, "seed": n})


class Client(threading.Thread):
    """Asks again and again; when each answer was there, by the id of its request."""

    def __init__(self, m, name):
        super().__init__()
        self.m, self.name_, self.stop, self.done = m, name, False, {}

    def run(self):
        dice = random.Random(self.name_)
        for i in range(1 << 30):
            if self.stop:
                return
            request_id = f"{self.name_}-{i}"
            try:
                status, _ = self.m.ask("POST", "/v1/completions", body_of("It was", dice.randint(1, 30)),
                                       headers={"X-Request-Id": request_id})
            except OSError:
                return  # it was killed
            assert status == 200, status
            self.done[request_id] = time.monotonic()


def ids_in(path):
    """The requests in a database that is sound."""
    with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_S)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("SELECT id FROM request WHERE id NOT IN (SELECT id FROM receipt)").fetchall() == []
        return {row[0] for row in db.execute("SELECT request_id FROM request")}


def kill_once(program, model, folder, number):
    """(rows there, rows that the server said were written, answers, ages at the kill of those that are not there)"""
    with Manager(program, model, "--parallel", str(CLIENTS), "--record-dir", folder, "--record",
                 "full" if number % 2 else "receipts", sockets=False) as m:
        life = m.ready()
        clients = [Client(m, f"k{number}c{i}") for i in range(CLIENTS)]
        for c in clients:
            c.start()
        time.sleep(random.Random(number).uniform(0.05, 2.5))
        n_said = json.loads(m.ask("GET", "/hearth/status")[1])["recorder"]["n_written"]
        told = time.monotonic()
        life.signal(signal.SIGKILL)
        life.wait()
        for c in clients:
            c.stop = True
            c.join()
    there = ids_in(os.path.join(folder, "record.db"))
    done = {request_id: at for c in clients for request_id, at in c.done.items()}
    lost = [told - at for request_id, at in done.items() if request_id not in there]
    return there, n_said, len(done), lost


@test
def a_kill_leaves_a_sound_database_with_all_that_was_written(program, model, everything):
    n_kills, n_done, n_lost, oldest, before = ALL_KILLS if everything else KILLS, 0, 0, 0.0, set()
    with tempfile.TemporaryDirectory(prefix="hearth-record-") as folder:
        for number in range(n_kills):
            there, n_said, done, lost = kill_once(program, model, folder, number)
            assert before <= there, f"kill {number}: {len(before - there)} rows of earlier lives are gone"
            n_new = len(there - before)
            assert n_new >= n_said, f"kill {number}: {n_said} were said to be written, {n_new} are there"
            if everything:
                assert max(lost, default=0) <= LOST_S, f"kill {number}: an answer of {max(lost):.2f} s before is lost"
            before, n_done, n_lost, oldest = there, n_done + done, n_lost + len(lost), max([oldest, *lost])
    assert n_done > 10 * n_kills
    return f"{n_kills} kills, {n_done} answers, {n_lost} lost, the oldest of them {1000 * oldest:.0f} ms before"


# ---- disks ----

class Mounted:
    """A server in whose eyes, and nobody else's, a folder is a file system of its own."""

    def __init__(self, program, model, mount, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="hearth-record-")
        self.m = Manager(program, model, "--record-dir", self.folder.name, *options, sockets=False)
        self.m.words = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f'{mount} && exec "$@"', "sh", *self.m.words]
        self.m.words[4] = self.m.words[4].replace("FOLDER", self.folder.name)

    def __enter__(self):
        self.m.__enter__()
        self.m.ready()
        return self

    def __exit__(self, *why):
        self.m.__exit__(*why)
        self.folder.cleanup()

    def path(self, name=""):
        """As the server sees it."""
        return os.path.join(f"/proc/{self.m.life.pid}/root{self.folder.name}", name)

    def recorder(self):
        return json.loads(self.m.ask("GET", "/hearth/status")[1])["recorder"]

    def answers(self, n):
        """n answers' texts; each must be one."""
        texts = []
        for i in range(n):
            status, text = self.m.ask("POST", "/v1/completions", body_of("It was " * 20, 20 + i))
            assert status == 200, text
            texts.append(json.loads(text)["choices"][0]["text"])
        return texts


def needs_mounts():
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'f=$(mktemp -d) && mount -t tmpfs -o size=1m none "$f"'],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f"file systems may not be mounted here: {done.stderr.strip()}")


def texts_without_recorder(program, model, n):
    with Mounted(program, model, "true", "--record", "off") as s:
        return s.answers(n)


@test
def a_full_disk_is_counted_and_no_answer_is_another(program, model, everything):
    needs_mounts()
    want = texts_without_recorder(program, model, 6)
    with Mounted(program, model, "mount -t tmpfs -o size=1m none FOLDER", "--record", "full") as s:
        s.answers(1)
        wait_for(lambda: s.recorder()["n_written"] == 1, "nothing is written")
        with open(s.path("filler"), "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 4096)
        assert s.answers(6) == want
        n = wait_for(lambda: s.recorder()["n_dropped"], "nothing is dropped")
        assert "full" in s.recorder()["problem"], s.recorder()
        assert s.answers(6) == want  # while rows are tried again
        wait_for(lambda: s.recorder()["n_dropped"] > n, "nothing more is dropped")
        os.unlink(s.path("filler"))
        written = s.recorder()["n_written"]
        assert s.answers(6) == want
        wait_for(lambda: s.recorder()["n_written"] >= written + 6, "nothing is written any more")
        wait_for(lambda: s.recorder()["problem"] is None, "the problem stays")
        with tempfile.TemporaryDirectory(prefix="hearth-record-") as copy:  # SQLite would resolve the link in the path
            for name in ("record.db", "record.db-wal"):
                shutil.copy(s.path(name), copy)
            assert len(ids_in(os.path.join(copy, "record.db"))) == s.recorder()["n_written"]
        assert s.m.text().count("nothing is recorded for now") == 1, s.m.text()
        return f"{s.recorder()['n_dropped']} dropped"


@test
def a_read_only_disk_is_counted_and_no_answer_is_another(program, model, everything):
    needs_mounts()
    want = texts_without_recorder(program, model, 6)
    read_only = "mount --bind FOLDER FOLDER && mount -o remount,ro,bind FOLDER"
    for there in (False, True):
        with Mounted(program, model, read_only) as s:
            if there:
                s.m.life.signal(signal.SIGTERM)
                s.m.life.wait()
                words, s.m.words[4] = s.m.words[4], 'true && exec "$@"'
                s.m.start()
                s.m.ready()
                s.answers(1)
                wait_for(lambda: s.recorder()["n_written"] == 1, "nothing is written")
                s.m.life.signal(signal.SIGKILL)  # its log stays
                s.m.life.wait()
                s.m.words[4] = words
                s.m.start()
                s.m.ready()
            assert s.answers(6) == want
            wait_for(lambda: s.recorder()["n_dropped"] == 6, "nothing is dropped")
            assert s.recorder()["n_written"] == 0 and s.recorder()["problem"]
            assert "nothing is recorded for now" in s.m.text()


if __name__ == "__main__":
    sys.exit(main())
