// The hidden units of a network over samples: which are dead, always active, or copies of each other
// (docs/theory.md 7.3, 7.4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/parameters.h"
#include "engine/tape.h"

namespace qmse {

// Of one hidden layer; a unit of a convolution is a channel.
struct LayerUnits {
  std::string layer;  // "conv1"
  std::int64_t units = 0;
  // ReLU: units whose pre-activation is at no place of any sample above 0, at every place of all of them.
  std::int64_t dead = 0, always_on = 0;
  std::int64_t duplicate = 0;  // with the incoming weights and bias of an earlier unit, bit for bit
  std::int64_t tied = 0;       // and its outgoing weights too: no step of the form D^T u parts them
};

// Counts over the batches that go through a tape of a network that was recorded unfused, with `store`, in f64
// on the CPU. Hidden layers are those with a parameter "NAME.weight", all but the last.
class UnitCounter {
 public:
  // `relu`: whether their activation is ReLU; else dead and always_on are not counted (0).
  UnitCounter(const Tape& tape, const ParameterStore& store, bool relu);
  // After a forward pass, of which the first `rows` samples count.
  void add(std::int64_t rows);
  std::vector<LayerUnits> counts() const;

 private:
  struct Layer {
    std::string name;
    std::size_t weight, bias;  // parameters
    Value value;               // pre-activations [N, units] or [N, units, H, W]
    std::int64_t units, places;
    std::vector<char> active, inactive;  // ever, by unit
  };
  const Tape* tape_;
  const ParameterStore* store_;
  bool relu_;
  std::vector<Layer> layers_;  // the output layer last
};

// Whether a network of ReLUs or of none is one affine function on all samples of the tape's batch: every
// pre-activation has one sign on all of them, and every window of a max-pool one largest place (or nothing
// above 0).
bool is_affine_on_batch(const Tape& tape);

}  // namespace qmse
