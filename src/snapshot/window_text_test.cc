#include "snapshot/window_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "snapshot/format.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kCp = 40, kVocab = 1000;
const std::string kHead = "# window v1\noverflow: message\nmode: shift\nsinks: 4\nheadroom: 256\n";
const std::string kFull = kHead +
                          "evicted: 0 1,2\nevicted: 7 999\nevicted: 40 0,0,5\n"
                          "log: 44 message 2-4,4-6\nlog: 40 score 9-10,1000-1001\nlog: 7 rewind\n";

TEST(WindowText, SaysWhatItSays) {
  const auto window = ParseWindow(kFull, kCp, kVocab);
  ASSERT_TRUE(window.ok()) << window.status().ToString();
  const WindowText expected = {.overflow = "message",
                               .mode = "shift",
                               .sinks = 4,
                               .headroom = 256,
                               .evicted = {{0, {1, 2}}, {7, {999}}, {40, {0, 0, 5}}},
                               .log = {{44, {{2, 4}, {4, 6}}, "message"},
                                       {40, {{9, 10}, {1000, 1001}}, "score"},
                                       {7, {}, "rewind"}}};
  EXPECT_EQ(*window, expected);
  EXPECT_EQ(FormatWindow(expected), kFull);
  EXPECT_EQ(window->NumEvicted(), 6);
}

TEST(WindowText, WhatStandsBeforeTheFirstEvictionIsExact) {
  WindowText window;
  EXPECT_EQ(window.ExactPositions(40), 40);
  window.evicted = {{7, {1}}, {9, {1}}};
  EXPECT_EQ(window.ExactPositions(40), 7);
}

TEST(WindowText, NothingEvictedIsFine) {
  for (const char* overflow : {"message", "fifo", "sink", "score", "error"}) {
    for (const char* mode : {"shift", "recompute"}) {
      const WindowText window{
          .overflow = overflow, .mode = mode, .sinks = 0, .headroom = INT32_MAX};
      const auto parsed = ParseWindow(FormatWindow(window), 0, 1);
      ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
      EXPECT_EQ(*parsed, window);
    }
  }
}

struct Broken {
  std::string text;
  int line;
  std::string expected;  // in the message
};

void ExpectRefused(const Broken& broken) {
  const Status status = ParseWindow(broken.text, kCp, kVocab).status();
  EXPECT_EQ(status.name(), "state_inconsistent") << broken.text;
  EXPECT_EQ(status.code(), Code::kCorruption) << broken.text;
  EXPECT_THAT(status.message(),
              HasSubstr("metadata/window.txt: line " + std::to_string(broken.line) + ": expected "))
      << broken.text;
  EXPECT_THAT(status.message(), HasSubstr(broken.expected)) << broken.text;
  EXPECT_THAT(status.message(), HasSubstr(", found ")) << broken.text;
}

TEST(BrokenWindow, HeadsAreRefused) {
  const std::string rest = "overflow: fifo\nmode: shift\nsinks: 4\nheadroom: 2\n";
  const std::string first = "# window v1\n", mode = "overflow: fifo\nmode: ";
  const Broken list[] = {
      {"", 1, "the end"},
      {"\n", 1, "# window v1"},
      {"# window v2\n" + rest, 1, "# window v1"},
      {"# window v1\r\n" + rest, 1, "# window v1"},
      {" # window v1\n" + rest, 1, "# window v1"},
      {"# window v1", 1, "LF"},
      {rest, 1, "# window v1"},
      {first, 2, "the end"},
      {first + first + rest, 2, "overflow: "},
      {first + "\n" + rest, 2, "overflow: "},
      {first + "overflow: lru\nmode: shift\nsinks: 4\nheadroom: 2\n", 2, "overflow: <message"},
      {first + "overflow: Fifo\nmode: shift\nsinks: 4\nheadroom: 2\n", 2, "'overflow: Fifo'"},
      {first + "overflow:fifo\nmode: shift\nsinks: 4\nheadroom: 2\n", 2, "overflow: "},
      {first + "overflow: fifo \nmode: shift\nsinks: 4\nheadroom: 2\n", 2, "overflow: "},
      {first + "overflow: \nmode: shift\nsinks: 4\nheadroom: 2\n", 2, "overflow: "},
      {first + "mode: shift\noverflow: fifo\nsinks: 4\nheadroom: 2\n", 2, "overflow: "},
      {first + mode + "move\nsinks: 4\nheadroom: 2\n", 3, "mode: <shift | recompute>"},
      {first + mode + "fifo\nsinks: 4\nheadroom: 2\n", 3, "mode: "},
      {first + mode + "shift\nsinks: -4\nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: +4\nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: 04\nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: 00\nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: \nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: 2147483648\nheadroom: 2\n", 4, "sinks: <count>"},
      {first + mode + "shift\nsinks: 4\nheadroom: 2 \n", 5, "headroom: <count>"},
      {first + mode + "shift\nsinks: 4\nheadroom: 0x2\n", 5, "headroom: <count>"},
      {first + mode + "shift\nsinks: 4\nheadroom: 2", 5, "LF"},
      {first + mode + "shift\nsinks: 4\n", 5, "the end"},
  };
  for (const Broken& broken : list) ExpectRefused(broken);
}

