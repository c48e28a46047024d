#include "tests/schedules/alone.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <sstream>
#include <thread>

#include "base/check.h"
#include "base/posix.h"
#include "tests/schedules/chat_model.h"
#include "tests/schedules/player.h"

namespace gyrator {

namespace {

constexpr const char* kEnd = "end";  // the last line of a child that came to its end

struct Child {
  int32_t number = 0;
  pid_t process = -1;
  Descriptor output;
};

Child Spawn(const Cast& cast, int32_t number) {
  int ends[2] = {-1, -1};
  GYRATOR_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  const Descriptor write(ends[1]);
  Child child{.number = number, .output = Descriptor(ends[0])};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, write.get(), STDOUT_FILENO);
  std::vector<std::string> words = {"/proc/self/exe",
                                    "--alone",
                                    cast.model,
                                    std::string(ComputeTypeName(cast.compute)),
                                    std::to_string(number),
                                    "--seed=" + std::to_string(cast.seed)};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int error =
      ::posix_spawn(&child.process, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  GYRATOR_CHECK(error == 0);
  return child;
}

Lines Await(Child child) {
  std::string output;
  char piece[4096];
  for (ssize_t count; (count = ::read(child.output.get(), piece, sizeof(piece))) != 0;) {
    GYRATOR_CHECK(count > 0 || errno == EINTR);
    if (count > 0) output.append(piece, static_cast<size_t>(count));
  }
  int status = 0;
  GYRATOR_CHECK(::waitpid(child.process, &status, 0) == child.process);
  Lines lines;
  std::istringstream stream(output);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  const bool whole = status == 0 && !lines.empty() && lines.back() == kEnd;
  EXPECT_TRUE(whole) << "script " << child.number << " alone: wait status " << status;
  if (!whole) return {};
  lines.pop_back();
  return lines;
}

}  // namespace

std::string Cast::name() const {
  return std::to_string(seed) + "/" + model + "/" + std::string(ComputeTypeName(compute));
}

std::vector<Script> Cast::Scripts() const {
  const bool narrow = model == "qwen2";  // its heads have 16 dimensions: no group of int8
  return DrawScripts(name(), narrow ? DType::kF16 : DType::kI8);
}

int PlayAlone(const Cast& cast, int32_t number) {
  const std::vector<Script> scripts = cast.Scripts();
  GYRATOR_CHECK(number >= 0 && number < kScripts);
  const Script& script = scripts[static_cast<size_t>(number)];
  EngineOptions options = OptionsFor(script);
  options.sessions_max = 4;
  options.share_prefixes = false;
  options.threads = 1;
  const auto engine = Engine::Create(LoadChatModel(cast.model, cast.compute), options);
  GYRATOR_CHECK(engine.ok());
  auto player = Player::Open(**engine, script);
  GYRATOR_CHECK(player.ok());
  while (!player->done()) {
    BatchRequest request = player->Begin();
    std::printf("%s\n", player->End((*engine)->Run({&request, 1})[0]).c_str());
  }
  std::printf("%s\n", kEnd);
  return 0;
}

std::map<int32_t, Lines> PlayEachAlone(const Cast& cast, const std::set<int32_t>& numbers) {
  const size_t together = std::max(1u, std::thread::hardware_concurrency());
  std::map<int32_t, Lines> all;
  std::deque<Child> children;
  const auto take = [&] {
    const int32_t number = children.front().number;
    all[number] = Await(std::move(children.front()));
    children.pop_front();
  };
  for (const int32_t number : numbers) {
    if (children.size() == together) take();
    children.push_back(Spawn(cast, number));
  }
  while (!children.empty()) take();
  return all;
}

}  // namespace gyrator
