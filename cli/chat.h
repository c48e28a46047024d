// One talk of gyrator chat: its session, and what a line does.
//
// cmd_chat.cc: opening, turns, saving. chat_commands.cc: the lines of a terminal that begin with /.
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
  // Talks until the input ends.
  Status Talk();

 private:
  bool pretty() const { return context_.terminals.interactive() && !context_.json; }
  bool color() const { return context_.terminals.color && context_.terminals.out; }
  bool named() const { return !args_.context.empty(); }

  Status Resume(const std::string& folder);
  // Says once what left the window, when it did.
  void TellEviction();
  Status Save();
  Status Turn(const std::string& line);
  Status Answer();
  Status PrintPiece(std::string_view text);
  Status PrintEnd(const Reply& reply);
  // True when `line` was a command of the terminal; `*leave` when it was /exit. What a command
  // refuses is told; an error ends the talk.
  Result<bool> Command(const std::string& line, bool* leave);
  std::string StatsText() const;
  Status Explain(std::string_view text);
  Status Rewind(std::string_view text);
  Result<bool> Edit(std::string_view text);
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
};

}  // namespace gyrator::cli
