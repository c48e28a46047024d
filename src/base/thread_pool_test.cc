#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

namespace gyrator {
namespace {

TEST(ThreadPool, CoversEveryIndexOnceInRangesOfTheGrain) {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000, 4097}) {
      for (int64_t grain : {1, 3, 16, 5000}) {
        std::vector<int> seen(static_cast<size_t>(count), 0);
        pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_LT(begin, end);
          EXPECT_EQ(begin % grain, 0);
          EXPECT_TRUE(end == count || end % grain == 0);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(count), 1))
            << count << " by " << grain;
      }
    }
  }
}

TEST(ThreadPool, AThreadIsAloneWithItsNumber) {
  ThreadPool pool(3);
  std::atomic<int> running[3] = {};
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(50, 1, [&](int64_t, int64_t) {
      const int thread = ThreadPool::ThisThread();
      ASSERT_TRUE(thread >= 0 && thread < 3);
      EXPECT_EQ(running[thread].fetch_add(1), 0);
      running[thread].fetch_sub(1);
    });
  }
  EXPECT_EQ(ThreadPool::ThisThread(), 0);
}

TEST(ThreadPool, WritesOfALoopAreSeenByTheNext) {
  ThreadPool pool(4);
  std::vector<int64_t> values(257, 0);
  for (int round = 0; round < 2000; ++round) {
    pool.ParallelFor(257, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        values[static_cast<size_t>(i)] += values[static_cast<size_t>(i)] + 1 - round % 2;
        values[static_cast<size_t>(i)] %= 1000003;
      }
    });
    ASSERT_EQ(values.front(), values.back());
  }
}

TEST(ThreadPool, WorkersWakeAfterSleep) {
  ThreadPool pool(2);
  std::atomic<int64_t> total{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.ParallelFor(100, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
  }
  EXPECT_EQ(total.load(), 500);
}

// Processor time, not the clock's: a worker that waits takes none but for a short spin.
TEST(ThreadPool, WorkersThatWaitTakeNoProcessor) {
  ThreadPool pool(4);
  pool.ParallelFor(100, 1, [](int64_t, int64_t) {});
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 20);
}

// Where threads share a CPU nobody spins on it.
TEST(ThreadPool, WorksOnOneCpu) {
  std::thread pinned([] {
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    ASSERT_EQ(0, ::sched_getaffinity(0, sizeof(allowed), &allowed));
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
    }
    ASSERT_EQ(0, ::sched_setaffinity(0, sizeof(one), &one));
    ThreadPool pool(3);  // its workers inherit the CPU
    std::atomic<int64_t> total{0};
    for (int round = 0; round < 300; ++round) {
      pool.ParallelFor(100, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
    }
    EXPECT_EQ(30000, total.load());
  });
  pinned.join();
}

TEST(ThreadPool, MoreThanOneThreadWorks) {
  ThreadPool pool(2);
  std::atomic<int> inside{0};
  // Each of two ranges waits for the other: this ends only when two threads run them.
  pool.ParallelFor(2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      ++inside;
      while (inside.load() < 2) std::this_thread::yield();
    }
  });
  EXPECT_EQ(inside.load(), 2);
}

// A worker that has run something ends with its pool, and what is local to it with it.
TEST(ThreadPool, ManyPoolsStartAndStop) {
  static std::atomic<int> ended;
  ended = 0;
  struct TellsItsEnd {
    ~TellsItsEnd() { ++ended; }
    bool ran = false;
  };
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(3);
    if (i % 2 == 1) continue;
    std::atomic<int> inside{0};
    pool.ParallelFor(3, 1, [&](int64_t, int64_t) {  // a range a thread
      thread_local TellsItsEnd local;
      local.ran = true;
      ++inside;
      while (inside.load() < 3) std::this_thread::yield();
    });
    EXPECT_EQ(3, inside.load());
  }
  EXPECT_EQ(25 * 2, ended.load());  // the caller's is left
}

}  // namespace
}  // namespace gyrator
