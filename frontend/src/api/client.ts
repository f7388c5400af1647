import type { components } from "./schema.gen";

export type Schemas = components["schemas"];
export type Style = Schemas["Style"];
export type StylePatch = Partial<Schemas["StylePatch"]>;
export type Info = Schemas["Info"];
export type Answer = Schemas["Answer"];
export type Stats = Schemas["Stats"];
export type ClientMessage =
  | Schemas["Ping"]
  | Schemas["SizeMessage"]
  | Schemas["MatteMessage"]
  | (Omit<Schemas["StyleMessage"], "style"> & { style: StylePatch });
export type ServerMessage = Schemas["ServerMessage"];
export type Matte = Schemas["MatteChange"]["matte"];
export type EngineState = Schemas["StatsMessage"]["engine"];
export type NameInForce = Schemas["NameInForce"];
export type SessionState = Schemas["SessionState"];
export type NewSource = Pick<Schemas["SourceOffer"], "kind" | "at"> & { style: StylePatch };
export type OutputState = Schemas["OutputState"];
export type OutputKind = OutputState["kind"];
export type OutputList = Schemas["OutputList"];
export type NewOutput =
  | Schemas["NewRecording"]
  | Schemas["NewVirtualCamera"]
  | Schemas["NewRtmp"]
  | Schemas["NewSrt"];

/** What the server refused, in its own words; status 0 when nobody answered. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: number | undefined;
  /** Under which the server's log has it. */
  readonly id: string | undefined;

  constructor(status: number, code: string, detail: string, retryAfter?: number, id?: string) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
    this.id = id;
  }
}

const TOKEN = "restyle.token";

export const readToken = (): string | null => localStorage.getItem(TOKEN);
export const keepToken = (token: string): void => localStorage.setItem(TOKEN, token);
export const forgetToken = (): void => localStorage.removeItem(TOKEN);

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { authorization: `Bearer ${readToken() ?? ""}` };
  const sent = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
  if (sent !== undefined) headers["content-type"] = sent instanceof Blob ? sent.type : "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, { method, headers, ...(sent === undefined ? {} : { body: sent }) });
  } catch {
    throw new Refused(0, "unreachable", "The server does not answer.");
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  throw await refusalOf(answer);
}

async function refusalOf(answer: Response): Promise<Refused> {
  const wait = Number(answer.headers.get("retry-after"));
  const after = Number.isFinite(wait) && wait > 0 ? wait : undefined;
  try {
    const problem = (await answer.json()) as Schemas["Problem"];
    return new Refused(answer.status, problem.code, problem.detail, after, problem.request_id);
  } catch {
    return new Refused(answer.status, "unknown", answer.statusText, after);
  }
}

export async function getInfo(): Promise<Info> {
  const info = await call<Info>("GET", "/api/info");
  noteRelays(info.ice_servers);
  return info;
}

const FRESH = 3_600_000; // ms; the passwords of relays end after hours
let told: { relays: Answer["ice_servers"]; at: number } | null = null;

const noteRelays = (relays: Answer["ice_servers"]): void => {
  told = { relays, at: performance.now() };
};

/** Give what a call may connect by, where it does not reach the server itself. Throws Refused. */
export async function iceServers(): Promise<RTCIceServer[]> {
  const fresh = told !== null && performance.now() - told.at < FRESH;
  const known = fresh && told ? told.relays : (await getInfo()).ice_servers;
  return known.map(({ urls, username, credential }) =>
    username && credential ? { urls, username, credential } : { urls },
  );
}

/** What comes with an offer; `resume` of the answer before brings that session back. */
export interface Wishes {
  readonly style: StylePatch;
  readonly resume: string | null;
  readonly matte: Matte;
  readonly name: string | null; // under which it is watched, too
}

export async function postOffer(sdp: string, wishes: Wishes): Promise<Answer> {
  const answer = await call<Answer>("POST", "/api/sessions", { sdp, type: "offer", ...wishes });
  noteRelays(answer.ice_servers); // for the next call
  return answer;
}

const sessionAt = (id: string): string => `/api/sessions/${encodeURIComponent(id)}`;

/** Give a session another name, or none: then links given so far let nobody in any more. */
export const nameSession = (session: string, name: string | null): Promise<NameInForce> =>
  call("PUT", `${sessionAt(session)}/name`, { name });

/** Give every session of the server, whoever made it. */
export const listSessions = async (): Promise<readonly SessionState[]> =>
  (await call<Schemas["SessionList"]>("GET", "/api/sessions")).sessions;

/** Make a session of what the server finds by itself. Throws Refused for what no setting allows. */
export const openSource = (source: NewSource): Promise<unknown> => call("POST", "/api/sources", source);

/** Ask which of the model's styles a picture looks like. Throws Refused. */
export const readReference = (picture: Blob): Promise<Schemas["StyleOfPicture"]> =>
  call("POST", "/api/reference", picture);

export const restyleSession = (id: string, style: StylePatch): Promise<unknown> =>
  call("PATCH", sessionAt(id), style);

export const endSession = (id: string): Promise<unknown> => call("DELETE", sessionAt(id));

/** Start the engine again after the server gave it up. Throws Refused. */
export const restartEngine = (): Promise<void> => call("POST", "/api/engine/restart");

const outputs = (session: string): string => `${sessionAt(session)}/outputs`;

export const listOutputs = (session: string): Promise<OutputList> => call("GET", outputs(session));

export const startOutput = (session: string, wanted: NewOutput): Promise<OutputState> =>
  call("POST", outputs(session), wanted);

export const endOutput = (session: string, id: string): Promise<OutputState> =>
  call("DELETE", `${outputs(session)}/${encodeURIComponent(id)}`);

/** Give a session's place back; also while the page goes away. */
export function deleteSession(id: string, token: string): void {
  void fetch(sessionAt(id), {
    method: "DELETE",
    headers: { authorization: `Bearer ${token}` },
    keepalive: true,
  }).catch(() => undefined); // the server frees it by itself within seconds
}

/** Give the one-time code of a printed link, or of the fragment of one; null where there is none. */
export const codeIn = (text: string): string | null => new URLSearchParams(text.split("#").at(-1)).get("code");

/** Exchange the code in the address for the token, and take it out of there. */
export async function redeemLink(): Promise<void> {
  const code = codeIn(location.hash);
  if (code === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await redeem(code);
  } catch (error) {
    // an old link in a browser that already holds the token does no harm
    if (readToken() === null) throw error;
  }
}

/** Keep what a person pasted: the token, or what a whole link gives. Throws Refused. */
export async function enter(pasted: string): Promise<void> {
  const code = codeIn(pasted);
  if (code === null) keepToken(pasted);
  else await redeem(code);
}

async function redeem(code: string): Promise<void> {
  const { token } = await call<Schemas["Token"]>("POST", "/api/token", { code });
  keepToken(token);
}

/** Tell when somebody brings a token: by a link pasted into this tab, or in another tab. */
export function onToken(run: () => void): () => void {
  const pasted = (): void => {
    if (codeIn(location.hash) !== null) run();
  };
  const elsewhere = ({ key, newValue }: StorageEvent): void => {
    if (key === TOKEN && newValue !== null) run();
  };
  window.addEventListener("hashchange", pasted);
  window.addEventListener("storage", elsewhere);
  return () => {
    window.removeEventListener("hashchange", pasted);
    window.removeEventListener("storage", elsewhere);
  };
}
