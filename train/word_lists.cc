#include "word_lists.h"

namespace gyrator::train {
namespace {

using sv = std::string_view;

constexpr sv kFirstNames[] = {
    "Ada",     "Alan",   "Alice",   "Amir",   "Amy",    "Andrea", "Anna",    "Anton",  "Arthur",
    "Ben",     "Bella",  "Boris",   "Carla",  "Carlos", "Chen",   "Chloe",   "Clara",  "Daniel",
    "David",   "Diana",  "Dora",    "Edgar",  "Elena",  "Eli",    "Emily",   "Emma",   "Erik",
    "Eva",     "Fatima", "Felix",   "Fiona",  "Frank",  "Freya",  "Gabriel", "Georg",  "Grace",
    "Hana",    "Hannah", "Harry",   "Hassan", "Helen",  "Hugo",   "Ida",     "Igor",   "Ines",
    "Iris",    "Isaac",  "Ivan",    "Jack",   "Jakob",  "James",  "Jane",    "Joe",    "John",
    "Jonas",   "Julia",  "Kai",     "Karin",  "Kate",   "Kenji",  "Kim",     "Lara",   "Laura",
    "Lea",     "Leo",    "Liam",    "Lily",   "Linda",  "Lucas",  "Lucy",    "Luis",   "Maria",
    "Marco",   "Mark",   "Martha",  "Martin", "Mary",   "Max",    "Maya",    "Mia",    "Michael",
    "Mila",    "Nadia",  "Nina",    "Noah",   "Nora",   "Olga",   "Oliver",  "Omar",   "Oscar",
    "Otto",    "Paul",   "Paula",   "Peter",  "Petra",  "Priya",  "Quentin", "Rachel", "Ravi",
    "Robert",  "Rosa",   "Ruth",    "Sam",    "Sara",   "Sofia",  "Simon",   "Stella", "Susan",
    "Tara",    "Thomas", "Tim",     "Tina",   "Tom",    "Uma",    "Ursula",  "Vera",   "Victor",
    "Walter",  "Wanda",  "William", "Xavier", "Yara",   "Yusuf",  "Zara",    "Zoe",    "Bob",
    "Charlie", "George", "Henry",   "Sophie", "Steve",  "Jenny",  "Lisa",    "Kevin",  "Brian"};

constexpr sv kCities[] = {
    "Paris",     "London",   "Berlin",  "Rome",    "Madrid",   "Vienna",    "Prague",
    "Oslo",      "Lisbon",   "Dublin",  "Athens",  "Warsaw",   "Cairo",     "Delhi",
    "Mumbai",    "Tokyo",    "Kyoto",   "Osaka",   "Seoul",    "Beijing",   "Shanghai",
    "Hanoi",     "Bangkok",  "Sydney",  "Perth",   "Auckland", "Toronto",   "Montreal",
    "Boston",    "Chicago",  "Denver",  "Seattle", "Austin",   "Dallas",    "Houston",
    "Miami",     "New York", "Lima",    "Bogota",  "Santiago", "Nairobi",   "Lagos",
    "Accra",     "Tunis",    "Zurich",  "Geneva",  "Basel",    "Bern",      "Munich",
    "Hamburg",   "Cologne",  "Leipzig", "Dresden", "Milan",    "Turin",     "Venice",
    "Naples",    "Lyon",     "Nice",    "Lille",   "Porto",    "Seville",   "Valencia",
    "Malmo",     "Helsinki", "Riga",    "Tallinn", "Vilnius",  "Krakow",    "Budapest",
    "Sofia",     "Zagreb",   "Split",   "Ankara",  "Istanbul", "Haifa",     "Dubai",
    "Baku",      "Tbilisi",  "Quito",   "Havana",  "Leeds",    "Bristol",   "Glasgow",
    "Cardiff",   "Oxford",   "York",    "Bath",    "Portland", "San Diego", "Cape Town",
    "Hong Kong", "Utrecht",  "Antwerp", "Ghent",   "Bremen"};

constexpr sv kCountries[] = {
    "France",  "Spain",   "Italy",   "Germany", "Poland",   "Norway",  "Sweden", "Finland",
    "Denmark", "Iceland", "Ireland", "Greece",  "Turkey",   "Egypt",   "Kenya",  "Ghana",
    "India",   "China",   "Japan",   "Korea",   "Vietnam",  "Brazil",  "Peru",   "Chile",
    "Mexico",  "Canada",  "Cuba",    "Austria", "Portugal", "Morocco", "Nepal",  "Estonia"};

constexpr sv kJobs[] = {
    "teacher",    "doctor",     "nurse",      "baker",     "pilot",     "farmer",    "writer",
    "painter",    "carpenter",  "plumber",    "lawyer",    "judge",     "chemist",   "physicist",
    "biologist",  "driver",     "gardener",   "cook",      "waiter",    "musician",  "singer",
    "dancer",     "sailor",     "soldier",    "miner",     "tailor",    "barber",    "dentist",
    "librarian",  "journalist", "programmer", "designer",  "mechanic",  "fisherman", "photographer",
    "translator", "banker",     "clerk",      "butcher",   "florist",   "potter",    "surgeon",
    "student",    "builder",    "cleaner",    "detective", "geologist", "professor", "roofer"};

constexpr sv kColours[] = {"red",    "blue",   "green",  "yellow", "orange", "purple",
                           "pink",   "brown",  "black",  "white",  "grey",   "gold",
                           "silver", "violet", "indigo", "teal",   "cyan",   "lilac",
                           "beige",  "cream",  "coral",  "navy",   "ruby",   "olive"};

constexpr sv kFoods[] = {"pizza",   "pasta",   "rice",     "soup",      "sushi",     "curry",
                         "salad",   "bread",   "cheese",   "fish",      "steak",     "chicken",
                         "noodles", "tacos",   "paella",   "risotto",   "ramen",     "falafel",
                         "hummus",  "lasagne", "pancakes", "waffles",   "dumplings", "goulash",
                         "stew",    "burgers", "fries",    "chocolate", "ice cream", "cake",
                         "beans",   "lentils", "omelette", "porridge"};

constexpr sv kDrinks[] = {"tea",      "coffee", "water",     "milk",      "juice",
                          "wine",     "beer",   "cider",     "cocoa",     "cola",
                          "lemonade", "mate",   "kefir",     "green tea", "apple juice",
                          "espresso", "soda",   "ginger ale"};

constexpr sv kAnimals[] = {
    "dog",    "cat",      "horse",  "rabbit", "parrot", "hamster", "owl",      "fox",     "wolf",
    "bear",   "lion",     "tiger",  "whale",  "otter",  "eagle",   "mouse",    "goat",    "sheep",
    "donkey", "penguin",  "turtle", "snake",  "frog",   "dolphin", "elephant", "giraffe", "panda",
    "lizard", "hedgehog", "badger", "swan",   "crow",   "goose",   "camel",    "zebra"};

constexpr sv kGroceries[] = {
    "milk",     "eggs",     "bread",     "butter",  "rice",   "tea",     "sugar",   "salt",
    "apples",   "pears",    "plums",     "grapes",  "lemons", "onions",  "garlic",  "carrots",
    "potatoes", "tomatoes", "beans",     "peas",    "cheese", "yogurt",  "honey",   "jam",
    "flour",    "oil",      "soap",      "coffee",  "pasta",  "fish",    "ham",     "nuts",
    "dates",    "figs",     "kale",      "leeks",   "corn",   "mustard", "vinegar", "pepper",
    "candles",  "paper",    "batteries", "bananas", "melons", "spinach", "olives",  "water"};

constexpr sv kThings[] = {
    "anchor",  "apple",    "arrow",   "basket", "bell",   "bottle",   "bridge",  "bucket",
    "button",  "candle",   "castle",  "chair",  "clock",  "cloud",    "comet",   "compass",
    "copper",  "cradle",   "crystal", "dagger", "desert", "diamond",  "dragon",  "drum",
    "engine",  "falcon",   "feather", "flame",  "forest", "fountain", "garden",  "glacier",
    "glove",   "hammer",   "harbor",  "helmet", "island", "ivory",    "jacket",  "jungle",
    "kettle",  "ladder",   "lantern", "lemon",  "magnet", "marble",   "meadow",  "mirror",
    "moon",    "mountain", "needle",  "ocean",  "orchid", "paper",    "pebble",  "pencil",
    "piano",   "pillow",   "planet",  "pocket", "prism",  "pumpkin",  "quartz",  "raven",
    "ribbon",  "river",    "rocket",  "saddle", "shadow", "shield",   "spider",  "spoon",
    "star",    "statue",   "storm",   "sunset", "table",  "temple",   "thunder", "ticket",
    "tower",   "tunnel",   "turnip",  "valley", "velvet", "violin",   "wagon",   "walnut",
    "whistle", "window",   "winter",  "zipper", "book",   "watch",    "lamp",    "kite",
    "vase",    "scarf",    "puzzle"};

constexpr sv kPlaces[] = {"station",   "library",  "museum",  "park",     "market",  "harbour",
                          "airport",   "cinema",   "theatre", "school",   "office",  "church",
                          "bakery",    "cafe",     "bridge",  "fountain", "gym",     "pool",
                          "beach",     "zoo",      "hotel",   "hospital", "stadium", "castle",
                          "town hall", "bus stop", "garden",  "bank"};

constexpr sv kHobbies[] = {"chess",   "tennis",  "football",  "swimming", "running", "hiking",
                           "cycling", "skiing",  "sailing",   "painting", "drawing", "knitting",
                           "sewing",  "cooking", "baking",    "reading",  "writing", "singing",
                           "dancing", "fishing", "gardening", "climbing", "judo",    "yoga",
                           "golf",    "rowing",  "surfing",   "pottery",  "archery", "fencing"};

constexpr sv kMakers[] = {"Volvo",  "Toyota", "Honda",  "Ford",  "Fiat",   "Skoda",   "Audi",
                          "Mazda",  "Opel",   "Saab",   "Kia",   "Nissan", "Renault", "Peugeot",
                          "Subaru", "Tesla",  "Jaguar", "Rover", "Dacia",  "Seat",    "Suzuki"};

constexpr sv kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                          "July",    "August",   "September", "October", "November", "December"};

constexpr sv kWeekdays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                            "Friday", "Saturday", "Sunday"};

}  // namespace

std::span<const sv> FirstNames() { return kFirstNames; }
std::span<const sv> Cities() { return kCities; }
std::span<const sv> Countries() { return kCountries; }
std::span<const sv> Jobs() { return kJobs; }
std::span<const sv> Colours() { return kColours; }
std::span<const sv> Foods() { return kFoods; }
std::span<const sv> Drinks() { return kDrinks; }
std::span<const sv> Animals() { return kAnimals; }
std::span<const sv> Groceries() { return kGroceries; }
std::span<const sv> Things() { return kThings; }
std::span<const sv> Places() { return kPlaces; }
std::span<const sv> Hobbies() { return kHobbies; }
std::span<const sv> Makers() { return kMakers; }
std::span<const sv> Months() { return kMonths; }
std::span<const sv> Weekdays() { return kWeekdays; }

}  // namespace gyrator::train
