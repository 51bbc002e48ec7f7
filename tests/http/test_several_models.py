"""Several models in one server: each answers as it does alone, and requests say which they mean."""

import json
import re
import subprocess
import threading
import time

import pytest

from serving import CLEAN_ENV, PROGRAM, SANITIZED, Server

OPTIONS = ("--parallel", "2", "--queue", "2", "--ping-ms", "100")
ASKED = {"prompt": "It was a time", "seed": 7, "temperature": 0.9, "digest": True}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two small models that differ in everything: the built-in one's kind is not needed."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "ember.gguf", folder / "Flint.gguf"]
    for path, seed in zip(paths, "12", strict=True):
        subprocess.run([PROGRAM, "dev", "synth", str(path), "--shape", "tiny", "--type", "F16" if seed == "1" else
                        "Q8_0", "--seed", seed], check=True, env=CLEAN_ENV, capture_output=True)
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def two(files):
    """ember as "first", Flint under its file's name."""
    with Server("--alias", "first", *OPTIONS, models=files) as s:
        yield s


@pytest.fixture(scope="module")
def alone(files):
    """What each answers when it is served alone."""
    answers = []
    for path in files:
        with Server(*OPTIONS, model=path) as s:
            answers.append(s.post("/v1/completions", {**ASKED, "max_tokens": 24}).json())
    assert answers[0]["hearth"]["digest"] != answers[1]["hearth"]["digest"]
    return answers


def essence(o):
    return o["choices"][0]["text"], o["hearth"]["digest"], o["system_fingerprint"]


def ask(server, model, **fields):
    r = server.post("/v1/completions", {**ASKED, "max_tokens": 24, "model": model, **fields})
    assert r.status_code == 200, r.text
    return r.json()


# ---- whose answer it is ----

@pytest.mark.parametrize(("name", "which"), [("first", 0), ("ember", 0), ("ember.gguf", 0), ("Flint", 1),
                                             ("Flint.gguf", 1)])
def test_each_answers_to_its_names_with_the_bits_that_it_has_alone(two, alone, name, which):
    o = ask(two, name)
    assert essence(o) == essence(alone[which])
    assert o["model"] == ("first", "Flint")[which]
    assert o["hearth"]["request"]["model"] == name


def test_both_at_once_have_the_bits_that_they_have_alone(two, alone):
    got, threads = {}, []

    def one(i):
        got[i] = [essence(ask(two, ("first", "Flint")[i % 2], cache_prompt=False)) for _ in range(4)]

    for i in range(4):
        threads.append(threading.Thread(target=one, args=(i,)))
        threads[-1].start()
    for t in threads:
        t.join()
    assert got == {i: [essence(alone[i % 2])] * 4 for i in range(4)}
    two.idle()


def test_a_stream_has_the_name_of_its_model(two, alone):
    chunks, _ = two.events("/v1/completions", {**ASKED, "max_tokens": 24, "model": "Flint"})
    assert {c["model"] for c in chunks[:-1]} == {"Flint"}
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == alone[1]["choices"][0]["text"]


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/completions", {"prompt": "x"}), ("/completion", {"prompt": "x"}), ("/tokenize", {"content": "x"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), ("/detokenize", {"tokens": [1]}),
    ("/apply-template", {"messages": [{"role": "user", "content": "x"}]}), ("/v1/embeddings", {"input": "x"}),
    ("/infill", {"input_prefix": "x", "input_suffix": "y"})])
def test_a_name_that_nothing_has_is_refused_with_the_nearest(two, path, body):
    for name, nearest in (("frist", "first"), ("FLINT", "Flint"), ("embers.gguf", "ember"), ("first\0", "first")):
        error = two.refused(two.post(path, {**body, "model": name}), 404, "model_not_found")
        assert error["param"] == "model" and f"the nearest name is '{nearest}'" in error["message"]
        assert "'first', 'Flint'" in error["message"]
    for missing in ({}, {"model": None}, {"model": ""}):
        error = two.refused(two.post(path, {**body, **missing}), 404, "model_not_found")
        assert "names no model" in error["message"] and "'first', 'Flint'" in error["message"]
    assert two.idle()


def test_a_stream_without_a_model_is_refused_with_a_status(two):
    two.refused(two.post("/v1/completions", {"prompt": "x", "stream": True}), 404, "model_not_found")
    two.refused(two.post("/v1/completions", {"prompt": "x", "model": 5}), 400, "invalid_type")


# ---- what there is ----

