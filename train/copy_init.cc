#include "copy_init.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gyrator::train {
namespace {

constexpr double kConstant = 0.1;    // dimension 0 of every embedding; the others deviate by 0.02
constexpr double kSharpness = 1.35;  // of the look at the token before
constexpr double kMatch = 2.0;       // of the look for the same token
constexpr double kCarry = 0.02,
                 kCopy = 0.04;  // what the two heads write, against embeddings of 0.02

double InverseFrequency(const DecoderConfig& config, int32_t pair) {
  return std::pow(static_cast<double>(config.rope_theta), -2.0 * pair / config.head_dim);
}

// [head_dim, hidden], orthonormal rows that see neither the constant nor the carried identity.
at::Tensor RandomProjection(const DecoderConfig& config) {
  at::Tensor rows =
      std::get<0>(at::linalg_qr(torch::randn({config.hidden, config.head_dim}))).t().contiguous();
  rows.narrow(1, 0, 1).zero_();
  rows.narrow(1, config.hidden - config.head_dim, config.head_dim).zero_();
  return rows;
}

// Query head 0 and key/value head 0: attends to one position before, by RoPE's fastest pairs, and
// writes the projected identity found there into the last head_dim dimensions.
void InitPreviousToken(const DecoderConfig& config, const at::Tensor& projection,
                       DecoderLayer& layer) {
  constexpr int32_t kPairs = 5;
  const int64_t dim = config.head_dim, half = dim / 2;
  layer.q.narrow(0, 0, dim).zero_();
  layer.k.narrow(0, 0, dim).zero_();
  for (int32_t i = 0; i < kPairs; ++i) {
    const double angle =
        InverseFrequency(config, i);  // the query is the key, turned back by one position
    layer.k[i][0].fill_(kSharpness);
    layer.q[i][0].fill_(kSharpness * std::cos(angle));
    layer.q[i + half][0].fill_(-kSharpness * std::sin(angle));
  }
  layer.v.narrow(0, 0, dim).copy_(projection);
  at::Tensor out = layer.o.narrow(1, 0, dim);
  out.zero_();
  out.narrow(0, config.hidden - dim, dim).copy_(torch::eye(dim) * kCarry);
}

// Key/value head `head` and its query heads: match the token's identity with the carried ones, in
// RoPE's slow pairs, and copy another projection of the token found.
void InitMatch(const DecoderConfig& config, const at::Tensor& projection, int64_t head,
               DecoderLayer& layer) {
  const int64_t dim = config.head_dim, half = dim / 2, first_slow = half * 3 / 8;
  const int64_t group = config.num_heads / config.num_kv_heads;
  at::Tensor mask = torch::zeros({dim, 1});
  mask.narrow(0, first_slow, half - first_slow).fill_(kMatch);
  mask.narrow(0, half + first_slow, half - first_slow).fill_(kMatch);
  const at::Tensor turn =
      std::get<0>(at::linalg_qr(torch::randn({dim, dim})));  // another view for each head
  const at::Tensor copied = RandomProjection(config);
  at::Tensor key = layer.k.narrow(0, head * dim, dim);
  key.zero_();
  key.narrow(1, config.hidden - dim, dim).copy_(mask * turn);
  layer.v.narrow(0, head * dim, dim).copy_(copied);
  for (int64_t query = head * group; query < (head + 1) * group; ++query) {
    layer.q.narrow(0, query * dim, dim).copy_(mask * at::matmul(turn, projection));
    layer.o.narrow(1, query * dim, dim).copy_(copied.t() * kCopy);
  }
}

}  // namespace

void InitCopyHeads(const DecoderConfig& config, at::Tensor& embedding, DecoderLayer& first,
                   DecoderLayer& second) {
  const at::NoGradGuard no_grad;
  embedding.narrow(1, 0, 1).fill_(kConstant);
  embedding.narrow(1, config.hidden - config.head_dim, config.head_dim).zero_();
  const at::Tensor projection = RandomProjection(config);
  InitPreviousToken(config, projection, first);
  for (int64_t head = 0; head < std::min(3, config.num_kv_heads); ++head)
    InitMatch(config, projection, head, second);
}

}  // namespace gyrator::train
