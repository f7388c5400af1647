import type { Viewer } from "./peer-call";

/** Name the overlay page of a session, or of its name, which the next one may have too; the token is in the fragment, which no server logs. */
export function overlayLink(origin: string, { id, name, token }: Viewer): string {
  return `${origin}/overlay/${encodeURIComponent(name ?? id)}#token=${encodeURIComponent(token)}`;
}
