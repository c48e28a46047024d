#include "engine/manager_rows.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace gyrator {

namespace {

// Which message of the conversation each message of the session's transcript is; nothing for those
// that the conversation does not have: a system prompt, what stands for evicted ones, what a hook
// added.
std::vector<std::optional<size_t>> OriginsOf(std::span<const Message> transcript,
                                             std::span<const Message> messages, const Row& row) {
  std::vector<size_t> visible;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!std::binary_search(row.hidden.begin(), row.hidden.end(), i)) visible.push_back(i);
  }
  std::vector<std::optional<size_t>> origins(transcript.size());
  const size_t system = !transcript.empty() && transcript[0].role == "system" ? 1 : 0;
  if (transcript.size() == system + row.head.size() + visible.size()) {  // shown as they are
    const size_t before = row.hidden.empty() ? 0 : row.hidden.front();   // of `head`
    for (size_t i = 0; i < visible.size(); ++i) {
      origins[system + i + (i < before ? 0 : row.head.size())] = visible[i];
    }
    return origins;
  }
  // Where a hook added messages or left some out, those count that were shown as they are.
  auto next = visible.begin();
  for (size_t i = 0; i < transcript.size() && next != visible.end(); ++i) {
    if (transcript[i] == messages[*next]) origins[i] = *next++;
  }
  return origins;
}

}  // namespace

std::vector<Message> ShownMessages(std::span<const Message> messages, Row* row) {
  const auto as_it_was = [&](size_t i) {
    return row->hidden[i] < messages.size() && messages[row->hidden[i]] == row->hidden_as[i];
  };
  bool same = true;
  for (size_t i = 0; i < row->hidden.size(); ++i) same &= as_it_was(i);
  if (!same) {
    row->hidden.clear();
    row->hidden_as.clear();
    row->head.clear();
  }
  std::vector<Message> shown;
  auto hidden = row->hidden.begin();
  const size_t head_at = row->hidden.empty() ? 0 : row->hidden.front();
  for (size_t i = 0; i <= messages.size(); ++i) {
    if (i == head_at) shown.insert(shown.end(), row->head.begin(), row->head.end());
    if (i == messages.size()) break;
    if (hidden != row->hidden.end() && *hidden == i) {
      ++hidden;
    } else {
      shown.push_back(messages[i]);
    }
  }
  return shown;
}

void HideTold(std::span<const Message> messages, std::vector<Message> head, Row* row) {
  const auto origins = OriginsOf(row->session->transcript(), messages, *row);
  std::set<size_t> hidden(row->hidden.begin(), row->hidden.end());
  for (const size_t told : row->messages_told) {
    if (told < origins.size() && origins[told]) hidden.insert(*origins[told]);
  }
  row->hidden.assign(hidden.begin(), hidden.end());
  row->hidden_as.clear();
  for (const size_t index : row->hidden) row->hidden_as.push_back(messages[index]);
  row->head = std::move(head);
}

Result<RowUse> RowUse::Begin(std::shared_ptr<Row> row) {
  if (!row->in_use.exchange(true)) return RowUse(std::move(row));
  return Status::InvalidArgument(
             "conversation: it is at work already: it was given twice, or one of its own hooks or "
             "callbacks uses it; use it when the first call has returned")
      .Named("busy");
}

// What a conversation has of its row.
class RowTable::Handle final : public ConversationRow {
 public:
  Handle(std::weak_ptr<RowTable> table, const std::shared_ptr<Row>& row)
      : table_(std::move(table)), row_(row) {}
  ~Handle() override {
    const auto table = table_.lock();
    auto row = row_.lock();
    if (table != nullptr && row != nullptr) table->Remove(std::move(row));
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  std::shared_ptr<Row> RowOf(const RowTable* table) const {
    return table_.lock().get() == table ? row_.lock() : nullptr;
  }

 private:
  const std::weak_ptr<RowTable> table_;
  const std::weak_ptr<Row> row_;
};

std::shared_ptr<Row> RowTable::Find(const Conversation& conversation) const {
  const auto* handle = dynamic_cast<const Handle*>(conversation.row());
  return handle == nullptr ? nullptr : handle->RowOf(this);
}

void RowTable::Give(std::shared_ptr<Row> row, Conversation* conversation) {
  auto handle = std::make_unique<Handle>(weak_from_this(), row);
  {
    const std::lock_guard lock(mutex_);
    rows_.insert(std::move(row));
  }
  conversation->set_row(std::move(handle));
}

// The session goes under the lock, so that none is left behind Close: an engine may end then. In a
// forked child the lock may be held by a thread that only the parent has.
void RowTable::Remove(std::shared_ptr<Row> row) {
  row->released = true;
  if (owner_ != ::getpid()) return;
  const std::lock_guard lock(mutex_);
  rows_.erase(row);
  row.reset();
}

void RowTable::Close() {
  if (owner_ != ::getpid()) return;
  const std::lock_guard lock(mutex_);
  rows_.clear();
}

}  // namespace gyrator
