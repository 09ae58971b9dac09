#include "apps/json_events.h"

#include <array>
#include <iostream>

#include "apps/options.h"

namespace qmse::app {
namespace {

enum class LogFormat { text, json };
constexpr std::array<Choice<LogFormat>, 2> choices(LogFormat) {
  return {{{LogFormat::text, "text"}, {LogFormat::json, "json"}}};
}

}  // namespace

CLI::Option* add_log_format(CLI::App& command, const std::string& objects) {
  return add_choice_option<LogFormat>(
      command, "--log-format", "Output",
      "what goes to standard output: lines to read, or one JSON object for every " + objects + " [text]");
}

bool wants_json(const CLI::Option& log_format) {
  return chosen(log_format, LogFormat::text) == LogFormat::json;
}

void write_json_event(const char* event, const Json& content) {
  Json object = {{"event", event}};
  object.update(content);
  std::cout << json_line(object) << std::endl;
}

}  // namespace qmse::app
