"""The flight recorder: what is kept of answers, what is not, and that no trouble with it reaches a client."""

import contextlib
import glob
import json
import os
import re
import sqlite3
import struct
import subprocess
import time

import pytest

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM, Server

CHAT = {"messages": [{"role": "user", "content": "a question of nobody"}], "max_tokens": 6, "seed": 3}


class Recorded:
    """The database of a folder, read as anybody can."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "record.db")

    def rows(self, sql="SELECT * FROM request LEFT JOIN receipt USING(id) LEFT JOIN body USING(id) ORDER BY id"):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=PATIENCE_S)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(sql).fetchall()

    def wait(self, n):
        deadline = time.monotonic() + PATIENCE_S
        while len(rows := self.rows()) < n:
            assert time.monotonic() < deadline, [dict(r) for r in rows]
            time.sleep(0.02)
        return rows


def state(server):
    return server.status()["recorder"]


def settled(server, condition):
    """The recorder's figures as soon as they are so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition(now := state(server)):
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
    return now


def ids(blob):
    return list(struct.unpack(f"<{len(blob) // 4}i", blob))


# ---- what is kept ----

def test_by_default_an_answer_has_its_receipt_and_nothing_that_was_said(tmp_path):
    with Server("--record-dir", str(tmp_path / "r")) as server:
        assert re.search(rf"(?m)^recorded +receipts of answers: {tmp_path}/r/record.db \(hearth log\)$", server.screen)
        answer = server.post("/v1/chat/completions", CHAT, headers={"X-Request-Id": "mine"}).json()
        row = dict(Recorded(tmp_path / "r").wait(1)[0])
        now = settled(server, lambda s: s["n_written"] == 1)
        metrics = server.http.get("/metrics").text
    assert {k: row[k] for k in ("request_id", "choice", "source", "model", "status", "finish", "detail", "seed", "key")
            } == {"request_id": "mine", "choice": 0, "source": "/v1/chat/completions", "model": server.model,
                  "status": 200, "finish": "length", "detail": "max_tokens 6", "seed": 3, "key": None}
    kept, sent = json.loads(row["json"]), answer["hearth"]
    assert row["identity"] == sent["model"]["identity"] and row["template_sha256"] == sent["template"]["sha256"]
    assert row["n_prompt_tokens"] == answer["usage"]["prompt_tokens"] and row["n_output_tokens"] == 6
    del sent["request"]  # has what the client said
    sent["prefix"]["id"] = None  # a token of the prompt
    assert kept == sent
    assert row["prompt"] is None and row["parameters"] is None
    assert now == {"mode": "receipts", "path": f"{tmp_path}/r/record.db", "bytes": now["bytes"], "n_written": 1,
                   "n_waiting": 0, "n_dropped": 0, "n_removed": 0, "n_failed": 0, "problem": None}
    assert now["bytes"] > 0
    assert "\nhearth_record_written_total 1\n" in metrics and "\nhearth_record_dropped_total 0\n" in metrics


def test_full_has_all_that_computes_it_again(tmp_path):
    body = {"prompt": [[260, 261, 262], "It was"], "n": 2, "max_tokens": 5, "seed": 7, "stop": ["zq"],
            "logit_bias": {"9": 1.5}, "ignore_eos": True, "temperature": 1, "return_tokens": True, "unheard_of": 1}
    with Server("--record-dir", str(tmp_path), "--record", "full") as server:
        answer = server.post("/v1/completions", body).json()
        whole = server.post("/completion", {"prompt": [260, 261, 262], "n_predict": 5, "seed": 7, "ignore_eos": True,
                                            "temperature": 1, "return_tokens": True, "logit_bias": {"9": 1.5}}).json()
        rows = Recorded(tmp_path).wait(5)
    assert [r["choice"] for r in sorted(rows[:4], key=lambda r: r["choice"])] == [0, 1, 2, 3]
    for row in rows[:4]:
        assert row["request_id"] == rows[0]["request_id"] and row["seed"] == 7 + row["choice"] % 2
        assert len(ids(row["output"])) == 5 and len(row["mixes"]) == 5 * 8
        parameters = json.loads(row["parameters"])
        assert parameters["max_tokens"] == 5 and parameters["stop"] == ["zq"]
        assert json.loads(row["json"])["ignore_eos"]
        assert parameters["logit_bias"] == [[9, 1.5]] and "unheard_of" in parameters["asked"]["ignored_fields"]
    first = next(r for r in rows if r["choice"] == 0)
    assert ids(first["prompt"])[-3:] == [260, 261, 262]
    assert ids(first["output"]) == whole["tokens"] == ids(rows[4]["output"])
    assert first["mixes"] == rows[4]["mixes"] != next(r for r in rows if r["choice"] == 1)["mixes"]
    assert len(answer["choices"]) == 4


