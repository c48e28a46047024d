#include "model/added_error.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops.h"
#include "model/convert.h"
#include "model/family.h"

namespace gyrator {

namespace {

constexpr int64_t kPiece = 1 << 14;  // values compared at a time; a multiple of every block

struct Sums {
  double error = 0;   // of squares of differences
  double stored = 0;  // of squares of stored values
};

// Of values begin .. begin + count - 1 of the tensor.
Sums Compare(const Conversion& conversion, int64_t begin, int64_t count) {
  const FloatEnvironment environment;
  std::vector<float> stored(static_cast<size_t>(count)), used(static_cast<size_t>(count));
  std::vector<std::byte> operand(*TensorBytes(conversion.to, {count}));
  Widen(conversion.from.dtype, conversion.from.bytes.data(), begin, count, stored.data());
  // The model was loaded: what it refuses is not here.
  (void)ConvertRange(conversion, begin, count, operand.data());
  Widen(conversion.to, operand.data(), 0, count, used.data());
  Sums sums;
  for (size_t i = 0; i < stored.size(); ++i) {
    const double w = stored[i], difference = w - double{used[i]};
    sums.error += difference * difference;
    sums.stored += w * w;
  }
  return sums;
}

// The matrices that are multiplied, as they are stored.
std::vector<TensorView> Matrices(const LoadedModel& model) {
  const ModelConfig& config = model.config;
  std::vector<TensorView> matrices;
  for (const TensorSpec& spec : FamilyOf(config).tensors()) {
    const bool only_looked_up = spec.model_matrix == &Weights::embedding && !config.tied_head;
    if (!spec.exists(config) || spec.is_vector() || only_looked_up) continue;
    for (int32_t layer = 0; layer < (spec.per_layer() ? config.num_layers : 1); ++layer) {
      const auto view = model.tensors.Get(TensorName(spec, model.format, layer));
      if (view.ok()) matrices.push_back(*view);
    }
  }
  return matrices;
}

Sums CompareAll(const Conversion& conversion, ThreadPool* threads) {
  const int64_t count = NumElements(conversion.from.shape).value_or(0);
  const int64_t num_pieces = (count + kPiece - 1) / kPiece;
  std::vector<Sums> pieces(static_cast<size_t>(num_pieces));
  threads->ParallelFor(num_pieces, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i * kPiece;
      pieces[static_cast<size_t>(i)] = Compare(conversion, begin, std::min(kPiece, count - begin));
    }
  });
  Sums sums;
  for (const Sums& piece : pieces) {
    sums.error += piece.error;
    sums.stored += piece.stored;
  }
  return sums;
}

}  // namespace

double AddedError(const LoadedModel& model, ThreadPool* threads, const Progress& progress) {
  const std::vector<TensorView> matrices = Matrices(model);
  uint64_t done = 0, total = 0;
  for (const TensorView& view : matrices) total += view.bytes.size();
  Sums sums;
  for (const TensorView& view : matrices) {
    const DType to = OperandDType(model.compute);
    const Sums added = CompareAll(PlanConversion(view, to, threads), threads);
    sums.error += added.error;
    sums.stored += added.stored;
    model.tensors.Release(view.bytes);
    done += view.bytes.size();
    if (progress) progress("measuring weights", done, total);
  }
  return sums.stored > 0 ? std::sqrt(sums.error / sums.stored) : 0;
}

}  // namespace gyrator
