#include "base/json.h"

#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "base/number_text.h"
#include "base/text_file.h"

namespace qmse {
namespace {

constexpr std::size_t kMaxReason = 300;

// The library's words without "[json.exception.parse_error.101] ", and without all of a long text it quotes.
std::string reason_of(const std::string& what) {
  const std::size_t end = what.find("] ");
  std::string reason = printable(end == std::string::npos ? what : what.substr(end + 2));
  if (reason.size() > kMaxReason) {
    std::size_t cut = kMaxReason;
    while ((static_cast<unsigned char>(reason[cut]) & 0xc0) == 0x80) --cut;
    reason = reason.substr(0, cut) + "...";
  }
  return reason;
}

// Builds the value. Objects are filled without looking for equal keys among all the others, which would take
// the square of their number.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const std::string& source) : source_(source) {}

  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { fail("it has binary data"); }

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& key) override {
    if (!open_.back().keys.insert(key).second) fail("key " + in_quotes(key) + " is given twice");
    open_.back().key = std::move(key);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    fail("not valid JSON: " + reason_of(error.what()));
  }

 private:
  // An object or array that is not closed yet.
  struct Open {
    Json* value;
    std::unordered_set<std::string> keys;  // of an object, so far
    std::string key;                       // of the value that comes next
  };

  [[noreturn]] bool fail(const std::string& cause) const { throw DataError(source_ + ": " + cause); }

  Json* add(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Open& into = open_.back();
    if (into.value->is_array()) {
      into.value->push_back(std::move(value));
      return &into.value->back();
    }
    auto& object = into.value->get_ref<Json::object_t&>();
    object.push_back({std::move(into.key), std::move(value)});
    return &object.back().second;
  }
  bool put(Json value) {
    add(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxJsonDepth) {
      fail("its objects and lists nest more than " + std::to_string(kMaxJsonDepth) + " deep; simplify it");
    }
    open_.push_back({add(std::move(value)), {}, {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& source_;
  Json root_;
  std::vector<Open> open_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  // The library takes a zero byte for the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    throw DataError(source + ": not valid JSON: a zero byte at byte " + std::to_string(zero));
  Builder builder(source);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& file) {
  return parse_json(read_text_file(file), in_quotes(file));
}

std::string json_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}
std::string json_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string json_words(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? shortest_text(value.get<double>()) : json_line(value);
}

void parse_json(std::string_view text, nlohmann::json_sax<nlohmann::json>& handler) {
  nlohmann::json::sax_parse(text, &handler);
}

}  // namespace qmse
