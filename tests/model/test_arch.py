#!/usr/bin/env python3
"""test_arch.py: what each architecture computes, against its reference implementation.

    tests/model/test_arch.py ARCH_LOGITS [unittest arguments]     -k START: goldens that start so
    tests/model/test_arch.py ARCH_LOGITS --report [START...]
                     a line for each golden whose name starts so: how far it is, and what its switches move

A golden of tests/golden/arch describes a tiny model with f32 weights, and has what transformers computed of it. Keys
and values are kept as f32. TOLERANCE is of the largest distance of a row's logits, in standard deviations of that
row; what is observed is below 3e-5, and a switch of an architecture set wrongly gives 0.1 and more, which the tests of
switches show. Goldens of architectures that this build does not know are skipped, by name.
"""

import hashlib
import operator
import os
import re
import statistics
import struct
import sys
import tempfile
import unittest

import golden  # noqa: I001  (puts tests/cli into the path)
import harness

TOLERANCE = 1e-3
SWITCH = 100 * TOLERANCE
# chunk, threads, sequences in one pass
WAYS = ((256, 2, 1), (7, 1, 1), (1, 2, 3), (256, 1, 3), (33, 2, 2))
# With sanitizers a sample of ways and switches, which the build asks for: the release build does all of them.
ONE_IN = int(os.environ.get("HEARTH_TEST_ONE_IN", "1"))
WHOLE_WAYS = tuple(way for way in WAYS if way[0] == 256)  # encoders: a sequence is computed in one step
# Goldens of architectures that are known, but not with this: why. The test fails when one of them passes.
PENDING = {
}


class Unknown(Exception):
    def __str__(self):
        return f'this build does not know "{self.args[0]}": no line of src/model/arch.def has it'


def execute(path, g, chunk=256, threads=1, together=1, kv="f32", isa=None):
    """(what the program gave, what it said)."""
    sequences = "".join(" ".join(map(str, r["tokens"])) + "\n" for r in g["runs"])
    harness_env = {**harness.CLEAN_ENV, **({"HEARTH_ISA": isa} if isa else {})}
    done = harness.subprocess.run([harness.program(), path, kv, str(chunk), str(threads), str(together)],
                                  input=sequences.encode(), capture_output=True, timeout=harness.PATIENCE_S,
                                  env=harness_env, check=False)
    said = done.stderr.decode("utf-8", "replace")
    if re.search(r'architecture "[^"]*" is not supported', said):
        raise Unknown(g["metadata"]["general.architecture"])
    return done, said


def run(path, g, *how, **more):
    """(bytes of the rows after every token, instruction set, error)."""
    done, said = execute(path, g, *how, **more)
    found = re.search(r"^isa (\w+)$", said, re.MULTILINE)
    return (done.stdout, found[1], "") if done.returncode == 0 and found else (b"", "", said or str(done.returncode))


def departures(path, g, output):
    """Of a golden that is not near: which rows are how far, where to look, and which tensors nobody read."""
    after = [row["after"] for r in g["runs"] for row in r["rows"]]
    far = [distance([row]) for row in rows_of(g, output)]
    said = "by token " + ", ".join(f"{token}: {off:.2g}" for token, off in zip(after, far, strict=True))
    if after[0] == 0 and "hidden" not in g["runs"][0]["rows"][0]:
        said += ("; the first token, which is not rotated and sees itself alone, is "
                 + ("right: look at Q, K, rotation and windows" if far[0] < TOLERANCE
                    else "wrong, too: look elsewhere than at Q, K and rotation"))
    unused = re.search(r"^unused tensors: .*$", execute(path, g)[1], re.MULTILINE)
    return said + (f"; {unused[0]}" if unused else "")


def rows_of(g, output):
    """[(what the reference gives, what was computed)] of rows that the golden has."""
    found, at = [], 0
    width = len(output) // 4 // sum(len(r["tokens"]) for r in g["runs"])
    for r in g["runs"]:
        for row in r["rows"]:
            want = row.get("logits") or row["hidden"]
            assert len(want) == width, f"{width} values of a row, the reference has {len(want)}"
            found.append((want, struct.unpack_from(f"<{width}f", output, 4 * width * (at + row["after"]))))
        at += len(r["tokens"])
    return found


