#include "engine/tape.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// What the test operations were asked to do, in order.
struct Log {
  std::vector<std::string> calls;
};

// c = a * b, element by element.
class Multiply : public Operation {
 public:
  Multiply(std::string name, std::int64_t count, Log* log)
      : name_(std::move(name)), count_(count), log_(log) {}

  void forward(const ForwardBuffers& b) override {
    for (std::int64_t i = 0; i < count_; ++i) out(b.output)[i] = in(b.inputs[0])[i] * in(b.inputs[1])[i];
    log_->calls.push_back("forward " + name_);
  }
  void backward(const BackwardBuffers& b) override {
    std::string wanted;
    for (std::size_t side = 0; side < 2; ++side) {
      if (b.input_gradients[side] == nullptr) continue;
      wanted += std::to_string(side);
      for (std::int64_t i = 0; i < count_; ++i) {
        out(b.input_gradients[side])[i] = in(b.output_gradient)[i] * in(b.inputs[1 - side])[i];
      }
    }
    log_->calls.push_back("backward " + name_ + " " + wanted);
  }

 private:
  static const double* in(const void* p) { return static_cast<const double*>(p); }
  static double* out(void* p) { return static_cast<double*>(p); }
  std::string name_;
  std::int64_t count_;
  Log* log_;
};

struct Fixture {
  Context context = cpu();
  ParameterStore store{context, DType::f64, {{"w", {2}}, {"u", {2}}, {"unused", {2}}}};
  Tape tape{context, {.dtype = DType::f64}};
  Log log;

