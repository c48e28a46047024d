#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/source_path_testing.h"
#include "base/utf8.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/stream_decoder.h"

namespace gyrator {
namespace {

const std::string kGolden = SourcePath("tests/golden/tokenizer/");

std::unique_ptr<Tokenizer> Load(const std::string& family) {
  auto tokenizer = Tokenizer::FromHuggingFace(kGolden + family);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// A small tokenizer.json: byte fallback, a few letters, one merge, one special token.
Json Small() {
  Json vocab = {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"<0xC3>", 4}, {"<0xA9>", 5}};
  Json added = {{"id", 6},         {"content", "<s>"},    {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  return {{"added_tokens", Json::array({added})},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteFallback"}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", Json::array({"a b"})}}}};
}

Code CodeOf(const Json& json, std::string* message) {
  auto tokenizer = ParseHfTokenizer(DumpJson(json));
  *message = tokenizer.ok() ? "" : tokenizer.status().message();
  return tokenizer.ok() ? Code::kOk : tokenizer.status().code();
}

TEST(ParseHfTokenizer, SmallOneWorks) {
  auto tokenizer = ParseHfTokenizer(DumpJson(Small()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->Encode("ab\u00e9<s>b?", {}), (std::vector<TokenId>{3, 4, 5, 6, 2, 0}));
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{3, 4, 5, 6, 99, -1}, true), "ab\u00e9");
  EXPECT_EQ((*tokenizer)->TokenBytes(4), "\xC3");
  EXPECT_EQ((*tokenizer)->vocab_size(), 7);
}

struct Broken {
  const char* what;
  Code code;
  const char* named;  // the message names it
  std::function<void(Json*)> breaks;
};

constexpr Code kCorrupt = Code::kCorruption, kUnknown = Code::kUnsupported;

std::vector<Broken> BrokenModels() {
  return {

      {"no model", kCorrupt, "model", [](Json* j) { j->erase("model"); }},
      {"model is a list", kCorrupt, "model", [](Json* j) { (*j)["model"] = Json::array(); }},
      {"another model", kUnknown, "Unigram", [](Json* j) { (*j)["model"]["type"] = "Unigram"; }},
      {"no vocab", kCorrupt, "vocab", [](Json* j) { (*j)["model"].erase("vocab"); }},
      {"vocab is a list", kCorrupt, "vocab", [](Json* j) { (*j)["model"]["vocab"] = {1}; }},
      {"an id is text", kCorrupt, "\"a\"", [](Json* j) { (*j)["model"]["vocab"]["a"] = "1"; }},
      {"an id is negative", kCorrupt, "\"a\"", [](Json* j) { (*j)["model"]["vocab"]["a"] = -1; }},
      {"an id is a fraction", kCorrupt, "\"a\"",
       [](Json* j) { (*j)["model"]["vocab"]["a"] = 1.5; }},
      {"an id is beyond memory", kCorrupt, "2000000000",
       [](Json* j) { (*j)["model"]["vocab"]["a"] = 2000000000; }},
      {"an id does not fit", kCorrupt, "\"a\"",
       [](Json* j) { (*j)["model"]["vocab"]["a"] = 5000000000; }},
      {"an id is given twice", kCorrupt, "id 2", [](Json* j) { (*j)["model"]["vocab"]["a"] = 2; }},
      {"no merges", kCorrupt, "merges", [](Json* j) { (*j)["model"].erase("merges"); }},
      {"a merge of one", kCorrupt, "merge 0", [](Json* j) { (*j)["model"]["merges"] = {"ab"}; }},
      {"a merge of three", kCorrupt, "merge 0",
       [](Json* j) { (*j)["model"]["merges"] = {"a b a"}; }},
      {"a merge of numbers", kCorrupt, "merge 0",
       [](Json* j) { (*j)["model"]["merges"] = {{1, 2}}; }},
      {"a merge of unknowns", kCorrupt, "\"z\"",
       [](Json* j) { (*j)["model"]["merges"] = {"a z"}; }},
      {"a merge into an unknown", kCorrupt, "\"ba\"",
       [](Json* j) { (*j)["model"]["merges"] = {"b a"}; }},
      {"an unknown unk", kCorrupt, "<no>", [](Json* j) { (*j)["model"]["unk_token"] = "<no>"; }},
      {"unk is a number", kCorrupt, "unk_token", [](Json* j) { (*j)["model"]["unk_token"] = 0; }},
      {"dropout", kUnknown, "dropout", [](Json* j) { (*j)["model"]["dropout"] = 0.1; }},
      {"a suffix", kUnknown, "</w>", [](Json* j) { (*j)["model"]["end_of_word_suffix"] = "</w>"; }},
      {"byte_fallback is text", kCorrupt, "byte_fallback",
       [](Json* j) { (*j)["model"]["byte_fallback"] = "yes"; }},
  };
}

