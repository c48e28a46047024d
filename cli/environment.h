// What the process was given besides its arguments: environment, terminal, place of the program.
//
// The only place of the program that reads environment variables.
#pragma once

#include <memory>
#include <string>

#include "base/fs.h"
#include "gyrator/status.h"

namespace gyrator::cli {

// State of the user: GYRATOR_HOME, else $XDG_DATA_HOME/gyrator, else ~/.local/share/gyrator.
struct Home {
  std::string root;
  std::string contexts;      // <root>/contexts: saved conversations
  std::string digest_cache;  // <root>/cache/digests: weights that were hashed before
  std::string history;       // <root>/history: lines typed into chat
  std::string locks;         // <root>/locks: one file for each context in use
};
// kNotFound when no variable names a place, kInvalidArgument when it is a file. Makes no folder.
Result<Home> FindHome();

// Keeps two processes from talking in one context: the later save would throw the earlier one's
// turns away. Held until destruction, or until the process ends, however it ends. kIo ("busy") when
// another process holds it; kInvalidArgument when `name` is no name.
Result<std::unique_ptr<FileLock>> LockContext(const Home& home, const std::string& name);

// kInvalidArgument when a context has the name already, which a save under it would replace. Under
// its lock.
Status RequireFreeName(const Home& home, const std::string& name);

// Removes lock files of contexts that are not there, so that no name outlives its context. Leaves
// alone what another process holds; a failure only leaves a file to the next time.
void SweepLocks(const Home& home);

// The model that ships with the program, found from where the program lies: ../../models (build
// tree) or ../share/gyrator (installed). kNotFound names both.
Result<std::string> FindShippedModel();

struct Terminals {
  bool in = false, out = false, err = false;  // is a terminal
  bool color = false;  // standard output and error take colours: NO_COLOR, TERM=dumb respected

  bool interactive() const { return in && out; }
};
Terminals FindTerminals();

// Cores that this process may use, at least 1.
int NumCores();

}  // namespace gyrator::cli
