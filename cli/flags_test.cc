#include "cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyrator::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<Invocation> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "gyrator");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

template <class T>
T Parsed(std::vector<const char*> arguments) {
  Result<Invocation> invocation = Parse(std::move(arguments));
  EXPECT_TRUE(invocation.ok()) << invocation.status().message();
  if (!invocation.ok() || !std::holds_alternative<T>(invocation->args)) {
    ADD_FAILURE() << "another command";
    return T();
  }
  return std::get<T>(invocation->args);
}

// The message of a refused command line.
std::string Refused(std::vector<const char*> arguments) {
  const Result<Invocation> invocation = Parse(std::move(arguments));
  EXPECT_FALSE(invocation.ok());
  EXPECT_EQ(invocation.status().code(), Code::kInvalidArgument);
  return invocation.status().message();
}

TEST(Flags, DefaultsAreThoseOfLlamaCpp) {
  const ChatArgs chat = Parsed<ChatArgs>({"chat"});
  EXPECT_EQ(chat.generate.tokens_max, -1);
  EXPECT_EQ(chat.engine.context, 0);
  EXPECT_EQ(chat.engine.batch_rows, 512);
  EXPECT_FALSE(chat.sampler.any());
  EXPECT_EQ(chat.sampler.Over({}), SamplerOptions());
}

TEST(Flags, ASeedBeyond64BitsIsRefused) {
  for (const char* seed : {"9223372036854775808", "99999999999999999999"}) {
    EXPECT_THAT(Refused({"chat", "-s", seed}), HasSubstr(seed));
    EXPECT_THAT(Refused({"fork", "a", "b", "-s", seed}), HasSubstr(seed));
  }
  EXPECT_EQ(std::numeric_limits<int64_t>::max(),
            Parsed<ChatArgs>({"chat", "-s", "9223372036854775807"}).sampler.seed);
}

TEST(Flags, AnEmptyValueIsNoValue) {
  for (const std::vector<const char*>& line : {std::vector<const char*>{"chat", "--context", ""},
                                               {"chat", "-m", ""},
                                               {"run", "--tokens", ""},
                                               {"run", "--raw", "--tokens", ""},
                                               {"run", "-p", "x", "--dump-logits", ""},
                                               {"load", "d", "--as", ""},
                                               {"save", "a", "--to", ""},
                                               {"batch", "--in", "f", "-o", ""},
                                               {"explain", "--context", ""},
                                               {"bench", "-p", ""},
                                               {"fork", "a", ""},
                                               {"rm", ""},
                                               {"tokenize", "-f", ""}}) {
    EXPECT_THAT(Refused(line), HasSubstr("empty")) << line[0] << line[1];
  }
  EXPECT_EQ("", Parsed<RunArgs>({"run", "-p", ""}).prompt);
  EXPECT_EQ("", Parsed<ChatArgs>({"chat", "--system-prompt", ""}).generate.system_prompt);
}

TEST(Flags, EverySamplerFlagReachesItsField) {
  const RunArgs run = Parsed<RunArgs>({"run",   "-p",
                                       "x",     "--temp",
                                       "0.5",   "--top-k",
                                       "7",     "--top-p",
                                       "0.9",   "--min-p",
                                       "0.1",   "--typical",
                                       "0.8",   "--repeat-penalty",
                                       "1.1",   "--repeat-last-n",
                                       "-1",    "--presence-penalty",
                                       "0.2",   "--frequency-penalty",
                                       "0.3",   "-l",
                                       "5+1.5", "--logit-bias",
                                       "7-inf", "--seed",
                                       "42"});
  const SamplerOptions options = run.sampler.Over({});
  EXPECT_EQ(options.temperature, 0.5f);
  EXPECT_EQ(options.top_k, 7);
  EXPECT_EQ(options.top_p, 0.9f);
  EXPECT_EQ(options.min_p, 0.1f);
  EXPECT_EQ(options.typical_p, 0.8f);
  EXPECT_EQ(options.repeat_penalty, 1.1f);
  EXPECT_EQ(options.penalty_last_n, -1);
  EXPECT_EQ(options.presence_penalty, 0.2f);
  EXPECT_EQ(options.frequency_penalty, 0.3f);
  EXPECT_EQ(options.seed, 42u);
  ASSERT_EQ(options.logit_bias.size(), 2u);
  EXPECT_EQ(options.logit_bias[0], (std::pair<TokenId, float>(5, 1.5f)));
  EXPECT_EQ(options.logit_bias[1].second, -std::numeric_limits<float>::infinity());
}

