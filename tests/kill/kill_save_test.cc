// Kills a save at every system call: up to its last rename there is the old list, from it on the
// new complete folder, never anything else.
//
// A child process saves a session under a name that has a folder already; its parent follows it
// with ptrace from system call to system call and kills it at the n-th stop, for every n until the
// save gets through.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <filesystem>
#include <string>

#include "base/source_path_testing.h"
#include "gyrator/contexts.h"
#include "gyrator/engine.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "talk";

std::string Root() { return testing::TempDir() + "kill_save"; }

std::shared_ptr<const Model> TinyModel() {
  auto model =
      Model::Load(SourcePath("tests/golden/models/llama3"), {.compute = {},
                                                             .isa = "auto",
                                                             .threads = 1,
                                                             .digest_cache = Root() + ".digests",
                                                             .progress = {}});
  return *std::move(model);
}

std::unique_ptr<Engine> TinyEngine(const std::shared_ptr<const Model>& model) {
  EngineOptions options;
  options.context = 64;
  options.threads = 1;
  auto engine = Engine::Create(model, options);
  return *std::move(engine);
}

Status SaveTokens(Engine& engine, int32_t count) {
  GYRATOR_ASSIGN_OR_RETURN(auto session, engine.NewSession({}));
  std::vector<TokenId> tokens(static_cast<size_t>(count), 7);
  GenerateOptions nothing;
  nothing.tokens_max = 0;
  GYRATOR_RETURN_IF_ERROR(session->Complete(tokens, nothing).status());
  return session->Save({.root = Root(), .name = kName}).status();
}

// The child: everything is ready, stops, saves 24 tokens. Its engine is its own: a thread does not
// come along in a fork.
[[noreturn]] void SaveUnderTrace(const std::shared_ptr<const Model>& model) {
  const auto engine = TinyEngine(model);
  auto session = engine->NewSession({});
  GenerateOptions nothing;
  nothing.tokens_max = 0;
  const bool ready = (*session)->Complete(std::vector<TokenId>(24, 7), nothing).ok();
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
  const bool saved = ready && (*session)->Save({.root = Root(), .name = kName}).ok();
  ::_exit(saved ? 0 : 1);
}

struct Outcome {
  bool saved = false;  // it got through
  int renames = 0;     // that were done
};

bool IsRename(uint64_t call) {
  return call == SYS_rename || call == SYS_renameat || call == SYS_renameat2;
}

// Lets the child reach its n-th system call stop (entries and exits count; waiting for the engine's
// thread, which writes no file, does not) and kills it there.
Outcome KillAtStop(const std::shared_ptr<const Model>& model, int n) {
  Outcome outcome;
  uint64_t call = 0;
  const pid_t child = ::fork();
  if (child == 0) SaveUnderTrace(model);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(0, ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD));
  for (int stop = 0; stop < n;) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(0, WEXITSTATUS(status));
      outcome.saved = true;
      return outcome;
    }
    __ptrace_syscall_info info = {};
    EXPECT_GT(::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info), 0);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) call = info.entry.nr;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && IsRename(call) && info.exit.rval == 0) {
      ++outcome.renames;
    }
    stop += call == SYS_futex ? 0 : 1;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return outcome;
}

// Tokens of the one context that is there; every promise about the rest is checked.
int32_t CheckRoot(int n) {
  const auto list = ListContexts(Root());
  EXPECT_TRUE(list.ok()) << "stop " << n << ": " << list.status().ToString();
  if (!list.ok() || list->size() != 1) {
    ADD_FAILURE() << "stop " << n << ": " << (list.ok() ? list->size() : 0) << " contexts listed";
    return -1;
  }
  const ContextEntry& entry = (*list)[0];
  EXPECT_EQ(kName, entry.name) << "stop " << n;
  EXPECT_EQ("", entry.problem) << "stop " << n;
  const Status whole = VerifyContext(entry.folder, {});
  EXPECT_TRUE(whole.ok()) << "stop " << n << ": " << whole.ToString();
  return entry.tokens;
}

int FoldersIn(const std::string& root) {
  int count = 0;
  for (const auto& item : fs::directory_iterator(root)) {
    count += item.is_directory() && item.path().filename() != "names" ? 1 : 0;
  }
  return count;
}

TEST(KillSave, EveryStopLeavesTheOldListOrTheNewFolder) {
  fs::remove_all(Root());
  const auto model = TinyModel();
  const auto engine = TinyEngine(model);
  ASSERT_TRUE(SaveTokens(*engine, 16).ok());
  const int renames = KillAtStop(model, INT_MAX).renames;
  ASSERT_GE(renames, 2);  // the folder's and the name's
  int old_seen = 0, new_seen = 0, stops = 0;
  for (int n = 1;; ++n) {
    fs::remove_all(Root());
    ASSERT_TRUE(SaveTokens(*engine, 16).ok());
    const Outcome outcome = KillAtStop(model, n);
    const int32_t tokens = CheckRoot(n);
    ASSERT_TRUE(tokens == 16 || tokens == 24) << "stop " << n << ": " << tokens;
    (tokens == 16 ? old_seen : new_seen)++;
    EXPECT_EQ(outcome.renames == renames ? 24 : 16, tokens)
        << "stop " << n << " after " << outcome.renames << " of " << renames << " renames";
    // What the kill left lying is swept, and the context is still there.
    ASSERT_TRUE(RecoverContexts(Root()).ok());
    EXPECT_EQ(1, FoldersIn(Root())) << "stop " << n;
    EXPECT_EQ(tokens, CheckRoot(n));
    if (outcome.saved) break;
    ASSERT_LT(++stops, 5000);
  }
  EXPECT_GT(old_seen, 50);  // the save has that many system calls before its commit
  EXPECT_GT(new_seen, 1);
  std::printf("%d stops: %d old, %d new\n", stops, old_seen, new_seen);
  fs::remove_all(Root());
}

}  // namespace
}  // namespace gyrator
