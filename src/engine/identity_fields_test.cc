// Whose context it is: every field of a model's files is changed, one at a time, and a context that
// was saved before is loaded. Each change is refused by name, noted by name, or changes nothing that
// is computed. A field without a row fails: by the compiler, or by the comparison of the lists.
#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "engine/engine_testing.h"
#include "engine/weights_testing.h"
#include "formats/gguf.h"
#include "formats/hf_config.h"

namespace gyrator {
namespace {

enum class Verdict {
  kEqual,      // loads without a word
  kNoted,      // loads, with a note that names the key
  kRefused,    // model_mismatch that names the key
  kNotLoaded,  // the model itself is refused, by a message that names the field
};

struct Row {
  const char* field;
  const char* patch;  // what is merged into the file (RFC 7396)
  Verdict verdict;
  const char* name;  // the key or field that is named; empty for kEqual
};

// What became of a saved context on a changed model.
struct Outcome {
  Verdict verdict = Verdict::kEqual;
  std::string text;  // the message, or the notes
};

Outcome LoadOn(const std::string& model_path, ComputeType compute, const std::string& context) {
  auto model = Model::Load(model_path, {.compute = compute,
                                        .isa = "auto",
                                        .threads = 1,
                                        .digest_cache = {},
                                        .progress = {}});
  if (!model.ok()) return {Verdict::kNotLoaded, model.status().message()};
  auto engine = Engine::Create(*model, {.context = 64});
  if (!engine.ok()) return {Verdict::kNotLoaded, engine.status().message()};
  LoadReport report;
  auto session = (*engine)->LoadSession(context, &report);
  if (!session.ok()) {
    EXPECT_EQ("model_mismatch", session.status().name()) << session.status().ToString();
    return {Verdict::kRefused, session.status().message()};
  }
  std::string notes;
  for (const std::string& note : report.notes) notes += note + "\n";
  return {notes.empty() ? Verdict::kEqual : Verdict::kNoted, notes};
}

void ExpectOutcome(const Row& row, const Outcome& outcome) {
  EXPECT_EQ(row.verdict, outcome.verdict) << row.field << " " << row.patch << ": " << outcome.text;
  EXPECT_NE(std::string::npos, outcome.text.find(row.name)) << row.field << ": " << outcome.text;
}

// ---- A folder: config.json and the files of the tokenizer ----

constexpr Row kConfigRows[] = {
    {"model_type", R"({"model_type": "qwen3", "architectures": null})", Verdict::kNotLoaded,
     "shape"},
    {"architecture", R"({"architectures": ["Qwen2ForTokens"]})", Verdict::kNotLoaded,
     "architectures"},
    {"hidden_act", R"({"hidden_act": "gelu"})", Verdict::kNotLoaded, "hidden_act"},
    {"hidden_act", R"({"hidden_act": "swish"})", Verdict::kEqual, ""},
    {"num_hidden_layers", R"({"num_hidden_layers": 1})", Verdict::kNotLoaded, "layers.1"},
    {"hidden_size", R"({"hidden_size": 32})", Verdict::kNotLoaded, "shape"},
    {"num_attention_heads", R"({"num_attention_heads": 2})", Verdict::kNotLoaded, "shape"},
    {"num_key_value_heads", R"({"num_key_value_heads": 4})", Verdict::kNotLoaded, "shape"},
    {"head_dim", R"({"head_dim": 8})", Verdict::kNotLoaded, "shape"},
    {"intermediate_size", R"({"intermediate_size": 64})", Verdict::kNotLoaded, "shape"},
    {"vocab_size", R"({"vocab_size": 255})", Verdict::kNotLoaded, "shape"},
    {"max_position_embeddings", R"({"max_position_embeddings": 600})", Verdict::kEqual, ""},
    {"max_window_layers", R"({"max_window_layers": 1})", Verdict::kEqual, ""},
    {"sliding_window", R"({"sliding_window": 400})", Verdict::kEqual, ""},  // nothing slides
    {"sliding_window",
     R"({"sliding_window": 400, "use_sliding_window": true,
         "layer_types": ["full_attention", "sliding_attention"]})",
     Verdict::kRefused, "sliding_window"},
    {"sliding_window_given", R"({"use_sliding_window": true, "max_window_layers": 1,
                                 "layer_types": null, "sliding_window": null})",
     Verdict::kRefused, "sliding_window"},  // the patch removes it: the family's 4,096
    {"use_sliding_window", R"({"use_sliding_window": true})", Verdict::kEqual, ""},
    {"layer_types", R"({"layer_types": ["full_attention", "sliding_attention"]})", Verdict::kEqual,
     ""},
    {"rms_norm_eps", R"({"rms_norm_eps": 0.05})", Verdict::kRefused, "norm_eps"},
    {"rms_norm_eps", R"({"rms_norm_eps": 1.000001e-05})", Verdict::kRefused, "norm_eps"},
    {"rms_norm_eps", R"({"rms_norm_eps": 1.00000000001e-05})", Verdict::kEqual, ""},  // in f32
    {"tie_word_embeddings", R"({"tie_word_embeddings": true})", Verdict::kEqual, ""},  // own head
    {"attention_bias", R"({"attention_bias": true})", Verdict::kEqual, ""},  // qwen2 has them anyway
    {"mlp_bias", R"({"mlp_bias": true})", Verdict::kEqual, ""},              // not read by qwen2
    {"quantized", R"({"quantization_config": {"bits": 4}})", Verdict::kNotLoaded,
     "quantization_config"},
    {"rope.type", R"({"rope_scaling": {"type": "linear"}})", Verdict::kRefused, "rope."},
    {"rope.theta", R"({"rope_theta": 10001.0})", Verdict::kRefused, "rope.theta"},
    {"rope.factor", R"({"rope_scaling": {"factor": 4.5}})", Verdict::kRefused,
     "rope.attention_factor"},
    {"rope.factor_given", R"({"rope_scaling": {"factor": null}})", Verdict::kNotLoaded, "factor"},
    {"rope.low_freq_factor", R"({"rope_scaling": {"low_freq_factor": 2}})", Verdict::kEqual, ""},
    {"rope.high_freq_factor", R"({"rope_scaling": {"high_freq_factor": 5}})", Verdict::kEqual, ""},
    {"rope.attention_factor", R"({"rope_scaling": {"attention_factor": 1.25}})", Verdict::kRefused,
     "rope.attention_factor"},
    {"rope.beta_fast", R"({"rope_scaling": {"beta_fast": 16}})", Verdict::kRefused, "rope.scaling"},
    {"rope.beta_slow", R"({"rope_scaling": {"beta_slow": 2}})", Verdict::kRefused, "rope.scaling"},
    {"rope.mscale", R"({"rope_scaling": {"mscale": 0.5, "mscale_all_dim": 1.0}})",
     Verdict::kRefused, "rope.attention_factor"},
    {"rope.mscale_all_dim", R"({"rope_scaling": {"mscale_all_dim": 1.0}})", Verdict::kEqual, ""},
    {"rope.partial_rotary_factor", R"({"partial_rotary_factor": 0.5})", Verdict::kNotLoaded,
     "partial_rotary_factor"},
    {"rope.original_max_position_embeddings",
     R"({"rope_scaling": {"original_max_position_embeddings": 128}})", Verdict::kRefused,
     "rope.scaling"},
    {"rope.truncate", R"({"rope_scaling": {"truncate": false}})", Verdict::kRefused,
     "rope.inv_freq_sha256"},
};