TEST(Flags, WhatIsNotGivenKeepsItsSavedValue) {
  const ChatArgs chat = Parsed<ChatArgs>({"chat", "--context", "a", "--top-k", "3"});
  SamplerOptions saved;
  saved.temperature = 0.25f;
  saved.seed = 9;
  const SamplerOptions options = chat.sampler.Over(saved);
  EXPECT_EQ(options.top_k, 3);
  EXPECT_EQ(options.temperature, 0.25f);
  EXPECT_EQ(options.seed, 9u);
  EXPECT_EQ(chat.context, "a");
}

TEST(Flags, RunTakesAPromptOrTokens) {
  EXPECT_EQ(Parsed<RunArgs>({"run", "--prompt", ""}).prompt, "");
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "-x y"}).prompt, "-x y");
  EXPECT_THAT(Parsed<RunArgs>({"run", "--tokens", "5,17,3"}).tokens, ElementsAre(5, 17, 3));
  EXPECT_THAT(Refused({"run"}), HasSubstr("--prompt"));
  EXPECT_THAT(Refused({"run", "-p", "x", "--tokens", "1"}), HasSubstr("--tokens"));
  EXPECT_THAT(Refused({"run", "--tokens", "5,x"}), HasSubstr("'x'"));
  EXPECT_THAT(Refused({"run", "--tokens", "5,-2"}), HasSubstr("'-2'"));
  EXPECT_THAT(Refused({"run", "--tokens", "5,"}), HasSubstr("last comma"));
}

TEST(Flags, RunSwitches) {
  const RunArgs run = Parsed<RunArgs>({"run",
                                       "--tokens",
                                       "1",
                                       "-n",
                                       "-1",
                                       "-t",
                                       "2",
                                       "-c",
                                       "128",
                                       "-b",
                                       "64",
                                       "--no-cache",
                                       "--compute",
                                       "int8",
                                       "--kv-dtype",
                                       "bf16",
                                       "--isa",
                                       "ref",
                                       "--no-repack",
                                       "--dump-logits",
                                       "f.npy",
                                       "--logits-all",
                                       "--ignore-eos",
                                       "-m",
                                       "m.gguf"});
  EXPECT_EQ(run.model.model, "m.gguf");
  EXPECT_EQ(run.model.compute, ComputeType::kInt8);
  EXPECT_EQ(run.model.isa, "ref");
  EXPECT_TRUE(run.model.no_repack);
  EXPECT_EQ(run.model.threads, 2);
  EXPECT_EQ(run.engine.context, 128);
  EXPECT_EQ(run.engine.batch_rows, 64);
  EXPECT_EQ(run.engine.kv_dtype, DType::kBF16);
  EXPECT_TRUE(run.engine.no_cache);
  EXPECT_TRUE(run.logits_all);
  EXPECT_TRUE(run.generate.ignore_eos);
  EXPECT_EQ(run.generate.tokens_max, -1);
}

TEST(Flags, KeysAndValuesAreKeptInFourTypes) {
  const std::pair<const char*, DType> types[] = {
      {"f32", DType::kF32}, {"bf16", DType::kBF16}, {"f16", DType::kF16}, {"int8", DType::kI8}};
  for (const auto& [name, type] : types) {
    EXPECT_EQ(Parsed<ChatArgs>({"chat", "--kv-dtype", name}).engine.kv_dtype, type) << name;
    EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "--kv-dtype", name}).engine.kv_dtype, type);
    EXPECT_EQ(Parsed<BenchArgs>({"bench", "--kv-dtype", name}).engine.kv_dtype, type);
    EXPECT_EQ(CacheTypeName(type), name);
  }
}

