// Engine: a model with its pool of KV blocks. Session: one conversation on it.
//
// Five rules: capacity is fixed when a session is made and running
// over it is a typed error; priming leaves no trace; input goes through the chat template unless
// asked otherwise; cache, chat, cp, tokens, sampler and last logits are one unit; the engine makes
// the empty cache and saved tensors are injected into it. Model::Load (initmodel) and NewSession or
// LoadSession (initsession) are separate; callers give full prefixes and never positions.
//
// Threads: an Engine may be used by any number of threads at once, a Session by one at a time. One
// thread of the engine does the work; callbacks run on the thread that called. Several engines may
// share a model. The child of a fork() can destroy what it inherited; its parent's engines refuse
// it (kUnsupported "forked").
//
// A session in use: until the call that runs a request returns, its session refuses every call but
// the plain queries (info, tokens, all_tokens, transcript, last_logits, sampler, window), with
// kInvalidArgument "busy". That holds for a callback of the request and for another thread. The
// queries tell how the session stood when the request began. Other sessions are free. To destroy a
// session while it runs a request is a bug, which ends the program with a message.
//
// A callback that throws ends its call: the requests of the call stop, the exception passes, and
// no reply joins a transcript. Every session of the call keeps what was decoded and sampled until
// then, and says so.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/explain.h"
#include "gyrator/model.h"
#include "gyrator/stats.h"
#include "gyrator/status.h"
#include "gyrator/types.h"
#include "gyrator/window.h"

namespace gyrator {

// Names, order and defaults of llama.cpp: logit bias, penalties, top-k, typical, top-p, min-p,
// temperature. Ties go to the lowest id.
struct SamplerOptions {
  float temperature = 0.8f;  // 0: greedy
  int32_t top_k = 40;        // 0: off
  float top_p = 0.95f;       // 1: off
  float min_p = 0.05f;       // 0: off
  float typical_p = 1.0f;    // 1: off
  float repeat_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  int32_t penalty_last_n = 64;  // tokens looked at; 0: off, -1: all
  uint64_t seed = 0;
  std::vector<std::pair<TokenId, float>> logit_bias = {};