// Does not compile when config.json is read for another field: it needs its rows above.
std::set<std::string> FieldsOfConfig() {
  const HfConfig config;
  [[maybe_unused]] const auto& [model_type, architecture, hidden_act, num_hidden_layers, hidden_size,
               num_attention_heads, num_key_value_heads, head_dim, intermediate_size, vocab_size,
               max_position_embeddings, max_window_layers, sliding_window, sliding_window_given,
               use_sliding_window, layer_types, rms_norm_eps, tie_word_embeddings, attention_bias,
               mlp_bias, quantized, rope] = config;
  [[maybe_unused]] const auto& [type, theta, factor, factor_given, low_freq_factor, high_freq_factor,
               attention_factor, beta_fast, beta_slow, mscale, mscale_all_dim,
               partial_rotary_factor, original_max_position_embeddings, truncate] = rope;
  return {"model_type",
          "architecture",
          "hidden_act",
          "num_hidden_layers",
          "hidden_size",
          "num_attention_heads",
          "num_key_value_heads",
          "head_dim",
          "intermediate_size",
          "vocab_size",
          "max_position_embeddings",
          "max_window_layers",
          "sliding_window",
          "sliding_window_given",
          "use_sliding_window",
          "layer_types",
          "rms_norm_eps",
          "tie_word_embeddings",
          "attention_bias",
          "mlp_bias",
          "quantized",
          "rope.type",
          "rope.theta",
          "rope.factor",
          "rope.factor_given",
          "rope.low_freq_factor",
          "rope.high_freq_factor",
          "rope.attention_factor",
          "rope.beta_fast",
          "rope.beta_slow",
          "rope.mscale",
          "rope.mscale_all_dim",
          "rope.partial_rotary_factor",
          "rope.original_max_position_embeddings",
          "rope.truncate"};
}