TEST(Flags, TheLastOfAFlagCounts) {
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "--temp", "1", "--temp", "0"}).sampler.temperature,
            0);
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "-l", "1+1", "-l", "2+1"}).sampler.logit_bias.size(),
            2u);
}

TEST(Flags, SystemPromptHasLlamaCppsShortName) {
  EXPECT_EQ(Parsed<ChatArgs>({"chat", "-sys", "Be brief."}).generate.system_prompt, "Be brief.");
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "-sys"}).prompt, "-sys");
  EXPECT_THAT(Refused({"run", "--raw", "-p", "x", "-sys", "y"}), HasSubstr("--system-prompt"));
}

TEST(Flags, BadValuesAreRefused) {
  EXPECT_THAT(Refused({"chat", "--compute", "f64"}), HasSubstr("--compute"));
  EXPECT_THAT(Refused({"chat", "--kv-dtype", "i8"}), HasSubstr("--kv-dtype"));
  EXPECT_THAT(Refused({"chat", "-n", "many"}), HasSubstr("many"));
  EXPECT_THAT(Refused({"chat", "-n", "-2"}), HasSubstr("-2"));
  EXPECT_THAT(Refused({"chat", "-b", "0"}), HasSubstr("batch-size"));
  EXPECT_THAT(Refused({"chat", "-l", "x+1"}), HasSubstr("x+1"));
  EXPECT_THAT(Refused({"chat", "-l", "5"}), HasSubstr("TOKEN_ID"));
  EXPECT_THAT(Refused({"run", "-p", "x", "--logits-all"}), HasSubstr("--dump-logits"));
  EXPECT_THAT(Refused({"template", "--messages", "f", "--set", "x"}), HasSubstr("NAME=JSON"));
  EXPECT_THAT(Refused({"dance"}), HasSubstr("dance"));
  EXPECT_THAT(Refused({}), HasSubstr("subcommand"));
  EXPECT_THAT(Refused({"chat", "--nope"}), HasSubstr("--nope"));
}

TEST(Flags, OtherCommands) {
  EXPECT_EQ(Parsed<SaveArgs>({"save", "a", "--to", "d"}).to, "d");
  EXPECT_EQ(Parsed<LoadArgs>({"load", "d", "--as", "b"}).as, "b");
  EXPECT_EQ(Parsed<ShowArgs>({"show", "a"}).context, "a");
  EXPECT_EQ(Parsed<VerifyArgs>({"verify", "a"}).context, "a");
  EXPECT_THAT(Parsed<RmArgs>({"rm", "a", "b"}).names, ElementsAre("a", "b"));
  EXPECT_EQ(Parsed<TokenizeArgs>({"tokenize", "-m", "m", "--text-file", "f"}).text_file, "f");
  const TemplateArgs render = Parsed<TemplateArgs>(
      {"template", "--messages", "f", "--set", "a=[1,2]", "--set", "b=\"x=y\""});
  EXPECT_THAT(render.variables, ElementsAre(std::pair<std::string, std::string>("a", "[1,2]"),
                                            std::pair<std::string, std::string>("b", "\"x=y\"")));
  EXPECT_EQ(Parsed<ModelInfoArgs>({"model", "info", "-m", "m"}).model.model, "m");
  EXPECT_EQ(Parsed<ModelVerifyArgs>({"model", "verify"}).model.model, "");
  EXPECT_EQ(Parsed<BenchArgs>({"bench", "limits"}).what, BenchWhat::kLimits);
  EXPECT_THAT(Parsed<BenchArgs>({"bench", "-p", "64,128", "-d", "0,256"}).prefill,
              ElementsAre(64, 128));
}