def distance(rows):
    """The largest |difference| / standard deviation of a row."""
    most = 0.0
    for want, have in rows:
        off = max(abs(a - b) for a, b in zip(want, have, strict=True))
        most = max(most, off / statistics.pstdev(want)) if off == off and most == most else float("nan")
    return most


class Architectures(unittest.TestCase):
    folder = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def file(self, g):
        path = os.path.join(self.folder.name, "model.gguf")
        golden.write(g, path)
        return path

    def close_to_reference(self, name):
        """The golden, its output and instruction set."""
        g = golden.read(name)
        try:
            output, isa, error = run(self.file(g), g)
        except Unknown as unknown:
            self.skipTest(str(unknown))
        if name in PENDING and error:
            self.skipTest(f"not yet: {PENDING[name]}: {error.strip()}")
        if error:
            self.fail(f"{name}: {error.strip()}")
        off = distance(rows_of(g, output))
        if name in PENDING and not off < TOLERANCE:
            self.skipTest(f"not yet: {PENDING[name]}: {off:.2g} from the reference")
        if not off < TOLERANCE:
            self.fail(f"{name} is {off:.2g} from its reference: {departures(self.file(g), g, output)}")
        self.assertNotIn(name, PENDING, "it is near its reference: take it off that list")
        return g, output, off

    def same_bits(self, name):
        g, output, _ = self.close_to_reference(name)
        path, want = self.file(g), hashlib.sha256(output).hexdigest()
        ways = WHOLE_WAYS if "hidden" in g["runs"][0]["rows"][0] else WAYS
        for at, isa in enumerate(isas(path, g), len(name)):  # a sample begins elsewhere in each golden
            for chunk, threads, together in ways[at % min(ONE_IN, len(ways))::ONE_IN]:
                with self.subTest(isa=isa, chunk=chunk, threads=threads, together=together):
                    found, used, error = run(path, g, chunk, threads, together, isa=isa)
                    self.assertEqual((error, used), ("", isa))
                    self.assertEqual(hashlib.sha256(found).hexdigest(), want)

    def switches(self, name):
        g, _, _ = self.close_to_reference(name)
        flips = list(g["flips"].items())
        for what, flip in flips[len(name) % min(ONE_IN, max(len(flips), 1))::ONE_IN]:
            with self.subTest(switch=what):
                other = golden.flipped(g, flip)
                output, _, error = run(self.file(other), other)
                self.assertEqual(error, "")
                self.assertGreater(distance(rows_of(g, output)), SWITCH)

    def test_every_file_of_an_architecture_has_its_line_in_arch_def(self):
        folder = os.path.join(golden.ROOT, "src", "model")
        with open(os.path.join(folder, "arch.def"), encoding="utf-8") as f:
            lines = re.findall(r"^ARCH\( (\w+) \)$", f.read(), re.MULTILINE)
        files = [name[:-2] for name in os.listdir(os.path.join(folder, "arch")) if name.endswith(".c")]
        self.assertEqual(set(files) ^ set(lines), set())
        self.assertEqual(lines, sorted(lines))

    def test_the_page_of_models_has_what_runs_and_what_it_was_held_to(self):
        done = harness.subprocess.run([os.path.join(golden.ROOT, "tools", "models_page.py"), "--check"], check=False)
        self.assertEqual(done.returncode, 0, "remake it: tools/models_page.py >PAGE && mv PAGE docs/models.md")

    def test_experts_with_a_bias_of_the_choice_are_chosen_by_sigmoids(self):
        """Early files of GLM-4.7-Flash do not say how."""
        g, output, _ = self.close_to_reference("deepseek2")
        del g["metadata"]["deepseek2.expert_gating_func"]
        self.assertEqual(run(self.file(g), g)[::2], (output, ""))

    def test_numbers_of_an_activation_are_there_for_every_layer_and_in_range(self):
        g = self.close_to_reference("apertus")[0]
        for key, value, said in (("xielu.eps", None, "xielu.eps"), ("xielu.beta", [0.5, 0.5], "2 numbers for 3 layers"),
                                 ("xielu.beta", [1, 1, 1], "xielu.beta"), ("xielu.beta", 2000.0, "xielu.beta"),
                                 ("xielu.alpha_n", [0.5, float("nan"), 0.5], "nan for layer 1"),
                                 ("xielu.alpha_p", [0.5, 0.5, -1e6], "-1e+06 for layer 2")):
            with self.subTest(key=key, value=value):
                self.assertIn(said, run(self.file(golden.flipped(g, {"metadata": {key: value}})), g)[2])
        same, one = (golden.flipped(g, {"metadata": {"xielu.eps": eps}}) for eps in ([-0.25] * 3, -0.25))
        self.assertEqual(run(self.file(same), g), run(self.file(one), g))

    def test_dense_layers_come_after_the_last_norm(self):
        """Of EmbeddingGemma's files; against the products of the golden's states in double."""
        g, _, _ = self.close_to_reference("gemma-embedding")
        n, between = 64, 160
        shapes = {"dense_2.weight": [n, between], "dense_3.weight": [between, n]}
        fills = {name: {"scale": 0.3} for name in shapes}
        g["tensors"] += [[name, shape, fills[name]] for name, shape in shapes.items()]
        g["metadata"] |= {"gemma-embedding.dense_2_feat_in": n, "gemma-embedding.dense_2_feat_out": between,
                          "gemma-embedding.dense_3_feat_in": between, "gemma-embedding.dense_3_feat_out": n}
        output, _, error = run(self.file(g), g)
        self.assertEqual(error, "")
        rows = rows_of(g, output)
        for name, (row, _) in shapes.items():
            w = golden.values(g["seed"], name, shapes[name], fills[name])
            rows = [([sum(map(operator.mul, w[at:at + row], want)) for at in range(0, len(w), row)], have)
                    for want, have in rows]
        self.assertLess(distance(rows), TOLERANCE)
        g["tensors"].pop()
        self.assertIn("incomplete", run(self.file(g), g)[2])


