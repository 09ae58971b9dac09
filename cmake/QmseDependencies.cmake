# Everything the project takes from the system. Each find says what it found.

find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(Boost 1.74 REQUIRED)  # headers: Boost.Math
find_path(QMSE_EIGEN_FOLDER Eigen/Dense PATH_SUFFIXES eigen3 DOC "The folder of Eigen's headers")  # for algebra/
mark_as_advanced(QMSE_EIGEN_FOLDER)
if(NOT QMSE_EIGEN_FOLDER)
  message(FATAL_ERROR "Eigen 3.4 not found (Debian: libeigen3-dev). It is headers alone: install it, or unpack it anywhere "
                      "and configure with -DQMSE_EIGEN_FOLDER=DIR, where DIR holds Eigen/Dense.")
endif()

if(QMSE_ONEDNN)
  find_package(DNNL 2.6 QUIET)
  if(NOT DNNL_FOUND)
    message(FATAL_ERROR "oneDNN not found (Debian: libdnnl-dev). Install it, or configure with -DQMSE_ONEDNN=OFF "
                        "to use the project's plain CPU kernels, which are several times slower.")
  endif()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  message(STATUS "CPU convolutions and matrix products: oneDNN ${DNNL_VERSION}")
else()
  message(STATUS "CPU convolutions and matrix products: plain kernels (QMSE_ONEDNN=OFF)")
endif()

if(QMSE_DATA_TOOLS)
  set(missing "")
  foreach(need IN ITEMS "PNG|libpng-dev" "JPEG|libjpeg-dev" "CURL|libcurl4-openssl-dev" "LibArchive|libarchive-dev")
    string(REPLACE "|" ";" need "${need}")
    list(GET need 0 package)
    list(GET need 1 debian)
    find_package(${package} QUIET)
    if(NOT ${package}_FOUND)
      list(APPEND missing "${package} (Debian: ${debian})")
    endif()
  endforeach()
  if(missing)
    list(JOIN missing ", " missing)
    message(FATAL_ERROR "Not found: ${missing}. Install it, or configure with -DQMSE_DATA_TOOLS=OFF: then PNG and JPEG files cannot "
                        "be read or written, and `qmse data fetch` is not there.")
  endif()
  message(STATUS "Data sets: libpng ${PNG_VERSION_STRING}, libjpeg ${JPEG_VERSION}, libcurl ${CURL_VERSION_STRING}, "
                 "libarchive ${LibArchive_VERSION}")
else()
  message(STATUS "Data sets: without libpng, libjpeg, libcurl and libarchive (QMSE_DATA_TOOLS=OFF)")
endif()

if(QMSE_CUDA_STAND_IN)
  set(QMSE_CUDA ON)
  include(QmseCudaStandIn)
elseif(QMSE_CUDA)
  include(QmseCuda)
endif()
