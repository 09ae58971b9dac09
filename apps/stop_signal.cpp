#include "apps/stop_signal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace qmse::app {
namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free, "signal handlers may only touch lock-free atomics");

void on_signal(int signal) {
  int none = 0;
  if (!caught.compare_exchange_strong(none, signal)) ::_exit(128 + signal);
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return caught.load(); }

}  // namespace qmse::app
