"""The texts of tools/golden/tokenizer.py: many scripts, emoji, marks, code, white space, control
characters, special tokens. Only code points that Unicode 14 knows. Run by itself it makes nothing."""

import unicodedata

PHRASES = """The quick brown fox jumps over the lazy dog.
Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis.
Falsches Üben von Xylophonmusik quält jeden größeren Zwerg.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; ¡añoraba a su querido cachorro!
Pchnąć w tę łódź jeża lub ośm skrzyń fig.
Příliš žluťoučký kůň úpěl ďábelské ódy.
Árvíztűrő tükörfúrógép.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'da ılık.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів!
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ο σοφός ΣΟΦΟΣ.
דג סקרן שט בים מאוכזב ולפתע מצא לו חברה.
שָׁלוֹם עוֹלָם
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر.
اَلسَّلَامُ عَلَيْكُمْ ٠١٢٣٤٥٦٧٨٩
گلبرگ‌های زیبا و می‌خواهم ۱۲۳
ہر شخص کو تعلیم کا حق حاصل ہے۔
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। १२३
আমি বাংলায় গান গাই। ০১২৩
தமிழ் மொழி இனிமையானது ௧௨௩
తెలుగు భాష మధురమైనది
ಕನ್ನಡ ಭಾಷೆ
മലയാളം ഭാഷ ആണ്
ગુજરાતી ભાષા ૧૨૩
ਪੰਜਾਬੀ ਬੋਲੀ
සිංහල භාෂාව
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์ ๑๒๓
ພາສາລາວ ສະບາຍດີ
ភាសាខ្មែរ ជំរាបសួរ
မြန်မာဘာသာ မင်္ဂလာပါ
བོད་སྐད། བཀྲ་ཤིས་བདེ་ལེགས།
ქართული ენა გამარჯობა ᲥᲐᲠᲗᲣᲚᲘ
Հայերեն լեզու Բարև
አማርኛ ቋንቋ ሰላም ፩፪፫
ᏣᎳᎩ ꭳꮃꭹ
ᐃᓄᒃᑎᑐᑦ
いろはにほへと ちりぬるを カタカナ ｶﾀｶﾅ ﾊﾟﾋﾟ
色は匂へど散りぬるを、我が世誰ぞ常ならむ。
天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。
我能吞下玻璃而不伤身体。一二三〇〇七
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.
한글 자모 ㄱㄴㄷ 각
Tiếng Việt: Con sói láu lỉnh, chạy nhanh qua đồng.
Монгол хэл ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ
ⴰⵎⴰⵣⵉⵖ ⵜⴰⵎⴰⵣⵉⵖⵜ
𐌰𐌱𐌲 𐍈 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝟙𝟚𝟛 𝒳 𐐀𐐨 𒀀𒁀 𓀀𓂀
Ⅻ ⅷ ½ ⅓ ² ³ ¹ ₂ ⑳ ① ㊿ ㍿ ﷺ ﬁ ﬀ ﬆ
ſ K Å Ω ẞ ß ŉ ǆ ǅ Ǆ ı İ i̇
don't DON'T I'll I'LL we've WE'Ve they're THEY'RE he'd HE'D I'm I'M it's IT'S 'ſ 'tis ’s ’ll
x'S'T'RE'VE'M'LL'D'x 's't're've'm'll'd
naïve café résumé coöperate façade Ångström ☃ naïve ☃
price: $12.50, €9,99; £3 ¥1200 ₹55 ₿0.001 50% 5‰ ±2° 3×4÷2≠√∞
3.14159 1,000,000 12345678901234567890 0x1F 1e-10 007 1 12 123 1234 12345
--option -v --long-name=value -- - --- ---- "quoted" 'single' `code` «guillemets» „low“ “curly” 「日本」
http://example.com/path?q=1&r=a%20b#frag user@example.com C:\\\\Windows\\\\x ~/.config/a.b
(a,b),(c,d)...!!!???!?! ([{<>}]) ,,,, ;;;; a,b.c!d?e(f)g
word words sword word. (word) word_ _word Word wordß ab abc cab ab-ab straße Straße STRASSE
#include <vector> // comment /* block */ int main() { return 0; }
""".splitlines()

EMOJI = """😀😁😂🤣 😃 :-) 😄x
👨‍👩‍👧‍👦 family 👩🏽‍🚀 👨🏿‍❤️‍💋‍👨🏻
🏳️‍🌈 🏴‍☠️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇩🇪🇫🇷🇯🇵🇧
1️⃣2️⃣*️⃣#️⃣ ❤️ ❤ ☎︎ ☎️
👍🏻👍🏼👍🏽👍🏾👍🏿 ✌🏽✊ 🫶🏽 🥹
🧑‍🤝‍🧑 🧑🏻‍🤝‍🧑🏿 🐻‍❄️ 😶‍🌫️ ❤️‍🔥
a😀b 😀 😀😀 😀\u200d \u200d😀 \ufe0f
🀄🃏🅰️🆎🈁🈚🉐 ⓐⓑⓒ ↔️⏰⌚""".splitlines()

