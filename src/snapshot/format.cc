#include "snapshot/format.h"

#include "snapshot/errors.h"

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

std::optional<DType> KvDTypeFromName(std::string_view name) {
  if (name == "float32") return DType::kF32;
  if (name == "float16") return DType::kF16;
  if (name == "bfloat16") return DType::kBF16;
  return std::nullopt;
}

std::string_view KvDTypeName(DType dtype) {
  if (dtype == DType::kF32) return "float32";
  return dtype == DType::kF16 ? "float16" : "bfloat16";
}

Result<KvGeometry> GeometryFromConfig(const KeyValues& config) {
  KvGeometry kv;
  GYRATOR_ASSIGN_OR_RETURN(kv.num_layers, Count(config, "n_layers", 1 << 12));
  GYRATOR_ASSIGN_OR_RETURN(kv.num_kv_heads, Count(config, "n_kv_heads", 1 << 12));
  GYRATOR_ASSIGN_OR_RETURN(kv.head_dim, Count(config, "head_dim", 1 << 12));
  const std::string where = std::string(kConfigFile) + ": dtype";
  const auto name = config.Find("dtype");
  if (!name) return MissingElement(where);
  const auto dtype = KvDTypeFromName(*name);
  if (!dtype) {
    return StateInconsistent(
        where, "expected float32, float16 or bfloat16, found '" + std::string(*name) + "'");
  }
  kv.dtype = *dtype;
  return kv;
}

}  // namespace gyrator
