// Conversation: what was said, and nothing else.
//
// A record of messages with a name of its own. Does: keep, change, fork, save and load them. Does
// not: hold K and V, tokens or a sampler (Session does), render, or evict: what is dropped from it
// is dropped by its owner. Whoever computes with it (the manager) reads `dirty` and `n_past` to
// know what its K and V are worth, and writes them.
//
// Every error leaves the conversation as it was. Movable, one thread at a time. A conversation that
// is destroyed, reset or assigned over gives its place in the manager back; moved, it takes the
// place along, and what it was moved from is empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/model.h"
#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

// A place that a manager gave a conversation. Destroying it gives the place back; the manager need
// not live any more.
class ConversationRow {
 public:
  virtual ~ConversationRow() = default;
};

class Conversation {
 public:
  // An empty `system`: none of its own. REQUIRES: well-formed UTF-8 (SetSystem checks).
  explicit Conversation(std::string system = {});
  Conversation(Conversation&& other) noexcept;
  Conversation& operator=(Conversation&& other) noexcept;
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  const std::string& id() const { return id_; }  // 32 hex digits, one for each conversation
  // Unset: the manager's own. Set: this one, which may be empty.
  const std::optional<std::string>& system() const { return system_; }
  // Without system. Valid until the next call that is not const.
  std::span<const Message> messages() const { return messages_; }

  // The next position after what the manager computed last; 0: nothing was. Out of date while
  // dirty.
  Position n_past() const { return n_past_; }
  void set_n_past(Position n_past) { n_past_ = n_past; }
  // Whether system or messages changed since the manager prepared them.
  bool dirty() const { return dirty_; }
  void MarkPrepared(Position n_past);
  // Grows with every change of system or messages.
  uint64_t revision() const { return revision_; }
  // The manager's; a fork and a record that was read have none.
  ConversationRow* row() const { return row_.get(); }
  void set_row(std::unique_ptr<ConversationRow> row) { row_ = std::move(row); }

  // Appends. kInvalidArgument names the field: a role that is not user, assistant or tool (a system
  // message is set, not added); content that is no UTF-8; extras that are no JSON object, or one
  // with role or content; a tool's message without a tool_call_id. Extras are kept as compact JSON.
  Status Add(Message message);
  Status AddUser(std::string text);
  Status AddAssistant(std::string text, std::string extras = {});
  // `content` word for word: a result that is no text is the caller's to write as JSON.
  Status AddToolResult(std::string_view tool_call_id, std::string content);

  // Another text makes the conversation dirty and n_past 0; the same one changes nothing.
  // kInvalidArgument: no UTF-8.
  Status SetSystem(std::string text);
  void ClearSystem();  // likewise

  // Keeps the first `count` messages. kInvalidArgument when there are fewer.
  Status Truncate(size_t count);
  // Gives message `index` other content, keeps its role and extras, and drops what follows it.
  // kInvalidArgument: no such message; no UTF-8.
  Status Edit(size_t index, std::string content);
  // No messages, nothing computed, not dirty; the manager gets its place back. System and id stay.
  void Reset();
  // The same system, messages, n_past and dirty under another id. The two share nothing.
  Conversation Fork() const;

  // The system message, when set, then the others.
  std::vector<Message> AllMessages() const;
  // A line "role: content" for each message but system, joined with "\n".
  std::string Format() const;

  // One line of JSON: {"id", "system" (null: unset), "messages" (as MessagesJson)}.
  std::string ToJson() const;
  // Reads what ToJson wrote (white space and order of fields are free): equal id, system and
  // messages; n_past 0; dirty when there are messages. kCorruption names the place, what was
  // expected and what was found; a field that is missing, unknown or given twice is one.
  static Result<Conversation> FromJson(std::string_view json);
  // ToJson in a file that is replaced whole or not at all, durable on success; one writer at a time
  // (it uses `path`.tmp). kNotFound: no such folder. kIo, kExhausted (disk full).
  Status Save(const std::string& path) const;
  // kNotFound, kCorruption, kExhausted (more than 1 GiB), each with the path.
  static Result<Conversation> Load(const std::string& path);

 private:
  void MarkChanged();

  std::string id_;
  std::optional<std::string> system_;
  std::vector<Message> messages_;
  Position n_past_ = 0;
  bool dirty_ = false;
  uint64_t revision_ = 0;
  std::unique_ptr<ConversationRow> row_;
};

}  // namespace gyrator
