// exp and log in double precision with bits that do not depend on the C library. For scalar work
// outside kernels (sampling); relative error below 1e-15.
#pragma once

namespace gyrator {

double RealExp(double x);  // 0 below -745, infinity above 709.78
double RealLog(double x);  // REQUIRES x > 0 and finite

}  // namespace gyrator
