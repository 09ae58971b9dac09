# The CUDA backend: device code, and the libraries that the engine calls.
include(QmseCudaLanguage)
find_package(CUBLASLT REQUIRED)
find_package(CUDNN 9 REQUIRED)
message(STATUS "CUDA backend: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, cuDNN ${CUDNN_VERSION}, "
               "architectures ${CMAKE_CUDA_ARCHITECTURES}")

# What a library with CUDA sources or library calls (*.cu, *_cuda.cpp, *_cudnn.cpp, *_cublas.cpp) needs.
function(qmse_target_cuda target)
  set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_link_libraries(${target} PRIVATE CUDA::cudart_static CUDA::cublasLt CUDNN::cudnn)
endfunction()
