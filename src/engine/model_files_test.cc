// What a model's files may say that the model does not do: told when it is loaded, or refused with
// what to do.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/source_path_testing.h"
#include "engine/engine_testing.h"
#include "engine/weights_testing.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"

namespace gyrator {
namespace {

const std::string kGolden = SourcePath("tests/golden/");

// A golden folder whose parts a test may change before it is loaded.
class ChangedFolder : public testing::Test {
 protected:
  void Copy(const std::string& golden) {
    std::filesystem::remove_all(model_);
    std::filesystem::copy(kGolden + "models/" + golden, model_);
  }

  void Patch(const std::string& patch) {
    Json json = *ParseJson(*ReadSmallFile(model_ + "/config.json", 1 << 20));
    json.merge_patch(*ParseJson(patch));
    WriteAllOf(model_ + "/config.json", DumpJson(json));
  }

  // All tensors again, with lm_head.weight as `head` makes it of the embedding; empty: none.
  void WriteHead(const std::function<std::string(std::string)>& head) {
    const auto tensors = OpenSafetensorsFolder(model_);
    ASSERT_TRUE(tensors.ok());
    const TensorView embedding = *tensors->Get("model.embed_tokens.weight");
    const std::string bytes = head(std::string(AsText(embedding.bytes)));
    SafetensorsWriter writer;
    for (const auto& entry : tensors->entries()) {
      if (entry.name == "lm_head.weight") continue;
      writer.AddTensor(entry.name, entry.view.dtype, entry.view.shape, entry.view.bytes);
    }
    if (!bytes.empty()) {
      writer.AddTensor("lm_head.weight", embedding.dtype, embedding.shape, AsBytes(bytes));
    }
    ASSERT_TRUE(writer.WriteFile(root_ + "/new").ok());
    std::filesystem::rename(root_ + "/new", model_ + "/model.safetensors");
  }

  std::shared_ptr<const Model> Load(ComputeType compute = ComputeType::kF32) {
    auto model = Model::Load(
        model_,
        {.compute = compute, .isa = "auto", .threads = 1, .digest_cache = {}, .progress = {}});
    EXPECT_TRUE(model.ok()) << model.status().ToString();
    return *std::move(model);
  }

  static std::vector<float> LogitsOf(const std::shared_ptr<const Model>& model) {
    auto engine = MakeEngine(model, {.context = 64});
    auto session = MakeSession(*engine, 1);
    EXPECT_TRUE(session->Complete(Numbers(7, 3), Steps(0)).ok());
    const auto logits = session->last_logits();
    return {logits.begin(), logits.end()};
  }

  const std::string root_ = FreshFolder();
  const std::string model_ = root_ + "/model";
};

std::string Negated(std::string bytes) {  // of f32 and bf16: every second byte's sign bit and more
  for (size_t i = 3; i < bytes.size(); i += 4) bytes[i] = static_cast<char>(bytes[i] ^ 0x80);
  return bytes;
}

TEST_F(ChangedFolder, AnOwnHeadIsUsedBesideTheFlagThatDeniesIt) {
  for (const char* golden : {"llama2", "qwen2_yarn", "qwen3_yarn"}) {
    Copy(golden);
    const std::vector<float> untied = LogitsOf(Load());
    EXPECT_TRUE(Load()->info().notes.empty());
    Patch(R"({"tie_word_embeddings": true})");
    const auto model = Load();
    EXPECT_EQ(untied, LogitsOf(model)) << golden;
    ASSERT_EQ(1u, model->info().notes.size());
    EXPECT_NE(std::string::npos, model->info().notes[0].find("tie_word_embeddings"));
    EXPECT_NE(std::string::npos, model->info().notes[0].find("lm_head.weight"));
  }
}

TEST_F(ChangedFolder, AHeadThatEqualsTheEmbeddingIsTheTiedOne) {
  for (const char* golden : {"llama3", "smollm2", "qwen2"}) {  // tied in their configs
    for (const ComputeType compute : {ComputeType::kF32, ComputeType::kInt8}) {
      Copy(golden);
      const std::vector<float> tied = LogitsOf(Load(compute));
      WriteHead([](std::string embedding) { return embedding; });
      const auto same = Load(compute);
      EXPECT_TRUE(same->info().notes.empty());
      EXPECT_EQ(tied, LogitsOf(same)) << golden;
      WriteHead(Negated);
      const auto other = Load(compute);
      EXPECT_EQ(1u, other->info().notes.size());
      EXPECT_NE(tied, LogitsOf(other)) << golden;
      WriteHead([](std::string embedding) {
        char& low = embedding[embedding.size() - 4];  // of a mantissa
        low = static_cast<char>(low ^ 1);
        return embedding;
      });
      EXPECT_EQ(1u, Load(compute)->info().notes.size()) << "a bit of one of the last weights";
    }
  }
}

TEST_F(ChangedFolder, ATokenizerWithMoreIdsThanTheVocabularyIsTold) {
  Copy("qwen2");  // 256 ids
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
    std::filesystem::copy(kGolden + "tokenizer/smollm2/" + file, model_);  // 703 ids
  }
  const auto model = Load();
  ASSERT_EQ(1u, model->info().notes.size());
  EXPECT_NE(std::string::npos, model->info().notes[0].find("the tokenizer has 703 ids"));
  EXPECT_NE(std::string::npos, model->info().notes[0].find("256"));
  auto engine = MakeEngine(model, {.context = 64});
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Append({.role = "user", .content = "the other one", .extras = {}}).ok());
  const Status respond = session->Respond(Steps(2)).status();
  const Status complete = session->Complete(std::vector<TokenId>{3, 702}, Steps(2)).status();
  for (const Status& status : {respond, complete, session->Prepare(Steps(2)).status()}) {
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("in the tokenizer but not in the model"));
  }
  const Status beyond = session->Complete(std::vector<TokenId>{3, 703}, Steps(2)).status();
  EXPECT_EQ(std::string::npos, beyond.message().find("tokenizer")) << beyond.message();
  EXPECT_TRUE(session->Complete(Numbers(5, 3), Steps(2)).ok());  // the session goes on
}

