// Outcomes. Every call that can fail for a reason outside the program returns Status or Result<T>.
//
// Three classes of failure (docs: STYLE.md, "Errors"): an *outcome* (file, user, full pool, damaged
// bytes) is a Status; a *bug* is a GYRATOR_CHECK; an *impossible to go on* (a small allocation
// fails) terminates. Bytes from outside never reach a check.
//
// The core throws nothing. Both types are values: movable, no locking, use from one thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gyrator {

// The value of a code is also the exit code of the command. Frozen: C API, scripts, HTTP map.
enum class Code : uint8_t {
  kOk = 0,
  kInternal = 1,
  kInvalidArgument = 2,  // usage
  kNotFound = 3,
  kCorruption = 4,   // damaged or inconsistent bytes
  kMismatch = 5,     // identity: other weights, tokenizer, geometry, compute type
  kExhausted = 6,    // capacity, memory, disk space
  kKey = 7,          // key needed or wrong
  kIo = 8,           // the operating system refused
  kUnsupported = 9,  // unknown version or feature
  kCancelled = 130,
};

// "corruption", "not found", ...; never empty.
std::string_view CodeName(Code code);

// Success (a null pointer) or a code with a message that names the thing, what was expected and
// what was found: lower case, fact first, hint last.
class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message);
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  Status(const Status& other);
  Status& operator=(const Status& other);

  static Status Internal(std::string m) { return {Code::kInternal, std::move(m)}; }
  static Status InvalidArgument(std::string m) { return {Code::kInvalidArgument, std::move(m)}; }
  static Status NotFound(std::string m) { return {Code::kNotFound, std::move(m)}; }
  static Status Corruption(std::string m) { return {Code::kCorruption, std::move(m)}; }
  static Status Mismatch(std::string m) { return {Code::kMismatch, std::move(m)}; }
  static Status Exhausted(std::string m) { return {Code::kExhausted, std::move(m)}; }
  static Status Io(std::string m) { return {Code::kIo, std::move(m)}; }
  static Status Unsupported(std::string m) { return {Code::kUnsupported, std::move(m)}; }
  static Status Cancelled(std::string m) { return {Code::kCancelled, std::move(m)}; }

  bool ok() const { return rep_ == nullptr; }
  Code code() const { return rep_ ? rep_->code : Code::kOk; }
  // Empty when ok.
  const std::string& message() const;
  // A stable machine-readable name, finer than the code ("manifest_mismatch", "shape_mismatch");
  // empty when none was given.
  const std::string& name() const;

  // Gives the failure its stable name. No effect on success.
  Status Named(std::string_view name) &&;
  // Puts "<where>: " before the message. No effect on success.
  Status Annotate(std::string_view where) &&;
  // "corruption: <message>", or "ok".
  std::string ToString() const;

 private:
  struct Rep {
    Code code;
    std::string message;
    std::string name;
  };
  std::unique_ptr<Rep> rep_;
};

// A value or the reason why there is none. `*r` and `r->` REQUIRE r.ok().
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT; REQUIRES: !status.ok()

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace gyrator

#define GYRATOR_RETURN_IF_ERROR(expr)                  \
  do {                                                 \
    ::gyrator::Status gyrator_status_ = (expr);        \
    if (!gyrator_status_.ok()) return gyrator_status_; \
  } while (0)

#define GYRATOR_CONCAT_(a, b) a##b
#define GYRATOR_CONCAT(a, b) GYRATOR_CONCAT_(a, b)
// GYRATOR_ASSIGN_OR_RETURN(auto file, fs.Open(path));
#define GYRATOR_ASSIGN_OR_RETURN(lhs, expr) \
  GYRATOR_ASSIGN_OR_RETURN_(GYRATOR_CONCAT(gyrator_result_, __LINE__), lhs, expr)
#define GYRATOR_ASSIGN_OR_RETURN_(result, lhs, expr)   \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = *std::move(result)
