// Engine::Run with many requests at once, some of which it must refuse; a fork of the process.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "tests/apifuzz/failures.h"
#include "tests/apifuzz/world.h"

namespace gyrator {

namespace {

constexpr int kChildAgrees = 0, kChildDiffers = 1;
constexpr unsigned kChildSeconds = 120;  // a child that takes longer hangs

GenerateOptions Steps(int32_t count) {
  GenerateOptions options;
  options.tokens_max = count;
  options.ignore_end = true;
  return options;
}

}  // namespace

// Sessions of the place, the same one again, those of other engines, and none at all. At most one
// throws.
std::vector<World::Entry> World::DrawEntries(size_t place) {
  std::vector<Entry> entries;
  std::set<int32_t> there;
  bool throws = false;
  for (int32_t left = 2 + dice_.Below(4); left > 0; --left) {
    Entry entry;
    entry.twin = dice_.OneIn(8) ? AnyTwin() : AnyTwinAt(place);
    if (entry.twin == nullptr || dice_.OneIn(16)) {
      entry.twin = nullptr;
      entry.ask.prefix = {1, 2, 3};
      entries.push_back(entry);
      continue;
    }
    entry.foreign = entry.twin->place != place;
    entry.twice = !entry.foreign && !there.insert(entry.twin->number).second;
    entry.ask = DrawAsk(*entry.twin, &dice_);
    if (entry.ask.wanted == Wanted::kPrepare) entry.ask.wanted = Wanted::kRespond;
    if (entry.ask.throws() && (throws || entry.twice || entry.foreign || !dice_.OneIn(2))) {
      entry.ask.ending = Ending::kPlain;
    }
    throws |= entry.ask.throws();
    entries.push_back(entry);
  }
  return entries;
}

std::vector<BatchRequest> World::RequestsOf(const std::vector<Entry>& entries) {
  std::vector<BatchRequest> batch;
  const bool calls = dice_.OneIn(3);
  for (const Entry& entry : entries) {
    std::function<void()> at_first;
    if (calls && entry.twin != nullptr && !entry.foreign && !entry.twice) {
      at_first = [this, twin = entry.twin, &entries] {
        InCallback(*twin, 1);
        const Entry& other = dice_.Any(entries);
        if (other.twin != nullptr && !other.foreign) ExpectBusy(*other.twin);
      };
    }
    batch.push_back({.session = entry.twin == nullptr ? nullptr : entry.twin->live.get(),
                     .prefix = entry.ask.wanted == Wanted::kComplete ? entry.ask.prefix
                                                                     : std::vector<TokenId>(),
                     .options = OptionsOf(entry.ask, std::move(at_first))});
  }
  return batch;
}

void World::CheckEntry(const Entry& entry, const Result<Reply>& reply) {
  const std::string what = "in a batch: " + entry.ask.ToString();
  const std::string expected = entry.twin == nullptr ? "no_session"
                               : entry.foreign       ? "foreign_session"
                               : entry.twice         ? "busy"
                                                     : "";
  if (!expected.empty()) {
    if (reply.status().name() == expected) return;
    return Fail(what, reply.status().ToString() + ", '" + expected + "' expected");
  }
  if (HasNoRoom(reply.status())) return Renew(*entry.twin, what);
  const Outcome live{.threw = false, .reply = reply};
  const Outcome shadow = Run(entry.twin->shadow.get(), entry.ask, {});
  if (live.ToString() != shadow.ToString()) {
    return Fail(what, "came to\n  live:   " + live.ToString() + "\n  shadow: " + shadow.ToString());
  }
  Check(*entry.twin, what, true);
}

void World::Batch() {
  const auto place = static_cast<size_t>(dice_.Below(static_cast<int32_t>(places_.size())));
  const std::vector<Entry> entries = DrawEntries(place);
  Count("batches");
  std::map<Twin*, std::string> idle;  // sessions of other engines, as they stood
  for (const Entry& entry : entries) {
    if (entry.twin == nullptr) continue;
    if (entry.foreign) idle[entry.twin] = StateOf(*entry.twin->live);
    if (entry.twice) Count("the same session twice");
    flying_.insert(entry.twin->number);
  }
  std::map<Twin*, size_t> messages;
  for (const Entry& entry : entries) {
    if (entry.twin != nullptr) messages[entry.twin] = entry.twin->live->transcript().size();
  }
  std::vector<BatchRequest> batch = RequestsOf(entries);
  std::vector<Result<Reply>> replies;
  bool threw = false;
  try {
    replies = places_[place].engine->Run(batch);
  } catch (const Thrown&) {
    threw = true;
    Count("batches that threw");
  }
  for (const Entry& entry : entries) {
    if (entry.twin != nullptr) flying_.erase(entry.twin->number);
  }
  for (const auto& [twin, before] : idle) IsAsBefore(*twin, before, "a batch of another engine");
  if (!threw) {
    for (size_t i = 0; i < entries.size(); ++i) CheckEntry(entries[i], replies[i]);
    return;
  }
  // Where the others stood then is a matter of time.
  std::set<Twin*> ended;
  for (const Entry& entry : entries) {
    if (entry.twin == nullptr || entry.foreign || !ended.insert(entry.twin).second) continue;
    if (entry.twin->live->transcript().size() != messages[entry.twin]) {
      Fail("a batch that threw", "a reply joined a transcript");
    }
    Renew(*entry.twin, "a batch that threw: " + entry.ask.ToString());
  }
}

// In a forked child, where the engines' threads are not: what it inherited refuses by name whatever
// needs one, hangs nowhere, and can be destroyed.
bool World::InheritedRefuses(Twin* twin) {
  const std::vector<TokenId> tokens = {1, 2, 3};
  const std::vector<Status> statuses = {
      twin->live->Complete(tokens, Steps(1)).status(),
      twin->live->Explain(tokens).status(),
      twin->live->Save({.root = folder_, .name = {}}).status(),
      twin->live->Fork({}).status(),
      places_[twin->place].engine->NewSession({}).status(),
  };
  twin->live.reset();
  for (const Status& status : statuses) {
    if (status.name() == "forked") continue;
    std::cerr << "in a forked child: " << status.ToString() << ", 'forked' expected" << std::endl;
    return false;
  }
  return true;
}

// The child makes an engine of its own, which says what the parent's oracle says.
void World::ForkTheProcess() {
  Count("forks of the process");
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < 20; ++i) tokens.push_back(dice_.Below(250));
  const std::vector<float> expected = quiet_.Logits(tokens);
  Twin& twin = *AnyTwin();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kChildSeconds);
    if (!InheritedRefuses(&twin)) ::_exit(kChildDiffers);
    auto engine = Engine::Create(model_, {.context = kFuzzContext, .threads = 1});
    if (!engine.ok()) ::_exit(kChildDiffers);
    auto session = (*engine)->NewSession({});
    const bool agrees = session.ok() && (*session)->Complete(tokens, Steps(0)).ok() &&
                        std::ranges::equal(expected, (*session)->last_logits());
    ::_exit(agrees ? kChildAgrees : kChildDiffers);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return Fail("fork()", "no child");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kChildAgrees) {
    Fail("fork()", "the child ended with status " + std::to_string(status));
  }
}

}  // namespace gyrator
