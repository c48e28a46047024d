#include "tests/apifuzz/asks.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/apifuzz/failures.h"

namespace gyrator {

namespace {

constexpr int32_t kIds = 250;     // ids that raw tokens are drawn from
constexpr int32_t kEnough = 100;  // tokens beyond which a session without a policy cuts
constexpr int32_t kOpening = 33;  // tokens that many begin with: no whole number of blocks

std::vector<TokenId> Row(int32_t count, TokenId first) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((first + i * 7) % kIds);
  return tokens;
}

std::vector<TokenId> DrawPrefix(const Twin& twin, Dice* dice) {
  std::vector<TokenId> tokens = twin.live->all_tokens();
  const bool evicts = twin.live->window().overflow != Overflow::kError;
  const bool full = !evicts && std::ssize(tokens) > kEnough;
  if (!tokens.empty() && (full || dice->OneIn(6))) {
    tokens.resize(static_cast<size_t>(dice->Below(static_cast<int32_t>(tokens.size()))));
  }
  if (tokens.empty()) tokens = Row(kOpening, 50 * dice->Below(2));
  const std::vector<TokenId> line =
      Row(dice->OneIn(evicts ? 20 : 60) ? 150 : 1 + dice->Below(20), dice->Below(kIds));
  if (!dice->OneIn(8)) tokens.insert(tokens.end(), line.begin(), line.end());
  if (dice->OneIn(50)) tokens[tokens.size() / 2] = dice->OneIn(2) ? -1 : 1 << 20;
  return tokens;
}

const char* NameOf(Ending ending) {
  constexpr const char* kNames[] = {"plain",      "cancelled before", "deadline past",
                                    "cancel at",  "text stops at",    "throw at",
                                    "throw text", "throw prompt row"};
  return kNames[static_cast<size_t>(ending)];
}

}  // namespace

std::string Ask::ToString() const {
  constexpr const char* kNames[] = {"respond", "prepare", "complete"};
  return std::string(kNames[static_cast<size_t>(wanted)]) + " prefix=" +
         std::to_string(prefix.size()) + " steps=" + std::to_string(steps) + " " + NameOf(ending) +
         " " + std::to_string(at);
}

Ask DrawAsk(const Twin& twin, Dice* dice) {
  Ask ask;
  const bool pending = twin.live->info().phase == Phase::kPending;
  if (twin.chats && (pending || dice->OneIn(20))) {
    ask.wanted = dice->OneIn(5) ? Wanted::kPrepare : Wanted::kRespond;
  } else {
    ask.prefix = DrawPrefix(twin, dice);
  }
  ask.steps = dice->OneIn(10) ? 20 + dice->Below(40) : dice->Below(9);
  if (ask.wanted == Wanted::kPrepare) ask.steps = 0;
  ask.ignore_end = !dice->OneIn(4);
  ask.priority = dice->OneIn(4) ? dice->Below(3) : 0;
  if (dice->OneIn(3)) {
    ask.ending = dice->Any<Ending>({Ending::kCancelledBefore, Ending::kDeadlinePast,
                                    Ending::kCancelAt, Ending::kTextStops, Ending::kThrow,
                                    Ending::kThrow, Ending::kThrowText, Ending::kThrowPrompt});
  }
  ask.at = 1 + dice->Below(std::max(1, ask.steps));
  if (ask.ending == Ending::kThrowPrompt) ask.at = 1 + dice->Below(20);
  return ask;
}

GenerateOptions OptionsOf(const Ask& ask, std::function<void()> at_first) {
  GenerateOptions options;
  options.tokens_max = ask.steps;
  options.ignore_end = ask.ignore_end;
  options.priority = ask.priority;
  const auto stop = std::make_shared<std::stop_source>();
  options.cancel = stop->get_token();
  if (ask.ending == Ending::kCancelledBefore) stop->request_stop();
  if (ask.ending == Ending::kDeadlinePast) {
    options.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  }
  if (ask.ending == Ending::kTextStops || ask.ending == Ending::kThrowText) {
    options.on_text = [left = ask.at, throws = ask.throws()](auto) mutable {
      if (--left > 0) return true;
      if (throws) throw Thrown();
      return false;
    };
  }
  if (ask.ending == Ending::kThrowPrompt) {
    options.on_prompt_logits = [left = ask.at](auto) mutable {
      if (--left == 0) throw Thrown();
    };
  }
  if (ask.ending == Ending::kCancelAt || ask.ending == Ending::kThrow || at_first) {
    options.on_logits = [stop, ending = ask.ending, left = ask.at, first = std::move(at_first),
                         begun = false](auto) mutable {
      if (!std::exchange(begun, true) && first) first();
      if (--left != 0) return;
      if (ending == Ending::kThrow) throw Thrown();
      if (ending == Ending::kCancelAt) stop->request_stop();
    };
  }
  return options;
}

Outcome Run(Session* session, const Ask& ask, std::function<void()> at_first) {
  const GenerateOptions options = OptionsOf(ask, std::move(at_first));
  Outcome outcome;
  try {
    switch (ask.wanted) {
      case Wanted::kRespond:
        outcome.reply = session->Respond(options);
        break;
      case Wanted::kPrepare:
        outcome.reply = session->Prepare(options);
        break;
      case Wanted::kComplete:
        outcome.reply = session->Complete(ask.prefix, options);
        break;
    }
  } catch (const Thrown&) {
    outcome.threw = true;
  }
  return outcome;
}

std::string Outcome::ToString() const {
  if (threw) return "threw";
  if (!reply.ok()) {
    return "code " + std::to_string(static_cast<int>(reply.status().code())) + " '" +
           reply.status().name() + "'";
  }
  std::string text = "stop=" + std::to_string(static_cast<int>(reply->stop)) +
                     " left=" + std::to_string(reply->tokens_evicted) +
                     (reply->window_rebuilt ? " anew" : "") + " said=" + reply->text + " ids=";
  for (const TokenId token : reply->tokens) text += std::to_string(token) + ",";
  return text;
}

}  // namespace gyrator
