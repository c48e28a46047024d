// Conversations with the shipped model: turns, pending replies, folders without a chat log, and the
// verdict on every kind of other model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/source_path_testing.h"
#include "gyrator/contexts.h"
#include "gyrator/engine.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

const std::string kShipped = SourcePath("models/gyrator-chat.gguf");

std::shared_ptr<const Model> LoadModelAt(const std::string& path) {
  auto model = Model::Load(
      path, {.compute = {}, .isa = "auto", .threads = 1, .digest_cache = {}, .progress = {}});
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  return model.ok() ? *std::move(model) : nullptr;
}

std::unique_ptr<Engine> MakeEngine(std::shared_ptr<const Model> model) {
  EngineOptions options;
  options.context = 512;
  options.sessions_max = 2;
  options.threads = 1;
  auto engine = Engine::Create(std::move(model), options);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *std::move(engine);
}

SamplerOptions Sampled() {
  SamplerOptions options;
  options.seed = 5;
  return options;
}

GenerateOptions Short() {
  GenerateOptions options;
  options.tokens_max = 12;
  return options;
}

Message User(std::string text) {
  return {.role = "user", .content = std::move(text), .extras = {}};
}

std::string ReadBytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteBytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class ChatTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = LoadModelAt(kShipped); }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override {
    root_ = testing::TempDir() + "chat_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_);
    engine_ = MakeEngine(model_);
  }
  void TearDown() override { fs::remove_all(root_); }

  // Two turns, so that there is something to lose.
  std::unique_ptr<Session> Talked() {
    auto session = *engine_->NewSession({.sampler = Sampled()});
    for (const char* line : {"My name is Ada.", "I live in Oslo."}) {
      EXPECT_TRUE(session->Append(User(line)).ok());
      EXPECT_TRUE(session->Respond(Short()).ok());
    }
    return session;
  }

  static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
  std::string root_;
};

std::shared_ptr<const Model> ChatTest::model_;

TEST_F(ChatTest, ATurnDecodesWhatIsNewAndKeepsTheTranscript) {
  auto session = *engine_->NewSession({.sampler = Sampled()});
  ASSERT_TRUE(session->Append(User("Hello.")).ok());
  EXPECT_EQ(Phase::kPending, session->info().phase);
  auto first = session->Respond(Short());
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(Phase::kRunning, session->info().phase);
  EXPECT_EQ(2u, session->transcript().size());
  EXPECT_EQ(first->text, session->transcript()[1].content);
  const int32_t before = session->info().cp;
  ASSERT_TRUE(session->Append(User("And now?")).ok());
  auto second = session->Respond(Short());
  ASSERT_TRUE(second.ok());
  EXPECT_GT(second->tokens_reused, 0);
  EXPECT_LE(second->tokens_reused, before);
  EXPECT_EQ(2, session->info().turns);
}

TEST_F(ChatTest, TheStreamIsTheReply) {
  auto session = *engine_->NewSession({.sampler = Sampled()});
  ASSERT_TRUE(session->Append(User("Hello.")).ok());
  std::string streamed;
  GenerateOptions options = Short();
  options.on_text = [&](std::string_view piece) {
    streamed += piece;
    return true;
  };
  auto reply = session->Respond(options);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(streamed, reply->text);
}

TEST_F(ChatTest, WithoutAnEndNoTokenOfTheEndIsDrawn) {
  auto session = *engine_->NewSession({.sampler = Sampled()});
  ASSERT_TRUE(session->Append(User("My name is Ada.")).ok());
  GenerateOptions options;
  options.tokens_max = 60;
  options.ignore_end = true;
  const auto reply = session->Respond(options);
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  EXPECT_EQ(60u, reply->tokens.size());
  for (const TokenId end : model_->text()->end_of_generation()) {
    EXPECT_EQ(0, std::ranges::count(reply->tokens, end)) << end;
  }
}

TEST_F(ChatTest, ACancelledReplyStaysAsFarAsItGot) {
  auto session = *engine_->NewSession({.sampler = Sampled()});
  ASSERT_TRUE(session->Append(User("Hello.")).ok());
  GenerateOptions options;
  options.ignore_end = true;
  int pieces = 0;
  options.on_text = [&](std::string_view) { return ++pieces < 3; };
  auto reply = session->Respond(options);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(StopReason::kCancelled, reply->stop);
  EXPECT_EQ(reply->text, session->transcript().back().content);
  EXPECT_EQ(Phase::kRunning, session->info().phase);
}

