// The rules of STYLE.md and docs/architecture.md that a program can check. Each takes a tree and
// returns what breaks it; none changes anything.
#pragma once

#include <string_view>

#include "tests/tidy/tree.h"

namespace gyrator::tidy {

// rules_code.cc
Findings CheckIncludes(const Tree& tree);   // who may include whom; no cycles; walled libraries
Findings CheckLengths(const Tree& tree);    // file, header, function; parameters; adjacent bools
Findings CheckNames(const Tree& tree);      // snake_case files, .h and .cc, #pragma once
Findings CheckBans(const Tree& tree);       // throw, getenv, skipped tests, marks without an issue
Findings CheckListed(const Tree& tree);     // every test and fuzz target is built and run
Findings CheckPublicApi(const Tree& tree);  // include/gyrator: at most 15 headers, commented

// rules_text.cc
Findings CheckLeaks(const Tree& tree);    // paths of machines, hosts of package registries
Findings CheckDocs(const Tree& tree);     // links, paths, tests, make targets and subcommands exist
Findings CheckReadmes(const Tree& tree);  // a README of at most 20 lines in every folder of code

// Exceptions, from tests/tidy/allow.txt: "rule path reason" a line; a path that ends in / is a
// folder.
struct Allowance {
  std::string rule, path, reason;
};
std::vector<Allowance> ParseAllowances(std::string_view text);
// Removes what is allowed; reports allowances without a reason and those that allow nothing.
Findings ApplyAllowances(const Findings& findings, const std::vector<Allowance>& allowances);

}  // namespace gyrator::tidy
