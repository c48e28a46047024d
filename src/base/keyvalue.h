// Text files of `key: value` lines: config.txt, session.txt, protocol.txt, keylog.txt.
//
// Grammar (docs/formats/snapshot.md): UTF-8, lines end in LF (the last may lack it); a line is
// empty, a comment that starts with '#', or KEY ':' [' '] VALUE. KEY is [a-z0-9_.]+, at most once a
// file. VALUE has no control character but tab. Order, comments and unknown keys are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

// A value; not for concurrent writes.
class KeyValues {
 public:
  struct Line {
    std::string key;  // empty: `value` is a comment or an empty line, as it stands
    std::string value;
    bool operator==(const Line&) const = default;
  };

  // kCorruption names the line and what is wrong with it.
  static Result<KeyValues> Parse(std::string_view text);
  // Every line with LF, "key: value".
  std::string Serialize() const;
  // kInvalidArgument names the key that Parse would not give back as it is.
  Status Check() const;

  // Replaces the value of `key`, or appends the line.
  void Set(std::string_view key, std::string_view value);
  void SetInt(std::string_view key, int64_t value) { Set(key, std::to_string(value)); }
  void AddComment(std::string_view text);  // "# " is put before it
  void Remove(std::string_view key);
  // Comments and empty lines too.
  void RemoveIf(const std::function<bool(const Line&)>& unwanted) {
    std::erase_if(lines_, unwanted);
  }
  // Appends the lines of `other` whose keys are not here; comments are not taken.
  void AddMissing(const KeyValues& other);

  bool Contains(std::string_view key) const { return Find(key).has_value(); }
  std::optional<std::string_view> Find(std::string_view key) const;
  // kNotFound when there is no such key.
  Result<std::string> Get(std::string_view key) const;
  // A decimal integer without sign or with '-', no spaces. kNotFound, kCorruption (names the key).
  Result<int64_t> GetInt(std::string_view key) const;

  std::span<const Line> lines() const { return lines_; }
  bool operator==(const KeyValues&) const = default;

 private:
  std::vector<Line> lines_;
};

}  // namespace gyrator
