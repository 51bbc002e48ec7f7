#!/usr/bin/env python3
"""test_verdict.py: what an answer was bound by, where the reason is known because it was made so.

    tests/cli/test_verdict.py build/hearth [unittest arguments]
"""

import http.client
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import CLEAN_ENV, hearth, main

GROUPS = "/sys/fs/cgroup"
WORDS = "the prince rode along the line of his troops and nobody knew why he smiled "


class Server:
    def __init__(self, *words):
        self.screen = tempfile.TemporaryFile()
        self.process = subprocess.Popen([harness.program(), "serve", "--port", "0", *words], stdout=self.screen,
                                        stderr=subprocess.STDOUT, env=CLEAN_ENV)

    def text(self):
        self.screen.seek(0)
        return self.screen.read().decode()

    def __enter__(self):
        end = time.monotonic() + harness.PATIENCE_S
        while "print(" not in self.text():
            assert self.process.poll() is None and time.monotonic() < end, self.text()
            time.sleep(0.02)
        self.port = int(re.search(r"http://[\d.]+:(\d+)/v1", self.text())[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.screen.close()

    def ask(self, prompt, n=1, **more):
        """The receipt of an answer."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.PATIENCE_S)
        body = {"prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True, **more}
        c.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.load(c.getresponse())
        c.close()
        return answer["hearth"]


class Group:
    """A control group of its own, where this process may make one: version 2, or the controller's hierarchy of version
    1. write: (file of version 2, what, file of version 1, what)."""

    def __init__(self, controller, write):
        self.path = ""
        old = os.path.join(GROUPS, controller)
        for base, name, value in ((old, *write[2:]), (GROUPS, *write[:2])):
            path = os.path.join(base, f"hearth-test-{os.getpid()}")
            try:
                os.mkdir(path)
                self.path = path
                with open(os.path.join(path, name), "w", encoding="ascii") as f:
                    f.write(value)
                return
            except OSError as e:
                self.close()
                why = e
        raise unittest.SkipTest(f"no control group with the controller {controller} can be made here: {why}")

    def close(self):
        if self.path:
            os.rmdir(self.path)
        self.path = ""

    def run(self, *words):
        """`hearth run` inside; the receipt."""
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as procs:
            done = subprocess.run([harness.program(), "run", *words, "--raw", "--json"], stdin=subprocess.DEVNULL,
                                  capture_output=True, env=CLEAN_ENV, check=False, timeout=harness.PATIENCE_S,
                                  preexec_fn=lambda: procs.write(str(os.getpid())) and procs.flush())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["hearth"]


class Verdict(unittest.TestCase):
    def kind(self, receipt, *wanted):
        """Where others have the processors it is the truth to say so."""
        verdict = receipt["verdict"]
        if verdict["kind"] == "crowded out" and "crowded out" not in wanted:
            computing = receipt["prefill"]["ms"] + receipt["decode"]["ms"]
            self.assertGreaterEqual(receipt["withheld"]["no_processor_ms"], computing / 4)
            self.skipTest("others have the processors")
        self.assertIn(verdict["kind"], wanted, receipt)
        self.assertTrue(verdict["sentence"].startswith(verdict["kind"] + ": "))

    def test_prompt(self):
        with Server() as s:
            s.ask("a", 1)
            self.kind(s.ask(WORDS * 9), "prefill-bound")

    def test_answer(self):
        with Server() as s:
            s.ask("a", 1)
            receipt = s.ask("a", 200)
            self.kind(receipt, "decode-bound", "memory-bound", "sampling-bound")
            self.assertIsNone(receipt["template"])

    def test_queue(self):
        with Server("--parallel", "1") as s:
            s.ask("a", 1)
            others = [threading.Thread(target=s.ask, args=("b", 250)) for _ in range(4)]
            for t in others:
                t.start()
            time.sleep(0.05)
            receipt = s.ask("c", 1)
            for t in others:
                t.join()
            self.kind(receipt, "queue-bound")

    def test_a_first_line_that_changes(self):
        with Server() as s:
            s.ask("Friday, 10:41. " + WORDS * 9)
            self.kind(s.ask("Friday, 10:42. " + WORDS * 9), "cache miss")

    def test_a_quota(self):
        group = Group("cpu", ("cpu.max", "20000 100000", "cpu.cfs_quota_us", "20000"))
        try:
            receipt = group.run("-p", "Once", "-n", "250", "--ignore-eos", "-t", "2")
        finally:
            group.close()
        self.assertGreater(receipt["withheld"]["throttled_ms"], 0)
        self.kind(receipt, "quota-bound")

    def test_a_file_larger_than_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "large.gguf")
            done = hearth("dev", "synth", "--shape", "qwen3-0.6b", "--type", "Q4_0", path)
            self.assertEqual(done.code, 0, done.err)
            most = os.path.getsize(path) * 2 // 3
            with open(path, "rb") as f:  # what is in memory already counts as another group's
                os.fsync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            group = Group("memory", ("memory.max", str(most), "memory.limit_in_bytes", str(most)))
            try:
                receipt = group.run(path, "-p", "Once", "-n", "3", "--ignore-eos", "--ctx", "64")
            finally:
                group.close()
        self.assertGreater(receipt["faults"]["disk_read_bytes"], most)
        self.kind(receipt, "disk-bound")


if __name__ == "__main__":
    main()
