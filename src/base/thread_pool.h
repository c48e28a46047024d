// A fixed set of threads that run one parallel loop at a time.
//
// Splits index ranges, never reductions: the result of a loop must not depend on the number of
// threads or on the split. Every worker runs under the float environment of the caller's choice
// (set by the loop body). TSan-clean. A thread that waits spins for at most 50 us and then sleeps;
// where the process may use fewer CPUs than the pool has threads, it sleeps at once, since it would
// spin on a CPU that the thread it waits for needs.
//
// The child of a fork() has none of the workers: there the object can be destroyed, and nothing
// else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace gyrator {

inline constexpr int kThreadsMax = 4096;  // more are taken for a wrong number, and refused

class ThreadPool {
 public:
  // The calling thread works too: `num_threads` - 1 workers are started. Throws std::system_error
  // or std::bad_alloc when the system refuses one, and leaves none behind; callers that cannot know
  // the number to be possible call it behind base/wall.h. REQUIRES num_threads >= 1.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Within a body: which thread of the pool runs it, 0 (the caller) to num_threads() - 1.
  static int ThisThread();

  // body(begin, end) over disjoint ranges that cover [0, count), each a multiple of `grain` long
  // but the last. Returns when all are done. One caller at a time; not from inside a body.
  void ParallelFor(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

 private:
  struct Shared;
  const int num_threads_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace gyrator
