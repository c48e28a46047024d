// Methods of dicts, lists, loops and cyclers, and the functions that every template knows.
#include <fmt/format.h>
#include <locale.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "tokenizer/jinja_eval.h"
#include "tokenizer/jinja_filters.h"

namespace gyrator::jinja {

namespace {

using Arguments = std::span<const Value>;

template <ViewObject::Which kWhich>
Result<Value> View(Runtime& runtime, const Value& self, Arguments /*args*/) {
  auto view = std::make_shared<ViewObject>();
  view->which = kWhich;
  view->dict = self;
  view->depth = 1 + self.depth();
  if (view->depth > kValueDepthMax) runtime.budget().Exhaust("values nested too deep");
  return Value::Of(Kind::kView, std::move(view));
}

Result<Value> DictGet(Runtime& /*runtime*/, const Value& self, Arguments args) {
  if (!IsHashable(args[0])) {
    return EvaluationError(fmt::format("unhashable type: '{}'", TypeName(args[0])));
  }
  if (const Value* value = self.dict().Find(args[0])) return *value;
  return args[1].Is(Kind::kMissing) ? Value::None() : args[1];
}

Result<Value> Copy(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) { return self; }

Result<Value> SequenceCount(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  int64_t count = 0;
  for (const Value& item : items) count += Equal(item, args[0], &runtime.budget());
  return Value::Int(count);
}

Result<Value> SequenceIndex(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  const auto length = static_cast<int64_t>(items.size());
  int64_t bounds[2] = {0, length};
  for (size_t i = 0; i < 2; ++i) {
    if (args[i + 1].Is(Kind::kMissing)) continue;
    GYRATOR_ASSIGN_OR_RETURN(bounds[i], AsInteger(args[i + 1], "index() bounds"));
    if (bounds[i] < 0) bounds[i] = std::max<int64_t>(bounds[i] + length, 0);
  }
  for (int64_t i = bounds[0]; i < std::min(bounds[1], length); ++i) {
    if (Equal(items[static_cast<size_t>(i)], args[0], &runtime.budget())) return Value::Int(i);
  }
  return EvaluationError("the value is not in the sequence");
}

Result<Value> LoopCycle(Runtime& /*runtime*/, const Value& self, Arguments args) {
  const auto& values = args[0].items();
  if (values.empty()) return EvaluationError("no items for cycling given");
  const auto idx = static_cast<size_t>(std::max<int64_t>(self.As<Loop>().index0, 0));
  return values[idx % values.size()];
}

Result<Value> LoopChanged(Runtime& runtime, const Value& self, Arguments args) {
  auto& loop = self.As<Loop>();
  if (!loop.last_changed.Is(Kind::kMissing) &&
      Equal(loop.last_changed, args[0], &runtime.budget())) {
    return Value::Bool(false);
  }
  loop.last_changed = args[0];
  return Value::Bool(true);
}

Result<Value> CyclerNext(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  auto& cycler = self.As<Cycler>();
  const Value value = cycler.items[cycler.next];
  cycler.next = (cycler.next + 1) % cycler.items.size();
  return value;
}

Result<Value> CyclerReset(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  self.As<Cycler>().next = 0;
  return Value::None();
}

constexpr auto kDictMethods = std::to_array<Builtin>({
    {"copy", "", Copy},
    {"get", "/key, /default=", DictGet},
    {"items", "", View<ViewObject::Which::kItems>},
    {"keys", "", View<ViewObject::Which::kKeys>},
    {"values", "", View<ViewObject::Which::kValues>},
});
constexpr auto kListMethods = std::to_array<Builtin>({
    {"copy", "", Copy},
    {"count", "/value", SequenceCount},
    {"index", "/value, /start=, /stop=", SequenceIndex},
});
constexpr auto kTupleMethods = std::to_array<Builtin>({
    {"count", "/value", SequenceCount},
    {"index", "/value, /start=, /stop=", SequenceIndex},
});
constexpr auto kLoopMethods = std::to_array<Builtin>({
    {"cycle", "**", LoopCycle},
    {"changed", "**", LoopChanged},
});
constexpr auto kCyclerMethods = std::to_array<Builtin>({
    {"next", "", CyclerNext},
    {"reset", "", CyclerReset},
});

std::span<const Builtin> MethodsOf(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return StringMethods();
    case Kind::kDict:
      return kDictMethods;
    case Kind::kList:
      return kListMethods;
    case Kind::kTuple:
    case Kind::kRange:
      return kTupleMethods;
    case Kind::kLoop:
      return kLoopMethods;
    case Kind::kCycler:
      return kCyclerMethods;
    default:
      return {};
  }
}

template <size_t kSize>
bool Contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// range() of the sandbox: at most kRangeMax numbers.
Result<Value> Range(Runtime& runtime, const Value& /*self*/, Arguments args) {
  constexpr int64_t kLargest = int64_t{1} << 60;
  const auto& values = args[0].items();
  if (values.empty() || values.size() > 3 || !args[1].dict().items.empty()) {
    return EvaluationError("range expected 1 to 3 arguments");
  }
  int64_t numbers[3] = {0, 0, 1};
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t at = values.size() == 1 ? 1 : i;
    GYRATOR_ASSIGN_OR_RETURN(numbers[at], AsInteger(values[i], "an argument of range"));
    if (numbers[at] > kLargest || numbers[at] < -kLargest) {
      return EvaluationError("an argument of range is too large");
    }
  }
  auto range = std::make_shared<RangeObject>();
  range->start = numbers[0];
  range->stop = numbers[1];
  range->step = numbers[2];
  if (range->step == 0) return EvaluationError("range() arg 3 must not be zero");
  const int64_t span = range->step > 0 ? range->stop - range->start : range->start - range->stop;
  const int64_t stride = std::max(range->step, -range->step);
  range->length = span > 0 ? (span - 1) / stride + 1 : 0;
  if (range->length > kRangeMax) {
    return Status::Exhausted(
        fmt::format("range too big: {} numbers, at most {}", range->length, kRangeMax));
  }
  runtime.budget().Bytes(sizeof(RangeObject));
  return Value::Of(Kind::kRange, std::move(range));
}

