// The tokens of a transcript, and where its parts lie in them.
//
// Runs on the caller's thread: the engine thread knows tokens only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/session_snapshot.h"
#include "engine/text_model.h"
#include "gyrator/model.h"
#include "gyrator/status.h"
#include "kv/token_list.h"

namespace gyrator {

// A call of a tool with its results, as one or more messages of the transcript.
struct ToolCall {
  TokenSpan span;  // from where the message before it is closed to where its last result is
  size_t first_message = 0;
  size_t num_messages = 0;
  bool may_go = false;  // what is left without it is a conversation of the same form
};

// Where the parts of a prompt lie: positions of its tokens.
struct PromptLayout {
  int32_t pinned = 0;  // the system prompt ends here
  // Where the content of each user message begins that could be found, or the white space before
  // it, ascending: [turns[i], turns[j]) may be taken out and what is left is a conversation of the
  // same form.
  std::vector<int32_t> turns;
  std::vector<int32_t> turn_of_user;  // of the n-th user message; -1: not found. Or empty
  std::vector<ToolCall> calls;        // those that could be found, ascending
  std::vector<TokenSpan> atomic;      // their spans, and turns with one that was not found
};

struct Prompt {
  std::vector<TokenId> tokens;
  PromptLayout layout;
  std::string rendered;  // what they read as; empty: not known
};

// What a session has in its cache, with evicted tokens put back: ids that the model has generated
// are kept wherever the rendered text has the same text there.
struct Said {
  std::span<const TokenId> tokens;
  std::span<const TokenRange> ranges;  // of the messages; empty ones unknown
};

// The rendered transcript's tokens. Of what was said the ids stay as far as its text is the
// render's, message by message; from the first message that reads otherwise on the render wins.
std::vector<TokenId> EncodeAs(const TextModelImpl& text, std::string_view rendered,
                              const Said& said);

// How much of `rendered` the tokens read as, in bytes.
size_t ReadAs(const TextModelImpl& text, std::string_view rendered,
              std::span<const TokenId> tokens);

// How much of `rendered` is read before each of the tokens, and behind the last one, in bytes;
// fewer when a token reads otherwise.
std::vector<size_t> ReadOffsets(const TextModelImpl& text, std::string_view rendered,
                                std::span<const TokenId> tokens);

// A transcript and what it renders to.
struct Rendered {
  std::span<const Message> messages;
  RenderOptions options;
  std::string_view text;
};

// Where in the text the content of message `index` begins; its end when there is no such message,
// 0 when that cannot be told. kInvalidArgument: the template's own error.
Result<size_t> FindContent(const TextModelImpl& text, const Rendered& rendered, size_t index);

// `tokens` read as `rendered`, or begin as. What cannot be found is left out. kInvalidArgument: the
// template's own error.
Result<PromptLayout> FindTurns(const TextModelImpl& text, const Rendered& rendered,
                               std::span<const TokenId> tokens);

}  // namespace gyrator
