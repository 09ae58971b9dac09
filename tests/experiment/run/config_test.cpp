#include "experiment/run/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "experiment/run/config_fields.h"
#include "experiment/run/setup.h"
#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using qmse::test::cpu;
using qmse::test::message_of;
using qmse::test::missing;

namespace {

// The field, which must exist.
const ConfigField& field(const std::string& name) {
  const ConfigField* found = find_field(name);
  if (found == nullptr) throw std::runtime_error("no field " + name);
  return *found;
}

std::string text_error(const std::string& name, const std::string& text) {
  return message_of<ConfigError>([&] { value_from_text(field(name), text); });
}

std::string json_error(const std::string& text) {
  return message_of<ConfigError>([&] { parse_config(text, "run.json"); });
}

TrainConfig with(const std::string& json) {
  TrainConfig config;
  apply_layer(config, parse_config(json, "test"));
  return config;
}

}  // namespace

TEST_CASE("config: the defaults are valid, and their dump reads back as themselves") {
  const TrainConfig defaults;
  validate(defaults);
  const Json dumped = to_json(defaults);
  TrainConfig read;
  apply_layer(read, parse_config(dumped.dump(), "dump"));
  CHECK(to_json(read).dump() == dumped.dump());
  CHECK(resume_conflicts(read, defaults).empty());
}

TEST_CASE("config: every field has a name of its own, help, and a default within its range") {
  std::set<std::string> names, helps;
  for (const ConfigField& each : config_fields()) {
    CAPTURE(each.name);
    CHECK(names.insert(std::string(each.name)).second);
    CHECK(helps.insert(std::string(each.help)).second);
    CHECK(each.uses != 0);
    const Json value = get(TrainConfig{}, each);
    if (!value.is_null()) CHECK_NOTHROW(check_value(each, value, "default"));
    CHECK(find_field(each.name) == &each);
  }
  CHECK(names.size() >= 40);
}

TEST_CASE("config: every field goes through text, JSON and back to the same value") {
  for (const ConfigField& each : config_fields()) {
    CAPTURE(each.name);
    std::string text = "3";
    if (each.is_switch()) text = "true";
    if (!each.rule.choices.empty()) text = std::string(each.rule.choices.back().name);
    if (std::holds_alternative<double TrainConfig::*>(each.member)) text = "0.1";
    if (std::holds_alternative<std::vector<std::int64_t> TrainConfig::*>(each.member)) text = "7,9,11";
    const Json value = value_from_text(each, text);
    TrainConfig config;
    set(config, each, value);
    CHECK(get(config, each) == value);
    const Json layer = parse_config("{\"" + std::string(each.name) + "\": " + value.dump() + "}", "test");
    TrainConfig from_json;
    apply_layer(from_json, layer);
    CHECK(get(from_json, each) == value);
  }
}

TEST_CASE("config: numbers keep every bit") {
  const double third = 1.0 / 3.0;
  TrainConfig config;
  config.lr = third;
  config.seed = std::numeric_limits<std::uint64_t>::max();
  TrainConfig read;
  apply_layer(read, parse_config(to_json(config).dump(), "dump"));
  CHECK(read.lr == third);
  CHECK(read.seed == std::numeric_limits<std::uint64_t>::max());
  CHECK(value_from_text(field("seed"), "18446744073709551615").get<std::uint64_t>() == *config.seed);
}

