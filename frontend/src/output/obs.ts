import type OBSWebSocket from "obs-websocket-js/json";

import { STRINGS } from "@/strings";
import { Store } from "@/store";

const TEXT = STRINGS.obsAdd;
const NAME = "Restyle"; // by it the source is found again
const KIND = "browser_source";
const ANSWER_IN = 5000; // ms for everything
// Source: obs-websocket 5, docs/generated/protocol.md (WebSocketCloseCode, RequestStatus)
const AUTHENTICATION_FAILED = 4009;
const NAME_TAKEN = 601;

/** The part of OBS's client that is used here. */
export type Obs = Pick<OBSWebSocket, "connect" | "call" | "disconnect">;

/** What OBS is to show: an overlay page, whose address is asked for once OBS is there; its size in pixels, its pictures a second. */
export interface BrowserSource {
  readonly address: () => Promise<string>;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

export interface ObsView {
  readonly busy: boolean;
  /** What came of it, or why nothing did. */
  readonly said: string;
}

/** Pictures a second of a stream within what OBS takes, 1 to 60; 30 where the browser does not say. */
export function fpsOf(stream: MediaStream): number {
  const rate = stream.getVideoTracks()[0]?.getSettings().frameRate;
  return rate ? Math.min(60, Math.max(1, Math.round(rate))) : 30;
}

/** Puts an overlay into the OBS of this machine. Keeps no password and knows nothing of React. */
export class ObsAdder extends Store<ObsView> {
  private readonly load: () => Promise<Obs>;

  constructor(load = loadClient) {
    super({ busy: false, said: "" });
    this.load = load;
  }

  /** Make the source in OBS's current scene, or point the one that is there to this overlay. */
  async add(source: BrowserSource | null, port: number, password: string): Promise<void> {
    if (this.view.busy) return;
    if (!source) {
      this.set({ busy: false, said: TEXT.notLive });
      return;
    }
    this.set({ busy: true, said: TEXT.busy });
    this.set({ busy: false, said: await this.ask(source, port, password) });
  }

  private async ask(source: BrowserSource, port: number, password: string): Promise<string> {
    let obs: Obs;
    try {
      obs = await this.load();
    } catch {
      return TEXT.notLoaded;
    }
    try {
      return await Promise.race([put(obs, source, port, password), silence(port)]);
    } catch (error) {
      return explain(error, port);
    } finally {
      void obs.disconnect();
    }
  }
}

/** Load it when somebody asks for it: most never do. */
async function loadClient(): Promise<Obs> {
  const { default: Client } = await import("obs-websocket-js/json");
  return new Client();
}

async function put(obs: Obs, source: BrowserSource, port: number, password: string): Promise<string> {
  // always this machine: the page's policy allows no other address
  await obs.connect(`ws://127.0.0.1:${port}`, password, { eventSubscriptions: 0 });
  const { inputKinds } = await obs.call("GetInputKindList");
  if (!inputKinds.includes(KIND)) return TEXT.noBrowser;
  const { currentProgramSceneName: sceneName } = await obs.call("GetCurrentProgramScene");
  const { inputs } = await obs.call("GetInputList", { inputKind: KIND });
  const { address, ...shown } = source;
  const inputSettings = { url: await address(), ...shown, fps_custom: true };
  if (!inputs.some(({ inputName }) => inputName === NAME)) {
    await obs.call("CreateInput", { sceneName, inputName: NAME, inputKind: KIND, inputSettings });
    return TEXT.added(NAME, sceneName);
  }
  await obs.call("SetInputSettings", { inputName: NAME, inputSettings });
  const { sceneItems } = await obs.call("GetSceneItemList", { sceneName });
  if (!sceneItems.some(({ sourceName }) => sourceName === NAME)) {
    await obs.call("CreateSceneItem", { sceneName, sourceName: NAME });
  }
  return TEXT.updated(NAME, sceneName);
}

/** OBS's client waits without end for an answer, also of something that is not OBS. */
const silence = (port: number): Promise<string> =>
  new Promise((resolve) => window.setTimeout(() => resolve(TEXT.silent(port)), ANSWER_IN));

/** Codes below 1000 are of requests, from 4000 on of OBS hanging up; the rest is of the browser: nobody there. */
function explain(error: unknown, port: number): string {
  const { code, message } = error as { code?: unknown; message: string };
  if (code === AUTHENTICATION_FAILED) return TEXT.wrongPassword;
  if (code === NAME_TAKEN) return TEXT.nameTaken(NAME);
  const ofObs = typeof code === "number" && ((code >= 100 && code < 1000) || code >= 4000);
  return ofObs ? TEXT.refused(message, code) : TEXT.noObs(port);
}
