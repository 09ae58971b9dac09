# What device code needs: nvcc, the CUDA runtime, GPU architectures and flags.

# nvcc is often installed without being on PATH.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "nvcc not found: install the CUDA toolkit (12 or later) or point CUDACXX at nvcc; "
                        "-DQMSE_CUDA=OFF builds the CPU backend alone")
  endif()
endif()

# The architectures this project is written for. Those that nvcc offers are compiled, and the newest of them also
# to PTX, from which drivers translate for GPUs that came later. Never `native`: builds run on machines without a GPU.
set(qmse_stated_architectures 75 80 86 89 90 100 120)
set(QMSE_CUDA_ARCHITECTURES "" CACHE STRING
    "GPU architectures, in the form of CMAKE_CUDA_ARCHITECTURES; empty for all of ${qmse_stated_architectures} that nvcc offers")
if(QMSE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${QMSE_CUDA_ARCHITECTURES})
else()
  if(CMAKE_CUDA_COMPILER)
    set(qmse_nvcc "${CMAKE_CUDA_COMPILER}")
  else()
    set(qmse_nvcc "$ENV{CUDACXX}")
  endif()
  execute_process(COMMAND "${qmse_nvcc}" --list-gpu-arch OUTPUT_VARIABLE qmse_offered RESULT_VARIABLE qmse_failed
                  ERROR_QUIET)
  set(CMAKE_CUDA_ARCHITECTURES "")
  foreach(architecture IN LISTS qmse_stated_architectures)
    if(qmse_offered MATCHES "compute_${architecture}[\r\n]")
      list(APPEND CMAKE_CUDA_ARCHITECTURES "${architecture}-real")
      set(qmse_newest "${architecture}")
    endif()
  endforeach()
  if(CMAKE_CUDA_ARCHITECTURES)
    list(APPEND CMAKE_CUDA_ARCHITECTURES "${qmse_newest}-virtual")
  else()
    set(CMAKE_CUDA_ARCHITECTURES 80)
    message(WARNING "${qmse_nvcc} --list-gpu-arch names none of ${qmse_stated_architectures}; compiling for 80 alone")
  endif()
endif()

# Device code is C++17: CMake 3.25 knows no later standard for nvcc 13 and drops the flag without a word.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
enable_language(CUDA)
find_package(CUDAToolkit 12 REQUIRED)

# Flags of the CUDA sources. The host compiler sees code that nvcc generates, which -Wpedantic and -Wshadow would
# complain about. fmad stays on: code whose bits matter uses the rounding intrinsics and explicit fma.
set(qmse_cuda_flags -Xptxas=--warn-on-spills -Xcompiler=-Wall,-Wextra,-Wconversion,-Wno-sign-conversion
                    -Xcompiler=-ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND qmse_cuda_flags -Xcompiler=-march=x86-64-v3)
endif()
if(QMSE_WERROR)
  list(APPEND qmse_cuda_flags -Werror=all-warnings -Xptxas=--warning-as-error)
endif()
target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${qmse_cuda_flags}>")
