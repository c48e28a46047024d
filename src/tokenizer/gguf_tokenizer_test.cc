// Names, templates and the cutting of text of GGUF files.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/gguf_pre.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {
namespace {

using Ids = std::vector<TokenId>;

// A file with the tokens of `texts` and without weights; `fill` adds to it.
std::string FileWith(const std::vector<std::string>& texts, const std::vector<std::string>& merges,
                     const std::function<void(GgufWriter*)>& fill) {
  GgufWriter writer;
  writer.Set<std::string_view>("general.architecture", "llama");
  writer.Set<std::string_view>("tokenizer.ggml.model", "gpt2");
  writer.SetArray<std::string>("tokenizer.ggml.tokens", texts);
  writer.SetArray<std::string>("tokenizer.ggml.merges", merges);
  fill(&writer);
  std::string bytes;
  const Status written = writer.Write([&](ByteSpan part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    return Status();
  });
  EXPECT_TRUE(written.ok()) << written.ToString();
  return bytes;
}

const std::vector<std::string> kTokens = {"!", "\u0120", "\u0120!", "a", "1", "11", "<s>", "<p>"};
const std::vector<std::string> kMerges = {"\u0120 !", "1 1"};

Result<std::unique_ptr<Tokenizer>> Open(const std::string& bytes, std::string_view pre = {}) {
  GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Parse(AsBytes(bytes), nullptr));
  return Tokenizer::FromGguf(file, pre);
}

