// Catch2 2.x (Debian 12) and 3.x have different header names; tests include this one. QMSE_CATCH2_MAJOR is of
// the package that CMake found: another's headers may lie on the way too.
#pragma once

#if QMSE_CATCH2_MAJOR >= 3
#include <catch2/catch_all.hpp>
using Catch::Approx;
namespace Catch {  // 2.x's name
inline auto Contains(const std::string& text) { return Matchers::ContainsSubstring(text); }
}  // namespace Catch
#else
#include <catch2/catch.hpp>
#endif