CODE = r'''def f(x: int) -> int:\n    """Doc."""\n    return x ** 2  # square\n
for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}
{"key": [1, 2.5, null, true], "nested": {"a": "\\u00e9"}}
<div class="a b"><p>Text &amp; more</p></div><!-- c -->
SELECT * FROM t WHERE a = 'x' AND b <> 3;\n\n\n-- end
\\frac{a}{b} = \\sum_{i=0}^{n} x_i^2 $$
if [ -z "$X" ]; then echo 'no'; fi\r\n\r\n
var f = (a, b) => a?.b ?? c;\n\n\treturn !f && `${a}`;
    four\n        eight\n  two\n one\n\ttab\n\t\ttwo tabs
@decorator\nclass A(B):\n    x = y = None\n\n\n    def __init__(self): ...
| a | b |\n|---|---|\n| 1 | 2 |\n
# Title\n\n* item\n* **bold** _it_\n1. one\n'''.splitlines()

SPACES = ["", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", " \n \n ", "a ", " a", "  a", "a  ", "a  b", "a   b",
          "\ta", "a\t", "a\tb", "a\n", "\na", "a\nb", "a\n\nb", "a \n b", "a\r\nb", "a\rb", "\r\r", "a\n \n b", " \t \t ",
          "a" + " " * 17 + "b", " " * 33, "\n" * 20, "\t" * 9 + "x", " " * 5 + "\n" * 5 + " " * 5 + "x", "x" + " \n" * 8,
          "a\u00a0b", "a\u00a0\u00a0b", " \u00a0 ", "a\u1680b", "a\u180eb", "\u180e\u180e", "a \u180e b", "a\u2000\u2001\u2002b",
          "a\u2003 b", "a\u2028b", "a\u2029b", "a\u202fb", "a\u205fb", "a\u3000b", "\u3000\u3000", "a\u0085b", "\u0085\u0085 x",
          "a\u200bb", "a\u200c\u200db", "a\u2060b", "a\ufeffb", "\ufeffa", "a\u000bb", "a\u000cb", "\u000b\u000c x",
          "a\u001cb", "a\u001d\u001e\u001fb", "x\u001f y", "a\u00adb", "▁", "▁a", "a▁b", "▁▁", " ▁ ", "▁ a"]

CONTROL = ["".join(map(chr, range(0, 32))), "".join(map(chr, range(127, 160))), "a\0b", "\0", "\x07bell", "\x1b[31mred\x1b[0m",
           "\ufffd", "a\ufffdb", "\ufffe\uffff", "\U0010ffff", "\ue000\uf8ff", "\U000f0000x", "\u200e\u200f\u202a\u202e",
           "\ufdd0\ufdef", "\u2061\u2062", "\ufff9a\ufffab\ufffb", "\U000e0001\U000e0061"]

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
            "<|end_header_id|>", "<|eot_id|>", "<s>", "</s>", "<unk>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<tool_call>",
            "</tool_call>", "<L>", "<R>", "<LR>", "<LRX>", "<end>", "①", "<0x41>", "<0xE4>", "[UNK]"]

COMBINING = ["e\u0301", "\u00e9", "e\u0323\u0301", "e\u0301\u0323", "\u1e69", "s\u0323\u0307", "s\u0307\u0323", "\u0344",
             "a\u0315\u0300\u05ae\u0062", "a\u0300\u0315\u05ae\u0062", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u1100\u1161",
             "\ud55c\uae00", "\u1112\u1161\u11ab", "q\u0307\u0323", "\u212b", "\u2126", "\u0958", "\u0915\u093c", "\u09c7\u09be",
             "\u0b47\u0b56", "\u0cc6\u0cc2\u0cd5", "\u1025\u102e", "\u304b\u3099", "\u304c", "\u30cf\u309a", "\ufb1d", "\ufb2c",
             "\u0f73", "\u0f71\u0f72", "\uf900", "\u2f800", "\u0374", "\u037e", "\u1fef", "\u2000", "\u0340\u0341", "\u0387",
             "e" + "\u0301" * 30, "e" + "\u0301\u0323" * 20, "\u0301", "\u0301\u0301 a", "Z\u0351\u036b\u0343\u036a\u0302",
             "\u0eb9\u0eba", "a\u0eba\u0334", "a\u1df6\u0334", "\u1abf\u0334", "\u32ff", "\U00011935\U00011930", "\U00011938",
             "\ua7f2", "\U0001f16c", "\U00010d24\u0334", "a\u0898\u0334", "\ufb01 \ufb03", "\uff21\uff42\uff11", "\u33a1 \u00bd"]

WORDS = ("the of and to in is it you that he was for on are with as his they be at one have this from or had by hot but some what "
         "there we can out other were all your when up use word how said an each she which do their time if will way about many "
         "then them would write like so these her long make thing see him two has look more day could go come did my sound no most "
         "number who over know water than call first people may down side been now find any new work part take get place made live "
         "where after back little only round man year came show every good me give our under name very through just form much great "
         "think say help low line before turn cause same mean differ move right boy old too does tell sentence set three want air").split()

