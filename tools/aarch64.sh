#!/bin/sh
# aarch64.sh: compile the library for aarch64, and link the test programs that need no other library than C's.
#
#   tools/aarch64.sh FOLDER
#
# The libraries of the program need not be there for aarch64: their headers are those of this machine, and what
# is linked uses none of them (the floors from base/ to infer/ do without). FOLDER/tests gets the programs, linked
# statically, so that an emulator needs nothing but them; cmocka is replaced by tests/cross/shim. Without a C
# library for aarch64 there are no programs, and FOLDER/tests stays empty.
set -eu

folder=$1
compiler=aarch64-linux-gnu-gcc
if [ ! -f "$folder/build.ninja" ]; then
    mkdir -p "$folder"
    cat >"$folder/cross.ini" <<INI
[binaries]
c = '$compiler'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
[built-in options]
c_args = ['-idirafter', '/usr/include', '-idirafter', '/usr/include/$(gcc -dumpmachine)']
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'armv8-a'
endian = 'little'
INI
    CC='' meson setup "$folder" --cross-file "$folder/cross.ini" -Dtests=false
fi
ninja -C "$folder" src/libhearth.a

rm -rf "$folder/tests"
mkdir "$folder/tests"
echo 'int main(void) { return 0; }' >"$folder/empty.c"
if ! $compiler -static -o "$folder/empty" "$folder/empty.c" 2>/dev/null; then
    echo "there is no static C library for $compiler here"
    exit 0
fi

link() { # NAME SOURCE...
    name=$1
    shift
    $compiler -std=c17 -O2 -Wall -Wextra -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers \
        -ffp-contract=off -D_POSIX_C_SOURCE=200809L -Itests/cross/shim -Iinclude -Isrc -static \
        -o "$folder/tests/$name" "$@" "$folder/src/libhearth.a" -lm -lpthread
}
for name in matrix vector attention num; do
    link "check_$name" "tests/kernel/check_$name.c" tests/kernel/check.c tests/kernel/ref.c
done
for name in gguf gguf_write sampler sched; do
    link "test_$name" "tests/unit/test_$name.c" tests/unit/tiny.c
done
link logits tests/cross/logits.c
