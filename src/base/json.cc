#include "base/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>
#include <vector>

namespace gyrator {

namespace {

// Builds the value from the parser's events. The library's own builder looks for each name among
// those before it, which takes minutes for a vocabulary of 256,000 names.
class Builder {
 public:
  Builder(int depth_max, DuplicateNames duplicates, LargeIntegers large)
      : depth_max_(static_cast<size_t>(std::max(depth_max, 0))),
        duplicates_(duplicates),
        large_(large) {}

  Json root;
  std::string error;  // set when parsing stopped

  bool null() { return Place(Json()) != nullptr; }
  bool boolean(bool value) { return Place(value) != nullptr; }
  bool number_integer(int64_t value) { return Place(value) != nullptr; }
  bool number_unsigned(uint64_t value) { return Place(value) != nullptr; }
  bool number_float(double value, const std::string& text) {
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;
    if (is_integer && large_ == LargeIntegers::kRefuse) {
      return Fail("integers of at most 64 bits expected, found " + text.substr(0, 40));
    }
    return Place(value) != nullptr;
  }
  bool string(std::string& value) { return Place(std::move(value)) != nullptr; }
  bool binary(Json::binary_t& value) { return Place(std::move(value)) != nullptr; }
  bool start_object(size_t) { return Open(Json::object()); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_array() { return Close(); }
  bool end_object() { return JoinDuplicates(open_.back()->get_ref<Json::object_t&>()) && Close(); }
  bool key(std::string& name) {
    open_.back()->get_ref<Json::object_t&>().emplace_back(std::move(name), Json());
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& cause) {
    // Without the library's own name of the error, which stands in brackets before it.
    std::string what = cause.what();
    if (what.starts_with('[')) what.erase(0, std::min(what.find("] "), what.size() - 2) + 2);
    return Fail(std::move(what));
  }

 private:
  bool Fail(std::string message) {
    error = std::move(message);
    return false;
  }

  // Puts a value where the next one belongs; never null.
  Json* Place(Json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    Json& slot = parent.get_ref<Json::object_t&>().back().second;
    slot = std::move(value);
    return &slot;
  }

  bool Open(Json value) {
    if (open_.size() >= depth_max_) {
      return Fail("nested deeper than " + std::to_string(depth_max_) + " levels");
    }
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool JoinDuplicates(Json::object_t& object) {
    std::vector<size_t> order(object.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto name = [&object](size_t i) -> const std::string& {
      return (object.begin() + i)->first;
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return name(a) < name(b); });
    std::vector<bool> superseded(object.size(), false);
    bool any = false;
    for (size_t i = order.size(); i-- > 1;) {  // from the last to the first of equal names
      if (name(order[i - 1]) != name(order[i])) continue;
      if (duplicates_ == DuplicateNames::kRefuse)
        return Fail("name '" + name(order[i]) + "' twice");
      (object.begin() + order[i - 1])->second = std::move((object.begin() + order[i])->second);
      superseded[order[i]] = any = true;
    }
    if (!any) return true;
    Json::object_t kept;
    for (size_t i = 0; i < object.size(); ++i) {
      if (!superseded[i]) kept.emplace_back(name(i), std::move((object.begin() + i)->second));
    }
    object = std::move(kept);
    return true;
  }

  const size_t depth_max_;
  const DuplicateNames duplicates_;
  const LargeIntegers large_;
  std::vector<Json*> open_;  // from the root to where the next value belongs
};

}  // namespace

Result<Json> ParseJson(std::string_view text, int depth_max, DuplicateNames duplicates,
                       LargeIntegers large) {
  // The library takes a NUL for the end of the text, whatever follows.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return Status::Corruption("json: a NUL at byte " + std::to_string(nul) + ", which no JSON has");
  }
  Builder builder(depth_max, duplicates, large);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return Status::Corruption("json: " + builder.error);
  }
  return std::move(builder.root);
}

Result<Json> ParseExactJson(std::string_view text, int depth_max) {
  return ParseJson(text, depth_max, DuplicateNames::kLastWins, LargeIntegers::kRefuse);
}

std::string DumpJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace gyrator
