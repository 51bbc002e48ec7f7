#!/bin/sh
# setup.sh: see that the tools and libraries of tools/packages.txt are here, and offer to install
# what is missing.
#
#   tools/setup.sh GROUP...        groups of packages.txt: build test fuzz bench
#
# Says nothing and takes milliseconds when nothing is missing. Otherwise it shows the exact command
# and asks on a terminal; YES=1 skips the question. Root without a terminal (a container, CI) is not
# asked. Without root it uses sudo after asking, else says what is missing and ends with 1.
#
# POSIX sh and nothing else: on the machine it is for, nothing else is installed.
set -u

table=$(dirname "$0")/packages.txt
compiler=${CC:-gcc}
compiler=${compiler##*/}
groups=" $* "

strip() { # trim spaces of $1 into $trimmed
    trimmed=$1
    while case $trimmed in ' '*) ;; *) false ;; esac; do trimmed=${trimmed# }; done
    while case $trimmed in *' ') ;; *) false ;; esac; do trimmed=${trimmed% }; done
}

have() { # is there what the detect column $1 names?
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
    cc:*)
        case $compiler in
        "${1#cc:}"*) command -v "${CC:-gcc}" >/dev/null 2>&1 ;;
        *) true ;; # another compiler was asked for
        esac ;;
    pc:*) [ "$all_modules" = yes ] || pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    lib:*)
        case $compiler in
        gcc*) # gcc answers with a path when it has the file, with the bare name when not
            case $("${CC:-gcc}" -print-file-name="${1#lib:}" 2>/dev/null) in
            */*) true ;;
            *) false ;;
            esac ;;
        *) true ;;
        esac ;;
    py:*) python3 -c "import ${1#py:}" >/dev/null 2>&1 ;;
    *) echo "setup.sh: packages.txt: unknown detect '$1'" >&2; exit 2 ;;
    esac
}

# All pkg-config modules in one call: the usual case, where nothing is missing, stays fast.
modules=''
while IFS='|' read -r group _ detect _; do
    case $group in '#'* | '') continue ;; esac
    strip "$group"
    case $groups in *" $trimmed "*) ;; *) continue ;; esac
    strip "$detect"
    case $trimmed in pc:*) modules="$modules ${trimmed#pc:}" ;; esac
done <"$table"
all_modules=no
# shellcheck disable=SC2086  # a list of words
if [ -n "$modules" ] && pkg-config --exists $modules 2>/dev/null; then all_modules=yes; fi

if command -v apt-get >/dev/null 2>&1; then manager=apt
elif command -v dnf >/dev/null 2>&1; then manager=dnf
elif command -v pacman >/dev/null 2>&1; then manager=pacman
else manager=none
fi

find_missing() { # fills $missing (lines to show) and $packages (words)
    missing='' packages=''
    while IFS='|' read -r group purpose detect apt dnf pacman; do
        case $group in '#'* | '') continue ;; esac
        strip "$group"
        case $groups in *" $trimmed "*) ;; *) continue ;; esac
        strip "$detect"
        if have "$trimmed"; then continue; fi
        what=${trimmed#*:}
        strip "$purpose"
        missing="$missing  $trimmed ($what)
"
        case $manager in
        apt) names=$apt ;;
        dnf) names=$dnf ;;
        pacman) names=$pacman ;;
        *) names='' ;;
        esac
        for name in $names; do
            case " $packages " in *" $name "*) ;; *) packages="$packages $name" ;; esac
        done
    done <"$table"
}

find_missing
[ -n "$missing" ] || exit 0

echo "hearth needs these, which are not on this machine:"
printf '%s' "$missing"

sudo=''
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1; then sudo='sudo '; else sudo=none; fi
fi
lists_empty() { # has apt never fetched its lists?
    for file in /var/lib/apt/lists/*_Packages*; do
        if [ -e "$file" ]; then return 1; fi
    done
}
prefix=$sudo
[ "$sudo" = none ] && prefix=''
case $manager in
apt)
    install="${prefix}apt-get install -y --no-install-recommends$packages"
    if lists_empty; then install="${prefix}apt-get update && $install"; fi ;;
dnf) install="${prefix}dnf install -y$packages" ;;
pacman) install="${prefix}pacman -S --needed --noconfirm$packages" ;;
none)
    echo "This system has none of apt-get, dnf and pacman: install them by its own means, then try again."
    exit 1 ;;
esac
echo "This installs them:"
echo "  $install"

if [ "$sudo" = none ]; then
    echo "That needs root, and there is no sudo here: run it as root, then try again."
    exit 1
fi
if [ "${YES:-}" != 1 ]; then
    if [ -t 0 ] && [ -t 1 ]; then
        printf 'Run it now? [y/N] '
        read -r answer || answer=''
        case $answer in
        [yY] | [yY][eE][sS]) ;;
        *) echo "Nothing was installed."; exit 1 ;;
        esac
    elif [ -n "$sudo" ]; then
        echo "There is no terminal to ask on: run it yourself, or say YES=1 to let this do it."
        exit 1
    fi
fi

[ -t 0 ] || export DEBIAN_FRONTEND=noninteractive
if ! sh -c "$install"; then
    echo "The command above failed. If a package was not found, refresh the system's package lists and try again."
    exit 1
fi

hash -r 2>/dev/null
all_modules=no
find_missing
if [ -n "$missing" ]; then
    echo "Installed, and yet these are still not found:"
    printf '%s' "$missing"
    exit 1
fi
