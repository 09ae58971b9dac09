// A network at a point, with its data and its loss: what spectrum and the other tools look at. It is
//   --weights PATH                 the weights of a run directory or file of `qmse train`, over the first
//                                  --samples images of --split of a data set; or
//   --points PATH, --point NAME    a point that an experiment kept, with the data beside it; or, without either,
//   a small network                trained on a problem, as the experiments train theirs.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/critical/loss_surface.h"
#include "analysis/critical/matching.h"
#include "analysis/landscape/experiment.h"
#include "analysis/landscape/saved_points.h"
#include "analysis/landscape/trained_problem.h"

namespace qmse {

std::vector<LandscapeOption> network_point_options(const SmallNetwork& usual = {});

class TrainedModel;  // of --weights

class NetworkPoint {
 public:
  // ConfigError where two of the three are asked for at once, or a setting has no effect with the one that is;
  // and as load_point(), make_problem() and `qmse evaluate`.
  NetworkPoint(const Json& settings, const std::string& data, const SmallNetwork& usual = {});
  ~NetworkPoint();

  // A new one each time, for one thread.
  std::unique_ptr<LossSurface> surface() const;
  std::size_t parameters() const;
  const std::vector<double>& weights() const;

  std::string words() const;  // what it is, for notes
  Json description() const;   // for records
  // Of small networks, for the files beside the result; null where there are none.
  const Samples* samples() const;
  std::span<const double> slope_factors() const { return point_.objective.slope_factors; }
  std::vector<SavedPoint> saved() const;

  // Another one over the same data and with the same loss: beside --weights the weights of a run directory or
  // file, beside --points a point's name in the same file. ConfigError where its network is another one, or
  // where a small network is trained.
  std::vector<double> other(const std::string& name) const;
  // The way to weights(): of a small network the weights every `every` steps of its descent, of a run's final
  // weights its snapshots (--snapshot-every of qmse train). The last one is weights(). ConfigError where there
  // are fewer than three.
  std::vector<std::vector<double>> path(std::int64_t every) const;
  // What permutations, and for odd activations sign changes, of hidden units act on.
  std::vector<UnitLayer> layers() const;
  bool odd_units() const;
  // Null for --weights and --points.
  const TrainedProblem* trained() const { return trained_.get(); }

 private:
  std::unique_ptr<TrainedModel> model_;
  std::string points_;
  LoadedPoint point_;
  std::unique_ptr<TrainedProblem> trained_;
};

}  // namespace qmse
