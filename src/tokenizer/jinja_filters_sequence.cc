// Filters over lists, dicts and other things that can be walked.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_ops.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

using Arguments = std::span<const Value>;

bool IsGiven(const Value& value) { return !value.Is(Kind::kMissing) && !value.Is(Kind::kNone); }

// "a.b.0": names and indexes, walked with value[part].
class AttributePath {
 public:
  static Result<AttributePath> Of(const Value& attribute) {
    AttributePath path;
    if (!IsGiven(attribute)) return path;
    if (!attribute.Is(Kind::kString)) {
      path.parts_.push_back(attribute);
      return path;
    }
    std::string_view text = attribute.text();
    while (true) {
      const size_t dot = std::min(text.find('.'), text.size());
      path.parts_.push_back(Part(text.substr(0, dot)));
      if (dot == text.size()) return path;
      text.remove_prefix(dot + 1);
    }
  }

  Result<Value> Get(Runtime& runtime, Value value, const Value& otherwise = Value()) const {
    for (const Value& part : parts_) {
      GYRATOR_ASSIGN_OR_RETURN(value, runtime.GetItem(value, part));
      if (IsGiven(otherwise) && value.Is(Kind::kUndefined)) value = otherwise;
    }
    return value;
  }

 private:
  static Value Part(std::string_view text) {
    const bool digits = !text.empty() && text.size() < 10 &&
                        text.find_first_not_of("0123456789") == std::string_view::npos;
    if (digits) return Value::Int(std::stoll(std::string(text)));
    return Value::String(std::string(text));
  }

  std::vector<Value> parts_;
};

Value IgnoreCase(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.Is(Kind::kString)) return value;
  return runtime.NewString(Lower(value.text()));
}

// A stable sort of `items` by `keys`.
Status SortByKeys(Runtime& runtime, const std::vector<Value>& keys, bool reverse,
                  std::vector<Value>* items) {
  std::vector<size_t> order(items->size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Status failure;
  const auto less = [&](const Value& a, const Value& b) {
    if (!failure.ok()) return false;
    const Result<bool> verdict = Compare(Order::kLess, a, b, &runtime.budget());
    if (!verdict.ok()) failure = verdict.status();
    return verdict.ok() && *verdict;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]);
  });
  GYRATOR_RETURN_IF_ERROR(failure);
  std::vector<Value> sorted;
  sorted.reserve(items->size());
  for (const size_t i : order) sorted.push_back(std::move((*items)[i]));
  *items = std::move(sorted);
  return {};
}

Result<Value> LengthOf(Runtime& runtime, const Value& self, Arguments /*args*/) {
  if (self.Is(Kind::kLoop)) return runtime.GetAttribute(self, "length");
  GYRATOR_ASSIGN_OR_RETURN(const int64_t length, Length(self));
  return Value::Int(length);
}

Result<Value> ToList(Runtime& runtime, const Value& self, Arguments /*args*/) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.Items(self));
  return runtime.NewList(std::move(items));
}

Result<Value> Join(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(args[1]));
  const std::string separator = args[0].Is(Kind::kMissing) ? "" : runtime.Str(args[0]);
  TextBuilder out(&runtime.budget());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(separator);
    GYRATOR_ASSIGN_OR_RETURN(const Value item, path.Get(runtime, items[i]));
    AppendStr(item, &out);
  }
  return runtime.NewString(out.Take());
}

