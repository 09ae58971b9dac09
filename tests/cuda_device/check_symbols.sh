#!/bin/sh
# The stand-in implements exactly the functions of CUDA, cuDNN and cuBLASLt that the project's libraries call:
# check_symbols.sh NM STAND_IN LIBRARY...
set -eu
nm="$1" stand_in="$2"
shift 2
pattern='^(cuda|cudnn|cublas|cu[A-Z]|nvml)[A-Za-z0-9_]*$'
called="$("$nm" --undefined-only -j "$@" | grep -E "$pattern" | sort -u)"
made="$("$nm" --defined-only --extern-only -j "$stand_in" | grep -E "$pattern" | sort -u)"
if [ "$called" = "$made" ]; then
  printf '%s functions\n' "$(printf '%s\n' "$made" | wc -l)"
  exit 0
fi
printf 'called (<) and implemented (>) are not the same:\n'
called_file="$(mktemp)"
trap 'rm -f "$called_file"' EXIT
printf '%s\n' "$called" >"$called_file"
printf '%s\n' "$made" | diff "$called_file" - || true
exit 1