// The pairs of dict(mapping, name=value) and namespace(...).
Status FillDict(Runtime& runtime, Arguments args, DictObject* dict) {
  const auto& positional = args[0].items();
  if (positional.size() > 1) return EvaluationError("dict expected at most 1 argument");
  if (!positional.empty() && positional[0].Is(Kind::kDict)) {
    for (const auto& [key, value] : positional[0].dict().items) dict->Set(key, value);
  } else if (!positional.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> pairs, runtime.Items(positional[0]));
    for (const Value& pair : pairs) {
      GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> parts, runtime.Items(pair));
      if (parts.size() != 2) return EvaluationError("dict update sequence needs pairs");
      if (!IsHashable(parts[0])) return EvaluationError("unhashable key for dict()");
      dict->Set(parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : args[1].dict().items) dict->Set(key, value);
  return {};
}

Result<Value> Dict(Runtime& runtime, const Value& /*self*/, Arguments args) {
  auto dict = std::make_shared<DictObject>();
  GYRATOR_RETURN_IF_ERROR(FillDict(runtime, args, dict.get()));
  return runtime.NewDict(std::move(dict));
}

Result<Value> NewNamespace(Runtime& runtime, const Value& /*self*/, Arguments args) {
  auto* space = runtime.New<Namespace>();
  GYRATOR_RETURN_IF_ERROR(FillDict(runtime, args, &space->attributes));
  for (const auto& item : space->attributes.items) {
    if (item.first.Is(Kind::kString) && item.first.text().starts_with('_')) {
      return EvaluationError(
          fmt::format("a namespace cannot store the underscore-prefixed attribute {}",
                      Quote(item.first.text())));
    }
  }
  return Value::Of(Kind::kNamespace, space);
}

Result<Value> NewCycler(Runtime& runtime, const Value& /*self*/, Arguments args) {
  if (args[0].items().empty()) return EvaluationError("at least one item has to be provided");
  auto* cycler = runtime.New<Cycler>();
  cycler->items = args[0].items();
  return Value::Of(Kind::kCycler, cycler);
}

