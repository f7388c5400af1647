import type { Viewer } from "@/call/peer-call";

/** Name the overlay page of a session; the token is in the fragment, which no server logs. */
export function overlayLink(origin: string, { id, token }: Viewer): string {
  return `${origin}/overlay/${encodeURIComponent(id)}#token=${encodeURIComponent(token)}`;
}
