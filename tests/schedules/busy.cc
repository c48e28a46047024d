#include "tests/schedules/busy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <thread>

#include "base/check.h"
#include "tests/schedules/player.h"

namespace gyrator {

namespace {

constexpr uint64_t kSwapSmall = 30000;  // a part of what is parked fits
constexpr uint64_t kSwapAmple = 1 << 23;
constexpr size_t kLiveMax = 7;  // sessions of a client

// The words of two lines that are not the same.
std::string Difference(const std::string& alone, const std::string& busy) {
  std::istringstream a(alone), b(busy);
  std::string words, of_a, of_b;
  while (true) {
    const bool has_a = static_cast<bool>(a >> of_a), has_b = static_cast<bool>(b >> of_b);
    if (!has_a && !has_b) return words;
    if (!has_a) of_a = "nothing";
    if (!has_b) of_b = "nothing";
    if (of_a != of_b) words += "\n  alone " + of_a + "\n  busy  " + of_b;
  }
}

struct Stage {
  const Schedule* schedule = nullptr;
  const std::map<int32_t, Lines>* alone = nullptr;
  Engine* engine = nullptr;
};

class Client {
 public:
  Client(Stage* stage, int32_t id)
      : stage_(stage),
        schedule_(*stage->schedule),
        dice_(schedule_.name + "/client " + std::to_string(id)) {
    for (int32_t i = 0; i < std::ssize(schedule_.parts); ++i) {
      if (schedule_.parts[static_cast<size_t>(i)].client == id) waiting_.push_back(i);
    }
  }

  void Run() {
    while (!IsOver() && played_.differences.empty()) Round();
  }
  const Played& played() const { return played_; }

 private:
  const Part& PartOf(int32_t part) const { return schedule_.parts[static_cast<size_t>(part)]; }

  bool IsOver() const {
    return waiting_.empty() && std::all_of(live_.begin(), live_.end(),
                                           [](const auto& live) { return live.second.done(); });
  }
  bool MayFork(int32_t part) const {
    const auto parent = live_.find(PartOf(part).parent);
    return parent != live_.end() && parent->second.turn() == PartOf(part).script->forked_at;
  }
  // Whether others are to begin as forks of what it is now, or of what it will be.
  bool HasForksToCome(int32_t part, bool now) const {
    return std::any_of(waiting_.begin(), waiting_.end(), [&](int32_t waiting) {
      return PartOf(waiting).parent == part && (!now || MayFork(waiting));
    });
  }

  void Round() {
    for (const int32_t part : std::vector<int32_t>(waiting_)) {
      const bool forks = PartOf(part).parent >= 0;
      if (forks ? MayFork(part) && dice_.OneIn(2) : live_.size() < kLiveMax && dice_.OneIn(3)) {
        Join(part);
      }
    }
    Speak();
    for (auto live = live_.begin(); live != live_.end();) {
      const bool leaves =
          live->second.done() && !HasForksToCome(live->first, false) && dice_.OneIn(3);
      live = leaves ? live_.erase(live) : std::next(live);
    }
  }

  void Join(int32_t part) {
    const Script& script = *PartOf(part).script;
    const auto parent = live_.find(PartOf(part).parent);
    Result<Player> player = Status::Internal("not begun");
    if (parent == live_.end()) {
      player = Player::Open(*stage_->engine, script);
    } else {
      player = parent->second.Fork(script);
      ++played_.counts.forks;
    }
    if (!player.ok()) return Differ(script, "begins: " + player.status().ToString());
    if (parent != live_.end()) {
      const std::string& line = LineOf(script, script.forked_at - 1);
      const std::string state = player->State();
      Compare(script, line.substr(std::min(line.find(" cp="), line.size())), state);
    }
    ++played_.counts.sessions;
    live_.emplace(part, *std::move(player));
    std::erase(waiting_, part);
  }

