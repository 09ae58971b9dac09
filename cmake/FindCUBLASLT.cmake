# Sees to it that there is a target CUDA::cublasLt: the CUDA toolkit's own where it has one (find_package(CUDAToolkit) comes
# first), else that of NVIDIA's Python package for the same major version, which holds headers and `libcublasLt.so.13`
# but no `libcublasLt.so`.

if(NOT TARGET CUDA::cublasLt)
  include("${CMAKE_CURRENT_LIST_DIR}/NvidiaPythonFolders.cmake")
  nvidia_python_folders(_cublaslt_folders)
  set(_cublaslt_roots "")
  foreach(_cublaslt_folder IN LISTS _cublaslt_folders)
    list(APPEND _cublaslt_roots "${_cublaslt_folder}/cu${CUDAToolkit_VERSION_MAJOR}" "${_cublaslt_folder}/cublas")
  endforeach()
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUBLASLT_ROOT} ENV CUBLASLT_ROOT ${CUDAToolkit_INCLUDE_DIRS}
            PATHS ${_cublaslt_roots} PATH_SUFFIXES include)
  find_library(CUBLASLT_LIBRARY NAMES cublasLt "libcublasLt.so.${CUDAToolkit_VERSION_MAJOR}" NAMES_PER_DIR
               HINTS ${CUBLASLT_ROOT} ENV CUBLASLT_ROOT ${CUDAToolkit_LIBRARY_DIR}
               PATHS ${_cublaslt_roots} PATH_SUFFIXES lib lib64)
  mark_as_advanced(CUBLASLT_INCLUDE_DIR CUBLASLT_LIBRARY)
  if(CUBLASLT_INCLUDE_DIR AND CUBLASLT_LIBRARY)
    # Only its own headers: the folder may hold another version's of the CUDA runtime.
    set(_cublaslt_headers "${PROJECT_BINARY_DIR}/cublaslt_headers")
    file(GLOB _cublaslt_files "${CUBLASLT_INCLUDE_DIR}/cublas*.h")
    file(COPY ${_cublaslt_files} DESTINATION "${_cublaslt_headers}")
    add_library(CUDA::cublasLt SHARED IMPORTED)
    set_target_properties(CUDA::cublasLt PROPERTIES IMPORTED_LOCATION "${CUBLASLT_LIBRARY}"
                                                    INTERFACE_INCLUDE_DIRECTORIES "${_cublaslt_headers}")
  endif()
endif()

if(TARGET CUDA::cublasLt)
  set(_cublaslt_target CUDA::cublasLt)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUBLASLT REQUIRED_VARS _cublaslt_target
  REASON_FAILURE_MESSAGE "Install cuBLAS of CUDA ${CUDAToolkit_VERSION_MAJOR}, or point CUBLASLT_ROOT at the folder that holds its include/ and lib/.")
