#include "data_command.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "dialogue.h"

namespace gyrator::train {
namespace {

const char* KindName(TurnKind kind) {
  switch (kind) {
    case TurnKind::kTell:
      return "tell";
    case TurnKind::kCorrect:
      return "correct";
    case TurnKind::kAsk:
      return "ask";
    case TurnKind::kAskMany:
      return "ask_many";
    case TurnKind::kAskUnknown:
      return "ask_untold";
    case TurnKind::kCheck:
      return "check";
    case TurnKind::kChat:
      return "chat";
  }
  return "";
}

std::string JsonLine(Conversation& conversation, int32_t count) {
  Json turns = Json::array();
  for (int32_t i = 0; i < count; ++i) {
    const Turn turn = conversation.Next();
    turns.push_back({{"user", turn.user},
                     {"reply", turn.reply},
                     {"kind", KindName(turn.kind)},
                     {"age", turn.age},
                     {"expected", turn.expected}});
  }
  Json system = nullptr;
  if (!conversation.system().empty()) system = conversation.system();
  return DumpJson({{"system", system}, {"turns", turns}}) + "\n";
}

std::string PlainText(Conversation& conversation, int32_t count) {
  std::string text;
  if (!conversation.system().empty()) text += "system: " + conversation.system() + "\n";
  for (int32_t i = 0; i < count; ++i) {
    const Turn turn = conversation.Next();
    text += "user: " + turn.user + "\nassistant: " + turn.reply + "\n";
    for (const std::string& value : turn.expected) text += "  expects: " + value + "\n";
  }
  return text + "\n";
}

}  // namespace

Status PrintData(const DataOptions& options, std::FILE* out) {
  for (int32_t i = 0; i < options.count; ++i) {
    Conversation conversation(options.seed, options.first + static_cast<uint64_t>(i),
                              options.split);
    const std::string text = options.json ? JsonLine(conversation, options.turns)
                                          : PlainText(conversation, options.turns);
    if (std::fwrite(text.data(), 1, text.size(), out) != text.size())
      return Status::Io("cannot write conversations");
  }
  return std::fflush(out) == 0 ? Status() : Status::Io("cannot write conversations");
}

}  // namespace gyrator::train
