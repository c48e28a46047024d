// What happens when a conversation outgrows its session: options of the window, the part of the
// conversation that is in the cache. docs/window.md has the policies.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gyrator {

// What happens when a conversation does not fit its capacity. What is evicted leaves the window,
// the part of the conversation that is in the cache; the transcript is never edited.
enum class Overflow : uint8_t {
  kError,    // kExhausted "capacity"; a reply ends there (kLength)
  kMessage,  // the oldest turns go, whole
  kFifo,     // the oldest tokens
  kSink,     // all but the first few and the newest half
  kScore,    // the blocks of 16 that the last 32 tokens attend to least
};

// What becomes of K and V of the tokens that stay behind a gap.
enum class EvictMode : uint8_t {
  // They move up, their keys rotated to the new positions. Fast. They still carry what they
  // attended to: the state is a function of the tokens and of the log of evictions.
  kShift,
  kRecompute,  // they are decoded again, as if the window were all that was ever said
};

// The system prompt is never evicted, nor a tool's call without its results, nor the newest turn of
// a prompt; of that, calls of tools before the last one may go, each with its results, when no
// older turn is left. Each eviction frees at least a quarter of what may go.
struct WindowOptions {
  Overflow overflow = Overflow::kError;
  EvictMode mode = EvictMode::kShift;
  int32_t sinks = 4;       // tokens behind the system prompt that stay (but for kMessage)
  int32_t headroom = 256;  // kept free behind a prompt; at most a quarter of the capacity
  bool operator==(const WindowOptions&) const = default;
};

std::string_view OverflowName(Overflow overflow);  // "error", "message", "fifo", "sink", "score"
std::optional<Overflow> OverflowFromName(std::string_view name);
std::string_view EvictModeName(EvictMode mode);  // "shift", "recompute"
std::optional<EvictMode> EvictModeFromName(std::string_view name);

}  // namespace gyrator
