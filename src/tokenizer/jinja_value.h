// The values of a template: Python's, as far as chat templates see them.
//
// A Value is small and cheap to copy; strings, lists, tuples and dicts are immutable and shared
// (the sandbox forbids methods that change them). What can change during a render (namespaces,
// loops, iterators) is an Entity, owned by the render's arena, so that cycles cost nothing. A Value
// must not outlive the render that made it. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "gyrator/status.h"

namespace gyrator::jinja {

struct Builtin;
class Value;

// Bounds of one render. A template comes with the model: it is not trusted.
struct Limits {
  uint64_t steps_max = 10'000'000;         // evaluated nodes, visited elements
  uint64_t bytes_max = uint64_t{1} << 29;  // of all values made and of the output
  int depth_max = 500;                     // nested evaluations, calls included
};
// Nesting of a value; bounds every walk over one.
inline constexpr int kValueDepthMax = 256;
// As jinja2.sandbox.MAX_RANGE.
inline constexpr int64_t kRangeMax = 100'000;

// What is left of the limits. Running out is sticky: whoever spends sees false, and the evaluator
// ends the render with status() at its next step.
class Budget {
 public:
  explicit Budget(const Limits& limits) : steps_(limits.steps_max), bytes_(limits.bytes_max) {}
  bool Step(uint64_t count = 1);
  bool Bytes(uint64_t count);
  void Exhaust(std::string what);
  bool exhausted() const { return !what_.empty(); }
  Status status() const;  // kExhausted, or ok

 private:
  uint64_t steps_;
  uint64_t bytes_;
  std::string what_;
};

enum class Kind : uint8_t {
  kMissing,  // no value: an argument that was not given, a variable that was not set
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,  // dict.keys(), values(), items()
  kRange,
  kIterator,  // what Python's generators are here: can be walked once
  kNamespace,
  kMacro,
  kFunction,
  kMethod,  // a builtin bound to a value
  kLoop,
  kCycler,
  kJoiner,
};

struct Object {
  virtual ~Object() = default;
  int depth = 0;  // 1 + the deepest value inside
};
struct Entity {
  virtual ~Entity() = default;
};
struct StringObject;
struct SequenceObject;
struct DictObject;
struct ViewObject;
struct RangeObject;
struct MethodObject;

class Value {
 public:
  Value() = default;  // kMissing
  static Value None() { return Value(Kind::kNone); }
  static Value Bool(bool value) { return Value(Kind::kBool, int64_t{value}); }
  static Value Int(int64_t value) { return Value(Kind::kInt, value); }
  static Value Float(double value) { return Value(Kind::kFloat, value); }
  static Value String(std::string text);  // REQUIRES: valid UTF-8
  static Value Undefined(std::string message);
  static Value Function(const Builtin* function) { return Value(Kind::kFunction, function); }
  static Value Of(Kind kind, std::shared_ptr<const Object> object) {
    return Value(kind, std::move(object));
  }
  static Value Of(Kind kind, Entity* entity) { return Value(kind, entity); }

  Kind kind() const { return kind_; }
  bool Is(Kind kind) const { return kind_ == kind; }
  bool IsSequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool IsInteger() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool IsNumber() const { return IsInteger() || kind_ == Kind::kFloat; }

  // Each REQUIRES the kind.
  int64_t integer() const { return std::get<int64_t>(data_); }  // kInt, kBool
  double number() const;                                        // any number
  const std::string& text() const;                              // kString
  const std::string& message() const;                           // kUndefined
  const StringObject& string() const;
  const SequenceObject& sequence() const;  // kList, kTuple
  const std::vector<Value>& items() const;
  const DictObject& dict() const;
  const ViewObject& view() const;
  const RangeObject& range() const;
  const MethodObject& method() const;
  const Builtin* function() const { return std::get<const Builtin*>(data_); }
  Entity* entity() const { return std::get<Entity*>(data_); }
  template <class T>
  T& As() const {  // an entity; REQUIRES that it is a T
    return static_cast<T&>(*entity());
  }
  int depth() const;
  // Python's `is`.
  bool SameAs(const Value& other) const;

 private:
  using Data =
      std::variant<int64_t, double, std::shared_ptr<const Object>, Entity*, const Builtin*>;
  explicit Value(Kind kind, Data data = int64_t{0}) : kind_(kind), data_(std::move(data)) {}
  template <class T>
  const T& object() const {
    return static_cast<const T&>(*std::get<std::shared_ptr<const Object>>(data_));
  }
  Kind kind_ = Kind::kMissing;
  Data data_ = int64_t{0};
};

struct StringObject : Object {
  std::string text;
  size_t length = 0;  // code points
};
struct UndefinedObject : Object {
  std::string message;
};
struct SequenceObject : Object {
  std::vector<Value> items;
  bool is_group = false;  // of groupby: items[0] is .grouper, items[1] is .list
};
struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t length = 0;
};
struct MethodObject : Object {
  Value self;
  const Builtin* builtin = nullptr;
};

// Hash and equality of hashable values: 1 == 1.0 == True is one key, as in Python.
struct KeyHash {
  size_t operator()(const Value& key) const;
};
struct KeyEqual {
  bool operator()(const Value& a, const Value& b) const;
};
// Scalars, strings, entities and tuples of these. (Python also hashes tuples of tuples.)
bool IsHashable(const Value& value);

// In the order of insertion. Const once a Value shares it.
struct DictObject : Object {
  std::vector<std::pair<Value, Value>> items;
  // nullptr when absent. REQUIRES: IsHashable(key).
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  // Adds, or replaces in place. REQUIRES: IsHashable(key).
  void Set(Value key, Value value);

 private:
  std::unordered_map<Value, size_t, KeyHash, KeyEqual> index_;
};
struct ViewObject : Object {
  enum class Which { kKeys, kValues, kItems };
  Which which = Which::kKeys;
  Value dict;
};

struct Namespace : Entity {
  DictObject attributes;
};
struct Iterator : Entity {
  std::vector<Value> items;
  size_t next = 0;
};
struct Cycler : Entity {
  std::vector<Value> items;
  size_t next = 0;
};
struct Joiner : Entity {
  Value separator;
  bool used = false;
};

// Python's name of the type: "str", "NoneType".
std::string_view TypeName(const Value& value);
// As in messages about missing attributes: "dict object", "None".
std::string DescribeType(const Value& value);

bool Truth(const Value& value);
// len(); kInvalidArgument for values without one. Not for loops.
Result<int64_t> Length(const Value& value);
// ==; false when the budget runs out on the way.
bool Equal(const Value& a, const Value& b, Budget* budget);
enum class Order { kLess, kLessEqual, kGreater, kGreaterEqual };
// kInvalidArgument for values without an order.
Result<bool> Compare(Order order, const Value& a, const Value& b, Budget* budget);

// kInvalidArgument with the stable name "template_error".
Status EvaluationError(std::string message);

}  // namespace gyrator::jinja
