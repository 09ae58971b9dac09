#include "experiment/report/report_table.h"

#include "base/error.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

const ReportTable kTable{{"loss", "accuracy, %"}, {{"QMSE", "98.12 ± 0.20"}, {"a_b | \"c\"", "–"}}};

}  // namespace

TEST_CASE("report table: text is aligned by characters, numbers at the right") {
  CHECK(table_text(kTable, TableFormat::text) ==
        "loss        accuracy, %\n"
        "QMSE       98.12 ± 0.20\n"
        "a_b | \"c\"             –\n");
}

TEST_CASE("report table: markdown keeps a bar within a cell") {
  CHECK(table_text(kTable, TableFormat::markdown) ==
        "| loss       | accuracy, %  |\n"
        "| ---------- | ------------ |\n"
        "| QMSE       | 98.12 ± 0.20 |\n"
        "| a_b \\| \"c\" | –            |\n");
}

TEST_CASE("report table: csv quotes what has a comma or a quote") {
  CHECK(table_text(kTable, TableFormat::csv) ==
        "loss,\"accuracy, %\"\n"
        "QMSE,98.12 ± 0.20\n"
        "\"a_b | \"\"c\"\"\",–\n");
}

TEST_CASE("report table: latex escapes what it would obey") {
  const ReportTable table{{"a&b", "‖r‖²"}, {{"up to 100 % of $x_1^2$ {#~\\}", "−1.5 ± 0.2"}}};
  CHECK(table_text(table, TableFormat::latex) ==
        "\\begin{tabular}{lr}\n\\hline\n"
        "a\\&b & $\\|r\\|^2$ \\\\\n\\hline\n"
        "up to 100 \\% of \\$x\\_1\\textasciicircum{}2\\$ \\{\\#\\textasciitilde{}\\textbackslash{}\\} & "
        "$-$1.5 "
        "$\\pm$ 0.2 "
        "\\\\\n"
        "\\hline\n\\end{tabular}\n");
}

TEST_CASE("report table: a row that does not fit the header is a ShapeError") {
  for (const auto& choice : choices(TableFormat()))
    CHECK_THROWS_AS(table_text({{"a", "b"}, {{"1"}}}, choice.value), ShapeError);
}

TEST_CASE("report table: fitted to a width, the widest columns give way first") {
  const ReportTable table{{"run", "settings", "note"},
                          {{"short", std::string(40, 'x'), std::string(30, 'y')}, {"s", "z", ""}}};
  for (const std::size_t width : {79, 60, 41, 30}) {
    CAPTURE(width);
    const ReportTable fit = fitted(table, width);
    const std::string text = table_text(fit, TableFormat::text);
    std::size_t longest = 0, begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::size_t letters = 0;
      for (std::size_t i = begin; i < end; ++i) letters += (text[i] & 0xC0) != 0x80;
      longest = std::max(longest, letters);
    }
    CHECK(longest <= width);
    CHECK(fit.rows[0][0] == "short");
    CHECK(fit.rows[1][1] == "z");
  }
  CHECK(fitted(table, 200).rows == table.rows);
}
