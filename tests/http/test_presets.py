"""What the settings file says of a model: requests go by it where they say nothing, and the receipt says so."""

import json
import re
import subprocess

import pytest
from serving import CLEAN_ENV, PROGRAM, Server

BUILTIN = "tolstoy-4m-q8_0"
TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<{{ tone }}{{ size }}>"
            "{% if enable_thinking %}T{% else %}F{% endif %}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("presets")


def settings(folder, text, name="hearth.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def preset(folder):
    template = settings(folder, TEMPLATE, "t.jinja")
    path = settings(folder, f'''[serve]
strict = true
ctx = 128
[model.{BUILTIN}]
system = "Be brief."
temperature = 0.25
top_k = 7
samplers = "top_k;temperature"
dry-sequence-breaker = ["x"]
chat-template = "{template}"
chat-template-kwargs = '{{"tone": "plain", "size": 1}}'
thinking = true
ctx = 64
''')
    with Server("--config", path) as server:
        server.settings = path
        yield server


def rendered(server, messages, **fields):
    return server.post("/apply-template", {"messages": messages, **fields}).json()["prompt"]


USER = [{"role": "user", "content": "Hi"}]


def test_a_request_that_says_nothing_goes_by_the_preset(preset):
    receipt = preset.chat("Hi", max_tokens=2).json()["hearth"]
    assert receipt["sampling"]["temperature"] == {"value": 0.25, "from": "preset"}
    assert receipt["sampling"]["top_k"] == {"value": 7, "from": "preset"}
    assert receipt["sampling"]["top_p"]["from"] == "default"
    assert receipt["samplers"] == {"value": ["top_k", "temperature"], "from": "preset"}
    assert receipt["dry_sequence_breakers"] == {"value": ["x"], "from": "preset"}
    assert receipt["n_ctx_tokens"] == 64
    used = receipt["request"]["preset"]
    assert used["name"] == f'[model."{BUILTIN}"]'
    assert used["used"] == ["ctx", "chat-template", "system", "chat-template-kwargs", "thinking", "samplers",
                            "dry-sequence-breaker", "temperature", "top_k"]


def test_no_answer_tells_clients_where_the_file_is(preset):
    answers = [preset.chat("Hi", max_tokens=1).text, preset.http.get("/props").text, preset.http.get("/v1/models").text,
               preset.http.get("/metrics").text, preset.post("/v1/chat/completions", {"messages": 1}).text]
    assert not [a for a in answers if preset.settings in a]


def test_what_a_request_says_wins(preset):
    body = {"messages": [{"role": "system", "content": "Mine"}, *USER], "max_tokens": 2, "temperature": 0.5,
            "samplers": ["temperature"], "dry_sequence_breakers": ["y"], "reasoning_effort": "none",
            "chat_template_kwargs": {"tone": "mine", "size": 2}}
    receipt = preset.post("/v1/chat/completions", body).json()["hearth"]
    assert receipt["sampling"]["temperature"] == {"value": 0.5, "from": "request"}
    assert receipt["samplers"] == {"value": ["temperature"], "from": "request"}
    assert receipt["dry_sequence_breakers"] == {"value": ["y"], "from": "request"}
    assert receipt["request"]["preset"]["used"] == ["ctx", "chat-template", "top_k"]


def test_the_same_bits_as_with_the_request_s_own_fields(preset):
    """A preset is nothing but fields that need not be said."""
    own = {"messages": [{"role": "system", "content": "Be brief."}, *USER], "temperature": 0.25, "top_k": 7,
           "samplers": ["top_k", "temperature"], "dry_sequence_breakers": ["x"], "seed": 5, "max_tokens": 12,
           "chat_template_kwargs": {"tone": "plain", "size": 1, "enable_thinking": True}, "digest": True}
    short = {"messages": USER, "seed": 5, "max_tokens": 12, "digest": True}
    a, b = (preset.post("/v1/chat/completions", body).json() for body in (own, short))
    assert a["choices"] == b["choices"]
    assert a["hearth"]["digest"] == b["hearth"]["digest"]


def test_the_template_sees_system_message_and_values(preset):
    assert rendered(preset, USER) == "<system>Be brief.<user>Hi<plain1>T"
    assert rendered(preset, USER, chat_template_kwargs={"tone": "mine"}) == "<system>Be brief.<user>Hi<mine1>T"
    assert rendered(preset, USER, chat_template_kwargs={"enable_thinking": False}).endswith("<plain1>F")
    assert rendered(preset, [{"role": "developer", "content": "D"}, *USER]) == "<system>D<user>Hi<plain1>T"
    assert rendered(preset, [{"role": "system", "content": ""}, *USER]) == "<system><user>Hi<plain1>T"


def test_a_completion_has_the_sampling_and_no_system_message(preset):
    receipt = preset.post("/v1/completions", {"prompt": "It was", "max_tokens": 2}).json()["hearth"]
    assert receipt["sampling"]["temperature"]["from"] == "preset"
    assert "system" not in receipt["request"]["preset"]["used"]
    assert receipt["prefill"]["n_prompt_tokens"] <= 3


def test_the_receipt_of_a_stream_has_it_too(preset):
    data, _ = preset.events("/v1/chat/completions", {"messages": USER, "max_tokens": 2})
    found = [d["hearth"]["request"]["preset"]["used"] for d in data if isinstance(d, dict) and d.get("hearth")]
    assert found and "temperature" in found[-1]


def test_errors_name_the_request_s_own_messages(preset):
    answer = preset.post("/v1/chat/completions", {"messages": [{"role": "user", "content": 1}]})
    assert preset.refused(answer, 400, "invalid_messages")["message"].startswith("messages[0]")


def test_screen_status_and_props_show_it(preset):
    status = preset.status()
    assert status["settings"] == preset.settings
    assert status["models"][0]["preset"]["keys"][:3] == ["ctx", "chat-template", "system"]
    assert status["limits"]["strict"] is True
    assert f"settings  {preset.settings}\n" in preset.screen
    assert re.search(r'(?m)^preset +\[model\."tolstoy-4m-q8_0"\]: ctx, chat-template, system, ', preset.screen)
    assert preset.http.get("/props").json()["default_generation_settings"]["params"]["temperature"] == 0.25


def test_each_of_several_models_has_its_own(folder):
    a, b = (str(folder / name) for name in ("a.gguf", "b.gguf"))
    for file in (a, b):
        subprocess.run([PROGRAM, "dev", "synth", "--shape", "tiny", file], check=True, env=CLEAN_ENV,
                       capture_output=True)
    path = settings(folder, f'[serve]\nmodel = ["{a}", "{b}"]\nalias = "first"\n[model.first]\ntemperature = 0.125\n'
                            'ctx = 32\n[model.b]\nsystem = "B"\n', "two.toml")
    with Server("--config", path) as server:
        receipts = [server.post("/v1/completions", {"model": m, "prompt": "x", "max_tokens": 1}).json()["hearth"]
                    for m in ("first", "b")]
        assert [r["sampling"]["temperature"]["value"] for r in receipts] == [0.125, 0.8]
        assert [r["request"]["preset"]["used"] for r in receipts] == [["ctx", "temperature"], []]
        assert receipts[0]["n_ctx_tokens"] == 32
        assert [m["preset"]["keys"] for m in server.status()["models"]] == [["ctx", "temperature"], ["system"]]


def test_without_a_preset_the_receipt_says_null(folder):
    with Server() as server:
        assert server.chat("Hi", max_tokens=1).json()["hearth"]["request"]["preset"] is None
        status = server.status()
        assert status["settings"] is None and status["models"][0]["preset"] is None


def test_the_line_wins_over_a_models_preset(folder):
    path = settings(folder, f"[model.{BUILTIN}]\nctx = 64\n", "line.toml")
    with Server("--config", path, "--ctx", "96") as server:
        assert server.status()["models"][0]["n_ctx_tokens"] == 96
        assert server.status()["models"][0]["preset"]["keys"] == []  # nothing of it was used


def test_aliases_of_the_file_are_of_its_own_models(folder):
    model = str(folder / "other.gguf")
    subprocess.run([PROGRAM, "dev", "synth", "--shape", "tiny", model], check=True, env=CLEAN_ENV, capture_output=True)
    path = settings(folder, '[serve]\nmodel = ["a.gguf", "b.gguf"]\nalias = ["first", "second"]\n', "alias.toml")
    with Server("--config", path, model=model) as server:
        assert server.model == "other"
    assert "aliases of the settings file have no effect" in server.said


@pytest.mark.parametrize("line, said", [
    ("thinking = true", "has thinking or no-thinking, but the model's chat template has no switch"),
    ("chat-template-kwargs = '[1]'", "--chat-template-kwargs '[1]' is not a JSON object"),
    ("samplers = 'top_q'", "top_q"),
])
def test_a_preset_that_can_have_no_effect_ends_the_start(folder, line, said):
    path = settings(folder, f"[model.{BUILTIN}]\n{line}\n", "bad.toml")
    done = subprocess.run([PROGRAM, "serve", "--port", "0", "--config", path], env=CLEAN_ENV, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert f'[model."{BUILTIN}"] of {path}' in done.stderr and said in done.stderr


def test_receipts_are_json_that_reads_back(preset):
    assert json.loads(preset.chat("Hi", max_tokens=1).text)["hearth"]["request"]["preset"]["used"]
