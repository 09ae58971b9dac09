// Which gradients a planned operation will be asked for.
#pragma once

namespace qmse {

// A plan may leave out what is not needed: no algorithm is looked for, no memory taken. Asking for it all the
// same is an Error.
struct BackwardNeeds {
  bool data = true;     // of the input
  bool weights = true;  // of weights and bias
};

}  // namespace qmse
