// What the files beside tokenizer.json add: tokens, names and templates, as transformers 5.24 reads
// them (each expectation was seen there).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/failing_calls_testing.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {
namespace {

using Ids = std::vector<TokenId>;
using Named = std::map<std::string, std::string>;

class Folder : public testing::Test {
 protected:
  Folder()
      : path_(testing::TempDir() + "/folder_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
    Write("tokenizer.json", DumpJson(Plain()));
  }
  ~Folder() override { std::filesystem::remove_all(path_); }

  // Letters a, b, x and a space, and the special token <s>, whose id is 4.
  static Json Plain() {
    const Json added = {{"id", 4},         {"content", "<s>"}, {"single_word", false},
                        {"lstrip", false}, {"rstrip", false},  {"normalized", false},
                        {"special", true}};
    return {{"added_tokens", Json::array({added})},
            {"normalizer", nullptr},
            {"pre_tokenizer", nullptr},
            {"post_processor", nullptr},
            {"decoder", nullptr},
            {"model",
             {{"type", "BPE"},
              {"vocab", {{"a", 0}, {"b", 1}, {"x", 2}, {" ", 3}}},
              {"merges", Json::array()}}}};
  }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path(path_ + "/" + name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void Remove(const std::string& name) { std::filesystem::remove_all(path_ + "/" + name); }

  Result<std::unique_ptr<Tokenizer>> Open() { return Tokenizer::FromHuggingFace(path_); }
  std::unique_ptr<Tokenizer> Opened() {
    auto tokenizer = Open();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
  }
  Named Names() {
    Named names;
    const auto tokenizer = Opened();
    if (tokenizer == nullptr) return names;
    for (const NamedToken& token : tokenizer->named_tokens()) names[token.name] = token.text;
    return names;
  }
  // The ids of `text`, and whether the last of them is special.
  std::pair<Ids, bool> Encoded(const std::string& text) {
    const auto tokenizer = Opened();
    if (tokenizer == nullptr) return {};
    Ids ids = tokenizer->Encode(text, {});
    const bool special = !ids.empty() && tokenizer->IsSpecial(ids.back());
    return {std::move(ids), special};
  }

  std::string path_;
};

TEST_F(Folder, AddedTokensDecoderAddsTokens) {
  Write("tokenizer_config.json", R"({"added_tokens_decoder":{"5":{"content":"<n>","special":true},)"
                                 R"("6":{"content":"xx","lstrip":true}}})");
  EXPECT_EQ(Encoded("a<n>"), std::pair(Ids({0, 5}), true));
  EXPECT_EQ(Encoded("a xx"), std::pair(Ids({0, 6}), false));
  EXPECT_EQ(Opened()->vocab_size(), 7);
  const std::string digest = Opened()->digest();
  Remove("tokenizer_config.json");
  EXPECT_NE(Opened()->digest(), digest);
}

TEST_F(Folder, AddedTokensDecoderChangesFlags) {
  Write("tokenizer_config.json",
        R"({"added_tokens_decoder":{"4":{"content":"<s>","special":true,"lstrip":true}}})");
  EXPECT_EQ(Encoded("a <s>").first, Ids({0, 4}));
  // What was special once is still skipped.
  Write("tokenizer_config.json", R"({"added_tokens_decoder":{"4":{"content":"<s>"}}})");
  EXPECT_EQ(Encoded("a <s>"), std::pair(Ids({0, 3, 4}), true));
  // A token of the vocabulary keeps its id.
  Write("tokenizer_config.json",
        R"({"added_tokens_decoder":{"2":{"content":"x","special":true,"rstrip":true}}})");
  EXPECT_EQ(Encoded("ax "), std::pair(Ids({0, 2}), true));
}

TEST_F(Folder, AddedTokensJsonCountsWithoutADecoder) {
  Write("added_tokens.json", R"({"<m>":6,"<n>":5})");
  Write("tokenizer_config.json", R"({"eos_token":"<m>"})");
  EXPECT_EQ(Encoded("<n>"), std::pair(Ids({5}), false));
  EXPECT_EQ(Encoded("<m>"), std::pair(Ids({6}), true));
  EXPECT_EQ(Opened()->eos(), 6);
  Write("tokenizer_config.json", R"({"added_tokens_decoder":{}})");
  EXPECT_EQ(Encoded("a<n>").first, Ids({0}));
}

TEST_F(Folder, NamesAddTheTokensThatAreMissing) {
  Write("tokenizer_config.json", R"({"eos_token":"<e>","pad_token":"x","bos_token":""})");
  EXPECT_EQ(Encoded("a<e>"), std::pair(Ids({0, 5}), true));
  EXPECT_EQ(Encoded("ax"), std::pair(Ids({0, 2}), true));
  EXPECT_EQ(Opened()->eos(), 5);
  EXPECT_EQ(Opened()->bos(), std::nullopt);
  EXPECT_EQ(Names(), (Named{{"bos_token", ""}, {"eos_token", "<e>"}, {"pad_token", "x"}}));
  Write("tokenizer_config.json",
        R"({"additional_special_tokens":["<p>",{"content":"<q>","lstrip":true}]})");
  EXPECT_EQ(Encoded("<p> <q>"), std::pair(Ids({5, 6}), true));
}

TEST_F(Folder, EveryNameIsAVariable) {
  Write("tokenizer_config.json",
        R"({"bos_token":"<s>","unk_token":"a","sep_token":"b","cls_token":"x","mask_token":" ",)"
        R"("image_token":"<i>","add_bos_token":true,"count_token":5,)"
        R"("boi_token":{"__type":"AddedToken","content":"<b>"},"eoi_token":{"content":"<x>"}})");
  const Named kNames = {{"bos_token", "<s>"}, {"unk_token", "a"},  {"sep_token", "b"},
                        {"cls_token", "x"},   {"mask_token", " "}, {"image_token", "<i>"},
                        {"boi_token", "<b>"}};
  EXPECT_EQ(Names(), kNames);
  Write("tokenizer_config.json", R"({"extra_special_tokens":{"image_token":"<i>","video":"<v>"}})");
  EXPECT_EQ(Names(), (Named{{"image_token", "<i>"}, {"video", "<v>"}}));
  Write("tokenizer_config.json", R"({"model_specific_special_tokens":{"image_token":"<i>"}})");
  EXPECT_EQ(Names(), (Named{{"image_token", "<i>"}}));
  Write("tokenizer_config.json",
        R"({"model_specific_special_tokens":{"image_token":"<i>"},"boi_token":"<b>"})");
  EXPECT_EQ(Names(), (Named{{"boi_token", "<b>"}}));
}

TEST_F(Folder, ThePaddingOfTokenizerJsonNamesAToken) {
  Json with = Plain();
  with["padding"] = {{"pad_token", "x"}, {"pad_id", 2}};
  Write("tokenizer.json", DumpJson(with));
  EXPECT_EQ(Names(), (Named{{"pad_token", "x"}}));
  Write("tokenizer_config.json", R"({"pad_token":null})");
  EXPECT_EQ(Names(), Named{});
  Write("tokenizer_config.json", R"({"pad_token":"b","eos_token":"<s>"})");
  EXPECT_EQ(Names(), (Named{{"pad_token", "b"}, {"eos_token", "<s>"}}));
}

TEST_F(Folder, TheMapGoesFirstWithoutADecoder) {
  Write("special_tokens_map.json",
        R"({"bos_token":"a","eos_token":{"content":"b"},"pad_token":null,)"
        R"("boi_token":{"content":"<b>"}})");
  Write("tokenizer_config.json", R"({"bos_token":null,"eos_token":"<s>","pad_token":"x"})");
  EXPECT_EQ(Names(), (Named{{"bos_token", "a"}, {"eos_token", "b"}, {"boi_token", "<b>"}}));
  EXPECT_EQ(Opened()->eos(), 1);
  Write("tokenizer_config.json",
        R"({"bos_token":null,"eos_token":"<s>","pad_token":"x","added_tokens_decoder":{}})");
  EXPECT_EQ(Names(), (Named{{"eos_token", "<s>"}, {"pad_token", "x"}}));
  EXPECT_EQ(Opened()->bos(), std::nullopt);
  Write("special_tokens_map.json", R"({"mask_token":"a"})");
  Write("tokenizer_config.json", R"({"eos_token":"<s>","added_tokens_decoder":{}})");
  EXPECT_EQ(Names(), (Named{{"eos_token", "<s>"}})) << "the map is not read then";
}

TEST_F(Folder, BrokenTokensAreRefusedByName) {
  const struct {
    const char *file, *text, *named;
  } kList[] = {
      {"tokenizer_config.json", R"({"eos_token":5})", "eos_token"},
      {"tokenizer_config.json", R"({"eos_token":{"text":"a"}})", "eos_token"},
      {"tokenizer_config.json", R"({"eos_token":{"content":"a","lstrip":1}})", "lstrip"},
      {"tokenizer_config.json", R"({"added_tokens_decoder":[1]})", "added_tokens_decoder"},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"a"}}})", "\"x\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"-1":{"content":"a"}}})", "\"-1\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"5":{"special":true}}})", "content"},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"5":7}})", "content"},
      // The vocabulary gives them other ids.
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"9":{"content":"<n>"}}})", "\"<n>\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"5":{"content":"a"}}})", "\"a\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder":{"4":{"content":"<n>"}}})", "\"<n>\""},
      {"tokenizer_config.json", R"({"additional_special_tokens":"a"})",
       "additional_special_tokens"},
      {"tokenizer_config.json", R"({"additional_special_tokens":[5]})",
       "additional_special_tokens"},
      {"tokenizer_config.json", R"({"chat_template":{"default":5}})", "default"},
      {"added_tokens.json", R"({"<n>":"5"})", "<n>"},
      {"added_tokens.json", R"({"<n>":7})", "\"<n>\""},
      {"added_tokens.json", R"([5])", "added_tokens.json"},
  };
  for (const auto& broken : kList) {
    Write(broken.file, broken.text);
    const Status status = Open().status();
    EXPECT_EQ(status.code(), Code::kCorruption) << broken.text << ": " << status.ToString();
    EXPECT_NE(status.message().find(broken.named), std::string::npos) << status.ToString();
    Remove(broken.file);
  }
  EXPECT_TRUE(Open().ok());
}

