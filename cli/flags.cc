#include "cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <sstream>
#include <string_view>

#include "cli/arguments.h"
#include "cli/flag_values.h"

namespace gyrator::cli {

namespace {

const std::vector<std::string> kComputeNames = {"f32", "bf16", "int8"};
const std::vector<std::string> kKvNames = {"f32", "bf16", "f16", "int8"};
const std::vector<std::string> kOverflowNames = {"error", "message", "fifo", "sink", "score"};
const std::vector<std::string> kEvictNames = {"shift", "recompute"};
constexpr int kMibShift = 20;
constexpr uint64_t kMibMax = uint64_t{1} << 40;

// Everything that a parse writes to; text that needs a second look is kept apart.
struct Parse {
  bool json = false;
  ChatArgs chat;
  RunArgs run;
  BatchArgs batch;
  ExplainArgs explain;
  ForkArgs fork;
  StatsArgs stats;
  SaveArgs save;
  LoadArgs load;
  ShowArgs show;
  VerifyArgs verify;
  RmArgs rm;
  TokenizeArgs tokenize;
  TemplateArgs chat_template;
  ModelInfoArgs model_info;
  ModelVerifyArgs model_verify;
  BenchArgs bench;
  std::string compute, kv_dtype, kv_budget, tokens, bench_what, prefill, depths;
  std::string overflow, evict_mode, swap;
  std::optional<int32_t> keep;
  uint64_t cache_mib = 0;
  std::vector<std::string> logit_bias, variables;
};

// Whether `text` is an integer of 64 bits; the parser's own conversion rounds those beyond.
std::string CheckInteger(const std::string& text) {
  int64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_large = end.ec == std::errc::result_out_of_range;
  return is_large ? "an integer of 64 bits expected, found " + text : std::string();
}

void AddModelPath(CLI::App* app, std::string* model, std::string* tokenizer_pre) {
  app->add_option("-m,--model", *model,
                  "Hugging Face folder or GGUF file (default: the shipped model)");
  app->add_option("--tokenizer-pre", *tokenizer_pre,
                  "how a GGUF file's text is cut where it does not say: llama-bpe, qwen2, gpt-2 "
                  "and others");
}

void AddModel(CLI::App* app, ModelFlags* flags, Parse* parse) {
  AddModelPath(app, &flags->model, &flags->tokenizer_pre);
  app->add_option("--compute", parse->compute,
                  "arithmetic of the products: f32, bf16, int8 (default: what "
                  "suits the file)")
      ->check(CLI::IsMember(kComputeNames));
  app->add_option("--isa", flags->isa, "instruction set: auto, ref, avx2, avx512, amx");
  app->add_option("-t,--threads", flags->threads, "threads (default: one a core)")
      ->check(CLI::Range(0, 1024));
  app->add_flag("--no-repack", flags->no_repack,
                "leave the weights as they are stored: saves the memory of a copy, and is slow");
}

void AddEngine(CLI::App* app, EngineFlags* flags, Parse* parse) {
  app->add_option("-c,--ctx-size", flags->context,
                  "capacity of the conversation in tokens (default: the model's, at most 4096)")
      ->check(CLI::Range(0, 1 << 30));
  app->add_option("-b,--batch-size", flags->batch_rows,
                  "most tokens that are computed in one pass (512)")
      ->check(CLI::Range(1, 1 << 20));
  app->add_option("--kv-dtype", parse->kv_dtype,
                  "how keys and values are kept: f32, bf16, f16, int8")
      ->check(CLI::IsMember(kKvNames));
  app->add_option("--kv-budget", parse->kv_budget,
                  "bytes for keys and values, e.g. 512M (default: as many as the capacity needs)");
  app->add_option("--cache-ram", parse->cache_mib,
                  "most MiB of cached prefixes, 0: as large as the pool (0)")
      ->check(CLI::Range(uint64_t{0}, kMibMax));
  app->add_flag("--no-cache", flags->no_cache,
                "compute the whole prefix again for every token: slow, for checking the cache");
}

void AddWindow(CLI::App* app, const std::string& standard, Parse* parse) {
  app->add_option("--overflow", parse->overflow,
                  "what goes when the capacity is full: error (nothing), message (the oldest "
                  "turns), fifo, sink, score (default: " +
                      standard + ")")
      ->check(CLI::IsMember(kOverflowNames));
  app->add_option(
         "--evict-mode", parse->evict_mode,
         "how the tokens behind the gap go on: shift (they move up), recompute (default: shift)")
      ->check(CLI::IsMember(kEvictNames));
  app->add_option("--keep", parse->keep,
                  "first tokens that never leave, of fifo, sink and score (4)")
      ->check(CLI::Range(0, 1 << 30));
}

void AddSampler(CLI::App* app, SamplerFlags* flags, Parse* parse) {
  app->add_option("--temp,--temperature", flags->temperature, "temperature, 0: greedy (0.8)");
  app->add_option("--top-k", flags->top_k, "keep the k likeliest, 0: off (40)");
  app->add_option("--top-p", flags->top_p, "keep this much probability, 1: off (0.95)");
  app->add_option("--min-p", flags->min_p, "least share of the likeliest, 0: off (0.05)");
  app->add_option("--typical", flags->typical_p, "locally typical sampling, 1: off (1.0)");
  app->add_option("--repeat-penalty", flags->repeat_penalty, "1: off (1.0)");
  app->add_option("--repeat-last-n", flags->repeat_last_n,
                  "tokens looked at, 0: off, -1: all (64)");
  app->add_option("--presence-penalty", flags->presence_penalty, "0: off (0.0)");
  app->add_option("--frequency-penalty", flags->frequency_penalty, "0: off (0.0)");
  app->add_option("-l,--logit-bias", parse->logit_bias, "TOKEN_ID(+/-)BIAS, e.g. 15043+1")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("-s,--seed", flags->seed, "seed of the sampler, -1: a random one (-1)")
      ->check(CheckInteger)
      ->check(CLI::Range(int64_t{-1}, std::numeric_limits<int64_t>::max()));
}

void AddTokensMax(CLI::App* app, int32_t* tokens_max) {
  app->add_option("-n,--predict,--n-predict", *tokens_max, "most tokens of a reply, -1: no limit")
      ->check(CLI::Range(-1, 1 << 30));
}

void AddGenerate(CLI::App* app, GenerateFlags* flags) {
  AddTokensMax(app, &flags->tokens_max);
  app->add_flag("--ignore-eos", flags->ignore_eos, "go on after the end of the reply");
  app->add_option("--system-prompt", flags->system_prompt,
                  "first message of a new conversation (-sys)");
  app->add_option("--chat-template-kwargs", flags->template_variables,
                  "JSON object of variables for the chat template, e.g. "
                  "'{\"enable_thinking\":false}'");
}

CLI::App* AddCommand(CLI::App* app, const std::string& name, const std::string& what,
                     Parse* parse) {
  CLI::App* command = app->add_subcommand(name, what);
  command->add_flag("--json", parse->json, "print JSON");
  return command;
}

void AddTalking(CLI::App* app, Parse* parse) {
  CLI::App* chat = AddCommand(app, "chat", "talk; each line is a turn", parse);
  AddModel(chat, &parse->chat.model, parse);
  AddEngine(chat, &parse->chat.engine, parse);
  AddWindow(chat, "message", parse);
  AddSampler(chat, &parse->chat.sampler, parse);
  AddGenerate(chat, &parse->chat.generate);
  chat->add_option("--context", parse->chat.context, "resume NAME if it exists, and keep it saved");
  chat->add_flag("--drop-owed", parse->chat.drop_owed,
                 "take back a line of the context that has no reply yet");

  CLI::App* run = AddCommand(app, "run", "one reply to one prompt", parse);
  AddModel(run, &parse->run.model, parse);
  AddEngine(run, &parse->run.engine, parse);
  AddWindow(run, "error", parse);
  AddSampler(run, &parse->run.sampler, parse);
  AddGenerate(run, &parse->run.generate);
  CLI::Option_group* input = run->add_option_group("input", "what is continued");
  input->add_option("-p,--prompt", parse->run.prompt, "what the user says");
  input->add_option("--tokens", parse->tokens, "token ids, e.g. 5,17,3 (raw)");
  input->require_option(1);
  run->add_flag("--raw", parse->run.raw, "the prompt as it stands: no chat template, no BOS");
  run->add_option("--dump-logits", parse->run.dump_logits,
                  "write float32 [steps, vocab] of every sampled step to FILE.npy");
  run->add_flag("--logits-all", parse->run.logits_all, "with the rows of the prompt before them");
}

void AddBatch(CLI::App* app, Parse* parse) {
  BatchArgs* args = &parse->batch;
  CLI::App* batch = AddCommand(app, "batch", "a reply to each line of a file of requests", parse);
  batch->add_option("-i,--in", args->in, "chat completion bodies, one a line; -: standard input")
      ->required();
  batch->add_option("-o,--out", args->out, "file of the replies (default: standard output)");
  batch->add_option("--parallel", args->parallel, "requests that run at once (4; -np)")
      ->check(CLI::Range(1, 1024));
  batch->add_flag("--ordered", args->ordered, "replies in the order of the requests");
  AddModel(batch, &args->model, parse);
  AddEngine(batch, &args->engine, parse);
  AddWindow(batch, "error", parse);
  batch->add_option("--swap", parse->swap,
                    "bytes on disk for requests and cached prefixes that do not fit, e.g. 2G "
                    "(default: none)");
  batch->add_option("--swap-dir", args->swap_directory, "folder for them; must exist");
  AddSampler(batch, &args->sampler, parse);
  AddTokensMax(batch, &args->tokens_max);
}

void AddContexts(CLI::App* app, Parse* parse) {
  CLI::App* save = AddCommand(app, "save", "copy a context's current state to a new folder", parse);
  save->add_option("NAME", parse->save.name, "the context")->required();
  save->add_option("--to", parse->save.to, "folder that takes the copy (default: the contexts)");
  CLI::App* load = AddCommand(app, "load", "take in a saved folder", parse);
  load->add_option("DIR", parse->load.folder, "the folder")->required();
  load->add_option("--as", parse->load.as, "name for it");
  AddCommand(app, "ls", "list contexts", parse);
  CLI::App* show = AddCommand(app, "show", "what a context holds", parse);
  show->add_option("CONTEXT", parse->show.context, "NAME or PATH")->required();
  CLI::App* verify = AddCommand(app, "verify", "check every byte of a context", parse);
  verify->add_option("CONTEXT", parse->verify.context, "PATH or NAME")->required();
  CLI::App* rm = AddCommand(app, "rm", "remove contexts", parse);
  rm->add_option("NAME", parse->rm.names, "contexts")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddLooks(CLI::App* app, Parse* parse) {
  CLI::App* explain =
      AddCommand(app, "explain", "what a message would reuse, and why no more", parse);
  AddModel(explain, &parse->explain.model, parse);
  AddEngine(explain, &parse->explain.engine, parse);
  explain->add_option("--context", parse->explain.context, "the saved conversation");
  CLI::Option* prompt =
      explain->add_option("-p,--prompt", parse->explain.prompt, "what the user says next");
  explain->add_flag("--raw", parse->explain.raw, "the prompt is all of the text, as it stands")
      ->needs(prompt);
  CLI::App* fork = AddCommand(app, "fork", "a second context that begins as another does", parse);
  fork->add_option("NAME", parse->fork.name, "the context")->required();
  fork->add_option("NEW", parse->fork.as, "name of the second")->required();
  fork->add_option("--messages", parse->fork.messages, "keep this many messages (default: all)")
      ->check(CLI::Range(0, 1 << 30));
  fork->add_option("-s,--seed", parse->fork.seed, "another stream of draws")
      ->check(CheckInteger)
      ->check(CLI::Range(int64_t{0}, std::numeric_limits<int64_t>::max()));
  AddModel(fork, &parse->fork.model, parse);
  CLI::App* stats = AddCommand(app, "stats", "figures of contexts, from their files", parse);
  stats->add_option("--context", parse->stats.context, "this one (default: all)");
}

void AddText(CLI::App* app, Parse* parse) {
  CLI::App* tokenize = AddCommand(app, "tokenize", "token ids of each line, as JSON arrays", parse);
  AddModelPath(tokenize, &parse->tokenize.model, &parse->tokenize.tokenizer_pre);
  tokenize->add_option("-f,--text-file", parse->tokenize.text_file, "the text, -: standard input")
      ->required();
  tokenize->add_flag("--add-special", parse->tokenize.add_special, "with the model's BOS and EOS");

  CLI::App* render = AddCommand(app, "template", "the prompt that messages become", parse);
  AddModelPath(render, &parse->chat_template.model, &parse->chat_template.tokenizer_pre);
  render->add_option("--messages", parse->chat_template.messages_file, "JSON array of messages")
      ->required();
  render->add_option("--tools", parse->chat_template.tools_file, "JSON array of tool schemas");
  render->add_option("--set", parse->variables, "NAME=JSON: a variable of the template")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddModels(CLI::App* app, Parse* parse) {
  CLI::App* model = app->add_subcommand("model", "what a model is");
  model->require_subcommand(1);
  CLI::App* info = AddCommand(model, "info", "family, sizes, numbers", parse);
  AddModel(info, &parse->model_info.model, parse);
  CLI::App* verify = AddCommand(model, "verify", "hash the weights again", parse);
  AddModel(verify, &parse->model_verify.model, parse);

  CLI::App* bench = AddCommand(app, "bench", "speed, and its share of the machine's limits", parse);
  bench
      ->add_option("WHAT", parse->bench_what,
                   "limits: measure the machine alone; batch: many sessions")
      ->check(CLI::IsMember({"limits", "batch"}));
  AddModel(bench, &parse->bench.model, parse);
  AddEngine(bench, &parse->bench.engine, parse);
  bench->add_option("-p,--n-prompt", parse->prefill,
                    "prompt lengths, 0: none (512; batch: 512,2048)");
  bench->add_option("-n,--n-gen", parse->bench.decode_tokens, "tokens to generate, 0: none (32)")
      ->check(CLI::Range(0, 1 << 20));
  bench->add_option("-d,--n-depth", parse->depths, "depths to generate at (0; batch: 256)");
  bench
      ->add_option("-r,--repetitions", parse->bench.repetitions,
                   "medians of at least this many (3)")
      ->check(CLI::Range(1, 1000));
  bench
      ->add_option("--seconds", parse->bench.seconds,
                   "repeat each test until its runs took this long (2; not of a batch)")
      ->check(CLI::Range(0.0, 3600.0));
  bench->add_option("--parallel", parse->bench.parallel, "sessions of a batch (16; -np)")
      ->check(CLI::Range(1, 1024));
  bench
      ->add_option("--n-long", parse->bench.prompt_long,
                   "batch: a prompt beside which a session decodes (8192)")
      ->check(CLI::Range(1, 1 << 30));
}

Status FinishWindow(Parse* parse) {
  const WindowFlags flags = {.overflow = OverflowFromName(parse->overflow),
                             .mode = EvictModeFromName(parse->evict_mode),
                             .keep = parse->keep};
  parse->chat.window = parse->run.window = parse->batch.window = flags;
  const bool no_cache =
      parse->chat.engine.no_cache || parse->run.engine.no_cache || parse->batch.engine.no_cache;
  if (no_cache && flags.overflow.value_or(Overflow::kError) != Overflow::kError) {
    return Status::InvalidArgument("--no-cache: nothing to evict from; only --overflow error");
  }
  return {};
}

Status FinishBatch(Parse* parse) {
  BatchArgs& batch = parse->batch;
  if (!parse->swap.empty()) {
    GYRATOR_RETURN_IF_ERROR(ParseBytes("--swap", parse->swap, &batch.swap_budget));
  }
  if ((batch.swap_budget > 0) == batch.swap_directory.empty()) {
    return Status::InvalidArgument("--swap BYTES and --swap-dir DIR: both or none expected");
  }
  return {};
}

Status FinishBench(Parse* parse) {
  if (parse->bench_what == "limits") parse->bench.what = BenchWhat::kLimits;
  if (parse->bench_what == "batch") parse->bench.what = BenchWhat::kBatch;
  const bool batch = parse->bench.what == BenchWhat::kBatch;
  if (parse->prefill.empty()) parse->prefill = batch ? "512,2048" : "512";
  if (parse->depths.empty()) parse->depths = batch ? "256" : "0";
  GYRATOR_RETURN_IF_ERROR(ParseList("--n-prompt", parse->prefill, &parse->bench.prefill));
  return ParseList("--n-depth", parse->depths, &parse->bench.depths);
}

Status FinishRun(Parse* parse) {
  RunArgs& run = parse->run;
  GYRATOR_RETURN_IF_ERROR(ParseList("--tokens", parse->tokens, &run.tokens));
  const bool raw = run.raw || !run.tokens.empty();
  for (const auto& [flag, text] :
       {std::pair("--system-prompt", &run.generate.system_prompt),
        std::pair("--chat-template-kwargs", &run.generate.template_variables)}) {
    if (!raw || text->empty()) continue;
    return Status::InvalidArgument(std::string(flag) +
                                   " needs the chat template: not with --raw, --tokens");
  }
  if (run.logits_all && run.dump_logits.empty()) {
    return Status::InvalidArgument("--logits-all needs --dump-logits FILE.npy");
  }
  return {};
}

// Turns the texts that were kept apart into values.
Status FinishParse(Parse* parse) {
  GYRATOR_RETURN_IF_ERROR(FinishWindow(parse));
  GYRATOR_RETURN_IF_ERROR(FinishBatch(parse));
  GYRATOR_RETURN_IF_ERROR(FinishBench(parse));
  GYRATOR_RETURN_IF_ERROR(FinishRun(parse));
  for (const GenerateFlags* flags : {&parse->chat.generate, &parse->run.generate}) {
    GYRATOR_RETURN_IF_ERROR(CheckVariables(flags->template_variables));
  }
  if (parse->chat.drop_owed && parse->chat.context.empty()) {
    return Status::InvalidArgument("--drop-owed needs --context NAME: whose line is to be dropped");
  }
  for (ModelFlags* flags : {&parse->chat.model, &parse->run.model, &parse->batch.model,
                            &parse->explain.model, &parse->fork.model, &parse->model_info.model,
                            &parse->model_verify.model, &parse->bench.model}) {
    flags->compute = ComputeOf(parse->compute);
  }
  uint64_t kv_budget = 0;
  if (!parse->kv_budget.empty()) {
    GYRATOR_RETURN_IF_ERROR(ParseBytes("--kv-budget", parse->kv_budget, &kv_budget));
  }
  for (EngineFlags* flags : {&parse->chat.engine, &parse->run.engine, &parse->batch.engine,
                             &parse->explain.engine, &parse->bench.engine}) {
    flags->kv_dtype = CacheTypeFromName(parse->kv_dtype);
    flags->kv_budget = kv_budget;
    flags->cache_budget = parse->cache_mib << kMibShift;
  }
  for (const std::string& text : parse->logit_bias) {
    GYRATOR_ASSIGN_OR_RETURN(const auto bias, ParseBias(text));
    parse->chat.sampler.logit_bias.push_back(bias);
    parse->run.sampler.logit_bias.push_back(bias);
    parse->batch.sampler.logit_bias.push_back(bias);
  }
  for (const std::string& text : parse->variables) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Status::InvalidArgument("--set: NAME=JSON expected, found '" + text + "'");
    }
    parse->chat_template.variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return {};
}

// A script whose variable is unset gives an empty value: a name or a file that is none must not be
// taken for a flag that was left out. Words may be empty.
void RefuseEmptyValues(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) {
    const bool words = option->check_lname("prompt") || option->check_lname("system-prompt");
    if (words || option->get_items_expected_max() == 0) continue;
    option->check([](const std::string& value) {
      return value.empty() ? std::string("a value expected, found an empty one") : std::string();
    });
  }
  for (CLI::App* child : app->get_subcommands([](const CLI::App*) { return true; })) {
    RefuseEmptyValues(child);
  }
}

void AddFlags(const CLI::App& app, std::map<std::string, bool>* flags) {
  for (const CLI::Option* option : app.get_options()) {
    const bool value = option->get_items_expected_max() > 0;
    for (const std::string& name : option->get_snames()) (*flags)["-" + name] = value;
    for (const std::string& name : option->get_lnames()) (*flags)["--" + name] = value;
  }
}

CommandWords WordsOf(const CLI::App& app, const std::string& path) {
  CommandWords words{.path = path, .flags = {}, .then = {}};
  AddFlags(app, &words.flags);
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (child->get_name().empty()) {  // a group of options
      AddFlags(*child, &words.flags);
    } else {
      words.then.emplace(child->get_name(), WordsOf(*child, path + " " + child->get_name()));
    }
  }
  return words;
}

// What was left over when all flags had their values.
Status Unexpected(const CLI::App& app) {
  std::string words;
  for (const std::string& word : app.remaining(true)) {
    words += (words.empty() ? "'" : ", '") + word + "'";
  }
  return Status::InvalidArgument("not expected: " + words + "; gyrator --help tells more");
}

Args Chosen(const CLI::App& app, Parse&& parse) {
  const std::string name = app.get_subcommands()[0]->get_name();
  if (name == "chat") return std::move(parse.chat);
  if (name == "run") return std::move(parse.run);
  if (name == "batch") return std::move(parse.batch);
  if (name == "explain") return std::move(parse.explain);
  if (name == "fork") return std::move(parse.fork);
  if (name == "stats") return std::move(parse.stats);
  if (name == "save") return std::move(parse.save);
  if (name == "load") return std::move(parse.load);
  if (name == "ls") return LsArgs();
  if (name == "show") return std::move(parse.show);
  if (name == "verify") return std::move(parse.verify);
  if (name == "rm") return std::move(parse.rm);
  if (name == "tokenize") return std::move(parse.tokenize);
  if (name == "template") return std::move(parse.chat_template);
  if (name == "bench") return std::move(parse.bench);
  const std::string what = app.get_subcommands()[0]->get_subcommands()[0]->get_name();
  if (what == "info") return std::move(parse.model_info);
  return std::move(parse.model_verify);
}

}  // namespace

Result<Invocation> ParseCommandLine(int argc, const char* const* argv) {
  Parse parse;
  CLI::App app("Gyrator: conversations with a local model that survive their process.", "gyrator");
  app.set_version_flag("--version", "gyrator " GYRATOR_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  AddTalking(&app, &parse);
  AddBatch(&app, &parse);
  AddContexts(&app, &parse);
  AddLooks(&app, &parse);
  AddText(&app, &parse);
  AddModels(&app, &parse);
  RefuseEmptyValues(&app);
  GYRATOR_ASSIGN_OR_RETURN(std::vector<std::string> arguments,
                           CheckArguments(WordsOf(app, app.get_name()), argc, argv));
  std::reverse(arguments.begin(), arguments.end());  // the parser takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ExtrasError&) {
    return Unexpected(app);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    if (app.exit(error, out, err) == 0) return Invocation{TextArgs{out.str()}, false};
    return Status::InvalidArgument(std::string(error.what()) + "; gyrator --help tells more");
  }
  GYRATOR_RETURN_IF_ERROR(FinishParse(&parse));
  const bool json = parse.json;
  return Invocation{Chosen(app, std::move(parse)), json};
}

bool AsksForJson(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

}  // namespace gyrator::cli
