#!/usr/bin/env python3
"""test_understanding.py: the session of docs/understanding.md, as it stands there.

    tests/cli/test_understanding.py build/hearth [unittest arguments]
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import harness
from harness import CLEAN_ENV, ROOT, main

PAGE = os.path.join(ROOT, "docs", "understanding.md")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Understanding(unittest.TestCase):
    def test_every_command_of_the_page_runs(self):
        with open(PAGE, encoding="utf-8") as f:
            blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.MULTILINE | re.DOTALL)
        self.assertGreater(len(blocks), 8)
        self.assertIsNotNone(shutil.which("curl"))
        script = "set -eo pipefail\n" + "".join(f"echo '== {i}'\n{block}" for i, block in enumerate(blocks))
        script = script.replace("8765", str(free_port()))  # somebody may have that one
        if "san" in os.path.basename(os.path.dirname(os.path.abspath(harness.program()))):
            script = script.replace("hearth serve", "hearth serve --no-sandbox")  # LeakSanitizer looks from inside
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "build"))
            os.symlink(os.path.abspath(harness.program()), os.path.join(folder, "build", "hearth"))
            shutil.copy(os.path.join(ROOT, "README.md"), folder)
            done = subprocess.run(["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                                  env={**CLEAN_ENV, "HOME": folder, "XDG_STATE_HOME": folder}, check=False,
                                  timeout=harness.PATIENCE_S)
        said = done.stdout.decode()
        self.assertEqual(done.returncode, 0, said + done.stderr.decode())
        digests = re.findall(r"^digest ([0-9a-f]{64})$", said, re.MULTILINE)
        self.assertEqual(len(digests), 2)
        self.assertEqual(digests[0], digests[1])
        self.assertEqual(re.findall(r'"prefix":\{"n_tokens":(\d+),"end":"(\w+)"', said)[1][1], "whole", said)
        self.assertEqual(len(re.findall(r"^exact: 4 tokens, and the bits of all logits$", said, re.MULTILINE)), 2, said)
        self.assertRegex(said, r'"prefix":\{"n_tokens":0,"end":"new"')
        self.assertEqual(len(re.findall(r"^the same: 4 tokens and all logits$", said, re.MULTILINE)), 1, said)
        self.assertEqual(len(re.findall(r"^the prompts part at token \d+: ", said, re.MULTILINE)), 1, said)
        self.assertRegex(said, r"(?m)^another seed: A 7, B 8$")
        self.assertRegex(said, r"(?m)^another kv_type: A f16, B q8$")
        self.assertEqual(len(re.findall(r"^  the same text \(\d+ characters\)$", said, re.MULTILINE)), 2, said)


if __name__ == "__main__":
    main()
