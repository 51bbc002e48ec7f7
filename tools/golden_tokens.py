#!/usr/bin/env python3
"""Expected token ids for tests/unit/test_tokenizer.c, by an independent implementation.

    python3 -m venv V && V/bin/pip install tokenizers regex
    V/bin/python tools/golden_tokens.py FIXTURES tests/golden/tokens

Reads vocabulary and merges out of FIXTURES/vocab/*.gguf, builds the published tokenizer with
the PyPI package `tokenizers` and writes the ids of FIXTURES/text/mixed.txt. Special tokens
are not parsed; user-defined ones are, as published. Nothing here is needed to build hearth.
"""
import pathlib
import struct
import sys

import golden_pretok
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, n = self.take("I"), self.take("Q")
            return [self.value(item) for _ in range(n)]
        return self.take(SCALARS[kind])


def metadata(path):
    r = Reader(path.read_bytes())
    r.at = 16
    n = r.take("Q")
    out = {}
    for _ in range(n):
        key = r.text()
        out[key.removeprefix("tokenizer.ggml.")] = r.value(r.take("I"))
    return out


def byte_level(meta, pattern, nfc=False, ignore_merges=False, stages=None):
    """pattern None: GPT-2's; stages: a whole pre-tokenizer instead, as tools/golden_pretok.py writes it."""
    vocab = {text: i for i, text in enumerate(meta["tokens"])}
    merges = [tuple(m.split(" ")) for m in meta["merges"]]
    t = Tokenizer(models.BPE(vocab, merges, ignore_merges=ignore_merges))
    if nfc:
        t.normalizer = normalizers.NFC()
    if stages:
        t.pre_tokenizer = golden_pretok.published(golden_pretok.PATTERNS[stages])
    elif pattern is None:  # GPT-2's is built in
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return t


def sentencepiece(meta):
    """BPE whose merges are every way to cut a token in two, best score first."""
    tokens, scores, types = meta["tokens"], meta["scores"], meta["token_type"]
    ordinary = {t: i for i, t in enumerate(tokens) if types[i] in (NORMAL, USER_DEFINED, UNUSED)}
    merges = []
    for text, i in ordinary.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ordinary and right in ordinary:
                merges.append((-scores[i], ordinary[left], ordinary[right], left, right))
    merges.sort()
    vocab = {text: i for i, text in enumerate(tokens)}
    t = Tokenizer(models.BPE(vocab, [m[3:] for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return t


def wordpiece(meta):
    """Uncased BERT. GGUF has the mark before words; WordPiece before what continues one."""
    def published(text):
        bracketed = text.startswith("[") and text.endswith("]")
        return text[1:] if text.startswith("\u2581") else text if bracketed else "##" + text
    vocab = {published(text): i for i, text in enumerate(meta["tokens"])}
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None,
                                              lowercase=True)
    # Its punctuation is that of an old Unicode, without U+061D for one; the pattern adds today's.
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(),
                                               pre_tokenizers.Split(Regex(r"\p{P}"), "isolated")])
    return t


MODELS = {
    "bert-bge": wordpiece,
    "gpt-2": lambda m: byte_level(m, None),
    "llama-bpe": lambda m: byte_level(m, LLAMA3, ignore_merges=True),
    "qwen2": lambda m: byte_level(m, QWEN2, nfc=True),
    "gpt-4o": lambda m: byte_level(m, GPT4O),
    "deepseek-llm": lambda m: byte_level(m, None, stages="deepseek_llm"),
    "falcon": lambda m: byte_level(m, None, stages="falcon"),
    "llama-spm": sentencepiece,
    "phi-3": sentencepiece,
}


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = (fixtures / "text" / "mixed.txt").read_bytes().decode("utf-8")
    for name, build in MODELS.items():
        meta = metadata(fixtures / "vocab" / f"ggml-vocab-{name}.gguf")
        t = build(meta)
        t.add_tokens([AddedToken(text_of, normalized=False, special=False)
                      for text_of, kind in zip(meta["tokens"], meta["token_type"]) if kind == USER_DEFINED])
        ids = t.encode(text, add_special_tokens=False).ids
        lines, line = [], ""
        for i in ids:
            if len(line) + len(str(i)) + 1 > 110:
                lines.append(line)
                line = ""
            line += (" " if line else "") + str(i)
        head = f"# {name}, text/mixed.txt: tools/golden_tokens.py with tokenizers {tokenizers.__version__}"
        (out / f"{name}.mixed.ids").write_text("\n".join([head, *lines, line]) + "\n")
        print(name, len(ids))


if __name__ == "__main__":
    main()
