// Signals that ask the training to stop after its current step: Ctrl-C, SIGTERM, and with them what batch
// systems and terminals send before they end a job (SIGUSR1, SIGHUP) and a reader of standard output that is
// gone (SIGPIPE). A Ctrl-C after any of them ends the process at once.
#pragma once

namespace qmse::app {

// Signals that the process was started to ignore (nohup, the background of a script) stay ignored.
void catch_stop_signals();

// The signal that was caught first, or 0.
int stop_signal();

}  // namespace qmse::app
