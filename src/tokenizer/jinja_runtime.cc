#include "tokenizer/jinja_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

// One parameter of a signature.
struct Parameter {
  std::string_view name;
  bool optional = false;
  bool positional_only = false;
};

std::vector<Parameter> ParseSignature(std::string_view signature) {
  std::vector<Parameter> parameters;
  while (!signature.empty()) {
    const size_t comma = std::min(signature.find(','), signature.size());
    std::string_view name = signature.substr(0, comma);
    signature.remove_prefix(std::min(comma + 1, signature.size()));
    while (name.starts_with(' ')) name.remove_prefix(1);
    Parameter parameter;
    if (name.starts_with('/')) {
      parameter.positional_only = true;
      name.remove_prefix(1);
    }
    if (name.ends_with('=')) {
      parameter.optional = true;
      name.remove_suffix(1);
    }
    parameter.name = name;
    parameters.push_back(parameter);
  }
  return parameters;
}

Result<Value> CallWithAnyArguments(Runtime& runtime, const Builtin& builtin, const Value& self,
                                   Args args) {
  auto named = std::make_shared<DictObject>();
  for (auto& [name, value] : args.named) named->Set(Value::String(name), value);
  const std::array<Value, 2> packed = {runtime.NewTuple(std::move(args.positional)),
                                       runtime.NewDict(std::move(named))};
  return builtin.call(runtime, self, packed);
}

std::optional<int64_t> NormalizeIndex(const Value& key, int64_t length) {
  if (!key.IsInteger()) return std::nullopt;
  int64_t idx = key.integer();
  if (idx < 0) idx += length;
  if (idx < 0 || idx >= length) return std::nullopt;
  return idx;
}

Value NoAttribute(const Value& value, std::string_view name) {
  return Value::Undefined(
      fmt::format("{} has no attribute {}", Quote(DescribeType(value)), Quote(name)));
}

}  // namespace

template <class T>
Value Runtime::Seal(Kind kind, std::shared_ptr<T> object, size_t bytes) {
  budget_.Bytes(sizeof(T) + bytes);
  if (object->depth > kValueDepthMax) {
    budget_.Exhaust(fmt::format("values nested deeper than {}", kValueDepthMax));
    return Value::None();
  }
  return Value::Of(kind, std::move(object));
}

Value Runtime::NewString(std::string text) {
  budget_.Bytes(sizeof(StringObject) + text.size());
  return Value::String(std::move(text));
}

Value Runtime::NewSequence(Kind kind, std::vector<Value> items) {
  auto object = std::make_shared<SequenceObject>();
  for (const Value& item : items) object->depth = std::max(object->depth, 1 + item.depth());
  const size_t bytes = items.size() * sizeof(Value);
  object->items = std::move(items);
  return Seal(kind, std::move(object), bytes);
}

Value Runtime::NewGroup(Value grouper, Value list) {
  auto object = std::make_shared<SequenceObject>();
  object->depth = 1 + std::max(grouper.depth(), list.depth());
  object->items = {std::move(grouper), std::move(list)};
  object->is_group = true;
  return Seal(Kind::kTuple, std::move(object), 2 * sizeof(Value));
}

Value Runtime::NewDict(std::shared_ptr<DictObject> dict) {
  const size_t bytes = dict->items.size() * 4 * sizeof(Value);
  return Seal(Kind::kDict, std::move(dict), bytes);
}

Value Runtime::NewMethod(const Value& self, const Builtin* builtin) {
  auto object = std::make_shared<MethodObject>();
  object->self = self;
  object->builtin = builtin;
  object->depth = 1 + self.depth();
  return Seal(Kind::kMethod, std::move(object), 0);
}

Value Runtime::NewIterator(std::vector<Value> items) {
  budget_.Bytes(items.size() * sizeof(Value));
  Iterator* iterator = New<Iterator>();
  iterator->items = std::move(items);
  return Value::Of(Kind::kIterator, iterator);
}

std::string Runtime::Str(const Value& value) { return jinja::Str(value, &budget_); }

