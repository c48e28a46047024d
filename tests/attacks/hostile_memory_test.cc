// Checking a folder takes memory and time in proportion to the room that it takes on the disk,
// whatever is in it: at its peak 4 times the allocated bytes and 64 MiB, and 2 s a MiB.
//
// usage: hostile_memory_test [--mib=N], the size of the files
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "base/source_path_testing.h"
#include "gyrator/contexts.h"
#include "gyrator/engine.h"
#include "tests/attacks/folders.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;
using attacks::Files;

size_t large_bytes = size_t{16} << 20;  // of what a file is filled with

uint64_t AllocatedBytes(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat info;
    EXPECT_EQ(0, ::lstat(entry.path().c_str(), &info));
    bytes += uint64_t{512} * static_cast<uint64_t>(info.st_blocks);
  }
  return bytes;
}

// VmHWM of this process, in bytes.
uint64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) << 10;
  }
  return 0;
}

class HostileMemory : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    base_ = testing::TempDir() + "/hostile_memory_" + std::to_string(::getpid());
    fs::remove_all(base_);
    ASSERT_EQ(
        0, attacks::InChild([] {
          auto model = Model::Load(
              SourcePath("tests/golden/models/llama3"),
              {.compute = {}, .isa = "auto", .threads = 1, .digest_cache = {}, .progress = {}});
          EngineOptions options;
          options.context = 64;
          options.threads = 1;
          auto engine = Engine::Create(*model, options);
          auto session = (*engine)->NewSession({});
          GenerateOptions nothing;
          nothing.tokens_max = 0;
          const std::vector<TokenId> tokens(20, 7);
          const bool done = (*session)->Complete(tokens, nothing).ok();
          return done && (*session)->Save({.root = base_ + "/healthy", .name = "chat"}).ok() ? 0
                                                                                             : 1;
        }));
    healthy_ = attacks::ReadFolder(*ResolveContext(base_ + "/healthy", "chat"));
  }
  static void TearDownTestSuite() { fs::remove_all(base_); }

  static std::string Folder() { return base_ + "/hostile"; }

  // What lists, verifies and takes in the folder stays within its bounds; a verdict is not wanted.
  static void ExpectBounded(const std::string& what) {
    const uint64_t allocated = AllocatedBytes(Folder());
    const std::function<void()> checks[] = {
        [] { (void)VerifyContext(Folder(), {}); },
        [] { (void)ImportContext(base_ + "/home", Folder(), ""); },
        [] { (void)ListContexts(base_); },
    };
    for (size_t i = 0; i < std::size(checks); ++i) {
      EXPECT_EQ(0, attacks::InChild([&] {
                  const uint64_t before = PeakBytes();
                  checks[i]();
                  rusage used;
                  ::getrusage(RUSAGE_SELF, &used);
                  // What the test itself had before is not the check's.
                  const uint64_t peak = PeakBytes() - std::min(before, PeakBytes());
                  const bool small = peak <= 4 * allocated + (uint64_t{64} << 20);
                  const uint64_t seconds_max = 2 * (allocated >> 20) + 2;
                  const bool fast = static_cast<uint64_t>(used.ru_utime.tv_sec) <= seconds_max;
                  if (!small || !fast) {
                    std::fprintf(stderr, "%s: check %zu: peak %lu MiB of %lu MiB on disk, %ld s\n",
                                 what.c_str(), i, peak >> 20, allocated >> 20,
                                 used.ru_utime.tv_sec);
                  }
                  return small && fast ? 0 : 1;
                }))
          << what;
    }
    fs::remove_all(base_ + "/home");
  }

  static void Check(const std::string& path, const std::string& bytes, const std::string& what) {
    {
      Files files = healthy_;
      files[path] = bytes;
      attacks::WriteFolder(Folder(), std::move(files));
    }
    ExpectBounded(what);
  }

  static std::string Repeated(const std::string& begin, const std::string& piece,
                              const std::string& end) {
    std::string text = begin;
    text.reserve(large_bytes + 1000);
    while (text.size() < large_bytes) text += piece;
    text.pop_back();  // its comma
    return text + end;
  }

  static inline std::string base_;
  static inline Files healthy_;
};

TEST_F(HostileMemory, OfAChat) {
  const std::string user = R"({"role":"user","content":"a")";
  Check("chat.json", Repeated("[", "{},", "]"), "objects in place of messages");
  Check("chat.json", Repeated("[" + user + R"(,"x":[)", "{},", "]}]"), "objects in one message");
  Check("chat.json", Repeated("[" + user + R"(,"x":[)", "0,", "]}]"), "numbers in one message");
  Check("chat.json", Repeated("[" + user + R"(,"x":[)", "[[[[[[]]]]]],", "]}]"), "arrays");
  Check("chat.json", Repeated("[", user + "},", "]"), "a million messages");
  Check("chat.json", Repeated("[" + user + R"(,"x":")", "aaaaaaaa", "a\"}]"), "one long extra");
  Check("chat.json", Repeated(R"([{"role":"user","content":")", "\\n\\u00e9", "9\"}]"), "escapes");
}

TEST_F(HostileMemory, OfNamesInAMessage) {
  std::string chat = R"([{"role":"user","content":"a")";
  for (int i = 0; chat.size() < large_bytes / 2; ++i) chat += ",\"" + std::to_string(i) + "\":1";
  Check("chat.json", chat + "}]", "a million names in a message");
  chat = R"([{"role":"user","content":"a","x":{"0":0)";
  for (int i = 1; chat.size() < large_bytes / 2; ++i) chat += ",\"" + std::to_string(i) + "\":1";
  Check("chat.json", chat + "}}]", "and one level deeper");
}

