// Sessions on tiny random models of real families, token ids only: positions, reuse, capacity,
// saving.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/source_path_testing.h"
#include "engine/engine_testing.h"
#include "gyrator/contexts.h"

namespace gyrator {
namespace {

std::unique_ptr<Engine> MakeEngine(const std::shared_ptr<const Model>& model, int32_t context,
                                   int32_t sessions = 1) {
  EngineOptions options;
  options.context = context;
  options.sessions_max = sessions;
  options.threads = 1;
  return MakeEngine(model, options);
}

SamplerOptions Greedy() {
  SamplerOptions options;
  options.temperature = 0;
  return options;
}

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "session_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<Engine> engine_ = MakeEngine(LoadGolden("llama3", ComputeType::kF32), 64, 2);
  std::string root_;
};

TEST_F(SessionTest, ANewSessionHoldsNothing) {
  auto session = engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session.ok());
  const SessionInfo info = (*session)->info();
  EXPECT_EQ(0, info.cp);
  EXPECT_EQ(64, info.capacity);
  EXPECT_EQ(Phase::kNew, info.phase);
  EXPECT_TRUE((*session)->tokens().empty());
  EXPECT_TRUE((*session)->last_logits().empty());
}

TEST_F(SessionTest, DecodesOnlyWhatIsNotInTheCache) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  auto first = session->Complete(Numbers(20, 3), Steps(0));
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(0, first->tokens_reused);
  EXPECT_EQ(20, first->tokens_decoded);
  EXPECT_EQ(20, session->info().cp);
  auto longer = session->Complete(Numbers(25, 3), Steps(0));
  EXPECT_EQ(20, longer->tokens_reused);
  EXPECT_EQ(5, longer->tokens_decoded);
  auto edited = Numbers(25, 3);
  edited[10] = 249;
  EXPECT_EQ(10, session->Complete(edited, Steps(0))->tokens_reused);
  // The whole prompt is cached and so are its logits: nothing is decoded.
  EXPECT_EQ(0, session->Complete(edited, Steps(1))->tokens_decoded);
  // A proper prefix has no logits any more: its last token is decoded again.
  EXPECT_EQ(1, session->Complete(Numbers(10, 3), Steps(0))->tokens_decoded);
}

TEST_F(SessionTest, AnEditOfTheLastTokenAloneIsSeen) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(25, 3), Steps(0)).ok());
  auto edited = Numbers(25, 3);
  edited[24] = 248;
  EXPECT_EQ(24, session->Complete(edited, Steps(0))->tokens_reused);
  auto fresh = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(fresh->Complete(edited, Steps(0)).ok());
  EXPECT_TRUE(std::ranges::equal(fresh->tokens(), session->tokens()));
  EXPECT_TRUE(std::ranges::equal(fresh->last_logits(), session->last_logits()));
}

TEST_F(SessionTest, CapacityIsATypedErrorThatNamesCapacityAndCp) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(60, 3), Steps(0)).ok());
  auto too_long = session->Complete(Numbers(65, 3), Steps(0));
  ASSERT_FALSE(too_long.ok());
  EXPECT_EQ(Code::kExhausted, too_long.status().code());
  EXPECT_EQ("capacity", too_long.status().name());
  EXPECT_NE(std::string::npos, too_long.status().message().find("64 tokens"));
  EXPECT_NE(std::string::npos, too_long.status().message().find("cp 60"));
  EXPECT_EQ(60, session->info().cp);
  // The session still works.
  EXPECT_TRUE(session->Complete(Numbers(30, 3), Steps(2)).ok());
}

