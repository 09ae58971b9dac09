# Finds oneDNN with its OpenMP runtime: DNNL_FOUND, DNNL_VERSION and the target DNNL::dnnl.
#
# A module of our own because the configuration file in Debian's libdnnl-dev demands OpenCL's development files,
# which the package does not depend on and a CPU build does not use.

find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp HINTS ${DNNL_ROOT} ENV DNNL_ROOT PATH_SUFFIXES include)
find_library(DNNL_LIBRARY dnnl HINTS ${DNNL_ROOT} ENV DNNL_ROOT PATH_SUFFIXES lib lib64)
mark_as_advanced(DNNL_INCLUDE_DIR DNNL_LIBRARY)

if(DNNL_INCLUDE_DIR)
  file(STRINGS "${DNNL_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" _dnnl_lines REGEX "DNNL_VERSION_(MAJOR|MINOR|PATCH)")
  foreach(_dnnl_part IN ITEMS MAJOR MINOR PATCH)
    if("${_dnnl_lines}" MATCHES "DNNL_VERSION_${_dnnl_part}[ \t]+([0-9]+)")
      list(APPEND _dnnl_version "${CMAKE_MATCH_1}")
    endif()
  endforeach()
  list(JOIN _dnnl_version "." DNNL_VERSION)
  unset(_dnnl_version)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(DNNL REQUIRED_VARS DNNL_LIBRARY DNNL_INCLUDE_DIR VERSION_VAR DNNL_VERSION)

if(DNNL_FOUND AND NOT TARGET DNNL::dnnl)
  add_library(DNNL::dnnl SHARED IMPORTED)
  set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION "${DNNL_LIBRARY}"
                                              INTERFACE_INCLUDE_DIRECTORIES "${DNNL_INCLUDE_DIR}")
endif()
