#include "apps/terminal_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace qmse::app {

namespace {

// A dumb terminal, an editor's shell, say, shows control sequences as they are.
bool can_rewrite() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

}  // namespace

TerminalLine::TerminalLine() : rewrites_(can_rewrite()) {}

std::size_t TerminalLine::room() const {
  winsize size = {};
  return (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80) - 1u;
}

void TerminalLine::show(const std::string& text) {
  if (!rewrites_) return;
  std::printf("\r\033[K%.*s", static_cast<int>(room()), text.c_str());
  std::fflush(stdout);
  shown_ = true;
}

void TerminalLine::show_first_fitting(const std::vector<std::string>& lines) {
  const std::size_t most = room();
  const auto fits = std::find_if(lines.begin(), lines.end() - 1,
                                 [&](const std::string& line) { return line.size() <= most; });
  show(*fits);
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
