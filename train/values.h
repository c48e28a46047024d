// The values of facts: names, cities, numbers, ... from word lists, random syllables and digits.
//
// A tenth of all values is held out by hash: training never sees them, evaluation uses only them.
#pragma once

#include <cstdint>
#include <string>

#include "random.h"

namespace gyrator::train {

enum class ValueKind : uint8_t {
  kName,
  kCity,
  kCountry,
  kJob,
  kColour,
  kFood,
  kDrink,
  kAnimal,
  kGrocery,
  kThing,
  kPlace,
  kHobby,
  kCar,
  kDate,
  kTime,
  kWeekday,
  kAge,     // 1 to 99
  kNumber,  // 1 to 4 digits
  kPin,     // 4 digits
  kPhone,   // 6 to 9 digits, in groups
  kCode,    // letters and digits
  kTitle,   // two or three capitalised words
};

enum class Split : uint8_t { kTrain, kHeldOut };

// True for the tenth of values that belongs to evaluation. Case does not matter.
bool IsHeldOut(const std::string& value);

// A value of `kind` that belongs to `split`.
std::string DrawValue(ValueKind kind, Split split, Random& random);

}  // namespace gyrator::train