TEST_F(ChangedFolder, PointersInThePlaceOfSmallFilesAreNamed) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json",
                           "chat_template.jinja", "generation_config.json", "model.safetensors"}) {
    Copy("qwen2");
    for (const char* other : {"tokenizer.json", "tokenizer_config.json"}) {
      std::filesystem::copy(kGolden + "tokenizer/smollm2/" + other, model_);
    }
    ASSERT_TRUE(Model::Load(model_, {}).ok());
    WriteAllOf(model_ + "/" + file, pointer);
    const Status status = Model::Load(model_, {}).status();
    EXPECT_EQ(Code::kCorruption, status.code()) << file << ": " << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find(std::string(file) + ": a Git LFS pointer"))
        << status.message();
  }
}

TEST_F(ChangedFolder, ANameWithControlsIsSavedAndReadBack) {
  Copy("qwen2");
  std::filesystem::rename(model_, root_ + "/two\nlines\x1b[31m");
  auto model = Model::Load(root_ + "/two\nlines\x1b[31m", {});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ("two lines [31m", (*model)->info().name);
  auto engine = MakeEngine(*model, {.context = 64});
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(Numbers(5, 3), Steps(2)).ok());
  const auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  LoadReport report;
  EXPECT_TRUE(engine->LoadSession(saved->folder, &report).ok());
  EXPECT_TRUE(report.notes.empty());
}

// ---- GGUF ----

class SmallGguf : public testing::Test {
 protected:
  // A model of one layer with what `more` adds; `type` of its matrices.
  Status LoadWith(const std::function<void(GgufWriter*)>& more, DType type = DType::kF32,
                  bool head = false) {
    GgufWriter writer;
    writer.Set<std::string_view>("general.architecture", "qwen2");
    for (const auto& [key, value] : std::map<std::string, uint32_t>{{"block_count", 1},
                                                                    {"embedding_length", 32},
                                                                    {"feed_forward_length", 32},
                                                                    {"context_length", 64},
                                                                    {"attention.head_count", 2}}) {
      writer.Set<uint32_t>("qwen2." + key, value);
    }
    writer.Set<float>("qwen2.attention.layer_norm_rms_epsilon", 1e-5f);
    more(&writer);
    const auto tensor = [&](const std::string& name, DType dtype, const Shape& shape) {
      writer.AddTensor(name, dtype, shape, AsBytes(zeros_).first(*TensorBytes(dtype, shape)));
    };
    tensor("token_embd.weight", type, {64, 32});
    if (head) tensor("output.weight", type, {64, 32});
    tensor("output_norm.weight", DType::kF32, {32});
    for (const char* norm : {"attn_norm", "ffn_norm"})
      tensor(std::string("blk.0.") + norm + ".weight", DType::kF32, {32});
    for (const char* name :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      tensor(std::string("blk.0.") + name + ".weight", type, {32, 32});
    }
    for (const char* name : {"attn_q", "attn_k", "attn_v"})
      tensor(std::string("blk.0.") + name + ".bias", DType::kF32, {32});
    const Status written = writer.WriteFile(path_);
    EXPECT_TRUE(written.ok()) << written.ToString();
    return Model::Load(path_, {}).status();
  }

