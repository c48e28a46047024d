// The few types that every layer shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gyrator {

using TokenId = int32_t;   // an id of the vocabulary, >= 0
using Position = int32_t;  // absolute index of a token in its sequence, >= 0

// Element types of stored tensors. Values are frozen.
enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kI8 = 3,
  kI16 = 4,
  kI32 = 5,
  kI64 = 6,
  kU8 = 7,
  kU16 = 8,
  kU32 = 9,
  kU64 = 10,
  kF64 = 11,
  kBool = 12,
  kQ8_0 = 13,  // blocks of 32: f16 scale, 32 x int8 (34 bytes), as GGUF has it
  // The other block types of GGUF: docs/formats/gguf.md, "Block types".
  kQ4_0 = 14,
  kQ4_1 = 15,
  kQ5_0 = 16,
  kQ5_1 = 17,
  kQ2_K = 18,
  kQ3_K = 19,
  kQ4_K = 20,
  kQ5_K = 21,
  kQ6_K = 22,
  kIQ4_NL = 23,
  kIQ4_XS = 24,
  kMXFP4 = 25,
};

// Which numbers are multiplied (docs/architecture.md, "Numerics"); part of a context's identity.
enum class ComputeType : uint8_t { kF32 = 0, kBF16 = 1, kInt8 = 2 };

std::string_view DTypeName(DType dtype);                // "f32", "q8_0", "q4_K", ...
std::string_view ComputeTypeName(ComputeType compute);  // "f32", "bf16", "int8"

// How keys and values can be kept, by the names of --kv-dtype: "f32", "bf16", "f16", "int8" (kI8);
// nullopt for another name, and DTypeName for another type.
std::optional<DType> CacheTypeFromName(std::string_view name);
std::string_view CacheTypeName(DType dtype);

}  // namespace gyrator
