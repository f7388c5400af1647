import type { SelfieSegmentation } from "@mediapipe/selfie_segmentation";

/** Everything of the package, by name; the server gives it, and only when it is asked for. */
const FILES = Object.entries(
  import.meta.glob<string>("../../node_modules/@mediapipe/selfie_segmentation/selfie_segmentation*", {
    query: "?url",
    import: "default",
    eager: true,
  }),
);

export const SIDE = 256; // pixels of the model's square

/** Says which pixels of a picture belong to a person. */
export interface Segmenter {
  /** Give the mask as the alpha of a picture of SIDE × SIDE. Rejects when it is closed meanwhile. */
  segment(picture: HTMLCanvasElement): Promise<CanvasImageSource>;
  close(): void;
}

/** Load MediaPipe's selfie segmentation (6 MB, once). Throws where there is no WebGL. */
export async function loadSegmenter(): Promise<Segmenter> {
  await addScript(urlOf("selfie_segmentation.js"));
  const { SelfieSegmentation: Made } = window as unknown as { SelfieSegmentation: typeof SelfieSegmentation };
  const model = new Made({ locateFile: urlOf });
  model.setOptions({ modelSelection: 0 });
  let take: (mask: CanvasImageSource) => void = () => undefined;
  let give: (up: Error) => void = () => undefined;
  model.onResults(({ segmentationMask }) => take(segmentationMask));
  await model.initialize();
  return {
    segment: (picture) =>
      new Promise((resolve, reject) => {
        [take, give] = [resolve, reject];
        model.send({ image: picture }).then(() => reject(new Error("no mask")), reject); // too late after one
      }),
    close: () => {
      give(new Error("closed")); // the model may keep its silence
      void model.close();
    },
  };
}

function urlOf(name: string): string {
  return FILES.find(([path]) => path.endsWith(`/${name}`))?.[1] ?? name;
}

function addScript(url: string): Promise<void> {
  if (document.querySelector(`script[src="${url}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve();
    script.onerror = () => {
      script.remove(); // the next try loads it anew
      reject(new Error(url));
    };
    document.head.append(script);
  });
}
