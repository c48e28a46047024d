#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyrator::cli {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const CommandWords& Command() {
  static const CommandWords command = {
      .path = "it",
      .flags = {{"--help", false}, {"-h", false}},
      .then = {{"say",
                {.path = "it say",
                 .flags = {{"-n", true}, {"--number", true}, {"--parallel", true}, {"-h", false}},
                 .then = {}}}}};
  return command;
}

Result<std::vector<std::string>> Check(std::vector<const char*> words) {
  words.insert(words.begin(), "it");
  return CheckArguments(Command(), static_cast<int>(words.size()), words.data());
}

void ExpectTaken(const std::vector<const char*>& words) {
  const auto taken = Check(words);
  ASSERT_TRUE(taken.ok()) << taken.status().message();
  EXPECT_THAT(*taken, ElementsAreArray(std::vector<std::string>(words.begin(), words.end())));
}

std::string Refused(const std::vector<const char*>& words) {
  const auto taken = Check(words);
  EXPECT_FALSE(taken.ok());
  EXPECT_EQ(Code::kInvalidArgument, taken.status().code());
  return taken.status().message();
}

TEST(Arguments, WhatIsKnownIsTakenAsItIs) {
  ExpectTaken({});
  ExpectTaken({"--help"});
  ExpectTaken({"say", "-n", "5", "what", "-", "-5"});
  ExpectTaken({"say", "-n5", "--number=-x", "-n-1"});
  ExpectTaken({"say", "--number", "--nope", "-n", "-hf"});  // values, whatever they look like
  ExpectTaken({"say", "--", "--nope", "-hf"});
}

TEST(Arguments, LlamaCppsLongFlagsAreWrittenOutWhereTheyMeanSomething) {
  EXPECT_THAT(*Check({"say", "-np", "-np"}),
              ElementsAreArray(std::vector<std::string>{"say", "--parallel", "-np"}));
  EXPECT_THAT(Refused({"say", "-sys", "x"}), HasSubstr("unknown flag '-sys'"));
}

TEST(Arguments, WhatIsUnknownIsNamedWithItsCommand) {
  EXPECT_THAT(Refused({"sing"}), HasSubstr("unknown subcommand 'sing'"));
  EXPECT_THAT(Refused({"--number", "5"}), HasSubstr("stand behind it"));
  EXPECT_THAT(Refused({"say", "--nope=5"}), HasSubstr("it say: unknown flag '--nope'"));
  EXPECT_THAT(Refused({"say", "-x"}), HasSubstr("it say: unknown flag '-x'"));
  EXPECT_THAT(Refused({"say", "-ngl", "9"}), HasSubstr("its value stands apart: '-n gl'"));
  EXPECT_THAT(Refused({"say", "-hf", "x"}), HasSubstr("unknown flag '-hf'"));
}

}  // namespace
}  // namespace gyrator::cli
