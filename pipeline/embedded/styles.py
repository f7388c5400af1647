"""The styles that are taught: a teacher each, and the words that lead to it.

The order is that of the rendered stacks: append, do not insert.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StyleSpec:
    """One style: how its teacher is called and which words mean it."""

    name: str
    teacher: str  # a key of filters.FILTERS
    prompt: str  # what the preset button types
    wordings: tuple[str, ...]


def _style(name: str, teacher: str, prompt: str, wordings: str) -> StyleSpec:
    return StyleSpec(name, teacher, prompt, tuple(w.strip() for w in wordings.split(",")))


STYLES: tuple[StyleSpec, ...] = (
    _style(
        "Pencil",
        "pencil",
        "a pencil drawing",
        "pencil drawing, pencil sketch, graphite sketch, drawn with a pencil, black and white "
        "sketch, charcoal drawing, hand drawn sketch, line drawing, sketched portrait, lead "
        "pencil on white paper, simple drawing on paper, doodle, rough sketch, shaded with "
        "graphite",
    ),
    _style(
        "Comic",
        "comic",
        "an old comic book",
        "comic book, comic, cartoon, ink cartoon, graphic novel, animated cartoon, bold "
        "outlines, anime, manga in colour, cel shading, comic strip panel, inked outlines and "
        "flat colours, superhero comic, drawn like a cartoon show",
    ),
    _style(
        "Oil painting",
        "oil",
        "an oil painting",
        "oil painting, oil on canvas, classical painting, thick paint, impasto, painted with "
        "oils, old master painting, renaissance portrait, rembrandt, palette knife painting, "
        "museum painting, baroque painting, mona lisa, varnished canvas",
    ),
    _style(
        "Starry night",
        "starry",
        "starry night by van gogh",
        "starry night, van gogh, vincent van gogh, swirling blue and yellow strokes, post "
        "impressionist night sky, painting by van gogh, swirls of blue paint, night sky with "
        "swirls, blue and yellow brush strokes, van gogh painting at night, stars swirling, "
        "gogh",
    ),
    _style(
        "Pop art",
        "popart",
        "pop art",
        "pop art, pink and yellow pop art, andy warhol, warhol print, sixties pop poster, "
        "lichtenstein, bright pop colours, screen print, candy colours on white, colourful "
        "magazine art, pop culture print, pink and white pop, warhol",
    ),
    _style(
        "Woodblock print",
        "woodblock",
        "a japanese woodblock print",
        "japanese woodblock print, ukiyo-e, hokusai, the great wave, japanese print, navy and "
        "cream print, woodblock, edo period print, japanese art, block print, hiroshige, "
        "great wave off kanagawa, kabuki print",
    ),
    _style(
        "Engraving",
        "engraving",
        "an old engraving",
        "old engraving, engraving, etching, copperplate, woodcut, banknote engraving, antique "
        "book illustration, sepia etching, carved in wood, duerer, hatched lines on old "
        "paper, engraved plate, wood carving, crosshatched engraving",
    ),
    _style(
        "Impressionist",
        "impressionist",
        "an impressionist painting at dawn",
        "impressionist painting, impressionism, claude monet, monet, renoir, soft morning "
        "light painting, pastel painting, painting at dawn, dabs of paint, lavender and gold "
        "painting, dreamy painting, soft brush strokes, water lilies, pastels",
    ),
    _style(
        "Expressionist",
        "expressionist",
        "a bold expressionist painting",
        "expressionist painting, expressionism, bold primary colours, kandinsky, red yellow "
        "and blue shapes, strong colours on black, abstract painting, bauhaus, modern art, "
        "franz marc, bold shapes of colour, abstract art, picasso",
    ),
    _style(
        "Inferno",
        "inferno",
        "burning inferno",
        "inferno, fire, flames, hell, burning red, lava, red hot embers, dragon fire, "
        "volcano, everything on fire, dark red flames, the devil, burning, blaze",
    ),
    _style(
        "Frost",
        "frost",
        "frozen in ice",
        "frost, ice, frozen, icy, winter, snow, cold and pale, covered in snow, snowy day, "
        "arctic, frosty glass, ice queen, blizzard, glacier, freezing cold",
    ),
    _style(
        "Fauvist",
        "fauvist",
        "a wild fauvist jungle",
        "fauvism, fauvist painting, matisse, jungle, wild green and red, gauguin, tropical "
        "painting, green forest painting, wild beasts of colour, rainforest, lush green, "
        "clashing green and red, tropics",
    ),
    _style(
        "Mosaic",
        "mosaic",
        "a byzantine mosaic",
        "mosaic, byzantine mosaic, roman mosaic, small tiles, mosaic tiles, made of little "
        "stones, tesserae, ceramic tiles, tiled wall, mosaic floor, bits of coloured stone, "
        "ravenna mosaic",
    ),
    _style(
        "Neon",
        "neon",
        "neon lights at night",
        "neon, neon lights, neon sign, cyberpunk, glowing outlines, tron, synthwave, electric "
        "glow on black, glowing edges, laser lines, vaporwave, blade runner, fluorescent "
        "tubes, light saber glow",
    ),
    _style(
        "Watercolour",
        "watercolour",
        "a soft watercolour",
        "watercolour, watercolor painting, aquarelle, soft washes of colour, wet paint on "
        "paper, pale watercolour, water colours, gentle wash, delicate watercolor, light "
        "washes on paper, painted with water colours, picture book illustration, loose "
        "watercolour sketch",
    ),
    _style(
        "Duotone",
        "duotone",
        "purple and orange duotone",
        "duotone, purple and orange, two tone, two colours, duotone print, risograph, orange "
        "and violet print, spotify cover, gradient map, two colour print, violet shadows and "
        "orange light, orange and purple, two tone picture",
    ),
    _style(
        "Moonlight",
        "moonlight",
        "blue moonlight",
        "moonlight, night, night time, blue night, in the dark, midnight, cold blue light, "
        "under the moon, day for night, late at night, dim blue light, full moon, dark night, "
        "after sunset in the dark",
    ),
    _style(
        "Pixel art",
        "pixel",
        "8-bit pixel art",
        "pixel art, 8 bit, 8-bit video game, pixels, 16 bit game, retro game, minecraft, "
        "blocky, big square blocks, pixelated, nintendo, arcade game, game boy, low "
        "resolution, sprite",
    ),
    _style(
        "Blueprint",
        "blueprint",
        "an architect's blueprint",
        "blueprint, white lines on blue, technical drawing, architect's plan, engineering "
        "drawing, construction plan, cyanotype, drafting paper, floor plan, schematic, blue "
        "plan with white lines, machine drawing",
    ),
    _style(
        "Chalkboard",
        "chalkboard",
        "chalk on a blackboard",
        "chalk, chalkboard, blackboard, chalk drawing, drawn with chalk, white chalk, school "
        "blackboard, chalk on a board, chalk lines on slate, classroom board, coloured chalk, "
        "cafe chalk menu",
    ),
    _style(
        "Golden statue",
        "gold",
        "a golden statue",
        "golden statue, gold, made of gold, solid gold, gold statue, bronze, brass sculpture, "
        "oscar statue, metal statue, gilded, cast in bronze, shiny gold, treasure, gold leaf",
    ),
    _style(
        "Clay",
        "clay",
        "a clay figure",
        "clay, plasticine, claymation, play dough, wallace and gromit, made of clay, "
        "modelling clay, stop motion puppet, clay figure, aardman, clay animation, moulded "
        "from plasticine, sculpted in clay",
    ),
    _style(
        "Thermal",
        "thermal",
        "a thermal camera",
        "thermal camera, thermal, heat map, infrared, heat vision, infrared camera, predator "
        "vision, false colours, temperature picture, body heat, heat camera, thermography, "
        "",
    ),
    _style(
        "Campaign poster",
        "poster",
        "a campaign poster in red and blue",
        "campaign poster, hope poster, obama hope, shepard fairey, red and blue poster, "
        "election poster, political poster, stencil poster, propaganda poster, poster in four "
        "flat colours, vote poster, red cream and navy poster, revolution poster",
    ),
    _style(
        "Film noir",
        "noir",
        "film noir",
        "film noir, noir, black and white film, black and white movie, old black and white "
        "film, high contrast black and white, monochrome, black and white photo, detective "
        "movie, hard shadows, grey photo, hitchcock, b&w",
    ),
    _style(
        "Old photo",
        "sepia",
        "a faded sepia photograph",
        "sepia, old photo, sepia photograph, vintage photograph, old photograph, faded photo, "
        "antique photo, photograph from 1900, brown faded picture, great grandmother's photo, "
        "daguerreotype, victorian photo, wild west photo",
    ),
    _style(
        "Newspaper",
        "halftone",
        "a newspaper halftone",
        "newspaper, halftone, newsprint, printed dots, black dots, newspaper photo, halftone "
        "dots, dot screen, old newspaper, front page picture, dotted print, print raster, ben "
        "day dots",
    ),
    _style(
        "Green screen",
        "phosphor",
        "an old green terminal",
        "green terminal, the matrix, matrix, hacker, green phosphor, old computer screen, crt "
        "monitor, green monitor, scan lines, green code, night vision, terminal, mainframe "
        "screen, fallout terminal",
    ),
    _style(
        "Stained glass",
        "stained",
        "a stained glass window",
        "stained glass, stained glass window, church window, cathedral window, leaded glass, "
        "coloured glass, glass panes, tiffany glass, gothic window, panes of coloured glass, "
        "chapel window, glass mosaic window",
    ),
    _style(
        "Ink wash",
        "inkwash",
        "a chinese ink wash painting",
        "ink wash, chinese ink painting, sumi-e, ink painting, brush and ink, black ink on "
        "rice paper, zen painting, chinese painting, japanese ink, ink and water, ink brush, "
        "diluted ink, calligraphy brush painting",
    ),
    _style(
        "Golden hour",
        "golden",
        "golden hour sunlight",
        "golden hour, sunset, warm sunlight, sunset light, low sun, warm evening light, "
        "evening sun, sunny, summer evening, sunrise glow, orange sunlight, warm glow, beach "
        "at sunset",
    ),
    _style(
        "Psychedelic",
        "psychedelic",
        "a psychedelic rainbow trip",
        "psychedelic, rainbow, acid trip, lsd, trippy, rainbow colours, hippie poster, "
        "sixties acid, all colours of the rainbow, woodstock, kaleidoscope, hallucination, "
        "liquid light show",
    ),
)
