// What a session is told, turn by turn: a function of seed, model, compute type and number.
//
// A script says nothing of its neighbours. Where it looks at its own session (how long it is, what
// is left of its capacity), it looks at what is a function of the script.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gyrator/engine.h"

namespace gyrator {

constexpr int32_t kScripts = 100;  // of a model and compute type
constexpr int32_t kContext = 128;  // capacity of a session

// What becomes of what was said before.
enum class Change : uint8_t {
  kNone,
  kCut,     // `keep` of it stays
  kSplice,  // of a chat: an earlier message reads otherwise, those behind it stay
};

// When a request is cancelled.
enum class Stop : uint8_t {
  kNone,
  kBefore,    // it begins
  kAtToken,   // number `stop_at` of the reply, by the token for cancelling
  kAtText,    // piece of text number `stop_at`, by what its callback returns
  kWhenFull,  // at the token behind the last one that has room, by the token for cancelling
};

struct Turn {
  std::optional<uint64_t> reseed;  // another stream of draws from here on
  int32_t room = 0;                // tokens to evict first
  Change change = Change::kNone;
  double keep = 1;               // of kCut, and of one that has grown longer than `enough`
  std::vector<TokenId> opening;  // of a conversation in which nothing was said; raw tokens
  std::vector<TokenId> line;     // raw tokens
  std::string text;              // of a chat
  int32_t reply = 0;             // tokens, at most
  bool ends = false;             // at an end of generation
  Stop stop = Stop::kNone;
  int32_t stop_at = 0;
};

struct Script {
  int32_t number = 0;
  std::optional<DType> kv_dtype;  // of its engine
  std::string name_space;
  SamplerOptions sampler;
  WindowOptions window;
  bool chats = false;    // messages and a template; else raw tokens
  std::string system;    // of a chat
  int32_t enough = 0;    // tokens beyond which a turn cuts
  int32_t parent = -1;   // it begins as a fork of this script's session,
  size_t forked_at = 0;  // which has had as many turns: the first ones of `turns`
  int32_t twin = -1;     // as this script, but in the other mode of eviction
  std::vector<Turn> turns;

  // Whether rows of it move: parked without a swap file, it could not be computed again.
  bool Moves() const {
    return window.overflow != Overflow::kError && window.mode == EvictMode::kShift;
  }
};

class Dice {
 public:
  // `what` names what is drawn.
  explicit Dice(const std::string& what);
  int32_t Below(int32_t bound) { return static_cast<int32_t>(random_() % Unsigned(bound)); }
  bool OneIn(int32_t count) { return Below(count) == 0; }
  uint64_t Seed() { return random_(); }
  template <class T>
  const T& Any(const std::vector<T>& list) {
    return list[Unsigned(Below(static_cast<int32_t>(list.size())))];
  }

 private:
  static uint64_t Unsigned(int32_t value) { return static_cast<uint64_t>(value); }
  std::mt19937_64 random_;
};

// The scripts of a model and compute type: `name` says which, and of which seed. Some keep K and V
// as `kv_dtype`.
std::vector<Script> DrawScripts(const std::string& name, DType kv_dtype);

}  // namespace gyrator
