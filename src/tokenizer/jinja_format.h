// Python's two ways to format: "%s" % values and "{}".format(values).
#pragma once

#include <string_view>
#include <vector>

#include "gyrator/status.h"
#include "tokenizer/jinja_runtime.h"

namespace gyrator::jinja {

// `values`: a tuple for several, a dict for %(name)s. kInvalidArgument as Python raises TypeError
// or ValueError; kUnsupported names a conversion that this engine has not.
Result<Value> PercentFormat(Runtime& runtime, std::string_view format, const Value& values);

// Fields by number or name with attributes and items, !s, !r, and format specs for text and
// numbers.
Result<Value> BraceFormat(Runtime& runtime, std::string_view format,
                          const std::vector<Value>& positional, const DictObject& named);

}  // namespace gyrator::jinja
