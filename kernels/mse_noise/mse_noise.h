// MSE with the noise of QMSE: value 1/2 ||r||^2 a sample, and as gradient with respect to f
//
//   -(r + Qr - E[Qr]) = -((1 - 1/c + <v,r>) r + (||r||^2 + <v,r>) v)
//
// with r, v and Q as in kernels/qmse/qmse.h and E[Qr] = (||r||^2 + 1/c) r. So the step is MSE's in expectation
// and has QMSE's covariance: what noise of that kind does without QMSE's weighting of samples
// (docs/theory.md). It is not the gradient of the value.
#pragma once

#include "kernels/qmse/qmse.h"

namespace qmse {

// args.options.q_gradient is not looked at: Q is constant.
void mse_noise_loss(CpuContext&, const QmseArgs<float>& args);
void mse_noise_loss(CpuContext&, const QmseArgs<double>& args);
template <class Gpu>
void mse_noise_loss(Gpu&, const QmseArgs<float>& args);

}  // namespace qmse