TEST(Flags, LooksAtContexts) {
  const ExplainArgs explain =
      Parsed<ExplainArgs>({"explain", "--context", "a", "-p", "x", "--compute", "f32", "--kv-dtype",
                           "f16", "-c", "64", "-m", "m"});
  EXPECT_EQ(explain.context, "a");
  EXPECT_EQ(explain.prompt, "x");
  EXPECT_FALSE(explain.raw);
  EXPECT_EQ(explain.model.compute, ComputeType::kF32);
  EXPECT_EQ(explain.model.model, "m");
  EXPECT_EQ(explain.engine.kv_dtype, DType::kF16);
  EXPECT_EQ(explain.engine.context, 64);
  EXPECT_FALSE(Parsed<ExplainArgs>({"explain"}).prompt.has_value());
  EXPECT_TRUE(Parsed<ExplainArgs>({"explain", "--raw", "-p", "x"}).raw);
  EXPECT_THAT(Refused({"explain", "--raw"}), HasSubstr("--raw"));
  const ForkArgs fork = Parsed<ForkArgs>({"fork", "a", "b", "--messages", "3", "--seed", "9"});
  EXPECT_EQ(fork.name, "a");
  EXPECT_EQ(fork.as, "b");
  EXPECT_EQ(fork.messages, 3);
  EXPECT_EQ(fork.seed, 9);
  EXPECT_FALSE(Parsed<ForkArgs>({"fork", "a", "b"}).seed.has_value());
  EXPECT_THAT(Refused({"fork", "a"}), HasSubstr("NEW"));
  EXPECT_THAT(Refused({"fork", "a", "b", "--messages", "-1"}), HasSubstr("--messages"));
  EXPECT_EQ(Parsed<StatsArgs>({"stats"}).context, "");
  EXPECT_EQ(Parsed<StatsArgs>({"stats", "--context", "a"}).context, "a");
}

TEST(Flags, ABatchHasAFileOfRequests) {
  const BatchArgs batch = Parsed<BatchArgs>({"batch", "--in", "f.jsonl"});
  EXPECT_EQ(batch.in, "f.jsonl");
  EXPECT_EQ(batch.out, "");
  EXPECT_EQ(batch.parallel, 4);
  EXPECT_EQ(batch.tokens_max, -1);
  EXPECT_FALSE(batch.ordered);
  const BatchArgs given = Parsed<BatchArgs>(
      {"batch", "-i", "-",          "-o",          "out",       "-np",  "9",      "-n",
       "12",    "-c", "256",        "--kv-budget", "3M",        "-l",   "5+1",    "--ordered",
       "-m",    "m",  "--kv-dtype", "f16",         "--compute", "int8", "--temp", "0"});
  EXPECT_EQ(given.in, "-");
  EXPECT_EQ(given.out, "out");
  EXPECT_EQ(given.parallel, 9);
  EXPECT_EQ(given.tokens_max, 12);
  EXPECT_EQ(given.engine.context, 256);
  EXPECT_EQ(given.engine.kv_dtype, DType::kF16);
  EXPECT_EQ(given.model.model, "m");
  EXPECT_EQ(given.model.compute, ComputeType::kInt8);
  EXPECT_EQ(given.sampler.temperature, 0.0f);
  EXPECT_EQ(given.sampler.logit_bias.size(), 1u);
  EXPECT_TRUE(given.ordered);
  EXPECT_EQ(Parsed<BatchArgs>({"batch", "-i", "f", "--parallel", "7"}).parallel, 7);
  EXPECT_THAT(Refused({"batch"}), HasSubstr("--in"));
  EXPECT_THAT(Refused({"batch", "-i", "f", "-np", "0"}), HasSubstr("--parallel"));
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "-np"}).prompt, "-np");
}

