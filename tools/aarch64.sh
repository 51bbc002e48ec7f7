#!/bin/sh
# aarch64.sh: does the library compile for aarch64? Objects only: nothing is linked or run, so the
# libraries themselves need not be there for aarch64; their headers are those of this machine.
#
#   tools/aarch64.sh FOLDER
set -eu

folder=$1
if [ ! -f "$folder/build.ninja" ]; then
    mkdir -p "$folder"
    cat >"$folder/cross.ini" <<INI
[binaries]
c = 'aarch64-linux-gnu-gcc'
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
