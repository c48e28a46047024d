#include "snapshot/window_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>

#include "snapshot/errors.h"
#include "snapshot/format.h"

namespace gyrator {

namespace {

constexpr std::string_view kFirstLine = "# window v1";
// The policies, and behind them what else `overflow` may be.
constexpr std::array<std::string_view, 5> kOverflows = {"message", "fifo", "sink", "score",
                                                        "error"};
constexpr std::span<const std::string_view> kPolicies = std::span(kOverflows).first(4);
constexpr std::array<std::string_view, 2> kModes = {"shift", "recompute"};

std::string Choices(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : " | ") + std::string(name);
  return "<" + text + ">";
}

// Takes `text` apart from the front.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool Take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  // A number from 0 to INT32_MAX, as std::to_string writes it.
  std::optional<int32_t> TakeNumber() {
    int32_t value = 0;
    if (rest_.empty() || rest_[0] < '0' || rest_[0] > '9') return std::nullopt;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || (rest_[0] == '0' && end != rest_.data() + 1)) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  // One of `names`, none of which begins another.
  std::optional<std::string_view> TakeName(std::span<const std::string_view> names) {
    for (const std::string_view name : names) {
      if (Take(name)) return name;
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

// One line after the other.
class WindowParser {
 public:
  WindowParser(std::string_view text, int64_t cp, int64_t vocab)
      : rest_(text), cp_(cp), vocab_(vocab) {}

  Result<WindowText> Parse() {
    WindowText window;
    GYRATOR_RETURN_IF_ERROR(ParseHead(&window));
    window.evicted.reserve(CountLines("evicted: "));  // growing would take twice the room
    window.log.reserve(CountLines("log: "));
    while (rest_.starts_with("evicted: ")) GYRATOR_RETURN_IF_ERROR(ParseEvicted(&window));
    const int64_t evicted = window.NumEvicted();
    int64_t logged = 0;
    while (rest_.starts_with("log: ")) GYRATOR_RETURN_IF_ERROR(ParseEntry(&window, &logged));
    if (!rest_.empty()) {
      GYRATOR_RETURN_IF_ERROR(NextLine("'evicted: ', 'log: ' or the end"));
      return LineError(window.log.empty() ? "'evicted: ', 'log: ' or the end"
                                          : "'log: ' or the end");
    }
    if (evicted + cp_ > INT32_MAX) {
      return LineError("at most " + std::to_string(INT32_MAX) + " tokens in the session",
                       std::to_string(evicted + cp_));
    }
    if (logged == evicted) return window;
    return LineError("spans of " + std::to_string(evicted) +
                         " positions in all log lines, as many as evicted tokens",
                     std::to_string(logged));
  }

 private:
  Status LineError(const std::string& expected, const std::string& found) const {
    return StateInconsistent(kWindowFile, "line " + std::to_string(number_) + ": expected " +
                                              expected + ", found " + found);
  }
  Status LineError(const std::string& expected) const {
    return LineError(expected, "'" + std::string(line_.substr(0, 80)) + "'");
  }

  // How many of the lines that are left begin so.
  size_t CountLines(std::string_view begin) const {
    size_t count = 0;
    for (size_t at = 0; at < rest_.size();) {
      count += rest_.substr(at).starts_with(begin) ? 1 : 0;
      const size_t end = rest_.find('\n', at);
      at = end == std::string_view::npos ? rest_.size() : end + 1;
    }
    return count;
  }

  // The next line into line_; `expected` is told when there is none.
  Status NextLine(const std::string& expected) {
    ++number_;
    const size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    if (rest_.empty()) return LineError(expected, "the end");
    if (end == std::string_view::npos) return LineError("LF behind the last line");
    rest_.remove_prefix(end + 1);
    return {};
  }

  Status ParseName(std::string_view key, std::span<const std::string_view> names,
                   std::string* value) {
    const std::string expected = std::string(key) + Choices(names);
    GYRATOR_RETURN_IF_ERROR(NextLine(expected));
    Cursor cursor(line_);
    const auto name = cursor.Take(key) ? cursor.TakeName(names) : std::nullopt;
    if (!name || !cursor.done()) return LineError(expected);
    *value = *name;
    return {};
  }

  Status ParseCount(std::string_view key, int32_t* value) {
    const std::string expected = std::string(key) + "<count>";
    GYRATOR_RETURN_IF_ERROR(NextLine(expected));
    Cursor cursor(line_);
    const auto count = cursor.Take(key) ? cursor.TakeNumber() : std::nullopt;
    if (!count || !cursor.done()) return LineError(expected);
    *value = *count;
    return {};
  }

  Status ParseHead(WindowText* window) {
    const std::string first = "'" + std::string(kFirstLine) + "'";
    GYRATOR_RETURN_IF_ERROR(NextLine(first));
    if (line_ != kFirstLine) return LineError(first);
    GYRATOR_RETURN_IF_ERROR(ParseName("overflow: ", kOverflows, &window->overflow));
    GYRATOR_RETURN_IF_ERROR(ParseName("mode: ", kModes, &window->mode));
    GYRATOR_RETURN_IF_ERROR(ParseCount("sinks: ", &window->sinks));
    return ParseCount("headroom: ", &window->headroom);
  }

  Status ParseEvicted(WindowText* window) {
    const std::string expected = "evicted: <at> <id>,<id>,...";
    GYRATOR_RETURN_IF_ERROR(NextLine(expected));
    Cursor cursor(line_);
    EvictedSpan span;
    const auto at = cursor.Take("evicted: ") ? cursor.TakeNumber() : std::nullopt;
    if (!at || !cursor.Take(" ")) return LineError(expected);
    const int64_t least = window->evicted.empty() ? 0 : int64_t{window->evicted.back().at} + 1;
    if (*at < least || *at > cp_) {
      return LineError("a position from " + std::to_string(least) + " to " + std::to_string(cp_),
                       std::to_string(*at));
    }
    span.at = *at;
    span.tokens.reserve(static_cast<size_t>(std::ranges::count(line_, ',')) + 1);
    do {
      const auto id = cursor.TakeNumber();
      if (!id) return LineError(expected);
      if (*id >= vocab_) {
        return LineError("ids below " + std::to_string(vocab_), std::to_string(*id));
      }
      span.tokens.push_back(*id);
    } while (cursor.Take(","));
    if (!cursor.done()) return LineError(expected);
    window->evicted.push_back(std::move(span));
    return {};
  }

  // Adds the positions of the entry to `logged`.
  Status ParseEntry(WindowText* window, int64_t* logged) {
    const std::string expected =
        "log: <cp> " + Choices(kPolicies) + " <begin>-<end>,..., or log: <cp> rewind";
    GYRATOR_RETURN_IF_ERROR(NextLine(expected));
    Cursor cursor(line_);
    EvictionEntry entry;
    const auto cp = cursor.Take("log: ") ? cursor.TakeNumber() : std::nullopt;
    if (!cp || !cursor.Take(" ")) return LineError(expected);
    entry.cp = *cp;
    if (cursor.Take(kRewind)) {
      entry.policy = kRewind;
      if (!cursor.done()) return LineError(expected);
      window->log.push_back(std::move(entry));
      return {};
    }
    const auto policy = cursor.TakeName(kPolicies);
    if (!policy || !cursor.Take(" ")) return LineError(expected);
    entry.policy = *policy;
    GYRATOR_RETURN_IF_ERROR(ParseSpans(&cursor, expected, &entry, logged));
    window->log.push_back(std::move(entry));
    return {};
  }

  Status ParseSpans(Cursor* cursor, const std::string& expected, EvictionEntry* entry,
                    int64_t* logged) {
    int32_t end_before = 0;
    do {
      const auto begin = cursor->TakeNumber();
      const auto end = begin && cursor->Take("-") ? cursor->TakeNumber() : std::nullopt;
      if (!end) return LineError(expected);
      if (*begin < end_before || *end <= *begin) {
        return LineError("spans that ascend, are disjoint and not empty",
                         std::to_string(*begin) + "-" + std::to_string(*end));
      }
      entry->spans.emplace_back(*begin, *end);
      *logged += *end - *begin;
      end_before = *end;
    } while (cursor->Take(","));
    return cursor->done() ? Status() : LineError(expected);
  }

  std::string_view rest_, line_;
  const int64_t cp_, vocab_;
  size_t number_ = 0;  // of line_, from 1
};

}  // namespace

int64_t WindowText::NumEvicted() const {
  int64_t count = 0;
  for (const EvictedSpan& span : evicted) count += static_cast<int64_t>(span.tokens.size());
  return count;
}

std::string FormatWindow(const WindowText& window) {
  std::string text = std::string(kFirstLine) + "\noverflow: " + window.overflow +
                     "\nmode: " + window.mode + "\nsinks: " + std::to_string(window.sinks) +
                     "\nheadroom: " + std::to_string(window.headroom) + "\n";
  for (const EvictedSpan& span : window.evicted) {
    text += "evicted: " + std::to_string(span.at);
    char separator = ' ';
    for (const TokenId id : span.tokens) {
      text += separator + std::to_string(id);
      separator = ',';
    }
    text += "\n";
  }
  for (const EvictionEntry& entry : window.log) {
    text += "log: " + std::to_string(entry.cp) + " ";
    text += entry.policy;
    char separator = ' ';
    for (const auto& [begin, end] : entry.spans) {
      text += separator + std::to_string(begin) + "-" + std::to_string(end);
      separator = ',';
    }
    text += "\n";
  }
  return text;
}

Result<WindowText> ParseWindow(std::string_view text, int64_t cp, int64_t vocab) {
  return WindowParser(text, cp, vocab).Parse();
}

}  // namespace gyrator
