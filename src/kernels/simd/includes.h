// Everything that the vector kernels use of the outside. To be included before the target pragma: a
// shared inline function must not be compiled for one instruction set (the linker may keep that
// copy).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/exp.h"
#include "kernels/ops.h"
#include "kernels/ref/ops_ref.h"
