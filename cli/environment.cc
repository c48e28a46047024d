#include "cli/environment.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "gyrator/contexts.h"

namespace gyrator::cli {

namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

Result<Home> FindHome() {
  std::string root = Variable("GYRATOR_HOME");
  if (root.empty()) {
    // XDG base directories: a relative path is to be ignored.
    const std::string data = Variable("XDG_DATA_HOME");
    const std::string home = Variable("HOME");
    if (data.starts_with('/'))
      root = data + "/gyrator";
    else if (!home.empty())
      root = home + "/.local/share/gyrator";
  }
  if (root.empty()) {
    return Status::NotFound(
        "no place for contexts: GYRATOR_HOME, XDG_DATA_HOME and HOME are unset");
  }
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  std::error_code error;
  if (fs::exists(root, error) && !fs::is_directory(root, error)) {
    return Status::InvalidArgument(root +
                                   ": a folder for contexts expected, found a file; see "
                                   "GYRATOR_HOME");
  }
  return Home{.root = root,
              .contexts = root + "/contexts",
              .digest_cache = root + "/cache/digests",
              .history = root + "/history",
              .locks = root + "/locks"};
}

Result<std::unique_ptr<FileLock>> LockContext(const Home& home, const std::string& name) {
  GYRATOR_RETURN_IF_ERROR(CheckContextName(name).Annotate("context"));
  FileSystem& files = PosixFileSystem();
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(files, home.locks));
  auto lock = files.Lock(home.locks + "/" + name, LockMode::kExclusive);
  if (!lock.ok() && lock.status().name() == "busy") {
    return Status::Io("context '" + name + "' is in use by another process").Named("busy");
  }
  return lock;
}

Status RequireFreeName(const Home& home, const std::string& name) {
  const Status there = ResolveContext(home.contexts, name).status();
  if (there.code() == Code::kNotFound) return {};
  GYRATOR_RETURN_IF_ERROR(there);
  return Status::InvalidArgument("context '" + name +
                                 "' exists already and would be lost; choose another name");
}

void SweepLocks(const Home& home) {
  FileSystem& files = PosixFileSystem();
  const auto names = files.List(home.locks);
  for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
    const auto is_gone = [&] {
      const std::string context = JoinPath(JoinPath(home.contexts, "names"), name);
      return files.Stat(context).status().code() == Code::kNotFound;
    };
    if (!is_gone()) continue;
    const auto lock = files.Lock(JoinPath(home.locks, name), LockMode::kExclusive);
    // Only its holder may remove a lock; another process may have made the context meanwhile.
    if (lock.ok() && is_gone()) (void)files.RemoveFile(JoinPath(home.locks, name));
  }
}

Result<std::string> FindShippedModel() {
  constexpr const char* kName = "gyrator-chat.gguf";
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return Status::NotFound("cannot tell where the program lies: " + error.message());
  const fs::path folder = program.parent_path();
  const fs::path candidates[] = {folder / "../../models" / kName,
                                 folder / "../share/gyrator" / kName};
  std::string looked;
  for (const fs::path& candidate : candidates) {
    const std::string path = candidate.lexically_normal().string();
    const fs::file_status found = fs::status(path, error);
    if (fs::is_regular_file(found) || !fs::status_known(found)) return path;  // opening it says why
    looked += (looked.empty() ? "" : " or ") + path;
  }
  return Status::NotFound("the shipped model was not found at " + looked +
                          "; name a model with -m");
}

Terminals FindTerminals() {
  Terminals terminals = {.in = ::isatty(STDIN_FILENO) == 1,
                         .out = ::isatty(STDOUT_FILENO) == 1,
                         .err = ::isatty(STDERR_FILENO) == 1};
  terminals.color = Variable("NO_COLOR").empty() && Variable("TERM") != "dumb";
  return terminals;
}

int NumCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace gyrator::cli