// The state saved with the user's line but before its reply: the restored reply is the same.
TEST_F(ChatTest, APendingReplyIsMadeAgainWordForWord) {
  auto session = Talked();
  ASSERT_TRUE(session->Append(User("What is my name?")).ok());
  auto saved = session->Save({.root = root_, .name = "ada"});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto details = ShowContext(saved->folder);
  ASSERT_TRUE(details.ok()) << details.status().ToString();
  const std::pair<std::string, std::string> phase = {"phase", "pending"};
  EXPECT_EQ(1, std::ranges::count(details->session, phase));
  auto expected = session->Respond(Short());
  const auto other = MakeEngine(model_);  // which has computed nothing that could be shared
  auto restored = other->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(Phase::kPending, (*restored)->info().phase);
  auto got = (*restored)->Respond(Short());
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(expected->text, got->text);
  EXPECT_EQ(expected->tokens, got->tokens);
  EXPECT_EQ(expected->tokens_decoded, got->tokens_decoded);  // the restored cache was used
}

// What a parked session saves is what it would have saved.
TEST_F(ChatTest, AParkedSessionSavesTheSameChat) {
  auto session = Talked();
  const auto before = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(before.ok()) << before.status().ToString();
  std::vector<std::unique_ptr<Session>> others;
  for (TokenId i = 0; engine_->stats().parked == 0 && i < 4; ++i) {
    others.push_back(*engine_->NewSession({.sampler = Sampled()}));
    ASSERT_TRUE(others.back()->Complete(std::vector<TokenId>(500, 30 + i), {.tokens_max = 0}).ok());
  }
  ASSERT_EQ(1, engine_->stats().parked);
  const auto after = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  EXPECT_GT(engine_->stats().tokens_lost, 0u);
  for (const char* file :
       {"chat.json", "input_ids.npy", "logits.npy", "past_key_values/0_key.npy"}) {
    EXPECT_EQ(ReadBytes(fs::path(before->folder) / file), ReadBytes(fs::path(after->folder) / file))
        << file;
  }
}

// A v1.0 folder as the first description has it: ids, mask, positions, K and V, config; no more.
TEST_F(ChatTest, ABareFolderGoesOnFromItsTokens) {
  auto session = Talked();
  const std::vector<TokenId> history = session->tokens();
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok());
  for (const char* file : {"chat.json", "logits.npy", "metadata/manifest.txt",
                           "metadata/session.txt", "metadata/protocol.txt", "metadata/keylog.txt",
                           "metadata/obfchain.txt", "metadata/window.txt"}) {
    fs::remove(fs::path(saved->folder) / file);
  }
  LoadReport report;
  auto bare = engine_->LoadSession(saved->folder, &report);
  ASSERT_TRUE(bare.ok()) << bare.status().ToString();
  EXPECT_EQ("bare", report.verification);
  EXPECT_TRUE((*bare)->info().opaque_prefix);
  EXPECT_FALSE(report.notes.empty());
  ASSERT_TRUE((*bare)->Append(User("What is my name?")).ok());
  auto reply = (*bare)->Respond(Short());
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  // Nothing of the restored cache was thrown away.
  EXPECT_GE(reply->tokens_reused, static_cast<int32_t>(history.size()) - 1);
  const std::vector<TokenId> tokens = (*bare)->tokens();
  ASSERT_GE(tokens.size(), history.size());
  EXPECT_TRUE(std::equal(history.begin(), history.end(), tokens.begin()));
  // Saved again, it is a full folder that remembers its opaque prefix.
  auto again = (*bare)->Save({.root = root_, .name = {}});
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  auto full = engine_->LoadSession(again->folder, &report);
  ASSERT_TRUE(full.ok()) << full.status().ToString();
  EXPECT_EQ("full", report.verification);
  EXPECT_TRUE((*full)->info().opaque_prefix);
}

// Copies of the shipped model with one thing changed, and the documented verdict on each.
class IdentityTest : public ChatTest {
 protected:
  void SetUp() override {
    ChatTest::SetUp();
    bytes_ = ReadBytes(kShipped);
    auto saved = Talked()->Save({.root = root_, .name = {}});
    ASSERT_TRUE(saved.ok());
    folder_ = saved->folder;
  }

  // The load's outcome on a model whose file has `change` made to it.
  Status VerdictOn(const std::string& changed, LoadReport* report = nullptr) {
    const std::string path = root_ + "/changed.gguf";
    WriteBytes(path, changed);
    auto engine = MakeEngine(LoadModelAt(path));
    return engine->LoadSession(folder_, report).status();
  }