TEST_F(Folder, TemplatesHaveNames) {
  Write("tokenizer_config.json", R"({"chat_template":[{"name":"tool_use","template":"t"},)"
                                 R"({"name":"default","template":"d"},)"
                                 R"({"name":"rag","template":"r"}]})");
  auto tokenizer = Opened();
  EXPECT_EQ(tokenizer->chat_template(), "d");
  ASSERT_EQ(tokenizer->other_templates().size(), 2u);
  EXPECT_EQ(tokenizer->other_templates()[0], (NamedTemplate{"rag", "r"}));
  EXPECT_EQ(tokenizer->other_templates()[1], (NamedTemplate{"tool_use", "t"}));
  Write("tokenizer_config.json", R"({"chat_template":{"rag":"r","default":"d"}})");
  EXPECT_EQ(Opened()->chat_template(), "d");
  EXPECT_EQ(Opened()->other_templates().size(), 1u);
}

TEST_F(Folder, TemplateFilesGoFirst) {
  Write("tokenizer_config.json", R"({"chat_template":[{"name":"rag","template":"r"},)"
                                 R"({"name":"default","template":"d"}]})");
  Write("additional_chat_templates/tool_use.jinja", "t");
  Write("additional_chat_templates/notes.txt", "n");
  auto tokenizer = Opened();
  EXPECT_EQ(tokenizer->chat_template(), "");
  ASSERT_EQ(tokenizer->other_templates().size(), 1u);
  EXPECT_EQ(tokenizer->other_templates()[0], (NamedTemplate{"tool_use", "t"}));
  Write("chat_template.jinja", "file");
  EXPECT_EQ(Opened()->chat_template(), "file");
  EXPECT_EQ(Opened()->other_templates().size(), 1u);
  Remove("additional_chat_templates");
  EXPECT_EQ(Opened()->chat_template(), "file");
  EXPECT_EQ(Opened()->other_templates().size(), 0u);
}

