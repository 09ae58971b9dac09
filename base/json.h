// The one place where JSON is read: configurations, sweeps, records of runs, texts within weights files and
// the headers of safetensors. Files may be damaged or hostile: nesting is bounded, so that nothing that walks
// over a value runs out of stack.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace qmse {

using Json = nlohmann::ordered_json;  // objects keep the order of their keys

inline constexpr std::size_t kMaxJsonDepth = 64;  // objects and arrays within each other

// The value of `text`. DataError, one line that begins with `source`, where it is not valid JSON in UTF-8,
// nests deeper than kMaxJsonDepth or an object has a key twice; nothing but white space may follow the value.
Json parse_json(std::string_view text, const std::string& source);

Json read_json(const std::filesystem::path& file);  // the same of a text file, named as source; IoError too

// As text, in lines for files or on one line. Bytes that are no UTF-8 become the replacement character.
std::string json_text(const Json& json);
std::string json_line(const Json& json);
// One value for readers: a text without its quotes, a number with the fewest digits, all else as JSON.
std::string json_words(const Json& value);

// Hands the events of `text` to `handler`, which bounds the nesting.
void parse_json(std::string_view text, nlohmann::json_sax<nlohmann::json>& handler);

}  // namespace qmse
