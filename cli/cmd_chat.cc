// gyrator chat: each line is a turn. With --context NAME the conversation outlives the process.
//
// The order of work in a turn is what makes a kill harmless: the user's line is saved before its
// first token is decoded, the reply after its last. A process that finds a line without a reply
// makes that reply first, from the saved sampler: word for word the one that was interrupted.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

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
      return "the blocks that are looked at least";
  }
  return "some";
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
  // Before the first line, so that a file that is replaced during the talk costs no save.
  if (named()) GYRATOR_RETURN_IF_ERROR(model->WeightsDigest(false).status());
  if (saved && args_.engine.context == 0) {
    args_.engine.context = SavedCapacity(*saved, model->info());
  }
  GYRATOR_ASSIGN_OR_RETURN(
      engine_, OpenEngine(std::move(model), args_.engine, args_.model.threads, &progress_));
  if (saved) return Resume(saved->entry.folder);
  // A talk goes on; who wants it to end where it is full says so.
  WindowOptions window;
  if (!args_.engine.no_cache) window.overflow = Overflow::kMessage;
  GYRATOR_ASSIGN_OR_RETURN(
      session_, OpenSession(*engine_, args_.sampler, args_.window.Over(window), args_.generate));
  unsaved_ = true;
  return {};
}

Status Chat::Resume(const std::string& folder) {
  LoadReport report;
  GYRATOR_ASSIGN_OR_RETURN(session_, engine_->LoadSession(folder, &report));
  for (const std::string& note : report.notes) PrintNote(note);
  if (session_->info().opaque_prefix) {
    PrintNote("this context has no chat log: its tokens are kept as they are (opaque prefix)");
  }
  if (args_.sampler.any()) {
    GYRATOR_RETURN_IF_ERROR(session_->SetSampler(args_.sampler.Over(session_->sampler())));
    unsaved_ = true;
  }
  // A folder of an older version may not say what happens when the talk is full.
  WindowOptions window = session_->window();
  if (!report.has_window && !args_.engine.no_cache) window.overflow = Overflow::kMessage;
  GYRATOR_RETURN_IF_ERROR(session_->SetWindow(args_.window.Over(window)));
  told_eviction_ = session_->info().evicted > 0;
  if (pretty()) PrintNote("resumed '" + args_.context + "': " + Fill());
  return {};
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
  if (session_->info().phase == Phase::kPending) GYRATOR_RETURN_IF_ERROR(Answer());
  std::unique_ptr<LineSource> lines;
  if (pretty()) {
    Result<Home> home = FindHome();
    const bool kept = home.ok() && CreateDirectories(PosixFileSystem(), home->root).ok();
    lines = MakeLineEditor(">", kept ? home->history : "", color());
  } else {
    lines = MakePlainLines();
  }
  while (!Interrupted()) {
    const std::optional<std::string> line = lines->Next();
    if (!line) break;
    if (line->empty()) continue;
    bool leave = false, done = false;
    if (pretty()) {
      GYRATOR_ASSIGN_OR_RETURN(done, Command(*line, &leave));
    }
    if (leave) break;
    if (!done) GYRATOR_RETURN_IF_ERROR(Turn(*line));
    if (pretty()) ClearInterrupt();  // Ctrl-C stopped the reply, not the talk
  }
  const bool interrupted = Interrupted();
  if (pretty()) GYRATOR_RETURN_IF_ERROR(PrintText("\n"));
  if (unsaved_) GYRATOR_RETURN_IF_ERROR(Save());
  if (interrupted) return Status::Cancelled("interrupted");
  return {};
}

Status Chat::Turn(const std::string& line) {
  GYRATOR_RETURN_IF_ERROR(session_->Append({.role = "user", .content = line, .extras = {}}));
  GYRATOR_RETURN_IF_ERROR(Save());
  return Answer();
}

Status Chat::Answer() {
  Spinner spinner(pretty() && context_.terminals.err);
  progress_.set_before_draw([&spinner] { spinner.Stop(); });
  Status printed;
  bool begun = false;
  GenerateOptions options;
  options.tokens_max = args_.generate.tokens_max;
  options.ignore_end = args_.generate.ignore_eos;
  options.on_text = [&](std::string_view text) {
    spinner.Stop();
    progress_.Clear();
    if (printed.ok()) printed = PrintPiece(text);
    begun = true;
    return printed.ok() && !Interrupted();
  };
  const Result<Reply> reply = session_->Respond(options);
  spinner.Stop();
  progress_.Clear();
  progress_.set_before_draw(nullptr);
  unsaved_ = true;
  Status ended;
  if (reply.ok())
    ended = PrintEnd(*reply);
  else if (begun && !context_.json)
    ended = PrintText("\n");
  TellEviction();
  // What was said is kept even when it could not be finished or shown.
  Status saved = Save();
  GYRATOR_RETURN_IF_ERROR(reply.status());
  GYRATOR_RETURN_IF_ERROR(printed);
  GYRATOR_RETURN_IF_ERROR(ended);
  return saved;
}

Status Chat::PrintPiece(std::string_view text) {
  if (context_.json) return {};  // the whole reply comes as one object
  if (!pretty()) return PrintText(OneLine(text));
  return PrintText(Printable(text));
}

Status Chat::PrintEnd(const Reply& reply) {
  if (!context_.json) return PrintText("\n");
  const SessionInfo info = session_->info();
  PrintJson({{"reply", reply.text},
             {"stop", StopName(reply.stop)},
             {"tokens", reply.tokens},
             {"tokens_reused", reply.tokens_reused},
             {"tokens_decoded", reply.tokens_decoded},
             {"tokens_evicted", reply.tokens_evicted},
             {"prompt_ms", reply.prompt_ms},
             {"generate_ms", reply.generate_ms},
             {"cp", info.cp},
             {"capacity", info.capacity}});
  return {};
}

Status RunChat(const ChatArgs& args, const Context& context) {
  Chat chat(args, context);
  GYRATOR_RETURN_IF_ERROR(chat.Open());
  return chat.Talk();
}

}  // namespace gyrator::cli