TEST(GgufPre, AnUnknownVocabularyIsRefusedUntilTheCallerSays) {
  const std::string bytes = FileWith(kTokens, kMerges, [](GgufWriter*) {});
  const Status status = Open(bytes).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_EQ(status.name(), "unknown_pre");
  for (const char* part : {"tokenizer.ggml.pre", "--tokenizer-pre", "llama-bpe", "gpt-neox"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.ToString();
  }
  const struct {
    const char* pre;
    Ids ids;  // of "a ! 11"
  } kList[] = {{"gpt-2", {3, 2, 1, 5}},
               {"qwen2", {3, 2, 1, 4, 4}},
               {"llama-bpe", {3, 2, 1, 5}},
               {"smollm", {3, 2, 1, 4, 4}},
               {"default", {3, 1, 0, 1, 5}}};
  for (const auto& item : kList) {
    const auto tokenizer = Open(bytes, item.pre);
    ASSERT_TRUE(tokenizer.ok()) << item.pre << ": " << tokenizer.status().ToString();
    EXPECT_EQ((*tokenizer)->Encode("a ! 11", {}), item.ids) << item.pre;
  }
  const Status wrong = Open(bytes, "llama9").status();
  EXPECT_EQ(wrong.code(), Code::kInvalidArgument);
  EXPECT_NE(wrong.message().find("llama9"), std::string::npos) << wrong.ToString();
}

TEST(GgufPre, TheCallersWordGoesBeforeTheFiles) {
  for (const char* named : {"qwen2", "nobody-knows", "default"}) {
    const std::string bytes = FileWith(kTokens, kMerges, [&](GgufWriter* writer) {
      writer->Set<std::string_view>("tokenizer.ggml.pre", named);
    });
    const auto tokenizer = Open(bytes, "gpt-2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    EXPECT_EQ((*tokenizer)->Encode("a ! 11", {}), Ids({3, 2, 1, 5})) << named;
  }
  const std::string unknown = FileWith(kTokens, kMerges, [](GgufWriter* writer) {
    writer->Set<std::string_view>("tokenizer.ggml.pre", "nobody-knows");
  });
  const Status status = Open(unknown).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_NE(status.message().find("--tokenizer-pre"), std::string::npos) << status.ToString();
}

TEST(GgufPre, SentencePieceTakesNone) {
  GgufWriter writer;
  writer.Set<std::string_view>("tokenizer.ggml.model", "llama");
  writer.SetArray<std::string>("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "a"});
  writer.SetArray<float>("tokenizer.ggml.scores", std::vector<float>{0, 0});
  std::string bytes;
  ASSERT_TRUE(writer
                  .Write([&](ByteSpan part) {
                    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
                    return Status();
                  })
                  .ok());
  EXPECT_TRUE(Open(bytes).ok());
  EXPECT_EQ(Open(bytes, "gpt-2").status().code(), Code::kInvalidArgument);
}

TEST(GgufPre, EveryNameIsFoundAndListed) {
  for (const char* name : {"llama-bpe", "qwen2", "smollm", "starcoder", "refact", "gpt-2", "tekken",
                           "gpt-neox", "default"}) {
    ASSERT_NE(FindPreType(name), nullptr) << name;
    EXPECT_EQ(FindPreType(name)->name, name);
    EXPECT_NE(PreTypeNames().find(name), std::string::npos) << name;
  }
  EXPECT_EQ(FindPreType(""), nullptr);
}

// Real vocabularies are too large to be kept here; their digests were taken from the files.
TEST(GgufPre, KnownVocabulariesAreKnownByTheirMerges) {
  const std::string_view merges[] = {"\u0120 t", "h e"};
  EXPECT_EQ(MergesDigest(merges),
            "029e26fe96f99ddbab6fb42269e0588e0a6144ae7d5e9fcd112a2f3dfe9970e9");
  const struct {
    const char *digest, *pre;
  } kList[] = {
      {"b8976ea9a5406f0e1718048f3b18f52555cb9872b317ad83d2d17fa992c17274", "llama-bpe"},
      {"599bab54075088774b1733fde865d5bd747cbcc7a547c5bc12610e874e26f5e3", "qwen2"},
      {"d9826c39f608134a92ee45d09a9058cc82c4d977761b8d9aa332ecf9681c956a", "smollm"},
      {"ac33235097fe06d4a8fff0feac994644809e6eb6ab70669e1e9fd40ae032428e", "gpt-2"},
      {"097336e89d75d2fea8881b17d0263797e411724b824c7fde225c69672c138c22", "gpt-neox"},
      {"44ed5dbdf42b067094aee83f9601a9f8b67f292cfe2f9ca425a8cee7d23bf3e4", "starcoder"},
      {"3d38bcb96998e147d6c4e870763b7da8d69333804b9964d7504d8c858c3a7aaa", "refact"},
  };
  for (const auto& known : kList) {
    ASSERT_NE(PreTypeOfMerges(known.digest), nullptr) << known.pre;
    EXPECT_EQ(PreTypeOfMerges(known.digest)->name, known.pre);
  }
  EXPECT_EQ(PreTypeOfMerges(MergesDigest(merges)), nullptr);
  EXPECT_EQ(PreTypeOfMerges(MergesDigest({})), nullptr);
}

TEST(GgufNames, SpecialTokensAreNamed) {
  const std::string bytes = FileWith(kTokens, kMerges, [](GgufWriter* writer) {
    writer->Set<std::string_view>("tokenizer.ggml.pre", "gpt-2");
    writer->Set<uint32_t>("tokenizer.ggml.bos_token_id", 6);
    writer->Set<uint32_t>("tokenizer.ggml.padding_token_id", 7);
    writer->Set<uint32_t>("tokenizer.ggml.unknown_token_id", 0);
    writer->Set<uint32_t>("tokenizer.ggml.seperator_token_id", 3);
    writer->Set<uint32_t>("tokenizer.ggml.cls_token_id", 4);
    writer->Set<uint32_t>("tokenizer.ggml.mask_token_id", 99);  // beyond the vocabulary
  });
  const auto tokenizer = Open(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const auto named = (*tokenizer)->named_tokens();
  const std::vector<NamedToken> expected = {{"bos_token", "<s>"},
                                            {"unk_token", "!"},
                                            {"sep_token", "a"},
                                            {"pad_token", "<p>"},
                                            {"cls_token", "1"}};
  EXPECT_EQ(std::vector<NamedToken>(named.begin(), named.end()), expected);
}

TEST(GgufNames, TemplatesHaveNames) {
  const std::string bytes = FileWith(kTokens, kMerges, [](GgufWriter* writer) {
    writer->Set<std::string_view>("tokenizer.ggml.pre", "gpt-2");
    writer->SetArray<std::string>("tokenizer.chat_templates",
                                  std::vector<std::string>{"tool_use", "rag"});
    writer->Set<std::string_view>("tokenizer.chat_template.tool_use", "t");
    writer->Set<std::string_view>("tokenizer.chat_template.rag", "r");
    writer->Set<std::string_view>("tokenizer.chat_template", "d");
  });
  const auto tokenizer = Open(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->chat_template(), "d");
  const auto others = (*tokenizer)->other_templates();
  ASSERT_EQ(others.size(), 2u);
  EXPECT_EQ(others[0], (NamedTemplate{"rag", "r"}));
  EXPECT_EQ(others[1], (NamedTemplate{"tool_use", "t"}));
  const std::string broken = FileWith(kTokens, kMerges, [](GgufWriter* writer) {
    writer->Set<std::string_view>("tokenizer.ggml.pre", "gpt-2");
    writer->Set<uint32_t>("tokenizer.chat_template.rag", 5);
  });
  EXPECT_EQ(Open(broken).status().code(), Code::kCorruption);
}

}  // namespace
}  // namespace gyrator