// The last token of the reply needs no place: it is sampled from the last one's.
TEST_F(SessionTest, AReplyThatFillsTheCapacityIsAReply) {
  for (const int32_t prompt : {1, 60, 63, 64}) {
    auto session = *engine_->NewSession({.sampler = Greedy()});
    const auto filled = session->Complete(Numbers(prompt, 3), Steps(100));
    ASSERT_TRUE(filled.ok()) << prompt << " " << filled.status().ToString();
    EXPECT_EQ(StopReason::kLength, filled->stop);
    EXPECT_EQ(64 - prompt + 1, std::ssize(filled->tokens));
    EXPECT_EQ(64, session->info().cp);
    EXPECT_EQ(64u, session->tokens().size());
    auto again = *engine_->NewSession({.sampler = Greedy()});
    const auto counted = again->Complete(Numbers(prompt, 3), Steps(64 - prompt + 1));
    EXPECT_EQ(counted->tokens, filled->tokens);
    EXPECT_TRUE(std::ranges::equal(again->last_logits(), session->last_logits()));
    EXPECT_TRUE(session->Complete(Numbers(30, 3), Steps(2)).ok());
  }
}

TEST_F(SessionTest, RefusesTokensThatTheModelDoesNotHave) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  for (TokenId bad : {-1, 1 << 20}) {
    auto reply = session->Complete(std::vector<TokenId>{1, bad}, Steps(1));
    EXPECT_EQ(Code::kInvalidArgument, reply.status().code());
  }
  EXPECT_EQ(Code::kInvalidArgument, session->Complete({}, Steps(1)).status().code());
  EXPECT_EQ(0, session->info().cp);
}

TEST_F(SessionTest, AModelWithoutTokenizerTakesIdsOnly) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Append({.role = "user", .content = "hi", .extras = {}}).ok());
  EXPECT_EQ(Code::kUnsupported, session->Respond(Steps(1)).status().code());
}

TEST_F(SessionTest, MessagesAreChecked) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  EXPECT_EQ(Code::kInvalidArgument,
            session->Append({.role = "oracle", .content = "x", .extras = {}}).code());
  EXPECT_EQ(Code::kInvalidArgument,
            session->Append({.role = "user", .content = "\xff", .extras = {}}).code());
  EXPECT_EQ(Code::kInvalidArgument,
            session->Append({.role = "user", .content = "x", .extras = "[1]"}).code());
  EXPECT_TRUE(session->transcript().empty());
  EXPECT_EQ(Code::kInvalidArgument, session->Respond(Steps(1)).status().code());
}

TEST_F(SessionTest, ABadRequestOfABatchFailsAlone) {
  auto good = *engine_->NewSession({.sampler = Greedy()});
  auto bad = *engine_->NewSession({.sampler = Greedy()});
  std::vector<BatchRequest> requests;
  requests.push_back({bad.get(), {1, 9999999}, Steps(3)});
  requests.push_back({good.get(), Numbers(12, 3), Steps(3)});
  auto replies = engine_->Run(requests);
  EXPECT_FALSE(replies[0].ok());
  ASSERT_TRUE(replies[1].ok());
  EXPECT_EQ(3u, replies[1]->tokens.size());
}

// Values of a folder that nobody vouches for, as large as their type allows: int8 cannot go on.
TEST_F(SessionTest, OneWhoseNumbersOverflowFailsAloneInItsBatch) {
  auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kInt8), 64, 3);
  auto session = *engine->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(1)).ok());
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  for (const char* left_out :
       {"chat.json", "logits.npy", "metadata/manifest.txt", "metadata/session.txt",
        "metadata/protocol.txt", "metadata/keylog.txt", "metadata/obfchain.txt",
        "metadata/window.txt"}) {
    std::filesystem::remove(saved->folder + "/" + left_out);
  }
  const std::string file = saved->folder + "/past_key_values/1_value.npy";
  const auto size = std::filesystem::file_size(file);
  {
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(128);
    damage << std::string(size - 128, '\x7f');
  }
  auto broken = engine->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(broken.ok()) << broken.status().ToString();
  auto a = *engine->NewSession({.sampler = Greedy()}),
       b = *engine->NewSession({.sampler = Greedy()});
  std::vector<BatchRequest> requests;
  requests.push_back({a.get(), Numbers(12, 30), Steps(3)});
  requests.push_back({broken->get(), Join(Numbers(20, 3), {9, 8}), Steps(3)});
  requests.push_back({b.get(), Numbers(9, 60), Steps(3)});
  const auto replies = engine->Run(requests);
  EXPECT_EQ("not_finite", replies[1].status().name());
  auto quiet = MakeEngine(LoadGolden("llama3", ComputeType::kInt8), 64);
  auto alone = *quiet->NewSession({.sampler = Greedy()});
  for (const auto& [reply, prompt] :
       {std::pair(&replies[0], Numbers(12, 30)), std::pair(&replies[2], Numbers(9, 60))}) {
    ASSERT_TRUE(reply->ok()) << reply->status().ToString();
    EXPECT_EQ(alone->Complete(prompt, Steps(3))->tokens, (*reply)->tokens);
  }
  EXPECT_EQ(1u, engine->stats().requests_failed);
}