TEST(Flags, TheBudgetOfThePoolHasUnits) {
  const std::pair<const char*, uint64_t> budgets[] = {{"1", 1},
                                                      {"4096", 4096},
                                                      {"3K", 3 << 10},
                                                      {"3M", 3 << 20},
                                                      {"8G", uint64_t{8} << 30},
                                                      {"17179869183G", ~uint64_t{0} << 30}};
  for (const auto& [text, bytes] : budgets) {
    EXPECT_EQ(Parsed<ChatArgs>({"chat", "--kv-budget", text}).engine.kv_budget, bytes) << text;
    EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "--kv-budget", text}).engine.kv_budget, bytes);
    EXPECT_EQ(Parsed<BatchArgs>({"batch", "-i", "x", "--kv-budget", text}).engine.kv_budget, bytes);
    EXPECT_EQ(Parsed<BenchArgs>({"bench", "--kv-budget", text}).engine.kv_budget, bytes);
  }
  EXPECT_EQ(Parsed<ChatArgs>({"chat"}).engine.kv_budget, 0u);
  for (const char* text : {"0", "M", "3T", "3k", "-1", "1.5G", "3 M", "17179869184G", "3MM"}) {
    EXPECT_THAT(Refused({"chat", "--kv-budget", text}), HasSubstr("--kv-budget")) << text;
  }
}

TEST(Flags, AWindowIsGivenByPolicyModeAndKeep) {
  const WindowOptions saved = {
      .overflow = Overflow::kFifo, .mode = EvictMode::kRecompute, .sinks = 9, .headroom = 77};
  EXPECT_EQ(Parsed<ChatArgs>({"chat"}).window.Over(saved), saved);
  EXPECT_EQ(Parsed<ChatArgs>({"chat"}).window.Over({}), WindowOptions());
  const std::pair<const char*, Overflow> policies[] = {{"error", Overflow::kError},
                                                       {"message", Overflow::kMessage},
                                                       {"fifo", Overflow::kFifo},
                                                       {"sink", Overflow::kSink},
                                                       {"score", Overflow::kScore}};
  for (const auto& [name, policy] : policies) {
    WindowOptions expected = saved;
    expected.overflow = policy;
    EXPECT_EQ(Parsed<ChatArgs>({"chat", "--overflow", name}).window.Over(saved), expected);
    EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "--overflow", name}).window.overflow, policy);
    EXPECT_EQ(Parsed<BatchArgs>({"batch", "-i", "x", "--overflow", name}).window.overflow, policy);
  }
  const RunArgs run =
      Parsed<RunArgs>({"run", "-p", "x", "--evict-mode", "recompute", "--keep", "0"});
  EXPECT_EQ(run.window.mode, EvictMode::kRecompute);
  EXPECT_EQ(run.window.Over({}).sinks, 0);
  EXPECT_EQ(Parsed<RunArgs>({"run", "-p", "x", "--evict-mode", "shift"}).window.mode,
            EvictMode::kShift);
  EXPECT_THAT(Refused({"chat", "--overflow", "oldest"}), HasSubstr("--overflow"));
  EXPECT_THAT(Refused({"chat", "--evict-mode", "move"}), HasSubstr("--evict-mode"));
  EXPECT_THAT(Refused({"chat", "--keep", "-1"}), HasSubstr("--keep"));
  EXPECT_THAT(Refused({"tokenize", "-f", "x", "--overflow", "fifo"}), HasSubstr("--overflow"));
}

TEST(Flags, WithoutACacheNothingCanBeEvicted) {
  EXPECT_THAT(Refused({"chat", "--no-cache", "--overflow", "message"}), HasSubstr("--no-cache"));
  EXPECT_THAT(Refused({"run", "-p", "x", "--no-cache", "--overflow", "fifo"}),
              HasSubstr("--no-cache"));
  EXPECT_THAT(Refused({"batch", "-i", "x", "--no-cache", "--overflow", "score"}),
              HasSubstr("--no-cache"));
  EXPECT_TRUE(Parsed<ChatArgs>({"chat", "--no-cache"}).engine.no_cache);
  EXPECT_EQ(Parsed<ChatArgs>({"chat", "--no-cache", "--overflow", "error"}).window.overflow,
            Overflow::kError);
}

