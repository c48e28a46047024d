// gyrator-dialogues: the conversations that the shipped model is trained and tested on. Needs no
// torch, so that end-to-end tests of recall can use it everywhere.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "data_command.h"

int main(int argc, char** argv) {
  using namespace gyrator::train;
  CLI::App app{"Prints seeded conversations in which a user tells things and asks for them later."};
  DataOptions options;
  bool held_out = false;
  app.add_option("--seed", options.seed);
  app.add_option("--first", options.first, "index of the first conversation");
  app.add_option("-n", options.count, "conversations");
  app.add_option("--turns", options.turns, "turns of each");
  app.add_flag("--held-out", held_out, "with the values that training never saw");
  app.add_flag("--json", options.json, "one JSON object a line");
  CLI11_PARSE(app, argc, argv);
  if (held_out) options.split = Split::kHeldOut;
  const gyrator::Status status = PrintData(options, stdout);
  if (!status.ok()) std::fprintf(stderr, "gyrator-dialogues: %s\n", status.ToString().c_str());
  return static_cast<int>(status.code());
}
