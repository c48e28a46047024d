// Plays a script on a session, and tells what came of each turn.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "tests/schedules/script.h"

namespace gyrator {

// The engine's options that a script cannot do without.
EngineOptions OptionsFor(const Script& script);

class Player {
 public:
  // A session of its own. `script` outlives the player.
  static Result<Player> Open(Engine& engine, const Script& script);
  // A fork of this one's session, which stands where `script` forks.
  Result<Player> Fork(const Script& script);

  const Script& script() const { return *script_; }
  size_t turn() const { return turn_; }  // turns that are over
  bool done() const { return turn_ == script_->turns.size(); }

  // Makes the next turn's changes and gives its request, which must be run, and its reply given to
  // End, before anything else. May run requests of its own.
  BatchRequest Begin();
  // What the turn came to: "name=value" words.
  std::string End(const Result<Reply>& reply);
  // The part of those words that tells how the session stands.
  std::string State() const;

 private:
  Player(const Script& script, std::unique_ptr<Session> session);

  void ChangeMessages(const Turn& turn);
  void ChangeTokens(const Turn& turn);
  double Keeps(const Turn& turn) const;
  void StopWhenFull(BatchRequest* request);

  const Script* script_;
  std::unique_ptr<Session> session_;
  std::vector<TokenId> said_;  // of raw tokens
  size_t turn_ = 0;
  bool forked_ = false;  // just now: its stream of draws is set
  std::string room_;     // what became of the room that the turn made
};

}  // namespace gyrator
