// Element types of GGUF tensors. Internal to formats/.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "gyrator/types.h"

namespace gyrator {

// `block` elements take `bytes` bytes. `dtype` is set when the bytes are those of a DType.
struct GgmlType {
  uint32_t id;
  std::string_view name;  // as ggml_type_name() gives it
  uint32_t block;
  uint32_t bytes;
  std::optional<DType> dtype;
};

// Null for ids that this program has never heard of, or that ggml has taken out.
const GgmlType* FindGgmlType(uint32_t id);
// Null when GGUF cannot hold the type.
const GgmlType* FindGgmlType(DType dtype);

}  // namespace gyrator
