// The mismatch matrix: each difference with its documented verdict.
#include "snapshot/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "snapshot/reader.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

KeyValues Config(std::string_view compute = "f32", std::string_view numerics = "f32.v1") {
  KeyValues config = MakeConfig(TestState({}).identity, {DType::kF32, 2, 2, 4});
  config.Set("compute", compute);
  config.Set("numerics", numerics);
  return config;
}

TEST(Identity, TheSameModelHasNothingToReport) {
  EXPECT_THAT(*CheckIdentity(Config(), Config(), {}), IsEmpty());
}

TEST(Identity, HardDifferencesAreRefusedWithFieldExpectedAndFound) {
  for (const char* key :
       {"weights_sha256", "tokenizer_sha256", "arch", "n_layers", "n_heads", "n_kv_heads",
        "head_dim", "vocab_size", "rope.type", "rope.base", "rope.scaling.factor", "sliding_window",
        "kv_dtype", "compute", "numerics", "hidden_size", "norm_eps"}) {
    KeyValues other = Config();
    other.Set(key, "other");
    for (const bool swapped : {false, true}) {
      const Status status =
          (swapped ? CheckIdentity(Config(), other, {}) : CheckIdentity(other, Config(), {}))
              .status();
      EXPECT_EQ(status.code(), Code::kMismatch) << key;
      EXPECT_EQ(status.name(), "model_mismatch") << key;
      EXPECT_THAT(status.message(), HasSubstr(key));
      EXPECT_THAT(status.message(), HasSubstr("'other'"));
    }
    KeyValues absent = Config();
    absent.Remove(key);
    const bool optional = std::string_view(key) == "rope.scaling.factor" ||
                          std::string_view(key) == "sliding_window" ||
                          std::string_view(key) == "numerics";
    EXPECT_EQ(CheckIdentity(absent, Config(), {}).ok(), optional) << key;
  }
}

TEST(Identity, SoftDifferencesAreReported) {
  for (const char* key :
       {"template_sha256", "model", "cache_impl", "cache_capacity", "end_of_generation"}) {
    KeyValues other = Config();
    other.Set(key, "other");
    const auto notes = CheckIdentity(other, Config(), {});
    ASSERT_TRUE(notes.ok()) << key;
    EXPECT_THAT(*notes, ::testing::ElementsAre(HasSubstr(key)));
  }
}

// What older folders do not have is a note for them, and a refusal for newer ones: a folder that
// lost a key is not one that never had it.
TEST(Identity, KeysOfALaterMinorAreNotedWhereTheyCannotBeThere) {
  for (const char* key : {"hidden_size", "norm_eps", "rope.inv_freq_sha256", "qk_norm"}) {
    KeyValues live = Config();
    live.Set(key, "one");
    KeyValues old = Config();
    old.Remove(key);
    for (int32_t minor = 1; minor < kIdentityMinor; ++minor) {
      const auto notes = CheckIdentity(old, live, {.bare = false, .minor = minor});
      ASSERT_TRUE(notes.ok()) << key << ": " << notes.status().ToString();
      EXPECT_THAT(*notes, ::testing::ElementsAre(HasSubstr(key)));
      KeyValues other = Config();
      other.Set(key, "two");  // there all the same: it counts
      EXPECT_EQ(CheckIdentity(other, live, {.bare = false, .minor = minor}).status().name(),
                "model_mismatch")
          << key;
    }
    EXPECT_EQ(CheckIdentity(old, live, {.bare = false, .minor = kIdentityMinor}).status().name(),
              "model_mismatch")
        << key;
  }
  // An older key that an older folder lacks is missing.
  KeyValues old = Config();
  old.Remove("rope.base");
  EXPECT_FALSE(CheckIdentity(old, Config(), {.bare = false, .minor = 1}).ok());
}

TEST(Identity, OnlyBf16ContinuesWithOtherNumericsAndSaysSo) {
  const auto notes =
      CheckIdentity(Config("bf16", "bf16.amx.v1"), Config("bf16", "bf16.fma.v1"), {});
  ASSERT_TRUE(notes.ok());
  EXPECT_THAT(*notes, ::testing::ElementsAre(HasSubstr("bf16.amx.v1")));
  for (const char* other : {"int8.v2", "int8.q8.v1"}) {
    for (const auto& [saved, live] : {std::pair(other, "int8.v1"), std::pair("int8.v1", other)}) {
      EXPECT_EQ(CheckIdentity(Config("int8", saved), Config("int8", live), {}).status().name(),
                "model_mismatch");
    }
  }
}

TEST(Identity, BareFoldersAreComparedByWhatTheySay) {
  const auto bare = KeyValues::Parse("model: Tiny\nn_layers: 2\n");
  const auto notes = CheckIdentity(*bare, Config(), {.bare = true});
  ASSERT_TRUE(notes.ok()) << notes.status().ToString();
  EXPECT_THAT(*notes, Contains(HasSubstr("not checked: weights_sha256, tokenizer_sha256")));
  const auto wrong = KeyValues::Parse("n_layers: 3\n");
  EXPECT_EQ(CheckIdentity(*wrong, Config(), {.bare = true}).status().name(), "model_mismatch");
}

TEST(Compatible, CapacityBelowCpIsRefusedAndNamed) {
  MemoryFileSystem fs;
  const TestState state({});
  const auto snapshot = OpenSnapshot(fs, MustWrite(fs, state).folder);
  KeyValues live = snapshot->config;
  EXPECT_TRUE(CheckCompatible(*snapshot, live, 5).ok());
  const Status status = CheckCompatible(*snapshot, live, 4).status();
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(status.name(), "capacity");
  EXPECT_THAT(status.message(), HasSubstr("cp 5"));
  EXPECT_THAT(status.message(), HasSubstr("capacity is 4"));
}

}  // namespace
}  // namespace gyrator
