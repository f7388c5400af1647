import { afterEach, expect, it, vi } from "vitest";

import { codeIn, getInfo, iceServers } from "./client";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it.each([
  ["http://127.0.0.1:8000/#code=a-b_c", "a-b_c"],
  ["https://restyle.test/?a=1#style=x&code=abc", "abc"],
  ["#code=abc", "abc"],
  ["", null],
  ["a-token-of-letters", null],
])("the code of %j is %j", (text, code) => expect(codeIn(text)).toBe(code));

it("uses the relays it was told, and asks again before their passwords end", async () => {
  vi.useFakeTimers();
  const relay = { urls: ["turn:relay.test"], username: "u", credential: "p" };
  const stun = { urls: ["stun:stun.test"], username: null, credential: null };
  const asked = vi.fn(() => Promise.resolve(new Response(JSON.stringify({ ice_servers: [relay, stun] }))));
  vi.stubGlobal("fetch", asked);

  await getInfo();
  expect(await iceServers()).toEqual([relay, { urls: ["stun:stun.test"] }]);
  expect(asked).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(3_700_000);
  await iceServers();
  expect(asked).toHaveBeenCalledTimes(2);
});
