#!/usr/bin/env bash
# scripts/gpu-check where nvidia-smi names no GPU: one line, exit 1, nothing left behind. gpu_check_test.sh SOURCE_DIR WORK_DIR
set -euo pipefail
source_dir="$1" work="$2"
rm -rf "$work"
mkdir -p "$work/bin"
# Hides a real one.
printf '#!/bin/sh\necho "No devices were found"\nexit 6\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
export PATH="$work/bin:$PATH"

expect() {
  local wanted_status="$1" pattern="$2" status=0
  shift 2
  "$source_dir/scripts/gpu-check" "$@" >"$work/out" 2>&1 || status=$?
  if ((status != wanted_status)) || ! grep -q -- "$pattern" "$work/out"; then
    printf 'gpu-check %s: status %d, wanted %d and "%s"; it said:\n' "$*" "$status" "$wanted_status" "$pattern"
    cat "$work/out"
    exit 1
  fi
}

expect 1 '^gpu-check: no NVIDIA GPU here' --build "$work/build"
(($(wc -l <"$work/out") == 1))
[[ ! -e "$work/build" ]]
expect 1 'takes a number of seconds' --bench-seconds soon
expect 1 '--data needs a value' --data
expect 2 '^usage: ' no-such-part
expect 0 '^usage: ' --help

# A part of a GPU is named by its own number, which nvidia-smi takes for no question but this one.
cat >"$work/bin/nvidia-smi" <<'TEXT'
#!/bin/sh
case "$*" in
  -L) printf 'GPU 0: A (UUID: GPU-aa)\nGPU 1: B (UUID: GPU-bb)\n  MIG 1g.10gb     Device  0: (UUID: MIG-cc-dd)\n' ;;
  "-i 1 --query-gpu=compute_cap --format=csv,noheader") echo 9.0 ;;
  "-i 1 --query-gpu=name --format=csv,noheader") echo B ;;
  *) exit 6 ;;
esac
TEXT
CUDA_VISIBLE_DEVICES=MIG-cc-dd "$source_dir/scripts/gpu-check" --build "$work/build" first >"$work/out" 2>&1 && exit 1
if grep -q 'no NVIDIA GPU here' "$work/out"; then exit 1; fi
