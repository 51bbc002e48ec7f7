"""What each rule of lint.py must catch, and what it must let pass.

A sample is a tree: {path: text}. Special keys: "commits": a list of subjects; a path below build/ is
compiled from its text.
"""

import os
import subprocess
import tempfile

GUARD = "#pragma once\n"
BODY_101 = "int f(void)\n{\n" + "    g();\n" * 97 + "    return 0;\n}\n"
SMALL = "".join(f"static int f{i}(void)\n{{\n    return {i};\n}}\n" for i in range(19))
BODY_61 = BODY_101.replace("    g();\n" * 97, "    g();\n" * 57)
EXTERN_C = '#ifdef __cplusplus\nextern "C" {{\n#endif\n{}#ifdef __cplusplus\n}}\n#endif\n'
HEARTH_H = GUARD + "/* Frees it. */\nvoid hearth_a(void);\nvoid hearth_b(void);\n\n/* Section. */\n\n"
MADE_UP_HOME = "/ho" "me/somebody/x"
NOTE = "/* TO" "DO: later */\n"

# name of the rule: (trees it must catch, trees it must let pass)
SAMPLES = {
    "floors": (
        [{"src/base/a.c": '#include "format/gguf.h"\n'},
         {"src/text/a.c": '#include "kernel/kernel.h"\n'},
         {"src/server/a.c": '#include "engine/seq.h"\n'},
         {"src/cli/cmd_run.c": '#include "format/gguf.h"\n'},
         {"src/base/a.c": '#include "alloc.h"\n'},
         {"src/base/a.c": '#include "../base/alloc.h"\n'},
         {"include/hearth/hearth.h": '#include "base/base.h"\n'},
         {"src/other/a.c": "int a;\n"}],
        [{"src/base/a.c": '#include "base/alloc.h"\n#include "hearth/hearth.h"\n'},
         {"src/base/a.c": '/* #include "format/gguf.h" */\n'},
         {"src/engine/a.c": '#include "infer/kv.h"\n#include "text/vocab.h"\n'},
         {"src/cli/cmd_quantize.c": '#include "format/gguf.h"\n'},
         {"src/cli/cmd_env.c": '#include "base/env.h"\n'}]),
    "libraries": (
        [{"src/model/a.c": "#include <jansson.h>\n"},
         {"src/server/route.c": "#include <microhttpd.h>\n"},
         {"src/text/bpe.c": "#include <jansson.h>\n"},
         {"src/base/a.c": "#include <glib.h>\n"}],
        [{"src/base/sha256.c": "#include <openssl/evp.h>\n#include <stdio.h>\n#include <unistd.h>\n"},
         {"src/server/server.c": "#include <microhttpd.h>\n"},
         {"src/text/jinja.c": "#include <jansson.h>\n"}]),
    "os-headers": (
        [{"src/engine/a.c": "#include <pthread.h>\n"}, {"src/cli/a.c": "#include <sys/socket.h>\n"}],
        [{"src/base/a.c": "#include <sys/mman.h>\n"}, {"src/cli/term.c": "#include <unistd.h>\n"}]),
    "isa-if": (
        [{"src/kernel/gemm.c": "#ifdef __AVX2__\n#endif\n"},
         {"src/engine/a.c": "#if defined(__linux__) && 1\n#endif\n"},
         {"src/kernel/gemm.c": "#include <immintrin.h>\n"}],
        [{"src/kernel/isa/avx2.h": "#include <immintrin.h>\n#if defined(__AVX2__)\n#endif\n"},
         {"src/dtype/q4_0.h": "#ifdef ISA\n#endif\n"}]),
    "getenv": (
        [{"src/base/a.c": 'char *f(void) { return getenv("A"); }\n'},
         {"src/cli/a.c": "char *f(void) { return secure_getenv (0); }\n"},
         {"src/cli/a.c": "extern char **environ;\n"}],
        [{"src/base/env.c": 'char *f(void) { return getenv("A"); }\n'},
         {"src/base/a.c": "/* getenv(x) */ char *s = \"getenv(x)\"; int my_getenv(int);\n"}]),
    "allocation": (
        [{"src/text/a.c": "void *f(void) { return malloc(3); }\n"},
         {"src/cli/a.c": "char *f(char *s) { return strdup(s); }\n"}],
        [{"src/base/alloc.c": "void *f(void) { return malloc(3); }\n"},
         {"src/text/a.c": "void *f(void) { return mem_malloc(3); }\n"}]),
    "exits": (
        [{"src/format/a.c": "void f(void) { abort(); }\n"}, {"src/server/a.c": "void f(void) { exit(1); }\n"}],
        [{"src/cli/main.c": "void f(void) { exit(1); }\n"},
         {"src/base/a.c": "void f(void) { on_exit(1); s->exit(2); }\n"}]),
    "libm": (
        [{"src/infer/a.c": "float f(float x) { return expf(x); }\n"},
         {"src/kernel/tmpl/a.h": "double f(double x) { return tanh (x); }\n"}],
        [{"src/infer/a.c": "double f(double x) { return num_exp(x) + sqrt(x) + fma(x, x, x) + k->exp(x); }\n"},
         {"src/text/a.c": "double f(double x) { return log(x); }\n"}]),
    "libm-symbols": (
        [{"build/src/libhearth.a.p/infer_a.c.o": "double log(double); double f(double x) { return log(x); }\n"}],
        [{"build/src/libhearth.a.p/infer_a.c.o": "double num_log(double); double f(double x) { return num_log(x); }"}]),
    "inst-symbols": (
        [{"build/src/kernel/libk.a.p/inst_avx2.c.o": "int unpack_q4_0(int x) { return x; }\n"}],
        [{"build/src/kernel/libk.a.p/inst_avx2.c.o": "int gemv_q4_0(int x) { return x; }\n"}]),
    "exports": (
        [{"build/src/libhearth.a": "int hearth_a(void) { return 0; }\nint arena_init(void) { return 0; }\n"}],
        [{"build/src/libhearth.a": "int hearth_a(void) { return 0; }\nstatic int b(void) { return 0; }\n"
          '__attribute__((visibility("hidden"))) int c(void) { return b(); }\n'}]),
    "public-defined": (
        [{"include/hearth/hearth.h": HEARTH_H, "build/src/libhearth.a": "void hearth_a(void) {}\n"}],
        [{"include/hearth/hearth.h": HEARTH_H + "typedef void hearth_fn(void);\n",
          "build/src/libhearth.a": "void hearth_a(void) {}\nvoid hearth_b(void) {}\n"}]),
    "file-size": (
        [{"src/base/a.c": "int a;\n" * 1001}, {"tools/a.py": "a = 1\n" * 1001}],
        [{"src/base/a.c": "int a;\n" * 1000, "src/base/a.def": "A(1)\n" * 3000}]),
    "function-size": (
        [{"src/base/a.c": BODY_101},
         {"src/base/a.c": BODY_61},
         {"src/base/a.c": "int f(void)\n{\n    if (a) {\n    return 0;\n}\n"},
         {"src/base/a.c": EXTERN_C.format(BODY_101)}],
        [{"src/base/a.c": BODY_101.replace("    g();\n", "", 1) + SMALL},
         {"src/base/a.c": "static const int a[] = {\n" + "    1,\n" * 200 + "};\n" + SMALL},
         {"src/base/a.c": 'char c = \'{\'; const char *s = "{"; /* { */\n#define X {\n' + SMALL}]),
    "whitespace": (
        [{"src/base/a.c": "\tint a;\n"}, {"src/base/a.c": "int a; \n"}, {"src/base/a.c": "int a;\r\n"},
         {"src/base/a.c": "int a;"}, {"src/base/a.c": "int a;\n\n"}, {"src/base/a.c": "/* " + "a" * 120 + " */\n"}],
        [{"src/base/a.c": "int a;\n", "Makefile": "a:\n\tb\n", "tests/golden/a.txt": "# made\ta \n"}]),
    "unfinished": (
        [{"src/base/a.c": NOTE}, {"docs/a.md": "FIX" "ME\n"}],
        [{"src/base/a.c": "/* to do it later would be wrong */\n"}]),
    "paths": (
        [{"docs/a.md": f"see {MADE_UP_HOME}\n"}, {"tests/a.py": f'open("{MADE_UP_HOME}")\n'}],
        [{"docs/a.md": "see https://example.org/home/x, ~/.local, /usr/local and docs/ho" "me/x\n"}]),
    "public-comments": (
        [{"include/hearth/hearth.h": HEARTH_H + "void hearth_c(void);\n"},
         {"include/hearth/hearth.h": "/* A. */\nvoid hearth_a(void);\n\nconst char *hearth_b(int a,\n    int b);\n"}],
        [{"include/hearth/hearth.h": HEARTH_H + "void hearth_c(void); /* does it */\n"}]),
    "headers": (
        [{"src/base/a.h": GUARD + "size_t f(void);\n"},
         {"include/hearth/hearth.h": GUARD + "int hearth_a(int class);\n"}],
        [{"src/base/a.h": GUARD + "#include <stddef.h>\nsize_t f(void);\n",
          "src/kernel/tmpl/b_tmpl.h": "vf32 f(void);\n"}]),
    "goldens": (
        [{"tests/golden/a.txt": "1 2 3\n"}, {"tests/golden/x/a.json": "{}\n"}],
        [{"tests/golden/a.txt": "# made by x 1.0\n1\n", "tests/golden/json/ok_a.json": "{}\n",
          "tests/golden/x/a.json": '{"made_by": "x 1.0"}\n'}]),
    "tuned": (
        [{"src/kernel/tuned/a.c": "/* Faster. */\nint a; /* 100 */\n"}],
        [{"src/kernel/tuned/a.c": "/* 7950X, one thread: 19 % faster than the template. */\nint a;\n"}]),
    "packages": (
        [{"meson.build": "x = dependency('libfoo')\n", "tools/packages.txt": "build | foo | pc:libbar | a | b | c\n"}],
        [{"meson.build": "x = dependency('libfoo')\ndependency('threads')\n",
          "tools/packages.txt": "build | foo | pc:libfoo | a | b | c\n"}]),
    "tests-listed": (
        [{"tests/unit/test_arena.c": "int a;\n", "tests/unit/meson.build": "unit_tests = ['buf']\n"}],
        [{"tests/unit/test_arena.c": "int a;\n", "tests/unit/meson.build": "unit_tests = ['arena']\n"}]),
    "links": (
        [{"README.md": "[a](docs/a.md)\n"}],
        [{"README.md": "[a](docs/a.md#part) [b](https://example.org/x)\n", "docs/a.md": "a\n"}]),
    "commits": (
        [{"commits": ["Fixed things"]}, {"commits": ["base: a thing is true."]}, {"commits": ["base: " + "a" * 80]},
         {"commits": ["base: fine", "Base: capital"]}],
        [{"commits": ["base: errors name the thing", "kernel/isa: sums are the same"]}]),
}