def test_off_makes_nothing(tmp_path):
    with Server("--record-dir", str(tmp_path / "r"), "--record", "off") as server:
        server.chat()
        assert state(server) is None and "hearth_record" not in server.http.get("/metrics").text
        assert "recorded" not in server.screen
    assert not os.path.exists(tmp_path / "r")


def test_how_answers_end_can_be_seen(tmp_path):
    with Server("--record-dir", str(tmp_path), "--record", "full", "--ctx", "64") as server:
        with server.http.stream("POST", "/v1/completions", json={"prompt": "It", "stream": True, "ignore_eos": True,
                                                                 "n": 2, "max_tokens": 60}) as r:
            next(r.iter_lines())
        server.refused(server.post("/v1/completions", {"prompt": "It was " * 200}), 400, "context_length_exceeded")
        server.refused(server.post("/v1/completions", {"prompt": 1}), 400, "invalid_type")
        server.post("/v1/completions", {"prompt": "It", "max_tokens": 1})
        server.post("/tokenize", {"content": "It"})
        rows = Recorded(tmp_path).wait(4)
    assert len(rows) == 4  # what never came to the engine is none
    refused = next(r for r in rows if r["status"] == 400)
    assert refused["finish"] == "error" and refused["n_output_tokens"] == 0
    gone = [r for r in rows if r["finish"] == "cancelled" or r["choice"] == 1]
    for row in gone:  # one that was given up before its prompt was read has none
        assert len(ids(row["output"])) == row["n_output_tokens"] and len(ids(row["prompt"])) == row["n_prompt_tokens"]
    second = next(r for r in rows if r["choice"] == 1)
    assert any(r["n_prompt_tokens"] for r in rows if r["request_id"] == second["request_id"])


def test_where_it_goes_unless_told(tmp_path):
    places = [({"XDG_STATE_HOME": str(tmp_path / "xdg")}, "xdg/hearth/record"),
              ({"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": "relative"}, "home/.local/state/hearth/record"),
              ({"STATE_DIRECTORY": f"{tmp_path}/service:/other", "HOME": "/nowhere"}, "service/record")]
    for env, place in places:
        server = Server()
        server.env = {**server.env, "HEARTH_RECORD_DIR": "", "XDG_STATE_HOME": "", **env}
        with server:
            server.chat()
        assert os.listdir(tmp_path / place) == ["record.db"]
        assert len(Recorded(tmp_path / place).rows()) == 1, place
        for folder in (tmp_path / place, tmp_path / place.split("/")[0]):
            assert os.stat(folder).st_mode & 0o7777 == 0o700