  // Position just after the first occurrence of `text`.
  size_t After(const std::string& text) const {
    const size_t at = bytes_.find(text);
    EXPECT_NE(std::string::npos, at) << text;
    return at + text.size();
  }

  std::string bytes_, folder_;
};

TEST_F(IdentityTest, TheSameFileElsewhereIsTheSameModel) {
  LoadReport report;
  EXPECT_TRUE(VerdictOn(bytes_, &report).ok());
  EXPECT_TRUE(report.notes.empty());
}

TEST_F(IdentityTest, OtherWeightsAreRefused) {
  std::string changed = bytes_;
  changed[changed.size() - 100] ^= 1;
  const Status status = VerdictOn(changed);
  EXPECT_EQ(Code::kMismatch, status.code());
  EXPECT_EQ("model_mismatch", status.name());
  EXPECT_NE(std::string::npos, status.message().find("weights_sha256"));
}

TEST_F(IdentityTest, AnotherRopeIsRefused) {
  std::string changed = bytes_;
  const size_t at = After("llama.rope.freq_base") + 4;  // key, u32 type, f32 value
  const float theta = 12345.0f;
  std::memcpy(changed.data() + at, &theta, sizeof(theta));
  const Status status = VerdictOn(changed);
  EXPECT_EQ(Code::kMismatch, status.code());
  EXPECT_NE(std::string::npos, status.message().find("rope.theta"));
}

TEST_F(IdentityTest, AnotherTokenizerIsRefused) {
  // Swaps two merges: other ids for some texts.
  std::string changed = bytes_;
  const size_t list = After("tokenizer.ggml.merges") + 4 + 4 + 8;  // array, element type, count
  uint64_t first = 0, second = 0;
  std::memcpy(&first, changed.data() + list, 8);
  std::memcpy(&second, changed.data() + list + 8 + first, 8);
  ASSERT_LT(first + second, 64u);
  const std::string one = changed.substr(list, 8 + first);
  const std::string two = changed.substr(list + 8 + first, 8 + second);
  ASSERT_NE(one, two);
  changed.replace(list, one.size() + two.size(), two + one);
  const Status status = VerdictOn(changed);
  EXPECT_EQ(Code::kMismatch, status.code());
  EXPECT_NE(std::string::npos, status.message().find("tokenizer_sha256"));
}

TEST_F(IdentityTest, AnotherTemplateIsReportedAndTheTokensStay) {
  std::string changed = bytes_;
  const size_t at = changed.find("{%", After("tokenizer.chat_template"));
  ASSERT_NE(std::string::npos, at);
  changed[at + 2] = changed[at + 2] == ' ' ? '-' : ' ';
  LoadReport report;
  const Status status = VerdictOn(changed, &report);
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_EQ(1u, report.notes.size());
  EXPECT_NE(std::string::npos, report.notes[0].find("template_sha256"));
}

TEST_F(IdentityTest, AnotherGeometryIsRefused) {
  auto engine = MakeEngine(LoadModelAt(SourcePath("tests/golden/models/llama3.f32.gguf")));
  EXPECT_EQ(Code::kMismatch, engine->LoadSession(folder_, nullptr).status().code());
}

TEST_F(ChatTest, ContextsAreListedShownVerifiedAndRemoved) {
  ASSERT_TRUE(Talked()->Save({.root = root_, .name = "ada"}).ok());
  auto list = ListContexts(root_);
  ASSERT_TRUE(list.ok()) << list.status().ToString();
  ASSERT_EQ(1u, list->size());
  EXPECT_EQ("ada", (*list)[0].name);
  EXPECT_EQ(2, (*list)[0].turns);
  auto folder = ResolveContext(root_, "ada");
  ASSERT_TRUE(folder.ok());
  auto details = ShowContext(*folder);
  ASSERT_TRUE(details.ok()) << details.status().ToString();
  EXPECT_EQ(4u, details->transcript.size());
  EXPECT_EQ("My name is Ada.", details->transcript[0].content);
  EXPECT_TRUE(VerifyContext(*folder, {}).ok());
  auto copy = ImportContext(root_ + "/other", *folder, "copy");
  ASSERT_TRUE(copy.ok()) << copy.status().ToString();
  EXPECT_TRUE(VerifyContext(copy->folder, {}).ok());
  EXPECT_TRUE(RemoveContext(root_, "ada").ok());
  EXPECT_EQ(Code::kNotFound, ResolveContext(root_, "ada").status().code());
  EXPECT_EQ(Code::kNotFound, RemoveContext(root_, "ada").code());
}

}  // namespace
}  // namespace gyrator
