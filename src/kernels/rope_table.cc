// cos and sin in double precision, without libm: the same bits wherever the program runs.
//
// Reduction: n = nearest integer to a * 2/pi, r = a - n * pi/2 with pi/2 in three doubles. The
// first fma is exact (a is an f32, r a multiple of 2^-52 below 1), so r carries the full double
// precision even where a is close to a multiple of pi/2. Series: the kernels of fdlibm (Sun
// Microsystems, k_sin.c and k_cos.c), whose error on [-pi/4, pi/4] is below one ulp of a double.
#include <cmath>

#include "kernels/ops.h"

namespace gyrator {
namespace {

constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kHalfPi[3] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54,
                               -0x1.f1976b7ed8fbcp-110};
constexpr double kRoundMagic64 = 0x1.8p+52;
constexpr double kSin[6] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,
                            -1.98412698298579493134e-04, 2.75573137070700676789e-06,
                            -2.50507602534068634195e-08, 1.58969099521155010221e-10};
constexpr double kCos[6] = {4.16666666666666019037e-02, -1.38888888888741095749e-03,
                            2.48015872894767294178e-05, -2.75573143513906633035e-07,
                            2.08757232129817482790e-09, -1.13596475577881948265e-11};

double Horner(double z, const double (&c)[6]) {
  return c[0] + z * (c[1] + z * (c[2] + z * (c[3] + z * (c[4] + z * c[5]))));
}

struct SinCos {
  double sin;
  double cos;
};

SinCos Evaluate(double angle) {
  const double n = (angle * kTwoOverPi + kRoundMagic64) - kRoundMagic64;
  double r = std::fma(-n, kHalfPi[0], angle);
  r = std::fma(-n, kHalfPi[1], r);
  r = std::fma(-n, kHalfPi[2], r);
  const double z = r * r;
  const double s = r + r * z * Horner(z, kSin);
  const double half = 0.5 * z;
  const double w = 1.0 - half;
  const double c = w + (((1.0 - w) - half) + z * z * Horner(z, kCos));
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace

void RopeTable(Position position, std::span<const float> inv_freq, float scale, float* cos,
               float* sin) {
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq[i];
    const SinCos value = Evaluate(angle);
    cos[i] = static_cast<float>(value.cos) * scale;
    sin[i] = static_cast<float>(value.sin) * scale;
  }
}

}  // namespace gyrator
