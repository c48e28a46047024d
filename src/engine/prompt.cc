#include "engine/prompt.h"

#include <algorithm>
#include <utility>

#include "engine/prompt_calls.h"

namespace gyrator {

namespace {

// Stands before a user's words in a render that is made to find them: the first of STX number ETX
// that neither the messages nor their render have, so that whatever a message says is not taken for
// it. A control character is no white space, which templates strip. Its ends differ, so that it
// cannot be found across the border of a mark and the text beside it.
std::string MarkFor(const Rendered& rendered) {
  const auto has = [&](const std::string& mark) {
    return rendered.text.find(mark) != std::string_view::npos ||
           std::any_of(rendered.messages.begin(), rendered.messages.end(),
                       [&](const Message& message) {
                         return message.content.find(mark) != std::string::npos ||
                                message.extras.find(mark) != std::string::npos;
                       });
  };
  std::string mark;
  for (size_t number = 0; mark.empty() || has(mark); ++number) {
    mark = "\x02" + std::to_string(number) + "\x03";
  }
  return mark;
}

// Follows tokens along the text that they read as.
class Reader {
 public:
  Reader(const Tokenizer& tokenizer, std::string_view rendered)
      : tokenizer_(&tokenizer), rendered_(rendered) {}

  // Moves on over what `token` reads as; false when the text reads otherwise. At the beginning of a
  // text, and after a special token, some vocabularies put a space that the text does not have,
  // before or behind those that it has.
  bool Read(TokenId token) {
    std::string_view bytes = tokenizer_->TokenBytes(token);
    const std::string_view rest = rendered_.substr(offset_);
    const bool surplus = begins_ && bytes.starts_with(' ') && !rest.starts_with(bytes);
    if (surplus) bytes.remove_prefix(1);
    if (!rest.starts_with(bytes)) return false;
    offset_ += bytes.size();
    const bool blank = !surplus && bytes.find_first_not_of(' ') == std::string_view::npos;
    begins_ = tokenizer_->IsSpecial(token) || (begins_ && blank);
    return true;
  }
  bool ReadAll(std::span<const TokenId> tokens) {
    return std::all_of(tokens.begin(), tokens.end(), [this](TokenId token) { return Read(token); });
  }
  size_t offset() const { return offset_; }

