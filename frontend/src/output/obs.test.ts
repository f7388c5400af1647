import { describe, expect, it, vi } from "vitest";

import { type BrowserSource, type Obs, ObsAdder, fpsOf } from "./obs";

const URL = "http://127.0.0.1:8000/overlay/a#token=b";
const SHOWN = { width: 512, height: 512, fps: 25 };
const SOURCE: BrowserSource = { address: () => Promise.resolve(URL), ...SHOWN };
const SETTINGS = { url: URL, ...SHOWN, fps_custom: true };

/** An OBS that notes what it is asked; `refusals` has the code that a request or `connect` fails with. */
class FakeObs {
  kinds = ["ffmpeg_source", "browser_source"];
  inputs: string[] = [];
  inScene: string[] = [];
  refusals: Record<string, number> = {};
  readonly asked: unknown[][] = [];
  closed = 0;

  connect = (...given: unknown[]) => this.answer("connect", given, {});

  call = (request: string, data: { inputName?: string; sourceName?: string } = {}) => {
    const answers: Record<string, unknown> = {
      GetInputKindList: { inputKinds: this.kinds },
      GetCurrentProgramScene: { currentProgramSceneName: "Stage" },
      GetInputList: { inputs: this.inputs.map((inputName) => ({ inputName })) },
      GetSceneItemList: { sceneItems: this.inScene.map((sourceName) => ({ sourceName })) },
    };
    return this.answer(request, [data], answers[request] ?? {});
  };

  disconnect = () => {
    this.closed += 1;
    return Promise.resolve();
  };

  /** What it was asked to do, without what it was asked about. */
  get done(): unknown[][] {
    return this.asked.filter(([request]) => !String(request).startsWith("Get"));
  }

  private answer(request: string, given: unknown[], answer: unknown): Promise<unknown> {
    this.asked.push([request, ...given]);
    const code = this.refusals[request];
    return code === undefined
      ? Promise.resolve(answer)
      : Promise.reject(Object.assign(new Error(`of ${request}`), { code }));
  }
}

const adderOf = (obs: FakeObs): ObsAdder => new ObsAdder(() => Promise.resolve(obs as unknown as Obs));

describe("an overlay that is put into OBS", () => {
  it("is a new browser source of the current scene", async () => {
    const obs = new FakeObs();
    const adder = adderOf(obs);
    await adder.add(SOURCE, 4455, "secret");
    expect(obs.done).toEqual([
      ["connect", "ws://127.0.0.1:4455", "secret", { eventSubscriptions: 0 }],
      ["CreateInput", { sceneName: "Stage", inputName: "Restyle", inputKind: "browser_source", inputSettings: SETTINGS }],
    ]);
    expect(adder.get()).toEqual({ busy: false, said: "OBS has a new source 'Restyle' in the scene 'Stage'." });
    expect(obs.closed).toBe(1);
  });

  it("takes the place of the one before", async () => {
    const obs = new FakeObs();
    obs.inputs = obs.inScene = ["Restyle"];
    const adder = adderOf(obs);
    await adder.add(SOURCE, 4455, "");
    expect(obs.done.slice(1)).toEqual([["SetInputSettings", { inputName: "Restyle", inputSettings: SETTINGS }]]);
    expect(adder.get().said).toContain("shows this session now");
  });

  it("is brought into the current scene where the one before is in another", async () => {
    const obs = new FakeObs();
    obs.inputs = ["Restyle"];
    await adderOf(obs).add(SOURCE, 4455, "");
    expect(obs.done.at(-1)).toEqual(["CreateSceneItem", { sceneName: "Stage", sourceName: "Restyle" }]);
  });

  it("is asked for once at a time", async () => {
    const obs = new FakeObs();
    const adder = adderOf(obs);
    const first = adder.add(SOURCE, 4455, "");
    expect(adder.get().busy).toBe(true);
    await Promise.all([first, adder.add(SOURCE, 4455, "")]);
    expect(obs.done.filter(([request]) => request === "CreateInput")).toHaveLength(1);
  });
});

describe("what is in the way", () => {
  it.each([
    ["nobody listens", { connect: 1006 }, "No OBS answers on port 4460"],
    ["the address is no OBS", { connect: -1 }, "No OBS answers on port 4460"],
    ["the password is wrong", { connect: 4009 }, "does not take this password"],
    ["OBS hangs up for another reason", { connect: 4010 }, "OBS refused: of connect (4010)"],
    ["the name is taken", { CreateInput: 601 }, "something else by the name 'Restyle'"],
    ["OBS is not ready", { GetCurrentProgramScene: 207 }, "OBS refused: of GetCurrentProgramScene (207)"],
  ])("is said: %s", async (_, refusals, said) => {
    const obs = new FakeObs();
    obs.refusals = refusals;
    const adder = adderOf(obs);
    await adder.add(SOURCE, 4460, "");
    expect(adder.get().said).toContain(said);
    expect(adder.get().busy).toBe(false);
    expect(obs.closed).toBe(1);
  });

  it("is said: this OBS has no Browser Source, and nothing is changed there", async () => {
    const obs = new FakeObs();
    obs.kinds = ["ffmpeg_source"];
    const adder = adderOf(obs);
    const address = vi.fn(SOURCE.address);
    await adder.add({ ...SOURCE, address }, 4455, "");
    expect(adder.get().said).toContain("no Browser Source");
    expect(obs.done).toHaveLength(1);
    expect(address).not.toHaveBeenCalled(); // nor is a link kept that nobody uses
  });

  it("is said: there is no picture yet, and OBS is not asked", async () => {
    const obs = new FakeObs();
    const adder = adderOf(obs);
    await adder.add(null, 4455, "");
    expect(adder.get().said).toContain("no picture");
    expect(obs.asked).toEqual([]);
  });

  it("is said: something listens and never answers", async () => {
    vi.useFakeTimers();
    const obs = new FakeObs();
    obs.connect = () => new Promise(() => undefined);
    const adder = adderOf(obs);
    const asked = adder.add(SOURCE, 4455, "");
    await vi.advanceTimersByTimeAsync(5000);
    await asked;
    vi.useRealTimers();
    expect(adder.get().said).toContain("does not answer as OBS does");
    expect(obs.closed).toBe(1);
  });

  it("is said: the page is cut off from what it needs to load", async () => {
    const adder = new ObsAdder(() => Promise.reject(new TypeError("Failed to fetch")));
    await adder.add(SOURCE, 4455, "");
    expect(adder.get().said).toContain("could not load");
  });
});

describe("pictures a second", () => {
  it.each([
    [29.97, 30],
    [120, 60],
    [0.2, 1],
    [undefined, 30],
  ])("of a source with %s are %s in OBS", (frameRate, fps) => {
    const stream = { getVideoTracks: () => [{ getSettings: () => ({ frameRate }) }] };
    expect(fpsOf(stream as unknown as MediaStream)).toBe(fps);
  });
});