def _build(root, path, text):
    """Compile text to an object, or to an archive that holds just that."""
    cc = (os.environ.get("CC") or "gcc").split()
    obj = path if path.endswith(".o") else path + ".o"
    subprocess.run([*cc, "-c", "-w", "-O0", "-fno-builtin", "-x", "c", "-", "-o", obj], cwd=root, input=text,
                   text=True, check=True)
    if obj != path:
        subprocess.run(["ar", "rc", path, obj], cwd=root, check=True)


def _plant(root, sample):
    for path, content in sample.items():
        if path == "commits":
            git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", "init", "-q"], cwd=root, check=True)
            for subject in content:
                subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", subject], cwd=root, check=True)
            continue
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        if path.startswith("build/"):
            _build(root, path, content)
        else:
            with open(os.path.join(root, path), "w", encoding="utf-8", newline="") as f:
                f.write(content)


def problems(name, make_tree, check):
    """What is wrong with the rule itself; [] when it catches and lets pass what it should."""
    if name not in SAMPLES:
        return [f"the rule {name} has no samples in tools/lint_samples.py"]
    bad, good = SAMPLES[name]
    wrong = []
    for kind, samples in (("bad", bad), ("good", good)):
        for number, sample in enumerate(samples, 1):
            with tempfile.TemporaryDirectory() as root:
                _plant(root, sample)
                findings, skipped = check(make_tree(root), name)
            where = f"{kind} sample {number} ({', '.join(sample)})"
            if skipped is not None:
                wrong.append(f"{where}: the rule was skipped: {skipped}")
            elif kind == "bad" and not findings:
                wrong.append(f"{where} was not caught")
            elif kind == "good" and findings:
                wrong.append(f"{where} was caught: {findings[0]}")
    return wrong or ([] if bad and good else [f"the rule {name} needs both kinds of samples"])
