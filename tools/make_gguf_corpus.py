#!/usr/bin/env python3
"""make_gguf_corpus.py: small GGUF files, good and bad, one or more for each rule of the parser.

    tools/make_gguf_corpus.py FOLDER          write every file and FOLDER/expect.tsv
    tools/make_gguf_corpus.py --check FOLDER  say what differs from FOLDER; exit 1 when something does

The same bytes every time. A line of expect.tsv is: file, verdict, words that the message must contain.
Verdicts, in the order of the gates a file has to pass:

    bad        gguf_parse() refuses it
    set_bad    gguf_parse() takes it; gguf_split_count() or gguf_add_part() refuses it, with the parts beside it
    vocab_bad  tokenizer_create() refuses it
    model_bad  model_load() refuses it
    ok         a legal GGUF file, though no model (nothing is said about model_load())
    runs       a model that loads

A name begins with its verdict; "model_ok" stands for runs. Part 2 and later of a set are judged alone.
"""

import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORM = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPE_NAME = "u8 i8 u16 i16 u32 i32 f32 bool str arr u64 i64 f64".split()

# Tensor types: number -> (name, values in a block, bytes of a block).
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}
KERNEL_TYPES = [k for k in TENSOR_TYPES if k not in (9, 15, 24, 25, 26, 27, 28, 40)]
T_F32, T_F16, T_Q4_0, T_Q8_0, T_F64 = 0, 1, 2, 8, 28

FILES = {}   # name -> bytes
EXPECT = []  # (name, verdict, phrase)


def add(name, verdict, data, phrase="-"):
    name += ".gguf"
    assert name not in FILES, name
    assert verdict in ("bad", "set_bad", "vocab_bad", "model_bad", "ok", "runs"), verdict
    assert (phrase == "-") == (verdict in ("ok", "runs")), name
    FILES[name] = data
    EXPECT.append((name, verdict, phrase))


def ok(name, data):
    add("ok_" + name, "ok", data)


def bad(name, data, phrase):
    add("bad_" + name, "bad", data, phrase)


# ---------------------------------------------------------------- bytes

def u32(x):
    return struct.pack("<I", x)


def u64(x):
    return struct.pack("<Q", x)


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return u64(len(s)) + s


def scalar(kind, x):
    return text(x) if kind == STR else struct.pack("<" + FORM[kind], x)


def value(key, kind, x):
    return text(key) + u32(kind) + scalar(kind, x)


def array(key, elem, items, n=None):
    head = text(key) + u32(ARR) + u32(elem) + u64(len(items) if n is None else n)
    return head + b"".join(scalar(elem, x) for x in items)


def record(name, dims=(32,), kind=T_F32, offset=0, n_dims=None):
    return (text(name) + u32(len(dims) if n_dims is None else n_dims) + b"".join(u64(d) for d in dims) + u32(kind)
            + u64(offset))


def header(n_tensors, n_values, version=3, magic=b"GGUF"):
    return magic + u32(version) + u64(n_tensors) + u64(n_values)


def padded(data, alignment=32):
    return data + bytes(-len(data) % alignment)


def build(values=(), records=(), data=b"", alignment=32, version=3, n_values=None, n_tensors=None):
    """A file from value bytes, tensor records and the data part."""
    head = header(len(records) if n_tensors is None else n_tensors, len(values) if n_values is None else n_values,
                  version)
    directory = head + b"".join(values) + b"".join(records)
    return padded(directory, alignment) + data if records else directory


def tensor_bytes(dims, kind):
    _, per_block, block_bytes = TENSOR_TYPES[kind]
    n = 1
    for d in dims:
        n *= d
    return n // per_block * block_bytes


def build_tensors(tensors, values=(), alignment=32, version=3, gap=0, tail=0):
    """tensors: (name, dims, kind, bytes or None), laid out one after the other."""
    records, data = [], b""
    for name, dims, kind, content in tensors:
        records.append(record(name, dims, kind, len(data)))
        data += content if content is not None else pattern(tensor_bytes(dims, kind), len(records))
        data = padded(data, alignment) + bytes(gap)
    return build(values, records, data + bytes(tail), alignment, version)


def pattern(n, seed):
    """Any bytes, the same every time."""
    out, x = bytearray(), seed * 2654435761 % 2**32
    for _ in range(n):
        x = (x * 1664525 + 1013904223) % 2**32
        out.append(x >> 24)
    return bytes(out)


ARCH = value("general.architecture", STR, "corpus")


# ---------------------------------------------------------------- what is no GGUF at all

