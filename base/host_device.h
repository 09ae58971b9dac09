// QMSE_HOST_DEVICE marks the formulas (`<op>_math.h`) that the CPU and the GPU share.
// C++17: included by device code.
#pragma once

#if defined(__CUDACC__)
#define QMSE_HOST_DEVICE __host__ __device__
#else
#define QMSE_HOST_DEVICE
#endif
