// Folders that a stranger made: everything that a manifest vouches for, and a state that makes no
// sense.
//
// Each folder is a healthy one with a few changes (a key of a text file at an odd value, a tensor
// of another shape or with values that are not finite, odd spans, thousands of foreign keys), and
// its digests made anew. A child process then does with it what the command does: list, show,
// verify, take it in, open it, talk, save, and open what it saved. No child may crash or fail with
// "internal"; and what was taken in can be opened by the model that it names, continued, and saved.
//
// usage: hostile_folders_test [--folders=N] [--seed=S]
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <span>

#include "gyrator/contexts.h"
#include "gyrator/engine.h"
#include "tests/attacks/folders.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;
using attacks::Files;
using attacks::InChild;
using attacks::kManifest;
using attacks::ReadFolder;
using attacks::WriteFolder;

uint64_t num_folders = 40;
uint64_t run_seed = 1;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  size_t Below(size_t count) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<size_t>(state_ >> 11) % count;
  }
  template <class T>
  const T& OneOf(std::span<const T> choices) {
    return choices[Below(choices.size())];
  }

 private:
  uint64_t state_;
};

constexpr std::string_view kValues[] = {"",
                                        "0",
                                        "-1",
                                        "1",
                                        "2",
                                        "7",
                                        "17",
                                        "4096",
                                        "4097",
                                        "2147483647",
                                        "2147483648",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "18446744073709551615",
                                        "1e999",
                                        "nan",
                                        "inf",
                                        "-inf",
                                        "0.5",
                                        "-0.0",
                                        "none",
                                        "true",
                                        "[]",
                                        "[1,2",
                                        "[0]",
                                        "[0:1]",
                                        "[99999:1]",
                                        "[-1:1]",
                                        "[1:nan]",
                                        "bf16",
                                        "f32",
                                        "int8",
                                        "float32",
                                        "float16",
                                        "bfloat16",
                                        "../../etc/passwd",
                                        "\x1b[31mred",
                                        "a\tb",
                                        "v1.0",
                                        "v2.0",
                                        "2025-01-01T00:00:00.000000000Z",
                                        "9999-99-99T99:99:99Z"};

constexpr std::string_view kTextFiles[] = {"metadata/config.txt", "metadata/session.txt",
                                           "metadata/protocol.txt", "metadata/keylog.txt"};

size_t LineEnd(const std::string& text, size_t at) {
  return std::min(text.find('\n', at), text.size());
}

// ---- changes; each says what it did -------------------------------------------------------------

std::string ChangeKey(Files* files, Random* random) {
  const std::string path(random->OneOf<std::string_view>(kTextFiles));
  std::string& text = (*files)[path];
  std::vector<size_t> lines;
  for (size_t at = 0; at < text.size(); at = LineEnd(text, at) + 1) lines.push_back(at);
  if (lines.empty()) return {};
  const size_t begin = lines[random->Below(lines.size())], end = LineEnd(text, begin);
  const std::string line = text.substr(begin, end - begin);
  const std::string key = line.substr(0, line.find(':'));
  const std::string value(random->OneOf<std::string_view>(kValues));
  const bool removes = random->Below(8) == 0;
  text.replace(begin, end + 1 - begin, removes ? "" : key + ": " + value + "\n");
  return path + ": " + key + (removes ? " removed" : " = '" + value + "'");
}

std::string AddForeignKeys(Files* files, Random* random) {
  const std::string path(random->OneOf<std::string_view>(kTextFiles));
  const size_t count = size_t{1} << random->Below(18);
  std::string& text = (*files)[path];
  for (size_t i = 0; i < count; ++i) text += "x" + std::to_string(i) + ": y\n";
  return path + ": " + std::to_string(count) + " foreign keys";
}