Result<Value> NewJoiner(Runtime& runtime, const Value& /*self*/, Arguments args) {
  auto* joiner = runtime.New<Joiner>();
  joiner->separator = args[0].Is(Kind::kMissing) ? runtime.NewString(", ") : args[0];
  return Value::Of(Kind::kJoiner, joiner);
}

Result<Value> RaiseException(Runtime& runtime, const Value& /*self*/, Arguments args) {
  return Status::InvalidArgument(runtime.Str(args[0])).Named("template_exception");
}

// What Python's datetime writes itself, before the C library sees the format: of a time without a
// zone %z, %:z and %Z are empty, and %f is the microsecond.
std::string ExpandFormat(std::string_view format, int64_t microsecond) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    const std::string_view rest = format.substr(i);
    if (rest.starts_with("%z") || rest.starts_with("%Z")) {
      ++i;
    } else if (rest.starts_with("%:z")) {
      i += 2;
    } else if (rest.starts_with("%f")) {
      out += fmt::format("{:06}", microsecond);
      ++i;
    } else if (rest.starts_with("%%")) {
      out += "%%";
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

// datetime.now().strftime(format), in the C locale.
Result<Value> StrftimeNow(Runtime& runtime, const Value& /*self*/, Arguments args) {
  constexpr size_t kLongest = 4096;
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view format, AsText(args[0], "format"));
  if (format.size() > kLongest / 8 || format.find('\0') != std::string_view::npos) {
    return EvaluationError("strftime_now: the format is too long or has a NUL");
  }
  std::tm now{};
  std::timespec clock{};
  if (runtime.now() != nullptr) {
    now = *runtime.now();
  } else {
    std::timespec_get(&clock, TIME_UTC);
    localtime_r(&clock.tv_sec, &now);
  }
  const std::string expanded = ExpandFormat(format, clock.tv_nsec / 1000);
  if (expanded.empty()) return runtime.NewString("");
  const locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
  if (locale == nullptr) return Status::Internal("strftime_now: no C locale");
  std::string text(kLongest, '\0');
  text.resize(strftime_l(text.data(), text.size(), expanded.c_str(), &now, locale));
  freelocale(locale);
  return runtime.NewString(std::move(text));
}

constexpr auto kFunctions = std::to_array<Builtin>({
    {"range", "**", Range},
    {"dict", "**", Dict},
    {"namespace", "**", NewNamespace},
    {"cycler", "**", NewCycler},
    {"joiner", "sep=", NewJoiner},
    {"raise_exception", "message", RaiseException},
    {"strftime_now", "format", StrftimeNow},
});

}  // namespace

const Builtin* FindMethod(Kind kind, std::string_view name) {
  for (const Builtin& method : MethodsOf(kind)) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

const Builtin* FindFunction(std::string_view name) {
  for (const Builtin& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

bool IsUnsupportedMethod(Kind kind, std::string_view name) {
  constexpr std::array<std::string_view, 12> kStrings = {
      "casefold", "encode",    "expandtabs",  "format_map", "isascii",  "isidentifier",
      "istitle",  "isnumeric", "isprintable", "maketrans",  "swapcase", "translate"};
  constexpr std::array<std::string_view, 7> kIntegers = {
      "bit_count", "bit_length", "conjugate", "denominator", "imag", "numerator", "real"};
  if (kind == Kind::kString) return Contains(kStrings, name);
  if (kind == Kind::kDict) return name == "fromkeys";
  if (kind == Kind::kInt || kind == Kind::kBool) return Contains(kIntegers, name);
  if (kind == Kind::kFloat) return name == "is_integer" || name == "hex";
  return false;
}

bool IsMutator(Kind kind, std::string_view name) {
  constexpr std::array<std::string_view, 8> kLists = {"append", "clear",  "extend",  "insert",
                                                      "pop",    "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 5> kDicts = {"clear", "pop", "popitem", "setdefault",
                                                      "update"};
  if (kind == Kind::kList) return Contains(kLists, name);
  return kind == Kind::kDict && Contains(kDicts, name);
}

}  // namespace gyrator::jinja
