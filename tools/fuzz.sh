#!/bin/sh
# fuzz.sh: run one libFuzzer target on its corpus.
#
#   tools/fuzz.sh BUILD-FOLDER TARGET SECONDS
#
# New inputs that reach new code go to BUILD-FOLDER/corpus/TARGET, not into the tree; a crash is
# written to BUILD-FOLDER/crashes/: make it a corpus file and a unit test.
set -eu

build=$1 target=$2 seconds=$3
program=$(find "$build" -type f -name "fuzz_$target" | head -n 1)
if [ -z "$program" ]; then
    echo "there is no fuzz target '$target'; these exist:"
    find "$build" -type f -name 'fuzz_*' -perm -u+x | sed 's/.*fuzz_/  /' | sort
    exit 1
fi
mkdir -p "$build/corpus/$target" "$build/crashes"
seeds=''
if [ -d "tests/fuzz/corpus/$target" ]; then seeds=tests/fuzz/corpus/$target; fi
# shellcheck disable=SC2086  # empty, or one word
exec "$program" -max_total_time="$seconds" -artifact_prefix="$build/crashes/" "$build/corpus/$target" $seeds