Result<std::vector<Value>> Runtime::Items(const Value& value) {
  std::vector<Value> items;
  const auto charge = [&](size_t count) {
    return budget_.Step(count) && budget_.Bytes(count * sizeof(Value));
  };
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kString: {
      if (!charge(value.string().length)) return budget_.status();
      const std::string& text = value.text();
      for (size_t pos = 0; pos < text.size();) {
        const size_t start = pos;
        DecodeAt(text, &pos);
        items.push_back(NewString(text.substr(start, pos - start)));
      }
      return items;
    }
    case Kind::kList:
    case Kind::kTuple:
      if (!charge(value.items().size())) return budget_.status();
      return value.items();
    case Kind::kDict:
      if (!charge(value.dict().items.size())) return budget_.status();
      for (const auto& item : value.dict().items) items.push_back(item.first);
      return items;
    case Kind::kView: {
      const ViewObject& view = value.view();
      if (!charge(view.dict.dict().items.size())) return budget_.status();
      for (const auto& [key, item] : view.dict.dict().items) {
        if (view.which == ViewObject::Which::kKeys)
          items.push_back(key);
        else if (view.which == ViewObject::Which::kValues)
          items.push_back(item);
        else
          items.push_back(NewTuple({key, item}));
      }
      return items;
    }
    case Kind::kRange:
      if (!charge(static_cast<size_t>(value.range().length))) return budget_.status();
      for (int64_t i = 0; i < value.range().length; ++i) {
        items.push_back(Value::Int(value.range().start + i * value.range().step));
      }
      return items;
    case Kind::kIterator: {
      auto& iterator = value.As<Iterator>();
      if (!charge(iterator.items.size() - iterator.next)) return budget_.status();
      items.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next),
                   iterator.items.end());
      iterator.next = iterator.items.size();
      return items;
    }
    default:
      return EvaluationError(fmt::format("'{}' object is not iterable", TypeName(value)));
  }
}

Result<Value> Runtime::FindItem(const Value& value, const Value& key, bool* found) {
  *found = true;
  switch (value.kind()) {
    case Kind::kUndefined:
      return EvaluationError(value.message());
    case Kind::kDict:
      if (!IsHashable(key)) break;
      if (const Value* item = value.dict().Find(key)) return *item;
      break;
    case Kind::kList:
    case Kind::kTuple: {
      const auto idx = NormalizeIndex(key, static_cast<int64_t>(value.items().size()));
      if (idx) return value.items()[static_cast<size_t>(*idx)];
      break;
    }
    case Kind::kRange: {
      const auto idx = NormalizeIndex(key, value.range().length);
      if (idx) return Value::Int(value.range().start + *idx * value.range().step);
      break;
    }
    case Kind::kString: {
      const StringObject& string = value.string();
      const auto idx = NormalizeIndex(key, static_cast<int64_t>(string.length));
      if (!idx) break;
      const bool ascii = string.length == string.text.size();
      if (!budget_.Step(ascii ? 1 : string.text.size() / 64 + 1)) return budget_.status();
      size_t end =
          ascii ? static_cast<size_t>(*idx) : ByteOffset(string.text, static_cast<size_t>(*idx));
      const size_t start = end;
      DecodeAt(string.text, &end);
      return NewString(string.text.substr(start, end - start));
    }
    default:
      break;
  }
  *found = false;
  return Value();
}

Result<Value> Runtime::FindAttribute(const Value& value, std::string_view name, bool* found) {
  *found = true;
  if (value.Is(Kind::kLoop)) {
    GYRATOR_ASSIGN_OR_RETURN(Value attribute, LoopAttribute(value, name));
    if (!attribute.Is(Kind::kMissing)) return attribute;
  }
  if (value.Is(Kind::kNamespace)) {
    if (const Value* item = value.As<Namespace>().attributes.Find(name)) return *item;
  }
  if (value.Is(Kind::kTuple) && value.sequence().is_group) {
    if (name == "grouper") return value.items()[0];
    if (name == "list") return value.items()[1];
  }
  if (value.Is(Kind::kCycler) && name == "current") {
    const auto& cycler = value.As<Cycler>();
    return cycler.items[cycler.next];
  }
  if (IsMutator(value.kind(), name)) {
    return Value::Undefined(fmt::format("access to attribute {} of {} object is unsafe.",
                                        Quote(name), Quote(TypeName(value))));
  }
  if (const Builtin* method = FindMethod(value.kind(), name)) return NewMethod(value, method);
  if (IsUnsupportedMethod(value.kind(), name)) {
    return Status::Unsupported(
        fmt::format("method {} of {} is not supported", Quote(name), TypeName(value)));
  }
  *found = false;
  return Value();
}

