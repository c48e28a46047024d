#include "base/clock.h"

#include <chrono>
#include <cstdio>

namespace gyrator {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;

class System final : public Clock {
 public:
  int64_t NowNanos() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

// The number in text[at, at + digits), or -1.
int64_t Digits(std::string_view text, size_t at, size_t digits) {
  int64_t value = 0;
  for (const char c : text.substr(at, digits)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Clock& SystemClock() {
  static System clock;
  return clock;
}

CivilTime CivilFromNanos(int64_t nanos) {
  int64_t days = nanos / kDay;
  int64_t rest = nanos % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  CivilTime time;
  time.year = int{date.year()};
  time.month = unsigned{date.month()};
  time.day = unsigned{date.day()};
  time.nanos = static_cast<int32_t>(rest % kSecond);
  const int seconds = static_cast<int>(rest / kSecond);
  time.hour = seconds / 3600;
  time.minute = seconds / 60 % 60;
  time.second = seconds % 60;
  return time;
}

std::string IsoFromNanos(int64_t nanos) {
  const CivilTime t = CivilFromNanos(nanos);
  char text[64];
  std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02d.%09dZ", t.year, t.month, t.day,
                t.hour, t.minute, t.second, t.nanos);
  return text;
}

Result<int64_t> NanosFromIso(std::string_view text) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
  bool ok = text.size() == kForm.size();
  for (size_t i = 0; ok && i < kForm.size(); ++i) {
    ok = kForm[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == kForm[i];
  }
  if (ok) {
    const std::chrono::year_month_day date{
        std::chrono::year{static_cast<int>(Digits(text, 0, 4))},
        std::chrono::month{static_cast<unsigned>(Digits(text, 5, 2))},
        std::chrono::day{static_cast<unsigned>(Digits(text, 8, 2))}};
    const int64_t hour = Digits(text, 11, 2), minute = Digits(text, 14, 2);
    const int64_t second = Digits(text, 17, 2), year = int{date.year()};
    if (date.ok() && year >= 1970 && year <= 2261 && hour < 24 && minute < 60 && second < 60) {
      const int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
      return days * kDay + ((hour * 60 + minute) * 60 + second) * kSecond + Digits(text, 20, 9);
    }
  }
  return Status::InvalidArgument("'" + std::string(text) +
                                 "': not a time like 2026-11-21T07:03:05.123456789Z");
}

}  // namespace gyrator
