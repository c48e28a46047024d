// The rows of a context manager: which conversation has which place in the pool, and how the model
// is shown its messages.
//
// A row belongs to the Conversation object that has its handle, not to an id: two records of one id
// have two rows. The manager's table owns the rows, so that none outlives manager and engine,
// however long the object lives.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gyrator/conversation.h"
#include "gyrator/engine.h"

namespace gyrator {

// A conversation's place in the pool, and how the model is shown it.
struct Row {
  std::unique_ptr<Session> session;
  // Messages of the conversation that were evicted, by index, ascending, and as they were. The
  // model is shown `head` where the first of them stood, and none of them.
  std::vector<size_t> hidden;
  std::vector<Message> hidden_as;
  std::vector<Message> head;
  // Of the session's window as it is now. `*_counted`: already in the manager's statistics;
  // `*_told`: already reported to OnEvict, the messages by their index in the session's transcript.
  int32_t windows_rebuilt = 0;  // as the session told last
  int32_t tokens_counted = 0;
  int32_t evictions_counted = 0;
  int32_t tokens_told = 0;
  std::vector<size_t> messages_told;
  std::optional<std::string> system;  // that it was prepared with

  std::atomic<bool> in_use = false;
  std::atomic<bool> released = false;
};

// What the model is shown of `messages`. Messages that are no longer those that were hidden are
// another history: the row forgets `head` then.
std::vector<Message> ShownMessages(std::span<const Message> messages, Row* row);

// From now on `head` stands for the messages that were told as evicted: those are looked up in
// `messages`, the conversation's, from the session's transcript, which hooks may have changed.
void HideTold(std::span<const Message> messages, std::vector<Message> head, Row* row);

// Leave to work with a row; it lives at least as long. A hook that uses its own conversation, and a
// conversation that is given twice, find the row in use.
class RowUse {
 public:
  RowUse() = default;
  // kInvalidArgument "busy".
  static Result<RowUse> Begin(std::shared_ptr<Row> row);
  RowUse(RowUse&&) = default;
  RowUse& operator=(RowUse&&) = delete;
  ~RowUse() {
    if (row_ != nullptr) row_->in_use = false;
  }

  Row* operator->() const { return row_.get(); }
  Row* get() const { return row_.get(); }

 private:
  explicit RowUse(std::shared_ptr<Row> row) : row_(std::move(row)) {}
  std::shared_ptr<Row> row_;
};

// All rows of a manager.
class RowTable : public std::enable_shared_from_this<RowTable> {
 public:
  // The row of this table that the conversation has; null: none.
  std::shared_ptr<Row> Find(const Conversation& conversation) const;
  // Gives the conversation the row, and the one that it had back.
  void Give(std::shared_ptr<Row> row, Conversation* conversation);
  // Ends all rows; handles find none from then on. In a forked child it does nothing.
  void Close();

 private:
  class Handle;
  void Remove(std::shared_ptr<Row> row);

  const pid_t owner_ = ::getpid();
  mutable std::mutex mutex_;
  std::set<std::shared_ptr<Row>> rows_;  // guarded by mutex_
};

}  // namespace gyrator
