// spectrum, connect, plane and edge: each verdict on a case where the statement is true and on one where it
// is false, on data that need no file; and on weights of `qmse train`.
#include <cmath>

#include "analysis/critical/plane.h"
#include "analysis/landscape/run.h"
#include "analysis/landscape/saved_points.h"
#include "base/error.h"
#include "random/random_stream.h"
#include "tests/experiment/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;
using Catch::Contains;

namespace {

const Json& verdict(const Json& result, const std::string& claim) {
  for (const Json& each : result["verdicts"]) {
    if (each["claim"].get<std::string>().find(claim) != std::string::npos) return each;
  }
  FAIL("no verdict on " + claim);
  return result;
}

LandscapeRequest request_of(const std::string& experiment, const TempDirectory& folder, const Json& given) {
  static int runs = 0;
  return {.experiment = experiment,
          .given = given,
          .out = folder / (experiment + std::to_string(++runs)),
          .threads = 2};
}

Json run(const std::string& experiment, const TempDirectory& folder, const Json& given) {
  return run_landscape(request_of(experiment, folder, given), {}).result;
}

std::string message(const std::string& experiment, const TempDirectory& folder, const Json& given) {
  return message_of<ConfigError>([&] { run(experiment, folder, given); });
}

Json small(const Json& more) {
  Json given = {{"data_set", "gaussian"}, {"samples", 45}, {"inputs", 4}, {"labels", "classes:3"}};
  given.update(more);
  return given;
}

}  // namespace

TEST_CASE("landscape spectrum: ends, density and trace are those of the whole matrix, at any kind of point") {
  const TempDirectory folder;
  for (const char* start : {"minimum", "random"}) {
    const Json result =
        run("spectrum", folder, small({{"hidden", {5}}, {"start", start}, {"probes", 40}, {"count", 6}}));
    CAPTURE(start);
    CHECK(verdict(result, "are eigenvalues")["verdict"] == "exact");
    CHECK(verdict(result, "Lanczos' method")["verdict"] == "exact");
    CHECK(verdict(result, "density")["verdict"] == "holds");
    // At the minimum the Gauss-Newton part is most of the Hessian, at random weights it is not.
    CHECK(verdict(result, "Gauss–Newton")["verdict"] ==
          (start == std::string("minimum") ? "holds" : "depends"));
    REQUIRE(result["summary"].size() == 6);
  }
  // Nothing is claimed of what has not converged, nor of a density from one rough probe.
  const Json few =
      run("spectrum", folder,
          small({{"hidden", {5}}, {"products", 4}, {"count", 3}, {"probes", 2}, {"quadrature", 2}}));
  CHECK(verdict(few, "are eigenvalues")["verdict"] == "not shown");
  CHECK(verdict(few, "Lanczos' method")["verdict"] == "does not hold");
  CHECK(verdict(few, "density")["verdict"] == "does not hold");
}

TEST_CASE("landscape spectrum: dead units are eigenvalues of 0 as often as they have parameters") {
  const TempDirectory folder;
  // 3 of 40 leaky units of slope 0 below 0 die at the start; found by the whole matrix and by Lanczos alike.
  const Json result = run("spectrum", folder,
                          small({{"hidden", {12}},
                                 {"activation", "relu"},
                                 {"start", "random"},
                                 {"weight_decay", 0.0},
                                 {"count", 20},
                                 {"probes", 2}}));
  CHECK(verdict(result, "Lanczos' method")["verdict"] == "exact");
}

TEST_CASE("landscape spectrum: a kept point is looked at again, with its data") {
  const TempDirectory folder;
  LandscapeRequest first =
      request_of("spectrum", folder, small({{"hidden", {5}}, {"probes", 2}, {"count", 2}}));
  const Json trained = run_landscape(first, {}).result;
  const Json again = run("spectrum", folder, {{"points", first.out.string()}, {"probes", 2}, {"count", 2}});
  CHECK(again["summary"] == trained["summary"]);
  CHECK_THAT(message("spectrum", folder, {{"points", first.out.string()}, {"point", "nothing"}}),
             Contains("nothing") && Contains("part=hessian-end=top"));
  CHECK_THAT(message("spectrum", folder, {{"points", first.out.string()}, {"hidden", {3}}}),
             Contains("--hidden has no effect with --points"));
  CHECK_THAT(message("spectrum", folder, {{"point", "a"}}), Contains("--points"));
  CHECK_THAT(message("spectrum", folder, {{"points", "a"}, {"weights", "b"}}), Contains("one of them"));
  CHECK_THAT(message("spectrum", folder, small({{"hidden", {1}}, {"count", 1000}})),
             Contains("--count 1000"));
  CHECK_THAT(message("spectrum", folder, small({{"loss", "cross_entropy"}})), Contains("--weights"));
}

