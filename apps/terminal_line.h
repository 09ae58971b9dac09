// Standard output as lines and, on a terminal, one that is rewritten in place below them.
#pragma once

#include <cstddef>
#include <string>

namespace qmse::app {

class TerminalLine {
 public:
  TerminalLine();

  bool rewrites() const { return rewrites_; }  // whether show() does anything: not where TERM is dumb
  std::size_t width() const;                   // characters in a line of the terminal

  // Rewrites the line in place; only on a terminal. As much of it as fits.
  void show(const std::string& text);
  void clear();
  // A line that stays, in the place of the one that is shown.
  void print(const std::string& text);

 private:
  bool rewrites_;
  bool shown_ = false;
};

}  // namespace qmse::app