// Without them the main template would render what they are for.
TEST_F(Folder, TemplatesThatCannotBeLookedForAreAnError) {
  Write("chat_template.jinja", "file");
  Write("additional_chat_templates/tool_use.jinja", "t");
  EXPECT_EQ(0, WithoutDirectories([&] {
              return Tokenizer::FromHuggingFace(path_).status().code() == Code::kIo ? 0 : 1;
            }));
  Remove("additional_chat_templates");
  Write("additional_chat_templates", "no folder");
  EXPECT_EQ(Opened()->chat_template(), "file");
}

TEST_F(Folder, WithoutTokenizerJsonWhatIsThereIsNamed) {
  Remove("tokenizer.json");
  EXPECT_EQ(Open().status().code(), Code::kNotFound);
  Write("vocab.json", "{}");
  EXPECT_EQ(Open().status().code(), Code::kNotFound);
  Write("merges.txt", "");
  for (const std::string found : {"vocab.json and merges.txt", "tekken.json", "tokenizer.model"}) {
    if (found.find(' ') == std::string::npos) Write(found, "x");
    const Status status = Open().status();
    EXPECT_EQ(status.code(), Code::kUnsupported);
    EXPECT_EQ(status.name(), "foreign_tokenizer");
    for (const std::string& part : {"found " + found, std::string("save_pretrained"), path_}) {
      EXPECT_NE(status.message().find(part), std::string::npos) << status.ToString();
    }
    Remove("vocab.json");
    if (found.find(' ') == std::string::npos) Remove(found);
  }
}

TEST_F(Folder, ModelsWithoutATypeAreNamedByTheirFields) {
  const struct {
    const char *model, *named;
  } kList[] = {
      {R"({"unk_id":0,"vocab":[["<unk>",0.0],["a",-1.5]]})", "Unigram"},
      {R"({"vocab":[["a",-1]]})", "Unigram"},
      {R"({"unk_token":"a","continuing_subword_prefix":"##","max_input_chars_per_word":100,)"
       R"("vocab":{"a":0}})",
       "WordPiece"},
      {R"({"vocab":{"a":0},"unk_token":"a"})", "WordLevel"},
  };
  for (const auto& item : kList) {
    Json json = Plain();
    json["model"] = *ParseJson(item.model);
    Write("tokenizer.json", DumpJson(json));
    const Status status = Open().status();
    EXPECT_EQ(status.code(), Code::kUnsupported) << status.ToString();
    EXPECT_NE(status.message().find(item.named), std::string::npos) << status.ToString();
    EXPECT_NE(status.message().find("names no type"), std::string::npos) << status.ToString();
  }
}

}  // namespace
}  // namespace gyrator