def test_all_are_listed_with_their_own_windows(two):
    models = two.http.get("/v1/models").json()["data"]
    assert [m["id"] for m in models] == ["first", "Flint"]
    assert models[0]["aliases"] == ["ember"] and models[1]["aliases"] == []
    for m in models:
        assert m["context_length"] == m["max_model_len"] == m["meta"]["n_ctx"] > 0
        assert two.http.get("/v1/models/" + m["id"]).json() == m
    assert two.http.get("/v1/models/ember.gguf").json() == models[0]
    assert two.http.get("/v1/models/%46lint").json() == models[1]
    error = two.refused(two.http.get("/v1/models/flint"), 404, "model_not_found")
    assert "'Flint'" in error["message"]


def test_windows_are_each_models_own(files, serve):
    """The built-in model is trained for 256 tokens, the others for more."""
    with Server(model=None) as one:
        window = one.http.get("/v1/models").json()["data"][0]["context_length"]
    both = serve(models=files)
    windows = [m["context_length"] for m in both.http.get("/v1/models").json()["data"]]
    assert windows[0] == windows[1] > window
    text = both.post("/tokenize", {"content": "x " * 5000, "model": "Flint"}).json()["tokens"]
    r = both.post("/v1/completions", {"prompt": text * 40, "model": "Flint"})
    assert both.refused(r, 400, "context_length_exceeded")["n_ctx"] == windows[1]


def test_status_and_props_are_of_each(two):
    status = two.status()
    assert [m["id"] for m in status["models"]] == ["first", "Flint"]
    assert [m["file"] for m in status["models"]] == ["ember", "Flint"]
    plans = [m["plan"] for m in status["models"]]
    assert all(p["fits"] and m["n_parallel"] == 2 for p, m in zip(plans, status["models"], strict=True))
    memory = status["memory"]
    once = plans[0]["request_bytes"] + plans[0]["program_bytes"]  # for all
    planned = sum(p["total_bytes"] - once for p in plans) + once
    assert planned == sum(memory["planned"].values())
    assert planned == memory["planned_bytes"] <= memory["budget_bytes"]
    assert sum(p["budget_bytes"] for p in plans) <= memory["budget_bytes"]
    assert two.http.get("/props").json()["model_alias"] == "first"
    for name, alias in (("Flint", "Flint"), ("ember", "first"), ("%46lint.gguf", "Flint")):
        props = two.http.get("/props?model=" + name).json()
        assert props["model_alias"] == alias and props["models"] == ["first", "Flint"]
    error = two.refused(two.http.get("/props?model=fire"), 404, "model_not_found")
    assert "nearest name is 'first'" in error["message"]
    page = two.http.get("/").text
    assert "first" in page and "Flint" in page and "of 4 running" in page


def test_metrics_have_the_models_name(two):
    def tokens(name):
        return int(re.search(rf'hearth_output_tokens_total{{model="{name}"}} (\d+)', two.http.get("/metrics").text)[1])
    before = tokens("first"), tokens("Flint")
    ask(two, "Flint")
    assert (tokens("first"), tokens("Flint")) == (before[0], before[1] + 24)
    text = two.http.get("/metrics").text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert text.count("hearth_kv_cache_bytes{") == text.count("hearth_queue_depth{") == 2


def test_tokens_and_templates_are_those_of_the_model(serve, files, tmp_path_factory):
    """Beside a file with another vocabulary: the built-in model's, which is taken from its place in the sources."""
    other = "models/tolstoy-4m-q8_0.gguf"
    with Server() as one:
        want = one.post("/tokenize", {"content": "Hello there"}).json()
        template = one.post("/apply-template", {"messages": [{"role": "user", "content": "Hello"}]}).json()
    assert template["prompt"].startswith("Hello")
    both = serve(models=[files[0], root() + other])
    got = both.post("/tokenize", {"content": "Hello there", "model": "tolstoy-4m-q8_0"}).json()
    mine = both.post("/tokenize", {"content": "Hello there", "model": "ember", "with_pieces": True}).json()["tokens"]
    assert got == want and [p["id"] for p in mine] != want["tokens"]
    assert "".join(p["piece"] for p in mine).strip() == "Hello there"
    text = both.post("/detokenize", {"tokens": want["tokens"], "model": "tolstoy-4m-q8_0"}).json()["content"]
    assert text.strip() == "Hello there"
    n_vocab = [m["meta"]["n_vocab"] for m in both.http.get("/v1/models").json()["data"]]
    last = {"tokens": [max(n_vocab) - 1]}
    answers = [both.post("/detokenize", {**last, "model": m}) for m in ("ember", "tolstoy-4m-q8_0")]
    assert sorted(r.status_code for r in answers) == [200, 400]
    rendered = both.post("/apply-template", {"messages": [{"role": "user", "content": "Hello"}], "model": "ember"})
    assert rendered.status_code == 200 and rendered.json() != template
    r = both.post("/apply-template", {"messages": [{"role": "user", "content": "x"}], "model": "tolstoy-4m-q8_0"})
    both.refused(r, 400, "not_supported")  # the file alone has no template


