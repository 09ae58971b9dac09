# Sourced by the scripts: where the checkout is, how they speak, and what this machine has.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

say() { printf '==> %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The nvcc that CMake would take, or nothing.
find_nvcc() {
  local candidate
  for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" "${CUDA_HOME:-/nonexistent}/bin/nvcc" \
    "${CUDA_PATH:-/nonexistent}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
    if [[ -n "$candidate" && -x "$candidate" ]]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# Succeeds where cuDNN's header lies in one of the places cmake/FindCUDNN.cmake looks first.
find_cudnn() {
  local nvcc_root folder
  nvcc_root="$(dirname "$(dirname "$(find_nvcc || echo /nonexistent/bin/nvcc)")")"
  for folder in "${CUDNN_ROOT:-/nonexistent}" "$nvcc_root" /usr/local/cuda /usr/local /usr; do
    for header in "$folder/include/cudnn.h" "$folder/include/$(uname -m)-linux-gnu/cudnn.h"; do
      [[ -e "$header" ]] && return 0
    done
  done
  return 1
}
