# Finds cuDNN 9 or later: CUDNN_FOUND, CUDNN_VERSION and the target CUDNN::cudnn.
#
# Looked at, in this order: CUDNN_ROOT (CMake or environment variable), the CUDA toolkit's own folders, Debian's
# and the system's, and the folder of NVIDIA's Python package `nvidia-cudnn-cu*`, which holds headers and
# `libcudnn.so.9` but no `libcudnn.so`.

set(_cudnn_hints ${CUDAToolkit_INCLUDE_DIRS} ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT})
include("${CMAKE_CURRENT_LIST_DIR}/NvidiaPythonFolders.cmake")
nvidia_python_folders(_cudnn_python_roots)
list(TRANSFORM _cudnn_python_roots APPEND "/cudnn")

find_path(CUDNN_INCLUDE_DIR cudnn.h
  HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${_cudnn_hints}
  PATHS /usr/local/cuda /usr ${_cudnn_python_roots}
  PATH_SUFFIXES include "include/${CMAKE_LIBRARY_ARCHITECTURE}")

# The headers carry the version; the library beside them must be the same major one.
if(CUDNN_INCLUDE_DIR)
  foreach(_cudnn_header IN ITEMS cudnn_version.h cudnn_version_v9.h cudnn.h)
    if(EXISTS "${CUDNN_INCLUDE_DIR}/${_cudnn_header}" AND NOT CUDNN_VERSION)
      file(STRINGS "${CUDNN_INCLUDE_DIR}/${_cudnn_header}" _cudnn_lines
           REGEX "^#define[ \t]+CUDNN_(MAJOR|MINOR|PATCHLEVEL)[ \t]+[0-9]+")
      foreach(_cudnn_part IN ITEMS MAJOR MINOR PATCHLEVEL)
        if("${_cudnn_lines}" MATCHES "CUDNN_${_cudnn_part}[ \t]+([0-9]+)")
          set(_cudnn_${_cudnn_part} "${CMAKE_MATCH_1}")
        endif()
      endforeach()
      if(DEFINED _cudnn_MAJOR)
        set(CUDNN_VERSION "${_cudnn_MAJOR}.${_cudnn_MINOR}.${_cudnn_PATCHLEVEL}")
      endif()
    endif()
  endforeach()
  get_filename_component(_cudnn_prefix "${CUDNN_INCLUDE_DIR}" DIRECTORY)
endif()

find_library(CUDNN_LIBRARY NAMES cudnn "libcudnn.so.${_cudnn_MAJOR}" NAMES_PER_DIR
  HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT "${_cudnn_prefix}" ${_cudnn_hints}
  PATHS /usr/local/cuda /usr ${_cudnn_python_roots}
  PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN
  REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR
  VERSION_VAR CUDNN_VERSION
  REASON_FAILURE_MESSAGE "Install cuDNN 9 or later, or point CUDNN_ROOT at the folder that holds its include/ and lib/.")

if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn SHARED IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES IMPORTED_LOCATION "${CUDNN_LIBRARY}"
                                                INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
endif()
