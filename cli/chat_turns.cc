// Lines of a talk, their replies, and what becomes of those that have none.
//
// The order of work in a turn is what makes a kill harmless: the user's line is saved before its
// first token is decoded, the reply after its last. A process that finds a line without a reply
// makes that reply first, from the saved sampler: word for word the one that was interrupted.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/chat.h"
#include "cli/interrupt.h"

namespace gyrator::cli {

namespace {

// Whether the same line would be refused again. Of what may be otherwise next time there is memory,
// disk space and the pool's budget, the system, and the user's own Ctrl-C.
bool IsForGood(const Status& status) {
  if (status.code() == Code::kExhausted) return status.name() == "capacity";
  return status.code() != Code::kIo && status.code() != Code::kCancelled;
}

}  // namespace

std::vector<size_t> UserLines(std::span<const Message> transcript) {
  std::vector<size_t> lines;
  for (size_t i = 0; i < transcript.size(); ++i) {
    if (transcript[i].role == "user") lines.push_back(i);
  }
  return lines;
}

Status Chat::Turn(const std::string& line) {
  if (owes()) {
    GYRATOR_RETURN_IF_ERROR(ReplyToOwed());
    if (owes()) return {};  // the new line waits in the history of the editor
  }
  ++lines_;
  const size_t count = session_->transcript().size();
  Status status = session_->Append({.role = "user", .content = line, .extras = {}});
  if (status.ok()) status = session_->Check();
  if (!status.ok()) {
    return TakeBack(count, ThisLine(), status, false);
  }
  GYRATOR_RETURN_IF_ERROR(Save());
  return Respond(ThisLine());
}

std::string Chat::ThisLine() const {
  return pretty() ? "this line" : "line " + std::to_string(number_);
}

// With its words, which are nowhere else once it was taken back.
std::string Chat::OwedLine() const {
  constexpr size_t kLongest = 2000;
  const std::string& text = session_->transcript()[OwedFrom()].content;
  return "the line '" + (text.size() <= kLongest ? text : Shortened(text)) + "'";
}

Status Chat::TakeBack(size_t count, const std::string& what, const Status& why, bool saved) {
  ++refused_;
  if (refusal_.ok()) refusal_ = why;
  GYRATOR_RETURN_IF_ERROR(session_->Rewind(count));
  progress_.Clear();
  PrintError(Status(why.code(), what + " cannot be answered and was taken back: " + why.message())
                 .Named(why.name()),
             context_.json);
  if (!saved) return {};
  unsaved_ = true;
  return Save();
}

size_t Chat::OwedFrom() const {
  const std::vector<size_t> lines = UserLines(session_->transcript());
  return lines.empty() ? 0 : lines.back();
}

void Chat::TellOwed() const {
  if (pretty()) {
    PrintNote(
        "the line is kept and has no reply yet: the next line, or /owed answer, has it made "
        "first; /owed drop takes the line back");
  } else if (named()) {
    PrintNote("the line is kept in '" + args_.context +
              "' and has no reply yet: the next start makes it; --drop-owed takes the line back");
  }
}

// Lines that another process left may be more than one, and may be refused.
Status Chat::ReplyToOwed() {
  while (owes()) {
    if (Status status = session_->Check(); !status.ok()) {
      if (altered_) {
        return Status(status.code(),
                      "the line that awaits its reply cannot be answered with these flags: " +
                          status.message() +
                          "; start without them, or take the line back (--drop-owed)")
            .Named(status.name());
      }
      GYRATOR_RETURN_IF_ERROR(TakeBack(OwedFrom(), OwedLine(), status, true));
      continue;
    }
    const size_t messages = session_->transcript().size();
    GYRATOR_RETURN_IF_ERROR(Respond(OwedLine()));
    if (session_->transcript().size() == messages) break;  // it is still owed
  }
  return {};
}

Status Chat::DropOwed() {
  if (!owes()) {
    PrintNote("no line awaits its reply: nothing to drop");
    return {};
  }
  while (owes()) {
    const std::string text = Shortened(session_->transcript()[OwedFrom()].content);
    GYRATOR_RETURN_IF_ERROR(session_->Rewind(OwedFrom()));
    PrintNote("dropped the line that awaited its reply: " + text);
  }
  GYRATOR_RETURN_IF_ERROR(CheckFlags());
  unsaved_ = true;
  return Save();
}

// The user's own Ctrl-C asks for a shorter reply. Whoever ends the process, and an output that
// takes no more, do not.
bool Chat::WasCut(const Result<Reply>& reply, const Status& printed) const {
  return reply.ok() && !owes() && reply->stop == StopReason::kCancelled &&
         (Terminated() || !printed.ok());
}

Status Chat::Respond(const std::string& what) {
  Spinner spinner(pretty() && context_.terminals.err);
  progress_.set_before_draw([&spinner] { spinner.Stop(); });
  const StopOnInterrupt interrupt;
  Status printed;
  bool begun = false;
  GenerateOptions options;
  options.tokens_max = args_.generate.tokens_max;
  options.ignore_end = args_.generate.ignore_eos;
  options.cancel = interrupt.token();
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
  const bool was_cut = WasCut(reply, printed);
  Status ended;
  if (reply.ok() && !owes() && !(was_cut && context_.json))
    ended = PrintEnd(*reply);
  else if (begun && !context_.json)
    ended = PrintText("\n");
  TellEviction();
  if (!reply.ok() && IsForGood(reply.status())) {
    return TakeBack(OwedFrom(), what, reply.status(), true);
  }
  // What was said is kept even when it could not be finished or shown. A line whose reply was cut
  // is saved already, with the window as it was before; the next start says all of its reply.
  Status saved;
  if (was_cut) {
    saved = session_->Rewind(session_->transcript().size() - 1);
    unsaved_ = false;
  } else {
    saved = Save();
  }
  if (owes() && printed.ok()) TellOwed();
  GYRATOR_RETURN_IF_ERROR(saved);
  GYRATOR_RETURN_IF_ERROR(printed);
  GYRATOR_RETURN_IF_ERROR(ended);
  if (reply.ok() || !pretty()) return reply.status();
  PrintError(reply.status(), false);  // on a terminal the talk goes on: the line can be dropped
  return {};
}

Status Chat::PrintPiece(std::string_view text) {
  if (context_.json) return {};  // the whole reply comes as one object
  return PrintText(pretty() ? std::string(text) : OneLine(text));
}

Status Chat::PrintEnd(const Reply& reply) {
  if (!context_.json) return PrintText("\n");
  const SessionInfo info = session_->info();
  return PrintJson({{"reply", reply.text},
                    {"stop", StopName(reply.stop)},
                    {"tokens", reply.tokens},
                    {"tokens_reused", reply.tokens_reused},
                    {"tokens_decoded", reply.tokens_decoded},
                    {"tokens_evicted", reply.tokens_evicted},
                    {"prompt_ms", reply.prompt_ms},
                    {"generate_ms", reply.generate_ms},
                    {"line", number_},
                    {"cp", info.cp},
                    {"capacity", info.capacity}});
}

Status Chat::Stopped() const {
  if (Interrupted()) return Status::Cancelled("interrupted");
  if (refused_ == 0 || pretty()) return {};
  return Status(refusal_.code(), fmt::format("{} of {} lines had no reply", refused_, lines_))
      .Named(refusal_.name());
}

}  // namespace gyrator::cli
