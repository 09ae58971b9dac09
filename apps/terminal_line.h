// Standard output as lines and, on a terminal, one that is rewritten in place below them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace qmse::app {

class TerminalLine {
 public:
  TerminalLine();

  bool rewrites() const { return rewrites_; }  // whether show() does anything: not where TERM is dumb
  // How many characters a line may have: one that fills the terminal would wrap, and could not be rewritten.
  std::size_t room() const;

  // Rewrites the line in place; only on a terminal. As much of it as fits.
  void show(const std::string& text);
  // The first of `lines`, which come in the order of what is left out, that
  // fits; of the last as much as fits.
  void show_first_fitting(const std::vector<std::string>& lines);
  void clear();
  // A line that stays, in the place of the one that is shown.
  void print(const std::string& text);

 private:
  bool rewrites_;
  bool shown_ = false;
};

}  // namespace qmse::app
