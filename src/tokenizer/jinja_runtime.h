// What the builtins of the template language (filters, tests, methods, functions) may use, and how
// they are declared. The evaluator implements it (jinja_eval.h).
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "tokenizer/jinja_value.h"

namespace gyrator::jinja {

// The arguments of a call.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Runtime {
 public:
  explicit Runtime(const Limits& limits) : budget_(limits) {}
  virtual ~Runtime() = default;

  Budget& budget() { return budget_; }

  // New values, charged to the budget.
  Value NewString(std::string text);
  Value NewList(std::vector<Value> items) { return NewSequence(Kind::kList, std::move(items)); }
  Value NewTuple(std::vector<Value> items) { return NewSequence(Kind::kTuple, std::move(items)); }
  Value NewGroup(Value grouper, Value list);
  Value NewDict(std::shared_ptr<DictObject> dict);
  Value NewMethod(const Value& self, const Builtin* builtin);
  Value NewIterator(std::vector<Value> items);
  template <class T>
  T* New() {  // an entity that lives until the render ends
    budget_.Bytes(sizeof(T));
    arena_.push_back(std::make_unique<T>());
    return static_cast<T*>(arena_.back().get());
  }

  // str() of a value.
  std::string Str(const Value& value);
  // list(): what a `for` walks over. Walks an iterator to its end. kInvalidArgument for values that
  // cannot be walked.
  Result<std::vector<Value>> Items(const Value& value);
  // `value.name` and `value[key]` with Jinja's fallbacks: an absent name is Undefined, not an
  // error; a name of Undefined is an error.
  Result<Value> GetAttribute(const Value& value, std::string_view name);
  Result<Value> GetItem(const Value& value, const Value& key);

  Result<Value> CallFilter(std::string_view name, const Value& value, Args args);
  Result<bool> CallTest(std::string_view name, const Value& value, Args args);

  // Attributes of `loop`: they may move the loop's source on.
  virtual Result<Value> LoopAttribute(const Value& loop, std::string_view name) = 0;
  // The local time for strftime_now; nullptr: the machine's clock.
  virtual const std::tm* now() const = 0;

 private:
  Value NewSequence(Kind kind, std::vector<Value> items);
  Result<Value> FindItem(const Value& value, const Value& key, bool* found);
  Result<Value> FindAttribute(const Value& value, std::string_view name, bool* found);
  template <class T>
  Value Seal(Kind kind, std::shared_ptr<T> object, size_t bytes);

  Budget budget_;
  std::vector<std::unique_ptr<Entity>> arena_;
};

// A filter, test, method or function that the engine provides.
//
// `signature` names the parameters after `self`: "width=, first=, blank=". A trailing '=' makes one
// optional, a leading '/' positional only. The function receives one value for each, kMissing where
// none was given. "**" takes any arguments: a tuple of the positional and a dict of the named ones.
struct Builtin {
  std::string_view name;
  std::string_view signature;
  Result<Value> (*call)(Runtime& runtime, const Value& self, std::span<const Value> args);
};

// Sorts the arguments into the parameters and calls. kInvalidArgument names what does not fit.
Result<Value> CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, Args args);

// nullptr when there is none of that name. Static storage.
const Builtin* FindFilter(std::string_view name);
const Builtin* FindTest(std::string_view name);
const Builtin* FindFunction(std::string_view name);
const Builtin* FindMethod(Kind kind, std::string_view name);
// What Jinja or Python has under this name and this engine has not; a use is kUnsupported.
bool IsUnsupportedMethod(Kind kind, std::string_view name);
// The methods that the immutable sandbox hides: list.append, dict.update.
bool IsMutator(Kind kind, std::string_view name);

// Helpers for arguments; `what` names the parameter in messages.
Result<int64_t> AsInteger(const Value& value, std::string_view what);
Result<std::string_view> AsText(const Value& value, std::string_view what);

}  // namespace gyrator::jinja
