"""harness.py: runs the program from outside, for the tests beside it."""

import functools
import json
import os
import subprocess
import sys
import unittest

HEARTH = ""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.environ.get("HEARTH_FIXTURES", "")
PATIENCE_S = 100

# No settings of whoever runs the tests.
CLEAN_ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")}, "HEARTH_CONFIG": "none"}


class Result:
    def __init__(self, done):
        self.code, self.out = done.returncode, done.stdout
        self.text = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")


def program():
    """Path of the program under test."""
    return HEARTH


def hearth(*args, stdin=b"", env=None):
    done = subprocess.run([HEARTH, *args], input=stdin, capture_output=True, timeout=PATIENCE_S,
                          env={**CLEAN_ENV, **(env or {})}, check=False)
    return Result(done)


HELD_OUT = os.path.join(FIXTURES, "text", "tolstoy-val.txt")


def model_path(name):
    """Path of a fixture model."""
    return os.path.join(FIXTURES, "models", name + ".gguf")


@functools.cache
def perplexity(path):
    """What `hearth perplexity` says of a file on the held-out text."""
    done = hearth("perplexity", path, HELD_OUT, "--json")
    assert done.code == 0, done.err
    return json.loads(done.text)


class TapResult(unittest.TestResult):
    """`ok N - name` for tools/suite.py."""

    broken = None  # the last test of which a part failed

    def say(self, verdict, test, directive=""):
        print(f"{verdict} {self.testsRun} - {test.id().split('.', 1)[-1]}{directive}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print("# " + self.failures[-1][1].replace("\n", "\n# "))
        self.say("not ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        print("# " + self.errors[-1][1].replace("\n", "\n# "))
        self.say("not ok", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            where = self.failures if issubclass(err[0], test.failureException) else self.errors
            print("# " + where[-1][1].replace("\n", "\n# "))
            self.broken = test

    def stopTest(self, test):
        super().stopTest(test)
        if self.broken is test:  # unittest says nothing of a test whose parts failed
            self.say("not ok", test)


class TapRunner:
    def run(self, tests):
        print(f"1..{tests.countTestCases()}")
        result = TapResult()
        tests.run(result)
        return result


def main():
    """Speaks TAP when CMOCKA_MESSAGE_OUTPUT says so, as the unit tests do."""
    global HEARTH
    if len(sys.argv) < 2:
        sys.exit("usage: TEST.py build/hearth [unittest arguments]")
    HEARTH = os.path.abspath(sys.argv.pop(1))
    unittest.main(testRunner=TapRunner() if os.environ.get("CMOCKA_MESSAGE_OUTPUT") == "TAP" else None)
