// gyrator batch: a reply to each line of a file of chat completion bodies, some at once.
//
// Clients, one thread each, take the requests by priority; the main thread writes their answers,
// cancels what is due, and listens for Ctrl-C. Every line of the input has one line of the output.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <system_error>
#include <thread>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/text_input.h"
#include "gyrator/chat_request.h"

namespace gyrator::cli {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick(20);  // how soon an interrupt is seen

struct Job {
  size_t index = 0;  // among the requests
  size_t line = 0;   // of the input, from 1
  BatchLine said;
};

struct Answer {
  size_t index = 0;
  Json json;
  Status status;  // why there is no reply
};

// What a request came to.
struct Served {
  std::string id;  // of the session
  int32_t prompt_tokens = 0;
  Reply reply = {};
  std::optional<size_t> stopped = {};  // the reply's text ends here, before a stop string
};

std::string_view FinishReason(StopReason stop) {
  switch (stop) {
    case StopReason::kNone:
    case StopReason::kEndOfGeneration:
      return "stop";
    case StopReason::kLength:
      return "length";
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kDeadline:
      return "deadline";
  }
  return "stop";
}

// Names of llama-server.
Json Timings(const Reply& reply) {
  const auto part = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  const auto predicted = static_cast<double>(reply.tokens.size());
  return {{"cache_n", reply.tokens_reused},
          {"prompt_n", reply.tokens_decoded},
          {"prompt_ms", reply.prompt_ms},
          {"prompt_per_token_ms", part(reply.prompt_ms, reply.tokens_decoded)},
          {"prompt_per_second", part(1000.0 * reply.tokens_decoded, reply.prompt_ms)},
          {"predicted_n", reply.tokens.size()},
          {"predicted_ms", reply.generate_ms},
          {"predicted_per_token_ms", part(reply.generate_ms, predicted)},
          {"predicted_per_second", part(1000.0 * predicted, reply.generate_ms)}};
}

Json ReplyJson(const Served& served, const std::string& model) {
  const Reply& reply = served.reply;
  const auto completion = static_cast<int32_t>(reply.tokens.size());
  const std::string text = served.stopped ? reply.text.substr(0, *served.stopped) : reply.text;
  const std::string_view reason = served.stopped ? "stop" : FinishReason(reply.stop);
  return {{"id", "chatcmpl-" + served.id},
          {"object", "chat.completion"},
          {"created", static_cast<int64_t>(std::time(nullptr))},
          {"model", model},
          {"choices",
           {{{"index", 0},
             {"message", {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}}},
             {"logprobs", nullptr},
             {"finish_reason", reason}}}},
          {"usage",
           {{"prompt_tokens", served.prompt_tokens},
            {"completion_tokens", completion},
            {"total_tokens", served.prompt_tokens + completion},
            {"prompt_tokens_details", {{"cached_tokens", reply.tokens_reused}}}}},
          {"timings", Timings(reply)}};
}

// The request in a session of its own.
Result<Json> Serve(Engine& engine, const ChatRequest& request, const WindowOptions& window,
                   std::stop_token cancel) {
  GYRATOR_ASSIGN_OR_RETURN(const auto session,
                           engine.NewSession({.sampler = request.sampler,
                                              .window = window,
                                              .cache_namespace = request.cache_namespace,
                                              .template_variables = request.template_variables}));
  for (const Message& message : request.messages) {
    GYRATOR_RETURN_IF_ERROR(session->Append(message));
  }
  const TextModel& text = *engine.model().text();
  RenderOptions rendering;
  rendering.variables = request.template_variables;
  GYRATOR_ASSIGN_OR_RETURN(const std::string prompt, text.Render(request.messages, rendering));
  Served served{.id = session->info().id,
                .prompt_tokens = static_cast<int32_t>(text.Encode(prompt, false).size())};
  GenerateOptions options;
  options.tokens_max = request.tokens_max;
  options.ignore_end = request.ignore_end;
  options.priority = request.priority;
  options.cancel = std::move(cancel);
  if (request.deadline_ms) options.deadline = Clock::now() + milliseconds(*request.deadline_ms);
  std::string said;
  if (!request.stop.empty()) {
    options.on_text = [&](std::string_view piece) {
      said += piece;
      return !FindStop(said, request.stop);
    };
  }
  GYRATOR_ASSIGN_OR_RETURN(served.reply, session->Respond(options));
  served.stopped = FindStop(served.reply.text, request.stop);
  return ReplyJson(served, engine.model().info().name);
}

