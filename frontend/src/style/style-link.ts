import type { Style } from "@/api/client";
import { STRINGS } from "@/strings";

import { NoStyle, checkStyle } from "./style-check";

const KEY = "style";

/** Write the whole style into an address; bypass is not part of a look. */
export function styleLink(page: string, style: Style): string {
  const look = { ...style, bypass: undefined };
  return `${page}#${KEY}=${encodeURIComponent(JSON.stringify(look))}`;
}

/** Read the style out of a fragment; null when it carries none. Throws NoStyle. */
export function readStyleLink(hash: string, base: Style): Style | null {
  const written = fragment(hash).find((part) => part.startsWith(`${KEY}=`));
  if (written === undefined) return null;
  let given: unknown;
  try {
    given = JSON.parse(decodeURIComponent(written.slice(KEY.length + 1)));
  } catch {
    throw new NoStyle(STRINGS.wrong.noJson);
  }
  return checkStyle(given, base);
}

/** Give the fragment without the style, so that a reload does not apply it again. */
export function withoutStyle(hash: string): string {
  const rest = fragment(hash).filter((part) => part !== "" && !part.startsWith(`${KEY}=`));
  return rest.length > 0 ? `#${rest.join("&")}` : "";
}

const fragment = (hash: string): string[] => hash.replace(/^#/, "").split("&");
