"""embed_reference.py: what bench/embed.py compares with: the reference implementation of an embedder.

    V/bin/python bench/embed_reference.py FOLDER THREADS < orders

FOLDER is as tools/convert_bert.py reads it. V has PyPI's torch and transformers (tools/oracle/setup.sh). The first line
of standard input is a JSON list of texts; each that follows is a batch size. For each a line comes back: the seconds
that it took to encode them all; for batch size 0 (everything in batches of 32) their vectors. It works as
sentence-transformers does: texts of a like length together, padded to the longest, the mean of the tokens' states,
normalized.
"""

import json
import sys
import time

import torch
from transformers import AutoModel, AutoTokenizer

MOST_TOKENS = 512


class Reference:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def batch(self, texts):
        b = self.tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        states, mask = self.model(**b).last_hidden_state, b["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    @torch.inference_mode()
    def encode(self, texts, size):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = [None] * len(texts)
        for at in range(0, len(order), size):
            some = order[at:at + size]
            for i, vector in zip(some, self.batch([texts[i] for i in some]).tolist(), strict=True):
                vectors[i] = vector
        return vectors


def main():
    torch.set_num_threads(int(sys.argv[2]))
    reference, texts = Reference(sys.argv[1]), json.loads(sys.stdin.readline())
    for line in sys.stdin:
        size, start = int(line), time.monotonic()
        vectors = reference.encode(texts, size or 32)
        print(json.dumps(vectors if size == 0 else time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main()
