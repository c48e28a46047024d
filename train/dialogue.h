// An endless, seeded stream of conversations in which a user tells things and asks for them later.
//
// Every turn says what a right reply must contain, so that recall is measured exactly. The reply is
// a function of the conversation so far (no coin is tossed for it): exact match can be learned.
// Knows no tokens. Deterministic over platforms. A Conversation is used by one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attributes.h"
#include "random.h"
#include "values.h"

namespace gyrator::train {

enum class TurnKind : uint8_t { kTell, kCorrect, kAsk, kAskMany, kAskUnknown, kCheck, kChat };

struct Turn {
  std::string user;
  std::string reply;
  TurnKind kind = TurnKind::kChat;
  // What the reply to a question must contain, in order; empty when the turn asks nothing.
  std::vector<std::string> expected;
  int32_t age = 0;  // questions: turns since the (oldest) fact was told
};

class Conversation {
 public:
  // The `index`-th conversation of the stream of `seed`. Values come from `split` alone.
  Conversation(uint64_t seed, uint64_t index, Split split);

  const std::string& system() const { return system_; }  // empty: no system message
  Turn Next();

 private:
  struct Fact {
    const Attribute* attribute;
    std::vector<std::string> values;  // one, or a list's items
    int32_t turn;
  };
  // How the user types, chosen for each turn.
  enum class Typing : uint8_t { kPlain, kNoPoint, kLower, kSloppy };

  const Attribute& DrawAttribute();
  Fact* Find(const Attribute& attribute);
  std::vector<std::string> DrawValues(const Attribute& attribute, Typing typing);
  const Tell& DrawTell(const Attribute& attribute, const std::string& value);
  Typing DrawTyping(const Attribute& attribute);

  Turn MakeTell();
  Turn MakeFirstTell(const Attribute& attribute);
  Turn MakeTellMany();
  Turn MakeCorrection(Fact& fact);
  Turn MakeAddition(Fact& fact);
  Turn MakeAsk();
  Turn MakeAskUnknown();
  Turn MakeAskMany();
  Turn MakeCheck(const Fact& fact);
  Turn MakeChat();
  void FinishUserText(std::string& text, Typing typing) const;

  Random random_;
  Split split_;
  std::string system_;
  double tell_rate_, ask_rate_;  // the rest is small talk
  double plain_rate_;            // of turns typed with care
  bool american_;                // "favorite"
  int32_t turn_ = 0;
  int32_t facts_max_;
  std::vector<const std::vector<Attribute>*> others_;            // relations of this conversation
  std::vector<std::unique_ptr<std::vector<Attribute>>> people_;  // named people
  std::vector<Fact> facts_;
  const Attribute* last_told_ = nullptr;  // by the turn just before
};

}  // namespace gyrator::train
