# Installs the program, the libraries and their headers, and what find_package(qmse) reads. Headers go to
# include/qmse/<folder>/... and are included as <qmse/base/error.h>, by each other too.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(qmse_libraries GLOBAL PROPERTY QMSE_LIBRARIES)
add_library(qmse_qmse INTERFACE)
add_library(qmse::qmse ALIAS qmse_qmse)
set_target_properties(qmse_qmse PROPERTIES EXPORT_NAME qmse)
target_link_libraries(qmse_qmse INTERFACE ${qmse_libraries})

install(TARGETS qmse_qmse ${qmse_libraries} EXPORT qmseTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
foreach(library IN LISTS qmse_libraries)
  get_target_property(folder ${library} SOURCE_DIR)
  cmake_path(RELATIVE_PATH folder BASE_DIRECTORY "${PROJECT_SOURCE_DIR}")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/qmse/${folder}"
          FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/generated/base/build_config.h"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/qmse/base")
install(CODE "set(qmse_include_dir \"${CMAKE_INSTALL_INCLUDEDIR}\")")
install(SCRIPT "${CMAKE_CURRENT_LIST_DIR}/install_includes.cmake")

# Libraries outside the system's folders (the CUDA toolkit's) are found again by the installed program.
set_target_properties(qmse_program PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS qmse_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
# The manual and bash's completion are what the program says of itself.
foreach(what man completion)
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:qmse_program>\" help --${what} COMMAND_ERROR_IS_FATAL ANY
                                OUTPUT_FILE \"${PROJECT_BINARY_DIR}/qmse.${what}\")")
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/qmse.man" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" RENAME qmse.1)
install(FILES "${PROJECT_BINARY_DIR}/qmse.completion" RENAME qmse
        DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")

set(qmse_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/qmse")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/qmseConfig.cmake.in" "${PROJECT_BINARY_DIR}/qmseConfig.cmake"
                              INSTALL_DESTINATION "${qmse_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/qmseConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/qmseConfig.cmake" "${PROJECT_BINARY_DIR}/qmseConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/FindDNNL.cmake" "${CMAKE_CURRENT_LIST_DIR}/FindCUBLASLT.cmake" "${CMAKE_CURRENT_LIST_DIR}/FindCUDNN.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/NvidiaPythonFolders.cmake"
        DESTINATION "${qmse_package_dir}")
install(EXPORT qmseTargets NAMESPACE qmse:: DESTINATION "${qmse_package_dir}")
