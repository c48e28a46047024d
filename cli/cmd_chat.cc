// gyrator chat: each line is a turn. With --context NAME the conversation outlives the process.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/chat.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

namespace {

std::string_view WhatLeaves(Overflow overflow) {
  switch (overflow) {
    case Overflow::kError:
      break;
    case Overflow::kMessage:
      return "the oldest turns";
    case Overflow::kFifo:
      return "the oldest tokens";
    case Overflow::kSink:
      return "what lies between the first tokens and the newest half";
    case Overflow::kScore:
      return "the blocks that get the least attention";
  }
  return "some";
}

// Whether a flag gives the template other variables than the context has.
bool AreOtherVariables(const std::string& flag, const ContextDetails& saved) {
  if (flag.empty()) return false;
  const Result<Json> mine = ParseJson(flag), its = ParseJson(SavedVariables(saved));
  return !mine.ok() || !its.ok() || *mine != *its;
}

}  // namespace

Status Chat::Open() {
  std::optional<ContextDetails> saved;
  if (named()) {
    GYRATOR_ASSIGN_OR_RETURN(home_, FindHome());
    GYRATOR_ASSIGN_OR_RETURN(lock_, LockContext(home_, args_.context));
    GYRATOR_ASSIGN_OR_RETURN(const auto removed, RecoverContexts(home_.contexts));
    SweepLocks(home_);
    for (const std::string& path : removed) {
      PrintNote("removed what an interrupted save left: " + path);
    }
    const Result<HeldContext> found = HoldContext(home_.contexts, args_.context);
    if (!found.ok() && found.status().code() != Code::kNotFound) return found.status();
    if (found.ok()) {
      GYRATOR_ASSIGN_OR_RETURN(saved, ShowContext(found->folder));
      AdoptSaved(*saved, &args_.model, &args_.engine);
    }
  }
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, OpenModel(args_.model, &progress_));
  if (model->text() == nullptr || !model->text()->has_template()) {
    return Status::Unsupported(model->info().path + ": no " +
                               (model->text() == nullptr ? "tokenizer" : "chat template") +
                               ", which a talk needs; gyrator run continues raw text or tokens");
  }
  // Before the first line, so that a file that is replaced during the talk costs no save.
  if (named()) GYRATOR_RETURN_IF_ERROR(model->WeightsDigest(false).status());
  if (saved && args_.engine.context == 0) {
    args_.engine.context = SavedCapacity(*saved, model->info());
  }
  GYRATOR_ASSIGN_OR_RETURN(
      engine_, OpenEngine(std::move(model), args_.engine, args_.model.threads, &progress_));
  if (saved) return Resume(*saved);
  // A talk goes on; who wants it to end where it is full says so.
  WindowOptions window;
  if (!args_.engine.no_cache) window.overflow = Overflow::kMessage;
  GYRATOR_ASSIGN_OR_RETURN(
      session_, OpenSession(*engine_, args_.sampler, args_.window.Over(window), args_.generate));
  unsaved_ = true;
  return CheckFlags();
}

Status Chat::Resume(const ContextDetails& saved) {
  LoadReport report;
  LoadSessionOptions options;
  altered_ = args_.engine.no_cache ||
             args_.engine.context < SavedCapacity(saved, engine_->model().info()) ||
             AreOtherVariables(args_.generate.template_variables, saved);
  if (!args_.generate.template_variables.empty()) {
    options.template_variables = args_.generate.template_variables;
    unsaved_ = true;
  }
  Result<std::unique_ptr<Session>> loaded =
      engine_->LoadSession(saved.entry.folder, &report, options);
  if (!loaded.ok()) {
    return ExplainMismatch(std::move(loaded).status(), args_.context, saved, engine_->model());
  }
  session_ = *std::move(loaded);
  for (const std::string& note : report.notes) PrintNote(note);
  if (session_->info().opaque_prefix) {
    PrintNote("this context has no chat log: its tokens are kept as they are (opaque prefix)");
  }
  GYRATOR_RETURN_IF_ERROR(UseSystemPrompt());
  if (args_.sampler.any()) {
    GYRATOR_RETURN_IF_ERROR(session_->SetSampler(args_.sampler.Over(session_->sampler())));
    unsaved_ = true;
  }
  // A folder of an older version may not say what happens when the talk is full.
  WindowOptions window = session_->window();
  if (!report.has_window && !args_.engine.no_cache) window.overflow = Overflow::kMessage;
  altered_ |= args_.window.Over(window) != window;
  window = args_.window.Over(window);
  if (window != session_->window()) GYRATOR_RETURN_IF_ERROR(session_->SetWindow(window));
  GYRATOR_RETURN_IF_ERROR(CheckFlags());
  told_eviction_ = session_->info().evicted > 0;
  if (pretty()) PrintNote("resumed '" + args_.context + "': " + Fill());
  return {};
}

