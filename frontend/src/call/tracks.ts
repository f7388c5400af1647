// Not in TypeScript's library yet; Chromium has it. Unlike what is drawn for the screen it goes on in
// a tab that nobody sees, as when OBS has the screen.
interface TrackProcessor {
  readonly readable: ReadableStream<VideoFrame>;
}

declare global {
  interface Window {
    MediaStreamTrackProcessor?: new (from: { track: MediaStreamTrack }) => TrackProcessor;
  }
}

export type Picture = VideoFrame | HTMLVideoElement;

export const sizeOf = (picture: Picture): [width: number, height: number] =>
  "displayWidth" in picture ? [picture.displayWidth, picture.displayHeight] : [picture.videoWidth, picture.videoHeight];

/** Run at the next picture of a video; at the next repaint where a browser cannot tell. */
export function onFrame(video: HTMLVideoElement, run: () => void): void {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(run);
  else requestAnimationFrame(run);
}

/** Hand each picture of a track to `take`, which must not keep it; gives what ends that. */
export function readTrack(track: MediaStreamTrack, take: (picture: Picture) => void): () => void {
  let going = true;
  const { MediaStreamTrackProcessor: Processor } = window;
  if (!Processor) {
    const video = document.createElement("video");
    video.muted = video.playsInline = true;
    video.srcObject = new MediaStream([track]);
    const next = (): void => {
      if (!going) return;
      if (video.videoWidth > 0) take(video);
      onFrame(video, next);
    };
    void video.play().then(next, () => undefined); // ended before its first picture
    return () => {
      going = false;
      video.srcObject = null;
    };
  }
  const reader = new Processor({ track }).readable.getReader();
  const read = async (): Promise<void> => {
    for (;;) {
      const { value } = await reader.read();
      if (!value) return;
      if (going) take(value);
      value.close();
    }
  };
  void read();
  return () => {
    going = false;
    void reader.cancel();
  };
}
