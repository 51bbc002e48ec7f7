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
for folder in "tests/fuzz/corpus/$target" "tests/golden/$target"; do
    if [ -d "$folder" ]; then seeds="$seeds $folder"; fi
done
words=''
if [ -f "tests/fuzz/$target.dict" ]; then words=-dict=tests/fuzz/$target.dict; fi
# An input that takes 2 s, or one allocation of 100 MB, is a finding. libFuzzer counts the seconds of the wall: one that
# was slow only because others used the machine is not slow again when it runs alone, and fuzzing goes on.
limits='-timeout=2 -timeout_exitcode=70 -malloc_limit_mb=100'
end=$(($(date +%s) + seconds))
while left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
    status=0
    # shellcheck disable=SC2086  # empty, or words without spaces
    "$program" $limits -max_total_time="$left" -artifact_prefix="$build/crashes/" $words \
        "$build/corpus/$target" $seeds || status=$?
    [ "$status" -eq 70 ] || exit "$status"
    slow=$(find "$build/crashes" -name 'timeout-*' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
    # shellcheck disable=SC2086
    "$program" $limits "$slow" || exit
    echo "$slow took 2 s, but not when it ran again: the machine was busy; going on"
    mv "$slow" "$build/crashes/busy-${slow##*/timeout-}"
done
