#include "experiment/sweep/sweep_spec.h"

#include <cmath>
#include <map>

#include "base/error.h"
#include "engine/safetensors.h"
#include "experiment/sweep/shard.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using qmse::test::message_of;
using qmse::test::missing;

namespace {

std::vector<std::string> names(const SweepSpec& spec) {
  std::vector<std::string> all;
  for (const SweepMember& member : spec.members) all.push_back(member.name);
  return all;
}

}  // namespace

TEST_CASE("sweep spec: every combination of the grid, the last key fastest, then the members one by one") {
  const SweepSpec spec = parse_sweep(R"({"base": {"epochs": 2, "lr": 0.5},
      "grid": {"loss": ["mse", "qmse"], "seed": [1, 2]},
      "members": [{"loss": "cross_entropy", "lr": 0.001}, {"name": "wide", "fc_width": 512}]})",
                                     "file");
  CHECK(names(spec) == std::vector<std::string>{"loss=mse,seed=1", "loss=mse,seed=2", "loss=qmse,seed=1",
                                                "loss=qmse,seed=2", "loss=cross_entropy,lr=0.001", "wide"});
  CHECK(spec.settings(spec.members[1]).dump() == R"({"epochs":2,"lr":0.5,"loss":"mse","seed":2})");
  CHECK(spec.settings(spec.members[4])["lr"] == 0.001);
  CHECK(spec.settings(spec.members[5]).dump() == R"({"epochs":2,"lr":0.5,"fc_width":512})");
}

TEST_CASE("sweep spec: sampled settings are the same for each combination, in range, and the seed's alone") {
  const std::string text =
      R"({"grid": {"loss": ["mse", "qmse"]}, "sample": {"lr": {"log_uniform": [0.001, 10]},
      "momentum": {"uniform": [0.5, 0.9]}, "batch_size": {"log_uniform": [8, 512]}, "count": 200, "seed": SEED}})";
  const auto spec_of = [&](const std::string& seed) {
    std::string with = text;
    with.replace(with.find("SEED"), 4, seed);
    return parse_sweep(with, "file");
  };
  const SweepSpec spec = spec_of("1");
  REQUIRE(spec.members.size() == 400);
  int low = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    Json mse = spec.members[i].settings, qmse = spec.members[200 + i].settings;
    CHECK(mse["loss"] == "mse");
    mse.erase("loss");
    qmse.erase("loss");
    CHECK(mse == qmse);
    const double lr = mse["lr"], momentum = mse["momentum"];
    CHECK((lr >= 0.001 && lr <= 10));
    CHECK((momentum >= 0.5 && momentum <= 0.9));
    CHECK(mse["batch_size"].is_number_integer());
    CHECK((mse["batch_size"] >= 8 && mse["batch_size"] <= 512));
    low += lr < 0.1 ? 1 : 0;
    CHECK(spec.members[i].name.size() < 60);
  }
  CHECK(std::abs(low - 100) < 36);  // half of them below the middle of the logarithms, five deviations
  CHECK(to_json(spec_of("1")) == to_json(spec));
  CHECK(to_json(spec_of("2")) != to_json(spec));
  // What is recorded is the members, and reads back as them.
  CHECK(to_json(parse_sweep(to_json(spec).dump(), "record")) == to_json(spec));
}