Result<Value> First(Runtime& runtime, const Value& self, Arguments /*args*/) {
  if (self.Is(Kind::kIterator)) {  // takes one, leaves the rest
    auto& iterator = self.As<Iterator>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  if (!items.empty()) return items.front();
  return Value::Undefined("No first item, sequence was empty.");
}

Result<Value> Last(Runtime& runtime, const Value& self, Arguments /*args*/) {
  if (self.Is(Kind::kIterator)) {
    return EvaluationError("'generator' object is not reversible");
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  if (!items.empty()) return items.back();
  return Value::Undefined("No last item, sequence was empty.");
}

Result<Value> Reverse(Runtime& runtime, const Value& self, Arguments /*args*/) {
  if (self.Is(Kind::kString)) return Slice(runtime, self, {Value(), Value(), Value::Int(-1)});
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.Items(self));
  std::reverse(items.begin(), items.end());
  return runtime.NewIterator(std::move(items));
}

Result<Value> ItemsOf(Runtime& runtime, const Value& self, Arguments /*args*/) {
  std::vector<Value> pairs;
  if (self.Is(Kind::kUndefined)) return runtime.NewIterator({});
  if (!self.Is(Kind::kDict)) return EvaluationError("Can only get item pairs from a mapping.");
  for (const auto& [key, value] : self.dict().items)
    pairs.push_back(runtime.NewTuple({key, value}));
  return runtime.NewIterator(std::move(pairs));
}

Result<Value> DictSort(Runtime& runtime, const Value& self, Arguments args) {
  std::string_view by = "key";
  if (!args[1].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(by, AsText(args[1], "by"));
  }
  if (by != "key" && by != "value") {
    return EvaluationError("You can only sort by either \"key\" or \"value\"");
  }
  if (!self.Is(Kind::kDict)) {
    return EvaluationError(fmt::format("'{}' object has no attribute 'items'", TypeName(self)));
  }
  std::vector<Value> pairs, keys;
  for (const auto& [key, value] : self.dict().items) {
    pairs.push_back(runtime.NewTuple({key, value}));
    keys.push_back(IgnoreCase(runtime, by == "key" ? key : value, Truth(args[0])));
  }
  GYRATOR_RETURN_IF_ERROR(SortByKeys(runtime, keys, Truth(args[2]), &pairs));
  return runtime.NewList(std::move(pairs));
}

Result<Value> Sort(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.Items(self));
  std::vector<AttributePath> paths;
  const std::string attribute = args[2].Is(Kind::kString) ? args[2].text() : "";
  for (size_t start = 0; args[2].Is(Kind::kString) && start <= attribute.size();) {
    const size_t comma = std::min(attribute.find(',', start), attribute.size());
    GYRATOR_ASSIGN_OR_RETURN(
        AttributePath path,
        AttributePath::Of(Value::String(attribute.substr(start, comma - start))));
    paths.push_back(std::move(path));
    start = comma + 1;
  }
  if (paths.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(AttributePath path, AttributePath::Of(args[2]));
    paths.push_back(std::move(path));
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const AttributePath& path : paths) {
      GYRATOR_ASSIGN_OR_RETURN(const Value part, path.Get(runtime, item));
      key.push_back(IgnoreCase(runtime, part, Truth(args[1])));
    }
    keys.push_back(runtime.NewList(std::move(key)));
  }
  GYRATOR_RETURN_IF_ERROR(SortByKeys(runtime, keys, Truth(args[0]), &items));
  return runtime.NewList(std::move(items));
}

Result<Value> Unique(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(args[1]));
  DictObject seen;
  std::vector<Value> kept;
  for (const Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(const Value raw, path.Get(runtime, item));
    const Value key = IgnoreCase(runtime, raw, Truth(args[0]));
    if (!IsHashable(key)) {
      return EvaluationError(fmt::format("unhashable type: '{}'", TypeName(key)));
    }
    if (seen.Find(key) != nullptr) continue;
    seen.Set(key, Value::None());
    kept.push_back(item);
  }
  return runtime.NewIterator(std::move(kept));
}

Result<Value> Extreme(Runtime& runtime, const Value& self, Arguments args, Order order) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  if (items.empty()) return Value::Undefined("No aggregated item, sequence was empty.");
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(args[1]));
  Value best, best_key;
  for (const Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(const Value raw, path.Get(runtime, item));
    const Value key = IgnoreCase(runtime, raw, Truth(args[0]));
    if (!best_key.Is(Kind::kMissing)) {
      GYRATOR_ASSIGN_OR_RETURN(const bool better, Compare(order, key, best_key, &runtime.budget()));
      if (!better) continue;
    }
    best = item;
    best_key = key;
  }
  return best;
}

Result<Value> Min(Runtime& runtime, const Value& self, Arguments args) {
  return Extreme(runtime, self, args, Order::kLess);
}

Result<Value> Max(Runtime& runtime, const Value& self, Arguments args) {
  return Extreme(runtime, self, args, Order::kGreater);
}

