// Names of snapshot folders: m<M>d<D>x<h>x<m>x<s>, UTC, unpadded; the second and later ones of a
// second get x<n>, n = 1, 2, ...
//
// A reader takes a name as an opaque id and never derives time from it: the true time is `created`
// in protocol.txt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gyrator {

// "m11d21x7x3x5", or "m11d21x7x3x5x2" for sequence 2.
std::string StampName(int64_t nanos, int32_t sequence);

// Whether `name` has the form of the seeds' grammar, m\d+d\d+x\d+x\d+x\d+(x\d+)*, at most 64 bytes.
bool IsStamp(std::string_view name);

// Compares as people do: digit runs by value ("m9" before "m10"), the rest by bytes.
bool NaturalLess(std::string_view a, std::string_view b);

}  // namespace gyrator