class Clients {
 public:
  // `jobs` and `engine` outlive this; each job is taken once, in order.
  Clients(Engine* engine, const std::vector<Job>* jobs, const WindowOptions& window, size_t count)
      : engine_(engine), jobs_(jobs), window_(window), lanes_(count) {
    for (Lane& lane : lanes_) {
      try {
        threads_.emplace_back(&Clients::Work, this, &lane);
      } catch (const std::system_error&) {
        break;  // fewer at once: those that there are take every job
      }
    }
  }
  ~Clients() {
    Stop();
    for (std::thread& thread : threads_) thread.join();
  }
  bool empty() const { return threads_.empty(); }  // the system refuses even one thread
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // Cancels what runs; what has not begun does not begin, and is answered so.
  void Stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (Lane& lane : lanes_) lane.cancel.request_stop();
  }

  // The answers that have come, after a tick at the latest; cancels what is due.
  std::vector<Answer> Take() {
    std::unique_lock lock(mutex_);
    Clock::time_point until = Clock::now() + kTick;
    for (const Lane& lane : lanes_) until = std::min(until, lane.cancel_at);
    news_.wait_until(lock, until, [this] { return !answers_.empty(); });
    const auto now = Clock::now();
    for (Lane& lane : lanes_) {
      if (lane.cancel_at > now) continue;
      lane.cancel.request_stop();
      lane.cancel_at = Clock::time_point::max();
    }
    return std::exchange(answers_, {});
  }

 private:
  // What one thread works at; guarded by mutex_.
  struct Lane {
    std::stop_source cancel;
    Clock::time_point cancel_at = Clock::time_point::max();
  };

  struct Task {
    const Job* job = nullptr;  // null: there is none left
    Status status;             // why it is not to be run
    std::stop_token cancel;
  };

  void Work(Lane* lane) {
    for (Task task = Next(lane); task.job != nullptr; task = Next(lane)) {
      const ChatRequest& request = task.job->said.request;
      Json json = {{"index", task.job->index}};
      json["custom_id"] = request.custom_id.empty() ? Json(nullptr) : Json(request.custom_id);
      Status status = std::move(task.status);
      if (status.ok()) {
        const Result<Json> reply = Serve(*engine_, request, window_, std::move(task.cancel));
        if (reply.ok()) json.update(*reply);
        status = reply.status();
      }
      if (!status.ok()) json["error"] = ErrorJson(status);
      const std::lock_guard lock(mutex_);
      lane->cancel_at = Clock::time_point::max();
      answers_.push_back(
          {.index = task.job->index, .json = std::move(json), .status = std::move(status)});
      news_.notify_one();
    }
  }

  Task Next(Lane* lane) {
    const std::lock_guard lock(mutex_);
    if (next_ == jobs_->size()) return {};
    const Job& job = (*jobs_)[next_++];
    if (!job.said.status.ok()) return {.job = &job, .status = job.said.status, .cancel = {}};
    if (stopped_) {
      return {
          .job = &job, .status = Status::Cancelled("interrupted before it began"), .cancel = {}};
    }
    lane->cancel = std::stop_source();
    if (job.said.request.cancel_after_ms) {
      lane->cancel_at = Clock::now() + milliseconds(*job.said.request.cancel_after_ms);
    }
    return {.job = &job, .status = {}, .cancel = lane->cancel.get_token()};
  }

  Engine* const engine_;
  const std::vector<Job>* const jobs_;
  const WindowOptions window_;
  std::mutex mutex_;
  std::condition_variable news_;
  size_t next_ = 0;  // guarded by mutex_, as all below but the threads
  bool stopped_ = false;
  std::vector<Lane> lanes_;
  std::vector<Answer> answers_;
  std::vector<std::thread> threads_;
};