TEST(Flags, ABatchHasACacheAndASwapFileOfGivenSizes) {
  const BatchArgs none = Parsed<BatchArgs>({"batch", "-i", "x"});
  EXPECT_EQ(none.engine.cache_budget, 0u);
  EXPECT_EQ(none.swap_budget, 0u);
  const BatchArgs batch = Parsed<BatchArgs>(
      {"batch", "-i", "x", "--cache-ram", "3", "--swap", "2G", "--swap-dir", "/tmp"});
  EXPECT_EQ(batch.engine.cache_budget, 3u << 20);
  EXPECT_EQ(batch.swap_budget, uint64_t{2} << 30);
  EXPECT_EQ(batch.swap_directory, "/tmp");
  EXPECT_THAT(Refused({"batch", "-i", "x", "--swap", "2G"}), HasSubstr("--swap-dir"));
  EXPECT_THAT(Refused({"batch", "-i", "x", "--swap-dir", "d"}), HasSubstr("--swap"));
  EXPECT_THAT(Refused({"batch", "-i", "x", "--swap", "2T", "--swap-dir", "d"}),
              HasSubstr("--swap"));
  EXPECT_THAT(Refused({"batch", "-i", "x", "--cache-ram", "-1"}), HasSubstr("--cache-ram"));
  EXPECT_EQ(Parsed<ChatArgs>({"chat", "--cache-ram", "2"}).engine.cache_budget, 2u << 20);
}

TEST(Flags, ABenchOfABatchHasItsOwnDefaults) {
  const BenchArgs model = Parsed<BenchArgs>({"bench"});
  EXPECT_EQ(model.what, BenchWhat::kModel);
  EXPECT_THAT(model.prefill, ElementsAre(512));
  EXPECT_THAT(model.depths, ElementsAre(0));
  EXPECT_EQ(model.seconds, 2);
  EXPECT_EQ(Parsed<BenchArgs>({"bench", "--seconds", "0.5"}).seconds, 0.5);
  const BenchArgs batch = Parsed<BenchArgs>({"bench", "batch"});
  EXPECT_EQ(batch.what, BenchWhat::kBatch);
  EXPECT_THAT(batch.prefill, ElementsAre(512, 2048));
  EXPECT_THAT(batch.depths, ElementsAre(256));
  EXPECT_EQ(batch.parallel, 16);
  EXPECT_EQ(batch.prompt_long, 8192);
  EXPECT_EQ(Parsed<BenchArgs>({"bench", "batch", "-np", "8"}).parallel, 8);
  EXPECT_EQ(Parsed<BenchArgs>({"bench", "batch", "--n-long", "99"}).prompt_long, 99);
}

TEST(Flags, JsonEverywhere) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"chat", "--json"},
                                             {"run", "-p", "x", "--json"},
                                             {"batch", "-i", "x", "--json"},
                                             {"ls", "--json"},
                                             {"model", "info", "--json"},
                                             {"bench", "limits", "--json"},
                                             {"tokenize", "-f", "x", "--json"}}) {
    const Result<Invocation> invocation = Parse(arguments);
    ASSERT_TRUE(invocation.ok());
    EXPECT_TRUE(invocation->json) << arguments[0];
  }
}

TEST(Flags, HelpAndVersionAreText) {
  EXPECT_THAT(Parsed<TextArgs>({"--version"}).text, HasSubstr("gyrator "));
  EXPECT_THAT(Parsed<TextArgs>({"--help"}).text, HasSubstr("chat"));
  EXPECT_THAT(Parsed<TextArgs>({"run", "--help"}).text, HasSubstr("--dump-logits"));
}

// One dash and more than a letter: the parser would take the letters for a value.
TEST(Flags, LlamaCppsWordsOfOneDashAreNotReadAsLetters) {
  for (const auto& [word, command] :
       std::vector<std::pair<const char*, const char*>>{{"-hf", "chat"},
                                                        {"-ngl", "chat"},
                                                        {"-cnv", "run"},
                                                        {"-st", "chat"},
                                                        {"-sysf", "chat"},
                                                        {"-mli", "chat"},
                                                        {"-ctk", "run"},
                                                        {"-tb", "batch"},
                                                        {"-co", "chat"},
                                                        {"-no-cnv", "chat"},
                                                        {"-fa", "tokenize"},
                                                        {"-np", "chat"},
                                                        {"-sys", "batch"}}) {
    const std::string message = Refused({command, word, "1"});
    EXPECT_THAT(message, HasSubstr("unknown flag '" + std::string(word) + "'")) << message;
    EXPECT_THAT(message, HasSubstr(std::string("gyrator ") + command)) << message;
  }
  EXPECT_EQ(5, Parsed<ChatArgs>({"chat", "-n5"}).generate.tokens_max);
  EXPECT_EQ(-1, Parsed<ChatArgs>({"chat", "-n-1"}).generate.tokens_max);
  EXPECT_EQ("./m", Parsed<ChatArgs>({"chat", "-m./m"}).model.model);
}

