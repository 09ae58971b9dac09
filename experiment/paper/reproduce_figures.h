// The curves of a reproduction.
#pragma once

#include "experiment/paper/reproduce_results.h"
#include "experiment/report/figure.h"

namespace qmse {

// As in the paper: momentum 0 above momentum 0.9, training and test accuracy of MSE and QMSE; a column for
// each convention. Curves are mean_curve()s of the seeds that finished, in per cent.
Figure paper_figure(const FigureRuns& runs, const ReproducePlan& plan);

// Test accuracy of every loss and learning rate: a column for each momentum; a row for each convention with
// QMSE, MSE and what tells them apart, and one with the other learning rates and references.
Figure figure_of_all(const FigureRuns& runs);

}  // namespace qmse
