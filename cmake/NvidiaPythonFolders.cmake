# nvidia_python_folders(VARIABLE): the folders `nvidia` of the site-packages of the Python on PATH, where NVIDIA's Python
# packages put headers and libraries (`libcudnn.so.9`, but no `libcudnn.so`): cudnn/, cublas/ (CUDA 12), cu13/ (CUDA 13).
find_program(QMSE_NVIDIA_PYTHON NAMES python3 DOC "Python whose site-packages are searched for NVIDIA's libraries")
mark_as_advanced(QMSE_NVIDIA_PYTHON)
function(nvidia_python_folders variable)
  set(folders "")
  if(QMSE_NVIDIA_PYTHON)
    execute_process(COMMAND "${QMSE_NVIDIA_PYTHON}" -c "import site, sysconfig; print(';'.join(dict.fromkeys(\
p + '/nvidia' for p in [sysconfig.get_path('purelib'), *site.getsitepackages(), site.getusersitepackages()])))"
      OUTPUT_VARIABLE candidates OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    foreach(candidate IN LISTS candidates)
      if(IS_DIRECTORY "${candidate}")
        list(APPEND folders "${candidate}")
      endif()
    endforeach()
  endif()
  set(${variable} "${folders}" PARENT_SCOPE)
endfunction()