Result<Value> Sum(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(args[0]));
  Value total = args[1].Is(Kind::kMissing) ? Value::Int(0) : args[1];
  if (total.Is(Kind::kString)) {
    return EvaluationError("sum() can't sum strings [use ''.join(seq) instead]");
  }
  for (const Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(const Value term, path.Get(runtime, item));
    GYRATOR_ASSIGN_OR_RETURN(total, BinaryOperation(runtime, "+", total, term));
  }
  return total;
}

// Arguments behind the name of a filter or test: what map and select pass on.
Args PassOn(const Value& positional, const Value& named, size_t skipped) {
  Args args;
  const auto& items = positional.items();
  for (size_t i = skipped; i < items.size(); ++i) args.positional.push_back(items[i]);
  for (const auto& [name, value] : named.dict().items) args.named.emplace_back(name.text(), value);
  return args;
}

Result<Value> Map(Runtime& runtime, const Value& self, Arguments args) {
  if (!Truth(self)) return runtime.NewIterator({});
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.Items(self));
  const auto& positional = args[0].items();
  const DictObject& named = args[1].dict();
  if (!positional.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string_view name, AsText(positional[0], "a filter's name"));
    for (Value& item : items) {
      GYRATOR_ASSIGN_OR_RETURN(item, runtime.CallFilter(name, item, PassOn(args[0], args[1], 1)));
    }
    return runtime.NewIterator(std::move(items));
  }
  const Value* attribute = named.Find("attribute");
  if (attribute == nullptr) return EvaluationError("map requires a filter argument");
  const Value* otherwise = named.Find("default");
  if (named.items.size() > (otherwise != nullptr ? 2u : 1u)) {
    return EvaluationError("map got an unexpected keyword argument");
  }
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(*attribute));
  for (Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(item,
                             path.Get(runtime, item, otherwise != nullptr ? *otherwise : Value()));
  }
  return runtime.NewIterator(std::move(items));
}

struct Selection {
  bool by_attribute;
  bool wanted;
};

Result<Value> SelectWhere(Runtime& runtime, const Value& self, Arguments args,
                          Selection selection) {
  if (!Truth(self)) return runtime.NewIterator({});
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  const auto& positional = args[0].items();
  AttributePath path;
  const size_t at = selection.by_attribute ? 1 : 0;
  if (selection.by_attribute) {
    if (positional.empty()) return EvaluationError("Missing parameter for attribute name");
    GYRATOR_ASSIGN_OR_RETURN(path, AttributePath::Of(positional[0]));
  }
  std::vector<Value> kept;
  for (const Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(const Value subject, path.Get(runtime, item));
    bool holds = Truth(subject);
    if (positional.size() > at) {
      GYRATOR_ASSIGN_OR_RETURN(const std::string_view name,
                               AsText(positional[at], "a test's name"));
      GYRATOR_ASSIGN_OR_RETURN(holds,
                               runtime.CallTest(name, subject, PassOn(args[0], args[1], at + 1)));
    }
    if (holds == selection.wanted) kept.push_back(item);
  }
  return runtime.NewIterator(std::move(kept));
}

template <bool kByAttribute, bool kWanted>
Result<Value> Select(Runtime& runtime, const Value& self, Arguments args) {
  return SelectWhere(runtime, self, args, {kByAttribute, kWanted});
}

Result<Value> GroupBy(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(args[0]));
  const bool case_sensitive = Truth(args[2]);
  const auto key_of = [&](const Value& item) -> Result<Value> {
    GYRATOR_ASSIGN_OR_RETURN(const Value raw, path.Get(runtime, item, args[1]));
    return IgnoreCase(runtime, raw, case_sensitive);
  };
  std::vector<Value> keys;
  for (const Value& item : items) {
    GYRATOR_ASSIGN_OR_RETURN(Value key, key_of(item));
    keys.push_back(std::move(key));
  }
  GYRATOR_RETURN_IF_ERROR(SortByKeys(runtime, keys, /*reverse=*/false, &items));
  std::vector<Value> groups;
  for (size_t start = 0; start < items.size();) {
    GYRATOR_ASSIGN_OR_RETURN(const Value key, key_of(items[start]));
    GYRATOR_ASSIGN_OR_RETURN(const Value grouper, path.Get(runtime, items[start], args[1]));
    std::vector<Value> group;
    size_t end = start;
    for (; end < items.size(); ++end) {
      GYRATOR_ASSIGN_OR_RETURN(const Value other, key_of(items[end]));
      if (!Equal(key, other, &runtime.budget()) && end > start) break;
      group.push_back(items[end]);
    }
    groups.push_back(runtime.NewGroup(grouper, runtime.NewList(std::move(group))));
    start = end;
  }
  return runtime.NewList(std::move(groups));
}