def isas(path, g):
    """Instruction sets of this machine, as the refusal of one that is none lists them."""
    return re.search(r"use one of: (.*)", run(path, g, isa="abacus")[2])[1].replace(",", " ").split()


def reported(name, path, must_run):
    """(how far it is and what each switch moves, whether that is as it should be)."""
    g, far = golden.read(name), {}
    try:
        for what, flip in {"": {}, **g["flips"]}.items():
            other = golden.flipped(g, flip)
            golden.write(other, path)
            output, _, error = run(path, other)
            if error:
                return f"{what or 'not run'}: {error.strip()}", False
            far[what] = distance(rows_of(g, output))
            if not what and not far[what] < TOLERANCE:
                return f"{far[what]:.2g} off: {departures(path, g, output)}", False
    except Unknown as unknown:
        return f"not run: {unknown}", not must_run
    off = far.pop("")
    return f"{off:.2g}; " + ", ".join(f"{k} {v:.2g}" for k, v in far.items()), all(v > SWITCH for v in far.values())


def report(program, starts):
    harness.HEARTH, fine, n = os.path.abspath(program), True, 0
    with tempfile.TemporaryDirectory() as folder:
        for name in golden.names():
            if not starts or name.startswith(tuple(starts)):
                line, right = reported(name, os.path.join(folder, "model.gguf"), bool(starts))
                print(f"{name}: {line}", flush=True)
                fine, n = fine and right, n + 1
    if n == 0:
        sys.exit(f"no golden of tests/golden/arch starts with {' or '.join(starts)}")
    sys.exit(0 if fine else 1)


def tests_of(name):
    yield f"test_{name}_is_near_its_reference_and_its_switches_matter", lambda self: self.switches(name)
    yield f"test_{name}_has_the_same_bits_however_it_is_computed", lambda self: self.same_bits(name)


for each in golden.names():
    for title, function in tests_of(each):
        setattr(Architectures, title, function)

if __name__ == "__main__":
    if sys.argv[2:3] == ["--report"]:
        report(sys.argv[1], sys.argv[3:])
    harness.main()
