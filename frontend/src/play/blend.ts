/** One prompt of several that make up a picture, and how much it counts. */
export interface Part {
  readonly text: string;
  readonly weight: number;
}

export const LONGEST = 500; // characters of a prompt that the server takes
const AND = /(?<![\p{L}\p{N}_])AND(?![\p{L}\p{N}_])/u;
const WEIGHTED = /^(?<text>.*?)\s*:\s*(?<weight>\d*\.?\d+)\s*$/s;

/** Split "ink:2 AND neon:1" as the server does (pipeline/prompts.py); the largest weight becomes 1. */
export function parseBlend(prompt: string): Part[] {
  const texts = prompt.split(AND).map((part) => part.trim().replace(/\s+/g, " "));
  if (texts.length === 1) return [{ text: texts[0] ?? "", weight: 1 }];
  const parts = texts.map((text) => {
    const found = WEIGHTED.exec(text)?.groups;
    return found ? { text: found.text ?? "", weight: Number(found.weight) } : { text, weight: 1 };
  });
  const most = Math.max(...parts.map(({ weight }) => weight));
  return parts.map(({ text, weight }) => ({ text, weight: most > 0 ? weight / most : 0 }));
}

/** Write parts as a prompt; a part without words is left out. */
export function writeBlend(parts: readonly Part[]): string {
  const worded = parts.filter(({ text }) => text.trim() !== "");
  if (worded.length < 2) return worded[0]?.text.trim() ?? "";
  return worded.map(({ text, weight }) => `${text.trim()}:${rounded(weight)}`).join(" AND ");
}

/** Say what each part makes up of the picture, 0 to 1. */
export function sharesOf(parts: readonly Part[]): number[] {
  const counted = parts.map(({ text, weight }) => (text.trim() === "" ? 0 : weight));
  const total = counted.reduce((sum, weight) => sum + weight, 0);
  return counted.map((weight) => (total > 0 ? weight / total : 0));
}

/** Mix two prompts, each of which may be a blend: 0 gives the one, 1 the other. */
export function mixPrompts(one: string, other: string, share: number): string {
  if (share <= 0 || one === other) return one;
  if (share >= 1) return other;
  const weighted = (prompt: string, of: number): Part[] => {
    const parts = parseBlend(prompt);
    return sharesOf(parts).map((part, index) => ({ text: parts[index]?.text ?? "", weight: part * of }));
  };
  const mixed = new Map<string, number>();
  for (const { text, weight } of [...weighted(one, 1 - share), ...weighted(other, share)]) {
    if (text !== "" && weight > 0) mixed.set(text, (mixed.get(text) ?? 0) + weight);
  }
  return writeShort([...mixed].map(([text, weight]) => ({ text, weight })));
}

/** Write parts as a prompt that the server takes: the lightest are left out of one that is too long. */
function writeShort(parts: readonly Part[]): string {
  const heaviest = [...parts].sort((a, b) => b.weight - a.weight);
  while (heaviest.length > 1) {
    const text = writeBlend(parts.filter((part) => heaviest.includes(part)));
    if (text.length <= LONGEST) return text;
    heaviest.pop();
  }
  return heaviest[0]?.text ?? "";
}

const rounded = (weight: number): number => Math.round(weight * 1000) / 1000;
