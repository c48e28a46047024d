// The fuzz itself: engines of one model, twins in them, and calls drawn at random.
//
// Each call is made on the live side, then on the shadow; afterwards the two must agree, and what
// was touched must be what its cache holds. Everything is a function of the seed but what depends
// on the order in which a crowded pool parks; there the live session is saved and loaded into a new
// shadow, and held against the oracle.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gyrator/context_manager.h"
#include "gyrator/engine.h"
#include "tests/apifuzz/asks.h"
#include "tests/apifuzz/twin.h"
#include "tests/schedules/script.h"

namespace gyrator {

using Tally = std::map<std::string, uint64_t>;  // how often what was done

class World {
 public:
  World(std::string name, std::shared_ptr<const Model> model, uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // One call and its checks. What is wrong is told as a failure of the running test.
  void Call();
  const Tally& tally() const { return tally_; }

 private:
  // A live engine.
  struct Place {
    std::string name;
    std::unique_ptr<Engine> engine;
    bool crowded = false;
    bool swaps = false;
  };
  // A conversation of a manager, and its shadow.
  struct Talk {
    Conversation live, shadow;
  };
  // A manager of a live engine, and its shadow.
  struct Hall {
    std::unique_ptr<ContextManager> live, shadow;
    std::vector<std::unique_ptr<Talk>> talks;
  };
  using Change = std::function<Status(Session&)>;

  // --- World (world.cc).
  void AddPlace(const std::string& name, EngineOptions options, uint64_t kv_blocks);
  void Count(const std::string& what) { ++tally_[what]; }
  void Fail(const std::string& what, const std::string& text);
  Twin* AnyTwin();  // that runs nothing; null: there is none
  Twin* AnyTwinAt(size_t place);
  void Add(Twin twin);
  void Drop(const Twin& twin);
  bool crowded(const Twin& twin) const { return places_[twin.place].crowded; }
  // The two sides agree and are true. `closely`: more often also the blocks and a saved folder.
  void Check(Twin& twin, const std::string& what, bool closely);
  // A new shadow for the live side as it stands, which is held against the oracle.
  void Renew(Twin& twin, const std::string& what);
  bool IsAsBefore(const Twin& twin, const std::string& before, const std::string& what);

  // --- Single sessions (calls.cc).
  void Open();
  void Request(Twin& twin, int depth);
  void InCallback(const Twin& twin, int depth);
  void ExpectBusy(const Twin& twin);
  Change AnyChange(Twin& twin, std::string* what);
  void ChangeBoth();
  void MakeRoom();
  void Fork();
  void SaveAndLoad();
  void Explain();

  // --- Many at once, and the process (batches.cc).
  struct Entry {
    Twin* twin = nullptr;  // null: a null session
    bool foreign = false;
    bool twice = false;
    Ask ask;
  };
  std::vector<Entry> DrawEntries(size_t place);
  std::vector<BatchRequest> RequestsOf(const std::vector<Entry>& entries);
  void Batch();
  void CheckEntry(const Entry& entry, const Result<Reply>& reply);
  void ForkTheProcess();
  bool InheritedRefuses(Twin* twin);

  // --- Failures that are made (faults.cc).
  void FailAllocation();
  void FailDisk();

  // --- Managers (talks.cc).
  void TalkCall();
  void AnswerAll(Hall& hall);
  void ChangeTalk(Hall& hall, Talk& talk);
  void CheckTalk(Hall& hall, Talk& talk, const std::string& what, const Status& live,
                 const Status& shadow);

  const std::string name_;
  const std::shared_ptr<const Model> model_;
  const std::string folder_;  // of everything that is saved
  Dice dice_;
  Quiet quiet_;
  std::vector<Place> places_;
  std::vector<std::unique_ptr<Twin>> twins_;
  std::vector<Hall> halls_;   // of the places
  std::set<int32_t> flying_;  // numbers of twins whose session runs a request
  Tally tally_;
  int32_t numbers_ = 0;
  int64_t calls_ = 0;
};

}  // namespace gyrator
