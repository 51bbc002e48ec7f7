"""API keys: made and revoked by `hearth key`, read again while streams go on, and what each of them uses."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import threading
import time

import httpx
import pytest

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM


def key_command(*words, code=0, env=None):
    done = subprocess.run([PROGRAM, "key", *words], capture_output=True, text=True, env={**CLEAN_ENV, **(env or {})},
                          check=False, timeout=PATIENCE_S)
    assert done.returncode == code, done.stderr
    return done


def add(path, name, *words):
    return key_command("add", name, "--api-key-file", str(path), *words).stdout.strip()


def bearer(key):
    return {"headers": {"Authorization": f"Bearer {key}"}}


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def hang_up(server):
    """SIGHUP; returns the line of the log that answers it."""
    def lines():
        return [ln for ln in server.log().split("\n") if re.match(r"\S+ (notice|error) keys ", ln)]
    n = len(lines())
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(lines()) > n)
    return lines()[n]


def row(server, name, key):
    rows = server.http.get("/hearth/usage", **bearer(key)).json()["keys"]
    return next(r for r in rows if r["name"] == name)


def text_of(lines):
    events = [json.loads(ln[6:]) for ln in lines if ln.startswith("data: {")]
    return "".join(e["choices"][0]["text"] for e in events if e["choices"])


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


# ---- the command ----

def test_what_somebody_put_in_the_way_is_left_alone(keys, tmp_path):
    add(keys, "ann")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "keys.part").symlink_to(victim)
    add(keys, "ben")
    assert victim.read_text() == "mine" and stat.S_IMODE(victim.stat().st_mode) != 0o600
    assert len(keys.read_text().splitlines()) == 2


def test_a_link_is_not_replaced_by_a_file(keys, tmp_path):
    add(keys, "ann")
    link = tmp_path / "link"
    link.symlink_to(keys)
    assert "symbolic link" in key_command("revoke", "ann", "--api-key-file", str(link), code=2).stderr
    assert link.is_symlink()
    assert "ann" in key_command("list", "--api-key-file", str(link)).stdout


def test_a_group_that_may_read_the_file_may_go_on(keys):
    add(keys, "ann")
    keys.chmod(0o640)
    add(keys, "ben")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o640



def test_a_key_is_shown_once_and_kept_as_a_hash(keys):
    done = key_command("add", "ann", "--api-key-file", str(keys), "--limit", "requests=3", "--limit", "tokens=60")
    key = done.stdout.strip()
    assert re.fullmatch(r"hearth_[0-9A-Za-z]{43}", key) and done.stdout == key + "\n"
    assert "once" in done.stderr and key not in done.stderr
    text = keys.read_text()
    assert key not in text and key[7:] not in text
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert text.startswith(f"sha256:{digest} name=ann requests=3 tokens=60 # added 20")
    assert stat.S_IMODE(os.stat(keys).st_mode) == 0o600
    assert add(keys, "bob") != key
    listed = key_command("list", "--api-key-file", str(keys)).stdout
    assert re.search(r"^ann +3 +60 ", listed, re.M) and re.search(r"^bob +any +any ", listed, re.M)
    assert "sha256" not in listed


def test_what_people_wrote_there_stays(keys):
    keys.write_text("# ours\nalpha requests=2   # of the night\n\nbeta name=b")
    os.chmod(keys, 0o644)
    add(keys, "ann")
    lines = keys.read_text().split("\n")
    assert lines[:4] == ["# ours", "alpha requests=2   # of the night", "", "beta name=b"] and len(lines) == 6
    assert stat.S_IMODE(os.stat(keys).st_mode) == 0o640  # no more of others
    key_command("revoke", "line-2", "--api-key-file", str(keys))
    assert keys.read_text().split("\n")[:3] == ["# ours", "", "beta name=b"]


def test_what_cannot_be_is_refused_and_changes_nothing(keys):
    keys.write_text("alpha name=ann\n")
    for words, said in [(("add", "ann"), "name 'ann'"), (("add", "a b"), "'a b'"), (("add",), "which name"),
                        (("add", "bob", "--limit", "requests=0"), "requests=N"), (("revoke", "bob"), "'bob'"),
                        (("add", "bob", "--allow", "all"), "observer"), (("revoke", "ann"), "last key"),
                        (("revoke",), "whose key"), (("add", "x", "--limit", "a=1 b=2"), "--limit"),
                        (("add", "x", "y"), "one word too many")]:
        done = key_command(*words, "--api-key-file", str(keys), code=2)
        assert said in done.stderr, (words, done.stderr)
        assert done.stdout == "" and keys.read_text() == "alpha name=ann\n"
    assert "HEARTH_API_KEY_FILE" in key_command("list", code=2).stderr
    assert "ann" in key_command("list", env={"HEARTH_API_KEY_FILE": str(keys)}).stdout
    key_command("list", "--api-key-file", "/nowhere/keys", code=3)
    assert os.listdir(keys.parent) == ["keys"]


def test_keys_that_are_made_at_once_are_all_there(keys):
    made = []
    threads = [threading.Thread(target=lambda n=n: made.append(add(keys, f"k{n}"))) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    text = keys.read_text()
    assert len(set(made)) == 12 and all(hashlib.sha256(k.encode()).hexdigest() in text for k in made)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may write another's file")
def test_the_file_stays_its_owners(keys):
    keys.write_text("alpha\n")
    os.chown(keys, 1234, 1234)
    add(keys, "ann")
    assert os.stat(keys).st_uid == 1234 and os.stat(keys).st_gid == 1234


# ---- a server with them ----

def test_a_server_takes_them_and_no_others(serve, keys):
    ann, bob = add(keys, "ann"), add(keys, "bob", "--limit", "tokens=60")
    server = serve("--api-key-file", str(keys))
    body = {"prompt": "It was", "max_tokens": 2}
    assert server.post("/v1/completions", body, **bearer(ann)).status_code == 200
    assert server.post("/v1/completions", body, **bearer(bob)).headers["x-ratelimit-limit-tokens"] == "60"
    for wrong in (ann[:-1], ann + "x", ann.swapcase(), "hearth_", hashlib.sha256(ann.encode()).hexdigest()):
        server.refused(server.post("/v1/completions", body, **bearer(wrong)), 401, "invalid_api_key")


def test_sighup_changes_keys_and_limits_and_no_stream(serve, tiny, keys):
    ann, eve = add(keys, "ann", "--limit", "requests=1"), add(keys, "eve")
    server = serve("--ctx", "24000", "--parallel", "4", "--api-key-file", str(keys), model=tiny)
    body = {"prompt": "It was", "max_tokens": 3000, "ignore_eos": True, "seed": 5, "stream": True}
    want = text_of(server.post("/v1/completions", body, **bearer(eve)).text.split("\n"))
    got, began = [], threading.Event()

    def stream():
        with httpx.stream("POST", server.base + "/v1/completions", json=body, timeout=PATIENCE_S, **bearer(eve)) as r:
            for line in r.iter_lines():
                began.set()
                got.append(line)
    streams = threading.Thread(target=stream)
    streams.start()
    assert began.wait(PATIENCE_S)
    for n in range(5):  # eve goes while she is answered; ann's limit changes; bob comes
        key_command("revoke", "eve" if n == 0 else f"bob{n - 1}", "--api-key-file", str(keys))
        bob = add(keys, f"bob{n}")
        assert " notice keys file=" in hang_up(server) and "keys=2" in hang_up(server)
        server.refused(server.post("/tokenize", {"content": ""}, **bearer(eve)), 401, "invalid_api_key")
        assert server.post("/tokenize", {"content": ""}, **bearer(bob)).status_code == 200
        assert server.post("/tokenize", {"content": ""}, **bearer(ann)).status_code == 200
    streams.join()
    assert text_of(got) == want and want
    keys.write_text(keys.read_text().replace("requests=1", "requests=2 tokens=77 observer"))
    hang_up(server)
    mine = row(server, "ann", ann)
    assert (mine["requests_limit"], mine["tokens_per_minute_limit"]) == (2, 77)
    r = server.post("/tokenize", {"content": ""}, **bearer(ann))
    assert r.headers["x-ratelimit-limit-tokens"] == "77"


def test_a_bad_file_changes_nothing_and_the_log_says_why(serve, keys):
    ann = add(keys, "ann")
    server = serve("--api-key-file", str(keys))
    good = keys.read_text()
    for text, said in [("secret-of-bob name=a/b\n", "line 1"), ("", "no key in it"), ("# none\n", "no key in it"),
                       (good + good, "line 2"), (good + "x requests=no\n", "line 2"), (None, "cannot open")]:
        if text is None:
            os.unlink(keys)
        else:
            keys.write_text(text)
        line = hang_up(server)
        assert " error keys " in line and "stay as they were" in line and said in line, line
        assert "secret-of-bob" not in line
        assert server.post("/tokenize", {"content": ""}, **bearer(ann)).status_code == 200
    keys.write_text("beta\n")
    hang_up(server)
    server.refused(server.post("/tokenize", {"content": ""}, **bearer(ann)), 401, "invalid_api_key")
    assert server.post("/tokenize", {"content": ""}, **bearer("beta")).status_code == 200


def test_sighup_without_a_key_file_ends_nothing(serve):
    server = serve()
    assert "no key file" in hang_up(server)
    assert server.chat().status_code == 200


# ---- what they use ----

def test_what_each_key_uses_is_counted_under_its_name(serve, tiny, keys):
    ann, bob = add(keys, "ann", "--limit", "requests=1"), add(keys, "bob")
    sees = {"observer": add(keys, "obs", "--allow", "observer"), "admin": add(keys, "adm", "--allow", "admin")}
    server = serve("--ctx", "24000", "--api-key-file", str(keys), model=tiny)
    want = {"prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0}
    for n in (1, 2):
        usage = server.post("/v1/completions", {"prompt": ["It was", "It was a long time ago"], "n": n, "max_tokens": 7,
                                                "ignore_eos": True}, **bearer(ann)).json()["usage"]
        want["prompt_tokens"] += usage["prompt_tokens"]
        want["cached_tokens"] += usage["prompt_tokens_details"]["cached_tokens"]
        want["output_tokens"] += usage["completion_tokens"]
    assert server.post("/v1/completions", {"prompt": "x", "temperature": -5}, **bearer(ann)).status_code == 400
    assert server.post("/tokenize", {"content": "It"}, **bearer(ann)).status_code == 200  # generates nothing
    mine = row(server, "ann", ann)
    assert {k: mine[k] for k in want} == want and want["output_tokens"] == 6 * 7
    assert (mine["n_requests"], mine["n_completed"], mine["n_failed"]) == (3, 2, 1)
    assert 0 < mine["seconds"] < PATIENCE_S and mine["requests_limit"] == 1
    usage = server.http.get("/hearth/usage", **bearer(bob)).json()
    assert [r["name"] for r in usage["keys"]] == ["bob"] and usage["keys"][0]["n_requests"] == 0 and "all" not in usage
    for key in sees.values():
        usage = server.http.get("/hearth/usage", **bearer(key)).json()
        assert [r["name"] for r in usage["keys"]] == ["ann", "bob", "obs", "adm"]
        assert usage["keys"][0] == mine and usage["all"]["n_requests"] == 3
    assert server.http.get("/hearth/usage").status_code == 401


def test_refused_and_given_up_requests_are_counted_too(serve, tiny, keys):
    ann = add(keys, "ann", "--limit", "requests=1")
    server = serve("--ctx", "24000", "--api-key-file", str(keys), model=tiny)
    body = {"prompt": "It was a long time ago", "max_tokens": 20000, "ignore_eos": True, "stream": True}
    prompt_tokens = server.post("/v1/completions", {**body, "max_tokens": 1, "stream": False},
                                **bearer(ann)).json()["usage"]["prompt_tokens"]
    with server.http.stream("POST", "/v1/completions", json=body, **bearer(ann)) as r:
        lines = r.iter_lines()
        for _ in range(40):
            next(lines)
        refused = httpx.post(server.base + "/v1/completions", json=body, timeout=PATIENCE_S, **bearer(ann))
        server.refused(refused, 429, "key_limit")
        running = httpx.get(server.base + "/hearth/usage", **bearer(ann)).json()["keys"][0]
        assert running["n_running"] == 1 and running["n_refused"] == 1
        r.close()
    until(lambda: row(server, "ann", ann)["n_cancelled"] == 1)
    mine = row(server, "ann", ann)
    assert mine["n_requests"] == 3 and mine["n_running"] == 0 and mine["n_refused"] == 1 and mine["n_completed"] == 1
    assert mine["prompt_tokens"] == 2 * prompt_tokens and 20 <= mine["output_tokens"] < 20000


def test_without_keys_all_see_what_all_use(serve):
    server = serve()
    usage = server.chat("Hello").json()["usage"]
    seen = server.http.get("/hearth/usage").json()
    assert seen["keys"] == [] and seen["all"]["n_completed"] == 1
    assert seen["all"]["prompt_tokens"] == usage["prompt_tokens"]
    assert seen["all"]["output_tokens"] == usage["completion_tokens"]


def test_a_name_is_kept_through_a_reload_with_what_it_used(serve, keys):
    ann = add(keys, "ann")
    server = serve("--api-key-file", str(keys))
    server.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, **bearer(ann))
    keys.write_text("first name=first\n" + keys.read_text().replace("name=ann", "name=anna"))
    hang_up(server)
    assert row(server, "anna", ann)["n_completed"] == 1
    again = server.post("/v1/completions", {"prompt": "It was a long " * 20, "max_tokens": 1}, **bearer(ann))
    again = server.post("/v1/completions", {"prompt": "It was a long " * 20, "max_tokens": 1}, **bearer(ann))
    assert again.json()["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    other = server.post("/v1/completions", {"prompt": "It was a long " * 20, "max_tokens": 1}, **bearer("first"))
    assert other.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
