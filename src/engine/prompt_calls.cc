#include "engine/prompt_calls.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace gyrator {

namespace {

bool IsTool(const Message& message) { return message.role == "tool"; }

bool IsBlank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// Messages [first, end): what a tool was asked, and all that it answered. A call that was never
// answered, without words of its own, belongs to the next one.
struct CallMessages {
  size_t first = 0;
  size_t end = 0;
};

std::vector<CallMessages> CallsIn(std::span<const Message> messages) {
  std::vector<CallMessages> calls;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!IsTool(messages[i])) continue;
    const bool asked = i > 0 && messages[i - 1].role == "assistant";
    CallMessages call = {asked ? i - 1 : i, i};
    const size_t earliest = calls.empty() ? 0 : calls.back().end;
    while (call.first > earliest && messages[call.first - 1].role == "assistant" &&
           IsBlank(messages[call.first - 1].content)) {
      --call.first;
    }
    while (call.end < messages.size() && IsTool(messages[call.end])) ++call.end;
    calls.push_back(call);
    i = call.end;
  }
  return calls;
}

// Messages whose ends are looked for, ascending: the one before a call, unless that says nothing,
// and the last of the call. A system prompt is none, nor are instructions within a call; those
// between calls are when `instructions`: a template may write them elsewhere.
std::vector<size_t> Borders(std::span<const Message> messages, std::span<const CallMessages> calls,
                            bool instructions) {
  std::vector<size_t> borders;
  for (const CallMessages& call : calls) {
    const bool instructed = call.first > 0 && messages[call.first - 1].role == "system";
    const bool may_follow =
        !instructed || (instructions && call.first > 1 && messages[call.first].role == "assistant");
    const bool follows = call.first > 0 && may_follow && !IsBlank(messages[call.first - 1].content);
    if (follows && (borders.empty() || borders.back() != call.first - 1)) {
      borders.push_back(call.first - 1);
    }
    borders.push_back(call.end - 1);
  }
  return borders;
}

// A character of the private use area that neither the messages nor their render have: templates do
// not strip it, and leave it as it is where they write a content as JSON. Empty: all are taken.
std::string EndMarkFor(const Rendered& rendered) {
  constexpr char32_t kFirst = 0xe000, kLast = 0xf8ff;
  for (char32_t code = kFirst; code <= kLast; ++code) {
    std::string mark;
    AppendUtf8(code, &mark);
    const auto has = [&](const Message& message) {
      return message.content.find(mark) != std::string::npos;
    };
    const bool taken = rendered.text.find(mark) != std::string_view::npos ||
                       std::any_of(rendered.messages.begin(), rendered.messages.end(), has);
    if (!taken) return mark;
  }
  return {};
}

// Where in the render the contents of `borders` end, each before trailing white space, which a
// template may strip; empty when marks change more than themselves, or come in another order.
Result<std::vector<size_t>> FindEnds(const TextModelImpl& text, const Rendered& rendered,
                                     std::span<const size_t> borders) {
  std::vector<size_t> ends;
  const std::string mark = EndMarkFor(rendered);
  if (mark.empty()) return ends;
  std::vector<Message> marked(rendered.messages.begin(), rendered.messages.end());
  const auto numbered = [&](size_t number) { return mark + std::to_string(number) + mark; };
  for (size_t i = 0; i < borders.size(); ++i) {
    std::string& content = marked[borders[i]].content;
    content.insert(content.find_last_not_of(" \t\r\n") + 1, numbered(i));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string with, text.Render(marked, rendered.options));
  std::string without;
  for (size_t at = 0; at < with.size();) {
    const size_t found = std::min(with.find(mark, at), with.size());
    without.append(with, at, found - at);
    const std::string expected = numbered(ends.size());
    if (found < with.size() && with.compare(found, expected.size(), expected) != 0) {
      return std::vector<size_t>();
    }
    if (found < with.size()) ends.push_back(without.size());
    at = found + expected.size();
  }
  if (ends.size() != borders.size() || without != rendered.text) ends.clear();
  return ends;
}

// Messages and where their contents end; the second is empty when that cannot be told.
Result<std::pair<std::vector<size_t>, std::vector<size_t>>> FindBorders(
    const TextModelImpl& text, const Rendered& rendered, std::span<const CallMessages> calls) {
  std::vector<size_t> borders = Borders(rendered.messages, calls, true);
  GYRATOR_ASSIGN_OR_RETURN(std::vector<size_t> ends, FindEnds(text, rendered, borders));
  std::vector<size_t> fewer = Borders(rendered.messages, calls, false);
  if (ends.empty() && fewer != borders) {
    borders = std::move(fewer);
    GYRATOR_ASSIGN_OR_RETURN(ends, FindEnds(text, rendered, borders));
  }
  return std::pair(std::move(borders), std::move(ends));
}

