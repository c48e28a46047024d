// Exchanges that tell and ask nothing: greetings, thanks, jokes, questions to the assistant.
#pragma once

#include <span>
#include <string_view>

namespace gyrator::train {

struct SmallTalk {
  std::string_view user;
  std::string_view reply;
};

std::span<const SmallTalk> SmallTalks();
std::span<const SmallTalk> Greetings();  // the first or last words of a conversation
std::span<const std::string_view> SystemPrompts();

}  // namespace gyrator::train
