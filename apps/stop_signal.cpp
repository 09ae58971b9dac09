#include "apps/stop_signal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>

namespace qmse::app {
namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free, "signal handlers may only touch lock-free atomics");

// Only Ctrl-C is sent by somebody who waits: others come in pairs (SIGHUP and SIGTERM where a session ends,
// SIGUSR1 and SIGTERM from a batch system), and the second must not cost the checkpoint.
void on_signal(int signal) {
  int none = 0;
  if (!caught.compare_exchange_strong(none, signal) && signal == SIGINT) ::_exit(128 + signal);
}

}  // namespace

void catch_stop_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
}

int stop_signal() { return caught.load(); }

}  // namespace qmse::app
