#include "cli/bus_error.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator::cli {

namespace {

// Everything below runs in a signal handler: system calls and memory of its own, no allocation.

bool as_json = false;
std::atomic_flag speaking = ATOMIC_FLAG_INIT;  // lock-free
char line[8192];  // of /proc/self/maps: addresses, then a path of at most 4,096 bytes

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDERR_FILENO, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

uint64_t ReadHex(std::string_view* text) {
  uint64_t value = 0;
  while (!text->empty()) {
    const char c = text->front();
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<uint64_t>(c - 'a' + 10);
    } else {
      break;
    }
    text->remove_prefix(1);
  }
  return value;
}

// The path of one line of /proc/self/maps if `address` lies in it; empty otherwise.
std::string_view PathIfWithin(std::string_view mapping, uint64_t address) {
  std::string_view rest = mapping;
  const uint64_t begin = ReadHex(&rest);
  if (rest.empty() || rest.front() != '-') return {};
  rest.remove_prefix(1);
  const uint64_t end = ReadHex(&rest);
  const size_t path = mapping.find('/');
  if (address < begin || address >= end || path == std::string_view::npos) return {};
  return mapping.substr(path);
}

// The file that is mapped at `address`, in `line`; empty when there is none.
std::string_view FindMappedFile(uint64_t address) {
  const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  size_t held = 0;
  while (true) {
    const ssize_t got = ::read(fd, line + held, sizeof(line) - held);
    if (got <= 0) return {};
    held += static_cast<size_t>(got);
    std::string_view text(line, held);
    for (size_t end; (end = text.find('\n')) != std::string_view::npos;
         text.remove_prefix(end + 1)) {
      const std::string_view path = PathIfWithin(text.substr(0, end), address);
      if (!path.empty()) return path;
    }
    std::memmove(line, text.data(), text.size());
    held = text.size();
    if (held == sizeof(line)) return {};  // no line is that long
  }
}

void OnBusError(int, siginfo_t* info, void*) {
  // Threads read the same weights and fault together: one speaks, the others wait for the end.
  while (speaking.test_and_set()) ::pause();
  const std::string_view path = FindMappedFile(reinterpret_cast<uint64_t>(info->si_addr));
  if (path.empty()) {  // no mapped file: another fault, which ends the process as it would have
    ::signal(SIGBUS, SIG_DFL);
    speaking.clear();
    return;
  }
  for (char& c : std::span(line)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\') c = '?';
  }
  Write(as_json ? R"({"error":{"code":"io","name":"truncated","message":")" : "gyrator: ");
  Write(path);
  Write(
      ": a part of the file cannot be read any more: it was truncated while it was in use, or its "
      "disk failed; what was saved before is whole");
  Write(as_json ? "\",\"exit\":8}}\n" : "\n");
  ::_exit(static_cast<int>(Code::kIo));
}

}  // namespace

void CatchBusErrors(bool json) {
  as_json = json;
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace gyrator::cli