TEST_CASE("landscape tools: weights of qmse train, exactly for an MLP and by differences for the CNN") {
  const TinyData data;
  const TempDirectory folder;
  const Json about = {{"samples", 30}, {"probes", 2}, {"count", 3}, {"quadrature", 20}};
  for (const char* model : {"mlp", "cnn"}) {
    for (const int seed : {1, 2}) {
      Json settings = data.settings(folder / (model + std::to_string(seed)), model);
      settings.update({{"seed", seed}, {"loss", "mse"}, {"snapshot_every", 1}, {"epochs", 3}});
      if (model == std::string("mlp")) settings["mlp_widths"] = {2};
      train(settings);
    }
    const std::string one = (folder / (model + std::string("1"))).string(),
                      two = (folder / (model + std::string("2"))).string();
    CAPTURE(model);
    Json given = about;
    given["weights"] = one;
    const Json spectrum = run("spectrum", folder, given);
    CHECK(verdict(spectrum, "are eigenvalues")["verdict"] ==
          (model == std::string("mlp") ? "exact" : "holds"));
    CHECK(spectrum["data"]["products"] == (model == std::string("mlp") ? "exact" : "central differences"));
    const Json connect =
        run("connect", folder, {{"weights", one}, {"other", two}, {"samples", 30}, {"places", 4}});
    CHECK(verdict(connect, "leaves the function")["verdict"] == "exact");
    CHECK(verdict(connect, "lowers the barrier")["verdict"] == "not shown");  // one pair
    const Json plane = run("plane", folder, {{"weights", one}, {"samples", 30}, {"grid", 5}});
    CHECK(verdict(plane, "holds the path")["verdict"] == "holds");  // four points, most of two directions
    run("plane", folder, {{"weights", one}, {"samples", 30}, {"grid", 3}, {"directions", "random"}});
  }
  const std::string mlp = (folder / "mlp1").string(), cnn = (folder / "cnn1").string();
  CHECK_THAT(message("connect", folder, {{"weights", mlp}, {"other", cnn}, {"samples", 30}}),
             Contains("cnn"));
  CHECK_THAT(message("connect", folder, {{"weights", mlp}, {"samples", 30}}), Contains("--other"));
  CHECK_THAT(message("spectrum", folder, {{"weights", mlp}}), Contains("--samples 1000") && Contains("70"));
  CHECK_THAT(message("spectrum", folder, {{"weights", mlp}, {"samples", 30}, {"hidden", {3}}}),
             Contains("--hidden"));
}

TEST_CASE("landscape connect: pairs of networks, and a network beside itself") {
  const TempDirectory folder;
  LandscapeRequest request =
      request_of("connect", folder,
                 small({{"hidden", {8}}, {"pairs", 6}, {"pretraining", 1500}, {"weight_decay", 1e-3}}));
  const Json result = run_landscape(request, {}).result;
  CHECK(verdict(result, "leaves the function")["verdict"] == "exact");
  CHECK(verdict(result, "lowers the barrier")["verdict"] == "holds");
  CHECK(verdict(result, "stays at their loss")["verdict"] == "does not hold");
  // From a network to itself with its units in another order there is no barrier once they are matched.
  const Json same =
      run("connect", folder,
          {{"points", request.out.string()}, {"point", "pair=1:two"}, {"other", "pair=1:matched"}});
  CHECK(verdict(same, "stays at their loss")["verdict"] == "holds");
  CHECK(same["summary"][0]["barrier_before"].get<double>() > 1e-3);
  CHECK(same["summary"][0]["barrier_after"].get<double>() < 1e-9);
  CHECK_THAT(message("connect", folder, small({{"other", "x"}})), Contains("--other needs"));
}

TEST_CASE("plane: the plane of a path, what it leaves out, and directions of the weights' own scale") {
  // Two directions of five hold a path of three distances 3, 4 (in one plane) and a small rest.
  const std::vector<std::vector<double>> path = {{3, 0, 0, 0, 0.3}, {0, 4, 0, 0, 0}, {0, 0, 0, 0, 0}};
  const PathPlane plane = path_plane(path);
  CHECK(plane.explained[0] == Approx(16 / 25.09).epsilon(0.01));
  CHECK(plane.explained[0] + plane.explained[1] + plane.explained[2] == Approx(1));
  CHECK(std::abs(plane.along_first[1]) == Approx(4));
  CHECK(std::abs(plane.along_second[0]) == Approx(std::hypot(3, 0.3)));
  CHECK(plane.projection_error.back() == 0);
  CHECK_THROWS_AS(path_plane({{1, 2}, {3, 4}}), ShapeError);
  CHECK_THROWS_AS(path_plane({{1, 2}, {1, 2}, {1, 2}}), ShapeError);
  const PathPlane line = path_plane({{2, 2}, {1, 1}, {0, 0}});
  CHECK(line.explained[0] == Approx(1));
  CHECK(line.plane.second == std::vector<double>{0, 0});
  const std::vector<double> w = {3, 4, 7, 0, 0, 9};
  const Plane random = filter_normalised_plane(w, {{0, 2}, {3, 2}}, 5);
  CHECK(std::hypot(random.first[0], random.first[1]) == Approx(5));
  for (const std::size_t none : {2, 3, 4, 5}) CHECK(random.first[none] == 0);
  CHECK(random.first != random.second);
}