TEST(BrokenWindow, LinesOfEvictedTokensAreRefused) {
  const std::string grammar = "evicted: <at> <id>,<id>,...", log = "log: 4 fifo 0-1\n";
  const Broken list[] = {
      {kHead + "evicted: 0\n" + log, 6, grammar},
      {kHead + "evicted: 0 \n" + log, 6, grammar},
      {kHead + "evicted:  0 1\n" + log, 6, grammar},
      {kHead + "evicted: 0  1\n" + log, 6, grammar},
      {kHead + "evicted: 0 1 \n" + log, 6, grammar},
      {kHead + "evicted: 0 1,\n" + log, 6, grammar},
      {kHead + "evicted: 0 ,1\n" + log, 6, grammar},
      {kHead + "evicted: 0 1, 2\n" + log, 6, grammar},
      {kHead + "evicted: 0 1,,2\n" + log, 6, grammar},
      {kHead + "evicted: 0 01\n" + log, 6, grammar},
      {kHead + "evicted: 0 -1\n" + log, 6, grammar},
      {kHead + "evicted: -1 1\n" + log, 6, grammar},
      {kHead + "evicted: 00 1\n" + log, 6, grammar},
      {kHead + "evicted: 0 1;2\n" + log, 6, grammar},
      {kHead + "evicted: 0 99999999999999999999\n" + log, 6, grammar},
      {kHead + "evicted: 0 1000\n" + log, 6, "ids below 1000"},
      {kHead + "evicted: 41 1\n" + log, 6, "a position from 0 to 40"},
      {kHead + "evicted: 3 1\nevicted: 3 2\n" + log, 7, "a position from 4 to 40"},
      {kHead + "evicted: 3 1\nevicted: 2 2\n" + log, 7, "a position from 4 to 40"},
      {kHead + "evicted: 0 1\n\n" + log, 7, "'log: ' or the end"},
      {kHead + "evicted: 0 1\n# why\n" + log, 7, "'log: ' or the end"},
      {kHead + "Evicted: 0 1\n" + log, 6, "'evicted: ', 'log: ' or the end"},
      {kHead + "evicted: 0 1", 6, "LF"},
      {kHead + "evicted: 0 1\n", 6, "spans of 1 positions"},
      {kHead + "evicted: 0 1,2\n" + log, 7, "spans of 2 positions"},
      {kHead + log, 6, "spans of 0 positions"},
  };
  for (const Broken& broken : list) ExpectRefused(broken);
}

