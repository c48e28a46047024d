// Conversations of managers, each beside one in the quiet engine.
#include <algorithm>
#include <utility>

#include "tests/apifuzz/world.h"

namespace gyrator {

namespace {

constexpr size_t kTalksMax = 4;
constexpr size_t kMessagesMax = 8;
const std::vector<std::string> kLines = {"Hello.", "My cat is red.", "What is it?", "Go on."};
const std::vector<std::string> kSystems = {"", "Be kind.", "You are a patient helper."};

GenerateOptions Steps(int32_t count) {
  GenerateOptions options;
  options.tokens_max = count;
  options.ignore_end = true;
  return options;
}

}  // namespace

void World::CheckTalk(Hall& hall, Talk& talk, const std::string& what, const Status& live,
                      const Status& shadow) {
  if (HasNoRoom(live)) {  // how far the row came is a matter of order: both begin again
    Count("talks without room");
    hall.live->Release(talk.live);
    hall.shadow->Release(talk.shadow);
    return;
  }
  if (live.code() != shadow.code() || live.name() != shadow.name()) {
    return Fail(what, live.ToString() + ", shadow: " + shadow.ToString());
  }
  if (talk.live.n_past() != talk.shadow.n_past()) {
    Fail(what, "n_past " + std::to_string(talk.live.n_past()) + ", expected " +
                   std::to_string(talk.shadow.n_past()));
  }
}

// Some of the talks, some of them twice: the later ones are refused.
void World::AnswerAll(Hall& hall) {
  std::vector<Talk*> asked;
  for (const auto& talk : hall.talks) {
    if (dice_.OneIn(3)) continue;
    for (auto* side : {&talk->live, &talk->shadow}) {
      (void)side->Truncate(std::min(side->messages().size(), kMessagesMax));
    }
    const std::string line = dice_.Any(kLines);
    (void)talk->live.AddUser(line);
    (void)talk->shadow.AddUser(line);
    asked.push_back(talk.get());
  }
  if (asked.empty()) return;
  const size_t once = asked.size();
  if (dice_.OneIn(3)) asked.push_back(dice_.Any(asked));
  Count(asked.size() > once ? "talks answered, one twice" : "talks answered");
  std::vector<Conversation*> live, shadow;
  for (Talk* talk : asked) live.push_back(&talk->live);
  for (size_t i = 0; i < once; ++i) shadow.push_back(&asked[i]->shadow);
  const GenerateOptions options = Steps(1 + dice_.Below(12));
  const auto here = hall.live->RespondAll(live, options);
  const auto there = hall.shadow->RespondAll(shadow, options);
  for (size_t i = once; i < asked.size(); ++i) {
    if (here[i].status().code() != Code::kInvalidArgument && !HasNoRoom(here[i].status())) {
      return Fail("RespondAll", "the same conversation twice: " + here[i].status().ToString());
    }
  }
  for (size_t i = 0; i < once; ++i) {
    CheckTalk(hall, *asked[i], "RespondAll", here[i].status(), there[i].status());
    if (!here[i].ok() || !there[i].ok()) continue;
    if (here[i]->tokens != there[i]->tokens) return Fail("RespondAll", "another reply");
    (void)asked[i]->live.AddAssistant(here[i]->text);
    (void)asked[i]->shadow.AddAssistant(there[i]->text);
  }
}

void World::ChangeTalk(Hall& hall, Talk& talk) {
  const auto messages = static_cast<int32_t>(talk.live.messages().size());
  const auto some = static_cast<size_t>(dice_.Below(messages + 1));
  switch (dice_.Below(6)) {
    case 0:
      Count("talks released");
      hall.live->Release(talk.live);
      hall.shadow->Release(talk.shadow);
      return CheckTalk(hall, talk, "Release", {}, {});
    case 1:
      talk.live.Reset();
      talk.shadow.Reset();
      return CheckTalk(hall, talk, "Reset", {}, {});
    case 2:
      (void)talk.live.Truncate(some);
      (void)talk.shadow.Truncate(some);
      return;
    case 3: {
      Count("talks prepared");
      const auto live = hall.live->Prepare(talk.live);
      const auto shadow = hall.shadow->Prepare(talk.shadow);
      return CheckTalk(hall, talk, "Prepare", live.status(), shadow.status());
    }
    case 4: {
      const int32_t count = dice_.Below(40);
      const auto live = hall.live->MakeRoom(talk.live, count);
      const auto shadow = hall.shadow->MakeRoom(talk.shadow, count);
      return CheckTalk(hall, talk, "MakeRoom", live.status(), shadow.status());
    }
    default: {
      Count("talks forked");
      auto live = hall.live->Fork(talk.live);
      if (HasNoRoom(live.status())) return CheckTalk(hall, talk, "Fork", live.status(), {});
      auto shadow = hall.shadow->Fork(talk.shadow);
      CheckTalk(hall, talk, "Fork", live.status(), shadow.status());
      if (!live.ok() || !shadow.ok()) return;
      hall.talks.emplace_back(new Talk{*std::move(live), *std::move(shadow)});
    }
  }
}

void World::TalkCall() {
  Hall& hall = halls_[static_cast<size_t>(dice_.Below(static_cast<int32_t>(halls_.size())))];
  if (hall.talks.empty() || (hall.talks.size() < kTalksMax && dice_.OneIn(6))) {
    const std::string system = dice_.Any(kSystems);
    hall.talks.emplace_back(new Talk{Conversation(system), Conversation(system)});
  }
  if (hall.talks.size() > kTalksMax) {
    hall.live->Release(hall.talks[0]->live);
    hall.shadow->Release(hall.talks[0]->shadow);
    hall.talks.erase(hall.talks.begin());
  }
  if (dice_.OneIn(20)) {
    const std::string system = dice_.Any(kSystems);
    (void)hall.live->SetSystem(system);
    (void)hall.shadow->SetSystem(system);
  }
  if (dice_.OneIn(3)) {
    return ChangeTalk(
        hall,
        *hall.talks[static_cast<size_t>(dice_.Below(static_cast<int32_t>(hall.talks.size())))]);
  }
  AnswerAll(hall);
}

}  // namespace gyrator
