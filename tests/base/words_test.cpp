#include "base/words.h"

#include <array>

#include "base/choice.h"
#include "base/error.h"
#include "base/parse_choice.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

enum class Color { red, green, blue };
constexpr std::array<Choice<Color>, 3> choices(Color) {
  return {{{Color::red, "red", "a red"}, {Color::green, "green"}, {Color::blue, "blue"}}};
}

}  // namespace

TEST_CASE("words: joined, parted, as options and as text") {
  const std::vector<std::string> none, one = {"a"}, three = {"a", "", "c"};
  CHECK(join(none, ", ") == "");
  CHECK(join(one, ", ") == "a");
  CHECK(join(three, ", ") == "a, , c");
  CHECK(alternatives(one) == "a");
  CHECK(alternatives(three) == "a,  or c");
  CHECK(join(std::vector<int>{1, 2}, "-", [](int i) { return std::to_string(2 * i); }) == "2-4");
  CHECK(split("", ',').empty());
  CHECK(split("a", ',') == one);
  CHECK(split("a,,c", ',') == three);
  CHECK(split("a,", ',') == std::vector<std::string>{"a", ""});
  CHECK(with_spaces("weight_decay") == "weight decay");
  CHECK(option_name("weight_decay") == "--weight-decay");
  CHECK(capitalised("mean") == "Mean");
  CHECK(capitalised("‖r‖²") == "‖r‖²");
  CHECK(capitalised("") == "");
}

TEST_CASE("words: the nearest name is found, and nothing where none is near") {
  const std::vector<std::string> names = {"lr", "batch_size", "epochs"};
  CHECK(nearest("bach_size", names) == "batch_size");
  CHECK(nearest("epoch", names) == "epochs");
  CHECK(nearest("ls", names) == "lr");
  CHECK(nearest("zebra", names).empty());
  CHECK(did_you_mean("epoch", names) == " (did you mean 'epochs'?)");
  CHECK(did_you_mean("zebra", names).empty());
}

TEST_CASE(
    "choices: names, labels and values are one table's, and an unknown name is an error with all of them") {
  CHECK(choice_names<Color>() == std::vector<std::string>{"red", "green", "blue"});
  for (const Choice<Color>& each : choices(Color())) {
    CHECK(find_choice<Color>(each.name) == each.value);
    CHECK(parse_choice<Color>(each.name, "colour") == each.value);
    CHECK(name(each.value) == each.name);
    CHECK(label(each.value) == each.label);
  }
  for (const char* wrong : {"", "Red", "red ", "redd"}) {
    CHECK_FALSE(find_choice<Color>(wrong).has_value());
    CHECK_THROWS_WITH(parse_choice<Color>(wrong, "colour"),
                      "unknown colour '" + std::string(wrong) + "'; known: red, green, blue");
  }
  CHECK(find_named(choices(Color()), "purple") == nullptr);
}
