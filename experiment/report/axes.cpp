#include "experiment/report/axes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/number_text.h"

namespace qmse {
namespace {

// 1, 2 or 5 times a power of ten, the largest that is not above `most`, or that one's next below.
double round_step(double most) {
  const double power = std::pow(10.0, std::floor(std::log10(most)));
  for (const double factor : {5.0, 2.0}) {
    if (factor * power <= most * 1.001) return factor * power;
  }
  return power;
}

std::string log_tics(const AxisRange& places) {
  if (places.span() >= 2) return shortest_text(std::pow(10.0, std::max(1.0, std::round(places.span() / 5))));
  // Fewer than two powers of ten: what is between them too, as far as needed.
  const double low = std::pow(10.0, places.low), high = std::pow(10.0, places.high);
  std::vector<double> tics;
  for (const std::vector<double>& mantissas :
       {std::vector<double>{1, 2, 5}, std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9}}) {
    tics.clear();
    for (int power = static_cast<int>(std::floor(places.low)); power <= places.high; ++power) {
      for (const double mantissa : mantissas) {
        const double tic = mantissa * std::pow(10.0, power);
        if (tic >= low && tic <= high) tics.push_back(tic);
      }
    }
    if (tics.size() >= 3) break;
  }
  if (tics.size() < 3) {
    tics.clear();
    const double step = round_step((high - low) / 3);
    for (double k = std::ceil(low / step); k * step <= high; ++k) tics.push_back(k * step);
  }
  std::string list;
  for (const double tic : tics) list += (list.empty() ? "(" : ", ") + shortest_text(tic);
  return list + ")";
}

// Room for the curves, also where they are flat or there are none.
AxisRange padded(AxisRange range) {
  if (range.span() < 0) return {0, 1};
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  const bool flat = range.span() <= std::max(1e-12 * size, 1e-300);
  const double room = flat ? std::max(0.05 * size, 0.05) : 0.05 * range.span();
  return {range.low - room, range.high + room};
}

}  // namespace

double placed(double value, bool logarithmic) {
  if (!logarithmic) return value;
  return value > 0 ? std::log10(value) : NAN;
}

AxisRange x_range(const Panel& panel) {
  AxisRange range;
  for (const Curve& curve : panel.curves) {
    for (const double x : curve.x) range.add(placed(x, panel.log_x));
    for (const Strand& strand : curve.strands) {
      for (const double x : strand.x) range.add(placed(x, panel.log_x));
    }
  }
  if (range.span() < 0) return {0, 1};
  return range.span() > 0 ? range : AxisRange{range.low - 1, range.high + 1};
}

AxisRange y_range(const Panel& panel, const AxisRange& x) {
  AxisRange range;
  const auto inside = [&](double value) {
    const double at = placed(value, panel.log_x);
    return at >= x.low && at <= x.high;
  };
  const auto place = [&](double value) { return placed(value, panel.log_y); };
  for (const Curve& curve : panel.curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      if (!inside(curve.x[i])) continue;
      range.add(place(curve.mean[i]));
      if (curve.low.empty()) continue;
      range.add(place(curve.low[i]));
      range.add(place(curve.high[i]));
    }
  }
  const bool any = range.span() >= 0;
  const AxisRange most = {range.low - padded(range).span(), range.high + padded(range).span()};
  for (const Curve& curve : panel.curves) {
    for (const Strand& strand : curve.strands) {
      for (std::size_t i = 0; i < strand.x.size(); ++i) {
        const double y = place(strand.y[i]);
        if (!inside(strand.x[i]) || !std::isfinite(y)) continue;
        range.add(any ? std::clamp(y, most.low, most.high) : y);
      }
    }
  }
  return padded(range);
}

AxisRange unplaced(const AxisRange& range, bool logarithmic) {
  return logarithmic ? AxisRange{std::pow(10.0, range.low), std::pow(10.0, range.high)} : range;
}

std::string x_tics(const Panel& panel, const AxisRange& range) {
  if (panel.log_x) return log_tics(range);
  const bool whole = std::all_of(panel.curves.begin(), panel.curves.end(), [](const Curve& curve) {
    return std::all_of(curve.x.begin(), curve.x.end(), [](double x) { return x == std::floor(x); });
  });
  const double step = round_step(range.span() / 4);
  return shortest_text(whole ? std::max(step, 1.0) : step);
}

std::string y_tics(const Panel& panel, const AxisRange& range) {
  return panel.log_y ? log_tics(range) : linear_tics(range.span() / 4);
}

std::string linear_tics(double most) { return shortest_text(round_step(most)); }

}  // namespace qmse
