"""gguf_values.py: a copy of a model file with further metadata."""

import struct

U32, STRING, ALIGNMENT = 4, 8, 32


def _text(s):
    return struct.pack("<Q", len(s)) + s


def with_values(source, to, values):
    """source with {key: number}, before its other values; its tensors stay at a multiple of the alignment."""
    data = source.read_bytes()
    magic, version, n_tensors, n_values = struct.unpack_from("<4sIQQ", data)
    assert magic == b"GGUF" and version == 3
    added = b"".join(_text(k.encode()) + struct.pack("<II", U32, v) for k, v in values.items())
    padding = _text(b"test.padding") + struct.pack("<I", STRING)
    added += padding + _text(b" " * (-(len(added) + len(padding) + 8) % ALIGNMENT))
    head = struct.pack("<4sIQQ", magic, version, n_tensors, n_values + len(values) + 1)
    to.write_bytes(head + added + data[24:])
    return to
