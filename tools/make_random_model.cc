// Writes a GGUF file of random weights in the shape of a known model: for measuring speed and for
// tests of large files. The text side is a byte-level vocabulary padded to the shape's size, so the
// command can run it; what it says means nothing. The same arguments give the same bytes.
//
//   make_random_model --shape llama-3.2-1b|qwen2.5-0.5b|tiny --dtype bf16|q8_0|f32 --out FILE
//                     [--seed N]
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_writer.h"
#include "tensor/dtype.h"

namespace gyrator {
namespace {

struct ModelShape {
  std::string_view name;
  std::string_view arch;
  std::string_view pre_tokenizer;
  uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context;
  float rope_theta;
  bool qkv_bias;
};
constexpr ModelShape kShapes[] = {
    {"llama-3.2-1b", "llama", "llama-bpe", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 500000,
     false},
    {"qwen2.5-0.5b", "qwen2", "qwen2", 24, 896, 14, 2, 64, 4864, 151936, 32768, 1000000, true},
    {"tiny", "llama", "llama-bpe", 2, 128, 4, 2, 32, 256, 320, 512, 10000, false},
};

struct Arguments {
  const ModelShape* shape = nullptr;
  DType dtype = DType::kBF16;
  uint64_t seed = 1;
  std::string out;
};

constexpr uint64_t kPieceElements = 1 << 20;  // made and written at a time; a multiple of 32

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Four values a step, uniform in (-range, range).
void FillFloats(Random* random, float range, std::vector<float>* out) {
  const float step = range / 32768.0f;
  for (size_t i = 0; i + 4 <= out->size(); i += 4) {
    const uint64_t bits = random->Next();
    for (size_t j = 0; j < 4; ++j) {
      const auto value = static_cast<int16_t>(bits >> (16 * j));
      (*out)[i + j] = (static_cast<float>(value) + 0.5f) * step;
    }
  }
}

Status WritePiece(const std::vector<float>& values, DType dtype, const ByteSink& sink) {
  if (dtype == DType::kF32) return sink(std::as_bytes(std::span(values)));
  std::vector<uint16_t> rounded(values.size());
  std::ranges::transform(values, rounded.begin(), F32ToBF16);
  return sink(std::as_bytes(std::span(rounded)));
}

// Random groups of one scale each; q fills its range.
Status WriteBlocks(Random* random, float range, size_t count, const ByteSink& sink) {
  std::vector<BlockQ8_0> blocks(count);
  const uint16_t scale = F32ToF16(range / 127.0f);
  for (BlockQ8_0& block : blocks) {
    block.scale = scale;
    for (size_t i = 0; i < 32; i += 8) {
      const uint64_t bits = random->Next();
      for (size_t j = 0; j < 8; ++j) {
        block.q[i + j] = std::max<int8_t>(static_cast<int8_t>(bits >> (8 * j)), -127);
      }
    }
  }
  return sink(std::as_bytes(std::span(blocks)));
}

// `count` values of deviation 1 / sqrt(cols): activations keep their size.
Status WriteRandom(Random random, uint64_t count, uint64_t cols, DType dtype,
                   const ByteSink& sink) {
  const float range = std::sqrt(3.0f / static_cast<float>(cols));
  std::vector<float> values;
  for (uint64_t done = 0; done < count; done += kPieceElements) {
    const uint64_t piece = std::min(kPieceElements, count - done);
    if (dtype == DType::kQ8_0) {
      GYRATOR_RETURN_IF_ERROR(WriteBlocks(&random, range, piece / 32, sink));
      continue;
    }
    values.resize(piece);
    FillFloats(&random, range, &values);
    GYRATOR_RETURN_IF_ERROR(WritePiece(values, dtype, sink));
  }
  return {};
}

class ModelWriter {
 public:
  explicit ModelWriter(const Arguments& arguments) : args_(arguments), shape_(*arguments.shape) {}

  Status Write() {
    AddMetadata();
    AddTokenizer();
    AddMatrix("token_embd.weight", shape_.vocab, shape_.hidden);
    AddVector("output_norm.weight", shape_.hidden, 1.0f);
    for (uint32_t layer = 0; layer < shape_.layers; ++layer) AddLayer(layer);
    return writer_.WriteFile(args_.out);
  }

 private:
  void SetSize(std::string_view key, uint32_t value) {
    writer_.Set<uint32_t>(std::string(shape_.arch) + "." + std::string(key), value);
  }

  void SetFloat(std::string_view key, float value) {
    writer_.Set<float>(std::string(shape_.arch) + "." + std::string(key), value);
  }

  void AddMetadata() {
    writer_.Set<std::string_view>("general.architecture", shape_.arch);
    writer_.Set<std::string_view>("general.name", "random " + std::string(shape_.name));
    SetSize("block_count", shape_.layers);
    SetSize("context_length", shape_.context);
    SetSize("embedding_length", shape_.hidden);
    SetSize("feed_forward_length", shape_.ffn);
    SetSize("attention.head_count", shape_.heads);
    SetSize("attention.head_count_kv", shape_.kv_heads);
    SetSize("rope.dimension_count", shape_.head_dim);
    SetSize("vocab_size", shape_.vocab);
    SetFloat("attention.layer_norm_rms_epsilon", 1e-5f);
    SetFloat("rope.freq_base", shape_.rope_theta);
  }

  void AddTokenizer();

