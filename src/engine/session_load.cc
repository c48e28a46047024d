// contextload: a verified folder becomes a new session; nothing that lives is touched.
#include <utility>

#include "base/fs.h"
#include "engine/engine_impl.h"
#include "snapshot/errors.h"
#include "snapshot/identity.h"
#include "snapshot/reader.h"

namespace gyrator {

namespace {

// How many of the first tokens are known as tokens only: of a folder without a chat log, all.
Result<int64_t> ReadOpaquePrefix(const Snapshot& snapshot) {
  int64_t said = snapshot.cp();
  if (snapshot.evictions) {
    for (const EvictedSpan& span : snapshot.evictions->evicted) said += std::ssize(span.tokens);
  }
  int64_t opaque = snapshot.verification == Verification::kBare ? snapshot.cp() : 0;
  if (snapshot.session.Contains("opaque_prefix")) {
    const Result<int64_t> stated = snapshot.session.GetInt("opaque_prefix");
    if (!stated.ok()) return StateInconsistent(kSessionFile, stated.status().message());
    opaque = *stated;
  }
  if (opaque >= 0 && opaque <= said) return opaque;
  return StateInconsistent(kSessionFile, "opaque_prefix: 0 to " + std::to_string(said) +
                                             " (all tokens) expected, found " +
                                             std::to_string(opaque));
}

}  // namespace

Result<RestoredState> RestoreState(const Snapshot& snapshot) {
  RestoredState state;
  GYRATOR_ASSIGN_OR_RETURN(ParsedChat chat, ParseChat(snapshot.chat));
  state.transcript = std::move(chat.messages);
  state.ranges = std::move(chat.ranges);
  GYRATOR_ASSIGN_OR_RETURN(ParsedSampler sampler, ReadSampler(snapshot.session));
  state.sampler = std::move(sampler.options);
  state.draws = sampler.draws;
  state.id = snapshot.session.Get("id").ok() ? *snapshot.session.Get("id") : NewSessionId();
  state.parent = snapshot.manifest.root();
  state.view.logits = std::make_shared<std::vector<float>>(snapshot.logits);
  state.foreign = snapshot.foreign();
  state.view.tokens = snapshot.tokens;
  GYRATOR_ASSIGN_OR_RETURN(state.draws_at, ReadDraws(snapshot.session, state.transcript.size()));
  GYRATOR_ASSIGN_OR_RETURN(state.keys, ReadSessionKeys(snapshot.session));
  if (snapshot.evictions) {
    state.view.window = std::make_shared<const Window>(WindowFromText(*snapshot.evictions));
    state.window_options = WindowOptionsFromText(*snapshot.evictions);
  }
  const int64_t said = std::ssize(state.view.tokens) + state.view.window->num_evicted();
  state.edited_from = EditedFrom(state.ranges, said);

  GYRATOR_ASSIGN_OR_RETURN(const int64_t opaque, ReadOpaquePrefix(snapshot));
  if (opaque > 0) {
    state.opaque_prefix = state.view.window->All(state.view.tokens);
    state.opaque_prefix.resize(static_cast<size_t>(opaque));
  }
  return state;
}

Status CheckLoadable(const Snapshot& snapshot) {
  GYRATOR_RETURN_IF_ERROR(CheckPositions(snapshot));
  GYRATOR_RETURN_IF_ERROR(ReadSampler(snapshot.session).status());
  GYRATOR_RETURN_IF_ERROR(ReadSessionKeys(snapshot.session).status());
  GYRATOR_RETURN_IF_ERROR(ReadOpaquePrefix(snapshot).status());
  size_t num_messages = 0;
  GYRATOR_RETURN_IF_ERROR(ForEachMessage(snapshot.chat, [&](const Message&, TokenRange) {
    ++num_messages;
    return Status();
  }));
  return ReadDraws(snapshot.session, num_messages).status();
}

namespace {

// Puts `wanted` in the place of a saved value; a note when that is another one.
void Replace(std::string_view what, const std::string& wanted, std::string* saved,
             std::vector<std::string>* notes) {
  if (wanted == *saved) return;
  const auto text = [](const std::string& value) {
    return value.empty() ? "none" : "'" + value + "'";
  };
  notes->push_back(std::string(what) + ": saved with " + text(*saved) + ", replaced by " +
                   text(wanted));
  *saved = wanted;
}

// What the caller wants otherwise than it was saved, and what this engine cannot do.
Status Adapt(const LoadSessionOptions& options, bool use_cache, RestoredState* state,
             std::vector<std::string>* notes) {
  if (options.template_variables) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string variables,
                             OneLineVariables(*options.template_variables));
    Replace("template variables", variables, &state->keys.template_variables, notes);
  }
  if (options.cache_namespace) {
    Replace("cache namespace", *options.cache_namespace, &state->keys.cache_namespace, notes);
  }
  WindowOptions& window = state->window_options;
  if (!use_cache && window.overflow != Overflow::kError) {
    notes->push_back("overflow: saved with '" + std::string(OverflowName(window.overflow)) +
                     "', but nothing can be evicted without the cache: the session ends where it "
                     "is full");
    window.overflow = Overflow::kError;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Session>> EngineImpl::LoadSession(const std::string& folder,
                                                         LoadReport* report,
                                                         const LoadSessionOptions& options) {
  FileSystem& fs = PosixFileSystem();
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, OpenSnapshot(fs, folder));
  const PagedKv& view = kv();
  GYRATOR_ASSIGN_OR_RETURN(const KeyValues identity, LiveIdentity(*model_, options_.context));
  const KeyValues live = MakeConfig(identity, {.dtype = view.dtype,
                                               .num_layers = view.num_layers,
                                               .num_kv_heads = view.num_kv_heads,
                                               .head_dim = view.head_dim});
  GYRATOR_ASSIGN_OR_RETURN(std::vector<std::string> notes,
                           CheckCompatible(snapshot, live, options_.context));
  GYRATOR_ASSIGN_OR_RETURN(RestoredState state, RestoreState(snapshot));
  GYRATOR_RETURN_IF_ERROR(Adapt(options, options_.use_cache, &state, &notes));

  GYRATOR_ASSIGN_OR_RETURN(SessionSlot slot, OpenSlot(state.keys.cache_namespace));
  std::vector<uint32_t> blocks;
  Status reserved;
  Call([&] {
    SequenceManager& sequences = loop_->sequences();
    reserved = sequences.Reserve(slot.id(), snapshot.cp());
    loop_->Hold(slot.id());
    const std::span<const uint32_t> held = sequences.sequence(slot.id()).blocks();
    blocks.assign(held.begin(), held.end());
  });
  GYRATOR_RETURN_IF_ERROR(reserved);
  LoadOptions load;
  if (options_.progress) {
    load.progress = [this](uint64_t done, uint64_t total) {
      options_.progress("loading the context", done, total);
    };
  }
  GYRATOR_RETURN_IF_ERROR(
      LoadKv(fs, snapshot, view, {blocks.data(), static_cast<int32_t>(blocks.size())}, load));
  Call([&] {
    SequenceManager& sequences = loop_->sequences();
    sequences.Commit(slot.id(), snapshot.tokens);
    sequences.SetForeign(slot.id());
    loop_->Release(slot.id());
  });
  if (report != nullptr) {
    if (!state.opaque_prefix.empty()) {
      notes.push_back("opaque prefix: the first " + std::to_string(state.opaque_prefix.size()) +
                      " tokens have no chat log and are kept as they are");
    }
    *report = {.verification = std::string(VerificationName(snapshot.verification)),
               .notes = std::move(notes),
               .has_window = snapshot.evictions.has_value()};
  }
  return std::unique_ptr<Session>(new SessionImpl(this, std::move(slot), std::move(state)));
}

}  // namespace gyrator
