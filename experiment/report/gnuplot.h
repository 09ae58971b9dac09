// gnuplot, run as a program of its own.
#pragma once

#include <string>

namespace qmse {

// `text` as a gnuplot expression: strings in single quotes, in which nothing is expanded, on one line and in
// valid UTF-8.
std::string gnuplot_string(const std::string& text);

// Whether there is one on PATH.
bool has_gnuplot();
// For what is written without pictures because there is none: what to do about it.
inline constexpr const char* kNoGnuplot =
    "no pictures: gnuplot is not installed (Debian's package gnuplot-nox); the same command adds them where "
    "it is";

// Runs a script and returns what it has written to standard output. Nothing goes through a folder, and
// neither the user's start-up files nor the language change anything. Throws Error where gnuplot is not
// installed (saying which package has it), reports an error, or has written nothing.
std::string run_gnuplot(const std::string& script);

}  // namespace qmse