def strangers():
    bad("empty", b"", "0 bytes")
    bad("one_byte", b"G", "1 bytes, too few")
    bad("three_bytes", b"GGU", "3 bytes, too few")
    for name, start, phrase in [
            ("html", b"<!DOCTYPE html>\n<html><head><title>Repository</title>", "an HTML page"),
            ("html_lower", b"<html lang=en><body>404</body></html>", "an HTML page"),
            ("html_indented", b"\xef\xbb\xbf \r\n\t<!DocType HTML>", "an HTML page"),
            ("xml", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML text"),
            ("json", b'{"error":"Repository not found"}', "a JSON text"),
            ("sentence", b"Entry not found", 'it has "Entr" instead of "GGUF"'),
            ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "git lfs pull"),
            ("zip", b"PK\3\4\x14\0\0\0\0\0archive/data.pkl", "a zip archive"),
            ("pickle_2", b"\x80\2}q\0X\5\0\0\0model", "a Python pickle"),
            ("pickle_4", b"\x80\4\x95\1\0\0\0\0\0\0\0}.", "a Python pickle"),
            ("safetensors", u64(62) + b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32"}}', "a safetensors file"),
            ("hdf5", b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file"),
            ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\3abc", "gzip-compressed"),
            ("zstd", b"\x28\xb5\x2f\xfd\x24\0abcdef", "zstd-compressed"),
            ("xz", b"\xfd7zXZ\0\0\4abcdef", "xz-compressed"),
            ("7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
            ("ggml", b"lmgg\1\0\0\0\0\0\0\0", "from before GGUF"),
            ("ggmf", b"fmgg\1\0\0\0\0\0\0\0", "from before GGUF"),
            ("ggjt", b"tjgg\3\0\0\0\0\0\0\0", "from before GGUF"),
            ("zeros", bytes(4096), "a file of zeros"),
            ("elf", b"\x7fELF\2\1\1\0\0\0\0\0", "bytes 7f 45 4c 46 instead"),
            ("fugg", b"FUGG" + u32(3) + u64(0) + u64(0), "big-endian byte order"),
            ("spaces", b"    ", 'it has "    " instead'),
            ("four_bytes", b"\1\2\3\4", "bytes 01 02 03 04 instead"),
            ("html_5_bytes", b"<html", "an HTML page"),
            ("zip_4_bytes", b"PK\3\4", "a zip archive"),
            ("safetensors_10_bytes", u64(2) + b'{"', "a safetensors file"),
            ("mark_only", b"\xef\xbb\xbf", "3 bytes, too few"),
            ("mark_json", b"\xef\xbb\xbf{", "a JSON text"),
    ]:
        bad("stranger_" + name, start, phrase)


def headers():
    whole = header(0, 0)
    for n in (4, 7, 8, 15, 16, 23):
        bad(f"header_cut_{n:02}", whole[:n], f"ends inside its header, at byte {n}")
    bad("version_0", header(0, 0, 0), "GGUF version 0")
    bad("version_1", header(0, 0, 1), "GGUF version 1 (2023)")
    bad("version_4", header(0, 0, 4), "GGUF version 4")
    bad("version_max", header(0, 0, 2**32 - 1), "GGUF version 4294967295")
    bad("version_big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian byte order")
    bad("version_big_endian_1", b"GGUF" + struct.pack(">IQQ", 1, 0, 0), "big-endian byte order")
    bad("tensors_65537", header(65537, 0) + bytes(64), "promises 65537 tensors, at most 65536")
    bad("tensors_max", header(2**64 - 1, 0) + bytes(64), "promises 18446744073709551615 tensors")
    bad("tensors_sign_bit", header(2**63, 0) + bytes(64), "promises 9223372036854775808 tensors")
    bad("tensors_beyond_file", header(3, 0) + bytes(98), "promises 3 tensors, but only 98 bytes follow")
    bad("values_65537", header(0, 65537) + bytes(64), "promises 65537 metadata values, at most 65536")
    bad("values_max", header(0, 2**64 - 1) + bytes(64), "promises 18446744073709551615 metadata values")
    bad("values_beyond_file", header(0, 8) + bytes(111), "promises 8 metadata values, but only 111 bytes follow")
    bad("counts_together", header(2, 3) + bytes(107), "promises 3 metadata values, but only 41 bytes follow")
    ok("nothing", whole)
    ok("nothing_v2", header(0, 0, 2))
    ok("nothing_trailing", whole + pattern(100, 1))


# ---------------------------------------------------------------- keys and values

SAMPLE = {U8: 200, I8: -100, U16: 60000, I16: -30000, U32: 4000000000, I32: -2000000000, F32: 1.5, BOOL: 1,
          STR: "text", U64: 2**63 + 1, I64: -2**63, F64: -2.25}


def keys():
    def one(key):
        return build([value(key, U32, 1)])
    bad("key_empty", one(""), "its key has 0 bytes")
    bad("key_256", one("k" * 256), "its key has 256 bytes")
    bad("key_length_max", build([u64(2**64 - 1) + bytes(16)], n_values=1), "its key has 18446744073709551615 bytes")
    bad("key_length_sign_bit", build([u64(2**63) + bytes(16)], n_values=1), "its key has 9223372036854775808 bytes")
    bad("key_cut", build([u64(200) + b"general." + bytes(8)], n_values=1), "ends inside it, at byte")
    bad("key_length_cut", build([value("a", STR, "x" * 60), b"\5\0\0"], n_values=2), "metadata value 1, at byte 105")
    for name, key, byte in [("space", "general name", "20"), ("nul", "general\0name", "00"), ("slash", "a/b", "2f"),
                            ("escape", "a\x1b[2J", "1b"), ("utf8", "café", "c3"), ("colon", "a:b", "3a"),
                            ("high", b"a\xff", "ff")]:
        bad("key_" + name, one(key), f"its key has byte 0x{byte} at position")
    bad("key_twice", build([value("general.name", STR, "a"), ARCH, value("general.name", STR, "b")]),
        "metadata value 2, at byte")
    bad("key_twice_other_type", build([value("a", U8, 1), value("a", F64, 1)]), "key a stands twice")
    bad("key_twice_array", build([array("a", U8, []), array("a", U8, [])]), "key a stands twice")
    bad("key_twice_far", build([value(f"k{i}", U8, 0) for i in range(200)] + [value("k7", U8, 0)]),
        "key k7 stands twice")
    ok("key_longest", one("k" * 255))
    ok("key_letters", one("azAZ09_.-"))
    ok("keys_many", build([value(f"key.{i}", BOOL, i % 2) for i in range(300)]))


def values():
    bad("value_type_13", build([text("a") + u32(13) + bytes(8)], n_values=1), "a has value type 13, types are 0 to 12")
    bad("value_type_max", build([text("a") + u32(2**32 - 1) + bytes(8)], n_values=1), "value type 4294967295")
    bad("value_type_cut", build([value("first", U32, 1), text("second") + b"\1\0\0"], n_values=2),
        "ends inside its value")
    for kind, x in SAMPLE.items():
        whole = build([value("first", U64, 1), value("second", kind, x)])
        phrase = "ends inside its text" if kind == STR else "ends inside its value"
        if kind not in (U8, I8, BOOL):
            bad("value_cut_" + TYPE_NAME[kind], whole[:-1], phrase)
        else:
            bad("value_cut_" + TYPE_NAME[kind], build([value("first", U64, 1), text("sec") + u32(kind)], n_values=2),
                phrase)
    bad("values_one_too_many", build([value("first", U64, 1)], [record("t")], bytes(128), n_values=2),
        "tensor 0, at byte")
    bad("values_one_too_few",
        build([value("first", U64, 1), value("second", U64, 1)], [record("t")], bytes(128), n_values=1),
        "tensor 0, at byte 49: second has 10 dimensions")
    bad("bool_2", build([value("a", BOOL, 2)]), "a holds 2 where only 0 and 1")
    bad("bool_255", build([value("a", BOOL, 255)]), "a holds 255 where only 0 and 1")
    bad("bool_array_2", build([array("a", BOOL, [0, 1, 2, 1])]), "a holds 2 where only 0 and 1")

    def string(n, key="a", more=b"text"):
        return build([text(key) + u32(STR) + u64(n) + more], n_values=1)
    bad("string_16m", string(2**24 + 1), "text of 16777217 bytes at byte 37, at most 16777216")
    bad("string_16m_cut", string(2**24), "ends inside its text")
    bad("string_max", string(2**64 - 1), "text of 18446744073709551615 bytes")
    bad("string_minus_8", string(2**64 - 8), "text of 18446744073709551608 bytes")
    bad("string_one_short", string(5), "ends inside its text")
    bad("string_no_length", build([value("first", U64, 1), text("second") + u32(STR) + bytes(4)], n_values=2),
        "ends inside its text")
    for key in ("tokenizer.chat_template", "tokenizer.chat_template.tool_use"):
        bad("template_1m_" + key[24:].strip("."), string(2**20 + 1, key), "at most 1048576 are allowed")
    ok("string_empty", string(0, more=b""))
    ok("string_any_bytes", build([value("a", STR, bytes(range(256)))]))
    ok("value_every_type", build([ARCH] + [value("v." + TYPE_NAME[k], k, x) for k, x in SAMPLE.items()]))
    ok("value_every_type_v2", build([ARCH] + [value("v." + TYPE_NAME[k], k, x) for k, x in SAMPLE.items()], version=2))
    ok("value_float_odd", build([value("nan", F32, float("nan")), value("inf", F64, float("inf")),
                                 value("minus_zero", F32, -0.0), value("denormal", F64, 5e-324)]))


def arrays():
    def raw(elem, n, items=b"", key="a"):
        return build([text(key) + u32(ARR) + u32(elem) + u64(n) + items], n_values=1)
    bad("array_of_arrays", raw(ARR, 1, u32(U8) + u64(0)), "a is an array of arrays")
    bad("array_of_arrays_empty", raw(ARR, 0), "a is an array of arrays")
    bad("array_type_13", raw(13, 0), "a is an array of type 13")
    bad("array_type_max", raw(2**32 - 1, 1, bytes(8)), "a is an array of type 4294967295")
    bad("array_16m", raw(U8, 2**24 + 1, bytes(64)), "a promises 16777217 items, at most 16777216")
    bad("array_16m_strings", raw(STR, 2**24, bytes(64)), "a promises 16777216 items, but only 64 bytes follow")
    bad("array_max", raw(U64, 2**64 - 1, bytes(64)), "a promises 18446744073709551615 items")
    bad("array_wraps_to_0", raw(U64, 2**61, bytes(64)), "a promises 2305843009213693952 items")
    bad("array_wraps_u32", raw(F32, 2**62 + 1, bytes(64)), "a promises 4611686018427387905 items")
    for kind in FORM:
        whole = build([array("a", kind, [0, 0, 0])])
        bad("array_short_" + TYPE_NAME[kind], whole[:-1], "a promises 3 items, but only")
    bad("array_head_cut", build([value("first", U64, 0), text("a") + u32(ARR) + u32(U8) + bytes(7)], n_values=2),
        "ends inside its array")
    bad("array_elem_cut", build([value("first", U64, 0), text("a") + u32(ARR) + bytes(3)], n_values=2),
        "ends inside its array")
    bad("array_strings_short", raw(STR, 3, bytes(23)), "a promises 3 items, but only 23 bytes follow")
    bad("array_string_cut", raw(STR, 2, text("one") + u64(9) + b"two"), "item 1: the file ends inside its text")
    bad("array_string_length_cut", raw(STR, 2, text("a longer text") + bytes(3)),
        "item 1: the file ends inside its text")
    bad("array_string_max", raw(STR, 2, u64(2**64 - 1) + bytes(32)),
        "item 0: a has a text of 18446744073709551615 bytes")
    bad("array_string_16m", raw(STR, 2, text("a") + u64(2**24 + 1) + bytes(8)),
        "item 1: a has a text of 16777217 bytes")
    bad("array_template_1m", raw(STR, 1, u64(2**20 + 1), key="tokenizer.chat_templates"), "at most 1048576 are allowed")
    ok("array_empty", build([array("e." + TYPE_NAME[k], k, []) for k in SAMPLE]))
    ok("array_every_type", build([array("a." + TYPE_NAME[k], k, [x, x, x]) for k, x in SAMPLE.items()]))
    ok("array_strings_empty", build([array("a", STR, [""] * 500)]))
    ok("array_last_is_empty", build([value("first", U64, 0), array("a", STR, [])]))
    ok("array_items_1000", build([array("a", U16, range(1000))]))


# ---------------------------------------------------------------- tensors

def alignments():
    def with_alignment(x, kind=U32):
        return build_tensors([("t", (32,), T_F32, None)], [value("general.alignment", kind, x)])
    for n in (0, 1, 2, 4, 7, 12, 33, 4097, 8192, 2**31, 2**32 - 1):
        bad(f"alignment_{n}", with_alignment(n), f"general.alignment is {n}; it must be a power of two from 8 to 4096")
    for kind, x in ((U64, 32), (I32, 32), (U8, 32), (F32, 32.0), (STR, "32"), (BOOL, 1)):
        bad("alignment_" + TYPE_NAME[kind], with_alignment(x, kind), f"general.alignment has value type {kind}")
    bad("alignment_array", build([array("general.alignment", U32, [32])]), "general.alignment has value type 9")
    bad("alignment_without_tensors", build([value("general.alignment", U32, 3)]), "general.alignment is 3")
    for n in (8, 16, 64, 4096):
        two = [("a", (5,), T_F32, None), ("b", (5,), T_F32, None)]
        ok(f"alignment_{n}", build_tensors(two, [value("general.alignment", U32, n)], n))


def tensor_names():
    def one(name):
        return build_tensors([(name, (8,), T_F32, None)])
    bad("tensor_name_empty", one(""), "tensor 0, at byte 24: its name has 0 bytes")
    bad("tensor_name_256", one("n" * 256), "its name has 256 bytes")
    bad("tensor_name_max", build([], [u64(2**64 - 1) + bytes(40)]), "its name has 18446744073709551615 bytes")
    for name, raw in [("nul", b"a\0b"), ("ff", b"a\xff"), ("lone_continuation", b"\x80abc"), ("cut", b"abc\xe2\x82"),
                      ("cut_4", b"\xf0\x9f\x98"), ("overlong_2", b"\xc0\xafx"), ("overlong_3", b"\xe0\x80\xafx"),
                      ("overlong_4", b"\xf0\x80\x80\xaf"), ("surrogate", b"\xed\xa0\x80"),
                      ("above_10ffff", b"\xf4\x90\x80\x80"),
                      ("f5", b"\xf5\x80\x80\x80"), ("bad_continuation", b"\xe2\x28\xa1"), ("overlong_c1", b"\xc1\xbfx"),
                      ("below_e0", b"\xdf"), ("below_f0", b"\xef\xbf"), ("overlong_4_high", b"\xf0\x8f\xbf\xbf")]:
        bad("tensor_name_" + name, one(raw), "its name is not UTF-8 text without NUL")
    # The byte after the name would complete the character.
    bad("tensor_name_borrows", build([], [text(b"\xe2\x82") + u32(0x80) + bytes(40)]),
        "its name is not UTF-8 text without NUL")
    ok("tensor_name_utf8_limits", one("\x01\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"))
    two = [("blk.0.w", (8,), T_F32, None), ("blk.1.w", (8,), T_F32, None), ("blk.0.w", (8,), T_F32, None)]
    bad("tensor_name_twice", build_tensors(two), "tensor 2, at byte 102: the name blk.0.w stands twice")
    ok("tensor_name_longest", one("n" * 255))
    ok("tensor_name_utf8", one("größe.重み.\U0001f600 (x)\x01"))


def tensor_records():
    # A long value before them keeps the counts credible, so that the cut itself is what is found.
    first, last = value("first", STR, "x" * 60), record("tensor", (8, 4))
    at = len(header(0, 0)) + len(first) + len(record("earlier"))
    cut_at = {"length": 5, "name": 8 + 3, "n_dims": 14 + 2, "dim_0": 18 + 7, "dim_1": 26 + 1, "type": 34 + 1,
              "offset": 38 + 7}
    assert len(last) == 46
    for name, n in cut_at.items():
        data = build([first], [record("earlier"), last[:n]], n_tensors=2)[:at + n]
        bad("tensor_cut_" + name, data, f"tensor 1, at byte {at}: the file ends inside it, at byte {at + n}")
    bad("tensor_dims_0", build([], [record("t", ()) + bytes(32)]), "t has 0 dimensions, 1 to 4")
    bad("tensor_dims_5", build([], [record("t", (1, 1, 1, 1, 1))]), "t has 5 dimensions, 1 to 4")
    bad("tensor_dims_max", build([], [record("t", (1,), n_dims=2**32 - 1)]), "t has 4294967295 dimensions")
    bad("tensor_dim_0", build([], [record("t", (0,))]), "t has 0 for dimension 0")
    bad("tensor_dim_0_last", build([], [record("t", (32, 4, 0))]), "t has 0 for dimension 2")
    bad("tensor_dim_2_40", build([], [record("t", (2**40 + 1,))]), "t has 1099511627777 for dimension 0")
    bad("tensor_dim_max", build([], [record("t", (1, 2**64 - 1))]), "t has 18446744073709551615 for dimension 1")
    bad("tensor_values_2_64", build([], [record("t", (2**32, 2**32))]), "more values than 63 bits")
    bad("tensor_values_2_63", build([], [record("t", (2**40, 2**23))]), "more values than 63 bits")
    bad("tensor_values_2_160", build([], [record("t", (2**40,) * 4)]), "more values than 63 bits")
    bad("tensor_values_wrap_to_32", build([], [record("t", (32, 3 * 2833, 37171, 1824726041))], bytes(128)),
        "more values than 63 bits")
    bad("tensor_values_most", build([], [record("t", (153092023, 92737, 649657), 24)]),
        "t has 9223372036854775807 bytes")
    bad("tensor_bytes_2_64", build([], [record("t", (2**40, 2**21), T_F64)]), "more bytes than 64 bits")
    bad("tensor_bytes_wrap_to_32", build([], [record("t", (4 * 3 * 2833, 37171, 1824726041), T_F64)], bytes(64)),
        "more bytes than 64 bits")
    bad("tensor_bytes_huge", build([], [record("t", (2**40, 2**20), T_F32)]),
        "t has 4611686018427387904 bytes at offset 0")
    for kind, (name, per_block, _) in TENSOR_TYPES.items():
        if per_block > 1:
            rows = build([], [record("t", (per_block // 2, 2), kind)], bytes(512))
            bad(f"tensor_row_{name}", rows, f"t has rows of {per_block // 2} values, but {name} comes in blocks")


def tensor_places():
    def one(offset, dims=(8,), kind=T_F32, data=bytes(64)):
        return build([], [record("t", dims, kind, offset)], data)
    bad("tensor_offset_odd", one(1), "t starts at offset 1, which is no multiple of the alignment 32")
    bad("tensor_offset_16", one(16), "t starts at offset 16, which is no multiple of the alignment 32")
    bad("tensor_offset_max", one(2**64 - 32), "t has 32 bytes at offset 18446744073709551584")
    bad("tensor_offset_wraps", one(2**64 - 96), "at offset 18446744073709551520 of the data")
    bad("tensor_offset_end", one(64), "t has 32 bytes at offset 64 of the data")
    bad("tensor_one_byte_short", one(0, (8,), data=bytes(31)), "but the file has 95")
    bad("tensor_no_data", one(0, data=b""), "t has 32 bytes at offset 0")
    bad("tensor_no_padding", header(1, 0) + record("t"), "t has 128 bytes at offset 0")
    bad("tensor_second_short", build_tensors([("a", (8,), T_F32, None), ("b", (9,), T_F32, None)])[:-29],
        "b has 36 bytes at")
    bad("tensor_unknown_type_beyond", one(96, kind=200), "t has 0 bytes at offset 96")
    one_q8 = tensor_bytes((32, 4), T_Q8_0)
    bad("tensor_quantized_short", one(0, (32, 4), T_Q8_0, bytes(one_q8 - 1)), f"t has {one_q8} bytes at offset 0")

    def pair(a, b, data=256, kinds=(T_F32, T_F32)):
        records = [record("first", (a[1],), kinds[0], a[0]), record("second", (b[1],), kinds[1], b[0])]
        return build([], records, bytes(data))
    bad("overlap_same", pair((0, 16), (0, 16)), "first and second overlap at byte")
    bad("overlap_partly", pair((0, 16), (32, 16)), "first and second overlap at byte")
    bad("overlap_inside", pair((0, 64), (64, 2)), "first and second overlap at byte")
    bad("overlap_backwards", pair((32, 16), (0, 16)), "second and first overlap at byte")
    bad("overlap_last_byte", pair((0, 9), (32, 8)), "first and second overlap at byte")
    bad("overlap_unknown_type", pair((0, 16), (0, 16), kinds=(T_F32, 200)), "first and second overlap at byte")
    bad("overlap_unknown_type_first", pair((0, 16), (0, 16), kinds=(200, T_F32)), "second and first overlap at byte")
    ok("tensor_order_backwards", pair((128, 16), (0, 16)))
    ok("tensor_touching", pair((0, 8), (32, 8), 64))
    ok("tensor_last_unpadded", pair((0, 8), (32, 7), 60))
    ok("tensor_gaps", build_tensors([(f"t{i}", (8,), T_F32, None) for i in range(3)], gap=96))
    ok("tensor_tail", build_tensors([("t", (8,), T_F32, None)], tail=100))
    ok("tensor_dims", build_tensors([(f"d{n}", (32, 2, 3, 2)[:n], T_F16, None) for n in (1, 2, 3, 4)]))
    ok("tensor_v2", build_tensors([("t", (32, 2), T_Q4_0, None)], [ARCH], version=2))
    ok("tensor_unknown_types",
       build([], [record("a", (7,), 4), record("b", (3, 2**40), 200, 0), record("c", (1,), 2**32 - 1)],
                                     bytes(32)))
    kinds = [(name, (per_block, 1), kind, None) for kind, (name, per_block, _) in TENSOR_TYPES.items()]
    ok("tensor_every_type", build_tensors(kinds, [ARCH]))
    ok("tensor_no_kernels", build_tensors([k for k in kinds if k[2] not in KERNEL_TYPES], [ARCH]))
    ok("tensor_many", build_tensors([(f"blk.{i}.w", (2,), T_F32, None) for i in range(60)], [ARCH]))


# ---------------------------------------------------------------- split sets

def part(number, count, tensors, total=None, values=(), count_kind=U16):
    own = [value("split.no", U16, number)] if number is not None else []
    own += [value("split.count", count_kind, count)] if count is not None else []
    own += [value("split.tensors.count", I32, total)] if total is not None else []
    return build_tensors([(name, (8,), T_F32, None) for name in tensors], own + list(values))


def add_set(name, verdict, parts, phrase="-"):
    """Parts beside each other under the field's naming; the verdict is that of the whole, opened by its first."""
    for i, data in enumerate(parts):
        file = f"{name}-{i + 1:05}-of-{len(parts):05}"
        if i == 0:
            add(file, verdict, data, phrase)
        else:
            FILES[file + ".gguf"] = data


def splits():
    add_set("ok_set2", "ok", [part(0, 2, "ab", 3, [ARCH]), part(1, 2, "c", 3)])
    add_set("ok_set3", "ok", [part(0, 3, [], None, [ARCH]), part(1, 3, "ab"), part(2, 3, "c")])
    add_set("ok_set_no_total", "ok", [part(0, 2, "a"), part(1, 2, [])])
    ok("split_merged", part(0, 0, "ab", 2))
    ok("split_count_1", part(0, 1, "a", 1))
    add("set_bad_second_alone", "set_bad", part(1, 2, "b", 2), "this is part 2 of a set of 2 files")
    add("set_bad_no_without_count", "set_bad", part(3, None, "b"),
        "split.no is 3 (counted from 0), but split.count is 1")
    add("set_bad_no_above_count", "set_bad", part(2, 2, "b"), "split.no is 2 (counted from 0), but split.count is 2")
    add("set_bad_count_513", "set_bad", part(0, 513, "a"), "split.count is 513; it must lie between 0 and 512")
    add("set_bad_count_negative", "set_bad", part(0, -1, "a", count_kind=I32), "split.count is -1")
    add("set_bad_count_type", "set_bad", part(0, 2.0, "a", count_kind=F32), "split.count is of type f32")
    add_set("set_bad_swapped", "set_bad", [part(0, 2, "a"), part(0, 2, "b")],
            "this file says it is part 1 of 2, but part 2 of 2 is needed")
    add_set("set_bad_other_count", "set_bad", [part(0, 2, "a"), part(1, 3, "b")], "says it is part 2 of 3")
    add_set("set_bad_stranger", "set_bad", [part(0, 2, "a"), part(None, None, "b")], "says it is part 1 of 1")
    add_set("set_bad_tensor_twice", "set_bad", [part(0, 2, "ab"), part(1, 2, "ca")], "tensor a stands in two parts")
    add_set("set_bad_total", "set_bad", [part(0, 2, "ab", 4), part(1, 2, "c", 4)],
            "split.tensors.count is 4, but the parts have 3 tensors together")
    add_set("set_bad_part_damaged", "set_bad", [part(0, 2, "a"), part(1, 2, "b")[:-1]], "b has 32 bytes at offset 0")
    add_set("set_bad_part_stranger", "set_bad", [part(0, 2, "a"), b"<!DOCTYPE html>"], "an HTML page")


# ---------------------------------------------------------------- vocabularies

SPM_TOKENS = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)] \
    + [(t, -float(i), 1) for i, t in enumerate(["▁", "a", "b", "c", "ab", "▁a", "abc"])] \
    + [(f"<0x{b:02X}>", 0.0, 6) for b in (0x0A, 0x20, 0x41, 0xFF)]


def spm(tokens=None, types=True, scores=None, **changes):
    """SentencePiece metadata; changes replace or (None) remove the value of tokenizer.ggml.KEY."""
    tokens = SPM_TOKENS if tokens is None else tokens
    own = {
        "model": value("tokenizer.ggml.model", STR, "llama"),
        "tokens": array("tokenizer.ggml.tokens", STR, [t[0] for t in tokens]),
        "scores": array("tokenizer.ggml.scores", F32, [t[1] for t in tokens] if scores is None else scores),
        "token_type": array("tokenizer.ggml.token_type", I32, [t[2] for t in tokens]) if types else None,
        "bos_token_id": value("tokenizer.ggml.bos_token_id", U32, 1),
        "eos_token_id": value("tokenizer.ggml.eos_token_id", U32, 2),
        "unknown_token_id": value("tokenizer.ggml.unknown_token_id", U32, 0),
    }
    own.update(changes)
    return [v for v in own.values() if v is not None]


def spm_without(key):
    return [v for v in spm() if not v.startswith(text("tokenizer.ggml." + key))]


def spm_tokens(record_):
    return [record_ if v.startswith(text("tokenizer.ggml.tokens")) else v for v in spm()]


def letter(byte):
    """The character that stands for a byte in byte-level BPE."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return chr(byte if byte in plain else 0x100 + [b for b in range(256) if b not in plain].index(byte))


BPE_TOKENS = [letter(b) for b in range(256)] + ["ab", "Ġa", "abc", "Ġab", "<|end|>"]


def bpe(**changes):
    own = {
        "model": value("tokenizer.ggml.model", STR, "gpt2"),
        "pre": value("tokenizer.ggml.pre", STR, "gpt-2"),
        "tokens": array("tokenizer.ggml.tokens", STR, BPE_TOKENS),
        "token_type": array("tokenizer.ggml.token_type", I32, [1] * (len(BPE_TOKENS) - 1) + [3]),
        "merges": array("tokenizer.ggml.merges", STR, ["a b", "Ġ a", "ab c", "Ġ ab"]),
        "eos_token_id": value("tokenizer.ggml.eos_token_id", U32, len(BPE_TOKENS) - 1),
    }
    own.update(changes)
    return [v for v in own.values() if v is not None]


def wpm(begin, goes_on, unknown=1):
    """WordPiece metadata in one of its two conventions."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [begin + t for t in ("a", "b", "ab", "the", "un", "!", "'", "\u4e00", "1", "2", "e", "\u00df")]
    tokens += [goes_on + t for t in ("a", "b", "ing", "able", "e", "\u0439", "1", "x")]
    if unknown is None:
        tokens[1] = "[NONE]"
    own = [
        value("tokenizer.ggml.model", STR, "bert"),
        array("tokenizer.ggml.tokens", STR, tokens),
        array("tokenizer.ggml.token_type", I32, [3] * 5 + [1] * (len(tokens) - 5)),
        value("tokenizer.ggml.cls_token_id", U32, 2),
        value("tokenizer.ggml.seperator_token_id", U32, 3),
    ]
    return own + ([value("tokenizer.ggml.unknown_token_id", U32, unknown)] if unknown is not None else [])


def vocabularies():
    def vocab_bad(name, values, phrase):
        add("vocab_bad_" + name, "vocab_bad", model(vocabulary=values), phrase)
    g = "tokenizer.ggml."
    n = len(SPM_TOKENS)
    ok("vocab_spm", build([ARCH, *spm()]))
    ok("vocab_spm_no_types", build([ARCH, *spm(types=False)]))
    ok("vocab_bpe", build([ARCH, *bpe()]))
    ok("vocab_bpe_qwen2", build([ARCH, *bpe(pre=value(g + "pre", STR, "qwen2"))]))
    ok("vocab_bpe_llama", build([ARCH, *bpe(pre=value(g + "pre", STR, "llama-bpe"))]))
    ok("vocab_bpe_falcon", build([ARCH, *bpe(pre=value(g + "pre", STR, "falcon"))]))
    ok("vocab_bpe_deepseek", build([ARCH, *bpe(pre=value(g + "pre", STR, "deepseek-llm"))]))
    ok("vocab_bpe_kimi", build([ARCH, *bpe(pre=value(g + "pre", STR, "kimi-k2"))]))
    ok("vocab_wpm", build([ARCH, *wpm("\u2581", "")]))
    ok("vocab_wpm_hashes", build([ARCH, *wpm("", "##")]))
    ok("vocab_ugm", build([ARCH, *spm(model=value(g + "model", STR, "t5"))]))
    vocab_bad("wpm_no_unknown", wpm("", "##", unknown=None), "has no unknown token")
    vocab_bad("ugm_no_scores", spm(model=value(g + "model", STR, "t5"), scores=[]), "scores has 0 items")
    for name, blob, phrase in (("short", [4, 0, 0], "a table of 0"), ("odd", [3, 0, 0, 0, 1, 2, 3, 0], "a table of 3"),
                               ("beyond", [8, 0, 0, 0, 1, 2, 3, 0], "a table of 8"),
                               ("no_end", [4, 0, 0, 0, 1, 2, 3, 0], "does not end with a 0"),
                               ("long", [4, 0, 0, 0, 1, 2, 3, 0, *[120] * 65, 0], "at most 64")):
        vocab_bad("charsmap_" + name, spm(model=value(g + "model", STR, "t5"),
                                          charsmap=array(g + "precompiled_charsmap", U8, blob)), phrase)
    ok("vocab_bpe_no_pre", build([ARCH, *bpe(pre=None)]))
    ok("vocab_none", build([ARCH, value(g + "model", STR, "none")]))
    ok("vocab_minus_1", build([ARCH, *spm(padding=value(g + "padding_token_id", I32, -1))]))
    vocab_bad("model_unknown", spm(model=value(g + "model", STR, "runes")), 'tokenizer.ggml.model is "runes"')
    vocab_bad("model_type", spm(model=value(g + "model", U32, 1)), "tokenizer.ggml.model is of type u32")
    vocab_bad("pre_unknown", bpe(pre=value(g + "pre", STR, "runes")), 'tokenizer.ggml.pre is "runes"')
    vocab_bad("no_tokens", spm_without("tokens"), "is missing or empty")
    vocab_bad("tokens_empty", spm_tokens(array(g + "tokens", STR, [])), "is missing or empty")
    vocab_bad("tokens_type", spm_tokens(array(g + "tokens", U32, [1, 2])), "is an array of u32 where text is needed")
    vocab_bad("tokens_no_array", spm_tokens(value(g + "tokens", STR, "a")), "is of type text where an array")
    vocab_bad("token_4097", spm(tokens=[*SPM_TOKENS, ("x" * 4097, 0.0, 1)]), f"token {n} is 4097 bytes long")
    vocab_bad("types_short", spm(token_type=array(g + "token_type", I32, [1])),
              f"token_type has 1 items for {n} tokens")
    vocab_bad("type_7", spm(token_type=array(g + "token_type", I32, [7] * n)), "token_type[0] is 7")
    vocab_bad("type_negative", spm(token_type=array(g + "token_type", I32, [-1] * n)), "token_type[0] is -1")
    vocab_bad("types_f32", spm(token_type=array(g + "token_type", F32, [1.0] * n)), "is an array of f32 where i32")
    vocab_bad("scores_short", spm(scores=[0.0] * (n - 1)), f"scores has {n - 1} items for {n} tokens")
    vocab_bad("scores_missing", spm_without("scores"), f"scores has 0 items for {n} tokens")
    vocab_bad("score_nan", spm(scores=[0.0] * (n - 1) + [float("nan")]), f"scores[{n - 1}] is not a finite number")
    vocab_bad("score_inf", spm(scores=[float("-inf")] + [0.0] * (n - 1)), "scores[0] is not a finite number")
    vocab_bad("byte_text", spm(tokens=[*SPM_TOKENS, ("<0xZZ>", 0.0, 6)]), "is not of the form <0x0A>")
    vocab_bad("bos_range", spm(bos_token_id=value(g + "bos_token_id", U32, n)),
              f"bos_token_id is {n}; it must lie between")
    vocab_bad("eos_max", spm(eos_token_id=value(g + "eos_token_id", U64, 2**64 - 1)),
              "eos_token_id is 18446744073709551615")
    vocab_bad("eos_type", spm(eos_token_id=value(g + "eos_token_id", STR, "2")), "eos_token_id is of type text")
    vocab_bad("add_bos_type", spm(add_bos=value(g + "add_bos_token", U8, 1)), "add_bos_token is of type u8")
    vocab_bad("no_merges", bpe(merges=None), "tokenizer.ggml.merges is missing")
    vocab_bad("merge_one_word", bpe(merges=array(g + "merges", STR, ["a b", "ab"])), 'merges[1] is "ab"')
    vocab_bad("merges_type", bpe(merges=array(g + "merges", U8, [1])), "merges is an array of u8")


# ---------------------------------------------------------------- models

EMBD, HEADS, HEAD_DIM, KV_HEADS, FF, CTX = 32, 4, 8, 1, 32, 64
VOCAB = len(SPM_TOKENS)


def hyper(arch="llama", **changes):
    """Hyper-parameters; __ in a name stands for a dot. None removes, bytes replace the record, (kind, x) the value."""
    own = {
        "block_count": (U32, 1), "embedding_length": (U32, EMBD), "feed_forward_length": (U32, FF),
        "attention__head_count": (U32, HEADS), "attention__head_count_kv": (U32, KV_HEADS),
        "context_length": (U32, CTX),
        "attention__layer_norm_rms_epsilon": (F32, 1e-5), "rope__freq_base": (F32, 10000.0),
    }
    own.update(changes)
    out = []
    for key, v in own.items():
        if isinstance(v, bytes):
            out.append(v)
        elif v is not None:
            out.append(value(f"{arch}.{key.replace('__', '.')}", *v))
    return out


def quantized(rows, row, seed):
    """Q4_0 with finite, small scales."""
    nibbles = pattern(rows * row // 2, seed)
    return b"".join(b"\0\x28" + nibbles[i:i + 16] for i in range(0, len(nibbles), 16))


def weights(arch="llama", **changes):
    """The tensors of a model of one layer: name -> (dims, kind, bytes). None removes one; a tuple replaces it."""
    shapes = {
        "token_embd.weight": (EMBD, VOCAB), "output_norm.weight": (EMBD,),
        "blk.0.attn_norm.weight": (EMBD,), "blk.0.attn_q.weight": (EMBD, HEADS * HEAD_DIM),
        "blk.0.attn_k.weight": (EMBD, KV_HEADS * HEAD_DIM), "blk.0.attn_v.weight": (EMBD, KV_HEADS * HEAD_DIM),
        "blk.0.attn_output.weight": (HEADS * HEAD_DIM, EMBD), "blk.0.ffn_norm.weight": (EMBD,),
        "blk.0.ffn_gate.weight": (EMBD, FF), "blk.0.ffn_up.weight": (EMBD, FF), "blk.0.ffn_down.weight": (FF, EMBD),
    }
    if arch == "qwen2":
        shapes.update({f"blk.0.attn_{p}.bias": (HEADS * HEAD_DIM if p == "q" else KV_HEADS * HEAD_DIM,) for p in "qkv"})
    if arch == "qwen3":
        shapes.update({f"blk.0.attn_{p}_norm.weight": (HEAD_DIM,) for p in "qk"})
    own = {}
    for seed, (name, dims) in enumerate(shapes.items()):
        if len(dims) == 1:
            own[name] = (dims, T_F32, struct.pack("<f", 1.0) * dims[0])
        else:
            own[name] = (dims, T_Q4_0, quantized(dims[1], dims[0], seed))
    own.update(changes)
    return [(name, *t) for name, t in own.items() if t is not None]


def model(arch="llama", hp=None, tensors=None, vocabulary=None):
    """Its size is a multiple of 32, so that its f32 lie at multiples of 4 also when its end is put at a page's end."""
    values_ = [value("general.architecture", STR, arch), *(hyper(arch) if hp is None else hp)]
    values_ += spm() if vocabulary is None else vocabulary
    return padded(build_tensors(weights(arch) if tensors is None else tensors, values_))


def f32_vector(*x):
    return ((len(x),), T_F32, struct.pack(f"<{len(x)}f", *x))


def good_models():
    for arch in ("llama", "qwen2", "qwen3"):
        add("model_ok_" + arch, "runs", model(arch))

    def runs(name, **changes):
        add("model_ok_" + name, "runs", model(tensors=weights(**changes)))
    runs("untied", **{"output.weight": ((EMBD, VOCAB), T_Q4_0, quantized(VOCAB, EMBD, 50))})
    runs("rope_factors", **{"rope_freqs.weight": f32_vector(1.0, 1.0, 2.0, 8.0)})
    runs("unused_tensor", **{"extra.weight": ((32,), 20, None)})
    add("model_ok_scaling_linear", "runs",
        model(hp=hyper(rope__scaling__type=(STR, "linear"), rope__scaling__factor=(F32, 2.0))))
    add("model_ok_kv_heads_default", "runs", model(hp=hyper(attention__head_count_kv=None), tensors=weights(**{
        f"blk.0.attn_{p}.weight": ((EMBD, EMBD), T_Q4_0, quantized(EMBD, EMBD, 60)) for p in "kv"})))
    add("model_ok_no_vocabulary", "runs", model(vocabulary=[]))


def hyper_parameters():
    def refused(name, phrase, **changes):
        values_ = [value("general.architecture", STR, "llama"), *hyper(**changes)]
        add("model_bad_" + name, "model_bad", build(values_), phrase)

    def architecture(name, v, phrase):
        add("model_bad_" + name, "model_bad", build([*v, *hyper()]), phrase)
    architecture("no_architecture", [], "the file lacks general.architecture")
    architecture("architecture_type", [value("general.architecture", U32, 7)], "general.architecture is of type u32")
    architecture("architecture_unknown", [value("general.architecture", STR, "runestone")],
                 '"runestone" is not supported')
    architecture("architecture_empty", [value("general.architecture", STR, "")], 'architecture "" is not supported')
    architecture("architecture_nul", [value("general.architecture", STR, "llama\0")], "is not supported")
    architecture("architecture_escape", [value("general.architecture", STR, "\x1b]0;x\x07")], "is not supported")
    architecture("architecture_not_utf8", [value("general.architecture", STR, b"a\xff\xc3(\xed\xa0\x80\xf0\x9f")],
                 'architecture "a??(?????" is not supported')
    architecture("architecture_c1", [value("general.architecture", STR, "a\x9bJ")],
                 'architecture "a??J" is not supported')
    architecture("architecture_cut", [value("general.architecture", STR, "é" * 100 + "重み")], 'éé" is not supported')
    architecture("architecture_cut_2", [value("general.architecture", STR, "é" * 99 + "重み")], 'é??" is not supported')
    architecture("architecture_long", [value("general.architecture", STR, "a" * 3000)], "is not supported")
    for key in ("block_count", "embedding_length", "feed_forward_length", "attention__head_count", "context_length"):
        dotted = "llama." + key.replace("__", ".")
        refused("no_" + key.split("__")[-1], f"the file lacks {dotted}", **{key: None})
    ranges = [
        ("block_count", "layers", 1, 1024), ("embedding_length", "embd", 1, 131072),
        ("feed_forward_length", "ff", 1, 2**20), ("attention__head_count", "heads", 1, 1024),
        ("attention__head_count_kv", "kv_heads", 1, 1024), ("context_length", "context", 1, 2**24),
        ("attention__key_length", "key_length", 1, 131072), ("rope__dimension_count", "rot", 1, 131072),
    ]
    for key, short, least, most in ranges:
        dotted = "llama." + key.replace("__", ".")
        for x in (least - 1, most + 1):
            refused(f"{short}_{x}", f"{dotted} is {x}; it must lie between {least} and {most}", **{key: (U32, x)})
    refused("layers_negative", "llama.block_count is -1; it must lie", block_count=(I32, -1))
    refused("layers_max", "llama.block_count is 18446744073709551615", block_count=(U64, 2**64 - 1))
    refused("layers_wraps", "llama.block_count is 4294967297", block_count=(U64, 2**32 + 1))
    refused("layers_float", "llama.block_count is of type f32", block_count=(F32, 1.0))
    refused("layers_text", "llama.block_count is of type text", block_count=(STR, "1"))
    for short, words, numbers in (("array", "has 2 numbers for 1 layers", [1, 1]),
                                  ("none", "is 0 for every layer", [0]),
                                  ("many", "is 1025 for layer 0; this version takes 0 to 1024", [1025])):
        refused(f"kv_heads_{short}", words, attention__head_count_kv=array(
            "llama.attention.head_count_kv", U32, numbers))
    refused("kv_heads_uneven", "4 query heads cannot share 3 KV heads", attention__head_count_kv=(U32, 3))
    refused("embd_uneven", "llama.embedding_length 33 is no multiple of the 4 heads", embedding_length=(U32, 33))
    refused("head_dim_12", "head size 12 is not supported", attention__key_length=(U32, 12))
    refused("head_dim_520", "head size 520 is not supported", attention__key_length=(U32, 520))
    refused("value_length", "key size 8 and value size 16 differ", attention__value_length=(U32, 16))
    refused("rot_odd", "llama.rope.dimension_count is 7", rope__dimension_count=(U32, 7))
    refused("rot_above_head", "llama.rope.dimension_count is 10", rope__dimension_count=(U32, 10))
    for name, x in (("zero", 0.0), ("negative", -1.0), ("nan", float("nan")), ("inf", float("inf"))):
        refused("epsilon_" + name, "layer_norm_rms_epsilon is", attention__layer_norm_rms_epsilon=(F32, x))
        refused("rope_base_" + name, "llama.rope.freq_base is", rope__freq_base=(F32, x))
        refused("rope_factor_" + name, "llama.rope.scaling.factor is", rope__scaling__type=(STR, "linear"),
                rope__scaling__factor=(F32, x))
    refused("rope_base_type", "llama.rope.freq_base is of type u32", rope__freq_base=(U32, 10000))
    refused("scaling_dynamic", '"dynamic"; this version knows', rope__scaling__type=(STR, "dynamic"))
    refused("scaling_type", "llama.rope.scaling.type is of type u32", rope__scaling__type=(U32, 1))
    refused("experts", "the file lacks llama.expert_used_count", expert_count=(U32, 8))
    refused("experts_used_9", "llama.expert_used_count is 9; it must lie", expert_count=(U32, 8),
            expert_used_count=(U32, 9))
    refused("experts_4097", "llama.expert_count is 4097", expert_count=(U32, 4097))
    refused("vocab_2_22", "llama.vocab_size is 4194305", vocab_size=(U32, 2**22 + 1))
    refused("vocabulary_only", "the file lacks token_embd.weight")


def bad_tensors():
    def refused(name, phrase, arch="llama", hp=None, **changes):
        add("model_bad_" + name, "model_bad", model(arch, hp, weights(arch, **changes), vocabulary=[]), phrase)
    for name, *_ in weights():
        if name != "token_embd.weight":
            refused("lacks_" + name.replace("blk.0.", "").replace(".weight", ""), f"the file lacks {name}",
                    **{name: None})
    refused("lacks_qwen2_bias", "the file lacks blk.0.attn_k.bias (f32 [8])", "qwen2", **{"blk.0.attn_k.bias": None})
    refused("lacks_qwen3_norm", "the file lacks blk.0.attn_q_norm.weight (f32 [8])", "qwen3",
            **{"blk.0.attn_q_norm.weight": None})
    refused("lacks_layer_2", "the file lacks blk.1.attn_norm.weight", hp=hyper(block_count=(U32, 2)))
    refused("lacks_layer_1024", "the file lacks blk.1.attn_norm.weight", hp=hyper(block_count=(U32, 1024)))
    refused("vocab_size_differs", "vocab_size is 7 but token_embd.weight has", hp=hyper(vocab_size=(U32, 7)))

    def shaped(name, tensor, dims, kind=T_Q4_0):
        shape = ", ".join(str(d) for d in [*dims, 1, 1, 1][:4])
        refused(name, f"{tensor} has shape [{shape}]", **{tensor: (dims, kind, bytes(tensor_bytes(dims, kind)))})
    q, down, norm = "blk.0.attn_q.weight", "blk.0.ffn_down.weight", "blk.0.ffn_norm.weight"
    shaped("shape_q_rows", q, (32, 31))
    shaped("shape_q_row", q, (64, 32))
    shaped("shape_q_3d", q, (32, 32, 2))
    shaped("shape_q_4d", q, (32, 32, 1, 2))
    shaped("shape_q_vector", q, (1024,))
    shaped("shape_k", "blk.0.attn_k.weight", (32, 32))
    shaped("shape_down", down, (64, 16))
    shaped("shape_norm", norm, (31,), T_F32)
    shaped("shape_norm_matrix", norm, (32, 2), T_F32)
    shaped("shape_output", "output.weight", (32, VOCAB + 1))
    shaped("shape_bias", "blk.0.attn_q.bias", (8,), T_F32)
    shaped("shape_rope_factors", "rope_freqs.weight", (8,), T_F32)
    shaped("shape_embd", "token_embd.weight", (64, VOCAB))
    refused("embd_rows", "token_embd.weight has 4194305 rows",
            **{"token_embd.weight": ((1, 2**22 + 1), 200, bytes(32))})

    def typed(name, tensor, kind, phrase):
        dims = {t[0]: t[1] for t in weights()}[tensor]
        refused(name, phrase, **{tensor: (dims, kind, bytes(32) if kind not in TENSOR_TYPES else None)})
    typed("type_q8_1", q, 9, f"{q} has type Q8_1 (number 9)")
    typed("type_f64", down, T_F64, f"{down} has type F64 (number 28)")
    typed("type_i8", q, 24, f"{q} has type I8 (number 24)")
    typed("type_unknown", q, 200, f"{q} has type unknown (number 200)")
    typed("type_removed", q, 4, f"{q} has type unknown (number 4)")
    typed("type_norm_f16", norm, T_F16, f"{norm} has type F16; norms and biases must be F32")
    typed("type_norm_unknown", norm, 2**32 - 1, f"{norm} has type unknown (number 4294967295)")
    for name, x in (("zero", 0.0), ("negative", -1.0), ("nan", float("nan"))):
        refused("rope_factors_" + name, "rope_freqs.weight[2] is",
                **{"rope_freqs.weight": f32_vector(1.0, 1.0, x, 1.0)})


# ---------------------------------------------------------------- the folder

def make():
    for group in (strangers, headers, keys, values, arrays, alignments, tensor_names, tensor_records, tensor_places,
                  splits,
                  vocabularies, good_models, hyper_parameters, bad_tensors):
        group()
    lines = ["# file, verdict, words of the message; tools/make_gguf_corpus.py makes this and says what verdicts mean"]
    lines += ["\t".join(row) for row in EXPECT]
    FILES["expect.tsv"] = ("\n".join(lines) + "\n").encode()


def differences(folder):
    there = set(os.listdir(folder))
    for name in sorted(there - set(FILES)):
        yield f"{name}: nothing makes it"
    for name, data in sorted(FILES.items()):
        if name not in there:
            yield f"{name}: is missing"
            continue
        with open(os.path.join(folder, name), "rb") as f:
            if f.read() != data:
                yield f"{name}: differs"


def main():
    args = sys.argv[1:]
    check = args[:1] == ["--check"]
    if len(args) != 1 + check:
        print(__doc__)
        return 2
    folder = args[-1]
    make()
    if check:
        found = list(differences(folder))
        print("\n".join(found) if found else f"{len(FILES)} files, as {os.path.basename(sys.argv[0])} makes them")
        return 1 if found else 0
    os.makedirs(folder, exist_ok=True)
    for name, data in FILES.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    print(f"{len(FILES)} files, {sum(map(len, FILES.values()))} bytes, the largest {max(map(len, FILES.values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
