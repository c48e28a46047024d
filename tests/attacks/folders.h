// Saved folders as maps of files, to be changed and written again with digests that are right.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>

#include "base/sha256.h"

namespace gyrator::attacks {

using Files = std::map<std::string, std::string>;  // path -> bytes

inline constexpr char kManifest[] = "metadata/manifest.txt";

inline Files ReadFolder(const std::filesystem::path& folder) {
  Files files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[std::filesystem::relative(entry.path(), folder)] = {std::istreambuf_iterator<char>(file),
                                                              {}};
  }
  return files;
}

inline std::string ManifestOf(const Files& files) {
  std::string lines;
  for (const auto& [path, bytes] : files) {
    if (path == kManifest) continue;
    lines += HexText(Sha256Of(AsBytes(bytes))) + " " + std::to_string(bytes.size()) + " " + path;
    lines += "\n";
  }
  return lines + "root " + HexText(Sha256Of(AsBytes(lines))) + "\n";
}

// A full folder gets a manifest of what is in it now.
inline void WriteFolder(const std::filesystem::path& folder, Files files) {
  if (files.contains(kManifest)) files[kManifest] = ManifestOf(files);
  std::filesystem::remove_all(folder);
  for (const auto& [path, bytes] : files) {
    std::filesystem::create_directories((folder / path).parent_path());
    std::ofstream(folder / path, std::ios::binary) << bytes;
  }
}

// The exit code of a child process that does `work`; 1000 + the signal that ended it. The caller
// must have no other thread, so that the child may make some.
inline int InChild(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace gyrator::attacks
