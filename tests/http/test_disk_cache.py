"""The cache on disk through the server: restarts, keys, damage, a kill while it writes."""

import os
import signal
import subprocess
import time

import pytest

from serving import CLEAN_ENV, PROGRAM, Server

PAGE = 64
PROMPT = [300 + i * 7 % 500 for i in range(700)]
FULL = len(PROMPT) // PAGE * PAGE
ASKED = {"prompt": PROMPT, "max_tokens": 6, "seed": 3, "digest": True, "temperature": 0}


def essence(answer):
    return answer["choices"][0]["text"], answer["hearth"]["digest"]


def ask(server, key=None, **fields):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = server.post("/v1/completions", {**ASKED, **fields}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def disk(answer):
    return answer["hearth"]["disk"]["n_tokens"]


def cache(server, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return server.http.get("/hearth/status", headers=headers).json()["disk_cache"]


def until_written(server, n, key=None):
    deadline = time.monotonic() + 30
    while cache(server, key)["n_written"] < n:
        assert time.monotonic() < deadline, cache(server, key)
        time.sleep(0.02)


@pytest.fixture
def live(tiny, tmp_path):
    """One life of a server with the folder; it ends before the next begins."""
    def start(*options):
        return Server("--parallel", "2", "--cache-dir", str(tmp_path / "cache"), *options, model=tiny)
    return start


def test_a_restarted_server_reads_what_it_computed_before(live):
    with live() as s:
        first = ask(s)
        assert disk(first) == 0
        until_written(s, FULL // PAGE)
    with live() as s:
        again = ask(s)
        metrics = s.http.get("/metrics").text
        assert essence(again) == essence(first)
        assert disk(again) == FULL and again["hearth"]["disk"]["ms"] > 0
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == FULL
        assert f"hearth_disk_cache_read_pages_total {FULL // PAGE}\n" in metrics
        assert cache(s)["n_unusable"] == cache(s)["n_foreign"] == 0
        warm = ask(s)
        assert essence(warm) == essence(first) and disk(warm) == 0  # from memory


def test_a_key_does_not_find_what_another_asked_also_after_a_restart(live, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one-key-of-the-team\nanother-key-of-the-team\n", encoding="ascii")
    with live("--api-key-file", str(keys)) as s:
        first = ask(s, "one-key-of-the-team")
        until_written(s, FULL // PAGE, "one-key-of-the-team")
    keys.write_text("a-new-key-at-the-top\nanother-key-of-the-team\none-key-of-the-team\n", encoding="ascii")
    with live("--api-key-file", str(keys)) as s:
        other = ask(s, "another-key-of-the-team")
        new = ask(s, "a-new-key-at-the-top")
        again = ask(s, "one-key-of-the-team")
        assert (disk(other), disk(new), disk(again)) == (0, 0, FULL)
        assert essence(other) == essence(new) == essence(again) == essence(first)
    with live() as s:
        assert disk(ask(s)) == 0  # without keys


def test_damaged_files_are_said_once_and_computed(live, tmp_path):
    with live() as s:
        first = ask(s)
        until_written(s, FULL // PAGE)
    for name in os.listdir(tmp_path / "cache"):
        if name.endswith(".kv"):
            with open(tmp_path / "cache" / name, "r+b") as f:
                f.seek(5000)
                byte = f.read(1)
                f.seek(5000)
                f.write(bytes([byte[0] ^ 1]))
    with live() as s:
        again = ask(s)
        assert essence(again) == essence(first) and disk(again) == 0
        assert cache(s)["n_unusable"] == 1  # what is behind the first is not looked at
    assert s.said.count("is not used and removed: its data is damaged") == 1


@pytest.mark.parametrize("wait_ms", [0, 3, 10, 30, 100])
def test_a_server_that_is_killed_while_it_writes_leaves_nothing_wrong(live, tmp_path, wait_ms):
    with live() as s:
        first = ask(s, max_tokens=1)
        time.sleep(wait_ms / 1000)
        os.kill(s.process.pid, signal.SIGKILL)
        s.process.wait()
        s.process.returncode = 0  # as it should be
    with live() as s:
        again = ask(s, max_tokens=1)
        assert essence(again) == essence(first)
        assert cache(s)["n_unusable"] == cache(s)["n_foreign"] == 0
        assert not [n for n in os.listdir(tmp_path / "cache") if n.endswith(".part") and disk(again) == FULL]


def test_a_folder_that_cannot_be_used_is_refused_at_the_start(tiny, tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")
    words = [PROGRAM, "serve", tiny, "--port", "0", "--cache-dir", str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, env=CLEAN_ENV, check=False)
    assert done.returncode == 3 and f"cannot open the folder {tmp_path / 'file'}: Not a directory" in done.stderr


def test_without_the_option_there_is_none(server):
    assert cache(server) is None
    assert "disk_cache" not in server.http.get("/metrics").text
