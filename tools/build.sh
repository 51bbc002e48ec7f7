#!/bin/sh
# build.sh: configure a build folder when that is needed, and build it.
#
#   tools/build.sh FOLDER [MESON-OPTION...]
#
# A folder remembers its compiler and options in FOLDER/.configured; when they change it is
# configured anew, so `make CC=clang` after `make` is what it says. Without cmocka there are no tests
# to build: when it has come, the folder is configured again and what is built stays.
# TARGETS, in the environment, are what to build; without it everything is.
set -eu

folder=$1
shift
want="${CC:=gcc} $*"
export CC

tests=without
if pkg-config --exists cmocka; then tests=with; fi
was=$(cat "$folder/.configured" 2>/dev/null || true)
if [ ! -f "$folder/build.ninja" ] || [ "$was" != "$want, $tests tests" ]; then
    again=''
    if [ -d "$folder/meson-private" ]; then
        case $was in
        "$want, "*) again=--reconfigure ;;
        *) again=--wipe ;;
        esac
    fi
    # shellcheck disable=SC2086  # empty, or one word
    meson setup $again "$folder" "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; rm -f "$folder.log"; exit 1; }
    mv "$folder.log" "$folder/setup.log"
    printf '%s' "$want, $tests tests" >"$folder/.configured"
    sed -n 's/^C compiler for the host machine: /compiler: /p' "$folder/setup.log"
fi
# shellcheck disable=SC2086  # empty, or words without spaces
ninja -C "$folder" ${TARGETS:-}

# The program under one name, wherever Meson puts it.
if [ -f "$folder/src/cli/hearth" ] && [ ! -e "$folder/hearth" ]; then
    ln -s src/cli/hearth "$folder/hearth"
fi