TEST_CASE("contour: of a circle, of a saddle, and beside values that are not finite") {
  std::vector<double> circle;
  for (int row = 0; row <= 20; ++row) {
    for (int column = 0; column <= 20; ++column) circle.push_back(std::hypot(column - 10.0, row - 10.0));
  }
  double length = 0;
  for (const ContourSegment& segment : contour(circle, 21, 21, 7.3)) {
    CHECK(std::hypot(segment.x0 - 10, segment.y0 - 10) == Approx(7.3).epsilon(0.02));
    length += std::hypot(segment.x1 - segment.x0, segment.y1 - segment.y0);
  }
  CHECK(length == Approx(2 * M_PI * 7.3).epsilon(0.02));
  const std::vector<double> saddle = {1, 0, 0, 0.9};  // corners (0,0) and (1,1) are high, the middle is .475
  const auto apart = contour(saddle, 2, 2, 0.5), together = contour(saddle, 2, 2, 0.4);
  REQUIRE(apart.size() == 2);
  REQUIRE(together.size() == 2);
  // The high corners are cut off each, or else the low ones.
  CHECK((apart[0].x0 + apart[0].x1) * (apart[0].y0 + apart[0].y1) < 1);
  CHECK(std::abs((together[0].x0 + together[0].x1) / 2 - (together[0].y0 + together[0].y1) / 2) > 0.3);
  circle[10 * 21 + 3] = NAN;
  CHECK(contour(circle, 21, 21, 7.3).size() > 0);
  CHECK_THROWS_AS(contour(circle, 20, 21, 1), ShapeError);
}

TEST_CASE(
    "landscape plane: along the path of a descent, and random directions, which do not show the sharpest "
    "one") {
  const TempDirectory folder;
  const Json path =
      run("plane", folder, small({{"hidden", {6}}, {"grid", 7}, {"pretraining", 600}, {"every", 50}}));
  CHECK(verdict(path, "holds the path")["verdict"] == "holds");
  CHECK(path["summary"].size() == 7);
  // Far from its end a path of few steps that overshoot is in no plane of two directions.
  const Json wild = run("plane", folder,
                        small({{"hidden", {6}},
                               {"grid", 3},
                               {"pretraining", 12},
                               {"every", 1},
                               {"pretraining_lr", 3.0},
                               {"pretraining_momentum", 0.0},
                               {"labels", "random"}}));
  CHECK(verdict(wild, "under the path")["verdict"] == "does not hold");
  const Json random = run("plane", folder, small({{"hidden", {6}}, {"grid", 5}, {"directions", "random"}}));
  CHECK(verdict(random, "how sharp")["verdict"] == "does not hold");
  CHECK_THAT(message("plane", folder, small({{"start", "random"}})), Contains("--every"));
  // One parameter more or less: of 1 unit, 1 input and 1 output, four parameters, planes show most of it.
  const Json tiny = run("plane", folder,
                        {{"data_set", "gaussian"},
                         {"samples", 20},
                         {"inputs", 1},
                         {"labels", "random"},
                         {"hidden", {1}},
                         {"grid", 3},
                         {"directions", "random"},
                         {"seed", 3}});
  CHECK(tiny["verdicts"].size() == 1);
}

TEST_CASE("landscape edge: sharpness rises to 2 / step, and stays below it where it has no reason to rise") {
  const TempDirectory folder;
  Json given = small({{"labels", "projection:2"},
                      {"samples", 60},
                      {"hidden", {12}},
                      {"step_sizes", {0.9}},
                      {"seeds", 2},
                      {"steps", 6000},
                      {"every", 100}});
  given["labels"] = "class";
  const Json result = run("edge", folder, given);
  INFO(result["verdicts"].dump(1));
  CHECK(verdict(result, "gradient descent ends")["verdict"] == "holds");
  Json still = given;
  still["step_sizes"] = {0.01};
  still["steps"] = 500;
  CHECK(verdict(run("edge", folder, still), "gradient descent ends")["verdict"] == "does not hold");
  CHECK_THAT(message("edge", folder, small({{"steps", 10}, {"every", 20}})), Contains("--every"));
}
