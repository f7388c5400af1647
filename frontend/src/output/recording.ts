const TYPES = [
  "video/webm;codecs=vp8,opus", // VP8: the cheapest to encode live; Firefox wants the sound named too
  "video/webm;codecs=vp8",
  "video/webm",
  "video/mp4",
];

/** Pick the first container that the browser can write; null when it can write none. */
export function pickType(supported: (type: string) => boolean): string | null {
  return TYPES.find(supported) ?? null;
}

/** Name a file by what it is and when it was made: restyle-20261125-093000.webm. */
export function fileName(type: string, now: Date): string {
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
  const [day = "", time = ""] = local.slice(0, 19).replace(/[-:]/g, "").split("T");
  const ending = type.split(";")[0]?.split("/")[1] ?? "bin";
  return `restyle-${day}-${time}.${ending}`;
}

/** Write a time as a running clock: 0:07, 12:30, 1:02:03. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return `${hours > 0 ? `${hours}:${two(minutes)}` : String(minutes)}:${two(seconds % 60)}`;
}

/** Record a stream until stop() is called on what comes back; `done` gets the whole file. */
export function record(
  stream: MediaStream,
  type: string,
  done: (file: Blob) => void,
): MediaRecorder {
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6_000_000 });
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => done(new Blob(parts, { type }));
  recorder.start(1000); // a part each second: a long recording need not lie in memory whole
  return recorder;
}

/** What shows the result: its video, or the canvas on which it is put together. */
export type Shown = HTMLVideoElement | HTMLCanvasElement;

/** Copy what is shown now, mirrored where it is seen so; null while that is nothing. */
export function copyOf(shown: Shown, mirror: boolean): HTMLCanvasElement | null {
  const [width, height] =
    shown instanceof HTMLCanvasElement ? [shown.width, shown.height] : [shown.videoWidth, shown.videoHeight];
  if (width === 0) return null;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (mirror) context?.setTransform(-1, 0, 0, 1, width, 0);
  context?.drawImage(shown, 0, 0);
  return canvas;
}

/** Take what is shown now as a PNG; null while it shows nothing. */
export function snapshot(shown: Shown, mirror: boolean): Promise<Blob | null> {
  const canvas = copyOf(shown, mirror);
  return canvas ? new Promise((resolve) => canvas.toBlob(resolve, "image/png")) : Promise.resolve(null);
}
