#include "apps/tuning_text.h"

#include <algorithm>

#include "apps/options.h"

namespace qmse::app {

std::string tuning_text(const Tuning& tuning, TableFormat format) {
  if (format == TableFormat::csv) return table_text(tuning_numbers(tuning), format);
  std::string text = table_text(tuning_table(tuning), format);
  if (format == TableFormat::latex) return text;
  for (const std::string& note : tuning_notes(tuning)) text += "\n" + wrap_help(note, kFooterWidth) + "\n";
  for (const std::string& warning : tuning_warnings(tuning))
    text += "\n" + wrap_help("Note: " + warning, kFooterWidth) + "\n";
  return text;
}

std::string tuning_text(const std::filesystem::path& folder) {
  const std::vector<RunGroup> groups = group_runs(find_runs(folder).runs);
  const bool any = std::any_of(groups.begin(), groups.end(), [](const RunGroup& group) {
    return std::any_of(group.runs.begin(), group.runs.end(),
                       [](const RunRecord& run) { return run.finished; });
  });
  if (groups.size() < 2 || !any) return "";
  return tuning_text(tune(groups, {}), TableFormat::text);
}

}  // namespace qmse::app
