#include "kernels/limits.h"

#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/thread_pool.h"
#include "kernels/amx/ops_amx.h"
#include "kernels/cpu.h"

namespace gyrator {
namespace {

constexpr int kRuns = 5;
constexpr size_t kBufferBytes = size_t{256} << 20;  // eight times the caches of today's machines
constexpr size_t kReadStep = 256;                   // bytes of one stream before the next
constexpr size_t kPrefetchAhead = 2048;             // bytes

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// 10^9 of `amount` a second: body(thread), which does `amount`, runs on every thread of the pool at
// once, and the rates of the threads are added.
double Rate(ThreadPool& pool, double amount, const std::function<void(int)>& body) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> rates;
  for (int run = 0; run <= kRuns; ++run) {  // the first warms up
    std::atomic<int> waiting{pool.num_threads()};
    std::atomic<double> rate{0};
    pool.ParallelFor(pool.num_threads(), 1, [&](int64_t first, int64_t last) {
      waiting.fetch_sub(static_cast<int>(last - first));
      while (waiting.load() > 0) std::this_thread::yield();  // who waits takes no second range
      for (int64_t thread = first; thread < last; ++thread) {
        const Clock::time_point begin = Clock::now();
        body(static_cast<int>(thread));
        rate.fetch_add(amount / std::chrono::duration<double>(Clock::now() - begin).count());
      }
    });
    if (run > 0) rates.push_back(rate.load() * 1e-9);
  }
  return Median(rates);
}

// --- memory

template <bool kPrefetch>
void ReadStreams(const std::byte* begin, size_t bytes, int streams) {
  const size_t part = bytes / static_cast<size_t>(streams) / kReadStep * kReadStep;
  __m128i sum = _mm_setzero_si128();
  for (size_t at = 0; at < part; at += kReadStep) {
    for (int s = 0; s < streams; ++s) {
      const std::byte* const step = begin + static_cast<size_t>(s) * part + at;
      for (size_t i = 0; i < kReadStep; i += sizeof(__m128i)) {
        if constexpr (kPrefetch) {
          if (i % kCacheLine == 0) _mm_prefetch(step + kPrefetchAhead + i, _MM_HINT_T0);
        }
        sum = _mm_add_epi64(sum, _mm_load_si128(reinterpret_cast<const __m128i*>(step + i)));
      }
    }
  }
  __asm__ volatile("" ::"x"(sum));
}

double ReadRate(ThreadPool& pool, const std::byte* memory, int streams, bool prefetch) {
  const size_t share = kBufferBytes / static_cast<size_t>(pool.num_threads()) / 4096 * 4096;
  const auto read = prefetch ? ReadStreams<true> : ReadStreams<false>;
  return Rate(pool, static_cast<double>(share), [&](int thread) {
    read(memory + static_cast<size_t>(thread) * share, share, streams);
  });
}

// --- instructions: loops over independent registers, so that only the units' width limits them

struct Peak {
  void (*run)(int64_t iterations);
  double operations;  // of one iteration
};

#define GYRATOR_EACH_12(op) \
  op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)
#define GYRATOR_CLOBBERS                                                                   \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"
#define GYRATOR_CLEAR(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n"
// A loop of `body`; all registers start as zeros.
#define GYRATOR_LOOP(body)                                                            \
  __asm__ volatile(GYRATOR_EACH_12(GYRATOR_CLEAR) GYRATOR_CLEAR(12) GYRATOR_CLEAR(13) \
                       GYRATOR_CLEAR(14) GYRATOR_CLEAR(15) "1:\n" body                \
                                                           "dec %0\njnz 1b\n"         \
                                                           "vzeroupper\n"             \
                   : "+r"(iterations)::GYRATOR_CLOBBERS)

#define GYRATOR_FMA_SS(i) "vfmadd231ss %%xmm14, %%xmm15, %%xmm" #i "\n"
#define GYRATOR_FMA_YMM(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n"
#define GYRATOR_FMA_ZMM(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n"
#define GYRATOR_DPBF16(i) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #i "\n"
#define GYRATOR_DPBUSD(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n"
#define GYRATOR_MADDUBS(i)                                                     \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\nvpmaddwd %%ymm12, %%ymm15, %%ymm12\n" \
  "vpaddd %%ymm12, %%ymm" #i ", %%ymm" #i "\n"

constexpr Peak kScalarFma = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_FMA_SS)); }, 12 * 2};
constexpr Peak kFma256 = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_FMA_YMM)); }, 12 * 16};
constexpr Peak kFma512 = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_FMA_ZMM)); }, 12 * 32};
constexpr Peak kDotBf16 = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_DPBF16)); }, 12 * 64};
constexpr Peak kDotInt8 = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_DPBUSD)); }, 12 * 128};
constexpr Peak kMaddInt8 = {
    [](int64_t iterations) { GYRATOR_LOOP(GYRATOR_EACH_12(GYRATOR_MADDUBS)); }, 12 * 64};
constexpr Peak kTileBf16 = {AmxBf16Peak, 4 * 16 * 16 * 32 * 2};
constexpr Peak kTileInt8 = {AmxInt8Peak, 4 * 16 * 16 * 32 * 2};  // a scale each 32: half of a tile

struct Peaks {
  Peak f32, bf16, int8;
};

Peaks PeaksOf(const Ops& ops) {
  Peaks peaks =
      Cpu().avx512 ? Peaks{kFma512, kDotBf16, kDotInt8} : Peaks{kFma256, kFma256, kMaddInt8};
  if (ops.name == "ref" || !Cpu().avx2) peaks = {kScalarFma, kScalarFma, kScalarFma};
  if (ops.name == "avx2") peaks = {kFma256, kFma256, kMaddInt8};
  if (ops.name == "amx") {
    peaks.bf16 = Cpu().amx ? kTileBf16 : peaks.f32;
    if (Cpu().amx) peaks.int8 = kTileInt8;
  }
  return peaks;
}

double PeakRate(ThreadPool& pool, const Peak& peak) {
  constexpr int64_t kIterations = 400'000;  // some 2 ms
  return Rate(pool, static_cast<double>(kIterations) * peak.operations,
              [&](int) { peak.run(kIterations); });
}

}  // namespace

double Limits::BestReadGbS() const {
  double best = 0;
  for (const ReadLimit& read : reads) best = std::max(best, read.gb_s.all_threads);
  return best;
}

Limits MeasureLimits(const Ops& ops, int num_threads) {
  Limits limits;
  limits.isa = ops.name;
  limits.num_threads = num_threads;
  ThreadPool one(1);
  ThreadPool all(num_threads);
  auto buffer = AllocateHuge(kBufferBytes, "limits");  // as weights lie
  GYRATOR_CHECK(buffer.ok());
  std::memset(buffer->get(), 1, kBufferBytes);
  for (const int streams : {1, 2, 4, 8, 16}) {
    for (const bool prefetch : {false, true}) {
      limits.reads.push_back({streams,
                              prefetch,
                              {ReadRate(one, buffer->get(), streams, prefetch),
                               ReadRate(all, buffer->get(), streams, prefetch)}});
    }
  }
  const Peaks peaks = PeaksOf(ops);
  limits.f32_gflop_s = {PeakRate(one, peaks.f32), PeakRate(all, peaks.f32)};
  limits.bf16_gflop_s = {PeakRate(one, peaks.bf16), PeakRate(all, peaks.bf16)};
  limits.int8_gop_s = {PeakRate(one, peaks.int8), PeakRate(all, peaks.int8)};
  return limits;
}

}  // namespace gyrator
