#include "apps/json_events.h"

#include <iostream>

#include "apps/options.h"
#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse::app {

CLI::Option* add_log_format(CLI::App& command, const std::string& objects) {
  return add_text_option(
      command, "--log-format", "text|json", "Output",
      "what goes to standard output: lines to read, or one JSON object for every " + objects + " [text]");
}

bool wants_json(const CLI::Option& log_format) {
  const std::string format = log_format.count() > 0 ? log_format.as<std::string>() : "text";
  if (format != "text" && format != "json")
    throw ConfigError("--log-format must be text or json, not " + in_quotes(format));
  return format == "json";
}

void write_json_event(const char* event, const Json& content) {
  Json object = {{"event", event}};
  object.update(content);
  // Paths and messages need not be UTF-8; JSON has to be.
  std::cout << object.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

}  // namespace qmse::app
