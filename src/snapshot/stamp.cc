#include "snapshot/stamp.h"

#include <algorithm>

#include "base/clock.h"

namespace gyrator {

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Takes one or more digits off the front.
bool TakeDigits(std::string_view* text, std::string_view* digits) {
  size_t count = 0;
  while (count < text->size() && IsDigit((*text)[count])) ++count;
  *digits = text->substr(0, count);
  text->remove_prefix(count);
  return count > 0;
}

bool TakeField(char letter, std::string_view* text) {
  if (text->empty() || (*text)[0] != letter) return false;
  text->remove_prefix(1);
  std::string_view digits;
  return TakeDigits(text, &digits);
}

}  // namespace

std::string StampName(int64_t nanos, int32_t sequence) {
  const CivilTime t = CivilFromNanos(nanos);
  std::string name = "m" + std::to_string(t.month) + "d" + std::to_string(t.day) + "x" +
                     std::to_string(t.hour) + "x" + std::to_string(t.minute) + "x" +
                     std::to_string(t.second);
  if (sequence > 0) name += "x" + std::to_string(sequence);
  return name;
}

bool IsStamp(std::string_view name) {
  if (name.size() > 64) return false;
  for (const char letter : {'m', 'd', 'x', 'x', 'x'}) {
    if (!TakeField(letter, &name)) return false;
  }
  while (!name.empty()) {
    if (!TakeField('x', &name)) return false;
  }
  return true;
}

bool NaturalLess(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (!IsDigit(a[0]) || !IsDigit(b[0])) {
      if (a[0] != b[0]) return static_cast<unsigned char>(a[0]) < static_cast<unsigned char>(b[0]);
      a.remove_prefix(1);
      b.remove_prefix(1);
      continue;
    }
    std::string_view x, y;
    TakeDigits(&a, &x);
    TakeDigits(&b, &y);
    x.remove_prefix(std::min(x.find_first_not_of('0'), x.size()));
    y.remove_prefix(std::min(y.find_first_not_of('0'), y.size()));
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "m01" and "m1": a total order
}

}  // namespace gyrator
