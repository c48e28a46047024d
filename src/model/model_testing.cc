#include "model/model_testing.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/mapped_file.h"
#include "base/source_path_testing.h"
#include "formats/npy.h"
#include "model/pack.h"

namespace gyrator {

std::string GoldenPath(const std::string& name) {
  return SourcePath("tests/golden/models/") + name;
}

LoadedModel MustLoad(const std::string& path, std::optional<ComputeType> compute) {
  ThreadPool threads(2);
  auto model = LoadModel(path, {.compute = compute, .threads = &threads, .progress = {}});
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  return model.ok() ? *std::move(model) : LoadedModel();
}

namespace {

// The elements of an array of T.
template <class T>
std::vector<T> ReadArray(const std::string& path, DType dtype) {
  const auto file = MappedFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  if (!file.ok()) return {};
  const auto array = ParseNpy(file->bytes());
  EXPECT_TRUE(array.ok() && array->IsNative() && array->dtype == dtype) << path;
  if (!array.ok()) return {};
  std::vector<T> out(array->data.size() / sizeof(T));
  std::memcpy(out.data(), array->data.data(), out.size() * sizeof(T));
  return out;
}

}  // namespace

std::vector<float> ReadFloats(const std::string& path) {
  return ReadArray<float>(path, DType::kF32);
}

std::vector<TokenId> ReadTokens(const std::string& path) {
  const auto wide = ReadArray<int64_t>(path, DType::kI64);
  return {wide.begin(), wide.end()};
}

double RelativeDelta(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double delta = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return INFINITY;
    delta = std::max(delta, std::fabs(double{a[i]} - double{b[i]}));
  }
  const auto [low, high] = std::ranges::minmax(b);
  return delta / (double{high} - double{low});
}

testing::AssertionResult SameBits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size() || a.empty()) {
    return testing::AssertionFailure() << a.size() << " values against " << b.size();
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return testing::AssertionFailure() << "value " << i << " is " << a[i] << ", not " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

std::vector<float> OperandValues(const Matrix& matrix, ComputeType compute) {
  const int64_t rows = matrix.rows, cols = matrix.cols;
  const PackedRows packed = {matrix.operand, rows, cols};
  std::vector<float> values;
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t i = 0; i < cols; ++i) {
      if (compute == ComputeType::kF32) {
        values.push_back(F32WeightsAt(packed, 0)[n * cols + i]);
      } else if (compute == ComputeType::kBF16) {  // [panel][k / 32][16][32]
        const int64_t tile = n / 16 * ((cols + 31) / 32) + i / 32;
        values.push_back(BF16ToF32(Bf16WeightsAt(packed, 0)[(tile * 16 + n % 16) * 32 + i % 32]));
      } else {  // [panel][k / 32][8][16][4]
        const Int8Panels panels = Int8WeightsAt(packed, 0);
        const int64_t group = n / 16 * (cols / 32) + i / 32;
        const int8_t q = panels.q[((group * 8 + i % 32 / 4) * 16 + n % 16) * 4 + i % 4];
        values.push_back(F16ToF32(panels.scale[group * 16 + n % 16]) * static_cast<float>(q));
      }
    }
  }
  return values;
}

TestKv::TestKv(const ModelConfig& config, DType dtype, int32_t num_sequences,
               Position positions_max) {
  const int32_t blocks_each = (positions_max + kBlockPositions - 1) / kBlockPositions;
  kv_.dtype = dtype;
  kv_.num_layers = config.num_layers;
  kv_.num_blocks = num_sequences * blocks_each;
  kv_.num_kv_heads = config.num_kv_heads;
  kv_.head_dim = config.head_dim;
  const auto bytes = static_cast<size_t>(kv_.total_bytes());
  auto memory = AllocateAligned(bytes, "test kv");
  EXPECT_TRUE(memory.ok());
  memory_ = *std::move(memory);
  std::memset(memory_.get(), 0xff, bytes);  // NaN in every dtype
  kv_.base = memory_.get();
  // Neighbours in a sequence lie num_sequences blocks apart, from the last to the first.
  for (int32_t s = 0; s < num_sequences; ++s) {
    std::vector<uint32_t> table;
    for (int32_t b = 0; b < blocks_each; ++b) {
      table.push_back(static_cast<uint32_t>((blocks_each - 1 - b) * num_sequences + s));
    }
    tables_.push_back(std::move(table));
  }
}

BlockTableView TestKv::table(int32_t sequence) const {
  const auto& blocks = tables_[static_cast<size_t>(sequence)];
  return {blocks.data(), static_cast<int32_t>(blocks.size())};
}

std::vector<float> RunForward(const RunArgs& args, std::span<const TokenId> tokens) {
  const LoadedModel& model = *args.model;
  const auto count = static_cast<int32_t>(tokens.size());
  const int32_t chunk = args.chunk > 0 ? args.chunk : count;
  ThreadPool threads(args.threads);
  TestKv kv(model.config, args.kv_dtype, 1, count);
  auto arena = CreateForwardArena(model.config, model.compute, chunk, args.threads);
  EXPECT_TRUE(arena.ok()) << arena.status().ToString();
  const Ops* ops = FindOps(args.isa);
  EXPECT_NE(nullptr, ops) << args.isa;
  const ForwardContext context = {&model.config, &model.weights, ops,
                                  &threads,      arena->get(),   nullptr};
  std::vector<float> logits(tokens.size() * static_cast<size_t>(model.config.vocab));
  for (int32_t first = 0; first < count; first += chunk) {
    const int32_t rows = std::min(chunk, count - first);
    const SequenceRows batch[] = {
        {tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(rows)), first, kv.table(0),
         rows}};
    float* out =
        logits.data() + static_cast<size_t>(first) * static_cast<size_t>(model.config.vocab);
    const Status status = Forward(context, kv.kv(), batch, out);
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  return logits;
}

}  // namespace gyrator
