#include "base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/check.h"

namespace gyrator {
namespace {

constexpr std::chrono::microseconds kSpin(50);  // longer than the pause between two matrices
constexpr int64_t kRangesPerThread = 4;         // uneven threads even out; ranges stay long

thread_local int this_thread = 0;

// Whether each of `num_threads` has a CPU of its own, as far as the process may use them.
bool HasCpuForEach(int num_threads) {
  cpu_set_t allowed;  // of 1,024 CPUs; on a machine with more the call fails
  CPU_ZERO(&allowed);
  return ::sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
         CPU_COUNT(&allowed) >= num_threads;
}

}  // namespace

// One loop is a number of ranges to claim. `ticket` holds the loop's generation (high half) and how
// many ranges are still unclaimed (low half), so that a worker that wakes late cannot claim a range
// of a later loop with the data of an earlier one. The plain members are written before the ticket
// is stored and read after a successful claim only; while a claimed range is unfinished the caller
// does not return, so they do not change under a reader.
struct ThreadPool::Shared {
  const pid_t owner = ::getpid();
  const std::function<void(int64_t, int64_t)>* body = nullptr;
  int64_t count = 0;
  int64_t range = 0;
  std::atomic<uint64_t> ticket{0};
  std::atomic<int> unfinished{0};
  std::atomic<int> generation{0};  // workers sleep on this
  std::atomic<bool> stop{false};
  bool spins = false;
  std::vector<std::thread> workers;

  ~Shared() {
    stop.store(true, std::memory_order_release);
    generation.fetch_add(1, std::memory_order_acq_rel);
    generation.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  bool RunOneRange() {
    uint64_t seen = ticket.load(std::memory_order_acquire);
    do {
      if ((seen & 0xffffffffu) == 0) return false;
    } while (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire));
    const int64_t ranges = (count + range - 1) / range;
    const int64_t begin = (ranges - static_cast<int64_t>(seen & 0xffffffffu)) * range;
    (*body)(begin, std::min(begin + range, count));
    if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_one();
    return true;
  }

  // Until done() or the end of the spin.
  template <class Done>
  void Spin(const Done& done) const {
    constexpr int kPausesAtATime = 8;  // a pause takes 10 to 70 ns, reading the clock some 25
    if (!spins) return;
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < kPausesAtATime; ++i) {
        if (done()) return;
        _mm_pause();
      }
    } while (std::chrono::steady_clock::now() < end);
  }

  void WorkerLoop() {
    int seen = 0;
    while (true) {
      Spin([&] { return generation.load(std::memory_order_acquire) != seen; });
      generation.wait(seen, std::memory_order_acquire);
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      while (RunOneRange()) {
      }
    }
  }

  void WaitUntilFinished() {
    Spin([&] { return unfinished.load(std::memory_order_acquire) == 0; });
    for (int left = unfinished.load(std::memory_order_acquire); left != 0;
         left = unfinished.load(std::memory_order_acquire)) {
      unfinished.wait(left, std::memory_order_acquire);
    }
  }
};

ThreadPool::ThreadPool(int num_threads)
    : num_threads_(num_threads), shared_(std::make_unique<Shared>()) {
  GYRATOR_CHECK(num_threads >= 1);
  shared_->spins = HasCpuForEach(num_threads);
  for (int i = 1; i < num_threads; ++i) {
    shared_->workers.emplace_back([shared = shared_.get(), i] {
      this_thread = i;
      shared->WorkerLoop();
    });
  }
}

int ThreadPool::ThisThread() { return this_thread; }

// A forked child has no workers that could be joined: what the parent's threads use is left to it.
ThreadPool::~ThreadPool() {
  if (shared_->owner != ::getpid()) (void)shared_.release();
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain,
                             const std::function<void(int64_t, int64_t)>& body) {
  GYRATOR_CHECK(grain >= 1);
  if (count <= 0) return;
  if (num_threads_ == 1 || count <= grain) return body(0, count);
  Shared& s = *shared_;
  const int64_t grains = (count + grain - 1) / grain;
  const int64_t ranges_max = num_threads_ * kRangesPerThread;
  s.body = &body;
  s.count = count;
  s.range = (grains + ranges_max - 1) / ranges_max * grain;
  const int64_t ranges = (count + s.range - 1) / s.range;
  s.unfinished.store(static_cast<int>(ranges), std::memory_order_relaxed);
  const auto next = static_cast<uint32_t>(s.generation.load(std::memory_order_relaxed) + 1);
  s.ticket.store((uint64_t{next} << 32) | static_cast<uint64_t>(ranges), std::memory_order_release);
  s.generation.fetch_add(1, std::memory_order_acq_rel);
  s.generation.notify_all();
  while (s.RunOneRange()) {
  }
  s.WaitUntilFinished();
}

}  // namespace gyrator
