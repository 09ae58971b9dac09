// Downloading from servers that truncate, stall and lie. Everything is on 127.0.0.1.
#include "data/fetch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>

#include "base/build_config.h"
#include "base/error.h"
#include "data/archive.h"
#include "data/registry.h"
#include "data/sha256.h"
#include "tests/data/tar_bytes.h"
#include "tests/data/tiny_idx.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/local_server.h"

namespace qmse {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using test::LocalServer;
using test::message_of;
using test::missing;
using test::read_bytes;
using test::Request;
using test::TempDirectory;
using test::write_bytes;

TEST_CASE("fetch: every official data set has a plan, one's own has none") {
  for (const std::string& name : dataset_names()) {
    if (dataset_info(name).is_own()) {
      CHECK_THROWS_AS(fetch_plan(name), ConfigError);
      continue;
    }
    const FetchPlan plan = fetch_plan(name);
    CHECK_FALSE(plan.set.files.empty());
    CHECK(plan.folder == dataset_info(name).folder);
    CHECK(plan.mirror.starts_with("http"));
    CHECK(plan.mirror.ends_with('/'));
  }
  CHECK_THROWS_AS(fetch_plan("cifar"), ConfigError);
}

#if QMSE_DATA_TOOLS

// Proxies of the machine's environment would stand between the tests and their servers.
struct NoProxy {
  NoProxy() {
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"})
      ::unsetenv(name);
  }
};

struct World : NoProxy {
  World() {
    options.stall = std::chrono::seconds(20);
    options.pause = std::chrono::milliseconds(0);
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 3);
  }
  fs::path file() const { return folder / "file"; }
  Downloaded get(const LocalServer& server) const { return download(server.url("/x"), file(), options); }
  std::string message(const LocalServer& server) const {
    return message_of<IoError>([&] { get(server); });
  }