  const std::string root_ = FreshFolder();
  const std::string path_ = root_ + "/part.gguf";
  const std::string zeros_ = std::string(64 * 32 * 8, '\0');
};

// What split files are refused for: src/formats/gguf_parts_test.cc.
TEST_F(SmallGguf, APartOfASplitFileIsNamedAsOne) {
  ASSERT_TRUE(LoadWith([](GgufWriter*) {}).ok()) << LoadWith([](GgufWriter*) {}).ToString();
  const Status status = LoadWith([&](GgufWriter* writer) {
    writer->Set<uint16_t>("split.no", 0);
    writer->Set<uint16_t>("split.count", 2);
    writer->Set<int32_t>("split.tensors.count", 99);
  });
  EXPECT_EQ(Code::kInvalidArgument, status.code()) << status.ToString();
  EXPECT_NE(std::string::npos, status.message().find("ends in -00001-of-00002.gguf"));
  // One part is the whole.
  const Status whole =
      LoadWith([](GgufWriter* writer) { writer->Set<uint16_t>("split.count", 1); });
  EXPECT_TRUE(whole.ok()) << whole.ToString();
  const Status damaged =
      LoadWith([](GgufWriter* writer) { writer->Set<std::string_view>("split.count", "two"); });
  EXPECT_EQ(Code::kCorruption, damaged.code()) << damaged.ToString();
}

// A part without the keys of a model is a part before it is anything else, for both sides.
TEST_F(SmallGguf, TheSecondPartIsNotSaidToBeDamaged) {
  GgufWriter writer;
  writer.Set<uint16_t>("split.no", 1);
  writer.Set<uint16_t>("split.count", 3);
  writer.AddTensor("blk.7.attn_q.weight", DType::kF32, {32, 32}, AsBytes(zeros_).first(4096));
  const std::string path = root_ + "/m-00002-of-00003.gguf";
  ASSERT_TRUE(writer.WriteFile(path).ok());
  for (const Status& status : {Model::Load(path, {}).status(), TextModel::Load(path).status()}) {
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("part 2 of a GGUF file"));
    EXPECT_NE(std::string::npos, status.message().find(root_ + "/m-00001-of-00003.gguf"));
  }
}

// A file in parts is the model of the whole file: its digest, its size, its contexts.
TEST_F(SmallGguf, ASplitFileIsTheWholeOne) {
  const std::string golden = kGolden + "weights/", cache = root_ + "/digests";
  for (const char* part :
       {"parts-00001-of-00003.gguf", "parts-00002-of-00003.gguf", "parts-00003-of-00003.gguf"}) {
    std::filesystem::copy(golden + part, root_);
  }
  const std::string first = root_ + "/parts-00001-of-00003.gguf";
  const auto whole = Model::Load(golden + "whole.gguf", {});
  const auto parts = Model::Load(first, {.compute = {}, .digest_cache = cache});
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  ASSERT_TRUE(parts.ok()) << parts.status().ToString();
  EXPECT_EQ((*whole)->info().parameters, (*parts)->info().parameters);
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(root_)) {
    bytes += static_cast<int64_t>(file.file_size());
  }
  EXPECT_EQ(bytes, (*parts)->info().file_bytes);
  EXPECT_EQ(*(*whole)->WeightsDigest(false), *(*parts)->WeightsDigest(false));
  // The cache knows the files by the stamps of all of them.
  EXPECT_TRUE((*Model::Load(first, {.compute = {}, .digest_cache = cache}))->KnownWeightsDigest());
  std::filesystem::last_write_time(root_ + "/parts-00003-of-00003.gguf",
                                   std::filesystem::file_time_type::clock::now());
  EXPECT_FALSE((*Model::Load(first, {.compute = {}, .digest_cache = cache}))->KnownWeightsDigest());

  auto engine = MakeEngine(*whole, {.context = 64});
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(std::vector<TokenId>{3, 1}, Steps(2)).ok());
  const auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  auto other = MakeEngine(*parts, {.context = 64});
  LoadReport report;
  EXPECT_TRUE(other->LoadSession(saved->folder, &report).ok());
  EXPECT_TRUE(report.notes.empty());
}