 private:
  const Tokenizer* tokenizer_;
  std::string_view rendered_;
  size_t offset_ = 0;
  bool begins_ = true;
};

// Marks the words of a message; behind leading white space, which a template may strip.
void Mark(std::string_view mark, Message* message) {
  const size_t words =
      std::min(message->content.find_first_not_of(" \t\r\n"), message->content.size());
  message->content.insert(words, mark);
}

// Marks the words of every user.
std::vector<Message> Marked(std::string_view mark, std::span<const Message> messages) {
  std::vector<Message> marked(messages.begin(), messages.end());
  for (Message& message : marked) {
    if (message.role == "user") Mark(mark, &message);
  }
  return marked;
}

// Where in `rendered` the words of the n-th user message begin; empty when the marks change more
// than themselves.
std::vector<size_t> FindWords(std::string_view mark, const std::string& marked,
                              std::string_view rendered, size_t users) {
  std::vector<size_t> words;
  std::string without;
  for (size_t at = 0; at < marked.size();) {
    const size_t found = std::min(marked.find(mark, at), marked.size());
    without.append(marked, at, found - at);
    if (found < marked.size()) words.push_back(without.size());
    at = found + mark.size();
  }
  if (words.size() != users || without != rendered) words.clear();
  return words;
}

// Whether there is nothing but white space in [from, to).
bool IsBlank(std::string_view text, size_t from, size_t to) {
  return text.substr(from, to - from).find_first_not_of(" \t\r\n") == std::string_view::npos;
}

bool IsUser(const Message& message) { return message.role == "user"; }

}  // namespace

std::vector<TokenId> EncodeAs(const TextModelImpl& text, std::string_view rendered,
                              const Said& said) {
  Reader kept(text.tokenizer(), rendered);
  int32_t end = 0;
  for (const TokenRange& reply : said.ranges) {
    if (reply.begin < end || reply.end > std::ssize(said.tokens)) break;
    Reader further = kept;
    if (!further.ReadAll(
            said.tokens.subspan(static_cast<size_t>(end), static_cast<size_t>(reply.end - end)))) {
      break;
    }
    kept = further;
    end = reply.end;
  }
  if (end == 0) return text.Encode(rendered, false);
  std::vector<TokenId> tokens(said.tokens.begin(), said.tokens.begin() + end);
  const std::vector<TokenId> rest = text.Encode(rendered.substr(kept.offset()), false);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  // A vocabulary that begins a text with a space may have put one where the rest begins.
  const bool same = kept.ReadAll(rest) && kept.offset() == rendered.size();
  return same ? tokens : text.Encode(rendered, false);
}

size_t ReadAs(const TextModelImpl& text, std::string_view rendered,
              std::span<const TokenId> tokens) {
  Reader reader(text.tokenizer(), rendered);
  for (const TokenId token : tokens) {
    if (reader.Read(token)) continue;
    const std::string_view bytes = text.tokenizer().TokenBytes(token);
    const std::string_view rest = rendered.substr(reader.offset());
    const auto same = std::mismatch(bytes.begin(), bytes.end(), rest.begin(), rest.end());
    return reader.offset() + static_cast<size_t>(same.first - bytes.begin());
  }
  return reader.offset();
}

std::vector<size_t> ReadOffsets(const TextModelImpl& text, std::string_view rendered,
                                std::span<const TokenId> tokens) {
  Reader reader(text.tokenizer(), rendered);
  std::vector<size_t> offsets = {0};
  for (size_t i = 0; i < tokens.size() && reader.Read(tokens[i]); ++i) {
    offsets.push_back(reader.offset());
  }
  return offsets;
}

Result<size_t> FindContent(const TextModelImpl& text, const Rendered& rendered, size_t index) {
  if (index >= rendered.messages.size()) return rendered.text.size();
  std::vector<Message> marked(rendered.messages.begin(), rendered.messages.end());
  const std::string mark = MarkFor(rendered);
  Mark(mark, &marked[index]);
  GYRATOR_ASSIGN_OR_RETURN(const std::string with, text.Render(marked, rendered.options));
  const std::vector<size_t> words = FindWords(mark, with, rendered.text, 1);
  return words.empty() ? 0 : words[0];
}

Result<PromptLayout> FindTurns(const TextModelImpl& text, const Rendered& rendered,
                               std::span<const TokenId> tokens) {
  const std::span<const Message> messages = rendered.messages;
  const std::string mark = MarkFor(rendered);
  GYRATOR_ASSIGN_OR_RETURN(const std::string marked,
                           text.Render(Marked(mark, messages), rendered.options));
  const auto users = static_cast<size_t>(std::count_if(messages.begin(), messages.end(), IsUser));
  const std::vector<size_t> words = FindWords(mark, marked, rendered.text, users);
  PromptLayout layout;
  layout.turn_of_user.assign(words.size(), -1);
  Reader reader(text.tokenizer(), rendered.text);
  size_t user = 0;
  for (size_t p = 0; p <= tokens.size(); ++p) {
    while (user < words.size() && words[user] < reader.offset()) ++user;
    if (user < words.size() && IsBlank(rendered.text, reader.offset(), words[user])) {
      layout.turn_of_user[user++] = static_cast<int32_t>(p);
      layout.turns.push_back(static_cast<int32_t>(p));
    }
    if (p == tokens.size() || !reader.Read(tokens[p])) break;
  }
  if (!layout.turns.empty()) layout.pinned = layout.turns[0];
  GYRATOR_RETURN_IF_ERROR(FindCalls(text, rendered, tokens, &layout));
  return layout;
}

}  // namespace gyrator
