// --log-format json: what a command does, as JSON objects, one a line, on standard output.
#pragma once

#include <CLI/CLI.hpp>
#include <exception>
#include <new>

#include "experiment/run/config.h"

namespace qmse::app {

// The option --log-format text|json.
CLI::Option* add_log_format(CLI::App& command, const std::string& objects);
// Whether it says json. ConfigError for anything but text and json.
bool wants_json(const CLI::Option& log_format);

// {"event": event, and what `content` has}.
void write_json_event(const char* event, const Json& content);

// What `work` returns; where it throws, {"event": "failed", "error": ...} ends the
// output, and the error goes on.
template <class Work>
auto with_failure_event(bool json, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    if (json) write_json_event("failed", {{"error", "out of memory"}});
    throw;
  } catch (const std::exception& error) {
    if (json) write_json_event("failed", {{"error", error.what()}});
    throw;
  }
}

}  // namespace qmse::app
