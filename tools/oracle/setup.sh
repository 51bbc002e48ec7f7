#!/bin/sh
# setup.sh: a virtual environment with the reference implementations, for tools/oracle/generate.py.
#
#   tools/oracle/setup.sh VENV
#
# Some gigabytes. Nothing of it is needed to build or to test.
set -eu
if [ $# -ne 1 ]; then
    echo "usage: tools/oracle/setup.sh VENV" >&2
    exit 64
fi
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/pip" install --requirement "$(dirname "$0")/requirements.txt"
