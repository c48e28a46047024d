// What a checkpoint file says of itself, read without torch.
#pragma once

#include <string>

#include "decoder_config.h"
#include "formats/safetensors.h"
#include "gyrator/status.h"

namespace gyrator::train {

struct Progress {
  uint64_t seed = 0;
  int64_t step = 0;    // steps done
  int64_t tokens = 0;  // tokens seen
};

struct CheckpointFile {
  DecoderConfig config;
  Progress progress;
  TensorIndex tensors;  // weights by Hugging Face's names, moments as adamw.{first,second}.NAME
};

// kNotFound, kCorruption (not a checkpoint, or its header is incomplete).
Result<CheckpointFile> OpenCheckpoint(const std::string& path);

// The metadata that OpenCheckpoint reads.
void DescribeCheckpoint(const DecoderConfig& config, const Progress& progress,
                        SafetensorsWriter& writer);

}  // namespace gyrator::train
