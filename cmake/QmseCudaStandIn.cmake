# The CUDA backend for tests without a GPU (tests/cuda_device/README.md): CUDA's and cuDNN's headers are real, their
# libraries are replaced by the stand-in, and `.cu` files are compiled for the host.

find_path(CUDA_STAND_IN_HEADERS cuda_runtime.h HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES include)
find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS "${CUDA_STAND_IN_HEADERS}")
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT "${CUDA_STAND_IN_HEADERS}"
          PATH_SUFFIXES include "include/${CMAKE_LIBRARY_ARCHITECTURE}")
if(NOT CUDA_STAND_IN_HEADERS OR NOT CUBLASLT_INCLUDE_DIR OR NOT CUDNN_INCLUDE_DIR)
  message(FATAL_ERROR "The stand-in for CUDA needs the headers of the CUDA toolkit, of cuBLAS and of cuDNN (not their libraries).")
endif()
set(qmse_cuda_include_dirs "${CUDA_STAND_IN_HEADERS}" "${CUBLASLT_INCLUDE_DIR}" "${CUDNN_INCLUDE_DIR}")
list(REMOVE_DUPLICATES qmse_cuda_include_dirs)
message(STATUS "CUDA backend: the stand-in of the tests, headers in ${qmse_cuda_include_dirs}")
add_subdirectory(tests/cuda_device)

# Whatever does not depend on QMSE_CUDA is the object of a CPU build, which ccache has; the rest is compiled as few, large
# sources, so that this build takes little more time than its tests. Sources that call CUDA have line numbers, which the
# stand-in's reports name.

# Of a file that is included GCC believes that its unnamed namespace has more than one user.
set(qmse_before_include "#pragma GCC diagnostic ignored \"-Wsubobject-linkage\"")

# qmse_in_one(TARGET VARIABLE NAME FILES...): a source of TARGET, appended to VARIABLE, that includes the files.
function(qmse_in_one target variable name)
  set(text "${qmse_before_include}\n")
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file)
    string(APPEND text "#include \"${file}\"\n")
  endforeach()
  if(ARGN)
    set(together "${CMAKE_CURRENT_BINARY_DIR}/${target}_${name}.cpp")
    file(CONFIGURE OUTPUT "${together}" CONTENT "${text}")
    set(${variable} ${${variable}} "${together}" PARENT_SCOPE)
  endif()
endfunction()

function(qmse_target_cuda target)
  get_target_property(sources ${target} SOURCES)
  foreach(kind IN ITEMS "device;\\.cu$" "calls;(_cuda|_cublas)\\.cpp$" "calls_cudnn;_cudnn\\.cpp$")
    list(GET kind 0 name)
    list(GET kind 1 pattern)
    set(chosen ${sources})
    list(FILTER chosen INCLUDE REGEX "${pattern}")
    list(FILTER sources EXCLUDE REGEX "${pattern}")
    set(generated "")
    if(name STREQUAL "device")
      set(losses ${chosen})  # half of the compilation
      list(FILTER losses INCLUDE REGEX "/(qmse|residual_loss|cross_entropy)\\.cu$")
      list(FILTER chosen EXCLUDE REGEX "/(qmse|residual_loss|cross_entropy)\\.cu$")
      qmse_in_one(${target} generated losses ${losses})
    endif()
    qmse_in_one(${target} generated ${name} ${chosen})
    set_source_files_properties(${generated} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS -g1)
    if(name STREQUAL "device")
      # As for nvcc: a float4 may be read where floats were written, and `#pragma unroll` is no mistake.
      set_source_files_properties(${generated} PROPERTIES COMPILE_DEFINITIONS QMSE_SIMT COMPILE_OPTIONS
        "-O1;-g1;-include;${PROJECT_SOURCE_DIR}/tests/cuda_device/device_code.h;-fno-strict-aliasing;-Wno-unknown-pragmas")
    endif()
    list(APPEND sources ${generated})
  endforeach()
  set_property(TARGET ${target} PROPERTY SOURCES ${sources})
  target_link_libraries(${target} PRIVATE qmse_cuda_stand_in)
endfunction()

# Compiles the target's sources that match as one.
function(qmse_compile_together target pattern)
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  list(FILTER sources INCLUDE REGEX "${pattern}")
  set_source_files_properties(${sources} TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP together)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP
                        UNITY_BUILD_CODE_BEFORE_INCLUDE "${qmse_before_include}")
endfunction()
