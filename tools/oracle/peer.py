#!/usr/bin/env python3
"""peer.py: the files of tests/golden/arch, computed by llama.cpp: do names and numbers mean there what they mean here?

    python3 -m venv VENV && VENV/bin/pip install llama-cpp-python==0.3.36     (compiles it: minutes)
    VENV/bin/python tools/oracle/peer.py [--switches] [NAME...]

Prints the largest distance of the peer's logits to the reference's, in standard deviations of the reference's. Keys
and values are kept as f32. Of products with f32 weights the peer rounds nothing, so 1e-3 and more says that one of
the three is wrong; GELU it takes out of a table of f16, which gives up to 4e-3. With --switches also what each of the
golden's switches moves.
"""

import os
import statistics
import sys
import tempfile

import llama_cpp

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "model"))
import golden  # noqa: E402

LOG = []


@llama_cpp.llama_log_callback
def keep_log(_, text, __):
    LOG.append(text.decode("utf-8", "replace"))


def open_context(model, hidden):
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 256, 256, 256, 1
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # f32
    params.flash_attn_type = 0
    params.embeddings = hidden
    params.pooling_type = 0 if hidden else -1
    return llama_cpp.llama_init_from_model(model, params)


def said(path, g):
    """[run][row] of what the peer computes, or its complaint."""
    LOG.clear()
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    hidden = "hidden" in g["runs"][0]["rows"][0]
    context = open_context(model, hidden) if model else None
    if not context:
        return "".join(LOG[-4:])
    batch, found = llama_cpp.llama_batch_init(256, 0, 1), []
    for run in g["runs"]:
        memory = llama_cpp.llama_get_memory(context)
        if memory:
            llama_cpp.llama_memory_clear(memory, True)
        batch.n_tokens = len(run["tokens"])
        for i, token in enumerate(run["tokens"]):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        if llama_cpp.llama_decode(context, batch) != 0:
            return "".join(LOG[-4:])
        give = llama_cpp.llama_get_embeddings_ith if hidden else llama_cpp.llama_get_logits_ith
        n = len(run["rows"][0]["hidden" if hidden else "logits"])
        found.append([give(context, row["after"])[:n] for row in run["rows"]])
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return found


def distance(g, found):
    most = 0.0
    for run, rows in zip(g["runs"], found, strict=True):
        for row, have in zip(run["rows"], rows, strict=True):
            want = row.get("logits") or row["hidden"]
            off = max(abs(a - b) for a, b in zip(have, want, strict=True))
            most = max(most, off / statistics.pstdev(want)) if off == off else float("nan")
    return most


def compared(g, path):
    golden.write(g, path)
    found = said(path, g)
    return found if isinstance(found, str) else format(distance(g, found), ".2g")


def main():
    llama_cpp.llama_log_set(keep_log, None)
    llama_cpp.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        path, switches = os.path.join(folder, "model.gguf"), "--switches" in sys.argv
        for name in [a for a in sys.argv[1:] if a != "--switches"] or golden.names():
            g = golden.read(name)
            moved = [f"; {k} {compared(golden.flipped(g, flip), path)}" for k, flip in g["flips"].items() if switches]
            print(f"{name}: {compared(g, path)}{''.join(moved)}", flush=True)


if __name__ == "__main__":
    main()