TEST(Flags, WordsThatAreValuesAreNotLookedAt) {
  EXPECT_EQ("-hf", Parsed<RunArgs>({"run", "-p", "-hf"}).prompt);
  EXPECT_EQ("--nope", Parsed<RunArgs>({"run", "--prompt", "--nope"}).prompt);
  EXPECT_EQ("-sys", Parsed<ChatArgs>({"chat", "--system-prompt", "-sys"}).generate.system_prompt);
  EXPECT_EQ("-np", Parsed<ChatArgs>({"chat", "-sys", "-np"}).generate.system_prompt);
  EXPECT_EQ("-x", Parsed<RmArgs>({"rm", "--", "-x"}).names[0]);
}

TEST(Flags, AnUnknownFlagIsNamedAlone) {
  EXPECT_THAT(Refused({"chat", "--tempp", "1"}), HasSubstr("gyrator chat: unknown flag '--tempp'"));
  EXPECT_THAT(Refused({"run", "-p", "x", "--top_k=4"}), HasSubstr("unknown flag '--top_k'"));
  EXPECT_THAT(Refused({"run", "-f", "doc.txt"}), HasSubstr("gyrator run: unknown flag '-f'"));
  EXPECT_THAT(Refused({"model", "info", "--nope"}), HasSubstr("gyrator model info: unknown flag"));
  EXPECT_THAT(Refused({"--json", "chat"}), HasSubstr("stand behind it"));
  const std::string extra = Refused({"ls", "one", "two"});
  EXPECT_THAT(extra, HasSubstr("not expected: 'one', 'two'"));
}

TEST(Flags, ListsOfLengths) {
  EXPECT_THAT(Parsed<BenchArgs>({"bench", "-p", "512,2048"}).prefill, ElementsAre(512, 2048));
  EXPECT_THAT(Parsed<BenchArgs>({"bench", "batch", "-p", "1,2,3"}).prefill, ElementsAre(1, 2, 3));
  EXPECT_THAT(Parsed<BenchArgs>({"bench", "-d", "0,64", "-p", "8"}).depths, ElementsAre(0, 64));
  EXPECT_THAT(Refused({"bench", "-p", "512,x"}), HasSubstr("'x'"));
}

TEST(Flags, VariablesOfTheTemplateAreAnObject) {
  constexpr const char* kOff = R"({"enable_thinking":false})";
  EXPECT_EQ(kOff,
            Parsed<ChatArgs>({"chat", "--chat-template-kwargs", kOff}).generate.template_variables);
  EXPECT_EQ(kOff, Parsed<RunArgs>({"run", "-p", "x", "--chat-template-kwargs", kOff})
                      .generate.template_variables);
  for (const char* wrong : {"[1]", "7", "{", "enable_thinking=false"}) {
    EXPECT_THAT(Refused({"chat", "--chat-template-kwargs", wrong}), HasSubstr("a JSON object"));
  }
  EXPECT_THAT(Refused({"run", "--tokens", "1", "--chat-template-kwargs", kOff}),
              HasSubstr("--chat-template-kwargs needs the chat template"));
}

TEST(Flags, DroppingALineNeedsAContext) {
  EXPECT_TRUE(Parsed<ChatArgs>({"chat", "--context", "a", "--drop-owed"}).drop_owed);
  EXPECT_FALSE(Parsed<ChatArgs>({"chat", "--context", "a"}).drop_owed);
  EXPECT_THAT(Refused({"chat", "--drop-owed"}), HasSubstr("--context"));
}

}  // namespace
}  // namespace gyrator::cli
