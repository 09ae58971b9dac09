// The block on the plain convolution, bias_activation and max_pool2d; both layouts must be plain.
#pragma once

#include <memory>
#include <string>

#include "kernels/conv_block/conv_block.h"

namespace qmse {

template <class T>
std::unique_ptr<ConvBlock<T>> make_plain_conv_block(CpuContext& context, const ConvBlockShape& shape,
                                                    const std::string& reason = "");  // as make_plain_conv2d

}  // namespace qmse