def test_without_a_place_it_serves_and_says_so(tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")
    server = Server("--record", "full")
    server.env = {**server.env, "HEARTH_RECORD_DIR": "", "HOME": f"{tmp_path}/file"}
    with server:
        assert server.chat().status_code == 200
        assert state(server) is None
    assert len(re.findall(r"nothing is recorded: cannot make the folder .*file.*--record off", server.said)) == 1


# ---- trouble ----

def test_a_database_that_others_hold_delays_nothing(tmp_path):
    with Server("--record-dir", str(tmp_path)) as server:
        db = sqlite3.connect(tmp_path / "record.db", isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            assert server.chat().status_code == 200
        now = settled(server, lambda s: s["n_dropped"] == 3)
        assert now["n_written"] == 0 and "locked" in now["problem"]
        db.execute("ROLLBACK")
        assert server.chat().status_code == 200
        now = settled(server, lambda s: s["n_written"] == 1)
        assert now["problem"] is None
    assert server.said.count("nothing is recorded for now") == 1
    assert re.search(r"recorded again; 3 were dropped", server.said)


@pytest.mark.parametrize("how", ["taken away", "damaged"])
def test_a_database_that_is_no_more_is_begun_anew_inside_of_the_sandbox(tmp_path, how):
    path = tmp_path / "record.db"
    with Server("--record-dir", str(tmp_path)) as server:
        server.chat()
        Recorded(tmp_path).wait(1)
        if how == "taken away":
            os.unlink(path)
        else:
            (tmp_path / "other").write_bytes(b"no database" * 1000)
            os.rename(tmp_path / "other", path)
        server.chat()
        settled(server, lambda s: s["n_written"] == 2 and s["n_dropped"] == 0)
    aside = glob.glob(f"{path}.damaged-*")
    assert len(Recorded(tmp_path).rows()) == 1
    assert [open(name, "rb").read(11) for name in aside] == [b"no database"] * (how == "damaged")
    assert "was taken away; a new one is begun" in server.said
    assert (".damaged-" in server.said) == (how == "damaged")


def test_a_database_that_others_held_at_the_start_is_opened_inside_of_the_sandbox(tmp_path):
    with Server("--record-dir", str(tmp_path)):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "record.db", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        with Server("--record-dir", str(tmp_path)) as server:
            assert "locked" in state(server)["problem"] and server.chat().status_code == 200
            settled(server, lambda s: s["n_dropped"] == 1)
            db.execute("ROLLBACK")
            db.close()
            server.chat()
            settled(server, lambda s: s["n_written"] == 1)


def test_two_servers_write_to_one(tmp_path):
    with Server("--record-dir", str(tmp_path)) as a, Server("--record-dir", str(tmp_path)) as b:
        for i in range(5):
            a.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, headers={"X-Request-Id": f"a{i}"})
            b.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, headers={"X-Request-Id": f"b{i}"})
        rows = Recorded(tmp_path).wait(10)
    assert sorted(r["request_id"] for r in rows) == [f"{s}{i}" for s in "ab" for i in range(5)]


# ---- hearth log ----

