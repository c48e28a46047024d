// gyrator chat: each line is a turn. With --context NAME the conversation outlives the process.
//
// The order of work in a turn is what makes a kill harmless: the user's line is saved before its
// first token is decoded, the reply after its last. A process that finds a line without a reply
// makes that reply first, from the saved sampler: word for word the one that was interrupted.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

namespace {

constexpr std::string_view kHelp =
    "/help  this list\n"
    "/show  how much of the conversation's capacity is used\n"
    "/exit  leave (Ctrl-D too); a named context is saved\n"
    "Ctrl-C stops a reply.\n";

// The value of `key` in the config lines of a saved context; empty when it has none.
std::string ConfigValue(const ContextDetails& details, std::string_view key) {
  for (const auto& [name, value] : details.config) {
    if (name == key) return value;
  }
  return "";
}

// What a context was made with holds where no flag says otherwise; a flag that differs is refused
// by the load, by name.
void AdoptSaved(const ContextDetails& details, ModelFlags* model, EngineFlags* engine) {
  const std::string compute = ConfigValue(details, "compute");
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    if (!model->compute && ComputeTypeName(type) == compute) model->compute = type;
  }
  if (!engine->kv_dtype) engine->kv_dtype = CacheTypeFromName(ConfigValue(details, "kv_dtype"));
}

// The capacity that a context was saved with, or 0; never more than this model can have, so that
// another model is refused as what it is and not for its capacity.
int32_t SavedCapacity(const ContextDetails& details, const ModelInfo& model) {
  const std::string text = ConfigValue(details, "cache_capacity");
  int32_t capacity = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), capacity);
  if (end.ec != std::errc() || capacity < 0) return 0;
  return std::min(capacity, model.context_max);
}

class Chat {
 public:
  Chat(const ChatArgs& args, const Context& context)
      : args_(args), context_(context), progress_(context.terminals) {}

  // Loads the model and makes or resumes the session.
  Status Open();
  // Talks until the input ends.
  Status Talk();

 private:
  bool pretty() const { return context_.terminals.interactive() && !context_.json; }
  bool color() const { return context_.terminals.color && context_.terminals.out; }
  bool named() const { return !args_.context.empty(); }

  Status Resume(const std::string& folder);
  Status Save();
  Status Turn(const std::string& line);
  Status Answer();
  Status PrintPiece(std::string_view text);
  Status PrintEnd(const Reply& reply);
  // True when `line` was a command of the terminal; `*leave` when it was /exit.
  bool Command(const std::string& line, bool* leave);
  std::string Fill() const;  // "12 of 2048 tokens, 3 turns"

  ChatArgs args_;
  const Context context_;
  ProgressView progress_;
  Home home_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  bool unsaved_ = false;
};

Status Chat::Open() {
  std::optional<ContextDetails> saved;
  if (named()) {
    GYRATOR_ASSIGN_OR_RETURN(home_, FindHome());
    GYRATOR_ASSIGN_OR_RETURN(lock_, LockContext(home_, args_.context));
    GYRATOR_ASSIGN_OR_RETURN(const auto removed, RecoverContexts(home_.contexts));
    for (const std::string& path : removed) {
      PrintNote("removed what an interrupted save left: " + path);
    }
    Result<std::string> found = ResolveContext(home_.contexts, args_.context);
    if (!found.ok() && found.status().code() != Code::kNotFound) return std::move(found).status();
    if (found.ok()) {
      GYRATOR_ASSIGN_OR_RETURN(saved, ShowContext(*found));
      AdoptSaved(*saved, &args_.model, &args_.engine);
    }
  }
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, OpenModel(args_.model, &progress_));
  if (saved && args_.engine.context == 0) {
    args_.engine.context = SavedCapacity(*saved, model->info());
  }
  GYRATOR_ASSIGN_OR_RETURN(
      engine_, OpenEngine(std::move(model), args_.engine, args_.model.threads, &progress_));
  if (saved) return Resume(saved->entry.folder);
  GYRATOR_ASSIGN_OR_RETURN(session_, OpenSession(*engine_, args_.sampler, args_.generate));
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
  if (pretty()) PrintNote("resumed '" + args_.context + "': " + Fill());
  return {};
}

std::string Chat::Fill() const {
  const SessionInfo info = session_->info();
  return fmt::format("{} of {} tokens, {} {}", info.cp, info.capacity, info.turns,
                     info.turns == 1 ? "turn" : "turns");
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
    bool leave = false;
    if (line->empty() || (pretty() && Command(*line, &leave))) {
      if (leave) break;
      continue;
    }
    GYRATOR_RETURN_IF_ERROR(Turn(*line));
    if (pretty()) ClearInterrupt();  // Ctrl-C stopped the reply, not the talk
  }
  const bool interrupted = Interrupted();
  if (pretty()) GYRATOR_RETURN_IF_ERROR(PrintText("\n"));
  if (unsaved_) GYRATOR_RETURN_IF_ERROR(Save());
  if (interrupted) return Status::Cancelled("interrupted");
  return {};
}

bool Chat::Command(const std::string& line, bool* leave) {
  if (line[0] != '/') return false;
  if (line == "/exit" || line == "/quit")
    *leave = true;
  else if (line == "/show")
    PrintNote(Fill() + (named() ? ", saved as '" + args_.context + "'" : ""));
  else if (line == "/help" || line == "/?")
    PrintNote("commands\n" + std::string(kHelp));
  else
    PrintNote("no such command: " + line + "; /help lists them");
  return true;
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
             {"prompt_ms", reply.prompt_ms},
             {"generate_ms", reply.generate_ms},
             {"cp", info.cp},
             {"capacity", info.capacity}});
  return {};
}

}  // namespace

Status RunChat(const ChatArgs& args, const Context& context) {
  Chat chat(args, context);
  GYRATOR_RETURN_IF_ERROR(chat.Open());
  return chat.Talk();
}

}  // namespace gyrator::cli
