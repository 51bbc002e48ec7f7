#!/usr/bin/env python3
"""Small vocabularies for tests/unit/test_token_golden.c, and the ids independent implementations give.

    python3 -m venv V && V/bin/pip install tokenizers regex sentencepiece protobuf
    V/bin/python tools/golden_unigram.py FIXTURES tests/golden/tokens

Trains Unigram models on FIXTURES/text/tolstoy-val.txt with the PyPI package `sentencepiece` (one with a charsmap, one
space for several and an unknown token; one with byte tokens and nothing normalized) and writes them as GGUF. Their
ids, and those of the published BERT tokenizer (PyPI `tokenizers`) on the vocabulary of the fixtures, for the 10,000
random strings of tools/golden_pretok.py and for the fixtures' texts become a digest each: the ids of a text, one
space between, a line a text. Nothing here is needed to build hearth.
"""
import hashlib
import io
import pathlib
import sys
import tempfile

import golden_pretok
import golden_tokens
import sentencepiece
import tokenizers
from make_gguf_corpus import BOOL, F32, I32, STR, U8, U32, array, build, value
from sentencepiece import sentencepiece_model_pb2

G = "tokenizer.ggml."
# From, to: deletions, one to many, many to one, a prefix of another, white space.
RULES = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\ufb01": "fi",
         "\u2026": "...", "\u2100": "a/c", "A\u0300": "\u00c0", "A": "a", "AB": "b b", "ABC": "c", "\u00bd": " 1/2",
         "\u0132": "IJ", **{chr(c): chr(c - 0xfee0) for c in range(0xff01, 0xff5f)}}


def train(text, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.split("\n")), model_writer=out, model_type="unigram", minloglevel=2,
        max_sentence_length=100000, hard_vocab_limit=False, num_threads=1, **options)
    return out.getvalue()


def as_gguf(model):
    m = sentencepiece_model_pb2.ModelProto.FromString(model)
    norm = m.normalizer_spec
    values = [
        value(G + "model", STR, "t5"),
        array(G + "tokens", STR, [p.piece for p in m.pieces]),
        array(G + "scores", F32, [p.score for p in m.pieces]),
        array(G + "token_type", I32, [p.type for p in m.pieces]),
        value(G + "unknown_token_id", U32, 0),
        value(G + "add_space_prefix", BOOL, norm.add_dummy_prefix),
        value(G + "remove_extra_whitespaces", BOOL, norm.remove_extra_whitespaces),
    ]
    if norm.precompiled_charsmap:
        values.append(array(G + "precompiled_charsmap", U8, list(norm.precompiled_charsmap)))
    return build(values)


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = (fixtures / "text" / "tolstoy-val.txt").read_bytes().decode()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
        hexes = lambda s: " ".join(f"{ord(c):X}" for c in s)
        rules.write("".join(f"{hexes(a)}\t{hexes(b)}\n" for a, b in RULES.items()))
        rules.flush()
        mapped = train(text, vocab_size=400, normalization_rule_tsv=rules.name)
    with_bytes = train(text, vocab_size=600, byte_fallback=True, normalization_rule_name="identity",
                       remove_extra_whitespaces=False)
    bert = golden_tokens.wordpiece(golden_tokens.metadata(fixtures / "vocab" / "ggml-vocab-bert-bge.gguf"))
    makers = {"bert-bge": lambda s: bert.encode(s, add_special_tokens=False).ids}
    for name, model in (("ugm", mapped), ("ugm_bytes", with_bytes)):
        (out / f"ok_{name}.gguf").write_bytes(as_gguf(model))
        makers[name] = sentencepiece.SentencePieceProcessor(model_proto=model).encode
    made, given = golden_pretok.texts(fixtures)
    rows = [f"# tools/golden_unigram.py with tokenizers {tokenizers.__version__}, sentencepiece "
            f"{sentencepiece.__version__}:",
            "# name, digest of the ids of 10,000 random strings, of the fixtures' texts"]
    for name, ids_of in makers.items():
        digests = [hashlib.sha256("".join(" ".join(map(str, ids_of(s))) + "\n" for s in texts).encode()).hexdigest()
                   for texts in (made, given)]
        rows.append("\t".join([name, *digests]))
    (out / "random.tsv").write_text("\n".join(rows) + "\n")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