def log(*words, folder=None, code=0, env=None):
    words = [PROGRAM, "log", *words, *(["--record-dir", str(folder)] if folder else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                          env={**CLEAN_ENV, "TZ": "UTC", **(env or {})})
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A folder in which two keys' answers of two models are recorded, by a server that is gone."""
    folder = tmp_path_factory.mktemp("logged")
    (folder / "keys").write_text("alpha name=ann\nomega name=bob\n", encoding="ascii")
    with Server("--record-dir", str(folder), "--record", "full", "--api-key-file", str(folder / "keys"),
                "--alias", "tolstoy") as server:
        for i, key in enumerate(["alpha", "omega", "alpha"]):
            head = {"Authorization": f"Bearer {key}", "X-Request-Id": f"r{i}"}
            body = {"prompt": "It was", "max_tokens": 4 + i, "seed": i, "ignore_eos": True, "temperature": 1}
            assert server.post("/v1/completions", {**body, "n": 1 + i // 2}, headers=head).status_code == 200
        head = {"Authorization": "Bearer omega", "X-Request-Id": "long"}
        assert server.post("/v1/completions", {"prompt": "It " * 1000}, headers=head).status_code == 400
    return folder


def test_a_list_is_a_table_with_the_newest_last(logged):
    out, err = log(folder=logged, env={"HEARTH_MODEL": "of-another-command.gguf"})
    lines = out.splitlines()
    assert not err and len(lines) == 6 and lines[0].split() == [
        "ID", "ENDED", "KEY", "MODEL", "ASKED", "FINISH", "PROMPT", "CACHED", "OUTPUT", "FIRST", "TOTAL", "REQUEST"]
    assert re.fullmatch(r" 1  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  ann  tolstoy  /v1/completions  length +2 +0 +4"
                        r" +[\d.]+ m?s +[\d.]+ m?s  r0", lines[1]), lines[1]
    assert len({line.index("/v1/") for line in lines[1:]} | {lines[0].index("ASKED")}) == 1
    assert lines[5].endswith("long (400)") and {lines[3][-2:], lines[4][-2:]} == {"r2", "#1"}


def test_a_list_is_filtered(logged):
    def ids_of(*words):
        return [int(line.split()[0]) for line in log(*words, folder=logged)[0].splitlines()[1:]]
    assert ids_of("--last", "2") == [4, 5] and ids_of("-n", "0") == [1, 2, 3, 4, 5]
    assert ids_of("--key", "ann") == [1, 3, 4] and ids_of("--key", "bob", "--status", "200") == [2]
    assert ids_of("--status", "400") == [5] and ids_of("--finish", "error") == [5]
    assert ids_of("--finish", "max_tokens 5") == [2] and ids_of("--request", "r2") == [3, 4]
    assert ids_of("--model", "tolstoy", "--since", "1h") == [1, 2, 3, 4, 5]
    assert ids_of("--since", "2020-02-29T08:30:01") == [1, 2, 3, 4, 5]
    for words in (["--model", "another"], ["--slower-than", "600000"], ["--since", "2037-01-01"]):
        out, err = log(*words, folder=logged)
        assert not out and re.match(r"hearth: no answer in .* is so", err), words


def test_what_cannot_be_is_refused_with_what_can(logged, tmp_path):
    for text in ("2", "h", "-1h", "2y", "2020-02-30", "2020-13-01", "2020-01-01T", "2020-01-01T1", "2020-01-01x"):
        assert "--since is '" in log("--since", text, folder=logged, code=2)[1], text
    assert "there is no record nobody" in log("nobody", folder=logged, code=1)[1]
    assert "nothing was recorded there" in log(folder=tmp_path, code=3)[1] and not os.listdir(tmp_path)
    (tmp_path / "record.db").write_bytes(b"no database" * 1000)
    assert "damaged" in log(folder=tmp_path, code=3)[1]


def test_one_is_shown_whole_by_number_or_request(logged):
    out, _ = log("2", folder=logged)
    assert out.startswith("record 2, 20") and "\n  key                  bob\n" in out
    assert re.search(r"(?m)^  finish +reason length, detail max_tokens 5, repetition -$", out)
    assert re.search(r"(?m)^  recorded +2 tokens in and 5 out", out)
    assert log("r1", folder=logged)[0] == out
    both, _ = log("r2", folder=logged)
    assert both.count("\nrecord ") == 1 and both.startswith("record 3, ")


def test_nothing_that_a_client_said_moves_the_cursor(tmp_path):
    evil = "\x1b[2J\x9b2J\r\n\x07"
    with Server("--record-dir", str(tmp_path), "--record", "full") as server:
        server.post("/v1/completions", {"prompt": "It", "max_tokens": 1, "stop": [evil], "model": evil, evil: 1,
                                        "dry_sequence_breakers": [evil]})
    out, _ = log("1", folder=tmp_path)
    assert r"\x1b[2J\x9b2J\x0d\n\x07" in out
    assert not re.search(r"[^ -~\n]", out), out


def test_json_has_a_line_for_each_and_a_recording_that_can_be_replayed(logged, tmp_path):
    rows = [json.loads(line) for line in log("--json", folder=logged)[0].splitlines()]
    assert [r["id"] for r in rows] == [1, 2, 3, 4, 5] and all("recording" not in r for r in rows)
    assert rows[1]["hearth"]["finish"]["detail"] == rows[1]["detail"] == "max_tokens 5" and rows[1]["key"] == "bob"
    assert rows[4]["hearth"]["finish"]["reason"] == "error" and rows[4]["first_token_ms"] == 0
    for row in rows[:4]:
        one = json.loads(log(str(row["id"]), "--json", folder=logged)[0])
        assert {k: v for k, v in one.items() if k != "recording"} == row
        path = tmp_path / "recording.json"
        path.write_text(json.dumps(one["recording"]), encoding="utf-8")
        done = subprocess.run([PROGRAM, "replay", str(path), "--json"], capture_output=True, text=True, env=CLEAN_ENV,
                              timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        found = json.loads(done.stdout)
        assert found["exact"] is True and found["n_tokens"] == row["n_output_tokens"], found


def test_it_is_read_while_a_server_writes_and_leaves_nothing_behind(tmp_path):
    with Server("--record-dir", str(tmp_path)) as server:
        server.chat()
        Recorded(tmp_path).wait(1)
        assert len(log(folder=tmp_path)[0].splitlines()) == 2
        server.chat()
        Recorded(tmp_path).wait(2)
        assert len(log(folder=tmp_path)[0].splitlines()) == 3
    assert os.listdir(tmp_path) == ["record.db"]
    assert len(log(folder=tmp_path)[0].splitlines()) == 3
    assert os.listdir(tmp_path) == ["record.db"]


def run(*words, folder=None):
    words = [*words, *(["--record-dir", str(folder)] if folder else [])]
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=CLEAN_ENV, timeout=PATIENCE_S,
                          check=False)


def test_an_answer_is_replayed_by_its_number_and_exported(tmp_path):
    folder, path = tmp_path / "record", tmp_path / "answer.json"
    with Server("--record", "full", "--record-dir", str(folder)) as server:
        server.post("/v1/completions", {"prompt": "It was in the evening", "max_tokens": 9, "seed": 5, "n": 2,
                                        "stop": ["a word of mine"]}, headers={"X-Request-Id": "two"})
        server.post("/v1/chat/completions", CHAT, headers={"X-Request-Id": "one"})
        Recorded(str(folder)).wait(3)
    for word in ("1", "2", "3", "one"):
        done = run("replay", word, folder=folder)
        assert (done.returncode, "and the bits of all logits" in done.stdout) == (0, True), done
    done = run("replay", "two", folder=folder)
    assert done.returncode == 2 and "has 2 answers; give the number of one: 1, 2" in done.stderr
    done = run("replay", "nobody", folder=folder)
    assert done.returncode == 2 and "hearth log lists" in done.stderr
    assert run("export", "1", str(path), folder=folder).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    done = run("replay", str(path))
    assert done.returncode == 0 and done.stdout.startswith("exact: 9 tokens"), done
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["logits_mixes"][4] = "0123456789abcdef"
    path.write_text(json.dumps(changed), encoding="utf-8")
    done = run("replay", str(path))
    assert done.returncode == 1 and "the logits of token 4 are others, of the 4 before it the same" in done.stdout
    assert "all 9 tokens are the same" in done.stdout


def test_what_is_redacted_has_nothing_that_was_said(tmp_path):
    folder, path = tmp_path / "record", tmp_path / "answer.json"
    with Server("--record", "full", "--record-dir", str(folder)) as server:
        server.post("/v1/completions", {"prompt": "It was", "max_tokens": 4, "stop": ["my canary"], "logit_bias":
                                        {"77": 1}, "dry_sequence_breakers": ["my canary"], "model": "my canary"},
                    headers={"X-Request-Id": "my-canary"})
        Recorded(str(folder)).wait(1)
    assert run("export", "1", str(path), "--redact", folder=folder).returncode == 0
    text = path.read_text(encoding="utf-8")
    assert "canary" not in text
    left = json.loads(text)
    assert left["prompt_ids"] == left["output_ids"] == [] and left["logits_mixes"] is None
    assert left["request"] == {"max_tokens": 4, "stop": [], "logit_bias": []}
    assert left["receipt"]["decode"]["n_output_tokens"] == 4 and left["receipt"]["verdict"]["kind"]
    done = run("replay", str(path))
    assert done.returncode == 3 and "was redacted" in done.stderr


def test_receipts_alone_are_not_replayed(tmp_path):
    with Server("--record-dir", str(tmp_path)) as server:
        server.post("/v1/chat/completions", CHAT)
        Recorded(str(tmp_path)).wait(1)
    done = run("replay", "1", folder=tmp_path)
    assert done.returncode == 3 and "--record full" in done.stderr


def test_a_database_of_somebody_else_is_listed_whatever_it_says(tmp_path):
    with Server("--record-dir", str(tmp_path)) as server:
        server.post("/v1/chat/completions", CHAT)
        Recorded(str(tmp_path)).wait(1)
    with contextlib.closing(sqlite3.connect(tmp_path / "record.db")) as db:
        db.execute("UPDATE request SET request_id = ?, choice = 2147483647, status = 400", ("x" * 400,))
        db.commit()
    done = run("log", folder=tmp_path)
    assert done.returncode == 0 and "xxx #2147483647 (400)" in done.stdout, done
