import type { Source } from "@/call/live-state";
import { Cancelled, mediaProblem } from "@/call/phase";

/** Ask for a camera; the size is what a stylizer can use, more would only cost bandwidth. */
export async function openCamera(deviceId?: string): Promise<Source> {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: false,
    video: {
      width: { ideal: 640 },
      height: { ideal: 480 },
      frameRate: { ideal: 30 },
      ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
    },
  });
  return fromStream("camera", stream);
}

/** Whether this browser can share a screen; a phone's cannot. */
export const canShareScreen = (): boolean =>
  "mediaDevices" in navigator && "getDisplayMedia" in navigator.mediaDevices;

/** Ask for a screen, a window or a tab. Throws Cancelled when the person closes the picker. */
export async function openScreen(): Promise<Source> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      audio: true, // the browser's dialog asks; nothing comes unless it is ticked
      video: { frameRate: { ideal: 30 }, width: { max: 1280 }, height: { max: 720 } },
    });
    return fromStream("screen", stream);
  } catch (error) {
    throw mediaProblem(error) === "refused" ? new Cancelled() : error;
  }
}

const STILL_FPS = 10;

/** Show a still image as a camera would. */
async function openImage(file: File): Promise<Source> {
  let image: ImageBitmap;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new DOMException("not an image that this browser shows", "NotReadableError");
  }
  const scale = Math.min(1, 1280 / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(2, Math.round(image.width * scale));
  canvas.height = Math.max(2, Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  const draw = (): void => context?.drawImage(image, 0, 0, canvas.width, canvas.height);
  draw();
  const timer = window.setInterval(draw, 1000 / STILL_FPS); // a canvas at rest sends nothing
  const stream = canvas.captureStream(STILL_FPS);
  return {
    kind: "file",
    stream,
    stop() {
      window.clearInterval(timer);
      stopTracks(stream);
    },
  };
}

/** Firefox has its own name for it; Safari has neither. */
type CapturedVideo = HTMLVideoElement & Partial<Record<"captureStream" | "mozCaptureStream", () => MediaStream>>;

/** Play a video file in a loop, or show an image, and give its picture. */
export async function openFile(file: File): Promise<Source> {
  if (file.type.startsWith("image/")) return openImage(file);
  const video = document.createElement("video") as CapturedVideo;
  video.src = URL.createObjectURL(file);
  video.loop = true;
  video.muted = true;
  video.playsInline = true;
  try {
    await video.play();
  } catch {
    URL.revokeObjectURL(video.src);
    throw new DOMException("not a video that this browser plays", "NotReadableError");
  }
  const capture = video.captureStream ?? video.mozCaptureStream;
  const { stream, end } = capture ? { stream: capture.call(video), end: () => undefined } : drawn(video);
  return {
    kind: "file",
    stream,
    video,
    stop() {
      end();
      video.pause();
      URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
      stopTracks(stream);
    },
  };
}

function fromStream(kind: "camera" | "screen", stream: MediaStream): Source {
  return { kind, stream, stop: () => stopTracks(stream) };
}

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

const DRAWN_FPS = 30;

/** For browsers whose video elements give no stream: a timer, as nothing is repainted in a hidden tab. */
function drawn(video: HTMLVideoElement): { stream: MediaStream; end: () => void } {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  const timer = window.setInterval(() => context?.drawImage(video, 0, 0), 1000 / DRAWN_FPS);
  return { stream: canvas.captureStream(DRAWN_FPS), end: () => window.clearInterval(timer) };
}
