#include "kernels/linear/linear.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/linear/gemm.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/error_message.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Sizes around the blocks of the matrix product (6 rows, 16 or 8 columns, 256 deep) and of the threads' work
// (32 outputs, 128 inputs), and the ends: one sample, one input, one output.
const LinearShape kShapes[] = {
    {64, 300, 128, Activation::relu}, {33, 128, 10, Activation::identity}, {1, 1, 1, Activation::relu},
    {1, 257, 33, Activation::relu},   {7, 130, 1, Activation::identity},   {5, 1, 70, Activation::relu},
    {13, 31, 17, Activation::relu},   {6, 256, 16, Activation::identity},  {3, 515, 100, Activation::relu}};

std::string text(const LinearShape& s) {
  return std::to_string(s.batch) + " x " + std::to_string(s.in_features) + " -> " +
         std::to_string(s.out_features) + (s.activation == Activation::relu ? " relu" : "");
}

template <class T>
struct Inputs {
  std::vector<T> x, w, bias, dy;
};

template <class T>
Inputs<T> whole_inputs(const LinearShape& s) {
  return {random_integers<T>(s.batch * s.in_features, 1),
          random_integers<T>(s.out_features * s.in_features, 2), random_integers<T>(s.out_features, 3),
          random_integers<T>(s.batch * s.out_features, 4)};
}

template <class T>
Inputs<T> fractional_inputs(const LinearShape& s) {
  return {random_values<T>(s.batch * s.in_features, 5), random_values<T>(s.out_features * s.in_features, 6),
          random_values<T>(s.out_features, 7), random_values<T>(s.batch * s.out_features, 8)};
}

// With every gradient; as a function without default arguments.
template <class T>
std::unique_ptr<Linear<T>> planned(CpuContext& context, const LinearShape& shape) {
  return make_linear(context, Precision<T>(), shape);
}

template <class T>
struct Results {
  std::vector<T> y, dx, dw, db;
};

// Over buffers that hold NaN beforehand.
template <class T>
Results<T> run(Linear<T>& linear, const Inputs<T>& in) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Results<T> r{std::vector<T>(in.dy.size(), nan), std::vector<T>(in.x.size(), nan),
               std::vector<T>(in.w.size(), nan), std::vector<T>(in.bias.size(), nan)};
  linear.forward(in.x.data(), in.w.data(), in.bias.data(), r.y.data());
  linear.backward(in.x.data(), in.w.data(), r.y.data(), in.dy.data(), r.dx.data(), r.dw.data(), r.db.data());
  return r;
}

struct Reference {
  std::vector<double> y, dx, dw, db;
};

Reference reference(const LinearShape& s, const std::vector<double>& x, const std::vector<double>& w,
                    const std::vector<double>& bias, const std::vector<double>& dy) {
  const auto B = static_cast<std::size_t>(s.batch), I = static_cast<std::size_t>(s.in_features),
             O = static_cast<std::size_t>(s.out_features);
  Reference r{std::vector<double>(B * O), std::vector<double>(B * I, 0.0), std::vector<double>(O * I, 0.0),
              std::vector<double>(O, 0.0)};
  for (std::size_t n = 0; n < B; ++n) {
    for (std::size_t o = 0; o < O; ++o) {
      double z = bias.empty() ? 0 : bias[o];
      for (std::size_t i = 0; i < I; ++i) z += x[n * I + i] * w[o * I + i];
      const bool off = s.activation == Activation::relu && z <= 0;
      r.y[n * O + o] = off ? 0 : z;
      if (off) continue;
      const double g = dy[n * O + o];
      r.db[o] += g;
      for (std::size_t i = 0; i < I; ++i) {
        r.dx[n * I + i] += g * w[o * I + i];
        r.dw[o * I + i] += g * x[n * I + i];
      }
    }
  }
  return r;
}

template <class T>
using Make = std::unique_ptr<Linear<T>> (*)(CpuContext&, const LinearShape&);

