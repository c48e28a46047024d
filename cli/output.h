// What the command prints: results on standard output, everything else on standard error.
//
// One thread. What reaches a terminal goes through Printable, whoever wrote it, so that no model,
// file or argument can send it control sequences; the command's own colours are said to be such.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "cli/environment.h"
#include "gyrator/model.h"
#include "gyrator/status.h"

namespace gyrator::cli {

// "gyrator: <message>", or {"error":{"code","name","message","exit"}} on one line; to standard
// error.
void PrintError(const Status& status, bool json);
// {"code","name","message","exit"}
Json ErrorJson(const Status& status);
// "gyrator: <text>" to standard error.
void PrintNote(std::string_view text);
// One line of JSON to standard output; errors as PrintText.
Status PrintJson(const Json& value);
// To standard output, as it is unless that is a terminal; flushed. kIo when the disk is full, kIo
// "reader_gone" when nobody reads it any longer.
Status PrintText(std::string_view text);
// Text with colours of ours, whose other parts went through Printable.
Status PrintStyled(std::string_view text);

// Standard output, or a file in its place, made or emptied.
class TextOutput {
 public:
  TextOutput() = default;                                   // standard output
  static Result<TextOutput> Open(const std::string& path);  // kNotFound, kIo
  ~TextOutput();
  TextOutput(TextOutput&& other) noexcept;
  TextOutput& operator=(TextOutput&&) = delete;

  Status Write(std::string_view text);        // kIo
  Status WriteStyled(std::string_view text);  // as PrintStyled
  Status Close();                             // kIo: what was written may be lost

 private:
  TextOutput(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_ = 1;
  std::string path_ = "standard output";
};

// `text` without control characters but line breaks and tabs (C0, DEL, C1); bytes that are no
// UTF-8, which some terminals take for C1, become U+FFFD.
std::string Printable(std::string_view text);
// `text` on one line: each run of line breaks becomes one space.
std::string OneLine(std::string_view text);
// The beginning of a text on one line, for messages.
std::string Shortened(std::string_view text);
// "1.2 MB"
std::string BytesText(uint64_t bytes);

enum class Style { kPlain, kBold, kDim, kPrompt, kError };
// `text` in the style's colour when `color`.
std::string Styled(Style style, std::string_view text, bool color);

// Shows long work on standard error: a bar on a terminal, a line now and then elsewhere, nothing
// for what is quick.
class ProgressView {
 public:
  explicit ProgressView(const Terminals& terminals) : terminals_(terminals) {}
  ~ProgressView() { Clear(); }
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  // A callback for the library; valid while this lives.
  Progress Callback();
  // Called before the first bar of a piece of work is drawn (to stop a spinner).
  void set_before_draw(std::function<void()> before_draw) { before_draw_ = std::move(before_draw); }
  // Removes a bar that is on the terminal.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  void Update(std::string_view what, uint64_t done, uint64_t total);
  void DrawBar(double share);

  const Terminals terminals_;
  std::function<void()> before_draw_;
  std::string what_;
  Clock::time_point start_, last_draw_;
  bool drawn_ = false;
};

// A sign of life on a terminal until the first token, drawn by a timer signal: the work goes on in
// this thread. One at a time in the process; without effect when `enabled` is false.
class Spinner {
 public:
  explicit Spinner(bool enabled);
  ~Spinner() { Stop(); }
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;

  void Stop();  // removes it; may be called again

 private:
  bool running_ = false;
};

}  // namespace gyrator::cli
