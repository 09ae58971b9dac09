// Standard output as lines and, on a terminal, one that is rewritten in place below them.
#pragma once

#include <cstddef>
#include <string>

namespace qmse::app {

class TerminalLine {
 public:
  TerminalLine();

  bool is_terminal() const { return terminal_; }
  std::size_t width() const;  // characters in a line of the terminal

  // Rewrites the line in place; only on a terminal.
  void show(const std::string& text);
  void clear();
  // A line that stays, in the place of the one that is shown.
  void print(const std::string& text);

 private:
  bool terminal_;
  bool shown_ = false;
};

}  // namespace qmse::app
