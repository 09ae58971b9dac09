// What is thrown where a caller asked for an end before the work was done.
#pragma once

#include "base/error.h"

namespace qmse {

class Stopped : public Error {
 public:
  using Error::Error;
};

}  // namespace qmse
