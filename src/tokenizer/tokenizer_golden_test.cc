// Against Hugging Face tokenizers: ids and decodings of tests/golden/tokenizer, zero mismatches.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/source_path_testing.h"
#include "base/utf8.h"
#include "formats/gguf.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/regex.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {
namespace {

const std::string kRoot = SourcePath("tests/golden/tokenizer/");

Json ReadGolden(const std::string& name) {
  Result<std::string> text = ReadSmallFile(kRoot + name, 1 << 24);
  EXPECT_TRUE(text.ok()) << text.status().ToString();
  Result<Json> json = ParseJson(text.ok() ? *text : "null");
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return json.ok() ? *json : Json();
}

using Ids = std::vector<TokenId>;

std::string StreamOf(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string out;
  for (const TokenId id : ids) {
    const std::string text = stream.Push(id);
    EXPECT_TRUE(IsValidUtf8(text));
    out += text;
  }
  return out + stream.Finish();
}

// Every case of <family>/cases.json. `lines_tried` counts the lines.
void CheckCases(const Tokenizer& tokenizer, const std::string& family, size_t* lines_tried) {
  const Json lines = ReadGolden("lines.json");
  const Json cases = ReadGolden(family + "/cases.json");
  const auto expected_text = [&](const char* key, const std::string& index, const Json& line) {
    return cases[key].contains(index) ? cases[key][index] : line;
  };
  for (size_t i = 0; i < cases["lines"].size(); ++i) {
    const size_t index = cases["lines"][i];
    const std::string key = std::to_string(index), line = lines[index];
    const Ids ids = cases["ids"][i];
    ASSERT_EQ(tokenizer.Encode(line, {}), ids) << family << " line " << index << ": " << line;
    const Ids literal = cases["literal"].contains(key) ? Ids(cases["literal"][key]) : ids;
    EXPECT_EQ(tokenizer.Encode(line, {.parse_special = false}), literal) << family << " " << index;
    if (cases["added"].contains(key)) {
      EXPECT_EQ(tokenizer.Encode(line, {.add_special = true}), Ids(cases["added"][key]));
    }
    for (const bool skip : {false, true}) {
      const std::string text = expected_text(skip ? "decoded_skip" : "decoded", key, lines[index]);
      EXPECT_EQ(tokenizer.Decode(ids, skip), text) << family << " line " << index;
      EXPECT_EQ(StreamOf(tokenizer, ids, skip), text) << family << " line " << index;
    }
    ++*lines_tried;
  }
  for (const Json& item : cases["random"]) {
    const Ids ids = item[0];
    EXPECT_EQ(tokenizer.Decode(ids, false), item[1].get<std::string>()) << family << item[0];
    EXPECT_EQ(tokenizer.Decode(ids, true), item[2].get<std::string>()) << family << item[0];
    EXPECT_EQ(StreamOf(tokenizer, ids, false), item[1].get<std::string>()) << family << item[0];
  }
}

class HuggingFaceGolden : public testing::TestWithParam<const char*> {};

TEST_P(HuggingFaceGolden, IdsAndTextsAreEqual) {
  auto tokenizer = Tokenizer::FromHuggingFace(kRoot + GetParam());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  size_t lines_tried = 0;
  CheckCases(**tokenizer, GetParam(), &lines_tried);
  EXPECT_GE(lines_tried, 300u);
  const Json config = ReadGolden(std::string(GetParam()) + "/tokenizer_config.json");
  EXPECT_EQ((*tokenizer)->chat_template(), config["chat_template"].get<std::string>());
  EXPECT_EQ((*tokenizer)->bos().has_value(), config["bos_token"].is_string());
  if (config["eos_token"].is_string()) {
    const auto eos = (*tokenizer)->TokenToId(config["eos_token"].get<std::string>());
    EXPECT_EQ((*tokenizer)->eos(), eos);
    EXPECT_TRUE((*tokenizer)->IsSpecial(*eos));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, HuggingFaceGolden,
                         testing::Values("llama3", "qwen2", "smollm2", "gpt2", "tekken", "llama2",
                                         "llama2_v5", "mistral", "odd_words", "odd_splits",
                                         "odd_bytes"));

class GgufGolden : public testing::TestWithParam<const char*> {};

TEST_P(GgufGolden, IdsAndTextsAreThoseOfTheFolder) {
  const std::string name = GetParam();
  auto file = GgufFile::Open(kRoot + name + ".gguf");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  auto tokenizer = Tokenizer::FromGguf(*file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  size_t lines_tried = 0;
  CheckCases(**tokenizer, name, &lines_tried);
  EXPECT_GE(lines_tried, 300u);
  auto folder = Tokenizer::FromHuggingFace(kRoot + name);
  ASSERT_TRUE(folder.ok()) << folder.status().ToString();
  EXPECT_EQ((*tokenizer)->bos(), (*folder)->bos());
  EXPECT_EQ((*tokenizer)->eos(), (*folder)->eos());
  EXPECT_EQ((*tokenizer)->chat_template(), (*folder)->chat_template());
}

INSTANTIATE_TEST_SUITE_P(Families, GgufGolden,
                         testing::Values("llama3", "qwen2", "smollm2", "gpt2", "tekken", "llama2",
                                         "mistral"));

TEST(TokenizerGolden, ThereAreAThousandLines) { EXPECT_GE(ReadGolden("lines.json").size(), 1000u); }

// What `members` says of code points, as one flag each.
std::vector<bool> Flags(const Json& ranges) {
  std::vector<bool> flags(0x110000);
  for (const Json& range : ranges) {
    for (uint32_t c = range[0]; c <= range[1].get<uint32_t>(); ++c) flags[c] = true;
  }
  return flags;
}

TEST(RegexGolden, ClassesHoldTheSameCharacters) {
  const Json golden = ReadGolden("classes.json");
  const std::vector<bool> newer = Flags(golden["newer"]);
  std::string text;
  std::vector<uint32_t> code_point_at;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if ((c >= 0xD800 && c < 0xE000) || newer[c]) continue;
    code_point_at.resize(text.size() + 1);
    code_point_at[text.size()] = c;
    AppendUtf8(c, &text);
  }
  for (const auto& [name, ranges] : golden["classes"].items()) {
    const std::string pattern =
        name == "rust_word" ? "[" + std::string(kRustWordMembers) + "]" : name;
    Result<Regex> regex = Regex::Compile(pattern);
    ASSERT_TRUE(regex.ok()) << regex.status().ToString();
    std::vector<TextRange> matches;
    regex->FindAll(text, &matches);
    std::vector<bool> found(0x110000);
    for (const TextRange& match : matches) found[code_point_at[match.begin]] = true;
    const std::vector<bool> expected = Flags(ranges);
    for (uint32_t c = 0; c < 0x110000; ++c) {
      ASSERT_EQ(found[c], expected[c]) << name << " U+" << std::hex << c;
    }
  }
}

TEST(RegexGolden, EveryCodePointThatDiffersIsDocumented) {
  const Result<std::string> page = ReadSmallFile(SourcePath("docs/tokenizer.md"), 1 << 20);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  const Json golden = ReadGolden("classes.json");
  for (const Json& range : golden["newer"]) {
    const uint32_t first = range[0], last = range[1];
    char text[32];
    const int size = first == last ? std::snprintf(text, sizeof(text), "%04X", first)
                                   : std::snprintf(text, sizeof(text), "%04X-%04X", first, last);
    EXPECT_NE(page->find(std::string_view(text, static_cast<size_t>(size))), std::string::npos)
        << text;
  }
}

std::string FormOf(const std::string& name, const std::string& text) {
  if (name == "NFC") return ToUnicodeForm(UnicodeForm::kNfc, text);
  if (name == "NFD") return ToUnicodeForm(UnicodeForm::kNfd, text);
  if (name == "NFKC") return ToUnicodeForm(UnicodeForm::kNfkc, text);
  if (name == "NFKD") return ToUnicodeForm(UnicodeForm::kNfkd, text);
  return ToLowercase(text);
}

TEST(UnicodeFormsGolden, EveryCodePointIsAsHuggingFaceHasIt) {
  constexpr uint32_t kBlock = 0x4000;
  const Json golden = ReadGolden("forms.json");
  const std::vector<bool> newer = Flags(ReadGolden("classes.json")["newer"]);
  for (const auto& [name, digests] : golden.items()) {
    for (uint32_t block = 0; block * kBlock < 0x110000; ++block) {
      std::string text;
      for (uint32_t c = block * kBlock; c < (block + 1) * kBlock; ++c) {
        if ((c >= 0xD800 && c < 0xE000) || (name == "Lowercase" && newer[c])) continue;
        std::string sample = "e";
        AppendUtf8(c, &sample);
        text += FormOf(name, sample + "\xCC\xA3\xCC\x81") + "\n";
      }
      EXPECT_EQ(HexText(Sha256Of(AsBytes(text))), digests[block].get<std::string>())
          << name << " of the code points from U+" << std::hex << block * kBlock;
    }
  }
}

}  // namespace
}  // namespace gyrator
