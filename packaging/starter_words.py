"""Words and a filler of templates: everything the starter's texts are put together from."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

SLOT = re.compile(r"\{(\w+)\}")
BARE_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")

NAMES = tuple(
    "Mia Tom Lena Paul Ada Ben Carla David Ella Finn Greta Hugo Ida Jonas Kira Leo Mara Nils "
    "Olga Peter Rosa Sam Tina Vera Walter Yara Zoe Omar Priya Chen Aisha Diego Fatima Ivan Julia "
    "Karim Lucia Noah Sofia Viktor Emma Felix Hana Luis Nora Oscar Ruth Simon Clara Max".split()
)
NOUNS = tuple(
    "answer bill billing card category code colour cost damage date day delivery detail error "
    "event field form friend goods group house idea invoice item job kind label letter level line "
    "list mail message money month name note number offer order page part payment people person "
    "phone place plan point price problem product question reason receipt refund repair report "
    "request return room sale service shop side sign size slip state status store street sum task "
    "tax team test text thing ticket time title topic total town tracking type unit value visit "
    "wait week word work world year".split()
)
KEYS = NOUNS + tuple(
    "active broken cheap closed done early empty fast first free fresh full good heavy here hot late "
    "lost new next old open paid ready safe sent short slow small soft strong sure today true "
    "urgent warm wide wrong wrong_item first_name last_name due_date item_count is_new".split()
)
"""Words that fields of records are called by."""
INVENTED = tuple(
    first + last
    for first in "Ka Mi Lo Ra Ne Su To Vi Be Da Fer Gol Hal Jun Pel".split()
    for last in "lin mas ven dor sha kel ron tis bo nda".split()
)
"""Names nobody can know by heart: whoever is asked for one has to look it up."""
ANIMALS = tuple(
    "cat dog rabbit horse duck mouse bear fox owl frog goat sheep bird pony turtle squirrel "
    "hedgehog donkey cow pig hen otter".split()
)
COLOURS = tuple("red blue green yellow white black brown grey orange pink purple golden".split())
MOODS = tuple("happy sad tired hungry brave shy proud curious angry calm lonely kind".split())
SIZES = tuple("small big little tiny large old young new".split())
PLACES = tuple(
    "garden forest park kitchen school river village market library farm beach house field "
    "station lake mountain city street shop barn bridge harbour museum playground".split()
)
THINGS = tuple(
    "ball book cup hat key box boat lamp kite stone basket bell blanket bottle drum map coin "
    "ladder pencil mirror ring rope scarf shoe spoon toy umbrella clock brush letter".split()
)
FOODS = tuple(
    "apple bread cheese soup cake honey carrot pear rice egg banana cookie potato tomato nut "
    "pie orange plum salad berry".split()
)
WARES = (
    "blender", "kettle", "toaster", "desk lamp", "headphones", "backpack", "keyboard",
    "office chair", "camera", "tent", "bicycle", "printer", "speaker", "jacket", "suitcase",
    "coffee machine", "vacuum cleaner", "phone", "watch", "monitor",
)  # fmt: skip
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
WEATHER = tuple("sunny rainy windy cold warm cloudy snowy foggy stormy dry".split())
JOBS = tuple(
    "baker teacher farmer doctor driver painter cook gardener tailor nurse pilot singer builder "
    "fisher writer clerk".split()
)
CITIES = tuple(
    "Paris Oslo Rome Berlin Madrid Lisbon Vienna Prague Dublin Athens Cairo Tokyo Lima Delhi "
    "Boston Toronto".split()
)
HOBBIES = tuple(
    "reading swimming painting singing cooking dancing running drawing fishing climbing sewing "
    "gardening".split()
)

WORDS: Mapping[str, tuple[str, ...]] = {
    "name": NAMES,
    "stranger": NAMES + INVENTED,
    "animal": ANIMALS,
    "colour": COLOURS,
    "mood": MOODS,
    "size": SIZES,
    "place": PLACES,
    "thing": THINGS,
    "food": FOODS,
    "ware": WARES,
    "day": DAYS,
    "month": MONTHS,
    "weather": WEATHER,
    "job": JOBS,
    "city": CITIES,
    "hobby": HOBBIES,
    "noun": NOUNS,
    "key": KEYS,
}


def fill(rng: random.Random, template: str, bound: dict[str, str] | None = None) -> str:
    """Fill `{name}`, `{name2}`, `{n5}`: one slot name, one value; `bound` keeps values over calls.

    A slot named n and a digit is a number of that many digits, its first digit not zero.
    """
    values = {} if bound is None else bound

    def word(match: re.Match[str]) -> str:
        slot = match[1]
        if slot not in values:
            values[slot] = _pick(rng, slot, set(values.values()))
        return values[slot]

    return BARE_ARTICLE.sub(r"\1n ", SLOT.sub(word, template))


def _pick(rng: random.Random, slot: str, taken: set[str]) -> str:
    kind = slot.rstrip("0123456789")
    if kind == "n":
        return digits(rng, int(slot[1]))
    free = [word for word in WORDS[kind] if word not in taken]
    return rng.choice(free)


def digits(rng: random.Random, length: int) -> str:
    """A number of `length` digits that does not begin with zero."""
    return str(rng.randrange(10 ** (length - 1), 10**length))