TEST_CASE("config: values out of range are refused with the option and the range") {
  struct Case {
    const char* field;
    const char* text;
    const char* expected;
  };
  const Case cases[] = {
      {"lr", "-0.1", "--lr must be a finite number of at least 0, not -0.1"},
      {"lr", "nan", "finite"},
      {"lr", "inf", "finite"},
      {"lr", "1e999", "finite"},
      {"lr", "fast", "'fast'"},
      {"lr", "", "''"},
      {"lr", "0.1x", "'0.1x'"},
      {"momentum", "1", "in [0, 1)"},
      {"momentum", "-0.5", "in [0, 1)"},
      {"beta1", "1", "in [0, 1)"},
      {"beta2", "-1", "in [0, 1)"},
      {"epsilon", "0", "above 0"},
      {"rmsprop_alpha", "1", "in [0, 1)"},
      {"rmsprop_momentum", "-0.5", "in [0, 1)"},
      {"optimizer", "adagrad", "one of sgd, adam, rmsprop, not 'adagrad'"},
      {"weight_decay", "-1", "at least 0"},
      {"batch_size", "0", "--batch-size must be a whole number"},
      {"batch_size", "1.5", "whole number"},
      {"batch_size", "99999999999999999999", "whole number"},
      {"epochs", "0", "--epochs"},
      {"threads", "-1", "--threads"},
      {"train_limit", "-1", "at least 0"},
      {"conv_channels", "32,0", "--conv-channels"},
      {"conv_channels", "32,,64", "'32,,64'"},
      {"conv_channels", "none", "--conv-channels"},
      {"mlp_widths", "1,2,x", "'1,2,x'"},
      {"mlp_widths", "0", "--mlp-widths"},
      {"mlp_widths", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "at most 16"},
      {"fc_width", "0", "--fc-width"},
      {"seed", "-1", "0 to 2^64 - 1"},
      {"seed", "18446744073709551616", "0 to 2^64 - 1"},
      {"loss", "l2", "one of mse, qmse_expected, qmse, mse_noise, cross_entropy, not 'l2'"},
      {"dataset", "imagenet", "one of mnist, fashion-mnist"},
      {"nesterov", "maybe", "true or false"},
      {"schedule_gamma", "0", "--schedule-gamma"},
      {"schedule_gamma", "1.5", "in (0, 1]"},
      {"schedule_final_fraction", "1.1", "in [0, 1]"},
      {"schedule_tau", "0", "above 0"},
      {"checkpoint_every", "-1", "at least 0"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.field, each.text);
    const std::string message = text_error(each.field, each.text);
    CHECK(missing(message, {each.expected}) == "");
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("config: values at the ends of their ranges are taken") {
  CHECK(value_from_text(field("lr"), "0") == 0);
  CHECK(value_from_text(field("momentum"), "0.999") == 0.999);
  CHECK(value_from_text(field("batch_size"), "1") == 1);
  CHECK(value_from_text(field("threads"), "0") == 0);
  CHECK(value_from_text(field("mlp_widths"), "none").empty());
  CHECK(value_from_text(field("conv_channels"), "8") == Json::array({8}));
}

TEST_CASE("config: JSON errors name the source, the key and what is known") {
  CHECK(missing(json_error("{"), {"run.json: not valid JSON"}) == "");
  CHECK(missing(json_error("[1]"), {"a configuration is a JSON object"}) == "");
  CHECK(missing(json_error("{\"momentun\": 0.5}"), {"run.json: unknown key 'momentun'",
                                                    "did you mean 'momentum'?", "batch_size", "log_steps"}) ==
        "");
  CHECK(missing(json_error("{\"batch-size\": 1}"), {"did you mean 'batch_size'?"}) == "");
  CHECK(json_error("{\"qqqqqqqq\": 1}").find("did you mean") == std::string::npos);
  CHECK(missing(json_error("{\"lr\": 0.1, \"epochs\": 2, \"lr\": 0.2}"), {"'lr' is given twice"}) == "");
  CHECK(missing(json_error("{\"lr\": \"0.1\"}"), {"'lr' must be a finite number", "not '0.1'"}) == "");
  CHECK(missing(json_error("{\"epochs\": 2.0}"), {"'epochs' must be a whole number"}) == "");
  CHECK(missing(json_error("{\"nesterov\": 1}"), {"'nesterov' must be true or false"}) == "");
  CHECK(missing(json_error("{\"conv_channels\": 32}"), {"'conv_channels' must be a list"}) == "");
  CHECK(missing(json_error("{\"conv_channels\": [32, \"64\"]}"), {"'conv_channels' must be a list"}) == "");
  CHECK(missing(json_error("{\"seed\": -1}"), {"'seed' must be"}) == "");
  CHECK(missing(json_error("{\"lr\": null}"), {"'lr' must be"}) == "");
  CHECK(missing(json_error("{\"lr\": 0.1}\n{\"lr\": 0.2}"), {"not valid JSON"}) == "");
  CHECK(json_error("{\"a\\nb\": 1}").find('\n') == std::string::npos);
}

TEST_CASE("config: settings that contradict each other are refused") {
  const auto error = [](const std::string& json) {
    return message_of<ConfigError>([&] { validate(with(json)); });
  };
  CHECK(missing(error(R"({"loss": "cross_entropy", "reduction": "element_mean"})"), {"element_mean"}) == "");
  CHECK(missing(error(R"({"nesterov": true, "momentum": 0})"), {"--nesterov needs a --momentum"}) == "");
  CHECK(missing(error(R"({"kernel_size": 4})"), {"--kernel-size must be odd"}) == "");
  CHECK(missing(error(R"({"device": "gpu"})"), {"gpu"}) == "");
  TrainConfig by_hand;
  by_hand.lr = std::numeric_limits<double>::quiet_NaN();
  CHECK(missing(message_of<ConfigError>([&] { validate(by_hand); }), {"--lr"}) == "");
  by_hand = {};
  by_hand.model = "transformer";
  CHECK(missing(message_of<ConfigError>([&] { validate(by_hand); }), {"one of cnn, mlp"}) == "");
}

TEST_CASE("config: a setting without effect is refused, and the one that would use it named") {
  const auto error = [](const std::string& json) {
    return message_of<ConfigError>([&] { check_used(parse_config(json, "test"), with(json)); });
  };
  CHECK(error(R"({"optimizer": "adam", "momentum": 0.5})") ==
        "--momentum has no effect with --optimizer adam: it is for --optimizer sgd");
  CHECK(missing(error(R"({"optimizer": "adam", "nesterov": false})"), {"--nesterov", "--optimizer sgd"}) ==
        "");
  CHECK(missing(error(R"({"beta1": 0.5})"), {"--beta1", "--optimizer sgd", "for --optimizer adam"}) == "");
  CHECK(missing(error(R"({"activation": "tanh"})"), {"--activation", "--model cnn", "for --model mlp"}) ==
        "");
  CHECK(missing(error(R"({"model": "mlp", "fc_width": 9})"), {"--fc-width", "for --model cnn"}) == "");
  CHECK(missing(error(R"({"schedule": "cosine", "schedule_gamma": 0.5})"),
                {"--schedule-gamma", "--schedule cosine", "for --schedule step"}) == "");
  CHECK(missing(error(R"({"schedule_tau": 5})"), {"--schedule robbins_monro"}) == "");
  CHECK(missing(error(R"({"loss": "mse", "v_scope": "per_batch"})"), {"--v-scope", "for --loss qmse"}) == "");
  CHECK(missing(error(R"({"loss": "qmse_expected", "seed_v": 3})"), {"--seed-v", "for --loss qmse"}) == "");
  CHECK(missing(error(R"({"labels": "fine"})"), {"--labels", "for --dataset cifar100"}) == "");
  CHECK(missing(error(R"({"init_from": "w", "init": "xavier_uniform"})"),
                {"--init has", "--init-from w", "runs without --init-from"}) == "");
  CHECK(missing(error(R"({"init_from": "w", "seed_init": 1})"), {"--seed-init"}) == "");
  CHECK(missing(error(R"({"device": "cpu", "no_graph": true})"), {"--no-graph", "any other --device"}) == "");
  for (const char* used :
       {R"({"optimizer": "adam", "beta1": 0.5, "weight_decay": 0.1, "lr": 1})", R"({"momentum": 0.5})",
        R"({"model": "mlp", "activation": "tanh"})", R"({"device": "cuda", "workspace_mib": 5})",
        R"({"no_graph": true, "threads": 2})", R"({"dataset": "cifar100", "labels": "coarse"})"}) {
    CAPTURE(used);
    CHECK_NOTHROW(check_used(parse_config(used, "test"), with(used)));
  }
}

TEST_CASE("config: a setting without effect is in no record, and does not make another run") {
  const auto record = [](const std::string& json) { return to_json(with(json)).dump(); };
  CHECK(record(R"({"loss": "mse"})") == record(R"({"loss": "mse", "v_distribution": "rademacher"})"));
  CHECK(record(R"({"mlp_widths": [3]})") == record("{}"));
  CHECK(record(R"({"v_distribution": "rademacher"})") != record("{}"));
  for (const ConfigField& each : config_fields()) {
    if (!each.rule.only_with) continue;
    CAPTURE(each.name);
    const ConfigField* decides = find_field(each.rule.only_with->setting);
    REQUIRE(decides != nullptr);
    const Json usual = get(TrainConfig{}, *decides);
    CHECK((usual.is_string() || usual.is_number()));   // a text or a number
    CHECK_FALSE(decides->rule.only_with.has_value());  // no chains
  }
  const TrainConfig mse = with(R"({"loss": "mse"})");
  const Json layer = parse_config(R"({"loss": "mse", "v_scope": "per_batch", "lr": 1})", "test");
  CHECK(without_unused(layer, mse).dump() == R"({"loss":"mse","lr":1})");
}

TEST_CASE("config: what a file says beside a choice that the command line makes otherwise goes with it") {
  const auto both = [](const std::string& file, const std::string& line) {
    return overlay(parse_config(file, "file"), parse_config(line, "line")).dump();
  };
  CHECK(both(R"({"lr": 0.1, "epochs": 3})", R"({"lr": 0.2})") == R"({"lr":0.2,"epochs":3})");
  CHECK(both(R"({"loss": "qmse", "v_scope": "per_batch"})", R"({"loss": "mse"})") == R"({"loss":"mse"})");
  CHECK(both(R"({"loss": "qmse", "v_scope": "per_batch"})", R"({"loss": "qmse"})") ==
        R"({"loss":"qmse","v_scope":"per_batch"})");
  // The file did not choose the loss: what has no effect stays, and is refused.
  CHECK(both(R"({"v_scope": "per_batch"})", R"({"loss": "mse"})") ==
        R"({"v_scope":"per_batch","loss":"mse"})");
  // A learning rate is that of its optimizer, a seed that is no other than the seed follows it.
  CHECK(both(R"({"optimizer": "sgd", "lr": 0.01})", R"({"optimizer": "adam"})") == R"({"optimizer":"adam"})");
  CHECK(both(R"({"optimizer": "sgd", "lr": 0.01})", R"({"optimizer": "adam", "lr": 0.1})") ==
        R"({"optimizer":"adam","lr":0.1})");
  CHECK(both(R"({"seed": 1, "seed_init": 1, "seed_v": 4})", R"({"seed": 2})") == R"({"seed":2,"seed_v":4})");
  // A whole record with other choices is a configuration again.
  TrainConfig whole = with(R"({"loss": "qmse", "schedule": "cosine"})");
  resolve_defaults(whole);
  const Json changed = overlay(
      to_json(whole), parse_config(R"({"loss": "mse", "optimizer": "adam", "schedule": "step", "model": "mlp",
                       "device": "cpu", "seed": 9})",
                                   "line"));
  TrainConfig config;
  apply_layer(config, changed);
  CHECK_NOTHROW(check_used(changed, config));
  resolve_defaults(config);
  CHECK(config.lr == 0.001);
  CHECK(config.seed_init == 9u);
}