  bool operator==(const SamplerOptions&) const = default;
};

// kInvalidArgument names the field, its range and its value.
Status CheckSampler(const SamplerOptions& options);

struct EngineOptions {
  int32_t context = 0;  // capacity of a session in tokens (-c); 0: the model's own, at most 4,096
  int32_t sessions_max = 1;  // the pool holds this many sessions at full capacity,
  uint64_t kv_budget = 0;    // or as many blocks as these bytes, when given
  // Bytes on disk for sessions that do not fit, and for cached prefixes beside them; 0: none.
  uint64_t swap_budget = 0;
  std::string swap_directory = {};  // where; must exist when swap_budget > 0
  // Bytes of memory beside the pool for idle sessions that cannot be computed again (loaded ones,
  // and those behind an eviction) and find no place in a swap file. Taken when they are needed. 0:
  // as many as the pool has; less than a block: none.
  uint64_t spill_budget = 0;
  // Bytes of cached prefixes, those that sessions use counted: beyond it, cached blocks that nobody
  // uses are dropped when a prefix is published. Less than a block: all of them. 0: as large as the
  // pool.
  uint64_t cache_budget = 0;
  int32_t slots = 0;         // sessions that may live at once; 0: 65,536
  int32_t batch_rows = 512;  // most rows of one forward pass (--batch-size)
  std::optional<DType> kv_dtype =
      {};                      // f32, bf16, f16, i8 (int8). Default: f32 under f32, else bf16
  bool use_cache = true;       // false: every step decodes the whole prefix again; equal bits
  bool share_prefixes = true;  // between sessions (SessionOptions::cache_namespace); equal bits
  // Session::Explain tells that, and how much of, a prompt is cached in other namespaces, not
  // whose.
  bool explain_namespaces = false;
  int threads = 0;         // 0: one a core
  Progress progress = {};  // long prefills; on the thread of each caller
};

enum class StopReason : uint8_t { kNone, kEndOfGeneration, kLength, kCancelled, kDeadline };

struct GenerateOptions {
  int32_t tokens_max = -1;  // -n; -1: until the end of the reply or of the capacity
  bool ignore_end = false;  // --ignore-eos: ends of generation get -infinity
  // Lower goes first, when there is not room for all. No request waits for ever: a step of
  // priority is worth 4,096 rows that are computed meanwhile.
  int32_t priority = 0;
  // Ends the request between two passes, wherever it stands (kCancelled); what was computed and
  // sampled until then stays with the session. A reply of no tokens does not join the transcript.
  // When a callback of the request asks for it, nothing more is done: nothing is evicted either.
  std::stop_token cancel = {};
  // The same at this time (kDeadline).
  std::optional<std::chrono::steady_clock::time_point> deadline = {};
  // One whole piece of UTF-8 at a time; false cancels after this token. The request stands still
  // while a callback runs, others do not.
  std::function<bool(std::string_view text)> on_text = {};
  // Raw logits [vocab] of each sampled step, before the chain.
  std::function<void(std::span<const float>)> on_logits = {};
  // The rows of the prompt positions before the last, as they are computed: positions that were
  // reused from the cache are decoded again, so that all are seen.
  std::function<void(std::span<const float>)> on_prompt_logits = {};
};

struct Reply {
  std::string text;
  std::vector<TokenId> tokens;  // sampled, without the end-of-generation token
  StopReason stop = StopReason::kNone;
  int32_t tokens_reused = 0;   // prompt tokens whose K and V were there already
  int32_t tokens_shared = 0;   // of those, the ones that another session had computed
  int32_t tokens_decoded = 0;  // prompt tokens decoded
  int32_t tokens_evicted = 0;  // from the window, prompt tokens that were never decoded included
  // The history differs at or before an evicted token: the window was made anew.
  bool window_rebuilt = false;
  // Until it had room in the pool, each time that it had none, and while another request computed
  // the beginning of its prompt. In neither of the two below.
  double wait_ms = 0;
  double prompt_ms = 0;  // until the first token
  double generate_ms = 0;
};

// Logical phase of a session (spec: P4).
enum class Phase : uint8_t { kNew, kRunning, kPending /* the last message awaits its reply */ };

struct SessionInfo {
  int32_t cp = 0;  // cache position: tokens in the cache
  int32_t capacity = 0;
  int32_t evicted = 0;          // tokens that were said and are not in the window
  int32_t evictions = 0;        // entries of the log since the window was made
  int32_t windows_rebuilt = 0;  // times, since the session was made or loaded
  int32_t turns = 0;            // user messages
  Phase phase = Phase::kNew;
  bool opaque_prefix = false;  // tokens without a chat log (bare v1.0 folder)
  // Since the session was made or loaded, as Reply counts them.
  uint64_t tokens_reused = 0, tokens_shared = 0, tokens_decoded = 0;
  uint64_t tokens_generated = 0;
  std::string id;      // of this conversation
  std::string parent;  // root digest of the snapshot it came from; empty: none
};

struct SaveOptions {
  std::string root = {};  // folder that holds contexts
  std::string name = {};  // also point this name at it; empty: no name
};

struct SaveReport {
  std::string folder;
  std::string stamp;
  std::string root_digest;
  uint64_t bytes = 0;
};

struct ForkOptions {
  std::optional<size_t> messages = {};  // as Rewind; default: all of them
  std::optional<uint64_t> seed = {};  // another stream of draws; default: the same, where it stands
};

class Session {
 public:
  virtual ~Session() = default;

  // Appends a message; nothing is decoded. kInvalidArgument on an unknown role or broken UTF-8.
  virtual Status Append(Message message) = 0;
  // runturn: renders the transcript, decodes what is not in the cache, samples a reply, appends it.
  // A reply that fills the session ends there (kLength). kExhausted ("capacity", names capacity and
  // cp), of a prompt that does not fit, keeps the session valid. On every failure, a callback that
  // throws included, cp, tokens, logits and KV agree.
  virtual Result<Reply> Respond(const GenerateOptions& options) = 0;
  // Why the next Respond would refuse the transcript, whatever else runs: the template's error, a
  // token that the model does not have, kExhausted "capacity" as far as that shows before anything
  // is evicted. Decodes nothing and changes nothing.
  virtual Status Check() const = 0;
  // As Respond, without a reply: afterwards the next Respond decodes nothing. Gives what was
  // decoded, reused and evicted; options' tokens_max means nothing.
  virtual Result<Reply> Prepare(const GenerateOptions& options) = 0;
  // Continues raw tokens: `prefix` is the whole sequence from position 0. No template, no chat.
  virtual Result<Reply> Complete(std::span<const TokenId> prefix,
                                 const GenerateOptions& options) = 0;

  // What the next Respond would find in the cache, and why no more. Changes nothing, the cache's
  // order of use included. Errors of Respond that the transcript is the cause of.
  virtual Result<Explanation> Explain() const = 0;
  // The same of Complete. kInvalidArgument: no tokens, or one that the model does not have.
  virtual Result<Explanation> Explain(std::span<const TokenId> prefix) const = 0;

  // All or nothing: a complete verified folder, or none (kExhausted, kIo).
  virtual Result<SaveReport> Save(const SaveOptions& options) = 0;

  // A conversation of its own that stands where this one does: transcript, tokens, logits, sampler.
  // Blocks are shared until the two differ: it takes none from the pool. kExhausted "slots".
  virtual Result<std::unique_ptr<Session>> Fork(const ForkOptions& options) = 0;

