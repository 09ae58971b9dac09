// The Jacobian D of a network's outputs with respect to its weights, over samples: row n c + i is the gradient
// of output i for sample n, in f64 on the CPU.
//
// A row comes from a backward pass over one sample. D itself is large (640 rows of 421,642 numbers for 64
// images of the paper's network), and what is asked of it is D D^T. There a linear layer's part needs no rows:
// its weights' gradient is an outer product of the gradient of its outputs and its input, so that its part of
// D D^T is (d d'^T) times (a a'^T + 1), element by element. Only the other layers' rows are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/parameters.h"
#include "models/sequential.h"

namespace qmse {

// `store` holds the weights, f64 on the CPU, and was made from model.parameters(); inputs [N, ...] are
// normalised. ShapeError where sizes do not fit.
struct JacobianRequest {
  const Sequential* model = nullptr;
  const ParameterStore* store = nullptr;
  std::span<const double> inputs = {};
  std::int64_t samples = 0;
};

// D D^T, [N c][N c]: the same bits for every number of threads. `stop` is asked between samples; where it
// answers yes the result is empty.
std::vector<double> jacobian_gram(const JacobianRequest& request, ThreadPool& threads,
                                  const std::function<bool()>& stop = {});

// D, [N c][parameters], the parameters one after the other as in the store, without its padding.
std::vector<double> jacobian_rows(const JacobianRequest& request, ThreadPool& threads);

}  // namespace qmse
