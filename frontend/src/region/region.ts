import { Store } from "@/store";

/** Whom the style is for; what a brush painted limits it further. */
const WHERE = ["everywhere", "person", "background"] as const;
export type Where = (typeof WHERE)[number];

/** What is seen where the style does not apply. `overlays`: nothing, and overlays see nothing too. */
const OUTSIDE = ["camera", "nothing", "green", "overlays"] as const;
export type Outside = (typeof OUTSIDE)[number];

export type Tool = "off" | "paint" | "erase";

export interface Region {
  readonly where: Where;
  readonly outside: Outside;
  readonly tool: Tool;
  /** Of the brush: its radius as a share of the picture's height. */
  readonly radius: number;
  /** Something was painted or erased. */
  readonly painted: boolean;
}

const EVERYWHERE: Region = { where: "everywhere", outside: "camera", tool: "off", radius: 0.12, painted: false };
const KEPT = "restyle.region";

/** Say whether there is a place where the style does not apply. */
export const isLimited = ({ where, painted }: Region): boolean => where !== "everywhere" || painted;

/** Say whether the result must be put together in the page. */
export const isComposed = (region: Region): boolean => isLimited(region) || region.tool !== "off";

/** Where the style applies; kept over a reload, until the session ends. Knows nothing of React. */
export class RegionStore extends Store<Region> {
  constructor() {
    super(recall());
  }

  /** Cutting something out means the person, unless something was chosen; nothing limited, nothing to cut out. */
  change(patch: Partial<Region>): void {
    const next = { ...this.view, ...patch };
    const cut = next.outside !== "camera" && !isLimited(next);
    if (cut && patch.outside !== undefined) this.keep({ ...next, where: "person" });
    else this.keep(cut ? { ...next, outside: "camera" } : next);
  }

  /** Take the brush, or lay it down. */
  readonly toggleBrush = (): void => this.change({ tool: this.view.tool === "off" ? "paint" : "off" });

  reset(): void {
    this.keep(EVERYWHERE);
  }

  private keep(region: Region): void {
    sessionStorage.setItem(KEPT, JSON.stringify({ ...region, tool: "off" }));
    this.set(region);
  }
}

function recall(): Region {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") as Partial<Record<keyof Region, unknown>>;
    return {
      ...EVERYWHERE,
      where: WHERE.find((each) => each === kept.where) ?? EVERYWHERE.where,
      outside: OUTSIDE.find((each) => each === kept.outside) ?? EVERYWHERE.outside,
      painted: kept.painted === true,
    };
  } catch {
    return EVERYWHERE;
  }
}
