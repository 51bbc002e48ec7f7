"""conftest.py: servers to ask, and TAP for tools/suite.py."""

import os
import subprocess

import pytest

from serving import CLEAN_ENV, PROGRAM, Server


@pytest.fixture(scope="session")
def server():
    """The built-in model with two streams and a short ping; nobody may stop it."""
    with Server("--parallel", "2", "--queue", "8", "--ping-ms", "100", "--header-ms", "1500") as s:
        yield s


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A model with random weights that goes on as long as it is let."""
    path = str(tmp_path_factory.mktemp("models") / "tiny.gguf")
    subprocess.run([PROGRAM, "dev", "synth", "--shape", "tiny", path], check=True, env=CLEAN_ENV, capture_output=True)
    return path


@pytest.fixture
def serve():
    """Starts servers with options of the test's own, and ends them after it."""
    started = []

    def start(*options, **more):
        started.append(Server(*options, **more).__enter__())
        return started[-1]

    yield start
    for s in started:
        s.__exit__(None, None, None)


# ---- parts ----

def pytest_addoption(parser):
    parser.addoption("--part", metavar="K/N", help="the Kth of N runs of tests that follow each other; together all")


def part_of(items, words):
    k, n = (int(word) for word in words.split("/"))
    assert 1 <= k <= n, words
    return items[len(items) * (k - 1) // n:len(items) * k // n]


# ---- TAP ----

TAP = os.environ.get("CMOCKA_MESSAGE_OUTPUT") == "TAP"
count = 0


def pytest_collection_modifyitems(config, items):
    if config.option.part:
        items[:] = part_of(items, config.option.part)
    if TAP:
        print(f"\n1..{len(items)}", flush=True)


def pytest_runtest_logreport(report):
    global count
    wanted = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
    if report.when == "teardown" and report.outcome == "failed":
        print(f"\nnot ok {count} - {report.nodeid} (teardown)", flush=True)
    if not TAP or not wanted:
        return
    count += 1
    name = report.nodeid.split("::", 1)[-1].replace("#", "")
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        print(f"\nok {count} - {name} # SKIP {reason.removeprefix('Skipped: ')}", flush=True)
    else:
        print(f"\n{'ok' if report.outcome == 'passed' else 'not ok'} {count} - {name}", flush=True)