Result<Value> Runtime::GetAttribute(const Value& value, std::string_view name) {
  if (value.Is(Kind::kUndefined)) return EvaluationError(value.message());
  bool found = false;
  GYRATOR_ASSIGN_OR_RETURN(Value attribute, FindAttribute(value, name, &found));
  if (found) return attribute;
  if (value.Is(Kind::kDict)) {
    if (const Value* item = value.dict().Find(name)) return *item;
  }
  return NoAttribute(value, name);
}

Result<Value> Runtime::GetItem(const Value& value, const Value& key) {
  bool found = false;
  GYRATOR_ASSIGN_OR_RETURN(Value item, FindItem(value, key, &found));
  if (found) return item;
  if (!key.Is(Kind::kString)) {
    return Value::Undefined(
        fmt::format("{} has no element {}", DescribeType(value), Repr(key, &budget_)));
  }
  GYRATOR_ASSIGN_OR_RETURN(Value attribute, FindAttribute(value, key.text(), &found));
  return found ? attribute : NoAttribute(value, key.text());
}

Result<Value> Runtime::CallFilter(std::string_view name, const Value& value, Args args) {
  const Builtin* filter = FindFilter(name);
  if (filter == nullptr) return Status::Unsupported(fmt::format("no filter named {}", Quote(name)));
  return CallBuiltin(*this, *filter, value, std::move(args));
}

Result<bool> Runtime::CallTest(std::string_view name, const Value& value, Args args) {
  const Builtin* test = FindTest(name);
  if (test == nullptr) return Status::Unsupported(fmt::format("no test named {}", Quote(name)));
  GYRATOR_ASSIGN_OR_RETURN(const Value verdict, CallBuiltin(*this, *test, value, std::move(args)));
  return Truth(verdict);
}

Result<Value> CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, Args args) {
  if (!runtime.budget().Step()) return runtime.budget().status();
  if (builtin.signature == "**") {
    return CallWithAnyArguments(runtime, builtin, self, std::move(args));
  }
  const std::vector<Parameter> parameters = ParseSignature(builtin.signature);
  if (args.positional.size() > parameters.size()) {
    return EvaluationError(fmt::format("{}() takes at most {} arguments ({} given)", builtin.name,
                                       parameters.size(), args.positional.size()));
  }
  std::vector<Value> bound = std::move(args.positional);
  bound.resize(parameters.size());
  for (auto& [name, value] : args.named) {
    const auto at = std::find_if(parameters.begin(), parameters.end(),
                                 [&, wanted = std::string_view(name)](const Parameter& p) {
                                   return p.name == wanted && !p.positional_only;
                                 });
    if (at == parameters.end()) {
      return EvaluationError(
          fmt::format("{}() got an unexpected keyword argument {}", builtin.name, Quote(name)));
    }
    Value& slot = bound[static_cast<size_t>(at - parameters.begin())];
    if (!slot.Is(Kind::kMissing)) {
      return EvaluationError(
          fmt::format("{}() got multiple values for argument {}", builtin.name, Quote(name)));
    }
    slot = std::move(value);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (bound[i].Is(Kind::kMissing) && !parameters[i].optional) {
      return EvaluationError(fmt::format("{}() missing required argument {}", builtin.name,
                                         Quote(parameters[i].name)));
    }
  }
  return builtin.call(runtime, self, bound);
}

Result<int64_t> AsInteger(const Value& value, std::string_view what) {
  if (value.Is(Kind::kUndefined)) return EvaluationError(value.message());
  if (value.IsInteger()) return value.integer();
  return EvaluationError(fmt::format("{} must be an integer, not '{}'", what, TypeName(value)));
}

Result<std::string_view> AsText(const Value& value, std::string_view what) {
  if (value.Is(Kind::kString)) return std::string_view(value.text());
  return EvaluationError(fmt::format("{} must be str, not '{}'", what, TypeName(value)));
}

}  // namespace gyrator::jinja
