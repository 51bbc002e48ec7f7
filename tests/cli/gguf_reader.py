"""gguf_reader.py: as much of a GGUF file as the tests beside it need, from the format's published description."""

import struct

SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
F32, Q8_0 = 0, 8


class Gguf:
    """.values: key -> value; .raw_pairs: the bytes of each key with its value; .tensors: name -> (dims, type, offset in
    the file); .start: where the data of tensors begins."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 0
        magic, _, n_tensors, n_values = self.take("<4sIQQ")
        assert magic == b"GGUF"
        self.raw_pairs = []
        self.values = dict(self.pair() for _ in range(n_values))
        entries = [self.entry() for _ in range(n_tensors)]
        alignment = self.values.get("general.alignment", 32)
        self.start = (self.at + alignment - 1) // alignment * alignment
        self.tensors = {name: (dims, kind, self.start + offset) for name, dims, kind, offset in entries}

    def take(self, form):
        got = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return got

    def text(self):
        n, = self.take("<Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            of, n = self.take("<IQ")
            return [self.value(of) for _ in range(n)]
        return self.take(SCALARS[kind])[0]

    def pair(self):
        start = self.at
        key, value = self.text(), self.value(*self.take("<I"))
        self.raw_pairs.append(self.data[start:self.at])
        return key, value

    def entry(self):
        name = self.text()
        n_dims, = self.take("<I")
        dims = list(self.take(f"<{n_dims}Q"))
        return name, dims, *self.take("<IQ")

    def row(self, name, index=0):
        """One row of an F32 or Q8_0 tensor as floats."""
        dims, kind, offset = self.tensors[name]
        n = dims[0]
        if kind == F32:
            return list(struct.unpack_from(f"<{n}f", self.data, offset + 4 * n * index))
        assert kind == Q8_0
        out, at = [], offset + n // 32 * 34 * index
        for block in range(n // 32):
            d, *codes = struct.unpack_from("<e32b", self.data, at + 34 * block)
            out += [d * c for c in codes]
        return out
