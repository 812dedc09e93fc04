"""The words of stories in English."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


# names: a first name, and a last name of two parts
FIRST = _words(
    """
    Ada Agnes Alban Alma Ambrose Anselm Barnaby Beatrix Bertram Blanche Bruno Cecily Clement Constance
    Cyril Daphne Dorothea Edgar Edith Edmund Elias Elspeth Emeric Esther Eugene Felix Flora Florian
    Gideon Greta Gwendolen Harriet Hector Hester Horace Ida Imogen Isidore Ivor Jasper Joanna Judith
    Julian Lavinia Leander Leopold Lydia Magnus Marcus Margery Matilda Maurice Miriam Mortimer Nadia
    Noel Olive Oscar Ottilie Percival Philippa Quentin Rosalind Rufus Sabina Silas Stella Sybil Tabitha
    Theodore Ursula Vera Victor Walter Winifred
    """
)
LAST_HEAD = _words(
    """
    Alder Ash Barrow Birch Black Bram Brook Cald Carr Cold Cross Dale Dun East Elm Fair Fen Glen Gold
    Green Hale Hart Hather Hazel Hawk Holl Kes King Lang Lin March Mer North Oak Pem Rav Red Rook Ros
    Sel Stan Thorn Wal Whit Win Wood
    """
)
LAST_TAIL = _words(
    """
    bourne bridge bury by combe cote croft den field ford gate ham hurst ley mere more ridge stead ton
    wick
    """
)

# objects and places: a look and a noun
OBJECT_LOOK = _words(
    """
    amber battered blue bone brass bronze carved chipped cracked crimson dented ebony enamel faded
    gilded glass green heavy horn iron ivory lacquered leather marble narrow nickel oak painted pearl
    pewter plain polished rusty scarlet silver stained tarnished tin velvet wooden
    """
)
OBJECT = _words(
    """
    amulet anchor barometer bell bobbin bowl bracelet brooch buckle candlestick casket chalice chisel
    clock comb compass cup dagger decanter dial drum fan flask flute goblet hammer harp hinge hourglass
    inkwell key kettle ladle lamp lantern locket mask medal mirror mortar needle padlock pipe pitcher
    plate quill ring saddle scales seal shield sickle spoon spyglass stirrup tankard thimble tray
    trumpet urn vase whistle
    """
)
PLACE_LOOK = _words(
    """
    abandoned ancient bare burnt cobbled crooked crumbling damp derelict deserted distant draughty
    eastern empty flooded forgotten frozen gloomy half-built haunted hidden ivy-covered leaning
    limestone lonely lower mossy narrow northern old overgrown quiet ruined shuttered slate-roofed smoky
    southern sunken tall upper vaulted western whitewashed windowless
    """
)
PLACE = _words(
    """
    abbey almshouse arcade archive attic bakery barn belfry boathouse brewery cellar chapel cistern
    cloister coal-shed cottage courthouse crypt customs-house dairy dovecote ferry-house forge foundry
    gatehouse granary greenhouse guardroom hayloft henhouse icehouse infirmary kiln larder library
    lighthouse malthouse mill observatory orchard pantry quarry rectory sawmill schoolroom smokehouse
    stable tannery tavern toll-house tower vestry wash-house watchtower wharf workshop
    """
)

# the sentences between the facts
WEATHER = _phrases(
    """
    a cold wind, a fine rain, a thin fog, a late frost, a dry heat, a sudden hail, a pale sun, a low
    cloud, a warm haze, a hard snow, a bitter draught, a salt breeze, a grey dusk, a long thunder, a
    soft drizzle, a red dawn
    """
)
MOVED = _phrases(
    """
    crept over, settled on, hung about, swept across, drifted past, lay upon, rolled down to, broke
    over, clung to, turned away from, moved in from, faded above, gathered round, spilled into, slid
    along, rose from
    """
)
GROUND = _phrases(
    """
    the market square, the river meadows, the tram sheds, the chalk hills, the harbour wall, the
    allotments, the parade ground, the beet fields, the canal locks, the cattle market, the station
    yard, the slate roofs, the salt marsh, the tennis courts, the printing works, the reservoir, the
    bandstand, the ropewalk, the fish quay, the old ramparts
    """
)
FOLK = _phrases(
    """
    the baker's boy, an old sergeant, the postmistress, two carters, the schoolmaster, a travelling
    dentist, the lamplighter, a deaf fiddler, the magistrate's clerk, three nuns, the piano tuner, a
    retired pilot, the chimney sweep, a goose girl, the night watchman, some apprentices, the beekeeper,
    a tax collector, the ferryman's wife, a lost tourist, the undertaker, a seller of eels, the
    choirmaster, several cousins
    """
)
DID = _phrases(
    """
    argued about, laughed at, counted, sketched, paid for, quarrelled over, praised, ignored, measured,
    dreamt of, wrote letters about, made songs about, complained of, swept up after, wondered about,
    took bets on, kept a list of, told lies about, apologised for, collected
    """
)
MATTER = _phrases(
    """
    the price of lamp oil, a missing goat, the new railway, last year's flood, the mayor's hat, a broken
    pump, the price of herrings, an unpaid fiddler, the school roof, a spotted mare, the Dutch tulips, a
    cure for coughs, the bishop's visit, a stolen bicycle, the choir's tenor, a crate of oranges, the
    wrong key, a bowl of plums, the tide tables, a torn map, the shape of the moon, some foreign coins,
    the smell of tar, a wager, the widow's parrot, a bag of nails
    """
)
WHEN = _phrases(
    """
    that week, before supper, all through Lent, after the fair, for the third time, out of habit, in a
    low voice, without much hope, with great ceremony, behind closed doors, as usual, by candlelight, on
    an empty stomach, until the bells rang, under an umbrella, in front of the children, for no clear
    reason, while the kettle boiled, in spite of the doctor, between two trains
    """
)
