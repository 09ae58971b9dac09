// The tape: an append-only list of operations over buffers that do not move (a Wengert list). It is recorded
// once for a batch size and run as often as wanted: creation order is topological order, backward is one
// reverse loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/dtype.h"
#include "engine/operation.h"
#include "engine/parameters.h"
#include "engine/shape.h"
#include "engine/with_context.h"
#include "kernels/conv2d/layout.h"

namespace qmse {

// A tensor on the tape.
struct Value {
  int id = -1;
};

struct TapeOptions {
  DType dtype = DType::f32;
  bool gradients = true;  // false: nothing needs a gradient, no memory is taken for any
  bool fuse =
      true;  // false: layers stay apart, so that every activation can be looked at; the values are the same
};

class Tape {
 public:
  using Options = TapeOptions;

  explicit Tape(Context& context, const Options& options = {});

  // A leaf without gradient, filled by the caller through data().
  Value input(const std::string& name, const Shape& shape);
  // A leaf over a parameter's weights and gradients. Repeated calls give the same value. `store` must outlive
  // the tape.
  Value parameter(ParameterStore& store, std::size_t index);
  // A node. The caller has checked the shapes (throwing ShapeError) and made the operation for this tape's
  // context and dtype. The result needs a gradient if an input does.
  Value record(const std::string& name, const Shape& shape, const std::vector<Value>& inputs,
               std::unique_ptr<Operation> operation, Layout layout = Layout::plain);
  // The same elements under another shape: no copy, gradients shared.
  // Throws ShapeError where the counts differ.
  Value reshape(const std::string& name, Value value, const Shape& shape);

  // Runs every node in order.
  void forward();
  // Gradients of `root`, whose own gradient the caller (a loss) has written to gradient(root), for every
  // parameter reached; parameters of the tape that are not reached get zeros.
  void backward(Value root);

  Context& context() const { return *context_; }
  const Options& options() const { return options_; }
  const Shape& shape(Value value) const { return slot(value).shape; }
  Layout layout(Value value) const { return slot(value).layout; }
  const std::string& name(Value value) const { return slot(value).name; }
  bool needs_gradient(Value value) const { return slot(value).needs_gradient; }
  void* data(Value value) const { return slot(value).data; }
  void* gradient(Value value) const { return slot(value).gradient; }  // null where none is needed
  template <class T>
  T* data_as(Value value) const {
    return static_cast<T*>(data(value));
  }

  // What the nodes chose automatically, in order; nodes without a choice are left out.
  struct Choice {
    std::string node, algorithm;
    bool slow = false;  // Operation::slow()
  };
  std::vector<Choice> choices() const;

  // Every value in order of creation, leaves included: Value{0} .. Value{value_count() - 1}.
  int value_count() const { return static_cast<int>(slots_.size()); }
  bool is_leaf(Value value) const { return slot(value).leaf; }
  // The first input or result, in order, that holds a NaN or an infinity; an invalid Value where all are
  // finite. Parameters are not looked at: after a step they are already those of the next.
  Value first_non_finite();

 private:
  struct Slot {
    std::string name;
    Shape shape;
    Layout layout = Layout::plain;
    bool leaf = false;
    bool needs_gradient = false;
    void* data = nullptr;
    void* gradient = nullptr;
    int storage = -1;                     // the slot that owns the memory: itself, or what it is a reshape of
    int readers = 0;                      // nodes that use it, counted on the owner
    Buffer data_buffer, gradient_buffer;  // empty for parameters and reshapes
  };
  struct Node {
    std::unique_ptr<Operation> operation;
    std::vector<Value> inputs;
    Value output;
    std::vector<void*> input_data;
    std::vector<void*> input_gradients;  // where this backward writes
    std::vector<char> adds;              // is that a second gradient, to be added to a first?
  };

  Slot& slot(Value value) { return slots_.at(static_cast<std::size_t>(value.id)); }
  const Slot& slot(Value value) const { return slots_.at(static_cast<std::size_t>(value.id)); }
  Value append(Slot slot);
  std::size_t bytes(const Shape& shape) const;
  void reserve_addends(std::size_t bytes);
  void add_gradient(void* into, const void* from, std::int64_t count);

  Context* context_;
  Options options_;
  std::vector<Slot> slots_;
  std::vector<Node> nodes_;
  std::vector<char> written_;  // by owner slot: has this backward written the gradient yet?
  struct ParameterLeaf {
    ParameterStore* store;
    std::size_t index;
    Value value;
  };
  std::vector<ParameterLeaf> parameters_;
  std::size_t most_inputs_ = 0;
  std::vector<Buffer> addends_;  // by input position: a second gradient before it is added to the first
  Buffer finite_index_;          // result of the search for non-finite values
};

// Makes OperationOf<float> or OperationOf<double>, whichever the tape computes in, from
// (tape.context(), arguments...).
template <template <class> class OperationOf, class... Arguments>
std::unique_ptr<Operation> make_operation(Tape& tape, const Arguments&... arguments) {
  return with_dtype(tape.options().dtype, [&]<class T>() -> std::unique_ptr<Operation> {
    return std::make_unique<OperationOf<T>>(tape.context(), arguments...);
  });
}

}  // namespace qmse