std::string ChangeChat(Files* files, Random* random) {
  constexpr std::string_view kChats[] = {
      "[]",
      "{}",
      "[{}]",
      "null",
      "",
      "[[[]]]",
      R"([{"role":"user"}])",
      R"([{"role":"user","content":"a"}])",
      R"([{"role":"user","content":"a","span":null}])",
      R"([{"role":"user","content":"a","span":[0,1]}])",
      R"([{"role":"user","content":"a","span":[0,999999999]}])",
      R"([{"role":"user","content":"a","span":[-1,1]}])",
      R"([{"role":"user","content":"a","span":[1,0]}])",
      R"([{"role":"user","content":"a","span":[0,0]},{"role":"assistant","content":"b","span":[0,0]}])",
      R"([{"role":"god","content":"a"}])",
      R"([{"role":"tool","content":"a"}])",
      R"([{"role":"user","content":null}])",
      R"([{"role":"user","content":["a"]}])",
      R"([{"role":"user","content":[{"type":"text","text":"a"}]}])",
      R"([{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}])",
      R"([{"role":"user","content":"a","role":"user"}])",
      R"([{"role":"user","content":"\u001b[31m\u0000"}])",
      R"([{"role":"user","content":"\ud800"}])",
      R"([{"role":"user","content":"a","x":1e999}])",
      R"([{"role":"user","content":"a","tool_calls":[{"function":{"name":7}}]}])",
  };
  std::string& chat = (*files)["chat.json"];
  switch (random->Below(4)) {
    case 0: {  // values that take many times the room of their text
      const size_t count = size_t{1} << (10 + random->Below(9));
      chat = R"([{"role":"user","content":"a","x":[)";
      for (size_t i = 0; i < count; ++i) chat += i == 0 ? "{}" : ",{}";
      chat += "]}]";
      return "chat.json: " + std::to_string(count) + " empty objects";
    }
    case 1: {
      const size_t depth = 100 + random->Below(120);
      chat = R"([{"role":"user","content":"a","x":)" + std::string(depth, '[') +
             std::string(depth, ']') + "}]";
      return "chat.json: depth " + std::to_string(depth);
    }
    case 2: {
      const size_t at = random->Below(chat.size() + 1);
      chat.insert(at, 1, "[]{},:\"\\0\n\x80"[random->Below(11)]);
      return "chat.json: one byte at " + std::to_string(at);
    }
    default:
      chat = random->OneOf<std::string_view>(kChats);
      return "chat.json: " + chat.substr(0, 80);
  }
}

std::string ChangeTensor(Files* files, Random* random) {
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : *files) {
    if (path.ends_with(".npy")) paths.push_back(path);
  }
  const std::string path = paths[random->Below(paths.size())];
  std::string& bytes = (*files)[path];
  const size_t data = bytes.find('\n') + 1;
  switch (random->Below(6)) {
    case 0:
      bytes.resize(data + random->Below(bytes.size() - data + 1));
      return path + ": cut to " + std::to_string(bytes.size());
    case 1:
      bytes.append(size_t{1} << random->Below(20), 'x');
      return path + ": grown to " + std::to_string(bytes.size());
    case 2: {  // NaN or infinity of its type, or a huge id
      for (size_t i = 0; i < 8 && data + i < bytes.size(); ++i) bytes[data + i] = '\xff';
      return path + ": 0xff at its begin";
    }
    case 3: {
      const size_t at = bytes.find("(1,");
      if (at != std::string::npos)
        bytes.replace(at, 3, std::to_string(random->Below(10)).insert(0, "(") + ",");
      return path + ": another shape";
    }
    case 4: {
      const size_t at = bytes.find("'<");
      if (at != std::string::npos) bytes[at + 1] = '>';
      return path + ": big-endian";
    }
    default: {
      const size_t at = random->Below(data);
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random->Below(8)));
      return path + ": a bit of its header";
    }
  }
}

std::string ChangeFiles(Files* files, Random* random) {
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : *files) {
    if (path != kManifest) paths.push_back(path);
  }
  const std::string path = paths[random->Below(paths.size())];
  switch (random->Below(3)) {
    case 0:
      files->erase(path);
      return path + ": removed";
    case 1:
      (*files)["metadata/window.txt"] =
          "# window v1\noverflow: fifo\nmode: shift\nsinks: " + std::to_string(random->Below(9)) +
          "\nheadroom: 2147483647\nevicted: " + std::to_string(random->Below(40)) +
          " 1,2,3\nlog: 40 fifo 0-3\n";
      for (const char* key : {"requires: ", "minor: "}) {
        std::string& protocol = (*files)["metadata/protocol.txt"];
        const size_t at = protocol.find(key);
        if (at != std::string::npos)
          protocol.replace(at, LineEnd(protocol, at) - at, key + std::string("3"));
      }
      return "a window of its own";
    default:
      (*files)["extra_" + std::to_string(random->Below(9)) + ".bin"] = "foreign";
      return "a foreign file";
  }
}

std::string Change(Files* files, Random* random) {
  switch (random->Below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return ChangeKey(files, random);
    case 5:
      return AddForeignKeys(files, random);
    case 6:
      return ChangeChat(files, random);
    case 7:
      return ChangeTensor(files, random);
    case 8:
      return ChangeFiles(files, random);
    default:
      return ChangeKey(files, random) + "; " + Change(files, random);
  }
}

// ---- what is done with a folder -----------------------------------------------------------------

enum Verdict : int { kRefused = 0, kOpened = 1, kOtherModel = 2, kWrong = 3 };

struct Place {
  std::shared_ptr<const Model> model;
  std::string root;
  std::string folder;  // the hostile one
};

int Wrong(const std::string& what, const Status& status) {
  std::cerr << "WRONG: " << what << ": " << status.ToString() << std::endl;
  return kWrong;
}