  // Keeps the first `count` messages, and the sampler as it stood then. Nothing is decoded; K and V
  // stay as far as the next prompt has the same tokens. kInvalidArgument names count and messages.
  virtual Status Rewind(size_t count) = 0;
  // Gives message `index` another content and drops what follows it.
  virtual Status Edit(size_t index, std::string content) = 0;
  // Another history: what it has in common with the present one keeps its place and its ids.
  virtual Status SetTranscript(std::vector<Message> messages) = 0;

  // Evicts at least `count` tokens, by the session's policy, and gives how many; the window is
  // reproduced by nothing else than another render. Nothing to do for 0 or less. kExhausted
  // "capacity": that many cannot go, or the policy is kError; nothing changes then.
  virtual Result<int32_t> MakeRoom(int32_t count) = 0;
  // Messages of the transcript, by index, that have no token left in the window. Known for whole
  // turns, as far as the template's render tells where they are.
  virtual Result<std::vector<size_t>> EvictedMessages() const = 0;
  // Of the evictions to come. kInvalidArgument: a field out of range; a policy other than kError in
  // an engine without a cache.
  virtual Status SetWindow(const WindowOptions& options) = 0;
  virtual const WindowOptions& window() const = 0;
  virtual Status SetSampler(const SamplerOptions& options) = 0;
  virtual const SamplerOptions& sampler() const = 0;
  virtual SessionInfo info() const = 0;
  virtual std::vector<TokenId> tokens() const = 0;  // [cp]: the window
  // With what was evicted where it stood, as far as the window reaches over that.
  virtual std::vector<TokenId> all_tokens() const = 0;
  virtual std::span<const Message> transcript() const = 0;
  virtual std::span<const float> last_logits() const = 0;  // [vocab] after tokens(); empty at cp 0
};

struct SessionOptions {
  SamplerOptions sampler = {};
  WindowOptions window = {};
  // Sessions of one namespace share prefixes; those of different ones never see that the other
  // has a prefix. Saved with the session.
  std::string cache_namespace = {};
  // Variables of the chat template for every render, a JSON object; empty: none. Saved with the
  // session.
  std::string template_variables = {};
};

// What a session is to have instead of what was saved with it. A field that is not set, or that is
// equal, changes nothing; another value is told as a note and is what the next save writes.
struct LoadSessionOptions {
  std::optional<std::string> cache_namespace = {};
  std::optional<std::string> template_variables = {};
};

struct LoadReport {
  std::string verification;        // "full", or "bare" for a folder without a manifest
  std::vector<std::string> notes;  // soft differences: template, capacity, writer, numerics
  // Whether the folder says what happens when the session is full. Folders below minor 4 from which
  // nothing was evicted do not; Session::window() has the defaults then.
  bool has_window = false;
};

// One conversation's work of a joint run.
struct BatchRequest {
  Session* session = nullptr;
  std::vector<TokenId> prefix = {};  // as Complete; empty: as Respond
  GenerateOptions options = {};
};

class Engine {
 public:
  // kUnsupported: a sliding window shorter than the capacity. kExhausted: the machine does not have
  // such a pool, or the system refuses memory or threads. kInvalidArgument names the option.
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<const Model> model,
                                                const EngineOptions& options);
  virtual ~Engine() = default;

  // Sessions must not outlive their engine. kInvalidArgument names the option.
  virtual Result<std::unique_ptr<Session>> NewSession(const SessionOptions& options) = 0;
  // Verifies all of `folder`, then makes a session of it; no other session is touched. kNotFound,
  // kCorruption, kMismatch ("model_mismatch" names field, expected, found), kExhausted
  // ("capacity"), kUnsupported. The session has the sampler, the window's options, the template's
  // variables and the namespace that it was saved with, but for what `options` say.
  virtual Result<std::unique_ptr<Session>> LoadSession(const std::string& folder,
                                                       LoadReport* report,
                                                       const LoadSessionOptions& options = {}) = 0;
  // Runs all requests together in shared batches; results in order. Equal bits to running each
  // alone. A request whose prefix another one is computing waits for it. When the pool has no room,
  // idle sessions are parked (to the swap file, to the spill memory, or to be computed again),
  // requests wait, and those that came last are parked; kExhausted "kv_pool" when one alone does
  // not fit, or when pool and spill memory are both full of what cannot be computed again.
  // kInvalidArgument for that one request: "no_session" (null), "foreign_session" (another
  // engine's), "busy" (the session runs a request already, for example the same session's earlier
  // in this batch).
  virtual std::vector<Result<Reply>> Run(std::span<BatchRequest> requests) = 0;

  virtual EngineStats stats() const = 0;
  virtual const Model& model() const = 0;
  virtual const EngineOptions& options() const = 0;  // defaults resolved
};

}  // namespace gyrator
