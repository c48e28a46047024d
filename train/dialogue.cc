#include "dialogue.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "small_talk.h"

namespace gyrator::train {
namespace {

using sv = std::string_view;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string Sentence(std::string text) {  // a capital first
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

// The inverse, after a prefix; "I" stays. REQUIRES: the text starts with a template's word.
std::string Clause(std::string text) {
  const bool is_i = text.starts_with("I ") || text.starts_with("I'");
  if (!is_i) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string JoinList(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += i + 1 == items.size() ? " and " : ", ";
    out += items[i];
  }
  return out;
}

std::string Value(const std::string& text, const std::string& value) {
  return Fill(text, "{v}", value);
}

// An order ("call me Ada") cannot follow "remember that".
bool IsOrder(const std::string& clause) {
  for (sv start : {"call me", "put ", "please ", "add ", "also ", "this is", "on my"}) {
    if (clause.starts_with(start)) return true;
  }
  return clause.find(": ") != std::string::npos;
}

struct Prefix {
  sv text;
  sv reply;     // empty: the assistant repeats what it was told
  bool orders;  // may stand before an order
};
constexpr Prefix kPrefixes[] = {
    {"Hi, ", "", true},
    {"Hello, ", "", true},
    {"Well, ", "", true},
    {"Okay, ", "", true},
    {"So, ", "", true},
    {"By the way, ", "Good to know.", true},
    {"Remember that ", "I will remember that.", false},
    {"Please remember that ", "I will remember that.", false},
    {"Remember this: ", "I will remember that.", true},
    {"Don't forget that ", "I will not forget it.", false},
    {"Note that ", "Noted.", false},
    {"Just so you know, ", "Thank you for telling me.", false},
    {"I want you to know that ", "Thank you for telling me.", false},
    {"You should know that ", "Good to know.", false},
    {"For your information, ", "Good to know.", false},
};

constexpr sv kAskPrefixes[] = {"Hey, ", "So, ", "Now, ", "Okay, ", "Quick question: ", "Hi, "};

constexpr sv kCorrections[] = {
    "Actually, {c}.",   "No, {c}.",   "Sorry, {c}, not {o}.", "I was wrong, {c}.",
    "Correction: {c}.", "Wait, {c}.", "{c}, not {o}.",        "I made a mistake. {C}.",
    "No, {c}, not {o}."};

std::string Unknown(const Attribute& attribute) { return "ou have not told me " + attribute.yours; }

}  // namespace

Conversation::Conversation(uint64_t seed, uint64_t index, Split split)
    : random_(MixSeed(seed ^ (split == Split::kHeldOut ? 0x68656c64u : 0), index)), split_(split) {
  if (random_.Chance(0.2)) system_ = random_.Pick(SystemPrompts());
  const double chat_rate = random_.Chance(0.25) ? random_.Uniform() * 0.6 : random_.Uniform() * 0.2;
  ask_rate_ = (1.0 - chat_rate) * (0.45 + 0.25 * random_.Uniform());
  tell_rate_ = 1.0 - chat_rate - ask_rate_;
  plain_rate_ = random_.Chance(0.3) ? 0.2 : 0.85;
  american_ = random_.Chance(0.35);
  facts_max_ = random_.Chance(0.3) ? random_.Between(1, 5) : random_.Between(5, 45);
  const Catalogue& catalogue = UserCatalogue();
  for (int i = random_.Between(1, 4); i > 0; --i)
    others_.push_back(&random_.Pick(catalogue.others));
  for (int i = random_.Between(0, 2); i > 0; --i) {
    people_.push_back(std::make_unique<std::vector<Attribute>>(
        PersonAttributes(DrawValue(ValueKind::kName, split_, random_))));
  }
}

Turn Conversation::Next() {
  Turn turn;
  const double roll = random_.Uniform();
  const Attribute* told_before = last_told_;
  if (turn_ == 0 && random_.Chance(0.2)) {
    const SmallTalk& talk = random_.Pick(Greetings());
    turn = {std::string(talk.user), std::string(talk.reply), TurnKind::kChat, {}, 0};
  } else if (roll < tell_rate_ || (facts_.empty() && roll < 0.7)) {
    turn = MakeTell();
  } else if (roll < tell_rate_ + ask_rate_) {
    turn = MakeAsk();
  } else {
    turn = MakeChat();
  }
  if (last_told_ == told_before) last_told_ = nullptr;
  if (american_) {
    turn.user = Fill(turn.user, "avourite", "avorite");
    turn.reply = Fill(turn.reply, "avourite", "avorite");
    turn.user = Fill(turn.user, "colour", "color");
    turn.reply = Fill(turn.reply, "colour", "color");
  }
  ++turn_;
  return turn;
}

const Attribute& Conversation::DrawAttribute() {
  const Catalogue& catalogue = UserCatalogue();
  const double roll = random_.Uniform();
  if (roll < 0.12) return catalogue.own[0];
  if (roll < 0.22) return catalogue.own[static_cast<size_t>(random_.Between(1, 3))];
  if (roll < 0.62) return random_.Pick(catalogue.own);
  if (roll < 0.72) return others_[0]->front();
  if (roll < 0.90 || people_.empty()) return random_.Pick(*random_.Pick(others_));
  return random_.Pick(*random_.Pick(people_));
}

Conversation::Fact* Conversation::Find(const Attribute& attribute) {
  for (Fact& fact : facts_) {
    if (fact.attribute == &attribute) return &fact;
  }
  return nullptr;
}

Conversation::Typing Conversation::DrawTyping(const Attribute& attribute) {
  if (random_.Chance(plain_rate_)) return Typing::kPlain;
  if (attribute.named_owner) return Typing::kNoPoint;
  return static_cast<Typing>(random_.Between(1, 3));
}

void Conversation::FinishUserText(std::string& text, Typing typing) const {
  if (typing == Typing::kPlain) return;
  if (text.back() == '.' || text.back() == '?') text.pop_back();
  if (typing == Typing::kNoPoint) return;
  const bool keep_mark = typing == Typing::kLower && text.size() % 2 == 0;
  text = Lower(text);
  if (typing == Typing::kSloppy)
    text.erase(std::remove(text.begin(), text.end(), '\''), text.end());
  if (keep_mark) text += '.';
}

std::vector<std::string> Conversation::DrawValues(const Attribute& attribute, Typing typing) {
  std::vector<std::string> values;
  for (int count = attribute.is_list ? random_.Between(2, 4) : 1; count > 0;) {
    std::string value = DrawValue(attribute.kind, split_, random_);
    if (typing == Typing::kLower || typing == Typing::kSloppy) value = Lower(value);
    if (typing == Typing::kSloppy) std::erase(value, '\'');  // as the whole line will lose it
    if (std::find(values.begin(), values.end(), value) != values.end()) continue;
    values.push_back(std::move(value));
    --count;
  }
  return values;
}

// A way of telling; one that begins with the value only where the value can begin a sentence.
const Tell& Conversation::DrawTell(const Attribute& attribute, const std::string& value) {
  const bool can_begin = !std::islower(static_cast<unsigned char>(value[0])) && !attribute.is_list;
  for (;;) {
    const Tell& tell = random_.Pick(attribute.tells);
    if (!tell.clause.starts_with("{v}") || can_begin) return tell;
  }
}

Turn Conversation::MakeTell() {
  if (!facts_.empty() && random_.Chance(0.15)) {
    Fact& fact = last_told_ != nullptr && random_.Chance(0.5)
                     ? *Find(*last_told_)
                     : facts_[random_.Below(static_cast<uint32_t>(facts_.size()))];
    const bool can_grow = fact.attribute->is_list && fact.values.size() < 6;
    return can_grow && random_.Chance(0.8) ? MakeAddition(fact) : MakeCorrection(fact);
  }
  if (static_cast<int32_t>(facts_.size()) >= facts_max_) return MakeAsk();
  if (random_.Chance(0.12)) return MakeTellMany();
  const Attribute& attribute = DrawAttribute();
  Fact* known = Find(attribute);
  return known == nullptr ? MakeFirstTell(attribute) : MakeCorrection(*known);
}

Turn Conversation::MakeFirstTell(const Attribute& attribute) {
  Turn turn;
  turn.kind = TurnKind::kTell;
  const Typing typing = DrawTyping(attribute);
  const std::vector<std::string> values = DrawValues(attribute, typing);
  const std::string value = JoinList(values);
  const Tell& tell = DrawTell(attribute, value);
  const Prefix* prefix = nullptr;
  if (random_.Chance(0.4) && !tell.clause.starts_with("{v}")) {
    prefix = &random_.Pick(kPrefixes);
    if (IsOrder(tell.clause) && !prefix->orders) prefix = nullptr;
  }
  if (attribute.is_user_name && random_.Chance(0.2)) prefix = &kPrefixes[random_.Below(2)];
  if (prefix != nullptr) {
    turn.user = std::string(prefix->text) + Clause(Value(tell.clause, value)) + ".";
  } else {
    turn.user = Sentence(Value(tell.clause, value)) + ".";
  }
  if (prefix != nullptr && !prefix->reply.empty()) {
    turn.reply = prefix->reply;
  } else if (attribute.is_user_name) {
    turn.reply = "Nice to meet you, " + value + ".";
  } else {
    turn.reply = "Okay, " + Value(tell.echo, value) + ".";
  }
  FinishUserText(turn.user, typing);
  facts_.push_back({&attribute, values, turn_});
  last_told_ = &attribute;
  return turn;
}

Turn Conversation::MakeTellMany() {
  Turn turn;
  turn.kind = TurnKind::kTell;
  std::vector<std::string> clauses, echoes;
  Typing typing = Typing::kPlain;
  for (int count = random_.Between(2, 3), tries = 20; count > 0 && tries > 0; --tries) {
    const Attribute& attribute = DrawAttribute();
    if (Find(attribute) != nullptr || attribute.is_list) continue;
    if (clauses.empty()) typing = DrawTyping(attribute);
    if (attribute.named_owner) typing = Typing::kPlain;
    const std::vector<std::string> values = DrawValues(attribute, typing);
    const Tell& tell = DrawTell(attribute, "lower");
    if (IsOrder(tell.clause)) continue;
    clauses.push_back(Value(tell.clause, values[0]));
    echoes.push_back(Value(tell.echo, values[0]));
    facts_.push_back({&attribute, values, turn_});
    --count;
  }
  if (clauses.empty()) return MakeChat();
  turn.user = Sentence(JoinList(clauses)) + ".";
  turn.reply = "Okay, " + JoinList(echoes) + ".";
  FinishUserText(turn.user, typing);
  return turn;
}

Turn Conversation::MakeCorrection(Fact& fact) {
  Turn turn;
  turn.kind = TurnKind::kCorrect;
  const Attribute& attribute = *fact.attribute;
  const Typing typing = DrawTyping(attribute);
  const std::string old_value = JoinList(fact.values);
  fact.values = DrawValues(attribute, typing);
  fact.turn = turn_;
  const std::string value = JoinList(fact.values);
  std::string echo = attribute.yours + " is " + value;
  if (last_told_ == &attribute && random_.Chance(0.5)) {
    static constexpr sv kShort[] = {"No, it is {v}.", "No, it's {v}.", "Not {o}, {v}.",
                                    "I meant {v}.",   "Sorry, {v}.",   "No, {v}."};
    turn.user = Fill(Value(std::string(random_.Pick(kShort)), value), "{o}", old_value);
  } else {
    const Tell& tell = DrawTell(attribute, "lower");
    const std::string clause = Value(tell.clause, value);
    turn.user = Fill(std::string(random_.Pick(kCorrections)), "{c}", clause);
    turn.user = Sentence(Fill(Fill(turn.user, "{C}", Sentence(clause)), "{o}", old_value));
    echo = Value(tell.echo, value);
  }
  turn.reply = "Okay, " + echo + ".";
  FinishUserText(turn.user, typing);
  last_told_ = &attribute;
  return turn;
}

Turn Conversation::MakeAddition(Fact& fact) {
  Turn turn;
  turn.kind = TurnKind::kTell;
  const Attribute& attribute = *fact.attribute;
  const Typing typing = DrawTyping(attribute);
  const std::string item = DrawValues(attribute, typing)[0];
  if (std::find(fact.values.begin(), fact.values.end(), item) != fact.values.end())
    return MakeChat();
  const std::string& addition = random_.Pick(attribute.additions);
  turn.user =
      (addition.starts_with("{v}") ? Value(addition, item) : Sentence(Value(addition, item))) + ".";
  turn.reply = "Okay, I added " + item + ".";
  FinishUserText(turn.user, typing);
  fact.values.push_back(item);
  fact.turn = turn_;
  return turn;
}

Turn Conversation::MakeAsk() {
  if (facts_.empty() || random_.Chance(0.13)) return MakeAskUnknown();
  if (facts_.size() > 1 && random_.Chance(0.12)) return MakeAskMany();
  const Fact& fact = facts_[random_.Below(static_cast<uint32_t>(facts_.size()))];
  if (!fact.attribute->is_list && random_.Chance(0.06)) return MakeCheck(fact);
  Turn turn;
  turn.kind = TurnKind::kAsk;
  turn.expected = fact.values;
  turn.age = turn_ - fact.turn;
  const Ask& ask = random_.Pick(fact.attribute->asks);
  turn.user = Sentence(ask.question);
  if (!fact.attribute->named_owner && random_.Chance(0.12)) {
    turn.user = std::string(random_.Pick(kAskPrefixes)) + Clause(ask.question);
  }
  turn.reply = Sentence(Value(ask.answer, JoinList(fact.values)));
  FinishUserText(turn.user, DrawTyping(*fact.attribute));
  return turn;
}

Turn Conversation::MakeAskUnknown() {
  for (int tries = 0; tries < 20; ++tries) {
    const Attribute& attribute = DrawAttribute();
    if (Find(attribute) != nullptr) continue;
    Turn turn;
    turn.kind = TurnKind::kAskUnknown;
    turn.expected = {"have not told me " + attribute.yours};
    if (american_)
      turn.expected[0] = Fill(Fill(turn.expected[0], "avourite", "avorite"), "colour", "color");
    const Ask& ask = random_.Pick(attribute.asks);
    turn.user = Sentence(ask.question);
    turn.reply = (ask.answer.starts_with("Yes, ") ? "No, y" : "Y") + Unknown(attribute) + ".";
    FinishUserText(turn.user, DrawTyping(attribute));
    return turn;
  }
  return MakeChat();
}

Turn Conversation::MakeAskMany() {
  static constexpr sv kForms[] = {"What are {l}?",        "What are {l}?", "Tell me {l}.",
                                  "Do you remember {l}?", "What is {w}?",  "Remind me of {l}."};
  Turn turn;
  turn.kind = TurnKind::kAskMany;
  std::vector<std::string> asked, known, unknown;
  std::vector<const Attribute*> seen;
  bool named = false;
  const int count = random_.Chance(0.3) && facts_.size() > 2 ? 3 : 2;
  const bool one_unknown = random_.Chance(0.15);
  for (int tries = 0; tries < 30 && static_cast<int>(asked.size()) < count; ++tries) {
    const bool want_unknown = one_unknown && static_cast<int>(asked.size()) + 1 == count;
    const Attribute& attribute =
        want_unknown ? DrawAttribute()
                     : *facts_[random_.Below(static_cast<uint32_t>(facts_.size()))].attribute;
    const Fact* fact = Find(attribute);
    if ((fact == nullptr) != want_unknown || attribute.is_list) continue;
    if (std::find(seen.begin(), seen.end(), &attribute) != seen.end()) continue;
    seen.push_back(&attribute);
    asked.push_back(attribute.mine);
    named |= attribute.named_owner;
    if (fact == nullptr) {
      unknown.push_back(attribute.yours);
      continue;
    }
    known.push_back(attribute.yours + " is " + fact->values[0]);
    turn.expected.push_back(fact->values[0]);
    turn.age = std::max(turn.age, turn_ - fact->turn);
  }
  if (asked.size() < 2 || known.empty()) return MakeChat();
  std::string form(random_.Pick(kForms));
  form = Fill(form, "{l}", JoinList(asked));
  std::vector<std::string> with_what = asked;
  for (size_t i = 1; i < with_what.size(); ++i) with_what[i] = "what is " + with_what[i];
  turn.user = Fill(form, "{w}", JoinList(with_what));
  turn.reply = Sentence(JoinList(known));
  if (!unknown.empty()) turn.reply += ", but you have not told me " + JoinList(unknown);
  turn.reply += ".";
  FinishUserText(turn.user, named ? Typing::kPlain : DrawTyping(*seen[0]));
  return turn;
}

Turn Conversation::MakeCheck(const Fact& fact) {
  Turn turn;
  turn.kind = TurnKind::kCheck;
  const Attribute& attribute = *fact.attribute;
  const bool right = random_.Chance(0.5);
  const std::string guess = right ? fact.values[0] : DrawValue(attribute.kind, split_, random_);
  turn.user = "Is " + attribute.mine + " " + guess + "?";
  turn.reply = (guess == fact.values[0] ? "Yes, " : "No, ") + attribute.yours + " is " +
               fact.values[0] + ".";
  turn.expected = {fact.values[0]};
  turn.age = turn_ - fact.turn;
  return turn;
}

Turn Conversation::MakeChat() {
  const SmallTalk& talk =
      random_.Chance(0.15) ? random_.Pick(Greetings()) : random_.Pick(SmallTalks());
  Turn turn{std::string(talk.user), std::string(talk.reply), TurnKind::kChat, {}, 0};
  FinishUserText(turn.user, DrawTyping(UserCatalogue().own[0]));
  return turn;
}

}  // namespace gyrator::train
