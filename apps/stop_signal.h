// Ctrl-C and SIGTERM: the first asks the training to stop after its current step, a second ends the process
// at once.
#pragma once

namespace qmse::app {

void catch_stop_signals();

// The signal that was caught, or 0.
int stop_signal();

}  // namespace qmse::app