TEST(BrokenWindow, LinesOfTheLogAreRefused) {
  const std::string grammar =
      "log: <cp> <message | fifo | sink | score> <begin>-<end>,..., or log: <cp> rewind";
  const std::string head = kHead + "evicted: 0 1,2\n", order = "spans that ascend, are disjoint";
  const Broken list[] = {
      {head + "log: 4 fifo\n", 7, grammar},
      {head + "log: 4 fifo \n", 7, grammar},
      {head + "log: 4 rewind \n", 7, grammar},
      {head + "log: 4 rewind 0-2\n", 7, grammar},
      {head + "log: rewind\n", 7, grammar},
      {head + "log: 4 rewind\n", 7, "spans of 2 positions"},
      {head + "log: 4 error 0-2\n", 7, grammar},
      {head + "log: 4  0-2\n", 7, grammar},
      {head + "log: 0-2 fifo 4\n", 7, grammar},
      {head + "log: -4 fifo 0-2\n", 7, grammar},
      {head + "log: 04 fifo 0-2\n", 7, grammar},
      {head + "log: fifo 0-2\n", 7, grammar},
      {head + "log: 4 fifo 0\n", 7, grammar},
      {head + "log: 4 fifo 0-\n", 7, grammar},
      {head + "log: 4 fifo 0-2,\n", 7, grammar},
      {head + "log: 4 fifo 0-1, 2-3\n", 7, grammar},
      {head + "log: 4 fifo 0 - 2\n", 7, grammar},
      {head + "log: 4 fifo 0-02\n", 7, grammar},
      {head + "log: 4 fifo 0-2147483648\n", 7, grammar},
      {head + "log: 4 fifo 0-2 \n", 7, grammar},
      {head + "log: 4 fifo 2-2\n", 7, order},
      {head + "log: 4 fifo 2-0\n", 7, order},
      {head + "log: 4 fifo 2-4,1-2\n", 7, order},
      {head + "log: 4 fifo 2-4,3-5\n", 7, order},
      {head + "log: 4 fifo 0-1\n", 7, "spans of 2 positions"},
      {head + "log: 4 fifo 0-3\n", 7, "spans of 2 positions"},
      {head + "log: 4 fifo 0-2\nlog: 4 sink 0-1\n", 8, "spans of 2 positions"},
      {head + "log: 4 fifo 0-2\n\n", 8, "'log: ' or the end"},
      {head + "log: 4 fifo 0-2\nevicted: 1 1\n", 8, "'log: ' or the end"},
      {head + "log: 4 fifo 0-2", 7, "LF"},
      {head + std::string("log: 4 fifo 0-2\0\n", 17), 7, grammar},
  };
  for (const Broken& broken : list) ExpectRefused(broken);
}

// A random value that is accepted.
WindowText RandomWindow(std::mt19937* random, int32_t cp) {
  const auto below = [&](int32_t n) {
    return static_cast<int32_t>((*random)() % static_cast<uint32_t>(n));
  };
  const char* names[] = {"message", "fifo", "sink", "score", "error"};
  WindowText window{.overflow = names[below(5)],
                    .mode = below(2) == 0 ? "shift" : "recompute",
                    .sinks = below(1 << below(31)),
                    .headroom = below(1 << below(31))};
  for (int32_t at = below(4); at <= cp; at += 1 + below(cp)) {
    window.evicted.push_back({at, {}});
    for (int32_t i = 1 + below(5); i > 0; --i) {
      window.evicted.back().tokens.push_back(below(static_cast<int32_t>(kVocab)));
    }
  }
  for (auto left = static_cast<int32_t>(window.NumEvicted()); left > 0;) {
    EvictionEntry entry{.cp = below(1 << 20), .spans = {}, .policy = names[below(4)]};
    for (int32_t end = 0, spans = 1 + below(3); left > 0 && spans > 0; --spans) {
      const int32_t begin = end + below(3), length = 1 + below(left);
      entry.spans.emplace_back(begin, begin + length);
      end = begin + length;
      left -= length;
    }
    window.log.push_back(entry);
    if (below(3) == 0) window.log.push_back({below(50), {}, "rewind"});
  }
  return window;
}

TEST(RandomWindow, GoesBothWaysAndNoOtherTextGivesTheSameValue) {
  std::mt19937 random(1);
  int accepted = 0;
  for (int run = 0; run < 2000; ++run) {
    const auto cp = static_cast<int32_t>(1 + random() % 50);
    const WindowText window = RandomWindow(&random, cp);
    const std::string text = FormatWindow(window);
    const auto parsed = ParseWindow(text, cp, kVocab);
    ASSERT_TRUE(parsed.ok()) << text << parsed.status().ToString();
    ASSERT_EQ(*parsed, window) << text;
    // Any other text that is accepted is another value.
    std::string other = text;
    other[random() % other.size()] = " \n,-0123456789"[random() % 14];
    const auto changed = ParseWindow(other, cp, kVocab);
    if (!changed.ok()) continue;
    ++accepted;
    ASSERT_EQ(FormatWindow(*changed), other);
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace gyrator
