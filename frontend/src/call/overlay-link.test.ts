import { expect, it } from "vitest";

import { overlayLink } from "./overlay-link";

it("names the overlay of a session, with the viewer token in the fragment", () => {
  const link = new URL(overlayLink("https://restyle.test", { id: "a1", name: null, token: "x+/=" }));
  expect(link.pathname).toBe("/overlay/a1");
  expect(link.search).toBe("");
  expect(new URLSearchParams(link.hash.slice(1)).get("token")).toBe("x+/=");
});

it("names what outlasts the session where there is such a name", () => {
  const link = new URL(overlayLink("https://restyle.test", { id: "a1", name: "desk", token: "x" }));
  expect(link.pathname).toBe("/overlay/desk");
});
