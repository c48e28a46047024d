// A session of a live engine and its shadow: a session in a quiet engine that is given the same
// calls, those that fail included as far as they fail alike.
//
// What must hold after every call: both say the same of themselves, and what they say is what their
// caches hold. The oracle of the second is a session that decodes the tokens and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/engine.h"

namespace gyrator {

constexpr int32_t kFuzzContext = 128;

struct Twin {
  int32_t number = 0;
  size_t place = 0;  // of the live engine
  std::unique_ptr<Session> live = {}, shadow = {};
  bool chats = false;

  int32_t said() const { return static_cast<int32_t>(live->all_tokens().size()); }
};

// Engines of one model that nobody else uses: sessions in them have all the room they want.
class Quiet {
 public:
  Quiet(std::shared_ptr<const Model> model, std::optional<DType> kv_dtype);

  Engine& engine() { return *engine_; }
  // The logits behind `tokens`, decoded by a session that had nothing else.
  std::vector<float> Logits(const std::vector<TokenId>& tokens);

 private:
  std::unique_ptr<Engine> engine_, oracle_;
  std::unique_ptr<Session> decoder_;
  int32_t asked_ = 0;
};

// What the looks below give when the pool had no room for them: no difference was seen, but the
// session may have been given up in part.
inline constexpr std::string_view kNoRoom = "no room";
bool HasNoRoom(const Status& status);

// How a session stands, in words; equal words are equal states as far as a session tells.
std::string StateOf(const Session& session);

// The first difference, or nothing. `crowded`: one of the two may lack logits, for what parking
// lost is decoded again only when it is wanted, and may be wanted by something that the other one
// need not do.
std::string Difference(const Session& live, const Session& shadow, bool crowded);

// Whether logits are those of the tokens, where they are a function of them; else what differs.
std::string LogitsDiffer(const Session& session, Quiet* quiet);

// The same of K and V, looked at through a fork that decodes `next` behind all tokens.
std::string BlocksDiffer(Session* live, Session* shadow, Quiet* quiet, TokenId next);

// Saves `live` below `root`, loads it into the quiet engine and has it go on beside its shadow.
std::string SavedDiffers(Session* live, Session* shadow, Quiet* quiet, const std::string& root);

// A shadow for a session whose calls came to something that the order of things decided: it is
// saved and loaded. Null, with the reason, when there is no room to bring it back.
Result<std::unique_ptr<Session>> ShadowOf(Session* live, Quiet* quiet, const std::string& root);

}  // namespace gyrator
