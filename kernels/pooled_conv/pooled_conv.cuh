// The pooled convolution's kernels and their launches.
#pragma once

#include "kernels/pooled_conv/pooled_conv_data.cuh"
#include "kernels/pooled_conv/pooled_conv_forward.cuh"
#include "kernels/pooled_conv/pooled_conv_weights.cuh"
