#include "tests/schedules/script.h"

#include <algorithm>

namespace gyrator {

namespace {

constexpr int32_t kIds = 250;     // ids that raw tokens are drawn from
constexpr int32_t kKvTypes = 4;   // of scripts in a row, the last keeps K and V otherwise
constexpr int32_t kOpening = 33;  // tokens: no whole number of blocks

const std::vector<std::string> kSystems = {"", "Be kind.", "You are a patient helper."};
const std::vector<std::string> kLines = {"Hello there.", "What is ten and ten?", "Go on."};
const std::vector<std::string> kWords = {"tea", "my", "cat", "is", "red", "no", "sun", "42"};

std::string AnyText(Dice* dice) {
  if (dice->OneIn(3)) return dice->Any(kLines);
  std::string text;
  for (int32_t words = dice->OneIn(12) ? 30 : 1 + dice->Below(5); words > 0; --words) {
    text += dice->Any(kWords) + (words > 1 ? " " : ".");
  }
  return text;
}

std::vector<TokenId> Row(int32_t count, TokenId first) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((first + i * 7) % kIds);
  return tokens;
}

void DrawStop(Dice* dice, Turn* turn) {
  if (turn->reply < 3 || !dice->OneIn(4)) return;
  turn->stop = dice->Any<Stop>(
      {Stop::kBefore, Stop::kAtToken, Stop::kAtToken, Stop::kAtText, Stop::kWhenFull});
  turn->stop_at = 1 + dice->Below(turn->reply - 2);
}

Turn AnyTurn(const Script& script, Dice* dice) {
  const bool evicts = script.window.overflow != Overflow::kError;
  Turn turn;
  if (evicts && dice->OneIn(15)) turn.room = 1 + dice->Below(40);
  if (dice->OneIn(evicts ? 9 : 4)) turn.change = Change::kCut;
  if (script.chats && dice->OneIn(12)) turn.change = Change::kSplice;
  turn.keep = 0.01 * dice->Below(90);
  if (script.chats) {
    turn.text = AnyText(dice);
  } else {
    turn.opening = Row(kOpening, 50 * dice->Below(2));
    const int32_t length = 1 + dice->Below(20);
    const TokenId start = dice->Below(kIds);
    turn.line = Row(evicts && dice->OneIn(12) ? 150 : length, start);
  }
  turn.reply = dice->OneIn(6) ? 20 + dice->Below(40) : dice->Below(9);
  turn.ends = dice->OneIn(4);
  if (dice->OneIn(20)) {  // fills its session, or outgrows it, and says nothing that could go
    turn.change = Change::kCut;
    turn.keep = 0;
    turn.reply = kContext;
  }
  DrawStop(dice, &turn);
  return turn;
}

void DrawSession(Dice* dice, Script* script) {
  script->name_space = dice->OneIn(8) ? "b" : "";
  script->sampler.seed = dice->Seed();
  if (dice->OneIn(4)) script->sampler.temperature = 0;
  if (dice->OneIn(4)) {
    script->sampler.repeat_penalty = 1.2f;
    script->sampler.penalty_last_n = -1;
  }
  script->chats = dice->OneIn(2);
  script->system = dice->Any(kSystems);
  const std::vector<Overflow> policies = {Overflow::kFifo, Overflow::kSink, Overflow::kScore,
                                          script->chats ? Overflow::kMessage : Overflow::kSink};
  const bool evicts = !dice->OneIn(3);
  script->window = {.overflow = evicts ? dice->Any(policies) : Overflow::kError,
                    .mode = dice->OneIn(2) ? EvictMode::kShift : EvictMode::kRecompute,
                    .sinks = dice->Below(6),
                    .headroom = dice->Below(20)};
  script->enough = evicts ? 3 * kContext : kContext - 38;
}

// The script as a copy of an earlier one, under its own number. None that keeps K and V otherwise:
// they are to meet in one engine.
const Script& CopyEarlier(const std::vector<Script>& earlier, Dice* dice, Script* script) {
  const int32_t number = script->number;
  const int32_t other = number - kKvTypes * (1 + dice->Below(number / kKvTypes));
  const Script& from = earlier[static_cast<size_t>(other)];
  *script = from;
  script->number = number;
  script->twin = -1;
  return from;
}

void Fork(const std::vector<Script>& earlier, Dice* dice, Script* script) {
  const Script& parent = CopyEarlier(earlier, dice, script);
  const auto later = static_cast<int32_t>(parent.turns.size() - parent.forked_at);
  script->parent = parent.number;
  script->forked_at = parent.forked_at + 1 + static_cast<size_t>(dice->Below(std::min(later, 8)));
  script->turns.resize(script->forked_at);
}

// Tokens that one session has decoded are the window that another has moved.
bool MakeTwin(const std::vector<Script>& earlier, Dice* dice, Script* script) {
  Script twin = *script;
  const Script& other = CopyEarlier(earlier, dice, &twin);
  if (other.window.overflow == Overflow::kError || other.parent >= 0) return false;
  const bool shifts = other.window.mode == EvictMode::kShift;
  twin.window.mode = shifts ? EvictMode::kRecompute : EvictMode::kShift;
  twin.twin = other.number;
  *script = std::move(twin);
  return true;
}

void AddTurns(Dice* dice, Script* script) {
  const bool evicts = script->window.overflow != Overflow::kError;
  const size_t turns = script->turns.size() + 3 + static_cast<size_t>(dice->Below(evicts ? 14 : 7));
  while (script->turns.size() < turns) script->turns.push_back(AnyTurn(*script, dice));
  if (script->parent >= 0 && dice->OneIn(3)) script->turns[script->forked_at].reseed = dice->Seed();
}

}  // namespace

Dice::Dice(const std::string& what) {
  std::seed_seq seeds(what.begin(), what.end());
  random_.seed(seeds);
}

std::vector<Script> DrawScripts(const std::string& name, DType kv_dtype) {
  std::vector<Script> scripts;
  for (int32_t number = 0; number < kScripts; ++number) {
    Dice dice(name + "/script " + std::to_string(number));
    Script script;
    script.number = number;
    if (number % kKvTypes == kKvTypes - 1) script.kv_dtype = kv_dtype;
    DrawSession(&dice, &script);
    const bool copies = number >= kKvTypes;
    if (!copies || !dice.OneIn(8) || !MakeTwin(scripts, &dice, &script)) {
      if (copies && dice.OneIn(3)) Fork(scripts, &dice, &script);
      AddTurns(&dice, &script);
    }
    scripts.push_back(std::move(script));
  }
  return scripts;
}

}  // namespace gyrator
