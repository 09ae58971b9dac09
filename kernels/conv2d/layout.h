// How a [N, C, H, W] tensor lies in memory. C++17: included by device code.
#pragma once

namespace qmse {

enum class Layout {
  plain,    // N, C, H, W: PyTorch's default, and what every interface of the library shows
  blocked,  // oneDNN's nChw8c or nChw16c, whichever the processor prefers: only between fused convolution
            // blocks on the CPU
};

}  // namespace qmse
