#include "attributes.h"

namespace gyrator::train {
namespace {

using sv = std::string_view;

// One noun and what is special about it; the generic ways come on top.
struct Spec {
  sv noun;
  ValueKind kind;
  std::vector<Tell> tells = {};
  std::vector<Ask> asks = {};
};

std::string ForOwner(std::string text, const Owner& owner) {
  text = Fill(std::move(text), "{M}", owner.mine);
  text = Fill(std::move(text), "{Y}", owner.yours);
  text = Fill(std::move(text), "{m}", owner.mine_subj);
  return Fill(std::move(text), "{y}", owner.your_subj);
}

// Ways that fit every noun. The plain ones are repeated: they are what people say most.
const std::vector<Tell> kTells = {
    {"{M} {n} is {v}", "{Y} {n} is {v}"}, {"{M} {n} is {v}", "{Y} {n} is {v}"},
    {"{M} {n} is {v}", "{Y} {n} is {v}"}, {"{v} is {M} {n}", "{Y} {n} is {v}"},
    {"{M} {n}: {v}", "{Y} {n} is {v}"},   {"{M} {n} is now {v}", "{Y} {n} is {v}"}};

const std::vector<Ask> kAsks = {{"What is {M} {n}?", "{Y} {n} is {v}."},
                                {"What is {M} {n}?", "{Y} {n} is {v}."},
                                {"What is {M} {n}?", "{Y} {n} is {v}."},
                                {"What's {M} {n}?", "{Y} {n} is {v}."},
                                {"What's {M} {n}?", "{Y} {n} is {v}."},
                                {"Tell me {M} {n}.", "{Y} {n} is {v}."},
                                {"Please tell me {M} {n}.", "{Y} {n} is {v}."},
                                {"Can you tell me {M} {n}?", "{Y} {n} is {v}."},
                                {"What was {M} {n} again?", "{Y} {n} is {v}."},
                                {"What did I say {M} {n} was?", "{Y} {n} is {v}."},
                                {"Remind me, what is {M} {n}?", "{Y} {n} is {v}."},
                                {"I forgot {M} {n}. What is it?", "{Y} {n} is {v}."},
                                {"And {M} {n}?", "{Y} {n} is {v}."},
                                {"{M} {n}?", "{Y} {n} is {v}."},
                                {"Do you remember {M} {n}?", "Yes, {Y} {n} is {v}."},
                                {"Do you know {M} {n}?", "Yes, {Y} {n} is {v}."}};

Attribute Build(const Spec& spec, const Owner& owner) {
  Attribute out;
  out.kind = spec.kind;
  out.mine = owner.mine + " " + std::string(spec.noun);
  out.yours = owner.yours + " " + std::string(spec.noun);
  auto fill = [&](const std::string& text) {
    return ForOwner(Fill(text, "{n}", spec.noun), owner);
  };
  auto tell = [&](const Tell& t) { out.tells.push_back({fill(t.clause), fill(t.echo)}); };
  auto ask = [&](const Ask& a) { out.asks.push_back({fill(a.question), fill(a.answer)}); };
  // What is said in its own way counts as much as what is said generically.
  for (const Tell& t : kTells) tell(t);
  for (int i = 0; i < 2; ++i) {
    for (const Tell& t : spec.tells) tell(t);
  }
  for (const Ask& a : kAsks) ask(a);
  for (int i = 0; i < 4; ++i) {
    for (const Ask& a : spec.asks) ask(a);
  }
  return out;
}

// Who the user is.
std::vector<Spec> PersonSpecs() {
  using K = ValueKind;
  return {
      {"city",
       K::kCity,
       {{"I live in {v}", "you live in {v}"},
        {"I moved to {v}", "you live in {v}"},
        {"my home is in {v}", "you live in {v}"},
        {"I am living in {v}", "you live in {v}"}},
       {{"Where do I live?", "You live in {v}."},
        {"Which city do I live in?", "You live in {v}."},
        {"Where is my home?", "Your home is in {v}."}}},
      {"home town",
       K::kCity,
       {{"I am from {v}", "you are from {v}"},
        {"I come from {v}", "you are from {v}"},
        {"I'm from {v}", "you are from {v}"},
        {"I was born in {v}", "you are from {v}"}},
       {{"Where am I from?", "You are from {v}."},
        {"Where do I come from?", "You come from {v}."}}},
      {"country",
       K::kCountry,
       {{"my home country is {v}", "your country is {v}"}},
       {{"Which country is mine?", "Your country is {v}."}}},
      {"job",
       K::kJob,
       {{"I am a {v}", "you are a {v}"},
        {"I work as a {v}", "you work as a {v}"},
        {"I'm a {v}", "you are a {v}"}},
       {{"What do I do?", "You are a {v}."},
        {"What do I work as?", "You work as a {v}."},
        {"What do I do for a living?", "You work as a {v}."}}},
      {"age",
       K::kAge,
       {{"I am {v} years old", "you are {v} years old"},
        {"I'm {v} years old", "you are {v} years old"},
        {"I am {v}", "you are {v} years old"},
        {"I turned {v}", "you are {v} years old"}},
       {{"How old am I?", "You are {v} years old."}, {"What age am I?", "You are {v} years old."}}},
      {"birthday",
       K::kDate,
       {{"I was born on {v}", "your birthday is {v}"},
        {"my birthday is on {v}", "your birthday is {v}"}},
       {{"When is my birthday?", "Your birthday is {v}."},
        {"When was I born?", "You were born on {v}."}}}};
}

// What the user likes.
std::vector<Spec> TasteSpecs() {
  using K = ValueKind;
  return {{"favourite colour",
           K::kColour,
           {{"I like {v} best of all colours", "your favourite colour is {v}"},
            {"the colour I like most is {v}", "your favourite colour is {v}"}},
           {{"Which colour do I like most?", "You like {v} most."},
            {"Which colour do I like?", "You like {v}."}}},
          {"favourite food",
           K::kFood,
           {{"I love to eat {v}", "you love to eat {v}"},
            {"I like {v} best", "your favourite food is {v}"}},
           {{"What do I love to eat?", "You love to eat {v}."},
            {"What do I like to eat?", "You like to eat {v}."}}},
          {"favourite drink",
           K::kDrink,
           {{"I love to drink {v}", "you love to drink {v}"}},
           {{"What do I love to drink?", "You love to drink {v}."},
            {"What do I like to drink?", "You like to drink {v}."}}},
          {"favourite animal",
           K::kAnimal,
           {{"the animal I like most is the {v}", "your favourite animal is the {v}"}},
           {{"Which animal do I like most?", "You like the {v} most."}}},
          {"favourite number",
           K::kNumber,
           {{"my lucky number is {v}", "your lucky number is {v}"}},
           {{"What is my lucky number?", "Your lucky number is {v}."}}},
          {"favourite book",
           K::kTitle,
           {{"the book I like most is {v}", "your favourite book is {v}"}},
           {{"Which book do I like most?", "Your favourite book is {v}."}}},
          {"favourite film", K::kTitle},
          {"favourite song", K::kTitle},
          {"favourite game", K::kHobby},
          {"favourite place", K::kPlace},
          {"favourite country", K::kCountry},
          {"hobby",
           K::kHobby,
           {{"in my free time I enjoy {v}", "you enjoy {v}"}, {"I enjoy {v}", "you enjoy {v}"}},
           {{"What do I enjoy?", "You enjoy {v}."}}}};
}

// Numbers and secrets.
std::vector<Spec> NumberSpecs() {
  using K = ValueKind;
  return {
      {"phone number",
       K::kPhone,
       {{"you can call me at {v}", "your phone number is {v}"},
        {"my number is {v}", "your phone number is {v}"},
        {"call me at {v}", "your phone number is {v}"}},
       {{"What number can you call me at?", "Your phone number is {v}."}}},
      {"room number",
       K::kNumber,
       {{"I am in room {v}", "you are in room {v}"}, {"I stay in room {v}", "you are in room {v}"}},
       {{"Which room am I in?", "You are in room {v}."}}},
      {"locker number", K::kNumber},
      {"house number", K::kNumber},
      {"seat", K::kNumber},
      {"pin", K::kPin},
      {"code word",
       K::kThing,
       {{"the code word is {v}", "the code word is {v}"}},
       {{"What is the code word?", "The code word is {v}."},
        {"What's the code word?", "The code word is {v}."}}},
      {"password",
       K::kCode,
       {{"the password is {v}", "the password is {v}"}},
       {{"What is the password?", "The password is {v}."},
        {"What's the password?", "The password is {v}."}}},
      {"secret word",
       K::kCode,
       {{"the secret word is {v}", "the secret word is {v}"}},
       {{"What is the secret word?", "The secret word is {v}."}}},
      {"door code", K::kPin},
      {"user name", K::kCode},
      {"account number", K::kPhone}};
}

// What the user owns and where the user is expected.
std::vector<Spec> BelongingSpecs() {
  using K = ValueKind;
  return {
      {"car",
       K::kCar,
       {{"I drive a {v}", "you drive a {v}"},
        {"I have a {v}", "you drive a {v}"},
        {"I bought a {v}", "you drive a {v}"}},
       {{"What do I drive?", "You drive a {v}."}, {"Which car do I have?", "You drive a {v}."}}},
      {"pet",
       K::kAnimal,
       {{"I have a pet {v}", "you have a pet {v}"}, {"my pet is a {v}", "your pet is a {v}"}},
       {{"Which pet do I have?", "You have a pet {v}."},
        {"What kind of pet do I have?", "You have a pet {v}."}}},
      {"pet's name",
       K::kName,
       {{"my pet is called {v}", "your pet is called {v}"},
        {"I have a pet named {v}", "your pet is called {v}"}},
       {{"What is my pet called?", "Your pet is called {v}."}}},
      {"meeting",
       K::kTime,
       {{"my meeting is at {v}", "your meeting is at {v}"},
        {"I have a meeting at {v}", "your meeting is at {v}"},
        {"the meeting is at {v}", "your meeting is at {v}"}},
       {{"When is my meeting?", "Your meeting is at {v}."},
        {"What time is my meeting?", "Your meeting is at {v}."},
        {"When is the meeting?", "Your meeting is at {v}."}}},
      {"meeting place",
       K::kPlace,
       {{"we meet at the {v}", "you meet at the {v}"},
        {"the meeting is in the {v}", "you meet at the {v}"}},
       {{"Where do we meet?", "You meet at the {v}."},
        {"Where is the meeting?", "You meet at the {v}."}}},
      {"train",
       K::kTime,
       {{"my train leaves at {v}", "your train leaves at {v}"}},
       {{"When does my train leave?", "Your train leaves at {v}."}}},
      {"flight number", K::kCode},
      {"day off",
       K::kWeekday,
       {{"I am free on {v}", "you are free on {v}"}},
       {{"When am I free?", "You are free on {v}."}}},
      {"boat's name",
       K::kName,
       {{"my boat is called {v}", "your boat is called {v}"}},
       {{"What is my boat called?", "Your boat is called {v}."}}},
      {"school",
       K::kName,
       {{"I go to school at {v}", "your school is {v}"}},
       {{"Where do I go to school?", "Your school is {v}."}}},
      {"company",
       K::kName,
       {{"I work at {v}", "you work at {v}"}, {"I work for {v}", "you work at {v}"}},
       {{"Where do I work?", "You work at {v}."}, {"Who do I work for?", "You work for {v}."}}},
      {"street", K::kName},
      {"team", K::kAnimal},
      {"size", K::kAge},
      {"budget", K::kNumber},
  };
}

Attribute UserName() {
  const Spec spec = {"name",
                     ValueKind::kName,
                     {{"I am {v}", "you are {v}"},
                      {"I am {v}", "you are {v}"},
                      {"I'm {v}", "you are {v}"},
                      {"I'm {v}", "you are {v}"},
                      {"call me {v}", "your name is {v}"},
                      {"you can call me {v}", "your name is {v}"},
                      {"people call me {v}", "your name is {v}"},
                      {"my name's {v}", "your name is {v}"},
                      {"the name is {v}", "your name is {v}"},
                      {"this is {v}", "you are {v}"}},
                     {{"Who am I?", "You are {v}."},
                      {"What am I called?", "You are called {v}."},
                      {"Do you know who I am?", "Yes, you are {v}."},
                      {"What do people call me?", "People call you {v}."},
                      {"What is my name?", "Your name is {v}."}}};
  Attribute out = Build(spec, SelfOwner());
  out.is_user_name = true;
  return out;
}

// What is known of somebody else. The name itself only of relations and pets.
std::vector<Spec> OtherSpecs() {
  using K = ValueKind;
  return {
      {"city",
       K::kCity,
       {{"{m} lives in {v}", "{y} lives in {v}"}, {"{m} moved to {v}", "{y} lives in {v}"}},
       {{"Where does {m} live?", "{y} lives in {v}."},
        {"Which city does {m} live in?", "{y} lives in {v}."}}},
      {"job",
       K::kJob,
       {{"{m} is a {v}", "{y} is a {v}"}, {"{m} works as a {v}", "{y} works as a {v}"}},
       {{"What does {m} do?", "{y} is a {v}."}, {"What does {m} work as?", "{y} works as a {v}."}}},
      {"age",
       K::kAge,
       {{"{m} is {v} years old", "{y} is {v} years old"}, {"{m} is {v}", "{y} is {v} years old"}},
       {{"How old is {m}?", "{y} is {v} years old."}}},
      {"birthday",
       K::kDate,
       {{"{m} was born on {v}", "{y} was born on {v}"}},
       {{"When was {m} born?", "{y} was born on {v}."},
        {"When is {M} birthday?", "{Y} birthday is {v}."}}},
      {"favourite colour", K::kColour},
      {"favourite food",
       K::kFood,
       {{"{m} loves to eat {v}", "{y} loves to eat {v}"}},
       {{"What does {m} love to eat?", "{y} loves to eat {v}."}}},
      {"phone number", K::kPhone},
      {"car",
       K::kCar,
       {{"{m} drives a {v}", "{y} drives a {v}"}},
       {{"What does {m} drive?", "{y} drives a {v}."}}},
      {"hobby",
       K::kHobby,
       {{"{m} enjoys {v}", "{y} enjoys {v}"}},
       {{"What does {m} enjoy?", "{y} enjoys {v}."}}},
  };
}

Spec NameOfOther() {
  return {"name",
          ValueKind::kName,
          {{"{m} is called {v}", "{y} is called {v}"},
           {"{M} name is {v}", "{Y} name is {v}"},
           {"{m} is {v}", "{y} is {v}"},
           {"the name of {m} is {v}", "{y} is called {v}"}},
          {{"What is {m} called?", "{y} is called {v}."},
           {"What is the name of {m}?", "{Y} name is {v}."},
           {"Who is {m}?", "{y} is {v}."}}};
}

Attribute List(sv noun, ValueKind kind, sv verb) {
  const std::string name(noun);
  Spec spec = {noun,
               kind,
               {{"put {v} on my {n}", "your {n} is {v}"},
                {"on my {n} are {v}", "your {n} is {v}"},
                {"please write {v} on my {n}", "your {n} is {v}"}},
               {{"What is on my {n}?", "Your {n} is {v}."},
                {"What's on my {n}?", "Your {n} is {v}."},
                {"Read me my {n}.", "Your {n} is {v}."}}};
  if (!verb.empty()) {
    spec.tells.push_back({"I need to " + std::string(verb) + " {v}", "your {n} is {v}"});
    spec.asks.push_back({"What do I need to " + std::string(verb) + "?", "Your {n} is {v}."});
  }
  Attribute out = Build(spec, SelfOwner());
  out.is_list = true;
  out.additions = {"add {v} to my " + name, "add {v} to my " + name, "also put {v} on my " + name,
                   "{v} is on my " + name + " too"};
  return out;
}

std::vector<Attribute> PetAttributes(sv pet) {
  Spec name = NameOfOther();
  name.tells.push_back({"I have a " + std::string(pet) + " named {v}", "{y} is called {v}"});
  name.tells.push_back({"I have a " + std::string(pet) + " called {v}", "{y} is called {v}"});
  const Spec age = {"age",
                    ValueKind::kAge,
                    {{"{m} is {v} years old", "{y} is {v} years old"}},
                    {{"How old is {m}?", "{y} is {v} years old."}}};
  return {Build(name, RelationOwner(pet)), Build(age, RelationOwner(pet))};
}

}  // namespace

std::string Fill(std::string text, std::string_view placeholder, std::string_view value) {
  for (size_t at = text.find(placeholder); at != std::string::npos;
       at = text.find(placeholder, at + value.size())) {
    text.replace(at, placeholder.size(), value);
  }
  return text;
}

Owner SelfOwner() { return {"my", "your", "I", "you"}; }
Owner RelationOwner(std::string_view relation) {
  const std::string r(relation);
  return {"my " + r + "'s", "your " + r + "'s", "my " + r, "your " + r};
}
Owner NamedOwner(const std::string& name) { return {name + "'s", name + "'s", name, name}; }

const Catalogue& UserCatalogue() {
  static const Catalogue kCatalogue = [] {
    Catalogue all;
    all.own = {UserName(), List("shopping list", ValueKind::kGrocery, "buy"),
               List("packing list", ValueKind::kThing, "pack"),
               List("guest list", ValueKind::kName, "")};
    for (const auto& specs : {PersonSpecs(), TasteSpecs(), NumberSpecs(), BelongingSpecs()}) {
      for (const Spec& spec : specs) all.own.push_back(Build(spec, SelfOwner()));
    }
    static constexpr sv kRelations[] = {"sister",  "brother",     "mother",   "father",    "friend",
                                        "boss",    "teacher",     "doctor",   "neighbour", "cousin",
                                        "aunt",    "uncle",       "son",      "daughter",  "wife",
                                        "husband", "best friend", "colleague"};
    for (sv relation : kRelations) {
      std::vector<Attribute>& of = all.others.emplace_back();
      of.push_back(Build(NameOfOther(), RelationOwner(relation)));
      for (const Spec& spec : OtherSpecs()) of.push_back(Build(spec, RelationOwner(relation)));
    }
    static constexpr sv kPets[] = {"dog", "cat", "horse", "rabbit", "parrot", "hamster"};
    for (sv pet : kPets) all.others.push_back(PetAttributes(pet));
    return all;
  }();
  return kCatalogue;
}

std::vector<Attribute> PersonAttributes(const std::string& name) {
  std::vector<Attribute> all;
  for (const Spec& spec : OtherSpecs()) all.push_back(Build(spec, NamedOwner(name)));
  for (Attribute& attribute : all) attribute.named_owner = true;
  return all;
}

}  // namespace gyrator::train
