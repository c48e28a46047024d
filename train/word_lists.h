// Words that dialogues are made of. Data only; plain ASCII; order matters (it is part of the seed's
// meaning): append, never insert.
#pragma once

#include <span>
#include <string_view>

namespace gyrator::train {

std::span<const std::string_view> FirstNames();
std::span<const std::string_view> Cities();
std::span<const std::string_view> Countries();
std::span<const std::string_view> Jobs();
std::span<const std::string_view> Colours();
std::span<const std::string_view> Foods();
std::span<const std::string_view> Drinks();
std::span<const std::string_view> Animals();
std::span<const std::string_view> Groceries();
std::span<const std::string_view> Things();   // concrete nouns: code words, gifts
std::span<const std::string_view> Places();   // "the station"
std::span<const std::string_view> Hobbies();  // "chess"
std::span<const std::string_view> Makers();   // of cars
std::span<const std::string_view> Months();
std::span<const std::string_view> Weekdays();

}  // namespace gyrator::train
