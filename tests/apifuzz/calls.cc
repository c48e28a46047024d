// Calls of one session.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "tests/apifuzz/failures.h"
#include "tests/apifuzz/world.h"

namespace gyrator {

namespace {

constexpr int kDepthMax = 2;  // requests within callbacks of requests

const std::vector<std::string> kLines = {"Hello there.", "What is ten and ten?", "Go on.",
                                         "My cat is red.", "No."};
const std::vector<std::string> kSpaces = {"", "", "b"};

SamplerOptions AnySampler(Dice* dice) {
  SamplerOptions sampler;
  sampler.seed = dice->OneIn(3) ? 7 : dice->Seed();
  if (dice->OneIn(4)) sampler.temperature = 0;
  if (dice->OneIn(4)) {
    sampler.repeat_penalty = 1.2f;
    sampler.penalty_last_n = -1;
  }
  return sampler;
}

WindowOptions AnyWindow(Dice* dice) {
  const bool evicts = !dice->OneIn(3);
  return {.overflow = evicts ? dice->Any<Overflow>({Overflow::kFifo, Overflow::kSink,
                                                    Overflow::kScore, Overflow::kMessage})
                             : Overflow::kError,
          .mode = dice->OneIn(2) ? EvictMode::kShift : EvictMode::kRecompute,
          .sinks = dice->OneIn(30) ? -1 : dice->Below(6),
          .headroom = dice->Below(20)};
}

std::string AnyText(Dice* dice) {
  std::string text;
  for (int32_t lines = dice->OneIn(20) ? 9 : 1 + dice->Below(2); lines > 0; --lines) {
    text += dice->Any(kLines);
  }
  return dice->OneIn(40) ? "\xff" + text : text;
}

Message AnyMessage(Dice* dice) {
  const auto role = dice->OneIn(30) ? "nobody" : dice->OneIn(12) ? "system" : "user";
  return {.role = role, .content = AnyText(dice), .extras = {}};
}

std::string TextOf(const Status& status) {
  return status.ok() ? "ok" : status.ToString() + " '" + status.name() + "'";
}

}  // namespace

void World::Open() {
  Count("sessions opened");
  const SessionOptions options = {.sampler = AnySampler(&dice_),
                                  .window = AnyWindow(&dice_),
                                  .cache_namespace = dice_.Any(kSpaces)};
  Twin twin{.place = static_cast<size_t>(dice_.Below(static_cast<int32_t>(places_.size()))),
            .chats = dice_.OneIn(2)};
  auto live = places_[twin.place].engine->NewSession(options);
  auto shadow = quiet_.engine().NewSession(options);
  if (live.ok() != shadow.ok()) return Fail("open", TextOf(live.status()));
  if (!live.ok()) return;
  twin.live = *std::move(live);
  twin.shadow = *std::move(shadow);
  Add(std::move(twin));
}

void World::Request(Twin& twin, int depth) {
  const Ask ask = DrawAsk(twin, &dice_);
  const std::string what =
      ask.ToString() + " of " + std::to_string(twin.number) + " in " + places_[twin.place].name;
  Count(ask.throws() ? "requests to throw" : "requests");
  std::unique_ptr<Session> cancelled;  // what a throw must leave: what a cancellation leaves
  if (ask.ending == Ending::kThrow) {
    // A fork lets go of the tokens of dropped messages: on both sides, or they would differ in
    // that.
    if (!twin.live->Fork({}).ok()) return Renew(twin, what);
    cancelled = *twin.shadow->Fork({});
  }
  std::function<void()> at_first;
  if (depth < kDepthMax && dice_.OneIn(3)) at_first = [&] { InCallback(twin, depth); };
  flying_.insert(twin.number);
  const Outcome live = Run(twin.live.get(), ask, at_first);
  flying_.erase(twin.number);
  if (HasNoRoom(live.reply.status())) {
    Count("requests without room");
    return Renew(twin, what);
  }
  if (live.threw) Count("threw");
  if (!live.reply.ok()) Count("refused");
  // How many rows of a prompt were decoded when a callback for one threw is a matter of time.
  if (live.threw && ask.ending == Ending::kThrowPrompt) return Renew(twin, what);
  const Outcome shadow = Run(twin.shadow.get(), ask, {});
  if (live.ToString() != shadow.ToString()) {
    return Fail(what, "came to\n  live:   " + live.ToString() + "\n  shadow: " + shadow.ToString());
  }
  if (live.threw && cancelled != nullptr) {
    Ask same = ask;
    same.ending = Ending::kCancelAt;
    const Outcome left = Run(cancelled.get(), same, {});
    const bool equal = cancelled->tokens() == twin.live->tokens() &&
                       cancelled->all_tokens() == twin.live->all_tokens() &&
                       std::ranges::equal(cancelled->last_logits(), twin.live->last_logits());
    if (!equal && !(crowded(twin) && twin.live->last_logits().empty())) {
      return Fail(what, "a throw left " + StateOf(*twin.live) + "\n  a cancellation " +
                            StateOf(*cancelled) + " (" + left.ToString() + ")");
    }
  }
  Check(twin, what, live.threw || !live.reply.ok());
}

// At the first logits of a request of `twin`.
void World::InCallback(const Twin& twin, int depth) {
  Count("callbacks that call");
  ExpectBusy(twin);
  Twin* other = AnyTwin();
  // In a crowded pool the one that stands still may have the room that the other wants.
  if (other == nullptr || (other->place == twin.place && crowded(twin))) return;
  const std::string what = "in a callback of " + std::to_string(twin.number);
  switch (dice_.Below(3)) {
    case 0:
      return Request(*other, depth + 1);
    case 1:
      return Check(*other, what, true);
    default: {
      auto live = other->live->Fork({});
      auto shadow = other->shadow->Fork({});
      if (HasNoRoom(live.status())) return Renew(*other, what);
      if (!live.ok() || !shadow.ok()) return Fail(what, "fork: " + TextOf(live.status()));
      Add({.place = other->place,
           .live = *std::move(live),
           .shadow = *std::move(shadow),
           .chats = other->chats});
    }
  }
}

void World::ExpectBusy(const Twin& twin) {
  const std::string before = StateOf(*twin.live);
  const Message line = {.role = "user", .content = "Hello.", .extras = {}};
  const std::vector<TokenId> tokens = {1, 2, 3};
  const std::vector<std::pair<std::string, Change>> calls = {
      {"append", [&](Session& s) { return s.Append(line); }},
      {"respond", [&](Session& s) { return s.Respond({}).status(); }},
      {"prepare", [&](Session& s) { return s.Prepare({}).status(); }},
      {"complete", [&](Session& s) { return s.Complete(tokens, {}).status(); }},
      {"explain", [&](Session& s) { return s.Explain(tokens).status(); }},
      {"save", [&](Session& s) { return s.Save({.root = folder_, .name = {}}).status(); }},
      {"fork", [&](Session& s) { return s.Fork({}).status(); }},
      {"rewind", [&](Session& s) { return s.Rewind(0); }},
      {"edit", [&](Session& s) { return s.Edit(0, "No."); }},
      {"set transcript", [&](Session& s) { return s.SetTranscript({line}); }},
      {"make room", [&](Session& s) { return s.MakeRoom(4).status(); }},
      {"set window", [&](Session& s) { return s.SetWindow({}); }},
      {"set sampler", [&](Session& s) { return s.SetSampler({}); }}};
  for (int32_t i = 0; i < 3; ++i) {
    const auto& [what, call] = dice_.Any(calls);
    const Status status = call(*twin.live);
    if (status.code() != Code::kInvalidArgument || status.name() != "busy") {
      return Fail(what + " in its own callback", TextOf(status) + ", 'busy' expected");
    }
    if (!IsAsBefore(twin, before, what + " in its own callback")) return;
  }
}

World::Change World::AnyChange(Twin& twin, std::string* what) {
  const auto messages = static_cast<int32_t>(twin.live->transcript().size());
  const size_t some = static_cast<size_t>(dice_.Below(messages + 2));
  switch (dice_.Below(twin.chats || dice_.OneIn(20) ? 9 : 2)) {
    case 0:
      *what = "set sampler";
      return [sampler = AnySampler(&dice_)](Session& s) { return s.SetSampler(sampler); };
    case 1:
      *what = "set window";
      return [window = AnyWindow(&dice_)](Session& s) { return s.SetWindow(window); };
    case 2:
      *what = "rewind";
      return [some](Session& s) { return s.Rewind(some); };
    case 3:
      *what = "edit";
      return [some, text = AnyText(&dice_)](Session& s) { return s.Edit(some, text); };
    case 4: {
      *what = "set transcript";
      std::vector<Message> other(twin.live->transcript().begin(), twin.live->transcript().end());
      other.resize(std::min(some, other.size()));
      if (other.size() < 8) other.push_back(AnyMessage(&dice_));
      return [other](Session& s) { return s.SetTranscript(other); };
    }
    default:
      *what = messages > 8 ? "rewind" : "append";
      twin.chats = true;
      if (messages > 8) return [](Session& s) { return s.Rewind(1); };
      return [line = AnyMessage(&dice_)](Session& s) { return s.Append(line); };
  }
}

void World::ChangeBoth() {
  Twin& twin = *AnyTwin();
  std::string what;
  const Change change = AnyChange(twin, &what);
  Count("changes");
  const Status live = change(*twin.live), shadow = change(*twin.shadow);
  if (TextOf(live) != TextOf(shadow)) {
    return Fail(what, "live: " + TextOf(live) + ", shadow: " + TextOf(shadow));
  }
  const std::string text = Difference(*twin.live, *twin.shadow, crowded(twin));
  if (!text.empty()) Fail(what, text);
}

void World::MakeRoom() {
  Twin& twin = *AnyTwin();
  const int32_t count = dice_.Below(60) - 2;
  Count("make room");
  const auto live = twin.live->MakeRoom(count);
  if (HasNoRoom(live.status())) return Renew(twin, "make room");
  const auto shadow = twin.shadow->MakeRoom(count);
  if (live.ok() != shadow.ok() || (live.ok() && *live != *shadow)) {
    return Fail("make room", TextOf(live.status()) + ", shadow: " + TextOf(shadow.status()));
  }
  Check(twin, "make room", false);
}

void World::Fork() {
  Twin& twin = *AnyTwin();
  Count("forks");
  ForkOptions options;
  if (dice_.OneIn(3)) {
    options.messages =
        static_cast<size_t>(dice_.Below(static_cast<int32_t>(twin.live->transcript().size()) + 2));
  }
  if (dice_.OneIn(3)) options.seed = dice_.Seed();
  auto live = twin.live->Fork(options);
  if (HasNoRoom(live.status())) return Renew(twin, "fork");
  auto shadow = twin.shadow->Fork(options);
  if (TextOf(live.status()) != TextOf(shadow.status())) {
    return Fail("fork", TextOf(live.status()) + ", shadow: " + TextOf(shadow.status()));
  }
  Check(twin, "fork", false);
  if (!live.ok()) return;
  Add({.place = twin.place,
       .live = *std::move(live),
       .shadow = *std::move(shadow),
       .chats = twin.chats});
  Check(*twins_.back(), "a fork", true);
}

void World::SaveAndLoad() {
  Twin& twin = *AnyTwin();
  Count("saves");
  const auto saved = twin.live->Save({.root = folder_, .name = {}});
  if (HasNoRoom(saved.status())) return Renew(twin, "save");
  if (!saved.ok()) return Fail("save", TextOf(saved.status()));
  const auto place = static_cast<size_t>(dice_.Below(static_cast<int32_t>(places_.size())));
  auto loaded = places_[place].engine->LoadSession(saved->folder, nullptr);
  // In a crowded pool one of a twin may lack logits that the other has.
  auto shadow = twin.shadow->Fork({});  // lets go of what the save let go of
  if (crowded(twin)) shadow = quiet_.engine().LoadSession(saved->folder, nullptr);
  std::filesystem::remove_all(saved->folder);
  if (HasNoRoom(loaded.status())) return Count("loads without room");
  if (!loaded.ok() || !shadow.ok()) return Fail("load", TextOf(loaded.status()));
  Add({.place = place,
       .live = *std::move(loaded),
       .shadow = *std::move(shadow),
       .chats = twin.chats});
  Check(*twins_.back(), "a loaded one", true);
}

void World::Explain() {
  Twin& twin = *AnyTwin();
  Count("explain");
  const Ask ask = DrawAsk(twin, &dice_);
  const std::string before = StateOf(*twin.live);
  const auto explain = [&](Session& session) {
    return ask.wanted == Wanted::kComplete ? session.Explain(ask.prefix) : session.Explain();
  };
  const auto live = explain(*twin.live), shadow = explain(*twin.shadow);
  if (TextOf(live.status()) != TextOf(shadow.status())) {
    return Fail("explain", TextOf(live.status()) + ", shadow: " + TextOf(shadow.status()));
  }
  if (!IsAsBefore(twin, before, "explain") || !live.ok()) return;
  if (live->prompt_tokens != shadow->prompt_tokens || live->evicted != shadow->evicted ||
      live->own + live->shared + live->decode != live->prompt_tokens) {
    Fail("explain", "counts do not add up");
  }
}

}  // namespace gyrator
