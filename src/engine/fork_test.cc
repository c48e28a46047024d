// fork() beside an engine: the child may end as it likes, and is refused the parent's engine.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "engine/engine_testing.h"
#include "gyrator/context_manager.h"

namespace gyrator {
namespace {

constexpr unsigned kSecondsMax = 60;  // a child that hangs is ended by then

// Runs `body` in a forked child. Gives its exit code, or minus the signal that ended it.
int InChild(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kSecondsMax);
    ::_exit(body());
  }
  int status = 0;
  EXPECT_EQ(child, ::waitpid(child, &status, 0));
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

class ForkTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Engine> Make() {
    return MakeEngine(model_, {.context = 128, .sessions_max = 2, .threads = GetParam()});
  }
  std::shared_ptr<const Model> model_ = LoadShipped(ComputeType::kInt8);
};

TEST_P(ForkTest, AChildDestroysWhatItInherited) {
  auto engine = Make();
  auto manager = *ContextManager::New(engine.get(), {});
  Conversation talk;
  ASSERT_TRUE(talk.AddUser("Hello.").ok());
  ASSERT_TRUE(manager->Prepare(talk).ok());
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(3)).ok());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(0, InChild([&] {
                session.reset();
                {
                  const Conversation gone = std::move(talk);
                }
                manager.reset();
                engine.reset();
                model_.reset();
                return 0;
              }));
  }
  EXPECT_TRUE(session->Complete(Numbers(20, 4), Steps(3)).ok());  // the parent goes on
  EXPECT_TRUE(manager->Prepare(talk).ok());
}

TEST_P(ForkTest, AChildIsRefusedTheParentsEngine) {
  auto engine = Make();
  auto manager = *ContextManager::New(engine.get(), {});
  auto session = MakeSession(*engine, 1);
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(3)).ok());
  EXPECT_EQ(0, InChild([&] {
              const auto refused = [](const Status& status) {
                return status.code() == Code::kUnsupported && status.name() == "forked";
              };
              Conversation talk;
              if (!talk.AddUser("Hello.").ok()) return 1;
              if (!refused(session->Complete(Numbers(20, 4), Steps(3)).status())) return 2;
              if (!refused(session->Explain(Numbers(20, 4)).status())) return 3;
              if (!refused(session->Fork({}).status())) return 4;
              if (!refused(session->Save({.root = testing::TempDir()}).status())) return 5;
              if (!refused(engine->NewSession({}).status())) return 6;
              if (!refused(manager->Respond(talk, {}).status())) return 7;
              return engine->stats().requests == 0 ? 0 : 8;
            }));
}

TEST_P(ForkTest, AChildMakesAnEngineOfItsOwn) {
  auto engine = Make();
  auto session = MakeSession(*engine, 1);
  const auto reply = session->Complete(Numbers(20, 3), Steps(8));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(0, InChild([&] {
              session.reset();
              engine = Make();
              session = MakeSession(*engine, 1);
              const auto again = session->Complete(Numbers(20, 3), Steps(8));
              return again.ok() && again->tokens == reply->tokens ? 0 : 1;
            }));
}

TEST_P(ForkTest, AChildOfACallbackEnds) {
  auto engine = Make();
  auto session = MakeSession(*engine, 1);
  int left = -1000;
  GenerateOptions options = Steps(6);
  pid_t child = -1;
  options.on_text = [&](std::string_view) {
    if (child < 0) child = ::fork();
    if (child == 0) ::alarm(kSecondsMax);
    return true;
  };
  const auto reply = session->Complete(Numbers(20, 3), options);
  if (child == 0) {  // the call returns in the child too, and says what became of it
    const bool refused = reply.status().name() == "forked";
    session.reset();
    engine.reset();
    ::_exit(refused ? 0 : 1);
  }
  EXPECT_TRUE(reply.ok());
  ASSERT_GT(child, 0);
  ASSERT_EQ(child, ::waitpid(child, &left, 0));
  EXPECT_EQ(0, left);
}

// The engine's thread and those of its pool are at work when the process is forked.
TEST_P(ForkTest, ChildrenOfABusyEngineEnd) {
  auto engine = Make();
  auto idle = MakeSession(*engine, 1);
  ASSERT_TRUE(idle->Complete(Numbers(20, 3), Steps(3)).ok());
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    auto session = MakeSession(*engine, 2);
    for (uint64_t i = 0; !stop; ++i) {
      EXPECT_TRUE(session->Complete(Numbers(90, 5 + i), Steps(20)).ok());
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(0, InChild([&] {
                idle.reset();
                engine.reset();
                return 0;
              }));
  }
  stop = true;
  busy.join();
}

INSTANTIATE_TEST_SUITE_P(Threads, ForkTest, testing::Values(1, 4));

}  // namespace
}  // namespace gyrator
