#include "algebra/lanczos.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {
namespace {

using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

std::span<const double> span_of(const VectorXd& v) { return {v.data(), static_cast<std::size_t>(v.size())}; }
std::span<double> span_of(VectorXd& v) { return {v.data(), static_cast<std::size_t>(v.size())}; }

// Makes v orthogonal to the columns, twice, since once leaves what rounding makes of almost parallel vectors;
// returns what it had along them.
VectorXd make_orthogonal(VectorXd& v, const Eigen::Ref<const MatrixXd>& columns) {
  VectorXd along = columns.transpose() * v;
  v.noalias() -= columns * along;
  const VectorXd again = columns.transpose() * v;
  v.noalias() -= columns * again;
  return along + again;
}

// An orthonormal basis that grows by products, and the matrix in it. `sign` -1 turns the matrix' spectrum
// round, so that the wanted end is always the top.
class KrylovSpace {
 public:
  KrylovSpace(const SymmetricProduct& product, double sign, Index size, Index most, VectorXd start,
              const MatrixXd& aside)
      : product_(product), sign_(sign), aside_(aside), basis_(size, most), matrix_(most, most) {
    make_orthogonal(start, aside_);
    rest_ = start.norm();
    next_ = start / rest_;
  }

  Index dimensions() const { return dimensions_; }
  bool full() const { return dimensions_ == basis_.cols(); }
  // No product leads out of the space: its Ritz pairs are eigenpairs.
  bool invariant() const { return invariant_; }
  double seen_norm() const { return seen_norm_; }

  void grow() {
    basis_.col(dimensions_) = next_;
    const VectorXd& in = next_;
    VectorXd out(in.size());
    product_(span_of(in), span_of(out));
    out *= sign_;
    const double length = out.norm();
    if (!std::isfinite(length)) throw NumericError("a product of the matrix is not finite");
    seen_norm_ = std::max(seen_norm_, length);
    ++dimensions_;
    make_orthogonal(out, aside_);
    const VectorXd along = make_orthogonal(out, basis_.leftCols(dimensions_));
    matrix_.col(dimensions_ - 1).head(dimensions_) = along;
    matrix_.row(dimensions_ - 1).head(dimensions_) = along.transpose();
    rest_ = out.norm();
    invariant_ = dimensions_ + aside_.cols() == in.size() || !(rest_ > 1e-13 * seen_norm_);
    if (!invariant_) next_ = out / rest_;
  }

  // Ritz pairs, the top first: values, and the residuals that the last product implies.
  struct Ritz {
    VectorXd values, residuals;
    MatrixXd vectors;  // in the basis, a column each
  };
  Ritz ritz() const {
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(matrix_.topLeftCorner(dimensions_, dimensions_));
    if (solver.info() != Eigen::Success) throw NumericError("the eigenvalues of a matrix did not converge");
    Ritz ritz{solver.eigenvalues().reverse(), {}, solver.eigenvectors().rowwise().reverse()};
    ritz.residuals = (invariant_ ? 0 : rest_) * ritz.vectors.row(dimensions_ - 1).transpose().cwiseAbs();
    return ritz;
  }

  VectorXd vector(const Ritz& ritz, Index i) const {
    return basis_.leftCols(dimensions_) * ritz.vectors.col(i);
  }

  // Keeps the first `count` Ritz vectors and the direction in which the space would have grown.
  void restart(const Ritz& ritz, Index count) {
    const MatrixXd kept = basis_.leftCols(dimensions_) * ritz.vectors.leftCols(count);
    basis_.leftCols(count) = kept;
    dimensions_ = count;
    matrix_.topLeftCorner(count, count) = ritz.values.head(count).asDiagonal();
  }

 private:
  const SymmetricProduct& product_;
  double sign_;
  const MatrixXd& aside_;
  MatrixXd basis_, matrix_;
  VectorXd next_;
  Index dimensions_ = 0;
  double rest_ = 0, seen_norm_ = 0;
  bool invariant_ = false;
};

class ExtremeSearch {
 public:
  ExtremeSearch(const SymmetricProduct& product, std::int64_t size, std::int64_t count, SpectrumEnd end,
                std::uint64_t seed, const LanczosRule& rule)
      : product_(product),
        size_(size),
        count_(count),
        sign_(end == SpectrumEnd::top ? 1 : -1),
        rule_(rule),
        random_(seed, RandomPurpose::probe),
        aside_(size, 0) {}

  ExtremeEigenpairs find() {
    bool news = true;
    while (news && aside_.cols() < size_ && products_ < rule_.products) news = round();
    ExtremeEigenpairs result{.pairs = std::move(found_), .products = products_};
    result.converged = !open_ && (!news || aside_.cols() == size_);
    if (static_cast<Index>(result.pairs.size()) > count_)
      result.pairs.resize(static_cast<std::size_t>(count_));
    for (EigenPair& pair : result.pairs) pair.value *= sign_;
    return result;
  }