TEST_CASE("sweep spec: a sample that is none is refused") {
  const auto message = [](const std::string& sample) {
    return message_of<ConfigError>(
        [&] { parse_sweep("{\"grid\": {\"loss\": [\"mse\"]}, \"sample\": " + sample + "}", "file"); });
  };
  for (const char* sample :
       {R"({"lr": {"log_uniform": [0, 1]}, "count": 2})", R"({"lr": {"uniform": [1, 1]}, "count": 2})",
        R"({"lr": [1, 2], "count": 2})", R"({"lr": {"normal": [1, 2]}, "count": 2})",
        R"({"lr": {"uniform": ["a", 2]}, "count": 2})"}) {
    CAPTURE(sample);
    CHECK(missing(message(sample), {"file: 'sample': 'lr' must be", "log_uniform"}) == "");
  }
  CHECK(missing(message(R"({"lr": {"uniform": [0, 1]}})"), {"'count' must be"}) == "");
  CHECK(missing(message(R"({"lr": {"uniform": [0, 1]}, "count": 0})"), {"'count' must be"}) == "");
  CHECK(missing(message(R"({"lr": {"uniform": [0, 1]}, "count": 2, "seed": -1})"), {"'seed' must be"}) == "");
  CHECK(missing(message(R"({"loss": {"uniform": [0, 1]}, "count": 2})"), {"'loss'"}) == "");
  CHECK(missing(message(R"({"lrr": {"uniform": [0, 1]}, "count": 2})"), {"did you mean 'lr'"}) == "");
  CHECK(missing(message(R"({"momentum": {"uniform": [0, 2]}, "count": 50})"), {"momentum"}) == "");
  CHECK(missing(message(R"({"count": 2})"), {"names no setting"}) == "");
  CHECK(missing(message_of<ConfigError>([] {
                  parse_sweep(R"({"grid": {"lr": [1]}, "sample": {"lr": {"uniform": [0, 1]}, "count": 2}})",
                              "file");
                }),
                {"'lr' is in 'grid' too"}) == "");
}

TEST_CASE("sweep spec: names are unique and fit for folders") {
  const SweepSpec spec =
      parse_sweep(R"({"grid": {"init_from": ["/a/b", "/a_b"], "conv_channels": [[8], [8, 16]]}})", "file");
  CHECK(names(spec) == std::vector<std::string>{"init_from=_a_b,conv_channels=8",
                                                "init_from=_a_b,conv_channels=8-16",
                                                "init_from=_a_b,conv_channels=8~4e5fe5aad25d8a50",
                                                "init_from=_a_b,conv_channels=8-16~7c56a541ec923a3f"});
}

TEST_CASE("sweep spec: names that differ in capital letters alone would be one folder on some file systems") {
  CHECK(missing(message_of<ConfigError>(
                    [] { parse_sweep(R"({"members": [{"name": "a"}, {"name": "A", "lr": 1}]})", "file"); }),
                {"file", "'A'", "capital letters", "'a'", "give one of them another"}) == "");
  // Names that the sweep gives get out of each other's way by themselves.
  const std::vector<std::string> given =
      names(parse_sweep(R"({"grid": {"init_from": ["/w/a", "/w/A"]}})", "file"));
  REQUIRE(given.size() == 2);
  CHECK(given[0] == "init_from=_w_a");
  CHECK(given[1].starts_with("init_from=_w_A~"));
}

TEST_CASE("sweep spec: combinations that are the same run are one member, the others are its repeats") {
  const SweepSpec spec = parse_sweep(R"({"base": {"momentum": 0.5},
      "grid": {"loss": ["mse", "qmse"], "v_distribution": ["sphere", "rademacher"]},
      "members": [{"name": "again", "loss": "mse", "seed_v": 7, "threads": 3}]})",
                                     "file");
  CHECK(names(spec) == std::vector<std::string>{"loss=mse,v_distribution=sphere",
                                                "loss=qmse,v_distribution=sphere",
                                                "loss=qmse,v_distribution=rademacher"});
  const auto repeats = [](const SweepSpec& of) {
    std::vector<std::string> all;
    for (const SweepRepeat& repeat : of.repeats) all.push_back(repeat.member.name + " is " + repeat.same_as);
    return all;
  };
  const std::vector<std::string> expected = {
      "loss=mse,v_distribution=rademacher is loss=mse,v_distribution=sphere",
      "again is loss=mse,v_distribution=sphere"};
  CHECK(repeats(spec) == expected);
  // The record says the same, and so does a spec that is completed again.
  SweepSpec again = parse_sweep(to_json(spec).dump(), "copy");
  CHECK(names(again) == names(spec));
  CHECK(repeats(again) == expected);
  complete(again, "copy");
  CHECK(repeats(again) == expected);
  for (const char* same :
       {R"({"grid": {"lr": [0.1, 0.1]}})", R"({"grid": {"threads": [1, 2]}})",
        R"({"grid": {"seed": [1]}, "members": [{"seed": 1, "seed_v": 1}]})",
        R"({"base": {"model": "cnn"}, "grid": {"mlp_widths": [[3], [4]]}})",
        R"({"base": {"init_from": "/weights"}, "grid": {"init": ["pytorch", "xavier_uniform"]}})",
        R"({"base": {"optimizer": "adam"}, "grid": {"momentum": [0.5, 0.9]}})",
        R"({"grid": {"schedule_gamma": [0.5, 0.9]}})", R"({"grid": {"seed_v": [1, 2], "loss": ["mse"]}})"}) {
    CAPTURE(same);
    CHECK(parse_sweep(same, "file").members.size() == 1);
    CHECK(parse_sweep(same, "file").repeats.size() == 1);
  }
}

