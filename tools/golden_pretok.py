#!/usr/bin/env python3
"""Where the published pre-tokenizers cut text: digests for tests/unit/test_pretok_golden.c.

    python3 -m venv V && V/bin/pip install tokenizers regex
    V/bin/python tools/golden_pretok.py FIXTURES tests/golden/pretok.tsv

Each pattern is written here as its publisher writes it and run twice: by the PyPI package `tokenizers` (Oniguruma
and its own Digits, Punctuation, ByteLevel) and by the PyPI package `regex`. Both must cut alike. Per name one
SHA-256 over the lengths in bytes of all pieces, for 10,000 random strings (made here and in the test from the same
numbers, src/base/rng.h) and for the texts of the fixtures. Nothing here is needed to build hearth.
"""
import hashlib
import pathlib
import re
import sys
import unicodedata

import regex
import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, Punctuation, Sequence, Split

U64 = (1 << 64) - 1
KEY, N_STRINGS = 20260101, 10000
# Ranges without a character that Unicode 3.2 did not have: newer versions say the same about these.
RANGES = [(0x20, 0x7e), (0x20, 0x7e), (0x41, 0x5a), (0x61, 0x7a), (0x61, 0x7a), (0x30, 0x39), (0x30, 0x39),
          (0x20, 0x20), (0x20, 0x20), (0x9, 0xd), (0xa, 0xa), (0x0, 0x1f), (0x7f, 0xa0), (0xa1, 0xff), (0x100, 0x17f),
          (0x2b0, 0x2ee), (0x300, 0x34e), (0x391, 0x3a1), (0x3b1, 0x3c9), (0x410, 0x44f), (0x5d0, 0x5ea),
          (0x60c, 0x60c), (0x621, 0x63a), (0x660, 0x669), (0x6d4, 0x6d4), (0x905, 0x939), (0x964, 0x96f),
          (0xe01, 0xe3a), (0x10d0, 0x10f6), (0x1100, 0x1159), (0x1e00, 0x1e9b), (0x2000, 0x2052), (0x2070, 0x2071),
          (0x2074, 0x208e), (0x20a0, 0x20b1), (0x2100, 0x213a), (0x2153, 0x2183), (0x2190, 0x23ce), (0x2460, 0x24fe),
          (0x3000, 0x303f), (0x3041, 0x3096), (0x30a1, 0x30ff), (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0xf900, 0xfa2d),
          (0xff01, 0xff5e), (0x10300, 0x1031e), (0x1d400, 0x1d454), (0x20000, 0x2a6d6)]
FRAGMENTS = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'LL", "'d", "'\u017f", "\r\n", "\n\n", "  ", "\t ", " \n", "12",
             "3456", "Ab", "aB", "ABC", " a", "/", "//", "!\n",
             "_x", "\u3005", "\u303b", "\u01c5", "\u00b2", "\u200b", "\u180e"]

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
UPPER_HAN = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
LOWER_HAN = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"


def llama3_like(digits):
    return CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL


def cased(upper, lower, tail):
    return rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{tail}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{tail}"


LISTED = ("A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
          "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
          "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
          "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
          "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
          "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102"
          "\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
          "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
          "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
          "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
          "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
          "\U0001e900-\U0001e943")
DEEPSEEK_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
BLOOM_FLAT = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

# A stage: a pattern, or one of the named ones below. For the kimi set difference `regex` needs its version 1.
PATTERNS = {
    "gpt2": ["gpt2"],
    "digit_gpt2": ["digit", "gpt2"],
    "llama3": [llama3_like(r"\p{N}{1,3}")],
    "qwen2": [llama3_like(r"\p{N}")],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL],
    "gpt4o": [cased(UPPER, LOWER, CONTRACTION + "?") + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL],
    "tekken": [cased(UPPER, LOWER, "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL],
    "kimi_k2": [r"[\p{Han}]+|" + cased(UPPER_HAN, LOWER_HAN, CONTRACTION + "?")
                + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL],
    "deepseek_llm": [r"[\r\n]", rf"\s?[{LISTED}]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
                     r"\s+$", DEEPSEEK_CJK, "digit"],
    "deepseek_coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, "digit"],
    "deepseek_v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"],
    "falcon": ["punctuation", "gpt2", "digits", "[0-9][0-9][0-9]"],
    "seed_coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + TAIL],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                   r"|\s*[\r\n]|\s+(?!\S)|\s+"],
    "bloom": [BLOOM],
    "viking": [BLOOM, "digit"],
    "fallback": [r"[\p{P}\$\+<=>\^~\|]+", "gpt2", r"\p{N}+", "[0-9][0-9][0-9]"],
}
NAMES = {
    "fallback": "default",
    "gpt2": "gpt-2 phi-2 gigachat jais jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code "
        "roberta-bpe exaone4 mpt olmo",
    "digit_gpt2": "starcoder refact smollm codeshell exaone minerva-7b command-r",
    "llama3": "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 dbrx smaug-bpe chatglm-bpe glm4",
    "qwen2": "qwen2 deepseek-r1-qwen stablelm2 hunyuan megrez",
    "qwen35": "qwen35",
    "gpt4o": "gpt-4o llama4 minimax-m2",
    "kimi_k2": "kimi-k2",
    "deepseek_llm": "deepseek-llm",
    "deepseek_coder": "deepseek-coder",
    "deepseek_v3": "deepseek-v3 hunyuan-dense",
    "falcon": "falcon",
    "seed_coder": "seed-coder",
    "bailingmoe": "bailingmoe bailingmoe2 llada-moe",
    "bloom": "bloom poro-chat gpt3-finnish",
    "viking": "viking",
    "tekken": "tekken",
}


