import type { Style } from "@/api/client";
import { STRINGS } from "@/strings";

import { KeptList } from "./kept-list";
import { NoStyle, checkStyle } from "./style-check";
import { DEFAULTS } from "./style-store";

/** A style with a name. */
export interface Look {
  readonly name: string;
  readonly style: Style;
}

const KIND = "restyle-looks";
export const LONGEST_NAME = 60;
const LARGEST = 1_000_000; // bytes: over a thousand looks

export const newLooks = (): KeptList<Look> => new KeptList("restyle.looks", isLook);

/** Put a look in by its name: a look of the same name is replaced. */
export function put(looks: readonly Look[], look: Look): readonly Look[] {
  const others = looks.filter(({ name }) => name !== look.name);
  return [...others, look].sort((one, other) => one.name.localeCompare(other.name));
}

/** Write looks as the file that parseLooks reads. */
export const writeLooks = (looks: readonly Look[]): string =>
  JSON.stringify({ kind: KIND, version: 1, looks }, null, 2);

/** Read a file that somebody chose. Throws NoStyle, before it reads one that is too large. */
export async function readLooks(file: File): Promise<readonly Look[]> {
  if (file.size > LARGEST) throw new NoStyle(STRINGS.wrong.tooLarge(LARGEST / 1e6));
  return parseLooks(await file.text());
}

/** Read the text of such a file; all or nothing. Throws NoStyle, which says what is wrong and where. */
export function parseLooks(text: string): readonly Look[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new NoStyle(STRINGS.wrong.noFile);
  }
  if (!isRecord(file) || file.kind !== KIND || !Array.isArray(file.looks)) {
    throw new NoStyle(STRINGS.wrong.noLooks(KIND));
  }
  if (file.version !== 1) {
    throw new NoStyle(STRINGS.wrong.value("version", JSON.stringify(file.version ?? null), "1"));
  }
  return file.looks.map((look, index) => checkLook(look, `look ${index + 1}`));
}

function checkLook(given: unknown, place: string): Look {
  if (!isRecord(given) || !isName(given.name)) {
    throw new NoStyle(`${place}: ${STRINGS.wrong.noName(LONGEST_NAME)}`);
  }
  try {
    return { name: given.name, style: checkStyle(given.style, DEFAULTS) };
  } catch (error) {
    throw new NoStyle(`${place} '${given.name}': ${(error as Error).message}`);
  }
}

/** Say whether it is a look; one that another version of the page kept may be none any more. */
export function isLook(item: unknown): item is Look {
  try {
    checkLook(item, "kept");
    return true;
  } catch (error) {
    if (error instanceof NoStyle) return false; // the list counts it, and the panel tells
    throw error;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const isName = (value: unknown): value is string =>
  typeof value === "string" && value.trim() !== "" && value.length <= LONGEST_NAME;

/** The looks that are saved in this browser; read at once, so after all that checks them. */
export const savedLooks = newLooks();
