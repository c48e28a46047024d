// The model card: what the shipped model is, how it was made, and how well it recalls, from the
// files of the run. No torch.
#pragma once

#include <string>
#include <vector>

#include "checkpoint_file.h"
#include "gyrator/status.h"
#include "schedule.h"

namespace gyrator::train {

// One line of the log: a report of the loss, or a measurement of recall.
struct LogPoint {
  double tokens = 0;
  double loss = -1;    // weighted mean since the last report; -1: none
  double recall = -1;  // of single facts; -1: none
};
// kNotFound, kCorruption naming the line.
Result<std::vector<LogPoint>> ReadLog(const std::string& path);

// Loss and recall over tokens seen.
std::string DrawCurve(const std::vector<LogPoint>& log);

struct CardOptions {
  std::string out = "build/train";  // folder of the run: log.jsonl, recall.json (written by `eval`)
  std::string folder = "models";    // gets README.md and loss.svg
  std::string note = {};            // what else is to be known of the run; may be empty
  int64_t decay_steps = Schedule{}.decay_steps;  // that the run was ended with
};
Status WriteCard(const CheckpointFile& checkpoint, const CardOptions& options);

}  // namespace gyrator::train
