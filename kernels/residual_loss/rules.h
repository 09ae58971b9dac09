// Every loss that is a rule (residual_loss.h). C++17: included by device code.
#pragma once

#include "kernels/residual_loss/mse.h"
#include "kernels/residual_loss/qmse_expected.h"
#include "kernels/residual_loss/residual_loss.h"

// X(Rule) for each of them.
#define QMSE_RESIDUAL_LOSSES(X) \
  X(MseRule)                    \
  X(QmseExpectedRule)
