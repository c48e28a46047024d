// Element types of GGUF tensors. Internal to formats/.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "gyrator/types.h"

namespace gyrator {

// `block` elements take `bytes` bytes. `dtype` is set when the bytes are those of a DType, and then
// the others are what FormatOf(*dtype) says.
struct GgmlType {
  uint32_t id;
  std::string_view name;  // as ggml_type_name() gives it
  int64_t block;
  uint64_t bytes;
  std::optional<DType> dtype;
};

// nullopt for ids that this program has never heard of, or that ggml has taken out.
std::optional<GgmlType> FindGgmlType(uint32_t id);
// The id of a DType; nullopt when GGUF cannot hold the type.
std::optional<uint32_t> GgmlTypeId(DType dtype);

}  // namespace gyrator