TEST_F(HostileMemory, OfTextFiles) {
  std::string keys = healthy_["metadata/config.txt"];
  for (int i = 0; keys.size() < large_bytes / 8; ++i) keys += "x" + std::to_string(i) + ":\n";
  Check("metadata/config.txt", keys, "keys");
  keys = healthy_["metadata/session.txt"];
  keys.resize(keys.size() - 1);
  Check("metadata/session.txt", Repeated("rng.draws_at: [", "0,", "]\ncp: 20\n"), "draws");
  Check("metadata/session.txt", Repeated("sampler.logit_bias: [", "7:1,", "]\ncp: 20\n"), "biases");
  Check("metadata/session.txt", keys + Repeated("", "#\n", "\n"), "comments");
  Check("metadata/keylog.txt", Repeated("x: ", "aaaaaaaa", "\n"), "one long value");
  Check("metadata/obfchain.txt", Repeated("# chain v1\n", "#\n", "\n"), "a chain of comments");
}

TEST_F(HostileMemory, OfAWindow) {
  std::string& protocol = healthy_["metadata/protocol.txt"];
  const std::string before = protocol;
  for (const char* key : {"requires: ", "minor: "})
    protocol[protocol.find(key) + strlen(key)] = '3';
  const std::string head = "# window v1\noverflow: fifo\nmode: shift\nsinks: 0\nheadroom: 0\n";
  Check("metadata/window.txt", Repeated(head, "log: 0 rewind\n", "\n"), "rewinds");
  Check("metadata/window.txt", Repeated(head + "evicted: 3 1", ",1", ",1\n"), "evicted tokens");
  protocol = before;
}

TEST_F(HostileMemory, OfTensors) {
  Check("input_ids.npy", healthy_["input_ids.npy"] + std::string(large_bytes, 'x'), "ids");
  Check("logits.npy", healthy_["logits.npy"] + std::string(large_bytes, 'x'), "logits");
  Check("past_key_values/0_key.npy",
        healthy_["past_key_values/0_key.npy"] + std::string(large_bytes, 'x'), "keys");
}

// A file that takes no room on the disk and a gigabyte when it is read, vouched for by a manifest.
TEST_F(HostileMemory, OfFilesWithHoles) {
  constexpr uint64_t kBytes = uint64_t{1} << 30;
  for (const std::string path :
       {"input_ids.npy", "logits.npy", "past_key_values/0_key.npy", "chat.json",
        "metadata/config.txt", "metadata/session.txt", "metadata/obfchain.txt", "extra.bin"}) {
    Files files = healthy_;
    files[path];
    if (path == "input_ids.npy" || path == "logits.npy") {  // as many as the file would have
      std::string& config = files["metadata/config.txt"];
      for (const char* key : {"n_tokens: ", "vocab_size: "}) {
        const size_t at = config.find(key);
        config.replace(at, config.find('\n', at) - at, key + std::to_string(kBytes / 4));
      }
    }
    attacks::WriteFolder(Folder(), files);
    std::string manifest = attacks::ManifestOf(files);
    manifest.resize(manifest.rfind("root "));
    const size_t end = manifest.find(" " + path + "\n"), begin = manifest.rfind(' ', end - 1) + 1;
    manifest.replace(begin, end - begin, std::to_string(kBytes));
    manifest += "root " + HexText(Sha256Of(AsBytes(manifest))) + "\n";
    std::ofstream(Folder() + "/" + attacks::kManifest, std::ios::binary) << manifest;
    fs::resize_file(Folder() + "/" + path, kBytes);
    ExpectBounded(path);
    const Status status = VerifyContext(Folder(), {});
    EXPECT_EQ("state_inconsistent", status.name()) << path << ": " << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find(path)) << status.message();
  }
  attacks::WriteFolder(Folder(), healthy_);
  fs::resize_file(Folder() + "/" + attacks::kManifest, kBytes);
  ExpectBounded("the manifest");
}

TEST_F(HostileMemory, OfBareFolders) {
  Files bare = healthy_;
  for (const char* path :
       {"chat.json", "logits.npy", "metadata/manifest.txt", "metadata/protocol.txt",
        "metadata/session.txt", "metadata/window.txt"}) {
    bare.erase(path);
  }
  attacks::WriteFolder(Folder(), bare);
  ExpectBounded("a small one");
  EXPECT_TRUE(VerifyContext(Folder(), {}).ok());
  fs::resize_file(Folder() + "/past_key_values/0_key.npy", uint64_t{1} << 30);
  ExpectBounded("a tensor with holes");
  EXPECT_EQ(Code::kCorruption, VerifyContext(Folder(), {}).code());
  // Tables of bytes: widened they would be eight times as large.
  const size_t count = large_bytes / 3;
  std::string header =
      "{'descr': '|u1', 'fortran_order': False, 'shape': (1, " + std::to_string(count) + "), }";
  header.append(128 - 10 - 1 - header.size(), ' ');
  const std::string table = std::string("\x93NUMPY\x01\0", 8) + std::string("\x76\0", 2) + header +
                            "\n" + std::string(count, '\0');
  for (const char* path : {"input_ids.npy", "attention_mask.npy", "position_ids.npy"}) {
    bare[path] = table;
  }
  attacks::WriteFolder(Folder(), bare);
  ExpectBounded("tables of bytes");
}

}  // namespace

void ReadFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--mib=")) large_bytes = std::stoull(flag.substr(6)) << 20;
  }
}

}  // namespace gyrator

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gyrator::ReadFlags(argc, argv);
  return RUN_ALL_TESTS();
}