constexpr Row kTokenizerRows[] = {
    {"version", R"({"version": "1.1"})", Verdict::kEqual, ""},
    {"normalizer", R"({"normalizer": {"type": "NFC"}})", Verdict::kRefused, "tokenizer_sha256"},
    {"pre_tokenizer", R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true,
                          "trim_offsets": true, "use_regex": true}})",
     Verdict::kRefused, "tokenizer_sha256"},
    {"post_processor", R"({"post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [701],
                                                       "tokens": ["<|im_start|>"]}}}})",
     Verdict::kRefused, "tokenizer_sha256"},
    {"model", R"({"model": {"merges": []}})", Verdict::kRefused, "tokenizer_sha256"},
    {"added_tokens", R"({"added_tokens": [{"id": 700, "content": "<|other|>", "single_word": false,
      "lstrip": false, "rstrip": false, "normalized": false, "special": true},
      {"id": 701, "content": "<|im_start|>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true},
      {"id": 702, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true}]})",
     Verdict::kRefused, "tokenizer_sha256"},
};

constexpr Row kTokenizerConfigRows[] = {
    {"tokenizer_class", R"({"tokenizer_class": "GPT2Tokenizer"})", Verdict::kEqual, ""},
    {"bos_token", R"({"bos_token": "<|im_end|>"})", Verdict::kNoted, "bos_token_id"},
    {"chat_template", R"({"chat_template": "{{ messages[0]['content'] }}!"})", Verdict::kNoted,
     "template_sha256"},
};

class FolderIdentity : public testing::Test {
 protected:
  void SetUp() override {
    const std::string tree = std::string(GYRATOR_SOURCE_DIR) + "/tests/golden/";
    for (const char* file : {"config.json", "model.safetensors"}) {
      std::filesystem::copy(tree + "models/qwen2_yarn/" + file, model_);
    }
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
      std::filesystem::copy(tree + "tokenizer/smollm2/" + file, model_);
    }
    WriteAllOf(model_ + "/generation_config.json", R"({"eos_token_id": [700, 702]})");
    auto engine = MakeEngine(Load(), {.context = 64});
    auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(9, 3), Steps(2)).ok());
    const auto saved = session->Save({.root = root_ + "/contexts", .name = {}});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    context_ = saved->folder;
    ASSERT_EQ(Verdict::kEqual, LoadOn(model_, ComputeType::kF32, context_).verdict);
  }

  std::shared_ptr<const Model> Load() const {
    auto model = Model::Load(model_, {.compute = ComputeType::kF32,
                                      .isa = "auto",
                                      .threads = 1,
                                      .digest_cache = {},
                                      .progress = {}});
    EXPECT_TRUE(model.ok()) << model.status().ToString();
    return *std::move(model);
  }

  // Tries each row on `file`, which is put back afterwards.
  void Try(const std::string& file, std::span<const Row> rows) {
    const std::string path = model_ + "/" + file;
    const std::string original = *ReadSmallFile(path, 1 << 24);
    for (const Row& row : rows) {
      Json json = *ParseJson(original);
      json.merge_patch(*ParseJson(row.patch));
      WriteAllOf(path, DumpJson(json));
      ExpectOutcome(row, LoadOn(model_, ComputeType::kF32, context_));
    }
    WriteAllOf(path, original);
  }

  const std::string root_ = FreshFolder();
  const std::string model_ = [this] {
    std::filesystem::create_directory(root_ + "/model");
    return root_ + "/model";
  }();
  std::string context_;
};

