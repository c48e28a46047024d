// What can be told and asked: attributes of the user, of relations and of named people, each with
// its ways to be told, asked and answered.
//
// Templates are text with placeholders: {M} {Y} the owner's possessive as the user and as the
// assistant says it ("my", "your"), {m} {y} the same as subjects ("I", "you"), {n} the noun, {v}
// the value. An attribute's templates have everything but {v} filled in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "values.h"

namespace gyrator::train {

struct Owner {
  std::string mine;       // "my", "my sister's", "Bob's"
  std::string yours;      // "your", "your sister's", "Bob's"
  std::string mine_subj;  // "I", "my sister", "Bob"
  std::string your_subj;  // "you", "your sister", "Bob"
};

struct Tell {
  std::string clause;  // "I live in {v}": no final point, no capital
  std::string echo;    // "you live in {v}"
};

struct Ask {
  std::string question;  // "Where do I live?"
  std::string answer;    // "You live in {v}."
};

struct Attribute {
  std::string mine;   // "my city": as the user calls it
  std::string yours;  // "your city"
  ValueKind kind = ValueKind::kThing;
  bool is_list = false;
  bool is_user_name = false;
  bool named_owner = false;  // "Bob's city": keeps its capitals
  std::vector<Tell> tells;
  std::vector<Ask> asks;
  std::vector<std::string> additions;  // lists: "add {v} to my shopping list"
};

// `text` with every `placeholder` replaced.
std::string Fill(std::string text, std::string_view placeholder, std::string_view value);

Owner SelfOwner();
Owner RelationOwner(std::string_view relation);  // "sister"
Owner NamedOwner(const std::string& name);

struct Catalogue {
  std::vector<Attribute> own;                  // of the user; own[0] is the name; lists among them
  std::vector<std::vector<Attribute>> others;  // one entry a relation or pet
};
// Everything about the user. Built once, immutable.
const Catalogue& UserCatalogue();
// The attributes of a person called `name`.
std::vector<Attribute> PersonAttributes(const std::string& name);

}  // namespace gyrator::train
