#!/bin/bash
# chroot.sh: the README's two commands on a bare machine. Makes a minimal Debian 12 with make and git
# and nothing else (debootstrap), clones the last commit of this repository into it, and runs
# `make run` and `make test` there. Needs root and debootstrap.
#
#   tools/chroot.sh CACHE-FOLDER [COMMAND...]     default: `make run` and then `make test`
#
# CACHE-FOLDER/debian12 is kept for the next time; each run works on a fresh copy, which is removed
# unless KEEP=1. The Debian mirror, proxies and name service are those of this machine's apt.
# HEARTH_FIXTURES, when set, is bound read-only. Mounts live in a mount namespace of their own, so
# nothing stays mounted, whatever happens. Transcripts: CACHE-FOLDER/run.log and test.log.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "chroot.sh needs root, for debootstrap and chroot"; exit 1; }
command -v debootstrap >/dev/null || { echo "chroot.sh needs debootstrap: apt-get install debootstrap"; exit 1; }
repository=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
cache=$(cd "$1" && pwd)
shift

# This machine's Debian sources, as one-line entries: "URI suite components".
host_sources() {
    { find /etc/apt/sources.list /etc/apt/sources.list.d -type f 2>/dev/null || true; } | while read -r file; do
        case $file in
        *.sources) awk '
            function flush(n, u, s, i, j) {
                if (types ~ /(^| )deb( |$)/) {
                    n = split(uris, u, " "); split(suites, s, " ")
                    for (i = 1; i <= n; i++) for (j = 1; j in s; j++) print u[i], s[j], components
                }
                types = uris = suites = components = ""
            }
            /^[[:space:]]*$/ { flush() }
            /^Types:/ { types = substr($0, 7) } /^URIs:/ { uris = substr($0, 6) }
            /^Suites:/ { suites = substr($0, 8) } /^Components:/ { components = substr($0, 12) }
            END { flush() }' "$file" ;;
        *.list | */sources.list) sed -n 's/^deb \+\(\[[^]]*\] \+\)\?//p' "$file" ;;
        esac
    done | awk '$2 ~ /^bookworm(-updates|-security)?$/ && $3 == "main" { print $1, $2, "main" }' | sort -u
}

base=$cache/debian12
if [ ! -f "$base/.complete" ]; then
    sources=$(host_sources)
    mirror=$(awk '$2 == "bookworm" { print $1; exit }' <<<"$sources")
    [ -n "$mirror" ] || { echo "this machine's apt knows no source for bookworm main"; exit 1; }
    rm -rf "$base"
    debootstrap --variant=minbase --include=make,git bookworm "$base" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
        { tail "$cache/debootstrap.log"; exit 1; }
    sed 's/^/deb /' <<<"$sources" >"$base/etc/apt/sources.list"
    apt-config dump Acquire | grep -iE '::(proxy|ca(info|path)|verify)' >"$base/etc/apt/apt.conf.d/90host" || true
    rm -rf "$base"/var/lib/apt/lists/* "$base"/var/cache/apt/archives/*.deb # as a fresh machine: never updated
    touch "$base/.complete"
fi

work=$cache/work.$$
trap '[ "${KEEP:-}" = 1 ] || rm -rf --one-file-system "$work"' EXIT
cp -a "$base" "$work"
cp -L /etc/resolv.conf /etc/hosts "$work/etc/" 2>/dev/null || true
git clone -q --no-local --no-hardlinks "$repository" "$work/srv/hearth"
mkdir -p "$work/srv/fixtures"

# Runs one command in the clone; the mounts end with it.
inside() {
    unshare --mount --propagation private bash -euc '
        root=$1 fixtures=$2; shift 2
        mount -t proc proc "$root/proc"
        mount --rbind -o ro /sys "$root/sys"
        mount --bind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/dev/shm"
        mount -t devpts devpts "$root/dev/pts"
        set -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb "$@"
        if [ -n "$fixtures" ]; then
            mount --bind "$fixtures" "$root/srv/fixtures"
            mount -o remount,bind,ro "$root/srv/fixtures"
            shift 2
            set -- env -i HEARTH_FIXTURES=/srv/fixtures "$@"
        fi
        exec chroot "$root" /usr/bin/env -C /srv/hearth "$@"
    ' inside "$work" "${HEARTH_FIXTURES:-}" "$@" </dev/null
}

if [ $# -gt 0 ]; then
    inside "$@"
    exit
fi
failed=0
for target in run test; do
    echo "== make $target, in a Debian 12 that has only make and git"
    start=$SECONDS
    inside make "$target" 2>&1 | tee "$cache/$target.log" || failed=1
    echo "== make $target: $((SECONDS - start)) s"
done
exit $failed
