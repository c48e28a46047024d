#include "snapshot/format.h"

#include <algorithm>

#include "kernels/paged_kv.h"
#include "snapshot/errors.h"
#include "snapshot/limits.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

Result<int32_t> Count(const KeyValues& config, std::string_view key, int64_t most) {
  const std::string where = std::string(kConfigFile) + ": " + std::string(key);
  if (!config.Contains(key)) return MissingElement(where);
  const Result<int64_t> value = config.GetInt(key);
  if (!value.ok() || *value < 1 || *value > most) {
    return StateInconsistent(where, "expected 1 to " + std::to_string(most) + ", found '" +
                                        std::string(*config.Find(key)) + "'");
  }
  return static_cast<int32_t>(*value);
}

}  // namespace

std::string KvFile(int32_t layer, KvTensor tensor) {
  constexpr std::string_view kNames[] = {"key", "value", "key_scale", "value_scale"};
  return std::string(kKvFolder) + "/" + std::to_string(layer) + "_" +
         std::string(kNames[static_cast<size_t>(tensor)]) + ".npy";
}

std::span<const KvTensor> KvTensorsOf(DType dtype) {
  static constexpr KvTensor kAll[] = {KvTensor::kKey, KvTensor::kValue, KvTensor::kKeyScale,
                                      KvTensor::kValueScale};
  return std::span(kAll).first(dtype == DType::kI8 ? 4 : 2);
}

int64_t KvWidth(const KvGeometry& kv, KvTensor tensor) {
  const bool scales = tensor == KvTensor::kKeyScale || tensor == KvTensor::kValueScale;
  return scales ? kv.head_dim / kKvGroup : kv.head_dim;
}

int64_t KvRowBytes(const KvGeometry& kv, KvTensor tensor) {
  return KvWidth(kv, tensor) *
         static_cast<int64_t>(LayoutOf(KvElementDType(kv.dtype, tensor)).bytes);
}

uint64_t KvTensorBytes(const KvGeometry& kv, KvTensor tensor, int64_t tokens) {
  return static_cast<uint64_t>(kv.num_kv_heads) * static_cast<uint64_t>(tokens) *
         static_cast<uint64_t>(KvRowBytes(kv, tensor));
}

Result<KeyValues> ParseKeys(std::string_view path, std::string_view text) {
  constexpr size_t kLinesMax = kForeignKeysMax + kOwnKeysMax;
  const auto lines = static_cast<size_t>(std::ranges::count(text, '\n'));
  if (lines > kLinesMax) {
    return StateInconsistent(path, "at most " + std::to_string(kLinesMax) +
                                       " lines expected, found " + std::to_string(lines));
  }
  Result<KeyValues> parsed = KeyValues::Parse(text);
  if (!parsed.ok()) return StateInconsistent(path, parsed.status().message());
  return parsed;
}

std::optional<DType> KvDTypeFromName(std::string_view name) {
  if (name == "float32") return DType::kF32;
  if (name == "float16") return DType::kF16;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "int8") return DType::kI8;
  return std::nullopt;
}

std::string_view KvDTypeName(DType dtype) {
  if (dtype == DType::kF32) return "float32";
  if (dtype == DType::kI8) return "int8";
  return dtype == DType::kF16 ? "float16" : "bfloat16";
}

Result<KvGeometry> GeometryFromConfig(const KeyValues& config) {
  KvGeometry kv;
  GYRATOR_ASSIGN_OR_RETURN(kv.num_layers, Count(config, "n_layers", kLayersMax));
  GYRATOR_ASSIGN_OR_RETURN(kv.num_kv_heads, Count(config, "n_kv_heads", kKvHeadsMax));
  GYRATOR_ASSIGN_OR_RETURN(kv.head_dim, Count(config, "head_dim", kHeadDimMax));
  const std::string where = std::string(kConfigFile) + ": dtype";
  const auto name = config.Find("dtype");
  if (!name) return MissingElement(where);
  const auto dtype = KvDTypeFromName(*name);
  if (!dtype) {
    return StateInconsistent(
        where, "expected float32, float16, bfloat16 or int8, found '" + std::string(*name) + "'");
  }
  kv.dtype = *dtype;
  if (kv.dtype == DType::kI8 && kv.head_dim % kKvGroup != 0) {
    return StateInconsistent(
        std::string(kConfigFile) + ": head_dim",
        "with int8 a multiple of 32 expected, found " + std::to_string(kv.head_dim));
  }
  return kv;
}

}  // namespace gyrator