  TempDirectory folder;
  DownloadOptions options;
  std::string content = std::string(300'000, '\0');
};

TEST_CASE("download: a whole file, with progress") {
  World world;
  std::uint64_t done = 0, total = 0;
  world.options.progress = [&](std::uint64_t d, std::uint64_t t) {
    done = d;
    total = t;
  };
  const LocalServer server([&](const Request&) { return Answer{.body = world.content}; });
  CHECK_FALSE(world.get(server).resumed);
  CHECK((read_bytes(world.file()) == world.content));
  CHECK(done == world.content.size());
  CHECK(total == world.content.size());
  CHECK(server.requests().size() == 1);
}

TEST_CASE("download: connections that break are taken up where they broke, if the server can") {
  for (const bool ranges : {true, false}) {
    CAPTURE(ranges);
    World world;
    std::atomic<int> left = 3;
    const LocalServer server([&](const Request&) {
      return Answer{.body = world.content, .ranges = ranges, .cut = left-- > 0 ? 50'000 : std::string::npos};
    });
    world.get(server);
    CHECK((read_bytes(world.file()) == world.content));
    const std::vector<Request> requests = server.requests();
    CHECK(requests[1].from == 50'000);
    if (ranges) CHECK(requests.back().from == 150'000);
    if (!ranges) CHECK(requests.back().from == 0);
  }
}

TEST_CASE("download: a later call goes on with what an earlier one left") {
  World world;
  const LocalServer server([&](const Request&) { return Answer{.body = world.content}; });
  write_bytes(world.file(), world.content.substr(0, 1000));
  CHECK(world.get(server).resumed);
  CHECK((read_bytes(world.file()) == world.content));
  CHECK(server.requests().at(0).from == 1000);
  // Nothing is missing, or there is more than the server has: from the beginning.
  for (const std::string more : {"", "xyz"}) {
    write_bytes(world.file(), world.content + more);
    CHECK_FALSE(world.get(server).resumed);
    CHECK((read_bytes(world.file()) == world.content));
  }
}

TEST_CASE("download: a server that always breaks off or fails is left after the last attempt") {
  World world;
  world.options.attempts = 3;
  {
    const LocalServer server([&](const Request& request) {
      return Answer{.body = world.content, .cut = request.from > 0 ? std::size_t{0} : 1000};
    });
    CHECK(missing(world.message(server),
                  {"cannot download 'http://127.0.0.1", "attempt 3", "goes on from here"}) == "");
    CHECK(server.requests().size() == 3);
    CHECK(read_bytes(world.file()).size() == 1000);
  }
  fs::remove(world.file());
  const LocalServer busy([&](const Request&) { return Answer{.status = 503, .body = "later"}; });
  CHECK(missing(world.message(busy), {"503", "attempt 3"}) == "");
  CHECK(busy.requests().size() == 3);
  CHECK(read_bytes(world.file()) == "");
}

TEST_CASE("download: a server that stalls is left, and the next attempt goes on") {
  World world;
  world.options.stall = std::chrono::milliseconds(300);
  std::atomic<bool> first = true;
  const LocalServer server([&](const Request&) {
    const bool stall = first.exchange(false);
    return Answer{.body = world.content, .cut = stall ? 7000 : std::string::npos, .stall = stall};
  });
  world.get(server);
  CHECK((read_bytes(world.file()) == world.content));
  CHECK(server.requests().back().from == 7000);

  world.options.attempts = 1;
  fs::remove(world.file());
  first = true;
  CHECK(missing(world.message(server), {"sent nothing for 300 ms", "goes on from here"}) == "");
}

TEST_CASE("download: a file that is not there, a host that is not there") {
  World world;
  {
    const LocalServer server([](const Request&) { return Answer{.status = 404, .body = "no such page"}; });
    CHECK(missing(world.message(server), {"404", "check the address", "--mirror"}) == "");
    CHECK(server.requests().size() == 1);
    CHECK(read_bytes(world.file()) == "");
  }
  std::string gone;
  {
    const LocalServer server([](const Request&) { return Answer{}; });
    gone = server.url("/x");
  }
  CHECK(missing(message_of<IoError>([&] { download(gone, world.file(), world.options); }),
                {"check the network", "--mirror"}) == "");
  CHECK(missing(message_of<IoError>([&] { download("file:///etc/passwd", world.file(), world.options); }),
                {"file"}) == "");
  CHECK(missing(message_of<IoError>([&] { download("http://", world.file(), world.options); }),
                {"http://"}) == "");
}

TEST_CASE("download: redirections are followed, to http and https only") {
  World world;
  std::string place = "/y";
  const LocalServer server([&](const Request& request) {
    if (request.target == "/y") return Answer{.body = "moved"};
    return Answer{.status = 302, .location = place};
  });
  world.get(server);
  CHECK(read_bytes(world.file()) == "moved");
  for (const char* elsewhere : {"file:///etc/passwd", "/x"}) {
    fs::remove(world.file());
    place = elsewhere;
    CHECK_THROWS_AS(world.get(server), IoError);
  }
}

TEST_CASE("download: no more than the limit, and a stop in the middle") {
  World world;
  world.options.most_bytes = 100'000;
  const LocalServer server([&](const Request&) { return Answer{.body = world.content}; });
  CHECK(missing(world.message(server), {"more than 100000 bytes"}) == "");
  CHECK(read_bytes(world.file()) == "");

  const LocalServer stalling(
      [&](const Request&) { return Answer{.body = world.content, .cut = 5000, .stall = true}; });
  world.options.most_bytes = 1'000'000;
  world.options.stop = [&] { return fs::file_size(world.file()) > 0; };
  CHECK(missing(world.message(stalling), {"stopped", "goes on from here"}) == "");
  CHECK(read_bytes(world.file()).size() == 5000);
}

TEST_CASE("download: a full disk is an error with its cause") {
  const World world;
  const LocalServer server([&](const Request&) { return Answer{.body = world.content}; });
  CHECK(missing(message_of<IoError>([&] { download(server.url(), "/dev/full", world.options); }),
                {"cannot write '/dev/full'", "No space"}) == "");
  CHECK(missing(message_of<IoError>([&] { download(server.url(), world.folder / "no/such", world.options); }),
                {"cannot write"}) == "");
}

TEST_CASE("download: the proxy of the environment is asked") {
  World world;
  const LocalServer proxy([](const Request&) { return Answer{.body = "by proxy"}; });
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  download("http://mirror.invalid/x", world.file(), world.options);
  ::unsetenv("http_proxy");
  CHECK(read_bytes(world.file()) == "by proxy");
  CHECK(proxy.requests().at(0).target == "http://mirror.invalid/x");
}

TEST_CASE("archive: wanted files are unpacked, all else stays out") {
  const TempDirectory folder;
  const std::string large(200'000, 'q');
  const std::string tar = test::tar_bytes({{"set/a.bin", large},
                                           {"set/readme.html", "no"},
                                           {"../escape", "no"},
                                           {"/etc/escape", "no"},
                                           {"set/b.txt", "b"}});
  write_bytes(folder / "x.tar.gz", test::gzip(tar));
  fs::create_directories(folder / "to");
  const auto unpack = [&](const std::vector<std::string>& names, std::uint64_t most = 1 << 20) {
    unpack_tar(folder / "x.tar.gz", names, most, folder / "to");
  };
  const auto message = [&](const std::vector<std::string>& names, std::uint64_t most = 1 << 20) {
    return message_of<DataError>([&] { unpack(names, most); });
  };
  unpack({"set/a.bin", "set/b.txt"});
  CHECK(read_bytes(folder / "to/a.bin") == large);
  CHECK(read_bytes(folder / "to/b.txt") == "b");
  CHECK(std::distance(fs::directory_iterator(folder / "to"), fs::directory_iterator()) == 2);
  CHECK_FALSE(fs::exists(folder / "escape"));
  CHECK(missing(message({"set/c.bin"}), {"x.tar.gz", "'set/c.bin'"}) == "");
  CHECK(missing(message({"set/a.bin"}, 1000), {"'set/a.bin'", "too large"}) == "");
  const std::string whole = read_bytes(folder / "x.tar.gz");
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{15}, whole.size() / 2, whole.size() - 12}) {
    CAPTURE(bytes);
    write_bytes(folder / "x.tar.gz", whole.substr(0, bytes));
    CHECK(missing(message({"set/a.bin", "set/b.txt"}), {"x.tar.gz", "fetch it again"}) == "");
  }
  write_bytes(folder / "x.tar.gz", "<html>not found</html>" + std::string(2000, ' '));
  CHECK(missing(message({"set/a.bin"}), {"x.tar.gz"}) == "");
}

// A data set of two files, from an archive or one by one.
struct Fetching : World {
  explicit Fetching(bool archive) {
    for (std::size_t i = 0; i < 2; ++i) shas[i] = sha256(files[i]);
    known[0] = {"one", shas[0].c_str(), files[0].size()};
    known[1] = {"two", shas[1].c_str(), files[1].size()};
    plan = {{known}, "tiny-bin", "", archive ? "tiny.tar.gz" : ""};
    if (archive) plan.set.class_names = class_names;
  }
  // What an honest mirror has under `target`.
  Answer honest(const Request& request) const {
    if (request.target == "/tiny.tar.gz") {
      return Answer{
          .body = test::gzip(test::tar_bytes(
              {{"tiny-bin/one", files[0]}, {"tiny-bin/names.txt", "a\n"}, {"tiny-bin/two", files[1]}}))};
    }
    if (request.target == "/one.gz") return Answer{.body = test::gzip(files[0])};
    if (request.target == "/two.gz") return Answer{.body = test::gzip(files[1])};
    return Answer{.status = 404};
  }
  fs::path fetch(const LocalServer& server) {
    plan.mirror = server.url();
    return fetch_dataset(plan, folder / "out", options, {});
  }
  std::string remains() const {  // what lies in the destination
    std::string names;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "out"))
      names += entry.path().lexically_relative(folder / "out").string() + " ";
    return names;
  }

  std::string files[2] = {std::string(100'000, '1') + "x", "the second"};
  std::string shas[2];
  std::string names_sha = sha256("a\n");
  KnownFile known[2];
  KnownNames class_names[1] = {{"names.txt", names_sha.c_str()}};
  FetchPlan plan;
};

TEST_CASE("fetch: from an archive and file by file, a second time nothing is loaded") {
  for (const bool archive : {true, false}) {
    CAPTURE(archive);
    Fetching world(archive);
    const LocalServer server([&](const Request& request) { return world.honest(request); });
    const fs::path folder = world.fetch(server);
    CHECK(folder == world.folder / "out/tiny-bin");
    CHECK(fs::exists(folder / (archive ? "one" : "one.gz")));
    CHECK(fs::exists(folder / "names.txt") == archive);
    CHECK_FALSE(fs::exists(world.folder / "out/.fetch-tiny-bin"));
    const std::size_t requests = server.requests().size();
    CHECK(world.fetch(server) == folder);
    CHECK(server.requests().size() == requests);
  }
}

TEST_CASE("fetch: a mirror that gives something else leaves nothing behind") {
  for (const bool archive : {true, false}) {
    CAPTURE(archive);
    Fetching world(archive);
    const std::vector<std::function<Answer(Answer)>> lies = {
        [](Answer answer) {  // another content in the right form
          answer.body = test::gzip(
              test::tar_bytes({{"tiny-bin/one", "1"}, {"tiny-bin/two", "2"}, {"tiny-bin/names.txt", ""}}));
          return answer;
        },
        [](Answer answer) {  // less than there is, announced as all
          answer.body.resize(answer.body.size() - 9);
          return answer;
        },
        [](Answer answer) {
          answer.body = "<html>Sign in to this network</html>" + std::string(1000, ' ');
          return answer;
        },
        [](Answer answer) {
          answer.announced = static_cast<std::int64_t>(answer.body.size() / 2);
          return answer;
        },
        [](Answer answer) {
          answer.body[answer.body.size() / 2] = static_cast<char>(answer.body[answer.body.size() / 2] ^ 1);
          return answer;
        },
    };
    for (std::size_t i = 0; i < lies.size(); ++i) {
      CAPTURE(i);
      const LocalServer server([&](const Request& request) { return lies[i](world.honest(request)); });
      const std::string message = message_of<DataError>([&] { world.fetch(server); });
      CHECK(missing(message, {"not the official data set", "nothing was kept", "--mirror"}) == "");
      CHECK(world.remains() == "");
      CHECK(server.requests().size() == (archive ? 1 : 2));
    }
    const LocalServer server([&](const Request& request) { return world.honest(request); });
    CHECK(fs::exists(world.fetch(server)));
  }
}

TEST_CASE("fetch: an interrupted one goes on, and starts again where the beginning was of something else") {
  for (const bool archive : {true, false}) {
    CAPTURE(archive);
    Fetching world(archive);
    world.options.attempts = 1;
    {
      const LocalServer breaking([&](const Request& request) {
        Answer answer = world.honest(request);
        answer.cut = 40;
        return answer;
      });
      CHECK_THROWS_AS(world.fetch(breaking), IoError);
    }
    CHECK(world.remains().find(".fetch-tiny-bin") == 0);
    CHECK_FALSE(fs::exists(world.folder / "out/tiny-bin"));
    const LocalServer server([&](const Request& request) { return world.honest(request); });
    const fs::path folder = world.fetch(server);
    CHECK(server.requests().at(0).from == 40);
    CHECK(world.remains().find(".fetch") == std::string::npos);

    fs::remove_all(folder);
    fs::create_directories(world.folder / "out/.fetch-tiny-bin");
    write_bytes(world.folder / "out/.fetch-tiny-bin" / (archive ? "tiny.tar.gz.part" : "one.gz.part"),
                "foreign");
    CHECK(world.fetch(server) == folder);
    CHECK(server.requests().back().from == 0);
  }
}

TEST_CASE("fetch: a complete archive is not fetched again after a failure of unpacking") {
  Fetching world(true);
  const LocalServer server([&](const Request& request) { return world.honest(request); });
  const fs::path unpacked = world.folder / "out/.fetch-tiny-bin/unpacked";
  fs::create_directories(unpacked / "two");  // where a file has to go
  write_bytes(unpacked / "two/x", "");
  CHECK_THROWS_AS(world.fetch(server), IoError);
  CHECK(server.requests().size() == 1);
  fs::remove_all(unpacked / "two");
  CHECK(fs::exists(world.fetch(server) / "two"));
  CHECK(server.requests().size() == 1);
}

TEST_CASE("fetch: a complete archive that an earlier call left is checked and replaced where it is wrong") {
  Fetching world(true);
  const LocalServer server([&](const Request& request) { return world.honest(request); });
  fs::create_directories(world.folder / "out/.fetch-tiny-bin");
  write_bytes(world.folder / "out/.fetch-tiny-bin/tiny.tar.gz", "foreign");
  CHECK(fs::exists(world.fetch(server) / "two"));
  CHECK(server.requests().size() == 1);
}

TEST_CASE("fetch: a target that cannot be made is noticed before the download") {
  Fetching world(true);
  const LocalServer server([&](const Request& request) { return world.honest(request); });
  fs::create_directories(world.folder / "out");
  fs::create_symlink("nowhere", world.folder / "out/tiny-bin");
  CHECK(missing(message_of<ConfigError>([&] { world.fetch(server); }), {"out/tiny-bin' is there already"}) ==
        "");
  fs::remove(world.folder / "out/tiny-bin");
  const std::string long_name(300, 'x');
  world.plan.folder = long_name;  // the staging folder's name is too long too: any failure counts
  CHECK_THROWS_AS(world.fetch(server), IoError);
  CHECK(server.requests().empty());
}

TEST_CASE("fetch: links in the place of its own folder and files are not followed") {
  Fetching world(true);
  const LocalServer server([&](const Request& request) { return world.honest(request); });
  const fs::path staging = world.folder / "out/.fetch-tiny-bin";
  fs::create_directories(world.folder / "out");
  fs::create_directories(world.folder / "elsewhere");
  write_bytes(world.folder / "elsewhere/precious", "");
  fs::create_directory_symlink(world.folder / "elsewhere", staging);
  CHECK(missing(message_of<IoError>([&] { world.fetch(server); }), {".fetch-tiny-bin", "symbolic link"}) ==
        "");
  CHECK(fs::exists(world.folder / "elsewhere/precious"));
  fs::remove(staging);
  fs::create_directories(staging);
  write_bytes(world.folder / "elsewhere/precious", "precious");
  fs::create_hard_link(world.folder / "elsewhere/precious", staging / "tiny.tar.gz.part");
  CHECK(fs::exists(world.fetch(server)));
  CHECK(read_bytes(world.folder / "elsewhere/precious") == "precious");
}

TEST_CASE("fetch: what is there already and another fetch are respected") {
  Fetching world(true);
  const LocalServer server([&](const Request& request) { return world.honest(request); });
  fs::create_directories(world.folder / "out/tiny-bin");
  write_bytes(world.folder / "out/tiny-bin/one", "mine");
  CHECK(missing(message_of<ConfigError>([&] { world.fetch(server); }),
                {"out/tiny-bin' is there already", "move it away"}) == "");
  CHECK(read_bytes(world.folder / "out/tiny-bin/one") == "mine");
  fs::remove_all(world.folder / "out/tiny-bin");
  const fs::path staging = world.folder / "out/.fetch-tiny-bin";
  fs::create_directories(staging);
  const int other = ::open(staging.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(::flock(other, LOCK_EX) == 0);
  CHECK(missing(message_of<IoError>([&] { world.fetch(server); }), {"another qmse is fetching"}) == "");
  ::close(other);
  CHECK(server.requests().empty());
  CHECK(fs::exists(world.fetch(server)));
}

#else

TEST_CASE("fetch: a build without libcurl says so") {
  std::cout << "[skipped: the tests of downloads; this build has no libcurl]\n";
  CHECK(missing(message_of<ConfigError>([] { fetch_dataset(fetch_plan("mnist"), "x", {}); }),
                {"built without libcurl"}) == "");
}

#endif

}  // namespace
}  // namespace qmse
