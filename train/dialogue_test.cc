#include "dialogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "data_command.h"
#include "small_talk.h"

namespace gyrator::train {
namespace {

using testing::HasSubstr;

std::vector<Turn> Turns(uint64_t seed, uint64_t index, int count, Split split = Split::kTrain) {
  Conversation conversation(seed, index, split);
  std::vector<Turn> turns;
  for (int i = 0; i < count; ++i) turns.push_back(conversation.Next());
  return turns;
}

TEST(Dialogue, IsAFunctionOfSeedIndexAndSplit) {
  const auto text = [](const std::vector<Turn>& turns) {
    std::string all;
    for (const Turn& turn : turns) all += turn.user + "\n" + turn.reply + "\n";
    return all;
  };
  EXPECT_EQ(text(Turns(5, 3, 40)), text(Turns(5, 3, 40)));
  EXPECT_NE(text(Turns(5, 3, 40)), text(Turns(5, 4, 40)));
  EXPECT_NE(text(Turns(5, 3, 40)), text(Turns(6, 3, 40)));
  EXPECT_NE(text(Turns(5, 3, 40)), text(Turns(5, 3, 40, Split::kHeldOut)));
}

TEST(Dialogue, RepliesHoldWhatTheyMust) {
  std::map<TurnKind, int> seen;
  for (uint64_t index = 0; index < 300; ++index) {
    for (const Turn& turn : Turns(1, index, 60)) {
      ++seen[turn.kind];
      ASSERT_FALSE(turn.user.empty());
      ASSERT_FALSE(turn.reply.empty());
      for (const std::string& value : turn.expected) {
        ASSERT_THAT(turn.reply, HasSubstr(value)) << turn.user;
      }
      const bool asks = turn.kind == TurnKind::kAsk || turn.kind == TurnKind::kAskMany ||
                        turn.kind == TurnKind::kAskUnknown || turn.kind == TurnKind::kCheck;
      ASSERT_EQ(asks, !turn.expected.empty());
      // No placeholder is left, and nothing that the template or the tokenizer would change.
      for (const std::string& text : {turn.user, turn.reply}) {
        ASSERT_EQ(text.find_first_of("{}<|>\n\t"), std::string::npos) << text;
        ASSERT_EQ(text.find("  "), std::string::npos) << text;
        ASSERT_NE(text.front(), ' ');
        ASSERT_NE(text.back(), ' ');
        for (unsigned char c : text) ASSERT_LT(c, 128) << text;
      }
    }
  }
  for (TurnKind kind : {TurnKind::kTell, TurnKind::kCorrect, TurnKind::kAsk, TurnKind::kAskMany,
                        TurnKind::kAskUnknown, TurnKind::kCheck, TurnKind::kChat}) {
    EXPECT_GT(seen[kind], 100) << static_cast<int>(kind);
  }
}

// What a reader would do: the answer to a single question was said by the user before, and an
// unknown one never was.
TEST(Dialogue, AnswersWereTold) {
  for (uint64_t index = 0; index < 200; ++index) {
    std::string told;
    for (const Turn& turn : Turns(2, index, 60)) {
      if (turn.kind == TurnKind::kAsk) {
        for (const std::string& value : turn.expected) ASSERT_THAT(told, HasSubstr(value));
        ASSERT_GT(turn.age, 0);
      }
      told += turn.user + "\n";
    }
  }
}

// Recall must not be a matter of taste: the same question about the same facts has one answer.
TEST(Dialogue, AnswersAreAFunctionOfTheQuestion) {
  for (uint64_t index = 0; index < 200; ++index) {
    std::map<std::string, std::string> answers;
    for (const Turn& turn : Turns(3, index, 60)) {
      if (turn.kind == TurnKind::kTell || turn.kind == TurnKind::kCorrect) {
        answers.clear();
      } else if (const auto [at, is_new] = answers.emplace(turn.user, turn.reply); !is_new) {
        ASSERT_EQ(at->second, turn.reply) << turn.user;
      }
    }
  }
}

TEST(Dialogue, SmallTalkHasOneReplyEach) {
  std::set<std::string_view> users;
  for (const SmallTalk& talk : SmallTalks())
    EXPECT_TRUE(users.insert(talk.user).second) << talk.user;
  for (const SmallTalk& talk : Greetings())
    EXPECT_TRUE(users.insert(talk.user).second) << talk.user;
}

TEST(Dialogue, CorrectionsReplaceTheValue) {
  int corrected = 0;
  for (uint64_t index = 0; index < 300; ++index) {
    std::map<std::string, std::string>
        latest;  // reply prefix -> reply of the last tell or correction
    for (const Turn& turn : Turns(4, index, 60)) {
      const std::string okay = "Okay, your code word is ";
      if (turn.reply.starts_with(okay) && turn.kind == TurnKind::kCorrect) {
        latest["code word"] = turn.reply.substr(okay.size());
      } else if (turn.kind == TurnKind::kTell &&
                 turn.reply.find("code word") != std::string::npos) {
        latest.clear();
      } else if (turn.kind == TurnKind::kAsk && turn.reply.starts_with("Your code word is ") &&
                 latest.contains("code word")) {
        EXPECT_THAT(turn.reply, HasSubstr(latest["code word"]));
        ++corrected;
      }
    }
  }
  EXPECT_GT(corrected, 5);
}

TEST(Values, AreSplitByHash) {
  Random random(9);
  int held_out = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto kind =
        static_cast<ValueKind>(random.Below(static_cast<uint32_t>(ValueKind::kTitle) + 1));
    if (kind == ValueKind::kWeekday) continue;
    EXPECT_FALSE(IsHeldOut(DrawValue(kind, Split::kTrain, random)));
    EXPECT_TRUE(IsHeldOut(DrawValue(kind, Split::kHeldOut, random)));
  }
  for (int i = 0; i < 10000; ++i) held_out += IsHeldOut("value" + std::to_string(i));
  EXPECT_NEAR(held_out, 1000, 120);
  EXPECT_EQ(IsHeldOut("Ada"),
            IsHeldOut("ada"));  // typing style does not move a value to the other split
}

TEST(Random, IsUniformEnough) {
  Random random(1);
  std::map<uint32_t, int> counts;
  for (int i = 0; i < 6000; ++i) ++counts[random.Below(6)];
  ASSERT_EQ(counts.size(), 6u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 150) << value;
}

TEST(DataCommand, JsonLinesParse) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  ASSERT_TRUE(
      PrintData({.count = 5, .turns = 7, .split = Split::kHeldOut, .json = true}, file).ok());
  std::rewind(file);
  std::vector<char> line(1 << 20);
  int lines = 0;
  while (std::fgets(line.data(), static_cast<int>(line.size()), file) != nullptr) {
    const auto json = ParseJson(line.data());
    ASSERT_TRUE(json.ok()) << json.status().ToString();
    ASSERT_EQ((*json)["turns"].size(), 7u);
    for (const auto& turn : (*json)["turns"]) {
      for (const auto& value : turn["expected"]) {
        EXPECT_THAT(turn["reply"].get<std::string>(), HasSubstr(value.get<std::string>()));
      }
    }
    ++lines;
  }
  EXPECT_EQ(lines, 5);
  std::fclose(file);
}

}  // namespace
}  // namespace gyrator::train