def root():
    return __file__.rpartition("tests/")[0]


# ---- the queue ----

def test_who_has_a_free_slot_does_not_wait_for_another_model(serve, files):
    """One model's requests fill all that may wait; the other's are answered, and the next of the first refused."""
    s = serve("--parallel", "1", "--queue", "2", models=files)
    body = {"model": "ember", "prompt": "It was", "max_tokens": 1000000, "ignore_eos": True, "stream": True}
    streams = []
    try:
        for _ in range(3):
            stream = s.connect()
            text = json.dumps(body)
            head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
            stream.sendall((head + text).encode())
            streams.append(stream)
        deadline = time.monotonic() + 20
        while s.status()["models"][0]["n_waiting"] < 2:
            assert time.monotonic() < deadline, s.status()
            time.sleep(0.01)
        r = s.post("/v1/completions", {**body, "stream": False})
        error = s.refused(r, 503, "queue_full")
        assert "'ember'" in error["message"] and int(r.headers["retry-after"]) >= 1
        for _ in range(3):
            assert ask(s, "Flint")["model"] == "Flint"
        models = s.status()["models"]
        assert models[0]["n_running"] == 1 and models[0]["n_waiting"] == 2
        assert models[1]["n_completed"] == 3
    finally:
        for stream in streams:
            stream.close()
    s.idle()


# ---- what cannot be served together ----

def refused(*words):
    done = subprocess.run([PROGRAM, "serve", "--port", "0", *words], capture_output=True, text=True, timeout=60,
                          env=CLEAN_ENV, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_models_that_do_not_fit_together_are_refused_with_the_sum(files):
    budget, too_much = ("400", "400000") if SANITIZED else ("100", "100000")  # the program itself is larger then
    small = ("--budget", budget, "--request-memory", "16", "--connections", "64")
    code, said = refused(*files, "--budget", "100", "--ctx", "64", "--request-memory", "256", "--connections", "2000")
    assert code == 4 and " + requests 3" in said and "lower --request-memory" in said
    code, said = refused(*files, *small, "--ctx", too_much)
    assert code == 4 and "ember.gguf" in said and "Flint.gguf" in said and " + requests 25 MiB" in said
    found = re.search(rf"= (\d+) MiB, but the budget is {budget} MiB; --ctx (\d+) would fit", said)
    assert int(found[1]) > int(budget)
    with Server(*small, "--ctx", found[2], models=files) as s:
        assert [m["n_ctx_tokens"] for m in s.status()["models"]] == [int(found[2])] * 2
        assert f"of {budget} MiB" in s.screen


def test_names_and_files_must_differ(files, tmp_path):
    copy, link = tmp_path / "ember.gguf", tmp_path / "link.gguf"
    copy.write_bytes(open(files[0], "rb").read())
    link.symlink_to(files[0])
    for words, said in (([files[0], str(link)], "are one file"), ([files[0], files[0]], "are one file"),
                        ([files[0], str(copy)], "would both be called 'ember'"),
                        ([*files, "--alias", "a", "--alias", "a"], "would both be called 'a'"),
                        ([*files, "--alias", "a", "--alias", "ember"], "is the alias of"),
                        ([*files, "--alias", "a", "-a", "b", "-a", "c"], "3 times, for 2 models"),
                        ([files[0], "--alias", "a", "--alias", "b"], "2 times, for 1 model;"),
                        ([*files, "--alias", ""], "has 0 bytes"),
                        ([*files, "--chat-template", "x.jinja"], "is for one model")):
        code, told = refused(*words)
        assert code == 2 and said in told, told
    with Server("--alias", "a", "--alias", "b", models=[files[0], str(copy)]) as s:
        assert ask(s, "a")["hearth"]["digest"] == ask(s, "b")["hearth"]["digest"]
        s.refused(s.post("/v1/completions", {"prompt": "x", "model": "ember"}), 404, "model_not_found")
