#include "apps/terminal_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace qmse::app {

TerminalLine::TerminalLine() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

std::size_t TerminalLine::width() const {
  winsize size = {};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void TerminalLine::show(const std::string& text) {
  if (!terminal_) return;
  std::printf("\r\033[K%s", text.c_str());
  std::fflush(stdout);
  shown_ = true;
}

void TerminalLine::clear() {
  if (shown_) std::printf("\r\033[K");
  std::fflush(stdout);
  shown_ = false;
}

void TerminalLine::print(const std::string& text) {
  std::printf("%s%s\n", shown_ ? "\r\033[K" : "", text.c_str());
  std::fflush(stdout);
  shown_ = false;
}

}  // namespace qmse::app
