// Requests as the fuzz draws them: what is asked, and how it is to end.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "tests/apifuzz/twin.h"
#include "tests/schedules/script.h"

namespace gyrator {

enum class Ending : uint8_t {
  kPlain,
  kCancelledBefore,
  kDeadlinePast,
  kCancelAt,     // at logits number `at`, by the token for cancelling
  kTextStops,    // at text number `at`, by what its callback returns
  kThrow,        // at logits number `at`
  kThrowText,    // at text number `at`
  kThrowPrompt,  // at row number `at` of the prompt
};

enum class Wanted : uint8_t { kRespond, kPrepare, kComplete };

struct Ask {
  Wanted wanted = Wanted::kComplete;
  std::vector<TokenId> prefix = {};  // of kComplete
  int32_t steps = 0;
  bool ignore_end = true;
  int32_t priority = 0;
  Ending ending = Ending::kPlain;
  int32_t at = 1;

  bool throws() const {
    return ending == Ending::kThrow || ending == Ending::kThrowText ||
           ending == Ending::kThrowPrompt;
  }
  std::string ToString() const;
};

// Something that the session may be asked now, or that it refuses.
Ask DrawAsk(const Twin& twin, Dice* dice);

// Options that end a request as `ask` says. `at_first` runs at the first logits; may be empty.
GenerateOptions OptionsOf(const Ask& ask, std::function<void()> at_first);

// What came of one: thrown, or a reply.
struct Outcome {
  bool threw = false;
  Result<Reply> reply = Reply();
  std::string ToString() const;  // without counts and times, which neighbours change
};

Outcome Run(Session* session, const Ask& ask, std::function<void()> at_first);

}  // namespace gyrator
