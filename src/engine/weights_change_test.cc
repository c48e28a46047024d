// What becomes of sessions whose model file changes under them.
#include <gtest/gtest.h>

#include "engine/engine_testing.h"
#include "engine/weights_testing.h"
#include "gyrator/contexts.h"

namespace gyrator {
namespace {

class ChangedWeights : public testing::Test {
 protected:
  ChangedWeights() {
    WriteAllOf(path_, ReadTree("tests/golden/models/llama3.f32.gguf"));
    WaitForTick(path_);
    Load();
  }

  void Load() {
    auto loaded = Model::Load(
        path_, {.compute = ComputeType::kF32,
                .isa = "auto",
                .threads = 1,
                .digest_cache = root_ + "/digests",
                .progress = [this](std::string_view what, uint64_t done, uint64_t total) {
                  hashed_ += what == "hashing weights" && done == total;
                }});
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    session_.reset();
    model_ = *std::move(loaded);
    engine_ = MakeEngine(model_, {.context = 64});
    session_ = MakeSession(*engine_, 1);
  }

  Result<SaveReport> TalkAndSave() {
    EXPECT_TRUE(session_->Complete(Numbers(10, 3), Steps(2)).ok());
    return session_->Save({.root = root_ + "/contexts", .name = "talk"});
  }

  // Changes one weight in the middle of the file.
  void Overwrite() { OverwriteInPlace(path_, std::filesystem::file_size(path_) / 2, "\x01\x02"); }

  void ExpectRefused(const Status& status) {
    EXPECT_EQ(Code::kMismatch, status.code()) << status.ToString();
    EXPECT_EQ("model_changed", status.name());
    EXPECT_NE(std::string::npos, status.message().find(path_));
  }

  const std::string root_ = FreshFolder();
  const std::string path_ = root_ + "/model.gguf";
  int hashed_ = 0;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
};

TEST_F(ChangedWeights, ASaveIsRefusedAndTheLastSavedStateStays) {
  const auto saved = TalkAndSave();
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  Overwrite();
  ExpectRefused(TalkAndSave().status());
  EXPECT_EQ(saved->folder, *ResolveContext(root_ + "/contexts", "talk"));
  EXPECT_TRUE(VerifyContext(saved->folder, {}).ok());
  ExpectRefused(engine_->LoadSession(saved->folder, nullptr).status());
  // The file is another model now, and says so.
  Load();
  const Status other = engine_->LoadSession(saved->folder, nullptr).status();
  EXPECT_EQ("model_mismatch", other.name());
  EXPECT_NE(std::string::npos, other.message().find("weights_sha256"));
}

TEST_F(ChangedWeights, ASaveOfWeightsThatNobodyHashedIsRefused) {
  Overwrite();
  ExpectRefused(TalkAndSave().status());
  EXPECT_EQ(Code::kNotFound, ResolveContext(root_ + "/contexts", "talk").status().code());
}

TEST_F(ChangedWeights, AFileThatIsReplacedChangesNothingForWhoMappedIt) {
  ASSERT_TRUE(TalkAndSave().ok());
  const std::string digest = *model_->WeightsDigest(false);
  std::string other = ReadTree("tests/golden/models/llama3.f32.gguf");
  other[other.size() / 2] ^= 1;
  WriteAllOf(root_ + "/other", other);
  std::filesystem::rename(root_ + "/other", path_);
  const auto saved = TalkAndSave();
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(digest, *model_->WeightsDigest(false));
  EXPECT_TRUE(engine_->LoadSession(saved->folder, nullptr).ok());
  Load();  // the other one
  EXPECT_NE(digest, *model_->WeightsDigest(false));
  EXPECT_EQ(*model_->WeightsDigest(true), *model_->WeightsDigest(false));
  EXPECT_EQ("model_mismatch", engine_->LoadSession(saved->folder, nullptr).status().name());
}

TEST_F(ChangedWeights, AModelIsHashedOnceForAllItsSavesAndLoads) {
  auto loaded =
      Model::Load(path_, {.compute = ComputeType::kF32,
                          .isa = "auto",
                          .threads = 1,
                          .digest_cache = {},
                          .progress = [this](std::string_view what, uint64_t done, uint64_t total) {
                            hashed_ += what == "hashing weights" && done == total;
                          }});
  ASSERT_TRUE(loaded.ok());
  session_.reset();
  hashed_ = 0;
  for (int engines = 0; engines < 2; ++engines) {
    auto engine = MakeEngine(*loaded, {.context = 64});
    auto session = MakeSession(*engine, 1);
    ASSERT_TRUE(session->Complete(Numbers(10, 3), Steps(2)).ok());
    for (int i = 0; i < 3; ++i) {
      const auto saved = session->Save({.root = root_ + "/contexts", .name = {}});
      ASSERT_TRUE(saved.ok()) << saved.status().ToString();
      ASSERT_TRUE(engine->LoadSession(saved->folder, nullptr).ok());
    }
  }
  EXPECT_GE(hashed_, 1);
  EXPECT_LE(hashed_, 2);  // "done" may be told twice at the end of one run
}

}  // namespace
}  // namespace gyrator
