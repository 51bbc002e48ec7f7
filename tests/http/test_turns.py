"""Models that take turns in a budget that holds only one of them, and what is seen of it: log, metrics, /v1/models."""

import http.server
import json
import re
import subprocess
import threading
import time

import pytest

from serving import CLEAN_ENV, PROGRAM, Gate, Server

# 27 MiB for requests, and each model about as much again with its weights.
SMALL = ("--parallel", "2", "--request-memory", "16", "--connections", "64", "--ctx", "1024", "--log-format", "json",
         "--record", "off")
ASKED = {"prompt": "It was a time", "seed": 7, "temperature": 0.9, "digest": True, "max_tokens": 8}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = [str(folder / name) for name in ("ember.gguf", "Flint.gguf")]
    for path, words in zip(paths, (("--type", "F16"), ("--type", "Q8_0", "--seed", "2")), strict=True):
        subprocess.run([PROGRAM, "dev", "synth", path, "--shape", "tiny", *words], check=True, env=CLEAN_ENV,
                       capture_output=True)
    return paths


@pytest.fixture(scope="module")
def budget(files):
    """In MB: one of them fits with its weights, and both do not."""
    with Server(*SMALL, models=files) as s:
        plans = [m["plan"] for m in s.status()["models"]]
    requests = plans[0]["request_bytes"]
    each = [p["total_bytes"] - requests for p in plans]
    least = requests + max(each) + sum(p["vocabulary_bytes"] for p in plans)
    assert requests + sum(each) > least + (4 << 20), "too small to tell"
    return str((least >> 20) + 2)


def ask(server, model, **fields):
    r = server.post("/v1/completions", {**ASKED, "model": model, **fields})
    assert r.status_code == 200, r.text
    return r.json()["hearth"]


def states(server):
    return {m["id"]: m["state"] for m in server.http.get("/v1/models").json()["data"]}


def until(server, **wanted):
    deadline = time.monotonic() + 30
    while any(states(server)[name] != state for name, state in wanted.items()):
        assert time.monotonic() < deadline, states(server)
        time.sleep(0.01)


