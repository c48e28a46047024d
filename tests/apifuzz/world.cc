#include "tests/apifuzz/world.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"

namespace gyrator {

namespace {

constexpr size_t kTwinsMax = 10;
constexpr uint64_t kCrowdedBlocks = 20;  // two and a half sessions

std::string NewFolder(const std::string& name) {
  // In memory where there is such a place: a save syncs each of its files.
  const std::string base = std::filesystem::exists("/dev/shm") ? "/dev/shm/" : testing::TempDir();
  std::string folder = base + "apifuzz_" + std::to_string(::getpid()) + "_" + name;
  std::ranges::replace(folder.begin() + static_cast<std::ptrdiff_t>(base.size()), folder.end(), '/',
                       '_');
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

World::World(std::string name, std::shared_ptr<const Model> model, uint64_t seed)
    : name_(std::move(name)),
      model_(std::move(model)),
      folder_(NewFolder(name_)),
      dice_("apifuzz/" + name_ + "/" + std::to_string(seed)),
      quiet_(model_, {}) {
  AddPlace("roomy", {}, 0);
  AddPlace("swap", {.swap_budget = 64 << 20, .swap_directory = folder_}, kCrowdedBlocks);
  AddPlace("crowded", {}, kCrowdedBlocks);
  AddPlace("apart", {.batch_rows = 16, .share_prefixes = false}, 0);
}

World::~World() {
  flying_.clear();
  halls_.clear();
  twins_.clear();
  places_.clear();
  std::filesystem::remove_all(folder_);
}

void World::AddPlace(const std::string& name, EngineOptions options, uint64_t kv_blocks) {
  options.context = kFuzzContext;
  options.sessions_max = 12;
  options.threads = 1;
  if (kv_blocks > 0) {
    options.kv_budget = kv_blocks * quiet_.engine().stats().block_bytes;
  }
  auto engine = Engine::Create(model_, options);
  GYRATOR_CHECK(engine.ok());
  places_.push_back({.name = name,
                     .engine = *std::move(engine),
                     .crowded = kv_blocks > 0,
                     .swaps = options.swap_budget > 0});
  const ContextManagerOptions talks = {
      .headroom = 16,
      .n_sink = 2,
      .eviction = dice_.Any<Overflow>({Overflow::kMessage, Overflow::kFifo, Overflow::kSink}),
      .evict_mode = dice_.OneIn(2) ? EvictMode::kShift : EvictMode::kRecompute,
      .sampler = {.seed = dice_.Seed()}};
  Hall& hall = halls_.emplace_back();
  hall.live = *ContextManager::New(places_.back().engine.get(), talks);
  hall.shadow = *ContextManager::New(&quiet_.engine(), talks);
}

void World::Fail(const std::string& what, const std::string& text) {
  ADD_FAILURE() << name_ << ", call " << calls_ << ", " << what << ": " << text;
}

Twin* World::AnyTwin() {
  std::vector<Twin*> idle;
  for (const auto& twin : twins_) {
    if (!flying_.contains(twin->number)) idle.push_back(twin.get());
  }
  return idle.empty() ? nullptr : dice_.Any(idle);
}

Twin* World::AnyTwinAt(size_t place) {
  std::vector<Twin*> idle;
  for (const auto& twin : twins_) {
    if (twin->place == place && !flying_.contains(twin->number)) idle.push_back(twin.get());
  }
  return idle.empty() ? nullptr : dice_.Any(idle);
}

void World::Add(Twin twin) {
  twin.number = ++numbers_;
  twins_.push_back(std::make_unique<Twin>(std::move(twin)));
}

void World::Drop(const Twin& twin) {
  std::erase_if(twins_, [&](const auto& other) { return other.get() == &twin; });
}

void World::Check(Twin& twin, const std::string& what, bool closely) {
  std::string text = Difference(*twin.live, *twin.shadow, crowded(twin));
  if (text.empty()) text = LogitsDiffer(*twin.live, &quiet_);
  if (text.empty() && dice_.OneIn(closely ? 2 : 5)) {
    Count("blocks looked at");
    text = BlocksDiffer(twin.live.get(), twin.shadow.get(), &quiet_, dice_.Below(250));
  }
  if (text.empty() && dice_.OneIn(closely ? 3 : 15)) {
    Count("saved and loaded to look");
    text = SavedDiffers(twin.live.get(), twin.shadow.get(), &quiet_, folder_);
  }
  if (text == kNoRoom) return Renew(twin, what);
  if (!text.empty()) Fail(what, text);
}

void World::Renew(Twin& twin, const std::string& what) {
  auto shadow = ShadowOf(twin.live.get(), &quiet_, folder_);
  if (HasNoRoom(shadow.status())) {
    Count("dropped for want of room");
    return Drop(twin);
  }
  if (!shadow.ok()) return Fail(what, "a new shadow: " + shadow.status().ToString());
  Count("shadows renewed");
  twin.shadow = *std::move(shadow);
  std::string text = Difference(*twin.live, *twin.shadow, crowded(twin));
  if (text.empty()) text = LogitsDiffer(*twin.live, &quiet_);
  if (text.empty() && dice_.OneIn(2)) {
    text = BlocksDiffer(twin.live.get(), twin.shadow.get(), &quiet_, dice_.Below(250));
  }
  if (text == kNoRoom) return Drop(twin);
  if (!text.empty()) Fail(what, text);
}

bool World::IsAsBefore(const Twin& twin, const std::string& before, const std::string& what) {
  const std::string now = StateOf(*twin.live);
  if (now == before) return true;
  Fail(what, "changed the session\n  before: " + before + "\n  now:    " + now);
  return false;
}

void World::Call() {
  ++calls_;
  const auto change = [&](int32_t weight, int32_t* roll) { return (*roll -= weight) < 0; };
  if (twins_.size() < 3) return Open();
  if (twins_.size() > kTwinsMax) return Drop(*AnyTwin());
  int32_t roll = dice_.Below(100);
  if (change(6, &roll)) return Open();
  if (change(2, &roll)) return Drop(*AnyTwin());
  if (change(30, &roll)) return Request(*AnyTwin(), 0);
  if (change(18, &roll)) return ChangeBoth();
  if (change(3, &roll)) return MakeRoom();
  if (change(4, &roll)) return Fork();
  if (change(4, &roll)) return SaveAndLoad();
  if (change(3, &roll)) return Explain();
  if (change(10, &roll)) return Batch();
  if (change(6, &roll)) return FailAllocation();
  if (change(2, &roll)) return FailDisk();
  if (change(11, &roll)) return TalkCall();
  if (dice_.OneIn(4)) return ForkTheProcess();
  Request(*AnyTwin(), 0);
}

}  // namespace gyrator
