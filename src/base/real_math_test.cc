#include "base/real_math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gyrator {
namespace {

TEST(RealMath, ExpIsCloseToTheLibrary) {
  for (double x = -740; x < 709; x += 0.0371) {
    ASSERT_NEAR(1.0, RealExp(x) / std::exp(x), x < -708 ? 1e-2 : 2e-15) << x;
  }
  EXPECT_EQ(1.0, RealExp(0));
  EXPECT_EQ(0.0, RealExp(-INFINITY));
  EXPECT_EQ(INFINITY, RealExp(1000));
}

TEST(RealMath, LogIsCloseToTheLibrary) {
  for (double x = 1e-300; x < 1e300; x *= 1.7) {
    ASSERT_NEAR(std::log(x), RealLog(x), 1e-15 * std::max(1.0, std::fabs(std::log(x)))) << x;
  }
  EXPECT_EQ(0.0, RealLog(1.0));
}

}  // namespace
}  // namespace gyrator