Result<Value> Batch(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const int64_t size, AsInteger(args[0], "linecount"));
  if (size < 1) return EvaluationError("linecount must be at least 1");
  std::vector<Value> batches;
  for (size_t start = 0; start < items.size(); start += static_cast<size_t>(size)) {
    const size_t count = std::min(static_cast<size_t>(size), items.size() - start);
    std::vector<Value> batch(items.begin() + static_cast<std::ptrdiff_t>(start),
                             items.begin() + static_cast<std::ptrdiff_t>(start + count));
    const uint64_t missing = static_cast<uint64_t>(size) - count;
    if (IsGiven(args[1]) && missing > 0) {
      if (!runtime.budget().Step(missing)) return runtime.budget().status();
      batch.resize(static_cast<size_t>(size), args[1]);
    }
    batches.push_back(runtime.NewList(std::move(batch)));
    if (static_cast<uint64_t>(size) >= items.size()) break;
  }
  return runtime.NewIterator(std::move(batches));
}

Result<Value> SliceInto(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(self));
  GYRATOR_ASSIGN_OR_RETURN(const int64_t slices, AsInteger(args[0], "slices"));
  if (slices == 0) return EvaluationError("integer division or modulo by zero");
  const auto count = static_cast<size_t>(std::max<int64_t>(slices, 0));
  if (!runtime.budget().Step(count) || !runtime.budget().Bytes(count * sizeof(Value))) {
    return runtime.budget().status();
  }
  std::vector<Value> columns;
  size_t start = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool has_extra = i < items.size() % count;
    const size_t end = start + items.size() / count + has_extra;
    std::vector<Value> column(items.begin() + static_cast<std::ptrdiff_t>(start),
                              items.begin() + static_cast<std::ptrdiff_t>(end));
    if (IsGiven(args[1]) && !has_extra) column.push_back(args[1]);
    columns.push_back(runtime.NewList(std::move(column)));
    start = end;
  }
  return runtime.NewIterator(std::move(columns));
}

Result<Value> Attr(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view name, AsText(args[0], "an attribute's name"));
  if (!self.Is(Kind::kDict) || FindMethod(Kind::kDict, name) != nullptr) {
    return runtime.GetAttribute(self, name);
  }
  return Value::Undefined(fmt::format("'dict object' has no attribute {}", Quote(name)));
}

constexpr auto kFilters = std::to_array<Builtin>({
    {"attr", "name", Attr},
    {"batch", "linecount, fill_with=", Batch},
    {"count", "", LengthOf},
    {"dictsort", "case_sensitive=, by=, reverse=", DictSort},
    {"first", "", First},
    {"groupby", "attribute, default=, case_sensitive=", GroupBy},
    {"items", "", ItemsOf},
    {"join", "d=, attribute=", Join},
    {"last", "", Last},
    {"length", "", LengthOf},
    {"list", "", ToList},
    {"map", "**", Map},
    {"max", "case_sensitive=, attribute=", Max},
    {"min", "case_sensitive=, attribute=", Min},
    {"reject", "**", Select<false, false>},
    {"rejectattr", "**", Select<true, false>},
    {"reverse", "", Reverse},
    {"select", "**", Select<false, true>},
    {"selectattr", "**", Select<true, true>},
    {"slice", "slices, fill_with=", SliceInto},
    {"sort", "reverse=, case_sensitive=, attribute=", Sort},
    {"sum", "attribute=, start=", Sum},
    {"unique", "case_sensitive=, attribute=", Unique},
});

}  // namespace

std::span<const Builtin> SequenceFilters() { return kFilters; }

}  // namespace gyrator::jinja
