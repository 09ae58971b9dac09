#include "experiment/report/run_export.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "experiment/report/run_groups.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/epoch_record.h"
#include "experiment/run/plain_text.h"

namespace qmse {
namespace {

std::string cell_text(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return plain_text(value.get<std::string>());
  return json_words(value);
}

// CRC-32C (Castagnoli), which TensorFlow's records have, in the form that can itself be
// checksummed (tensorflow/tsl/lib/hash/crc32c.h).
std::uint32_t masked_crc(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> all{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
      all[i] = crc;
    }
    return all;
  }();
  std::uint32_t crc = ~0U;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// Protocol buffers: a field's number and wire type, then its value.
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7f));
  return bytes + static_cast<char>(value);
}
std::string number_field(unsigned field, std::uint64_t value) { return varint(field << 3) + varint(value); }
std::string double_field(unsigned field, double value) {
  return varint(field << 3 | 1) + little_endian(value);
}
std::string float_field(unsigned field, float value) { return varint(field << 3 | 5) + little_endian(value); }
std::string bytes_field(unsigned field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}

// tensorflow/core/lib/io/record_writer.h: length, its checksum, the bytes, their checksum.
std::string record(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  return length + little_endian(masked_crc(length)) + event + little_endian(masked_crc(event));
}

// Seconds since 1970 of "2026-11-24T17:30:00.123Z"; 0 for what is none.
double seconds_of(const Json& started) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  if (!started.is_string() || std::sscanf(started.get<std::string>().c_str(), "%d-%d-%dT%d:%d:%lf", &year,
                                          &month, &day, &hour, &minute, &second) != 6)
    return 0;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return 0;
  return static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count()) * 86400 + hour * 3600 +
         minute * 60 + second;
}

}  // namespace

ReportTable tidy_table(const std::vector<RunRecord>& runs) {
  const std::vector<RunGroup> groups = group_runs(runs);
  const std::vector<std::string> names = differing_settings(groups);
  std::vector<std::string> figures;
  for (const RunRecord& run : runs) {
    for (const Json& epoch : run.epochs) {
      for (const auto& [key, value] : epoch.items()) {
        if (std::find(figures.begin(), figures.end(), key) == figures.end()) figures.push_back(key);
      }
    }
  }
  ReportTable table{{"run", "state"}, {}};
  table.header.insert(table.header.end(), names.begin(), names.end());
  table.header.emplace_back("seed");
  for (const std::string& figure : figures)  // the epoch's last learning rate is epoch_lr, the setting is lr
    table.header.push_back(find_field(figure) != nullptr ? "epoch_" + figure : figure);
  for (const RunRecord& run : runs) {
    const Json settings = result_settings(run);
    for (const Json& epoch : run.epochs) {
      std::vector<std::string> row = {plain_text(run.directory.string()),
                                      run.finished ? "finished" : std::string(name(run.outcome.end))};
      for (const std::string& name : names) row.push_back(cell_text(settings.value(name, Json())));
      row.push_back(cell_text(run.config.value("seed", Json())));
      for (const std::string& key : figures) row.push_back(cell_text(epoch.value(key, Json())));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

// tensorflow/core/util/event.proto: wall_time 1, step 2, file_version 3, summary 5; of a summary's value tag 1,
// simple_value 2.
std::string tensorboard_events(const RunRecord& run) {
  double time = seconds_of(run.environment.value("started", Json()));
  std::string file = record(double_field(1, time) + bytes_field(3, "brain.Event:2"));
  for (const Json& epoch : run.epochs) {
    const double seconds = number_of(epoch, "seconds");
    time += std::isfinite(seconds) ? seconds : 0;
    std::string summary;
    for (const auto& [key, value] : epoch.items()) {
      if (!value.is_number() || key == "epoch") continue;
      summary +=
          bytes_field(1, bytes_field(1, key) + float_field(2, static_cast<float>(value.get<double>())));
    }
    const auto step = static_cast<std::uint64_t>(std::max(number_of(epoch, "epoch"), 0.0));
    file += record(double_field(1, time) + number_field(2, step) + bytes_field(5, summary));
  }
  return file;
}

void write_tensorboard(const std::vector<RunRecord>& runs, const std::filesystem::path& out) {
  // Below what all have in common, so that TensorBoard names them by what tells them apart.
  std::filesystem::path common = runs.empty() ? "" : runs.front().directory.parent_path();
  for (const RunRecord& run : runs) {
    while (!common.empty() && run.directory.lexically_relative(common).string().starts_with(".."))
      common = common.parent_path();
  }
  for (const RunRecord& run : runs) {
    const std::filesystem::path folder =
        out / (common.empty() ? run.directory.relative_path() : run.directory.lexically_relative(common));
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw IoError(in_quotes(folder) + ": cannot make the folder: " + error.message());
    const auto time = static_cast<long long>(seconds_of(run.environment.value("started", Json())));
    write_file_atomically(folder / ("events.out.tfevents." + std::to_string(time) + ".qmse"),
                          tensorboard_events(run));
  }
}

}  // namespace qmse
