#include "cli/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <latch>

namespace gyrator::cli {
namespace {

// Handlers and counts belong to the process: each test has one of its own.
class InterruptDeathTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_P(InterruptDeathTest, TheFirstOneEndsACommandThatHasNothingToFinish) {
  EXPECT_EXIT(
      {
        CatchInterrupts(false);
        ::raise(GetParam());
      },
      testing::ExitedWithCode(130), "gyrator: interrupted");
}

TEST_P(InterruptDeathTest, WithinAScopeTheSecondOneDoesAndSaysSo) {
  EXPECT_EXIT(
      {
        CatchInterrupts(false);
        const InterruptScope scope;
        ::raise(GetParam());
        if (!Interrupted()) ::_exit(1);
        ::raise(GetParam());
      },
      testing::ExitedWithCode(130), "interrupted twice");
}

TEST_P(InterruptDeathTest, BehindAScopeTheFirstOneDoesAgain) {
  EXPECT_EXIT(
      {
        CatchInterrupts(true);
        {
          const InterruptScope scope;
        }
        ::raise(GetParam());
      },
      testing::ExitedWithCode(130), "\"exit\":130");
}

TEST(ClearedInterruptDeathTest, AskedToStopTheTokenSaysSoUntilItIsCleared) {
  EXPECT_EXIT(
      {
        CatchInterrupts(false);
        const InterruptScope scope;
        for (int round = 0; round < 3; ++round) {
          const StopOnInterrupt interrupt;
          std::latch stopped(1);
          const std::stop_callback tell(interrupt.token(), [&] { stopped.count_down(); });
          if (interrupt.token().stop_requested()) ::_exit(1);
          ::raise(SIGINT);
          stopped.wait();
          ClearInterrupt();
          if (Interrupted() || Terminated()) ::_exit(2);
        }
        const StopOnInterrupt quiet;
        ::_exit(quiet.token().stop_requested() ? 3 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ClearedInterruptDeathTest, WhatAsksTheProcessToEndIsNotCleared) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          CatchInterrupts(false);
          const InterruptScope scope;
          ::raise(signal);
          ClearInterrupt();
          ::_exit(Interrupted() && Terminated() ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptDeathTest, testing::Values(SIGINT, SIGTERM, SIGHUP));

}  // namespace
}  // namespace gyrator::cli
