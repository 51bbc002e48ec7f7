"""Vectors of texts and documents in order: /v1/embeddings, /v1/rerank."""

import base64
import math
import pathlib
import struct
import sys

import openai
import pytest

from serving import Server

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "model"))
import golden  # noqa: E402

WIDTH, WINDOW = 64, 256  # of the golden models here
NONE, MEAN, CLS, LAST, RANK = range(5)
LABELS = "classifier.output_labels"


def model(path, name, pooling, **more):
    g = golden.read(name)
    arch = g["metadata"]["general.architecture"]
    g["metadata"] |= {f"{arch}.pooling_type": pooling, **more.get("metadata", {})}
    g["tensors"] += more.get("tensors", [])
    golden.write(g, path)
    return str(path)


DENSE = [["cls.weight", [WIDTH, WIDTH], {"scale": 0.2}], ["cls.bias", [WIDTH], {"scale": 0.5}]]


def head(labels):
    return [["cls.output.weight", [WIDTH, labels], {"scale": 0.3}]]


def matrix(name, tensor):
    """Rows of a tensor of the models that rank."""
    of = next(t for t in DENSE + head(2 if name == "two" else 1) if t[0] == tensor)
    v = golden.values(golden.read({"one": "bert", "two": "qwen3"}[name])["seed"], *of)
    return [v[i:i + WIDTH] for i in range(0, len(v), WIDTH)]


def product(rows, x):
    return [sum(a * b for a, b in zip(row, x)) for row in rows]


@pytest.fixture(scope="module", name="bert")
def fixture_bert(tmp_path_factory):
    path = model(tmp_path_factory.mktemp("bert") / "bert.gguf", "bert", CLS)
    with Server("--parallel", "4", model=path) as s:
        yield s


@pytest.fixture(scope="module", name="several")
def fixture_several(tmp_path_factory):
    """An encoder, a decoder, and what ranks, of either kind."""
    folder = tmp_path_factory.mktemp("several")
    models = [model(folder / "mean.gguf", "bert", MEAN), model(folder / "last.gguf", "qwen3", LAST),
              model(folder / "first.gguf", "qwen3", CLS),
              model(folder / "one.gguf", "bert", RANK, tensors=DENSE + head(1)),
              model(folder / "two.gguf", "qwen3", RANK, tensors=head(2),
                    metadata={f"qwen3.{LABELS}": ["yes", "no"],
                              "tokenizer.chat_template.rerank": "<s>t5 t6{query}t7{document}</s>"})]
    with Server("--parallel", "3", models=models) as s:
        yield s


def vectors(server, inputs, **fields):
    r = server.post("/v1/embeddings", {"input": inputs, **fields})
    assert r.status_code == 200, r.text
    o = r.json()
    assert o["object"] == "list" and [d["index"] for d in o["data"]] == list(range(len(o["data"])))
    assert all(d["object"] == "embedding" for d in o["data"])
    return [d["embedding"] for d in o["data"]]


def length(v):
    return math.sqrt(sum(x * x for x in v))


def ids(n, first=5):
    return [5 + (first + 7 * i) % 100 for i in range(n)]


def test_vectors_are_what_the_reference_computes(bert):
    run = golden.read("bert")["runs"][0]
    want = next(row["hidden"] for row in run["rows"] if row["after"] == 0)
    got, = vectors(bert, run["tokens"], embd_normalize=-1)
    assert max(abs(a - b) for a, b in zip(got, want)) < 1e-3  # as tests/model/test_arch.py holds it; 3e-6 was seen


def test_many_have_the_same_bits_as_each_alone(several):
    inputs = [ids(1 + i * 37 % 90, i) for i in range(100)]
    for name in ("mean", "last", "first"):
        together = vectors(several, inputs, model=name)
        assert len(together) == 100
        for i in (0, 1, 42, 99):
            assert vectors(several, inputs[i], model=name) == [together[i]]
        assert all(abs(length(v) - 1) < 1e-6 for v in together) and len({tuple(v) for v in together}) > 90


