# A face with one target per habit; Meson does the work. `make help` lists them.

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD   ?= build
PREFIX  ?= /usr/local
T       ?= gguf
SECONDS ?= 600
export CC YES

version = $(shell sed -n "s/^ *version: '\([^']*\)'.*/\1/p" meson.build)
setup   = @tools/setup.sh

.PHONY: all run test san tsan long bench bench-fit lint format fuzz explore soak check-isa check-aarch64 install dist source clean help setup-build setup-test
.DEFAULT_GOAL := all

all: setup-build
	@tools/build.sh $(BUILD)

run: all
	@tools/first_run.sh $(BUILD)/hearth

test: setup-test
	@tools/suite.py

san: setup-test
	@tools/suite.py san

tsan: setup-test
	@tools/suite.py tsan

long: setup-test
	@tools/suite.py long

lint: setup-test
	@tools/suite.py lint

bench:
	$(setup) build bench
	@tools/build.sh $(BUILD)
	@ninja -C $(BUILD) bench/bench_kernel bench/bench_chat bench/bench_sampler bench/bench_speculation
	@bench/engine.py --build $(BUILD)

bench-fit:
	$(setup) build bench
	@tools/build.sh $(BUILD)
	@bench/fit.py --build $(BUILD)

fuzz:
	$(setup) build fuzz
	@CC=clang TARGETS=fuzz tools/build.sh build-fuzz -Dfuzz=true -Db_lundef=false -Db_sanitize=address,undefined \
		-Dc_args=-fsanitize=fuzzer-no-link
	@tools/fuzz.sh build-fuzz $(T) $(SECONDS)

explore: setup-test
	@tools/build.sh $(BUILD)
	@tests/http/explore.py $(BUILD)/hearth

soak: setup-test
	@tools/build.sh $(BUILD)
	@tests/deploy/soak.py $(BUILD)/hearth --seconds $(SECONDS)

format:
	@git ls-files '*.c' '*.h' | xargs -r clang-format -n 2>&1 | grep -F 'warning:' || echo 'clang-format has nothing to say'

check-isa: setup-test
	@tools/build.sh $(BUILD)
	@meson test -C $(BUILD) --no-rebuild --suite isa

check-aarch64: setup-build
	@tools/suite.py aarch64

install: all
	@prefix=$(PREFIX); case $$prefix in /*) ;; *) prefix=$$PWD/$$prefix ;; esac; \
	meson configure $(BUILD) -Dprefix="$$prefix" && meson install -C $(BUILD)

dist: all
	@tools/dist.py $(BUILD)/hearth $(BUILD)/dist

source:
	@test -z "$$(git status --porcelain)" || echo 'note: the archive holds the last commit; what is not committed is not in it'
	@mkdir -p $(BUILD)
	git archive --prefix=hearth-$(version)/ -o $(BUILD)/hearth-$(version).tar.gz HEAD

clean:
	rm -rf build build-*/

setup-build:
	$(setup) build

setup-test:
	$(setup) build test

help:
	@echo 'make                 build $(BUILD)/hearth (CC=clang for the other compiler)'
	@echo 'make run             build it and see the built-in model answer'
	@echo 'make test            the everyday suite: tests, lint, address and undefined-behaviour sanitizers'
	@echo 'make san             all tests but the campaigns under the address and undefined-behaviour sanitizers'
	@echo 'make long            the campaigns, minutes each: quality of every file, memory running out everywhere'
	@echo 'make tsan            the tests of threads under the thread sanitizer'
	@echo 'make bench           the benchmarks'
	@echo 'make bench-fit       what hearth fit forecasts beside what hearth bench measures, on models left out of its making'
	@echo 'make lint            the rules of the house (tools/lint.py), and the test that each can fail'
	@echo 'make format          what clang-format would change: advice, not a rule'
	@echo 'make fuzz            T=gguf SECONDS=600: one fuzz target, with clang'
	@echo 'make explore         schemathesis asks the server all that its description allows, and more'
	@echo 'make soak            SECONDS=3600: a server for hours: the same bits, memory, descriptors, time a token?'
	@echo 'make check-isa       the kernels of every instruction set that this CPU has'
	@echo 'make check-aarch64   compile the library for aarch64, where the cross compiler is'
	@echo 'make install         PREFIX=/usr/local (DESTDIR is honoured)'
	@echo 'make dist            one archive with program, loader, libraries and licences: runs on any Linux of this CPU'
	@echo 'make source          build/hearth-$(version).tar.gz from the last commit'
	@echo 'make clean           remove every build folder'
	@echo
	@echo 'What is missing is offered for installation; YES=1 says yes beforehand.'
