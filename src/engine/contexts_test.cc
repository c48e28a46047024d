// Saved folders without a model: what is taken in can be opened, and nothing is replaced.
#include "gyrator/contexts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/sha256.h"
#include "engine/engine_testing.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

class ContextsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    EngineOptions options;
    options.context = 64;
    options.sessions_max = 3;
    options.threads = 1;
    engine_ = MakeEngine(LoadGolden("llama3", ComputeType::kF32), options);
  }
  void TearDown() override { fs::remove_all(root_); }

  // A saved session of so many tokens.
  std::string Saved(int32_t tokens, const std::string& name = {}) {
    auto session = MakeSession(*engine_, 1);
    EXPECT_TRUE(session->Complete(Numbers(tokens, 3), Steps(1)).ok());
    auto saved = session->Save({.root = root_ + "/home", .name = name});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    return saved.ok() ? saved->folder : std::string();
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // A copy of a folder with one text replaced, and digests that are right.
  std::string Changed(const std::string& folder, const std::string& path, const std::string& from,
                      const std::string& to) {
    const std::string copy = root_ + "/changed";
    fs::remove_all(copy);
    fs::copy(folder, copy, fs::copy_options::recursive);
    std::string text = Read(copy + "/" + path);
    const size_t at = text.find(from);
    EXPECT_NE(std::string::npos, at) << from;
    text.replace(at, from.size(), to);
    std::ofstream(copy + "/" + path, std::ios::binary) << text;
    std::map<std::string, std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator(copy)) {
      const std::string name = fs::relative(entry.path(), copy);
      if (!entry.is_regular_file() || name == "metadata/manifest.txt") continue;
      const std::string bytes = Read(entry.path());
      lines[name] = HexText(Sha256Of(AsBytes(bytes))) + " " + std::to_string(bytes.size());
    }
    std::string manifest;
    for (const auto& [name, line] : lines) manifest += line + " " + name + "\n";
    manifest += "root " + HexText(Sha256Of(AsBytes(manifest))) + "\n";
    std::ofstream(copy + "/metadata/manifest.txt", std::ios::binary) << manifest;
    return copy;
  }

  std::string root_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(ContextsTest, VerifyAndImportRefuseWhatALoadRefuses) {
  const std::string folder = Saved(20);
  const std::string session = "metadata/session.txt";
  const std::pair<std::string, std::string> changes[] = {
      {"sampler.temperature: 0.8", "sampler.temperature: nan"},
      {"sampler.temperature: 0.8", "sampler.temperature: -1"},
      {"sampler.top_k: 40", "sampler.top_k: 1e3"},
      {"sampler.top_p: 0.95", "sampler.top_p: 2"},
      {"sampler.logit_bias: []", "sampler.logit_bias: [7]"},
      {"sampler.logit_bias: []", "sampler.logit_bias: [-1:0]"},
      {"rng.seed: 1", "rng.seed: -1"},
      {"rng.draws: 1", "rng.draws: x"},
      {"rng.algo: philox4x32-10", "rng.algo: mt19937"},
      {"rng.draws_at: []", "rng.draws_at: [1,2"},
      {"rng.draws_at: []", "rng.draws_at: [1]"},
      {"opaque_prefix: 0", "opaque_prefix: 99999"},
      {"opaque_prefix: 0", "opaque_prefix: -1"},
      {"opaque_prefix: 0", "opaque_prefix: x"},
  };
  for (const auto& [from, to] : changes) {
    const std::string changed = Changed(folder, session, from, to);
    const Status verified = VerifyContext(changed, {});
    const Status loaded = engine_->LoadSession(changed, nullptr).status();
    const Status taken = ImportContext(root_ + "/home", changed, "odd").status();
    EXPECT_FALSE(loaded.ok()) << to;
    EXPECT_EQ(loaded.code(), verified.code()) << to << ": " << verified.ToString();
    EXPECT_EQ(loaded.code(), taken.code()) << to << ": " << taken.ToString();
    EXPECT_NE(std::string::npos, verified.message().find("session.txt")) << verified.message();
  }
  const std::string chat = Changed(folder, "chat.json", "[]", R"([{"role":"god","content":""}])");
  EXPECT_EQ(Code::kCorruption, ImportContext(root_ + "/home", chat, "odd").status().code());
  EXPECT_EQ(Code::kCorruption, VerifyContext(chat, {}).code());
  EXPECT_EQ(Code::kNotFound, ResolveContext(root_ + "/home", "odd").status().code());
}

TEST_F(ContextsTest, AnImportNeverReplacesAContext) {
  const std::string mine = Saved(20, "mine"), other = Saved(30);
  const Status refused = ImportContext(root_ + "/home", other, "mine").status();
  EXPECT_EQ(Code::kInvalidArgument, refused.code());
  EXPECT_EQ("exists", refused.name());
  EXPECT_EQ(mine, *ResolveContext(root_ + "/home", "mine"));
  EXPECT_TRUE(VerifyContext(mine, {}).ok());
}

TEST_F(ContextsTest, AHeldContextStaysWhileItsNameGoesOn) {
  const std::string first = Saved(20, "talk");
  {
    const auto held = HoldContext(root_ + "/home", "talk");
    ASSERT_TRUE(held.ok()) << held.status().ToString();
    EXPECT_EQ(first, held->folder);
    Saved(30, "talk");
    EXPECT_TRUE(VerifyContext(first, {}).ok());
    EXPECT_TRUE(engine_->LoadSession(first, nullptr).ok());
    EXPECT_EQ(1u, ListContexts(root_ + "/home")->size());
  }
  Saved(40, "talk");
  EXPECT_FALSE(fs::exists(first)) << "the next save has removed it";
}

TEST_F(ContextsTest, NotesOfALoadAreToldOnce) {
  const std::string folder = Saved(20);
  std::ofstream(folder + "/newer.bin") << "of a newer version";
  const std::string newer = Changed(folder, "metadata/session.txt", "turn: 0", "turn: 0");
  LoadReport report;
  ASSERT_TRUE(engine_->LoadSession(newer, &report).ok());
  ASSERT_EQ(1u, report.notes.size());
  EXPECT_NE(std::string::npos, report.notes[0].find("newer.bin"));
}

TEST_F(ContextsTest, ASummaryIsWhatShowSaysWithoutTheTokens) {
  const std::string folder = Saved(20, "talk");
  const auto whole = ShowContext(folder), summary = SummarizeContext(folder);
  ASSERT_TRUE(whole.ok() && summary.ok());
  EXPECT_EQ(whole->entry.tokens, summary->entry.tokens);
  EXPECT_EQ(whole->entry.bytes, summary->entry.bytes);
  EXPECT_EQ(whole->entry.created, summary->entry.created);
  EXPECT_TRUE(summary->entry.created.ends_with("Z")) << summary->entry.created;
  EXPECT_EQ(whole->verification, summary->verification);
  EXPECT_EQ(whole->config, summary->config);
  EXPECT_EQ(20u, whole->tokens.size());
  EXPECT_TRUE(summary->tokens.empty());
}

}  // namespace
}  // namespace gyrator
