#!/usr/bin/env python3
"""A small vocabulary of characters and merges for tests/unit/test_token_golden.c, and the ids `tokenizers` gives.

    V/bin/python tools/golden_ranked.py FIXTURES tests/golden/tokens      V as in tools/golden_tokens.py

Trains BPE as Gemma's tokenizer has it (spaces become U+2581, no cutting, byte tokens for what is in no token) on
FIXTURES/text/tolstoy-val.txt with the PyPI package `tokenizers`, writes it as GGUF with the kind "gemma4", and puts its
row into random.tsv: the digests that tools/golden_unigram.py describes. Nothing here is needed to build hearth.
"""
import hashlib
import json
import pathlib
import sys

import golden_pretok
from make_gguf_corpus import BOOL, I32, STR, U32, array, build, value
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

G = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]


def train(text):
    """Words are trained apart, as in the published vocabulary; the tokenizer itself does not cut."""
    t = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(Regex("\u2581*[^\u2581\n]+|\n+|\u2581+"), "isolated")
    t.train_from_iterator(text.splitlines(keepends=True), trainers.BpeTrainer(
        vocab_size=1200, special_tokens=SPECIAL + [f"<0x{i:02X}>" for i in range(256)], show_progress=False))
    made = json.loads(t.to_str())["model"]
    merges = [tuple(m) for m in made["merges"]]
    again = Tokenizer(models.BPE(made["vocab"], merges, byte_fallback=True, unk_token="<unk>"))
    again.normalizer = normalizers.Replace(" ", "\u2581")
    again.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return again, made["vocab"], merges


def as_gguf(vocab, merges):
    tokens = sorted(vocab, key=vocab.get)
    types = [UNKNOWN if t == "<unk>" else CONTROL if t in SPECIAL else BYTE if i < 4 + 256 else NORMAL
             for i, t in enumerate(tokens)]
    return build([
        value(G + "model", STR, "gemma4"),
        array(G + "tokens", STR, tokens),
        array(G + "token_type", I32, types),
        array(G + "merges", STR, [" ".join(m) for m in merges]),
        value(G + "padding_token_id", U32, 0),
        value(G + "eos_token_id", U32, 1),
        value(G + "bos_token_id", U32, 2),
        value(G + "unknown_token_id", U32, 3),
        value(G + "add_space_prefix", BOOL, False),
    ])


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    tokenizer, vocab, merges = train((fixtures / "text" / "tolstoy-val.txt").read_bytes().decode())
    (out / "ok_ranked.gguf").write_bytes(as_gguf(vocab, merges))
    digests = [hashlib.sha256("".join(" ".join(map(str, tokenizer.encode(s, add_special_tokens=False).ids)) + "\n"
                                      for s in texts).encode()).hexdigest()
               for texts in golden_pretok.texts(fixtures)]
    rows = [r for r in (out / "random.tsv").read_text().splitlines() if not r.startswith("ranked\t")]
    (out / "random.tsv").write_text("\n".join([*rows, "\t".join(["ranked", *digests])]) + "\n")
    print(len(vocab), "tokens,", len(merges), "merges:", *digests)


if __name__ == "__main__":
    main()
