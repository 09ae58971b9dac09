// The commands and their options, which --help shows, as a man page and for the shell's completion.
#pragma once

#include <string>

#include "apps/commands.h"

namespace qmse::app {

std::string man_page(const Command& program);         // troff with man's macros, section 1
std::string bash_completion(const Command& program);  // for `source`, in zsh after bashcompinit

}  // namespace qmse::app