std::vector<Broken> BrokenAddedTokens() {
  return {
      {"added tokens are no list", kCorrupt, "added_tokens",
       [](Json* j) { (*j)["added_tokens"] = 7; }},
      {"an added token without content", kCorrupt, "content",
       [](Json* j) { (*j)["added_tokens"][0].erase("content"); }},
      {"an added token takes an id", kCorrupt, "id 1",
       [](Json* j) { (*j)["added_tokens"][0]["id"] = 1; }},
      {"an added token has two ids", kCorrupt, "\"a\"",
       [](Json* j) { (*j)["added_tokens"][0]["content"] = "a"; }},
      {"an added token is a book", kUnknown, "1024",
       [](Json* j) { (*j)["added_tokens"][0]["content"] = std::string(2000, 'x'); }},
      {"special is a number", kCorrupt, "special",
       [](Json* j) { (*j)["added_tokens"][0]["special"] = 1; }},
  };
}

std::vector<Broken> BrokenNormalizersAndPreTokenizers() {
  return {
      {"another normalizer", kUnknown, "BertNormalizer",
       [](Json* j) { (*j)["normalizer"] = {{"type", "BertNormalizer"}}; }},
      {"a normalizer without type", kCorrupt, "type",
       [](Json* j) { (*j)["normalizer"] = Json::object(); }},
      {"a normalizer that explodes", kUnknown, "256",
       [](Json* j) {
         const Json step = {{"type", "Replace"},
                            {"pattern", {{"String", "a"}}},
                            {"content", std::string(200, 'a')}};
         (*j)["normalizer"] = {{"type", "Sequence"}, {"normalizers", {step, step}}};
       }},
      {"another pre-tokenizer", kUnknown, "UnicodeScripts",
       [](Json* j) { (*j)["pre_tokenizer"] = {{"type", "UnicodeScripts"}}; }},
      {"an open group", kCorrupt, "(",
       [](Json* j) {
         (*j)["pre_tokenizer"] = {{"type", "Split"},
                                  {"pattern", {{"Regex", "(a"}}},
                                  {"behavior", "Isolated"},
                                  {"invert", false}};
       }},
      {"a back reference", kUnknown, "\\1",
       [](Json* j) {
         (*j)["pre_tokenizer"] = {{"type", "Split"},
                                  {"pattern", {{"Regex", "(a)\\1"}}},
                                  {"behavior", "Isolated"},
                                  {"invert", false}};
       }},
      {"another behavior", kCorrupt, "Sideways",
       [](Json* j) {
         (*j)["pre_tokenizer"] = {{"type", "Split"},
                                  {"pattern", {{"String", "a"}}},
                                  {"behavior", "Sideways"},
                                  {"invert", false}};
       }},
      {"a long replacement", kCorrupt, "replacement",
       [](Json* j) { (*j)["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "ab"}}; }},
  };
}

std::vector<Broken> BrokenPostProcessorsAndDecoders() {
  return {
      {"another post-processor", kUnknown, "BertProcessing",
       [](Json* j) { (*j)["post_processor"] = {{"type", "BertProcessing"}}; }},
      {"a template with an unknown id", kCorrupt, "77",
       [](Json* j) {
         (*j)["post_processor"] = {
             {"type", "TemplateProcessing"},
             {"single", {{{"SpecialToken", {{"id", "x"}}}}, {{"Sequence", {{"id", "A"}}}}}},
             {"special_tokens", {{"x", {{"ids", {77}}}}}}};
       }},
      {"another decoder", kUnknown, "WordPiece",
       [](Json* j) { (*j)["decoder"] = {{"type", "WordPiece"}}; }},
      {"a decoder that strips words", kCorrupt, "content",
       [](Json* j) {
         (*j)["decoder"] = {{"type", "Strip"}, {"content", "ab"}, {"start", 1}, {"stop", 0}};
       }},
      {"a decoder that strips minus one", kCorrupt, "start",
       [](Json* j) {
         (*j)["decoder"] = {{"type", "Strip"}, {"content", "a"}, {"start", -1}, {"stop", 0}};
       }},
  };
}

TEST(ParseHfTokenizer, BrokenFilesAreRefusedByName) {
  size_t tried = 0;
  for (const auto& list : {BrokenModels(), BrokenAddedTokens(), BrokenNormalizersAndPreTokenizers(),
                           BrokenPostProcessorsAndDecoders()}) {
    for (const Broken& broken : list) {
      Json json = Small();
      broken.breaks(&json);
      std::string message;
      EXPECT_EQ(CodeOf(json, &message), broken.code) << broken.what << ": " << message;
      EXPECT_NE(message.find(broken.named), std::string::npos) << broken.what << ": " << message;
      ++tried;
    }
  }
  EXPECT_GE(tried, 40u);
}

TEST(ParseHfTokenizer, DeepNestingIsRefused) {
  std::string nested = R"({"type":"NFC"})";
  for (int i = 0; i < 60; ++i) nested = R"({"type":"Sequence","normalizers":[)" + nested + "]}";
  Json json = Small();
  json["normalizer"] = Json::parse(nested);
  std::string message;
  EXPECT_EQ(CodeOf(json, &message), Code::kUnsupported) << message;
}

TEST(ParseHfTokenizer, EveryPrefixOfTheFileIsRefused) {
  const std::string text = DumpJson(Small());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseHfTokenizer(std::string_view(text).substr(0, size)).ok()) << size;
  }
}

TEST(ParseHfTokenizer, FuzzingStartsFromAcceptedFiles) {
  size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(SourcePath("fuzz/corpus/tokenizer"))) {
    if (entry.path().extension() == ".gguf") {
      const auto file = GgufFile::Open(entry.path());
      ASSERT_TRUE(file.ok()) << file.status().ToString();
      EXPECT_TRUE(Tokenizer::FromGguf(*file).ok()) << entry.path();
    } else {
      const auto tokenizer = ParseHfTokenizer(*ReadSmallFile(entry.path(), 1 << 20));
      EXPECT_TRUE(tokenizer.ok()) << entry.path() << tokenizer.status().ToString();
    }
    ++files;
  }
  EXPECT_GE(files, 8u);
}

