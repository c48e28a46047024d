#include "rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace gyrator::train {
namespace {

const BpeVocab& SmallVocab() {
  static const BpeVocab* vocab = [] {
    auto trained =
        BpeVocab::Train(VocabText(1, 60), 512, {std::begin(kSpecials), std::end(kSpecials)});
    return new BpeVocab(*std::move(trained));
  }();
  return *vocab;
}

TEST(SplitWords, IsQwen2s) {
  using testing::ElementsAre;
  EXPECT_THAT(SplitWords("My sister's pin is 40 17."),
              ElementsAre("My", " sister", "'s", " pin", " is", " ", "4", "0", " ", "1", "7", "."));
  EXPECT_THAT(SplitWords("a  b\n\nc \xc3\xa9t"),
              ElementsAre("a", " ", " b", "\n\n", "c", " \xc3\xa9t"));
  EXPECT_THAT(SplitWords(""), ElementsAre());
}

TEST(Bpe, RoundTripsEveryByteSequence) {
  const BpeVocab& vocab = SmallVocab();
  for (const std::string text :
       {"My name is Ada.", "", " ", "12:30",
        "na\xc3\xafve \xf0\x9f\x98\x80 \xe4\xbd\xa0\xe5\xa5\xbd", "  two  spaces "}) {
    EXPECT_EQ(vocab.Decode(vocab.Encode(text)), text);
  }
}

TEST(Bpe, LearnsTheFrequentPairFirst) {
  const auto vocab = BpeVocab::Train({"abab abab cd"}, 256 + 2, {});
  ASSERT_TRUE(vocab.ok());
  EXPECT_THAT(vocab->MergeTexts(), testing::ElementsAre("a b", "ab ab"));
  EXPECT_EQ(vocab->Encode("ababab").size(), 2u);
}

TEST(Bpe, RefusesWhatItCannotLearn) {
  EXPECT_EQ(BpeVocab::Train({"text"}, 100, {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(BpeVocab::Train({"ab"}, 256 + 2, {}).status().code(), Code::kInvalidArgument);
}

TEST(Bpe, JsonRoundTrips) {
  const BpeVocab& vocab = SmallVocab();
  const auto again = BpeVocab::FromJson(*ParseJson(vocab.ToJson().dump()));
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->tokens(), vocab.tokens());
  EXPECT_EQ(again->MergeTexts(), vocab.MergeTexts());
  EXPECT_EQ(again->SpecialId("<|end|>"), vocab.SpecialId("<|end|>"));
  EXPECT_EQ(again->Encode("What is my name?"), vocab.Encode("What is my name?"));
}

TEST(Bpe, RefusesBrokenJson) {
  const Json good = SmallVocab().ToJson();
  Json no_model = good, bad_merge = good, unknown = good, no_content = good;
  no_model.erase("model");
  bad_merge["model"]["merges"][0] = "a b";
  unknown["model"]["merges"][0] = {"a", "nonesuch"};
  no_content["added_tokens"][0].erase("content");
  for (const Json& json : {no_model, bad_merge, unknown, no_content}) {
    EXPECT_EQ(BpeVocab::FromJson(json).status().code(), Code::kCorruption);
  }
}

TEST(Rows, HoldTheChatFormat) {
  const BpeVocab& vocab = SmallVocab();
  Conversation conversation(1, 12, Split::kTrain);
  std::string expected;
  if (!conversation.system().empty()) expected = "<|system|>" + conversation.system() + "<|end|>";
  const Row row = MakeRow(vocab, 1, 12, {.row_tokens = 300});
  for (int32_t i = 0; i < row.num_turns; ++i) {
    const Turn turn = conversation.Next();
    expected += "<|user|>" + turn.user + "<|end|><|assistant|>" + turn.reply + "<|end|>";
  }
  EXPECT_EQ(vocab.Decode(row.ids), expected);
}

TEST(Rows, FitAndWeighReplies) {
  const BpeVocab& vocab = SmallVocab();
  const TokenId assistant = vocab.SpecialId("<|assistant|>"), end = vocab.SpecialId("<|end|>");
  for (uint64_t index = 0; index < 50; ++index) {
    const Row row = MakeRow(vocab, 1, index, {.row_tokens = 512});
    ASSERT_EQ(row.ids.size(), row.weights.size());
    ASSERT_LE(row.ids.size(), 512u);
    ASSERT_GE(row.ids.size(), 300u);  // filled
    bool in_reply = false;
    for (size_t i = 0; i < row.ids.size(); ++i) {
      ASSERT_EQ(row.weights[i], in_reply ? 1.0f : 0.1f) << i;
      if (row.ids[i] == assistant) in_reply = true;
      if (row.ids[i] == end) in_reply = false;
    }
    for (const Question& question : row.questions) {
      ASSERT_EQ(row.ids[static_cast<size_t>(question.begin) - 1], assistant);
      ASSERT_EQ(row.ids[static_cast<size_t>(question.end) - 1], end);
    }
  }
}

TEST(Rows, ReachTheWholeContext) {
  const Row row = MakeRow(SmallVocab(), 1, 3, {.row_tokens = 2048, .split = Split::kHeldOut});
  EXPECT_GE(row.num_turns, 40);
  EXPECT_GT(row.questions.back().begin, 1800);
}

}  // namespace
}  // namespace gyrator::train
