#include "values.h"

#include <cctype>
#include <string_view>

#include "word_lists.h"

namespace gyrator::train {
namespace {

using sv = std::string_view;

std::string Capitalised(std::string text) {
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

// A made-up word of 1 to 4 syllables, starting with a consonant, lower case.
std::string Syllables(Random& random) {
  static constexpr sv kOnsets[] = {"b",  "c",  "d",  "f",  "g",  "h",  "j",  "k",  "l",
                                   "m",  "n",  "p",  "qu", "r",  "s",  "t",  "v",  "w",
                                   "x",  "y",  "z",  "br", "ch", "cl", "dr", "fl", "gr",
                                   "kr", "pl", "sh", "st", "th", "tr"};
  static constexpr sv kVowels[] = {"a", "e", "i",  "o",  "u",  "a", "e",
                                   "i", "o", "ai", "ee", "oo", "ou"};
  static constexpr sv kCodas[] = {"",  "",  "",  "",  "b", "d", "f", "g", "k",  "l",  "m",  "n",
                                  "n", "p", "r", "s", "t", "v", "x", "z", "ck", "ll", "nd", "rt"};
  static constexpr int kLengths[] = {1, 2, 2, 2, 2, 3, 3, 4};
  std::string word;
  for (int left = random.Pick(kLengths); left > 0; --left) {
    word += random.Pick(kOnsets);
    word += random.Pick(kVowels);
    word += random.Pick(kCodas);
  }
  return word;
}

std::string Digits(int count, Random& random) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>('0' + random.Below(10));
  return out;
}

std::string Letters(int count, Random& random) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>('a' + random.Below(26));
  return out;
}

// A word of the list, or else a made-up one.
std::string Word(std::span<const sv> list, double made_up, Random& random) {
  if (random.Chance(made_up))
    return random.Chance(0.1) ? Letters(random.Between(3, 7), random) : Syllables(random);
  return std::string(random.Pick(list));
}

std::string DrawPhone(Random& random) {
  switch (random.Below(4)) {
    case 0:
      return Digits(random.Between(6, 9), random);
    case 1:
      return Digits(3, random) + "-" + Digits(4, random);
    case 2:
      return Digits(3, random) + " " + Digits(4, random);
    default:
      return Digits(3, random) + "-" + Digits(3, random) + "-" + Digits(3, random);
  }
}

std::string DrawTime(Random& random) {
  const std::string hour = std::to_string(random.Between(1, 12));
  switch (random.Below(4)) {
    case 0:
      return hour + (random.Chance(0.5) ? " am" : " pm");
    case 1:
      return std::to_string(random.Between(0, 23)) + ":" +
             Digits(1, random).replace(0, 1, 1, static_cast<char>('0' + random.Below(6))) +
             Digits(1, random);
    case 2:
      return hour + ":" + std::to_string(random.Between(10, 59)) +
             (random.Chance(0.5) ? " am" : " pm");
    default:
      return hour + " o'clock";
  }
}

std::string DrawDate(Random& random) {
  const std::string month(random.Pick(Months()));
  const std::string day = std::to_string(random.Between(1, 31));
  std::string date = random.Chance(0.5) ? month + " " + day : day + " " + month;
  if (random.Chance(0.2)) date += " " + std::to_string(random.Between(1930, 2019));
  return date;
}

std::string DrawCode(Random& random) {
  switch (random.Below(5)) {
    case 0:
      return Syllables(random) + Digits(random.Between(1, 4), random);
    case 1:
      return std::string(random.Pick(Things())) + Digits(random.Between(1, 4), random);
    case 2:
      return Letters(random.Between(4, 8), random);
    case 3:
      return std::string(random.Pick(Things())) + "-" + std::string(random.Pick(Colours()));
    default:
      return Syllables(random);
  }
}

std::string DrawTitle(Random& random) {
  std::string title = random.Chance(0.5) ? "The " : "";
  if (random.Chance(0.6)) title += Capitalised(Word(Colours(), 0.4, random)) + " ";
  return title + Capitalised(Word(Things(), 0.4, random));
}

std::string DrawAny(ValueKind kind, Random& random) {
  switch (kind) {
    case ValueKind::kName:
      return Capitalised(Word(FirstNames(), 0.55, random));
    case ValueKind::kCity:
      return Capitalised(Word(Cities(), 0.5, random));
    case ValueKind::kCountry:
      return Capitalised(Word(Countries(), 0.4, random));
    case ValueKind::kJob:
      return Word(Jobs(), 0.3, random);
    case ValueKind::kColour:
      return Word(Colours(), 0.3, random);
    case ValueKind::kFood:
      return Word(Foods(), 0.3, random);
    case ValueKind::kDrink:
      return Word(Drinks(), 0.3, random);
    case ValueKind::kAnimal:
      return Word(Animals(), 0.3, random);
    case ValueKind::kGrocery:
      return Word(Groceries(), 0.25, random);
    case ValueKind::kThing:
      return Word(Things(), 0.4, random);
    case ValueKind::kPlace:
      return Word(Places(), 0.3, random);
    case ValueKind::kHobby:
      return Word(Hobbies(), 0.3, random);
    case ValueKind::kCar:
      return Capitalised(Word(Makers(), 0.4, random));
    case ValueKind::kDate:
      return DrawDate(random);
    case ValueKind::kTime:
      return DrawTime(random);
    case ValueKind::kWeekday:
      return std::string(random.Pick(Weekdays()));
    case ValueKind::kAge:
      return std::to_string(random.Between(1, 99));
    case ValueKind::kNumber:
      return std::to_string(random.Between(1, 9)) + Digits(random.Between(0, 3), random);
    case ValueKind::kPin:
      return Digits(4, random);
    case ValueKind::kPhone:
      return DrawPhone(random);
    case ValueKind::kCode:
      return DrawCode(random);
    case ValueKind::kTitle:
      return DrawTitle(random);
  }
  return "";
}

}  // namespace

bool IsHeldOut(const std::string& value) {
  std::string lower = value;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return StableHash(lower) % 10 == 7;
}

std::string DrawValue(ValueKind kind, Split split, Random& random) {
  // The seven weekdays are too few to split: they are shared by both.
  if (kind == ValueKind::kWeekday) return DrawAny(kind, random);
  for (;;) {
    std::string value = DrawAny(kind, random);
    if (IsHeldOut(value) == (split == Split::kHeldOut)) return value;
  }
}

}  // namespace gyrator::train
