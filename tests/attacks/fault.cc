// A library to preload: it makes one of a program's file calls fail, or kills the program there.
//
// GYRATOR_FAULT=KIND,N chooses what happens at the N-th file call (from 1). KIND is the number of
// an errno ("28": that call fails, "28+": that call and all later ones fail), "short" (a write
// stores half, the next write finds the disk full), "before" or "after" (SIGKILL around the call).
// Without the variable nothing happens. GYRATOR_FAULT_COUNT=PATH: the number of calls is written
// there at the end. Calls on descriptors 0, 1 and 2 do not count.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Plan {
  long at = 0;         // 0: never
  int error = 0;       // 0: no failure
  bool stays = false;  // later calls fail too
  bool half = false, before = false, after = false;
};

Plan ReadPlan() {
  Plan plan;
  const char* text = std::getenv("GYRATOR_FAULT");
  const char* comma = text == nullptr ? nullptr : std::strchr(text, ',');
  if (comma == nullptr) return plan;
  plan.at = std::atol(comma + 1);
  plan.error = std::atoi(text);
  plan.stays = comma != text && comma[-1] == '+';
  plan.half = std::strncmp(text, "short", 5) == 0;
  plan.before = std::strncmp(text, "before", 6) == 0;
  plan.after = std::strncmp(text, "after", 5) == 0;
  return plan;
}

const Plan& ThePlan() {
  static const Plan plan = ReadPlan();
  return plan;
}

std::atomic<long> calls = 0;
std::atomic<bool> full_next = false;  // after half a write

void Die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

// Counts a call; true when it is to fail, with errno set.
bool Fails() {
  const Plan& plan = ThePlan();
  const long now = ++calls;
  if (plan.at == 0 || plan.error == 0) return false;
  if (now != plan.at && !(plan.stays && now > plan.at)) return false;
  errno = plan.error;
  return true;
}

bool IsTheOne() { return ThePlan().at != 0 && calls == ThePlan().at; }

// Counts a call, then makes it, or fails, or dies around it.
template <typename F>
auto Around(F call) -> decltype(call()) {
  if (Fails()) return static_cast<decltype(call())>(-1);
  const bool the_one = IsTheOne();
  if (the_one && ThePlan().before) Die();
  const auto result = call();
  if (the_one && ThePlan().after) Die();
  return result;
}

template <typename F>
ssize_t AroundWrite(size_t size, F write_some) {
  if (full_next.exchange(false)) {
    errno = ENOSPC;
    return -1;
  }
  return Around([&]() -> ssize_t {
    if (!IsTheOne() || !ThePlan().half || size < 2) return write_some(size);
    full_next = true;
    return write_some(size / 2);
  });
}

template <typename F>
F Next(const char* name, F) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

__attribute__((destructor)) void WriteCount() {
  const char* path = std::getenv("GYRATOR_FAULT_COUNT");
  if (path == nullptr) return;
  char text[32];
  const int size = std::snprintf(text, sizeof(text), "%ld\n", calls.load());
  const long fd = ::syscall(SYS_open, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::syscall(SYS_write, fd, text, size);
  ::syscall(SYS_close, fd);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return Around([&] { return Next("open", &open)(path, flags, mode); });
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return Around([&] { return Next("open64", &open64)(path, flags, mode); });
}
int openat(int folder, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return Around([&] { return Next("openat", &openat)(folder, path, flags, mode); });
}
DIR* opendir(const char* path) {
  if (Fails()) return nullptr;
  return Next("opendir", &opendir)(path);
}
ssize_t read(int fd, void* data, size_t size) {
  const auto real = Next("read", &read);
  if (fd <= 2) return real(fd, data, size);
  return Around([&] { return real(fd, data, size); });
}
ssize_t pread(int fd, void* data, size_t size, off_t at) {
  return Around([&] { return Next("pread", &pread)(fd, data, size, at); });
}
ssize_t write(int fd, const void* data, size_t size) {
  const auto real = Next("write", &write);
  if (fd <= 2) return real(fd, data, size);
  return AroundWrite(size, [&](size_t some) { return real(fd, data, some); });
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  const auto real = Next("pwrite", &pwrite);
  return AroundWrite(size, [&](size_t some) { return real(fd, data, some, at); });
}
int fsync(int fd) {
  return Around([&] { return Next("fsync", &fsync)(fd); });
}
int fdatasync(int fd) {
  return Around([&] { return Next("fdatasync", &fdatasync)(fd); });
}
int rename(const char* from, const char* to) __THROW {
  return Around([&] { return Next("rename", &rename)(from, to); });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) __THROW {
  return Around(
      [&] { return Next("renameat2", &renameat2)(from_folder, from, to_folder, to, flags); });
}
int mkdir(const char* path, mode_t mode) __THROW {
  return Around([&] { return Next("mkdir", &mkdir)(path, mode); });
}
int unlink(const char* path) __THROW {
  return Around([&] { return Next("unlink", &unlink)(path); });
}
int rmdir(const char* path) __THROW {
  return Around([&] { return Next("rmdir", &rmdir)(path); });
}
int flock(int fd, int operation) __THROW {
  return Around([&] { return Next("flock", &flock)(fd, operation); });
}
int ftruncate(int fd, off_t size) __THROW {
  return Around([&] { return Next("ftruncate", &ftruncate)(fd, size); });
}

}  // extern "C"
