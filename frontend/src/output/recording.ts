const TYPES = ["video/webm;codecs=vp8", "video/webm", "video/mp4"]; // VP8: the cheapest to encode live

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

/** Take what a video or a canvas shows now as a PNG; null while it shows nothing. */
export function snapshot(video: HTMLVideoElement | HTMLCanvasElement): Promise<Blob | null> {
  if (video instanceof HTMLCanvasElement) return new Promise((resolve) => video.toBlob(resolve, "image/png"));
  if (video.videoWidth === 0) return Promise.resolve(null);
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
