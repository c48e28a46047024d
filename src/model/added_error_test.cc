#include "model/added_error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/source_path_testing.h"
#include "model/convert.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

double ErrorOf(const std::string& path, ComputeType compute, int num_threads = 2) {
  const LoadedModel model = MustLoad(path, compute);
  ThreadPool threads(num_threads);
  return AddedError(model, &threads, {});
}

TEST(AddedError, IsNoneWhereNothingIsRounded) {
  EXPECT_EQ(0, ErrorOf(GoldenPath("llama2"), ComputeType::kF32));
  EXPECT_EQ(0, ErrorOf(GoldenPath("qwen2.f16.gguf"), ComputeType::kF32));
  EXPECT_EQ(0, ErrorOf(GoldenPath("smollm2"), ComputeType::kBF16));
  EXPECT_EQ(0, ErrorOf(GoldenPath("qwen2.q8_0.gguf"), ComputeType::kInt8));
  EXPECT_EQ(0, ErrorOf(GoldenPath("qwen2.q8_0.gguf"), ComputeType::kF32));
}

// Against sums over the operands that were loaded: a tied head counts once, the embedding does not.
TEST(AddedError, IsThatOfTheOperands) {
  for (const char* name : {"qwen2.f32.gguf", "llama2.f32.gguf"}) {
    for (const ComputeType compute : {ComputeType::kBF16, ComputeType::kInt8}) {
      const LoadedModel stored = MustLoad(GoldenPath(name), ComputeType::kF32);
      const LoadedModel used = MustLoad(GoldenPath(name), compute);
      double error = 0, total = 0;
      const auto compare = [&](const Matrix& w, const Matrix& v) {
        const std::vector<float> a = OperandValues(w, ComputeType::kF32);
        const std::vector<float> b = OperandValues(v, compute);
        for (size_t i = 0; i < a.size(); ++i) {
          error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
          total += double{a[i]} * a[i];
        }
      };
      compare(stored.weights.head, used.weights.head);
      for (size_t i = 0; i < stored.weights.layers.size(); ++i) {
        const LayerWeights& w = stored.weights.layers[i];
        const LayerWeights& v = used.weights.layers[i];
        for (const auto matrix :
             {&LayerWeights::q, &LayerWeights::k, &LayerWeights::v, &LayerWeights::o,
              &LayerWeights::gate, &LayerWeights::up, &LayerWeights::down}) {
          compare(w.*matrix, v.*matrix);
        }
      }
      const double expected = std::sqrt(error / total);
      EXPECT_NEAR(expected, ErrorOf(GoldenPath(name), compute), 1e-9 * expected) << name;
      // Rounding to 8 bits of mantissa, and to 127 steps of the largest of 32.
      EXPECT_GT(expected, compute == ComputeType::kBF16 ? 1e-3 : 3e-3);
      EXPECT_LT(expected, compute == ComputeType::kBF16 ? 3e-3 : 1e-2);
    }
  }
}

TEST(AddedError, DoesNotDependOnThreads) {
  const std::string path = SourcePath("tests/golden/weights/mixed.gguf");
  const double one = ErrorOf(path, ComputeType::kInt8, 1);
  EXPECT_GT(one, 1e-4);
  EXPECT_LT(one, 1e-2);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(one, ErrorOf(path, ComputeType::kInt8, threads));
}

TEST(AddedError, ProgressEndsAtTheStoredBytes) {
  const LoadedModel model = MustLoad(GoldenPath("qwen2.f32.gguf"), ComputeType::kInt8);
  ThreadPool threads(1);
  uint64_t last = 0, all = 1;
  AddedError(model, &threads, [&](std::string_view what, uint64_t done, uint64_t total) {
    EXPECT_EQ("measuring weights", what);
    EXPECT_LT(last, done);
    last = done;
    all = total;
  });
  EXPECT_EQ(all, last);
}

}  // namespace
}  // namespace gyrator
