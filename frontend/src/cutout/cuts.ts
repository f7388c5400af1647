/** What the mask does: where the style applies, or what stands where nobody is. */
export const CUTS = ["person", "background", "alone", "green"] as const;
export type Cut = (typeof CUTS)[number];