TEST_F(FolderIdentity, EachFieldOfConfigIsRefusedNotedOrEqual) {
  std::set<std::string> fields;
  for (const Row& row : kConfigRows) fields.insert(row.field);
  EXPECT_EQ(FieldsOfConfig(), fields);
  Try("config.json", kConfigRows);
}

TEST_F(FolderIdentity, EachFieldOfTheTokenizerIsRefusedNotedOrEqual) {
  Try("tokenizer.json", kTokenizerRows);
  Try("tokenizer_config.json", kTokenizerConfigRows);
  const Row ends[] = {
      {"eos_token_id", R"({"eos_token_id": [701]})", Verdict::kNoted, "end_of_generation"},
      {"temperature", R"({"temperature": 0.1})", Verdict::kEqual, ""},
  };
  Try("generation_config.json", ends);
}

TEST_F(FolderIdentity, AnotherEndOfTurnIsNoted) {
  // Two keys: the id that the template writes, and the ids that end a reply.
  WriteAllOf(model_ + "/tokenizer_config.json",
             R"({"bos_token": "<|im_start|>", "eos_token": "<|im_start|>",
                 "chat_template": "{{ messages[0]['content'] }}"})");
  auto engine = MakeEngine(Load(), {.context = 64});
  LoadReport report;
  ASSERT_TRUE(engine->LoadSession(context_, &report).ok());
  ASSERT_EQ(2u, report.notes.size());
  EXPECT_NE(std::string::npos, report.notes[0].find("eos_token_id"));
  EXPECT_NE(std::string::npos, report.notes[1].find("end_of_generation"));
}

TEST_F(FolderIdentity, ATemplateInItsOwnFileIsNoted) {
  WriteAllOf(model_ + "/chat_template.jinja", "{{ messages[0]['content'] }}?");
  const Row row = {"chat_template.jinja", "", Verdict::kNoted, "template_sha256"};
  ExpectOutcome(row, LoadOn(model_, ComputeType::kF32, context_));
}

TEST_F(FolderIdentity, AnotherFolderNameIsNotedAndOtherWeightsAreRefused) {
  std::filesystem::rename(model_, root_ + "/renamed");
  const Row renamed = {"name", "", Verdict::kNoted, "model:"};
  ExpectOutcome(renamed, LoadOn(root_ + "/renamed", ComputeType::kF32, context_));
  const Row compute = {"compute", "", Verdict::kRefused, "kv_dtype"};  // goes with it
  ExpectOutcome(compute, LoadOn(root_ + "/renamed", ComputeType::kBF16, context_));
  const std::string weights = root_ + "/renamed/model.safetensors";
  OverwriteInPlace(weights, std::filesystem::file_size(weights) - 10, "\x01");
  const Row row = {"weights", "", Verdict::kRefused, "weights_sha256"};
  ExpectOutcome(row, LoadOn(root_ + "/renamed", ComputeType::kF32, context_));
}

// ---- A GGUF file: every key of its metadata ----

