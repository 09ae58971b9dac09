#include "base/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/input_file.h"
#include "engine/dtype.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::mentions;
using test::read_bytes;
using test::TempDirectory;
using test::write_bytes;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

template <class Action>
std::string io_error(Action action) {
  return test::message_of<IoError>(action);
}

TEST_CASE("atomic_file: creates and replaces, and leaves nothing else") {
  const TempDirectory folder;
  const fs::path path = folder / "config.json";
  write_file_atomically(path, "first");
  CHECK(read_bytes(path) == "first");
  write_file_atomically(path, "");
  CHECK(read_bytes(path).empty());
  const std::string large(3'000'001, 'x');
  write_file_atomically(path, large);
  CHECK(read_bytes(path) == large);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"config.json"});
}

TEST_CASE("atomic_file: the former content stays until commit, and without commit") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  write_bytes(path, "former");
  {
    AtomicFile file(path);
    file.write("new", 3);
    CHECK(read_bytes(path) == "former");
  }
  CHECK(read_bytes(path) == "former");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("atomic_file: takes over the temporary of a killed process") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  write_bytes(path, "former");
  write_bytes(folder / "file.tmp", "half of something much longer");
  write_file_atomically(path, "new");
  CHECK(read_bytes(path) == "new");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("atomic_file: a process killed while writing leaves the former file") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  write_bytes(path, "former");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    AtomicFile file(path);
    file.write("half", 4);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(read_bytes(path) == "former");
  write_file_atomically(path, "new");
  CHECK(read_bytes(path) == "new");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("atomic_file: concurrent writers of one path never mix") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&path, t] {
      for (int round = 0; round < 10; ++round) {
        AtomicFile file(path);
        const std::string piece(1000, static_cast<char>('a' + t));
        for (int i = 0; i < 20; ++i) file.write(piece.data(), piece.size());
        file.commit();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string content = read_bytes(path);
  CHECK(content.size() == 20'000);
  CHECK(content.find_first_not_of(content.front()) == std::string::npos);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("atomic_file: links and pipes in the temporary's place are removed, and what they name stays") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  write_bytes(folder / "precious", "precious");
  const auto write = [&] {
    write_file_atomically(path, "new");
    CHECK(read_bytes(path) == "new");
    CHECK(fs::is_regular_file(fs::symlink_status(path)));
    CHECK(fs::hard_link_count(path) == 1);
    CHECK(read_bytes(folder / "precious") == "precious");
    CHECK_FALSE(fs::exists(folder / "file.tmp"));
    fs::remove(path);
  };
  fs::create_symlink(folder / "precious", folder / "file.tmp");
  write();
  fs::create_symlink(folder / "none", folder / "file.tmp");
  write();
  fs::create_hard_link(folder / "precious", folder / "file.tmp");
  write();
  REQUIRE(::mkfifo((folder / "file.tmp").c_str(), 0600) == 0);
  write();
  CHECK(names_in(folder.path()) == std::vector<std::string>{"precious"});
}

TEST_CASE("atomic_file: follows a link to the file it names") {
  const TempDirectory folder;
  fs::create_directory(folder / "real");
  write_bytes(folder / "real" / "file", "former");
  fs::create_symlink(folder / "real" / "file", folder / "link");
  write_file_atomically(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_bytes(folder / "real" / "file") == "new");
}

TEST_CASE("atomic_file: refuses what it cannot replace") {
  const TempDirectory folder;
  fs::create_directory(folder / "sub");
  CHECK(mentions(io_error([&] { write_file_atomically(folder / "sub", "x"); }), "is a directory"));
  CHECK(mentions(io_error([&] { write_file_atomically(folder / "missing" / "file", "x"); }),
                 "create its folder first"));
  write_bytes(folder / "plain", "x");
  const std::string below_a_file = io_error([&] { write_file_atomically(folder / "plain" / "file", "x"); });
  CHECK(mentions(below_a_file, "plain/file"));
  CHECK(mentions(below_a_file, "a part of the path is a file"));
  // A device must never be renamed over, whoever asks.
  CHECK(mentions(io_error([&] { write_file_atomically("/dev/full", "x"); }), "not a regular file"));
  CHECK(mentions(io_error([&] { write_file_atomically(folder.path() / "", "x"); }), "is a directory"));
  CHECK(mentions(io_error([&] { write_file_atomically("", "x"); }), "no file name"));
  CHECK(mentions(io_error([&] { write_file_atomically(folder / std::string(400, 'n'), "x"); }),
                 "cannot write"));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"plain", "sub"});
}

