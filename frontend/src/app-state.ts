import { Live } from "@/call/live";
import { Midi } from "@/midi/midi";
import { Morph } from "@/play/morph";
import { Player, newTimeline } from "@/play/timeline";
import { Brush } from "@/region/brush";
import { RegionStore } from "@/region/region";
import { takeStyleLink } from "@/style/link-notice";
import { StyleStore } from "@/style/style-store";

import { targetsOf } from "./targets";

/** What there is once a page; React only shows it. */
export const style = new StyleStore();
/** What was wrong with the style link that opened the page. */
export const linkProblem = takeStyleLink(style);
export const live = new Live(style);
export const morph = new Morph(style);
export const player = new Player(style);
export const timeline = newTimeline();
export const targets = targetsOf(style, morph);
export const midi = new Midi(targets, style.together);
export const region = new RegionStore();
export const brush = new Brush();