  // One batch: a turn of some of those that are there, in any order.
  void Speak() {
    std::vector<int32_t> speakers;
    for (const auto& [part, player] : live_) {
      if (player.done() || HasForksToCome(part, true) || dice_.OneIn(3)) continue;
      speakers.insert(speakers.begin() + dice_.Below(static_cast<int32_t>(speakers.size()) + 1),
                      part);
    }
    std::vector<BatchRequest> batch;
    for (const int32_t part : speakers) {
      BatchRequest& request = batch.emplace_back(live_.at(part).Begin());
      request.options.priority = dice_.Below(5) - 2;
      const bool listens = request.options.on_logits != nullptr;
      if (!listens && dice_.OneIn(4)) request.options.on_logits = [](auto) {};
    }
    const auto replies = stage_->engine->Run(batch);
    for (size_t i = 0; i < speakers.size(); ++i) Hear(&live_.at(speakers[i]), replies[i]);
  }

  void Hear(Player* player, const Result<Reply>& reply) {
    const Script& script = player->script();
    const size_t turn = player->turn();
    Compare(script, LineOf(script, turn), player->End(reply));
    Counts& counts = played_.counts;
    ++counts.turns;
    counts.refused += reply.ok() ? 0 : 1;
    counts.cancelled += reply.ok() && reply->stop == StopReason::kCancelled ? 1 : 0;
  }

  const std::string& LineOf(const Script& script, size_t turn) const {
    static const std::string none;
    const auto lines = stage_->alone->find(script.number);
    const bool there = lines != stage_->alone->end() && turn < lines->second.size();
    return there ? lines->second[turn] : none;
  }

  void Compare(const Script& script, const std::string& alone, const std::string& busy) {
    if (alone != busy) Differ(script, busy.substr(0, busy.find(' ', 1)) + Difference(alone, busy));
  }
  void Differ(const Script& script, const std::string& what) {
    played_.differences.push_back(schedule_.name + ", script " + std::to_string(script.number) +
                                  ", " + what);
  }

  Stage* const stage_;
  const Schedule& schedule_;
  Dice dice_;
  std::vector<int32_t> waiting_;    // parts that have not begun
  std::map<int32_t, Player> live_;  // by part
  Played played_;
};

class Casting {
 public:
  Casting(const std::vector<Script>& scripts, Dice* dice, Schedule* schedule)
      : scripts_(scripts), dice_(dice), schedule_(schedule) {}

  // Whether what moves may be there: sessions of such scripts are parked whole or not at all.
  void AllowMoves(bool moves) { moves_ = moves; }

  // A part for the script, those that it comes from, and perhaps its twin.
  void AddIfFits(const Script& script) {
    if (!Fits(script)) return;
    Add(script);
    if (script.twin >= 0 && dice_->OneIn(2)) AddIfFits(scripts_[static_cast<size_t>(script.twin)]);
  }

 private:
  bool Fits(const Script& script) const {
    return script.kv_dtype == schedule_->options.kv_dtype && (moves_ || !script.Moves());
  }

  int32_t Add(const Script& script) {
    Part part{.script = &script, .client = dice_->Below(schedule_->clients)};
    if (script.parent >= 0) {
      part.parent = Find(script.parent);
      if (part.parent < 0) part.parent = Add(scripts_[static_cast<size_t>(script.parent)]);
      part.client = schedule_->parts[static_cast<size_t>(part.parent)].client;
    }
    schedule_->parts.push_back(part);
    return static_cast<int32_t>(schedule_->parts.size()) - 1;
  }

  int32_t Find(int32_t number) const {
    for (size_t i = 0; i < schedule_->parts.size(); ++i) {
      if (schedule_->parts[i].script->number == number) return static_cast<int32_t>(i);
    }
    return -1;
  }

