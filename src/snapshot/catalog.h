// A root of snapshots: root/<stamp>/ are folders, root/names/<name> small files that hold the stamp
// of their current folder.
//
// A save under a name writes a new folder, commits it, replaces the name file, and then removes the
// folder that the name pointed at before. A crash at any moment leaves the name on its old folder
// or on the complete new one. What may be garbage is written down before (names/.<name>.intent: the
// stamps of the new and the old folder); after a crash, those that no name points at are removed,
// and until then not listed. Nothing else is ever removed: a folder that a person put there stays.
//
// Locks: one exclusive lock a name (names/.<name>.lock), held for a save or, by who lives on a
// name, as long as wanted; savers share the root's lock, the sweep of .tmp- folders needs it alone.
// A reader holds the folder itself (flock of the directory, shared). Whoever removes a folder needs
// that lock alone and never waits for it: a folder that is being read stays in the intent, and the
// next save of the name, or Recover, removes it.
//
// A damaged name file harms that name alone: it points at nothing. Processes may share a root. An
// object: one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "gyrator/contexts.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

namespace gyrator {

// A folder that nobody removes while this lives.
struct HeldFolder {
  std::string folder;
  std::unique_ptr<FileLock> lock;
};

struct CatalogEntry {
  std::string name;  // empty: no name points at the folder
  std::string stamp;
  std::string folder;
  SnapshotSummary summary;  // empty when there is a problem
  Status problem;
};

class Catalog {
 public:
  // Touches nothing.
  Catalog(FileSystem& fs, Clock& clock, std::string root)
      : fs_(fs), clock_(clock), root_(std::move(root)) {}

  const std::string& root() const { return root_; }

  // kIo "busy" when another process (or holder) has it.
  Result<std::unique_ptr<FileLock>> LockName(std::string_view name);

  // WriteSnapshot, then points `name` at the folder (empty: no name). `held` is the name's lock
  // when the caller has it; otherwise it is taken for the call.
  Result<WrittenSnapshot> Save(std::string_view name, const SnapshotSource& source,
                               const WriteOptions& options, const FileLock* held = nullptr);

  // What Import asks of a folder beyond VerifySnapshot.
  using Accepts = std::function<Status(const Snapshot&)>;
  // Verifies `folder` (VerifySnapshot, then `accepts`), copies it to a new stamp, and points `name`
  // at it. The copy has the same root digest, unless the folder has a cache_namespace, which is
  // left out: whose prefixes are shared is not for a folder from elsewhere to say. kInvalidArgument
  // "exists" when the name is taken.
  Result<WrittenSnapshot> Import(std::string_view name, const std::string& folder,
                                 const Accepts& accepts);

  // In true order: created, then sequence, then stamp by natural order. Bare folders, which have no
  // time, first. A folder that cannot be read is listed with its problem.
  Result<std::vector<CatalogEntry>> List();

  // The folder of a name, or of a stamp below the root; text with a '/' is a path to a folder, and
  // so are "." and "..". What lies in the working directory has no say in what a name means.
  // kNotFound "not_found"; kCorruption "state_inconsistent" when the name file is damaged.
  Result<std::string> Resolve(std::string_view name_or_path);
  // What Resolve finds, held: also while another process saves under the name again and again.
  // kCorruption "missing_element" when the name points at no folder.
  Result<HeldFolder> Hold(std::string_view name_or_path);

  // Removes a name with its folder (unless another name has it), or a stamp that no name points at
  // (kInvalidArgument when one does).
  Status Remove(std::string_view name_or_stamp);

  // Finishes or undoes what a crash interrupted, and sweeps .tmp- folders, temporary files and the
  // locks of names that are gone; leaves alone what other processes hold, and what cannot be
  // removed. Gives the folders that it removed.
  Result<std::vector<std::string>> Recover();

 private:
  using Fill = std::function<Status(FolderWriter&, WrittenSnapshot*)>;

  std::string NamesFolder() const { return JoinPath(root_, "names"); }
  std::string NamePath(std::string_view name) const { return JoinPath(NamesFolder(), name); }
  std::string HiddenPath(std::string_view id, std::string_view suffix) const {
    return JoinPath(NamesFolder(), "." + std::string(id) + std::string(suffix));
  }

  Result<std::unique_ptr<FileLock>> LockId(std::string_view id);
  // Claims a stamp, lets `fill` write and commit, points the name at it.
  Result<WrittenSnapshot> Publish(std::string_view name, const FileLock* held, const Fill& fill);
  // kInvalidArgument "exists" when `name` points at a folder.
  Status RefuseTaken(std::string_view name);

  // --- catalog_names.cc: names, intents, recovery.
  // The stamp in a name file. kNotFound; "state_inconsistent" when it holds anything else.
  Result<std::string> ReadName(std::string_view name);
  struct Pointer {
    std::string name, stamp;
    Status problem;
  };
  Result<std::vector<Pointer>> ReadNames();
  // Whether a name file was read and holds no stamp: such a name points at nothing. A name that
  // cannot be read just now (no right, no descriptor, a failing disk) may point at any folder.
  static bool IsDamaged(const Status& problem) { return problem.name() == "state_inconsistent"; }
  // Removes the stamps of an intent that no name points at and nobody reads. Those that are being
  // read stay in the intent, and all stay while a name cannot be read; without any the intent goes.
  // Under the id's lock.
  Status Settle(std::string_view id, std::vector<std::string>* removed);
  // Removes a folder unless it is being read; gives whether it is gone.
  Result<bool> RemoveUnlessHeld(const std::string& folder, std::vector<std::string>* removed);
  // The intent of `id`: `stamps`, and what an intent that is there says.
  Status AddToIntent(std::string_view id, const std::vector<std::string>& stamps);
  Status WriteIntent(std::string_view id, const std::vector<std::string>& stamps);
  // Stamps of an intent file; a damaged one has none, and neither has one that is not there.
  Result<std::vector<std::string>> ReadIntent(std::string_view id);
  Result<std::vector<std::string>> IntentIds();
  // Stamps of all intents that can be read.
  Result<std::set<std::string>> Intended();
  // Removes temporary files of `id`, and its lock when nothing else of it is left. Under that lock.
  Status SweepId(std::string_view id);
  // Ids of which temporary files or a lock without a name are there.
  Result<std::set<std::string>> StrayIds();
  Status SweepTempFolders(std::vector<std::string>* removed);

  FileSystem& fs_;
  Clock& clock_;
  const std::string root_;
};

}  // namespace gyrator