// Blocks that were quantized again are numerics of their own: a context of "int8.v1" is not theirs.
TEST(BlockNumerics, AreRecordedWhereWeightsWereQuantizedAgain) {
  const struct {
    const char* path;
    std::optional<ComputeType> compute;
    const char* numerics;
  } cases[] = {{"weights/mixed.gguf", {}, "int8.q8.v1"},
               {"weights/mixed.gguf", ComputeType::kF32, "f32.v1"},
               {"weights/whole.gguf", {}, "int8.v1"},
               {"models/qwen2.q8_0.gguf", {}, "int8.v1"},
               {"models/qwen2.f32.gguf", ComputeType::kInt8, "int8.v1"},
               {"models/qwen2_yarn.bf16.gguf", ComputeType::kInt8, "int8.v1"}};
  for (const auto& test : cases) {
    const auto model = Model::Load(kGolden + test.path, {.compute = test.compute});
    ASSERT_TRUE(model.ok()) << model.status().ToString();
    EXPECT_EQ(test.numerics, (*model)->info().numerics) << test.path;
  }
}

TEST_F(SmallGguf, AnElementTypeThatIsNotReadSaysWhichAreAndWhatToDo) {
  for (const DType type : {DType::kI32, DType::kF64, DType::kI8}) {
    const Status status = LoadWith([](GgufWriter*) {}, type);
    EXPECT_EQ(Code::kUnsupported, status.code()) << status.ToString();
    for (const char* text :
         {"token_embd.weight", "expected one of f32, f16, bf16, q8_0, q4_0", "llama-quantize"}) {
      EXPECT_NE(std::string::npos, status.message().find(text)) << status.message();
    }
  }
  // A type of ggml that has no DType: 9 is q8_1.
  ASSERT_TRUE(LoadWith([](GgufWriter*) {}).ok());
  std::string bytes = *ReadSmallFile(path_, 1 << 24);
  const size_t at = bytes.find("blk.0.attn_q.weight") + 19 + 4 + 2 * 8;
  bytes[at] = 9;
  WriteAllOf(path_, bytes);
  const Status status = Model::Load(path_, {}).status();
  EXPECT_EQ(Code::kUnsupported, status.code()) << status.ToString();
  for (const char* text : {"q8_1", "q6_K, iq4_nl, iq4_xs, mxfp4", "llama-quantize"}) {
    EXPECT_NE(std::string::npos, status.message().find(text)) << status.message();
  }
}

TEST_F(SmallGguf, NamesAreOneLineWhateverTheFileSays) {
  for (const std::string name : {"two\nlines", "\x1b[31mred", "bad \xff bytes", "\r\n"}) {
    ASSERT_TRUE(LoadWith([&](GgufWriter* writer) {
                  writer->Set<std::string_view>("general.name", name);
                }).ok());
    auto model = Model::Load(path_, {});
    ASSERT_TRUE(model.ok());
    auto engine = MakeEngine(*model, {.context = 64});
    auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(std::vector<TokenId>{3, 1}, Steps(2)).ok());
    const auto saved = session->Save({.root = root_, .name = {}});
    ASSERT_TRUE(saved.ok()) << name << saved.status().ToString();
    EXPECT_TRUE(engine->LoadSession(saved->folder, nullptr).ok());
  }
}

// GGUF has no flag: a head of its own is there or not.
TEST_F(SmallGguf, AHeadOfItsOwnIsUsed) {
  ASSERT_TRUE(LoadWith([](GgufWriter*) {}, DType::kF32, true).ok());
  auto model = Model::Load(path_, {});
  ASSERT_TRUE(model.ok());
  auto engine = MakeEngine(*model, {.context = 64});
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(std::vector<TokenId>{3, 1}, Steps(0)).ok());
  const auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok());
  const std::string config = *ReadSmallFile(saved->folder + "/metadata/config.txt", 1 << 20);
  EXPECT_NE(std::string::npos, config.find("tied_head: false\n")) << config;
}

}  // namespace
}  // namespace gyrator