def test_forms_of_inputs_and_of_vectors(bert):
    one, = vectors(bert, "t5 t6")
    assert vectors(bert, ["t5 t6"]) == [one] and len(one) == WIDTH
    assert vectors(bert, [2, 5, 6, 3]) == [one] and vectors(bert, [[2, 5, 6, 3]]) == [one]  # [CLS] and [SEP] around it
    coded, = vectors(bert, "t5 t6", encoding_format="base64")
    assert list(struct.unpack(f"<{WIDTH}f", base64.b64decode(coded))) == pytest.approx(one, abs=1e-9)
    raw, = vectors(bert, "t5 t6", embd_normalize=-1)
    assert [x / length(raw) for x in raw] == pytest.approx(one, abs=1e-6) and abs(length(raw) - 1) > 0.1
    part, = vectors(bert, "t5 t6", dimensions=16)
    assert part == pytest.approx([x / length(raw[:16]) for x in raw[:16]], abs=1e-6)
    o = bert.post("/v1/embeddings", {"input": ["t5 t6", "t7"], "priority": 3}).json()
    assert o["usage"] == {"prompt_tokens": 7, "total_tokens": 7} and o["model"] == "bert"
    assert o["hearth"]["finish"]["detail"] == "embedded, pooling cls"
    assert o["hearth"]["request"]["ignored_fields"] == ["priority"]


def test_an_input_that_does_not_fit_is_named(bert, several):
    r = bert.post("/v1/embeddings", {"input": [ids(3), ids(WINDOW + 1), ids(4)]})
    error = bert.refused(r, 400, "context_length_exceeded")
    assert error["param"] == "input[1]" and error["message"].startswith("input[1]: ")
    assert error["n_prompt_tokens"] == WINDOW + 1 and error["n_ctx"] == WINDOW
    assert len(vectors(bert, [ids(WINDOW)])[0]) == WIDTH  # the whole window
    for fields, code, param in (
            ({}, "missing_field", "input"), ({"input": 7}, "invalid_type", "input"),
            ({"input": ["a", {}]}, "invalid_type", "input"), ({"input": [[1, "a"]]}, "invalid_type", "input"),
            ({"input": ["a"] * 2049}, "invalid_value", "input"),
            ({"input": "a", "dimensions": WIDTH + 1}, "invalid_value", "dimensions"),
            ({"input": "a", "dimensions": 0}, "invalid_value", "dimensions"),
            ({"input": "a", "encoding_format": "int8"}, "invalid_value", "encoding_format"),
            ({"input": "a", "embd_normalize": 1}, "not_supported", "embd_normalize"),
            ({"input": [[5], [100000]]}, "invalid_value", "input[1]")):
        error = bert.refused(bert.post("/v1/embeddings", fields), 400, code)
        assert error["param"] == param or code == "invalid_value", (fields, error)
    error = several.refused(several.post("/v1/embeddings", {"model": "one", "input": "t5"}), 501, "not_implemented")
    assert "/v1/rerank" in error["message"]


def test_an_encoder_writes_no_text(bert):
    for path, body in (("/v1/completions", {"prompt": "t5"}), ("/completion", {"prompt": "t5"})):
        error = bert.refused(bert.post(path, body), 400, "invalid_value")
        assert "embeddings" in error["message"]
    assert bert.http.get("/v1/models").json()["data"][0]["meta"]["pooling"] == "cls"


def test_the_openai_sdk(bert):
    client = openai.OpenAI(base_url=f"{str(bert.http.base_url).rstrip('/')}/v1", api_key="none")
    asked = ["t5 t6", "t7 t8 t9"]
    o = client.embeddings.create(model="x", input=asked)  # it asks for base64
    assert [d.embedding for d in o.data] == [pytest.approx(v, abs=1e-9) for v in vectors(bert, asked)]
    assert o.usage.prompt_tokens == 9
    o = client.embeddings.create(model="x", input="t5", encoding_format="float", dimensions=8)
    assert len(o.data[0].embedding) == 8


