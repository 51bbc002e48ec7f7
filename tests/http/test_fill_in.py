"""What goes between two texts: /infill, and suffix of /v1/completions."""

import json
import pathlib
import subprocess

import pytest

from gguf_values import with_values
from serving import CLEAN_ENV, PROGRAM, Server

BUILT_IN = pathlib.Path(__file__).parents[2] / "models" / "tolstoy-4m-q8_0.gguf"
KEYS = {"fim_pre": 300, "fim_suf": 301, "fim_mid": 302, "fim_rep": 303, "fim_sep": 304}
PRE, SUF, MID, REP, SEP = KEYS.values()
ASKED = {"temperature": 0, "max_tokens": 6}


def values(*names):
    return {f"tokenizer.ggml.{n}_token_id": KEYS[n] for n in names}


@pytest.fixture(scope="module", name="filler")
def fixture_filler(tmp_path_factory):
    """A model whose tokens of the gap are ordinary ones: what counts is which stands where."""
    to = tmp_path_factory.mktemp("fim") / "fim.gguf"
    path = with_values(BUILT_IN, to, {**values(*KEYS), "llama.pooling_type": 3})
    with Server("--parallel", "2", model=str(path)) as s:
        yield s


def ids_of(server, text):
    return server.post("/tokenize", {"content": text, "parse_special": False}).json()["tokens"]


def prompt_of(server, *parts):
    return [id for part in parts for id in (ids_of(server, part) if isinstance(part, str) else [part])]


def answer(server, ids):
    o = server.post("/v1/completions", {"prompt": ids, **ASKED}).json()
    return o["choices"][0]["text"], len(ids)


def test_the_gap_is_between_prefix_and_suffix(filler):
    o = filler.post("/infill", {"input_prefix": "It was <s> in", "input_suffix": "of the day", **ASKED}).json()
    want = answer(filler, prompt_of(filler, PRE, "It was <s> in", SUF, "of the day", MID))
    assert (o["content"], o["tokens_evaluated"]) == want
    assert o["stop"] and o["stop_type"] == "limit" and o["hearth"]["request"]["adjusted"] == []
    o = filler.post("/infill", {"input_prefix": "It was", "prompt": " in", "input_suffix": "", **ASKED}).json()
    assert (o["content"], o["tokens_evaluated"]) == answer(filler, prompt_of(filler, PRE, "It was in", SUF, MID))
    pieces, _ = filler.events("/infill", {"input_prefix": "It was", "prompt": " in", "input_suffix": "", **ASKED})
    assert "".join(p["content"] for p in pieces) == o["content"]


def test_other_files_come_before(filler):
    extra = [{"filename": "a.txt", "text": "He said"}, {"text": "She said"}]
    o = filler.post("/infill", {"input_prefix": "It", "input_suffix": "x", "input_extra": extra, **ASKED}).json()
    want = prompt_of(filler, REP, "project\n", SEP, "a.txt\nHe said\n", SEP, "file\nShe said\n", SEP, "file\n",
                     PRE, "It", SUF, "x", MID)
    assert (o["content"], o["tokens_evaluated"]) == answer(filler, want)


def test_completions_have_a_suffix(filler):
    asked = {"prompt": ["It was in", "He"], "suffix": "of the day", "echo": True, **ASKED}
    o = filler.post("/v1/completions", asked).json()
    for choice, prefix in zip(o["choices"], asked["prompt"]):
        text, _ = answer(filler, prompt_of(filler, PRE, prefix, SUF, "of the day", MID))
        assert choice["text"] == prefix + text
    filler.refused(filler.post("/v1/completions", {"prompt": [5, 6], "suffix": "x"}), 400, "invalid_type")
    plain = filler.post("/v1/completions", {"prompt": "It", "suffix": "", **ASKED}).json()
    assert plain["usage"]["prompt_tokens"] == len(ids_of(filler, "It"))


def test_what_the_file_is_missing_is_named(server, serve, tmp_path):
    for path, body, param in (("/infill", {"input_prefix": "a", "input_suffix": "b"}, "input_suffix"),
                              ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix")):
        error = server.refused(server.post(path, body), 400, "not_supported")
        assert error["param"] == param
        assert all(word in error["message"] for word in ("fim_prefix", "fim_suffix", "fim_middle"))
    half = serve(model=str(with_values(BUILT_IN, tmp_path / "half.gguf", values("fim_pre", "fim_mid"))))
    error = half.refused(half.post("/infill", {"input_prefix": "a", "input_suffix": "b"}), 400, "not_supported")
    assert "fim_suffix (tokenizer.ggml.fim_suf_token_id)" in error["message"]
    assert "fim_prefix" not in error["message"] and "fim_middle" not in error["message"]


def test_without_a_token_for_files_they_come_as_text(serve, tmp_path):
    path = with_values(BUILT_IN, tmp_path / "three.gguf", values("fim_pre", "fim_suf", "fim_mid"))
    three = serve(model=str(path))
    body = {"input_prefix": "It", "input_suffix": "x", "input_extra": [{"filename": "a.txt", "text": "He"}], **ASKED}
    o = three.post("/infill", body).json()
    want = prompt_of(three, "--- a.txt ---\nHe\n", PRE, "It", SUF, "x", MID)
    assert (o["content"], o["tokens_evaluated"]) == answer(three, want)
    assert "no token for files" in o["hearth"]["request"]["adjusted"][0]


@pytest.mark.parametrize(("body", "code", "param"), [
    ({}, "missing_field", "input_prefix"), ({"input_prefix": "a"}, "missing_field", "input_suffix"),
    ({"input_prefix": 5, "input_suffix": ""}, "invalid_type", "input_prefix"),
    ({"input_prefix": "a", "input_suffix": "", "prompt": [5]}, "invalid_type", "prompt"),
    ({"input_prefix": "a", "input_suffix": "", "input_extra": "b"}, "invalid_type", "input_extra"),
    ({"input_prefix": "a", "input_suffix": "", "input_extra": ["b"]}, "invalid_type", "input_extra"),
    ({"input_prefix": "a", "input_suffix": "", "input_extra": [{"text": 5}]}, "invalid_type", "input_extra"),
    ({"input_prefix": "a", "input_suffix": "", "input_extra": [{"filename": "b"}]}, "missing_field", "input_extra"),
    ({"input_prefix": "a", "input_suffix": "", "input_extra": [{"text": ""}] * 257}, "invalid_value", "input_extra"),
    ({"input_prefix": "word " * 600, "input_suffix": "b"}, "context_length_exceeded", None),
])
def test_gaps_that_cannot_be(filler, body, code, param):
    assert filler.refused(filler.post("/infill", body), 400, code)["param"] == param


def test_the_file_says_what_it_has(filler):
    done = subprocess.run([PROGRAM, "inspect", filler.words[2], "--json"], capture_output=True, check=True,
                          env=CLEAN_ENV)
    said = json.loads(done.stdout)
    assert said["pooling"] == "last" and said["tokens"]["fim_middle"] == MID and said["tokens"]["fim_pad"] is None
