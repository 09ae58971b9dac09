// The one place where JSON is read: configurations, sweeps, records of runs, texts within weights files and
// the headers of safetensors. Files may be damaged or hostile: nesting is bounded, so that nothing that walks
// over a value runs out of stack.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace qmse {

using Json = nlohmann::ordered_json;  // objects keep the order of their keys

inline constexpr std::size_t kMaxJsonDepth = 64;  // objects and arrays within each other

// The value of `text`. DataError, one line that begins with `source`, where it is not valid JSON in UTF-8,
// nests deeper than kMaxJsonDepth or an object has a key twice; nothing but white space may follow the value.
Json parse_json(std::string_view text, const std::string& source);

// Hands the events of `text` to `handler`, which bounds the nesting.
void parse_json(std::string_view text, nlohmann::json_sax<nlohmann::json>& handler);

}  // namespace qmse