@pytest.mark.parametrize("name", ["one", "two"])
def test_documents_are_ranked(several, name):
    documents = [f"t{9 + 3 * i} t{40 + i}" for i in range(20)]
    o = several.post("/v1/rerank", {"model": name, "query": "t8 t9", "documents": documents, "top_n": 5,
                                    "return_documents": True}).json()
    assert o["object"] == "list" and o["model"] == name and len(o["results"]) == 5
    scores = [r["relevance_score"] for r in o["results"]]
    assert scores == sorted(scores, reverse=True) and all(0 < s < 1 for s in scores) and len(set(scores)) > 1
    assert all(r["document"]["text"] == documents[r["index"]] for r in o["results"])
    assert o["usage"]["prompt_tokens"] == o["usage"]["total_tokens"] > 20 * 5
    tei = several.post("/rerank", {"model": name, "query": "t8 t9", "texts": documents, "return_text": True}).json()
    assert len(tei) == 20 and [(r["index"], r["score"]) for r in tei[:5]] == [
        (r["index"], r["relevance_score"]) for r in o["results"]]
    assert all(r["text"] == documents[r["index"]] for r in tei)
    raw = several.post("/reranking", {"model": name, "query": "t8 t9", "texts": documents, "raw_scores": True}).json()
    assert [1 / (1 + math.exp(-r["score"])) for r in raw] == [pytest.approx(r["score"], abs=1e-7) for r in tei]
    alone = several.post("/rerank", {"model": name, "query": "t8 t9", "texts": [documents[7]]}).json()
    assert alone[0]["score"] == next(r["score"] for r in tei if r["index"] == 7)
    objects = several.post("/v1/rerank", {"model": name, "query": "t8 t9", "documents": [{"text": documents[7]}]})
    assert objects.json()["results"][0]["relevance_score"] == alone[0]["score"]


def test_a_score_is_what_the_classifier_makes_of_the_state(several, bert):
    asked = {"query": "t8 t9", "texts": ["t40 t41"], "raw_scores": True}
    state, = vectors(bert, [2, 8, 9, 3, 40, 41, 3], embd_normalize=-1)
    bias, = matrix("one", "cls.bias")
    dense = [math.tanh(a + b) for a, b in zip(product(matrix("one", "cls.weight"), state), bias)]
    want, = product(matrix("one", "cls.output.weight"), dense)
    got = several.post("/rerank", {"model": "one", **asked}).json()[0]["score"]
    assert got == pytest.approx(want, abs=1e-4)
    prompt = several.post("/tokenize", {"model": "two", "content": "<s>t5 t6t8 t9t7t40 t41</s>"}).json()["tokens"]
    state, = vectors(several, prompt, model="last", embd_normalize=-1)
    yes, no = product(matrix("two", "cls.output.weight"), state)
    got = several.post("/rerank", {"model": "two", **asked}).json()[0]["score"]
    assert got == pytest.approx(yes - no, abs=1e-4)


def test_ranking_is_refused_where_it_cannot_be(several, bert):
    error = bert.refused(bert.post("/v1/rerank", {"query": "t5", "documents": ["t6"]}), 501, "not_implemented")
    assert "pooling rank" in error["message"]
    for fields, code, param in (
            ({"documents": ["t6"]}, "missing_field", "query"), ({"query": "t5"}, "missing_field", "documents"),
            ({"query": "t5", "documents": ["a"], "texts": ["a"]}, "missing_field", "documents"),
            ({"query": "t5", "documents": []}, "invalid_value", "documents"),
            ({"query": "t5", "documents": [7]}, "invalid_type", "documents"),
            ({"query": "t5", "documents": ["a"], "top_n": 0}, "invalid_value", "top_n"),
            ({"query": "t5", "texts": ["t5", "t6 " * WINDOW]}, "context_length_exceeded", "texts[1]")):
        error = several.refused(several.post("/v1/rerank", {"model": "one", **fields}), 400, code)
        assert error["param"] == param, (fields, error)


def test_the_template_of_a_file_puts_query_and_document_together(several):
    """By hand: token ids of a decoder, by what /tokenize says of the pieces."""
    def tokens(text):
        return several.post("/tokenize", {"model": "two", "content": text, "parse_special": True}).json()["tokens"]
    asked = {"model": "two", "query": "t8", "texts": ["t9"], "return_text": False}
    before = several.post("/v1/rerank", {"model": "two", "query": "t8", "documents": ["t9"]}).json()
    assert before["usage"]["prompt_tokens"] == len(tokens("<s>t5 t6t8t7t9</s>"))
    # what looks like a special token in a document is text, so it takes more tokens than one
    odd = several.post("/v1/rerank", {"model": "two", "query": "t8", "documents": ["t9</s>"]}).json()
    assert odd["usage"]["prompt_tokens"] > before["usage"]["prompt_tokens"] + 1
    assert several.post("/rerank", asked).json()[0]["index"] == 0
