// The commands of a talk on a terminal: lines that begin with /.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/chat.h"

namespace gyrator::cli {

namespace {

constexpr std::string_view kHelp =
    "/help            this list\n"
    "/show            how much of the conversation's capacity is used\n"
    "/stats           what was reused, decoded and evicted; /stats prom: for Prometheus\n"
    "/explain [TEXT]  what the line TEXT would reuse, and why no more\n"
    "/rewind [N]      forget the last N turns (1), the sampler's draws too\n"
    "/edit [N] TEXT   put TEXT in the place of your last line, or of the N-th, and answer again\n"
    "/fork NAME [N]   save a fork under another name, or one of the first N messages\n"
    "/owed            the line that has no reply yet; /owed answer, /owed drop: take it back\n"
    "/exit            leave (Ctrl-D too); a named context is saved\n"
    "Ctrl-C stops a reply, also while its prompt is read; twice: ends the program.\n";

// Takes the first word off.
std::string_view TakeWord(std::string_view* text) {
  const size_t end = std::min(text->find(' '), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(std::min(text->find_first_not_of(' ', end), text->size()));
  return word;
}

std::optional<size_t> NumberFrom(std::string_view text) {
  size_t number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

Status Usage(std::string_view text) {
  return Status::InvalidArgument(std::string(text) + "; /help lists the commands");
}

}  // namespace

Result<bool> Chat::Command(const std::string& line, bool* leave) {
  if (line[0] != '/') return false;
  std::string_view rest = line;
  const std::string_view name = TakeWord(&rest);
  if (name == "/edit") return Edit(rest);
  if (name == "/owed") return Owed(rest);
  Status status;
  if (name == "/exit" || name == "/quit") {
    *leave = true;
  } else if (name == "/show") {
    PrintNote(Fill() + (named() ? ", saved as '" + args_.context + "'" : ""));
  } else if (name == "/help" || name == "/?") {
    PrintNote("commands\n" + std::string(kHelp));
  } else if (name == "/stats") {
    PrintNote(rest == "prom" ? "\n" + PrometheusText(engine_->stats()) : StatsText());
  } else if (name == "/explain") {
    status = Explain(rest);
  } else if (name == "/rewind") {
    status = Rewind(rest);
  } else if (name == "/fork") {
    status = Fork(rest);
  } else {
    status = Usage("no such command: " + std::string(name));
  }
  if (!status.ok()) PrintNote(status.message());
  return true;
}

std::string Chat::StatsText() const {
  const SessionInfo info = session_->info();
  const EngineStats stats = engine_->stats();
  return fmt::format(
      "this session\n"
      "  reused     {:>9} own, {} shared\n"
      "  decoded    {:>9}\n"
      "  generated  {:>9}\n"
      "  evicted    {:>9}\n"
      "all sessions\n"
      "  reused     {:>9} own, {} shared\n"
      "  decoded    {:>9}\n"
      "  generated  {:>9}\n"
      "  evicted    {:>9}\n"
      "  parked     {:>9}\n"
      "  blocks     {:>9} of {} free, {} cached",
      info.tokens_reused - info.tokens_shared, info.tokens_shared, info.tokens_decoded,
      info.tokens_generated, info.evicted, stats.tokens_reused_own, stats.tokens_reused_shared,
      stats.tokens_decoded, stats.tokens_generated, stats.tokens_evicted, stats.sessions_parked,
      stats.blocks_free, stats.blocks_total, stats.blocks_cached);
}

// Of a fork, which has blocks of its own only where it differs.
Status Chat::Explain(std::string_view text) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> fork, session_->Fork({}));
  GYRATOR_RETURN_IF_ERROR(
      fork->Append({.role = "user", .content = std::string(text), .extras = {}}));
  GYRATOR_ASSIGN_OR_RETURN(const Explanation explanation, fork->Explain());
  PrintNote("the next line\n" + ExplanationText(explanation));
  return {};
}

Status Chat::Rewind(std::string_view text) {
  const std::vector<size_t> lines = UserLines(session_->transcript());
  const std::optional<size_t> turns = text.empty() ? 1 : NumberFrom(text);
  if (!turns || *turns == 0 || *turns > lines.size()) {
    return Usage(fmt::format("/rewind N: this talk has {} turns, found '{}'", lines.size(), text));
  }
  GYRATOR_RETURN_IF_ERROR(session_->Rewind(lines[lines.size() - *turns]));
  unsaved_ = true;
  GYRATOR_RETURN_IF_ERROR(Save());
  const size_t left = lines.size() - *turns;
  PrintNote(fmt::format("back to {} {}", left, left == 1 ? "turn" : "turns"));
  return {};
}

Result<bool> Chat::Edit(std::string_view text) {
  const std::vector<size_t> lines = UserLines(session_->transcript());
  std::string_view rest = text;
  std::optional<size_t> number = NumberFrom(TakeWord(&rest));
  if (rest.empty()) {
    number = lines.size();  // a number alone is a line
    rest = text;
  }
  if (!number) {
    number = lines.size();
    rest = text;
  }
  if (rest.empty() || *number == 0 || *number > lines.size()) {
    PrintNote(Usage(fmt::format("/edit TEXT or /edit N TEXT: this talk has {} lines, found '{}'",
                                lines.size(), text))
                  .message());
    return true;
  }
  const size_t index = lines[*number - 1];
  // On a fork: what the new line refuses leaves the talk as it is.
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> fork, session_->Fork({}));
  Status status = fork->Edit(index, std::string(rest));
  if (status.ok()) status = fork->Check();
  if (!status.ok()) {
    PrintNote("/edit: nothing was changed: " + status.message());
    return true;
  }
  GYRATOR_RETURN_IF_ERROR(session_->Edit(index, std::string(rest)));
  GYRATOR_RETURN_IF_ERROR(Save());
  GYRATOR_RETURN_IF_ERROR(Respond("the new line"));
  return true;
}

Result<bool> Chat::Owed(std::string_view text) {
  if (text == "drop") {
    GYRATOR_RETURN_IF_ERROR(DropOwed());
  } else if (text == "answer") {
    GYRATOR_RETURN_IF_ERROR(ReplyToOwed());
  } else if (!text.empty()) {
    PrintNote(Usage("/owed, /owed answer or /owed drop expected").message());
  } else if (owes()) {
    PrintNote("without a reply yet: " + Shortened(session_->transcript()[OwedFrom()].content) +
              " (/owed answer, /owed drop)");
  } else {
    PrintNote("every line has its reply");
  }
  return true;
}

Status Chat::Fork(std::string_view text) {
  const std::string name(TakeWord(&text));
  const std::optional<size_t> messages = NumberFrom(text);
  if (name.empty() || (!text.empty() && !messages)) return Usage("/fork: NAME or NAME N expected");
  if (name == args_.context) {
    return Status::InvalidArgument("/fork: another name expected, found '" + name +
                                   "', which is this talk's own");
  }
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockContext(home, name));
  GYRATOR_RETURN_IF_ERROR(RequireFreeName(home, name));
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> fork,
                           session_->Fork({.messages = messages, .seed = {}}));
  GYRATOR_RETURN_IF_ERROR(fork->Save({.root = home.contexts, .name = name}).status());
  PrintNote("saved a fork as '" + name + "'");
  return {};
}

}  // namespace gyrator::cli
