#include "cli/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace gyrator::cli {

namespace {

// Writes all of `text` to a descriptor; false when it cannot.
bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

void WriteError(std::string_view text) {
  // Nothing is left to tell when standard error itself is gone.
  if (!WriteAll(STDERR_FILENO, text)) return;
}

Status WriteTo(int fd, const std::string& path, std::string_view text) {
  if (WriteAll(fd, text)) return {};
  Status status = Status::Io(path + ": " + std::strerror(errno));
  return errno == EPIPE ? std::move(status).Named("reader_gone") : status;
}

}  // namespace

void PrintError(const Status& status, bool json) {
  if (!json) {
    WriteError("gyrator: " + Printable(status.message()) + "\n");
    return;
  }
  const Json error = {{"error", ErrorJson(status)}};
  WriteError(Printable(DumpJson(error)) + "\n");
}

Json ErrorJson(const Status& status) {
  return {{"code", CodeName(status.code())},
          {"name", status.name()},
          {"message", status.message()},
          {"exit", static_cast<int>(status.code())}};
}

void PrintNote(std::string_view text) { WriteError("gyrator: " + Printable(text) + "\n"); }

Status PrintJson(const Json& value) { return PrintText(DumpJson(value) + "\n"); }

Status PrintText(std::string_view text) { return TextOutput().Write(text); }

Status PrintStyled(std::string_view text) { return TextOutput().WriteStyled(text); }

Result<TextOutput> TextOutput::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd >= 0) return TextOutput(fd, path);
  const std::string message = path + ": " + std::strerror(errno);
  return errno == ENOENT ? Status::NotFound(message) : Status::Io(message);
}

TextOutput::TextOutput(TextOutput&& other) noexcept
    : fd_(std::exchange(other.fd_, STDOUT_FILENO)), path_(std::move(other.path_)) {}

TextOutput::~TextOutput() {
  if (fd_ != STDOUT_FILENO) ::close(fd_);
}

Status TextOutput::Write(std::string_view text) {
  return ::isatty(fd_) == 1 ? WriteStyled(Printable(text)) : WriteStyled(text);
}

Status TextOutput::WriteStyled(std::string_view text) { return WriteTo(fd_, path_, text); }

Status TextOutput::Close() {
  if (fd_ == STDOUT_FILENO) return {};
  if (::close(std::exchange(fd_, STDOUT_FILENO)) == 0) return {};
  return Status::Io(path_ + ": " + std::strerror(errno));
}

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Unit unit = ReadUtf8(text);
    const char32_t c = unit.code_point;
    const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
    if (unit.kind != Utf8Unit::Kind::kCharacter) {
      out += kReplacementCharacter;
    } else if (!control || c == '\n' || c == '\t') {
      out += text.substr(0, unit.size);
    }
    text.remove_prefix(unit.kind == Utf8Unit::Kind::kIncomplete ? text.size() : unit.size);
  }
  return out;
}

std::string OneLine(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n' && text[i] != '\r')
      out += text[i];
    else if (i == 0 || (text[i - 1] != '\n' && text[i - 1] != '\r'))
      out += ' ';
  }
  return out;
}

std::string Shortened(std::string_view text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return OneLine(text);
  text = text.substr(0, kLongest);
  return OneLine(text.substr(0, CompletePrefix(text))) + "...";
}

std::string BytesText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string Styled(Style style, std::string_view text, bool color) {
  if (!color || style == Style::kPlain) return std::string(text);
  const char* code = style == Style::kBold     ? "1"
                     : style == Style::kDim    ? "2"
                     : style == Style::kPrompt ? "1;32"
                                               : "1;31";
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

Progress ProgressView::Callback() {
  return
      [this](std::string_view what, uint64_t done, uint64_t total) { Update(what, done, total); };
}

void ProgressView::Update(std::string_view what, uint64_t done, uint64_t total) {
  constexpr auto kQuiet = std::chrono::milliseconds(700);
  const auto now = Clock::now();
  if (what != what_) {
    Clear();
    what_ = what;
    start_ = last_draw_ = now;
  }
  const bool finished = done >= total;
  const auto pause =
      terminals_.err ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  const bool due = now - start_ >= kQuiet && now - last_draw_ >= pause;
  const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  if (due && !finished) {
    if (terminals_.err)
      DrawBar(share);
    else
      PrintNote(fmt::format("{}: {:.0f} %", what_, 100 * share));
    last_draw_ = now;
  }
  if (finished) {
    Clear();
    what_.clear();
  }
}

void ProgressView::DrawBar(double share) {
  constexpr int kWidth = 30;
  if (!drawn_ && before_draw_) before_draw_();
  const int filled = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double left = share > 0 ? seconds * (1 - share) / share : 0;
  const std::string line =
      fmt::format("\r{} [{}{}] {:3.0f} %  {:.0f} s left\033[K", what_, std::string(filled, '#'),
                  std::string(kWidth - filled, '.'), 100 * share, left);
  WriteError(line);
  drawn_ = true;
}

void ProgressView::Clear() {
  if (drawn_) WriteError("\r\033[K");
  drawn_ = false;
}

namespace {

std::atomic<unsigned> spinner_frame = 0;  // lock-free: may be used by a handler

void DrawSpinner(int) {
  const int saved = errno;
  constexpr const char* kFrames[] = {"\r|", "\r/", "\r-", "\r\\"};
  const char* frame = kFrames[spinner_frame++ % 4];
  if (::write(STDERR_FILENO, frame, 2) < 0) spinner_frame = 0;
  errno = saved;
}

void SetTimer(int64_t interval_us) {
  itimerval timer = {};
  timer.it_value.tv_usec = timer.it_interval.tv_usec = interval_us;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

Spinner::Spinner(bool enabled) : running_(enabled) {
  if (!enabled) return;
  struct sigaction action = {};
  action.sa_handler = DrawSpinner;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  spinner_frame = 0;
  SetTimer(120000);
}

void Spinner::Stop() {
  if (!running_) return;
  running_ = false;
  SetTimer(0);
  ::signal(SIGALRM, SIG_IGN);
  if (spinner_frame != 0) WriteError("\r\033[K");
}

}  // namespace gyrator::cli