TEST_CASE("config: each optimizer has its field's usual learning rate") {
  for (const auto& [json, lr] : {std::pair{R"({})", 0.01},
                                 {R"({"optimizer": "sgd"})", 0.01},
                                 {R"({"optimizer": "adam"})", 0.001},
                                 {R"({"optimizer": "rmsprop"})", 0.01},
                                 {R"({"optimizer": "adam", "lr": 0.01})", 0.01}}) {
    CAPTURE(json);
    TrainConfig config = with(json);
    resolve_defaults(config);
    CHECK(config.lr == lr);
  }
  CHECK(missing(field("lr").default_text(), {"0.01", "adam 0.001"}) == "");
}

TEST_CASE(
    "config: every number of an optimizer is a setting that has an effect with the optimizers that have it") {
  for (const OptimizerKind& kind : optimizers()) {
    TrainConfig config;
    config.optimizer = kind.name;
    for (const std::string_view option : kind.options) {
      CAPTURE(kind.name, option);
      REQUIRE(find_field(option) != nullptr);
      CHECK(find_field(option)->group == ConfigGroup::optimizer);
      CHECK(find_field(option)->applies(config));
    }
    for (const ConfigField& field : config_fields()) {
      if (field.group != ConfigGroup::optimizer || field.name == "optimizer" || field.name == "lr") continue;
      CAPTURE(kind.name, field.name);
      CHECK(field.applies(config) ==
            (std::find(kind.options.begin(), kind.options.end(), field.name) != kind.options.end()));
    }
  }
  CHECK(field("epsilon").help.starts_with("adam, rmsprop: "));
  CHECK(field("weight_decay").help.starts_with("added"));
}

