"""What the endpoints answer: shapes that clients rely on, and nothing silent."""

import hashlib
import json
import subprocess
import time

import pytest
import yaml

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM

WRITES = {"seed": 7, "temperature": 0.9}


def finish(chunks):
    return [c["choices"][0]["finish_reason"] for c in chunks if c != "[DONE]" and c["choices"]]


# ---- chat ----

def test_a_whole_answer_has_what_clients_read(server):
    r = server.chat(**WRITES)
    assert r.status_code == 200
    o = r.json()
    assert o["id"].startswith("chatcmpl-") and o["object"] == "chat.completion"
    assert o["model"] == server.model and o["system_fingerprint"]
    (choice,) = o["choices"]
    assert choice["message"]["role"] == "assistant" and isinstance(choice["message"]["content"], str)
    assert choice["finish_reason"] == "length" and choice["logprobs"] is None
    usage = o["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]
    assert o["timings"]["predicted_n"] == 8
    assert o["hearth"]["finish"] == {"reason": "length", "detail": "max_tokens 8", "repetition": None}
    assert r.headers["x-request-id"].removeprefix("req-") == o["id"].removeprefix("chatcmpl-")
    assert o["hearth"]["request_id"] == r.headers["x-request-id"]


def test_a_request_keeps_the_id_of_its_client(server):
    mine = {"X-Request-Id": "root=1-67891233:abcdef_0.1+2@me"}
    for path, body in (("/v1/completions", {"prompt": "It", "max_tokens": 2}), ("/v1/completions", {}),
                       ("/tokenize", {"content": "It"})):
        assert server.post(path, body, headers=mine).headers["x-request-id"] == mine["X-Request-Id"]
    assert server.http.get("/health", headers=mine).headers["x-request-id"] == mine["X-Request-Id"]
    assert server.http.get("/nowhere", headers=mine).headers["x-request-id"] == mine["X-Request-Id"]
    o = server.post("/v1/completions", {"prompt": "It", "max_tokens": 2, "n": 2}, headers=mine).json()
    assert o["id"] == "cmpl-" + mine["X-Request-Id"]
    assert [c["request_id"] for c in o["hearth"]["choices"]] == [mine["X-Request-Id"]] * 2
    for other in ("a b", "x" * 65, 'a"b', "a/b"):
        r = server.post("/v1/completions", {"prompt": "It", "max_tokens": 2}, headers={"X-Request-Id": other})
        assert r.headers["x-request-id"].startswith("req-")
        assert "X-Request-Id" in r.json()["hearth"]["request"]["adjusted"][0]


def test_a_stream_says_the_same_and_ends_with_the_receipt_on_its_finish_chunk(server):
    whole = server.chat(**WRITES).json()["choices"][0]["message"]["content"]
    chunks, _ = server.events("/v1/chat/completions",
                              {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, **WRITES})
    assert chunks[-1] == "[DONE]"
    assert len({c["id"] for c in chunks[:-1]}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == whole
    assert finish(chunks) == [None] * (len(chunks) - 2) + ["length"]
    assert chunks[-2]["hearth"]["decode"]["n_output_tokens"] == 8 and chunks[-2]["timings"]
    assert not any("usage" in c or "hearth" in c for c in chunks[:-2])


def test_usage_comes_in_a_last_chunk_when_asked_and_the_receipt_with_it(server):
    chunks, _ = server.events("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}],
                                                       "max_tokens": 4, "ignore_eos": True,
                                                       "stream_options": {"include_usage": True}})
    assert chunks[-2]["choices"] == [] and chunks[-2]["usage"]["completion_tokens"] == 4
    assert "hearth" in chunks[-2] and "hearth" not in chunks[-3]


def test_the_same_seed_gives_the_same_answer_and_another_model_name_too(server):
    one, two = (server.chat(model=name, **WRITES).json() for name in ("gpt-4o", "anything/else:latest"))
    assert one["choices"] == two["choices"]
    assert one["model"] == server.model
    assert two["hearth"]["request"]["model"] == "anything/else:latest"


def test_several_answers_differ_and_are_the_ones_of_their_seeds(server):
    o = server.chat(n=2, **WRITES).json()
    texts = [c["message"]["content"] for c in o["choices"]]
    assert [c["index"] for c in o["choices"]] == [0, 1]
    assert texts[0] == server.chat(**WRITES).json()["choices"][0]["message"]["content"]
    assert texts[1] == server.chat(**{**WRITES, "seed": 8}).json()["choices"][0]["message"]["content"]
    assert o["usage"]["completion_tokens"] == 16
    assert len(o["hearth"]["choices"]) == 2


def test_a_stream_of_several_answers_has_an_end_for_each(server):
    chunks, _ = server.events("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "n": 2,
                                                       "max_tokens": 5, **WRITES})
    ends = [c["choices"][0] for c in chunks[:-1] if c["choices"] and c["choices"][0]["finish_reason"]]
    assert sorted(e["index"] for e in ends) == [0, 1]
    whole = server.chat(n=2, **{**WRITES, "max_tokens": 5}).json()["choices"]
    for i in (0, 1):
        mine = [c["choices"][0]["delta"] for c in chunks[:-1] if c["choices"][0]["index"] == i]
        assert "".join(d.get("content", "") for d in mine) == whole[i]["message"]["content"]