  Value multiply(const std::string& name, Value a, Value b) {
    return tape.record(name, tape.shape(a), {a, b},
                       std::make_unique<Multiply>(name, tape.shape(a).count(), &log));
  }
  void set(Value value, double first, double second) {
    tape.data_as<double>(value)[0] = first;
    tape.data_as<double>(value)[1] = second;
  }
  void run(Value root) {
    tape.forward();
    auto* seed = static_cast<double*>(tape.gradient(root));
    seed[0] = seed[1] = 1.0;
    tape.backward(root);
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "tape: a value read twice by one node gets both gradients") {
  const Value w = tape.parameter(store, 0);
  set(w, 3, -5);
  const Value square = multiply("square", w, w);
  run(square);
  CHECK(values<double>(tape, square) == std::vector<double>{9, 25});
  CHECK(gradients<double>(tape, w) == std::vector<double>{6, -10});
  run(square);  // a second run overwrites, it does not add
  CHECK(gradients<double>(tape, w) == std::vector<double>{6, -10});
}

TEST_CASE_METHOD(Fixture, "tape: a value read by many nodes gets the sum, whatever their order") {
  const Value w = tape.parameter(store, 0);
  const Value u = tape.parameter(store, 1);
  set(w, 2, 3);
  set(u, 5, 7);
  const Value a = multiply("a", w, u);  // wu
  const Value b = multiply("b", u, w);  // uw
  const Value c = multiply("c", a, w);  // w^2 u
  const Value d = multiply("d", c, b);  // w^3 u^2
  run(d);
  CHECK(gradients<double>(tape, w) == std::vector<double>{3 * 4 * 25., 3 * 9 * 49.});
  CHECK(gradients<double>(tape, u) == std::vector<double>{2 * 8 * 5., 2 * 27 * 7.});
}

TEST_CASE_METHOD(Fixture, "tape: nodes without need of a gradient are pruned, and inputs never get one") {
  const Value x = tape.input("x", {2});
  const Value w = tape.parameter(store, 0);
  set(x, 2, 3);
  set(w, 5, 7);
  const Value constant = multiply("constant", x, x);
  const Value product = multiply("product", constant, w);
  CHECK_FALSE(tape.needs_gradient(constant));
  CHECK(tape.gradient(constant) == nullptr);
  CHECK(tape.gradient(x) == nullptr);
  run(product);
  CHECK(log.calls == std::vector<std::string>{"forward constant", "forward product", "backward product 1"});
  CHECK(gradients<double>(tape, w) == std::vector<double>{4, 9});
}

TEST_CASE_METHOD(Fixture,
                 "tape: branches that do not reach the root are skipped and their parameters get zeros") {
  const Value w = tape.parameter(store, 0);
  const Value u = tape.parameter(store, 1);
  set(w, 2, 3);
  set(u, 5, 7);
  const Value root = multiply("root", w, w);
  multiply("dead", w, u);  // recorded after the root, reads w too
  static_cast<double*>(tape.gradient(u))[0] = 99;
  run(root);
  CHECK(gradients<double>(tape, w) == std::vector<double>{4, 6});
  CHECK(gradients<double>(tape, u) == std::vector<double>{0, 0});
  CHECK(log.calls == std::vector<std::string>{"forward root", "forward dead", "backward root 01"});
}

TEST_CASE_METHOD(Fixture, "tape: a reshape shares elements and gradients with its source") {
  const Value w = tape.parameter(store, 0);
  set(w, 2, 3);
  const Value square = multiply("square", w, w);
  const Value tall = tape.reshape("tall", square, {2, 1});
  const Value again = tape.reshape("again", tall, {1, 2});
  const Value fourth = multiply("fourth", again, tall);
  CHECK(tape.data(tall) == tape.data(square));
  run(fourth);
  CHECK(values<double>(tape, fourth) == std::vector<double>{16, 81});
  CHECK(gradients<double>(tape, w) == std::vector<double>{4 * 8., 4 * 27.});
  run(tall);  // a reshape as root
  CHECK(gradients<double>(tape, w) == std::vector<double>{4, 6});
  CHECK_THROWS_AS(tape.reshape("wrong", square, {3}), ShapeError);
}

TEST_CASE_METHOD(Fixture, "tape: a parameter is one leaf however often it is asked for") {
  const Value first = tape.parameter(store, 1);
  CHECK(tape.parameter(store, 1).id == first.id);
  CHECK(tape.data(first) == store.weights(1));
  CHECK(tape.gradient(first) == store.gradients(1));
  CHECK(tape.is_leaf(first));
}

TEST_CASE("tape: without gradients none is allocated and backward is refused") {
  Context context = cpu();
  ParameterStore store(context, DType::f64, {{"w", {1000}}});
  const std::size_t before = context.memory().live_bytes();
  Tape tape(context, {.dtype = DType::f64, .gradients = false});
  Log log;
  const Value w = tape.parameter(store, 0);
  const Value y = tape.record("y", {1000}, {w, w}, std::make_unique<Multiply>("y", 1000, &log));
  CHECK(tape.gradient(w) == nullptr);
  CHECK(context.memory().live_bytes() - before < 2 * 1000 * sizeof(double));
  CHECK_THROWS_AS(tape.backward(y), std::logic_error);
}

TEST_CASE_METHOD(Fixture, "tape: running allocates nothing") {
  const Value w = tape.parameter(store, 0);
  set(w, 1, 1);
  Value y = multiply("y", w, w);
  for (int i = 0; i < 5; ++i) y = multiply("y", y, w);
  const std::int64_t before = context.memory().allocation_count();
  for (int i = 0; i < 3; ++i) run(y);
  CHECK(context.memory().allocation_count() == before);
}

TEST_CASE_METHOD(Fixture, "tape: the first non-finite value is named") {
  const Value x = tape.input("x", {2});
  const Value y = multiply("y", x, x);
  const Value z = multiply("z", y, y);
  set(x, 1, 2);
  tape.forward();
  CHECK(tape.first_non_finite().id < 0);
  set(x, 1, 1e160);  // y overflows, x does not
  tape.forward();
  CHECK(tape.first_non_finite().id == y.id);
  set(x, std::numeric_limits<double>::quiet_NaN(), 1);
  tape.forward();
  CHECK(tape.first_non_finite().id == x.id);
  CHECK(tape.name(z) == "z");
}

TEST_CASE("tape: dtypes it cannot compute in are refused") {
  Context context = cpu();
  CHECK_THROWS_AS(Tape(context, {.dtype = DType::u8}), std::logic_error);
  ParameterStore store(context, DType::f32, {{"w", {2}}});
  Tape tape(context, {.dtype = DType::f64});
  CHECK_THROWS_AS(tape.parameter(store, 0), std::logic_error);
}
