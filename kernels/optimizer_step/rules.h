// Every optimizer there is. C++17: included by device code.
#pragma once

#include "kernels/optimizer_step/adam.h"
#include "kernels/optimizer_step/rmsprop.h"
#include "kernels/optimizer_step/sgd.h"

// X(Rule) for each of them.
#define QMSE_OPTIMIZER_RULES(X) \
  X(SgdRule)                    \
  X(AdamRule)                   \
  X(RmspropRule)
