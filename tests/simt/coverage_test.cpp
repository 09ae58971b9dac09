// Every kernel of the sources runs in some SIMT test, launched by the operation's own planning code.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/kernel_sources.h"
#include "tests/support/catch.h"

namespace {

using Strings = std::vector<std::string>;
namespace simt = qmse::simt;

std::string read(const std::filesystem::path& path) {
  INFO("reading " << path);
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Every `.cuh` and `.cu` under kernels/, by path from the project's root, without comments.
std::map<std::string, std::string> kernel_sources() {
  const std::filesystem::path root = QMSE_SOURCE_DIR;
  std::map<std::string, std::string> sources;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "kernels")) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".cuh" || extension == ".cu") {
      sources[entry.path().lexically_relative(root).string()] = simt::without_comments(read(entry.path()));
    }
  }
  REQUIRE(sources.count("kernels/reduce/reduce.cuh") == 1);
  return sources;
}

// (path from the root, kernel as written) of every launch from under kernels/; launches by the tests
// themselves do not count.
std::set<std::pair<std::string, std::string>> noted_launches(const std::string& file) {
  std::set<std::pair<std::string, std::string>> launches;
  std::istringstream lines(read(file));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t tab = line.find('\t');
    REQUIRE(tab != std::string::npos);
    // What comes before depends on how the compiler was called: ccache may make it relative to the build.
    const std::size_t folder = ("/" + line.substr(0, tab)).rfind("/kernels/");
    if (folder != std::string::npos)
      launches.emplace(line.substr(folder, tab - folder), line.substr(tab + 1));
  }
  return launches;
}

}  // namespace

// Run by ctest after all others, which have written what they launched to QMSE_SIMT_COVERAGE.
TEST_CASE("simt: every kernel is launched", "[.][coverage]") {
  const char* file = std::getenv("QMSE_SIMT_COVERAGE");
  REQUIRE(file != nullptr);
  const auto launches = noted_launches(file);
  std::set<std::string> launched;
  for (const auto& [path, kernel] : launches) launched.insert(simt::base_name(kernel));

  std::map<std::string, std::string> homes;
  for (const auto& [path, text] : kernel_sources()) {
    for (const std::string& kernel : simt::global_functions(text)) {
      INFO("kernel " << kernel << " of " << path << ": launch it in tests/simt through its launch planning");
      CHECK(launched.count(kernel) == 1);
      INFO("also in " << homes[kernel] << ": kernels need names of their own");
      CHECK((homes[kernel].empty() || homes[kernel] == path));
      homes[kernel] = path;
    }
    for (const std::string& kernel : simt::launched_kernels(text)) {
      INFO("launch of " << kernel << " in " << path << ": no SIMT test comes by");
      CHECK(launches.count({path, kernel}) == 1);
    }
  }
}

TEST_CASE("simt: kernel sources keep to the subset") {
  for (const auto& [path, text] : kernel_sources()) {
    for (const std::string& violation : simt::subset_violations(text)) {
      FAIL_CHECK(path << ", " << violation);
    }
  }
}

TEST_CASE("simt: comments and strings are left out of sources") {
  CHECK(simt::without_comments("a // __global__\nb") == "a              \nb");
  CHECK(simt::without_comments("a /* x\ny */ b") == "a     \n     b");
  CHECK(simt::without_comments("a(\"// \\\" (\") + 1'000 + '\"' // c") ==
        "a(\"       \") + 1'000 + ' '     ");
  CHECK(simt::without_comments("/* open").size() == 7);
  CHECK(simt::without_comments("a = \"open").size() == 9);
}

TEST_CASE("simt: global functions are found in sources") {
  CHECK(simt::global_functions("template <class T, int n>\n__global__ void __launch_bounds__((n) * 32, 2)\n"
                               "sum_kernel(const T* x) { f(x); }") == Strings{"sum_kernel"});
  CHECK(simt::global_functions("__global__ void a(int);static __global__ __launch_bounds__(8) void b ();") ==
        Strings{"a", "b"});
  CHECK(simt::global_functions("template <> __global__ void k<Pair<int, 2>>(int)") == Strings{"k"});
  CHECK(simt::global_functions("int __global__x(int); void my__global__(int);").empty());
  CHECK(simt::global_functions("__global__").empty());
}

TEST_CASE("simt: launches are found in sources") {
  CHECK(simt::launched_kernels(
            "launch(QMSE_KERNEL(a), s); launch(QMSE_KERNEL( b<Pair<int, 2>,\n    (1 + 2)> ), s);") ==
        Strings{"a", "b<Pair<int, 2>, (1 + 2)>"});
  CHECK(simt::launched_kernels("NOT_QMSE_KERNEL(a)").empty());
  CHECK(simt::base_name("qmse::loss_kernel<Mse<float>, 4>") == "loss_kernel");
  CHECK(simt::base_name("k") == "k");
  CHECK(simt::base_name("&k<1> ") == "k");
}

TEST_CASE("simt: what leaves the subset is found in sources") {
  CHECK(simt::subset_violations("k<<<1, 2>>>(x);").size() == 1);
  CHECK(simt::subset_violations("\n__shared__ float x[32];") ==
        Strings{"line 2: __shared__ memory that is neither a SharedArray nor dynamic_shared()"});
  CHECK(simt::subset_violations("extern __shared__ float x[];").size() == 1);
  CHECK(simt::subset_violations(
            "__shared__ SharedArray<float, 32> a;\n__shared__\n qmse::SharedArray <int, 2> b;")
            .empty());
}
