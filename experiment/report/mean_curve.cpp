#include "experiment/report/mean_curve.h"

#include <algorithm>

#include "base/error.h"
#include "experiment/report/statistics.h"

namespace qmse {

Curve mean_curve(const std::string& label, std::span<const RunLine> lines) {
  Curve curve{label, {}, {}};
  std::vector<const RunLine*> whole;
  for (const RunLine& line : lines) {
    if (line.whole) {
      whole.push_back(&line);
    } else if (!line.x.empty()) {
      curve.strands.push_back({line.x, line.y});
    }
  }
  for (const RunLine* line : whole) {
    if (line->x.size() != whole.front()->x.size() || line->y.size() != line->x.size())
      throw ShapeError("curve " + label + " is to be the mean of lines of several lengths");
  }
  for (std::size_t i = 0; !whole.empty() && i < whole.front()->x.size(); ++i) {
    std::vector<double> x, y;
    for (const RunLine* line : whole) {
      x.push_back(line->x[i]);
      y.push_back(line->y[i]);
    }
    const double center = mean(y);
    curve.x.push_back(mean(x));
    curve.mean.push_back(center);
    if (const std::optional<double> deviation = standard_deviation(y)) {
      curve.low.push_back(center - *deviation);
      curve.high.push_back(center + *deviation);
    }
  }
  return curve;
}

std::string seeds_caption(std::span<const std::size_t> seeds) {
  std::vector<std::size_t> some;
  std::copy_if(seeds.begin(), seeds.end(), std::back_inserter(some),
               [](std::size_t count) { return count > 0; });
  if (some.empty()) return "No curve is a mean.";
  const auto [fewest, most] = std::minmax_element(some.begin(), some.end());
  if (*most == 1) return "One seed for each curve.";
  return "Lines: the mean over " + (*fewest < *most ? std::to_string(*fewest) + " to " : "") +
         std::to_string(*most) + " seeds; bands: their standard deviation.";
}

}  // namespace qmse