 private:
  // How many of these values, from the first on, belong to the `count` outermost together with what has been
  // found. One that is found already, to within the tolerance, is no news.
  Index wanted(const VectorXd& values) const {
    Index wanted = 0;
    for (; wanted < values.size(); ++wanted) {
      const double least = values[wanted] - rule_.tolerance * scale_;
      const auto before = std::count_if(found_.begin(), found_.end(),
                                        [&](const EigenPair& pair) { return pair.value >= least; });
      if (wanted + before >= count_) break;
    }
    return wanted;
  }

  // From a new start beside what has been put aside until all that is wanted has converged. False where
  // nothing was.
  bool round() {
    VectorXd start(size_);
    for (double& value : start) value = random_.normal();
    const Index usual = std::clamp<Index>((Index{1} << 25) / size_, 60, 300);
    const Index room = size_ - aside_.cols(),
                most =
                    std::min(room, std::max<Index>(rule_.basis > 0 ? rule_.basis : usual, 2 * count_ + 10));
    KrylovSpace space(product_, sign_, size_, most, std::move(start), aside_);
    Index next_look = kBetweenLooks;
    while (true) {
      space.grow();
      ++products_;
      scale_ = std::max(scale_, space.seen_norm());
      const bool spent = products_ >= rule_.products;
      if (!space.full() && !space.invariant() && !spent && space.dimensions() < next_look) continue;
      next_look = space.dimensions() + std::max(kBetweenLooks, space.dimensions() / 8);
      const KrylovSpace::Ritz ritz = space.ritz();
      const Index news = wanted(ritz.values);
      // Where nothing is news, that has to be so of the outermost value once it has converged.
      const bool converged =
          (ritz.residuals.head(std::max<Index>(news, 1)).array() <= rule_.tolerance * scale_).all();
      if (converged || space.invariant() || spent) {
        for (Index i = 0; i < news; ++i) keep(space.vector(ritz, i), ritz.values[i]);
        std::stable_sort(found_.begin(), found_.end(),
                         [](const EigenPair& a, const EigenPair& b) { return a.value > b.value; });
        open_ = open_ || !(converged || space.invariant());
        return news > 0;
      }
      if (!space.full()) continue;
      space.restart(ritz, std::min(news + (most - news) / 2, most - 1));
      next_look = space.dimensions() + kBetweenLooks;
    }
  }

  void keep(const VectorXd& vector, double value) {
    VectorXd image(size_);
    product_(span_of(vector), span_of(image));
    const double residual = (sign_ * image - value * vector).norm();
    found_.push_back({.value = value, .residual = residual, .vector = {vector.begin(), vector.end()}});
    aside_.conservativeResize(Eigen::NoChange, aside_.cols() + 1);
    aside_.rightCols(1) = vector;
  }

  static constexpr Index kBetweenLooks = 8;  // products; a look costs the eigenvalues of a small matrix

  const SymmetricProduct& product_;
  Index size_, count_;
  double sign_;
  LanczosRule rule_;
  RandomStream random_;
  MatrixXd aside_;
  std::vector<EigenPair> found_;  // outermost first
  double scale_ = 0;
  std::int64_t products_ = 0;
  bool open_ = false;  // something wanted had not converged when the products were spent
};

}  // namespace

ExtremeEigenpairs extreme_eigenpairs(const SymmetricProduct& product, std::int64_t size, std::int64_t count,
                                     SpectrumEnd end, std::uint64_t seed, const LanczosRule& rule) {
  if (size < 1 || count < 1 || count > size) {
    throw ShapeError("a matrix of size " + std::to_string(size) + " was asked for " + std::to_string(count) +
                     " eigenvalues: it has from 1 to its size");
  }
  return ExtremeSearch(product, size, count, end, seed, rule).find();
}

SpectralNodes spectral_nodes(const SymmetricProduct& product, std::int64_t size, std::int64_t steps,
                             std::uint64_t seed, std::uint32_t number) {
  if (size < 1 || steps < 1) throw ShapeError("a quadrature needs a matrix and at least one step");
  RandomStream random(seed, RandomPurpose::probe, 1 + number);
  VectorXd start(size);
  for (double& value : start) value = random.sign();
  const MatrixXd nothing(size, 0);
  KrylovSpace space(product, 1, size, std::min(steps, size), std::move(start), nothing);
  while (!space.full() && !space.invariant()) space.grow();
  const KrylovSpace::Ritz ritz = space.ritz();
  SpectralNodes result;
  for (Index i = ritz.values.size() - 1; i >= 0; --i) {
    result.nodes.push_back(ritz.values[i]);
    result.weights.push_back(ritz.vectors(0, i) * ritz.vectors(0, i));
    result.residuals.push_back(ritz.residuals[i]);
  }
  return result;
}

}  // namespace qmse
