// Time of day behind an interface, so that tests choose it.
#pragma once

#include <cstdint>
#include <string>

#include "gyrator/status.h"

namespace gyrator {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since 1970-01-01T00:00:00 UTC. May jump backwards. Safe from any thread.
  virtual int64_t NowNanos() = 0;
};

Clock& SystemClock();  // lives for ever

// A clock that stands where it was put.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t nanos) : nanos_(nanos) {}
  int64_t NowNanos() override { return nanos_; }
  void Set(int64_t nanos) { nanos_ = nanos; }

 private:
  int64_t nanos_;
};

// A moment as a civil date and time in UTC.
struct CivilTime {
  int year = 1970;
  unsigned month = 1, day = 1;  // from 1
  int hour = 0, minute = 0, second = 0;
  int32_t nanos = 0;
};
CivilTime CivilFromNanos(int64_t nanos);

// "2026-11-21T07:03:05.123456789Z" (ISO-8601, always nine digits), years 1970 to 2261.
std::string IsoFromNanos(int64_t nanos);
// Exactly that form. kInvalidArgument otherwise.
Result<int64_t> NanosFromIso(std::string_view text);

}  // namespace gyrator
