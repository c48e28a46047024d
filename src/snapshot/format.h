// The v1.0 folder: names, versions, and the geometry that every part of this module shares.
// Normative: docs/formats/snapshot.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/keyvalue.h"
#include "gyrator/status.h"
#include "gyrator/types.h"
#include "tensor/tensor_view.h"

namespace gyrator {

inline constexpr std::string_view kInputIdsFile = "input_ids.npy";
inline constexpr std::string_view kAttentionMaskFile = "attention_mask.npy";
inline constexpr std::string_view kPositionIdsFile = "position_ids.npy";
inline constexpr std::string_view kLogitsFile = "logits.npy";
inline constexpr std::string_view kChatFile = "chat.json";
inline constexpr std::string_view kKvFolder = "past_key_values";
inline constexpr std::string_view kMetadataFolder = "metadata";
inline constexpr std::string_view kConfigFile = "metadata/config.txt";
inline constexpr std::string_view kProtocolFile = "metadata/protocol.txt";
inline constexpr std::string_view kSessionFile = "metadata/session.txt";
inline constexpr std::string_view kKeylogFile = "metadata/keylog.txt";
inline constexpr std::string_view kChainFile = "metadata/obfchain.txt";
inline constexpr std::string_view kMapFile = "metadata/symbolic_map.npy";
inline constexpr std::string_view kWindowFile = "metadata/window.txt";
inline constexpr std::string_view kManifestFile = "metadata/manifest.txt";

// The number after protocol "v1.0": what this program writes, and the highest that it may be
// required to know (`requires` in protocol.txt).
inline constexpr int32_t kFormatMinor = 4;
inline constexpr int32_t kWindowMinor = 3;    // the first that knows metadata/window.txt
inline constexpr int32_t kIdentityMinor = 4;  // the first that names all arithmetic in config.txt

// The key of session.txt that says with whom prefixes are shared.
inline constexpr std::string_view kNamespaceKey = "cache_namespace";

// The files of one layer; those of scales are there under int8 alone.
enum class KvTensor : uint8_t { kKey = 0, kValue = 1, kKeyScale = 2, kValueScale = 3 };

// "past_key_values/3_key.npy", "past_key_values/3_key_scale.npy"
std::string KvFile(int32_t layer, KvTensor tensor);
// kKey, kValue and, under int8, kKeyScale, kValueScale.
std::span<const KvTensor> KvTensorsOf(DType dtype);
// Of kKey and kValue.
inline KvTensor ScaleOf(KvTensor tensor) {
  return tensor == KvTensor::kKey ? KvTensor::kKeyScale : KvTensor::kValueScale;
}

// What the K and V tensors of a snapshot are; each file is (1, num_kv_heads, tokens, width): width
// is head_dim, of scales head_dim / 32.
struct KvGeometry {
  DType dtype = DType::kF32;  // kF32, kF16, kBF16, kI8
  int32_t num_layers = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  bool operator==(const KvGeometry&) const = default;
};

// Of one position and kv head.
int64_t KvWidth(const KvGeometry& kv, KvTensor tensor);
int64_t KvRowBytes(const KvGeometry& kv, KvTensor tensor);
// Bytes of the elements of one file: kv heads x tokens x a row.
uint64_t KvTensorBytes(const KvGeometry& kv, KvTensor tensor, int64_t tokens);
// What the elements of a file are: the dtype of the geometry, f32 of scales.
inline DType KvElementDType(DType dtype, KvTensor tensor) {
  return tensor == KvTensor::kKey || tensor == KvTensor::kValue ? dtype : DType::kF32;
}
// The keys of one of the text files. "state_inconsistent" names `path`: the grammar, or more keys
// than limits.h allows.
Result<KeyValues> ParseKeys(std::string_view path, std::string_view text);

// "float32", "float16", "bfloat16", "int8" of config.txt's `dtype`; nullopt for another name.
std::optional<DType> KvDTypeFromName(std::string_view name);
std::string_view KvDTypeName(DType dtype);

// bf16 lies in .npy as uint16; the others as they are.
inline DType KvStoredDType(DType dtype) { return dtype == DType::kBF16 ? DType::kU16 : dtype; }

// n_layers, n_kv_heads, head_dim and dtype of config.txt. "missing_element", "state_inconsistent".
Result<KvGeometry> GeometryFromConfig(const KeyValues& config);

}  // namespace gyrator