TEST_CASE("sweep spec: spellings of one path are one path") {
  const test::TempDirectory folder;
  std::filesystem::create_directory(folder / "data");
  std::filesystem::create_directory_symlink(folder / "data", folder / "link");
  const std::string here = folder.path().string();
  const Json text = {
      {"grid", {{"data", {here + "/data", here + "/data/", here + "/./data", here + "/link"}}}}};
  const SweepSpec spec = parse_sweep(text.dump(), "file");
  REQUIRE(spec.members.size() == 1);
  CHECK(spec.repeats.size() == 3);
  CHECK(spec.members[0].settings["data"] == std::filesystem::canonical(folder / "data").string());
  CHECK(difference(spec, parse_sweep(to_json(spec).dump(), "copy")) == "");
  const SweepSpec relative = parse_sweep(R"({"base": {"data": "x/../y"}, "members": [{}]})", "file");
  CHECK(relative.base["data"] == (std::filesystem::current_path() / "y").string());
}

TEST_CASE("sweep spec: first weights of one content are one run, whatever the paths to them") {
  const test::TempDirectory folder;
  const auto write = [&](const std::string& name, float value) {
    const std::vector<float> values = {value, 2};
    write_safetensors(folder / name, {{{"w", DType::f32, {2}, values.data()}}}, {{"written", name}});
    return (folder / name).string();
  };
  const std::string a = write("a", 1), copy = write("copy", 1), other = write("other", 3);
  const auto members = [&](const std::vector<std::string>& paths) {
    const SweepSpec spec = parse_sweep(Json({{"grid", {{"init_from", paths}}}}).dump(), "file");
    return std::pair(spec.members.size(), spec.repeats.size());
  };
  CHECK(members({a, copy}) == std::pair<std::size_t, std::size_t>{1, 1});
  CHECK(members({a, other}) == std::pair<std::size_t, std::size_t>{2, 0});
  CHECK(members({a, copy, other, folder / "gone"}) == std::pair<std::size_t, std::size_t>{3, 1});
}

