#include "experiment/report/report.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "experiment/report/html.h"
#include "experiment/report/run_summary.h"
#include "experiment/run/file_lock.h"
#include "tests/support/error_message.h"
#include "tests/support/run_folders.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// What tests/experiment/report/check_page.py says of the file.
std::string page_check(const std::filesystem::path& file) {
  const TempDirectory folder;
  const std::string command = "python3 " QMSE_SOURCE_DIR "/tests/experiment/report/check_page.py '" +
                              file.string() + "' > " + (folder / "out").string() + " 2>&1";
  const int status = std::system(command.c_str());
  return read_bytes(folder / "out") + (status == 0 ? "" : "failed");
}

struct World {
  World() {
    for (const char* loss : {"mse", "qmse"}) {
      for (const int seed : {1, 2}) {
        write_run(folder / (std::string(loss) + "-" + std::to_string(seed)), {{"loss", loss}, {"seed", seed}},
                  {0.5, seed == 1 ? 0.75 : 0.25});
      }
    }
  }
  std::string page(ReportRequest request = {}) const {
    request.folder = folder.path();
    request.out = out / "page.html";
    write_report(request);
    return read_bytes(request.out);
  }

  TempDirectory folder, out;
};

}  // namespace

TEST_CASE("report: one well-formed page that loads nothing, with tables, figures, settings and environment") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  const std::string page = world.page();
  CHECK(page_check(world.out / "page.html") == "good\n");
  for (const char* part :
       {"4 training runs in 2 groups", "<svg", "class=\"legend\"", "<table>", "The best setting of each",
        "50.00 ± 35.36", "62.50 ± 17.68", "mse-1", "finished", "batch_size", "images per step", "zlib",
        "What these words mean", "Cross-entropy"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  CHECK_FALSE(contains(page, "class=\"warning\""));
  // As a file of its own, below the folder where no other place is given.
  write_report({.folder = world.folder.path()});
  CHECK(read_bytes(world.folder / "report.html") == page);
}

TEST_CASE("report: hostile names and titles are shown, not obeyed") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  const std::string hostile = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;]]>-->";
  write_run(world.folder / "<b-hostile a='\"'>",
            {{"activation", hostile}, {"model", "mlp"}, {"dataset", hostile}}, {0.5});
  Figure figure{hostile, {{hostile, hostile, hostile, {{hostile, {1, 2}, {1, 2}}}}}, 1, hostile};
  const std::string page =
      world.page({.title = hostile + "\xff",
                  .sections = {{hostile, {hostile}, {{{hostile, "x"}, {{hostile, hostile}}}}, {figure}}}});
  CHECK(page_check(world.out / "page.html") == "good\n");
  CHECK(contains(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
  CHECK(page.find("<script") == page.rfind("<script"));  // the page's own, which check_page.py knows
  CHECK_FALSE(contains(page, "<img src=x"));
}

TEST_CASE("report: sections given come first, a row that does not fit is a ShapeError") {
  if (!has_program("gnuplot")) return;
  const World world;
  const std::string page =
      world.page({.sections = {{"The claims", {"It holds."}, {{{"claim", "holds"}, {{"1", "yes"}}}}}}});
  CHECK(contains(page, "The claims"));
  CHECK(page.find("It holds.") < page.find(">Results</h2>"));
  CHECK(missing(message_of<ShapeError>([&] {
                  world.page({.sections = {{"x", {}, {{{"a", "b"}, {{"only"}}}}}}});
                }),
                {"2 columns", "'only'"}) == "");
}

TEST_CASE("report: warnings come first, and results that the sections have are not shown again") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  const ReportSection section{.title = "Mine", .paragraphs = {"It holds."}, .warning = "Only <5 %> of it."};
  const std::string page = world.page({.sections = {section}, .own_results = true});
  CHECK(page_check(world.out / "page.html") == "good\n");
  CHECK(page.find("class=\"warning\">Only &lt;5 %&gt; of it.") < page.find("It holds."));
  std::size_t at = 0;
  for (const char* title : {"Mine", "What these words mean", "Every run", "Settings", "Environment"}) {
    CAPTURE(title);
    const std::size_t entry = page.find(std::string("\">") + title + "</a>", at);
    CHECK(entry != std::string::npos);
    at = entry;
  }
  CHECK_FALSE(contains(page, ">Results<"));
  CHECK_FALSE(contains(page, "<img"));
  CHECK(contains(world.page({.sections = {section}}), ">Results<"));
}

