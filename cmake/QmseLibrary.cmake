# qmse_add_library(NAME DEPENDS...): one static library per folder, with its sources found by file name:
#   *.cpp            always
#   *_onednn.cpp     only with oneDNN
#   *_tools.cpp      only with the libraries of QMSE_DATA_TOOLS; *_no_tools.cpp only without
#   *.cu, *_cuda.cpp, *_cudnn.cpp, *_cublas.cpp   only with CUDA
#   *_cpu_only.cpp   only without CUDA
#   *_simd.cpp       on x86-64 once more, for AVX-512 (kernels/cpu/dispatch.h)
# and those of folders within that are libraries of their own, with a CMakeLists.txt, left out,
# so that adding an operation is adding files, and a build without CUDA leaves device code out and still links.
function(qmse_add_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp" "${CMAKE_CURRENT_SOURCE_DIR}/*.cu")
  file(GLOB_RECURSE own CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
  list(REMOVE_ITEM own "${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
  foreach(file IN LISTS own)
    cmake_path(GET file PARENT_PATH folder)
    list(FILTER sources EXCLUDE REGEX "^${folder}/")
  endforeach()
  if(NOT QMSE_ONEDNN)
    list(FILTER sources EXCLUDE REGEX "_onednn\\.cpp$")
  endif()
  if(QMSE_DATA_TOOLS)
    list(FILTER sources EXCLUDE REGEX "_no_tools\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "([^o]|[^n]o)_tools\\.cpp$")
  endif()
  if(QMSE_CUDA)
    list(FILTER sources EXCLUDE REGEX "_cpu_only\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "(\\.cu|_cuda\\.cpp|_cudnn\\.cpp|_cublas\\.cpp)$")
  endif()
  add_library(qmse_${name} STATIC ${sources})
  add_library(qmse::${name} ALIAS qmse_${name})
  set_target_properties(qmse_${name} PROPERTIES EXPORT_NAME ${name} LINKER_LANGUAGE CXX)
  target_include_directories(qmse_${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>"
                                                 "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>"
                                                 "$<INSTALL_INTERFACE:include>")
  target_compile_features(qmse_${name} PUBLIC cxx_std_20)
  target_link_libraries(qmse_${name} PRIVATE "$<BUILD_INTERFACE:qmse_flags>")
  foreach(dependency IN LISTS ARGN)
    target_link_libraries(qmse_${name} PUBLIC qmse_${dependency})
  endforeach()
  set(simd ${sources})
  list(FILTER simd INCLUDE REGEX "_simd\\.cpp$")
  if(QMSE_AVX512 AND simd)
    add_library(qmse_${name}_avx512 OBJECT ${simd})
    target_include_directories(qmse_${name}_avx512 PRIVATE $<TARGET_PROPERTY:qmse_${name},INCLUDE_DIRECTORIES>)
    target_link_libraries(qmse_${name}_avx512 PRIVATE qmse_flags)
    target_compile_options(qmse_${name}_avx512 PRIVATE -mavx512f -mavx512bw -mavx512dq -mavx512vl)
    target_compile_definitions(qmse_${name}_avx512 PRIVATE QMSE_ISA=avx512)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      # False alarms over its own intrinsics (GCC bug 105593).
      target_compile_options(qmse_${name}_avx512 PRIVATE -Wno-maybe-uninitialized)
    endif()
    target_sources(qmse_${name} PRIVATE $<TARGET_OBJECTS:qmse_${name}_avx512>)
    set_property(GLOBAL APPEND PROPERTY QMSE_AVX512_OBJECTS $<TARGET_OBJECTS:qmse_${name}_avx512>)
  endif()
  set_property(GLOBAL APPEND PROPERTY QMSE_LIBRARIES qmse_${name})
endfunction()

# qmse_embed(FILE CONSTANT): the text of a file of this folder as `inline constexpr const char* CONSTANT`, in a header of the
# folder's and the file's name, which is made when CMake runs.
function(qmse_embed file constant)
  file(READ "${file}" content)
  cmake_path(GET file STEM stem)
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE folder)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/embedded_text.h.in" "${PROJECT_BINARY_DIR}/generated/${folder}/${stem}.h" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
endfunction()
