# Sourced by the scripts: where the checkout is, how they speak, and what this machine has.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

say() { printf '==> %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The folders `nvidia` of python3's site-packages, where NVIDIA's Python packages lie: one a line, perhaps none.
nvidia_python_folders() {
  local folder
  python3 -c "import site, sysconfig
for path in dict.fromkeys([sysconfig.get_path('purelib'), *site.getsitepackages(), site.getusersitepackages()]):
    print(path + '/nvidia')" 2>/dev/null | while IFS= read -r folder; do
    if [[ -d "$folder" ]]; then printf '%s\n' "$folder"; fi
  done
}

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

# Succeeds where cmake/QmseCudaStandIn.cmake finds the headers of the CUDA runtime and of cuBLAS.
find_cuda_headers() {
  local folder
  for folder in "${CUDA_HOME:-/nonexistent}" "${CUDA_PATH:-/nonexistent}" /usr/local/cuda /usr/local /usr; do
    if [[ -e "$folder/include/cuda_runtime.h" && -e "$folder/include/cublasLt.h" ]]; then return 0; fi
  done
  return 1
}

# Succeeds where cuDNN's header lies in one of the places that cmake/FindCUDNN.cmake looks at.
find_cudnn() {
  local nvcc_root folder header
  nvcc_root="$(dirname "$(dirname "$(find_nvcc || echo /nonexistent/bin/nvcc)")")"
  while IFS= read -r folder; do
    for header in "$folder/include/cudnn.h" "$folder/include/$(uname -m)-linux-gnu/cudnn.h"; do
      if [[ -e "$header" ]]; then return 0; fi
    done
  done < <(
    printf '%s\n' "${CUDNN_ROOT:-/nonexistent}" "$nvcc_root" /usr/local/cuda /usr/local /usr
    nvidia_python_folders | sed 's|$|/cudnn|'
  )
  return 1
}
