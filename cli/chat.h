// One talk of gyrator chat: its session, and what a line does.
//
// cmd_chat.cc: opening, saving. chat_turns.cc: lines, replies, refusals. chat_commands.cc: the
// lines of a terminal that begin with /.
//
// A line becomes part of the conversation when it can be answered. What refuses it for good (too
// long, the template, a token, numbers) takes it back, is said once, and the talk goes on. What may
// be otherwise next time (memory, disk, an interrupt) leaves the line owed: it is saved, and
// answered before anything else.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/commands.h"

namespace gyrator::cli {

class Chat {
 public:
  Chat(const ChatArgs& args, const Context& context)
      : args_(args), context_(context), progress_(context.terminals) {}

  // Loads the model and makes or resumes the session.
  Status Open();
  // Talks until the input ends. In a pipe, the first refusal's code when lines were refused.
  Status Talk();

 private:
  bool pretty() const { return context_.terminals.interactive() && !context_.json; }
  bool color() const { return context_.terminals.color && context_.terminals.out; }
  bool named() const { return !args_.context.empty(); }

  Status Resume(const ContextDetails& saved);
  // Of a context that is resumed. kInvalidArgument when it was begun with another one.
  Status UseSystemPrompt();
  // Whether a line can be answered under the system prompt and the variables of the flags: what the
  // template or the capacity refuses would refuse every line, and nothing is saved then.
  Status CheckFlags() const;
  // Says once what left the window, when it did.
  void TellEviction();
  Status Save();

  // --- Lines (chat_turns.cc). An error ends the talk.
  Status Turn(const std::string& line);
  // To the message that awaits it, which can be answered as far as that shows; `what` names its
  // line.
  Status Respond(const std::string& what);
  // Whether this reply was cut short by nobody's wish: the line stays owed, as it is saved.
  bool WasCut(const Result<Reply>& reply, const Status& printed) const;
  Status ReplyToOwed();
  Status DropOwed();
  size_t OwedFrom() const;  // messages before the line that is owed a reply
  bool owes() const { return session_->info().phase == Phase::kPending; }
  // Keeps `count` messages and tells why; `what`: the line. `saved`: the folder may have more.
  Status TakeBack(size_t count, const std::string& what, const Status& why, bool saved);
  std::string ThisLine() const;
  std::string OwedLine() const;
  void TellOwed() const;
  Status Stopped() const;  // how the talk ends
  Status PrintPiece(std::string_view text);
  Status PrintEnd(const Reply& reply);

  // --- Commands (chat_commands.cc).
  // True when `line` was a command of the terminal; `*leave` when it was /exit. What a command
  // refuses is told; an error ends the talk.
  Result<bool> Command(const std::string& line, bool* leave);
  std::string StatsText() const;
  Status Explain(std::string_view text);
  Status Rewind(std::string_view text);
  Result<bool> Edit(std::string_view text);
  Result<bool> Owed(std::string_view text);
  Status Fork(std::string_view text);
  std::string Fill() const;  // "12 of 2048 tokens, 3 turns"; ", 40 evicted" if some were

  ChatArgs args_;
  const Context context_;
  ProgressView progress_;
  Home home_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  bool unsaved_ = false;
  bool told_eviction_ = false;
  bool altered_ = false;  // flags say otherwise than the context that is resumed
  size_t number_ = 0;     // of the line of the input, from 1
  size_t lines_ = 0, refused_ = 0;
  Status refusal_;  // the first one
};

// Where the lines of the user stand.
std::vector<size_t> UserLines(std::span<const Message> transcript);

}  // namespace gyrator::cli
