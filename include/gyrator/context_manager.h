// Many conversations on one engine: records of what was said (Conversation) get a row of the pool
// when they are prepared, share one system prompt, and give up what does not fit.
//
// Names, defaults and statistics follow ion7-llm's ContextManager; where it differs from them,
// docs/context-manager.md says so. What is evicted leaves the row's window; the conversation's
// messages are never edited.
//
// A row belongs to the Conversation object that was prepared, not to its id: two records of one id
// are two conversations. The row comes back to the manager when it is released, and when the
// conversation is destroyed, reset, assigned over, or prepared by another manager. One that is
// moved takes its row along.
//
// Threads: any number at once, each with its own conversations.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gyrator/conversation.h"
#include "gyrator/engine.h"

namespace gyrator {

struct ContextManagerOptions {
  int32_t headroom = 256;  // tokens kept free behind a prompt; at most a quarter of the capacity
  int32_t n_sink = 4;
  Overflow eviction = Overflow::kMessage;
  EvictMode evict_mode = EvictMode::kShift;
  bool no_think = false;             // gives the template enable_thinking = false
  std::string cache_namespace = {};  // who may share prefixes with these conversations
  SamplerOptions sampler = {};       // of every new row
};

// What left the window of a conversation since its last report.
struct EvictionReport {
  std::vector<Message> dropped;  // that left as a whole, as the model was shown them, oldest first
  int32_t tokens = 0;
  Overflow policy = Overflow::kMessage;
};

// Hooks run on the caller's thread, once a Prepare, in the order of their registration, scoped ones
// last. Each gets what the one before it gave. One that fails ends the Prepare; the error names it,
// and the conversation is as it was. So does one that releases or changes its own conversation; to
// destroy that in its own hook is a bug of the caller. What a hook asks of the manager for its own
// conversation, other than Release, is refused ("busy").
//
// What the model is to read instead of these messages (without system); nothing: these. The
// conversation keeps its own.
struct BeforeEncode {
  std::function<Result<std::optional<std::vector<Message>>>(std::span<const Message> messages,
                                                            const Conversation& conversation)>
      run;
};
// Told after an eviction, also one during a reply. Messages that it gives (a summary) take the
// place of the dropped ones from the next Prepare on, which decodes the window anew.
struct OnEvict {
  std::function<Result<std::optional<std::vector<Message>>>(const EvictionReport& report,
                                                            const Conversation& conversation)>
      run;
};
// How many tokens behind the system prompt stay; a negative number: as many as without the hook.
struct SinkCount {
  std::function<Result<int32_t>(const Conversation& conversation)> run;
};
using Hook = std::variant<BeforeEncode, OnEvict, SinkCount>;
using HookId = uint64_t;
enum class HookScope : uint8_t { kManager, kScoped };  // scoped ones run last

struct RadixStats {
  uint64_t hits = 0;           // Prepares that took tokens from the prefix cache
  uint64_t misses = 0;         // others that had to decode
  uint64_t blobs_evicted = 0;  // blocks
  int32_t n_blobs = 0;         // leaves of the tree
  int32_t max_blobs = 0;       // blocks that it may hold
};

struct ContextManagerStats {
  int32_t slots_total = 0, slots_free = 0;
  int32_t prefix_tokens = 0;  // tokens that all conversations under the system prompt begin with
  bool prefix_cached = false;
  int32_t n_sink = 0;
  Overflow eviction = Overflow::kMessage;
  uint64_t n_evictions = 0;
  uint64_t n_tokens_evicted = 0;
  uint64_t n_system_changes = 0;  // Prepares that decoded again because the system prompt changed
  RadixStats radix;
};

class ContextManager {
 public:
  // The engine outlives the manager. kInvalidArgument names the option.
  static Result<std::unique_ptr<ContextManager>> New(Engine* engine,
                                                     const ContextManagerOptions& options);
  virtual ~ContextManager() = default;

  virtual HookId SetHook(Hook hook, HookScope scope = HookScope::kManager) = 0;
  virtual Status ClearHook(HookId id) = 0;  // kNotFound

  // The system prompt of every conversation that has none of its own; an empty text: none. Gives
  // the tokens that all of them begin with. Another text drops what is cached under the old one and
  // in use by nobody. kInvalidArgument: the template's own error (it may have no system role).
  virtual Result<int32_t> SetSystem(const std::string& text) = 0;
  virtual std::string PrefixText() const = 0;
  virtual bool HasPrefix() const = 0;
  virtual int32_t PrefixTokens() const = 0;

  // Makes the conversation's row hold its prompt, header of the reply included, with fresh logits.
  // Gives n_past, and writes it onto the conversation. kExhausted: "slots"; "capacity" when system
  // and newest turn alone do not fit; "kv_pool".
  virtual Result<int32_t> Prepare(Conversation& conversation) = 0;
  // Prepares and samples a reply; the caller adds it to the conversation. The reply counts what
  // both did.
  virtual Result<Reply> Respond(Conversation& conversation, const GenerateOptions& options) = 0;
  // The same for many at once, in shared batches; results in order. kInvalidArgument for those that
  // are null, and "busy" for one that was given before: the first is answered.
  virtual std::vector<Result<Reply>> RespondAll(std::span<Conversation* const> conversations,
                                                const GenerateOptions& options) = 0;
  // Evicts at least `n` tokens from the row; gives how many, 0 without a row or for n <= 0.
  // kExhausted "capacity": fewer can go.
  virtual Result<int32_t> MakeRoom(Conversation& conversation, int32_t n) = 0;
  // Gives the row back. Nothing to do without one.
  virtual void Release(Conversation& conversation) = 0;
  // An equal conversation with a row of its own that shares every block until the two differ.
  // Messages that were not prepared yet come along. kExhausted "slots".
  virtual Result<Conversation> Fork(Conversation& conversation) = 0;

  virtual ContextManagerStats Stats() const = 0;
  virtual void ClearRadix() = 0;
};

// A hook for as long as this lives.
class ScopedHook {
 public:
  ScopedHook(ContextManager* manager, Hook hook)
      : manager_(manager), id_(manager->SetHook(std::move(hook), HookScope::kScoped)) {}
  ~ScopedHook() { (void)manager_->ClearHook(id_); }
  ScopedHook(const ScopedHook&) = delete;
  ScopedHook& operator=(const ScopedHook&) = delete;

 private:
  ContextManager* const manager_;
  const HookId id_;
};

}  // namespace gyrator
