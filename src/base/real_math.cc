#include "base/real_math.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace gyrator {

namespace {
constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 11 low bits clear: n * kLn2High is exact
constexpr double kLn2Low = 0x1.ef35793c76730p-45;
constexpr double kInvLn2 = 0x1.71547652b82fep0;

// value * 2^n without rounding twice, n in [-1100, 1100].
double ScaleByPowerOfTwo(double value, int n) {
  const int half = n / 2;
  const auto power = [](int e) {
    return std::bit_cast<double>(static_cast<uint64_t>(e + 1023) << 52);
  };
  return value * power(half) * power(n - half);
}
}  // namespace

double RealExp(double x) {
  if (x != x) return x;
  if (x < -745.2) return 0.0;
  if (x > 709.79) return std::numeric_limits<double>::infinity();
  const int n = static_cast<int>(x * kInvLn2 + (x >= 0 ? 0.5 : -0.5));
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
  double sum = 0;
  for (int i = 14; i >= 1; --i) sum = (sum + 1.0) * (r / i);  // Taylor, innermost term first
  return ScaleByPowerOfTwo(sum + 1.0, n);
}

double RealLog(double x) {
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    exponent = -54;
  }
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 0;
  for (int i = 21; i >= 1; i -= 2) sum = sum * s2 + 1.0 / i;
  return exponent * kLn2High + (exponent * kLn2Low + 2.0 * s * sum);
}

}  // namespace gyrator
