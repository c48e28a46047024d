// The kernels in the shapes of Llama-3.2-1B, on two threads of the pool, for every implementation:
// GB/s of weights for one row (decode), GFLOP/s (GOP/s) for many (prefill), KV bytes for attention.
//   kernels_bench --benchmark_filter=avx2 --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/bf16_operand.h"
#include "kernels/ops.h"

namespace gyrator {
namespace {

constexpr int64_t kGrain = 64;  // columns; whole panels

template <class T>
std::vector<T> RandomBytes(int64_t count) {
  std::vector<T> data(static_cast<size_t>(count));
  uint32_t state = 1;
  for (T& x : data) {
    state = state * 1664525u + 1013904223u;
    if constexpr (std::is_same_v<T, float>) x = static_cast<float>(state >> 9) * 0x1p-23f - 0.5f;
    if constexpr (std::is_same_v<T, uint16_t>)
      x = F32ToBF16(static_cast<float>(state >> 9) * 0x1p-23f);
    if constexpr (std::is_same_v<T, int8_t>) x = static_cast<int8_t>((state >> 24) % 255 - 127);
  }
  return data;
}

struct Sizes {
  int64_t rows, columns, k;
};

// Runs multiply(shape, first column, y) over enough columns to leave the caches in decode.
void RunMatMul(benchmark::State& state, const Sizes& s, int64_t weight_bytes,
               const std::function<void(const MatMulShape&, int64_t, float*)>& multiply) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  std::vector<float> y(static_cast<size_t>(s.rows * s.columns));
  for (auto _ : state) {
    pool.ParallelFor(s.columns, kGrain, [&](int64_t begin, int64_t end) {
      const FloatEnvironment environment;
      multiply({.num_rows = s.rows, .k = s.k, .num_columns = end - begin, .y_stride = s.columns},
               begin, y.data() + begin);
    });
    benchmark::DoNotOptimize(y.data());
  }
  const double runs = static_cast<double>(state.iterations());
  const double work = 2.0 * static_cast<double>(s.rows * s.columns * s.k) * runs;
  state.counters["GFLOP/s"] = benchmark::Counter(work * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(weight_bytes) * runs * 1e-9,
                                              benchmark::Counter::kIsRate);
}

void MatMulF32(benchmark::State& state, const Ops* ops, Sizes s) {
  const auto x = RandomBytes<float>(s.rows * s.k), w = RandomBytes<float>(s.columns * s.k);
  RunMatMul(state, s, s.columns * s.k * 4, [&](const MatMulShape& shape, int64_t n, float* y) {
    ops->matmul_f32(x.data(), w.data() + n * s.k, y, shape);
  });
}

void MatMulBf16(benchmark::State& state, const Ops* ops, Sizes s) {
  const auto x = RandomBytes<uint16_t>(Bf16OperandElements(s.rows, s.k));
  const auto w = RandomBytes<uint16_t>(s.columns * s.k);
  RunMatMul(state, s, s.columns * s.k * 2, [&](const MatMulShape& shape, int64_t n, float* y) {
    ops->matmul_bf16(x.data(), w.data() + n * s.k, y, shape);
  });
}

void MatMulInt8(benchmark::State& state, const Ops* ops, Sizes s) {
  const auto q = RandomBytes<int8_t>(s.rows * s.k);
  const auto scale = RandomBytes<float>(s.rows * s.k / 32);
  const std::vector<int32_t> start(scale.size());
  const auto w = RandomBytes<int8_t>(s.columns * s.k);
  const std::vector<uint16_t> w_scale(static_cast<size_t>(s.columns * s.k / 32), 0x1400);
  const Int8Panels panels = {w.data(), w_scale.data()};
  const int64_t bytes = s.columns * s.k / 32 * 34;
  RunMatMul(state, s, bytes, [&](const MatMulShape& shape, int64_t n, float* y) {
    ops->matmul_int8({q.data(), scale.data(), start.data()}, panels.At(n / kPanelColumns, 0, s.k),
                     y, shape);
  });
}

// `rows` rows at the end of `depth` positions, 8 kv heads of 4 query heads of 64, `layers` layers
// (to leave the caches).
void Attention(benchmark::State& state, const Ops* ops, DType dtype, int32_t depth, int32_t rows) {
  const int32_t layers = rows == 1 ? 16 : 1;
  PagedKv kv{.dtype = dtype,
             .num_layers = layers,
             .num_blocks = (depth + 15) / 16,
             .num_kv_heads = 8,
             .head_dim = 64};
  std::vector<uint32_t> blocks(static_cast<size_t>(kv.num_blocks));
  for (size_t b = 0; b < blocks.size(); ++b)
    blocks[b] = static_cast<uint32_t>(b * 7 % blocks.size());
  std::vector<std::byte> bytes(static_cast<size_t>(kv.total_bytes()), std::byte{0x3c});  // 0.01
  kv.base = bytes.data();
  const auto q = RandomBytes<float>(int64_t{rows} * 32 * 64);
  std::vector<float> out(q.size());
  ThreadPool pool(static_cast<int>(state.range(0)));
  int32_t layer = 0;
  for (auto _ : state) {
    pool.ParallelFor(8, 1, [&](int64_t begin, int64_t end) {
      const FloatEnvironment environment;
      for (int64_t h = begin; h < end; ++h) {
        ops->attention({.kv = &kv,
                        .layer = layer,
                        .kv_head = static_cast<int32_t>(h),
                        .table = {blocks.data(), kv.num_blocks},
                        .first_position = depth - rows,
                        .num_rows = rows,
                        .heads_per_kv = 4,
                        .q_row_stride = 2048,
                        .q = q.data() + h * 256,
                        .out = out.data() + h * 256,
                        .scale = 0.125f});
      }
    });
    layer = (layer + 1) % layers;
  }
  const double runs = static_cast<double>(state.iterations());
  const double seen = static_cast<double>(rows) * (depth - rows + (rows + 1) / 2.0);
  state.counters["GFLOP/s"] =
      benchmark::Counter(seen * 32 * 64 * 4 * runs * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(kv.total_bytes() / layers) * runs * 1e-9, benchmark::Counter::kIsRate);
}

template <class Body>
void Register(const std::string& name, Body body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->Arg(1)->Arg(2)->UseRealTime();
}

void RegisterOps(const Ops* ops) {
  const std::string isa(ops->name);
  const Sizes decode{1, 32768, 2048}, prefill{512, 2048, 2048};
  Register(isa + "/f32/decode", [=](benchmark::State& s) { MatMulF32(s, ops, {1, 16384, 2048}); });
  Register(isa + "/bf16/decode", [=](benchmark::State& s) { MatMulBf16(s, ops, decode); });
  Register(isa + "/bf16/decode8192",
           [=](benchmark::State& s) { MatMulBf16(s, ops, {1, 8192, 8192}); });
  Register(isa + "/int8/decode", [=](benchmark::State& s) { MatMulInt8(s, ops, decode); });
  for (const int64_t rows : {4, 16, 32}) {
    Register(isa + "/int8/rows" + std::to_string(rows),
             [=](benchmark::State& s) { MatMulInt8(s, ops, {rows, 32768, 2048}); });
  }
  Register(isa + "/f32/prefill", [=](benchmark::State& s) { MatMulF32(s, ops, prefill); });
  Register(isa + "/bf16/prefill", [=](benchmark::State& s) { MatMulBf16(s, ops, prefill); });
  Register(isa + "/int8/prefill", [=](benchmark::State& s) { MatMulInt8(s, ops, prefill); });
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    const std::string name = isa + "/attention/" + std::string(DTypeName(dtype));
    Register(name + "/decode4096", [=](benchmark::State& s) { Attention(s, ops, dtype, 4096, 1); });
    Register(name + "/prefill512",
             [=](benchmark::State& s) { Attention(s, ops, dtype, 512, 512); });
  }
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) {
  for (const gyrator::Ops* ops : gyrator::AvailableOps()) {
    if (ops->name != "ref") gyrator::RegisterOps(ops);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