  const std::vector<Script>& scripts_;
  Dice* dice_;
  Schedule* schedule_;
  bool moves_ = false;
};

void AddStats(const EngineStats& from, EngineStats* to) {
  to->tokens_reused_shared += from.tokens_reused_shared;
  to->tokens_lost += from.tokens_lost;
  to->blocks_copied += from.blocks_copied;
  for (size_t i = 0; i < from.evictions.size(); ++i) to->evictions[i] += from.evictions[i];
  to->tokens_evicted += from.tokens_evicted;
  to->windows_rebuilt += from.windows_rebuilt;
  to->sessions_parked += from.sessions_parked;
  to->sessions_resumed += from.sessions_resumed;
}

}  // namespace

void Counts::Add(const Counts& other) {
  schedules += other.schedules;
  sessions += other.sessions;
  turns += other.turns;
  forks += other.forks;
  cancelled += other.cancelled;
  refused += other.refused;
  swapped += other.swapped;
  AddStats(other.engine, &engine);
}

std::string Counts::ToString() const {
  std::ostringstream text;
  text << schedules << " schedules, " << sessions << " sessions (" << forks << " forks), " << turns
       << " turns compared: " << cancelled << " cancelled, " << refused << " refused; "
       << engine.tokens_reused_shared << " prompt tokens from the prefix cache, "
       << engine.blocks_copied << " blocks copied on write; parked " << engine.sessions_parked
       << " times (" << swapped << " with room for all in the swap file), "
       << engine.sessions_resumed << " resumed, " << engine.tokens_lost
       << " tokens of them decoded again; evictions message " << engine.evictions[0] << ", fifo "
       << engine.evictions[1] << ", sink " << engine.evictions[2] << ", score "
       << engine.evictions[3] << " (" << engine.tokens_evicted << " tokens), "
       << engine.windows_rebuilt << " windows made anew";
  return text.str();
}

Schedule DrawSchedule(const Cast& cast, const std::vector<Script>& scripts, int32_t number) {
  Schedule schedule;
  schedule.name = cast.name() + "/schedule " + std::to_string(number);
  Dice dice(schedule.name);
  const Script& first = scripts[static_cast<size_t>(number % kScripts)];
  EngineOptions& options = schedule.options;
  options = OptionsFor(first);
  options.batch_rows = 8 + dice.Below(60);
  options.threads = 1 + dice.Below(2);
  options.swap_budget = dice.Any<uint64_t>({0, kSwapSmall, kSwapAmple});
  options.swap_directory = testing::TempDir();
  if (dice.OneIn(4)) options.cache_budget = kSwapSmall;
  schedule.clients = dice.OneIn(2) ? 1 : 2 + dice.Below(2);
  const bool swaps = options.swap_budget == kSwapAmple;
  Casting casting(scripts, &dice, &schedule);
  casting.AllowMoves(swaps || first.Moves() || dice.OneIn(3));
  const int32_t wanted = 4 + dice.Below(7);
  casting.AddIfFits(first);
  while (std::ssize(schedule.parts) < wanted) {
    casting.AddIfFits(dice.OneIn(6) ? *dice.Any(schedule.parts).script : dice.Any(scripts));
  }
  // What cannot be parked has room of its own.
  const auto stay = std::count_if(schedule.parts.begin(), schedule.parts.end(),
                                  [](const Part& part) { return part.script->Moves(); });
  options.sessions_max = 1 + (swaps ? dice.Below(3) : static_cast<int32_t>(stay));
  return schedule;
}

Played Play(const Schedule& schedule, const std::shared_ptr<const Model>& model,
            const std::map<int32_t, Lines>& alone) {
  const auto engine = Engine::Create(model, schedule.options);
  GYRATOR_CHECK(engine.ok());
  Stage stage{.schedule = &schedule, .alone = &alone, .engine = engine->get()};
  std::vector<std::unique_ptr<Client>> clients;
  for (int32_t id = 0; id < schedule.clients; ++id) {
    clients.push_back(std::make_unique<Client>(&stage, id));
  }
  std::vector<std::thread> threads;
  for (const auto& client : clients) {
    threads.emplace_back([&client] { client->Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  Played all;
  for (const auto& client : clients) {
    const Played& played = client->played();
    all.counts.Add(played.counts);
    all.differences.insert(all.differences.end(), played.differences.begin(),
                           played.differences.end());
  }
  all.counts.schedules = 1;
  all.counts.engine = (*engine)->stats();
  if (schedule.options.swap_budget == kSwapAmple) {
    all.counts.swapped = all.counts.engine.sessions_parked;
  }
  return all;
}

}  // namespace gyrator