def turns(server, n):
    """The lines of the log about models that woke or went to sleep, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        found = [line for line in lines if line["event"] == "model"]
        if len(found) >= n:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def metric(server, name, model):
    text = server.http.get("/metrics").text
    return int(re.search(rf'^{name}{{model="{model}"}} (\d+)$', text, re.M)[1])


def test_two_models_alternate_and_every_load_and_eviction_is_seen(files, budget, serve):
    alone = []
    for path in files:
        with Server(*SMALL, model=path) as one:
            alone.append(ask(one, "x")["digest"])
    s = serve(*SMALL, "--budget", budget, models=files)
    assert "they take turns" in s.screen
    assert states(s) == {"ember": "asleep", "Flint": "asleep"}
    assert {m["why_asleep"] for m in s.http.get("/v1/models").json()["data"]} == {"not wanted yet"}
    names = ["ember", "Flint"] * 3
    for i, name in enumerate(names):
        receipt = ask(s, name)
        assert receipt["digest"] == alone[i % 2]  # what sleeps and wakes has the same bits
        assert 0 < receipt["wake_ms"] <= receipt["queue_ms"]
        other = names[i - 1]
        assert states(s) == {name: "ready", other: "asleep"}
        assert metric(s, "hearth_model_asleep", name) == 0 and metric(s, "hearth_model_asleep", other) == 1
        again = ask(s, name)
        assert again["wake_ms"] == 0 and again["digest"] == receipt["digest"]
    want = [("ember", "ready", "wanted")]
    for i, name in enumerate(names[1:]):
        want += [(names[i], "asleep", "room for another model"), (name, "ready", "wanted")]
    found = turns(s, len(want))
    assert [(line["model"], line["state"], line["why"]) for line in found] == want
    assert all(line["bytes"] > 0 and line["level"] == "info" for line in found)
    assert all(("waited_ms" if line["state"] == "ready" else "awake_ms") in line for line in found)
    for i, name in enumerate(("ember", "Flint")):
        model = s.status()["models"][i]
        assert (model["n_wakes"], model["n_sleeps"]) == (3, 3 - i) and model["takes_turns"]
        assert metric(s, "hearth_model_wakes_total", name) == 3
        assert metric(s, "hearth_model_sleeps_total", name) == 3 - i
    assert s.status()["models"][0]["why_asleep"] == "room for another model"
    memory = s.status()["memory"]
    assert memory["take_turns"] and memory["planned_bytes"] <= memory["budget_bytes"] == int(budget) << 20
    assert s.status()["models"][1]["why_asleep"] is None


def test_a_stream_is_not_cut_off_and_who_waits_comes_after_it(files, budget, serve):
    s = serve(*SMALL, "--budget", budget, models=files)
    body = {**ASKED, "model": "ember", "max_tokens": 600, "ignore_eos": True}
    with s.http.stream("POST", "/v1/completions", json={**body, "stream": True}) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: ")
        assert s.http.post("/hearth/models/ember/unload").json()["state"] == "ready"
        text = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert text[-1]["choices"][0]["finish_reason"] == "length"
    until(s, ember="asleep")
    assert ask(s, "Flint")["wake_ms"] > 0


def test_a_model_that_is_pinned_stays(files, budget, serve):
    """And where the other does not fit beside it, that is said with the sum before anything is loaded."""
    s = serve(*SMALL, "--pin", "Flint", models=files)
    error = s.refused(s.http.post("/hearth/models/Flint/unload"), 409, "model_pinned")
    assert "'Flint'" in error["message"]
    assert states(s) == {"ember": "ready", "Flint": "ready"}
    assert [m["pinned"] for m in s.status()["models"]] == [False, True]
    for words, said in ((("--pin", "flint"), "--pin 'flint' is none of the models"),
                        (("--budget", "16"), "even when they take turns")):
        done = subprocess.run([PROGRAM, "serve", "--port", "0", *SMALL, *files, *words], capture_output=True, text=True,
                              timeout=60, env=CLEAN_ENV, check=False)
        assert done.returncode in (2, 4) and said in done.stderr, done.stderr


def test_an_idle_model_sleeps_after_its_while(files, serve):
    """Also one that is served alone: its name is in no metric then, and it wakes as any."""
    s = serve(*SMALL, "--keep-alive", "0.2", model=files[0])
    first = ask(s, "ember")
    until(s, ember="asleep")
    assert s.status()["models"][0]["why_asleep"] == "idle"
    assert re.search(r"^hearth_model_asleep 1$", s.http.get("/metrics").text, re.M)
    again = ask(s, "ember")
    assert again["wake_ms"] > 0 and again["digest"] == first["digest"]
    assert again["prefill"]["n_cached_tokens"] == 0  # what was kept is gone, and the receipt says so
    assert [line["why"] for line in turns(s, 2)][:2] == ["idle", "wanted"]


def test_each_model_has_its_own_while_and_pin(files, serve, tmp_path):
    """By its preset: over what the file says for serve; no request goes by it, so no receipt says so."""
    path = tmp_path / "own.toml"
    path.write_text('[serve]\nkeep-alive = 0.2\npin = "ember"\n[model.ember]\npin = false\ntemperature = 0.5\n'
                    '[model.flat]\nkeep-alive = 0\n', encoding="utf-8")
    s = serve("--config", str(path), "--alias", "ember", "--alias", "flat", *SMALL, models=files)
    assert [(m["pinned"], m["keep_alive_s"]) for m in s.status()["models"]] == [(False, 0.2), (False, None)]
    assert [m["preset"]["keys"] for m in s.status()["models"]] == [["pin", "temperature"], ["keep-alive"]]
    assert ask(s, "flat")["request"]["preset"]["used"] == []
    assert ask(s, "ember")["request"]["preset"]["used"] == []
    until(s, ember="asleep")
    assert states(s)["flat"] == "ready"
    path.write_text("[model.ember]\npin = true\n[model.flat]\nkeep-alive = 0.2\n", encoding="utf-8")
    s = serve("--config", str(path), "--alias", "ember", "--alias", "flat", *SMALL, models=files)
    assert [(m["pinned"], m["keep_alive_s"]) for m in s.status()["models"]] == [(True, None), (False, 0.2)]
    s.refused(s.http.post("/hearth/models/ember/unload"), 409, "model_pinned")
    until(s, flat="asleep")
    path.write_text("[model.ember]\npin = true\nkeep-alive = 5\n", encoding="utf-8")
    done = hearth("serve", "--port", "0", "--config", str(path), files[0])
    assert done.returncode == 2 and "what is pinned never sleeps" in done.stderr


def hearth(*words):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=60, env=CLEAN_ENV, check=False)


def test_ps_and_stop_and_load(files, serve, tmp_path):
    s = serve(*SMALL, "--alias", "a b/c", models=files)
    asked = ("--server", s.base + "/v1/")
    table = hearth("ps", *asked)
    assert table.returncode == 0, table.stderr
    rows = [line.split("  ") for line in table.stdout.splitlines()]
    assert rows[0][0].strip() == "model" and rows[1][0] == "a b/c" and "ready" in table.stdout
    assert hearth("stop", "a b/c", *asked).returncode == 0
    assert states(s) == {"a b/c": "asleep", "Flint": "ready"}
    assert "asleep: told to" in hearth("ps", *asked).stdout
    listed = json.loads(hearth("ps", "--json", *asked).stdout)
    assert [m["state"] for m in listed] == ["asleep", "ready"]
    told = s.http.post("/hearth/models/a%20b%2Fc/load").json()
    assert told["model"] == "a b/c" and told["told_to"] == "wake"
    until(s, **{"a b/c": "ready"})
    for command in ("stop", "load"):
        missing = hearth(command, "Flnt", *asked)
        assert missing.returncode == 1 and "the nearest name is 'Flint'" in missing.stderr
        assert hearth(command, *asked).returncode == 2
    assert hearth("stop", "Flint.gguf", *asked).returncode == 0  # by any of its names
    assert hearth("load", "Flint.gguf", *asked).returncode == 0
    assert states(s) == {"a b/c": "ready", "Flint": "ready"}
    nobody = hearth("ps", "--server", "http://127.0.0.1:9")
    assert nobody.returncode == 1 and "127.0.0.1:9" in nobody.stderr and not nobody.stdout
    assert hearth("ps", "--server", "ftp://x").returncode == 2


def load_events(server, name, headers=None):
    with server.http.stream("POST", f"/hearth/models/{name}/load",
                            headers={"Accept": "text/event-stream", **(headers or {})}) as r:
        assert r.status_code == 200 and r.headers["content-type"] == "text/event-stream", r.read()
        for line in r.iter_lines():
            assert line == "" or line.startswith("data: "), line
            if line:
                yield json.loads(line[6:])


def test_loading_is_told_as_a_stream_of_events(files, budget, serve):
    s = serve(*SMALL, "--budget", budget, models=files)
    seen = list(load_events(s, "Flint.gguf"))
    assert seen[-1]["phase"] == "ready" and {e["model"] for e in seen} == {"Flint"}
    assert [e["phase"] for e in seen[:-1]] == sorted((e["phase"] for e in seen[:-1]), reverse=True)
    assert 0 < seen[-1]["read_bytes"] <= seen[-1]["total_bytes"] and not seen[-1]["stalled"]
    assert states(s) == {"ember": "asleep", "Flint": "ready"}
    assert [e["phase"] for e in load_events(s, "Flint")] == ["ready"]  # it is awake: nothing to wait for
    body = {**ASKED, "model": "Flint", "max_tokens": 600, "ignore_eos": True, "stream": True}
    with s.http.stream("POST", "/v1/completions", json=body) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: ")
        events = load_events(s, "ember")
        first = next(events)
        assert first["phase"] == "waiting" and first["still_s"] < 5
        for _ in lines:
            pass
        rest = list(events)
    assert rest[-1]["phase"] == "ready"
    assert rest[-1]["elapsed_s"] > first["elapsed_s"]
    events = {"Accept": "text/event-stream"}
    s.refused(s.http.post("/hearth/models/nobody/load", headers=events), 404, "model_not_found")
    s.refused(s.http.post("/hearth/models/ember/load", headers=events, content=b"{}"), 400, "invalid_value")
    told = s.http.post("/hearth/models/ember/unload", headers=events)  # there is nothing to watch
    assert told.headers["content-type"] == "application/json" and told.json()["told_to"] == "sleep"
    assert s.http.post("/hearth/models/ember/load").json()["told_to"] == "wake"  # as ever


def test_who_no_longer_listens_stops_nothing(files, budget, serve):
    s = serve(*SMALL, "--budget", budget, models=files)
    body = {**ASKED, "model": "Flint", "max_tokens": 900, "ignore_eos": True, "stream": True}
    with s.http.stream("POST", "/v1/completions", json=body) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: ")
        assert next(load_events(s, "ember"))["phase"] in ("waiting", "ready")
        for _ in lines:
            pass
    until(s, ember="ready")


def test_load_says_that_a_disk_stands_still_and_what_the_server_says():
    event = {"object": "hearth.load", "phase": "reading", "read_bytes": 1 << 20, "total_bytes": 4 << 20}
    answers = {"/hearth/models/still/load": [{**event, "stalled": True, "still_s": 7.4}, {**event, "phase": "ready"}],
               "/hearth/models/gone/load": [{"phase": "asleep", "why_asleep": "room\nfor another"}],
               "/hearth/models/cut/load": [event], "/hearth/models/end/load": [{"error": {"message": "the end"}}]}

    class Fake(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for o in answers[self.path]:
                time.sleep(5.2 if "stalled" in o else 0)  # no terminal: a line each five seconds
                self.wfile.write(f"data: {json.dumps(o)}\n\n".encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Fake) as fake:
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        done = {name: hearth("load", name, "--server", f"http://127.0.0.1:{fake.server_port}")
                for name in ("still", "gone", "cut", "end")}
        fake.shutdown()
    assert done["still"].returncode == 0 and "nothing came for 7 s" in done["still"].stderr, done["still"].stderr
    assert done["gone"].returncode == 1 and "sleeps again: room for another" in done["gone"].stderr
    assert done["cut"].returncode == 1 and "ended the stream" in done["cut"].stderr
    assert done["end"].returncode == 1 and "the end" in done["end"].stderr


def test_ps_and_stop_and_load_reach_a_unix_socket(tmp_path):
    path = f"unix:{tmp_path}/hearth.sock"
    with Gate(host=path):
        for words, said in ((("ps",), "ready"), (("stop", "tolstoy-4m-q8_0"), ""), (("ps",), "asleep: told to"),
                            (("load", "tolstoy-4m-q8_0"), ""), (("ps",), "ready")):
            done = hearth(*words, "--server", path)
            assert done.returncode == 0 and said in done.stdout, done.stderr
    gone = hearth("ps", "--server", path)
    assert gone.returncode == 1 and f"{path}: no connection" in gone.stderr and "path right?" in gone.stderr
    for wrong in ("unix:", "unix:/" + "x" * 108):
        assert hearth("ps", "--server", wrong).returncode == 2


def test_who_loads_waits_for_its_turn(files, budget, serve):
    s = serve(*SMALL, "--budget", budget, models=files)
    body = {**ASKED, "model": "ember", "max_tokens": 900, "ignore_eos": True, "stream": True}
    with s.http.stream("POST", "/v1/completions", json=body) as r:
        lines = r.iter_lines()
        assert next(lines).startswith("data: ")
        done = hearth("load", "Flint", "--server", s.base, "--timeout", "0")
        if states(s)["ember"] == "ready":  # it may have come to its end meanwhile
            assert done.returncode == 1 and "is not ready yet" in done.stderr
        for _ in lines:
            pass
    until(s, Flint="ready")  # what was asked for stays asked for
    assert hearth("load", "ember", "--server", s.base).returncode == 0
    assert states(s) == {"ember": "ready", "Flint": "asleep"}


def test_who_may_tell_a_model(files, serve, tmp_path):
    keys, own = str(tmp_path / "keys"), str(tmp_path / "own")
    plain = hearth("key", "add", "ann", "--api-key-file", keys).stdout.split()[-1]
    admin = hearth("key", "add", "root", "--allow", "admin", "--api-key-file", keys).stdout.split()[-1]
    s = serve(*SMALL, "--api-key-file", keys, model=files[0])
    path = "/hearth/models/ember/unload"
    assert s.http.post(path).status_code == 401
    assert s.http.post(path, headers={"Authorization": f"Bearer {plain}"}).status_code == 403
    r = s.http.post(path, headers={"Authorization": f"Bearer {admin}"}, content=b"{}")
    s.refused(r, 400, "invalid_value")
    assert s.http.get(path, headers={"Authorization": f"Bearer {admin}"}).status_code == 405
    for key, code in ((plain, 1), (admin, 0)):
        with open(own, "w", encoding="ascii") as f:
            f.write(f"# mine\n{key}\n")
        done = hearth("stop", "ember", "--server", s.base, "--key-file", own)
        assert done.returncode == code and key not in done.stderr + done.stdout, done.stderr
        assert hearth("ps", "--server", s.base, "--key-file", own).returncode == 0
    assert states(s) == {"ember": "asleep"}
    assert hearth("ps", "--server", s.base).returncode == 1


def test_the_plan_says_why_and_what_would_fit_instead(serve, tmp_path):
    """As `hearth inspect --plan` does, in the same words; the program's own bytes are counted alike."""
    s = serve(*SMALL, "--threads", "1")
    plan = s.status()["models"][0]["plan"]
    assert plan["why"]["n_ctx_tokens"].startswith("as asked") and plan["why"]["n_ctx_tokens"].endswith("(--ctx)")
    assert plan["why"]["n_threads"] == "as asked (--threads)"
    assert plan["why"]["kv_type"].startswith("the default; ")
    assert plan["why"]["n_seqs"] == f"as asked (--parallel); their pool holds {plan['n_kv_tokens']} tokens together"
    alone = json.loads(hearth("inspect", "--json", "--ctx", "1024", "--threads", "1").stdout)["plan"]
    assert alone["longest_ctx_tokens"] == plan["longest_ctx_tokens"]  # there is room for all of it
    assert {k: v for k, v in alone["why"].items() if k != "n_seqs"} == \
        {k: v for k, v in plan["why"].items() if k != "n_seqs"}
    # Both by what is in memory at their start: of the same program that was seen to differ by 2 MB.
    assert abs(alone["program_bytes"] - plan["program_bytes"]) <= 4 << 20 < plan["program_bytes"]
    text = hearth("inspect", "--plan", "--ctx", "1024", "--threads", "1").stdout
    assert f"  context 1024: {plan['why']['n_ctx_tokens']}\n" in text and "  threads 1: as asked (--threads)\n" in text
