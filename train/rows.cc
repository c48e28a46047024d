#include "rows.h"

namespace gyrator::train {
namespace {

void Append(Row& row, const std::vector<TokenId>& ids, float weight) {
  row.ids.insert(row.ids.end(), ids.begin(), ids.end());
  row.weights.resize(row.ids.size(), weight);
}

}  // namespace

const char* const kChatTemplate =
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

Row MakeRow(const BpeVocab& vocab, uint64_t seed, uint64_t index, const RowOptions& options) {
  const TokenId system = vocab.SpecialId("<|system|>"), user = vocab.SpecialId("<|user|>");
  const TokenId assistant = vocab.SpecialId("<|assistant|>"), end = vocab.SpecialId("<|end|>");
  Conversation conversation(seed, index, options.split);
  Row row;
  if (!conversation.system().empty()) {
    Append(row, {system}, options.other_weight);
    Append(row, vocab.Encode(conversation.system()), options.other_weight);
    Append(row, {end}, options.other_weight);
  }
  for (;;) {
    const Turn turn = conversation.Next();
    const std::vector<TokenId> asked = vocab.Encode(turn.user), reply = vocab.Encode(turn.reply);
    const size_t size = row.ids.size() + asked.size() + reply.size() + 4;
    if (size > static_cast<size_t>(options.row_tokens) && row.num_turns > 0) return row;
    Append(row, {user}, options.other_weight);
    Append(row, asked, options.other_weight);
    Append(row, {end, assistant}, options.other_weight);
    const auto begin = static_cast<int32_t>(row.ids.size());
    Append(row, reply, 1.0f);
    Append(row, {end}, 1.0f);
    if (!turn.expected.empty())
      row.questions.push_back({begin, static_cast<int32_t>(row.ids.size()), turn.age, turn.kind});
    ++row.num_turns;
  }
}

std::vector<std::string> VocabText(uint64_t seed, int32_t num_conversations) {
  constexpr int kTurns = 24;
  std::vector<std::string> texts;
  for (int32_t i = 0; i < num_conversations; ++i) {
    Conversation conversation(seed, static_cast<uint64_t>(i), Split::kTrain);
    for (int t = 0; t < kTurns; ++t) {
      Turn turn = conversation.Next();
      texts.push_back(std::move(turn.user));
      texts.push_back(std::move(turn.reply));
    }
  }
  return texts;
}

}  // namespace gyrator::train