TEST_F(SessionTest, PromptLogitsComeForEveryPositionBeforeTheLast) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(40, 3), Steps(0))
                  .ok());  // cached; the rows are wanted all the same
  std::vector<std::vector<float>> rows;
  GenerateOptions options = Steps(2);
  options.on_prompt_logits = [&](std::span<const float> row) {
    rows.emplace_back(row.begin(), row.end());
  };
  size_t steps = 0;
  options.on_logits = [&](std::span<const float>) { ++steps; };
  ASSERT_TRUE(session->Complete(Numbers(40, 3), options).ok());
  EXPECT_EQ(39u, rows.size());
  EXPECT_EQ(2u, steps);
  // Row p is what a prompt of p + 1 tokens ends with.
  auto shorter = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(shorter->Complete(Numbers(21, 3), Steps(0)).ok());
  ASSERT_EQ(rows[20].size(), shorter->last_logits().size());
  EXPECT_EQ(0, std::memcmp(rows[20].data(), shorter->last_logits().data(),
                           rows[20].size() * sizeof(float)));
}

TEST_F(SessionTest, PromptLogitsComeOnceWithoutTheCacheToo) {
  EngineOptions options;
  options.context = 64;
  options.threads = 1;
  options.use_cache = false;
  auto engine = *Engine::Create(LoadGolden("llama3", ComputeType::kF32), options);
  auto session = *engine->NewSession({.sampler = Greedy()});
  int rows = 0;
  GenerateOptions generate = Steps(3);
  generate.on_prompt_logits = [&](std::span<const float>) { ++rows; };
  ASSERT_TRUE(session->Complete(Numbers(5, 3), generate).ok());
  EXPECT_EQ(4, rows);
}

TEST_F(SessionTest, SavedAndLoadedIsTheSameSession) {
  SamplerOptions sampler;
  sampler.seed = 11;
  sampler.repeat_penalty = 1.2f;
  sampler.logit_bias = {{5, 0.25f}, {6, -1e-7f}};
  auto session = *engine_->NewSession({.sampler = sampler});
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(6)).ok());
  auto saved = session->Save({.root = root_, .name = "x"});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  LoadReport report;
  auto loaded = engine_->LoadSession(saved->folder, &report);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ("full", report.verification);
  EXPECT_TRUE(report.notes.empty()) << report.notes[0];
  EXPECT_EQ(session->info().id, (*loaded)->info().id);
  EXPECT_EQ(saved->root_digest, (*loaded)->info().parent);
  EXPECT_EQ(saved->root_digest, session->info().parent);  // of what is saved next
  EXPECT_EQ(session->sampler(), (*loaded)->sampler());
  std::vector<TokenId> prefix = session->tokens();
  const auto expected = session->Complete(prefix, Steps(8));
  const auto got = (*loaded)->Complete(prefix, Steps(8));
  EXPECT_EQ(expected->tokens, got->tokens);
  EXPECT_EQ(0, got->tokens_decoded);  // from the stored logits
}

