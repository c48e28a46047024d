// Eight clients, each a thread that draws what it does at random, on one engine whose pool holds
// four of their sessions: nothing fails but for want of room, replies are those of an engine of
// their own, and the counters add up when all have gone.
//
// clients_test [--seconds=N] [--seed=N]   (10 seconds, a random seed)
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/source_path_testing.h"
#include "gyrator/engine.h"

namespace gyrator {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

int64_t run_seconds = 10;
uint64_t run_seed = std::random_device()();

constexpr int kClients = 8;
constexpr int32_t kContext = 256;
constexpr int32_t kRoom = 4;          // sessions that the pool holds
constexpr int32_t kSlots = 28;        // of at most 32 that are asked for
constexpr size_t kTalksMax = 4;       // of a client at once
constexpr uint64_t kCheckEvery = 10;  // of the sessions that can be checked

const std::vector<std::string> kSystems = {
    "", "Be brief.",
    "You are a patient assistant who answers in plain words and who never forgets a name."};
const std::vector<std::string> kLines = {
    "Hello.",      "My name is Ada.", "What is my name?",
    "I like tea.", "What do I like?", "My cat is called Tom, and he sleeps all day.",
    "Thank you."};

// Stops what it is given when the time comes: the other thread of a cancellation.
class Canceller {
 public:
  Canceller() : thread_([this] { Run(); }) {}
  ~Canceller() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
      news_.notify_one();
    }
    thread_.join();
  }

  void StopAt(Clock::time_point time, std::stop_source source) {
    const std::lock_guard lock(mutex_);
    due_.emplace(time, std::move(source));
    news_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!ends_) {
      if (due_.empty()) {
        news_.wait(lock);
      } else if (due_.begin()->first > Clock::now()) {
        news_.wait_until(lock, Clock::time_point(due_.begin()->first));
      } else {
        due_.begin()->second.request_stop();
        due_.erase(due_.begin());
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable news_;
  bool ends_ = false;
  std::multimap<Clock::time_point, std::stop_source> due_;
  std::thread thread_;
};

// A turn that went to its end: what an engine of its own has to say, too.
struct Turn {
  std::vector<Message> said;    // before the reply; empty: raw tokens
  std::vector<TokenId> prefix;  // of raw tokens
  int32_t tokens_max = 0;
  bool ignore_end = false;
  std::vector<TokenId> reply;
};

struct Talk {
  std::unique_ptr<Session> session;
  SamplerOptions sampler;
  WindowOptions window;
  bool raw = false;
  bool exact = true;            // no turn was cut short, no stream of draws replaced
  std::vector<TokenId> tokens;  // of a raw one
  std::vector<Message> unsaid;  // appended since the last turn
  std::vector<Turn> turns;
};

struct Tally {
  std::atomic<uint64_t> requests = 0, failed = 0, generated = 0, reused = 0;
  std::atomic<uint64_t> holds = 0;  // forks and saves, which may need a request of their own
  std::atomic<uint64_t> stopped = 0, checkable = 0, checked = 0, saved = 0, exhausted = 0;
  std::atomic<uint64_t> evicted = 0;  // tokens
};

// Sessions that one client gives away and another takes: a session belongs to no thread.
class Handover {
 public:
  void Give(Talk talk) {
    const std::lock_guard lock(mutex_);
    talks_.push_back(std::move(talk));
  }
  std::optional<Talk> Take() {
    const std::lock_guard lock(mutex_);
    if (talks_.empty()) return std::nullopt;
    Talk talk = std::move(talks_.back());
    talks_.pop_back();
    return talk;
  }

 private:
  std::mutex mutex_;
  std::vector<Talk> talks_;
};

// What all clients share.
struct Hall {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Engine> engine;
  std::string root;  // of saved sessions
  Clock::time_point end;
  Canceller canceller;
  Handover handover;
  Tally tally;
};

class Client {
 public:
  Client(Hall* hall, int id)
      : hall_(hall), tally_(hall->tally), id_(id), random_(run_seed * 1000 + id) {}

  void Run() {
    while (Clock::now() < hall_->end && !testing::Test::HasFailure()) Step();
    while (!talks_.empty()) Close(talks_.size() - 1);
    while (const auto given = hall_->handover.Take()) Check(*given);
  }

 private:
  int32_t Draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  template <class T>
  const T& Any(const std::vector<T>& list) {
    return list[static_cast<size_t>(Draw(0, static_cast<int32_t>(list.size()) - 1))];
  }

  // True when it went well; a lack of room is the one failure that may be.
  bool Good(const Status& status, const char* what) {
    if (status.ok()) return true;
    EXPECT_EQ(Code::kExhausted, status.code()) << what << ": " << status.ToString();
    ++tally_.exhausted;
    return false;
  }

  void Step() {
    const int32_t dice = Draw(0, 99);
    if (talks_.empty() || (dice < 12 && talks_.size() < kTalksMax)) return Open();
    const auto at = static_cast<size_t>(Draw(0, static_cast<int32_t>(talks_.size()) - 1));
    if (dice < 78) {
      if (!Speak(&talks_[at])) Close(at);
    } else if (dice < 86) {
      Close(at);
    } else if (dice < 92) {
      Fork(at);
    } else if (dice < 94) {
      SaveAndLoad(at);
    } else if (dice < 97) {
      MakeRoom(&talks_[at]);
    } else {
      LookAtStats();
    }
  }

  void Open() {
    if (Draw(0, 1) == 0) {
      if (auto given = hall_->handover.Take()) {
        LookAtLogits(*given->session);
        return talks_.push_back(*std::move(given));
      }
    }
    SessionOptions options;
    options.sampler.temperature = Draw(0, 2) == 0 ? 0.8f : 0.0f;
    options.sampler.seed = random_();
    options.cache_namespace = Any<std::string>({"", "", "a", "b"});
    options.window = {
        .overflow = Any<Overflow>({Overflow::kError, Overflow::kError, Overflow::kMessage,
                                   Overflow::kFifo, Overflow::kSink, Overflow::kScore}),
        .mode = Any<EvictMode>({EvictMode::kShift, EvictMode::kRecompute}),
        .sinks = Draw(0, 8),
        .headroom = Draw(0, 40)};
    auto session = hall_->engine->NewSession(options);
    if (!Good(session.status(), "open")) return;
    Talk talk;
    talk.session = *std::move(session);
    talk.sampler = options.sampler;
    talk.window = options.window;
    talk.raw = Draw(0, 3) == 0;
    if (const std::string& system = Any(kSystems); !talk.raw && !system.empty()) {
      Say(&talk, {.role = "system", .content = system, .extras = {}});
    }
    talks_.push_back(std::move(talk));
  }

  void Say(Talk* talk, Message message) {
    const Status status = talk->session->Append(message);
    EXPECT_TRUE(status.ok()) << status.ToString();
    talk->unsaid.push_back(std::move(message));
  }

  // Tokens that several clients begin with, then their own.
  void AddTokens(Talk* talk) {
    if (talk->tokens.empty()) {
      const TokenId first = 31 * Draw(0, 2);
      const int32_t count = Draw(20, 90);
      for (int32_t i = 0; i < count; ++i) talk->tokens.push_back((first + i * 7) % 250);
    }
    for (int32_t i = Draw(1, 5); i > 0; --i) talk->tokens.push_back(Draw(0, 249));
  }

  GenerateOptions SomeOptions() {
    GenerateOptions options;
    options.tokens_max = Draw(0, 30);
    options.ignore_end = Draw(0, 1) == 0;
    options.priority = Draw(-2, 2);
    if (Draw(0, 9) == 0) {
      options.deadline = Clock::now() + microseconds(Draw(0, 20000));
    } else if (Draw(0, 9) == 0) {
      std::stop_source source;
      options.cancel = source.get_token();
      hall_->canceller.StopAt(Clock::now() + microseconds(Draw(0, 20000)), source);
    }
    if (Draw(0, 9) == 0) {
      options.on_logits = [this](std::span<const float> row) {
        EXPECT_EQ(static_cast<size_t>(hall_->model->info().vocab), row.size());
      };
    }
    return options;
  }

  // One turn. False: the session has no room for another.
  bool Speak(Talk* talk) {
    GenerateOptions options = SomeOptions();
    std::string heard;
    const bool listens = Draw(0, 2) > 0;
    int32_t pieces_left = Draw(0, 9) == 0 ? Draw(1, 10) : INT32_MAX;
    if (listens) {
      options.on_text = [&heard, &pieces_left, here = std::this_thread::get_id()](auto text) {
        EXPECT_EQ(here, std::this_thread::get_id());
        heard += text;
        return --pieces_left > 0;
      };
    }
    if (talk->raw) {
      AddTokens(talk);
    } else if (talk->session->info().phase != Phase::kPending) {
      Say(talk, {.role = "user", .content = Any(kLines), .extras = {}});
    }
    ++tally_.requests;
    const auto reply = talk->raw ? talk->session->Complete(talk->tokens, options)
                                 : talk->session->Respond(options);
    if (!Good(reply.status(), "turn")) {
      ++tally_.failed;
      return false;
    }
    EXPECT_EQ(listens ? reply->text : std::string(), heard);
    Take(talk, *reply, options);
    return true;
  }

  void Take(Talk* talk, const Reply& reply, const GenerateOptions& options) {
    tally_.generated += reply.tokens.size();
    tally_.reused += static_cast<uint64_t>(reply.tokens_reused);
    tally_.evicted += static_cast<uint64_t>(reply.tokens_evicted);
    EXPECT_LE(reply.tokens_shared, reply.tokens_reused);
    if (reply.stop == StopReason::kCancelled || reply.stop == StopReason::kDeadline) {
      ++tally_.stopped;
      talk->exact = false;
    }
    Turn turn{.said = std::exchange(talk->unsaid, {}),
              .prefix = talk->tokens,
              .tokens_max = options.tokens_max,
              .ignore_end = options.ignore_end,
              .reply = reply.tokens};
    talk->tokens.insert(talk->tokens.end(), reply.tokens.begin(), reply.tokens.end());
    talk->turns.push_back(std::move(turn));
    const SessionInfo info = talk->session->info();
    EXPECT_LE(info.cp, kContext);
    EXPECT_EQ(static_cast<size_t>(info.cp), talk->session->tokens().size());
    LookAtLogits(*talk->session);
  }

  void MakeRoom(Talk* talk) {
    ++tally_.holds;
    const int32_t wanted = Draw(1, 60);
    const auto freed = talk->session->MakeRoom(wanted);
    if (!Good(freed.status(), "make room")) return;
    EXPECT_TRUE(*freed == 0 || *freed >= wanted) << *freed << " of " << wanted;
    tally_.evicted += static_cast<uint64_t>(*freed);
    talk->exact = false;
  }

  void LookAtLogits(const Session& session) {
    for (const float logit : session.last_logits()) {
      if (std::isnan(logit)) return ADD_FAILURE() << "a logit is no number";
    }
  }

  void Fork(size_t at) {
    ++tally_.holds;
    ForkOptions options;
    if (Draw(0, 1) == 0) options.seed = random_();
    auto fork = talks_[at].session->Fork(options);
    if (!Good(fork.status(), "fork")) return;
    const Talk& parent = talks_[at];
    Talk child;
    child.session = *std::move(fork);
    EXPECT_EQ(parent.session->tokens(), child.session->tokens());
    child.sampler = parent.sampler;
    child.window = parent.window;
    child.raw = parent.raw;
    const bool greedy = parent.sampler.temperature <= 0;
    child.exact = parent.exact && (greedy || !options.seed);
    child.tokens = parent.tokens;
    child.unsaid = parent.unsaid;
    child.turns = parent.turns;
    if (Draw(0, 2) == 0) return hall_->handover.Give(std::move(child));
    talks_.push_back(std::move(child));
    if (talks_.size() > kTalksMax) Close(at);
  }

  void SaveAndLoad(size_t at) {
    Talk& talk = talks_[at];
    ++tally_.holds;
    const auto saved =
        talk.session->Save({.root = hall_->root, .name = "client" + std::to_string(id_)});
    if (!Good(saved.status(), "save")) return;
    LoadReport report;
    auto loaded = hall_->engine->LoadSession(saved->folder, &report);
    if (!Good(loaded.status(), "load")) return;
    ++tally_.saved;
    EXPECT_EQ(talk.session->tokens(), (*loaded)->tokens());
    EXPECT_TRUE(std::ranges::equal(talk.session->transcript(), (*loaded)->transcript()));
    EXPECT_TRUE(std::ranges::equal(talk.session->last_logits(), (*loaded)->last_logits()));
    EXPECT_EQ(talk.session->all_tokens(), (*loaded)->all_tokens());
    talk.session = *std::move(loaded);
    EXPECT_TRUE(talk.session->SetWindow(talk.window).ok());
  }

  void LookAtStats() {
    const EngineStats stats = hall_->engine->stats();
    EXPECT_GE(stats.slots_free, 0);
    EXPECT_LE(stats.slots_free, stats.slots_total);
    EXPECT_GE(stats.blocks_free, 0);
    EXPECT_LE(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
    EXPECT_LE(stats.swap_bytes, stats.swap_bytes_max);
    EXPECT_GE(stats.tokens_decoded, decoded_seen_);
    decoded_seen_ = stats.tokens_decoded;
  }

  void Close(size_t at) {
    const Talk talk = std::move(talks_[at]);
    talks_.erase(talks_.begin() + static_cast<std::ptrdiff_t>(at));
    if (!talk.exact || talk.turns.empty()) return;
    if (tally_.checkable++ % kCheckEvery == 0) Check(talk);
  }

  // The same turns in an engine of their own.
  void Check(const Talk& talk) {
    if (!talk.exact) return;
    ++tally_.checked;
    EngineOptions options;
    options.context = kContext;
    options.share_prefixes = false;
    options.threads = 1;
    const auto engine = *Engine::Create(hall_->model, options);
    const auto session = *engine->NewSession({.sampler = talk.sampler, .window = talk.window});
    for (const Turn& turn : talk.turns) {
      GenerateOptions generate;
      generate.tokens_max = turn.tokens_max;
      generate.ignore_end = turn.ignore_end;
      for (const Message& message : turn.said) ASSERT_TRUE(session->Append(message).ok());
      const auto reply =
          talk.raw ? session->Complete(turn.prefix, generate) : session->Respond(generate);
      ASSERT_TRUE(reply.ok()) << reply.status().ToString();
      ASSERT_EQ(reply->tokens, turn.reply) << "client " << id_ << ", seed " << run_seed;
    }
  }

  Hall* const hall_;
  Tally& tally_;
  const int id_;
  std::mt19937_64 random_;
  std::vector<Talk> talks_;
  uint64_t decoded_seen_ = 0;
};

void ExpectSums(const Tally& tally, const EngineStats& stats) {
  EXPECT_EQ(stats.slots_total, stats.slots_free);
  EXPECT_EQ(0, stats.parked);
  // Of the swap file only cold prefixes are left.
  EXPECT_EQ(static_cast<uint64_t>(stats.blocks_cold) * stats.block_bytes, stats.swap_bytes);
  EXPECT_EQ(stats.blocks_total, stats.blocks_free + stats.blocks_cached);
  EXPECT_GE(stats.requests, tally.requests);
  EXPECT_LE(stats.requests, tally.requests + tally.holds);
  EXPECT_GE(stats.requests_failed, tally.failed);
  EXPECT_LE(stats.requests_failed, tally.failed + tally.holds);
  EXPECT_GE(stats.tokens_generated, tally.generated);
  EXPECT_LE(stats.tokens_generated, tally.generated + tally.failed * kContext);
  EXPECT_GE(stats.tokens_reused_own + stats.tokens_reused_shared, tally.reused);
  EXPECT_LE(stats.sessions_resumed, stats.sessions_parked);
  EXPECT_GE(stats.tokens_evicted, tally.evicted);
}

TEST(Clients, DrawWhatTheyDo) {
  std::cout << "seed " << run_seed << ", " << run_seconds << " s" << std::endl;
  Hall hall;
  auto model =
      Model::Load(SourcePath("models/gyrator-chat.gguf"),
                  {.compute = {}, .isa = "auto", .threads = 1, .digest_cache = {}, .progress = {}});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  hall.model = *std::move(model);
  hall.root = testing::TempDir() + "/clients_" + std::to_string(run_seed);
  EngineOptions options;
  options.context = kContext;
  options.sessions_max = kRoom;
  options.slots = kSlots;
  options.batch_rows = 64;
  options.threads = 2;
  options.swap_budget = uint64_t{4} << 20;
  options.swap_directory = testing::TempDir();
  auto engine = Engine::Create(hall.model, options);
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  hall.engine = *std::move(engine);
  hall.end = Clock::now() + std::chrono::seconds(run_seconds);
  std::vector<std::thread> threads;
  for (int id = 0; id < kClients; ++id) {
    threads.emplace_back([&hall, id] { Client(&hall, id).Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  const EngineStats stats = hall.engine->stats();
  const Tally& tally = hall.tally;
  std::cout << PrometheusText(stats) << tally.requests << " requests, " << tally.stopped
            << " stopped, " << tally.exhausted << " without room, " << tally.saved
            << " saved and loaded, " << tally.checked << " of " << tally.checkable
            << " sessions checked, " << tally.evicted << " tokens evicted\n";
  ExpectSums(tally, stats);
  EXPECT_GT(tally.checked, 0u);
  EXPECT_GT(stats.sessions_parked, 0u) << "the pool was to be crowded";
  EXPECT_GT(stats.tokens_reused_shared, 0u) << "prefixes were to be shared";
  EXPECT_GT(tally.evicted, 0u) << "windows were to be outgrown";
}

}  // namespace

void ReadFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--seconds=")) run_seconds = std::stoll(flag.substr(10));
    if (flag.starts_with("--seed=")) run_seed = std::stoull(flag.substr(7));
  }
}

}  // namespace gyrator

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gyrator::ReadFlags(argc, argv);
  return RUN_ALL_TESTS();
}