def mix(x):
    x = (x + 0x9e3779b97f4a7c15) & U64
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & U64
    x = (x ^ x >> 27) * 0x94d049bb133111eb & U64
    return x ^ x >> 31


class Rng:
    def __init__(self, key):
        self.key, self.n = mix(key), 0

    def below(self, n):
        bits = mix(self.key ^ mix(self.n * 2 + 1))
        self.n += 1
        return (bits >> 32) * n >> 32


def strings():
    r = Rng(KEY)
    for _ in range(N_STRINGS):
        text = ""
        for _ in range(1 + r.below(24)):
            kind = r.below(8)
            if kind == 0:
                text += FRAGMENTS[r.below(len(FRAGMENTS))]
                continue
            low, high = RANGES[r.below(len(RANGES))]
            text += chr(low + r.below(high - low + 1)) * (1 + r.below(4) if kind == 1 else 1)
        yield text


def published(stages):
    """`tokenizers`: ByteLevel stands where the publisher has it, which for falcon is before the digits."""
    named = {"gpt2": lambda: ByteLevel(add_prefix_space=False, use_regex=True), "digit": lambda: Digits(True),
             "digits": lambda: Digits(False), "punctuation": lambda: Punctuation("contiguous")}
    steps = [named[s]() if s in named else Split(Regex(s), "isolated", invert=False) for s in stages]
    if stages == PATTERNS["fallback"]:  # nobody publishes it: GPT-2's pattern alone, bytes at the end
        steps[1] = Split(Regex(GPT2), "isolated", invert=False)
    if stages[-1] != "gpt2" and stages != PATTERNS["falcon"]:
        steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
    return Sequence(steps)


def by_tokenizers(stages):
    pre = published(stages)
    return lambda text: [len(piece) for piece, _ in pre.pre_tokenize_str(text)]


def cut(pieces, pattern):
    for text in pieces:
        at = 0
        for m in pattern.finditer(text):
            if m.start() > at:
                yield text[at:m.start()]
            if m.end() > m.start():
                yield m.group()
            at = m.end()
        if at < len(text):
            yield text[at:]


def by_regex(stages):
    named = {"gpt2": GPT2, "digit": r"\p{N}", "punctuation": r"[\p{P}$+<=>^`|~]+", BLOOM: BLOOM_FLAT}
    characters, in_bytes = [], []
    for stage in stages:
        if stage == "digits":  # the bytes that ByteLevel writes as digits
            in_bytes.append(re.compile(rb"[0-9\xb2\xb3\xb9\xbc\xbd\xbe]+"))
        elif in_bytes:
            in_bytes.append(re.compile(stage.encode()))
        else:
            flags = regex.V1 if "&&" in stage else regex.V0
            characters.append(regex.compile(named.get(stage, stage), flags))

    def lengths(text):
        pieces = [text]
        for pattern in characters:
            pieces = cut(pieces, pattern)
        pieces = (p.encode() for p in pieces)
        for pattern in in_bytes:
            pieces = cut(pieces, pattern)
        return [len(p) for p in pieces]
    return lengths


def texts(fixtures):
    """The random strings; the texts of the fixtures."""
    given = (fixtures / "vocab" / "ggml-vocab-gpt-2.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    given.append((fixtures / "text" / "mixed.txt").read_bytes().decode())
    return list(strings()), given


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for low, high in RANGES:
        for c in range(low, high + 1):
            assert unicodedata.ucd_3_2_0.category(chr(c)) != "Cn", hex(c)
    made, given = texts(fixtures)
    digest = lambda lines: hashlib.sha256("".join(lines).encode()).hexdigest()
    rows = [f"# tools/golden_pretok.py with tokenizers {tokenizers.__version__} and regex {regex.__version__}:",
            "# name, digest of the lengths of the pieces of 10,000 random strings, of the fixtures' texts",
            f"strings\t{digest(t + chr(10) for t in made)}\t{digest(t + chr(10) for t in given)}"]
    for pattern, stages in PATTERNS.items():
        one, two = by_tokenizers(stages), by_regex(stages)
        digests, different = [], 0
        for group in (made, given):
            lines = []
            for text in group:
                a, b = one(text), two(text)
                if a != b:
                    different += 1
                    if different < 4:
                        print(pattern, repr(text), "\n tokenizers", a, "\n regex     ", b)
                lines.append(" ".join(map(str, a)) + "\n")
            digests.append(digest(lines))
        print(pattern, "differences between the two:", different)
        rows += [f"{name}\t{digests[0]}\t{digests[1]}" for name in NAMES[pattern].split()]
    out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
