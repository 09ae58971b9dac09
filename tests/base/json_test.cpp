#include "base/json.h"

#include <random>
#include <string>

#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/mutation.h"

namespace qmse {
namespace {

using test::message_of;
using test::missing;

std::string nested(const std::string& open, std::size_t depth, const std::string& close) {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  text += "1";
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST_CASE("json: as text, bytes that are no UTF-8 do not stop it, and as words") {
  CHECK(json_text({{"a", 1}}) == "{\n  \"a\": 1\n}\n");
  CHECK(json_line({{"a", "\xff"}}) == "{\"a\":\"\xEF\xBF\xBD\"}");
  CHECK(json_words("it's \"x\"") == "it's \"x\"");
  CHECK(json_words(0.1) == "0.1");
  CHECK(json_words(3.0) == "3");
  CHECK(json_words(7) == "7");
  CHECK(json_words(nullptr) == "null");
  CHECK(json_words(Json::array({1, 2})) == "[1,2]");
}

TEST_CASE("json: values as the library reads them, keys in their order") {
  for (const char* text :
       {"1", "-7", "0.25", "1e-320", "18446744073709551615", "true", "null", R"("a\n\u00e9")", "[]", "{}",
        R"({"b": [1, [2.5, {}], "x"], "a": {"c": null, "d": false}, "": 1})"}) {
    CAPTURE(text);
    CHECK(parse_json(text, "it") == Json::parse(text));
    CHECK(parse_json(text, "it").dump() == Json::parse(text).dump());
  }
}

TEST_CASE("json: nesting is bounded, however deep the text goes") {
  for (const auto& [open, close] : {std::pair<std::string, std::string>{"[", "]"}, {"{\"a\":", "}"}}) {
    CHECK_NOTHROW(parse_json(nested(open, kMaxJsonDepth, close), "it"));
    for (const std::size_t depth : {kMaxJsonDepth + 1, std::size_t{75000}, std::size_t{3000000}}) {
      const auto message = message_of<DataError>([&] { parse_json(nested(open, depth, close), "file"); });
      CHECK(missing(message, {"file: ", "64 deep"}) == "");
    }
    CHECK(missing(message_of<DataError>([&] { parse_json(nested(open, 1000000, ""), "file"); }),
                  {"64 deep"}) == "");
  }
}

TEST_CASE("json: what is no JSON is one short line") {
  const std::string deep = std::string(100000, 'x');
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("nan"), std::string("[1,]"), std::string("\"\xff\""),
        std::string("{} {}"), std::string("\"a\nb\""), std::string("1e999"), "\"" + deep, deep}) {
    const std::string message = message_of<DataError>([&] { parse_json(text, "file"); });
    CHECK(missing(message, {"file: not valid JSON"}) == "");
    CHECK(message.size() < 400);
  }
}

TEST_CASE("json: a key twice and a zero byte are refused") {
  CHECK(missing(message_of<DataError>([] { parse_json(R"({"a": {"b": 1, "c": 2, "b": 3}})", "file"); }),
                {"file: key 'b' is given twice"}) == "");
  CHECK_NOTHROW(parse_json(R"([{"b": 1}, {"b": 2}])", "file"));
  for (const std::size_t at : {0u, 1u, 8u}) {
    std::string text = R"({"a": 1})";
    text.insert(at, 1, '\0');
    CHECK(missing(message_of<DataError>([&] { parse_json(text, "file"); }), {"zero byte"}) == "");
  }
}

TEST_CASE("json: an object of many keys takes no time to speak of") {
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
  CHECK(parse_json(text + "}", "it").size() == 300000);  // 45 thousand million comparisons, key by key
}

TEST_CASE("json: damaged texts are read as the library reads them, or refused as by it") {
  const unsigned seed = 20261126;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::string start = R"({"lr": 0.01, "list": [1, -2, [3e5, "x\u0041"]], "o": {"t": true, "n": null}})";
  int differ = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = test::mutate(start, start.size(), random);
    if (text.find('\0') != std::string::npos) continue;
    const Json library = Json::parse(text, nullptr, false);
    try {
      const Json ours = parse_json(text, "it");
      differ += library.is_discarded() || ours != library;
    } catch (const DataError& error) {
      const bool twice = std::string(error.what()).find("given twice") != std::string::npos;
      differ += !library.is_discarded() && !twice;
    }
  }
  CHECK(differ == 0);
}

}  // namespace
}  // namespace qmse
