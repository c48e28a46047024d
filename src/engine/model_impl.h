// A loaded model: what Engine needs beyond the public class.
#pragma once

#include <memory>
#include <string>

#include "engine/text_model.h"
#include "engine/weights_digest.h"
#include "gyrator/model.h"
#include "model/loader.h"

namespace gyrator {

// The tokenizer and template of a model, or null and why there are none.
struct TextSide {
  std::shared_ptr<const TextModelImpl> model;
  Status missing;
};

class ModelImpl final : public Model {
 public:
  ModelImpl(LoadedModel loaded, TextSide text, const Ops* ops, ModelOptions options);

  const ModelInfo& info() const override { return info_; }
  const std::shared_ptr<const TextModel>& text() const override { return public_text_; }
  const Status& text_status() const override { return text_status_; }
  Result<std::string> WeightsDigest(bool recompute) const override;
  std::optional<std::string> KnownWeightsDigest() const override { return digest_.Known(); }
  Result<double> AddedError() const override;

  const LoadedModel& loaded() const { return loaded_; }
  // Null when the model's folder has no tokenizer: token ids only.
  const TextModelImpl* text_impl() const { return text_.get(); }
  const Ops& ops() const { return *ops_; }
  // What a snapshot records of the arithmetic: "f32.v1", "int8.v1", "bf16.dp.v1", "bf16.amx.v1", or
  // "int8.q8.v1" where weights were quantized a second time: kernels that multiply the stored
  // blocks themselves will have other numbers, and are not to go on with such a context.
  std::string numerics() const;

 private:
  LoadedModel loaded_;
  std::shared_ptr<const TextModelImpl> text_;
  Status text_status_;
  std::shared_ptr<const TextModel> public_text_;
  const Ops* ops_;
  ModelOptions options_;
  ModelInfo info_;
  mutable LoadedDigest digest_;  // of loaded_.tensors
};

// The kernels called `isa`. kUnsupported: this CPU lacks it; kInvalidArgument: no such name. Both
// list what there is.
Result<const Ops*> ChooseOps(const std::string& isa);

}  // namespace gyrator
