// gyrator explain: what of a saved context the next message would reuse, and why no more.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace gyrator::cli {

namespace {

// The session as it would be asked; `mismatch`: why the context could not be loaded.
struct Asked {
  std::unique_ptr<Session> session;
  std::optional<Divergence> mismatch;
};

// Why this engine cannot go on with the context: its flags first, then the model.
Divergence MismatchOf(const std::string& name, const ContextDetails& details, const Engine& engine,
                      const Status& status) {
  Divergence divergence;
  divergence.detail = ExplainMismatch(status, name, details, engine.model()).message();
  const auto differs = [&](std::string_view key, std::string_view mine) {
    const std::string saved = ConfigValue(details, key);
    return !saved.empty() && saved != mine;
  };
  const bool compute = differs("compute", ComputeTypeName(engine.model().info().compute)) ||
                       differs("kv_dtype", CacheTypeName(*engine.options().kv_dtype));
  divergence.rule = compute ? Rule::kOtherComputeType : Rule::kOtherModel;
  if (!details.tokens.empty()) divergence.had = details.tokens[0];
  return divergence;
}

Result<Asked> Load(const std::string& name, const ContextDetails& details, Engine& engine) {
  Asked asked;
  Result<std::unique_ptr<Session>> loaded = engine.LoadSession(details.entry.folder, nullptr);
  if (loaded.ok()) {
    asked.session = *std::move(loaded);
    return asked;
  }
  if (loaded.status().code() != Code::kMismatch) return std::move(loaded).status();
  asked.mismatch = MismatchOf(name, details, engine, loaded.status());
  SessionOptions options;
  options.template_variables = SavedVariables(details);
  GYRATOR_ASSIGN_OR_RETURN(asked.session, engine.NewSession(options));
  GYRATOR_RETURN_IF_ERROR(asked.session->SetTranscript(details.transcript));
  return asked;
}

Result<Explanation> Explained(const ExplainArgs& args, const Engine& engine, Session& session) {
  if (args.raw) {
    if (engine.model().text() == nullptr) return engine.model().text_status();
    return session.Explain(engine.model().text()->Encode(*args.prompt, false));
  }
  if (args.prompt) {
    GYRATOR_RETURN_IF_ERROR(
        session.Append({.role = "user", .content = *args.prompt, .extras = {}}));
  }
  return session.Explain();
}

std::string Quoted(TokenId token, const std::string& text) {
  return token < 0 ? "nothing" : "'" + OneLine(text) + "' (" + std::to_string(token) + ")";
}

}  // namespace

Json ExplanationJson(const Explanation& e) {
  Json json = {{"prompt_tokens", e.prompt_tokens},
               {"own", e.own},
               {"shared", e.shared},
               {"decode", e.decode},
               {"fits", e.fits},
               {"evicted", e.evicted},
               {"divergence", nullptr}};
  if (e.divergence) {
    json["divergence"] = {
        {"position", e.divergence->position},     {"had", e.divergence->had},
        {"wants", e.divergence->wants},           {"had_text", e.divergence->had_text},
        {"wants_text", e.divergence->wants_text}, {"rule", RuleName(e.divergence->rule)},
        {"detail", e.divergence->detail}};
  }
  return json;
}

std::string ExplanationText(const Explanation& e) {
  std::string text = fmt::format(
      "prompt   {:>7} tokens\n"
      "own      {:>7} held by the conversation itself\n"
      "shared   {:>7} from the prefix cache\n"
      "decode   {:>7} to be computed\n"
      "evicted  {:>7} outside the window\n"
      "fits     {:>7} without anything leaving the window\n",
      e.prompt_tokens, e.own, e.shared, e.decode, e.evicted, e.fits ? "yes" : "no");
  if (!e.divergence) return text;
  const Divergence& d = *e.divergence;
  const bool whole = d.rule == Rule::kOtherModel || d.rule == Rule::kOtherComputeType;
  if (whole) {  // no single token is the reason
    return text + fmt::format("why not more: {}: nothing of the context can be reused\n  {}\n",
                              RuleName(d.rule), d.detail);
  }
  return text + fmt::format("why not more: {}, at token {}: had {}, wants {}\n  {}\n",
                            RuleName(d.rule), d.position, Quoted(d.had, d.had_text),
                            Quoted(d.wants, d.wants_text), d.detail);
}

Status RunExplain(const ExplainArgs& args, const Context& context) {
  ProgressView progress(context.terminals);
  ModelFlags model_flags = args.model;
  EngineFlags engine_flags = args.engine;
  std::optional<ContextDetails> saved;
  HeldContext held;  // until its session is loaded
  if (!args.context.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
    GYRATOR_ASSIGN_OR_RETURN(held, HoldContext(home.contexts, args.context));
    GYRATOR_ASSIGN_OR_RETURN(saved, ShowContext(held.folder));
    AdoptSaved(*saved, &model_flags, &engine_flags);
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(model_flags, &progress));
  if (saved && engine_flags.context == 0)
    engine_flags.context = SavedCapacity(*saved, model->info());
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                           OpenEngine(model, engine_flags, model_flags.threads, &progress));
  Asked asked;
  if (saved) {
    GYRATOR_ASSIGN_OR_RETURN(asked, Load(args.context, *saved, *engine));
  } else {
    GYRATOR_ASSIGN_OR_RETURN(asked.session, engine->NewSession({}));
  }
  GYRATOR_ASSIGN_OR_RETURN(Explanation explanation, Explained(args, *engine, *asked.session));
  if (asked.mismatch) {
    const std::optional<Divergence> wanted = explanation.divergence;
    explanation.divergence = asked.mismatch;
    if (wanted) {
      explanation.divergence->wants = wanted->wants;
      explanation.divergence->wants_text = wanted->wants_text;
    }
  }
  progress.Clear();
  if (!context.json) return PrintText(Printable(ExplanationText(explanation)));
  return PrintJson(ExplanationJson(explanation));
}

}  // namespace gyrator::cli
