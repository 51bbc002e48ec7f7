"""gguf_writer.py: GGUF files for the tests beside it, from the format's published description."""

import struct

from gguf_reader import ARRAY, SCALARS, STRING, Gguf

U32, F32, F16, ALIGNMENT = 4, 0, 1, 32
KIND_OF = {bool: 7, int: 5, float: 6}  # of the elements of a list


def text(words):
    raw = words.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def pair(key, value, kind=U32):
    """One key and its value (a number of a SCALARS kind, a text, or a list of texts, i32, f32 or bools), as bytes."""
    if isinstance(value, list) and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        of = KIND_OF[type(value[0])]
        head = text(key) + struct.pack("<IIQ", ARRAY, of, len(value))
        return head + b"".join(struct.pack(SCALARS[of], v) for v in value)
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    return text(key) + struct.pack("<I", kind) + struct.pack(SCALARS[kind], value)


def rewrite(g, path, pairs=None, exchanged=(), data=None):
    """A file that was read, with other bytes of pair() by key, tensors in each other's place, other bytes of data."""
    names = list(g.values)
    swap = {**dict(exchanged), **{b: a for a, b in exchanged}}
    all_pairs = {**dict(zip(names, g.raw_pairs)), **(pairs or {})}
    out = [b"GGUF", struct.pack("<IQQ", 3, len(g.tensors), len(all_pairs)), *all_pairs.values()]
    for name, (dims, _, _) in g.tensors.items():
        _, kind, offset = g.tensors[swap.get(name, name)]
        out.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset - g.start))
    out.append(bytes(-sum(map(len, out)) % g.values.get("general.alignment", ALIGNMENT)))
    with open(path, "wb") as f:
        f.write(b"".join(out) + (g.data[g.start:] if data is None else data))
    return path


def write(path, pairs, tensors):
    """pairs: bytes of pair(); tensors: (name, dims, type, bytes)."""
    out, at = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(pairs)), *pairs], 0
    for name, dims, kind, data in tensors:
        out.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at))
        at += -(-len(data) // ALIGNMENT) * ALIGNMENT
    out.append(bytes(-sum(map(len, out)) % ALIGNMENT))
    for *_, data in tensors:
        out.append(data + bytes(-len(data) % ALIGNMENT))
    with open(path, "wb") as f:
        f.write(b"".join(out))


def split(path, stem, n_parts):
    """The f32 and f16 tensors of a file as a set; returns the path of the first part."""
    g = Gguf(path)
    sizes = {F32: 4, F16: 2}
    tensors = []
    for name, (dims, kind, offset) in g.tensors.items():
        n = sizes[kind]
        for d in dims:
            n *= d
        tensors.append((name, dims, kind, g.data[offset:offset + n]))
    each = -(-len(tensors) // n_parts)
    for i in range(n_parts):
        place = [pair("split.no", i, 2), pair("split.count", n_parts, 2),
                 pair("split.tensors.count", len(tensors), 5)]
        write(f"{stem}-{i + 1:05}-of-{n_parts:05}.gguf", (g.raw_pairs if i == 0 else []) + place,
              tensors[i * each:(i + 1) * each])
    return f"{stem}-00001-of-{n_parts:05}.gguf"
