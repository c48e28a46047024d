#include "engine/caller.h"

#include <utility>

namespace gyrator {

void Caller::Tell(CallerEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  news_.notify_one();
}

void Caller::Take(std::vector<CallerEvent>* events) {
  events->clear();
  std::unique_lock lock(mutex_);
  news_.wait(lock, [this] { return !events_.empty(); });
  events->swap(events_);
}

}  // namespace gyrator
