"""GET /hearth/requests/ID/tokens: a recorded answer computed once more, to say how each of its tokens was chosen."""

import json
import subprocess
import threading
import time

import pytest

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM, Server

ASKED = {"prompt": "The prince rode along", "max_tokens": 12, "seed": 5, "ignore_eos": True, "temperature": 0.9}


def wait_for(server, n):
    deadline = time.monotonic() + PATIENCE_S
    while server.status()["recorder"]["n_written"] < n:
        assert time.monotonic() < deadline, server.status()["recorder"]
        time.sleep(0.02)


def complete(server, request_id, key=None, **fields):
    head = {"X-Request-Id": request_id, **({"Authorization": f"Bearer {key}"} if key else {})}
    r = server.post("/v1/completions", {**ASKED, **fields}, headers=head)
    assert r.status_code == 200, r.text
    return r.json()


def tokens(server, which, key=None, **query):
    head = {"Authorization": f"Bearer {key}"} if key else {}
    return server.http.get(f"/hearth/requests/{which}/tokens", params=query, headers=head)


def told(server, which, key=None, **query):
    r = tokens(server, which, key, **query)
    assert r.status_code == 200, r.text
    return r.json()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explained")


@pytest.fixture(scope="module")
def recorded(folder):
    """What was answered by a server that is there still."""
    with Server("--record-dir", str(folder), "--record", "full", "--parallel", "2", "--alias", "tolstoy") as server:
        answers = {
            "plain": complete(server, "plain", return_tokens=True),
            "two": complete(server, "two", n=2),
            "eos": complete(server, "eos", ignore_eos=False, logit_bias={"2": 100}),
            "stop": complete(server, "stop", stop=[" the"], max_tokens=60, seed=1),
            "steered": complete(server, "steered", top_k=7, repeat_penalty=1.3, mirostat=2, logit_bias={"300": -100}),
            "7": complete(server, "7", temperature=0),
        }
        wait_for(server, 7)
        yield server, answers


def test_every_token_of_an_answer_is_told(recorded):
    server, answers = recorded
    said = told(server, "plain")
    assert said["exact"] is True and said["end"] is None
    assert "".join(t["text"] for t in said["tokens"]) == answers["plain"]["choices"][0]["text"]
    assert [t["index"] for t in said["tokens"]] == list(range(12))
    assert "".join(t["text"] for t in said["prompt"]).strip() == ASKED["prompt"]
    assert all(len(t["alternatives"]) in (5, 6) and "steps" not in t for t in said["tokens"])
    assert said["hearth"]["request_id"] == "plain" and said["time"]["total_ms"] > 0


