"""The official client of OpenAI's API, unmodified, with pings every 100 ms."""

import asyncio
import subprocess
import threading
import time

import openai
import pytest

from serving import CLEAN_ENV, PROGRAM

ASK = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.base + "/v1", api_key="any", max_retries=0, timeout=60) as c:
        yield c


def test_models(client, server):
    (model,) = client.models.list()
    assert model.id == server.model and model.context_length == 256
    assert client.models.retrieve(server.model).id == server.model
    with pytest.raises(openai.NotFoundError) as e:
        client.models.retrieve("nothing")
    assert e.value.code == "model_not_found"


def test_a_plain_answer(client, server):
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, max_completion_tokens=8, seed=1)
    assert answer.model == server.model and answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].message.content
    assert answer.usage.completion_tokens == 8 and answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.hearth["finish"]["reason"] == "length"
    assert answer._request_id.startswith("req-")


def test_a_stream(client):
    asked = {"model": "x", "messages": ASK, "max_tokens": 8, "seed": 1}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    text, last = "", None
    for chunk in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        last = chunk
    assert text == whole and last.usage.completion_tokens == 8 and last.hearth


def test_the_stream_helper(client):
    whole = client.chat.completions.create(model="x", messages=ASK, max_tokens=30, seed=1).choices[0].message.content
    word = whole.split()[2]
    with client.chat.completions.stream(model="x", messages=ASK, max_tokens=30, seed=1, stop=[word]) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == whole[:whole.index(word)]


def test_logprobs(client):
    answer = client.chat.completions.create(model="x", messages=ASK, max_tokens=4, logprobs=True, top_logprobs=2)
    places = answer.choices[0].logprobs.content
    assert len(places) == 4 and len(places[0].top_logprobs) == 2
    old = client.completions.create(model="x", prompt="It was", max_tokens=4, logprobs=2)
    assert len(old.choices[0].logprobs.token_logprobs) == 4


def test_completions(client):
    answer = client.completions.create(model="x", prompt=["It was", "He"], max_tokens=4)
    assert [c.index for c in answer.choices] == [0, 1]
    stream = client.completions.create(model="x", prompt="It", max_tokens=4, stream=True)
    assert "".join(c.choices[0].text for c in stream)


def test_async(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.base + "/v1", api_key="any") as c:
            asked = {"model": "x", "messages": ASK, "max_tokens": 8}
            whole = await asyncio.gather(*(c.chat.completions.create(seed=i, **asked) for i in range(6)))
            texts = []
            for i in range(6):
                text = ""
                async for chunk in await c.chat.completions.create(seed=i, stream=True, **asked):
                    text += chunk.choices[0].delta.content or ""
                texts.append(text)
            return [w.choices[0].message.content for w in whole], texts

    whole, streamed = asyncio.run(ask())
    assert whole == streamed and len(set(whole)) > 1


def test_errors_are_the_clients_own(client):
    cases = [({"temperature": 200}, openai.BadRequestError, "invalid_value", "temperature"),
             ({"messages": [{"role": "user", "content": "word " * 600}]}, openai.BadRequestError,
              "context_length_exceeded", None),
             ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "not_supported",
              "tools")]
    for fields, kind, code, param in cases:
        for stream in (False, True):
            with pytest.raises(kind) as e:
                client.chat.completions.create(**{"model": "x", "messages": ASK, "stream": stream, **fields})
            assert e.value.code == code and e.value.param == param
    with pytest.raises(openai.APIStatusError) as e:
        client.embeddings.create(model="x", input="y")
    assert e.value.status_code == 501


def test_keys(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    locked = serve("--api-key-file", str(keys))
    for key, fails in (("wrong", True), ("secret", False)):
        c = openai.OpenAI(base_url=locked.base + "/v1", api_key=key, max_retries=0)
        if fails:
            with pytest.raises(openai.AuthenticationError) as e:
                c.chat.completions.create(model="x", messages=ASK)
            assert e.value.code == "invalid_api_key"
        else:
            assert c.chat.completions.create(model="x", messages=ASK, max_tokens=2).choices


def hold(server, s):
    """Takes a place in the queue: a request whose body does not come."""
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")


def test_a_full_queue_is_tried_again(serve):
    full = serve("--parallel", "1", "--queue", "0")
    with full.connect() as s:
        hold(full, s)
        time.sleep(0.1)
        c = openai.OpenAI(base_url=full.base + "/v1", api_key="any", max_retries=0)
        with pytest.raises(openai.InternalServerError) as e:
            c.chat.completions.create(model="x", messages=ASK)
        assert e.value.status_code == 503 and e.value.code == "queue_full"
        threading.Timer(0.3, s.close).start()
        start = time.monotonic()
        answer = c.with_options(max_retries=3).chat.completions.create(model="x", messages=ASK, max_tokens=2)
        assert answer.choices and time.monotonic() - start > 0.5


def test_a_timeout_of_the_client_frees_the_slot(serve, tmp_path):
    path = str(tmp_path / "tiny.gguf")
    subprocess.run([PROGRAM, "dev", "synth", "--shape", "tiny", path], check=True, env=CLEAN_ENV, capture_output=True)
    slow = serve("--ctx", "24000", "--parallel", "1", model=path)
    c = openai.OpenAI(base_url=slow.base + "/v1", api_key="any", max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        c.completions.create(model="x", prompt="It", max_tokens=20000, extra_body={"ignore_eos": True})
    assert slow.idle()["n_cancelled"] == 1
    asked = {"model": "x", "prompt": "It", "max_tokens": 20000, "extra_body": {"ignore_eos": True}}
    stream = c.completions.create(stream=True, **asked)
    next(iter(stream))
    stream.close()
    assert slow.idle()["n_cancelled"] == 2