BLOCKS = [(0x21, 0x7e), (0xa1, 0x24f), (0x250, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x58a), (0x591, 0x5f4), (0x600, 0x6ff),
          (0x700, 0x7b1), (0x900, 0x97f), (0x980, 0x9fe), (0xa01, 0xaff), (0xb01, 0xbff), (0xc00, 0xcff), (0xd00, 0xdff),
          (0xe01, 0xe5b), (0xe81, 0xedf), (0xf00, 0xfda), (0x1000, 0x109f), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1200, 0x139f),
          (0x13a0, 0x167f), (0x1780, 0x17f9), (0x1800, 0x18aa), (0x1d00, 0x1dff), (0x1e00, 0x1fff), (0x2010, 0x206f),
          (0x2070, 0x20bf), (0x2100, 0x21ff), (0x2200, 0x23ff), (0x2460, 0x27bf), (0x2c00, 0x2dff), (0x2e80, 0x2fdf), (0x3000, 0x30ff),
          (0x3105, 0x33ff), (0x3400, 0x4dbf), (0x4e00, 0x9fff), (0xa000, 0xa4cf), (0xa4d0, 0xa7ca), (0xa800, 0xabff), (0xac00, 0xd7a3),
          (0xf900, 0xfaff), (0xfb00, 0xfdff), (0xfe00, 0xfe6f), (0xff01, 0xffee), (0x10000, 0x103ff), (0x10400, 0x10fff),
          (0x11000, 0x11fff), (0x12000, 0x12399), (0x13000, 0x1342e), (0x16800, 0x16fff), (0x1b000, 0x1b2ff), (0x1d000, 0x1d7ff),
          (0x1e000, 0x1efff), (0x1f000, 0x1faff), (0x20000, 0x2a6df), (0x2f800, 0x2fa1d), (0xe0100, 0xe01ef)]


def known(rng, first, last):
    """A code point of the block that Unicode 14 knows and that is no surrogate."""
    while True:
        c = rng.randint(first, last)
        if unicodedata.category(chr(c)) not in ("Cn", "Cs"):
            return chr(c)


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(3, 14))]
    if rng.random() < 0.3:
        words[rng.randrange(len(words))] = str(rng.randrange(10 ** rng.randint(1, 9)))
    text = " ".join(words)
    return (text.capitalize() + rng.choice(".!?,:;")) if rng.random() < 0.7 else text.title()


def with_special(rng):
    parts = []
    for _ in range(rng.randint(2, 5)):
        parts.append(rng.choice(["", " ", "  ", "\n", "x", " word ", "é", "e\u0301", "<|im_", "|>", "12", rng.choice(WORDS)]))
        parts.append(rng.choice(SPECIALS))
    return "".join(parts) + rng.choice(["", " ", "tail", "\n"])


def soup(rng):
    """Characters of every kind side by side."""
    pool = [" ", "  ", "\n", "\t", "'s", "'LL", "1", "22", "3333", "a", "Bc", "-", "...", "\u0301", "é", "😀", "\u200d", "中", "अ", "\u00a0", "\r\n"]
    out = ""
    for _ in range(rng.randint(3, 25)):
        out += rng.choice(pool) if rng.random() < 0.6 else known(rng, *rng.choice(BLOCKS))
    return out


def make_lines(rng):
    """(core, rest): every family is tried with the core, and with its share of the rest."""
    unescape = [line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r") for line in CODE]
    core = PHRASES + EMOJI + unescape + SPACES + CONTROL + COMBINING
    core += SPECIALS + [f"{a}{b}" for a, b in zip(SPECIALS, SPECIALS[1:])]
    core += [" <|im_end|> ", "<|im_end", "<|im_end|", "|im_end|>", "<<|im_end|>>", "a <L> b", "a  <L>  b", "a <R> b", "a  <R>  <R>  b",
             " <LR> <LR> ", "<L><R>", " \n<L>\n\n<R>\n", "<LRX>", "<LR X", "word", " word ", "words", "aword", "_word", "word1", "wordé",
             "é word", "word\u0301", "\u200dword", "²word", "STRASSE Straße straße", "ab", "ab ab", "aab", "AB", "1 ① 1", "naïve ☃"]
    core += ["a" * 300, "ab" * 100, "aab" * 67, " a" * 90, "the" * 60, "é" * 60, "中" * 80, "😀" * 30, "0" * 50, "-" * 70, "=" * 33 + "\n"]
    core = list(dict.fromkeys(core))
    rest = []
    for block in BLOCKS:
        rest.append("".join(known(rng, *block) for _ in range(12)))
        rest.append(" ".join("".join(known(rng, *block) for _ in range(rng.randint(1, 4))) for _ in range(4)))
    rest += [sentence(rng) for _ in range(330)]
    rest += [with_special(rng) for _ in range(180)]
    rest += [soup(rng) for _ in range(240)]
    seen = set(core)
    rest = [line for line in rest if not (line in seen or seen.add(line))]
    return core, rest
