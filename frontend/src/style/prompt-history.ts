import { KeptList } from "./kept-list";

const LENGTH = 20;

export const newHistory = (): KeptList<string> =>
  new KeptList("restyle.prompts", (item): item is string => typeof item === "string" && item !== "");

/** Put a prompt first, once; the oldest goes when there are too many. */
export function remember(history: readonly string[], prompt: string): readonly string[] {
  const text = prompt.trim();
  if (text === "" || text === history[0]) return history;
  return [text, ...history.filter((old) => old !== text)].slice(0, LENGTH);
}
