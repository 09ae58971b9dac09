// Time to load a data set from files that the system holds in memory, and to check its content, as `qmse
// train` does at its start:
//   bench_load_dataset NAME [DATA]     DATA as for --data; QMSE_DATA and the usual places without it
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "data/content.h"
#include "data/registry.h"

namespace {

// The middle of five, after one that is not counted.
template <class Work>
double seconds(const Work& work) {
  std::vector<double> times;
  for (int repetition = 0; repetition < 6; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  times.erase(times.begin());
  std::sort(times.begin(), times.end());
  return times[2];
}

}  // namespace

int main(int argc, char** argv) {
  using namespace qmse;
  if (argc < 2) {
    std::fputs("usage: bench_load_dataset NAME [DATA]\n", stderr);
    return 2;
  }
  const std::string name = argv[1];
  try {
    const std::filesystem::path folder = find_data_directory(name, argc > 2 ? argv[2] : "");
    std::int64_t images = 0;
    const double load = seconds([&] {
      images = load_dataset(name, folder, Split::train).count + load_dataset(name, folder, Split::test).count;
    });
    const double check = seconds([&] { examine_content(name, folder); });
    std::printf("{\"dataset\": \"%s\", \"images\": %lld, \"load_seconds\": %.4f, \"check_seconds\": %.4f}\n",
                name.c_str(), static_cast<long long>(images), load, check);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
