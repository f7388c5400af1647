import { PAIR, makeProgram, upload } from "@overlay/pair.js";

import type { Outside, Where } from "./region";

const FRAGMENT = `
  precision highp float;
  varying vec2 at;
  uniform sampler2D result, camera, person, brush;
  uniform vec2 size;
  uniform float wanted;
  uniform int where, outside;
  uniform bool brushed;
  const vec3 GREEN = vec3(0.0, 1.0, 0.0); // the colour that OBS's chroma key takes without a change
  ${PAIR}
  void main() {
    bool pair = isPair(result);
    vec4 seen = pictureAt(result, size, pair, cover(at, aspectOf(size, pair), wanted));
    float region = seen.a; // of a pair the matte is the region already
    if (!pair) {
      if (where == 1) region = texture2D(person, at).a;
      if (where == 2) region = 1.0 - texture2D(person, at).a;
      if (brushed) region *= texture2D(brush, at).a;
    }
    if (pair || outside == 1) gl_FragColor = vec4(seen.rgb * region, region);
    else gl_FragColor = vec4(mix(outside == 2 ? GREEN : texture2D(camera, at).rgb, seen.rgb, region), 1.0);
  }`;

const TEXTURES = ["result", "camera", "person", "brush"] as const;
const PLACES: Record<Where, number> = { everywhere: 0, person: 1, background: 2 };
const BEHIND: Record<Outside, number> = { camera: 0, nothing: 1, green: 2, overlays: 1 };

export interface Parts {
  result: HTMLVideoElement;
  /** The camera's picture that the result shows, and who is in it. */
  camera: HTMLCanvasElement | null;
  person: HTMLCanvasElement | null;
  /** What was painted; null: it limits nothing. */
  brush: HTMLCanvasElement | null;
  where: Where;
  outside: Outside;
}

/** Make a function that puts result and camera together on a canvas. Throws where there is no WebGL. */
export function regionDrawer(canvas: HTMLCanvasElement): (parts: Parts) => void {
  // kept after it was shown: a snapshot may come at any time
  const gl = canvas.getContext("webgl", { preserveDrawingBuffer: true });
  if (!gl) throw new Error("WebGL");
  const program = makeProgram(gl, FRAGMENT, TEXTURES);
  const place = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(program, name);
  const [size, wanted, where, outside, brushed] = ["size", "wanted", "where", "outside", "brushed"].map(place);
  return (parts) => {
    const { result, camera, person, brush } = parts;
    gl.viewport(0, 0, canvas.width, canvas.height);
    upload(gl, 0, result);
    if (camera) upload(gl, 1, camera);
    if (person) upload(gl, 2, person);
    if (brush) upload(gl, 3, brush);
    gl.uniform2f(size ?? null, result.videoWidth, result.videoHeight);
    gl.uniform1f(wanted ?? null, canvas.width / canvas.height);
    gl.uniform1i(where ?? null, PLACES[parts.where]);
    gl.uniform1i(outside ?? null, BEHIND[parts.outside]);
    gl.uniform1i(brushed ?? null, brush ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  };
}
