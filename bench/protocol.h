// How a program answers a driver (bench/turns.py) that lets several programs take turns: it prints "ready",
// then answers each line of standard input with one JSON object a line, and ends with its input.
#pragma once

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace qmse::bench {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

template <class Answer>
void serve(const Answer& answer) {
  std::cout << "ready" << std::endl;
  for (std::string request; std::getline(std::cin, request);) std::cout << answer(request) << std::endl;
}

}  // namespace qmse::bench
