// A model on disk: its text side (tokenizer, chat template) and its weights.
//
// A path is a Hugging Face folder or one .gguf file. Both classes are immutable after Load and safe
// for concurrent use. Weights are packed once, at load, for the products of the compute type; the
// mapped file stays open for the rows of the embedding and for the digest.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

// Progress of long work: `done` of `total` units of `what` ("loading weights"). Called on the
// thread that does the work, a few times a second.
using Progress = std::function<void(std::string_view what, uint64_t done, uint64_t total)>;

// One message of a conversation.
struct Message {
  std::string role = {};     // "system", "user", "assistant", "tool"
  std::string content = {};  // UTF-8
  std::string extras =
      {};  // other fields as the text of one JSON object (tool_calls, name); empty: none

  bool operator==(const Message&) const = default;
};

struct RenderOptions {
  bool add_generation_prompt = true;
  std::string tools = {};      // JSON array of tool schemas; empty: none
  std::string variables = {};  // JSON object of template variables; empty: none
};

struct TextOptions {
  // How a byte-level GGUF file's text is cut into words where the file does not say
  // (tokenizer.ggml.pre), by one of its values: docs/tokenizer.md. Empty: as the file says.
  std::string tokenizer_pre = {};
};

// Tokenizer and chat template; needs only the tokenizer's files.
class TextModel {
 public:
  // kNotFound, kCorruption, kUnsupported (names the component), kInvalidArgument (options, or a
  // path that leads to something else than a model).
  static Result<std::shared_ptr<const TextModel>> Load(const std::string& path,
                                                       const TextOptions& options = {});
  virtual ~TextModel() = default;

  // `add_special`: the model's BOS (and EOS) as its post-processor adds them. Special tokens
  // written in the text become their ids.
  virtual std::vector<TokenId> Encode(std::string_view text, bool add_special) const = 0;
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special) const = 0;
  // The rendered prompt, byte for byte as transformers' apply_chat_template. kInvalidArgument: the
  // template's own error; kUnsupported: the model has no template.
  virtual Result<std::string> Render(std::span<const Message> messages,
                                     const RenderOptions& options) const = 0;
  // The same for a JSON array of messages.
  virtual Result<std::string> RenderJson(std::string_view messages,
                                         const RenderOptions& options) const = 0;

  virtual int32_t vocab_size() const = 0;
  virtual bool has_template() const = 0;
  virtual std::span<const TokenId> end_of_generation() const = 0;  // sorted
};

struct ModelOptions {
  std::optional<ComputeType>
      compute;  // Default: by the file's dtype (F32, F16: f32; BF16: bf16; quantized: int8)
  std::string isa = "auto";  // "auto", "ref", "avx2", "avx512", "amx"
  int threads = 0;           // 0: one a core
  // Weights are copied at load into the layout that products read. Without, they stay in the mapped
  // file and a few rows at a time are converted whenever they are multiplied: the same numbers, the
  // memory of the copy saved, and no promise of speed.
  bool repack = true;
  std::string digest_cache = {};  // file that remembers weight digests; empty: none
  TextOptions text = {};
  Progress progress = {};
};

struct StoredBytes {
  DType dtype = DType::kF32;
  int64_t bytes = 0;
};

struct ModelInfo {
  std::string path, name, family, isa, numerics;
  ComputeType compute = ComputeType::kF32;
  DType stored = DType::kF32;
  int64_t parameters = 0;
  int64_t file_bytes = 0;
  std::vector<StoredBytes> stored_bytes;  // of the tensors of each type, most first
  int64_t operand_bytes = 0;  // of the matrices as products read them, mapped or in memory
  int32_t num_layers = 0, hidden = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0, ffn = 0,
          vocab = 0;
  int32_t context_max = 0;
  std::string rope;
  std::vector<std::string> notes;  // what a user should know of the files, a sentence each
};

class Model {
 public:
  // initmodel: no session state is made. kUnsupported when the CPU lacks `isa`, kInvalidArgument
  // for an unknown one and for a path that leads to something else than a model, else as
  // TextModel::Load.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                   const ModelOptions& options);
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;
  // Null when the folder has no tokenizer that is read: such a model takes token ids only.
  virtual const std::shared_ptr<const TextModel>& text() const = 0;
  // OK, or why text() is null and what to do: kUnsupported.
  virtual const Status& text_status() const = 0;
  // SHA-256 of the stored weights, hex: of those that were loaded and are computed with. Hashed at
  // most once a model object (with progress), or taken from the cache. kMismatch "model_changed":
  // the file was written since it was loaded, or moved before it was hashed, so that the weights
  // have no name any more. `recompute` hashes the mapped bytes as they are now.
  virtual Result<std::string> WeightsDigest(bool recompute) const = 0;
  // That digest when nothing has to be hashed for it: this object or an earlier one of the same
  // files hashed them.
  virtual std::optional<std::string> KnownWeightsDigest() const = 0;
  // The error that conversion to the compute type adds to the stored matrices, which may have been
  // rounded before: root of the sum of squared differences over the sum of squares. Converts all
  // weights once more: seconds for a large model, with progress.
  virtual Result<double> AddedError() const = 0;
};

}  // namespace gyrator
