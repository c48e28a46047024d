// Shared by the tests of model/: the golden models, and KV blocks without kv/.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/paged_kv.h"
#include "model/forward.h"
#include "model/loader.h"

namespace gyrator {

inline constexpr const char* kGoldenFolders[] = {"llama2",     "llama3",  "llama_bias",
                                                 "smollm2",    "mistral", "qwen2",
                                                 "qwen2_yarn", "qwen3",   "qwen3_yarn"};

std::string GoldenPath(const std::string& name);  // tests/golden/models/<name>

// Fails the test and gives an empty model when it does not load.
LoadedModel MustLoad(const std::string& path, std::optional<ComputeType> compute = {});

// The arrays beside a golden folder.
std::vector<float> ReadFloats(const std::string& path);
std::vector<TokenId> ReadTokens(const std::string& path);

// max |a - b| over (max b - min b).
double RelativeDelta(std::span<const float> a, std::span<const float> b);

// Whether all bits are equal; a message that names the first difference otherwise.
testing::AssertionResult SameBits(std::span<const float> a, std::span<const float> b);

// A pool of blocks whose memory is full of NaN until it is written: what is read without having
// been written shows in the logits. Blocks of a sequence lie scattered.
class TestKv {
 public:
  TestKv(const ModelConfig& config, DType dtype, int32_t num_sequences, Position positions_max);

  const PagedKv& kv() const { return kv_; }
  BlockTableView table(int32_t sequence) const;

 private:
  PagedKv kv_;
  AlignedBuffer memory_;
  std::vector<std::vector<uint32_t>> tables_;
};

struct RunArgs {
  const LoadedModel* model = nullptr;
  std::string isa = "ref";
  DType kv_dtype = DType::kF32;
  int threads = 1;
  int32_t chunk = 0;  // rows of a pass; 0: all at once
};
// Logits of all positions by Forward, [tokens, vocab].
std::vector<float> RunForward(const RunArgs& args, std::span<const TokenId> tokens);

// The operand of a matrix as numbers, [rows, cols], read by the layout of kernels/panels.h.
std::vector<float> OperandValues(const Matrix& matrix, ComputeType compute);

// Calls of operator new since the program began, on all threads.
int64_t NumAllocations();

// The KV dtype that goes with a compute type by default.
inline DType DefaultKv(ComputeType compute) {
  return compute == ComputeType::kF32 ? DType::kF32 : DType::kBF16;
}

}  // namespace gyrator
