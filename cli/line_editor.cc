#include "cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <string_view>
#include <utility>

#include "base/fs.h"
#include "base/posix.h"
#include "cli/interrupt.h"

namespace gyrator::cli {

namespace {

std::string WithoutLineEnd(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return std::string(line);
}

class PlainLines : public LineSource {
 public:
  Result<std::optional<std::string>> Next() override {
    while (true) {
      const size_t end = buffer_.find('\n', searched_);
      if (end != std::string::npos) return Take(end + 1);
      searched_ = buffer_.size();
      if (at_end_) break;
      GYRATOR_RETURN_IF_ERROR(Fill());
      if (Interrupted()) return std::optional<std::string>();
    }
    if (begin_ == buffer_.size()) return std::optional<std::string>();
    return Take(buffer_.size());  // the last one, without a line break
  }

 private:
  // The bytes up to `end` are a line.
  std::optional<std::string> Take(size_t end) {
    std::string line = WithoutLineEnd(std::string_view(buffer_).substr(begin_, end - begin_));
    begin_ = searched_ = end;
    return line;
  }

  Status Fill() {
    buffer_.erase(0, begin_);  // what was taken: once a read, not once a line
    searched_ -= begin_;
    begin_ = 0;
    constexpr size_t kChunk = 64 << 10, kLineMax = size_t{1} << 30;
    if (buffer_.size() > kLineMax) {
      return Status::Exhausted("standard input: a line of more than 1 GiB");
    }
    const size_t before = buffer_.size();
    buffer_.resize(before + kChunk);
    const ssize_t count = ::read(STDIN_FILENO, buffer_.data() + before, kChunk);
    const int error = errno;
    buffer_.resize(before + (count > 0 ? static_cast<size_t>(count) : 0));
    at_end_ = count == 0;
    if (count >= 0 || error == EINTR) return {};
    if (error != EAGAIN) return ErrnoStatus("standard input", "read", error);
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};  // it does not wait itself
    ::poll(&input, 1, -1);
    return {};
  }

  std::string buffer_;
  size_t begin_ = 0;     // of the line that is next
  size_t searched_ = 0;  // no line ends before this
  bool at_end_ = false;
};

class LineEditor : public LineSource {
 public:
  LineEditor(std::string prompt, std::string history_file, bool color)
      : history_file_(std::move(history_file)) {
    // Editing counts characters by the locale's encoding; numbers keep the C locale.
    if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1)
      std::setlocale(LC_CTYPE, "C.UTF-8");
    // \1 encloses what takes no room on the screen; libedit shows it with the character after it,
    // so the colour ends before the space.
    prompt_ = color ? "\1\033[1;32m\1" + prompt + "\1\033[0m\1 " : prompt + " ";
    edit_ = ::el_init("gyrator", stdin, stdout, stderr);
    ::el_set(edit_, EL_CLIENTDATA, this);
    ::el_set(edit_, EL_PROMPT_ESC, &LineEditor::Prompt, '\1');
    ::el_set(edit_, EL_EDITOR, "emacs");
    history_ = ::history_init();
    HistEvent event;
    ::history(history_, &event, H_SETSIZE, 1000);
    ::history(history_, &event, H_SETUNIQUE, 1);
    const bool loaded = ::history(history_, &event, H_LOAD, history_file_.c_str()) >= 0;
    // A history that is there and cannot be read must not be replaced by what is said today.
    const Result<FileInfo> there = PosixFileSystem().Stat(history_file_);
    const bool is_empty = there.ok() ? there->bytes == 0 : there.status().code() == Code::kNotFound;
    keeps_history_ = !history_file_.empty() && (loaded || is_empty);
    ::el_set(edit_, EL_HIST, ::history, history_);
  }

  ~LineEditor() override {
    ::el_end(edit_);
    ::history_end(history_);
  }

  Result<std::optional<std::string>> Next() override {
    int count = 0;
    const char* text = ::el_gets(edit_, &count);
    if (text == nullptr || count <= 0) return std::optional<std::string>();
    std::string line = WithoutLineEnd(std::string_view(text, static_cast<size_t>(count)));
    if (!line.empty()) {
      HistEvent event;
      ::history(history_, &event, H_ENTER, text);
      if (keeps_history_) SaveHistory();
    }
    return std::optional(std::move(line));
  }

 private:
  // Beside it first: a disk that is full must not cost the lines of before.
  void SaveHistory() {
    const std::string beside = history_file_ + ".tmp";
    HistEvent event;
    const bool saved = ::history(history_, &event, H_SAVE, beside.c_str()) >= 0;
    if (!saved || std::rename(beside.c_str(), history_file_.c_str()) != 0) {
      ::unlink(beside.c_str());
    }
  }

  static char* Prompt(EditLine* edit) {
    LineEditor* self = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &self);
    return self->prompt_.data();
  }

  std::string prompt_;
  const std::string history_file_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  bool keeps_history_ = false;
};

}  // namespace

std::unique_ptr<LineSource> MakePlainLines() { return std::make_unique<PlainLines>(); }

std::unique_ptr<LineSource> MakeLineEditor(const std::string& prompt, const std::string& history,
                                           bool color) {
  return std::make_unique<LineEditor>(prompt, history, color);
}

}  // namespace gyrator::cli
