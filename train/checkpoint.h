// The whole state of a training run in one safetensors file: weights, AdamW's moments, step,
// tokens, seed and shape. Written whole or not at all (temp, fsync, rename), so that a kill loses
// at most the work since the last one. Data needs no state: it is a function of seed and step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint_file.h"
#include "decoder.h"
#include "gyrator/status.h"

namespace gyrator::train {

// AdamW's two moments, one a parameter, in the decoder's order.
struct Moments {
  std::vector<at::Tensor> first, second;
};
Moments ZeroMoments(const Decoder& decoder);

Status SaveCheckpoint(const std::string& path, const Decoder& decoder, const Moments& moments,
                      const Progress& progress);

// The model of a checkpoint. As LoadWeights.
Result<std::unique_ptr<Decoder>> LoadDecoder(const CheckpointFile& file);
// Fills weights and moments in place. kMismatch names the tensor whose shape differs.
Status LoadWeights(const CheckpointFile& file, Decoder& decoder);
Status LoadMoments(const CheckpointFile& file, const Decoder& decoder, Moments& moments);

}  // namespace gyrator::train