const std::map<std::string, std::pair<Verdict, std::string>, std::less<>> kGgufRows = {
    {"general.architecture", {Verdict::kNotLoaded, "general.architecture"}},
    {"general.type", {Verdict::kEqual, ""}},
    {"general.name", {Verdict::kNoted, "model:"}},
    {"general.description", {Verdict::kEqual, ""}},
    {"general.license", {Verdict::kEqual, ""}},
    {"general.quantization_version", {Verdict::kEqual, ""}},
    {"general.file_type", {Verdict::kEqual, ""}},
    {"llama.block_count", {Verdict::kNotLoaded, "blk.4"}},
    {"llama.context_length", {Verdict::kEqual, ""}},
    {"llama.embedding_length", {Verdict::kNotLoaded, "shape"}},
    {"llama.feed_forward_length", {Verdict::kNotLoaded, "shape"}},
    {"llama.attention.head_count", {Verdict::kNotLoaded, "heads"}},
    {"llama.attention.head_count_kv", {Verdict::kNotLoaded, "heads"}},
    {"llama.rope.dimension_count", {Verdict::kNotLoaded, "rope.dimension_count"}},
    {"llama.vocab_size", {Verdict::kNotLoaded, "shape"}},
    {"llama.rope.freq_base", {Verdict::kRefused, "rope.theta"}},
    {"llama.attention.layer_norm_rms_epsilon", {Verdict::kRefused, "norm_eps"}},
    {"tokenizer.ggml.model", {Verdict::kNotLoaded, "tokenizer.ggml.model"}},
    {"tokenizer.ggml.pre", {Verdict::kNotLoaded, "tokenizer.ggml.pre"}},
    {"tokenizer.ggml.tokens", {Verdict::kRefused, "tokenizer_sha256"}},
    {"tokenizer.ggml.token_type", {Verdict::kRefused, "tokenizer_sha256"}},
    {"tokenizer.ggml.merges", {Verdict::kNotLoaded, "merge"}},
    {"tokenizer.ggml.eos_token_id", {Verdict::kNoted, "eos_token_id"}},
    {"tokenizer.ggml.add_bos_token", {Verdict::kEqual, ""}},  // there is none to add
    {"tokenizer.chat_template", {Verdict::kNoted, "template_sha256"}},
};

// Another value of its type: the next number or float, another last letter.
void Change(GgufType type, std::string* bytes, size_t at, size_t size) {
  char* value = bytes->data() + at;
  if (type == GgufType::kString) {
    char& last = value[size - 1];
    last = last == 'x' ? 'y' : 'x';
  } else if (type == GgufType::kBool) {
    *value ^= 1;
  } else {  // integers, and floats by their bits
    uint32_t word = 0;
    std::memcpy(&word, value, sizeof word);
    ++word;
    std::memcpy(value, &word, sizeof word);
  }
}

TEST(GgufIdentity, EachKeyOfTheMetadataIsRefusedNotedOrEqual) {
  const std::string root = FreshFolder(), path = root + "/model.gguf";
  const std::string original = ReadTree("models/gyrator-chat.gguf");
  WriteAllOf(path, original);
  std::string context;
  {
    auto engine = MakeEngine(LoadShipped(ComputeType::kInt8), {.context = 64});
    auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(9, 3), Steps(2)).ok());
    const auto saved = session->Save({.root = root + "/contexts", .name = {}});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    context = saved->folder;
  }
  const auto file = GgufFile::Parse(AsBytes(original), nullptr);
  ASSERT_TRUE(file.ok());
  size_t tried = 0;
  for (const std::string_view key : file->keys()) {
    const auto row = kGgufRows.find(key);
    ASSERT_NE(kGgufRows.end(), row) << key << " has no row";
    const GgufValue& value = *file->Find(key);
    const auto begin = static_cast<size_t>(value.bytes.data() - AsBytes(original).data());
    std::string changed = original;
    if (key == "tokenizer.chat_template") {
      changed.replace(changed.find("{% ", begin), 3, "{%-");
    } else if (key == "tokenizer.ggml.eos_token_id") {
      --changed[begin];  // the next one is beyond the vocabulary
    } else if (value.type == GgufType::kArray) {  // its last element
      const size_t end = begin + value.bytes.size();
      Change(value.element, &changed, end - 4, 4);
    } else {
      Change(value.type, &changed, begin, value.bytes.size());
    }
    WriteAllOf(path, changed);
    ExpectOutcome({row->first.c_str(), "", row->second.first, row->second.second.c_str()},
                  LoadOn(path, ComputeType::kInt8, context));
    ++tried;
  }
  EXPECT_EQ(kGgufRows.size(), tried);
}

}  // namespace
}  // namespace gyrator