std::unique_ptr<Engine> MakeEngine(const std::shared_ptr<const Model>& model) {
  EngineOptions options;
  options.context = 256;
  options.sessions_max = 2;
  options.threads = 1;
  auto engine = Engine::Create(model, options);
  return engine.ok() ? *std::move(engine) : nullptr;
}

// Opens, talks on, saves, opens that.
int Continue(const Place& place, const std::string& folder) {
  const auto engine = MakeEngine(place.model);
  auto session = engine->LoadSession(folder, nullptr);
  if (session.status().code() == Code::kMismatch || session.status().name() == "capacity") {
    return kOtherModel;  // which a folder alone does not tell
  }
  if (!session.ok()) return Wrong("taken in, not opened", session.status());
  GenerateOptions options;
  options.tokens_max = 3;
  Status appended = (*session)->Append({.role = "user", .content = "Hello.", .extras = {}});
  if (!appended.ok()) return Wrong("no line can be added", appended);
  const auto reply = (*session)->Respond(options);
  const bool refused = !reply.ok() && (reply.status().code() == Code::kInternal);
  if (refused) return Wrong("reply", reply.status());
  const auto saved = (*session)->Save({.root = place.root, .name = "chat"});
  if (!saved.ok()) return Wrong("taken in, not saved", saved.status());
  if (Status status = VerifyContext(saved->folder, {}); !status.ok())
    return Wrong("verify", status);
  const auto again = engine->LoadSession(saved->folder, nullptr);
  return again.ok() ? kOpened : Wrong("saved, not opened", again.status());
}

int Treat(const Place& place) {
  const Status shown = ShowContext(place.folder).status();
  if (shown.code() == Code::kInternal) return Wrong("show", shown);
  const Status verified = VerifyContext(place.folder, {});
  if (verified.code() == Code::kInternal) return Wrong("verify", verified);
  const auto imported = ImportContext(place.root, place.folder, "chat");
  if (imported.ok() != verified.ok()) return Wrong("load and verify disagree", imported.status());
  if (!ListContexts(place.root).ok()) return Wrong("ls", ListContexts(place.root).status());
  if (!imported.ok()) return imported.status().code() == Code::kInternal ? kWrong : kRefused;
  if (!shown.ok()) return Wrong("show and verify disagree", shown);
  return Continue(place, imported->folder);
}

TEST(HostileFolders, NeverCrashAndWhatIsTakenInCanBeOpenedAndSaved) {
  std::cout << num_folders << " folders, seed " << run_seed << std::endl;
  const std::string base = testing::TempDir() + "/hostile_" + std::to_string(::getpid());
  fs::remove_all(base);
  auto model = Model::Load(std::string(GYRATOR_SOURCE_DIR) + "/models/gyrator-chat.gguf",
                           {.compute = {},
                            .isa = "auto",
                            .threads = 1,
                            .digest_cache = base + "/digests",
                            .progress = {}});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  // In a child: this process must have no thread, so that its children may make engines.
  ASSERT_EQ(
      0, InChild([&] {
        const auto engine = MakeEngine(*model);
        auto session = engine->NewSession({});
        GenerateOptions options;
        options.tokens_max = 20;
        const bool said =
            (*session)->Append({.role = "user", .content = "My name is Ada.", .extras = {}}).ok() &&
            (*session)->Respond(options).ok();
        return said && (*session)->Save({.root = base + "/healthy", .name = "chat"}).ok() ? 0 : 1;
      }));
  const Files healthy = ReadFolder(*ResolveContext(base + "/healthy", "chat"));
  std::map<int, int> verdicts;
  for (uint64_t i = 0; i < num_folders; ++i) {
    Random random(run_seed * 1'000'003 + i);
    Files files = healthy;
    const std::string change = i == 0 ? "nothing" : Change(&files, &random);
    const Place place{.model = *model, .root = base + "/home", .folder = base + "/hostile"};
    fs::remove_all(place.root);
    WriteFolder(place.folder, files);
    const int verdict = InChild([&] { return Treat(place); });
    ++verdicts[verdict];
    EXPECT_LT(verdict, kWrong) << "folder " << i << " of seed " << run_seed << ": " << change;
    if (i == 0) {
      EXPECT_EQ(kOpened, verdict) << "the healthy folder";
    }
  }
  std::cout << verdicts[kRefused] << " refused, " << verdicts[kOpened] << " opened, "
            << verdicts[kOtherModel] << " of another model" << std::endl;
  EXPECT_GT(verdicts[kRefused], 0);
  EXPECT_GT(verdicts[kOpened], 0);
  fs::remove_all(base);
}

}  // namespace

void ReadFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--folders=")) num_folders = std::stoull(flag.substr(10));
    if (flag.starts_with("--seed=")) run_seed = std::stoull(flag.substr(7));
  }
}

}  // namespace gyrator

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gyrator::ReadFlags(argc, argv);
  return RUN_ALL_TESTS();
}
