import { describe, expect, it } from "vitest";

import { type NewOutput, type OutputState, Refused } from "@/api/client";

import { BLACK, type OutputCalls, Outputs, figures, told, wanted } from "./outputs";

const output = (change: Partial<OutputState>): OutputState => ({
  id: "a", kind: "recording", target: "a.mp4", state: "live", frames: 361, dropped: 0, seconds: 12.03,
  bytes: 1_234_567, losses: 0, problem: null, ...change,
});

/** A server that notes what it is asked. */
class Server implements OutputCalls {
  readonly asked: unknown[] = [];
  refuses: Error | null = null;

  list = () => Promise.resolve({ outputs: [], kinds: { recording: null, rtmp: "off" } });

  start = (session: string, what: NewOutput) => {
    this.asked.push(["start", session, what]);
    return this.refuses ? Promise.reject(this.refuses) : Promise.resolve(output({}));
  };

  end = (session: string, id: string) => {
    this.asked.push(["end", session, id]);
    return Promise.resolve(output({ id, state: "ended" }));
  };
}

describe("what is shown of an output", () => {
  it.each([
    [{}, "0:12 · 361 frames · 1.2 MB"],
    [{ frames: 1, bytes: 0, dropped: 3 }, "0:12 · 1 frame · 3 dropped"],
  ])("%o is %s", (change, text) => expect(figures(output(change))).toBe(text));
});

describe("what is posted", () => {
  it("has the fields of its kind, and only those that were filled", () => {
    const fields = { url: " rtmp://host/live ", key: "", passphrase: "of another kind" };
    expect(wanted("rtmp", fields, BLACK)).toEqual({ kind: "rtmp", url: "rtmp://host/live", backdrop: "#000000" });
    expect(wanted("recording", fields, "camera")).toEqual({ kind: "recording", backdrop: "camera" });
  });
});

describe("the outputs of a session", () => {
  it("know what may be started once the server has said", async () => {
    const outputs = new Outputs("s", new Server());
    expect(outputs.get().kinds).toEqual({});
    await outputs.look();
    expect(outputs.get().kinds).toEqual({ recording: null, rtmp: "off" });
  });

  it("start where nothing of the kind goes, after what failed is put away", async () => {
    const server = new Server();
    const outputs = new Outputs("s", server);
    const all = [output({ state: "failed" }), output({ id: "b", kind: "rtmp" })];
    await outputs.toggle("recording", all, {}, BLACK);
    expect(server.asked).toEqual([["end", "s", "a"], ["start", "s", { kind: "recording", backdrop: BLACK }]]);
    expect(outputs.get().busy).toEqual([]);
  });

  it("end what goes and say what it was", async () => {
    const server = new Server();
    const outputs = new Outputs("s", server);
    await outputs.toggle("recording", [output({})], {}, BLACK);
    expect(server.asked).toEqual([["end", "s", "a"]]);
    expect(outputs.get().said.recording).toBe("Ended a.mp4: 0:12 · 361 frames · 1.2 MB");
  });

  it("tell a refusal in the server's words and can be tried again", async () => {
    const server = new Server();
    const outputs = new Outputs("s", server);
    server.refuses = new Refused(403, "target_not_allowed", "that server is not allowed", undefined, "1a2b3c4d");
    await outputs.toggle("rtmp", [], { url: "rtmp://elsewhere" }, BLACK);
    expect(outputs.get()).toMatchObject({ busy: [], said: { rtmp: "that server is not allowed (1a2b3c4d)" } });
    server.refuses = null;
    await outputs.toggle("rtmp", [], { url: "rtmp://here" }, BLACK);
    expect(outputs.get().said.rtmp).toBe("");
  });

  it("say no id where there is none", () => expect(told("nobody answers", undefined)).toBe("nobody answers"));

  it("take one press at a time", async () => {
    const server = new Server();
    const outputs = new Outputs("s", server);
    await Promise.all([outputs.toggle("recording", [], {}, BLACK), outputs.toggle("recording", [], {}, BLACK)]);
    expect(server.asked).toHaveLength(1);
  });
});
