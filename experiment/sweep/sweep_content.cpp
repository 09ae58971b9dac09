#include "experiment/sweep/sweep_content.h"

#include <map>
#include <tuple>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/name_text.h"
#include "data/content.h"
#include "data/registry.h"
#include "experiment/run/run_record.h"
#include "experiment/run/weights_source.h"

namespace qmse {
namespace {

// SHA-256 of something at a path, looked at once; empty where it cannot be read.
class Digests {
 public:
  template <class Make>
  const std::string& of(const std::string& what, const Make& make) {
    const auto [known, fresh] = known_.emplace(what, "");
    if (fresh) {
      try {
        known->second = make();
      } catch (const Error&) {
      }
    }
    return known->second;
  }

  const std::string& images(const TrainConfig& config) {
    return of("images\n" + config.dataset + "\n" + config.data, [&] {
      return examine_content(config.dataset, find_data_directory(config.dataset, config.data)).sha256;
    });
  }
  const std::string& weights(const std::string& path) {
    return of("weights\n" + path, [&] { return path.empty() ? path : first_weights_sha256(path); });
  }

 private:
  std::map<std::string, std::string> known_;
};

// `was` and `now` are digests, empty where unknown.
std::string difference_of(const char* setting, const std::string& then, const std::string& now,
                          const std::string& was, const std::string& is) {
  if (now == then && (is.empty() || was.empty())) return "";
  if (!is.empty() && is == was) return "";
  const std::string where =
      std::string("'") + setting + "' is " + (now.empty() ? std::string("not given") : in_quotes(now));
  if (now == then) return where + ", and what lies there has changed";
  const std::string change = where + ", was " + (then.empty() ? "not given" : in_quotes(then));
  if (is.empty()) return change + (now.empty() ? "" : ", and cannot be read");
  if (was.empty()) return change + (then.empty() ? "" : ", and whether they are the same cannot be said");
  return change + ", and they are not the same";
}

std::string text_or_empty(const Json& value) {
  return value.is_string() && value != kNotRecorded ? value.get<std::string>() : "";
}

}  // namespace

std::string content_difference(const SweepSpec& spec, const SweepSpec& recorded,
                               const EnvironmentOf& environment_of) {
  // Members that name the same paths, of which one that has begun speaks for all.
  struct Group {
    TrainConfig now, then;
    std::string images, weights;  // as a run of it has recorded; empty: none has
  };
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, Group> groups;
  std::map<std::string_view, const SweepMember*> known;
  for (const SweepMember& member : recorded.members) known[member.name] = &member;
  for (const SweepMember& member : spec.members) {
    const auto found = known.find(member.name);
    if (found == known.end()) continue;
    const TrainConfig now = spec.config(member), then = recorded.config(*found->second);
    Group& group = groups
                       .try_emplace({now.dataset, now.data, then.data, now.init_from, then.init_from},
                                    Group{now, then, "", ""})
                       .first->second;
    if (!group.images.empty()) continue;
    const Json environment = environment_of(member);
    if (!environment.is_object()) continue;
    group.images = text_or_empty(trained_on(environment));
    group.weights = started_from(environment);
  }
  Digests digests;
  for (auto& [paths, group] : groups) {
    const auto& [now, then, images, weights] = group;
    const bool moved = now.data != then.data, restarted = now.init_from != then.init_from;
    if (moved && images.empty()) group.images = digests.images(then);
    if (restarted && weights.empty()) group.weights = digests.weights(then.init_from);
    std::string text;
    if (moved || !images.empty())
      text = difference_of("data", then.data, now.data, images, digests.images(now));
    if (text.empty() && (restarted || !weights.empty()))
      text =
          difference_of("init_from", then.init_from, now.init_from, weights, digests.weights(now.init_from));
    if (!text.empty()) return text;
  }
  return "";
}

}  // namespace qmse
