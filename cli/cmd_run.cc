// gyrator run: one reply to one prompt, with everything that is needed to check its bits.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/text_input.h"
#include "gyrator/logits_file.h"

namespace gyrator::cli {

namespace {

// Collects the rows that --dump-logits asks for.
struct LogitsDump {
  std::vector<float> rows;  // [steps, vocab]

  void Take(std::span<const float> row) { rows.insert(rows.end(), row.begin(), row.end()); }
};

Result<std::vector<TokenId>> RawTokens(const RunArgs& args, const Model& model) {
  if (!args.tokens.empty()) return args.tokens;
  if (model.text() == nullptr) return model.text_status();
  return model.text()->Encode(*args.prompt, false);
}

Result<Reply> Generate(const RunArgs& args, const Model& model, Session& session,
                       const GenerateOptions& options) {
  if (args.raw || !args.tokens.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<TokenId> prefix, RawTokens(args, model));
    return session.Complete(prefix, options);
  }
  GYRATOR_RETURN_IF_ERROR(session.Append({.role = "user", .content = *args.prompt, .extras = {}}));
  return session.Respond(options);
}

std::string IdsText(std::span<const TokenId> ids) { return fmt::format("{}", fmt::join(ids, ",")); }

Status PrintReplyJson(const RunArgs& args, const Session& session, const Reply& reply,
                      const LogitsDump& dump, int32_t vocab) {
  Json result = {{"text", reply.text},
                 {"tokens", reply.tokens},
                 {"stop", StopName(reply.stop)},
                 {"prompt_tokens", reply.tokens_reused + reply.tokens_decoded},
                 {"prompt_ms", reply.prompt_ms},
                 {"generate_ms", reply.generate_ms},
                 {"seed", session.sampler().seed},
                 {"cp", session.info().cp},
                 {"capacity", session.info().capacity}};
  if (!args.dump_logits.empty()) {
    const auto steps = dump.rows.size() / static_cast<size_t>(vocab);
    result["logits"] = {{"file", args.dump_logits}, {"shape", {steps, vocab}}};
  }
  return PrintJson(result);
}

void PrintSpeed(const Reply& reply) {
  const auto speed = [](double tokens, double ms) { return ms > 0 ? 1000 * tokens / ms : 0.0; };
  PrintNote(fmt::format("prompt {} tokens, {:.1f} tokens/s; reply {} tokens, {:.1f} tokens/s",
                        reply.tokens_reused + reply.tokens_decoded,
                        speed(reply.tokens_decoded, reply.prompt_ms), reply.tokens.size(),
                        speed(static_cast<double>(reply.tokens.size()), reply.generate_ms)));
}

}  // namespace

Status RunRun(const RunArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  if (!args.dump_logits.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string path, ModelPath(args.model.model));
    GYRATOR_RETURN_IF_ERROR(CheckOutput("--dump-logits", args.dump_logits, {path}));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                           OpenEngine(model, args.engine, args.model.threads, &progress));
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                           OpenSession(*engine, args.sampler, args.window.Over({}), args.generate));
  LogitsDump dump;
  Status printed;
  bool begun = false;
  const InterruptScope scope;
  const StopOnInterrupt interrupt;
  GenerateOptions options;
  options.tokens_max = args.generate.tokens_max;
  options.ignore_end = args.generate.ignore_eos;
  options.cancel = interrupt.token();
  options.on_text = [&](std::string_view text) {
    progress.Clear();
    if (printed.ok() && !context.json) printed = PrintText(text);
    begun = !context.json;
    return printed.ok();
  };
  if (!args.dump_logits.empty()) {
    options.on_logits = [&](std::span<const float> row) { dump.Take(row); };
    if (args.logits_all) options.on_prompt_logits = options.on_logits;
  }
  Result<Reply> generated = Generate(args, *model, *session, options);
  progress.Clear();
  GYRATOR_RETURN_IF_ERROR(printed);
  if (!generated.ok() && begun) GYRATOR_RETURN_IF_ERROR(PrintText("\n"));
  GYRATOR_ASSIGN_OR_RETURN(const Reply reply, std::move(generated));
  const int32_t vocab = model->info().vocab;
  if (!args.dump_logits.empty()) {
    GYRATOR_RETURN_IF_ERROR(WriteLogits(args.dump_logits, dump.rows, vocab));
  }
  if (context.json) {
    GYRATOR_RETURN_IF_ERROR(PrintReplyJson(args, *session, reply, dump, vocab));
  } else {
    // A model without a tokenizer says ids.
    const std::string ids = model->text() == nullptr ? IdsText(reply.tokens) : "";
    GYRATOR_RETURN_IF_ERROR(PrintText(ids + "\n"));
    if (context.terminals.err) PrintSpeed(reply);
  }
  if (reply.stop == StopReason::kCancelled) return Status::Cancelled("interrupted");
  return {};
}

}  // namespace gyrator::cli
