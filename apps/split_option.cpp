#include "apps/split_option.h"

#include "apps/options.h"
#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse::app {

CLI::Option* add_split(CLI::App& command) {
  return add_text_option(command, "--split", "train|test", "Data", "which images [test]");
}

Split split_from(const CLI::Option& option) {
  const std::string text = option.count() > 0 ? option.as<std::string>() : "test";
  if (text != "train" && text != "test")
    throw ConfigError("--split must be train or test, not " + in_quotes(text));
  return text == "train" ? Split::train : Split::test;
}

}  // namespace qmse::app