TEST_CASE("config: an optimizer is made with the settings' numbers") {
  Context context = cpu();
  ParameterStore store(context, DType::f32, {{"w", {3}}});
  const auto states = [&](const char* json) {
    std::string names;
    for (const Optimizer::State& state : make_optimizer(with(json), store)->state())
      names += state.name + " ";
    return names;
  };
  CHECK(states(R"({})") == "momentum ");
  CHECK(states(R"({"momentum": 0})").empty());
  CHECK(states(R"({"optimizer": "rmsprop", "rmsprop_momentum": 0.5, "rmsprop_centered": true})") ==
        "square_average momentum gradient_average ");
  CHECK(message_of<ConfigError>([&] { states(R"({"optimizer": "adam", "epsilon": 1e-60})"); }) ==
        "epsilon must be finite, above 0 and not too small for the weights' type, not 1e-60");
}

TEST_CASE("config: seeds that are not given are --seed") {
  TrainConfig config = with(R"({"seed": 7, "seed_data": 9})");
  resolve_defaults(config);
  CHECK(config.seed_init == 7u);
  CHECK(config.seed_data == 9u);
  CHECK(config.seed_v == 7u);
}

TEST_CASE("config: a resumed run may differ in threads, device, graphs, epochs and checkpoint_every only") {
  TrainConfig recorded;
  resolve_defaults(recorded);
  TrainConfig other = recorded;
  other.threads = 3;
  other.device = "cpu";
  other.epochs = 99;
  other.checkpoint_every = 5;
  other.no_graph = true;
  other.out = "elsewhere";
  other.resume = true;
  other.data = "another/place";  // of images that are compared by their content
  CHECK(resume_conflicts(other, recorded).empty());
  for (const ConfigField& each : config_fields()) {
    CAPTURE(each.name);
    const std::set<std::string> free = {"threads",  "device",     "epochs", "checkpoint_every",
                                        "no_graph", "out",        "resume", "resume_or_start",
                                        "data",     "stop_early", "note"};
    CHECK(each.rule.free_on_resume == (free.count(std::string(each.name)) == 1));
  }
  other.lr = 0.5;
  other.loss = "mse";
  const std::vector<std::string> conflicts = resume_conflicts(other, recorded);
  REQUIRE(conflicts.size() == 2);
  CHECK(conflicts[0] == "--loss is \"mse\", was \"qmse\"");
  CHECK(conflicts[1] == "--lr is 0.5, was 0.01");
}

TEST_CASE("config: a file is read as its text, a missing one is an IoError") {
  const test::TempDirectory folder;
  test::write_bytes(folder / "run.json", R"({"lr": 0.25, "mlp_widths": []})");
  const Json layer = read_config_file(folder / "run.json");
  CHECK(layer.dump() == R"({"lr":0.25,"mlp_widths":[]})");
  CHECK(missing(message_of<IoError>([&] { read_config_file(folder / "none.json"); }), {"none.json"}) == "");
}
