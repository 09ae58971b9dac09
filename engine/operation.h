// What the tape knows of an operation: how to run it forwards and backwards over buffers that do not move.
#pragma once

#include <span>
#include <string>

namespace qmse {

// Device pointers to the buffers of one node, in the order its inputs were recorded.
struct ForwardBuffers {
  std::span<void* const> inputs;
  void* output;
};

struct BackwardBuffers {
  std::span<void* const> inputs;
  const void* output;
  const void* output_gradient;
  // Overwritten by backward; null where that input needs no gradient. (Where a value feeds several nodes the
  // tape adds the gradients up.)
  std::span<void* const> input_gradients;
};

// Made by the function that records it, which has checked the shapes, chosen the algorithm and taken all
// memory: forward and backward allocate nothing.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void forward(const ForwardBuffers& buffers) = 0;
  // After forward, over the same buffers.
  virtual void backward(const BackwardBuffers& buffers) = 0;
  // What was chosen automatically, for the record; empty where there was nothing to choose.
  virtual std::string algorithm() const { return ""; }
  // Whether that is slower than need be, for want of a fast kernel; algorithm() says why.
  virtual bool slow() const { return false; }
};

}  // namespace qmse
