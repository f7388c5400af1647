// Plays one session over WHEP, for a Browser Source: no controls, and it comes back by itself.
// /overlay/SESSION?fit=cover|contain&bg=transparent|%23rrggbb&chroma=%23rrggbb&fps=1..60#token=VIEWER_TOKEN
import { pairDrawer } from "/overlay/pair.js";

const FIRST_WAIT = 500; // ms before the second try; doubles with each
const LONGEST_WAIT = 15_000;
const CONNECT_IN = 10_000; // ms from offer to picture
const FINAL = [400, 401, 403, 404, 406, 415, 422]; // trying again would change nothing

const video = document.querySelector("video");
const canvas = document.querySelector("canvas");
const query = new URLSearchParams(location.search);
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const endpoint = `/whep/${location.pathname.split("/")[2]}`;
let wait = FIRST_WAIT;

class Refused extends Error {}

function dress() {
  const fit = query.get("fit") ?? "cover";
  const background = query.get("bg") ?? "transparent";
  if (["cover", "contain"].includes(fit)) video.style.objectFit = fit;
  else console.error(`fit=${fit}: cover or contain`);
  if (/^(transparent|#[0-9a-f]{6})$/i.test(background)) document.body.style.background = background;
  else console.error(`bg=${background}: transparent or %23rrggbb`);
  const chroma = query.get("chroma"); // for who keys it out: never transparent
  if (chroma === null) return;
  if (/^#[0-9a-f]{6}$/i.test(chroma)) document.body.style.background = chroma;
  else console.error(`chroma=${chroma}: %23rrggbb`);
}

// Each picture through the shader, which finds those that carry a matte. Without WebGL the video
// shows as it comes.
function draw() {
  const drawNow = pairDrawer(canvas, video, query.get("fit") === "contain");
  if (!drawNow) {
    console.error("no WebGL here: nothing is transparent");
    return;
  }
  document.body.classList.add("drawn");
  const isDue = pace();
  const next = () => {
    if (isDue(performance.now())) drawNow();
    onFrame(next);
  };
  onFrame(next);
  video.addEventListener("emptied", drawNow);
  new ResizeObserver(drawNow).observe(canvas);
  canvas.addEventListener("webglcontextlost", () => location.reload());
}

// Says of a moment whether a picture is due: of more than `fps` a second, some are left out. One that
// is late takes nothing from the next, so an uneven stream below the limit is drawn in full.
function pace() {
  const given = query.get("fps");
  if (given === null) return () => true;
  const fps = Number(given);
  if (!(/^\d+$/.test(given) && fps >= 1 && fps <= 60)) {
    console.error(`fps=${given}: 1 to 60`);
    return () => true;
  }
  const period = 1000 / fps;
  let due = 0;
  return (now) => {
    if (now < due) return false;
    due = Math.max(due, now - period) + period;
    return true;
  };
}

// At the next picture; at the next repaint where a browser cannot tell.
function onFrame(run) {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(run);
  else requestAnimationFrame(run);
}

function gathered(peer) {
  return new Promise((done) => {
    if (peer.iceGatheringState === "complete") done();
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") done();
    });
    setTimeout(done, 1000);
  });
}

async function ask(path, options, headers = {}) {
  const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}`, ...headers } });
  if (answer.ok) return answer;
  const text = `${answer.status}: ${await answer.text()}`;
  if (FINAL.includes(answer.status)) throw new Refused(text);
  wait = Math.max(wait, 1000 * Number(answer.headers.get("Retry-After") ?? 0));
  throw new Error(text);
}

async function post(sdp) {
  const answer = await ask(endpoint, { method: "POST", body: sdp }, { "Content-Type": "application/sdp" });
  return { sdp: await answer.text(), url: answer.headers.get("Location") };
}

// What the picture may come by, where the server itself is not reached.
async function relays() {
  const told = await (await ask(`${endpoint}/relays`)).json();
  return told.map(({ urls, username, credential }) => (username ? { urls, username, credential } : { urls }));
}

// Resolves when the picture ends; rejects when it never came.
async function watch() {
  const peer = new RTCPeerConnection({ iceServers: await relays() });
  let viewer = null;
  try {
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addEventListener("track", (event) => {
      video.srcObject = new MediaStream([event.track]);
    });
    await peer.setLocalDescription();
    await gathered(peer);
    const answer = await post(peer.localDescription.sdp);
    viewer = answer.url;
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await ended(peer);
  } finally {
    video.srcObject = null;
    peer.close();
    if (viewer) leave(viewer);
  }
}

function ended(peer) {
  return new Promise((done, failed) => {
    const late = setTimeout(() => failed(new Error("no connection")), CONNECT_IN);
    peer.addEventListener("connectionstatechange", () => {
      if (peer.connectionState === "connected") {
        clearTimeout(late);
        wait = FIRST_WAIT;
      }
      if (["failed", "closed", "disconnected"].includes(peer.connectionState)) done();
    });
  });
}

function leave(viewer) {
  const headers = { Authorization: `Bearer ${token}` };
  fetch(viewer, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

async function run() {
  dress();
  draw();
  for (;;) {
    try {
      await watch();
    } catch (error) {
      console.error(String(error));
      if (error instanceof Refused) return;
    }
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

run();
