// The v1.0 folder: names, versions, and the geometry that every part of this module shares.
// Normative: docs/formats/snapshot.md.
#pragma once

#include <cstdint>
#include <optional>
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
inline constexpr std::string_view kManifestFile = "metadata/manifest.txt";

// The number after protocol "v1.0" that this program writes, and the highest that it may be
// required to know (`requires` in protocol.txt).
inline constexpr int32_t kFormatMinor = 1;

// Largest files that are read whole.
inline constexpr uint64_t kTextBytesMax = 256u << 10;  // config, protocol, session, keylog, chain
inline constexpr uint64_t kManifestBytesMax = 4u << 20;
inline constexpr uint64_t kChatBytesMax = 64u << 20;
inline constexpr uint64_t kIndexTensorBytesMax = 256u << 20;  // ids, mask, positions, logits

enum class KvHalf : uint8_t { kKey = 0, kValue = 1 };

// "past_key_values/3_key.npy"
inline std::string KvFile(int32_t layer, KvHalf half) {
  return std::string(kKvFolder) + "/" + std::to_string(layer) +
         (half == KvHalf::kKey ? "_key.npy" : "_value.npy");
}

// What the K and V tensors of a snapshot are; each file is (1, num_kv_heads, tokens, head_dim).
struct KvGeometry {
  DType dtype = DType::kF32;  // kF32, kF16, kBF16
  int32_t num_layers = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  bool operator==(const KvGeometry&) const = default;
};

// "float32", "float16", "bfloat16" of config.txt's `dtype`; nullopt for another name.
std::optional<DType> KvDTypeFromName(std::string_view name);
std::string_view KvDTypeName(DType dtype);

// bf16 lies in .npy as uint16; the others as they are.
inline DType KvStoredDType(DType dtype) { return dtype == DType::kBF16 ? DType::kU16 : dtype; }

// n_layers, n_kv_heads, head_dim and dtype of config.txt. "missing_element", "state_inconsistent".
Result<KvGeometry> GeometryFromConfig(const KeyValues& config);

}  // namespace gyrator
