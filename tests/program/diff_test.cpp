// `qmse diff`, as a person or a script calls it.
#include <nlohmann/json.hpp>

#include "tests/experiment/tiny_run.h"
#include "tests/program/run_program.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("program: diff says where two runs first differ, as text and JSON, with an exit code for scripts") {
  const TinyData data;
  const TempDirectory folder;
  const auto run = [&](const std::string& name, const Words& more) {
    Words words = {"train",
                   "--dataset",
                   "mnist",
                   "--data",
                   data.root.path().string(),
                   "--model",
                   "mlp",
                   "--loss",
                   "mse",
                   "--out",
                   (folder / name).string(),
                   "--device",
                   "cpu",
                   "--epochs",
                   "2",
                   "--log-steps",
                   "1"};
    words.insert(words.end(), more.begin(), more.end());
    REQUIRE(run_program(words).code == 0);
    return (folder / name).string();
  };
  const std::string a = run("a", {"--threads", "1"}), b = run("b", {"--threads", "2"}),
                    c = run("c", {"--lr", "0.02"});

  const Result equal = run_program({"diff", a, b});
  CHECK(equal.code == 0);
  CHECK(equal.error == "");
  CHECK(equal.out.find("equal, bit for bit") == 0);
  CHECK(equal.out.find("also different: threads: 1 and 2\n") != std::string::npos);
  CHECK(equal.out.find("not compared: snapshots") != std::string::npos);
  CHECK(nlohmann::json::parse(run_program({"diff", a, b, "--json"}).out)["equal"] == true);

  const Result different = run_program({"diff", a, c});
  CHECK(different.code == 1);
  CHECK(different.error == "");
  CHECK(different.out.find("setting lr: 0.01 and 0.02\n") == 0);
  CHECK(different.out.find("first difference: steps.jsonl, step 1, epoch 1: lr 0.01 and 0.02\n") !=
        std::string::npos);
  CHECK(different.out.find("then: model.safetensors, step 4, epoch 2, tensor fc1.weight: ") !=
        std::string::npos);
  const Result json = run_program({"diff", a, c, "--json"});
  CHECK(json.code == 1);
  const auto object = nlohmann::json::parse(json.out);
  CHECK(object["equal"] == false);
  CHECK(object["settings"][0]["name"] == "lr");
  CHECK(object["results"][0]["step"] == 1);

  for (const Words& words :
       {Words{"diff"}, Words{"diff", a}, Words{"diff", a, b, c}, Words{"diff", a, a + "-none"}}) {
    const Result wrong = run_program(words);
    CHECK(wrong.code == 2);
    CHECK(wrong.out == "");
    CHECK(std::count(wrong.error.begin(), wrong.error.end(), '\n') == 1);
  }
}
