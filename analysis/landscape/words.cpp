#include "analysis/landscape/words.h"

#include <cmath>

#include "base/number_text.h"

namespace qmse {

std::string number_words(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  return significant_text(value, digits);
}

std::string interval_words(double value, const std::optional<Interval>& interval, int digits) {
  if (!interval) return number_words(value, digits);
  return number_words(value, digits) + " [" + number_words(interval->low, digits) + ", " +
         number_words(interval->high, digits) + "]";
}

}  // namespace qmse
