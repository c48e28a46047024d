// gyrator: parse, dispatch, report. Exit codes are those of gyrator/status.h.
#include <fcntl.h>
#include <signal.h>

#include "base/wall.h"
#include "cli/bus_error.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/output.h"

namespace gyrator::cli {
namespace {

struct Dispatch {
  const Context& context;

  Status operator()(const TextArgs& args) const { return PrintText(args.text); }
  Status operator()(const ChatArgs& args) const { return RunChat(args, context); }
  Status operator()(const RunArgs& args) const { return RunRun(args, context); }
  Status operator()(const BatchArgs& args) const { return RunBatch(args, context); }
  Status operator()(const ExplainArgs& args) const { return RunExplain(args, context); }
  Status operator()(const ForkArgs& args) const { return RunFork(args, context); }
  Status operator()(const StatsArgs& args) const { return RunStats(args, context); }
  Status operator()(const SaveArgs& args) const { return RunSave(args, context); }
  Status operator()(const LoadArgs& args) const { return RunLoad(args, context); }
  Status operator()(const LsArgs& args) const { return RunLs(args, context); }
  Status operator()(const ShowArgs& args) const { return RunShow(args, context); }
  Status operator()(const VerifyArgs& args) const { return RunVerify(args, context); }
  Status operator()(const RmArgs& args) const { return RunRm(args, context); }
  Status operator()(const TokenizeArgs& args) const { return RunTokenize(args, context); }
  Status operator()(const TemplateArgs& args) const { return RunTemplate(args, context); }
  Status operator()(const ModelInfoArgs& args) const { return RunModelInfo(args, context); }
  Status operator()(const ModelVerifyArgs& args) const { return RunModelVerify(args, context); }
  Status operator()(const BenchArgs& args) const { return RunBenchCommand(args, context); }
};

// A closed descriptor below 3 would become that of the next file that is opened.
void FillStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) return;
  }
}

// As programs that do not look end when nobody reads their output any longer.
int EndByPipeSignal() {
  ::signal(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
  return 128 + SIGPIPE;  // where it is blocked
}

int Main(int argc, const char* const* argv) {
  FillStandardDescriptors();
  CatchInterrupts(AsksForJson(argc, argv));
  const Result<Invocation> invocation = ParseCommandLine(argc, argv);
  if (!invocation.ok()) {
    PrintError(invocation.status(), AsksForJson(argc, argv));
    return static_cast<int>(invocation.status().code());
  }
  CatchBusErrors(invocation->json);
  const Context context = {.json = invocation->json, .terminals = FindTerminals()};
  const Status status =
      BehindWall("gyrator", [&] { return std::visit(Dispatch{context}, invocation->args); });
  if (status.name() == "reader_gone") return EndByPipeSignal();
  if (!status.ok()) PrintError(status, context.json);
  return static_cast<int>(status.code());
}

}  // namespace
}  // namespace gyrator::cli

int main(int argc, char** argv) { return gyrator::cli::Main(argc, argv); }