// Stopped in the middle of its reply, saved, loaded elsewhere: as one that was never stopped.
TEST_F(SessionTest, LoadedInTheMiddleItGoesOnAsOneThatWasNeverStopped) {
  const auto prompt = Numbers(20, 3);
  const auto model = LoadGolden("llama3", ComputeType::kF32);
  auto uninterrupted = *engine_->NewSession({.sampler = Greedy()});
  const auto all = uninterrupted->Complete(prompt, Steps(24))->tokens;
  auto session = *engine_->NewSession({.sampler = Greedy()});
  const auto begun = session->Complete(prompt, Steps(9))->tokens;
  ASSERT_TRUE(std::equal(begun.begin(), begun.end(), all.begin()));
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto elsewhere = MakeEngine(model, 64);
  auto loaded = elsewhere->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(0u, elsewhere->stats().tokens_decoded);
  const auto rest = (*loaded)->Complete(Join(prompt, begun), Steps(15));
  ASSERT_TRUE(rest.ok()) << rest.status().ToString();
  EXPECT_EQ(1, rest->tokens_decoded);  // the last sampled token, which no pass had seen yet
  EXPECT_EQ(15u, elsewhere->stats().tokens_decoded);
  EXPECT_EQ(all, Join(begun, rest->tokens));
  EXPECT_TRUE(std::ranges::equal(uninterrupted->last_logits(), (*loaded)->last_logits()));
}

TEST_F(SessionTest, AnEmptySessionSavesAndLoads) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  auto loaded = engine_->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(0, (*loaded)->info().cp);
}

// Every mismatch has its verdict (spec 5.3), and refusing touches no live session.
TEST_F(SessionTest, AnotherModelOrCapacityIsRefusedByName) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(40, 3), Steps(1)).ok());
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok());

  const auto verdict = [&](Engine& engine) {
    return engine.LoadSession(saved->folder, nullptr).status();
  };
  auto other_weights = MakeEngine(LoadGolden("llama2", ComputeType::kF32), 64);
  EXPECT_EQ(Code::kMismatch, verdict(*other_weights).code());
  EXPECT_EQ("model_mismatch", verdict(*other_weights).name());
  EXPECT_NE(std::string::npos, verdict(*other_weights).message().find("weights_sha256"));
  auto other_compute = MakeEngine(LoadGolden("llama3", ComputeType::kBF16), 64);
  EXPECT_EQ(Code::kMismatch, verdict(*other_compute).code());
  EngineOptions int8_kv;
  int8_kv.context = 64;
  int8_kv.kv_dtype = DType::kI8;
  auto other_kv = *Engine::Create(LoadGolden("llama3", ComputeType::kF32), int8_kv);
  EXPECT_EQ("model_mismatch", verdict(*other_kv).name());
  EXPECT_NE(std::string::npos, verdict(*other_kv).message().find("kv_dtype"));
  auto small = MakeEngine(LoadGolden("llama3", ComputeType::kF32), 32);
  EXPECT_EQ(Code::kExhausted, verdict(*small).code());
  EXPECT_EQ("capacity", verdict(*small).name());
  auto large = MakeEngine(LoadGolden("llama3", ComputeType::kF32), 128);
  LoadReport report;
  auto grown = large->LoadSession(saved->folder, &report);
  ASSERT_TRUE(grown.ok());
  EXPECT_EQ(1u, report.notes.size());  // another capacity is only reported
  std::vector<TokenId> prefix = session->tokens();
  EXPECT_EQ(session->Complete(prefix, Steps(5))->tokens,
            (*grown)->Complete(prefix, Steps(5))->tokens);
}

// Saved, shown and continued: the same tokens, from the same logits.
TEST_F(SessionTest, KeysAndValuesInInt8AreSavedAndGoOn) {
  EngineOptions options;
  options.context = 64;
  options.sessions_max = 2;
  options.kv_dtype = DType::kI8;
  auto engine = *Engine::Create(LoadGolden("llama3", ComputeType::kInt8), options);
  auto session = *engine->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(40, 3), Steps(5)).ok());
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto details = ShowContext(saved->folder);
  ASSERT_TRUE(details.ok()) << details.status().ToString();
  for (const auto& line : {std::pair<std::string, std::string>("dtype", "int8"),
                           std::pair<std::string, std::string>("kv_dtype", "int8")}) {
    EXPECT_NE(details->config.end(),
              std::find(details->config.begin(), details->config.end(), line));
  }
  auto loaded = engine->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  std::vector<TokenId> prefix = session->tokens();
  prefix.push_back(5);
  const auto expected = session->Complete(prefix, Steps(8));
  const auto got = (*loaded)->Complete(prefix, Steps(8));
  EXPECT_EQ(expected->tokens, got->tokens);
  EXPECT_EQ(1, got->tokens_decoded);
  EXPECT_TRUE(std::ranges::equal(session->last_logits(), (*loaded)->last_logits()));
}