TEST_CASE("atomic_file: a folder without write permission is an error") {
  const TempDirectory folder;
  fs::create_directory(folder / "sub");
  fs::permissions(folder.path(), fs::perms{0755});
  fs::permissions(folder / "sub", fs::perms{0555});
  const bool root = ::geteuid() == 0;  // root ignores permissions: act as nobody
  if (root) REQUIRE(::seteuid(65534) == 0);
  const std::string message = io_error([&] { write_file_atomically(folder / "sub" / "file", "x"); });
  if (root) REQUIRE(::seteuid(0) == 0);
  INFO(message);
  CHECK(mentions(message, "check the permissions"));
  CHECK(fs::is_empty(folder / "sub"));
}

TEST_CASE("atomic_file: a disk that fills up leaves the former file and no temporary") {
  const TempDirectory folder;
  const fs::path path = folder / "file";
  write_bytes(path, "former");
  // A limit on the size of files stands in for the full disk: write() fails part of the way in the
  // same manner.
  struct rlimit former {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &former) == 0);
  const auto former_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = former;
  small.rlim_cur = 10'000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = io_error([&] { write_file_atomically(path, std::string(20'000, 'x')); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &former) == 0);
  std::signal(SIGXFSZ, former_handler);
  INFO(message);
  CHECK(mentions(message, "ulimit -f"));
  CHECK(read_bytes(path) == "former");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file"});
}

TEST_CASE("input_file: reads at offsets and refuses what is no readable file") {
  const TempDirectory folder;
  write_bytes(folder / "file", "0123456789");
  const InputFile file(folder / "file");
  CHECK(file.size() == 10);
  char bytes[3] = {};
  file.read(7, bytes, 3);
  CHECK(std::string(bytes, 3) == "789");
  CHECK(mentions(io_error([&] { file.read(8, bytes, 3); }), "ends at byte 10"));
  CHECK(mentions(io_error([&] { InputFile missing(folder / "missing"); }), "check the path"));
  CHECK(mentions(io_error([&] { InputFile directory(folder.path()); }), "is a directory"));
  CHECK(mentions(io_error([&] { InputFile device("/dev/null"); }), "not a regular file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(mentions(io_error([&] { InputFile pipe(folder / "pipe"); }), "not a regular file"));
}

TEST_CASE("in_quotes: keeps messages on one line") {
  CHECK(in_quotes("a b") == "'a b'");
  CHECK(in_quotes("a\nb\x01") == "'a\\x0ab\\x01'");
  CHECK(in_quotes(std::string(301, 'x')) == "'" + std::string(300, 'x') + "...'");
}

TEST_CASE("dtype: sizes, names and C++ types agree") {
  CHECK(size_of(dtype_of<float>()) == sizeof(float));
  CHECK(size_of(dtype_of<double>()) == sizeof(double));
  CHECK(size_of(dtype_of<std::int32_t>()) == sizeof(std::int32_t));
  CHECK(size_of(dtype_of<std::int64_t>()) == sizeof(std::int64_t));
  CHECK(size_of(dtype_of<std::uint8_t>()) == sizeof(std::uint8_t));
  CHECK(name(dtype_of<float>()) == "f32");
  CHECK(name(dtype_of<double>()) == "f64");
  CHECK(name(dtype_of<std::int32_t>()) == "i32");
  CHECK(name(dtype_of<std::int64_t>()) == "i64");
  CHECK(name(dtype_of<std::uint8_t>()) == "u8");
}

}  // namespace
}  // namespace qmse
