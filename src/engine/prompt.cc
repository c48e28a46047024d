#include "engine/prompt.h"

#include <algorithm>
#include <utility>

namespace gyrator {

namespace {

// Stands before a user's words in a render that is made to find them. A control character is no
// white space, which templates strip; one that occurs in a message makes the search fail, not err.
constexpr std::string_view kMark = "\x02";

// Moves *offset over what `token` reads as in `rendered`; false when it reads otherwise. Tokens of
// some vocabularies begin with a space that stands for the beginning of a text.
bool Read(const Tokenizer& tokenizer, std::string_view rendered, TokenId token, size_t* offset) {
  std::string_view bytes = tokenizer.TokenBytes(token);
  const std::string_view rest = rendered.substr(*offset);
  if (!rest.starts_with(bytes) && bytes.starts_with(' ')) bytes.remove_prefix(1);
  if (!rest.starts_with(bytes)) return false;
  *offset += bytes.size();
  return true;
}

// Marks the words of a message; behind leading white space, which a template may strip.
void Mark(Message* message) {
  const size_t words =
      std::min(message->content.find_first_not_of(" \t\r\n"), message->content.size());
  message->content.insert(words, kMark);
}

// Marks the words of every user.
std::vector<Message> Marked(std::span<const Message> messages) {
  std::vector<Message> marked(messages.begin(), messages.end());
  for (Message& message : marked) {
    if (message.role == "user") Mark(&message);
  }
  return marked;
}

// Where in `rendered` the words of the n-th user message begin; empty when the marks change more
// than themselves.
std::vector<size_t> FindWords(const std::string& marked, std::string_view rendered, size_t users) {
  std::vector<size_t> words;
  std::string without;
  for (size_t at = 0; at < marked.size();) {
    const size_t mark = std::min(marked.find(kMark, at), marked.size());
    without.append(marked, at, mark - at);
    if (mark < marked.size()) words.push_back(without.size());
    at = mark + kMark.size();
  }
  if (words.size() != users || without != rendered) words.clear();
  return words;
}

bool IsUser(const Message& message) { return message.role == "user"; }

// `turn_of_user`: where the turn of the n-th user message begins, -1: not known.
std::vector<TokenSpan> TurnsWithTools(std::span<const Message> messages,
                                      std::span<const int32_t> turn_of_user,
                                      std::span<const int32_t> turns, int64_t length) {
  std::vector<TokenSpan> spans;
  int32_t turn = 0;  // the last one known
  size_t user = 0;
  for (const Message& message : messages) {
    if (IsUser(message) && user < turn_of_user.size()) {
      turn = std::max(turn, turn_of_user[user++]);
    }
    if (message.role != "tool") continue;
    const auto next = std::upper_bound(turns.begin(), turns.end(), turn);
    const TokenSpan span = {turn, next == turns.end() ? static_cast<int32_t>(length) : *next};
    if (spans.empty() || spans.back() != span) spans.push_back(span);
  }
  return spans;
}

}  // namespace

std::vector<TokenId> EncodeAs(const TextModelImpl& text, std::string_view rendered,
                              const Said& said) {
  size_t offset = 0;
  int32_t kept = 0;
  for (const TokenRange& reply : said.ranges) {
    if (reply.begin < kept || reply.end > std::ssize(said.tokens)) break;
    size_t end = offset;
    const bool same =
        std::all_of(said.tokens.begin() + kept, said.tokens.begin() + reply.end,
                    [&](TokenId token) { return Read(text.tokenizer(), rendered, token, &end); });
    if (!same) break;
    offset = end;
    kept = reply.end;
  }
  std::vector<TokenId> tokens(said.tokens.begin(), said.tokens.begin() + kept);
  const std::vector<TokenId> rest = text.Encode(rendered.substr(offset), false);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

size_t ReadAs(const TextModelImpl& text, std::string_view rendered,
              std::span<const TokenId> tokens) {
  size_t offset = 0;
  for (const TokenId token : tokens) {
    if (Read(text.tokenizer(), rendered, token, &offset)) continue;
    const std::string_view bytes = text.tokenizer().TokenBytes(token);
    const std::string_view rest = rendered.substr(offset);
    const auto same = std::mismatch(bytes.begin(), bytes.end(), rest.begin(), rest.end());
    return offset + static_cast<size_t>(same.first - bytes.begin());
  }
  return offset;
}

Result<size_t> FindContent(const TextModelImpl& text, std::span<const Message> messages,
                           size_t index, std::string_view rendered) {
  if (index >= messages.size()) return rendered.size();
  std::vector<Message> marked(messages.begin(), messages.end());
  Mark(&marked[index]);
  GYRATOR_ASSIGN_OR_RETURN(const std::string with, text.Render(marked, {}));
  const std::vector<size_t> words = FindWords(with, rendered, 1);
  return words.empty() ? 0 : words[0];
}

Result<PromptLayout> FindTurns(const TextModelImpl& text, std::span<const Message> messages,
                               std::string_view rendered, std::span<const TokenId> tokens) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string marked, text.Render(Marked(messages), {}));
  const auto users = static_cast<size_t>(std::count_if(messages.begin(), messages.end(), IsUser));
  const std::vector<size_t> words = FindWords(marked, rendered, users);
  PromptLayout layout;
  std::vector<int32_t> turn_of_user(words.size(), -1);  // -1: within a token
  size_t offset = 0, user = 0;
  for (size_t p = 0; p <= tokens.size(); ++p) {
    while (user < words.size() && words[user] < offset) ++user;
    if (user < words.size() && words[user] == offset) {
      turn_of_user[user++] = static_cast<int32_t>(p);
      layout.turns.push_back(static_cast<int32_t>(p));
    }
    if (p == tokens.size() || !Read(text.tokenizer(), rendered, tokens[p], &offset)) break;
  }
  if (!layout.turns.empty()) layout.pinned = layout.turns[0];
  layout.atomic = TurnsWithTools(messages, turn_of_user, layout.turns, std::ssize(tokens));
  return layout;
}

}  // namespace gyrator
