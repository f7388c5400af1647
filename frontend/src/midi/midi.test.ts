import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { Midi, type Target } from "./midi";

/** A MIDIAccess as far as Midi needs it, with inputs that a test can play. */
class FakeAccess {
  onstatechange: (() => void) | null = null;
  inputs = new Map<string, { name: string; state: string; onmidimessage: ((event: { data: Uint8Array }) => void) | null }>();

  plug(name: string): void {
    this.inputs.set(name, { name, state: "connected", onmidimessage: null });
    this.onstatechange?.();
  }
  play(name: string, ...data: number[]): void {
    this.inputs.get(name)?.onmidimessage?.({ data: new Uint8Array(data) });
  }
}

function setUp() {
  const access = new FakeAccess();
  access.plug("nano");
  const strength = { id: "strength", label: "Strength", kind: "range", set: vi.fn() } satisfies Target;
  const steps = { id: "steps", label: "Steps", kind: "range", set: vi.fn() } satisfies Target;
  const bypass = { id: "bypass", label: "Bypass", kind: "switch", set: vi.fn(), toggle: vi.fn() } satisfies Target;
  const together = vi.fn((run: () => void) => run());
  const make = () => new Midi([strength, steps, bypass], together, () => Promise.resolve(access as unknown as MIDIAccess));
  return { access, strength, steps, bypass, together, make, midi: make() };
}

describe("Midi", () => {
  beforeEach(() => {
    localStorage.clear();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("takes the newest of many values", async () => {
    const { access, midi, strength } = setUp();
    await midi.start();
    midi.learn("strength");
    for (let value = 0; value < 100; value++) access.play("nano", 0xb0, 7, value);
    access.play("nano", 0xb0, 7, 127);
    vi.advanceTimersByTime(100);
    expect(strength.set.mock.calls).toEqual([[0], [1]]);
  });

  it("moves several knobs together, the last value of each", async () => {
    const { access, midi, strength, steps, together } = setUp();
    await midi.start();
    midi.learn("strength");
    access.play("nano", 0xb0, 7, 0);
    midi.learn("steps");
    access.play("nano", 0xb0, 8, 0);
    vi.advanceTimersByTime(100);
    together.mockClear();
    for (let value = 1; value < 128; value++) {
      access.play("nano", 0xb0, 7, value);
      access.play("nano", 0xb0, 8, value);
    }
    vi.advanceTimersByTime(100);
    expect(together).toHaveBeenCalledTimes(2); // the first value at once, then the newest of both
    expect(strength.set).toHaveBeenLastCalledWith(1);
    expect(steps.set).toHaveBeenLastCalledWith(1);
  });

  it("binds the next knob that is moved, and moves the control at once", async () => {
    const { access, midi, strength } = setUp();
    await midi.start();
    expect(midi.get()).toMatchObject({ status: "on", inputs: ["nano"] });
    access.play("nano", 0xb2, 21, 127);
    expect(strength.set).not.toHaveBeenCalled();

    midi.learn("strength");
    access.play("nano", 0xb2, 21, 127);
    expect(midi.get().learning).toBeNull();
    expect(midi.bindings.get()).toEqual([{ target: "strength", kind: "cc", channel: 3, number: 21 }]);
    expect(strength.set).toHaveBeenLastCalledWith(1);
    access.play("nano", 0xb2, 21, 0);
    vi.advanceTimersByTime(20);
    expect(strength.set).toHaveBeenLastCalledWith(0);
    access.play("nano", 0xb3, 21, 64); // another channel
    access.play("nano", 0xb2, 22, 64); // another knob
    expect(strength.set).toHaveBeenCalledTimes(2);
  });

  it("keeps bindings over a reload, and forgets one on demand", async () => {
    const { access, midi, make, strength } = setUp();
    await midi.start();
    midi.learn("strength");
    access.play("nano", 0xb0, 7, 10);

    const later = make();
    await later.start();
    access.play("nano", 0xb0, 7, 127);
    expect(strength.set).toHaveBeenLastCalledWith(1);
    later.forget("strength");
    access.play("nano", 0xb0, 7, 0);
    vi.advanceTimersByTime(20);
    expect(strength.set).toHaveBeenLastCalledWith(1);
    expect(make().bindings.get()).toEqual([]);
  });

  it("takes a knob from one control to another: a knob moves one thing", async () => {
    const { access, midi } = setUp();
    await midi.start();
    for (const target of ["strength", "bypass"]) {
      midi.learn(target);
      access.play("nano", 0xb0, 7, 10);
    }
    expect(midi.bindings.get().map(({ target }) => target)).toEqual(["bypass"]);
  });

  it("toggles a switch with a pad, and sets it with a knob", async () => {
    const { access, midi, bypass } = setUp();
    await midi.start();
    midi.learn("bypass");
    access.play("nano", 0x80, 36, 64); // letting a pad go is no press
    access.play("nano", 0x90, 36, 0); // nor is this, which means the same
    access.play("nano", 0xf8); // the clock
    expect(midi.get().learning).toBe("bypass");
    access.play("nano", 0x90, 36, 90);
    access.play("nano", 0x90, 36, 90);
    expect(bypass.toggle).toHaveBeenCalledTimes(2);

    midi.learn("bypass");
    access.play("nano", 0xb0, 1, 80);
    access.play("nano", 0xb0, 1, 20);
    expect(bypass.set.mock.calls).toEqual([[1], [0]]);
  });

  it("changes a switch once however many values its knob sends", async () => {
    const { access, midi, bypass } = setUp();
    await midi.start();
    midi.learn("bypass");
    for (let value = 0; value < 128; value++) access.play("nano", 0xb0, 1, value);
    expect(bypass.set.mock.calls).toEqual([[0], [1]]);
  });

  it("hears a controller that is plugged in later", async () => {
    const { access, midi, strength } = setUp();
    await midi.start();
    midi.learn("strength");
    access.plug("late");
    access.play("late", 0xb0, 1, 127);
    expect(strength.set).toHaveBeenCalledWith(1);
    expect(midi.get().inputs).toEqual(["nano", "late"]);
  });

  it("says when the browser has no MIDI or gives none", async () => {
    expect(new Midi([], (run) => run(), null).get().status).toBe("unsupported");
    const refused = new Midi([], (run) => run(), () => Promise.reject(new DOMException("no", "NotAllowedError")));
    await refused.start();
    expect(refused.get().status).toBe("refused");
  });

  it("ignores kept bindings that are none", () => {
    localStorage.setItem("restyle.midi", '[{"target": 1}, null, {"target": "a", "kind": "cc", "channel": 1, "number": 2}]');
    expect(setUp().midi.bindings.get()).toHaveLength(1);
  });
});