TEST_CASE("report: what is unfinished, damaged or there twice is said") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  write_run(world.folder / "stopped", {{"seed", 3}, {"epochs", 2}}, {0.99}, false);
  write_run(world.folder / "again", {{"seed", 1}, {"loss", "mse"}}, {0.5, 0.75});
  write_run(world.folder / "broken", {}, {0.5});
  write_bytes(world.folder / "broken/metrics.jsonl", "nonsense\n");
  const std::string page = world.page();
  CHECK(page_check(world.out / "page.html") == "good\n");
  for (const char* part : {"Of the runs, 1 of 6 not finished.", "1 run could not be read",
                           "1 run had the settings and seeds", "interrupted after 1 of 2 epochs",
                           "cannot be read: ", "repeats another run", "1 of 3 not finished"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  CHECK(contains(page, "50.00 ± 35.36"));  // without the unfinished one
}

TEST_CASE("report: runs on different images are different groups, and the page says on which") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  for (const char* hash : {"aa11", "bb22", "cc33"}) {
    const std::filesystem::path run = world.folder / hash;
    write_run(run, {{"loss", "mse"}, {"dataset", "folder"}, {"data", "/same"}}, {0.5, 0.5});
    write_bytes(run / "environment.json",
                Json{{"data",
                      {{"name", "folder"},
                       {"sha256", hash},
                       {"content", "images of one's own"},
                       {"images", {{"train", 123}, {"test", 45}, {"shape", {3, 8, 8}}}}}}}
                    .dump());
  }
  const std::string page = world.page();
  CHECK(page_check(world.out / "page.html") == "good\n");
  CHECK(contains(page, "7 training runs in 5 groups"));
  CHECK_FALSE(contains(page, "settings and seeds of another run"));
  for (const char* part : {"data aa11", "data bb22", "data cc33", ">123<", ">[3,8,8]<", "/same"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
}

TEST_CASE("report: what is too much to be looked at is left out, and said") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const TempDirectory folder;
  for (int i = 0; i < 2100; ++i)
    write_run(folder / std::to_string(i), {{"lr", 1e-6 * (i + 1)}}, {0.0001 * i});
  write_report({.folder = folder.path()});
  const std::string page = read_bytes(folder / "report.html");
  CHECK(page_check(folder / "report.html") == "good\n");
  for (const char* part :
       {"2100 training runs in 2100 groups", "shows 500 of 2100 groups",
        "Panels show 8 of their groups of runs at most", "The first 2000 of 2100 runs", "2100 values: "}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  CHECK(contains(page, "learning rate 0.0021<"));  // the best
}

TEST_CASE("report: a folder below that cannot be listed is named, and the rest is shown") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  // So deep that its path is too long for the system: nobody can list it, root neither.
  const std::string name(250, 'd');
  int at = ::open(world.folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 18; ++i) {
    REQUIRE(::mkdirat(at, name.c_str(), 0700) == 0);
    const int next = ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(next >= 0);
    ::close(at);
    at = next;
  }
  ::close(at);
  const std::string page = world.page();
  CHECK(page_check(world.out / "page.html") == "good\n");
  CHECK(contains(page, "4 training runs in 2 groups"));
  CHECK(contains(page, "1 run could not be read"));
  CHECK(contains(page, "cannot look for runs in it: File name too long"));
}

TEST_CASE("report: how every run ended is said, beside the means and run by run") {
  if (!has_program("gnuplot") || !has_program("python3")) return;
  const World world;
  const auto ended = [&](const std::string& name, std::uint64_t seed, const RunOutcome& outcome) {
    write_run(world.folder / name, {{"seed", seed}, {"epochs", 2}}, {0.99}, false);
    write_outcome(world.folder / name, outcome);
  };
  ended("x", 3, {.end = RunEnd::diverged, .epoch = 2, .step = 1204, .layer = "fc1", .reason = "not finite"});
  ended("y", 4, {.end = RunEnd::failed, .epoch = 2, .step = 15, .reason = "No space left on <device>"});
  ended("z", 5, {.end = RunEnd::stopped, .epoch = 2, .step = 15});
  ended("w", 6, {.end = RunEnd::none, .epoch = 2, .step = 15});
  const FileLock working = FileLock::try_take(world.folder / "w/.lock");
  const std::string page = world.page();
  CHECK(page_check(world.out / "page.html") == "good\n");
  for (const char* part :
       {"Of the runs, 1 of 8 diverged, 1 of 8 failed, 1 of 8 stopped, 1 of 8 not finished.",
        "1 of 6 diverged, 1 of 6 failed, 1 of 6 stopped, 1 of 6 not finished<",
        "diverged in epoch 2, step 1204, at fc1<",
        "failed after 1 of 2 epochs: No space left on &lt;device&gt;<", "stopped after 1 of 2 epochs<",
        "going on, 1 of 2 epochs<", ">2 finished<", "Thin lines with a cross"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  CHECK(contains(page, "50.00 ± 35.36"));
}

TEST_CASE("report: what all runs took is in seconds, minutes or hours") {
  if (!has_program("gnuplot")) return;
  const TempDirectory folder;
  const auto page = [&] {
    write_report({.folder = folder.path()});
    return read_bytes(folder / "report.html");
  };
  write_run(folder / "a", {{"lr", 0.1}}, {0.5});
  write_run(folder / "b", {{"lr", 0.2}}, {0.5});
  CHECK(page().find("2 epochs and 4 seconds of training") != std::string::npos);
  write_run(folder / "a", {{"lr", 0.1}}, std::vector<double>(99, 0.5));
  CHECK(page().find("100 epochs and 3.33 minutes of training") != std::string::npos);
}

TEST_CASE("report: a folder without a readable run is a DataError, and no page is written") {
  const TempDirectory folder;
  CHECK(missing(message_of<DataError>([&] { write_report({.folder = folder.path()}); }), {"no run"}) == "");
  write_run(folder / "run", {}, {0.5});
  write_bytes(folder / "run/config.json", "{");
  CHECK(missing(message_of<DataError>([&] { write_report({.folder = folder.path()}); }),
                {"no run", "config.json"}) == "");
  CHECK_FALSE(std::filesystem::exists(folder / "report.html"));
}

TEST_CASE("report: runs without an epoch yet have a page without curves") {
  if (!has_program("python3")) return;
  const TempDirectory folder;
  write_run(folder / "run", {{"epochs", 3}}, {}, false);
  {
    const ScopedPath no_gnuplot("/nonexistent");
    write_report({.folder = folder.path()});
  }
  CHECK(page_check(folder / "report.html") == "good\n");
  CHECK(contains(read_bytes(folder / "report.html"), "interrupted after 0 of 3 epochs"));
}

TEST_CASE("summary: mean and sample standard deviation") {
  const auto text = [](const std::vector<double>& values, int decimals) {
    return spread_text(values, MetricUnit{.decimals = decimals});
  };
  CHECK(spread_text(std::vector<double>{0.5, 0.75}, unit_of("test_accuracy")) == "62.50 ± 17.68");
  CHECK(text({1, 2, 6}, 2) == "3.00 ± 2.65");  // sqrt((4 + 1 + 9) / 2)
  CHECK(text({0.5}, 1) == "0.5");
  CHECK(text({}, 1) == "–");
  CHECK(text({1, NAN}, 1) == "not finite");
}

TEST_CASE("summary: final is the last epoch, best the highest, unfinished runs are left out") {
  const TempDirectory folder;
  write_run(folder / "1", {{"seed", 1}}, {0.5, 0.875, 0.75});
  write_run(folder / "2", {{"seed", 2}}, {0.5, 0.25, 0.25});
  write_run(folder / "3", {{"seed", 3}, {"epochs", 3}}, {0.9, 0.9}, false);
  const ReportTable table = summary_table(group_runs(find_runs(folder.path()).runs));
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0] == std::vector<std::string>{"QMSE", "1 of 3 not finished", "51.00 ± 35.36",
                                                  "69.75 ± 26.52", "50.00 ± 35.36", "68.75 ± 26.52",
                                                  "0.5000 ± 0.0000", "0.7500 ± 0.0000"});
}

TEST_CASE("html: a picture within a page is all of it, in base64") {
  for (const auto& [bytes, text] : {std::pair<std::string, std::string>{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foobar", "Zm9vYmFy"},
                                    {"\xff\xfe\xfd", "//79"}}) {  // the first: RFC 4648, section 10
    CHECK(inline_image("image/png", bytes, "a \"b\"") ==
          "<img alt=\"a &quot;b&quot;\" src=\"data:image/png;base64," + text + "\" />");
  }
}

TEST_CASE(
    "report: a table's intervals stand on lines of their own, and its cells are shaded and lead as asked "
    "for") {
  ReportTable table{{"what", "difference"}, {{"a (b)", "+4.00 (−0.30 to +8.30)"}, {"c", "1 of 3 diverged"}}};
  table.caption = "Over <a>";
  table.shades = {{NAN, 0.5}};
  table.links = {"", "#s2"};
  const std::string html = html_table(table);
  CAPTURE(html);
  for (const char* part :
       {"<h3>Over &lt;a&gt;</h3>", "<td>a (b)</td>",
        "<td class=\"number\" style=\"--shade: 0.50\">+4.00<br />(−0.30 to +8.30)</td>",
        "<td><a href=\"#s2\">c</a></td>", "<td class=\"number words\">1 of 3 diverged</td>"})
    CHECK(contains(html, part));
}

TEST_CASE(
    "report: a table of sentences names each cell's column, for screens that are too narrow for columns") {
  const std::string sentence(101, 'a');
  const std::string html = html_table({{"claim", "verdict", "a \"b\""}, {{sentence, "holds", "c"}}});
  CAPTURE(html);
  for (const std::string& part :
       {std::string("<table class=\"sentences\">"), "<td data-header=\"claim\">" + sentence + "</td>",
        std::string("<td data-header=\"verdict\">holds</td>"),
        std::string("<td data-header=\"a &quot;b&quot;\">c</td>")})
    CHECK(contains(html, part));
  CHECK(contains(html_table({{"word", "meaning"}, {{"a", sentence}}}), "<table>"));  // two columns fit
}
