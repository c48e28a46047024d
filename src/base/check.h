// Checks of the program's own logic. Nothing that came from outside may reach one.
#pragma once

namespace gyrator {
// Prints "file:line: check failed: expr" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expr);
}  // namespace gyrator

// Always on.
#define GYRATOR_CHECK(expr) \
  (static_cast<bool>(expr) ? void(0) : ::gyrator::CheckFailed(__FILE__, __LINE__, #expr))

// On in debug and sanitizer builds; for hot loops.
#ifdef NDEBUG
#define GYRATOR_DCHECK(expr) void(0)
#else
#define GYRATOR_DCHECK(expr) GYRATOR_CHECK(expr)
#endif
