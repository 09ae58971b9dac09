# Run at every build (cmake -DSOURCE_DIR=... -DOUTPUT=... -P): writes a header with the sources' git revision, and leaves
# the file alone where nothing has changed.
cmake_minimum_required(VERSION 3.25)
find_program(GIT git)
set(revision "")
if(GIT)
  execute_process(COMMAND "${GIT}" --no-optional-locks describe --always --dirty --abbrev=12 --exclude=*
                  WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE revision ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT revision)
  set(revision "unknown")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "#pragma once\n#define QMSE_GIT_REVISION \"@revision@\"\n" @ONLY)
