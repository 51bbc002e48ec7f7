#!/bin/sh
# first_run.sh: what `make run` shows: a command, the answer of the built-in model, one line of
# figures, and three commands to go on with.
#
#   tools/first_run.sh build/hearth
set -eu

hearth=$1
notes=$(mktemp)
trap 'rm -f "$notes"' EXIT

echo "\$ $hearth run -p \"It was in the evening\" -n 48 --seed 1"
status=0
"$hearth" run -p "It was in the evening" -n 48 --seed 1 2>"$notes" || status=$?
echo
cat "$notes"
[ "$status" = 0 ] || exit "$status"

cat <<EOT

The built-in model has 4.5 million parameters and has read one book: it writes pastiche and knows nothing.
Next:
  $hearth doctor
  $hearth run MODEL.gguf -p "Once upon a time"
  $hearth help
EOT
