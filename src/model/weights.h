// The weights of a model in the operand format of one compute type.
//
// Matrices are packed once, at load, into memory owned here (kernels/panels.h), or, if the caller
// wants that, a few rows at a time whenever they are multiplied; those in f32 are
// used where they lie in the mapping when the file holds f32. Norm weights and biases are f32
// always; the embedding keeps its stored format and is widened row by row. Immutable after Load:
// safe for concurrent reads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_room.h"
#include "base/thread_pool.h"
#include "formats/tensor_file.h"
#include "gyrator/model.h"
#include "gyrator/status.h"
#include "gyrator/types.h"
#include "model/config.h"
#include "model/convert.h"
#include "tensor/dtype.h"
#include "tensor/tensor_view.h"

namespace gyrator {

// Which source a model came from: it decides the names of tensors.
enum class SourceFormat : uint8_t { kHuggingFace, kGguf };

// [rows, cols]: rows are outputs.
struct Matrix {
  Conversion source;  // where it is stored, and what becomes of it
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* operand = nullptr;  // as products read it (model/pack.h); null: not packed
};

struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden]
  Matrix q, k, v, o;              // [heads * head_dim, hidden], ..., [hidden, heads * head_dim]
  const float* q_bias = nullptr;  // null when the family has none
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* o_bias = nullptr;
  const float* q_norm = nullptr;  // [head_dim], null without qk_norm
  const float* k_norm = nullptr;
  const float* ffn_norm = nullptr;  // [hidden]
  Matrix gate, up, down;            // [ffn, hidden], [ffn, hidden], [hidden, ffn]
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;
};

struct Weights {
  ComputeType compute = ComputeType::kF32;          // of the operands
  Matrix embedding;                                 // [vocab, hidden], stored only
  Matrix head;                                      // [vocab, hidden]; tied: of the embedding
  const float* final_norm = nullptr;                // [hidden]
  std::vector<LayerWeights> layers;                 // [num_layers]
  std::vector<std::shared_ptr<const void>> owners;  // mappings and converted tensors
  // Whether an int8 matrix was stored in blocks that have no exact int8 form: it was unpacked and
  // quantized a second time (model/convert.h), which is recorded as numerics of its own.
  bool requantized = false;
};

// Where the tensors of `config` lie and under which names.
struct WeightSource {
  const TensorIndex* tensors = nullptr;
  SourceFormat format = SourceFormat::kHuggingFace;
};

struct WeightOptions {
  ComputeType compute = ComputeType::kF32;
  ThreadPool* threads = nullptr;          // REQUIRED; used during the call only
  Progress progress;                      // "loading weights", in bytes of stored tensors
  uint64_t memory_room = kNoMemoryBound;  // bytes that packed weights may take (base/memory_room.h)
  bool repack = true;                     // false: matrices stay as they are stored
};

// Checks that each tensor of the family's table is there with its shape and that no other is, then
// makes the operands (without `repack`: only tries to), and lets go of the mapped pages that it has
// read. Needs no instruction set: conversions are defined by tensor/dtype.h and, to int8, by
// model/convert.h. kCorruption: missing or unexpected tensor, wrong shape, a stored scale that is not finite, values that int8 cannot
// hold (not finite, or a scale beyond f16); kUnsupported: element type, a width that int8 cannot
// group by 32. These name the tensor. kExhausted: memory, "memory" where there is not enough room.
Result<Weights> LoadWeights(const ModelConfig& config, const WeightSource& source,
                            const WeightOptions& options);

// One weight group as ggml's reference quantizer makes it: d = amax / 127, q = x * (1 / d) rounded
// half away from zero, stored scale = f16(d). False when a value is not finite or d exceeds f16.
bool QuantizeQ8_0(const float* x, BlockQ8_0* out);

// Bytes of the matrices that are multiplied, as products read them and wherever they lie. A tied
// head counts, the embedding does not.
uint64_t OperandBytes(const Weights& weights);

// Row `row` as it is stored, as f32 without rounding, into out [cols].
void WidenRow(const Matrix& matrix, int64_t row, float* out);

}  // namespace gyrator
