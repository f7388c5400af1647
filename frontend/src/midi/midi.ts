import { Store } from "@/store";
import { KeptList } from "@/style/kept-list";

/** Something that a knob or a pad can be bound to. */
export interface Target {
  readonly id: string;
  readonly label: string;
  /** A switch is on from the middle of a knob up, and changes with each press of a pad. */
  readonly kind: "range" | "switch";
  /** Go to a place of the range, 0 to 1; a switch: 0 or 1. */
  set(share: number): void;
  /** What a press of a pad does to a switch. */
  toggle?(): void;
}

/** A control change or a note that moves a target. */
export interface Binding {
  readonly target: string;
  readonly kind: "cc" | "note";
  readonly channel: number; // 1 to 16
  readonly number: number; // 0 to 127
}

export interface MidiState {
  readonly status: "off" | "asking" | "on" | "unsupported" | "refused";
  readonly inputs: readonly string[];
  /** The target that takes the next knob that is moved. */
  readonly learning: string | null;
}

export type AskMidi = () => Promise<MIDIAccess>;

const EVERY = 20; // ms: a knob may send hundreds of values a second, the newest of them counts
const CONTROL_CHANGE = 0xb0;
const NOTE_ON = 0x90;

/** How this browser gives MIDI; null where it has none. */
export function browserMidi(): AskMidi | null {
  return "requestMIDIAccess" in navigator ? () => navigator.requestMIDIAccess() : null;
}

/** Binds what a MIDI controller sends to targets; the bindings outlive a reload. */
export class Midi extends Store<MidiState> {
  readonly bindings = new KeptList<Binding>("restyle.midi", isBinding);
  private readonly ask: AskMidi | null;
  private readonly targets: readonly Target[];
  private readonly together: (run: () => void) => void;
  private readonly waiting = new Map<Target, number>();
  private readonly sides = new Map<Target, 0 | 1>(); // of switches: the half where their knob is
  private timer = 0;

  /** `together`: runs what moves several targets, as one change of the style. */
  constructor(targets: readonly Target[], together: (run: () => void) => void, ask = browserMidi()) {
    super({ status: ask ? "off" : "unsupported", inputs: [], learning: null });
    this.targets = targets;
    this.together = together;
    this.ask = ask;
  }

  /** Ask for MIDI and listen to every input, also those that are plugged in later. */
  async start(): Promise<void> {
    if (!this.ask || this.view.status === "asking" || this.view.status === "on") return;
    this.set({ status: "asking" });
    try {
      const access = await this.ask();
      access.onstatechange = () => this.listen(access);
      this.set({ status: "on" });
      this.listen(access);
    } catch {
      this.set({ status: "refused" });
    }
  }

  /** The next knob or pad that moves is this target's; null: none. */
  learn(target: string | null): void {
    this.set({ learning: target });
  }

  forget(target: string): void {
    this.bindings.set(this.bindings.get().filter((binding) => binding.target !== target));
  }

  private listen(access: MIDIAccess): void {
    const inputs = [...access.inputs.values()].filter(({ state }) => state === "connected");
    for (const input of inputs) {
      input.onmidimessage = ({ data }) => {
        if (data) this.receive(data);
      };
    }
    this.set({ inputs: inputs.map(({ name }) => name ?? "MIDI") });
  }

  private receive(data: Uint8Array): void {
    const [status = 0, number = 0, value = 0] = data;
    const command = status & 0xf0;
    if (data.length < 3 || (command !== CONTROL_CHANGE && (command !== NOTE_ON || value === 0))) return;
    const kind = command === CONTROL_CHANGE ? "cc" : "note";
    const moved = { kind, channel: (status & 0x0f) + 1, number } as const;
    const { learning } = this.view;
    if (learning !== null) {
      const others = this.bindings.get().filter(({ target }) => target !== learning);
      this.bindings.set([...others.filter((other) => !same(other, moved)), { ...moved, target: learning }]);
      this.sides.clear();
      this.set({ learning: null });
    }
    const bound = this.bindings.get().find((binding) => same(binding, moved));
    const target = this.targets.find(({ id }) => id === bound?.target);
    if (!target) return;
    if (target.kind === "switch") this.press(target, kind, value / 127);
    else if (this.timer === 0) this.move(new Map([[target, value / 127]]));
    else this.waiting.set(target, value / 127);
  }

  /** A knob that is turned sends many values on one side of its middle: the switch changes once. */
  private press(target: Target, kind: Binding["kind"], share: number): void {
    if (kind === "note") {
      target.toggle?.();
      return;
    }
    const side = share >= 0.5 ? 1 : 0;
    if (this.sides.get(target) === side) return;
    this.sides.set(target, side);
    target.set(side);
  }

  /** Move now, then whatever came meanwhile. */
  private move(shares: ReadonlyMap<Target, number>): void {
    this.together(() => {
      for (const [target, share] of shares) target.set(share);
    });
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      if (this.waiting.size === 0) return;
      const next = new Map(this.waiting);
      this.waiting.clear();
      this.move(next);
    }, EVERY);
  }
}

const same = (one: Omit<Binding, "target">, other: Omit<Binding, "target">): boolean =>
  one.kind === other.kind && one.channel === other.channel && one.number === other.number;

function isBinding(item: unknown): item is Binding {
  if (typeof item !== "object" || item === null) return false;
  const { target, kind, channel, number } = item as Record<string, unknown>;
  return (
    typeof target === "string" &&
    (kind === "cc" || kind === "note") &&
    Number.isInteger(channel) &&
    Number.isInteger(number)
  );
}
