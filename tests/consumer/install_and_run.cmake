# cmake -DBUILD_DIR=... -DSOURCE_DIR=... -DCXX_COMPILER=... -DWORK_DIR=... -P install_and_run.cmake
# Installs qmse from BUILD_DIR into a fresh prefix, builds the consumer against it and runs the consumer.
file(REMOVE_RECURSE "${WORK_DIR}")
set(step COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${WORK_DIR}/prefix" OUTPUT_QUIET ${step})
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE_DIR}" -B "${WORK_DIR}/build" -G Ninja
                        -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_COMPILER=${CXX_COMPILER}"
                        "-DCMAKE_PREFIX_PATH=${WORK_DIR}/prefix" ${step})
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK_DIR}/build" ${step})
execute_process(COMMAND "${WORK_DIR}/build/consumer" ${step})
execute_process(COMMAND "${WORK_DIR}/prefix/bin/qmse" --version ${step})
