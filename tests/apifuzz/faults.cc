// Calls that run out of memory or of disk.
#include <algorithm>
#include <filesystem>
#include <new>
#include <optional>
#include <utility>

#include "tests/apifuzz/failures.h"
#include "tests/apifuzz/world.h"

namespace gyrator {

namespace {

bool HasFiles(const std::string& folder, const std::string& prefix) {
  return std::ranges::any_of(std::filesystem::directory_iterator(folder), [&](const auto& entry) {
    return entry.path().filename().string().starts_with(prefix);
  });
}

}  // namespace

// One allocation of the thread that calls fails. A call that only changes the transcript or options
// changed nothing then; a request may have come anywhere, and its session says where. The JSON
// library allocates in its destructors, where a failure ends the program: so none is made while a
// prompt is rendered, but from the first logits on.
void World::FailAllocation() {
  Twin& twin = *AnyTwin();
  Engine& engine = *places_[twin.place].engine;
  std::string what;
  bool runs = true;
  Change call;
  const Ask ask = DrawAsk(twin, &dice_);
  const int64_t n = 1 + dice_.Below(dice_.OneIn(3) ? 400 : 40);
  std::optional<AllocationFails> fails;
  const std::function<void()> arm = [&] { fails.emplace(n); };
  bool arms_later = false;
  const auto save = [this](Session& s) { return s.Save({.root = folder_, .name = {}}).status(); };
  switch (dice_.Below(5)) {
    case 0:
      call = AnyChange(twin, &what);
      runs = false;
      break;
    case 1:
      what = "fork";
      call = [](Session& s) { return s.Fork({}).status(); };
      break;
    case 2:
      if (!twin.live->transcript().empty()) return;  // chat.json is made with the JSON library
      what = "save";
      call = save;
      break;
    default:
      arms_later = ask.wanted != Wanted::kComplete;
      what = ask.ToString();
      call = [&](Session& s) { return Run(&s, ask, arms_later ? arm : nullptr).reply.status(); };
  }
  what += " without memory";
  const std::string before = StateOf(*twin.live);
  const size_t messages = twin.live->transcript().size();
  const int32_t slots = engine.stats().slots_free;
  bool failed = false;
  Status status;
  try {
    if (!arms_later) arm();
    status = call(*twin.live);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  fails.reset();
  Count(failed ? "allocations that failed" : "allocations that were not reached");
  if (engine.stats().slots_free != slots) return Fail(what, "a slot is lost");
  if (HasFiles(folder_, ".tmp-")) return Fail(what, "a folder that was being written is left");
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    std::filesystem::remove_all(entry.path());
  }
  if (failed && !runs) {
    if (IsAsBefore(twin, before, what)) Check(twin, what, true);
    return;
  }
  if (!failed && !runs) {
    (void)call(*twin.shadow);
    return Check(twin, what, false);
  }
  if (failed && twin.live->transcript().size() != messages) {
    return Fail(what, "a reply joined the transcript of a call that threw");
  }
  Renew(twin, what);
}

// A save that has no room on the disk leaves nothing, and the session as it is.
void World::FailDisk() {
  Twin& twin = *AnyTwin();
  if (places_[twin.place].swaps) return;  // its swap file would fail, too
  // A fork and a save both let go of the tokens of messages that were dropped. After a fork of each
  // side nothing is left that a save could let go of.
  if (!twin.live->Fork({}).ok() || !twin.shadow->Fork({}).ok()) return Renew(twin, "fork");
  Count("saves to a full disk");
  const std::string before = StateOf(*twin.live);
  Result<SaveReport> saved = Status::Io("not saved");
  {
    const DiskFails fails(static_cast<uint64_t>(1 + dice_.Below(3000)));
    saved = twin.live->Save({.root = folder_, .name = {}});
  }
  if (HasNoRoom(saved.status())) return Renew(twin, "save");
  const bool expected =
      saved.ok() || saved.status().code() == Code::kExhausted || saved.status().code() == Code::kIo;
  if (!expected) return Fail("a full disk", saved.status().ToString());
  if (saved.ok()) std::filesystem::remove_all(saved->folder);
  if (HasFiles(folder_, "m") || HasFiles(folder_, ".tmp-")) {
    return Fail("a full disk", "something is left of the save");
  }
  if (IsAsBefore(twin, before, "a full disk")) Check(twin, "a full disk", true);
}

}  // namespace gyrator