def test_text_parts_are_joined(server):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    asked = {"max_tokens": 8, **WRITES}
    joined = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": parts}], **asked}).json()
    assert joined["choices"] == server.chat(**WRITES).json()["choices"]


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(server):
    text = server.chat(max_tokens=24, **WRITES).json()["choices"][0]["message"]["content"]
    word = text.split()[3]
    for stop in (word, [word, "never"]):
        choice = server.chat(max_tokens=24, stop=stop, **WRITES).json()["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"] == text[:text.index(word)]


def test_logprobs_are_those_of_the_text(server):
    o = server.chat(logprobs=True, top_logprobs=3, **WRITES).json()
    places = o["choices"][0]["logprobs"]["content"]
    assert len(places) == 8
    assert b"".join(bytes(p["bytes"]) for p in places).decode().strip() == o["choices"][0]["message"]["content"].strip()
    for place in places:
        assert place["logprob"] <= 0 and len(place["top_logprobs"]) == 3
        tops = [t["logprob"] for t in place["top_logprobs"]]
        assert tops == sorted(tops, reverse=True)


def test_logprobs_of_a_stream_are_those_of_the_whole_answer(server):
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "logprobs": True, **WRITES}
    chunks, _ = server.events("/v1/chat/completions", asked)
    streamed = [p for c in chunks[:-1] for p in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert streamed == server.post("/v1/chat/completions", asked).json()["choices"][0]["logprobs"]["content"]


def test_a_banned_token_does_not_come(server):
    greedy = {"temperature": 0, "logprobs": True}
    first = server.chat(**greedy).json()["choices"][0]["logprobs"]["content"][0]["id"]
    for bias in ({str(first): -100}, {str(first): False}, [[first, False]]):
        o = server.chat(logit_bias=bias, **greedy).json()
        assert o["choices"][0]["logprobs"]["content"][0]["id"] != first
        assert o["hearth"]["n_logit_bias"] == 1


def test_every_sampling_parameter_reaches_the_receipt(server):
    asked = {"temperature": 0.5, "top_k": 7, "top_p": 0.5, "min_p": 0.01, "repeat_penalty": 1.1, "repeat_last_n": 9,
             "presence_penalty": 0.25, "frequency_penalty": 0.5, "typical_p": 0.75, "top_n_sigma": 2,
             "xtc_probability": 0.5, "xtc_threshold": 0.25, "dynatemp_range": 0.25, "dynatemp_exponent": 2,
             "dry_multiplier": 0.5, "dry_base": 2, "dry_allowed_length": 3, "dry_penalty_last_n": 20, "mirostat": 2,
             "mirostat_tau": 4, "mirostat_eta": 0.25}
    receipt = server.chat(**asked).json()["hearth"]
    assert {k: v["value"] for k, v in receipt["sampling"].items()} == asked
    assert all(v["from"] == "request" for v in receipt["sampling"].values())
    receipt = server.chat(samplers=["top_k", "temperature"], dry_sequence_breakers=["x"]).json()["hearth"]
    assert receipt["samplers"] == {"value": ["top_k", "temperature"], "from": "request"}
    assert receipt["dry_sequence_breakers"] == {"value": ["x"], "from": "request"}


# ---- nothing silent ----

def test_fields_without_effect_stand_in_the_receipt(server):
    o = server.chat(foo=1, user="me", store=False, timings_per_token=True, null_is_absent=None).json()
    assert o["hearth"]["request"]["ignored_fields"] == ["foo", "user", "store", "timings_per_token"]


def test_values_taken_as_others_stand_in_the_receipt(server):
    request = server.chat(top_k=-1, temperature=-1).json()["hearth"]["request"]
    assert len(request["adjusted"]) == 2 and "top_k -1" in request["adjusted"][0]


def test_many_unknown_fields_are_a_short_list(server):
    request = server.chat(**{f"x{i}": 1 for i in range(500)}).json()["hearth"]["request"]
    assert len(request["ignored_fields"]) == 33


def test_strict_refuses_what_has_no_effect_but_not_what_never_has_one(serve):
    strict = serve("--strict")
    error = strict.refused(strict.chat(foo=1), 400, "unknown_field")
    assert error["param"] == "foo"
    assert strict.chat(user="me", store=False, metadata={}).status_code == 200


def test_more_tokens_than_there_is_room_for_are_a_cap(server):
    o = server.chat(max_tokens=100000, ignore_eos=True, temperature=0).json()
    assert o["choices"][0]["finish_reason"] == "length"
    assert o["usage"]["total_tokens"] in (256, 257)
    assert "context full" in o["hearth"]["finish"]["detail"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(server, stream):
    error = server.refused(server.chat("word " * 600, stream=stream), 400, "context_length_exceeded")
    assert error["n_ctx"] == 256 and error["n_prompt_tokens"] > 256
    assert "maximum context length" in error["message"] and "exceeds the available context size" in error["message"]


def test_a_conversation_goes_without_its_oldest_turns_when_asked(server):
    def turn(i, n):
        return [{"role": "user", "content": f"q{i} " + "word " * n}, {"role": "assistant", "content": f"a{i}"}]

    system, last = {"role": "system", "content": "S"}, {"role": "user", "content": "last"}
    turns = [turn(i, 30) for i in range(8)]
    asked = {"max_tokens": 8, "temperature": 0, "messages": [system, *sum(turns, []), last]}
    server.refused(server.post("/v1/chat/completions", asked), 400, "context_length_exceeded")
    o = server.post("/v1/chat/completions", {**asked, "truncation": "auto"}).json()
    cut = o["hearth"]["truncation"]
    n = cut["n_dropped_messages"]
    assert 2 <= n < 16 and n % 2 == 0 and cut["n_full_prompt_tokens"] > 256 and o["hearth"]["notes"]
    rest = {**asked, "messages": [system, *sum(turns[n // 2:], []), last]}
    by_hand = server.post("/v1/chat/completions", rest).json()
    assert by_hand["usage"]["prompt_tokens"] == o["usage"]["prompt_tokens"] <= 256 - 8
    assert by_hand["choices"] == o["choices"] and by_hand["hearth"]["truncation"] is None
    more = {**asked, "messages": [system, *sum(turns[n // 2 - 1:], []), last]}
    r = server.post("/v1/chat/completions", more)
    assert r.status_code == 400 or r.json()["usage"]["prompt_tokens"] > 256 - 8  # no turn was dropped in vain
    for messages in ([system, {"role": "user", "content": "word " * 600}],
                     [{"role": "system", "content": "word " * 600}, *turns[0], last]):
        r = server.post("/v1/chat/completions", {**asked, "messages": messages, "truncation": "auto"})
        assert server.refused(r, 400, "context_length_exceeded")["n_prompt_tokens"] > 256
    server.refused(server.chat(truncation="middle"), 400, "invalid_value")


def test_errors_of_a_stream_before_its_first_byte_are_statuses(server):
    server.refused(server.chat(stream=True, temperature=200), 400, "invalid_value")
    server.refused(server.chat(stream=True, mirostat=1), 400, "invalid_value")


# ---- completions ----

def test_a_completion_has_the_old_form(server):
    asked = {"prompt": "It was in", "max_tokens": 6, "logprobs": 2, **WRITES}
    o = server.post("/v1/completions", asked).json()
    assert o["object"] == "text_completion" and o["id"].startswith("cmpl-")
    (choice,) = o["choices"]
    lists = choice["logprobs"]
    assert {len(lists[k]) for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")} == {6}
    assert all(len(top) == 2 for top in lists["top_logprobs"])
    answer = choice["text"]
    assert "".join(lists["tokens"]) == answer
    assert [answer[at:at + len(t)] for at, t in zip(lists["text_offset"], lists["tokens"])] == lists["tokens"]


@pytest.mark.parametrize("prompt", ["It was in", " It was \u00e9 \U0001f600 x", "ids"])
def test_echo_has_the_likelihoods_of_the_prompt_too(server, prompt):
    if prompt == "ids":
        prompt = server.post("/tokenize", {"content": "It was in"}).json()["tokens"]
    asked = {"prompt": prompt, "max_tokens": 4, "logprobs": 3, "echo": True, "temperature": 0}
    (choice,) = server.post("/v1/completions", asked).json()["choices"]
    lists, text = choice["logprobs"], choice["text"]
    n = len(lists["tokens"])
    assert n >= 7 and {len(v) for v in lists.values()} == {n}
    assert lists["token_logprobs"][0] is None and lists["top_logprobs"][0] is None
    for logprob, top in list(zip(lists["token_logprobs"], lists["top_logprobs"]))[1:]:
        assert logprob <= max(top.values()) <= 0 and len(top) >= 1
    for logprob, top in list(zip(lists["token_logprobs"], lists["top_logprobs"]))[-4:]:
        assert logprob == max(top.values())  # greedy: what an evaluation asks for
    ends = [*lists["text_offset"][1:], len(text)]
    for i, (at, end, token) in enumerate(zip(lists["text_offset"], ends, lists["tokens"])):
        assert text[at:end] == token or "\ufffd" in token or (i == 0 and " " + text[at:end] == token)
    # alone, and as it streams
    alone = server.post("/v1/completions", {**asked, "max_tokens": 0}).json()
    assert alone["usage"]["completion_tokens"] == 0 and alone["choices"][0]["finish_reason"] == "length"
    assert alone["choices"][0]["text"] == text[:lists["text_offset"][-4]]
    assert alone["choices"][0]["logprobs"] == {k: v[:-4] for k, v in lists.items()}
    assert alone["hearth"]["request"]["adjusted"] == []
    pieces = [c["choices"][0] for c in server.events("/v1/completions", asked)[0][:-1]]
    assert "".join(p["text"] for p in pieces) == text
    assert {k: [x for p in pieces if p["logprobs"] for x in p["logprobs"][k]] for k in lists} == lists


def test_likelihoods_of_a_prompt_are_those_of_the_same_tokens_as_an_answer(server):
    greedy = {"max_tokens": 5, "logprobs": 2, "temperature": 0}
    ids = server.post("/tokenize", {"content": "It was in"}).json()["tokens"]
    answer = server.post("/completion", {"prompt": ids, "n_predict": 5, "n_probs": 2, "return_tokens": True,
                                         "temperature": 0}).json()
    asked = {**greedy, "prompt": ids + answer["tokens"], "echo": True, "max_tokens": 0}
    for _ in range(2):  # what the cache has of it changes nothing
        got = server.post("/v1/completions", asked).json()["choices"][0]["logprobs"]["token_logprobs"]
        assert got[-5:] == [p["logprob"] for p in answer["completion_probabilities"]]
    plain = server.post("/v1/completions", {"prompt": "It", "echo": True, "max_tokens": 0}).json()["choices"][0]
    assert plain["text"] == "It" and plain["logprobs"] is None
    o = server.post("/v1/completions", {**asked, "prompt": [5]}).json()["choices"][0]["logprobs"]
    assert o["token_logprobs"] == [None]


def test_prompts_come_as_texts_ids_and_lists_of_them(server):
    ids = server.post("/tokenize", {"content": "It was in"}).json()["tokens"]
    asked = {"max_tokens": 6, **WRITES}
    text = server.post("/v1/completions", {"prompt": "It was in", **asked}).json()["choices"][0]["text"]
    assert server.post("/v1/completions", {"prompt": ids, **asked}).json()["choices"][0]["text"] == text
    many = server.post("/v1/completions", {"prompt": ["It was in", "He said"], **asked}).json()["choices"]
    assert [c["index"] for c in many] == [0, 1] and many[0]["text"] == text
    many = server.post("/v1/completions", {"prompt": [ids, ids], **asked}).json()["choices"]
    assert [c["text"] for c in many] == [text, text]


def test_a_completion_streams(server):
    asked = {"prompt": "It was in", "max_tokens": 6, **WRITES}
    chunks, _ = server.events("/v1/completions", asked)
    text = "".join(c["choices"][0]["text"] for c in chunks[:-1])
    assert text == server.post("/v1/completions", asked).json()["choices"][0]["text"]
    assert chunks[-1] == "[DONE]" and chunks[-2]["choices"][0]["finish_reason"] == "length" and chunks[-2]["hearth"]


@pytest.mark.parametrize(("body", "code"), [
    ({}, "missing_field"), ({"prompt": 5}, "invalid_type"), ({"prompt": [5.5]}, "invalid_type"),
    ({"prompt": [99999]}, "invalid_value"), ({"prompt": ["a", 5]}, "invalid_type"),
    ({"prompt": ["a"] * 65}, "invalid_value"),
    ({"prompt": "a", "best_of": 5}, "not_supported"), ({"prompt": "a", "suffix": "b"}, "not_supported"),
    ({"prompt": "a", "logprobs": 51}, "invalid_value"), ({"prompt": [-1]}, "invalid_value"),
])
def test_completions_that_cannot_be(server, body, code):
    server.refused(server.post("/v1/completions", body), 400, code)
    server.healthy()


def test_llama_cpps_own_form(server):
    asked = {"prompt": "It was in", "n_predict": 6, "return_tokens": True, "n_probs": 2, **WRITES}
    o = server.post("/completion", asked).json()
    assert o["stop"] is True and o["stop_type"] == "limit" and o["truncated"] is False
    assert o["tokens_predicted"] == 6 and len(o["tokens"]) == 6 and len(o["completion_probabilities"]) == 6
    assert o["content"] == server.post("/v1/completions", {**asked, "max_tokens": 6}).json()["choices"][0]["text"]
    pieces, _ = server.events("/completion", asked)
    assert "".join(p["content"] for p in pieces) == o["content"]
    assert [t for p in pieces for t in p["tokens"]] == o["tokens"]
    assert [p["stop"] for p in pieces] == [False] * (len(pieces) - 1) + [True]
    word = o["content"].split()[1]
    stopped = server.post("/completion", {**asked, "stop": ["zzz", word]}).json()
    assert (stopped["stop_type"], stopped["stopping_word"]) == ("word", word)


# ---- the rest ----

def test_models_publish_the_window_of_each_request(server):
    (model,) = server.http.get("/v1/models").json()["data"]
    assert model["context_length"] == model["max_model_len"] == model["meta"]["n_ctx"] == 256
    assert server.http.get("/v1/models/" + model["id"]).json() == model
    server.refused(server.http.get("/v1/models/other"), 404, "model_not_found")


def test_an_alias_is_the_name_and_the_window_is_not_divided(serve):
    named = serve("--alias", "mine", "--ctx", "128", "--parallel", "4")
    model = named.http.get("/v1/models/mine").json()
    assert model["context_length"] == 128 and model["aliases"]
    assert "window    128 tokens" in named.screen and "4 at once" in named.screen
    assert named.chat(max_tokens=1000, ignore_eos=True).json()["usage"]["total_tokens"] in (128, 129)


def test_tokens_and_texts(server):
    text = "It was in the evening"
    ids = server.post("/tokenize", {"content": text}).json()["tokens"]
    assert len(ids) > 2 and server.post("/detokenize", {"tokens": ids}).json()["content"].strip() == text
    pieces = server.post("/tokenize", {"content": "It é", "with_pieces": True}).json()["tokens"]
    assert all(isinstance(p["piece"], (str, list)) for p in pieces)
    for body, code in (({}, "missing_field"), ({"content": 5}, "invalid_type"),
                       ({"content": "x" * 2_000_000}, "invalid_value")):
        server.refused(server.post("/tokenize", body), 400, code)
    for body, code in (({}, "missing_field"), ({"tokens": [1, "x"]}, "invalid_type"),
                       ({"tokens": [-1]}, "invalid_value"), ({"tokens": [2048]}, "invalid_value")):
        server.refused(server.post("/detokenize", body), 400, code)


def test_the_prompt_of_a_conversation(server):
    o = server.post("/apply-template", {"messages": [{"role": "user", "content": "Hello"}]}).json()
    assert o == {"prompt": "Hello\n\n"}
    server.refused(server.post("/apply-template", {"messages": []}), 400, "invalid_messages")


def test_pages_for_people_and_machines(server):
    assert "text/html" in server.http.get("/").headers["content-type"]
    metrics = server.http.get("/metrics").text
    assert "hearth_output_tokens_total" in metrics and "# TYPE hearth_queue_depth gauge" in metrics
    props = server.http.get("/props").json()
    assert props["total_slots"] == 2 and props["default_generation_settings"]["n_ctx"] == 256
    assert server.http.head("/health").status_code == 200
    status = server.status()
    assert status["models"][0]["plan"]["fits"] and status["limits"]["n_parallel"] == 2
    server.refused(server.post("/v1/embeddings", {"input": "x"}), 501, "not_implemented")


def test_the_description_of_the_api_is_true(server):
    described = server.http.get("/openapi.json").json()
    as_yaml = server.http.get("/openapi.yaml")
    assert as_yaml.headers["content-type"] == "application/yaml" and yaml.safe_load(as_yaml.text) == described
    assert described["openapi"] == "3.1.0" and len(described["paths"]) > 15
    for path, methods in described["paths"].items():
        for method, what in methods.items():
            body = {} if "requestBody" in what else None
            r = server.http.request(method, path.replace("{id}", "none"), json=body)
            assert str(r.status_code) in what["responses"], (method, path, r.status_code)
            assert r.headers["content-type"].partition(";")[0] in json.dumps(what["responses"][str(r.status_code)])
            if "requestBody" in what:
                schema = what["requestBody"]["content"]["application/json"]["schema"]
                assert r.json()["error"]["param"] in (schema["required"] or [None]), (path, r.text)
                assert set(schema["required"]) <= set(schema["properties"])
        assert server.http.request("TRACE", path).status_code == 405


# ---- keys and limits ----

def test_keys_are_asked_for_where_there_are_some(serve, tmp_path):
    keys = tmp_path / "keys"
    hashed = hashlib.sha256(b"gamma").hexdigest()
    keys.write_text(f"# ours\nalpha requests=1\nsha256:{hashed} # of gamma\n")
    locked = serve("--api-key-file", str(keys))
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    for headers in ({}, {"Authorization": "Bearer beta"}, {"Authorization": "alpha"}, {"Authorization": "Basic alpha"},
                    {"X-Api-Key": "alph"}):
        r = locked.post("/v1/chat/completions", body, headers=headers)
        locked.refused(r, 401, "invalid_api_key")
        assert r.headers["www-authenticate"].startswith("Bearer")
    locked.refused(locked.post("/v1/chat/completions?key=alpha&api_key=alpha", body), 401, "invalid_api_key")
    for headers in ({"Authorization": "Bearer alpha"}, {"authorization": "bearer gamma"}, {"X-Api-Key": "alpha"}):
        assert locked.post("/v1/chat/completions", body, headers=headers).status_code == 200
    assert locked.http.get("/health").status_code == 200
    locked.refused(locked.http.get("/metrics"), 401, "invalid_api_key")


def test_a_key_has_only_so_many_requests_at_once(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha requests=1\nbeta\n")
    locked = serve("--api-key-file", str(keys), "--parallel", "4")
    alpha, beta = ({"Authorization": f"Bearer {k}"} for k in ("alpha", "beta"))
    body = {"prompt": "It", "max_tokens": 250, "stream": True, "ignore_eos": True}
    with locked.connect() as s:
        data = json.dumps(body).encode()
        head = (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alpha\r\n"
                b"Content-Length: %d\r\n\r\n")
        s.sendall(head % (len(data) + 1))  # its last byte is missing: the request is there, and goes on being there
        s.sendall(data)
        deadline = time.monotonic() + PATIENCE_S
        while locked.http.get("/hearth/status", headers=beta).json()["now"]["n_running"] == 0:
            assert time.monotonic() < deadline
        r = locked.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, headers=alpha)
        locked.refused(r, 429, "key_limit")
        assert 1 <= int(r.headers["retry-after"]) <= 60
        assert locked.post("/v1/completions", {"prompt": "It", "max_tokens": 1}, headers=beta).status_code == 200


def test_what_one_key_asked_no_other_finds_in_the_cache(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha\nbeta\n")
    locked = serve("--api-key-file", str(keys))

    def kept(key, prompt):
        r = locked.post("/v1/completions", {"prompt": prompt, "max_tokens": 1, "temperature": 0},
                        headers={"Authorization": f"Bearer {key}"})
        return r.json()["usage"]["prompt_tokens_details"]["cached_tokens"], r.json()["choices"][0]["text"]

    prompt = "All happy families are alike; every unhappy family is unhappy in its own way. " * 5
    new, text = kept("alpha", prompt)
    assert new == 0
    again, same = kept("alpha", prompt)
    assert again >= 64 and same == text
    other, same = kept("beta", prompt)
    assert other == 0 and same == text
    again, same = kept("beta", prompt)
    assert again >= 64 and same == text


def test_what_the_queue_cannot_hold_is_refused_before_its_body(serve):
    full = serve("--parallel", "1", "--queue", "1")
    held = []
    try:
        for _ in range(2):
            s = full.connect()
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            held.append(s)
        time.sleep(0.2)
        answer = full.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        assert answer.status == 503 and answer.error["code"] == "queue_full" and answer.closed
        assert 1 <= int(answer.headers["retry-after"]) <= 60 and answer.error["retry_after_s"] >= 1
        assert full.healthy() < 1
    finally:
        for s in held:
            s.close()
    full.idle()
    assert full.post("/v1/completions", {"prompt": "It", "max_tokens": 1}).status_code == 200


def test_no_memory_for_requests_is_a_refusal_before_the_body(serve):
    small = serve("--request-memory", "16", "--max-body", "64")
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
    with small.connect() as s:
        s.sendall(head)
        time.sleep(0.2)
        answer = small.raw(head)
        assert answer.status == 503 and answer.error["code"] == "out_of_memory" and answer.headers["retry-after"]
    small.idle()
    assert small.post("/v1/completions", {"prompt": "It", "max_tokens": 1}).status_code == 200


def test_likelihoods_that_are_gathered_come_out_of_the_memory_for_requests(serve):
    small = serve("--request-memory", "16", "--max-body", "4")
    body = {"prompt": "It", "max_tokens": 250, "ignore_eos": True, "logprobs": 50, "temperature": 0}
    error = small.refused(small.post("/v1/completions", body), 400, "invalid_value")
    assert error["param"] == "logprobs" and "stream it" in error["message"]
    small.idle()
    assert small.events("/v1/completions", body)[0][-1] == "[DONE]"
    assert small.post("/v1/completions", {**body, "max_tokens": 20}).status_code == 200
    small.idle()


# ---- start and end ----

def test_a_busy_port_is_told_with_who_has_it(server, serve):
    done = subprocess.run([PROGRAM, "serve", "--port", str(server.port)], capture_output=True, text=True, timeout=60,
                          env=CLEAN_ENV, check=False)
    assert done.returncode == 3 and done.stdout == ""
    assert f"port {server.port} is in use by hearth (process {server.process.pid})" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize(("words", "code", "said"), [
    (["/nowhere/a.gguf", "b.gguf"], 3, "/nowhere/a.gguf"),
    (["--host", "203.0.113.9", "--insecure-no-auth"], 2, "no address"),
    (["--host", "0.0.0.0"], 2, "--insecure-no-auth"), (["--host", "::"], 2, "--api-key-file"),
    (["--parallel", "65"], 2, "1 to 64"), (["--api-key-file", "/nowhere"], 3, "/nowhere"),
    (["/nowhere.gguf"], 3, "/nowhere.gguf")])
def test_what_cannot_be_served_is_refused(words, code, said):
    done = subprocess.run([PROGRAM, "serve", "--port", "0", *words], capture_output=True, text=True, timeout=60,
                          env=CLEAN_ENV, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