// Writes answers as they come, or in the order of the requests.
class Writer {
 public:
  Writer(TextOutput* out, bool ordered) : out_(out), ordered_(ordered) {}

  Status Write(const Answer& answer) {
    held_.emplace(answer.index, DumpJson(answer.json) + "\n");
    while (!held_.empty() && (!ordered_ || held_.begin()->first == next_)) {
      GYRATOR_RETURN_IF_ERROR(out_->Write(held_.begin()->second));
      held_.erase(held_.begin());
      ++next_;
    }
    return {};
  }

 private:
  TextOutput* const out_;
  const bool ordered_;
  size_t next_ = 0;  // in order, the first that is not written
  std::map<size_t, std::string> held_;
};

std::vector<Job> ReadJobs(std::string_view text, const BatchArgs& args) {
  const ChatDefaults defaults{.sampler = args.sampler.Over({}), .tokens_max = args.tokens_max};
  std::random_device random;
  std::set<std::string> noted;
  std::vector<Job> jobs;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size() - 1);
    const std::string_view body = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) continue;
    Job job{.index = jobs.size(), .line = line, .said = ParseBatchLine(body, defaults)};
    ChatRequest& request = job.said.request;
    if (!request.has_seed && args.sampler.seed.value_or(-1) < 0) request.sampler.seed = random();
    for (const std::string& name : request.ignored) {
      if (!noted.insert(name).second) continue;
      PrintNote(fmt::format("line {}: '{}' is ignored", line, OneLine(name)));
    }
    jobs.push_back(std::move(job));
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return a.said.request.priority < b.said.request.priority;
  });
  return jobs;
}

// The first failure in the order of the requests.
Status Verdict(const std::vector<Job>& jobs, const std::map<size_t, Status>& failed) {
  if (failed.empty()) return {};
  const auto& [index, status] = *failed.begin();
  const auto job = std::find_if(jobs.begin(), jobs.end(),
                                [i = index](const Job& other) { return other.index == i; });
  return Status(status).Annotate(
      fmt::format("{} of {} requests failed; line {}", failed.size(), jobs.size(), job->line));
}

}  // namespace

Status RunBatch(const BatchArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  GYRATOR_RETURN_IF_ERROR(CheckSampler(args.sampler.Over({})));
  GYRATOR_ASSIGN_OR_RETURN(const std::string path, ModelPath(args.model.model));
  GYRATOR_RETURN_IF_ERROR(CheckOutput("--out", args.out, {args.in, path}));
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadInput(args.in));
  const std::vector<Job> jobs = ReadJobs(text, args);
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  if (model->text() == nullptr) return model->text_status();
  const size_t parallel = std::min(static_cast<size_t>(args.parallel), jobs.size());
  EngineOptions options = EngineOptionsOf(args.engine, args.model.threads);
  options.sessions_max = static_cast<int32_t>(std::max<size_t>(parallel, 1));
  options.swap_budget = args.swap_budget;
  options.swap_directory = args.swap_directory;
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Create(model, options));
  GYRATOR_ASSIGN_OR_RETURN(TextOutput out,
                           args.out.empty() ? TextOutput() : TextOutput::Open(args.out));
  const InterruptScope scope;
  Writer writer(&out, args.ordered);
  Status written;
  std::map<size_t, Status> failed;
  Clients clients(engine.get(), &jobs, args.window.Over({}), parallel);
  if (clients.empty() && !jobs.empty()) {
    return Status::Exhausted("batch: the system refuses a thread");
  }
  const Progress tell = progress.Callback();
  for (size_t answered = 0; answered < jobs.size(); tell("answering", answered, jobs.size())) {
    for (const Answer& answer : clients.Take()) {
      progress.Clear();
      if (written.ok()) written = writer.Write(answer);
      if (!answer.status.ok()) failed.emplace(answer.index, answer.status);
      ++answered;
    }
    if (Interrupted() || !written.ok()) clients.Stop();
  }
  GYRATOR_RETURN_IF_ERROR(written);
  GYRATOR_RETURN_IF_ERROR(out.Close());
  if (Interrupted()) return Status::Cancelled("interrupted");
  return Verdict(jobs, failed);
}

}  // namespace gyrator::cli