// The token at which a message whose content ends at `end` is closed: a special one before `next`,
// or else the first one behind the content. None: the tokens end before.
std::optional<int32_t> ClosedAt(const Tokenizer& tokenizer, std::span<const TokenId> tokens,
                                std::span<const size_t> offsets, size_t end, size_t next) {
  const auto first = std::lower_bound(offsets.begin(), offsets.end(), end) - offsets.begin();
  if (first >= std::ssize(tokens)) return std::nullopt;
  for (auto at = first; at < std::ssize(offsets) && offsets[static_cast<size_t>(at)] < next; ++at) {
    if (at < std::ssize(tokens) && tokenizer.IsSpecial(tokens[static_cast<size_t>(at)])) {
      return static_cast<int32_t>(at);
    }
  }
  return static_cast<int32_t>(first);
}

// The turn, among those that were found, in which message `index` is.
TokenSpan TurnOf(std::span<const Message> messages, size_t index, const PromptLayout& layout,
                 int32_t length) {
  int32_t turn = 0;
  size_t user = 0;
  for (const Message& message : messages.first(index)) {
    if (message.role != "user" || user >= layout.turn_of_user.size()) continue;
    turn = std::max(turn, layout.turn_of_user[user++]);
  }
  const auto next = std::upper_bound(layout.turns.begin(), layout.turns.end(), turn);
  return {turn, next == layout.turns.end() ? length : *next};
}

bool Meet(const TokenSpan& a, const TokenSpan& b) { return a.begin < b.end && b.begin < a.end; }

}  // namespace

Status FindCalls(const TextModelImpl& text, const Rendered& rendered,
                 std::span<const TokenId> tokens, PromptLayout* layout) {
  const std::span<const Message> messages = rendered.messages;
  const std::vector<CallMessages> calls = CallsIn(messages);
  if (calls.empty()) return {};
  GYRATOR_ASSIGN_OR_RETURN(const auto found, FindBorders(text, rendered, calls));
  const auto& [borders, ends] = found;
  const std::vector<size_t> offsets = ReadOffsets(text, rendered.text, tokens);
  std::map<size_t, int32_t> closed_at;  // [message]
  for (size_t i = 0; i < ends.size(); ++i) {
    const size_t next = i + 1 < ends.size() ? ends[i + 1] : rendered.text.size();
    const auto at = ClosedAt(text.tokenizer(), tokens, offsets, ends[i], next);
    if (at) closed_at[borders[i]] = *at;
  }
  std::vector<TokenSpan> whole;  // turns with a call that was not found
  for (const CallMessages& call : calls) {
    const auto before = call.first > 0 ? closed_at.find(call.first - 1) : closed_at.end();
    const auto last = closed_at.find(call.end - 1);
    const auto end = std::find(borders.begin(), borders.end(), call.end - 1) - borders.begin();
    const bool all_read = offsets.size() == tokens.size() + 1;
    if (all_read && !ends.empty() && ends[static_cast<size_t>(end)] > offsets.back()) {
      if (before == closed_at.end()) break;  // the tokens end before this call
      layout->calls.push_back({.span = {before->second, static_cast<int32_t>(tokens.size())},
                               .first_message = call.first,
                               .num_messages = call.end - call.first});
      break;
    }
    const TokenSpan turn =
        TurnOf(messages, call.first, *layout, static_cast<int32_t>(tokens.size()));
    if (before == closed_at.end() || last == closed_at.end() || before->second >= last->second ||
        before->second < turn.begin) {
      whole.push_back(turn);
      continue;
    }
    // Closed alike, what is left without it is a conversation of the same form.
    const auto closes = [&](int32_t at) { return tokens[static_cast<size_t>(at)]; };
    layout->calls.push_back({.span = {before->second, last->second},
                             .first_message = call.first,
                             .num_messages = call.end - call.first,
                             .may_go = closes(before->second) == closes(last->second)});
  }
  std::erase_if(layout->calls, [&](const ToolCall& call) {
    return std::any_of(whole.begin(), whole.end(),
                       [&](const TokenSpan& turn) { return Meet(turn, call.span); });
  });
  layout->atomic = std::move(whole);
  for (const ToolCall& call : layout->calls) layout->atomic.push_back(call.span);
  std::sort(layout->atomic.begin(), layout->atomic.end(),
            [](const TokenSpan& a, const TokenSpan& b) { return a.begin < b.begin; });
  layout->atomic.erase(std::unique(layout->atomic.begin(), layout->atomic.end()),
                       layout->atomic.end());
  return {};
}

void ShowCalls(const PromptLayout& layout, const Window& window, WindowView* view) {
  if (view->turns.empty()) return;
  const int32_t turn = view->turns.back();
  std::vector<ToolCall> newest;  // of the newest turn, where they are in the window
  for (ToolCall call : layout.calls) {
    call.span = {window.FromAll(call.span.begin), window.FromAll(call.span.end)};
    if (turn <= call.span.begin && call.span.begin < call.span.end) newest.push_back(call);
  }
  if (newest.empty()) return;
  const TokenSpan last = newest.back().span;
  newest.pop_back();
  const bool keeps_turn = view->newest == view->length - turn;
  if (keeps_turn && !newest.empty()) view->newest = view->length - last.begin;
  int32_t kept = turn;
  for (const ToolCall& call : newest) {
    if (!call.may_go) continue;
    if (kept < call.span.begin) view->kept.push_back({kept, call.span.begin});
    view->calls.push_back(call.span);
    kept = call.span.end;
  }
  view->kept.push_back({kept, last.end});
}

}  // namespace gyrator
