// What a session's cache holds of all that was said: the window, and what was evicted from it.
//
// All tokens = the window's, with the evicted ones put back where they stood. The transcript is
// never edited; who compares a new render with what is there compares it with all tokens. Knows
// tokens, not K and V.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/types.h"
#include "kv/eviction.h"
#include "kv/token_list.h"

namespace gyrator {

// Of a session of `engine`. kInvalidArgument names the field; any policy but kError needs the
// cache.
Status CheckWindow(const WindowOptions& options, const EngineOptions& engine);

// REQUIRES: not kError, which has none.
EvictionPolicy PolicyOf(Overflow overflow);
Overflow OverflowOf(EvictionPolicy policy);

// One entry of the log. Where what follows an eviction moves down, the state of a session is a
// function of its tokens and this log.
struct Eviction {
  int32_t cp = 0;  // tokens of the window before; of a rewind, those that stayed
  EvictionPolicy policy = EvictionPolicy::kMessage;  // of a rewind none
  std::vector<TokenSpan> spans;  // positions of the window at that time; of a rewind none
  bool is_rewind() const { return spans.empty(); }
  bool operator==(const Eviction&) const = default;
};

class Window {
 public:
  // Tokens that stood before position `at` of the window.
  struct Gone {
    int32_t at = 0;
    std::vector<TokenId> tokens;
    bool operator==(const Gone&) const = default;
  };

  Window() = default;
  // As saved. REQUIRES: `gone` by `at`, ascending and distinct, no list empty.
  Window(std::vector<Gone> gone, std::vector<Eviction> log)
      : gone_(std::move(gone)), log_(std::move(log)) {}

  bool empty() const { return gone_.empty(); }
  int32_t num_evicted() const;
  int32_t num_evictions() const;
  // Whether a window of `length` tokens reaches to the last evicted one. One that a failed request
  // left does not; it is made anew.
  bool Fits(int64_t length) const { return gone_.empty() || gone_.back().at <= length; }
  // Leading positions of a window of `length` before which nothing was evicted.
  int32_t exact(int32_t length) const {
    return gone_.empty() ? length : std::min(gone_[0].at, length);
  }
  std::span<const Gone> gone() const { return gone_; }
  std::span<const Eviction> log() const { return log_; }

  std::vector<TokenId> All(std::span<const TokenId> window) const;
  // How many leading tokens `all` and All(window) have in common. Allocates nothing.
  int64_t CommonPrefix(std::span<const TokenId> all,
                       std::span<const TokenId> window) const noexcept;
  // Whether `all` agrees with what is there as far as the last evicted token.
  bool Matches(std::span<const TokenId> all, std::span<const TokenId> window) const;
  // Whether it also has a token behind the last evicted one, for a reply to go on from: logits
  // after a token that was evicted can only come from a window that is made anew.
  bool Continues(std::span<const TokenId> all, std::span<const TokenId> window) const {
    return Matches(all, window) && ToAll(gone_.empty() ? 0 : gone_.back().at) < std::ssize(all);
  }
  // `all` without what was evicted. REQUIRES: Matches.
  std::vector<TokenId> View(std::span<const TokenId> all) const;
  // Where position `all` of all tokens is in the window; of an evicted one, where the next is that
  // is not.
  int32_t FromAll(int32_t all) const;
  // Where position `window` of the window is among all tokens.
  int32_t ToAll(int32_t window) const;

  // Takes spans out of `tokens`, the window as it is now.
  void Evict(const Eviction& eviction, std::vector<TokenId>* tokens);
  // Positions from `cp` on are decoded again. The log tells of it where they were last decoded
  // before an eviction that stayed in the window: they see something else now.
  void Rewind(int32_t cp);

 private:
  std::vector<Gone> gone_;
  std::vector<Eviction> log_;
};

}  // namespace gyrator
