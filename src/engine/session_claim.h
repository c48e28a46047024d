// Leave to use a session, which one caller has at a time.
//
// Every call that reads or changes more than a session's view claims the session first; a request
// keeps its claim until the call that made it returns. So a callback that asks its own session for
// something, or a second thread, is refused instead of meeting a session that is being changed.
#pragma once

#include <atomic>
#include <utility>

namespace gyrator {

class SessionClaim {
 public:
  // Takes over a flag that the maker has set; the end of the claim clears it.
  explicit SessionClaim(std::atomic<bool>* in_use) : in_use_(in_use) {}
  ~SessionClaim() {
    if (in_use_ != nullptr) in_use_->store(false, std::memory_order_release);
  }
  SessionClaim(SessionClaim&& other) noexcept : in_use_(std::exchange(other.in_use_, nullptr)) {}
  SessionClaim& operator=(SessionClaim&&) = delete;

 private:
  std::atomic<bool>* in_use_;
};

}  // namespace gyrator