TEST_CASE("sweep spec: a grid over the seed where every seed that is used is given is one run") {
  const auto spec = [](const char* loss, const char* seeds) {
    return parse_sweep(std::string(R"({"base": {"loss": ")") + loss + R"(", )" + seeds +
                           R"(}, "grid": {"seed": [1, 2, 3]}})",
                       "file");
  };
  const SweepSpec all = spec("qmse", R"("seed_init": 7, "seed_data": 8, "seed_v": 9)");
  CHECK(names(all) == std::vector<std::string>{"seed=1"});
  REQUIRE(all.repeats.size() == 2);
  CHECK(all.repeats[1].member.name == "seed=3");
  CHECK(all.repeats[1].same_as == "seed=1");
  CHECK(spec("mse", R"("seed_init": 7, "seed_data": 8)").members.size() == 1);  // draws no v
  CHECK(spec("qmse", R"("seed_init": 7, "seed_data": 8)").members.size() == 3);
}

TEST_CASE("sweep spec: what is written is read back, and differences are named") {
  const char* text = R"({"base": {"epochs": 2}, "grid": {"lr": [0.1, 0.2]}})";
  const SweepSpec spec = parse_sweep(text, "file");
  const SweepSpec again = parse_sweep(to_json(spec).dump(), "copy");
  CHECK(to_json(again) == to_json(spec));
  CHECK(difference(spec, again) == "");
  const auto differs = [&](const char* other) { return difference(parse_sweep(other, "file"), spec); };
  CHECK(differs(R"({"base": {"epochs": 3}, "grid": {"lr": [0.1, 0.2]}})") == "");  // longer
  CHECK(differs(R"({"grid": {"lr": [0.1, 0.2]}})") == "");                         // 5 epochs
  CHECK(differs(R"({"base": {"epochs": 1}, "grid": {"lr": [0.1, 0.2]}})") ==
        "member 'lr=0.1': 'epochs' is 1, was 2");
  CHECK(differs(R"({"base": {"epochs": 3}, "grid": {"lr": [0.1]}})") ==
        "it has more epochs and lacks the member 'lr=0.2'");
  CHECK(differs(R"({"base": {"epochs": 2}, "grid": {"lr": [0.1, 0.3]}})") ==
        "it adds the member 'lr=0.3' and lacks 'lr=0.2'");
  CHECK(differs(R"({"base": {"epochs": 2}, "grid": {"lr": [0.1]}})") == "");            // one less
  CHECK(differs(R"({"base": {"epochs": 2}, "grid": {"lr": [0.3, 0.2, 0.1]}})") == "");  // one more
  CHECK(differs(R"({"base": {"epochs": 2}, "members": [{"name": "lr=0.1", "lr": 0.4}, {"lr": 0.2}]})") ==
        "member 'lr=0.1': 'lr' is 0.4, was 0.1");
  // Which machine trains is not part of it.
  CHECK(differs(R"({"base": {"epochs": 2, "threads": 1, "device": "cpu"}, "grid": {"lr": [0.1, 0.2]}})") ==
        "");
}

TEST_CASE("sweep spec: every mistake is one line with file, key and remedy") {
  struct Case {
    const char* text;
    std::initializer_list<const char*> parts;
  };
  std::string huge = R"({"grid": {"lr": [0.1, 0.2], "seed": [0)";
  for (int seed = 1; seed < 50001; ++seed) huge += "," + std::to_string(seed);
  huge += "]}}";
  const Case cases[] = {
      {huge.c_str(), {"grid", "100000"}},
      {R"({"grid": {}, "members": [{"lr": 0.1}]})", {"grid", "empty"}},
      {"[1]", {"file: a sweep is a JSON object"}},
      {"{\"base\": ", {"file: not valid JSON"}},
      {"{}", {"file: no members"}},
      {R"({"bse": {}})", {"file: unknown key 'bse'", "did you mean 'base'?"}},
      {R"({"base": {}, "base": {}})", {"key 'base' is given twice"}},
      {R"({"grid": {"lr": [0.1], "lr": [0.2]}})", {"key 'lr' is given twice"}},
      {R"({"members": [{"lr": 1, "lr": 2}]})", {"key 'lr' is given twice"}},
      {R"({"base": 3})", {"file: 'base'", "JSON object"}},
      {R"({"base": {"learning_rate": 1}})", {"file: 'base': unknown key 'learning_rate'", "known keys"}},
      {R"({"base": {"momentun": 1}})", {"did you mean 'momentum'?"}},
      {R"({"base": {"epochs": "many"}})", {"file: 'base': 'epochs' must be a whole number", "'many'"}},
      {R"({"base": {"out": "x"}, "members": [{}]})", {"'out'", "run directory of its own"}},
      {R"({"base": {"resume": true}, "members": [{}]})", {"'resume'"}},
      {R"({"base": {"resume_or_start": true}, "members": [{}]})", {"'resume_or_start'"}},
      {R"({"grid": []})", {"file: 'grid' must be an object of lists"}},
      {R"({"grid": {"lr": 0.1}})", {"'grid': 'lr' must be a list of values, not 0.1"}},
      {R"({"grid": {"lr": []}})", {"'grid': 'lr' must be a list"}},
      {R"({"grid": {"lr": [0.1, "x"]}})", {"'grid': 'lr' must be a finite number", "'x'"}},
      {R"({"grid": {"momentun": [0.1]}})", {"'grid': unknown key 'momentun'", "'momentum'"}},
      {R"({"grid": {"out": ["a"]}})", {"'out'"}},
      {R"({"grid": {"loss": ["mse", "cross_entropy"], "reduction": ["element_mean"]}})",
       {"member 'loss=cross_entropy,reduction=element_mean'", "batch_mean"}},
      {R"({"members": {"lr": 1}})", {"'members' must be a list"}},
      {R"({"members": [3]})", {"member 1", "JSON object"}},
      {R"({"members": [{"name": "a"}, {"name": "a", "lr": 1}]})", {"two members have the name 'a'"}},
      {R"({"members": [{"name": "../a"}]})", {"'../a'", "letters"}},
      {R"({"members": [{"name": ".a"}]})", {"'.a'"}},
      {R"({"members": [{"name": 7}]})", {"'name' must be a text, not 7"}},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    CHECK(missing(message_of<ConfigError>([&] { parse_sweep(each.text, "file"); }), each.parts) == "");
  }
}

TEST_CASE("shard: by hand") {
  const Shard shard = parse_shard("2/8");
  CHECK(shard.index == 2);
  CHECK(shard.count == 8);
  for (const char* text :
       {"", "1", "/", "1/", "/2", "3/3", "-1/3", "1/3/5", "a/b", "0/0", "1.5/3", "0x1/3", " 1/3"}) {
    CAPTURE(text);
    CHECK(missing(message_of<ConfigError>([&] { parse_shard(text); }), {"--shard", "0/3"}) == "");
  }
}

TEST_CASE("shard: from the ranks that launchers give") {
  using Variables = std::map<std::string, std::string>;
  const auto shard = [](const Variables& variables) -> std::string {
    const auto found = shard_of([&](const char* name) -> std::optional<std::string> {
      const auto at = variables.find(name);
      return at == variables.end() ? std::nullopt : std::optional<std::string>(at->second);
    });
    if (!found) return "none";
    return std::to_string(found->index) + "/" + std::to_string(found->count) + " " + found->source;
  };
  CHECK(shard({}) == "none");
  CHECK(shard({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}}) == "1/3 OMPI_COMM_WORLD_RANK");
  CHECK(shard({{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}}) == "2/4 PMI_RANK");
  CHECK(shard({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "2"}}) == "0/2 SLURM_PROCID");
  CHECK(shard({{"SLURM_PROCID", "0"}}) == "none");
  // mpirun inside a Slurm job: its ranks count, not Slurm's one task.
  CHECK(shard({{"OMPI_COMM_WORLD_RANK", "1"},
               {"OMPI_COMM_WORLD_SIZE", "3"},
               {"SLURM_PROCID", "0"},
               {"SLURM_NTASKS", "1"}}) == "1/3 OMPI_COMM_WORLD_RANK");
  CHECK(
      shard({{"SLURM_ARRAY_TASK_ID", "5"}, {"SLURM_ARRAY_TASK_COUNT", "4"}, {"SLURM_ARRAY_TASK_MIN", "3"}}) ==
      "2/4 SLURM_ARRAY_TASK_ID");
  CHECK(shard({{"SLURM_ARRAY_TASK_ID", "6"},
               {"SLURM_ARRAY_TASK_COUNT", "4"},
               {"SLURM_ARRAY_TASK_MIN", "0"},
               {"SLURM_ARRAY_TASK_STEP", "2"}}) == "3/4 SLURM_ARRAY_TASK_ID");
  CHECK(shard({{"SLURM_ARRAY_TASK_ID", "1"},
               {"SLURM_ARRAY_TASK_COUNT", "2"},
               {"SLURM_PROCID", "2"},
               {"SLURM_NTASKS", "3"}}) == "5/6 SLURM_ARRAY_TASK_ID and SLURM_PROCID");
  CHECK_THROWS_AS(shard({{"PMI_RANK", "x"}, {"PMI_SIZE", "4"}}), ConfigError);
  CHECK_THROWS_AS(shard({{"PMI_RANK", "4"}, {"PMI_SIZE", "4"}}), ConfigError);
}

TEST_CASE("shard: a process's number on its machine comes from its launcher") {
  const auto rank_of = [](const std::string& variable, const std::string& value) {
    return local_rank([&](const char* name) {
      return variable == name ? std::optional<std::string>(value) : std::optional<std::string>();
    });
  };
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK"}) {
    CAPTURE(name);
    CHECK(rank_of(name, "3") == 3);
    CHECK_FALSE(rank_of(name, "").has_value());
    CHECK(missing(message_of<ConfigError>([&] { rank_of(name, "first"); }), {name, "first"}) == "");
  }
  CHECK_FALSE(rank_of("SLURM_PROCID", "3").has_value());
}
