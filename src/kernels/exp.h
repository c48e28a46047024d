// The program's own exp: f32, explicit fma, the same bits on every instruction set.
//
//   n = nearest even of x * log2(e);  r = x - n * ln2 (two fma);  y = (p(r) * r^2 + r) + 1;
//   result = y * 2^n, by an addition to the exponent bits.
//
// p is the polynomial of Cephes (S. Moshier, expf.c). Error at most 2 ulp on [kExpMin, kExpMax];
// below it the result is 0, above it infinity; NaN stays NaN.
#pragma once

namespace gyrator {

inline constexpr float kExpMin = -87.3f;  // exp is still normal here
inline constexpr float kExpMax = 88.7f;   // and still finite here
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
inline constexpr float kExpPoly[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                      4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

// The scalar definition. Needs the rounding mode of FloatEnvironment.
float Exp(float x);

}  // namespace gyrator
