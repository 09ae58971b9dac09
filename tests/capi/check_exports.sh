#!/bin/sh
# check_exports.sh NM LIBRARY HEADER: the library exports the functions of the header and XLA's handlers, and nothing else.
set -eu
exported="$("$1" -D --defined-only "$2" | awk '{print $NF}' | sed 's/@.*//' | sort -u)"
expected="$({
  sed -n '/^QMSE_API/s/.*[ *]\(qmse_[a-z_]*\)(.*/\1/p' "$3"
  printf 'qmse_xla_%s\n' loss_cpu loss_cuda direction_cpu direction_cuda
} | sort -u)"
if [ "$exported" != "$expected" ]; then
  printf 'exported:\n%s\nexpected:\n%s\n' "$exported" "$expected"
  exit 1
fi