TEST_F(SessionTest, OtherNumericsOfBf16AreReported) {
  auto dots = MakeEngine(LoadGolden("llama3", ComputeType::kBF16, "ref"), 64);
  auto session = *dots->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(1)).ok());
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  auto tiles = MakeEngine(LoadGolden("llama3", ComputeType::kBF16, "amx"), 64);
  LoadReport report;
  ASSERT_TRUE(tiles->LoadSession(saved->folder, &report).ok());
  ASSERT_EQ(1u, report.notes.size());
  for (const char* part : {"numerics", "bf16.dp.v1", "bf16.amx.v1"}) {
    EXPECT_NE(std::string::npos, report.notes[0].find(part)) << report.notes[0];
  }
}

TEST_F(SessionTest, ADamagedFolderIsRefusedAndTheLiveSessionGoesOn) {
  auto session = *engine_->NewSession({.sampler = Greedy()});
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(1)).ok());
  auto saved = session->Save({.root = root_, .name = {}});
  ASSERT_TRUE(saved.ok());
  const std::string file = saved->folder + "/past_key_values/1_value.npy";
  {
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(500);
    damage.put('!');
  }
  const Status status = engine_->LoadSession(saved->folder, nullptr).status();
  EXPECT_EQ(Code::kCorruption, status.code());
  EXPECT_NE(std::string::npos, status.message().find("1_value.npy")) << status.message();
  // Its blocks are free again: a full second session fits.
  auto second = *engine_->NewSession({.sampler = Greedy()});
  EXPECT_TRUE(second->Complete(Numbers(60, 3), Steps(1)).ok());
  EXPECT_TRUE(session->Complete(Numbers(30, 3), Steps(1)).ok());
}

TEST_F(SessionTest, AnotherSeedStartsItsOwnStream) {
  SamplerOptions sampler;
  sampler.seed = 1;
  auto session = *engine_->NewSession({.sampler = sampler});
  const auto first = session->Complete(Numbers(8, 3), Steps(10))->tokens;
  sampler.temperature = 0.81f;
  ASSERT_TRUE(session->SetSampler(sampler).ok());  // same seed: the stream goes on
  const auto second = session->Complete(Numbers(8, 3), Steps(10))->tokens;
  EXPECT_NE(first, second);
  sampler.seed = 2;
  ASSERT_TRUE(session->SetSampler(sampler).ok());  // another seed: its stream from the beginning
  auto fresh = *engine_->NewSession({.sampler = sampler});
  EXPECT_EQ(fresh->Complete(Numbers(8, 3), Steps(10))->tokens,
            session->Complete(Numbers(8, 3), Steps(10))->tokens);
  sampler.top_p = 2;
  EXPECT_EQ(Code::kInvalidArgument, session->SetSampler(sampler).code());
}

TEST(Engine, RefusesWhatItCannotServe) {
  auto model = LoadGolden("llama3", ComputeType::kF32);
  EngineOptions options;
  options.context = 1 << 20;
  EXPECT_EQ(Code::kInvalidArgument, Engine::Create(model, options).status().code());
  options.context = 32;
  options.kv_dtype = DType::kI16;
  EXPECT_EQ(Code::kInvalidArgument, Engine::Create(model, options).status().code());
  options.kv_dtype = DType::kI8;  // heads of 16
  EXPECT_EQ(Code::kUnsupported,
            Engine::Create(LoadGolden("llama2", ComputeType::kF32), options).status().code());
  EXPECT_EQ(
      Code::kInvalidArgument,
      Model::Load(SourcePath("tests/golden/models/llama3"),
                  {.compute = {}, .isa = "sse9", .threads = 1, .digest_cache = {}, .progress = {}})
          .status()
          .code());
  EXPECT_EQ(Code::kNotFound,
            Model::Load(SourcePath("tests/golden/models/nothing"), {}).status().code());
}

}  // namespace
}  // namespace gyrator
