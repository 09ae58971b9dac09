#include "device/shared_choices.h"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace qmse;

namespace {

struct Choice {
  int value = 0;
  bool keeps = true;
  bool lasting() const { return keeps; }
};

}  // namespace

TEST_CASE("shared choices: threads that ask for the same at once get one choice, made once") {
  SharedChoices<int, Choice> choices;
  constexpr int kKeys = 5, kThreads = 4;
  std::atomic<int> made = 0;
  std::vector<std::vector<int>> got(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 200; ++i) {
          got[static_cast<std::size_t>(thread)].push_back(
              choices.get((i + thread) % kKeys, [&] { return Choice{++made}; }).value);
        }
      });
    }
  }
  CHECK(made == kKeys);
  for (int key = 0; key < kKeys; ++key) {
    const int expected = choices.get(key, [] { return Choice{-1}; }).value;
    for (int thread = 0; thread < kThreads; ++thread) {
      for (int i = 0; i < 200; ++i) {
        if ((i + thread) % kKeys == key) {
          CHECK(got[static_cast<std::size_t>(thread)][static_cast<std::size_t>(i)] == expected);
        }
      }
    }
  }
}

TEST_CASE("shared choices: what does not last is chosen again, and so is what failed") {
  SharedChoices<int, Choice> choices;
  CHECK(choices.get(1, [] { return Choice{1, false}; }).value == 1);
  CHECK_THROWS_AS(choices.get(1, []() -> Choice { throw std::runtime_error("no algorithm"); }),
                  std::runtime_error);
  CHECK(choices.get(1, [] { return Choice{2}; }).value == 2);
  CHECK(choices.get(1, [] { return Choice{3}; }).value == 2);
}