// The tokenizer of a small GGUF file that `change` has broken.
Result<std::unique_ptr<Tokenizer>> FromGgufWith(const std::string& name,
                                                const std::function<void(std::string*)>& change) {
  Result<std::string> bytes = ReadSmallFile(SourcePath("fuzz/corpus/tokenizer/") + name, 1 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  change(&*bytes);
  const auto file = GgufFile::Parse(AsBytes(*bytes), nullptr);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return Tokenizer::FromGguf(*file);
}

TEST(GgufTokenizer, BrokenMetadataIsRefusedByName) {
  const auto replaced = [](std::string from, std::string to) {
    EXPECT_EQ(from.size(), to.size());
    return [=](std::string* bytes) {
      const size_t at = bytes->find(from);
      ASSERT_NE(at, std::string::npos) << from;
      bytes->replace(at, from.size(), to);
    };
  };
  struct {
    const char* file;
    std::function<void(std::string*)> change;
    Code code;
    const char* named;
  } const kList[] = {
      {"bytes.gguf", replaced("gpt2", "bert"), kUnknown, "bert"},
      {"bytes.gguf", replaced("qwen2", "qwen9"), kUnknown, "qwen9"},
      {"bytes.gguf", replaced("ggml.merges", "ggml.mergez"), Code::kNotFound, "merges"},
      {"bytes.gguf", replaced("ggml.tokens", "ggml.tokenz"), Code::kNotFound, "tokens"},
      {"bytes.gguf", replaced("ggml.model", "ggml.modem"), Code::kNotFound, "model"},
      {"bytes.gguf", replaced("a b", "a_b"), kCorrupt, "a_b"},
      {"bytes.gguf", replaced("a b", "a z"), kCorrupt, "z"},
      {"bytes.gguf", replaced("<s>", "<\xff>"), kCorrupt, "UTF-8"},
      {"pieces.gguf", replaced("ggml.scores", "ggml.scorez"), Code::kNotFound, "scores"},
      {"pieces.gguf", replaced("ab", "a\xe2"), kCorrupt, "UTF-8"},
  };
  for (const auto& broken : kList) {
    const auto tokenizer = FromGgufWith(broken.file, broken.change);
    const Status status = tokenizer.status();
    EXPECT_EQ(status.code(), broken.code) << status.ToString();
    EXPECT_NE(status.message().find(broken.named), std::string::npos) << status.ToString();
  }
}

// "ab" and "bcc" have one score; the longer left piece, then the longer right one, goes first, as
// in transformers' generate_merges.
TEST(GgufTokenizer, EqualScoresMergeTheLongerPiecesFirst) {
  const std::vector<std::string> tokens = {"<unk>", "a", "b", "c", "ab", "cc", "bcc"};
  const std::vector<float> scores = {0, -10, -10, -10, -1, 0, -1};
  const std::vector<int32_t> types = {2, 1, 1, 1, 1, 1, 1};
  GgufWriter writer;
  writer.Set<std::string_view>("general.architecture", "llama");
  writer.Set<std::string_view>("tokenizer.ggml.model", "llama");
  writer.Set<bool>("tokenizer.ggml.add_space_prefix", false);
  writer.Set<bool>("tokenizer.ggml.add_bos_token", false);
  writer.SetArray<std::string>("tokenizer.ggml.tokens", tokens);
  writer.SetArray<float>("tokenizer.ggml.scores", scores);
  writer.SetArray<int32_t>("tokenizer.ggml.token_type", types);
  std::string bytes;
  const Status written = writer.Write([&](ByteSpan part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    return Status();
  });
  ASSERT_TRUE(written.ok()) << written.ToString();
  const auto file = GgufFile::Parse(AsBytes(bytes), nullptr);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto tokenizer = Tokenizer::FromGguf(*file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->Encode("abcc", {}), (std::vector<TokenId>{1, 6}));
}

class HfFolder : public testing::Test {
 protected:
  HfFolder() : path_(testing::TempDir() + "/hf_folder") {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
    Write("tokenizer.json", DumpJson(Small()));
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }
  std::string path_;
};

TEST_F(HfFolder, NamesComeFromTheNeighbours) {
  Write("special_tokens_map.json", R"({"bos_token":{"content":"<s>"},"eos_token":"b"})");
  Write("generation_config.json", R"({"eos_token_id":[3,1,3]})");
  Write("tokenizer_config.json", R"({"chat_template":[{"name":"x","template":"no"},)"
                                 R"({"name":"default","template":"yes"}]})");
  auto tokenizer = Tokenizer::FromHuggingFace(path_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->bos(), 6);
  EXPECT_EQ((*tokenizer)->eos(), 2);
  const auto ends = (*tokenizer)->end_of_generation();
  EXPECT_EQ(std::vector<TokenId>(ends.begin(), ends.end()), (std::vector<TokenId>{1, 2, 3}));
  EXPECT_EQ((*tokenizer)->chat_template(), "yes");
  Write("chat_template.jinja", "file");
  EXPECT_EQ((*Tokenizer::FromHuggingFace(path_))->chat_template(), "file");
}

TEST_F(HfFolder, TokenizerConfigOverridesTheMap) {
  Write("special_tokens_map.json", R"({"bos_token":"a","eos_token":"b"})");
  Write("tokenizer_config.json",
        R"({"bos_token":null,"eos_token":"<s>","added_tokens_decoder":{}})");
  auto tokenizer = Tokenizer::FromHuggingFace(path_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ((*tokenizer)->bos(), std::nullopt);
  EXPECT_EQ((*tokenizer)->eos(), 6);
}

// An embedding may have rows beyond the vocabulary, and -1 stands for none.
TEST_F(HfFolder, AnEndThatHasNoTextEndsAReplyAsAnyOther) {
  Write("tokenizer_config.json", "{}");
  Write("generation_config.json", R"({"eos_token_id":[99,-1,2]})");
  auto tokenizer = Tokenizer::FromHuggingFace(path_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const auto ends = (*tokenizer)->end_of_generation();
  EXPECT_EQ(std::vector<TokenId>(ends.begin(), ends.end()), (std::vector<TokenId>{2, 99}));
  EXPECT_EQ((*tokenizer)->eos(), 2);
  Write("generation_config.json", R"({"eos_token_id":99})");
  EXPECT_EQ((*Tokenizer::FromHuggingFace(path_))->eos(), std::nullopt);
}

TEST_F(HfFolder, BrokenNeighboursAreRefused) {
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"tokenizer_config.json", "{"},
      {"tokenizer_config.json", R"({"eos_token":5})"},
      {"tokenizer_config.json", R"({"chat_template":5})"},
      {"generation_config.json", R"({"eos_token_id":"2"})"},
      {"generation_config.json", R"({"eos_token_id":1.5})"},
      {"generation_config.json", R"({"eos_token_id":[[1]]})"},
  };
  for (const auto& [name, text] : broken) {
    Write(name, text);
    EXPECT_EQ(Tokenizer::FromHuggingFace(path_).status().code(), Code::kCorruption) << text;
    std::filesystem::remove(path_ + "/" + name);
  }
  EXPECT_TRUE(Tokenizer::FromHuggingFace(path_).ok());
  EXPECT_EQ(Tokenizer::FromHuggingFace(path_ + "/no").status().code(), Code::kNotFound);
}

// A random text of well-formed UTF-8.
std::string RandomText(std::mt19937_64* random, size_t characters) {
  std::string out;
  while (characters-- > 0) {
    const uint32_t limits[] = {0x80, 0x80, 0x800, 0x10000, 0x110000};
    const uint32_t c = static_cast<uint32_t>((*random)() % limits[(*random)() % 5]);
    if (c < 0xD800 || c >= 0xE000) AppendUtf8(c, &out);
  }
  return out;
}

TEST(Tokenizer, ByteLevelDecodesWhatItEncodes) {
  std::mt19937_64 random(1);
  for (const char* family : {"llama3", "smollm2", "gpt2", "tekken"}) {
    const auto tokenizer = Load(family);
    for (int i = 0; i < 300; ++i) {
      const std::string text = RandomText(&random, random() % 60);
      for (const bool parse_special : {false, true}) {
        const auto ids = tokenizer->Encode(text, {.parse_special = parse_special});
        ASSERT_EQ(tokenizer->Decode(ids, false), text) << family;
        std::string bytes;
        for (const TokenId id : ids) bytes += tokenizer->TokenBytes(id);
        ASSERT_EQ(bytes, text) << family;
      }
    }
  }
}

TEST(Tokenizer, IllFormedTextIsRepaired) {
  const auto tokenizer = Load("gpt2");
  const std::string broken = "a\xC3(\xF0\x9F\x98z\xFF";
  std::string repaired;
  AppendLossy(broken, &repaired);
  EXPECT_EQ(repaired, "a\uFFFD(\uFFFDz\uFFFD");
  EXPECT_EQ(tokenizer->Encode(broken, {}), tokenizer->Encode(repaired, {}));
}

TEST(StreamDecoder, RandomIdsGiveTheWholeDecoding) {
  std::mt19937_64 random(2);
  for (const char* family : {"llama3", "qwen2", "llama2", "llama2_v5", "odd_words", "odd_splits"}) {
    const auto tokenizer = Load(family);
    for (int i = 0; i < 400; ++i) {
      std::vector<TokenId> ids(random() % 20);
      for (TokenId& id : ids) id = static_cast<TokenId>(random() % 300) - 2;
      for (const bool skip : {false, true}) {
        StreamDecoder stream(*tokenizer, skip);
        std::string text;
        for (const TokenId id : ids) {
          const std::string part = stream.Push(id);
          ASSERT_TRUE(IsValidUtf8(part));
          text += part;
        }
        text += stream.Finish();
        ASSERT_EQ(text, tokenizer->Decode(ids, skip)) << family;
      }
    }
  }
}

TEST(StreamDecoder, CharactersComeWhenTheyAreWhole) {
  const auto tokenizer = Load("gpt2");
  StreamDecoder stream(*tokenizer, false);
  std::vector<std::string> parts;
  for (const char byte : std::string("x\xF0\x9F\x98\x80y")) {
    const auto id = tokenizer->TokenToId(ByteCharacter(static_cast<uint8_t>(byte)));
    parts.push_back(stream.Push(*id));
  }
  EXPECT_EQ(parts, (std::vector<std::string>{"x", "", "", "", "\U0001F600", "y"}));
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Tokenizer, DigestIsOfTheMeaning) {
  const std::string digest = (*ParseHfTokenizer(DumpJson(Small())))->digest();
  EXPECT_EQ(digest.size(), 64u);
  Json same = Small();
  same["model"].erase("type");
  same["version"] = "1.0";
  same["model"]["merges"] = Json::array({Json::array({"a", "b"})});
  EXPECT_EQ((*ParseHfTokenizer(DumpJson(same, 2)))->digest(), digest);
  const std::vector<std::function<void(Json*)>> changes = {
      [](Json* j) { (*j)["model"]["byte_fallback"] = false; },
      [](Json* j) { (*j)["model"]["merges"] = Json::array(); },
      [](Json* j) { (*j)["model"]["vocab"]["c"] = 7; },
      [](Json* j) { (*j)["added_tokens"][0]["lstrip"] = true; },
      [](Json* j) { (*j)["normalizer"] = {{"type", "NFC"}}; },
      [](Json* j) { (*j)["pre_tokenizer"] = {{"type", "WhitespaceSplit"}}; },
      [](Json* j) { (*j)["decoder"] = {{"type", "Fuse"}}; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Json other = Small();
    changes[i](&other);
    auto tokenizer = ParseHfTokenizer(DumpJson(other));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    EXPECT_NE((*tokenizer)->digest(), digest) << i;
  }
}

}  // namespace
}  // namespace gyrator