@pytest.mark.parametrize("which", ["plain", "two", "eos", "stop", "steered", "7"])
def test_it_is_what_hearth_why_says(recorded, folder, which):
    server, _ = recorded
    query = {"choice": 1} if which == "two" else {}
    said = told(server, which, top=9, **query)
    row = subprocess.run([PROGRAM, "log", "--record-dir", str(folder), "--request", which, "--json"], env=CLEAN_ENV,
                         check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    done = subprocess.run([PROGRAM, "why", str(json.loads(row)["id"]), "--record-dir", str(folder), "--json", "--top",
                           "9"], env=CLEAN_ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said["exact"] is True and json.loads(done.stdout) == said


def test_one_token_has_its_steps(recorded):
    server, _ = recorded
    said = told(server, "steered", token=3, top=4)
    assert [t["index"] for t in said["tokens"]] == [3]
    steps = [s["name"] for s in said["tokens"][0]["steps"]]
    assert steps == ["model", "logit_bias", "penalties", "temperature", "mirostat"]
    assert told(server, "steered", token=999)["tokens"] == []
    said = told(server, "7", token=0)
    assert said["tokens"][0]["draw"] is None
    assert said["tokens"][0]["steps"][-1] == {"name": "likeliest", "n_candidates": 1, "n_removed": 2047,
                                              "temperature": 1.0, "entropy_bits": 0.0,
                                              "logprobs": [0.0, None, None, None, None]}


def test_the_token_that_ended_an_answer_is_told(recorded):
    server, _ = recorded
    said = told(server, "eos")
    assert said["tokens"] == [] and said["end"]["id"] == 2 and said["end"]["index"] == 0
    assert [s["name"] for s in told(server, "eos", token=0)["end"]["steps"]][1] == "logit_bias"


def test_an_answer_has_the_names_that_clients_know(recorded):
    server, answers = recorded
    assert answers["plain"]["id"] == "cmpl-plain"
    first = told(server, "plain")
    assert told(server, "cmpl-plain") == first
    assert told(server, "1") == first  # as hearth log counts them
    assert told(server, "7")["hearth"]["request_id"] == "7"  # what a client called so comes before row 7
    assert told(server, "3") == told(server, "two", choice=1)  # the number of a row says which answer
    both = [told(server, "two", choice=i) for i in (0, 1)]
    texts = ["".join(t["text"] for t in b["tokens"]) for b in both]
    assert texts == [c["text"] for c in answers["two"]["choices"]] and texts[0] != texts[1]


def test_what_cannot_be_told_is_refused(recorded):
    server, _ = recorded
    server.refused(tokens(server, "nobody"), 404, "request_not_found")
    server.refused(tokens(server, "plain", choice=1), 404, "request_not_found")
    for query in ({"token": "x"}, {"token": -1}, {"top": 51}, {"top": ""}, {"choice": 64}, {"token": "1" * 40}):
        error = server.refused(tokens(server, "plain", **query), 400, "invalid_value")
        assert error["param"] in query
    server.refused(tokens(server, "plain", tokens=3), 400, "unknown_field")
    server.refused(server.http.get("/hearth/requests/plain/tokens?top"), 400, "invalid_value")
    server.refused(server.post("/hearth/requests/plain/tokens", {}), 405, "method_not_allowed")
    server.refused(server.http.delete("/hearth/requests/plain/tokens"), 405, "method_not_allowed")
    server.refused(server.http.get("/hearth/requests/plain/tokens/0"), 404, "request_not_found")
    server.refused(server.http.get("/hearth/requests//tokens"), 404, "request_not_found")
    head = server.http.head("/hearth/requests/plain/tokens")
    assert head.status_code == 200 and not head.content


def test_an_explanation_is_no_answer_that_is_recorded(recorded):
    server, _ = recorded
    before = server.status()["recorder"]["n_written"]
    told(server, "plain")
    complete(server, "after")
    wait_for(server, before + 1)
    assert server.status()["recorder"]["n_written"] == before + 1


def test_beside_others_it_is_the_same(recorded):
    server, _ = recorded
    first, others = told(server, "plain"), []

    def busy():
        for i in range(6):
            others.append(complete(server, f"busy{i}", max_tokens=40)["choices"][0]["text"])

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(10):
        assert told(server, "plain") == first
    for t in threads:
        t.join()
    assert len(others) == 18


def test_nobody_sees_what_another_key_asked(folder, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha name=ann\nomega name=bob\nroot name=chief admin\n", encoding="ascii")
    with Server("--record-dir", str(tmp_path / "r"), "--record", "full", "--api-key-file", str(keys)) as server:
        complete(server, "hers", key="alpha")
        deadline = time.monotonic() + PATIENCE_S
        while tokens(server, "hers", key="alpha").status_code == 404:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert told(server, "hers", key="alpha") == told(server, "hers", key="root")
        server.refused(tokens(server, "hers", key="omega"), 404, "request_not_found")
        for key in ("alpha", "omega"):  # numbers can be counted up
            server.refused(tokens(server, "1", key=key), 404, "request_not_found")
        assert told(server, "1", key="root") == told(server, "hers", key="alpha")
        server.refused(tokens(server, "hers"), 401, "invalid_api_key")
    with Server("--record-dir", str(tmp_path / "r")) as server:  # without keys, what came with one stays closed
        server.refused(tokens(server, "hers"), 404, "request_not_found")


def test_what_was_not_asked_of_a_server_stays_closed(recorded, folder):
    server, _ = recorded
    run = [PROGRAM, "run", "--raw", "-p", "It was", "-n", "3", "--record", "full", "--record-dir", str(folder)]
    subprocess.run(run, env=CLEAN_ENV, check=True, capture_output=True)
    rows = subprocess.run([PROGRAM, "log", "--record-dir", str(folder), "--json"], env=CLEAN_ENV, check=True,
                          capture_output=True, text=True).stdout.splitlines()
    row = next(json.loads(line) for line in rows if json.loads(line)["source"] == "run")
    for which in (row["request_id"], row["id"]):
        server.refused(tokens(server, which), 404, "request_not_found")


def test_a_part_is_no_explanation(recorded, folder):
    with Server("--record-dir", str(folder), "--record", "full", "--request-ms", "1") as server:
        server.refused(tokens(server, "plain", top=50), 504, "deadline_exceeded")


def test_without_tokens_it_says_what_would_keep_them(tmp_path):
    with Server("--record", "off") as server:
        assert "--record full" in server.refused(tokens(server, "a"), 409, "not_recorded")["message"]
    with Server("--record-dir", str(tmp_path)) as server:
        server.refused(tokens(server, "a"), 404, "request_not_found")
        complete(server, "a")
        wait_for(server, 1)
        assert "--record full" in server.refused(tokens(server, "a"), 409, "not_recorded")["message"]
        done = subprocess.run([PROGRAM, "why", "a", "--record-dir", str(tmp_path)], env=CLEAN_ENV, capture_output=True,
                              text=True)
        assert done.returncode == 0 and done.stdout.splitlines()[2].startswith("verdict  ")
        assert "its tokens were not recorded" in done.stderr
        done = subprocess.run([PROGRAM, "why", "a", "--record-dir", str(tmp_path), "--json"], env=CLEAN_ENV,
                              capture_output=True, text=True)
        said = json.loads(done.stdout)
        assert said["exact"] is said["prompt"] is said["tokens"] is said["end"] is None
        assert said["time"]["total_ms"] > 0


def test_another_model_cannot_tell(recorded, folder, tiny):
    with Server("--record-dir", str(folder), "--record", "full", model=tiny) as server:
        message = server.refused(tokens(server, "plain"), 409, "not_recorded")["message"]
        assert "tolstoy" in message and "hearth why" in message


def test_it_takes_its_memory_like_any_request(folder, recorded):
    server, _ = recorded
    complete(server, "long", max_tokens=240)
    deadline = time.monotonic() + PATIENCE_S
    while tokens(server, "long", top=0).status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with Server("--record-dir", str(folder), "--record", "full", "--request-memory", "16") as server:
        for _ in range(3):
            assert "16 MiB" in server.refused(tokens(server, "long", top=50), 400, "invalid_value")["message"]
        assert len(told(server, "long", top=0)["tokens"]) == 240
        assert len(told(server, "long", top=50, token=200)["tokens"][0]["alternatives"]) >= 50
        assert server.status()["now"]["memory_used_bytes"] == 0