// Whole numbers: every result is exact, and some sums before ReLU are zero.
template <class T>
void check_exact(Make<T> make) {
  CpuContext context(2);
  for (const LinearShape& s : kShapes) {
    const auto linear = make(context, s);
    CAPTURE(text(s), linear->algorithm());
    const Inputs<T> in = whole_inputs<T>(s);
    const auto x = to_f64(in.x), w = to_f64(in.w), dy = to_f64(in.dy);
    const Reference expected = reference(s, x, w, to_f64(in.bias), dy);
    const Results<T> r = run(*linear, in);
    CHECK((to_f64(r.y) == expected.y));
    CHECK((to_f64(r.dx) == expected.dx));
    CHECK((to_f64(r.dw) == expected.dw));
    CHECK((to_f64(r.db) == expected.db));

    const Reference unbiased = reference(s, x, w, {}, dy);
    std::vector<T> y(in.dy.size(), T(7)), dw(in.w.size(), T(7));
    linear->forward(in.x.data(), in.w.data(), nullptr, y.data());
    CHECK((to_f64(y) == unbiased.y));
    linear->backward(in.x.data(), in.w.data(), y.data(), in.dy.data(), nullptr, dw.data(), nullptr);
    CHECK((to_f64(dw) == unbiased.dw));
  }
}

// Inputs below 1 make partial sums of the order of sqrt(n), each rounded to its own unit, so a sum of n
// products stays within 2n units of 1. Without ReLU, whose sign a rounding may turn.
template <class T>
void check_rounded(Make<T> make) {
  CpuContext context(2);
  const double unit = std::numeric_limits<T>::epsilon();
  for (LinearShape s : kShapes) {
    s.activation = Activation::identity;
    const auto linear = make(context, s);
    CAPTURE(text(s), linear->algorithm());
    const Inputs<T> in = fractional_inputs<T>(s);
    const Reference expected = reference(s, to_f64(in.x), to_f64(in.w), to_f64(in.bias), to_f64(in.dy));
    const Results<T> r = run(*linear, in);
    check_close(r.y, expected.y, 0, unit * static_cast<double>(s.in_features + 1));
    check_close(r.dx, expected.dx, 0, unit * static_cast<double>(s.out_features));
    check_close(r.dw, expected.dw, 0, unit * static_cast<double>(s.batch));
    check_close(r.db, expected.db, 0, unit * static_cast<double>(s.batch));
  }
}

}  // namespace

TEST_CASE("linear: f32 equals the reference on whole numbers") { check_exact<float>(planned<float>); }
TEST_CASE("linear: f64 equals the reference on whole numbers") { check_exact<double>(planned<double>); }
TEST_CASE("linear: plain f32 equals the reference on whole numbers") {
  check_exact<float>(make_plain_linear<float>);
}
TEST_CASE("linear: f32 rounds like f32") {
  check_rounded<float>(planned<float>);
  check_rounded<float>(make_plain_linear<float>);
}
TEST_CASE("linear: f64 rounds like f64") { check_rounded<double>(planned<double>); }

TEST_CASE("linear: gradients agree with central differences") {
  CpuContext context(1);
  for (const Activation activation : {Activation::identity, Activation::relu}) {
    const LinearShape s{4, 7, 5, activation};
    const auto linear = make_linear(context, Precision<double>(), s);
    for (std::uint64_t seed = 50;; seed += 10) {
      REQUIRE(seed < 1000);
      const Inputs<double> in{random_values<double>(28, seed), random_values<double>(35, seed + 1),
                              random_values<double>(5, seed + 2), random_values<double>(20, seed + 3)};
      // ReLU's kink: no sum nearer to it than 1e-3; the differences move sums by less than 1e-4.
      const LinearShape sums{4, 7, 5, Activation::identity};
      bool clear = true;
      for (const double z : reference(sums, in.x, in.w, in.bias, in.dy).y)
        clear = clear && std::abs(z) > 1e-3;
      if (!clear) continue;
      CAPTURE(seed, text(s));
      const Results<double> r = run(*linear, in);
      using V = std::vector<double>;
      const auto forward = [&](const V& x, const V& w, const V& bias) {
        V y(in.dy.size());
        linear->forward(x.data(), w.data(), bias.data(), y.data());
        return y;
      };
      check_gradient([&](const V& v) { return forward(v, in.w, in.bias); }, in.x, in.dy, r.dx);
      check_gradient([&](const V& v) { return forward(in.x, v, in.bias); }, in.w, in.dy, r.dw);
      check_gradient([&](const V& v) { return forward(in.x, in.w, v); }, in.bias, in.dy, r.db);
      break;
    }
  }
}