Status Chat::UseSystemPrompt() {
  const std::string& wanted = args_.generate.system_prompt;
  if (wanted.empty()) return {};
  const std::span<const Message> transcript = session_->transcript();
  if (session_->info().phase == Phase::kNew) {
    unsaved_ = true;
    const Message system = {.role = "system", .content = wanted, .extras = {}};
    return session_->Append(system).Annotate("--system-prompt");
  }
  const bool has = !transcript.empty() && transcript[0].role == "system";
  if (has && transcript[0].content == wanted) return {};
  return Status::InvalidArgument(
      "--system-prompt: the context '" + args_.context + "' was begun with " +
      (has ? "another one, '" + Shortened(transcript[0].content) + "'" : "none") +
      ", and a conversation keeps its own; leave the flag out, or begin another context");
}

// A fork is asked, so that the line which it takes to ask is in no transcript. A talk that is full
// is no fault of its flags.
Status Chat::CheckFlags() const {
  std::string flags;
  if (!args_.generate.system_prompt.empty()) flags = "--system-prompt";
  if (!args_.generate.template_variables.empty()) {
    flags += (flags.empty() ? "" : ", ") + std::string("--chat-template-kwargs");
  }
  if (flags.empty() || owes()) return {};
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> probe, session_->Fork({}));
  GYRATOR_RETURN_IF_ERROR(probe->Append({.role = "user", .content = "a", .extras = {}}));
  Status status = probe->Check();
  if (status.code() == Code::kExhausted && session_->info().cp > 0) return {};
  return std::move(status).Annotate(flags);
}

std::string Chat::Fill() const {
  const SessionInfo info = session_->info();
  return fmt::format("{} of {} tokens, {} {}", info.cp, info.capacity, info.turns,
                     info.turns == 1 ? "turn" : "turns") +
         (info.evicted > 0 ? fmt::format(", {} evicted", info.evicted) : "");
}

void Chat::TellEviction() {
  const SessionInfo info = session_->info();
  if (told_eviction_ || info.evicted == 0) return;
  told_eviction_ = true;
  PrintNote(fmt::format(
      "the talk is longer than its {} tokens: {} ({} tokens) left the window, and more will; the "
      "transcript keeps them (--overflow {}; error ends the talk instead)",
      info.capacity, WhatLeaves(session_->window().overflow), info.evicted,
      OverflowName(session_->window().overflow)));
}

Status Chat::Save() {
  if (!named()) return {};
  GYRATOR_RETURN_IF_ERROR(session_->Save({.root = home_.contexts, .name = args_.context}).status());
  unsaved_ = false;
  return {};
}

Status Chat::Talk() {
  const InterruptScope scope;
  if (args_.drop_owed) {
    GYRATOR_RETURN_IF_ERROR(DropOwed());
  } else {
    GYRATOR_RETURN_IF_ERROR(ReplyToOwed());
    refused_ = 0;  // what another process left is no line of this one
    refusal_ = {};
    if (pretty()) ClearInterrupt();
  }
  std::unique_ptr<LineSource> lines;
  if (pretty()) {
    Result<Home> home = FindHome();
    const bool kept = home.ok() && CreateDirectories(PosixFileSystem(), home->root).ok();
    lines = MakeLineEditor(">", kept ? home->history : "", color());
  } else {
    lines = MakePlainLines();
  }
  while (!Interrupted()) {
    GYRATOR_ASSIGN_OR_RETURN(const std::optional<std::string> line, lines->Next());
    if (!line) break;
    ++number_;
    if (line->empty()) continue;
    bool leave = false, done = false;
    if (pretty()) {
      GYRATOR_ASSIGN_OR_RETURN(done, Command(*line, &leave));
    }
    if (leave) break;
    if (!done) GYRATOR_RETURN_IF_ERROR(Turn(*line));
    if (pretty()) ClearInterrupt();  // Ctrl-C stopped the reply, not the talk
  }
  const Status stopped = Stopped();
  if (pretty()) GYRATOR_RETURN_IF_ERROR(PrintText("\n"));
  if (unsaved_) GYRATOR_RETURN_IF_ERROR(Save());
  return stopped;
}

Status RunChat(const ChatArgs& args, const Context& context) {
  Chat chat(args, context);
  GYRATOR_RETURN_IF_ERROR(chat.Open());
  return chat.Talk();
}

}  // namespace gyrator::cli
