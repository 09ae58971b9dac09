// gnuplot, run as a program of its own.
#pragma once

#include <string>
#include <vector>

namespace qmse {

// `text` as a gnuplot expression: strings in single quotes, in which nothing is expanded, on one line and in
// valid UTF-8.
std::string gnuplot_string(const std::string& text);

// Runs a script in a fresh temporary folder and returns the content of the files that it has written there.
// The user's start-up files are not read. Throws Error where gnuplot is not installed (saying which package
// has it), reports an error, or has not written a file.
std::vector<std::string> run_gnuplot(const std::string& script, const std::vector<std::string>& files);

}  // namespace qmse
