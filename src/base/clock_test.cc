#include "base/clock.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace gyrator {
namespace {

TEST(Clock, IsoGoesBothWays) {
  const std::pair<int64_t, const char*> moments[] = {
      {0, "1970-01-01T00:00:00.000000000Z"},
      {1'763'708'585'123'456'789, "2025-11-21T07:03:05.123456789Z"},
      {951'782'400'000'000'000, "2000-02-29T00:00:00.000000000Z"},
      {4'102'444'799'999'999'999, "2099-12-31T23:59:59.999999999Z"},
      {1, "1970-01-01T00:00:00.000000001Z"},
      {86'399'999'999'999, "1970-01-01T23:59:59.999999999Z"},
      {86'400'000'000'000, "1970-01-02T00:00:00.000000000Z"},
      {9'214'646'399'999'999'999, "2261-12-31T23:59:59.999999999Z"},
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

TEST(Clock, MomentsBefore1970HaveTheirDayToo) {
  EXPECT_EQ(IsoFromNanos(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(IsoFromNanos(-86'400'000'000'000), "1969-12-31T00:00:00.000000000Z");
  EXPECT_EQ(IsoFromNanos(-86'400'000'000'001), "1969-12-30T23:59:59.999999999Z");
}

TEST(Clock, ACivilTimeHasEachPart) {
  const CivilTime time = CivilFromNanos(*NanosFromIso("2025-11-21T07:53:05.123456789Z"));
  EXPECT_EQ(2025, time.year);
  EXPECT_EQ(11u, time.month);
  EXPECT_EQ(21u, time.day);
  EXPECT_EQ(7, time.hour);
  EXPECT_EQ(53, time.minute);
  EXPECT_EQ(5, time.second);
  EXPECT_EQ(123456789, time.nanos);
}

// Every byte in turn is none of those that its place may have.
TEST(Clock, RefusesAStrangeByteAnywhere) {
  const std::string good = "2025-11-21T07:03:05.123456789Z";
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char strange : {'/', ':', 'x', ' ', '-'}) {
      if (good[i] == strange) continue;
      std::string text = good;
      text[i] = strange;
      EXPECT_FALSE(NanosFromIso(text).ok()) << text;
    }
  }
  EXPECT_FALSE(NanosFromIso(good + "Z").ok());
}

TEST(Clock, TheSystemsClockIsAfterThisWasWritten) {
  EXPECT_GT(SystemClock().NowNanos(), *NanosFromIso("2025-01-01T00:00:00.000000000Z"));
}

}  // namespace
}  // namespace gyrator
