# Language standard, warnings, instruction set, sanitizers and output folders for every target of the project.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(QMSE_CCACHE ccache)
if(QMSE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${QMSE_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${QMSE_CCACHE}")
endif()

# Flags every target of the project compiles with; not exported to users.
add_library(qmse_flags INTERFACE)
set(qmse_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
                  -Woverloaded-virtual -Wundef)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND qmse_warnings -Wno-restrict)  # false alarms over std::string in GCC 12 (its bug 105651)
endif()
target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${qmse_warnings}>")
if(QMSE_WERROR)
  target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Werror>")
endif()

# One instruction-set level for everything (AVX2, FMA) but the loops that are there for wider vectors too
# (kernels/cpu/dispatch.h): the same bits on every machine that runs the binary, and oneDNN still dispatches at run
# time. Contraction is off because `v` must be bit-equal on every backend: where a fused multiply-add is wanted the
# source says std::fma.
target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>")
# No value depends on these two: nobody reads errno or the exception flags, and without them square roots and
# selections are done in vectors.
target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno;-fno-trapping-math>")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(qmse_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-march=x86-64-v3>")
  set(QMSE_AVX512 ON)
endif()

if(QMSE_SANITIZE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${QMSE_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options("-fsanitize=${QMSE_SANITIZE}")
endif()

# With QMSE_FEW_UNITS the target's sources are compiled a dozen at a time, but for those in SEPARATE, whose local names others
# have too.
function(qmse_few_units target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SEPARATE")
  if(NOT QMSE_FEW_UNITS)
    return()
  endif()
  get_target_property(folder ${target} SOURCE_DIR)
  list(TRANSFORM arg_SEPARATE PREPEND "${folder}/")
  set_source_files_properties(${arg_SEPARATE} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
endfunction()
