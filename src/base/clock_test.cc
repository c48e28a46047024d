#include "base/clock.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

TEST(Clock, IsoGoesBothWays) {
  const std::pair<int64_t, const char*> moments[] = {
      {0, "1970-01-01T00:00:00.000000000Z"},
      {1'763'708'585'123'456'789, "2025-11-21T07:03:05.123456789Z"},
      {951'782'400'000'000'000, "2000-02-29T00:00:00.000000000Z"},
      {4'102'444'799'999'999'999, "2099-12-31T23:59:59.999999999Z"},
  };
  for (const auto& [nanos, text] : moments) {
    EXPECT_EQ(IsoFromNanos(nanos), text);
    EXPECT_EQ(*NanosFromIso(text), nanos);
  }
}

TEST(Clock, RefusesOtherForms) {
  for (const char* text : {"", "2025-11-21", "2025-11-21T07:03:05Z",
                           "2025-11-21T07:03:05.123456789", "2025-13-01T00:00:00.000000000Z",
                           "2025-02-29T00:00:00.000000000Z", "2025-01-01T24:00:00.000000000Z",
                           "2025-01-01T00:60:00.000000000Z", "2025-01-01T00:00:60.000000000Z",
                           "1969-12-31T23:59:59.999999999Z", "2262-01-01T00:00:00.000000000Z",
                           "2025-01-01 00:00:00.000000000Z", "2025-01-01T00:00:00.00000000aZ"}) {
    EXPECT_EQ(NanosFromIso(text).status().code(), Code::kInvalidArgument) << text;
  }
}

TEST(Clock, TheSystemsClockIsAfterThisWasWritten) {
  EXPECT_GT(SystemClock().NowNanos(), *NanosFromIso("2025-01-01T00:00:00.000000000Z"));
}

}  // namespace
}  // namespace gyrator