namespace {

template <class T>
void check_threads(const LinearShape& s) {
  const Inputs<T> in = fractional_inputs<T>(s);
  Results<T> first;
  for (const int threads : {1, 2, 3, 5}) {
    CpuContext context(threads);
    const Results<T> r = run(*make_linear(context, Precision<T>(), s), in);
    if (threads == 1) first = r;
    CAPTURE(text(s), threads);
    CHECK((r.y == first.y));
    CHECK((r.dx == first.dx));
    CHECK((r.dw == first.dw));
    CHECK((r.db == first.db));
  }
}

}  // namespace

TEST_CASE("linear: the number of threads does not change a bit") {
  for (const LinearShape& s : {LinearShape{67, 700, 130, Activation::relu}, LinearShape{5, 128, 10}}) {
    check_threads<float>(s);
    check_threads<double>(s);
  }
}

TEST_CASE("linear: a planned layer allocates nothing") {
  CpuContext context(2);
  const auto in = fractional_inputs<float>(kShapes[0]);
  for (const Make<float> make : {&planned<float>, &make_plain_linear<float>}) {
    const auto linear = make(context, kShapes[0]);
    const std::int64_t before = context.memory().allocation_count();
    run(*linear, in);
    CHECK(context.memory().allocation_count() == before);
  }
}

TEST_CASE("linear: shapes that do not fit are refused") {
  CpuContext context(1);
  const auto refused = [&](const LinearShape& s, const char* part) {
    CAPTURE(text(s));
    CHECK(missing(message_of<ShapeError>([&] { check(s); }), {part}) == "");
    CHECK_THROWS_AS(make_linear(context, Precision<float>(), s), ShapeError);
    CHECK_THROWS_AS(make_linear(context, Precision<double>(), s), ShapeError);
  };
  refused({0, 3, 4}, "at least 1");
  refused({2, 0, 4}, "at least 1");
  refused({2, 3, -1}, "at least 1");
  refused({2, 3, 4, Activation::tanh}, "identity and relu");
  refused({2, 3, 4, Activation::sigmoid}, "identity and relu");
}

namespace {

// Every combination of transposed operands, over sizes around the tile, adding to C or not.
template <class T>
void check_gemm() {
  std::uint64_t seed = 1;
  for (const std::int64_t M : {1, 5, 6, 7, 13}) {
    for (const std::int64_t N : {1, 7, 8, 9, 16, 17, 35}) {
      for (const std::int64_t K : {1, 8, 255, 256, 259}) {
        const auto a = random_integers<T>(M * K, ++seed), b = random_integers<T>(K * N, ++seed),
                   c0 = random_integers<T>(M * (N + 3), ++seed);
        for (const bool a_transposed : {false, true}) {
          for (const bool b_transposed : {false, true}) {
            for (const bool add : {false, true}) {
              const MatrixView<T> A{a.data(), a_transposed ? 1 : K, a_transposed ? M : 1};
              const MatrixView<T> B{b.data(), b_transposed ? 1 : N, b_transposed ? K : 1};
              std::vector<T> c = c0, expected = c0;
              for (std::int64_t m = 0; m < M; ++m) {
                for (std::int64_t n = 0; n < N; ++n) {
                  T sum = add ? c0[m * (N + 3) + n] : T(0);
                  for (std::int64_t k = 0; k < K; ++k)
                    sum +=
                        a[m * A.row_stride + k * A.column_stride] * b[k * B.row_stride + n * B.column_stride];
                  expected[m * (N + 3) + n] = sum;
                }
              }
              gemm<T>(M, N, K, A, B, c.data(), N + 3, add);
              CAPTURE(M, N, K, a_transposed, b_transposed, add, seed);
              REQUIRE((c == expected));
            }
          }
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("gemm: f32 equals the definition on whole numbers") { check_gemm<float>(); }
TEST_CASE("gemm: f64 equals the definition on whole numbers") { check_gemm<double>(); }