  void AddMatrix(const std::string& name, uint64_t rows, uint64_t cols) {
    const Random random(args_.seed * 1000003 + tensors_++);
    const DType dtype = args_.dtype;
    writer_.AddTensor(
        name, dtype, {static_cast<int64_t>(rows), static_cast<int64_t>(cols)},
        [=](const ByteSink& sink) { return WriteRandom(random, rows * cols, cols, dtype, sink); });
  }

  void AddVector(const std::string& name, uint64_t size, float value) {
    writer_.AddTensor(name, DType::kF32, {static_cast<int64_t>(size)}, [=](const ByteSink& sink) {
      const std::vector<float> values(size, value);
      return sink(std::as_bytes(std::span(values)));
    });
  }

  void AddLayer(uint32_t layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const uint64_t query = uint64_t{shape_.heads} * shape_.head_dim;
    const uint64_t key = uint64_t{shape_.kv_heads} * shape_.head_dim;
    AddVector(prefix + "attn_norm.weight", shape_.hidden, 1.0f);
    AddMatrix(prefix + "attn_q.weight", query, shape_.hidden);
    AddMatrix(prefix + "attn_k.weight", key, shape_.hidden);
    AddMatrix(prefix + "attn_v.weight", key, shape_.hidden);
    AddMatrix(prefix + "attn_output.weight", shape_.hidden, query);
    if (shape_.qkv_bias) {
      AddVector(prefix + "attn_q.bias", query, 0.01f);
      AddVector(prefix + "attn_k.bias", key, 0.01f);
      AddVector(prefix + "attn_v.bias", key, 0.01f);
    }
    AddVector(prefix + "ffn_norm.weight", shape_.hidden, 1.0f);
    AddMatrix(prefix + "ffn_gate.weight", shape_.ffn, shape_.hidden);
    AddMatrix(prefix + "ffn_up.weight", shape_.ffn, shape_.hidden);
    AddMatrix(prefix + "ffn_down.weight", shape_.hidden, shape_.ffn);
  }

  const Arguments& args_;
  const ModelShape& shape_;
  GgufWriter writer_;
  uint64_t tensors_ = 0;
};

std::string Utf8(uint32_t code) {  // below 0x800
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

// GPT-2's spelling of each byte: itself if it prints, else a letter from U+0100 on.
std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    tokens.push_back(Utf8(prints ? byte : next++));
  }
  return tokens;
}

void ModelWriter::AddTokenizer() {
  constexpr int32_t kNormal = 1, kControl = 3;  // llama.cpp's token types
  std::vector<std::string> tokens = ByteTokens();
  const std::string space = tokens[' '];
  tokens.push_back(space + space);
  const std::vector<std::string> merges = {space + " " + space};
  while (tokens.size() + 2 < shape_.vocab) {
    tokens.push_back("<|unused_" + std::to_string(tokens.size()) + "|>");
  }
  std::vector<int32_t> types(shape_.vocab, kNormal);
  std::fill(types.begin() + 257, types.end(), kControl);
  const auto bos = static_cast<uint32_t>(tokens.size());
  tokens.push_back("<|begin_of_text|>");
  tokens.push_back("<|end_of_text|>");
  writer_.Set<std::string_view>("tokenizer.ggml.model", "gpt2");
  writer_.Set<std::string_view>("tokenizer.ggml.pre", shape_.pre_tokenizer);
  writer_.SetArray<std::string>("tokenizer.ggml.tokens", tokens);
  writer_.SetArray<int32_t>("tokenizer.ggml.token_type", types);
  writer_.SetArray<std::string>("tokenizer.ggml.merges", merges);
  writer_.Set<uint32_t>("tokenizer.ggml.bos_token_id", bos);
  writer_.Set<uint32_t>("tokenizer.ggml.eos_token_id", bos + 1);
  writer_.Set<std::string_view>(
      "tokenizer.chat_template",
      "{{ bos_token }}{% for message in messages %}{{ message['role'] + ': ' + "
      "message['content'] + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
      "{{ 'assistant: ' }}{% endif %}");
}

std::optional<Arguments> ParseArguments(int argc, char** argv) {
  const std::map<std::string_view, DType> dtypes = {
      {"bf16", DType::kBF16}, {"q8_0", DType::kQ8_0}, {"f32", DType::kF32}};
  Arguments arguments;
  bool valid = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string_view value = argv[i + 1];
    if (flag == "--shape") {
      const auto it = std::ranges::find(kShapes, value, &ModelShape::name);
      if (it != std::end(kShapes)) arguments.shape = &*it;
      valid = valid && it != std::end(kShapes);
    } else if (flag == "--dtype") {
      valid = valid && dtypes.contains(value);
      if (valid) arguments.dtype = dtypes.at(value);
    } else if (flag == "--seed") {
      const auto end = value.data() + value.size();
      valid = valid && std::from_chars(value.data(), end, arguments.seed).ptr == end;
    } else if (flag == "--out") {
      arguments.out = value;
    } else {
      valid = false;
    }
  }
  if (!valid || arguments.shape == nullptr || arguments.out.empty()) return std::nullopt;
  return arguments;
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) {
  const auto arguments = gyrator::ParseArguments(argc, argv);
  if (!arguments) {
    std::fprintf(stderr,
                 "usage: make_random_model --shape llama-3.2-1b|qwen2.5-0.5b|tiny "
                 "--dtype bf16|q8_0|f32 --out FILE [--seed N]\n");
    return 2;
  }
  const gyrator::Status status = gyrator::ModelWriter(*arguments).Write();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return static_cast<int>(status.code());
}
