#include "base/keyvalue.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/utf8.h"

namespace gyrator {

namespace {

bool IsKey(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

Status LineError(size_t number, const std::string& what) {
  return Status::Corruption("line " + std::to_string(number) + ": " + what);
}

}  // namespace

Result<KeyValues> KeyValues::Parse(std::string_view text) {
  if (!IsValidUtf8(text)) return Status::Corruption("not UTF-8");
  KeyValues out;
  const auto ends = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  out.lines_.reserve(ends + 1);
  std::unordered_set<std::string_view> keys;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (HasControl(line)) return LineError(number, "control character (lines end in LF alone)");
    if (line.empty() || line[0] == '#') {
      out.lines_.push_back({"", std::string(line)});
      continue;
    }
    const size_t colon = line.find(':');
    const std::string_view key = line.substr(0, std::min(colon, line.size()));
    if (colon == std::string_view::npos || !IsKey(key)) {
      return LineError(number,
                       "expected 'key: value' with a key of a-z, 0-9, '_' and '.', found '" +
                           std::string(line.substr(0, 40)) + "'");
    }
    if (!keys.insert(key).second) {
      return LineError(number, "key '" + std::string(key) + "' appears twice");
    }
    std::string_view value = line.substr(colon + 1);
    if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
    out.lines_.push_back({std::string(key), std::string(value)});
  }
  return out;
}

std::string KeyValues::Serialize() const {
  std::string text;
  for (const Line& line : lines_) {
    if (!line.key.empty()) text += line.key + ": ";
    text += line.value + "\n";
  }
  return text;
}

Status KeyValues::Check() const {
  std::unordered_set<std::string_view> keys;
  for (const Line& line : lines_) {
    const bool comment = line.key.empty();
    if (comment && !line.value.empty() && line.value[0] != '#') {
      return Status::InvalidArgument("'" + line.value + "': a comment starts with '#'");
    }
    if (!comment && !IsKey(line.key)) {
      return Status::InvalidArgument("key '" + line.key + "': expected a-z, 0-9, '_' and '.'");
    }
    if (!comment && !keys.insert(line.key).second) {
      return Status::InvalidArgument("key '" + line.key + "': appears twice");
    }
    if (HasControl(line.value) || !IsValidUtf8(line.value)) {
      return Status::InvalidArgument("key '" + line.key + "': the value is not one line of UTF-8");
    }
  }
  return {};
}

void KeyValues::Set(std::string_view key, std::string_view value) {
  for (Line& line : lines_) {
    if (line.key == key) {
      line.value = value;
      return;
    }
  }
  lines_.push_back({std::string(key), std::string(value)});
}

void KeyValues::AddComment(std::string_view text) {
  lines_.push_back({"", "# " + std::string(text)});
}

void KeyValues::Remove(std::string_view key) {
  std::erase_if(lines_, [&](const Line& line) { return line.key == key; });
}

void KeyValues::AddMissing(const KeyValues& other) {
  std::unordered_set<std::string> keys;
  for (const Line& line : lines_) keys.insert(line.key);
  for (const Line& line : other.lines_) {
    if (!line.key.empty() && !keys.contains(line.key)) lines_.push_back(line);
  }
}

std::optional<std::string_view> KeyValues::Find(std::string_view key) const {
  for (const Line& line : lines_) {
    if (!line.key.empty() && line.key == key) return line.value;
  }
  return std::nullopt;
}

Result<std::string> KeyValues::Get(std::string_view key) const {
  const auto value = Find(key);
  if (!value) return Status::NotFound("no key '" + std::string(key) + "'");
  return std::string(*value);
}

Result<int64_t> KeyValues::GetInt(std::string_view key) const {
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, Get(key));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Status::Corruption("key '" + std::string(key) + "': expected an integer, found '" +
                              text + "'");
  }
  return value;
}

}  // namespace gyrator
